// Gives every tile its address in SBUF or PSUM and every scratch buffer its place in HBM.
#ifndef GLIA_COMPILER_CODEGEN_ALLOCATE_H_
#define GLIA_COMPILER_CODEGEN_ALLOCATE_H_

#include <cstdint>

#include "absl/status/status.h"
#include "compiler/codegen/serial.h"

namespace glia::compiler {

// Drops instructions and transfers whose results nothing reads: what an output or a terminator
// needs stays.
void RemoveDeadWork(SerialProgram* serial);

// Addresses of tiles, from their lifetimes over the serial order. Short-lived ones go round SBUF,
// so that a tile's successor lies elsewhere and its load need not wait; what does not fit into
// `sbuf_partition_bytes` is moved to HBM scratch: each access then has a small tile of its own.
// Errors: ResourceExhausted if the operands of one instruction do not fit; Internal for more than 8
// PSUM tiles at once.
absl::Status AllocateTiles(SerialProgram* serial, int64_t sbuf_partition_bytes);

// Offsets of the scratch buffers, reused after their last access; sets scratch_bytes.
void AllocateScratch(SerialProgram* serial);

// Drops variables that nothing mentions and makes one of tiles with equal places; renumbers all
// references.
void CompactVariables(SerialProgram* serial);

}  // namespace glia::compiler

#endif  // GLIA_COMPILER_CODEGEN_ALLOCATE_H_
