// What --auto-cast means, as HLO: the evaluator's answer to this is what the device should give.
#ifndef GLIA_COMPILER_CODEGEN_ROUNDING_TESTING_H_
#define GLIA_COMPILER_CODEGEN_ROUNDING_TESTING_H_

#include <memory>

#include "compiler/codegen/options.h"
#include "serialization/hlo/ir.h"

namespace glia::compiler {

// A copy of the module, as it is before code generation, in which every fp32 operand of a dot or
// convolution that is to be rounded is rounded, once, by a reduce-precision; all else stays fp32.
// Constant weights of a convolution that a constant factor of each output channel follows take it
// before they are rounded. Depthwise convolutions and tiny dots are not rounded: the vector engines
// compute them.
std::unique_ptr<hlo::Module> WithRoundedOperands(const hlo::Module& module,
                                                 const CodegenOptions& options);

}  // namespace glia::compiler

#endif  // GLIA_COMPILER_CODEGEN_ROUNDING_TESTING_H_
