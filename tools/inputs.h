// Example inputs from the command line.
#ifndef GLIA_TOOLS_INPUTS_H_
#define GLIA_TOOLS_INPUTS_H_

#include <ATen/core/ivalue.h>

#include <string>
#include <vector>

namespace glia::tools {

// Each "f32[1,784]" (zeros), or the path of a .npy file. Throws std::runtime_error that names the
// text.
std::vector<c10::IValue> ExampleInputs(const std::vector<std::string>& texts);

}  // namespace glia::tools

#endif  // GLIA_TOOLS_INPUTS_H_
