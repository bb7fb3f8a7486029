// Which instructions of a computation are computed together, and in which order.
#ifndef GLIA_COMPILER_CODEGEN_FUSION_H_
#define GLIA_COMPILER_CODEGEN_FUSION_H_

#include <vector>

#include "absl/container/flat_hash_map.h"
#include "serialization/hlo/ir.h"

namespace glia::compiler {

// One instruction, or a group of connected element-wise ones of equal dims (operands before users).
// With a producer, a product (dot, convolution) that the group reads in row-major order: the group
// is its epilogue, computed from PSUM where the producer's emitter takes it (epilogue.h).
// With rows, some members reduce the last dim of others, some compute on what is one number a row,
// and others read that back: a softmax, a layer norm.
struct Unit {
  std::vector<const hlo::Instruction*> members;
  bool elementwise = false;
  bool rows = false;
  std::vector<int64_t> dims;  // of element-wise members, of those that are no number a row
  const hlo::Instruction* producer = nullptr;
};

// A reduce of fp32 over the last dim by one of the engines' operations, of rows that tiles hold.
bool ReducesRows(const hlo::Instruction& hlo);
// What lies behind reshapes and broadcasts along new inner dims: in row-major order, every element
// of the result is repeated elements(hlo) / elements(result) times.
const hlo::Instruction* BehindRepeats(const hlo::Instruction* hlo);

// Views (broadcast, transpose, slice, ...), constants, parameters, iota and tuples are not listed:
// they take effect where they are read.
bool IsLazy(hlo::Opcode opcode);
// An element-wise operation that a group can hold.
bool IsFusible(const hlo::Instruction& hlo);

// The operand behind reshapes, which keep elements and their order.
const hlo::Instruction* BehindReshapes(const hlo::Instruction* hlo);

// All others that the root or a side effect needs, in an order that respects their dependencies. A
// group is convex: no path leaves it and comes back. Linear time.
std::vector<Unit> PlanUnits(const hlo::Computation& computation);

// The last position at which a value is read, directly or through views, if unit i runs at
// `position[i]`; units.size() for what the root is or shows.
absl::flat_hash_map<const hlo::Instruction*, size_t> LastReaders(
    const std::vector<Unit>& units, const std::vector<size_t>& position,
    const hlo::Instruction* root);

}  // namespace glia::compiler

#endif  // GLIA_COMPILER_CODEGEN_FUSION_H_
