#include "serialization/hlo/literal.h"

#include <cmath>
#include <cstdlib>
#include <cstring>
#include <iostream>
#include <limits>
#include <utility>

#include "absl/strings/str_cat.h"
#include "serialization/hlo/float16.h"
#include "serialization/hlo/literal_text.h"

namespace glia::hlo {
namespace {

// A caller's error that the types cannot prevent: as an index out of bounds of a container would
// be.
[[noreturn]] void Die(const std::string& message) {
  std::cerr << "glia::hlo::Literal: " << message << std::endl;
  std::abort();
}

// Cache-line aligned so that readers may use vector loads.
std::shared_ptr<void> Allocate(int64_t bytes) {
  constexpr size_t kAlign = 64;
  void* data =
      std::aligned_alloc(kAlign, (static_cast<size_t>(bytes) + kAlign - 1) / kAlign * kAlign);
  if (data == nullptr) Die(absl::StrCat("out of memory for ", bytes, " bytes"));
  return std::shared_ptr<void>(data, std::free);
}

template <typename Int, typename From>
Int Saturate(From value) {
  if (std::isnan(static_cast<double>(value))) return 0;
  if (value <= static_cast<From>(std::numeric_limits<Int>::min())) {
    return std::numeric_limits<Int>::min();
  }
  if (value >= static_cast<From>(std::numeric_limits<Int>::max())) {
    return std::numeric_limits<Int>::max();
  }
  return static_cast<Int>(value);
}

template <typename T>
T Load(const void* data, int64_t i) {
  T value;
  std::memcpy(&value, static_cast<const char*>(data) + i * static_cast<int64_t>(sizeof(T)),
              sizeof(T));
  return value;
}

template <typename T>
void Store(void* data, int64_t i, T value) {
  std::memcpy(static_cast<char*>(data) + i * static_cast<int64_t>(sizeof(T)), &value, sizeof(T));
}

// OCP 8-bit floats: e5m2 is the upper half of a binary16; e4m3fn has bias 7, no infinities and NaN
// 0x7f.
float F8E4M3FNToFloat(uint8_t bits) {
  const int exponent = (bits >> 3) & 15;
  const int mantissa = bits & 7;
  float magnitude;
  if ((bits & 0x7f) == 0x7f) {
    magnitude = std::numeric_limits<float>::quiet_NaN();
  } else if (exponent == 0) {
    magnitude = std::ldexp(static_cast<float>(mantissa), -9);
  } else {
    magnitude = std::ldexp(static_cast<float>(8 + mantissa), exponent - 10);
  }
  return (bits & 0x80) != 0 ? -magnitude : magnitude;
}

uint8_t FloatToF8E4M3FN(float value) {
  const uint8_t sign = std::signbit(value) ? 0x80 : 0;
  const float magnitude = std::fabs(value);
  // 464 lies halfway between the largest value, 448, and the next step.
  if (!(magnitude <= 464.0f)) return sign | 0x7f;
  // nearbyint rounds to even in the default mode; 2^-9 is the smallest step.
  const int exponent = magnitude < 0.015625f ? -6 : std::ilogb(magnitude);
  const int steps = static_cast<int>(std::nearbyint(std::ldexp(magnitude, 3 - exponent)));
  return sign | static_cast<uint8_t>((exponent + 6) * 8 + steps);
}

uint8_t FloatToF8E5M2(float value) {
  const uint16_t sign = std::signbit(value) ? 0x80 : 0;
  if (std::isnan(value)) return static_cast<uint8_t>(sign | 0x7e);
  const float magnitude = std::fabs(value);
  if (magnitude >= 61440.0f) return static_cast<uint8_t>(sign | 0x7c);
  const int exponent = magnitude < 6.103515625e-05f ? -14 : std::ilogb(magnitude);
  const int steps = static_cast<int>(std::nearbyint(std::ldexp(magnitude, 2 - exponent)));
  return static_cast<uint8_t>(sign | ((exponent + 14) * 4 + steps));
}

}  // namespace

void Literal::CheckElementSize(int64_t size) const {
  if (size != ByteSize(shape_.type)) {
    Die(absl::StrCat("access to ", shape_.ToString(), " with elements of ", size, " bytes"));
  }
}

void Literal::CheckCount(const Shape& shape, int64_t given) {
  if (given != shape.elements()) {
    Die(absl::StrCat(given, " values given for ", shape.ToString()));
  }
}

Literal Literal::Zero(const Shape& shape) {
  if (shape.IsTuple()) {
    std::vector<Literal> elements;
    for (const Shape& element : shape.tuple) elements.push_back(Zero(element));
    return Tuple(std::move(elements));
  }
  Literal literal;
  literal.shape_ = shape;
  const int64_t bytes = shape.bytes();
  if (bytes > 0) {
    std::shared_ptr<void> buffer = Allocate(bytes);
    std::memset(buffer.get(), 0, static_cast<size_t>(bytes));
    literal.data_ = buffer.get();
    literal.owner_ = std::move(buffer);
    literal.owns_ = true;
  }
  return literal;
}

Literal Literal::Full(const Shape& shape, double value) {
  Literal literal = Zero(shape);
  const int64_t count = shape.elements();
  if (count == 0) return literal;
  literal.SetFromDouble(0, value);
  const int64_t size = ByteSize(shape.type);
  char* data = static_cast<char*>(literal.MutableRaw());
  // Each copy doubles what is filled.
  for (int64_t filled = 1; filled < count;) {
    const int64_t n = std::min(filled, count - filled);
    std::memcpy(data + filled * size, data, static_cast<size_t>(n * size));
    filled += n;
  }
  return literal;
}

Literal Literal::FromBytes(const Shape& shape, const void* data) {
  Literal literal;
  literal.shape_ = shape;
  const int64_t bytes = shape.bytes();
  if (bytes > 0) {
    std::shared_ptr<void> buffer = Allocate(bytes);
    std::memcpy(buffer.get(), data, static_cast<size_t>(bytes));
    literal.data_ = buffer.get();
    literal.owner_ = std::move(buffer);
    literal.owns_ = true;
  }
  return literal;
}

Literal Literal::View(const Shape& shape, const void* data,
                      std::shared_ptr<const void> keep_alive) {
  Literal literal;
  literal.shape_ = shape;
  if (shape.bytes() > 0) {
    literal.data_ = data;
    literal.owner_ = std::move(keep_alive);
  }
  return literal;
}

Literal Literal::Tuple(std::vector<Literal> elements) {
  Literal literal;
  std::vector<Shape> shapes;
  shapes.reserve(elements.size());
  for (const Literal& element : elements) shapes.push_back(element.shape());
  literal.shape_ = Shape::Tuple(std::move(shapes));
  literal.tuple_ = std::move(elements);
  return literal;
}

Literal Literal::FromDoubles(const Shape& shape, absl::Span<const double> values) {
  CheckCount(shape, static_cast<int64_t>(values.size()));
  Literal literal = Zero(shape);
  for (size_t i = 0; i < values.size(); ++i) {
    literal.SetFromDouble(static_cast<int64_t>(i), values[i]);
  }
  return literal;
}

void* Literal::MutableRaw() {
  if (data_ != nullptr && (!owns_ || owner_.use_count() != 1)) *this = FromBytes(shape_, data_);
  // The buffer was allocated as writable memory by a Literal, and no other one shares it.
  return const_cast<void*>(data_);
}

double Literal::GetAsDouble(int64_t i) const {
  if (i < 0 || i >= elements()) Die(absl::StrCat("element ", i, " of ", shape_.ToString()));
  switch (shape_.type) {
    case kPred:
      return Load<uint8_t>(data_, i) != 0 ? 1 : 0;
    case kS4:
    case kS8:
      return Load<int8_t>(data_, i);
    case kS16:
      return Load<int16_t>(data_, i);
    case kS32:
      return Load<int32_t>(data_, i);
    case kS64:
      return static_cast<double>(Load<int64_t>(data_, i));
    case kU4:
    case kU8:
      return Load<uint8_t>(data_, i);
    case kU16:
      return Load<uint16_t>(data_, i);
    case kU32:
      return Load<uint32_t>(data_, i);
    case kU64:
      return static_cast<double>(Load<uint64_t>(data_, i));
    case kF8E5M2:
      return F16ToFloat(static_cast<uint16_t>(Load<uint8_t>(data_, i) << 8));
    case kF8E4M3FN:
      return F8E4M3FNToFloat(Load<uint8_t>(data_, i));
    case kF16:
      return F16ToFloat(Load<uint16_t>(data_, i));
    case kBF16:
      return BF16ToFloat(Load<uint16_t>(data_, i));
    case kF32:
      return Load<float>(data_, i);
    case kF64:
      return Load<double>(data_, i);
    case kC64:
      return Load<std::complex<float>>(data_, i).real();
    case kC128:
      return Load<std::complex<double>>(data_, i).real();
    default:
      return 0;  // other types have no elements
  }
}

void Literal::SetFromDouble(int64_t i, double value) {
  if (i < 0 || i >= elements()) Die(absl::StrCat("element ", i, " of ", shape_.ToString()));
  void* data = MutableRaw();
  // Rounded once: to odd in float first, so that the second rounding cannot go wrong.
  auto to_float_odd = [](double v) {
    const float nearest = static_cast<float>(v);
    if (std::isnan(v) || std::isinf(nearest) || static_cast<double>(nearest) == v) return nearest;
    uint32_t bits = FloatBits(nearest);
    if (std::fabs(static_cast<double>(nearest)) > std::fabs(v)) --bits;
    return FloatFromBits(bits | 1u);
  };
  switch (shape_.type) {
    case kPred:
      return Store<uint8_t>(data, i, value != 0 ? 1 : 0);
    case kS4:
      return Store(data, i, static_cast<int8_t>(std::min(7.0, std::max(-8.0, value))));
    case kU4:
      return Store(data, i, static_cast<uint8_t>(std::min(15.0, std::max(0.0, value))));
    case kS8:
      return Store(data, i, Saturate<int8_t>(value));
    case kS16:
      return Store(data, i, Saturate<int16_t>(value));
    case kS32:
      return Store(data, i, Saturate<int32_t>(value));
    case kS64:
      return Store(data, i, Saturate<int64_t>(value));
    case kU8:
      return Store(data, i, Saturate<uint8_t>(value));
    case kU16:
      return Store(data, i, Saturate<uint16_t>(value));
    case kU32:
      return Store(data, i, Saturate<uint32_t>(value));
    case kU64:
      return Store(data, i, Saturate<uint64_t>(value));
    case kF8E5M2:
      return Store(data, i, FloatToF8E5M2(to_float_odd(value)));
    case kF8E4M3FN:
      return Store(data, i, FloatToF8E4M3FN(to_float_odd(value)));
    case kF16:
      return Store(data, i, FloatToF16(to_float_odd(value)));
    case kBF16:
      return Store(data, i, FloatToBF16(to_float_odd(value)));
    case kF32:
      return Store(data, i, static_cast<float>(value));
    case kF64:
      return Store(data, i, value);
    case kC64:
      return Store(data, i, std::complex<float>(static_cast<float>(value), 0));
    case kC128:
      return Store(data, i, std::complex<double>(value, 0));
    default:
      return;
  }
}

int64_t Literal::GetAsInt64(int64_t i) const {
  if (shape_.type == kS64 || shape_.type == kU64) {
    if (i < 0 || i >= elements()) Die(absl::StrCat("element ", i, " of ", shape_.ToString()));
    return Load<int64_t>(data_, i);
  }
  return Saturate<int64_t>(GetAsDouble(i));
}

void Literal::SetFromInt64(int64_t i, int64_t value) {
  if (shape_.type == kS64 || shape_.type == kU64) {
    if (i < 0 || i >= elements()) Die(absl::StrCat("element ", i, " of ", shape_.ToString()));
    Store(MutableRaw(), i, value);
  } else {
    SetFromDouble(i, static_cast<double>(value));
  }
}

bool Literal::IsSplat() const {
  if (shape_.IsTuple()) return false;
  const int64_t count = elements();
  const size_t size = static_cast<size_t>(ByteSize(shape_.type));
  // Equal neighbours everywhere is one overlapping comparison.
  return count <= 1 || std::memcmp(data_, static_cast<const char*>(data_) + size,
                                   static_cast<size_t>(count - 1) * size) == 0;
}

bool Literal::IsAll(double value) const {
  if (shape_.IsTuple()) return false;
  const int64_t count = elements();
  if (count > 0 && IsComplex(shape_.type)) return false;
  if (count > 0 && !(GetAsDouble(0) == value)) return false;
  if (IsSplat()) return true;
  for (int64_t i = 1; i < count; ++i) {
    if (!(GetAsDouble(i) == value)) return false;
  }
  return true;
}

Literal Literal::Reshaped(std::vector<int64_t> dims) const {
  Literal result = *this;
  result.shape_ = Shape(shape_.type, std::move(dims));
  CheckCount(result.shape_, elements());
  return result;
}

std::string Literal::ToString(int64_t max_elements) const {
  return LiteralText(*this, max_elements);
}

bool operator==(const Literal& a, const Literal& b) {
  if (!Compatible(a.shape(), b.shape())) return false;
  if (a.shape().IsTuple()) return a.tuple() == b.tuple();
  return a.raw() == b.raw() || a.bytes() == 0 ||
         std::memcmp(a.raw(), b.raw(), static_cast<size_t>(a.bytes())) == 0;
}

}  // namespace glia::hlo
