#include "tools/messages.h"

#include "re2/re2.h"

namespace glia::tools {

std::string ReasonFirst(const std::string& what) {
  const size_t end = what.find_last_not_of("\r\n");
  const std::string text = end == std::string::npos ? "" : what.substr(0, end + 1);
  const size_t traceback = text.find("Traceback of TorchScript");
  const size_t last_frame = text.rfind("<--- HERE");
  if (traceback == std::string::npos || last_frame == std::string::npos) return text;
  // The lines of source that follow the last frame are indented.
  static const RE2* const reason_line = new RE2(R"((?m)^([A-Za-z_][\w.]*: ))");
  const re2::StringPiece tail(text.data() + last_frame, text.size() - last_frame);
  re2::StringPiece name;
  if (!RE2::PartialMatch(tail, *reason_line, &name)) return text;
  const size_t start = static_cast<size_t>(name.data() - text.data());
  const bool plain = name == "RuntimeError: ";
  return text.substr(start + (plain ? name.size() : 0)) + "\n\n" +
         text.substr(traceback, text.find_last_not_of("\r\n", start - 1) + 1 - traceback);
}

}  // namespace glia::tools
