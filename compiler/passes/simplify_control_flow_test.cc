#include <array>
#include <string>

#include "compiler/passes/pass_testing.h"
#include "gtest/gtest.h"

namespace glia::compiler {
namespace {

std::string Loop(int start, int limit, int step) {
  return "HloModule m\n"
         "cond { s = (s32[], f32[2]) parameter(0)\n i = s32[] get-tuple-element(s), index=0\n"
         " n = s32[] constant(" +
         std::to_string(limit) +
         ")\n"
         " ROOT c = pred[] compare(i, n), direction=LT }\n"
         "body { s = (s32[], f32[2]) parameter(0)\n i = s32[] get-tuple-element(s), index=0\n"
         " one = s32[] constant(" +
         std::to_string(step) +
         ")\n j = s32[] add(i, one)\n"
         " x = f32[2] get-tuple-element(s), index=1\n y = f32[2] sine(x)\n"
         " ROOT r = (s32[], f32[2]) tuple(j, y) }\n"
         "ENTRY e { x = f32[2] parameter(0)\n zero = s32[] constant(" +
         std::to_string(start) +
         ")\n"
         " t = (s32[], f32[2]) tuple(zero, x)\n w = (s32[], f32[2]) while(t), condition=cond, "
         "body=body\n"
         " ROOT r = f32[2] get-tuple-element(w), index=1 }\n";
}

TEST(SimplifyControlFlowTest, UnrollsKnownTripCounts) {
  for (auto [start, limit, step, sines] :
       {std::array<int, 4>{0, 3, 1, 3}, {5, 3, 1, 0}, {-4, 3, 2, 4}}) {
    auto module = ParseOrDie(Loop(start, limit, step));
    EXPECT_TRUE(RunAndCheck(SimplifyControlFlow, module.get()));
    EXPECT_EQ(Count(*module, hlo::Opcode::kWhile), 0);
    EXPECT_EQ(Count(*module, hlo::Opcode::kSin), sines);
    EXPECT_EQ(module->computation_count(), 1);
  }
}

TEST(SimplifyControlFlowTest, LeavesLoopsThatAreLongOrNeverEnd) {
  auto forever = ParseOrDie(Loop(0, 3, 0));
  EXPECT_FALSE(*SimplifyControlFlow(forever.get()));
  auto long_loop = ParseOrDie(Loop(0, 60000, 1));
  EXPECT_FALSE(*SimplifyControlFlow(long_loop.get()));
}

TEST(SimplifyControlFlowTest, LimitsThatLoopsCarryAlongAreKnown) {
  auto module = ParseOrDie(R"(HloModule m
cond { s = (s32[], s32[], f32[]) parameter(0)
  i = s32[] get-tuple-element(s), index=0
  n = s32[] get-tuple-element(s), index=1
  ROOT c = pred[] compare(i, n), direction=NE }
body { s = (s32[], s32[], f32[]) parameter(0)
  i = s32[] get-tuple-element(s), index=0
  n = s32[] get-tuple-element(s), index=1
  x = f32[] get-tuple-element(s), index=2
  one = s32[] constant(1)
  j = s32[] subtract(i, one)
  y = f32[] cosine(x)
  ROOT r = (s32[], s32[], f32[]) tuple(j, n, y) }
ENTRY e {
  x = f32[] parameter(0)
  a = s32[] constant(5)
  b = s32[] constant(1)
  t = (s32[], s32[], f32[]) tuple(a, b, x)
  ROOT w = (s32[], s32[], f32[]) while(t), condition=cond, body=body })");
  EXPECT_TRUE(RunAndCheck(SimplifyControlFlow, module.get()));
  EXPECT_EQ(Count(*module, hlo::Opcode::kCos), 4);
}

TEST(SimplifyControlFlowTest, LoopsOverDataStay) {
  auto module = ParseOrDie(R"(HloModule m
cond { x = f32[] parameter(0)
  ten = f32[] constant(10)
  ROOT c = pred[] compare(x, ten), direction=LT }
body { x = f32[] parameter(0)
  three = f32[] constant(3)
  ROOT r = f32[] add(x, three) }
ENTRY e { x = f32[] parameter(0)
  ROOT w = f32[] while(x), condition=cond, body=body })");
  EXPECT_FALSE(RunAndCheck(SimplifyControlFlow, module.get()));
}

TEST(SimplifyControlFlowTest, ConditionalsWithConstantSelector) {
  const std::string branches = R"(HloModule m
a { x = f32[] parameter(0)
  ROOT r = f32[] sine(x) }
b { x = f32[] parameter(0)
  ROOT r = f32[] cosine(x) }
)";
  auto by_pred = ParseOrDie(branches + R"(ENTRY e { x = f32[] parameter(0)
  p = pred[] constant(false)
  ROOT c = f32[] conditional(p, x, x), true_computation=a, false_computation=b })");
  EXPECT_TRUE(RunAndCheck(SimplifyControlFlow, by_pred.get()));
  EXPECT_TRUE(RunAndCheck(InlineCalls, by_pred.get()));
  EXPECT_EQ(Expression(*by_pred), "cosine(p0)");
  auto by_index = ParseOrDie(branches + R"(ENTRY e { x = f32[] parameter(0)
  i = s32[] constant(-7)
  ROOT c = f32[] conditional(i, x, x), branch_computations={a, b} })");
  EXPECT_TRUE(RunAndCheck(SimplifyControlFlow, by_index.get()));
  EXPECT_TRUE(RunAndCheck(InlineCalls, by_index.get()));
  EXPECT_EQ(Expression(*by_index), "cosine(p0)");
}

}  // namespace
}  // namespace glia::compiler
