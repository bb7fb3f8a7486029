// The table of cases: every operator with a lowering has at least one (lowering_test checks it).
#ifndef GLIA_FRONTEND_LOWERING_TESTING_CASES_H_
#define GLIA_FRONTEND_LOWERING_TESTING_CASES_H_

#include <vector>

#include "absl/types/span.h"
#include "frontend/lowering/testing/op_case.h"

namespace glia::lowering::testing {

absl::Span<const OpCase> ElementwiseCases();
absl::Span<const OpCase> ReductionCases();
absl::Span<const OpCase> LayerCases();
absl::Span<const OpCase> MovementCases();
absl::Span<const OpCase> GradientCases();
absl::Span<const OpCase> ShapeCases();
absl::Span<const OpCase> RandomCases();

inline std::vector<OpCase> AllCases() {
  std::vector<OpCase> all;
  for (const absl::Span<const OpCase> cases :
       {ElementwiseCases(), ReductionCases(), LayerCases(), MovementCases(), GradientCases(),
        ShapeCases(), RandomCases()}) {
    all.insert(all.end(), cases.begin(), cases.end());
  }
  return all;
}

// Calls that must be refused, so that they run on the CPU.
absl::Span<const OpCase> RefusedCases();

}  // namespace glia::lowering::testing

#endif  // GLIA_FRONTEND_LOWERING_TESTING_CASES_H_
