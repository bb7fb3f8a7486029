#include "serialization/hlo/shape.h"

#include <algorithm>
#include <limits>

#include "absl/strings/ascii.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"

namespace glia::hlo {
namespace {

enum class Kind : uint8_t { kOther, kPred, kSigned, kUnsigned, kFloat, kComplex };

struct TypeInfo {
  PrimitiveType type;
  const char* name;
  int size;
  Kind kind;
};

constexpr TypeInfo kTypes[] = {
    {kInvalid, "invalid", 0, Kind::kOther},
    {kPred, "pred", 1, Kind::kPred},
    {kS8, "s8", 1, Kind::kSigned},
    {kS16, "s16", 2, Kind::kSigned},
    {kS32, "s32", 4, Kind::kSigned},
    {kS64, "s64", 8, Kind::kSigned},
    {kU8, "u8", 1, Kind::kUnsigned},
    {kU16, "u16", 2, Kind::kUnsigned},
    {kU32, "u32", 4, Kind::kUnsigned},
    {kU64, "u64", 8, Kind::kUnsigned},
    {kF16, "f16", 2, Kind::kFloat},
    {kF32, "f32", 4, Kind::kFloat},
    {kF64, "f64", 8, Kind::kFloat},
    {kTuple, "tuple", 0, Kind::kOther},
    {kOpaque, "opaque", 0, Kind::kOther},
    {kC64, "c64", 8, Kind::kComplex},
    {kBF16, "bf16", 2, Kind::kFloat},
    {kToken, "token", 0, Kind::kOther},
    {kC128, "c128", 16, Kind::kComplex},
    {kF8E5M2, "f8e5m2", 1, Kind::kFloat},
    {kF8E4M3FN, "f8e4m3fn", 1, Kind::kFloat},
    {kS4, "s4", 1, Kind::kSigned},
    {kU4, "u4", 1, Kind::kUnsigned},
};

constexpr int kMaxTupleDepth = 64;
constexpr int64_t kMaxBytes = int64_t{1} << 62;

// The table is in the order of the wire's numbers.
const TypeInfo& Info(PrimitiveType type) {
  const auto index = static_cast<size_t>(type);
  return index < std::size(kTypes) ? kTypes[index] : kTypes[0];
}

// Text is consumed from the front.
class ShapeParser {
 public:
  explicit ShapeParser(absl::string_view text) : text_(text) {}

  // Leaves what follows the shape in `rest`.
  absl::StatusOr<Shape> Parse(absl::string_view* rest) {
    Shape shape;
    absl::Status status = ParseOne(0, &shape);
    if (status.ok()) status = ValidateShape(shape);
    if (!status.ok()) return status;
    *rest = text_;
    return shape;
  }

 private:
  absl::Status Error(absl::string_view what) const {
    return absl::InvalidArgumentError(
        absl::StrCat("shape: ", what, " at \"", text_.substr(0, 40), "\""));
  }
  // Spaces and comments, which mark every fifth element of a long tuple.
  void SkipSpace() {
    text_ = absl::StripLeadingAsciiWhitespace(text_);
    while (text_.substr(0, 2) == "/*") {
      const size_t end = text_.find("*/", 2);
      if (end == absl::string_view::npos) return;
      text_.remove_prefix(end + 2);
      text_ = absl::StripLeadingAsciiWhitespace(text_);
    }
  }
  bool Eat(char c) {
    SkipSpace();
    if (text_.empty() || text_[0] != c) return false;
    text_.remove_prefix(1);
    return true;
  }

