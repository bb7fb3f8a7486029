// HLO to instructions: the back half of the compiler.
#ifndef GLIA_COMPILER_CODEGEN_CODEGEN_H_
#define GLIA_COMPILER_CODEGEN_CODEGEN_H_

#include "absl/status/statusor.h"
#include "compiler/codegen/options.h"
#include "serialization/hlo/ir.h"
#include "serialization/neff/neff.h"

namespace glia::compiler {

// The program of a verified module, and its constants, which share the literals' memory. The leaves
// of the entry's parameters are the program's inputs and those of its root the outputs, in order,
// row-major; input_output_alias gives outputs that share an input's buffer. Deterministic. Errors:
// Unimplemented naming the instruction for an operation or a type that the device does not have;
// ResourceExhausted. Thread-safe.
absl::StatusOr<neff::Neff> Generate(const hlo::Module& module, const CodegenOptions& options);

}  // namespace glia::compiler

#endif  // GLIA_COMPILER_CODEGEN_CODEGEN_H_
