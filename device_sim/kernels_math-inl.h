// Vector forms of the activation functions, included once per Highway target. Polynomials were fitted
// for this file (minimax by reweighted least squares); the errors stated are of the approximation.
// NaN in gives NaN out.
#if defined(GLIA_DEVICE_SIM_KERNELS_MATH_INL_H_) == defined(HWY_TARGET_TOGGLE)
#ifdef GLIA_DEVICE_SIM_KERNELS_MATH_INL_H_
#undef GLIA_DEVICE_SIM_KERNELS_MATH_INL_H_
#else
#define GLIA_DEVICE_SIM_KERNELS_MATH_INL_H_
#endif

#include "hwy/highway.h"

HWY_BEFORE_NAMESPACE();
namespace glia::device::kernels {
namespace HWY_NAMESPACE {

namespace hn = hwy::HWY_NAMESPACE;

// c[0] + x (c[1] + x (...)).
template <class D, class V, size_t N>
HWY_INLINE V Polynomial(D d, V x, const float (&c)[N]) {
  V sum = hn::Set(d, c[N - 1]);
  for (size_t i = N - 1; i-- > 0;) sum = hn::MulAdd(sum, x, hn::Set(d, c[i]));
  return sum;
}

// 2^k for integers -126 <= k <= 127.
template <class D, class VI>
HWY_INLINE auto PowerOfTwo(D d, VI k) {
  const hn::RebindToSigned<D> di;
  return hn::BitCast(d, hn::ShiftLeft<23>(hn::Add(k, hn::Set(di, 127))));
}

// e^x: x = n ln 2 + r, |r| <= ln 2 / 2, e^r = 1 + r + r^2 p(r). Error of p: 4e-9.
template <class D, class V>
HWY_INLINE V Exp(D d, V x) {
  static constexpr float kP[] = {5.000000101e-01f, 1.666651289e-01f, 4.166618728e-02f,
                                 8.369598410e-03f, 1.395171725e-03f};
  const hn::RebindToSigned<D> di;
  // Beyond these, the result is infinite or zero whatever x is.
  const V clamped = hn::Min(hn::Max(x, hn::Set(d, -106.0f)), hn::Set(d, 90.0f));
  const V n = hn::Round(hn::Mul(clamped, hn::Set(d, 1.44269504f)));
  V r = hn::NegMulAdd(n, hn::Set(d, 0.693359375f), clamped);  // ln 2 in two parts
  r = hn::NegMulAdd(n, hn::Set(d, -2.12194440e-4f), r);
  const V e = hn::Add(hn::MulAdd(hn::Mul(r, r), Polynomial(d, r, kP), r), hn::Set(d, 1.0f));
  // 2^n in two steps reaches the denormals and infinity.
  const auto k = hn::ConvertTo(di, n);
  const auto half = hn::ShiftRight<1>(k);
  const V scaled = hn::Mul(hn::Mul(e, PowerOfTwo(d, half)), PowerOfTwo(d, hn::Sub(k, half)));
  return hn::IfThenElse(hn::IsNaN(x), x, scaled);
}

// ln x: x = 2^n m, m in [sqrt 1/2, sqrt 2), ln m = f - f^2/2 + f^3 p(f), f = m - 1. Error 8e-10 f^2.
template <class D, class V>
HWY_INLINE V Log(D d, V x) {
  static constexpr float kP[] = {3.333330824e-01f, -2.499998541e-01f, 2.000239030e-01f,
                                 -1.666942438e-01f, 1.421520795e-01f, -1.237914266e-01f,
                                 1.189507039e-01f, -1.183108847e-01f, 6.913471784e-02f};
  const hn::RebindToSigned<D> di;
  const auto denormal = hn::Lt(x, hn::Set(d, 1.17549435e-38f));
  const V normal = hn::IfThenElse(denormal, hn::Mul(x, hn::Set(d, 8388608.0f)), x);
  const auto bits = hn::BitCast(di, normal);
  const auto offset = hn::Sub(bits, hn::Set(di, 0x3f3504f3));  // bits of sqrt 1/2
  const auto exponent = hn::ShiftRight<23>(offset);
  const V m = hn::BitCast(d, hn::Sub(bits, hn::ShiftLeft<23>(exponent)));
  const V n = hn::Sub(hn::ConvertTo(d, exponent),
                      hn::IfThenElseZero(denormal, hn::Set(d, 23.0f)));
  const V f = hn::Sub(m, hn::Set(d, 1.0f));
  const V f2 = hn::Mul(f, f);
  V low = hn::Mul(hn::Mul(f, f2), Polynomial(d, f, kP));
  low = hn::MulAdd(n, hn::Set(d, -2.12194440e-4f), low);
  low = hn::NegMulAdd(hn::Set(d, 0.5f), f2, low);
  V y = hn::MulAdd(n, hn::Set(d, 0.693359375f), hn::Add(f, low));
  const V infinity = hn::Set(d, HUGE_VALF);
  y = hn::IfThenElse(hn::Eq(x, infinity), x, y);
  y = hn::IfThenElse(hn::Eq(x, hn::Zero(d)), hn::Neg(infinity), y);
  y = hn::IfThenElse(hn::Lt(x, hn::Zero(d)), hn::NaN(d), y);
  return hn::IfThenElse(hn::IsNaN(x), x, y);
}

// ln(1 + x) for x >= 0, accurate for small x too.
template <class D, class V>
HWY_INLINE V Log1pNonNegative(D d, V x) {
  const V one = hn::Set(d, 1.0f);
  const V u = hn::Add(x, one);
  const V lost = hn::Sub(x, hn::Sub(u, one));
  return hn::Add(Log(d, u), hn::Div(lost, u));
}

// tanh x: |x| < 0.63: x + x z p(z), z = x^2, error 5e-9; else 1 - 2 / (e^2|x| + 1).
template <class D, class V>
HWY_INLINE V Tanh(D d, V x) {
  static constexpr float kP[] = {-3.333327831e-01f, 1.333132892e-01f, -5.372922704e-02f,
                                 2.060199915e-02f, -5.660780462e-03f};
  const V a = hn::Abs(x);
  const V z = hn::Mul(x, x);
  const V small = hn::MulAdd(hn::Mul(x, z), Polynomial(d, z, kP), x);
  const V one = hn::Set(d, 1.0f);
  const V large = hn::Sub(one, hn::Div(hn::Set(d, 2.0f), hn::Add(Exp(d, hn::Add(a, a)), one)));
  return hn::IfThenElse(hn::Lt(a, hn::Set(d, 0.63f)), small, hn::CopySign(large, x));
}

template <class D, class V>
HWY_INLINE V Sigmoid(D d, V x) {
  const V one = hn::Set(d, 1.0f);
  return hn::Div(one, hn::Add(one, Exp(d, hn::Neg(x))));
}

// erf x: |x| < 1: x p(x^2), error 1e-9; else 1 - e^q(|x|), q fitted to ln erfc on [1, 4.2], error 1e-9.
template <class D, class V>
HWY_INLINE V Erf(D d, V x) {
  static constexpr float kP[] = {1.128379166e+00f, -3.761262714e-01f, 1.128360017e-01f,
                                 -2.685444430e-02f, 5.189534775e-03f, -8.020836249e-04f,
                                 7.889102719e-05f};
  static constexpr float kQ[] = {-1.314146224e-04f, -1.128041962e+00f, -6.363284652e-01f,
                                 -1.049922159e-01f, 2.298798378e-02f, -3.359331580e-03f,
                                 2.664067747e-04f, -6.510640096e-06f};
  const V a = hn::Abs(x);
  const V small = hn::Mul(x, Polynomial(d, hn::Mul(x, x), kP));
  // 1 - erf(4.2) is below half a unit in the last place of 1.
  const V limited = hn::IfThenElse(hn::Gt(a, hn::Set(d, 4.2f)), hn::Set(d, 4.2f), a);
  const V large = hn::Sub(hn::Set(d, 1.0f), Exp(d, Polynomial(d, limited, kQ)));
  return hn::IfThenElse(hn::Lt(a, hn::Set(d, 1.0f)), small, hn::CopySign(large, x));
}

}  // namespace HWY_NAMESPACE
}  // namespace glia::device::kernels
HWY_AFTER_NAMESPACE();

#endif  // GLIA_DEVICE_SIM_KERNELS_MATH_INL_H_
