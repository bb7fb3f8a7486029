// The rules of the Simplify pass, by family. A rule looks at one instruction and its operands and
// gives what to use instead, or null. Rules that apply to the same opcode are tried in the table's
// order.
#ifndef GLIA_COMPILER_PASSES_SIMPLIFY_H_
#define GLIA_COMPILER_PASSES_SIMPLIFY_H_

#include "absl/types/span.h"
#include "serialization/hlo/ir.h"

namespace glia::compiler {

struct SimplifyRule {
  const char* name;  // for tests and reports: "x*1"
  hlo::Opcode opcode;
  hlo::Instruction* (*apply)(hlo::Instruction* instruction);
};

absl::Span<const SimplifyRule> ElementwiseRules();
// Of any element-wise instruction: what is computed of broadcasts alone is computed before
// broadcasting.
hlo::Instruction* ElementwiseOfBroadcasts(hlo::Instruction* instruction);
absl::Span<const SimplifyRule> MovementRules();
absl::Span<const SimplifyRule>
SliceRules();  // slice, pad, concatenate, dynamic-slice and their like
absl::Span<const SimplifyRule> StructureRules();  // tuples, reductions, sorts

}  // namespace glia::compiler

#endif  // GLIA_COMPILER_PASSES_SIMPLIFY_H_
