#include "serialization/hlo/text_cursor.h"

#include <algorithm>

#include "absl/strings/ascii.h"
#include "absl/strings/escaping.h"
#include "absl/strings/numbers.h"

namespace glia::hlo {
namespace {

bool IsNameChar(char c) { return absl::ascii_isalnum(c) || c == '_' || c == '.' || c == '-'; }

}  // namespace

absl::Status TextCursor::Error(absl::string_view what) const {
  const absl::string_view consumed = all_.substr(0, all_.size() - text_.size());
  const auto line = 1 + std::count(consumed.begin(), consumed.end(), '\n');
  absl::string_view here = text_.substr(0, 48);
  here = here.substr(0, here.find('\n'));
  return absl::InvalidArgumentError(
      absl::StrCat("HLO text, line ", line, ": ", what, " at \"", absl::CHexEscape(here), "\""));
}

void TextCursor::SkipSpace() {
  while (true) {
    text_ = absl::StripLeadingAsciiWhitespace(text_);
    size_t end;
    if (text_.substr(0, 2) == "/*") {
      end = text_.find("*/", 2);
      end = end == absl::string_view::npos ? text_.size() : end + 2;
    } else if (text_.substr(0, 2) == "//") {
      end = std::min(text_.find('\n'), text_.size());
    } else {
      return;
    }
    text_.remove_prefix(end);
  }
}

bool TextCursor::AtEnd() {
  SkipSpace();
  return text_.empty();
}

bool TextCursor::Peek(absl::string_view token) {
  SkipSpace();
  return text_.substr(0, token.size()) == token;
}

bool TextCursor::Eat(absl::string_view token) {
  if (!Peek(token)) return false;
  text_.remove_prefix(token.size());
  return true;
}

bool TextCursor::EatWord(absl::string_view word) {
  if (!Peek(word) || (text_.size() > word.size() && IsNameChar(text_[word.size()]))) return false;
  text_.remove_prefix(word.size());
  return true;
}

absl::Status TextCursor::Expect(absl::string_view token) {
  if (Eat(token)) return absl::OkStatus();
  return Error(absl::StrCat("expected '", token, "'"));
}

absl::Status TextCursor::ReadName(std::string* name) {
  SkipSpace();
  size_t length = 0;
  while (length < text_.size() && IsNameChar(text_[length])) {
    // "a->b" ends the name a.
    if (text_[length] == '-' && length + 1 < text_.size() && text_[length + 1] == '>') break;
    ++length;
  }
  if (length == 0) return Error("expected a name");
  *name = std::string(text_.substr(0, length));
  text_.remove_prefix(length);
  return absl::OkStatus();
}

absl::Status TextCursor::ReadInt(int64_t* value) {
  SkipSpace();
  size_t length = !text_.empty() && (text_[0] == '-' || text_[0] == '+') ? 1 : 0;
  while (length < text_.size() && absl::ascii_isdigit(text_[length])) ++length;
  if (!absl::SimpleAtoi(text_.substr(0, length), value)) return Error("expected an integer");
  text_.remove_prefix(length);
  return absl::OkStatus();
}

absl::Status TextCursor::ReadBool(bool* value) {
  if (EatWord("true")) {
    *value = true;
  } else if (EatWord("false")) {
    *value = false;
  } else {
    return Error("expected true or false");
  }
  return absl::OkStatus();
}

absl::Status TextCursor::ReadDouble(double* value) {
  SkipSpace();
  const absl::string_view before = text_;
  if (absl::SimpleAtod(ReadToken(), value)) return absl::OkStatus();
  text_ = before;
  return Error("expected a number");
}

absl::Status TextCursor::ReadString(std::string* value) {
  SkipSpace();
  if (text_.empty() || text_[0] != '"') return Error("expected a string");
  size_t end = 1;
  while (end < text_.size() && text_[end] != '"') end += text_[end] == '\\' ? 2 : 1;
  if (end >= text_.size()) return Error("string without an end");
  if (!absl::CUnescape(text_.substr(1, end - 1), value)) return Error("bad escape in a string");
  text_.remove_prefix(end + 1);
  return absl::OkStatus();
}

absl::Status TextCursor::ReadInts(std::vector<int64_t>* values) {
  values->clear();
  absl::Status status = Expect("{");
  if (!status.ok() || Eat("}")) return status;
  do {
    int64_t value;
    status = ReadInt(&value);
    if (!status.ok()) return status;
    values->push_back(value);
  } while (Eat(","));
  return Expect("}");
}

absl::string_view TextCursor::ReadToken() {
  SkipSpace();
  size_t length = 0;
  while (length < text_.size() && !absl::ascii_isspace(text_[length]) &&
         absl::string_view(",{}()\"").find(text_[length]) == absl::string_view::npos) {
    ++length;
  }
  const absl::string_view token = text_.substr(0, length);
  text_.remove_prefix(length);
  return token;
}

absl::Status TextCursor::ReadValue(absl::string_view* value) {
  SkipSpace();
  const absl::string_view start = text_;
  int64_t depth = 0;
  do {
    SkipSpace();
    if (text_.empty()) return Error("unexpected end of the text");
    const char c = text_[0];
    if (c == '"') {
      std::string ignored;
      absl::Status status = ReadString(&ignored);
      if (!status.ok()) return status;
    } else if (c == '{' || c == '(' || c == '[') {
      ++depth;
      text_.remove_prefix(1);
    } else if (c == '}' || c == ')' || c == ']') {
      if (--depth < 0) return Error("unexpected closing bracket");
      text_.remove_prefix(1);
    } else if (depth > 0) {
      text_.remove_prefix(1);
    } else if (ReadToken().empty()) {
      return Error("expected a value");
    }
  } while (depth > 0);
  *value = start.substr(0, start.size() - text_.size());
  return absl::OkStatus();
}

}  // namespace glia::hlo
