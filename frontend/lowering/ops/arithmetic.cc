// Arithmetic of two and three operands, element by element.
#include "frontend/lowering/registry.h"

namespace glia::lowering {
namespace {

// Both operands in the result's type, combined by one function.
template <Op (*kFunction)(Op, Op)>
void Binary(Ctx& c) {
  c.Return(kFunction(c.El(0), c.El(1)));
}

// The same for functions of the builder, which take broadcast dims too.
template <Op (*kFunction)(Op, Op, absl::Span<const int64_t>)>
void Binary(Ctx& c) {
  c.Return(kFunction(c.El(0), c.El(1), {}));
}

// Bits: bool stays pred.
template <Op (*kFunction)(Op, Op, absl::Span<const int64_t>)>
void Bitwise(Ctx& c) {
  c.Return(kFunction(c.El(0, c.Out().type), c.El(1, c.Out().type), {}));
}

// aten::__lshift__.Tensor(Tensor self, Tensor other) -> Tensor; of floats, a product with a power
// of two
template <Op (*kFunction)(Op, Op, absl::Span<const int64_t>)>
void PlainShift(Ctx& c) {
  if (hlo::IsFloating(c.Out().type)) return c.Refuse("a shift of floats");
  Bitwise<kFunction>(c);
}

// x times the Scalar argument i, if it is not 1.
Op Scaled(Ctx& c, Op x, size_t i) {
  return !c.Has(i) || c.IsScalar(i, 1) ? x : Mul(x, c.ScalarEl(i));
}

// aten::add.Tensor(Tensor self, Tensor other, *, Scalar alpha=1) -> Tensor
void AddOp(Ctx& c) { c.Return(Add(c.El(0), Scaled(c, c.El(1), 2))); }
void SubOp(Ctx& c) { c.Return(Sub(c.El(0), Scaled(c, c.El(1), 2))); }
void RsubOp(Ctx& c) { c.Return(Sub(c.El(1), Scaled(c, c.El(0), 2))); }
void AddRelu(Ctx& c) { c.Return(Relu(Add(c.El(0), Scaled(c, c.El(1), 2)))); }

// aten::div.Tensor_mode(Tensor self, Tensor other, *, str? rounding_mode) -> Tensor
void DivOp(Ctx& c) {
  const std::string mode = c.Str(2);
  const Op a = c.El(0), b = c.El(1);
  c.Return(mode == "floor" ? FloorDiv(a, b) : mode == "trunc" ? TruncDiv(a, b) : Div(a, b));
}

Op FMax(Op a, Op b) { return Select(IsNan(a), b, Select(IsNan(b), a, Max(a, b))); }
Op FMin(Op a, Op b) { return Select(IsNan(a), b, Select(IsNan(b), a, Min(a, b))); }

// sqrt(a² + b²) without overflow on the way.
Op Hypot(Op a, Op b) {
  a = Abs(a);
  b = Abs(b);
  const Op large = Max(a, b);
  const Op ratio = Div(Min(a, b), large);
  const Op value = Mul(large, Sqrt(Add(Mul(ratio, ratio), ScalarLike(a, 1))));
  return Select(Or(Eq(large, ScalarLike(a, 0)), IsInf(large)), large, value);
}

// The sign of b, from its bit, on the size of a.
Op CopySign(Op a, Op b) {
  const Op bits = BitcastConvert(b, hlo::kS32);
  const Op size = Abs(a);
  return Select(Lt(bits, ScalarLike(bits, 0)), Neg(size), size);
}

Op LogAddExp(Op a, Op b) {
  const Op larger = Max(a, b);
  const Op value = Add(larger, Log1p(Exp(Neg(Abs(Sub(a, b))))));
  return Select(And(IsInf(a), Eq(a, b)), a, value);
}

Op LogAddExp2(Op a, Op b) {
  const Op larger = Max(a, b);
  const Op two = FullLike(a, 2);
  const Op correction =
      Mul(Log1p(Pow(two, Neg(Abs(Sub(a, b))))), ScalarLike(a, 1.4426950408889634));
  return Select(And(IsInf(a), Eq(a, b)), a, Add(larger, correction));
}

// x log(y), 0 where x is 0 unless y is NaN.
Op XLogY(Op x, Op y) {
  const Op zero = FullLike(x, 0);
  const Op value = Select(Eq(x, zero), zero, Mul(x, Log(y)));
  return Select(IsNan(y), y, value);
}
Op XLog1pY(Op x, Op y) {
  const Op zero = FullLike(x, 0);
  const Op value = Select(Eq(x, zero), zero, Mul(x, Log1p(y)));
  return Select(IsNan(y), y, value);
}

// aten::heaviside(Tensor self, Tensor values) -> Tensor
Op Heaviside(Op x, Op values) {
  const Op zero = FullLike(x, 0);
  const Op step = Select(Gt(x, zero), FullLike(x, 1), zero);
  return Select(Eq(x, zero), values, step);
}

// ---- Powers.
Op PowOf(Ctx& c, Op base, double exponent) {
  if (exponent == 2) return Mul(base, base);
  if (exponent == 3) return Mul(Mul(base, base), base);
  if (exponent == 1) return base;
  if (exponent == 0) return FullLike(base, 1);
  if (exponent == 0.5) return Sqrt(base);
  if (exponent == -0.5) return Rsqrt(base);
  if (exponent == -1) return Div(FullLike(base, 1), base);
  if (exponent == -2) return Div(FullLike(base, 1), Mul(base, base));
  return Pow(base, BroadcastTo(c.Const(exponent), base.shape().dims));
}

// aten::pow.Tensor_Scalar(Tensor self, Scalar exponent) -> Tensor
void PowTensorScalar(Ctx& c) {
  const Op base = c.El(0);
  c.Return(hlo::IsFloating(c.compute()) ? PowOf(c, base, c.Double(1)) : PowInt(base, c.Int(1)));
}

// ---- Three operands.
// aten::addcmul(Tensor self, Tensor tensor1, Tensor tensor2, *, Scalar value=1) -> Tensor
void Addcmul(Ctx& c) { c.Return(Add(c.El(0), Mul(Scaled(c, c.El(1), 3), c.El(2)))); }
void Addcdiv(Ctx& c) { c.Return(Add(c.El(0), Div(Scaled(c, c.El(1), 3), c.El(2)))); }

// aten::lerp.Tensor(Tensor self, Tensor end, Tensor weight) -> Tensor
void Lerp(Ctx& c) {
  const Op a = c.El(0), b = c.El(1), weight = c.El(2);
  const Op difference = Sub(b, a);
  // From the nearer end, as eager does.
  const Op near_a = Add(a, Mul(weight, difference));
  const Op near_b = Sub(b, Mul(difference, Sub(c.Const(1), weight)));
  c.Return(Select(Lt(Abs(weight), c.Const(0.5)), near_a, near_b));
}

// aten::clamp(Tensor self, Scalar? min=None, Scalar? max=None) -> Tensor; also with tensors
void ClampOp(Ctx& c) {
  Op x = c.El(0);
  if (c.Has(1)) x = Max(x, c.El(1));
  if (c.Has(2)) x = Min(x, c.El(2));
  c.Return(x);
}
void ClampMax(Ctx& c) { c.Return(Min(c.El(0), c.El(1))); }

// aten::where.self(Tensor condition, Tensor self, Tensor other) -> Tensor
void WhereOp(Ctx& c) {
  const PrimitiveType type = c.Out().type;
  c.Return(Select(c.El(0, hlo::kPred), c.El(1, type), c.El(2, type)));
}

// aten::masked_fill.Scalar(Tensor self, Tensor mask, Scalar value) -> Tensor
void MaskedFill(Ctx& c) {
  const PrimitiveType type = c.Out().type;
  c.Return(Select(c.El(1, hlo::kPred), c.El(2, type), c.El(0, type)));
}

}  // namespace

OpTable ArithmeticOps() {
  static constexpr OpLowering kOps[] = {
      {"aten::__lshift__.Scalar", PlainShift<hlo::ShiftLeft>},
      {"aten::__lshift__.Tensor", PlainShift<hlo::ShiftLeft>},
      {"aten::__rshift__.Scalar", PlainShift<hlo::ShiftRightArithmetic>},
      {"aten::__rshift__.Tensor", PlainShift<hlo::ShiftRightArithmetic>},
      {"aten::_add_relu.Tensor", AddRelu},
      {"aten::add.Scalar", AddOp},
      {"aten::add.Tensor", AddOp},
      {"aten::addcdiv", Addcdiv},
      {"aten::addcmul", Addcmul},
      {"aten::atan2", Binary<hlo::Atan2>},
      {"aten::bitwise_and.Scalar", Bitwise<hlo::And>},
      {"aten::bitwise_and.Tensor", Bitwise<hlo::And>},
      {"aten::bitwise_left_shift.Tensor", Bitwise<hlo::ShiftLeft>},
      {"aten::bitwise_or.Scalar", Bitwise<hlo::Or>},
      {"aten::bitwise_or.Tensor", Bitwise<hlo::Or>},
      {"aten::bitwise_right_shift.Tensor", Bitwise<hlo::ShiftRightArithmetic>},
      {"aten::bitwise_xor.Scalar", Bitwise<hlo::Xor>},
      {"aten::bitwise_xor.Tensor", Bitwise<hlo::Xor>},
      {"aten::clamp", ClampOp},
      {"aten::clamp.Tensor", ClampOp},
      {"aten::clamp_max", ClampMax},
      {"aten::clamp_max.Tensor", ClampMax},
      {"aten::clamp_min", ClampOp},
      {"aten::clamp_min.Tensor", ClampOp},
      {"aten::copysign.Scalar", Binary<CopySign>},
      {"aten::copysign.Tensor", Binary<CopySign>},
      {"aten::div.Scalar", DivOp},
      {"aten::div.Scalar_mode", DivOp},
      {"aten::div.Tensor", DivOp},
      {"aten::div.Tensor_mode", DivOp},
      {"aten::floor_divide", Binary<FloorDiv>},
      {"aten::fmax", Binary<FMax>},
      {"aten::fmin", Binary<FMin>},
      {"aten::fmod.Scalar", Binary<hlo::Rem>},
      {"aten::fmod.Tensor", Binary<hlo::Rem>},
      {"aten::heaviside", Binary<Heaviside>},
      {"aten::hypot", Binary<Hypot>},
      {"aten::lerp.Scalar", Lerp},
      {"aten::lerp.Tensor", Lerp},
      {"aten::logaddexp", Binary<LogAddExp>},
      {"aten::logaddexp2", Binary<LogAddExp2>},
      {"aten::masked_fill.Scalar", MaskedFill},
      {"aten::masked_fill.Tensor", MaskedFill},
      {"aten::maximum", Binary<hlo::Max>},
      {"aten::minimum", Binary<hlo::Min>},
      {"aten::mul.Scalar", Binary<hlo::Mul>},
      {"aten::mul.Tensor", Binary<hlo::Mul>},
      {"aten::pow.Scalar", Binary<hlo::Pow>},
      {"aten::pow.Tensor_Scalar", PowTensorScalar},
      {"aten::pow.Tensor_Tensor", Binary<hlo::Pow>},
      {"aten::remainder.Scalar", Binary<FloorMod>},
      {"aten::remainder.Scalar_Tensor", Binary<FloorMod>},
      {"aten::remainder.Tensor", Binary<FloorMod>},
      {"aten::rsub.Scalar", RsubOp},
      {"aten::rsub.Tensor", RsubOp},
      {"aten::special_xlog1py", Binary<XLog1pY>},
      {"aten::sub.Scalar", SubOp},
      {"aten::sub.Tensor", SubOp},
      {"aten::where.self", WhereOp},
      {"aten::xlogy.Tensor", Binary<XLogY>},
  };
  return kOps;
}

}  // namespace glia::lowering
