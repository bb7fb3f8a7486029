// Programs as text, for people. Any program is safe to pass: what is invalid shows as numbers.
#ifndef GLIA_SERIALIZATION_ISA_DISASSEMBLE_H_
#define GLIA_SERIALIZATION_ISA_DISASSEMBLE_H_

#include <string>

#include "serialization/isa/program.h"

namespace glia::isa {

// One line without its end: "tensor_tensor add  y[0:128 f32 +0 64:1] = a[...], b[...]  wait s3>=2
// inc s4+1". An operand shows its partitions, dtype, byte offset and, for each dimension,
// size:stride.
std::string DisassembleInstruction(const Program& program, const Instruction& instruction);
std::string DisassembleDma(const Program& program, const DmaDescriptor& dma);
std::string DisassembleVariable(const Variable& variable);
std::string DisassembleOperand(const Program& program, const Operand& operand);
// All of it: variables, queues, then each segment engine by engine.
std::string Disassemble(const Program& program);

}  // namespace glia::isa

#endif  // GLIA_SERIALIZATION_ISA_DISASSEMBLE_H_
