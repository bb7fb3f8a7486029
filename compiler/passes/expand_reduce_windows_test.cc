#include "compiler/passes/pass_testing.h"
#include "gtest/gtest.h"

namespace glia::compiler {
namespace {

struct Case {
  const char* input;
  const char* result;
  const char* window;
};

constexpr Case kCases[] = {
    {"f32[2,3,8,8]", "f32[2,3,4,4]", "size=1x1x2x2 stride=1x1x2x2"},
    {"f32[1,2,7,9]", "f32[1,2,4,5]", "size=1x1x3x3 stride=1x1x2x2 pad=0_0x0_0x1_1x1_1"},
    {"f32[5,6]", "f32[5,1]", "size=1x6"},
    {"f32[11]", "f32[7]", "size=5"},
    {"f32[12]", "f32[6]", "size=7"},
    {"f32[13]", "f32[3]", "size=3 stride=2 rhs_dilate=4"},
    {"f32[4]", "f32[9]", "size=3 pad=2_2 lhs_dilate=2"},
    {"f32[3,10]", "f32[3,10]", "size=1x10 pad=0_0x9_0"},  // a cumulative reduction
    {"f32[6]", "f32[3]", "size=1 stride=2"},
    {"f32[6]", "f32[6]", "size=1"},
    {"f32[6]", "f32[2]", "size=3 pad=-1_-1"},
    {"f32[2]", "f32[0]", "size=3"},
    {"f32[0]", "f32[2]", "size=1 pad=1_1"},
};

std::string Text(const Case& c, const char* reducer, const char* init) {
  return std::string(
             "HloModule m\nr {\n  a = f32[] parameter(0)\n  b = f32[] parameter(1)\n  ROOT c = "
             "f32[] ") +
         reducer + "(a, b)\n}\nENTRY e {\n  x = " + c.input +
         " parameter(0)\n  i = f32[] constant(" + init + ")\n  ROOT w = " + c.result +
         " reduce-window(x, i), window={" + c.window + "}, to_apply=r\n}\n";
}

TEST(ExpandReduceWindowsTest, GivesTheSame) {
  for (const Case& c : kCases) {
    for (const auto& [reducer, init] :
         {std::pair<const char*, const char*>{"add", "0"}, {"maximum", "-inf"}, {"add", "1.5"}}) {
      // Padding with an initial value that is no identity is where XLA's evaluator, which skips the
      // padding, and its specification, which reduces it, differ.
      const bool padded = std::string(c.window).find("pad") != std::string::npos ||
                          std::string(c.window).find("lhs") != std::string::npos;
      if (padded && std::string(init) == "1.5") continue;
      const std::string text = Text(c, reducer, init);
      SCOPED_TRACE(text);
      auto module = ParseOrDie(text);
      EXPECT_TRUE(RunAndCheck(ExpandReduceWindows, module.get(), 1e-5));
      EXPECT_EQ(Count(*module, hlo::Opcode::kReduceWindow), 0);
    }
  }
}

TEST(ExpandReduceWindowsTest, ValuesWithIndices) {
  auto module = ParseOrDie(R"(HloModule m
r {
  av = f32[] parameter(0)
  ai = s32[] parameter(1)
  bv = f32[] parameter(2)
  bi = s32[] parameter(3)
  ge = pred[] compare(av, bv), direction=GE
  v = f32[] select(ge, av, bv)
  i = s32[] select(ge, ai, bi)
  ROOT t = (f32[], s32[]) tuple(v, i)
}
ENTRY e {
  x = f32[2,7] parameter(0)
  n = s32[2,7] iota(), iota_dimension=1
  low = f32[] constant(-inf)
  zero = s32[] constant(-1)
  ROOT w = (f32[2,4], s32[2,4]) reduce-window(x, n, low, zero), window={size=1x3 stride=1x2 pad=0_0x1_1}, to_apply=r
}
)");
  EXPECT_TRUE(RunAndCheck(ExpandReduceWindows, module.get()));
  EXPECT_EQ(Count(*module, hlo::Opcode::kReduceWindow), 0);
}

TEST(ExpandReduceWindowsTest, TakesLogarithmicallyManySteps) {
  auto module =
      ParseOrDie(Text({"f32[1,1000]", "f32[1,1000]", "size=1x1000 pad=0_0x999_0"}, "add", "0"));
  EXPECT_TRUE(RunAndCheck(ExpandReduceWindows, module.get(), 1e-4));
  EXPECT_LE(Count(*module, hlo::Opcode::kAdd), 20);
}

}  // namespace
}  // namespace glia::compiler
