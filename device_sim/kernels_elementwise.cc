#include "device_sim/kernels_elementwise.h"

#include <cmath>
#include <limits>
#include <type_traits>
#include <cstring>

#include "serialization/isa/isa.h"

#define HWY_DISABLED_TARGETS (HWY_SSSE3 | HWY_AVX3_DL)

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "device_sim/kernels_elementwise.cc"
#include "hwy/foreach_target.h"  // IWYU pragma: keep
// Must follow foreach_target.h.
#include "device_sim/kernels_math-inl.h"
#include "hwy/highway.h"

HWY_BEFORE_NAMESPACE();
namespace glia::device::kernels {
namespace HWY_NAMESPACE {

namespace hn = hwy::HWY_NAMESPACE;
using DF = hn::ScalableTag<float>;
using VF = hn::Vec<DF>;

// ---- Conversions. Plain loops: the compiler vectorises them for each target. ----

HWY_INLINE uint32_t Bits(float x) {
  uint32_t bits;
  std::memcpy(&bits, &x, 4);
  return bits;
}
HWY_INLINE float FromBits(uint32_t bits) {
  float x;
  std::memcpy(&x, &bits, 4);
  return x;
}

// Storage types without arithmetic of their own.
struct Pred { uint8_t value; };
struct Bf16 { uint16_t value; };
struct F16 { uint16_t value; };

template <class T>
HWY_INLINE float ToF32(T x) { return static_cast<float>(x); }
HWY_INLINE float ToF32(Pred x) { return x.value != 0 ? 1.0f : 0.0f; }
HWY_INLINE float ToF32(Bf16 x) { return FromBits(static_cast<uint32_t>(x.value) << 16); }
HWY_INLINE float ToF32(F16 x) {
  const uint32_t magnitude = static_cast<uint32_t>(x.value & 0x7fff) << 13;
  const uint32_t sign = static_cast<uint32_t>(x.value & 0x8000) << 16;
  const uint32_t finite = Bits(FromBits(magnitude) * 0x1p112f);  // exact, denormals included
  return FromBits(sign | (magnitude >= 0x0f800000 ? magnitude | 0x7f800000 : finite));
}

// Saturating truncation, NaN to 0, of types that float holds exactly or not.
template <class T>
struct FromF32 {
  static HWY_INLINE T Convert(float x) {
    if constexpr (sizeof(T) <= 2) {
      constexpr float kLow = static_cast<float>(std::numeric_limits<T>::min());
      constexpr float kHigh = static_cast<float>(std::numeric_limits<T>::max());
      x = x == x ? x : 0.0f;
      x = x < kLow ? kLow : x;
      x = x > kHigh ? kHigh : x;
      return static_cast<T>(static_cast<int32_t>(x));
    } else {
      constexpr float kLow = static_cast<float>(std::numeric_limits<T>::min());
      // 2^(bits): the first value that does not fit.
      constexpr float kEnd = static_cast<float>(std::numeric_limits<T>::max() / 2 + 1) * 2.0f;
      const bool fits = x > kLow - 1.0f && x < kEnd;  // false for NaN
      const T inside = static_cast<T>(fits ? x : 0.0f);
      if (fits) return inside;
      return x >= kEnd ? std::numeric_limits<T>::max() : x <= kLow ? std::numeric_limits<T>::min() : T{0};
    }
  }
};
template <>
struct FromF32<float> {
  static HWY_INLINE float Convert(float x) { return x; }
};
template <>
struct FromF32<Pred> {
  static HWY_INLINE Pred Convert(float x) { return {static_cast<uint8_t>(x != 0.0f ? 1 : 0)}; }
};
template <>
struct FromF32<Bf16> {
  static HWY_INLINE Bf16 Convert(float x) {
    const uint32_t bits = Bits(x);
    const uint32_t rounded = (bits + 0x7fff + ((bits >> 16) & 1)) >> 16;
    const bool nan = (bits & 0x7fffffff) > 0x7f800000;
    return {static_cast<uint16_t>(nan ? (bits >> 16) | 0x40 : rounded)};
  }
};
template <>
struct FromF32<F16> {
  static HWY_INLINE F16 Convert(float x) {
    const uint32_t bits = Bits(x);
    const uint32_t a = bits & 0x7fffffff;
    const uint32_t sign = (bits >> 16) & 0x8000;
    // Below 2^-14 the adder rounds to the denormal grid; above, round to even by carry.
    const uint32_t denormal = Bits(FromBits(a) + 0.5f) - 0x3f000000;
    const uint32_t normal = (a + 0xc8000fff + ((a >> 13) & 1)) >> 13;
    uint32_t h = a < 0x38800000 ? denormal : normal;
    h = a >= 0x477ff000 ? 0x7c00 : h;
    h = a > 0x7f800000 ? 0x7e00 | ((a >> 13) & 0x3ff) : h;
    return {static_cast<uint16_t>(h | sign)};
  }
};

template <class T>
HWY_INLINE int64_t ToI64(T x) { return static_cast<int64_t>(x); }
HWY_INLINE int64_t ToI64(Pred x) { return x.value != 0 ? 1 : 0; }

// To 16-bit floats by way of fp32, as the reference. `Wide` says how the 64 bits are signed.
template <class T>
struct FromI64 {
  template <class Wide>
  static HWY_INLINE T Convert(Wide x) {
    if constexpr (std::is_same_v<T, Bf16> || std::is_same_v<T, F16>) {
      return FromF32<T>::Convert(static_cast<float>(x));
    } else {
      return static_cast<T>(x);
    }
  }
};
template <>
struct FromI64<Pred> {
  template <class Wide>
  static HWY_INLINE Pred Convert(Wide x) { return {static_cast<uint8_t>(x != 0 ? 1 : 0)}; }
};
template <class T>
HWY_INLINE T Read(const uint8_t* p) {
  T x;
  std::memcpy(&x, p, sizeof(T));
  return x;
}

template <class T>
void LoadF32(const uint8_t* src, ptrdiff_t stride, float* HWY_RESTRICT dst, size_t n) {
  if (stride == static_cast<ptrdiff_t>(sizeof(T))) {
    if constexpr (std::is_same_v<T, float>) {
      std::memcpy(dst, src, n * 4);
    } else {
      for (size_t i = 0; i < n; ++i) dst[i] = ToF32(Read<T>(src + i * sizeof(T)));
    }
    return;
  }
  for (size_t i = 0; i < n; ++i) dst[i] = ToF32(Read<T>(src + static_cast<ptrdiff_t>(i) * stride));
}

template <class T>
void StoreF32(const float* HWY_RESTRICT src, uint8_t* HWY_RESTRICT dst, ptrdiff_t stride, size_t n) {
  if (stride == static_cast<ptrdiff_t>(sizeof(T))) {
    for (size_t i = 0; i < n; ++i) {
      const T x = FromF32<T>::Convert(src[i]);
      std::memcpy(dst + i * sizeof(T), &x, sizeof(T));
    }
    return;
  }
  for (size_t i = 0; i < n; ++i) {
    const T x = FromF32<T>::Convert(src[i]);
    std::memcpy(dst + static_cast<ptrdiff_t>(i) * stride, &x, sizeof(T));
  }
}

template <class T>
void LoadI64(const uint8_t* src, ptrdiff_t stride, int64_t* HWY_RESTRICT dst, size_t n) {
  if (stride == static_cast<ptrdiff_t>(sizeof(T))) {
    for (size_t i = 0; i < n; ++i) dst[i] = ToI64(Read<T>(src + i * sizeof(T)));
    return;
  }
  for (size_t i = 0; i < n; ++i) dst[i] = ToI64(Read<T>(src + static_cast<ptrdiff_t>(i) * stride));
}

template <class T, class Wide>
HWY_INLINE void StoreWide(const int64_t* HWY_RESTRICT src, uint8_t* HWY_RESTRICT dst, ptrdiff_t stride,
                          size_t n) {
  for (size_t i = 0; i < n; ++i) {
    const T x = FromI64<T>::Convert(static_cast<Wide>(src[i]));
    std::memcpy(dst + static_cast<ptrdiff_t>(i) * stride, &x, sizeof(T));
  }
}
template <class T>
void StoreI64(const int64_t* src, uint8_t* dst, ptrdiff_t stride, size_t n) {
  StoreWide<T, int64_t>(src, dst, stride, n);
}
template <class T>
void StoreU64(const int64_t* src, uint8_t* dst, ptrdiff_t stride, size_t n) {
  StoreWide<T, uint64_t>(src, dst, stride, n);
}

// ---- Two-operand float operations ----

template <class V>
HWY_INLINE V One(V) { return hn::Set(hn::DFromV<V>(), 1.0f); }
template <class V, class M>
HWY_INLINE V Truth(V like, M m) { return hn::IfThenElseZero(m, One(like)); }
template <class V>
HWY_INLINE auto IsTrue(V x) { return hn::Not(hn::Eq(x, hn::Zero(hn::DFromV<V>()))); }  // NaN too: hn::Ne is ordered

struct OpAdd { template <class V> static HWY_INLINE V Do(V a, V b) { return hn::Add(a, b); } };
struct OpSubtract { template <class V> static HWY_INLINE V Do(V a, V b) { return hn::Sub(a, b); } };
struct OpMultiply { template <class V> static HWY_INLINE V Do(V a, V b) { return hn::Mul(a, b); } };
struct OpDivide { template <class V> static HWY_INLINE V Do(V a, V b) { return hn::Div(a, b); } };
struct OpMax {  // NaN in either gives NaN; +0 above -0
  template <class V> static HWY_INLINE V Do(V a, V b) {
    const V larger = hn::IfThenElse(hn::Gt(a, b), a, hn::IfThenElse(hn::Eq(a, b), hn::And(a, b), b));
    return hn::IfThenElse(hn::IsNaN(a), a, larger);
  }
};
struct OpMin {
  template <class V> static HWY_INLINE V Do(V a, V b) {
    const V smaller = hn::IfThenElse(hn::Lt(a, b), a, hn::IfThenElse(hn::Eq(a, b), hn::Or(a, b), b));
    return hn::IfThenElse(hn::IsNaN(a), a, smaller);
  }
};
struct OpAbsMax {
  template <class V> static HWY_INLINE V Do(V a, V b) { return OpMax::Do(hn::Abs(a), hn::Abs(b)); }
};
struct OpEq { template <class V> static HWY_INLINE V Do(V a, V b) { return Truth(a, hn::Eq(a, b)); } };
struct OpNe { template <class V> static HWY_INLINE V Do(V a, V b) { return Truth(a, hn::Not(hn::Eq(a, b))); } };
struct OpGt { template <class V> static HWY_INLINE V Do(V a, V b) { return Truth(a, hn::Gt(a, b)); } };
struct OpGe { template <class V> static HWY_INLINE V Do(V a, V b) { return Truth(a, hn::Ge(a, b)); } };
struct OpLt { template <class V> static HWY_INLINE V Do(V a, V b) { return Truth(a, hn::Lt(a, b)); } };
struct OpLe { template <class V> static HWY_INLINE V Do(V a, V b) { return Truth(a, hn::Le(a, b)); } };
struct OpLogicalAnd {
  template <class V> static HWY_INLINE V Do(V a, V b) { return Truth(a, hn::And(IsTrue(a), IsTrue(b))); }
};
struct OpLogicalOr {
  template <class V> static HWY_INLINE V Do(V a, V b) { return Truth(a, hn::Or(IsTrue(a), IsTrue(b))); }
};
struct OpLogicalXor {
  template <class V> static HWY_INLINE V Do(V a, V b) { return Truth(a, hn::Xor(IsTrue(a), IsTrue(b))); }
};

// Runs f(d, first, partial mask or none) over [0, n).
template <class Full, class Partial>
HWY_INLINE void ForVectors(size_t n, Full full, Partial partial) {
  const DF d;
  const size_t lanes = hn::Lanes(d);
  size_t i = 0;
  for (; i + lanes <= n; i += lanes) full(i);
  if (i < n) partial(i, hn::FirstN(d, n - i));
}

template <class Op>
void BinaryF32(const float* a, bool a_scalar, const float* b, bool b_scalar, float* out, size_t n) {
  const DF d;
  if (a_scalar) {
    const VF va = hn::Set(d, *a);
    ForVectors(
        n, [&](size_t i) { hn::StoreU(Op::Do(va, hn::LoadU(d, b + i)), d, out + i); },
        [&](size_t i, auto m) { hn::BlendedStore(Op::Do(va, hn::MaskedLoad(m, d, b + i)), m, d, out + i); });
  } else if (b_scalar) {
    const VF vb = hn::Set(d, *b);
    ForVectors(
        n, [&](size_t i) { hn::StoreU(Op::Do(hn::LoadU(d, a + i), vb), d, out + i); },
        [&](size_t i, auto m) { hn::BlendedStore(Op::Do(hn::MaskedLoad(m, d, a + i), vb), m, d, out + i); });
  } else {
    ForVectors(
        n, [&](size_t i) { hn::StoreU(Op::Do(hn::LoadU(d, a + i), hn::LoadU(d, b + i)), d, out + i); },
        [&](size_t i, auto m) {
          hn::BlendedStore(Op::Do(hn::MaskedLoad(m, d, a + i), hn::MaskedLoad(m, d, b + i)), m, d, out + i);
        });
  }
}

template <class Op0, class Op1>
void TernaryF32(const float* a, float s, const float* b, bool b_scalar, float* out, size_t n) {
  const DF d;
  const VF vs = hn::Set(d, s);
  if (b_scalar) {
    const VF vb = hn::Set(d, *b);
    ForVectors(
        n,
        [&](size_t i) { hn::StoreU(Op1::Do(Op0::Do(hn::LoadU(d, a + i), vs), vb), d, out + i); },
        [&](size_t i, auto m) {
          hn::BlendedStore(Op1::Do(Op0::Do(hn::MaskedLoad(m, d, a + i), vs), vb), m, d, out + i);
        });
  } else {
    ForVectors(
        n,
        [&](size_t i) {
          hn::StoreU(Op1::Do(Op0::Do(hn::LoadU(d, a + i), vs), hn::LoadU(d, b + i)), d, out + i);
        },
        [&](size_t i, auto m) {
          hn::BlendedStore(
              Op1::Do(Op0::Do(hn::MaskedLoad(m, d, a + i), vs), hn::MaskedLoad(m, d, b + i)), m, d,
              out + i);
        });
  }
}

// Folds four independent vectors, then their lanes, then the rest.
template <class Op>
float ReduceF32(const float* in, size_t n) {
  const DF d;
  const size_t lanes = hn::Lanes(d);
  HWY_ALIGN float partial[HWY_MAX_BYTES / sizeof(float)];
  float result;
  size_t i;
  if (n >= lanes) {
    VF sum = hn::LoadU(d, in);
    i = lanes;
    if (n >= 4 * lanes) {
      VF s1 = hn::LoadU(d, in + lanes), s2 = hn::LoadU(d, in + 2 * lanes), s3 = hn::LoadU(d, in + 3 * lanes);
      for (i = 4 * lanes; i + 4 * lanes <= n; i += 4 * lanes) {
        sum = Op::Do(sum, hn::LoadU(d, in + i));
        s1 = Op::Do(s1, hn::LoadU(d, in + i + lanes));
        s2 = Op::Do(s2, hn::LoadU(d, in + i + 2 * lanes));
        s3 = Op::Do(s3, hn::LoadU(d, in + i + 3 * lanes));
      }
      sum = Op::Do(Op::Do(sum, s1), Op::Do(s2, s3));
    }
    for (; i + lanes <= n; i += lanes) sum = Op::Do(sum, hn::LoadU(d, in + i));
    hn::Store(sum, d, partial);
    const hn::CappedTag<float, 1> d1;
    auto s = hn::LoadU(d1, partial);
    for (size_t j = 1; j < lanes; ++j) s = Op::Do(s, hn::LoadU(d1, partial + j));
    result = hn::GetLane(s);
  } else {
    result = in[0];
    i = 1;
  }
  const hn::CappedTag<float, 1> d1;
  auto s = hn::Set(d1, result);
  for (; i < n; ++i) s = Op::Do(s, hn::LoadU(d1, in + i));
  return hn::GetLane(s);
}

void SelectF32(const float* mask, const float* a, const float* b, float* out, size_t n) {
  const DF d;
  ForVectors(
      n,
      [&](size_t i) {
        hn::StoreU(hn::IfThenElse(IsTrue(hn::LoadU(d, mask + i)), hn::LoadU(d, a + i), hn::LoadU(d, b + i)),
                   d, out + i);
      },
      [&](size_t i, auto m) {
        hn::BlendedStore(hn::IfThenElse(IsTrue(hn::MaskedLoad(m, d, mask + i)), hn::MaskedLoad(m, d, a + i),
                                        hn::MaskedLoad(m, d, b + i)),
                         m, d, out + i);
      });
}

// ---- Unary float functions ----

struct FnCopy { template <class D, class V> static HWY_INLINE V Do(D, V x, V) { return x; } };
struct FnRelu {
  template <class D, class V> static HWY_INLINE V Do(D d, V x, V) {
    return hn::IfThenElse(hn::Le(x, hn::Zero(d)), hn::Zero(d), x);
  }
};
struct FnLeakyRelu {
  template <class D, class V> static HWY_INLINE V Do(D d, V x, V slope) {
    return hn::IfThenElse(hn::Gt(x, hn::Zero(d)), x, hn::Mul(x, slope));
  }
};
struct FnSigmoid { template <class D, class V> static HWY_INLINE V Do(D d, V x, V) { return Sigmoid(d, x); } };
struct FnTanh { template <class D, class V> static HWY_INLINE V Do(D d, V x, V) { return Tanh(d, x); } };
struct FnExp { template <class D, class V> static HWY_INLINE V Do(D d, V x, V) { return Exp(d, x); } };
struct FnLog { template <class D, class V> static HWY_INLINE V Do(D d, V x, V) { return Log(d, x); } };
struct FnSqrt { template <class D, class V> static HWY_INLINE V Do(D, V x, V) { return hn::Sqrt(x); } };
struct FnRsqrt {
  template <class D, class V> static HWY_INLINE V Do(D d, V x, V) {
    return hn::Div(hn::Set(d, 1.0f), hn::Sqrt(x));
  }
};
struct FnSquare { template <class D, class V> static HWY_INLINE V Do(D, V x, V) { return hn::Mul(x, x); } };
struct FnAbs { template <class D, class V> static HWY_INLINE V Do(D, V x, V) { return hn::Abs(x); } };
struct FnSign {
  template <class D, class V> static HWY_INLINE V Do(D d, V x, V) {
    const V unit = hn::CopySign(hn::Set(d, 1.0f), x);
    return hn::IfThenElse(hn::Gt(hn::Abs(x), hn::Zero(d)), unit, x);
  }
};
struct FnErf { template <class D, class V> static HWY_INLINE V Do(D d, V x, V) { return Erf(d, x); } };
// x but for -inf: functions that tend to -0 there get it from the lowest finite value, not NaN.
template <class D, class V>
HWY_INLINE V Finite(D d, V x) {
  const V lowest = hn::Set(d, std::numeric_limits<float>::lowest());
  return hn::IfThenElse(hn::Lt(x, lowest), lowest, x);
}
struct FnGelu {
  template <class D, class V> static HWY_INLINE V Do(D d, V x, V) {
    x = Finite(d, x);
    const V one = hn::Set(d, 1.0f);
    return hn::Mul(hn::Mul(hn::Set(d, 0.5f), x), hn::Add(one, Erf(d, hn::Mul(x, hn::Set(d, 0.707106781f)))));
  }
};
struct FnGeluTanh {  // x/2 (1 + tanh(sqrt(2/pi) (x + 0.044715 x^3)))
  template <class D, class V> static HWY_INLINE V Do(D d, V x, V) {
    x = Finite(d, x);
    const V one = hn::Set(d, 1.0f);
    const V cubic = hn::Mul(hn::Mul(hn::Mul(hn::Set(d, 0.044715f), x), x), x);
    const V inner = hn::Mul(hn::Set(d, 0.797884561f), hn::Add(x, cubic));
    return hn::Mul(hn::Mul(hn::Set(d, 0.5f), x), hn::Add(one, Tanh(d, inner)));
  }
};
struct FnSilu {
  template <class D, class V> static HWY_INLINE V Do(D d, V x, V) {
    x = Finite(d, x);
    return hn::Div(x, hn::Add(hn::Set(d, 1.0f), Exp(d, hn::Neg(x))));
  }
};
template <class D, class V>
HWY_INLINE V Softplus(D d, V x) {
  const V positive = hn::IfThenElse(hn::Lt(x, hn::Zero(d)), hn::Zero(d), x);
  return hn::Add(positive, Log1pNonNegative(d, Exp(d, hn::Neg(hn::Abs(x)))));
}
struct FnSoftplus { template <class D, class V> static HWY_INLINE V Do(D d, V x, V) { return Softplus(d, x); } };
struct FnMish {
  template <class D, class V> static HWY_INLINE V Do(D d, V x, V) {
    x = Finite(d, x);
    return hn::Mul(x, Tanh(d, Softplus(d, x)));
  }
};
struct FnReciprocal {
  template <class D, class V> static HWY_INLINE V Do(D d, V x, V) { return hn::Div(hn::Set(d, 1.0f), x); }
};
struct FnFloor { template <class D, class V> static HWY_INLINE V Do(D, V x, V) { return hn::Floor(x); } };
struct FnCeil { template <class D, class V> static HWY_INLINE V Do(D, V x, V) { return hn::Ceil(x); } };
struct FnRoundEven { template <class D, class V> static HWY_INLINE V Do(D, V x, V) { return hn::Round(x); } };
struct FnTrunc { template <class D, class V> static HWY_INLINE V Do(D, V x, V) { return hn::Trunc(x); } };
struct FnNegate { template <class D, class V> static HWY_INLINE V Do(D, V x, V) { return hn::Neg(x); } };

template <class Fn>
void UnaryF32(const float* in, float scale, float bias, float parameter, float* out, size_t n) {
  const DF d;
  const VF s = hn::Set(d, scale), b = hn::Set(d, bias), p = hn::Set(d, parameter);
  // Not fused: the product is rounded, as by the reference.
  ForVectors(
      n, [&](size_t i) { hn::StoreU(Fn::Do(d, hn::Add(hn::Mul(hn::LoadU(d, in + i), s), b), p), d, out + i); },
      [&](size_t i, auto m) {
        hn::BlendedStore(Fn::Do(d, hn::Add(hn::Mul(hn::MaskedLoad(m, d, in + i), s), b), p), m, d, out + i);
      });
}

// ---- 64-bit integers ----

template <class F>
HWY_INLINE void LoopI64(const int64_t* a, bool a_scalar, const int64_t* b, bool b_scalar, int64_t* out,
                        size_t n, F f) {
  if (a_scalar) {
    const int64_t x = *a;
    for (size_t i = 0; i < n; ++i) out[i] = f(x, b[i]);
  } else if (b_scalar) {
    const int64_t y = *b;
    for (size_t i = 0; i < n; ++i) out[i] = f(a[i], y);
  } else {
    for (size_t i = 0; i < n; ++i) out[i] = f(a[i], b[i]);
  }
}

HWY_INLINE int64_t Wrap(uint64_t x) { return static_cast<int64_t>(x); }
HWY_INLINE uint64_t U(int64_t x) { return static_cast<uint64_t>(x); }

#define GLIA_I64(NAME, EXPRESSION)                                                                      \
  void NAME(const int64_t* a, bool as, const int64_t* b, bool bs, int64_t* out, size_t n) {             \
    LoopI64(a, as, b, bs, out, n, [](int64_t x, int64_t y) -> int64_t { return EXPRESSION; });          \
  }
GLIA_I64(AddI64, Wrap(U(x) + U(y)))
GLIA_I64(SubtractI64, Wrap(U(x) - U(y)))
GLIA_I64(MultiplyI64, Wrap(U(x) * U(y)))
GLIA_I64(MaxI64, x > y ? x : y)
GLIA_I64(MinI64, x < y ? x : y)
GLIA_I64(AndI64, x & y)
GLIA_I64(OrI64, x | y)
GLIA_I64(XorI64, x ^ y)
GLIA_I64(LogicalAndI64, (x != 0) & (y != 0))
GLIA_I64(LogicalOrI64, (x | y) != 0)
GLIA_I64(LogicalXorI64, (x != 0) ^ (y != 0))
GLIA_I64(EqI64, x == y)
GLIA_I64(NeI64, x != y)
GLIA_I64(GtI64, x > y)
GLIA_I64(GeI64, x >= y)
GLIA_I64(LtI64, x < y)
GLIA_I64(LeI64, x <= y)
#undef GLIA_I64

// ---- The table ----

template <class T>
void SetConversions(ElementwiseKernels& k, isa::DType dtype) {
  const int i = static_cast<int>(dtype);
  k.load_f32[i] = &LoadF32<T>;
  k.store_f32[i] = &StoreF32<T>;
  k.store_i64[i] = &StoreI64<T>;
  k.store_u64[i] = &StoreU64<T>;
  if constexpr (!std::is_same_v<T, float> && !std::is_same_v<T, Bf16> && !std::is_same_v<T, F16>) {
    k.load_i64[i] = &LoadI64<T>;
  }
}

ElementwiseKernels ElementwiseForTarget() {
  ElementwiseKernels k;
  using isa::DType;
  SetConversions<Pred>(k, DType::kPred);
  SetConversions<uint8_t>(k, DType::kU8);
  SetConversions<int8_t>(k, DType::kI8);
  SetConversions<uint16_t>(k, DType::kU16);
  SetConversions<int16_t>(k, DType::kI16);
  SetConversions<uint32_t>(k, DType::kU32);
  SetConversions<int32_t>(k, DType::kI32);
  SetConversions<uint64_t>(k, DType::kU64);
  SetConversions<int64_t>(k, DType::kI64);
  SetConversions<float>(k, DType::kF32);
  SetConversions<Bf16>(k, DType::kBf16);
  SetConversions<F16>(k, DType::kF16);

  using isa::AluOp;
  const auto f32 = [&](AluOp op, BinaryF32Fn f) { k.binary_f32[static_cast<int>(op)] = f; };
  f32(AluOp::kAdd, &BinaryF32<OpAdd>);
  f32(AluOp::kSubtract, &BinaryF32<OpSubtract>);
  f32(AluOp::kMultiply, &BinaryF32<OpMultiply>);
  f32(AluOp::kDivide, &BinaryF32<OpDivide>);
  f32(AluOp::kMax, &BinaryF32<OpMax>);
  f32(AluOp::kMin, &BinaryF32<OpMin>);
  f32(AluOp::kAbsMax, &BinaryF32<OpAbsMax>);
  f32(AluOp::kEq, &BinaryF32<OpEq>);
  f32(AluOp::kNe, &BinaryF32<OpNe>);
  f32(AluOp::kGt, &BinaryF32<OpGt>);
  f32(AluOp::kGe, &BinaryF32<OpGe>);
  f32(AluOp::kLt, &BinaryF32<OpLt>);
  f32(AluOp::kLe, &BinaryF32<OpLe>);
  f32(AluOp::kLogicalAnd, &BinaryF32<OpLogicalAnd>);
  f32(AluOp::kLogicalOr, &BinaryF32<OpLogicalOr>);
  f32(AluOp::kLogicalXor, &BinaryF32<OpLogicalXor>);

  const auto ternary = [&](AluOp op0, AluOp op1, TernaryF32Fn f) {
    k.ternary_f32[static_cast<int>(op0)][static_cast<int>(op1)] = f;
  };
  ternary(AluOp::kAdd, AluOp::kAdd, &TernaryF32<OpAdd, OpAdd>);
  ternary(AluOp::kAdd, AluOp::kMultiply, &TernaryF32<OpAdd, OpMultiply>);
  ternary(AluOp::kAdd, AluOp::kMax, &TernaryF32<OpAdd, OpMax>);
  ternary(AluOp::kAdd, AluOp::kMin, &TernaryF32<OpAdd, OpMin>);
  ternary(AluOp::kMultiply, AluOp::kAdd, &TernaryF32<OpMultiply, OpAdd>);
  ternary(AluOp::kMultiply, AluOp::kMultiply, &TernaryF32<OpMultiply, OpMultiply>);
  ternary(AluOp::kMultiply, AluOp::kSubtract, &TernaryF32<OpMultiply, OpSubtract>);
  ternary(AluOp::kMultiply, AluOp::kMax, &TernaryF32<OpMultiply, OpMax>);
  ternary(AluOp::kSubtract, AluOp::kMultiply, &TernaryF32<OpSubtract, OpMultiply>);
  ternary(AluOp::kMax, AluOp::kMin, &TernaryF32<OpMax, OpMin>);

  const auto i64 = [&](AluOp op, BinaryI64Fn f) { k.binary_i64[static_cast<int>(op)] = f; };
  i64(AluOp::kAdd, &AddI64);
  i64(AluOp::kSubtract, &SubtractI64);
  i64(AluOp::kMultiply, &MultiplyI64);
  i64(AluOp::kMax, &MaxI64);
  i64(AluOp::kMin, &MinI64);
  i64(AluOp::kAnd, &AndI64);
  i64(AluOp::kOr, &OrI64);
  i64(AluOp::kXor, &XorI64);
  i64(AluOp::kLogicalAnd, &LogicalAndI64);
  i64(AluOp::kLogicalOr, &LogicalOrI64);
  i64(AluOp::kLogicalXor, &LogicalXorI64);
  i64(AluOp::kEq, &EqI64);
  i64(AluOp::kNe, &NeI64);
  i64(AluOp::kGt, &GtI64);
  i64(AluOp::kGe, &GeI64);
  i64(AluOp::kLt, &LtI64);
  i64(AluOp::kLe, &LeI64);

  using isa::ActFn;
  const auto unary = [&](ActFn fn, UnaryF32Fn f) { k.unary_f32[static_cast<int>(fn)] = f; };
  unary(ActFn::kCopy, &UnaryF32<FnCopy>);
  unary(ActFn::kRelu, &UnaryF32<FnRelu>);
  unary(ActFn::kLeakyRelu, &UnaryF32<FnLeakyRelu>);
  unary(ActFn::kSigmoid, &UnaryF32<FnSigmoid>);
  unary(ActFn::kTanh, &UnaryF32<FnTanh>);
  unary(ActFn::kExp, &UnaryF32<FnExp>);
  unary(ActFn::kLog, &UnaryF32<FnLog>);
  unary(ActFn::kSqrt, &UnaryF32<FnSqrt>);
  unary(ActFn::kRsqrt, &UnaryF32<FnRsqrt>);
  unary(ActFn::kSquare, &UnaryF32<FnSquare>);
  unary(ActFn::kAbs, &UnaryF32<FnAbs>);
  unary(ActFn::kSign, &UnaryF32<FnSign>);
  unary(ActFn::kErf, &UnaryF32<FnErf>);
  unary(ActFn::kGelu, &UnaryF32<FnGelu>);
  unary(ActFn::kGeluTanh, &UnaryF32<FnGeluTanh>);
  unary(ActFn::kSilu, &UnaryF32<FnSilu>);
  unary(ActFn::kSoftplus, &UnaryF32<FnSoftplus>);
  unary(ActFn::kMish, &UnaryF32<FnMish>);
  unary(ActFn::kReciprocal, &UnaryF32<FnReciprocal>);
  unary(ActFn::kFloor, &UnaryF32<FnFloor>);
  unary(ActFn::kCeil, &UnaryF32<FnCeil>);
  unary(ActFn::kRoundEven, &UnaryF32<FnRoundEven>);
  unary(ActFn::kTrunc, &UnaryF32<FnTrunc>);
  unary(ActFn::kNegate, &UnaryF32<FnNegate>);

  const auto reduce = [&](AluOp op, ReduceF32Fn f) { k.reduce_f32[static_cast<int>(op)] = f; };
  reduce(AluOp::kAdd, &ReduceF32<OpAdd>);
  reduce(AluOp::kMultiply, &ReduceF32<OpMultiply>);
  reduce(AluOp::kMax, &ReduceF32<OpMax>);
  reduce(AluOp::kMin, &ReduceF32<OpMin>);
  k.select_f32 = &SelectF32;
  return k;
}

}  // namespace HWY_NAMESPACE
}  // namespace glia::device::kernels
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace glia::device::kernels {

HWY_EXPORT(ElementwiseForTarget);

const ElementwiseKernels& GetElementwise() {
  static const ElementwiseKernels table = HWY_DYNAMIC_DISPATCH(ElementwiseForTarget)();
  return table;
}

}  // namespace glia::device::kernels
#endif  // HWY_ONCE
