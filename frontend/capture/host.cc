#include "frontend/capture/host.h"

#include <ATen/ops/empty_strided.h>

#include <mutex>
#include <set>

#include "frontend/capture/cpu_call.h"
#include "frontend/capture/metrics.h"
#include "frontend/capture/op_plan.h"
#include "frontend/capture/record.h"
#include "frontend/capture/storage.h"
#include "frontend/capture/sync.h"
#include "frontend/capture/trace_session.h"

namespace glia::capture {
namespace {

void CountAndWarn(const OpInfo& op, bool inherent) {
  Counter("capture.host." + op.name).Add(1);
  if (inherent) return;
  static Metric& fallbacks = Counter("capture.fallbacks");
  fallbacks.Add(1);
  static std::mutex mutex;
  static auto* warned = new std::set<std::string>;
  std::lock_guard<std::mutex> lock(mutex);
  if (!warned->insert(op.name).second) return;
  TORCH_WARN("the xla device has no lowering for ", op.name,
             ": it runs on the CPU, and the tensors it needs are computed and copied first");
}

bool IsWritten(const c10::Argument& a) {
  return a.alias_info() != nullptr && a.alias_info()->isWrite();
}

void WriteBack(const at::Tensor& to, const at::Tensor& from) {
  if (!IsXla(to)) return;  // a CPU tensor was written in place
  if (to.sizes() != from.sizes()) ResizeTensor(to, from.sizes(), from.strides());
  if (to.numel() > 0) WriteTensor(to, Upload(from));
}

c10::IValue ToDevice(const c10::IValue& v) {
  if (v.isTensor()) {
    const at::Tensor t = v.toTensor();
    return t.defined() ? MakeTensor(Upload(t)) : t;
  }
  if (v.isTensorList()) {
    c10::List<at::Tensor> list;
    for (const at::Tensor& t : v.toTensorVector()) list.push_back(MakeTensor(Upload(t)));
    return list;
  }
  return v;
}

}  // namespace

void RunOnHost(const OpInfo& op, torch::jit::Stack* stack, const char* reason, bool inherent) {
  const c10::FunctionSchema& schema = op.handle.schema();
  // A value can be that of the example inputs; a tensor whose shape it decides cannot be traced.
  TraceSession* trace = CurrentTrace();
  const bool reads_value = trace != nullptr && !ReturnsTensors(schema);
  if (trace != nullptr && !reads_value) RefuseInTrace(SchemaOf(op), reason);
  if (trace == nullptr) CountAndWarn(op, inherent);
  CpuCallGuard guard;
  const size_t count = schema.arguments().size();
  const std::vector<c10::IValue> arguments(stack->end() - static_cast<int64_t>(count),
                                           stack->end());
  torch::jit::drop(*stack, count);

  const auto& formal = schema.arguments();
  auto is_out = [&](size_t i) { return IsWritten(formal[i]) && formal[i].kwarg_only(); };
  // Everything that is pending in one graph.
  std::vector<StorageStatePtr> needed;
  bool depends = false;
  MapArguments(op, arguments, at::kCPU, [&](const at::Tensor& t, size_t i, int) {
    if (!IsXla(t) || is_out(i)) return t;
    if (trace == nullptr) {
      needed.push_back(StateOf(t));
    } else {
      const Value value = ReadTensor(t);
      trace->values.Evaluate(value);
      depends = depends || trace->values.DependsOnParameters(value);
    }
    return t;
  });
  Execute(needed);
  torch::jit::Stack cpu =
      MapArguments(op, arguments, at::kCPU, [&](const at::Tensor& t, size_t i, int) {
        if (!IsXla(t)) return t;
        at::Tensor r = is_out(i) ? at::empty_strided(t.sizes(), t.strides(),
                                                     at::TensorOptions().dtype(t.scalar_type()))
                                 : Download(t);
        if (t.unsafeGetTensorImpl()->is_wrapped_number()) {
          r.unsafeGetTensorImpl()->set_wrapped_number(true);
        }
        return r;
      });
  const torch::jit::Stack written = cpu;
  CallOnCpu(op, &cpu);
  if (reads_value && cpu.size() == 1) WarnFixed(op, cpu[0], depends);

  for (size_t i = 0; i < count; ++i) {
    if (!IsWritten(formal[i])) continue;
    if (arguments[i].isTensor() && arguments[i].toTensor().defined()) {
      WriteBack(arguments[i].toTensor(), written[i].toTensor());
    } else if (arguments[i].isTensorList()) {
      const auto to = arguments[i].toTensorVector(), from = written[i].toTensorVector();
      for (size_t k = 0; k < to.size(); ++k) WriteBack(to[k], from[k]);
    }
  }
  for (size_t r = 0; r < cpu.size(); ++r) {
    const c10::AliasInfo* alias = schema.returns()[r].alias_info();
    size_t same = count;
    for (size_t i = 0; i < count && alias != nullptr && alias->isWrite(); ++i) {
      if (IsWritten(formal[i]) && formal[i].alias_info()->beforeSets() == alias->beforeSets())
        same = i;
    }
    torch::jit::push(*stack, same < count ? arguments[same] : ToDevice(cpu[r]));
  }
}

}  // namespace glia::capture
