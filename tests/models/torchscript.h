// TorchScript forms of the zoo's models. torch::nn modules cannot be scripted in C++, so they are
// recorded by libtorch's tracer while they run on the CPU.
#ifndef GLIA_TESTS_MODELS_TORCHSCRIPT_H_
#define GLIA_TESTS_MODELS_TORCHSCRIPT_H_

#include <torch/csrc/jit/api/module.h>

#include "tests/models/model.h"

namespace glia::models {

// Its forward takes tensors like `inputs` (which a model with a state updates) and returns a
// tensor, or a tuple when there are several. Parameters and buffers are attributes and share memory
// with `model`.
torch::jit::Module ToTorchScript(Model& model, const Tensors& inputs);

// The outputs of a TorchScript module that returns a tensor or a tuple or list of tensors.
Tensors RunTorchScript(torch::jit::Module& module, const Tensors& inputs);

}  // namespace glia::models

#endif  // GLIA_TESTS_MODELS_TORCHSCRIPT_H_
