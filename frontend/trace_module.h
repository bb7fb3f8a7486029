// The TorchScript module around a neuron::Model.
#ifndef GLIA_FRONTEND_TRACE_MODULE_H_
#define GLIA_FRONTEND_TRACE_MODULE_H_

#include <torch/csrc/jit/api/module.h>
#include <torch/csrc/jit/frontend/resolver.h>

#include <string>
#include <vector>

#include "frontend/structure.h"
#include "runtime/torch/neuron_model.h"

namespace glia {

// forward's arguments: a name and a structure each.
struct Argument {
  std::string name;
  Structure structure;
};

// Lines of TorchScript that draw `glia_seed`, the last input of a model with random numbers, from
// torch's generator.
extern const char kDrawSeed[];

// A module whose forward checks and flattens its arguments, runs `model` and rebuilds the result.
// `has_seed`: the model's
// last input is a seed. `bucket_code` defines bucket(inputs), see BucketFunction; "" for a single
// bucket. Throws c10::Error when that code does not compile.
torch::jit::Module WrapModel(c10::intrusive_ptr<neuron::Model> model,
                             const std::vector<Argument>& arguments, const Structure& result,
                             bool has_seed, const std::string& bucket_code);

// What the TorchScript of a traced module is written with: `torch`, and `neuron` for the operators
// of
// //runtime/torch.
torch::jit::ResolverPtr TraceResolver();

// The model inside a traced module. Throws c10::Error when there is none.
c10::intrusive_ptr<neuron::Model> UnwrapModel(const torch::jit::Module& traced);

// A copy of the module that embeds another model.
torch::jit::Module ReplaceModel(const torch::jit::Module& traced,
                                c10::intrusive_ptr<neuron::Model> model);

}  // namespace glia

#endif  // GLIA_FRONTEND_TRACE_MODULE_H_
