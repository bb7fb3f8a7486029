// What reductions of any kind (reduce, reduce-window, scatter) have in common.
#ifndef GLIA_COMPILER_CODEGEN_REDUCE_H_
#define GLIA_COMPILER_CODEGEN_REDUCE_H_

#include <cstdint>
#include <vector>

#include "absl/status/status.h"
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
// Whether op(init, x) is x for all x.
bool IsNeutral(hlo::Opcode opcode, const hlo::Instruction* init, DType dtype);

// Of x [kept dims..., reduced dims...] to out [kept dims...]; one array each, or several reduced
// together.
struct Reduction {
  std::vector<Nd> in;  // of equal dims, with at least one element
  std::vector<Nd>
      out;  // of equal dims, the first `kept` of x; dense results that nothing else writes
  int64_t kept = 0;
};
// out = op(init, op over the reduced elements); `inits` are scalars in HBM, one for each array, or
// none. Floats narrower than fp32 accumulate in fp32 where op is one of the engines'.
absl::Status EmitReduction(Emitter& e, const ReduceOp& op, Reduction reduction,
                           const std::vector<Nd>& inits);

}  // namespace glia::compiler

#endif  // GLIA_COMPILER_CODEGEN_REDUCE_H_
