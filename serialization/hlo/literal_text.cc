#include "serialization/hlo/literal_text.h"

#include <algorithm>
#include <charconv>
#include <cmath>
#include <cstring>
#include <vector>

#include "absl/strings/match.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/strip.h"
#include "serialization/hlo/float16.h"
#include "serialization/hlo/text_cursor.h"

namespace glia::hlo {
namespace {

constexpr int kMaxTupleDepth = 64;

// How a floating type's bits divide, for NaNs.
struct FloatLayout {
  int bits;
  int mantissa_bits;
};

FloatLayout LayoutOf(PrimitiveType type) {
  switch (type) {
    case kF64:
      return {64, 52};
    case kF16:
      return {16, 10};
    case kBF16:
      return {16, 7};
    case kF8E5M2:
      return {8, 2};
    case kF8E4M3FN:
      return {8, 3};
    default:
      return {32, 23};
  }
}

uint64_t LoadBits(const void* data, int64_t i, int bits) {
  uint64_t value = 0;
  std::memcpy(&value, static_cast<const char*>(data) + i * (bits / 8),
              static_cast<size_t>(bits / 8));
  return value;
}

// The type of the parts of a complex type.
PrimitiveType PartType(PrimitiveType type) {
  return type == kC64 ? kF32 : type == kC128 ? kF64 : type;
}

template <typename T>
void AppendNumber(T value, std::string* out) {
  char buffer[64];
  const auto result = std::to_chars(buffer, buffer + sizeof(buffer), value);
  out->append(buffer, result.ptr);
}

// Shortest text that reads back as the same value.
void AppendFloat(PrimitiveType type, const void* data, int64_t i, std::string* out) {
  const FloatLayout layout = LayoutOf(type);
  const uint64_t bits = LoadBits(data, i, layout.bits);
  double value;
  if (type == kF64) {
    std::memcpy(&value, &bits, sizeof(value));
  } else if (type == kF32) {
    value = FloatFromBits(static_cast<uint32_t>(bits));
  } else {
    value = Literal::View(Shape(type, {}), &bits, nullptr).GetAsDouble(0);
  }
  if (std::isnan(value)) {
    if ((bits >> (layout.bits - 1)) != 0) *out += '-';
    *out += "nan";
    const uint64_t mantissa = bits & ((uint64_t{1} << layout.mantissa_bits) - 1);
    const bool canonical = type == kF8E4M3FN || mantissa == uint64_t{1}
                                                                << (layout.mantissa_bits - 1);
    if (!canonical) absl::StrAppend(out, "(0x", absl::Hex(mantissa), ")");
  } else if (std::isinf(value)) {
    *out += value < 0 ? "-inf" : "inf";
  } else if (type == kF64) {
    AppendNumber(value, out);
  } else {
    AppendNumber(static_cast<float>(value), out);
  }
}

void AppendElement(const Literal& literal, int64_t i, std::string* out) {
  const PrimitiveType type = literal.shape().type;
  if (type == kPred) {
    const bool value = literal.GetAsDouble(i) != 0;
    *out += literal.shape().IsScalar() ? (value ? "true" : "false") : (value ? "1" : "0");
  } else if (type == kU64) {
    AppendNumber(static_cast<uint64_t>(literal.GetAsInt64(i)), out);
  } else if (IsIntegral(type)) {
    AppendNumber(literal.GetAsInt64(i), out);
  } else if (IsComplex(type)) {
    *out += '(';
    AppendFloat(PartType(type), literal.raw(), 2 * i, out);
    *out += ", ";
    AppendFloat(PartType(type), literal.raw(), 2 * i + 1, out);
    *out += ')';
  } else {
    AppendFloat(type, literal.raw(), i, out);
  }
}

void AppendLiteral(const Literal& literal, int64_t max_elements, std::string* out) {
  const Shape& shape = literal.shape();
  if (shape.IsTuple()) {
    *out += '(';
    for (size_t i = 0; i < literal.tuple().size(); ++i) {
      if (i > 0) *out += ", ";
      AppendLiteral(literal.tuple()[i], max_elements, out);
    }
    *out += ')';
    return;
  }
  const int64_t count = shape.elements();
  if (shape.IsScalar()) return AppendElement(literal, 0, out);
  if (count == 0) {
    *out += "{}";
    return;
  }
  const char* open = shape.rank() == 1 ? "{" : "{ ";
  const char* close = shape.rank() == 1 ? "}" : " }";
  // Braces open and close where a multiple of the size of the inner dims is reached.
  const std::vector<int64_t> strides = RowMajorStrides(shape.dims);
  const int64_t shown = max_elements < 0 ? count : std::min(count, max_elements);
  for (int64_t i = 0; i < shown; ++i) {
    if (i > 0) *out += ", ";
    for (int64_t d = 0; d < shape.rank(); ++d) {
      if (i % (strides[d] * shape.dims[d]) == 0) *out += open;
    }
    AppendElement(literal, i, out);
    for (int64_t d = 0; d < shape.rank(); ++d) {
      if ((i + 1) % (strides[d] * shape.dims[d]) == 0) *out += close;
    }
  }
  if (shown < count) *out += ", ...";
}

class LiteralParser {
 public:
  explicit LiteralParser(const TextCursor& cursor) : cursor_(cursor) {}
  const TextCursor& cursor() const { return cursor_; }

