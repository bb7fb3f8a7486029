#ifndef GLIA_TOOLS_LOAD_H_
#define GLIA_TOOLS_LOAD_H_

#include <torch/csrc/jit/api/module.h>

#include <string>

namespace glia::tools {

// A TorchScript file, traced or not, on the CPU. Throws std::runtime_error with `path` as given and
// the reason: no such file, no TorchScript, damaged.
torch::jit::Module LoadModule(const std::string& path);

}  // namespace glia::tools

#endif  // GLIA_TOOLS_LOAD_H_
