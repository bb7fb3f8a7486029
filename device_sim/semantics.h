// Scalar reference semantics of the ISA's arithmetic, as isa.h states it: the fp32 domain of ACT and DVE,
// the 64-bit integer domain of POOL, and conversions. Functions go through double-precision libm and
// round once, so that they match a good fp32 library within an ulp. Thread-safe, no state.
#ifndef GLIA_DEVICE_SIM_SEMANTICS_H_
#define GLIA_DEVICE_SIM_SEMANTICS_H_

#include <algorithm>
#include <array>
#include <cmath>
#include <cstdint>
#include <cstring>
#include <limits>

#include "serialization/isa/isa.h"

namespace glia::device {

// ---- Types ----

constexpr bool IsFloatType(isa::DType t) {
  return t == isa::DType::kF32 || t == isa::DType::kBf16 || t == isa::DType::kF16;
}
constexpr bool IsSignedType(isa::DType t) {
  return t == isa::DType::kI8 || t == isa::DType::kI16 || t == isa::DType::kI32 ||
         t == isa::DType::kI64 || IsFloatType(t);
}
constexpr int TypeBytes(isa::DType t) {
  constexpr int kBytes[16] = {1, 1, 1, 2, 2, 4, 4, 8, 8, 4, 2, 2};
  return kBytes[static_cast<int>(t) & 15];
}

template <typename T>
T LoadAs(const void* p) {
  T v;
  std::memcpy(&v, p, sizeof v);
  return v;
}
template <typename T>
void StoreAs(void* p, T v) {
  std::memcpy(p, &v, sizeof v);
}

// ---- 16-bit floats, round to nearest even, NaN stays NaN ----

inline float Bf16ToFloat(uint16_t v) {
  const uint32_t bits = uint32_t{v} << 16;
  return LoadAs<float>(&bits);
}
inline uint16_t FloatToBf16(float v) {
  const uint32_t bits = LoadAs<uint32_t>(&v);
  if (std::isnan(v)) return static_cast<uint16_t>((bits >> 16) | 0x40);
  return static_cast<uint16_t>((bits + 0x7fff + ((bits >> 16) & 1)) >> 16);
}
inline float F16ToFloat(uint16_t v) {
  const float sign = (v & 0x8000) ? -1.0f : 1.0f;
  const int exponent = (v >> 10) & 31;
  const int mantissa = v & 0x3ff;
  if (exponent == 31) {
    const uint32_t bits = (uint32_t{v} & 0x8000) << 16 | 0x7f800000u | static_cast<uint32_t>(mantissa) << 13;
    return LoadAs<float>(&bits);
  }
  if (exponent == 0) return sign * std::ldexp(static_cast<float>(mantissa), -24);
  return sign * std::ldexp(static_cast<float>(mantissa | 0x400), exponent - 25);
}
inline uint16_t FloatToF16(float v) {
  const uint32_t bits = LoadAs<uint32_t>(&v);
  const auto sign = static_cast<uint16_t>((bits >> 16) & 0x8000);
  if (std::isnan(v)) return static_cast<uint16_t>(sign | 0x7e00 | ((bits >> 13) & 0x3ff));
  const float a = std::fabs(v);
  if (a >= 65520.0f) return sign | 0x7c00;  // halfway to 2^16 and above
  if (a == 0) return sign;
  // One unit in the last place is 2^(e - 10), but never below the subnormal step of 2^-24.
  const int exponent = std::max(std::ilogb(a), -14);
  const auto units = static_cast<uint32_t>(std::nearbyint(std::ldexp(a, 10 - exponent)));
  return static_cast<uint16_t>(sign | (static_cast<uint32_t>(exponent + 14) * 1024 + units));
}

// ---- Conversions ----

// Truncates toward zero and saturates to the range of `t`; NaN becomes 0; pred is != 0. The result is
// sign- or zero-extended from t. `t` is an integer type or pred.
inline int64_t FloatToInt(float v, isa::DType t) {
  if (t == isa::DType::kPred) return v != 0;  // NaN too
  if (std::isnan(v)) return 0;
  const int bits = TypeBytes(t) * 8;
  if (IsSignedType(t)) {
    const float limit = std::ldexp(1.0f, bits - 1);
    const int64_t max = std::numeric_limits<int64_t>::max() >> (64 - bits);
    if (v >= limit) return max;
    if (v <= -limit) return -max - 1;
    return static_cast<int64_t>(v);
  }
  if (v <= 0) return 0;
  if (v >= std::ldexp(1.0f, bits)) {
    return static_cast<int64_t>(std::numeric_limits<uint64_t>::max() >> (64 - bits));
  }
  return static_cast<int64_t>(static_cast<uint64_t>(v));
}

// `v` as read from a type of that signedness.
inline float IntToFloat(int64_t v, bool is_signed) {
  return is_signed ? static_cast<float>(v) : static_cast<float>(static_cast<uint64_t>(v));
}

// Keeps the low bits of t and extends them as t says; pred: != 0.
inline int64_t WrapInt(int64_t v, isa::DType t) {
  switch (t) {
    case isa::DType::kPred: return v != 0;
    case isa::DType::kU8: return static_cast<uint8_t>(v);
    case isa::DType::kI8: return static_cast<int8_t>(v);
    case isa::DType::kU16: return static_cast<uint16_t>(v);
    case isa::DType::kI16: return static_cast<int16_t>(v);
    case isa::DType::kU32: return static_cast<uint32_t>(v);
    case isa::DType::kI32: return static_cast<int32_t>(v);
    default: return v;
  }
}

// Loads an integer or pred, extended to 64 bits. A pred byte other than 0 is 1.
inline int64_t LoadInt(isa::DType t, const void* p) {
  switch (t) {
    case isa::DType::kPred: return LoadAs<uint8_t>(p) != 0;
    case isa::DType::kU8: return LoadAs<uint8_t>(p);
    case isa::DType::kI8: return LoadAs<int8_t>(p);
    case isa::DType::kU16: return LoadAs<uint16_t>(p);
    case isa::DType::kI16: return LoadAs<int16_t>(p);
    case isa::DType::kU32: return LoadAs<uint32_t>(p);
    case isa::DType::kI32: return LoadAs<int32_t>(p);
    default: return LoadAs<int64_t>(p);
  }
}

// Any type as fp32, integers rounded to nearest even.
inline float LoadFloat(isa::DType t, const void* p) {
  switch (t) {
    case isa::DType::kF32: return LoadAs<float>(p);
    case isa::DType::kBf16: return Bf16ToFloat(LoadAs<uint16_t>(p));
    case isa::DType::kF16: return F16ToFloat(LoadAs<uint16_t>(p));
    default: return IntToFloat(LoadInt(t, p), IsSignedType(t));
  }
}

// Stores the low bytes; v must be in the range of t or may be wrapped.
inline void StoreRaw(isa::DType t, void* p, int64_t v) {
  std::memcpy(p, &v, static_cast<size_t>(TypeBytes(t)));  // little-endian
}

inline void StoreFloat(isa::DType t, void* p, float v) {
  switch (t) {
    case isa::DType::kF32: StoreAs(p, v); return;
    case isa::DType::kBf16: StoreAs(p, FloatToBf16(v)); return;
    case isa::DType::kF16: StoreAs(p, FloatToF16(v)); return;
    default: StoreRaw(t, p, FloatToInt(v, t)); return;
  }
}

// An integer of the given signedness to any type; to bf16 and f16 by way of fp32.
inline void StoreInt(isa::DType t, void* p, int64_t v, bool is_signed) {
  if (IsFloatType(t)) {
    StoreFloat(t, p, IntToFloat(v, is_signed));
  } else {
    StoreRaw(t, p, WrapInt(v, t));
  }
}

// One element from type `from` to type `to`. Equal types are copied bit by bit. Integers go straight to
// integers on POOL, by way of fp32 elsewhere.
inline void ConvertElement(isa::DType from, const void* src, isa::DType to, void* dst, bool pool) {
  if (from == to) {
    std::memmove(dst, src, static_cast<size_t>(TypeBytes(from)));
  } else if (pool && !IsFloatType(from)) {
    StoreInt(to, dst, LoadInt(from, src), IsSignedType(from));
  } else {
    StoreFloat(to, dst, LoadFloat(from, src));
  }
}

// ---- Two-operand arithmetic ----

// And, or, xor and shifts work on the raw integers of the first input's type on every engine.
constexpr bool IsRawOp(isa::AluOp op) {
  return op >= isa::AluOp::kAnd && op <= isa::AluOp::kShiftRightArithmetic;
}

inline float MaxPropagate(float a, float b) {
  if (std::isnan(a)) return a;
  if (std::isnan(b)) return b;
  return a > b || (a == b && !std::signbit(a)) ? a : b;  // +0 above -0
}
inline float MinPropagate(float a, float b) {
  if (std::isnan(a)) return a;
  if (std::isnan(b)) return b;
  return a < b || (a == b && std::signbit(a)) ? a : b;
}

// The fp32 domain. `op` is not a raw one.
inline float AluFloat(isa::AluOp op, float a, float b) {
  using isa::AluOp;
  switch (op) {
    case AluOp::kAdd: return a + b;
    case AluOp::kSubtract: return a - b;
    case AluOp::kMultiply: return a * b;
    case AluOp::kDivide: return a / b;
    case AluOp::kMax: return MaxPropagate(a, b);
    case AluOp::kMin: return MinPropagate(a, b);
    case AluOp::kPower: return static_cast<float>(std::pow(double{a}, double{b}));
    case AluOp::kRemainder: return std::fmod(a, b);
    case AluOp::kAtan2: return static_cast<float>(std::atan2(double{a}, double{b}));
    case AluOp::kLogicalAnd: return a != 0 && b != 0;
    case AluOp::kLogicalOr: return a != 0 || b != 0;
    case AluOp::kLogicalXor: return (a != 0) != (b != 0);
    case AluOp::kEq: return a == b;
    case AluOp::kNe: return a != b;
    case AluOp::kGt: return a > b;
    case AluOp::kGe: return a >= b;
    case AluOp::kLt: return a < b;
    case AluOp::kLe: return a <= b;
    case AluOp::kAbsMax: return MaxPropagate(std::fabs(a), std::fabs(b));
    case AluOp::kFloorDivide: return std::floor(a / b);
    default: return a;  // kBypass
  }
}

namespace internal {
inline int64_t Power(int64_t base, int64_t exponent, bool is_signed) {
  if (is_signed && exponent < 0) {  // the integer part of 1 / base^-exponent
    return base == 1 ? 1 : base == -1 ? ((exponent & 1) ? -1 : 1) : 0;
  }
  uint64_t result = 1, square = static_cast<uint64_t>(base);
  for (auto e = static_cast<uint64_t>(exponent); e != 0; e >>= 1, square *= square) {
    if (e & 1) result *= square;
  }
  return static_cast<int64_t>(result);
}

inline int64_t DivideInt(int64_t a, int64_t b, bool is_signed) {
  if (b == 0) return -1;
  if (!is_signed) return static_cast<int64_t>(static_cast<uint64_t>(a) / static_cast<uint64_t>(b));
  if (b == -1) return static_cast<int64_t>(0 - static_cast<uint64_t>(a));
  return a / b;
}

inline int64_t RemainderInt(int64_t a, int64_t b, bool is_signed) {
  if (b == 0) return a;
  if (!is_signed) return static_cast<int64_t>(static_cast<uint64_t>(a) % static_cast<uint64_t>(b));
  return b == -1 ? 0 : a % b;
}

// Amounts outside of [0, bits) shift everything out; the arithmetic shift leaves copies of the sign.
inline int64_t Shift(isa::AluOp op, int64_t a, int64_t b, isa::DType type) {
  const int bits = TypeBytes(type) * 8;
  const uint64_t mask = ~uint64_t{0} >> (64 - bits);
  const uint64_t value = static_cast<uint64_t>(a) & mask;
  const bool all = static_cast<uint64_t>(b) >= static_cast<uint64_t>(bits);
  switch (op) {
    case isa::AluOp::kShiftLeft: return all ? 0 : WrapInt(static_cast<int64_t>(value << b), type);
    case isa::AluOp::kShiftRightLogical:
      return all ? 0 : WrapInt(static_cast<int64_t>(value >> b), type);
    default: {
      const auto extended = static_cast<int64_t>(value << (64 - bits)) >> (64 - bits);
      return WrapInt(extended >> (all ? 63 : b), type);
    }
  }
}
}  // namespace internal

// The integer domain: 64 bits, two's complement. `type`, that of the first input, decides the
// signedness of division, remainder and order; raw operations wrap to it.
inline int64_t AluInt(isa::AluOp op, int64_t a, int64_t b, isa::DType type) {
  using isa::AluOp;
  const bool is_signed = IsSignedType(type);
  const auto ua = static_cast<uint64_t>(a), ub = static_cast<uint64_t>(b);
  const bool less = is_signed ? a < b : ua < ub;
  const auto magnitude = [is_signed](int64_t v) {
    return is_signed && v < 0 ? 0 - static_cast<uint64_t>(v) : static_cast<uint64_t>(v);
  };
  switch (op) {
    case AluOp::kAdd: return static_cast<int64_t>(ua + ub);
    case AluOp::kSubtract: return static_cast<int64_t>(ua - ub);
    case AluOp::kMultiply: return static_cast<int64_t>(ua * ub);
    case AluOp::kDivide: return internal::DivideInt(a, b, is_signed);
    case AluOp::kMax: return less ? b : a;
    case AluOp::kMin: return less ? a : b;
    case AluOp::kPower: return internal::Power(a, b, is_signed);
    case AluOp::kRemainder: return internal::RemainderInt(a, b, is_signed);
    case AluOp::kAtan2:
      return static_cast<int64_t>(std::atan2(static_cast<double>(a), static_cast<double>(b)));
    case AluOp::kAnd: return WrapInt(a & b, type);
    case AluOp::kOr: return WrapInt(a | b, type);
    case AluOp::kXor: return WrapInt(a ^ b, type);
    case AluOp::kShiftLeft:
    case AluOp::kShiftRightLogical:
    case AluOp::kShiftRightArithmetic: return internal::Shift(op, a, b, type);
    case AluOp::kLogicalAnd: return a != 0 && b != 0;
    case AluOp::kLogicalOr: return a != 0 || b != 0;
    case AluOp::kLogicalXor: return (a != 0) != (b != 0);
    case AluOp::kEq: return a == b;
    case AluOp::kNe: return a != b;
    case AluOp::kGt: return !less && a != b;
    case AluOp::kGe: return !less;
    case AluOp::kLt: return less;
    case AluOp::kLe: return less || a == b;
    case AluOp::kAbsMax: return static_cast<int64_t>(std::max(magnitude(a), magnitude(b)));
    case AluOp::kFloorDivide: {
      const int64_t q = internal::DivideInt(a, b, is_signed);
      const bool inexact = internal::RemainderInt(a, b, is_signed) != 0 && b != 0;
      return is_signed && inexact && (a < 0) != (b < 0) ? q - 1 : q;
    }
    default: return a;  // kBypass
  }
}

// ---- Unary functions ----

// fn in fp32; `parameter` is imm1. The functions of integers only are not defined here (they give x).
inline float ActFloat(isa::ActFn fn, float x, float parameter) {
  using isa::ActFn;
  const double d = x;
  const auto softplus = [](double v) { return std::max(v, 0.0) + std::log1p(std::exp(-std::fabs(v))); };
  const auto sigmoid = [](double v) { return 1.0 / (1.0 + std::exp(-v)); };
  switch (fn) {
    case ActFn::kCopy: return x;
    case ActFn::kRelu: return x <= 0 ? 0.0f : x;  // NaN stays
    case ActFn::kLeakyRelu: return x > 0 ? x : x * parameter;
    case ActFn::kSigmoid: return static_cast<float>(sigmoid(d));
    case ActFn::kTanh: return static_cast<float>(std::tanh(d));
    case ActFn::kExp: return static_cast<float>(std::exp(d));
    case ActFn::kLog: return static_cast<float>(std::log(d));
    case ActFn::kSqrt: return std::sqrt(x);
    case ActFn::kRsqrt: return static_cast<float>(1.0 / std::sqrt(d));
    case ActFn::kSquare: return x * x;
    case ActFn::kAbs: return std::fabs(x);
    case ActFn::kSign: return x > 0 ? 1.0f : x < 0 ? -1.0f : x;  // keeps zeros and NaN
    case ActFn::kErf: return static_cast<float>(std::erf(d));
    // erfc keeps the small values of the negative side; at -inf the limit is -0.
    case ActFn::kGelu:
      return std::isinf(x) && x < 0 ? -0.0f : static_cast<float>(0.5 * d * std::erfc(-d * M_SQRT1_2));
    case ActFn::kGeluTanh: {
      const double inner = 0.5 * M_SQRT1_2 * M_2_SQRTPI * 2 * (d + 0.044715 * d * d * d);
      return std::isinf(x) && x < 0 ? -0.0f : static_cast<float>(0.5 * d * (1 + std::tanh(inner)));
    }
    case ActFn::kSilu: return std::isinf(x) && x < 0 ? -0.0f : static_cast<float>(d * sigmoid(d));
    case ActFn::kSoftplus: return static_cast<float>(std::isnan(x) ? d : softplus(d));
    case ActFn::kMish:
      return std::isinf(x) && x < 0 ? -0.0f
                                    : static_cast<float>(std::isnan(x) ? d : d * std::tanh(softplus(d)));
    case ActFn::kSin:
    case ActFn::kSinWide: return static_cast<float>(std::sin(d));
    case ActFn::kArctan: return static_cast<float>(std::atan(d));
    case ActFn::kReciprocal: return 1.0f / x;
    case ActFn::kFloor: return std::floor(x);
    case ActFn::kCeil: return std::ceil(x);
    case ActFn::kRoundEven: return std::nearbyint(x);
    case ActFn::kRoundAway: return std::round(x);
    case ActFn::kTrunc: return std::trunc(x);
    case ActFn::kExpm1: return static_cast<float>(std::expm1(d));
    case ActFn::kLog1p: return static_cast<float>(std::log1p(d));
    case ActFn::kCbrt: return static_cast<float>(std::cbrt(d));
    case ActFn::kCos: return static_cast<float>(std::cos(d));
    case ActFn::kTan: return static_cast<float>(std::tan(d));
    case ActFn::kIsFinite: return std::isfinite(x);
    case ActFn::kNegate: return -x;
    default: return x;
  }
}

// True if fn has a meaning for integers: then POOL computes it with ActInt.
inline bool HasIntegerMeaning(isa::ActFn fn) {
  using isa::ActFn;
  switch (fn) {
    case ActFn::kCopy: case ActFn::kRelu: case ActFn::kSquare: case ActFn::kAbs: case ActFn::kSign:
    case ActFn::kFloor: case ActFn::kCeil: case ActFn::kRoundEven: case ActFn::kRoundAway:
    case ActFn::kTrunc: case ActFn::kIsFinite: case ActFn::kNot: case ActFn::kNegate:
    case ActFn::kPopcount: case ActFn::kClz: case ActFn::kAbsInt: case ActFn::kSignInt: return true;
    default: return false;
  }
}

// fn, which has an integer meaning, of a value of `type`.
inline int64_t ActInt(isa::ActFn fn, int64_t x, isa::DType type) {
  using isa::ActFn;
  const bool negative = IsSignedType(type) && x < 0;
  const int bits = TypeBytes(type) * 8;
  const uint64_t raw = static_cast<uint64_t>(x) & (~uint64_t{0} >> (64 - bits));
  switch (fn) {
    case ActFn::kRelu: return negative ? 0 : x;
    case ActFn::kSquare: return static_cast<int64_t>(static_cast<uint64_t>(x) * static_cast<uint64_t>(x));
    case ActFn::kAbs:
    case ActFn::kAbsInt: return negative ? static_cast<int64_t>(0 - static_cast<uint64_t>(x)) : x;
    case ActFn::kSign:
    case ActFn::kSignInt: return negative ? -1 : x != 0;
    case ActFn::kIsFinite: return 1;
    case ActFn::kNot: return type == isa::DType::kPred ? x == 0 : WrapInt(~x, type);
    case ActFn::kNegate: return static_cast<int64_t>(0 - static_cast<uint64_t>(x));
    case ActFn::kPopcount: return __builtin_popcountll(raw);
    case ActFn::kClz: return raw == 0 ? bits : __builtin_clzll(raw) - (64 - bits);
    default: return x;
  }
}

// ---- Philox4x32-10 (Salmon et al., Parallel random numbers: as easy as 1, 2, 3; SC 2011) ----

inline std::array<uint32_t, 4> Philox4x32(std::array<uint32_t, 4> counter, std::array<uint32_t, 2> key) {
  for (int round = 0; round < 10; ++round) {
    const uint64_t p0 = uint64_t{0xD2511F53} * counter[0];
    const uint64_t p1 = uint64_t{0xCD9E8D57} * counter[2];
    counter = {static_cast<uint32_t>(p1 >> 32) ^ counter[1] ^ key[0], static_cast<uint32_t>(p1),
               static_cast<uint32_t>(p0 >> 32) ^ counter[3] ^ key[1], static_cast<uint32_t>(p0)};
    key[0] += 0x9E3779B9;
    key[1] += 0xBB67AE85;
  }
  return counter;
}

// Element `index` of a kPhilox instruction.
inline uint32_t PhiloxElement(int64_t key, int64_t first_counter, int64_t index) {
  const auto k = static_cast<uint64_t>(key);
  const uint64_t c = static_cast<uint64_t>(first_counter) + static_cast<uint64_t>(index) / 4;
  const std::array<uint32_t, 4> block =
      Philox4x32({static_cast<uint32_t>(c), static_cast<uint32_t>(c >> 32), 0, 0},
                 {static_cast<uint32_t>(k), static_cast<uint32_t>(k >> 32)});
  return block[static_cast<size_t>(index & 3)];
}

}  // namespace glia::device

#endif  // GLIA_DEVICE_SIM_SEMANTICS_H_
