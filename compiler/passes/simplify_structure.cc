#include "compiler/passes/rewrite.h"
#include "compiler/passes/simplify.h"

namespace glia::compiler {
namespace {

using hlo::Instruction;
using hlo::Opcode;

Instruction* GetTupleElementOfTuple(Instruction* instr) {
  Instruction* tuple = instr->operand(0);
  if (tuple->opcode() == Opcode::kTuple) return tuple->operand(instr->tuple_index);
  return nullptr;
}

// tuple(t.0, t.1, …) of all of t.
Instruction* TupleOfElements(Instruction* instr) {
  if (instr->operand_count() == 0) return nullptr;
  if (instr->operand(0)->opcode() != Opcode::kGetTupleElement) return nullptr;
  Instruction* source = instr->operand(0)->operand(0);
  if (static_cast<int64_t>(source->shape.tuple.size()) != instr->operand_count()) return nullptr;
  for (int64_t i = 0; i < instr->operand_count(); ++i) {
    const Instruction* element = instr->operand(i);
    if (element->opcode() != Opcode::kGetTupleElement || element->operand(0) != source ||
        element->tuple_index != i) {
      return nullptr;
    }
  }
  return source;
}

// Over dims of size 1 only: reducer(init, x), once.
Instruction* ReduceOnes(Instruction* instr) {
  if (instr->operand_count() != 2) return nullptr;
  Instruction* x = instr->operand(0);
  for (int64_t d : instr->dimensions) {
    if (x->shape.dim(d) != 1) return nullptr;
  }
  const auto opcode = BinaryReducer(*instr->to_apply());
  if (!opcode.has_value()) return nullptr;
  Rewriter rewriter(*instr);
  return rewriter.Binary(*opcode, rewriter.Fill(instr->operand(1), instr->shape.dims),
                         rewriter.Reshape(x, instr->shape.dims));
}

// Over no elements at all: the initial value.
Instruction* ReduceNothing(Instruction* instr) {
  if (instr->operand_count() != 2 || instr->operand(0)->shape.elements() != 0) return nullptr;
  return Rewriter(*instr).Fill(instr->operand(1), instr->shape.dims);
}

// The order of the dims of the operand only matters for those that stay.
Instruction* ReduceTranspose(Instruction* instr) {
  Instruction* transpose = instr->operand(0);
  if (instr->operand_count() != 2 || transpose->opcode() != Opcode::kTranspose) return nullptr;
  const std::vector<int64_t> reduced = Permute(transpose->dimensions, instr->dimensions);
  std::vector<bool> is_reduced(transpose->dimensions.size(), false);
  for (int64_t d : reduced) is_reduced[static_cast<size_t>(d)] = true;
  int64_t previous = -1;
  for (int64_t d : transpose->dimensions) {  // kept dims must be in order
    if (is_reduced[static_cast<size_t>(d)]) continue;
    if (d < previous) return nullptr;
    previous = d;
  }
  const auto opcode = BinaryReducer(*instr->to_apply());
  // Another order of the reduced elements must not matter either.
  if (!opcode.has_value() || !hlo::IsCommutative(*opcode)) return nullptr;
  Instruction* reduce = Rewriter(*instr).Add(Opcode::kReduce, instr->shape,
                                             {transpose->operand(0), instr->operand(1)});
  reduce->dimensions = reduced;
  reduce->called = instr->called;
  return reduce;
}

Instruction* SortOnes(Instruction* instr) {
  const hlo::Shape& shape = instr->operand(0)->shape;
  if (shape.rank() > 0 && shape.dim(instr->dimensions[0]) > 1) return nullptr;
  return instr->shape.IsTuple() ? Rewriter(*instr).Tuple(instr->operands()) : instr->operand(0);
}

constexpr SimplifyRule kRules[] = {
    {"gte(tuple)", Opcode::kGetTupleElement, GetTupleElementOfTuple},
    {"tuple(gte)", Opcode::kTuple, TupleOfElements},
    {"reduce of ones", Opcode::kReduce, ReduceOnes},
    {"reduce of nothing", Opcode::kReduce, ReduceNothing},
    {"reduce(transpose)", Opcode::kReduce, ReduceTranspose},
    {"sort of ones", Opcode::kSort, SortOnes},
};

}  // namespace

absl::Span<const SimplifyRule> StructureRules() { return kRules; }

}  // namespace glia::compiler
