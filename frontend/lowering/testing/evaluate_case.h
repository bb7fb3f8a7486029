// A case in eager PyTorch on the CPU and through lowering and the HLO evaluator.
#ifndef GLIA_FRONTEND_LOWERING_TESTING_EVALUATE_CASE_H_
#define GLIA_FRONTEND_LOWERING_TESTING_EVALUATE_CASE_H_

#include <string>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "frontend/lowering/testing/op_case.h"

namespace glia::lowering::testing {

// Runs the case for each of its types and shapes. OK, or what differs, with the call. NOT_FOUND
// when this libtorch has no such operator.
absl::Status RunCase(const OpCase& op_case);
// How the lowering refuses the call: the message of WhyUnsupported, empty when it takes it.
absl::StatusOr<std::string> RefusalOf(const OpCase& op_case);

}  // namespace glia::lowering::testing

#endif  // GLIA_FRONTEND_LOWERING_TESTING_EVALUATE_CASE_H_
