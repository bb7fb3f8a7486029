// Splits the serial order over the engines and orders them with semaphores.
#ifndef GLIA_COMPILER_CODEGEN_SYNC_H_
#define GLIA_COMPILER_CODEGEN_SYNC_H_

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "compiler/codegen/serial.h"

namespace glia::compiler {

// The finished program: engines' streams, queues, semaphores. Requires addresses (allocate.h).
// Every two accesses to the same bytes, one of them a write, end up in the serial order; a wait
// that follows from others is left out. Error: Internal for a segment that was reserved but not
// written.
absl::StatusOr<isa::Program> Synchronize(SerialProgram serial);

}  // namespace glia::compiler

#endif  // GLIA_COMPILER_CODEGEN_SYNC_H_
