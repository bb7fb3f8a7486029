#include "compiler/passes/simplify.h"

#include "compiler/passes/pass_testing.h"
#include "gtest/gtest.h"

namespace glia::compiler {
namespace {

struct Case {
  const char* body;
  const char* result;  // Expression of the root after passes to fixpoint
};

// p0 is f32[2,3], p1 is s32[2,3], p2 is pred[2,3]; z is f32 0, i is f32 1, k is s32 0 (all
// broadcast).
constexpr char kPrologue[] = R"(
  p0 = f32[2,3] parameter(0)
  p1 = s32[2,3] parameter(1)
  p2 = pred[2,3] parameter(2)
  zero = f32[] constant(0)
  z = f32[2,3] broadcast(zero), dimensions={}
  one = f32[] constant(1)
  i = f32[2,3] broadcast(one), dimensions={}
  v = f32[6] reshape(p0)
  izero = s32[] constant(0)
  k = s32[2,3] broadcast(izero), dimensions={}
)";

const Case kCases[] = {
    // Elements.
    {"ROOT r = f32[2,3] add(z, p0)", "p0"},
    {"ROOT r = f32[2,3] subtract(p0, z)", "p0"},
    {"ROOT r = f32[2,3] subtract(p0, p0)", "subtract(p0, p0)"},  // of infinity: NaN
    {"ROOT r = s32[2,3] subtract(p1, p1)", "broadcast(constant)"},
    {"ROOT r = f32[2,3] multiply(p0, i)", "p0"},
    {"ROOT r = f32[2,3] multiply(p0, z)", "multiply(p0, broadcast(constant))"},
    {"ROOT r = s32[2,3] multiply(p1, k)", "broadcast(constant)"},
    {"ROOT r = f32[2,3] divide(p0, i)", "p0"},
    {"four = f32[] constant(4)\n b = f32[2,3] broadcast(four), dimensions={}\n"
     "ROOT r = f32[2,3] divide(p0, b)",
     "multiply(p0, broadcast(constant))"},
    {"three = f32[] constant(3)\n b = f32[2,3] broadcast(three), dimensions={}\n"
     "ROOT r = f32[2,3] divide(p0, b)",
     "divide(p0, broadcast(constant))"},
    {"two = f32[] constant(2)\n b = f32[2,3] broadcast(two), dimensions={}\n"
     "ROOT r = f32[2,3] power(p0, b)",
     "multiply(p0, p0)"},
    {"ROOT r = f32[2,3] maximum(p0, p0)", "p0"},
    {"low = f32[] constant(-inf)\n b = f32[2,3] broadcast(low), dimensions={}\n"
     "ROOT r = f32[2,3] maximum(b, p0)",
     "p0"},
    {"low = s32[] constant(-2147483648)\n b = s32[2,3] broadcast(low), dimensions={}\n"
     "ROOT r = s32[2,3] maximum(b, p1)",
     "p1"},
    {"n = f32[2,3] negate(p0)\n ROOT r = f32[2,3] negate(n)", "p0"},
    {"n = pred[2,3] not(p2)\n ROOT r = f32[2,3] select(n, p0, z)",
     "select(p2, broadcast(constant), p0)"},
    {"ROOT r = f32[2,3] copy(p0)", "p0"},
    {"t = pred[] constant(true)\n b = pred[2,3] broadcast(t), dimensions={}\n"
     "ROOT r = f32[2,3] select(b, p0, z)",
     "p0"},
    {"ROOT r = f32[2,3] select(p2, p0, p0)", "p0"},
    {"ROOT r = pred[2,3] compare(p1, p1), direction=GE", "broadcast(constant)"},
    {"ROOT r = pred[2,3] compare(p0, p0), direction=EQ", "compare(p0, p0)"},  // NaN
    {"c = f64[2,3] convert(p0)\n ROOT r = f32[2,3] convert(c)", "p0"},
    {"c = bf16[2,3] convert(p0)\n ROOT r = f32[2,3] convert(c)", "convert(convert(p0))"},
    {"c = f32[2,3] convert(p2)\n ROOT r = s32[2,3] convert(c)", "convert(p2)"},
    {"c = f32[2,3] convert(p1)\n ROOT r = s32[2,3] convert(c)", "convert(convert(p1))"},
    {"row = f32[3] slice(v), slice={[0:3]}\n b = f32[2,3] broadcast(row), dimensions={1}\n"
     "n = f32[2,3] exponential(b)\n d = f32[2,3] divide(i, n)\n ROOT r = f32[2,3] add(p0, d)",
     "add(p0, broadcast(divide(broadcast(constant), exponential(slice(reshape(p0))))))"},
    {"c = s32[3] constant({1, 2, 3})\n b = s32[2,3] broadcast(c), dimensions={1}\n"
     "ROOT r = pred[2,3] compare(b, k), direction=GT",
     "broadcast(compare(constant, broadcast(constant)))"},
    // Movement.
    {"b = f32[4,2,3] broadcast(p0), dimensions={1,2}\n ROOT r = f32[4,2,5,3] broadcast(b), "
     "dimensions={0,1,3}",
     "broadcast(p0)"},
    {"ROOT r = f32[1,2,3] broadcast(p0), dimensions={1,2}", "reshape(p0)"},
    {"s = f32[2,1,3] reshape(p0)\n q = f32[2,3] reshape(s)\n"
     "ROOT r = f32[2,4,3] broadcast(q), dimensions={0,2}",
     "broadcast(p0)"},
    {"a = f32[6] reshape(p0)\n b = f32[3,2] reshape(a)\n ROOT r = f32[2,3] reshape(b)", "p0"},
    {"a = f32[3,2] transpose(p0), dimensions={1,0}\n ROOT r = f32[2,3] transpose(a), "
     "dimensions={1,0}",
     "p0"},
    {"a = f32[2,1,3] reshape(p0)\n ROOT r = f32[1,2,3] transpose(a), dimensions={1,0,2}",
     "reshape(p0)"},
    {"b = f32[4,2,3] broadcast(p0), dimensions={1,2}\n ROOT r = f32[2,4,3] transpose(b), "
     "dimensions={1,0,2}",
     "broadcast(p0)"},
    {"a = f32[2,3] reverse(p0), dimensions={0,1}\n ROOT r = f32[2,3] reverse(a), dimensions={1}",
     "reverse(p0)"},
    {"ROOT r = f32[2,3] slice(p0), slice={[0:2], [0:3]}", "p0"},
    {"a = f32[2,2] slice(p0), slice={[0:2], [1:3]}\n ROOT r = f32[1,1] slice(a), slice={[1:2], "
     "[1:2]}",
     "slice(p0)"},
    {"a = f32[2,2] slice(p0), slice={[0:2], [0:3:2]}\n ROOT r = f32[2,1] slice(a), slice={[0:2], "
     "[1:2]}",
     "slice(p0)"},
    {"a = f32[4,3] concatenate(p0, z), dimensions={0}\n ROOT r = f32[1,3] slice(a), slice={[1:2], "
     "[0:3]}",
     "slice(p0)"},
    {"ROOT r = f32[2,3] pad(p0, zero), padding=0_0x0_0", "p0"},
    {"ROOT r = f32[2,2] pad(p0, zero), padding=0_0x-1_0", "slice(p0)"},
    {"ROOT r = f32[2,4] pad(p0, zero), padding=0_0x-1_2", "pad(slice(p0), constant)"},
    {"a = f32[2,1] slice(p0), slice={[0:2], [0:1]}\n b = f32[2,2] slice(p0), slice={[0:2], [1:3]}\n"
     "ROOT r = f32[2,3] concatenate(a, b), dimensions={1}",
     "p0"},
    {"ROOT r = f32[2,3] concatenate(p0), dimensions={1}", "p0"},
    {"s = s32[] constant(7)\n ROOT r = f32[1,3] dynamic-slice(p0, s, izero), "
     "dynamic_slice_sizes={1,3}",
     "slice(p0)"},
    {"u = f32[2,1] slice(p0), slice={[0:2], [0:1]}\n s = s32[] constant(1)\n"
     "ROOT r = f32[2,3] dynamic-update-slice(z, u, izero, s)",
     "concatenate(broadcast(constant), slice(p0), broadcast(constant))"},
    {"ROOT r = s32[1,3] iota(), iota_dimension=0", "broadcast(constant)"},
    // Structure.
    {"t = (f32[2,3], s32[2,3]) tuple(p0, p1)\n ROOT r = s32[2,3] get-tuple-element(t), index=1",
     "p1"},
};

TEST(SimplifyTest, Rules) {
  for (const Case& c : kCases) {
    SCOPED_TRACE(c.body);
    auto module = ParseOrDie(Entry(std::string(kPrologue) + c.body));
    while (RunAndCheck(Simplify, module.get())) {
    }
    EXPECT_EQ(Expression(*module), c.result);
  }
}

TEST(SimplifyTest, EmptyArraysBecomeConstants) {
  auto module = ParseOrDie(Entry(R"(
  p = f32[0,3] parameter(0)
  ROOT r = f32[0,3] exponential(p))"));
  EXPECT_TRUE(RunAndCheck(Simplify, module.get()));
  EXPECT_EQ(Expression(*module), "constant");
}

TEST(SimplifyTest, Reductions) {
  const char* const kText = R"(HloModule m
add { a = f32[] parameter(0)
  b = f32[] parameter(1)
  ROOT s = f32[] add(a, b) }
ENTRY e {
  x = f32[4,1,3] parameter(0)
  zero = f32[] constant(0)
  ones = f32[4,3] reduce(x, zero), dimensions={1}, to_apply=add
  t = f32[3,4,1] transpose(x), dimensions={2,0,1}
  columns = f32[3] reduce(t, zero), dimensions={1,2}, to_apply=add
  rows = f32[4] reduce(t, zero), dimensions={0,2}, to_apply=add
  ROOT r = (f32[4,3], f32[3], f32[4]) tuple(ones, columns, rows) })";
  auto module = ParseOrDie(kText);
  while (RunAndCheck(Simplify, module.get(), 1e-6)) {
  }
  EXPECT_EQ(Expression(*module), "tuple(reshape(p0), reduce(p0, constant), reduce(p0, constant))");
}

TEST(SimplifyTest, SortOfOneElementIsItsOperands) {
  auto module = ParseOrDie(R"(HloModule m
less { a = f32[] parameter(0)
  b = f32[] parameter(1)
  c = s32[] parameter(2)
  d = s32[] parameter(3)
  ROOT l = pred[] compare(a, b), direction=LT }
ENTRY e {
  x = f32[4,1] parameter(0)
  y = s32[4,1] parameter(1)
  s = (f32[4,1], s32[4,1]) sort(x, y), dimensions={1}, to_apply=less
  ROOT r = f32[4,1] get-tuple-element(s), index=0 })");
  while (RunAndCheck(Simplify, module.get())) {
  }
  EXPECT_EQ(Expression(*module), "p0");
}

}  // namespace
}  // namespace glia::compiler
