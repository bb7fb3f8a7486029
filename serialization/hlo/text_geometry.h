// The attributes with a notation of their own: slices, padding, windows and convolution dims. Not
// public.
#ifndef GLIA_SERIALIZATION_HLO_TEXT_GEOMETRY_H_
#define GLIA_SERIALIZATION_HLO_TEXT_GEOMETRY_H_

#include <string>
#include <vector>

#include "serialization/hlo/text_attributes.h"

namespace glia::hlo {

// The value after '=', and its parser (none of them calls a computation).
std::string PrintSlice(const Instruction& instruction);  // {[0:4], [1:8:2]}
absl::Status ParseSlice(TextCursor* cursor, Instruction* instruction, std::vector<CalledName>*);
std::string PrintPadding(const Instruction& instruction);  // 0_1x2_3, or 0_1_0x2_3_1 with interior
absl::Status ParsePadding(TextCursor* cursor, Instruction* instruction, std::vector<CalledName>*);
std::string PrintWindow(const Instruction& instruction);  // {size=3x3 stride=2x2 pad=1_1x1_1}
absl::Status ParseWindow(TextCursor* cursor, Instruction* instruction, std::vector<CalledName>*);
std::string PrintDimLabels(const Instruction& instruction);  // b01f_01io->b01f
absl::Status ParseDimLabels(TextCursor* cursor, Instruction* instruction, std::vector<CalledName>*);

}  // namespace glia::hlo

#endif  // GLIA_SERIALIZATION_HLO_TEXT_GEOMETRY_H_
