// Activation functions.
#include "frontend/lowering/registry.h"

namespace glia::lowering {
namespace {

void ReluOp(Ctx& c) { c.Return(Relu(c.El(0))); }

// aten::leaky_relu(Tensor self, Scalar negative_slope=0.01) -> Tensor
void LeakyRelu(Ctx& c) {
  const Op x = c.El(0);
  c.Return(Select(Gt(x, c.Const(0)), x, Mul(x, c.ScalarEl(1))));
}

// aten::elu(Tensor self, Scalar alpha=1, Scalar scale=1, Scalar input_scale=1) -> Tensor
void Elu(Ctx& c) {
  const Op x = c.El(0);
  const double scale = c.Double(2);
  const Op negative = Mul(Expm1(Mul(x, c.Const(c.Double(3)))), c.Const(c.Double(1) * scale));
  c.Return(Select(Gt(x, c.Const(0)), Mul(x, c.Const(scale)), negative));
}

// aten::celu(Tensor self, Scalar alpha=1.) -> Tensor
void Celu(Ctx& c) {
  const Op x = c.El(0);
  const Op negative = Mul(Expm1(Mul(x, c.Const(1 / c.Double(1)))), c.ScalarEl(1));
  c.Return(Select(Gt(x, c.Const(0)), x, negative));
}

// aten::gelu(Tensor self, *, str approximate="none") -> Tensor
void Gelu(Ctx& c) {
  const Op x = c.El(0);
  if (c.Str(1) != "tanh") return c.Return(Mul(x, NormalCdf(x)));
  const Op cube = Mul(Mul(x, x), x);
  const Op inner = Mul(c.Const(0.7978845608028654), Add(x, Mul(c.Const(0.044715), cube)));
  c.Return(Mul(Mul(c.Const(0.5), x), Add(c.Const(1), Tanh(inner))));
}

void Silu(Ctx& c) {
  const Op x = c.El(0);
  c.Return(Mul(x, Logistic(x)));
}

void Mish(Ctx& c) {
  const Op x = c.El(0);
  c.Return(Mul(x, Tanh(Softplus(x))));
}

// aten::softplus(Tensor self, Scalar beta=1, Scalar threshold=20) -> Tensor
void SoftplusOp(Ctx& c) {
  const Op x = c.El(0);
  const Op scaled = Mul(x, c.ScalarEl(1));
  const Op soft = Div(Log1p(Exp(scaled)), c.ScalarEl(1));
  c.Return(Select(Gt(scaled, c.ScalarEl(2)), x, soft));
}

// aten::hardtanh(Tensor self, Scalar min_val=-1, Scalar max_val=1) -> Tensor
void Hardtanh(Ctx& c) { c.Return(Min(Max(c.El(0), c.ScalarEl(1)), c.ScalarEl(2))); }

// min(max(x + 3, 0), 6) / 6
Op HardGate(Op x) {
  const Op shifted = Min(Relu(Add(x, ScalarLike(x, 3))), ScalarLike(x, 6));
  return Div(shifted, ScalarLike(x, 6));
}
void Hardsigmoid(Ctx& c) { c.Return(HardGate(c.El(0))); }
void Hardswish(Ctx& c) { c.Return(Mul(c.El(0), HardGate(c.El(0)))); }

// aten::hardshrink(Tensor self, Scalar lambd=0.5) -> Tensor
void Hardshrink(Ctx& c) {
  const Op x = c.El(0);
  c.Return(Select(Le(Abs(x), c.ScalarEl(1)), FullLike(x, 0), x));
}

void Softshrink(Ctx& c) {
  const Op x = c.El(0), lambda = c.ScalarEl(1);
  const Op low = Select(Lt(x, Neg(lambda)), Add(x, lambda), Mul(x, c.Const(0)));
  c.Return(Select(Gt(x, lambda), Sub(x, lambda), low));
}

// aten::threshold(Tensor self, Scalar threshold, Scalar value) -> Tensor
void Threshold(Ctx& c) {
  const Op x = c.El(0);
  c.Return(Select(Le(x, c.ScalarEl(1)), c.El(2), x));
}

// aten::log_sigmoid_forward(Tensor self) -> (Tensor output, Tensor buffer)
// The buffer, exp(-|x|), is for the backward pass.
void LogSigmoidForward(Ctx& c) {
  const Op x = c.El(0);
  const Op buffer = Exp(Neg(Abs(x)));
  c.Return({Sub(Min(x, c.Const(0)), Log1p(buffer)), buffer});
}

// aten::prelu(Tensor self, Tensor weight) -> Tensor: one weight, or one per channel (dim 1)
void Prelu(Ctx& c) {
  const Op x = c.El(0);
  Op weight = c.T(1, c.compute());
  if (weight.shape().elements() == 1) {
    weight = BroadcastTo(Reshape(weight, {}), c.Out().dims);
  } else {
    weight = AlongDim(weight, c.Out().dims, c.Out().rank() > 1 ? 1 : 0);
  }
  c.Return(Select(Gt(x, c.Const(0)), x, Mul(x, weight)));
}

// aten::_prelu_kernel(Tensor self, Tensor weight) -> Tensor: the weight broadcasts
void PreluKernel(Ctx& c) {
  const Op x = c.El(0);
  c.Return(Select(Gt(x, c.Const(0)), x, Mul(x, c.El(1))));
}

// aten::glu(Tensor self, int dim=-1) -> Tensor
void Glu(Ctx& c) {
  const Op x = c.T(0, c.compute());
  const int64_t dim = c.Dim(1, x.shape().rank());
  const int64_t half = x.shape().dim(dim) / 2;
  c.Return(Mul(SliceInDim(x, 0, half, 1, dim), Logistic(SliceInDim(x, half, 2 * half, 1, dim))));
}

}  // namespace

OpTable ActivationOps() {
  static constexpr OpLowering kOps[] = {
      {"aten::_prelu_kernel", PreluKernel},
      {"aten::celu", Celu},
      {"aten::elu", Elu},
      {"aten::gelu", Gelu},
      {"aten::glu", Glu},
      {"aten::hardshrink", Hardshrink},
      {"aten::hardsigmoid", Hardsigmoid},
      {"aten::hardswish", Hardswish},
      {"aten::hardtanh", Hardtanh},
      {"aten::leaky_relu", LeakyRelu},
      {"aten::log_sigmoid_forward", LogSigmoidForward},
      {"aten::mish", Mish},
      {"aten::prelu", Prelu},
      {"aten::relu", ReluOp},
      {"aten::silu", Silu},
      {"aten::softplus", SoftplusOp},
      {"aten::softshrink", Softshrink},
      {"aten::threshold", Threshold},
  };
  return kOps;
}

}  // namespace glia::lowering
