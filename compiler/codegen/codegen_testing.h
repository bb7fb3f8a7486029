// Tests of code generation: HLO in, results of the checking interpreter against the evaluator's
// out.
#ifndef GLIA_COMPILER_CODEGEN_CODEGEN_TESTING_H_
#define GLIA_COMPILER_CODEGEN_CODEGEN_TESTING_H_

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "compiler/codegen/codegen.h"
#include "device_sim/device.h"
#include "gtest/gtest.h"
#include "serialization/hlo/ir.h"
#include "serialization/hlo/literal.h"
#include "serialization/neff/neff.h"

namespace glia::compiler {

struct Tolerance {
  double absolute = 1e-5;
  double relative = 1e-5;
};

// Values in [-2, 2) for floats (on a grid that bf16 holds), small ones for integers, pred of
// either; equal seeds give equal values.
hlo::Literal RandomLiteral(const hlo::Shape& shape, uint64_t seed);

// Loads the program (validation and race check included) and runs it.
absl::StatusOr<std::vector<hlo::Literal>> RunNeff(
    const neff::Neff& neff, const hlo::Module& module, const std::vector<hlo::Literal>& arguments,
    device::ExecutorKind kind = device::ExecutorKind::kInterpreter);

// OK if the compiled module gives, on both executors, what the evaluator gives: floats within the
// tolerance, others exactly.
absl::Status CheckModule(const hlo::Module& module, const std::vector<hlo::Literal>& arguments,
                         const Tolerance& tolerance = {}, const CodegenOptions& options = {});
// The same with HLO text and random arguments.
absl::Status CheckText(absl::string_view text, uint64_t seed = 1, const Tolerance& tolerance = {},
                       const CodegenOptions& options = {});

#define GLIA_EXPECT_OK(expression)                          \
  do {                                                      \
    const absl::Status glia_status = (expression);          \
    EXPECT_TRUE(glia_status.ok()) << glia_status.message(); \
  } while (false)

}  // namespace glia::compiler

#endif  // GLIA_COMPILER_CODEGEN_CODEGEN_TESTING_H_
