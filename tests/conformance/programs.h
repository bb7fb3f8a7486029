// Programs in TorchScript as cases.
#ifndef GLIA_TESTS_CONFORMANCE_PROGRAMS_H_
#define GLIA_TESTS_CONFORMANCE_PROGRAMS_H_

#include "absl/types/span.h"
#include "tests/conformance/case.h"

namespace glia::conformance {

struct ProgramCase {
  // Tensors in the notation of frontend/lowering/testing/op_case.h; `$` stands for each type in
  // turn.
  const char* arguments;
  // The body of a function of a, b, c, …; lines end with ";" or a new line.
  const char* body;
  const char* types = "";
  double tolerance = 0;
  const char* untraceable = "";  // see Case
  int fallbacks = 0;
};

absl::Span<const ProgramCase> ProgramTable();

void VisitProgram(const ProgramCase& row, const Visitor& visit);

}  // namespace glia::conformance

#endif  // GLIA_TESTS_CONFORMANCE_PROGRAMS_H_
