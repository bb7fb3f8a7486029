// Functions of one number.
#include <cmath>

#include "frontend/lowering/registry.h"

namespace glia::lowering {
namespace {

// The function itself says all: compute in the result's type (so integers become floats first).
template <Op (*kFunction)(Op)>
void Unary(Ctx& c) {
  c.Return(kFunction(c.El(0)));
}

// For functions that leave integers alone.
template <Op (*kFunction)(Op)>
void Rounding(Ctx& c) {
  const Op x = c.El(0);
  c.Return(hlo::IsFloating(c.compute()) ? kFunction(x) : x);
}

// A predicate of a float; false for integers.
template <Op (*kFunction)(Op)>
void Predicate(Ctx& c) {
  c.Return(kFunction(c.T(0)));
}

// aten::abs(Tensor self) -> Tensor
void AbsOp(Ctx& c) {
  const Op x = c.El(0);
  c.Return(hlo::IsUnsignedInt(c.compute()) ? x : Abs(x));
}

void NegOp(Ctx& c) {
  const Op x = c.El(0);
  c.Return(hlo::IsUnsignedInt(c.compute()) ? Sub(FullLike(x, 0), x) : Neg(x));
}

void SignOp(Ctx& c) {
  const Op x = c.El(0);
  const Op zero = FullLike(x, 0);
  if (hlo::IsUnsignedInt(c.compute())) {
    c.Return(Min(x, FullLike(x, 1)));
  } else if (hlo::IsFloating(c.compute())) {
    c.Return(Select(IsNan(x), zero, Sign(x)));  // eager counts: (x > 0) - (x < 0)
  } else {
    c.Return(Sub(Convert(Gt(x, zero), c.compute()), Convert(Lt(x, zero), c.compute())));
  }
}

Op Exp2(Op x) { return Pow(FullLike(x, 2), x); }
Op Log10(Op x) { return Mul(Log(x), ScalarLike(x, 0.4342944819032518)); }
Op Reciprocal(Op x) { return Div(FullLike(x, 1), x); }
Op Frac(Op x) { return Sub(x, Trunc(x)); }
Op DegToRad(Op x) { return Mul(x, ScalarLike(x, 0.017453292519943295)); }
Op RadToDeg(Op x) { return Mul(x, ScalarLike(x, 57.29577951308232)); }
Op IsPosInf(Op x) { return And(IsInf(x), Gt(x, ScalarLike(x, 0))); }
Op IsNegInf(Op x) { return And(IsInf(x), Lt(x, ScalarLike(x, 0))); }

// sin(πx) / (πx)
Op Sinc(Op x) {
  const Op angle = Mul(x, ScalarLike(x, 3.14159265358979323846));
  return Select(Eq(x, ScalarLike(x, 0)), FullLike(x, 1), Div(Sin(angle), angle));
}

// aten::round.decimals(Tensor self, *, int decimals) -> Tensor
void RoundDecimals(Ctx& c) {
  const Op x = c.El(0);
  if (!hlo::IsFloating(c.compute())) return c.Return(x);
  const int64_t decimals = c.Int(1);
  const Op scale = c.Const(std::pow(10.0, std::abs(decimals)));
  c.Return(decimals < 0 ? Mul(RoundNearestEven(Div(x, scale)), scale)
                        : Div(RoundNearestEven(Mul(x, scale)), scale));
}

void SignbitOp(Ctx& c) {
  const Op x = c.T(0);
  const PrimitiveType type = x.shape().type;
  if (hlo::IsUnsignedInt(type) || type == hlo::kPred) {
    return c.Return(hlo::Filled(c.builder(), c.Out(), 0));
  }
  if (!hlo::IsFloating(type)) return c.Return(Lt(x, ScalarLike(x, 0)));
  // The bit pattern knows about -0 and -NaN.
  c.Return(Lt(BitcastConvert(Convert(x, hlo::kF32), hlo::kS32),
              hlo::ConstantR0<int32_t>(c.builder(), 0)));
}

void BitwiseNot(Ctx& c) { c.Return(Not(c.T(0))); }
void LogicalNotOp(Ctx& c) { c.Return(Not(NotZero(c.T(0)))); }

// aten::nan_to_num(Tensor self, float? nan=None, float? posinf=None, float? neginf=None) -> Tensor
void NanToNum(Ctx& c) {
  const Op x = c.T(0);
  const PrimitiveType type = x.shape().type;
  if (!hlo::IsFloating(type)) return c.Return(x);
  const double max = type == hlo::kF16    ? 65504.0
                     : type == hlo::kBF16 ? 3.3895313892515355e38
                                          : 3.4028234663852886e38;
  const Op inf = InfLike(x);
  Op y = Select(IsNan(x), FullLike(x, c.Double(1, 0)), x);
  y = Select(Eq(x, inf), FullLike(x, c.Double(2, max)), y);
  c.Return(Select(Eq(x, Neg(inf)), FullLike(x, c.Double(3, -max)), y));
}

// aten::logit(Tensor self, float? eps=None) -> Tensor
void Logit(Ctx& c) {
  Op x = c.El(0);
  if (c.Has(1)) x = Clamp(c.Const(c.Double(1)), x, c.Const(1 - c.Double(1)));
  c.Return(Log(Div(x, Sub(c.Const(1), x))));
}

// -x log(x), 0 at 0
Op Entropy(Op x) {
  const Op zero = FullLike(x, 0);
  const Op value = Select(Eq(x, zero), zero, Neg(Mul(x, Log(x))));
  return Select(Lt(x, zero), BroadcastTo(InfLike(x, true), x.shape().dims), value);
}

// Lanczos approximation (g = 7, n = 9), and reflection below 1/2.
Op Lgamma(Op x) {
  static constexpr double kCoefficients[] = {
      676.520368121885098567009190444019, -1259.13921672240287047156078755283,
      771.3234287776530788486528258894,   -176.61502916214059906584551354,
      12.507343278686904814458936853,     -0.13857109526572011689554707,
      9.984369578019570859563e-6,         1.50563273514931155834e-7};
  const Op half = ScalarLike(x, 0.5);
  const Op one = ScalarLike(x, 1);
  const Op reflect = Lt(x, half);
  const Op z = Select(reflect, Neg(x), Sub(x, one));
  Op sum = FullLike(x, 0.99999999999980993227684700473478);
  for (int i = 0; i < 8; ++i) {
    sum = Add(sum, Div(ScalarLike(x, kCoefficients[i]), Add(z, ScalarLike(x, i + 1))));
  }
  // log(z + 7.5) as log(7.5) + log1p(z / 7.5), and the products regrouped so that they do not
  // cancel.
  const Op t = Add(z, ScalarLike(x, 7.5));
  const Op log_t = Add(ScalarLike(x, 2.0149030205422647), Log1p(Div(z, ScalarLike(x, 7.5))));
  const Op value =
      Add(Add(Mul(Sub(Add(z, half), Div(t, log_t)), log_t), ScalarLike(x, 0.9189385332046727)),
          Log(sum));
  // log|π / sin(πx)| - value, with sin of the fraction so that integers give infinity.
  const Op size = Abs(x);
  const Op fraction = Sub(size, Floor(size));
  const Op folded = Select(Gt(fraction, half), Sub(one, fraction), fraction);
  const Op sine = Log(Sin(Mul(folded, ScalarLike(x, 3.14159265358979323846))));
  const Op reflected = Sub(Sub(ScalarLike(x, 1.1447298858494002), sine), value);
  const Op result = Select(reflect, reflected, value);
  return Select(IsInf(x), BroadcastTo(InfLike(x), x.shape().dims), result);
}

// The derivative of Lgamma, by recurrence up to 6 and then its asymptotic series; reflected below
// 0.
Op Digamma(Op x) {
  const Op one = ScalarLike(x, 1), zero = ScalarLike(x, 0);
  const Op negative = Lt(x, zero);
  Op z = Select(negative, Sub(one, x), x);
  Op sum = FullLike(x, 0);
  for (int i = 0; i < 6; ++i) {
    const Op small = Lt(z, ScalarLike(x, 6));
    sum = Select(small, Sub(sum, Div(one, z)), sum);
    z = Select(small, Add(z, one), z);
  }
  const Op inverse = Div(one, z), square = Mul(inverse, inverse);
  // 1/12, 1/120, 1/252, 1/240, 1/132: B_2n / 2n with alternating signs
  Op series = FullLike(x, 1.0 / 132);
  for (const double c : {-1.0 / 240, 1.0 / 252, -1.0 / 120, 1.0 / 12}) {
    series = Add(Mul(series, square), ScalarLike(x, c));
  }
  Op value = Add(sum, Sub(Sub(Log(z), Mul(ScalarLike(x, 0.5), inverse)), Mul(series, square)));
  // ψ(1 - x) - ψ(x) = π cot(πx), by the fraction of x
  const Op angle = Mul(Sub(x, Floor(x)), ScalarLike(x, 3.14159265358979323846));
  const Op reflected = Sub(value, Div(ScalarLike(x, 3.14159265358979323846), Tan(angle)));
  value = Select(negative, reflected, value);
  const Op pole = And(Eq(x, Floor(x)), negative);
  const Op nan = BroadcastTo(NanLike(x), x.shape().dims);
  value = Select(pole, nan, value);
  const Op at_zero = Neg(Div(one, x));  // -inf at 0, inf at -0
  return Select(Eq(x, zero), at_zero, value);
}

// exp(x²) erfc(x): for x >= 0.5 the approximation of Erfc without its exponential.
Op Erfcx(Op x) {
  return Select(Lt(x, ScalarLike(x, 0.5)), Mul(Exp(Mul(x, x)), Erfc(x)), ScaledErfc(x));
}

Op LogNormalCdf(Op x) {
  // Below -1, Φ = erfcx(-x/√2) exp(-x²/2) / 2.
  const Op t = Mul(x, ScalarLike(x, 0.7071067811865476));
  const Op tail = Sub(Log(Mul(ScalarLike(x, 0.5), ScaledErfc(Neg(t)))), Mul(t, t));
  return Select(Lt(x, ScalarLike(x, -1)), tail, Log1p(Neg(Mul(ScalarLike(x, 0.5), Erfc(t)))));
}

// √2 erfinv(2p - 1)
Op NormalQuantile(Op p) {
  const Op centred = Sub(Mul(ScalarLike(p, 2), p), ScalarLike(p, 1));
  return Mul(ScalarLike(p, 1.4142135623730951), ErfInv(centred));
}

// aten::angle(Tensor self) -> Tensor; of real numbers: 0 or π
void Angle(Ctx& c) {
  const Op x = c.El(0);
  const Op angle = Select(Lt(x, c.Const(0)), FullLike(x, 3.14159265358979323846), FullLike(x, 0));
  c.Return(hlo::IsFloating(c.compute()) ? Select(IsNan(x), x, angle) : angle);
}

// aten::logit_backward(Tensor grad_output, Tensor self, float? eps=None) -> Tensor
void LogitBackward(Ctx& c) {
  const Op g = c.El(0), x = c.El(1), one = c.Const(1);
  const Op slope = Div(g, Mul(x, Sub(one, x)));
  const double eps = c.Double(2, 0);
  const Op outside = Or(Lt(x, c.Const(eps)), Gt(x, c.Const(1 - eps)));
  const Op other = c.Has(2) ? FullLike(x, 0) : BroadcastTo(NanLike(x), x.shape().dims);
  c.Return(Select(outside, other, slope));
}

}  // namespace

OpTable UnaryOps() {
  static constexpr OpLowering kOps[] = {
      {"aten::abs", AbsOp},
      {"aten::acos", Unary<Acos>},
      {"aten::acosh", Unary<Acosh>},
      {"aten::asin", Unary<Asin>},
      {"aten::asinh", Unary<Asinh>},
      {"aten::atan", Unary<Atan>},
      {"aten::atanh", Unary<Atanh>},
      {"aten::bitwise_not", BitwiseNot},
      {"aten::ceil", Rounding<hlo::Ceil>},
      {"aten::cos", Unary<hlo::Cos>},
      {"aten::cosh", Unary<Cosh>},
      {"aten::deg2rad", Unary<DegToRad>},
      {"aten::erf", Unary<hlo::Erf>},
      {"aten::erfc", Unary<Erfc>},
      {"aten::erfinv", Unary<ErfInv>},
      {"aten::exp", Unary<hlo::Exp>},
      {"aten::exp2", Unary<Exp2>},
      {"aten::expm1", Unary<hlo::Expm1>},
      {"aten::floor", Rounding<hlo::Floor>},
      {"aten::frac", Unary<Frac>},
      {"aten::isinf", Predicate<IsInf>},
      {"aten::isnan", Predicate<IsNan>},
      {"aten::isneginf", Predicate<IsNegInf>},
      {"aten::isposinf", Predicate<IsPosInf>},
      {"aten::lgamma", Unary<Lgamma>},
      {"aten::log", Unary<hlo::Log>},
      {"aten::log10", Unary<Log10>},
      {"aten::log1p", Unary<hlo::Log1p>},
      {"aten::log2", Unary<Log2>},
      {"aten::logical_not", LogicalNotOp},
      {"aten::logit", Logit},
      {"aten::nan_to_num", NanToNum},
      {"aten::neg", NegOp},
      {"aten::rad2deg", Unary<RadToDeg>},
      {"aten::reciprocal", Unary<Reciprocal>},
      {"aten::round", Rounding<hlo::RoundNearestEven>},
      {"aten::round.decimals", RoundDecimals},
      {"aten::rsqrt", Unary<hlo::Rsqrt>},
      {"aten::sgn", SignOp},
      {"aten::sigmoid", Unary<hlo::Logistic>},
      {"aten::sign", SignOp},
      {"aten::signbit", SignbitOp},
      {"aten::sin", Unary<hlo::Sin>},
      {"aten::sinc", Unary<Sinc>},
      {"aten::sinh", Unary<Sinh>},
      {"aten::special_entr", Unary<Entropy>},
      {"aten::sqrt", Unary<hlo::Sqrt>},
      {"aten::tan", Unary<hlo::Tan>},
      {"aten::tanh", Unary<hlo::Tanh>},
      {"aten::trunc", Rounding<Trunc>},
      {"aten::special_ndtri", Unary<NormalQuantile>},
      {"aten::special_log_ndtr", Unary<LogNormalCdf>},
      {"aten::special_erfcx", Unary<Erfcx>},
      {"aten::logit_backward", LogitBackward},
      {"aten::digamma", Unary<Digamma>},
      {"aten::angle", Angle},
  };
  return kOps;
}

}  // namespace glia::lowering
