// In which types the tensor engine multiplies: --auto-cast rounds fp32 operands of dots and
// convolutions to a narrower type, and nothing else. Sums are always in fp32.
#ifndef GLIA_COMPILER_CODEGEN_PRECISION_H_
#define GLIA_COMPILER_CODEGEN_PRECISION_H_

#include "compiler/codegen/options.h"
#include "serialization/hlo/ir.h"
#include "serialization/isa/isa.h"

namespace glia::compiler {

// The type of --auto-cast-type; fp32 with --auto-cast none.
isa::DType RoundedType(const CodegenOptions& options);

// Many small products [.., m, k] x [.., k, n], which the vector engines compute faster.
bool IsTiny(const hlo::Instruction& dot);

// Whether fp32 operands of a dot or convolution are rounded: those on the tensor engine, unless
// their operand_precision asks for more than the default.
bool RoundsOperands(const hlo::Instruction& product, const CodegenOptions& options);

// The type that both operands, which are stored as `lhs` and `rhs`, are brought to. Products of
// 8-bit integers are exact in bf16.
isa::DType ProductType(const hlo::Instruction& product, isa::DType lhs, isa::DType rhs,
                       const CodegenOptions& options);

}  // namespace glia::compiler

#endif  // GLIA_COMPILER_CODEGEN_PRECISION_H_
