// The families of instructions that the evaluator consists of. Operands are given as literals of
// the operands' shapes; every function returns a literal of the instruction's shape.
#ifndef GLIA_SERIALIZATION_HLO_EVALUATOR_INTERNAL_H_
#define GLIA_SERIALIZATION_HLO_EVALUATOR_INTERNAL_H_

#include <cstdint>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/types/span.h"
#include "serialization/hlo/ir.h"

namespace glia::hlo::evaluator {

using Operands = absl::Span<const Literal>;
using Evaluator = absl::StatusOr<Literal> (*)(const Instruction& instruction, Operands operands);

// evaluator_elementwise.cc
absl::StatusOr<Literal> Elementwise(const Instruction& instruction, Operands operands);
absl::StatusOr<Literal> BitcastConvert(const Instruction& instruction, Operands operands);
absl::StatusOr<Literal> Iota(const Instruction& instruction, Operands operands);
absl::StatusOr<Literal> Map(const Instruction& instruction, Operands operands);
absl::StatusOr<Literal> BatchNormInference(const Instruction& instruction, Operands operands);
// evaluator_movement.cc
absl::StatusOr<Literal> Reshape(const Instruction& instruction, Operands operands);
absl::StatusOr<Literal> Bitcast(const Instruction& instruction, Operands operands);
absl::StatusOr<Literal> Broadcast(const Instruction& instruction, Operands operands);
absl::StatusOr<Literal> Transpose(const Instruction& instruction, Operands operands);
absl::StatusOr<Literal> Slice(const Instruction& instruction, Operands operands);
absl::StatusOr<Literal> Reverse(const Instruction& instruction, Operands operands);
absl::StatusOr<Literal> Concatenate(const Instruction& instruction, Operands operands);
absl::StatusOr<Literal> Pad(const Instruction& instruction, Operands operands);
absl::StatusOr<Literal> DynamicSlice(const Instruction& instruction, Operands operands);
absl::StatusOr<Literal> DynamicUpdateSlice(const Instruction& instruction, Operands operands);
// evaluator_gather.cc
absl::StatusOr<Literal> Gather(const Instruction& instruction, Operands operands);
absl::StatusOr<Literal> Scatter(const Instruction& instruction, Operands operands);
// evaluator_dot.cc
absl::StatusOr<Literal> Dot(const Instruction& instruction, Operands operands);
absl::StatusOr<Literal> Convolution(const Instruction& instruction, Operands operands);
// evaluator_reduce.cc
absl::StatusOr<Literal> Reduce(const Instruction& instruction, Operands operands);
absl::StatusOr<Literal> ReduceWindow(const Instruction& instruction, Operands operands);
absl::StatusOr<Literal> SelectAndScatter(const Instruction& instruction, Operands operands);
// evaluator_sort.cc
absl::StatusOr<Literal> Sort(const Instruction& instruction, Operands operands);
absl::StatusOr<Literal> TopK(const Instruction& instruction, Operands operands);
// evaluator_rng.cc
absl::StatusOr<Literal> Rng(const Instruction& instruction, Operands operands);
absl::StatusOr<Literal> RngBitGenerator(const Instruction& instruction, Operands operands);

// Copies the box of size `dims` from one strided array to another. Offsets and strides are in
// elements of `element_bytes` (1, 2, 4, 8 or 16); strides may be 0 (source) or negative.
void CopyBox(absl::Span<const int64_t> dims, int64_t element_bytes, const void* source,
             int64_t source_offset, absl::Span<const int64_t> source_strides, void* target,
             int64_t target_offset, absl::Span<const int64_t> target_strides);

// Steps a row-major index within dims; false after the last one. All dims must be > 0.
inline bool NextIndex(absl::Span<const int64_t> dims, std::vector<int64_t>* index) {
  for (size_t d = dims.size(); d-- > 0;) {
    if (++(*index)[d] < dims[d]) return true;
    (*index)[d] = 0;
  }
  return false;
}

}  // namespace glia::hlo::evaluator

#endif  // GLIA_SERIALIZATION_HLO_EVALUATOR_INTERNAL_H_
