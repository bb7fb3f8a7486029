// A constant array or tuple of arrays.
//
// Data is row-major in the order of the logical dims, whatever the layout of the shape; PRED is one
// byte (0 or 1), BF16 and F16 are uint16_t (see float16.h), C64 and C128 are std::complex, S4 and
// U4 one byte an element. Copying a Literal shares its bytes; MutableData makes them its own first.
// Reading from several threads is safe.
#ifndef GLIA_SERIALIZATION_HLO_LITERAL_H_
#define GLIA_SERIALIZATION_HLO_LITERAL_H_

#include <complex>
#include <cstdint>
#include <memory>
#include <string>
#include <type_traits>
#include <vector>

#include "absl/status/status.h"
#include "absl/types/span.h"
#include "serialization/hlo/shape.h"

namespace glia::hlo {

// The PrimitiveType that a C++ element type stands for. uint16_t is U16; for bf16 and f16, name the
// type.
template <typename T>
constexpr PrimitiveType NativeType() {
  if constexpr (std::is_same_v<T, bool>)
    return kPred;
  else if constexpr (std::is_same_v<T, int8_t>)
    return kS8;
  else if constexpr (std::is_same_v<T, int16_t>)
    return kS16;
  else if constexpr (std::is_same_v<T, int32_t>)
    return kS32;
  else if constexpr (std::is_same_v<T, int64_t> || std::is_same_v<T, long long>)
    return kS64;
  else if constexpr (std::is_same_v<T, uint8_t>)
    return kU8;
  else if constexpr (std::is_same_v<T, uint16_t>)
    return kU16;
  else if constexpr (std::is_same_v<T, uint32_t>)
    return kU32;
  else if constexpr (std::is_same_v<T, uint64_t>)
    return kU64;
  else if constexpr (std::is_same_v<T, float>)
    return kF32;
  else if constexpr (std::is_same_v<T, double>)
    return kF64;
  else if constexpr (std::is_same_v<T, std::complex<float>>)
    return kC64;
  else if constexpr (std::is_same_v<T, std::complex<double>>)
    return kC128;
  else
    return kInvalid;
}

class Literal {
 public:
  Literal() = default;

  // Array of zeros (false); for a tuple shape, each element so. Shape must be valid.
  static Literal Zero(const Shape& shape);
  // Array whose every element is `value`, converted as by SetFromDouble.
  static Literal Full(const Shape& shape, double value);
  // Copies shape.bytes() bytes of row-major data.
  static Literal FromBytes(const Shape& shape, const void* data);
  // Views shape.bytes() bytes at `data` without copying; `keep_alive` holds them.
  static Literal View(const Shape& shape, const void* data, std::shared_ptr<const void> keep_alive);
  static Literal Tuple(std::vector<Literal> elements);

  // Scalar and vector of the C++ type's PrimitiveType.
  template <typename T>
  static Literal R0(T value) {
    return FromBytes(Shape(NativeType<T>(), {}), &value);
  }
  template <typename T>
  static Literal R1(absl::Span<const T> values) {
    return FromBytes(Shape(NativeType<T>(), {static_cast<int64_t>(values.size())}), values.data());
  }
  // `values` has as many elements as `dims` ask; aborts otherwise.
  template <typename T>
  static Literal FromVector(std::vector<int64_t> dims, const std::vector<T>& values);
  // Converts each value as SetFromDouble does; aborts on a wrong count.
  static Literal FromDoubles(const Shape& shape, absl::Span<const double> values);
  // Scalar of any array type.
  static Literal Scalar(PrimitiveType type, double value) { return Full(Shape(type, {}), value); }

  const Shape& shape() const { return shape_; }
  int64_t elements() const { return shape_.elements(); }
  int64_t bytes() const { return shape_.bytes(); }

  // Array data; null for tuples and for 0 bytes.
  const void* raw() const { return data_; }
  // Makes the bytes this literal's alone (a copy if they are shared or foreign), then gives them.
  void* MutableRaw();

  // Typed access. sizeof(T) must be the size of an element (bool for PRED, uint16_t for BF16 and
  // F16).
  template <typename T>
  absl::Span<const T> data() const {
    return absl::Span<const T>(static_cast<const T*>(data_), static_cast<size_t>(Count<T>()));
  }
  template <typename T>
  absl::Span<T> MutableData() {
    const int64_t count = Count<T>();
    return absl::Span<T>(static_cast<T*>(MutableRaw()), static_cast<size_t>(count));
  }

  // Element at row-major position i. 64-bit integers may round; of complex values the real part.
  double GetAsDouble(int64_t i) const;
  // Rounds for floats; truncates towards zero and saturates for integers; != 0 for PRED.
  void SetFromDouble(int64_t i, double value);
  // As above, exact for integers and PRED; floats truncate and saturate. U64 keeps its bits.
  int64_t GetAsInt64(int64_t i) const;
  void SetFromInt64(int64_t i, int64_t value);

  // Tuple elements; empty for arrays.
  const std::vector<Literal>& tuple() const { return tuple_; }

  // Whether every element has the same bit pattern (true when there are 0 or 1). False for tuples.
  bool IsSplat() const;
  // Whether every element equals `value` numerically. False for tuples.
  bool IsAll(double value) const;

  // The same bytes under other dims of equal element count, and no layout.
  Literal Reshaped(std::vector<int64_t> dims) const;

  // XLA's notation of the value alone: "1.5", "{1, 2}", "{ {1, 2}, {3, 4} }"; elements beyond
  // max_elements become "...", which does not parse.
  std::string ToString(int64_t max_elements = -1) const;

 private:
  template <typename T>
  int64_t Count() const {
    CheckElementSize(static_cast<int64_t>(sizeof(T)));
    return shape_.elements();
  }
  void CheckElementSize(int64_t size) const;
  static void CheckCount(const Shape& shape, int64_t given);

  Shape shape_;
  const void* data_ = nullptr;
  std::shared_ptr<const void> owner_;
  bool owns_ =
      false;  // the bytes are a buffer allocated by a Literal, hence writable when unshared
  std::vector<Literal> tuple_;
};

// Shapes are compatible and all bytes equal (so NaN equals the same NaN, and 0.0 differs from
// -0.0).
bool operator==(const Literal& a, const Literal& b);
inline bool operator!=(const Literal& a, const Literal& b) { return !(a == b); }

template <typename T>
Literal Literal::FromVector(std::vector<int64_t> dims, const std::vector<T>& values) {
  const Shape shape(NativeType<T>(), std::move(dims));
  CheckCount(shape, static_cast<int64_t>(values.size()));
  if constexpr (std::is_same_v<T, bool>) {  // std::vector<bool> has no data()
    std::vector<uint8_t> bytes(values.begin(), values.end());
    return FromBytes(shape, bytes.data());
  } else {
    return FromBytes(shape, values.data());
  }
}

}  // namespace glia::hlo

#endif  // GLIA_SERIALIZATION_HLO_LITERAL_H_
