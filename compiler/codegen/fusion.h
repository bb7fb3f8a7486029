// Which instructions of a computation are computed together, and in which order.
#ifndef GLIA_COMPILER_CODEGEN_FUSION_H_
#define GLIA_COMPILER_CODEGEN_FUSION_H_

#include <vector>

#include "serialization/hlo/ir.h"

namespace glia::compiler {

// One instruction, or a group of connected element-wise ones of equal dims (operands before users).
// With a producer, a product (dot, convolution) that the group reads in row-major order: the group
// is its epilogue, computed from PSUM where the producer's emitter takes it (epilogue.h).
struct Unit {
  std::vector<const hlo::Instruction*> members;
  bool elementwise = false;
  const hlo::Instruction* producer = nullptr;
};

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

}  // namespace glia::compiler

#endif  // GLIA_COMPILER_CODEGEN_FUSION_H_
