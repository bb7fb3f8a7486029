#include "compiler/passes/pass_testing.h"
#include "gtest/gtest.h"

namespace glia::compiler {
namespace {

std::string Reduce(const char* second) {
  return std::string(R"(HloModule m
f { a = f32[] parameter(0)
  b = f32[] parameter(1)
  c = f32[] parameter(2)
  d = f32[] parameter(3)
  s = f32[] add(a, c)
  t = f32[] maximum()") +
         second + R"()
  ROOT r = (f32[], f32[]) tuple(s, t) }
ENTRY e {
  x = f32[2,8] parameter(0)
  y = f32[2,8] parameter(1)
  zero = f32[] constant(0)
  low = f32[] constant(-inf)
  ROOT r = (f32[2], f32[2]) reduce(x, y, zero, low), dimensions={1}, to_apply=f })";
}

TEST(SplitReducesTest, IndependentOnesAreSplit) {
  auto module = ParseOrDie(Reduce("b, d"));
  EXPECT_TRUE(RunAndCheck(SplitReduces, module.get(), 1e-6));
  EXPECT_EQ(Expression(*module), "tuple(reduce(p0, constant), reduce(p1, constant))");
}

TEST(SplitReducesTest, DependentOnesStay) {
  auto module = ParseOrDie(Reduce("c, d"));
  EXPECT_FALSE(RunAndCheck(SplitReduces, module.get()));
}

}  // namespace
}  // namespace glia::compiler
