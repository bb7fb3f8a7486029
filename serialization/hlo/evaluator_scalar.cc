// Element-wise arithmetic on blocks of lanes: one function per compute type and arity.
#include <algorithm>
#include <cmath>
#include <cstring>
#include <limits>
#include <type_traits>

#include "absl/strings/str_cat.h"
#include "serialization/hlo/evaluator_lanes.h"

namespace glia::hlo::evaluator {
namespace {

using Complex = std::complex<double>;

int Width(PrimitiveType type) {
  return type == kS4 || type == kU4 ? 4 : static_cast<int>(8 * ByteSize(type));
}

// The low bits of a value that the type has.
uint64_t BitsOf(uint64_t value, PrimitiveType type) {
  const int width = Width(type);
  return width == 64 ? value : value & ((uint64_t{1} << width) - 1);
}

// Keeps `exponent_bits` and `mantissa_bits` of a float: rounds the mantissa to nearest even,
// overflows to infinity and flushes what would be subnormal to zero, as XLA does.
double ReducePrecision(double value, int exponent_bits, int mantissa_bits) {
  if (std::isnan(value) || std::isinf(value) || value == 0) return value;
  int exponent;
  const double fraction = std::frexp(value, &exponent);  // in [0.5, 1)
  const double rounded = std::ldexp(std::nearbyint(std::ldexp(fraction, mantissa_bits + 1)),
                                    exponent - mantissa_bits - 1);
  const int bias = (1 << (exponent_bits - 1)) - 1;
  const int result_exponent = std::ilogb(rounded);
  if (result_exponent > bias) return std::copysign(HUGE_VAL, value);
  if (result_exponent < 1 - bias) return std::copysign(0.0, value);
  return rounded;
}

double RoundAwayFromZero(double x) { return std::round(x); }
double Sign(double x) { return std::isnan(x) || x == 0 ? x : std::copysign(1.0, x); }

// Runs f over the lanes; returns true so that a case is one line.
template <typename In, typename Out = In, typename F>
bool Each(const Lanes& a, int n, Lanes* out, F f) {
  const In* x = a.as<In>();
  Out* y = out->as<Out>();
  for (int i = 0; i < n; ++i) y[i] = f(x[i]);
  return true;
}

template <typename In, typename Out = In, typename F>
bool Each(const Lanes& a, const Lanes& b, int n, Lanes* out, F f) {
  const In* x = a.as<In>();
  const In* y = b.as<In>();
  Out* z = out->as<Out>();
  for (int i = 0; i < n; ++i) z[i] = f(x[i], y[i]);
  return true;
}

bool UnaryFloat(const Instruction& instr, const Lanes& a, int n, Lanes* out) {
  auto each = [&](auto f) { return Each<double>(a, n, out, f); };
  switch (instr.opcode()) {
    case Opcode::kAbs:
      return each([](double x) { return std::fabs(x); });
    case Opcode::kCbrt:
      return each([](double x) { return std::cbrt(x); });
    case Opcode::kCeil:
      return each([](double x) { return std::ceil(x); });
    case Opcode::kCopy:
      return each([](double x) { return x; });
    case Opcode::kCos:
      return each([](double x) { return std::cos(x); });
    case Opcode::kErf:
      return each([](double x) { return std::erf(x); });
    case Opcode::kExp:
      return each([](double x) { return std::exp(x); });
    case Opcode::kExpm1:
      return each([](double x) { return std::expm1(x); });
    case Opcode::kFloor:
      return each([](double x) { return std::floor(x); });
    case Opcode::kIsFinite:
      return Each<double, uint64_t>(a, n, out, [](double x) { return std::isfinite(x) ? 1 : 0; });
    case Opcode::kLog:
      return each([](double x) { return std::log(x); });
    case Opcode::kLog1p:
      return each([](double x) { return std::log1p(x); });
    case Opcode::kLogistic:
      return each([](double x) { return 1 / (1 + std::exp(-x)); });
    case Opcode::kNegate:
      return each([](double x) { return -x; });
    case Opcode::kReducePrecision:
      return each(
          [&](double x) { return ReducePrecision(x, instr.exponent_bits, instr.mantissa_bits); });
    case Opcode::kRoundNearestAfz:
      return each(RoundAwayFromZero);
    case Opcode::kRoundNearestEven:
      return each([](double x) { return std::nearbyint(x); });
    case Opcode::kRsqrt:
      return each([](double x) { return 1 / std::sqrt(x); });
    case Opcode::kSign:
      return each(Sign);
    case Opcode::kSin:
      return each([](double x) { return std::sin(x); });
    case Opcode::kSqrt:
      return each([](double x) { return std::sqrt(x); });
    case Opcode::kTan:
      return each([](double x) { return std::tan(x); });
    case Opcode::kTanh:
      return each([](double x) { return std::tanh(x); });
    default:
      return false;
  }
}

template <typename T>
bool UnaryInt(const Instruction& instr, const Lanes& a, int n, Lanes* out) {
  const PrimitiveType type = a.type;
  auto each = [&](auto f) { return Each<T>(a, n, out, f); };
  switch (instr.opcode()) {
    case Opcode::kAbs:
      return each([](T x) { return x < T(0) ? static_cast<T>(0 - uint64_t(x)) : x; });
    case Opcode::kClz:
      return each([&](T x) {
        const uint64_t bits = BitsOf(static_cast<uint64_t>(x), type);
        return static_cast<T>(bits == 0 ? Width(type) : __builtin_clzll(bits) - 64 + Width(type));
      });
    case Opcode::kCopy:
      return each([](T x) { return x; });
    case Opcode::kNegate:
      return each([](T x) { return static_cast<T>(0 - uint64_t(x)); });
    case Opcode::kNot:
      if (type == kPred) return each([](T x) { return static_cast<T>(x == 0); });
      return each([](T x) { return static_cast<T>(~x); });
    case Opcode::kPopulationCount:
      return each([&](T x) {
        return static_cast<T>(__builtin_popcountll(BitsOf(static_cast<uint64_t>(x), type)));
      });
    case Opcode::kSign:
      return each([](T x) { return static_cast<T>(x < T(0) ? T(-1) : x > T(0) ? T(1) : T(0)); });
    default:
      return false;
  }
}

bool UnaryComplex(const Instruction& instr, const Lanes& a, int n, Lanes* out) {
  auto each = [&](auto f) { return Each<Complex>(a, n, out, f); };
  switch (instr.opcode()) {
    case Opcode::kAbs:
      return Each<Complex, double>(a, n, out, [](Complex x) { return std::abs(x); });
    case Opcode::kCopy:
      return each([](Complex x) { return x; });
    case Opcode::kCos:
      return each([](Complex x) { return std::cos(x); });
    case Opcode::kExp:
      return each([](Complex x) { return std::exp(x); });
    case Opcode::kExpm1:
      return each([](Complex x) { return std::exp(x) - 1.0; });
    case Opcode::kLog:
      return each([](Complex x) { return std::log(x); });
    case Opcode::kLog1p:
      return each([](Complex x) { return std::log(x + 1.0); });
    case Opcode::kLogistic:
      return each([](Complex x) { return 1.0 / (1.0 + std::exp(-x)); });
    case Opcode::kNegate:
      return each([](Complex x) { return -x; });
    case Opcode::kRsqrt:
      return each([](Complex x) { return 1.0 / std::sqrt(x); });
    case Opcode::kSign:
      return each([](Complex x) { return x == Complex(0) ? x : x / std::abs(x); });
    case Opcode::kSin:
      return each([](Complex x) { return std::sin(x); });
    case Opcode::kSqrt:
      return each([](Complex x) { return std::sqrt(x); });
    case Opcode::kTan:
      return each([](Complex x) { return std::tan(x); });
    case Opcode::kTanh:
      return each([](Complex x) { return std::tanh(x); });
    default:
      return false;
  }
}

// Of floats, the first NaN wins.
template <typename T>
T Max(T x, T y) {
  if (x != x) return x;
  return y != y || y > x ? y : x;
}

template <typename T>
T Min(T x, T y) {
  if (x != x) return x;
  return y != y || y < x ? y : x;
}

bool BinaryFloat(Opcode opcode, const Lanes& a, const Lanes& b, int n, Lanes* out) {
  auto each = [&](auto f) { return Each<double>(a, b, n, out, f); };
  switch (opcode) {
    case Opcode::kAdd:
      return each([](double x, double y) { return x + y; });
    case Opcode::kSubtract:
      return each([](double x, double y) { return x - y; });
    case Opcode::kMultiply:
      return each([](double x, double y) { return x * y; });
    case Opcode::kDivide:
      return each([](double x, double y) { return x / y; });
    case Opcode::kMaximum:
      return each(Max<double>);
    case Opcode::kMinimum:
      return each(Min<double>);
    case Opcode::kPower:
      return each([](double x, double y) { return std::pow(x, y); });
    case Opcode::kRemainder:
      return each([](double x, double y) { return std::fmod(x, y); });
    case Opcode::kAtan2:
      return each([](double x, double y) { return std::atan2(x, y); });
    default:
      return false;
  }
}

template <typename T>
T Divide(T x, T y) {
  if (y == 0) return static_cast<T>(~uint64_t{0});
  if constexpr (std::is_signed_v<T>) {
    if (y == -1) return static_cast<T>(0 - static_cast<uint64_t>(x));
  }
  return x / y;
}

template <typename T>
T Remainder(T x, T y) {
  if (y == 0) return x;
  if constexpr (std::is_signed_v<T>) {
    if (y == -1) return 0;
  }
  return x % y;
}

template <typename T>
T Power(T base, T exponent) {
  if constexpr (std::is_signed_v<T>) {
    if (exponent < 0) return base == 1 ? 1 : base == -1 ? (exponent % 2 == 0 ? 1 : -1) : 0;
  }
  uint64_t result = 1;
  uint64_t square = static_cast<uint64_t>(base);
  for (uint64_t e = static_cast<uint64_t>(exponent); e != 0; e >>= 1) {
    if ((e & 1) != 0) result *= square;
    square *= square;
  }
  return static_cast<T>(result);
}

template <typename T>
bool BinaryInt(Opcode opcode, const Lanes& a, const Lanes& b, int n, Lanes* out) {
  const PrimitiveType type = a.type;
  const uint64_t width = static_cast<uint64_t>(Width(type));
  auto each = [&](auto f) { return Each<T>(a, b, n, out, f); };
  auto u = [](T x) { return static_cast<uint64_t>(x); };
  auto amount = [&](T y) { return BitsOf(static_cast<uint64_t>(y), type); };
  switch (opcode) {
    case Opcode::kAdd:
      return each([&](T x, T y) { return static_cast<T>(u(x) + u(y)); });
    case Opcode::kSubtract:
      return each([&](T x, T y) { return static_cast<T>(u(x) - u(y)); });
    case Opcode::kMultiply:
      return each([&](T x, T y) { return static_cast<T>(u(x) * u(y)); });
    case Opcode::kDivide:
      return each(Divide<T>);
    case Opcode::kRemainder:
      return each(Remainder<T>);
    case Opcode::kMaximum:
      return each(Max<T>);
    case Opcode::kMinimum:
      return each(Min<T>);
    case Opcode::kPower:
      return each(Power<T>);
    case Opcode::kAnd:
      return each([](T x, T y) { return static_cast<T>(x & y); });
    case Opcode::kOr:
      return each([](T x, T y) { return static_cast<T>(x | y); });
    case Opcode::kXor:
      return each([](T x, T y) { return static_cast<T>(x ^ y); });
    case Opcode::kShiftLeft:
      return each(
          [&](T x, T y) { return static_cast<T>(amount(y) >= width ? 0 : u(x) << amount(y)); });
    case Opcode::kShiftRightLogical:
      return each([&](T x, T y) {
        return static_cast<T>(amount(y) >= width ? 0 : BitsOf(u(x), type) >> amount(y));
      });
    case Opcode::kShiftRightArithmetic:
      // An unsigned operand is shifted as the signed value of its bits.
      return each([&](T x, T y) {
        const int unused = 64 - static_cast<int>(width);
        const int64_t extended = static_cast<int64_t>(u(x) << unused) >> unused;
        return static_cast<T>(extended >> std::min<uint64_t>(amount(y), 63));
      });
    default:
      return false;
  }
}

bool BinaryComplex(Opcode opcode, const Lanes& a, const Lanes& b, int n, Lanes* out) {
  auto each = [&](auto f) { return Each<Complex>(a, b, n, out, f); };
  switch (opcode) {
    case Opcode::kAdd:
      return each([](Complex x, Complex y) { return x + y; });
    case Opcode::kSubtract:
      return each([](Complex x, Complex y) { return x - y; });
    case Opcode::kMultiply:
      return each([](Complex x, Complex y) { return x * y; });
    case Opcode::kDivide:
      return each([](Complex x, Complex y) { return x / y; });
    case Opcode::kPower:
      return each([](Complex x, Complex y) { return std::pow(x, y); });
    default:
      return false;
  }
}

template <typename T>
bool CompareLanes(ComparisonDirection direction, const Lanes& a, const Lanes& b, int n,
                  Lanes* out) {
  auto each = [&](auto f) { return Each<T, uint64_t>(a, b, n, out, f); };
  if (direction == ComparisonDirection::kEq) return each([](T x, T y) { return x == y; });
  if (direction == ComparisonDirection::kNe) return each([](T x, T y) { return x != y; });
  if constexpr (!std::is_same_v<T, Complex>) {
    switch (direction) {
      case ComparisonDirection::kGe:
        return each([](T x, T y) { return x >= y; });
      case ComparisonDirection::kGt:
        return each([](T x, T y) { return x > y; });
      case ComparisonDirection::kLe:
        return each([](T x, T y) { return x <= y; });
      case ComparisonDirection::kLt:
        return each([](T x, T y) { return x < y; });
      default:
        break;
    }
  }
  return false;
}

// An integer with the order -NaN < -inf < … < -0 < +0 < … < inf < NaN.
void ToTotalOrder(const Lanes& in, int n, Lanes* out) {
  out->type = kS64;
  for (int i = 0; i < n; ++i) {
    int64_t bits;
    std::memcpy(&bits, in.as<double>() + i, sizeof(bits));
    out->as<int64_t>()[i] = bits < 0 ? bits ^ std::numeric_limits<int64_t>::max() : bits;
  }
}

bool Compare(const Instruction& instr, const Lanes& a, const Lanes& b, int n, Lanes* out) {
  const ComparisonDirection direction = instr.comparison_direction;
  switch (LaneKindOf(a.type)) {
    case LaneKind::kFloat:
      if (instr.comparison_type == ComparisonType::kTotalOrder) {
        Lanes x, y;
        ToTotalOrder(a, n, &x);
        ToTotalOrder(b, n, &y);
        return CompareLanes<int64_t>(direction, x, y, n, out);
      }
      return CompareLanes<double>(direction, a, b, n, out);
    case LaneKind::kSigned:
      return CompareLanes<int64_t>(direction, a, b, n, out);
    case LaneKind::kUnsigned:
      return CompareLanes<uint64_t>(direction, a, b, n, out);
    case LaneKind::kComplex:
      return CompareLanes<Complex>(direction, a, b, n, out);
  }
  return false;
}

template <typename T>
void Select(const Lanes& pred, const Lanes& a, const Lanes& b, int n, Lanes* out) {
  const uint64_t* p = pred.as<uint64_t>();
  const T* x = a.as<T>();
  const T* y = b.as<T>();
  for (int i = 0; i < n; ++i) out->as<T>()[i] = p[i] != 0 ? x[i] : y[i];
}

template <typename T>
void Clamp(const Lanes& low, const Lanes& x, const Lanes& high, int n, Lanes* out) {
  for (int i = 0; i < n; ++i) {
    out->as<T>()[i] = Min(Max(x.as<T>()[i], low.as<T>()[i]), high.as<T>()[i]);
  }
}

bool Ternary(Opcode opcode, absl::Span<const Lanes* const> in, int n, Lanes* out) {
  const Lanes &a = *in[0], &b = *in[1], &c = *in[2];
  const LaneKind kind = LaneKindOf(b.type);
  if (opcode == Opcode::kSelect) {
    switch (kind) {
      case LaneKind::kFloat:
        Select<double>(a, b, c, n, out);
        break;
      case LaneKind::kSigned:
        Select<int64_t>(a, b, c, n, out);
        break;
      case LaneKind::kUnsigned:
        Select<uint64_t>(a, b, c, n, out);
        break;
      case LaneKind::kComplex:
        Select<Complex>(a, b, c, n, out);
        break;
    }
    return true;
  }
  if (kind == LaneKind::kFloat) {
    Clamp<double>(a, b, c, n, out);
  } else if (kind == LaneKind::kSigned) {
    Clamp<int64_t>(a, b, c, n, out);
  } else if (kind == LaneKind::kUnsigned) {
    Clamp<uint64_t>(a, b, c, n, out);
  } else {
    return false;
  }
  return true;
}

bool Unary(const Instruction& instr, const Lanes& a, int n, Lanes* out) {
  if (instr.opcode() == Opcode::kIsFinite && LaneKindOf(a.type) != LaneKind::kFloat) return false;
  switch (LaneKindOf(a.type)) {
    case LaneKind::kFloat:
      return UnaryFloat(instr, a, n, out);
    case LaneKind::kSigned:
      return UnaryInt<int64_t>(instr, a, n, out);
    case LaneKind::kUnsigned:
      return UnaryInt<uint64_t>(instr, a, n, out);
    case LaneKind::kComplex:
      return UnaryComplex(instr, a, n, out);
  }
  return false;
}

bool Binary(const Instruction& instr, const Lanes& a, const Lanes& b, int n, Lanes* out) {
  switch (LaneKindOf(a.type)) {
    case LaneKind::kFloat:
      return BinaryFloat(instr.opcode(), a, b, n, out);
    case LaneKind::kSigned:
      return BinaryInt<int64_t>(instr.opcode(), a, b, n, out);
    case LaneKind::kUnsigned:
      return BinaryInt<uint64_t>(instr.opcode(), a, b, n, out);
    case LaneKind::kComplex:
      return BinaryComplex(instr.opcode(), a, b, n, out);
  }
  return false;
}

}  // namespace

absl::Status Apply(const Instruction& instr, absl::Span<const Lanes* const> in, int n, Lanes* out,
                   bool round) {
  out->type = instr.shape.type;
  bool done = false;
  if (instr.opcode() == Opcode::kConvert) {
    Convert(*in[0], n, out);
    return absl::OkStatus();
  }
  if (instr.opcode() == Opcode::kCompare) {
    done = Compare(instr, *in[0], *in[1], n, out);
  } else {
    switch (OpcodeCategory(instr.opcode())) {
      case OpCategory::kUnary:
        done = Unary(instr, *in[0], n, out);
        break;
      case OpCategory::kBinary:
        done = Binary(instr, *in[0], *in[1], n, out);
        break;
      case OpCategory::kTernary:
        done = Ternary(instr.opcode(), in, n, out);
        break;
      default:
        break;
    }
  }
  if (!done) {
    return absl::UnimplementedError(absl::StrCat(OpcodeName(instr.opcode()), " of ",
                                                 Name(in[0]->type), " (", instr.name(),
                                                 ") has no meaning in HLO"));
  }
  if (round) Round(out, n);
  return absl::OkStatus();
}

}  // namespace glia::hlo::evaluator
