#include "compiler/passes/simplify.h"

#include <array>
#include <vector>

#include "compiler/passes/passes.h"
#include "compiler/passes/rewrite.h"

namespace glia::compiler {
namespace {

using hlo::Instruction;
using hlo::Opcode;

using RuleTable = std::array<std::vector<SimplifyRule>, hlo::kOpcodeCount>;

const RuleTable& Rules() {
  static const RuleTable* const table = [] {
    auto* rules = new RuleTable;
    for (auto family : {ElementwiseRules(), MovementRules(), SliceRules(), StructureRules()}) {
      for (const SimplifyRule& rule : family)
        (*rules)[static_cast<size_t>(rule.opcode)].push_back(rule);
    }
    return rules;
  }();
  return *table;
}

// Anything without elements has only one value.
Instruction* EmptyToConstant(Instruction* instr) {
  if (!instr->shape.IsArray() || instr->shape.elements() != 0) return nullptr;
  if (instr->opcode() == Opcode::kConstant || instr->HasSideEffectTransitively()) return nullptr;
  return Rewriter(*instr).Constant(hlo::Literal::Zero(instr->shape.WithoutLayout()));
}

}  // namespace

absl::StatusOr<bool> Simplify(hlo::Module* module) {
  return RewriteInstructions(module, [](Instruction* instr) -> Instruction* {
    if (Instruction* empty = EmptyToConstant(instr)) return empty;
    if (Instruction* broadcast = ElementwiseOfBroadcasts(instr)) return broadcast;
    for (const SimplifyRule& rule : Rules()[static_cast<size_t>(instr->opcode())]) {
      if (Instruction* replacement = rule.apply(instr)) return replacement;
    }
    return nullptr;
  });
}

}  // namespace glia::compiler
