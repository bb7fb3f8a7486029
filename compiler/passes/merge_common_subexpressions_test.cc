#include "compiler/passes/pass_testing.h"
#include "gtest/gtest.h"

namespace glia::compiler {
namespace {

TEST(MergeCommonSubexpressionsTest, MergesThroughCommutedOperandsAndConstants) {
  auto module = ParseOrDie(Entry(R"(
  x = f32[2] parameter(0)
  y = f32[2] parameter(1)
  a = f32[2] add(x, y)
  b = f32[2] add(y, x)
  c = f32[2] constant({1, 2})
  d = f32[2] constant({1, 2})
  m = f32[2] multiply(a, c)
  n = f32[2] multiply(b, d)
  s = f32[2] subtract(x, y)
  t = f32[2] subtract(y, x)
  ROOT r = (f32[2], f32[2], f32[2], f32[2]) tuple(m, n, s, t))"));
  EXPECT_TRUE(RunAndCheck(MergeCommonSubexpressions, module.get()));
  EXPECT_EQ(Count(*module, hlo::Opcode::kAdd), 1);
  EXPECT_EQ(Count(*module, hlo::Opcode::kConstant), 1);
  EXPECT_EQ(Count(*module, hlo::Opcode::kMultiply), 1);
  EXPECT_EQ(Count(*module, hlo::Opcode::kSubtract), 2);
  EXPECT_FALSE(RunAndCheck(MergeCommonSubexpressions, module.get()));
}

TEST(MergeCommonSubexpressionsTest, AttributesAndSignOfZeroMatter) {
  auto module = ParseOrDie(Entry(R"(
  x = f32[2,2] parameter(0)
  a = f32[2,1] slice(x), slice={[0:2], [0:1]}
  b = f32[2,1] slice(x), slice={[0:2], [1:2]}
  z = f32[] constant(0)
  n = f32[] constant(-0)
  p = pred[2,2] compare(x, x), direction=EQ
  q = pred[2,2] compare(x, x), direction=NE
  ROOT r = (f32[2,1], f32[2,1], f32[], f32[], pred[2,2], pred[2,2]) tuple(a, b, z, n, p, q))"));
  EXPECT_FALSE(RunAndCheck(MergeCommonSubexpressions, module.get()));
}

TEST(MergeCommonSubexpressionsTest, MergesEqualComputations) {
  auto module = ParseOrDie(R"(HloModule m
add.1 { a = f32[] parameter(0)
  b = f32[] parameter(1)
  ROOT s = f32[] add(a, b) }
add.2 { c = f32[] parameter(0)
  d = f32[] parameter(1)
  ROOT t = f32[] add(c, d) }
ENTRY e {
  x = f32[4] parameter(0)
  z = f32[] constant(0)
  a = f32[] reduce(x, z), dimensions={0}, to_apply=add.1
  b = f32[] reduce(x, z), dimensions={0}, to_apply=add.2
  ROOT r = f32[] multiply(a, b) })");
  EXPECT_TRUE(RunAndCheck(MergeCommonSubexpressions, module.get()));
  EXPECT_EQ(module->computation_count(), 2);
  EXPECT_EQ(Count(*module, hlo::Opcode::kReduce), 1);
}

}  // namespace
}  // namespace glia::compiler
