// What reads a value, as far as convolutions care: those of fp32 values round them under
// --auto-cast, so that a value which nothing else reads may be kept rounded.
#ifndef GLIA_COMPILER_CODEGEN_CONVOLUTION_READERS_H_
#define GLIA_COMPILER_CODEGEN_CONVOLUTION_READERS_H_

#include "compiler/codegen/nd.h"
#include "compiler/codegen/options.h"
#include "serialization/hlo/ir.h"

namespace glia::compiler {

// Whether every reader of the value is a convolution that rounds it to `type` anyway, perhaps after
// a windowed maximum.
bool OnlyRounded(const hlo::Instruction& value, const CodegenOptions& options);
// Whether some reader is.
bool SomeRounded(const hlo::Instruction& value, const CodegenOptions& options);
// A convolution of the value, or of a part of it, or of what it is a part of; null if there is
// none.
const hlo::Instruction* ConvolutionOf(const hlo::Instruction& value);

}  // namespace glia::compiler

#endif  // GLIA_COMPILER_CODEGEN_CONVOLUTION_READERS_H_
