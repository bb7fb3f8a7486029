#ifndef GLIA_TOOLS_LOAD_H_
#define GLIA_TOOLS_LOAD_H_

#include <torch/csrc/jit/api/module.h>

#include <string>
#include <utility>
#include <vector>

#include "runtime/torch/neuron_model.h"

namespace glia::tools {

// A TorchScript file, traced or not, on the CPU. Throws std::runtime_error with `path` as given and
// the reason: no such file, no TorchScript, damaged.
torch::jit::Module LoadModule(const std::string& path);

// The model of a traced module, or those of a partitioned one in order, by the names of its parts
// ("" for the only one). Empty when the module was not traced.
std::vector<std::pair<std::string, c10::intrusive_ptr<neuron::Model>>> ModelsOf(
    const torch::jit::Module& module);

}  // namespace glia::tools

#endif  // GLIA_TOOLS_LOAD_H_
