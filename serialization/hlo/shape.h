// Element types and array shapes of HLO.
//
// Numbers and names of the element types are XLA's (xla/xla_data.proto in openxla/xla), so that a
// PrimitiveType converts to and from the wire by a cast. Values only; all functions are
// thread-safe.
#ifndef GLIA_SERIALIZATION_HLO_SHAPE_H_
#define GLIA_SERIALIZATION_HLO_SHAPE_H_

#include <cstdint>
#include <string>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "absl/types/span.h"

namespace glia::hlo {

enum class PrimitiveType : int32_t {
  INVALID = 0,
  PRED = 1,
  S8 = 2,
  S16 = 3,
  S32 = 4,
  S64 = 5,
  U8 = 6,
  U16 = 7,
  U32 = 8,
  U64 = 9,
  F16 = 10,
  F32 = 11,
  F64 = 12,
  TUPLE = 13,
  OPAQUE_TYPE = 14,
  C64 = 15,
  BF16 = 16,
  TOKEN = 17,
  C128 = 18,
  F8E5M2 = 19,
  F8E4M3FN = 20,
  S4 = 21,
  U4 = 22,
};

inline constexpr PrimitiveType kInvalid = PrimitiveType::INVALID;
inline constexpr PrimitiveType kPred = PrimitiveType::PRED;
inline constexpr PrimitiveType kS4 = PrimitiveType::S4;
inline constexpr PrimitiveType kS8 = PrimitiveType::S8;
inline constexpr PrimitiveType kS16 = PrimitiveType::S16;
inline constexpr PrimitiveType kS32 = PrimitiveType::S32;
inline constexpr PrimitiveType kS64 = PrimitiveType::S64;
inline constexpr PrimitiveType kU4 = PrimitiveType::U4;
inline constexpr PrimitiveType kU8 = PrimitiveType::U8;
inline constexpr PrimitiveType kU16 = PrimitiveType::U16;
inline constexpr PrimitiveType kU32 = PrimitiveType::U32;
inline constexpr PrimitiveType kU64 = PrimitiveType::U64;
inline constexpr PrimitiveType kF8E5M2 = PrimitiveType::F8E5M2;
inline constexpr PrimitiveType kF8E4M3FN = PrimitiveType::F8E4M3FN;
inline constexpr PrimitiveType kF16 = PrimitiveType::F16;
inline constexpr PrimitiveType kBF16 = PrimitiveType::BF16;
inline constexpr PrimitiveType kF32 = PrimitiveType::F32;
inline constexpr PrimitiveType kF64 = PrimitiveType::F64;
inline constexpr PrimitiveType kC64 = PrimitiveType::C64;
inline constexpr PrimitiveType kC128 = PrimitiveType::C128;
inline constexpr PrimitiveType kTuple = PrimitiveType::TUPLE;
inline constexpr PrimitiveType kOpaque = PrimitiveType::OPAQUE_TYPE;
inline constexpr PrimitiveType kToken = PrimitiveType::TOKEN;

// Bytes of one element in a Literal: 1 for PRED, and for S4 and U4 (held unpacked); 0 for types
// that are not array elements.
int64_t ByteSize(PrimitiveType type);

// "f32", "pred", "tuple"; "invalid" for a number this table does not know.
absl::string_view Name(PrimitiveType type);

// Inverse of Name; INVALID_ARGUMENT for an unknown name.
absl::StatusOr<PrimitiveType> PrimitiveTypeFromName(absl::string_view name);

bool IsArrayType(PrimitiveType type);    // can be the element of an array
bool IsFloating(PrimitiveType type);     // f8, f16, bf16, f32, f64
bool IsSignedInt(PrimitiveType type);    // s4 … s64
bool IsUnsignedInt(PrimitiveType type);  // u4 … u64, without pred
bool IsIntegral(PrimitiveType type);     // signed or unsigned, without pred
bool IsComplex(PrimitiveType type);

// An array (type, dims), a tuple (type TUPLE, elements in `tuple`), a token or an opaque value.
struct Shape {
  PrimitiveType type = kInvalid;
  std::vector<int64_t> dims;
  // Layout, fastest varying dimension first. Empty means the default, {rank-1, …, 1, 0}. It does
  // not affect the meaning of an instruction, and literals are row-major whatever it says.
  std::vector<int64_t> minor_to_major;
  std::vector<Shape> tuple;

  Shape() = default;
  Shape(PrimitiveType type, std::vector<int64_t> dims) : type(type), dims(std::move(dims)) {}

  static Shape Tuple(std::vector<Shape> elements);
  static Shape Token();

  bool IsArray() const { return IsArrayType(type); }
  bool IsTuple() const { return type == kTuple; }
  bool IsToken() const { return type == kToken; }
  bool IsScalar() const { return IsArray() && dims.empty(); }

  int64_t rank() const { return static_cast<int64_t>(dims.size()); }
  int64_t dim(int64_t i) const { return dims[i]; }

  // Product of the dims (1 for a scalar, 0 when a dim is 0). Of a tuple: 0.
  int64_t elements() const;
  // Bytes of the data; of a tuple, the sum over its elements.
  int64_t bytes() const;

  // Whether the layout is absent or {rank-1, …, 0}, recursively.
  bool HasDefaultLayout() const;
  // A copy without layouts, recursively.
  Shape WithoutLayout() const;
  // A copy with another element type, or other dims and no layout. Arrays only.
  Shape WithType(PrimitiveType new_type) const;
  Shape WithDims(std::vector<int64_t> new_dims) const;

  // XLA's notation: "f32[2,3]", "f32[2,3]{1,0}", "(f32[2], s32[])". Without layout unless asked;
  // with layout, a default one is printed too, as XLA does.
  std::string ToString(bool with_layout = false) const;
};

// Types, dims and layouts are equal; an absent layout equals the default one.
bool operator==(const Shape& a, const Shape& b);
inline bool operator!=(const Shape& a, const Shape& b) { return !(a == b); }

// Equal but for layouts.
bool Compatible(const Shape& a, const Shape& b);

// Equal dims, whatever the element types. False for tuples.
bool SameDims(const Shape& a, const Shape& b);

// Checks types, dims >= 0, that the layout is a permutation, that no tuple is nested deeper than 64
// and that the byte size does not overflow 2^62.
absl::Status ValidateShape(const Shape& shape);

// Inverse of ToString; tiling, memory space and other annotations of a layout
// ("{1,0:T(8,128)S(1)}") are dropped. INVALID_ARGUMENT for anything else, dynamic dims included.
absl::StatusOr<Shape> ParseShape(absl::string_view text);

// Parses a shape at the front of `text` and removes it.
absl::StatusOr<Shape> ConsumeShape(absl::string_view* text);

// Elements between neighbours along each dim, row-major. Shape must be an array.
std::vector<int64_t> RowMajorStrides(absl::Span<const int64_t> dims);

}  // namespace glia::hlo

#endif  // GLIA_SERIALIZATION_HLO_SHAPE_H_