  absl::Status ParseOne(int depth, Shape* shape) {
    if (depth > kMaxTupleDepth) return Error("tuples nested too deeply");
    if (Eat('(')) {
      shape->type = kTuple;
      if (Eat(')')) return absl::OkStatus();
      do {
        shape->tuple.emplace_back();
        absl::Status status = ParseOne(depth + 1, &shape->tuple.back());
        if (!status.ok()) return status;
      } while (Eat(','));
      return Eat(')') ? absl::OkStatus() : Error("expected ',' or ')' in a tuple");
    }
    SkipSpace();
    size_t length = 0;
    while (length < text_.size() && absl::ascii_isalnum(text_[length])) ++length;
    absl::StatusOr<PrimitiveType> type = PrimitiveTypeFromName(text_.substr(0, length));
    if (!type.ok() || *type == kTuple) return Error("expected an element type");
    text_.remove_prefix(length);
    shape->type = *type;
    if (!Eat('[')) return Error("expected '['");
    absl::Status status = ParseNumbers(']', &shape->dims);
    // A layout follows at once; after a space, a brace opens the body of a computation.
    if (!status.ok() || text_.empty() || text_[0] != '{') return status;
    text_.remove_prefix(1);
    // "{1,0:T(8,128)}": what follows the colon concerns other devices.
    SkipSpace();
    if (text_.empty() || (text_[0] != ':' && text_[0] != '}')) {
      do {
        int64_t value;
        status = ParseNumber(&value);
        if (!status.ok()) return status;
        shape->minor_to_major.push_back(value);
      } while (Eat(','));
    }
    const size_t end = text_.find('}');
    if (end == absl::string_view::npos || (end > 0 && text_[0] != ':')) {
      return Error("expected '}' after the layout");
    }
    text_.remove_prefix(end + 1);
    if (shape->minor_to_major.size() != shape->dims.size()) return Error("layout of another rank");
    return absl::OkStatus();
  }

  absl::Status ParseNumbers(char end, std::vector<int64_t>* values) {
    if (Eat(end)) return absl::OkStatus();
    do {
      SkipSpace();
      if (!text_.empty() && (text_[0] == '<' || text_[0] == '?')) {
        return Error("dynamic dimensions are not supported; compile for a fixed shape");
      }
      int64_t value;
      absl::Status status = ParseNumber(&value);
      if (!status.ok()) return status;
      values->push_back(value);
    } while (Eat(','));
    return Eat(end) ? absl::OkStatus() : Error("expected ',' or a closing bracket");
  }

  absl::Status ParseNumber(int64_t* value) {
    SkipSpace();
    size_t length = 0;
    while (length < text_.size() && absl::ascii_isdigit(text_[length])) ++length;
    if (!absl::SimpleAtoi(text_.substr(0, length), value)) return Error("expected a number");
    text_.remove_prefix(length);
    return absl::OkStatus();
  }