  absl::StatusOr<Literal> Parse(const Shape& shape, int depth) {
    if (depth > kMaxTupleDepth) return cursor_.Error("tuples nested too deeply");
    if (shape.IsTuple()) {
      std::vector<Literal> elements;
      absl::Status status = cursor_.Expect("(");
      if (!status.ok()) return status;
      for (const Shape& element : shape.tuple) {
        if (!elements.empty()) {
          status = cursor_.Expect(",");
          if (!status.ok()) return status;
        }
        // A tuple's elements may be preceded by their shapes.
        if (element.IsArray() && !cursor_.Eat(element.ToString(true))) {
          (void)cursor_.Eat(element.ToString());
        }
        absl::StatusOr<Literal> literal = Parse(element, depth + 1);
        if (!literal.ok()) return literal;
        elements.push_back(*std::move(literal));
      }
      status = cursor_.Expect(")");
      if (!status.ok()) return status;
      return Literal::Tuple(std::move(elements));
    }
    if (!shape.IsArray())
      return cursor_.Error(absl::StrCat("no literal has shape ", shape.ToString()));
    const int64_t count = shape.elements();
    // Each element takes at least one character: this bounds what a short text can make us
    // allocate.
    if (count > static_cast<int64_t>(cursor_.rest().size())) {
      return cursor_.Error(absl::StrCat("too few values for ", shape.ToString()));
    }
    Literal literal = Literal::Zero(shape);
    absl::Status status =
        shape.IsScalar() ? ParseElement(&literal, 0) : ParseElements(&literal, count);
    if (!status.ok()) return status;
    return literal;
  }

 private:
  // The count of values between braces must be that of the dims they enclose.
  absl::Status ParseElements(Literal* literal, int64_t count) {
    const Shape& shape = literal->shape();
    const std::vector<int64_t> strides = RowMajorStrides(shape.dims);
    std::vector<int64_t> starts;
    int64_t next = 0;
    do {
      while (cursor_.Eat(",")) {
      }
      const int64_t depth = static_cast<int64_t>(starts.size());
      if (cursor_.Eat("{")) {
        if (depth == shape.rank()) return cursor_.Error("braces nested deeper than the shape");
        starts.push_back(next);
      } else if (depth == 0) {
        return cursor_.Error(absl::StrCat("expected '{' of a literal ", shape.ToString()));
      } else if (cursor_.Eat("}")) {
        const int64_t expected = strides[depth - 1] * shape.dims[depth - 1];
        if (count > 0 && next - starts.back() != expected) {
          return cursor_.Error(absl::StrCat("a literal ", shape.ToString(), " has ",
                                            next - starts.back(), " values where ", expected,
                                            " are expected"));
        }
        starts.pop_back();
      } else if (cursor_.Eat("...")) {
        return cursor_.Error(
            "the constant's values were left out of the text; dump it with large constants "
            "printed");
      } else {
        if (next == count)
          return cursor_.Error(absl::StrCat("too many values for ", shape.ToString()));
        absl::Status status = ParseElement(literal, next++);
        if (!status.ok()) return status;
      }
    } while (!starts.empty());
    return absl::OkStatus();
  }

  absl::Status ParseElement(Literal* literal, int64_t i) {
    const PrimitiveType type = literal->shape().type;
    if (IsComplex(type)) {
      const bool pair = cursor_.Eat("(");
      absl::Status status = ParseScalar(PartType(type), literal, 2 * i);
      if (!status.ok() || !pair) return status;
      status = cursor_.Expect(",");
      if (!status.ok()) return status;
      status = ParseScalar(PartType(type), literal, 2 * i + 1);
      return status.ok() ? cursor_.Expect(")") : status;
    }
    return ParseScalar(type, literal, i);
  }

