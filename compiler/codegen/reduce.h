// What reductions of any kind (reduce, reduce-window, scatter) have in common.
#ifndef GLIA_COMPILER_CODEGEN_REDUCE_H_
#define GLIA_COMPILER_CODEGEN_REDUCE_H_

#include "compiler/codegen/emitter.h"
#include "serialization/hlo/ir.h"
#include "serialization/hlo/opcode.h"

namespace glia::compiler {

// A reducer: one operation of the engines, or kBypass for any other computation.
struct ReduceOp {
  AluOp alu = AluOp::kBypass;
  hlo::Opcode opcode = hlo::Opcode::kParameter;  // of the operation
  const hlo::Computation* computation = nullptr;
};
ReduceOp ClassifyReducer(const hlo::Computation& computation);

}  // namespace glia::compiler

#endif  // GLIA_COMPILER_CODEGEN_REDUCE_H_
