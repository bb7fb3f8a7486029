#include <cmath>
#include <limits>

#include "absl/strings/str_cat.h"
#include "compiler/codegen/codegen_testing.h"
#include "serialization/hlo/builder.h"
#include "serialization/hlo/text.h"

namespace glia::compiler {
namespace {

using hlo::ComparisonDirection;
using hlo::ComparisonType;
using hlo::PrimitiveType;
using hlo::Shape;

struct Case {
  std::vector<int64_t> dims;
  int64_t dim;
};
const Case kCases[] = {
    {{17}, 0},     {{1}, 0},       {{5, 33}, 1}, {{33, 5}, 0},
    {{140, 9}, 1}, {{3, 8, 5}, 1}, {{0, 4}, 1},  {{4, 0}, 1},
};

// Keys, their positions, and a payload of another type.
absl::StatusOr<std::unique_ptr<hlo::Module>> Module(const Case& c, PrimitiveType type,
                                                    ComparisonDirection direction,
                                                    ComparisonType comparison, bool computed_key) {
  hlo::Builder b("sort");
  const auto sub = b.CreateSubBuilder("comparator");
  hlo::Op x = Parameter(sub.get(), 0, Shape(type, {}));
  hlo::Op y = Parameter(sub.get(), 1, Shape(type, {}));
  for (int i = 0; i < 2; ++i) {
    Parameter(sub.get(), 2 + i, Shape(hlo::kS32, {}));
    Parameter(sub.get(), 4 + i, Shape(hlo::kS64, {}));
  }
  if (computed_key) {
    x = Neg(x);
    y = Neg(y);
  }
  const auto comparator = sub->BuildComputation(Compare(x, y, direction, comparison));
  if (!comparator.ok()) return comparator.status();
  const hlo::Op keys = Parameter(&b, 0, Shape(type, c.dims));
  const hlo::Op payload = Parameter(&b, 1, Shape(hlo::kS64, c.dims));
  const hlo::Op positions = Iota(&b, Shape(hlo::kS32, c.dims), c.dim);
  return b.Build(Sort({keys, positions, payload}, *comparator, c.dim, true));
}

absl::Status Check(const Case& c, PrimitiveType type, ComparisonDirection direction,
                   ComparisonType comparison, bool computed_key = false) {
  const auto module = Module(c, type, direction, comparison, computed_key);
  if (!module.ok()) return module.status();
  return CheckModule(**module, {RandomLiteral(Shape(type, c.dims), 3),
                                RandomLiteral(Shape(hlo::kS64, c.dims), 4)});
}

TEST(SortTest, ByOneKey) {
  for (const Case& c : kCases) {
    SCOPED_TRACE(absl::StrCat(c.dims.size(), "-d, ", c.dims[0]));
    for (const auto direction : {ComparisonDirection::kLt, ComparisonDirection::kGt}) {
      GLIA_EXPECT_OK(Check(c, hlo::kF32, direction, ComparisonType::kDefault));
      GLIA_EXPECT_OK(Check(c, hlo::kF32, direction, ComparisonType::kTotalOrder));
      GLIA_EXPECT_OK(Check(c, hlo::kBF16, direction, ComparisonType::kTotalOrder));
      GLIA_EXPECT_OK(Check(c, hlo::kS8, direction, ComparisonType::kDefault));
      GLIA_EXPECT_OK(Check(c, hlo::kU64, direction, ComparisonType::kDefault));
      GLIA_EXPECT_OK(Check(c, hlo::kS32, direction, ComparisonType::kDefault, true));
    }
  }
}

TEST(SortTest, TotalOrder) {
  const float inf = std::numeric_limits<float>::infinity(), nan = std::nanf("");
  const std::vector<float> values = {0.0f, -0.0f, nan, 1, -inf, -nan, inf, 0.0f, -1, -0.0f, nan};
  const Case c = {{static_cast<int64_t>(values.size())}, 0};
  for (const auto direction : {ComparisonDirection::kLt, ComparisonDirection::kGt}) {
    const auto module = Module(c, hlo::kF32, direction, ComparisonType::kTotalOrder, false);
    ASSERT_TRUE(module.ok()) << module.status().message();
    GLIA_EXPECT_OK(CheckModule(**module, {hlo::Literal::FromVector(c.dims, values),
                                          RandomLiteral(Shape(hlo::kS64, c.dims), 4)}));
  }
}

TEST(SortTest, AnyComparator) {
  // By one key, then by another the other way round.
  for (const int64_t n : {2, 3, 31, 32, 33, 100, 1000}) {
    SCOPED_TRACE(n);
    GLIA_EXPECT_OK(CheckText(absl::StrCat(
        R"(
before {
  a = s32[] parameter(0)
  b = s32[] parameter(1)
  x = f32[] parameter(2)
  y = f32[] parameter(3)
  p = s64[] parameter(4)
  q = s64[] parameter(5)
  less = pred[] compare(a, b), direction=LT
  same = pred[] compare(a, b), direction=EQ
  greater = pred[] compare(x, y), direction=GT
  tie = pred[] and(same, greater)
  ROOT r = pred[] or(less, tie)
}
ENTRY main {
  a = s32[3,)",
        n, "] parameter(0)\n  x = f32[3,", n, "] parameter(1)\n  p = s64[3,", n,
        "] iota(), iota_dimension=1\n  ROOT s = (s32[3,", n, "], f32[3,", n, "], s64[3,", n,
        "]) sort(a, x, p), dimensions={1}, is_stable=true, "
        "to_apply=before\n}")));
  }
}

TEST(SortTest, LongRows) {
  GLIA_EXPECT_OK(
      Check({{2, 9001}, 1}, hlo::kF32, ComparisonDirection::kLt, ComparisonType::kTotalOrder));
}

TEST(SortTest, TopK) {
  struct TopCase {
    std::vector<int64_t> dims;
    int64_t k;
  };
  const TopCase cases[] = {{{7}, 3},        {{5, 33}, 33}, {{2, 140, 9}, 1}, {{3, 20000}, 50},
                           {{1, 50257}, 5}, {{4, 0}, 0},   {{300, 5}, 2},    {{2, 9000}, 3000}};
  for (const TopCase& c : cases) {
    for (const bool largest : {true, false}) {
      SCOPED_TRACE(absl::StrCat(c.dims.back(), ", k = ", c.k));
      for (const PrimitiveType type : {hlo::kF32, hlo::kS32, hlo::kBF16}) {
        hlo::Builder b("topk");
        const Shape shape(type, c.dims);
        const auto module = b.Build(TopK(Parameter(&b, 0, shape), c.k, largest));
        ASSERT_TRUE(module.ok()) << module.status().message();
        GLIA_EXPECT_OK(CheckModule(**module, {RandomLiteral(shape, 3)}));
      }
    }
  }
}

// More of a row than pieces of it could leave: the whole row is sorted, which takes the interpreter
// seconds.
TEST(SortTest, TopKOfMostOfALongRow) {
  hlo::Builder b("topk");
  const Shape shape(hlo::kF32, {1, 9000});
  const auto module = b.Build(TopK(Parameter(&b, 0, shape), 7000, /*largest=*/true));
  ASSERT_TRUE(module.ok()) << module.status().message();
  GLIA_EXPECT_OK(CheckModule(**module, {RandomLiteral(shape, 3)}));
}

TEST(SelectAndScatterTest, MatchesEvaluator) {
  struct WindowCase {
    std::vector<int64_t> dims;
    hlo::Window window;
  };
  const WindowCase cases[] = {
      {{2, 3, 8, 9}, {{1}, {1}, {2, 2}, {3, 3}}},
      {{3, 8, 9}, {{1}, {3, 2, 1, 1}, {3, 1, 1, 1}}},
      {{10}, {{3, 3, 0, 0}}},
      {{1}, {{2, 1, 1, 1}}},
  };
  for (const WindowCase& c : cases) {
    hlo::Builder b("select_and_scatter");
    const auto sub = b.CreateSubBuilder("select");
    const Shape scalar(hlo::kF32, {});
    const hlo::Op x = Parameter(sub.get(), 0, scalar), y = Parameter(sub.get(), 1, scalar);
    const auto select = sub->BuildComputation(Ge(x, y));
    ASSERT_TRUE(select.ok()) << select.status().message();
    const Shape shape(hlo::kF32, c.dims);
    std::vector<int64_t> windows;
    for (size_t d = 0; d < c.dims.size(); ++d) {
      const hlo::WindowDim& w = c.window[d];
      windows.push_back((c.dims[d] + w.pad_low + w.pad_high - w.size) / w.stride + 1);
    }
    const Shape source(hlo::kF32, windows);
    const auto module = b.Build(SelectAndScatter(
        Parameter(&b, 0, shape), Parameter(&b, 1, source), ConstantScalar(&b, hlo::kF32, 0.25),
        *select, b.ScalarComputation(hlo::Opcode::kAdd, hlo::kF32), c.window));
    ASSERT_TRUE(module.ok()) << module.status().message();
    GLIA_EXPECT_OK(CheckModule(**module, {RandomLiteral(shape, 3), RandomLiteral(source, 4)}));
  }
}

}  // namespace
}  // namespace glia::compiler
