// Writes JSON, value by value; commas, quotes and escapes are its business.
//
//   JsonWriter json;
//   json.BeginObject().Key("name").String("x").Key("times").BeginArray().Number(1.5).EndArray().EndObject();
#ifndef GLIA_TOOLS_JSON_H_
#define GLIA_TOOLS_JSON_H_

#include <cstdint>
#include <string>
#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "absl/strings/string_view.h"

namespace glia::tools {

class JsonWriter {
 public:
  JsonWriter& BeginObject() { return Open('{'); }
  JsonWriter& EndObject() { return Close('}'); }
  JsonWriter& BeginArray() { return Open('['); }
  JsonWriter& EndArray() { return Close(']'); }
  JsonWriter& Key(absl::string_view key) {
    String(key);
    text_ += ':';
    comma_ = false;
    return *this;
  }
  JsonWriter& String(absl::string_view value) {
    Comma();
    text_ += '"';
    for (const char c : value) {
      if (c == '"' || c == '\\') {
        text_ += '\\';
        text_ += c;
      } else if (static_cast<unsigned char>(c) < 0x20) {
        absl::StrAppendFormat(&text_, "\\u%04x", static_cast<unsigned char>(c));
      } else {
        text_ += c;
      }
    }
    text_ += '"';
    return *this;
  }
  JsonWriter& Integer(int64_t value) {
    Comma();
    absl::StrAppend(&text_, value);
    return *this;
  }
  // A finite number, with enough digits for picoseconds in an hour of microseconds.
  JsonWriter& Number(double value) {
    Comma();
    absl::StrAppendFormat(&text_, "%.15g", value);
    return *this;
  }
  JsonWriter& Bool(bool value) {
    Comma();
    text_ += value ? "true" : "false";
    return *this;
  }
  // Line breaks between values, for people.
  JsonWriter& Line() {
    newline_ = true;
    return *this;
  }
  const std::string& text() const { return text_; }
  std::string Take() { return std::move(text_); }

 private:
  void Comma() {
    if (comma_) text_ += ',';
    if (newline_) text_ += '\n';
    comma_ = true;
    newline_ = false;
  }
  JsonWriter& Open(char bracket) {
    Comma();
    text_ += bracket;
    comma_ = false;
    return *this;
  }
  JsonWriter& Close(char bracket) {
    text_ += bracket;
    comma_ = true;
    newline_ = false;
    return *this;
  }

  std::string text_;
  bool comma_ = false;
  bool newline_ = false;
};

}  // namespace glia::tools

#endif  // GLIA_TOOLS_JSON_H_
