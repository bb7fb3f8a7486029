#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "serialization/hlo/literal_text.h"
#include "serialization/hlo/text.h"
#include "serialization/hlo/text_attributes.h"

namespace glia::hlo {
namespace {

void AppendInstruction(const Instruction& instruction, const PrintOptions& options,
                       std::string* out) {
  absl::StrAppend(out, "%", instruction.name(), " = ", instruction.shape.ToString(true), " ",
                  OpcodeName(instruction.opcode()), "(");
  if (instruction.opcode() == Opcode::kConstant && instruction.literal != nullptr) {
    *out += LiteralText(*instruction.literal, options.max_constant_elements);
  } else if (instruction.opcode() == Opcode::kParameter) {
    absl::StrAppend(out, instruction.parameter_number);
  } else {
    for (int64_t i = 0; i < instruction.operand_count(); ++i) {
      absl::StrAppend(out, i == 0 ? "%" : ", %", instruction.operand(i)->name());
    }
  }
  *out += ')';
  AppendAttributes(instruction, options.metadata, out);
}

void AppendComputation(const Computation& computation, const PrintOptions& options,
                       std::string* out) {
  const ProgramShape signature = ProgramShapeOf(computation);
  absl::StrAppend(out, "%", computation.name(), " (");
  for (size_t i = 0; i < signature.parameters.size(); ++i) {
    absl::StrAppend(out, i == 0 ? "" : ", ", signature.parameter_names[i], ": ",
                    signature.parameters[i].ToString());
  }
  absl::StrAppend(out, ") -> ", signature.result.ToString(), " {\n");
  for (const Instruction* instruction : computation.PostOrder()) {
    *out += instruction->IsRoot() ? "  ROOT " : "  ";
    AppendInstruction(*instruction, options, out);
    *out += '\n';
  }
  *out += "}\n";
}

std::string AliasText(const std::vector<InputOutputAlias>& aliases) {
  return absl::StrCat("{ ",
                      absl::StrJoin(aliases, ", ",
                                    [](std::string* out, const InputOutputAlias& alias) {
                                      absl::StrAppend(
                                          out, "{", absl::StrJoin(alias.output_index, ","), "}: (",
                                          alias.parameter_number, ", {",
                                          absl::StrJoin(alias.parameter_index, ","), "}, ",
                                          alias.must_alias ? "must-alias" : "may-alias", ")");
                                    }),
                      " }");
}

}  // namespace

std::string ToString(const Instruction& instruction, const PrintOptions& options) {
  std::string text;
  AppendInstruction(instruction, options, &text);
  return text;
}

std::string ToString(const Computation& computation, const PrintOptions& options) {
  std::string text;
  AppendComputation(computation, options, &text);
  return text;
}

std::string ToString(const Module& module, const PrintOptions& options) {
  std::string text = absl::StrCat("HloModule ", SanitizeName(module.name()));
  if (!module.input_output_alias.empty()) {
    absl::StrAppend(&text, ", input_output_alias=", AliasText(module.input_output_alias));
  }
  if (module.entry() != nullptr) {
    const ProgramShape signature = module.program_shape();
    const std::string parameters = absl::StrJoin(
        signature.parameters, ", ",
        [](std::string* out, const Shape& shape) { absl::StrAppend(out, shape.ToString(true)); });
    absl::StrAppend(&text, ", entry_computation_layout={(", parameters, ")->",
                    signature.result.ToString(true), "}");
  }
  if (!module.frontend_attributes.empty()) {
    absl::StrAppend(&text,
                    ", frontend_attributes=", FrontendAttributesText(module.frontend_attributes));
  }
  text += '\n';
  for (const Computation* computation : module.MakeComputationPostOrder()) {
    absl::StrAppend(&text, "\n", computation == module.entry() ? "ENTRY " : "");
    AppendComputation(*computation, options, &text);
  }
  return text;
}

}  // namespace glia::hlo
