#include "absl/container/flat_hash_map.h"
#include "compiler/passes/passes.h"
#include "compiler/passes/rewrite.h"

namespace glia::compiler {
namespace {

using hlo::Instruction;
using hlo::Opcode;

bool IsMappable(const hlo::Computation& computation) {
  for (const Instruction* instr : computation.Instructions()) {
    const bool scalar_source =
        instr->opcode() == Opcode::kParameter || instr->opcode() == Opcode::kConstant;
    if (!instr->shape.IsScalar() || (!scalar_source && !hlo::IsElementwise(instr->opcode())))
      return false;
  }
  return true;
}

// The mapped computation over arrays: every scalar instruction becomes one of the map's dims.
Instruction* InlineMap(Instruction* map) {
  Rewriter rewriter(*map);
  const std::vector<int64_t>& dims = map->shape.dims;
  absl::flat_hash_map<const Instruction*, Instruction*> arrays;
  for (const Instruction* instr : map->to_apply()->PostOrder()) {
    Instruction*& array = arrays[instr];
    if (instr->opcode() == Opcode::kParameter) {
      array = map->operand(instr->parameter_number);
      continue;
    }
    std::vector<Instruction*> operands;
    for (const Instruction* operand : instr->operands())
      operands.push_back(arrays.find(operand)->second);
    array = map->parent()->AddCopy(*instr, operands);
    if (instr->opcode() == Opcode::kConstant) {
      array = rewriter.Fill(array, dims);
    } else {
      array->shape = instr->shape.WithDims(dims);
    }
  }
  return arrays.find(map->to_apply()->root())->second;
}

}  // namespace

absl::StatusOr<bool> InlineCalls(hlo::Module* module) {
  bool changed = RewriteInstructions(module, [](Instruction* instr) -> Instruction* {
    switch (instr->opcode()) {
      case Opcode::kCall:
      case Opcode::kFusion:
        return instr->parent()->Inline(*instr->to_apply(), instr->operands());
      case Opcode::kMap:
        return IsMappable(*instr->to_apply()) ? InlineMap(instr) : nullptr;
      default:
        return nullptr;
    }
  });
  if (changed) module->RemoveUnreachable();
  return changed;
}

}  // namespace glia::compiler
