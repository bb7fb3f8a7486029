#include <atomic>

#include "frontend/capture/capture.h"
#include "frontend/capture/nodes.h"
#include "frontend/capture/storage.h"
#include "frontend/capture/sync.h"
#include "frontend/capture/trace_session.h"

namespace glia::capture {

struct TraceScope::Impl {
  TraceSession session;

  // Back to lazy mode, with storages as they were.
  void Leave() {
    if (CurrentTrace() != &session) return;
    SetCurrentTrace(nullptr);
    for (auto it = session.undo.rbegin(); it != session.undo.rend(); ++it) {
      it->first->Set(std::move(it->second));
    }
    session.undo.clear();
  }
};

TraceScope::TraceScope(std::function<bool(const Node&)> supports)
    : impl_(std::make_unique<Impl>()) {
  TORCH_CHECK(CurrentTrace() == nullptr, "a trace is already being recorded on this thread");
  // What was recorded before belongs to the lazy program: the trace shall see it as data.
  Execute(PendingStorages());
  static std::atomic<uint64_t> last_id{0};
  impl_->session.id = ++last_id;
  impl_->session.supports = std::move(supports);
  SetCurrentTrace(&impl_->session);
}

TraceScope::~TraceScope() { impl_->Leave(); }

at::Tensor TraceScope::AddInput(const at::Tensor& example) {
  TORCH_CHECK(CurrentTrace() == &impl_->session, "AddInput() after Finish() or on another thread");
  TORCH_CHECK(example.defined(), "an example input is an undefined tensor");
  TORCH_CHECK(example.layout() == at::kStrided && !example.is_quantized(), "an example input is a ",
              example.is_quantized() ? "quantized" : "sparse",
              " tensor, which the xla device does not have");
  TensorMeta meta;
  meta.sizes = example.sizes().vec();
  meta.strides = example.is_non_overlapping_and_dense() ? example.strides().vec()
                                                        : ContiguousStrides(meta.sizes);
  meta.dtype = example.scalar_type();
  Value v = MakeParameter(static_cast<int64_t>(impl_->session.parameters.size()), std::move(meta));
  impl_->session.parameters.push_back(v.node);
  return MakeTensor(std::move(v));
}

std::shared_ptr<Graph> TraceScope::Finish(const std::vector<at::Tensor>& outputs) {
  TORCH_CHECK(CurrentTrace() == &impl_->session, "Finish() twice or on another thread");
  std::vector<Value> values;
  for (size_t i = 0; i < outputs.size(); ++i) {
    TORCH_CHECK(IsXla(outputs[i]), "output ", i, " of the traced program is ",
                outputs[i].defined() ? "a tensor of " + outputs[i].device().str() : "undefined",
                ": it does not depend on the inputs");
    values.push_back(ReadTensor(outputs[i]));
  }
  std::shared_ptr<Graph> graph = BuildGraph(std::move(values), impl_->session.parameters);
  impl_->Leave();
  return graph;
}

}  // namespace glia::capture
