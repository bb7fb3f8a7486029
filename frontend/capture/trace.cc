#include <ATen/ops/zeros.h>

#include <atomic>
#include <unordered_map>
#include <utility>

#include "frontend/capture/capture.h"
#include "frontend/capture/nodes.h"
#include "frontend/capture/storage.h"
#include "frontend/capture/sync.h"
#include "frontend/capture/trace_session.h"

namespace glia::capture {

struct TraceScope::Impl {
  TraceSession session;
  std::unique_ptr<CallObserver> observer;
  std::unordered_map<const StorageState*, Value> first_seen;

  // Back to lazy mode, with storages as they were.
  void Leave() {
    if (CurrentTrace() != &session) return;
    observer.reset();
    SetCurrentTrace(nullptr);
    for (auto it = session.undo.rbegin(); it != session.undo.rend(); ++it) {
      it->first->Set(std::move(it->second));
    }
    session.undo.clear();
  }
};

Value TraceSession::Seed() {
  if (!seed) {
    CpuCallGuard guard;
    TensorMeta meta;
    meta.dtype = at::kLong;
    seed = MakeParameter(static_cast<int64_t>(parameters.size()), std::move(meta)).node;
    parameters.push_back(seed);
    examples.push_back(at::zeros({}, at::TensorOptions().dtype(at::kLong)));
  }
  return {seed, 0};
}

TraceScope::TraceScope(TracePolicy policy) : impl_(std::make_unique<Impl>()) {
  TORCH_CHECK(CurrentTrace() == nullptr, "a trace is already being recorded on this thread");
  // What was recorded before belongs to the lazy program: the trace shall see it as data.
  Execute(PendingStorages());
  static std::atomic<uint64_t> last_id{0};
  impl_->session.id = ++last_id;
  impl_->session.policy = std::move(policy);
  SetCurrentTrace(&impl_->session);
  impl_->observer = std::make_unique<CallObserver>();
}

TraceScope::~TraceScope() { impl_->Leave(); }

at::Tensor TraceScope::AddInput(const at::Tensor& example) {
  TORCH_CHECK(CurrentTrace() == &impl_->session, "AddInput() after Finish() or on another thread");
  TORCH_CHECK(!impl_->session.seed, "AddInput() after an operator that draws random numbers");
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
  impl_->session.examples.push_back(example);
  return MakeTensor(std::move(v));
}

const Node* TraceScope::InputOf(const at::Tensor& tensor) const {
  const StorageStatePtr state = StateOf(tensor);
  const Value value = state ? state->Get().value : Value();
  return value && value.node->kind == NodeKind::kInput ? value.node.get() : nullptr;
}

c10::optional<std::string> TraceScope::Changed(const at::Tensor& tensor) {
  const StorageStatePtr state = StateOf(tensor);
  if (!state) return c10::nullopt;
  const Value value = state->Get().value;
  const auto [first, is_new] = impl_->first_seen.emplace(state.get(), value);
  if (is_new || first->second == value) return c10::nullopt;
  // The write itself may be of a part, or convert first.
  const Node* node = value.node.get();
  while (node != nullptr && node->source == nullptr) {
    const size_t contents = node->kind == NodeKind::kUpdate ? 1 : 0;
    node = node->operands.size() > contents ? node->operands[contents].node.get() : nullptr;
  }
  return node == nullptr ? std::string() : *node->source;
}

bool TraceScope::has_seed() const { return impl_->session.seed.defined(); }

std::vector<TracedCall> TraceScope::TakeCalls() { return std::exchange(impl_->session.calls, {}); }

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
