// Operators that libtorch takes apart into views, products and sums before they reach a device.
// Where nobody wants their gradient they are recorded whole instead: one node for up to ten calls
// of the dispatcher, and one product for the compiler.
#include <ATen/ops/linear_native.h>
#include <ATen/ops/matmul_native.h>
#include <c10/core/GradMode.h>
#include <torch/library.h>

#include "frontend/capture/record.h"
#include "frontend/capture/storage.h"

namespace glia::capture {
namespace {

bool WantsGradient(const at::Tensor& t) {
  return (c10::GradMode::is_enabled() && t.requires_grad()) || t._fw_grad(/*level=*/0).defined();
}

const OpInfo& Op(const char* name) {
  const OpInfo* op = FindOpInfo(name);
  TORCH_CHECK(op != nullptr, "libtorch has no operator ", name);
  return *op;
}

at::Tensor Linear(const at::Tensor& input, const at::Tensor& weight,
                  const c10::optional<at::Tensor>& bias) {
  const bool has_bias = bias && bias->defined();
  if (!WantsGradient(input) && !WantsGradient(weight) && !(has_bias && WantsGradient(*bias))) {
    static const OpInfo& op = Op("aten::linear");
    const c10::IValue arguments[] = {input, weight, has_bias ? c10::IValue(*bias) : c10::IValue()};
    if (NodePtr node = RecordOp(op, arguments)) return MakeTensor({std::move(node), 0});
  }
  return at::native::linear(input, weight, bias);
}

at::Tensor Matmul(const at::Tensor& a, const at::Tensor& b) {
  if (!WantsGradient(a) && !WantsGradient(b)) {
    static const OpInfo& op = Op("aten::matmul");
    const c10::IValue arguments[] = {a, b};
    if (NodePtr node = RecordOp(op, arguments)) return MakeTensor({std::move(node), 0});
  }
  return at::native::matmul(a, b);
}

}  // namespace
}  // namespace glia::capture

TORCH_LIBRARY_IMPL(aten, XLA, m) {
  m.impl("linear", glia::capture::Linear);
  m.impl("matmul", glia::capture::Matmul);
}

TORCH_LIBRARY_IMPL(aten, AutogradXLA, m) {
  m.impl("linear", glia::capture::Linear);
  m.impl("matmul", glia::capture::Matmul);
}
