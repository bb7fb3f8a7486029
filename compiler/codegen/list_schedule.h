// The serial order, rearranged so that no engine waits while it could work.
#ifndef GLIA_COMPILER_CODEGEN_LIST_SCHEDULE_H_
#define GLIA_COMPILER_CODEGEN_LIST_SCHEDULE_H_

#include <cstdint>

#include "compiler/codegen/serial.h"

namespace glia::compiler {

// List scheduling by the cost model: of the next `window` instructions those go first that can
// start first; the order of what depends on each other stays, and no more PSUM tiles are in use at
// once than there are banks. Loads of constants and inputs keep their place before what first reads
// them: how early they run is a matter of addresses (allocate.h). Tiles live longer in the new
// order: it may need spills where the old one did not. Linear in the number of instructions.
void ListSchedule(SerialProgram* serial, int64_t window);

}  // namespace glia::compiler

#endif  // GLIA_COMPILER_CODEGEN_LIST_SCHEDULE_H_
