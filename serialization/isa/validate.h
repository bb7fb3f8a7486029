// Checks a program against the instruction table, the limits of the core and its own variables.
#ifndef GLIA_SERIALIZATION_ISA_VALIDATE_H_
#define GLIA_SERIALIZATION_ISA_VALIDATE_H_

#include "absl/status/status.h"
#include "serialization/isa/program.h"

namespace glia::isa {

// OK if every record of the program is well-formed and every address it can form lies within its
// variable (those of indirect transfers: for every index within index_bound). Any program is safe
// to pass; takes linear time. Error: InvalidArgument naming segment, engine, position, mnemonic,
// operand, the value and the limit. Not checked: order between engines (device_sim/executor.h,
// CheckRaces).
absl::Status Validate(const Program& program);

}  // namespace glia::isa

#endif  // GLIA_SERIALIZATION_ISA_VALIDATE_H_
