// Literals in XLA's HLO text: "1.5", "{1, 2}", "{ {1, 2}, {3, 4} }", "(1, {2})" for tuples.
#ifndef GLIA_SERIALIZATION_HLO_LITERAL_TEXT_H_
#define GLIA_SERIALIZATION_HLO_LITERAL_TEXT_H_

#include <string>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "serialization/hlo/literal.h"

namespace glia::hlo {

class TextCursor;  // text_cursor.h

// The text of a literal; parsing it gives the same values bit for bit (NaN payloads included).
// After max_elements elements (if not negative) come "...", which does not parse.
std::string LiteralText(const Literal& literal, int64_t max_elements = -1);

// Parses one literal of the given shape from the front of `text` and removes it. Accepts the values
// of each type, C's and Python's notations of NaN and infinity, comments, and a flat list where a
// nested one is expected. INVALID_ARGUMENT on anything else, a wrong count or a value out of range.
absl::StatusOr<Literal> ParseLiteral(const Shape& shape, absl::string_view* text);
absl::StatusOr<Literal> ParseLiteral(const Shape& shape, TextCursor* cursor);

}  // namespace glia::hlo

#endif  // GLIA_SERIALIZATION_HLO_LITERAL_TEXT_H_
