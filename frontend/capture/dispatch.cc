#include "frontend/capture/dispatch.h"

#include <ATen/MemoryOverlap.h>

#include "frontend/capture/host.h"
#include "frontend/capture/nodes.h"
#include "frontend/capture/op_plan.h"
#include "frontend/capture/record.h"
#include "frontend/capture/storage.h"
#include "frontend/capture/sync.h"
#include "frontend/capture/varying.h"

namespace glia::capture {
namespace {

using Arguments = c10::ArrayRef<c10::IValue>;

// A mask among the indices makes the result's shape depend on data.
bool IndexedByMask(Arguments arguments) {
  for (const c10::IValue& v : arguments[1].toListRef()) {
    if (!v.isTensor()) continue;
    const at::Tensor t = v.toTensor();
    if (t.defined() && (t.scalar_type() == at::kBool || t.scalar_type() == at::kByte)) return true;
  }
  return false;
}

at::ScalarType OutDtype(const OpPlan& plan, Arguments arguments) {
  return arguments[plan.writes[0].argument].toTensor().scalar_type();
}

// The functional operator's arguments.
torch::jit::Stack FunctionalArguments(const OpPlan& plan, Arguments arguments) {
  torch::jit::Stack result;
  const auto& formal = plan.functional->handle.schema().arguments();
  for (size_t i = 0; i < plan.arguments.size(); ++i) {
    const int from = plan.arguments[i];
    if (from >= 0) {
      const bool takes_out_dtype = arguments[from].isNone() && formal[i].name() == "dtype" &&
                                   !plan.writes.empty() && plan.writes[0].out;
      result.push_back(takes_out_dtype
                           ? c10::IValue(static_cast<int64_t>(OutDtype(plan, arguments)))
                           : arguments[from]);
    } else if (from == OpPlan::kOutDtype && !plan.writes.empty() && plan.writes[0].out) {
      result.emplace_back(static_cast<int64_t>(OutDtype(plan, arguments)));
    } else {
      result.push_back(plan.defaults[i]);
    }
  }
  return result;
}

// Eager's checks of a tensor that is written, before anything is recorded.
bool WritesCpu(const OpPlan& plan, Arguments arguments) {
  bool cpu = false;
  auto check = [&](const at::Tensor& t) {
    if (!t.defined()) return;
    cpu = cpu || !IsXla(t);
    if (plan.check_overlap) at::assert_no_internal_overlap(t);
  };
  for (const OpPlan::Write& w : plan.writes) {
    const c10::IValue& v = arguments[w.argument];
    if (v.isTensor()) {
      check(v.toTensor());
    } else if (v.isTensorList()) {
      for (const at::Tensor& t : v.toTensorVector()) check(t);
    }
  }
  return cpu;
}

bool Reads(const OpPlan& plan, Arguments arguments, const at::Tensor& t) {
  for (int from : plan.arguments) {
    if (from >= 0 && arguments[from].isTensor() &&
        arguments[from].unsafeToTensorImpl() == t.unsafeGetTensorImpl()) {
      return true;
    }
  }
  return false;
}

// `resizable`: an out= argument that is not an operand as well.
void Store(const at::Tensor& to, Value value, bool resizable) {
  if (!to.defined()) return;
  const TensorMeta& meta = value.meta();
  TORCH_CHECK(c10::canCast(meta.dtype, to.scalar_type()), "result type ", meta.dtype,
              " can't be cast to the desired output type ", to.scalar_type());
  if (to.sizes() != c10::IntArrayRef(meta.sizes)) {
    TORCH_CHECK(resizable, "output with shape ", to.sizes(), " doesn't match the broadcast shape ",
                c10::IntArrayRef(meta.sizes));
    if (to.numel() != 0) {
      TORCH_WARN("An output with one or more elements was resized since it had shape ", to.sizes(),
                 ", which does not match the required output shape ", c10::IntArrayRef(meta.sizes),
                 ".");
    }
    ResizeTensor(to, meta.sizes, meta.strides);
  }
  WriteTensor(to, MakeConvert(value, to.scalar_type()));
}

}  // namespace

void BoxedKernel(const c10::OperatorHandle& op, c10::DispatchKeySet, torch::jit::Stack* stack) {
  const OpPlan& plan = PlanOf(op);
  const size_t count = plan.op->args.size();
  const Arguments arguments(stack->data() + stack->size() - count, count);
  if (plan.functional == nullptr) return RunOnHost(*plan.op, stack, plan.host_reason, true);
  if (!plan.writes.empty() && WritesCpu(plan, arguments)) {
    return RunOnHost(*plan.op, stack, "it writes a tensor of the CPU", true);
  }
  NodePtr node;
  if (plan.takes_masks && IndexedByMask(arguments)) {
    return RunOnHost(*plan.op, stack, "the shape of its result depends on the contents of a mask",
                     true);
  }
  const auto record = [&plan](Arguments functional) {
    NodePtr varying;
    if (plan.factor >= 0) varying = RecordVaryingFactor(*plan.functional, plan.factor, functional);
    return varying ? varying : RecordOp(*plan.functional, functional);
  };
  node = plan.same_arguments ? record(arguments) : record(FunctionalArguments(plan, arguments));
  if (!node) return RunOnHost(*plan.op, stack, "there is no lowering for it", false);

  for (const OpPlan::Write& w : plan.writes) {
    const NodeInfo::Return& r = node->info->returns[w.result];
    const c10::IValue& to = arguments[w.argument];
    if (to.isTensorList()) {
      const auto tensors = to.toTensorVector();
      for (size_t k = 0; k < tensors.size(); ++k) {
        Store(tensors[k], {node, r.first + static_cast<int>(k)}, w.out);
      }
    } else if (to.isTensor() && r.first >= 0) {
      const at::Tensor t = to.toTensor();
      Store(t, {node, r.first}, w.out && !Reads(plan, arguments, t));
    }
  }
  c10::SmallVector<c10::IValue, 4> results;
  for (int r : plan.returns) {
    results.push_back(r >= 0 ? arguments[r] : MakeReturn(node, static_cast<size_t>(~r)));
  }
  torch::jit::drop(*stack, count);
  for (c10::IValue& v : results) stack->push_back(std::move(v));
}

}  // namespace glia::capture
