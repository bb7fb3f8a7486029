// The attributes of instructions in HLO text, each described once for printer and parser. Not
// public.
#ifndef GLIA_SERIALIZATION_HLO_TEXT_ATTRIBUTES_H_
#define GLIA_SERIALIZATION_HLO_TEXT_ATTRIBUTES_H_

#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/strings/string_view.h"
#include "serialization/hlo/ir.h"
#include "serialization/hlo/text_cursor.h"

namespace glia::hlo {

// Appends ", name=value" for every attribute of the instruction that its opcode prints.
void AppendAttributes(const Instruction& instruction, bool with_metadata, std::string* out);

// A computation named by an attribute: entry `slot` of the instruction's `called`.
struct CalledName {
  size_t slot;
  std::string name;
};

// Parses the value of attribute `name` (after '='). Called computations are only noted. An unknown
// attribute is an error, except those that do not change what the instruction computes.
absl::Status ParseAttribute(absl::string_view name, TextCursor* cursor, Instruction* instruction,
                            std::vector<CalledName>* called);

// {a="b",c="d"}
std::string FrontendAttributesText(const std::map<std::string, std::string>& attributes);
absl::Status ParseFrontendAttributes(TextCursor* cursor,
                                     std::map<std::string, std::string>* attributes);

}  // namespace glia::hlo

#endif  // GLIA_SERIALIZATION_HLO_TEXT_ATTRIBUTES_H_
