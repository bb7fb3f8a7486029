// A TorchScript model made ready to be recorded on the xla device: a copy of it, whose program
// makes its tensors there too. Python's torch.jit.trace writes the device that it ran on into the
// program
// (`torch.zeros([2], device="cpu")`, `x.to("cuda:0")`); on the xla device those would be copies
// away from it, and tensors of the CPU that cannot be written.
#ifndef GLIA_FRONTEND_SCRIPT_H_
#define GLIA_FRONTEND_SCRIPT_H_

#include <torch/csrc/jit/api/module.h>
#include <torch/csrc/jit/ir/ir.h>

#include <memory>
#include <string>
#include <utility>
#include <vector>

namespace glia {

// Every device that is spelled out in `graph`, and the default of operators that make tensors out
// of nothing, becomes `device`; cpu() and cuda() do nothing.
void MoveProgram(torch::jit::Graph* graph, c10::Device device);

class DeviceScript {
 public:
  // Throws c10::Error when `model` has no forward.
  explicit DeviceScript(const torch::jit::Module& model);

  const std::vector<std::string>& argument_names() const { return argument_names_; }
  void ToDevice();
  // Runs forward on this thread, forks too. Throws c10::Error, with TorchScript's traceback.
  c10::IValue Run(const std::vector<c10::IValue>& inputs);
  // Parameters and buffers by name, as they are now.
  std::vector<std::pair<std::string, at::Tensor>> State() const;

 private:
  torch::jit::Module module_;
  std::shared_ptr<torch::jit::Graph> graph_;  // forward, with all that it calls
  std::vector<std::string> argument_names_;
};

}  // namespace glia

#endif  // GLIA_FRONTEND_SCRIPT_H_
