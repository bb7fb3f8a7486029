#include "absl/container/flat_hash_map.h"
#include "absl/container/flat_hash_set.h"
#include "absl/strings/str_cat.h"
#include "compiler/passes/passes.h"
#include "compiler/passes/rewrite.h"

namespace glia::compiler {
namespace {

using hlo::Computation;
using hlo::Instruction;
using hlo::Opcode;

// Whether result i depends on parameters i and i + n only.
bool IsIndependent(const Computation& reducer, int64_t i, int64_t n) {
  std::vector<const Instruction*> stack = {reducer.root()->operand(i)};
  absl::flat_hash_set<const Instruction*> seen;
  while (!stack.empty()) {
    const Instruction* instr = stack.back();
    stack.pop_back();
    if (!seen.insert(instr).second) continue;
    if (instr->opcode() == Opcode::kParameter && instr->parameter_number != i &&
        instr->parameter_number != i + n) {
      return false;
    }
    stack.insert(stack.end(), instr->operands().begin(), instr->operands().end());
  }
  return true;
}

// The reducer of operand i alone.
Computation* ReducerOf(Computation* reducer, int64_t i, int64_t n) {
  Computation* part = reducer->module()->AddComputation(absl::StrCat(reducer->name(), ".", i));
  std::vector<Instruction*> parameters(static_cast<size_t>(2 * n), nullptr);
  absl::flat_hash_map<const Instruction*, Instruction*> copies;
  copies[reducer->parameter(i)] = part->AddParameter(0, reducer->parameter(i)->shape);
  copies[reducer->parameter(i + n)] = part->AddParameter(1, reducer->parameter(i + n)->shape);
  for (const Instruction* instr : reducer->PostOrder()) {
    if (instr->opcode() == Opcode::kParameter || instr == reducer->root()) continue;
    std::vector<Instruction*> operands;
    for (const Instruction* operand : instr->operands()) {
      auto it = copies.find(operand);
      if (it == copies.end()) break;  // of another operand's part
      operands.push_back(it->second);
    }
    if (operands.size() == instr->operands().size())
      copies[instr] = part->AddCopy(*instr, operands);
  }
  part->set_root(copies.find(reducer->root()->operand(i))->second);
  part->RemoveDead();
  return part;
}

Instruction* SplitReduce(Instruction* instr) {
  if (instr->opcode() != Opcode::kReduce || instr->operand_count() < 4) return nullptr;
  Computation* reducer = instr->to_apply();
  if (reducer->root()->opcode() != Opcode::kTuple) return nullptr;
  const int64_t n = instr->operand_count() / 2;
  for (int64_t i = 0; i < n; ++i) {
    if (!IsIndependent(*reducer, i, n)) return nullptr;
  }
  Rewriter rewriter(*instr);
  std::vector<Instruction*> results;
  for (int64_t i = 0; i < n; ++i) {
    Instruction* reduce = rewriter.Add(Opcode::kReduce, instr->shape.tuple[static_cast<size_t>(i)],
                                       {instr->operand(i), instr->operand(i + n)});
    reduce->dimensions = instr->dimensions;
    reduce->called = {ReducerOf(reducer, i, n)};
    results.push_back(reduce);
  }
  return rewriter.Tuple(results);
}

}  // namespace

absl::StatusOr<bool> SplitReduces(hlo::Module* module) {
  const bool changed = RewriteInstructions(module, SplitReduce);
  if (changed) module->RemoveUnreachable();
  return changed;
}

}  // namespace glia::compiler
