// Recording a model for the traced mode: the model goes to the device, runs once on stand-ins for
// the example inputs, and leaves a graph.
#ifndef GLIA_FRONTEND_RECORDING_H_
#define GLIA_FRONTEND_RECORDING_H_

#include <ATen/core/Tensor.h>

#include <functional>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "frontend/capture/capture.h"
#include "frontend/trace.h"
#include "frontend/trace_module.h"
#include "runtime/torch/tensor_spec.h"

namespace glia {

// How a kind of model is put on the device and called, inside of a trace scope.
struct Callee {
  using State = std::vector<std::pair<std::string, at::Tensor>>;

  std::string name;
  std::vector<std::string> argument_names;  // may be empty
  std::function<void()> to_device = [] {};
  TraceFunction call;
  std::function<State()> state = [] { return State(); };  // parameters and buffers, by name
  std::function<void()> restore = [] {};                  // undoes to_device
};
// `module` and `fn` must outlive the result.
Callee ForScript(const torch::jit::Module& model);
Callee ForModule(torch::nn::Module& module, const TraceFunction& fn);
Callee ForFunction(const TraceFunction& fn);

struct Recorded {
  std::shared_ptr<capture::Graph> graph;
  std::vector<Argument> arguments;
  Structure result;
  std::vector<neuron::TensorSpec> inputs;  // those of the arguments, then the seed
  bool has_seed = false;
  std::vector<neuron::TensorSpec> outputs;
  std::vector<at::Tensor> weights;  // the graph's inputs after `inputs`, as the device holds them
  std::vector<std::string> weight_names;  // of parameters and buffers; "" for other tensors
  std::vector<at::Tensor> examples;       // of the arguments
  std::vector<capture::TracedCall> calls;
};

// Throws c10::Error. Warns of parameters and buffers that the model changes: a traced module has no
// state.
Recorded Record(const Callee& callee, const std::vector<c10::IValue>& examples,
                const std::vector<std::string>& input_names, const capture::TracePolicy& policy);

}  // namespace glia

#endif  // GLIA_FRONTEND_RECORDING_H_
