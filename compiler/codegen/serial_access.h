// Who touches which variable: shared by the passes over the serial order.
#ifndef GLIA_COMPILER_CODEGEN_SERIAL_ACCESS_H_
#define GLIA_COMPILER_CODEGEN_SERIAL_ACCESS_H_

#include "serialization/isa/program.h"
#include "serialization/isa/table.h"

namespace glia::compiler {

// Calls f(var, reads, writes) for every variable that the instruction touches, transfers included.
template <typename F>
void ForEachVariable(const isa::Program& program, const isa::Instruction& instruction, const F& f) {
  if (instruction.opcode == isa::Opcode::kDma) {
    const isa::DmaDescriptor& dma = program.dmas[instruction.dma];
    f(dma.src_var, true, false);
    if (dma.index_side != isa::IndexSide::kNone) f(dma.index_var, true, false);
    f(dma.dst_var, dma.op != isa::DmaOp::kCopy, true);
    return;
  }
  for (const isa::OperandAccess& access : isa::AccessesOf(instruction)) {
    if (access.operand->present()) f(access.operand->var, access.reads, access.writes);
  }
}

template <typename F>
void ForEachOperand(isa::Instruction* instruction, const F& f) {
  for (isa::Operand* o : {&instruction->dst, &instruction->src0, &instruction->src1,
                          &instruction->src2, &instruction->src3}) {
    if (o->present()) f(o);
  }
}

}  // namespace glia::compiler

#endif  // GLIA_COMPILER_CODEGEN_SERIAL_ACCESS_H_
