#include "compiler/passes/pass_testing.h"
#include "gtest/gtest.h"
#include "serialization/hlo/evaluator.h"

namespace glia::compiler {
namespace {

TEST(CanonicalizeLayoutTest, EntryLayoutsBecomeTransposes) {
  auto module = ParseOrDie(Entry(R"(
  x = f32[2,3]{0,1} parameter(0)
  ROOT n = f32[2,3]{0,1} negate(x))"));
  ASSERT_TRUE(*CanonicalizeLayout(module.get()));
  EXPECT_EQ(Expression(*module), "transpose(negate(transpose(p0)))");
  // The bytes of {1 4; 2 5; 3 6}, column-major: those of a row-major [3,2].
  const auto x = hlo::Literal::FromVector<float>({3, 2}, {1, 4, 2, 5, 3, 6});
  const auto result = hlo::Evaluate(*module, {x});
  ASSERT_TRUE(result.ok()) << result.status();
  EXPECT_EQ(*result, hlo::Literal::FromVector<float>({3, 2}, {-1, -4, -2, -5, -3, -6}));
  EXPECT_FALSE(*CanonicalizeLayout(module.get()));
}

TEST(CanonicalizeLayoutTest, BitcastsFollowTheirLayouts) {
  auto module = ParseOrDie(Entry(R"(
  x = f32[2,3] parameter(0)
  a = f32[3,2]{0,1} bitcast(x)
  b = f32[2,3] bitcast(a)
  ROOT c = f32[6] bitcast(b))"));
  EXPECT_TRUE(RunAndCheck(CanonicalizeLayout, module.get()));
  EXPECT_EQ(Count(*module, hlo::Opcode::kBitcast), 0);
}

TEST(CanonicalizeLayoutTest, InnerLayoutsAreDropped) {
  auto module = ParseOrDie(Entry(R"(
  x = f32[2,3]{1,0} parameter(0)
  n = f32[2,3]{0,1} copy(x)
  ROOT r = f32[2,3]{1,0} negate(n))"));
  EXPECT_TRUE(*CanonicalizeLayout(module.get()));
  EXPECT_EQ(Expression(*module), "negate(copy(p0))");
}

TEST(CanonicalizeLayoutTest, TupleResultsAndRefusedTupleParameters) {
  auto module = ParseOrDie(Entry(R"(
  x = f32[2,3] parameter(0)
  ROOT r = (f32[2,3]{0,1}, f32[2,3]{1,0}) tuple(x, x))"));
  EXPECT_TRUE(*CanonicalizeLayout(module.get()));
  EXPECT_EQ(Expression(*module), "tuple(transpose(p0), p0)");
  auto refused = ParseOrDie(Entry(R"(
  t = (f32[2,3]{0,1}, f32[]) parameter(0)
  ROOT r = f32[] get-tuple-element(t), index=1)"));
  EXPECT_EQ(CanonicalizeLayout(refused.get()).status().code(), absl::StatusCode::kUnimplemented);
}

}  // namespace
}  // namespace glia::compiler
