#include "compiler/passes/pass_testing.h"
#include "gtest/gtest.h"

namespace glia::compiler {
namespace {

TEST(CanonicalizeConvolutionsTest, ReversalAndNegativePadding) {
  auto module = ParseOrDie(Entry(R"(
  x = f32[1,2,7,6] parameter(0)
  k = f32[3,2,3,2] parameter(1)
  ROOT c = f32[1,3,5,5] convolution(x, k), window={size=3x2 pad=-1_1x0_0 rhs_reversal=1x0}, dim_labels=bf01_oi01->bf01)"));
  EXPECT_TRUE(RunAndCheck(CanonicalizeConvolutions, module.get(), 1e-6));
  EXPECT_EQ(Expression(*module), "convolution(slice(p0), reverse(p1))");
  EXPECT_FALSE(RunAndCheck(CanonicalizeConvolutions, module.get(), 1e-6));
}

}  // namespace
}  // namespace glia::compiler
