#include <cmath>

#include "absl/strings/str_cat.h"
#include "compiler/codegen/codegen_testing.h"
#include "serialization/hlo/builder.h"

namespace glia::compiler {
namespace {

using hlo::Opcode;
using hlo::PrimitiveType;
using hlo::Shape;
using hlo::WindowDim;

struct Case {
  const char* name;
  std::vector<int64_t> dims;
  hlo::Window window;
};

WindowDim W(int64_t size, int64_t stride = 1, int64_t low = 0, int64_t high = 0,
            int64_t dilation = 1, int64_t base = 1) {
  return {size, stride, low, high, dilation, base, false};
}

const Case kCases[] = {
    {"pooling", {2, 5, 13, 14}, {W(1), W(1), W(3, 2, 1, 1), W(3, 2, 1, 1)}},
    {"pooling without overlap", {1, 140, 8, 6}, {W(1), W(1), W(2, 2), W(2, 2)}},
    {"global", {2, 7, 6, 5}, {W(1), W(1), W(6), W(5)}},
    {"channels last", {3, 9, 8, 7}, {W(1), W(3, 1, 1, 1), W(2, 2), W(1)}},
    {"large", {1, 3, 100, 110}, {W(1), W(1), W(3, 1, 1, 1), W(5, 3, 2, 2)}},
    {"3-d", {2, 3, 6, 7, 5}, {W(1), W(1), W(2, 1, 1, 0), W(3, 2), W(2, 2, 0, 1)}},
    {"four axes", {4, 5, 3, 6}, {W(2), W(3, 1, 1, 1), W(2), W(2, 2)}},
    {"five axes", {4, 3, 3, 4, 5}, {W(2), W(2), W(2), W(2, 2), W(3, 1, 1, 1)}},
    {"1-d", {1000}, {W(7, 3, 2, 1)}},
    {"one element", {1}, {W(1, 1, 1, 1)}},
    {"scalar", {}, {}},
    {"no window", {5, 6}, {W(1), W(1)}},
    {"dilated", {3, 20, 17}, {W(1), W(3, 2, 3, 1, 4), W(2, 1, 0, 0, 3)}},
    {"base dilation", {3, 7, 6}, {W(1), W(3, 1, 2, 2, 1, 2), W(2, 2, 1, 3, 2, 3)}},
    {"windows in the padding only", {2, 4, 3}, {W(1), W(2, 1, 3, 4), W(1, 2, 2, 3)}},
    {"negative padding", {9, 12}, {W(3, 1, -2, -1), W(2, 1, -3, 1)}},
    {"running", {5, 33}, {W(1), W(33, 1, 32)}},
    {"running over rows", {300, 5}, {W(300, 1, 299), W(1)}},
    {"running, long", {2, 4500}, {W(1), W(4500, 1, 4499)}},
    {"running backwards", {5, 33}, {W(1), W(33, 1, 0, 32)}},
    {"running in the middle", {2, 7, 3}, {W(1), W(9, 1, 8), W(1)}},
    {"nothing", {0, 5}, {W(1), W(2)}},
    {"windows of nothing", {3, 0}, {W(1), W(2, 1, 2, 1)}},
};

// Seconds each on the interpreter.
const Case kLargeCases[] = {
    {"more than a tile, axis by axis", {2, 3, 80, 75}, {W(1), W(1), W(70, 5), W(70, 5)}},
    {"more than a tile", {2, 9300}, {W(1), W(9000, 150, 100, 50)}},
    {"more than a tile, dilated", {5000, 2}, {W(2400, 500, 0, 900, 2), W(1)}},
};

absl::Status Check(const Case& c, Opcode opcode, PrimitiveType type, double init,
                   const Tolerance& tolerance = {}) {
  hlo::Builder b("window");
  const hlo::Op x = Parameter(&b, 0, Shape(type, c.dims));
  const auto module = b.Build(
      ReduceWindow(x, ConstantScalar(&b, type, init), b.ScalarComputation(opcode, type), c.window));
  if (!module.ok()) return module.status();
  return CheckModule(**module, {RandomLiteral(Shape(type, c.dims), 3)}, tolerance);
}

TEST(ReduceWindowTest, Floats) {
  for (const Case& c : kCases) {
    SCOPED_TRACE(c.name);
    GLIA_EXPECT_OK(Check(c, Opcode::kMaximum, hlo::kF32, -INFINITY));
    GLIA_EXPECT_OK(Check(c, Opcode::kMaximum, hlo::kF32, 0.5));
    GLIA_EXPECT_OK(Check(c, Opcode::kMinimum, hlo::kBF16, INFINITY));
    GLIA_EXPECT_OK(Check(c, Opcode::kAdd, hlo::kF32, 0, {1e-3, 1e-4}));
    GLIA_EXPECT_OK(Check(c, Opcode::kAdd, hlo::kF32, 1.25, {1e-3, 1e-4}));
    GLIA_EXPECT_OK(Check(c, Opcode::kAdd, hlo::kBF16, 0, {0.5, 0.03}));
  }
}

TEST(ReduceWindowTest, WindowsOfMoreThanATile) {
  for (const Case& c : kLargeCases) {
    SCOPED_TRACE(c.name);
    GLIA_EXPECT_OK(Check(c, Opcode::kMaximum, hlo::kF32, -INFINITY));
  }
}

TEST(ReduceWindowTest, Integers) {
  for (const Case& c : kCases) {
    SCOPED_TRACE(c.name);
    GLIA_EXPECT_OK(Check(c, Opcode::kAdd, hlo::kS32, 1 << 30));
    GLIA_EXPECT_OK(Check(c, Opcode::kMultiply, hlo::kS64, 1));
    GLIA_EXPECT_OK(Check(c, Opcode::kMaximum, hlo::kS8, -128));
    GLIA_EXPECT_OK(Check(c, Opcode::kMinimum, hlo::kU32, 4294967295.0));
    GLIA_EXPECT_OK(Check(c, Opcode::kOr, hlo::kPred, 0));
    GLIA_EXPECT_OK(Check(c, Opcode::kAnd, hlo::kPred, 1));
  }
}

TEST(ReduceWindowTest, AnyComputation) {
  for (const Case& c : kCases) {
    if (c.dims.empty() || c.dims.back() > 500) continue;
    SCOPED_TRACE(c.name);
    hlo::Builder b("window");
    const auto sub = b.CreateSubBuilder("reducer");
    const Shape scalar(hlo::kF32, {});
    const hlo::Op x = Parameter(sub.get(), 0, scalar), y = Parameter(sub.get(), 1, scalar);
    const auto reducer = sub->BuildComputation(Max(Abs(x), Abs(y)));
    ASSERT_TRUE(reducer.ok()) << reducer.status().message();
    const Shape shape(hlo::kF32, c.dims);
    const auto module = b.Build(ReduceWindow(
        Parameter(&b, 0, shape), ConstantScalar(&b, hlo::kF32, 0.5), *reducer, c.window));
    ASSERT_TRUE(module.ok()) << module.status().message();
    // An element that no other joins keeps its sign: none has one.
    hlo::Literal argument = RandomLiteral(shape, 3);
    GLIA_EXPECT_OK(CheckModule(**module, {argument}));
  }
}

TEST(ReduceWindowTest, MaximumAndItsIndex) {
  GLIA_EXPECT_OK(CheckText(R"(
pick {
  a = f32[] parameter(0)
  i = s32[] parameter(1)
  b = f32[] parameter(2)
  j = s32[] parameter(3)
  g = pred[] compare(a, b), direction=GE
  v = f32[] select(g, a, b)
  k = s32[] select(g, i, j)
  ROOT t = (f32[], s32[]) tuple(v, k)
}
ENTRY main {
  x = f32[3,20,17] parameter(0)
  i = s32[3,20,17] iota(), iota_dimension=2
  inf = f32[] constant(-inf)
  zero = s32[] constant(-1)
  ROOT r = (f32[3,10,9], s32[3,10,9]) reduce-window(x, i, inf, zero), window={size=1x3x3 stride=1x2x2 pad=0_0x1_0x1_1}, to_apply=pick
})"));
}

}  // namespace
}  // namespace glia::compiler