  void Store(PrimitiveType type, Literal* literal, int64_t i, uint64_t bits) {
    const auto size = static_cast<size_t>(ByteSize(type));
    std::memcpy(static_cast<char*>(literal->MutableRaw()) + static_cast<size_t>(i) * size, &bits,
                size);
  }

  absl::Status ParseScalar(PrimitiveType type, Literal* literal, int64_t i) {
    cursor_.SkipSpace();
    const TextCursor before = cursor_;
    const absl::string_view token = cursor_.ReadToken();
    auto error = [&] {
      return before.Error(absl::StrCat("expected a value of type ", Name(type)));
    };
    if (type == kPred) {
      const bool is_true = token == "true" || token == "1";
      if (!is_true && token != "false" && token != "0") return error();
      Store(type, literal, i, is_true ? 1 : 0);
      return absl::OkStatus();
    }
    if (IsUnsignedInt(type)) {
      uint64_t value;
      const int bits = type == kU4 ? 4 : static_cast<int>(ByteSize(type)) * 8;
      if (!absl::SimpleAtoi(token, &value) || (bits < 64 && (value >> bits) != 0)) return error();
      Store(type, literal, i, value);
      return absl::OkStatus();
    }
    if (IsSignedInt(type)) {
      int64_t value;
      const int bits = type == kS4 ? 4 : static_cast<int>(ByteSize(type)) * 8;
      const int64_t top = bits == 64 ? 0 : TopOf(bits);
      if (!absl::SimpleAtoi(token, &value) || (bits < 64 && (value < -top || value >= top))) {
        return error();
      }
      Store(type, literal, i, static_cast<uint64_t>(value));
      return absl::OkStatus();
    }
    return ParseFloat(type, token, literal, i) ? absl::OkStatus() : error();
  }

  // 2^(bits-1), which signed values stay below.
  static int64_t TopOf(int bits) { return int64_t{1} << (bits - 1); }

  bool ParseFloat(PrimitiveType type, absl::string_view token, Literal* literal, int64_t i) {
    if (absl::EqualsIgnoreCase(absl::StripPrefix(absl::StripPrefix(token, "-"), "+"), "nan")) {
      const FloatLayout layout = LayoutOf(type);
      uint64_t mantissa = type == kF8E4M3FN ? 7 : uint64_t{1} << (layout.mantissa_bits - 1);
      if (cursor_.rest().substr(0, 1) == "(") {
        (void)cursor_.Eat("(");
        const absl::string_view payload = cursor_.ReadToken();
        if (!absl::SimpleHexAtoi(payload, &mantissa) || mantissa == 0 ||
            (mantissa >> layout.mantissa_bits) != 0 || !cursor_.Eat(")")) {
          return false;
        }
      }
      const int exponent_bits = layout.bits - 1 - layout.mantissa_bits;
      uint64_t bits = (((uint64_t{1} << exponent_bits) - 1) << layout.mantissa_bits) | mantissa;
      if (token[0] == '-') bits |= uint64_t{1} << (layout.bits - 1);
      Store(type, literal, i, bits);
      return true;
    }
    if (type == kF64) {
      double value;
      if (!absl::SimpleAtod(token, &value)) return false;
      uint64_t bits;
      std::memcpy(&bits, &value, sizeof(bits));
      Store(type, literal, i, bits);
      return true;
    }
    float value;
    if (!absl::SimpleAtof(token, &value)) return false;
    if (type == kF32) {
      Store(type, literal, i, FloatBits(value));
    } else {
      literal->SetFromDouble(i, value);
    }
    return true;
  }

  TextCursor cursor_;
};

}  // namespace

std::string LiteralText(const Literal& literal, int64_t max_elements) {
  std::string text;
  AppendLiteral(literal, max_elements, &text);
  return text;
}

absl::StatusOr<Literal> ParseLiteral(const Shape& shape, TextCursor* cursor) {
  LiteralParser parser(*cursor);
  absl::StatusOr<Literal> literal = parser.Parse(shape, 0);
  if (literal.ok()) *cursor = parser.cursor();
  return literal;
}

absl::StatusOr<Literal> ParseLiteral(const Shape& shape, absl::string_view* text) {
  TextCursor cursor(*text);
  absl::StatusOr<Literal> literal = ParseLiteral(shape, &cursor);
  if (literal.ok()) *text = cursor.rest();
  return literal;
}

}  // namespace glia::hlo
