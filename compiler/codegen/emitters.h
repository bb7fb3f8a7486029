// One function for each HLO operation (or family) that writes instructions; emit_table.cc says
// which opcode each serves. They are in emit_*.cc, one file a family. All return e.status() or
// their own error.
#ifndef GLIA_COMPILER_CODEGEN_EMITTERS_H_
#define GLIA_COMPILER_CODEGEN_EMITTERS_H_

#include "absl/status/status.h"
#include "compiler/codegen/emitter.h"
#include "serialization/hlo/ir.h"
#include "serialization/hlo/opcode.h"

namespace glia::compiler {

using EmitFn = absl::Status (*)(Emitter& e, const hlo::Instruction& hlo);

// Null for an opcode without emitter. Element-wise operations have none: they are emitted in groups
// (fusion.h).
EmitFn FindEmitter(hlo::Opcode opcode);

// emit_movement.cc
absl::Status EmitView(Emitter& e, const hlo::Instruction& hlo);  // broadcast, reshape, slice, ...
absl::Status EmitConcatenate(Emitter& e, const hlo::Instruction& hlo);
absl::Status EmitPad(Emitter& e, const hlo::Instruction& hlo);
absl::Status EmitIota(Emitter& e, const hlo::Instruction& hlo);
absl::Status EmitBitcastConvert(Emitter& e, const hlo::Instruction& hlo);

// emit_tuple.cc
absl::Status EmitTuple(Emitter& e, const hlo::Instruction& hlo);
absl::Status EmitGetTupleElement(Emitter& e, const hlo::Instruction& hlo);
absl::Status EmitForward(Emitter& e, const hlo::Instruction& hlo);  // copy, opt-barrier
absl::Status EmitConstant(Emitter& e, const hlo::Instruction& hlo);

// emit_reduce.cc
absl::Status EmitReduce(Emitter& e, const hlo::Instruction& hlo);

// emit_dot.cc
absl::Status EmitDot(Emitter& e, const hlo::Instruction& hlo);

// emit_control.cc
absl::Status EmitCall(Emitter& e, const hlo::Instruction& hlo);  // and fusion
absl::Status EmitWhile(Emitter& e, const hlo::Instruction& hlo);
absl::Status EmitConditional(Emitter& e, const hlo::Instruction& hlo);
absl::Status EmitMap(Emitter& e, const hlo::Instruction& hlo);
absl::Status EmitCustomCall(Emitter& e, const hlo::Instruction& hlo);

// emit_convolution.cc
absl::Status EmitConvolution(Emitter& e, const hlo::Instruction& hlo);

// emit_gather.cc
absl::Status EmitGather(Emitter& e, const hlo::Instruction& hlo);
absl::Status EmitDynamicSlice(Emitter& e, const hlo::Instruction& hlo);
absl::Status EmitDynamicUpdateSlice(Emitter& e, const hlo::Instruction& hlo);

// emit_reduce_window.cc
absl::Status EmitReduceWindow(Emitter& e, const hlo::Instruction& hlo);

// emit_scatter.cc
absl::Status EmitScatter(Emitter& e, const hlo::Instruction& hlo);

// emit_select_and_scatter.cc
absl::Status EmitSelectAndScatter(Emitter& e, const hlo::Instruction& hlo);

// emit_sort.cc
absl::Status EmitSort(Emitter& e, const hlo::Instruction& hlo);
absl::Status EmitTopK(Emitter& e, const hlo::Instruction& hlo);

}  // namespace glia::compiler

#endif  // GLIA_COMPILER_CODEGEN_EMITTERS_H_
