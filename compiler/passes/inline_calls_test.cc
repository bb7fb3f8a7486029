#include "compiler/passes/pass_testing.h"
#include "gtest/gtest.h"

namespace glia::compiler {
namespace {

TEST(InlineCallsTest, CallsFusionsAndMaps) {
  auto module = ParseOrDie(R"(HloModule m
inner { a = f32[3] parameter(0)
  ROOT n = f32[3] negate(a) }
outer { a = f32[3] parameter(0)
  c = f32[3] call(a), to_apply=inner
  ROOT e = f32[3] exponential(c) }
scalar { a = f32[] parameter(0)
  two = f32[] constant(2)
  ROOT m = f32[] multiply(a, two) }
ENTRY e {
  x = f32[3] parameter(0)
  c = f32[3] call(x), to_apply=outer
  f = f32[3] fusion(c), kind=kLoop, calls=inner
  ROOT m = f32[3] map(f), dimensions={0}, to_apply=scalar })");
  EXPECT_TRUE(RunAndCheck(InlineCalls, module.get()));
  EXPECT_EQ(Expression(*module), "multiply(negate(exponential(negate(p0))), broadcast(constant))");
  EXPECT_EQ(module->computation_count(), 1);
  EXPECT_FALSE(RunAndCheck(InlineCalls, module.get()));
}

}  // namespace
}  // namespace glia::compiler
