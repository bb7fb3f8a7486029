// Reads HLO text from the front: what the parsers of literals, attributes and modules share. Not
// thread-safe.
#ifndef GLIA_SERIALIZATION_HLO_TEXT_CURSOR_H_
#define GLIA_SERIALIZATION_HLO_TEXT_CURSOR_H_

#include <cstdint>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/string_view.h"

namespace glia::hlo {

// Every Read function skips spaces and comments first, and gives INVALID_ARGUMENT with the line and
// what it expected. Eat and Peek functions return whether the text is there.
class TextCursor {
 public:
  explicit TextCursor(absl::string_view text) : all_(text), text_(text) {}

  absl::string_view rest() const { return text_; }
  void set_rest(absl::string_view rest) { text_ = rest; }

  // "line 12: what at "…"".
  absl::Status Error(absl::string_view what) const;

  void SkipSpace();
  bool AtEnd();
  bool Peek(absl::string_view token);
  bool Eat(absl::string_view token);
  // Eats a word only when no name character follows it.
  bool EatWord(absl::string_view word);
  absl::Status Expect(absl::string_view token);

  // [A-Za-z_][A-Za-z0-9_.-]*, and the number or sign that other front-ends start names with.
  absl::Status ReadName(std::string* name);
  absl::Status ReadInt(int64_t* value);
  absl::Status ReadBool(bool* value);
  absl::Status ReadDouble(double* value);
  // A quoted string with C escapes.
  absl::Status ReadString(std::string* value);
  // "{1,2,3}".
  absl::Status ReadInts(std::vector<int64_t>* values);
  // Characters up to a space, comma or closing bracket.
  absl::string_view ReadToken();
  // The text of a value of any form: a string, a bracketed group, or a token.
  absl::Status ReadValue(absl::string_view* value);

 private:
  absl::string_view all_;
  absl::string_view text_;
};

}  // namespace glia::hlo

#endif  // GLIA_SERIALIZATION_HLO_TEXT_CURSOR_H_
