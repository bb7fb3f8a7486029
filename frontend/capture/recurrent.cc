// Recurrent layers of TorchScript programs. Without a first state, torch.nn's layers make one on
// the device that they were traced on, which Python's torch.jit writes into the program; libtorch
// then refuses a first state on the CPU beside an input on the xla device. It is moved.
#include <ATen/core/dispatch/Dispatcher.h>
#include <ATen/core/stack.h>
#include <torch/library.h>

#include "frontend/capture/capture.h"
#include "frontend/capture/storage.h"

namespace glia::capture {
namespace {

bool IsMoved(const c10::Argument& a) {
  return a.name() == "hx" || a.name() == "params" || a.name() == "input" || a.name() == "data";
}

void MoveAndRun(const c10::OperatorHandle& op, c10::DispatchKeySet, torch::jit::Stack* stack) {
  const auto& formal = op.schema().arguments();
  const size_t first = stack->size() - formal.size();
  const auto move = [](const at::Tensor& t) {
    return t.defined() && !IsXla(t) ? t.to(XlaDevice()) : t;
  };
  for (size_t i = 0; i < formal.size(); ++i) {
    if (!IsMoved(formal[i])) continue;
    c10::IValue& v = (*stack)[first + i];
    if (v.isTensor()) {
      v = move(v.toTensor());
    } else {
      std::vector<at::Tensor> tensors = v.toTensorVector();
      for (at::Tensor& t : tensors) t = move(t);
      v = c10::List<at::Tensor>(tensors);
    }
  }
  // On the CPU too the layer is no kernel but a composition of other operators.
  op.redispatchBoxed(c10::DispatchKeySet(c10::DispatchKey::CPU), stack);
}

void Register(torch::Library& m) {
  for (const char* name : {"lstm.input", "lstm.data", "gru.input", "gru.data", "rnn_tanh.input",
                           "rnn_tanh.data", "rnn_relu.input", "rnn_relu.data"}) {
    m.impl(name, torch::CppFunction::makeFromBoxedFunction<&MoveAndRun>());
  }
}

}  // namespace
}  // namespace glia::capture

TORCH_LIBRARY_IMPL(aten, AutogradXLA, m) { glia::capture::Register(m); }
TORCH_LIBRARY_IMPL(aten, XLA, m) { glia::capture::Register(m); }
