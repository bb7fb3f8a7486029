// The ways to run a case.
#ifndef GLIA_TESTS_CONFORMANCE_MODES_H_
#define GLIA_TESTS_CONFORMANCE_MODES_H_

#include "absl/status/status.h"
#include "tests/conformance/case.h"

namespace glia::conformance {

// Runs the case on the CPU, lazily and traced. OK, or what went wrong first, with the mode. In lazy
// mode results must also have eager's strides, and nothing may run on the CPU that has a lowering
// to run.
absl::Status Run(const Case& c);

// For programs: the end of a step in lazy mode, nothing in the others.
void Step();

}  // namespace glia::conformance

#endif  // GLIA_TESTS_CONFORMANCE_MODES_H_
