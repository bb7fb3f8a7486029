// Helpers of the passes' tests: HLO text in, a property of the result out.
#ifndef GLIA_COMPILER_PASSES_PASS_TESTING_H_
#define GLIA_COMPILER_PASSES_PASS_TESTING_H_

#include <cstdint>
#include <memory>
#include <string>

#include "absl/strings/string_view.h"
#include "compiler/passes/passes.h"
#include "serialization/hlo/ir.h"

namespace glia::compiler {

// Aborts the test program when the text is not a valid module.
std::unique_ptr<hlo::Module> ParseOrDie(absl::string_view text);

// Runs a pass, and checks that the module stays valid, that the pass tells whether it changed it,
// and that random arguments give the same results before and after, within `tolerance` relative to
// max(1, |expected|). Parameters whose layout the pass makes explicit are not supported here.
bool RunAndCheck(PassFn pass, hlo::Module* module, double tolerance = 0);

// Same results of two modules for the same random arguments.
void ExpectSameResults(const hlo::Module& expected, const hlo::Module& actual, double tolerance,
                       uint32_t seed = 1);

// Instructions of that opcode in the entry computation.
int64_t Count(const hlo::Module& module, hlo::Opcode opcode);

// The entry's root as text without operands' names: "add(multiply(p0, constant), p1)"; parameters
// by number.
std::string Expression(const hlo::Module& module);

// "ENTRY e { ... }" with the given lines, for tests of one rule.
std::string Entry(absl::string_view body);

}  // namespace glia::compiler

#endif  // GLIA_COMPILER_PASSES_PASS_TESTING_H_
