#include "compiler/passes/pass_testing.h"
#include "gtest/gtest.h"

namespace glia::compiler {
namespace {

TEST(RemoveDeadCodeTest, KeepsParametersAndSideEffects) {
  auto module = ParseOrDie(R"(HloModule m
unused { ROOT a = f32[] parameter(0) }
ENTRY e {
  x = f32[] parameter(0)
  y = f32[] parameter(1)
  dead = f32[] negate(y)
  deader = f32[] exponential(dead)
  ROOT r = f32[] negate(x) })");
  EXPECT_TRUE(RunAndCheck(RemoveDeadCode, module.get()));
  EXPECT_EQ(module->entry()->instruction_count(), 3);
  EXPECT_EQ(module->computation_count(), 1);
  EXPECT_FALSE(RunAndCheck(RemoveDeadCode, module.get()));
}

TEST(RemoveDeadCodeTest, KeepsCustomCallsWithSideEffects) {
  auto module = ParseOrDie(Entry(R"(
  x = f32[] parameter(0)
  log = f32[] custom-call(x), custom_call_target="log", custom_call_has_side_effect=true
  ROOT r = f32[] negate(x))"));
  EXPECT_FALSE(*RemoveDeadCode(module.get()));
}

}  // namespace
}  // namespace glia::compiler
