#include "serialization/hlo/evaluator_lanes.h"

#include <cmath>
#include <cstring>
#include <limits>
#include <type_traits>

#include "serialization/hlo/float16.h"

namespace glia::hlo::evaluator {
namespace {

// Values of the 256 patterns of an 8-bit float type.
template <PrimitiveType type>
const double* Float8Table() {
  static const std::vector<double>* const table = [] {
    auto* values = new std::vector<double>;
    for (int bits = 0; bits < 256; ++bits) {
      const uint8_t byte = static_cast<uint8_t>(bits);
      values->push_back(Literal::FromBytes(Shape(type, {}), &byte).GetAsDouble(0));
    }
    return values;
  }();
  return table->data();
}

uint8_t ToFloat8(PrimitiveType type, double value) {
  Literal literal = Literal::Zero(Shape(type, {}));
  literal.SetFromDouble(0, value);
  return *static_cast<const uint8_t*>(literal.raw());
}

// How a stored element becomes a compute value and back: From(stored) and To(value).
template <PrimitiveType type, typename Stored_, typename Computed_>
struct PlainCodec {
  using Stored = Stored_;
  using Computed = Computed_;
  static Computed From(Stored v) { return static_cast<Computed>(v); }
  static Stored To(Computed v) { return static_cast<Stored>(v); }
};

template <PrimitiveType type>
struct Codec;
template <>
struct Codec<kS8> : PlainCodec<kS8, int8_t, int64_t> {};
template <>
struct Codec<kS16> : PlainCodec<kS16, int16_t, int64_t> {};
template <>
struct Codec<kS32> : PlainCodec<kS32, int32_t, int64_t> {};
template <>
struct Codec<kS64> : PlainCodec<kS64, int64_t, int64_t> {};
template <>
struct Codec<kU8> : PlainCodec<kU8, uint8_t, uint64_t> {};
template <>
struct Codec<kU16> : PlainCodec<kU16, uint16_t, uint64_t> {};
template <>
struct Codec<kU32> : PlainCodec<kU32, uint32_t, uint64_t> {};
template <>
struct Codec<kU64> : PlainCodec<kU64, uint64_t, uint64_t> {};
template <>
struct Codec<kF32> : PlainCodec<kF32, float, double> {};
template <>
struct Codec<kF64> : PlainCodec<kF64, double, double> {};
template <>
struct Codec<kC64> : PlainCodec<kC64, std::complex<float>, std::complex<double>> {};
template <>
struct Codec<kC128> : PlainCodec<kC128, std::complex<double>, std::complex<double>> {};
template <>
struct Codec<kPred> {
  using Stored = uint8_t;
  using Computed = uint64_t;
  static Computed From(Stored v) { return v != 0; }
  static Stored To(Computed v) { return v != 0; }
};
template <>
struct Codec<kS4> {
  using Stored = int8_t;
  using Computed = int64_t;
  static Computed From(Stored v) { return v; }
  static Stored To(Computed v) { return static_cast<int8_t>(((v & 15) ^ 8) - 8); }
};
template <>
struct Codec<kU4> {
  using Stored = uint8_t;
  using Computed = uint64_t;
  static Computed From(Stored v) { return v; }
  static Stored To(Computed v) { return v & 15; }
};
template <>
struct Codec<kBF16> {
  using Stored = uint16_t;
  using Computed = double;
  static Computed From(Stored v) { return BF16ToFloat(v); }
  static Stored To(Computed v) { return FloatToBF16(static_cast<float>(v)); }
};
template <>
struct Codec<kF16> {
  using Stored = uint16_t;
  using Computed = double;
  static Computed From(Stored v) { return F16ToFloat(v); }
  static Stored To(Computed v) { return FloatToF16(static_cast<float>(v)); }
};
template <>
struct Codec<kF8E5M2> {
  using Stored = uint8_t;
  using Computed = double;
  static Computed From(Stored v) { return Float8Table<kF8E5M2>()[v]; }
  static Stored To(Computed v) { return ToFloat8(kF8E5M2, static_cast<float>(v)); }
};
template <>
struct Codec<kF8E4M3FN> {
  using Stored = uint8_t;
  using Computed = double;
  static Computed From(Stored v) { return Float8Table<kF8E4M3FN>()[v]; }
  static Stored To(Computed v) { return ToFloat8(kF8E4M3FN, static_cast<float>(v)); }
};

// Calls f(Codec<type>()). Types without elements are ignored: the verifier lets none come here.
template <typename F>
void WithCodec(PrimitiveType type, F f) {
  switch (type) {
    case kPred:
      return f(Codec<kPred>());
    case kS4:
      return f(Codec<kS4>());
    case kS8:
      return f(Codec<kS8>());
    case kS16:
      return f(Codec<kS16>());
    case kS32:
      return f(Codec<kS32>());
    case kS64:
      return f(Codec<kS64>());
    case kU4:
      return f(Codec<kU4>());
    case kU8:
      return f(Codec<kU8>());
    case kU16:
      return f(Codec<kU16>());
    case kU32:
      return f(Codec<kU32>());
    case kU64:
      return f(Codec<kU64>());
    case kF8E5M2:
      return f(Codec<kF8E5M2>());
    case kF8E4M3FN:
      return f(Codec<kF8E4M3FN>());
    case kF16:
      return f(Codec<kF16>());
    case kBF16:
      return f(Codec<kBF16>());
    case kF32:
      return f(Codec<kF32>());
    case kF64:
      return f(Codec<kF64>());
    case kC64:
      return f(Codec<kC64>());
    case kC128:
      return f(Codec<kC128>());
    default:
      return;
  }
}

template <typename F>
void WithComputeType(PrimitiveType type, F f) {
  switch (LaneKindOf(type)) {
    case LaneKind::kFloat:
      return f(double());
    case LaneKind::kSigned:
      return f(int64_t());
    case LaneKind::kUnsigned:
      return f(uint64_t());
    case LaneKind::kComplex:
      return f(std::complex<double>());
  }
}

template <typename Int>
Int SaturatingTruncate(double value, double low, double high) {
  if (std::isnan(value)) return 0;
  // low and high are exact powers of two, or 0; high is one above the largest value.
  if (value <= low) return static_cast<Int>(low);
  if (value >= high)
    return static_cast<Int>(static_cast<Int>(high / 2) - 1 + static_cast<Int>(high / 2));
  return static_cast<Int>(value);
}

int BitWidth(PrimitiveType type) {
  return type == kS4 || type == kU4 ? 4 : static_cast<int>(8 * ByteSize(type));
}

// To odd in float, so that a later rounding to 16 bits rounds as if it were the only one.
float RoundToOddFloat(double value) {
  const float nearest = static_cast<float>(value);
  if (std::isnan(value) || std::isinf(nearest) || static_cast<double>(nearest) == value)
    return nearest;
  uint32_t bits = FloatBits(nearest);
  if (std::fabs(static_cast<double>(nearest)) > std::fabs(value)) --bits;
  return FloatFromBits(bits | 1u);
}

template <typename From, typename To>
To ConvertValue(From value, PrimitiveType to) {
  constexpr bool kFromComplex = std::is_same_v<From, std::complex<double>>;
  if constexpr (kFromComplex && !std::is_same_v<To, std::complex<double>>) {
    if (to == kPred) return static_cast<To>(value != std::complex<double>(0));
    return ConvertValue<double, To>(value.real(), to);
  } else if constexpr (std::is_same_v<From, To>) {
    if constexpr (std::is_same_v<To, double>) {
      if (to == kF16 || to == kBF16 || to == kF8E5M2 || to == kF8E4M3FN)
        return RoundToOddFloat(value);
    }
    if (to == kPred) return static_cast<To>(value != From(0));
    return value;
  } else if constexpr (std::is_same_v<From, double> && std::is_integral_v<To>) {
    if (to == kPred) return value != 0;
    const double width = std::ldexp(1.0, BitWidth(to));
    if constexpr (std::is_signed_v<To>)
      return SaturatingTruncate<To>(value, -width / 2, width / 2);
    else
      return SaturatingTruncate<To>(value, 0, width);
  } else if constexpr (std::is_same_v<To, std::complex<double>>) {
    return To(static_cast<double>(value), 0);
  } else if constexpr (std::is_integral_v<From> && std::is_same_v<To, double>) {
    if (to == kF64) return static_cast<double>(value);
    return static_cast<float>(value);  // rounded once
  } else {
    if (to == kPred) return static_cast<To>(value != 0);
    return static_cast<To>(value);
  }
}

}  // namespace

LaneKind LaneKindOf(PrimitiveType type) {
  if (IsFloating(type)) return LaneKind::kFloat;
  if (IsSignedInt(type)) return LaneKind::kSigned;
  if (IsComplex(type)) return LaneKind::kComplex;
  return LaneKind::kUnsigned;
}

void Load(const void* data, PrimitiveType type, int64_t start, int64_t stride, int n,
          Lanes* lanes) {
  lanes->type = type;
  WithCodec(type, [&](auto codec) {
    using C = decltype(codec);
    const auto* from = static_cast<const typename C::Stored*>(data) + start;
    auto* to = lanes->as<typename C::Computed>();
    if (stride == 1) {
      for (int i = 0; i < n; ++i) to[i] = C::From(from[i]);
    } else {
      for (int i = 0; i < n; ++i) to[i] = C::From(from[i * stride]);
    }
  });
}

void Load(const void* data, PrimitiveType type, const int64_t* offsets, int n, Lanes* lanes) {
  lanes->type = type;
  WithCodec(type, [&](auto codec) {
    using C = decltype(codec);
    const auto* from = static_cast<const typename C::Stored*>(data);
    auto* to = lanes->as<typename C::Computed>();
    for (int i = 0; i < n; ++i) to[i] = C::From(from[offsets[i]]);
  });
}

void Store(const Lanes& lanes, int n, void* data, int64_t start) {
  WithCodec(lanes.type, [&](auto codec) {
    using C = decltype(codec);
    const auto* from = lanes.as<typename C::Computed>();
    auto* to = static_cast<typename C::Stored*>(data) + start;
    for (int i = 0; i < n; ++i) to[i] = C::To(from[i]);
  });
}

void Store(const Lanes& lanes, int n, void* data, const int64_t* offsets) {
  WithCodec(lanes.type, [&](auto codec) {
    using C = decltype(codec);
    const auto* from = lanes.as<typename C::Computed>();
    auto* to = static_cast<typename C::Stored*>(data);
    for (int i = 0; i < n; ++i) to[offsets[i]] = C::To(from[i]);
  });
}

void Round(Lanes* lanes, int n) {
  if (lanes->type == kF64 || lanes->type == kC128) return;
  WithCodec(lanes->type, [&](auto codec) {
    using C = decltype(codec);
    auto* values = lanes->as<typename C::Computed>();
    for (int i = 0; i < n; ++i) values[i] = C::From(C::To(values[i]));
  });
}

void Convert(const Lanes& in, int n, Lanes* out) {
  const PrimitiveType to = out->type;
  WithComputeType(in.type, [&](auto from_zero) {
    using From = decltype(from_zero);
    WithComputeType(to, [&](auto to_zero) {
      using To = decltype(to_zero);
      const From* from = in.as<From>();
      To* result = out->as<To>();
      for (int i = 0; i < n; ++i) result[i] = ConvertValue<From, To>(from[i], to);
    });
  });
  Round(out, n);
}

}  // namespace glia::hlo::evaluator
