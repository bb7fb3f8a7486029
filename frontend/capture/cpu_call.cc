#include "frontend/capture/cpu_call.h"

#include <c10/core/TensorImpl.h>

namespace glia::capture {
namespace {

// Operators of the device and what the CPU has for them.
struct CpuName {
  const char* op;
  const char* cpu;
};
constexpr CpuName kCpuNames[] = {
    {"aten::convolution_overrideable", "aten::convolution"},
    {"aten::convolution_backward_overrideable", "aten::convolution_backward"},
};

const OpInfo* CpuNameOf(const OpInfo& op) {
  for (const CpuName& n : kCpuNames) {
    if (op.name == n.op) return FindOpInfo(n.cpu);
  }
  return nullptr;
}

// The named argument of the device's operator, for the CPU's; bias_sizes is not one of them.
c10::IValue ArgumentFor(const c10::Argument& want, const OpInfo& op,
                        const torch::jit::Stack& stack) {
  const auto& have = op.handle.schema().arguments();
  for (size_t i = 0; i < have.size(); ++i) {
    if (have[i].name() == want.name()) return stack[i];
  }
  TORCH_INTERNAL_ASSERT(want.name() == "bias_sizes");
  const at::Tensor weight = stack[2].toTensor();
  const bool transposed = stack[6].toBool();
  const int64_t groups = stack[8].toInt();
  return std::vector<int64_t>{transposed ? weight.size(1) * groups : weight.size(0)};
}

bool HoldsOptionals(const c10::TypePtr& type) {
  c10::TypePtr t = type->kind() == c10::TypeKind::OptionalType ? type->containedType(0) : type;
  return t->containedType(0)->kind() == c10::TypeKind::OptionalType;
}

}  // namespace

torch::jit::Stack MapArguments(
    const OpInfo& op, c10::ArrayRef<c10::IValue> arguments, c10::Device device,
    c10::function_ref<at::Tensor(const at::Tensor&, size_t argument, int position)> map) {
  torch::jit::Stack stack;
  stack.reserve(arguments.size());
  for (size_t i = 0; i < arguments.size(); ++i) {
    const c10::IValue& v = arguments[i];
    if (v.isTensor()) {
      const at::Tensor t = v.toTensor();
      stack.emplace_back(t.defined() ? map(t, i, -1) : t);
    } else if (v.isList() && op.args[i] == ArgKind::kTensorList) {
      const auto elements = v.toListRef();
      if (HoldsOptionals(op.handle.schema().arguments()[i].type())) {
        c10::List<c10::optional<at::Tensor>> list;
        for (size_t k = 0; k < elements.size(); ++k) {
          c10::optional<at::Tensor> element;
          if (elements[k].isTensor()) {
            const at::Tensor t = elements[k].toTensor();
            element = t.defined() ? map(t, i, static_cast<int>(k)) : t;
          }
          list.push_back(std::move(element));
        }
        stack.emplace_back(std::move(list));
      } else {
        c10::List<at::Tensor> list;
        for (size_t k = 0; k < elements.size(); ++k) {
          const at::Tensor t = elements[k].toTensor();
          list.push_back(t.defined() ? map(t, i, static_cast<int>(k)) : t);
        }
        stack.emplace_back(std::move(list));
      }
    } else if (v.isDevice() && v.toDevice().type() == at::kXLA) {
      stack.emplace_back(device);
    } else if (v.isNone() && device.type() != at::kCPU &&
               op.handle.schema().arguments()[i].name() == "device") {
      stack.emplace_back(device);
    } else {
      stack.push_back(v);
    }
  }
  return stack;
}

void CallOnCpu(const OpInfo& op, torch::jit::Stack* stack) {
  const OpInfo* cpu = CpuNameOf(op);
  if (cpu == nullptr) {
    op.handle.callBoxed(stack);
    return;
  }
  torch::jit::Stack arguments;
  for (const c10::Argument& a : cpu->handle.schema().arguments()) {
    arguments.push_back(ArgumentFor(a, op, *stack));
  }
  cpu->handle.callBoxed(&arguments);
  *stack = std::move(arguments);
}

}  // namespace glia::capture
