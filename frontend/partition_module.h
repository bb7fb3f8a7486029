// The TorchScript modules of a partitioned trace: one for each subgraph, and one that calls them in
// turn.
#ifndef GLIA_FRONTEND_PARTITION_MODULE_H_
#define GLIA_FRONTEND_PARTITION_MODULE_H_

#include <torch/csrc/jit/api/module.h>

#include <memory>
#include <string>
#include <vector>

#include "frontend/partition.h"
#include "frontend/recording.h"

namespace glia {

// forward(inputs: List[Tensor]) -> List[Tensor] of a subgraph's inputs and outputs, as operators of
// the CPU. Throws c10::Error naming an operator that TorchScript cannot call.
torch::jit::Module CpuModule(const Subgraph& subgraph, const std::string& name);
// The same around a model.
torch::jit::Module DeviceModule(c10::intrusive_ptr<neuron::Model> model, const std::string& name);

struct Part {
  std::string name;  // of the submodule, an identifier
  torch::jit::Module module;
};
// The arguments and result of `recorded`; `parts` are of `subgraphs`. forward checks dtypes and
// shapes.
torch::jit::Module JoinParts(const Recorded& recorded, const std::vector<Subgraph>& subgraphs,
                             const std::vector<Part>& parts);

}  // namespace glia

#endif  // GLIA_FRONTEND_PARTITION_MODULE_H_
