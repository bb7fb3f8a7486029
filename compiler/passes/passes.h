// Passes over HLO. Each is one function in the file of its name; pass_pipeline.cc lists them in
// order.
//
// A pass returns whether it changed the module, which stays valid (verifier.h) and computes the
// same values: nothing here trades accuracy for speed, but for NarrowFloats. The two liberties are XLA's own: x + 0 is x
// even where x is -0, and a batch norm's per-feature factors are combined before they meet the
// data. An error names the instruction. Passes keep no state: any number of modules may be in work
// at once.
#ifndef GLIA_COMPILER_PASSES_PASSES_H_
#define GLIA_COMPILER_PASSES_PASSES_H_

#include <memory>
#include <vector>

#include "absl/status/statusor.h"
#include "serialization/hlo/ir.h"

namespace glia::compiler {

using PassFn = absl::StatusOr<bool> (*)(hlo::Module*);

// Replaces call and fusion by the instructions they call, and map by those instructions at the
// map's dims (unless the mapped computation has other than element-wise ones).
absl::StatusOr<bool> InlineCalls(hlo::Module* module);

// Makes every layout the default: parameters and results of the entry with another one take or give
// the dims in the order that it says (so the bytes that a caller sees stay the same) next to an
// explicit transpose, and bitcast becomes transposes and a reshape. UNIMPLEMENTED for such a layout
// inside a tuple parameter.
absl::StatusOr<bool> CanonicalizeLayout(hlo::Module* module);

// Conditionals with a constant selector become calls; loops that run a known number of times are
// unrolled while the module stays below kMaxUnrolledInstructions; loops that do not run become
// their initial value.
inline constexpr int64_t kMaxUnrolledInstructions = 200000;
absl::StatusOr<bool> SimplifyControlFlow(hlo::Module* module);

// Rewrites of one instruction and its operands that make it cheaper or go away (simplify.h).
absl::StatusOr<bool> Simplify(hlo::Module* module);

// Evaluates instructions of constants. Results larger than kMaxFoldedBytes are kept only where they
// are no larger than the constants they replace, so that movements, conversions and arithmetic on
// weights always fold. Iotas and broadcasts count as constants but are not folded by themselves;
// constants of one repeated value become broadcasts.
inline constexpr int64_t kMaxFoldedBytes = 1 << 20;
absl::StatusOr<bool> FoldConstants(hlo::Module* module);

// Merges equal instructions of a computation, and equal computations. Linear.
absl::StatusOr<bool> MergeCommonSubexpressions(hlo::Module* module);

// Removes instructions that no result needs and computations that nothing calls.
absl::StatusOr<bool> RemoveDeadCode(hlo::Module* module);

// Replaces what the code generator need not know: batch-norm-inference, clamp, rng,
// rng-bit-generator.
absl::StatusOr<bool> ExpandOps(hlo::Module* module);

// Splits a reduce of several operands into one for each, where the reducer treats them
// independently.
absl::StatusOr<bool> SplitReduces(hlo::Module* module);

// Brings every dot to [B,M,K] or [B,K,M] times [B,K,N] or [B,N,K], the batch dim present or absent
// in both: transposes of operands become part of its dims where that is enough, other dims are
// merged by reshapes, and a transpose is added only where no reshape will do.
absl::StatusOr<bool> CanonicalizeDots(hlo::Module* module);

// Undoes the merge of a dot's batch dims where they come out of a transpose: no strides would say
// the merged ones, so that elements would have to move. The result is merged instead.
absl::StatusOr<bool> SplitDotBatches(hlo::Module* module);

// Removes window reversal from convolutions (the kernel is reversed instead) and negative padding
// (the input is sliced).
absl::StatusOr<bool> CanonicalizeConvolutions(hlo::Module* module);

// Computes in `type` (bf16 or f16) whatever is in f32: the meaning of --auto-cast all, and so the one
// pass that changes values. Parameters and results of the entry keep their types; so do bit casts,
// iotas, rng and custom-calls, next to conversions. UNIMPLEMENTED for f32 in tuples among the
// entry's parameters, of custom-calls, and within a tuple of the result.
absl::StatusOr<bool> NarrowFloats(hlo::Module* module, hlo::PrimitiveType type);

}  // namespace glia::compiler

#endif  // GLIA_COMPILER_PASSES_PASSES_H_
