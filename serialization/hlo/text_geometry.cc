#include "serialization/hlo/text_geometry.h"

#include <algorithm>

#include "absl/strings/ascii.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "absl/strings/str_split.h"
#include "serialization/hlo/shape_inference_internal.h"

namespace glia::hlo {

std::string PrintSlice(const Instruction& instruction) {
  std::string text = "{";
  for (size_t d = 0; d < instruction.slice_starts.size(); ++d) {
    absl::StrAppend(&text, d == 0 ? "" : ", ", "[", instruction.slice_starts[d], ":",
                    instruction.slice_limits[d]);
    if (instruction.slice_strides[d] != 1)
      absl::StrAppend(&text, ":", instruction.slice_strides[d]);
    text += ']';
  }
  return text + "}";
}
absl::Status ParseSlice(TextCursor* cursor, Instruction* instruction, std::vector<CalledName>*) {
  GLIA_HLO_RETURN_IF_ERROR(cursor->Expect("{"));
  while (!cursor->Eat("}")) {
    int64_t start, limit, stride = 1;
    GLIA_HLO_RETURN_IF_ERROR(cursor->Expect("["));
    GLIA_HLO_RETURN_IF_ERROR(cursor->ReadInt(&start));
    GLIA_HLO_RETURN_IF_ERROR(cursor->Expect(":"));
    GLIA_HLO_RETURN_IF_ERROR(cursor->ReadInt(&limit));
    if (cursor->Eat(":")) GLIA_HLO_RETURN_IF_ERROR(cursor->ReadInt(&stride));
    GLIA_HLO_RETURN_IF_ERROR(cursor->Expect("]"));
    instruction->slice_starts.push_back(start);
    instruction->slice_limits.push_back(limit);
    instruction->slice_strides.push_back(stride);
    (void)cursor->Eat(",");
  }
  return absl::OkStatus();
}

// "0_1x2_3", or "0_1_0x2_3_1" when a dim has interior padding.
std::string PrintPadding(const Instruction& instruction) {
  const std::vector<PaddingDim>& padding = instruction.padding;
  const bool interior = std::any_of(padding.begin(), padding.end(),
                                    [](const PaddingDim& pad) { return pad.interior != 0; });
  return absl::StrJoin(padding, "x", [interior](std::string* out, const PaddingDim& pad) {
    absl::StrAppend(out, pad.low, "_", pad.high);
    if (interior) absl::StrAppend(out, "_", pad.interior);
  });
}

namespace {

bool SplitInts(absl::string_view text, char separator, std::vector<int64_t>* values) {
  values->clear();
  for (absl::string_view part : absl::StrSplit(text, separator)) {
    values->emplace_back();
    if (!absl::SimpleAtoi(part, &values->back())) return false;
  }
  return true;
}

}  // namespace

absl::Status ParsePadding(TextCursor* cursor, Instruction* instruction, std::vector<CalledName>*) {
  const TextCursor before = *cursor;
  const absl::string_view token = cursor->ReadToken();
  if (token.empty()) return absl::OkStatus();  // of a scalar
  for (absl::string_view dim : absl::StrSplit(token, 'x')) {
    std::vector<int64_t> values;
    if (!SplitInts(dim, '_', &values) || values.size() < 2 || values.size() > 3) {
      return before.Error("expected padding as low_high or low_high_interior for each dim");
    }
    instruction->padding.push_back({values[0], values[1], values.size() == 3 ? values[2] : 0});
  }
  return absl::OkStatus();
}

namespace {

struct WindowField {
  const char* name;
  int64_t WindowDim::*member;
  int64_t default_value;
};
constexpr WindowField kWindowFields[] = {
    {"size", &WindowDim::size, -1},  // always printed
    {"stride", &WindowDim::stride, 1},
    {"pad", nullptr, 0},
    {"lhs_dilate", &WindowDim::base_dilation, 1},
    {"rhs_dilate", &WindowDim::window_dilation, 1},
    {"rhs_reversal", nullptr, 0},
};

std::string WindowFieldText(const WindowField& field, const WindowDim& dim) {
  if (field.member != nullptr) return absl::StrCat(dim.*field.member);
  if (absl::string_view(field.name) == "pad") return absl::StrCat(dim.pad_low, "_", dim.pad_high);
  return dim.reversal ? "1" : "0";
}
bool IsDefault(const WindowField& field, const WindowDim& dim) {
  if (field.member != nullptr) return dim.*field.member == field.default_value;
  if (absl::string_view(field.name) == "pad") return dim.pad_low == 0 && dim.pad_high == 0;
  return !dim.reversal;
}

}  // namespace

std::string PrintWindow(const Instruction& instruction) {
  const Window& window = instruction.window;
  if (window.empty()) return "";
  std::vector<std::string> fields;
  for (const WindowField& field : kWindowFields) {
    if (std::all_of(window.begin(), window.end(),
                    [&](const WindowDim& dim) { return IsDefault(field, dim); })) {
      continue;
    }
    std::vector<std::string> values;
    for (const WindowDim& dim : window) values.push_back(WindowFieldText(field, dim));
    fields.push_back(absl::StrCat(field.name, "=", absl::StrJoin(values, "x")));
  }
  return absl::StrCat("{", absl::StrJoin(fields, " "), "}");
}

absl::Status ParseWindow(TextCursor* cursor, Instruction* instruction, std::vector<CalledName>*) {
  Window& window = instruction->window;
  GLIA_HLO_RETURN_IF_ERROR(cursor->Expect("{"));
  while (!cursor->Eat("}")) {
    const TextCursor before = *cursor;
    const absl::string_view token = cursor->ReadToken();
    const std::vector<absl::string_view> sides = absl::StrSplit(token, '=');
    const auto field = std::find_if(std::begin(kWindowFields), std::end(kWindowFields),
                                    [&](const WindowField& f) { return sides[0] == f.name; });
    if (sides.size() != 2 || field == std::end(kWindowFields)) {
      return before.Error(
          "expected size=, stride=, pad=, lhs_dilate=, rhs_dilate= or rhs_reversal=");
    }
    const std::vector<absl::string_view> dims = absl::StrSplit(sides[1], 'x');
    if (window.empty()) window.resize(dims.size());
    bool ok = window.size() == dims.size();
    for (size_t d = 0; ok && d < dims.size(); ++d) {
      std::vector<int64_t> values;
      ok = SplitInts(dims[d], '_', &values);
      if (!ok) break;
      if (sides[0] == "pad") {
        ok = values.size() == 2;
        if (ok) window[d].pad_low = values[0], window[d].pad_high = values[1];
      } else if (field->member != nullptr) {
        ok = values.size() == 1;
        if (ok) window[d].*field->member = values[0];
      } else {
        ok = values.size() == 1 && (values[0] == 0 || values[0] == 1);
        if (ok) window[d].reversal = values[0] == 1;
      }
    }
    if (!ok) return before.Error("bad window");
    (void)cursor->Eat(",");
  }
  return absl::OkStatus();
}

namespace {

// "b01f_01io->b01f": the letter of each dim, digits being spatial dims.
std::string DimLabels(char batch_label, int64_t batch, char feature_label, int64_t feature,
                      const std::vector<int64_t>& spatial) {
  const auto rank = static_cast<int64_t>(spatial.size()) + 2;
  std::string text(static_cast<size_t>(rank), '?');
  auto set = [&](int64_t dim, char label) {
    if (dim >= 0 && dim < rank) text[dim] = label;
  };
  set(batch, batch_label);
  set(feature, feature_label);
  for (size_t i = 0; i < spatial.size(); ++i) set(spatial[i], static_cast<char>('0' + i));
  return text;
}

}  // namespace

std::string PrintDimLabels(const Instruction& instruction) {
  const ConvDims& d = instruction.conv_dims;
  return absl::StrCat(
      DimLabels('b', d.input_batch, 'f', d.input_feature, d.input_spatial), "_",
      DimLabels('o', d.kernel_output_feature, 'i', d.kernel_input_feature, d.kernel_spatial), "->",
      DimLabels('b', d.output_batch, 'f', d.output_feature, d.output_spatial));
}
namespace {

bool SplitDimLabels(absl::string_view text, char first_label, int64_t* first, char second_label,
                    int64_t* second, std::vector<int64_t>* spatial) {
  if (text.size() < 2 || text.size() > 12) return false;
  *first = *second = -1;
  spatial->assign(text.size() - 2, -1);
  for (size_t i = 0; i < text.size(); ++i) {
    const auto dim = static_cast<int64_t>(i);
    if (text[i] == first_label) {
      *first = dim;
    } else if (text[i] == second_label) {
      *second = dim;
    } else if (absl::ascii_isdigit(text[i]) &&
               static_cast<size_t>(text[i] - '0') < spatial->size()) {
      (*spatial)[text[i] - '0'] = dim;
    } else {
      return false;
    }
  }
  return true;  // a repeated label leaves a -1, which shape inference refuses
}

}  // namespace

absl::Status ParseDimLabels(TextCursor* cursor, Instruction* instruction,
                            std::vector<CalledName>*) {
  const TextCursor before = *cursor;
  const std::vector<absl::string_view> sides = absl::StrSplit(cursor->ReadToken(), "->");
  ConvDims& d = instruction->conv_dims;
  bool ok = sides.size() == 2;
  if (ok) {
    const std::vector<absl::string_view> operands = absl::StrSplit(sides[0], '_');
    ok =
        operands.size() == 2 &&
        SplitDimLabels(operands[0], 'b', &d.input_batch, 'f', &d.input_feature, &d.input_spatial) &&
        SplitDimLabels(operands[1], 'o', &d.kernel_output_feature, 'i', &d.kernel_input_feature,
                       &d.kernel_spatial) &&
        SplitDimLabels(sides[1], 'b', &d.output_batch, 'f', &d.output_feature, &d.output_spatial);
  }
  return ok ? absl::OkStatus() : before.Error("expected dim_labels such as b01f_01io->b01f");
}

}  // namespace glia::hlo
