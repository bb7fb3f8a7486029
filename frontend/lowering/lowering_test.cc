#include "frontend/lowering/lowering.h"

#include <gtest/gtest.h>

#include <iostream>
#include <set>
#include <string>

#include "frontend/capture/graph.h"
#include "frontend/lowering/registry.h"
#include "frontend/lowering/testing/cases.h"

namespace glia::lowering {
namespace {

using testing::OpCase;

void RunAll(absl::Span<const OpCase> cases) {
  int run = 0, absent = 0;
  for (const OpCase& op_case : cases) {
    const absl::Status status = testing::RunCase(op_case);
    if (absl::IsNotFound(status)) {
      ++absent;
      continue;
    }
    EXPECT_TRUE(status.ok()) << status;
    ++run;
  }
  std::cout << run << " cases, " << absent << " of operators that this libtorch does not have\n";
  EXPECT_LT(absent, run);
}

TEST(Lowering, Elementwise) { RunAll(testing::ElementwiseCases()); }
TEST(Lowering, Reductions) { RunAll(testing::ReductionCases()); }
TEST(Lowering, Layers) { RunAll(testing::LayerCases()); }
TEST(Lowering, Movement) { RunAll(testing::MovementCases()); }
TEST(Lowering, Gradients) { RunAll(testing::GradientCases()); }

TEST(Lowering, EveryOperatorHasACase) {
  std::set<std::string> covered;
  for (const absl::Span<const OpCase> cases :
       {testing::ElementwiseCases(), testing::ReductionCases(), testing::LayerCases(),
        testing::MovementCases(), testing::GradientCases()}) {
    for (const OpCase& op_case : cases) covered.insert(op_case.op);
  }
  for (const std::string& name : LoweredOperators()) {
    EXPECT_EQ(covered.count(name), 1u)
        << name << " has a lowering but no case in testing/cases_*.cc";
    covered.erase(name);
  }
  for (const std::string& name : covered) ADD_FAILURE() << name << " has a case but no lowering";
}

TEST(Lowering, RefusesWhatItCannotDo) {
  for (const OpCase& op_case : testing::RefusedCases()) {
    const absl::StatusOr<std::string> refusal = testing::RefusalOf(op_case);
    ASSERT_TRUE(refusal.ok()) << refusal.status();
    EXPECT_NE(*refusal, "") << op_case.op << " " << op_case.args;
    EXPECT_NE(refusal->find(std::string(op_case.op).substr(0, std::string(op_case.op).find('.'))),
              std::string::npos)
        << "the refusal does not name the operator: " << *refusal;
  }
}

}  // namespace
}  // namespace glia::lowering
