// Checks a module: that it is well formed and that every shape is the one its instruction must
// have.
#ifndef GLIA_SERIALIZATION_HLO_VERIFIER_H_
#define GLIA_SERIALIZATION_HLO_VERIFIER_H_

#include "absl/status/status.h"
#include "serialization/hlo/ir.h"

namespace glia::hlo {

// Structure: an entry; every computation has a root of its own; ids and names unique; operands in
// the same computation and acyclic; called computations in the same module and not recursive;
// parameters numbered 0, 1, 2, …; aliases that name existing buffers. Shapes: valid, and compatible
// with what InferShape gives. INVALID_ARGUMENT naming module, computation and instruction. Linear.
// Thread-safe.
absl::Status Verify(const Module& module);

}  // namespace glia::hlo

#endif  // GLIA_SERIALIZATION_HLO_VERIFIER_H_