  absl::string_view text_;
};

absl::Status Validate(const Shape& shape, int depth) {
  auto error = [&](absl::string_view what) {
    return absl::InvalidArgumentError(
        absl::StrCat("invalid shape ", depth == 0 ? shape.ToString() : "", ": ", what));
  };
  if (depth > kMaxTupleDepth) return error("tuples are nested deeper than 64");
  if (shape.IsTuple()) {
    if (!shape.dims.empty()) return error("a tuple has no dims");
    for (const Shape& element : shape.tuple) {
      absl::Status status = Validate(element, depth + 1);
      if (!status.ok()) return status;
    }
    return absl::OkStatus();
  }
  if (!shape.tuple.empty()) return error("only a tuple has elements");
  if (!shape.IsArray()) {
    if (shape.type != kToken && shape.type != kOpaque) {
      return error(absl::StrCat("unknown element type ", static_cast<int>(shape.type)));
    }
    return shape.dims.empty() ? absl::OkStatus() : error("this type has no dims");
  }
  int64_t size = ByteSize(shape.type);
  for (int64_t dim : shape.dims) {
    if (dim < 0) return error(absl::StrCat("negative dimension ", dim));
    // A zero elsewhere does not excuse an overflow: strides would still overflow.
    if (dim > 0 && size > kMaxBytes / dim) return error("it has more than 2^62 bytes");
    size *= std::max<int64_t>(dim, 1);
  }
  if (!shape.minor_to_major.empty()) {
    if (shape.minor_to_major.size() != shape.dims.size()) return error("layout of another rank");
    std::vector<bool> seen(shape.dims.size());
    for (int64_t dim : shape.minor_to_major) {
      if (dim < 0 || dim >= shape.rank() || seen[dim]) {
        return error("its layout is not a permutation of the dims");
      }
      seen[dim] = true;
    }
  }
  return absl::OkStatus();
}

bool SameLayout(const Shape& a, const Shape& b) {
  if (a.minor_to_major == b.minor_to_major) return true;
  return a.HasDefaultLayout() && b.HasDefaultLayout();
}

}  // namespace

int64_t ByteSize(PrimitiveType type) { return Info(type).size; }
absl::string_view Name(PrimitiveType type) { return Info(type).name; }

absl::StatusOr<PrimitiveType> PrimitiveTypeFromName(absl::string_view name) {
  for (const TypeInfo& info : kTypes) {
    if (info.type != kInvalid && name == info.name) return info.type;
  }
  return absl::InvalidArgumentError(absl::StrCat("unknown element type \"", name, "\""));
}

bool IsArrayType(PrimitiveType type) { return Info(type).size > 0; }
bool IsFloating(PrimitiveType type) { return Info(type).kind == Kind::kFloat; }
bool IsSignedInt(PrimitiveType type) { return Info(type).kind == Kind::kSigned; }
bool IsUnsignedInt(PrimitiveType type) { return Info(type).kind == Kind::kUnsigned; }
bool IsIntegral(PrimitiveType type) { return IsSignedInt(type) || IsUnsignedInt(type); }
bool IsComplex(PrimitiveType type) { return Info(type).kind == Kind::kComplex; }

Shape Shape::Tuple(std::vector<Shape> elements) {
  Shape shape;
  shape.type = kTuple;
  shape.tuple = std::move(elements);
  return shape;
}

Shape Shape::Token() { return Shape(kToken, {}); }

int64_t Shape::elements() const {
  if (!IsArray()) return 0;
  int64_t count = 1;
  for (int64_t dim : dims) count *= dim;
  return count;
}

int64_t Shape::bytes() const {
  if (!IsTuple()) return elements() * ByteSize(type);
  int64_t sum = 0;
  for (const Shape& element : tuple) sum += element.bytes();
  return sum;
}

bool Shape::HasDefaultLayout() const {
  for (const Shape& element : tuple) {
    if (!element.HasDefaultLayout()) return false;
  }
  for (size_t i = 0; i < minor_to_major.size(); ++i) {
    if (minor_to_major[i] != static_cast<int64_t>(minor_to_major.size() - 1 - i)) return false;
  }
  return true;
}

Shape Shape::WithoutLayout() const {
  Shape result(type, dims);
  result.tuple.reserve(tuple.size());
  for (const Shape& element : tuple) result.tuple.push_back(element.WithoutLayout());
  return result;
}

Shape Shape::WithType(PrimitiveType new_type) const {
  Shape result = *this;
  result.type = new_type;
  return result;
}

Shape Shape::WithDims(std::vector<int64_t> new_dims) const {
  return Shape(type, std::move(new_dims));
}

std::string Shape::ToString(bool with_layout) const {
  if (IsTuple()) {
    std::string text = "(";
    for (size_t i = 0; i < tuple.size(); ++i) {
      absl::StrAppend(&text, i == 0 ? "" : ", ", tuple[i].ToString(with_layout));
    }
    return text + ")";
  }
  std::string text = absl::StrCat(Name(type), "[", absl::StrJoin(dims, ","), "]");
  if (with_layout && IsArray() && !dims.empty()) {
    if (!minor_to_major.empty()) {
      absl::StrAppend(&text, "{", absl::StrJoin(minor_to_major, ","), "}");
    } else {
      text += '{';
      for (int64_t i = rank() - 1; i >= 0; --i) absl::StrAppend(&text, i, i == 0 ? "}" : ",");
    }
  }
  return text;
}

bool operator==(const Shape& a, const Shape& b) {
  return a.type == b.type && a.dims == b.dims && SameLayout(a, b) && a.tuple == b.tuple;
}

bool Compatible(const Shape& a, const Shape& b) {
  return a.type == b.type && a.dims == b.dims && a.tuple.size() == b.tuple.size() &&
         std::equal(a.tuple.begin(), a.tuple.end(), b.tuple.begin(), Compatible);
}

bool SameDims(const Shape& a, const Shape& b) {
  return a.IsArray() && b.IsArray() && a.dims == b.dims;
}

absl::Status ValidateShape(const Shape& shape) { return Validate(shape, 0); }

absl::StatusOr<Shape> ConsumeShape(absl::string_view* text) {
  return ShapeParser(*text).Parse(text);
}

absl::StatusOr<Shape> ParseShape(absl::string_view text) {
  absl::StatusOr<Shape> shape = ConsumeShape(&text);
  if (shape.ok() && !absl::StripLeadingAsciiWhitespace(text).empty()) {
    return absl::InvalidArgumentError(
        absl::StrCat("shape: unexpected text after the shape: \"", text.substr(0, 40), "\""));
  }
  return shape;
}

std::vector<int64_t> RowMajorStrides(absl::Span<const int64_t> dims) {
  std::vector<int64_t> strides(dims.size());
  int64_t stride = 1;
  for (size_t i = dims.size(); i-- > 0;) {
    strides[i] = stride;
    stride *= dims[i];
  }
  return strides;
}

}  // namespace glia::hlo
