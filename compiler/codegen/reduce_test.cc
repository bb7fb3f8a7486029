#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "compiler/codegen/codegen_testing.h"
#include "serialization/hlo/builder.h"

namespace glia::compiler {
namespace {

using hlo::Opcode;
using hlo::PrimitiveType;
using hlo::Shape;

struct ReduceCase {
  std::vector<int64_t> dims;
  std::vector<int64_t> reduced;
};

const ReduceCase kShapes[] = {
    {{7}, {0}},
    {{10}, {}},
    {{1}, {0}},
    {{5, 0}, {1}},
    {{0, 5}, {1}},
    {{100000}, {0}},
    {{12347}, {0}},
    {{130, 300}, {1}},
    {{130, 300}, {0}},
    {{3, 20000}, {1}},
    {{20000, 3}, {0}},
    {{2000, 5}, {1}},
    {{6, 33, 14, 15}, {0, 2, 3}},
    {{6, 33, 14, 15}, {1}},
    {{6, 33, 14, 15}, {1, 3}},
    {{6, 33, 14, 15}, {0, 2}},
    {{2, 3, 4, 5, 6, 7}, {1, 3, 5}},
    {{2, 3, 4, 5, 6, 7}, {0, 2, 4}},
    {{1, 64, 300, 1}, {0, 2, 3}},
    {{257, 129}, {0, 1}},
};

absl::Status Check(const ReduceCase& c, Opcode opcode, PrimitiveType type, double init,
                   const Tolerance& tolerance = {}) {
  hlo::Builder b("reduce");
  const hlo::Op x = Parameter(&b, 0, Shape(type, c.dims));
  const hlo::Op y =
      Reduce(x, ConstantScalar(&b, type, init), b.ScalarComputation(opcode, type), c.reduced);
  auto module = b.Build(y);
  if (!module.ok()) return module.status();
  return CheckModule(**module, {RandomLiteral(Shape(type, c.dims), 3)}, tolerance);
}

TEST(ReduceTest, Floats) {
  for (const ReduceCase& c : kShapes) {
    SCOPED_TRACE(
        absl::StrCat("[", absl::StrJoin(c.dims, ","), "] over ", absl::StrJoin(c.reduced, ",")));
    GLIA_EXPECT_OK(Check(c, Opcode::kAdd, hlo::kF32, 0, {2e-3, 1e-4}));
    GLIA_EXPECT_OK(Check(c, Opcode::kAdd, hlo::kF32, 1.5, {2e-3, 1e-4}));
    GLIA_EXPECT_OK(Check(c, Opcode::kMaximum, hlo::kF32, -INFINITY));
    GLIA_EXPECT_OK(Check(c, Opcode::kMinimum, hlo::kBF16, 0.25));
  }
}

TEST(ReduceTest, IntegersAreExact) {
  for (const ReduceCase& c : kShapes) {
    SCOPED_TRACE(
        absl::StrCat("[", absl::StrJoin(c.dims, ","), "] over ", absl::StrJoin(c.reduced, ",")));
    GLIA_EXPECT_OK(Check(c, Opcode::kAdd, hlo::kS32, 1 << 30));
    GLIA_EXPECT_OK(Check(c, Opcode::kMultiply, hlo::kS64, 3));
    GLIA_EXPECT_OK(Check(c, Opcode::kMaximum, hlo::kU8, 3));
  }
}

TEST(ReduceTest, OtherTypes) {
  const ReduceCase c = {{40, 33}, {1}};
  GLIA_EXPECT_OK(Check(c, Opcode::kAnd, hlo::kPred, 1));
  GLIA_EXPECT_OK(Check(c, Opcode::kOr, hlo::kPred, 0));
  GLIA_EXPECT_OK(Check(c, Opcode::kOr, hlo::kU32, 0));
  GLIA_EXPECT_OK(Check(c, Opcode::kAnd, hlo::kS16, -1));
  GLIA_EXPECT_OK(Check(c, Opcode::kXor, hlo::kS32, 5));
  GLIA_EXPECT_OK(Check(c, Opcode::kAdd, hlo::kBF16, 0, {0.3, 0.03}));
}

std::string ArgMax(const std::string& dims, const std::string& kept, int dim) {
  return absl::StrCat(R"(
pick {
  a = f32[] parameter(0) ai = s32[] parameter(1) b = f32[] parameter(2) bi = s32[] parameter(3)
  gt = pred[] compare(a, b), direction=GT
  eq = pred[] compare(a, b), direction=EQ
  first = pred[] compare(ai, bi), direction=LT
  tie = pred[] and(eq, first)
  left = pred[] or(gt, tie)
  v = f32[] select(left, a, b)
  i = s32[] select(left, ai, bi)
  ROOT t = (f32[], s32[]) tuple(v, i)
}
ENTRY main {
  x = f32[)",
                      dims, R"(] parameter(0)
  i = s32[)",
                      dims, R"(] iota(), iota_dimension=)", dim, R"(
  inf = f32[] constant(-inf)
  zero = s32[] constant(0)
  ROOT r = (f32[)",
                      kept, R"(], s32[)", kept, "]) reduce(x, i, inf, zero), dimensions={", dim,
                      R"(}, to_apply=pick
})");
}

TEST(ReduceTest, ArgMax) {
  GLIA_EXPECT_OK(CheckText(ArgMax("37,45", "37", 1)));
  GLIA_EXPECT_OK(CheckText(ArgMax("37,45", "45", 0)));
  GLIA_EXPECT_OK(CheckText(ArgMax("3,9001", "3", 1)));
  GLIA_EXPECT_OK(CheckText(ArgMax("9001,2", "2", 0)));
  GLIA_EXPECT_OK(CheckText(ArgMax("5,6,7", "5,7", 1)));
  GLIA_EXPECT_OK(CheckText(ArgMax("1,1", "1", 1)));
}

TEST(ReduceTest, AnyComputation) {
  GLIA_EXPECT_OK(CheckText(R"(
biggest { a = f32[] parameter(0) b = f32[] parameter(1) x = f32[] abs(a) y = f32[] abs(b)
  ROOT r = f32[] maximum(x, y) }
ENTRY main {
  x = f32[30,41,7] parameter(0)
  z = f32[] constant(0.5)
  ROOT r = f32[41] reduce(x, z), dimensions={0,2}, to_apply=biggest
})"));
}

}  // namespace
}  // namespace glia::compiler
