#include "absl/strings/str_cat.h"
#include "compiler/codegen/codegen_testing.h"
#include "serialization/hlo/text.h"

namespace glia::compiler {
namespace {

struct Case {
  const char* name;
  const char* text;
};

const Case kCases[] = {
    {"while", R"(
below { s = (s32[], f32[5,7]) parameter(0)
  i = s32[] get-tuple-element(s), index=0
  n = s32[] constant(6)
  ROOT p = pred[] compare(i, n), direction=LT }
step { s = (s32[], f32[5,7]) parameter(0)
  i = s32[] get-tuple-element(s), index=0
  x = f32[5,7] get-tuple-element(s), index=1
  one = s32[] constant(1)
  j = s32[] add(i, one)
  y = f32[5,7] cosine(x)
  ROOT t = (s32[], f32[5,7]) tuple(j, y) }
ENTRY main {
  i = s32[] parameter(0)
  x = f32[5,7] parameter(1)
  t = (s32[], f32[5,7]) tuple(i, x)
  ROOT w = (s32[], f32[5,7]) while(t), condition=below, body=step
})"},
    {"loop that never runs", R"(
never { s = (s32[], f32[3]) parameter(0)
  ROOT p = pred[] constant(false) }
step { s = (s32[], f32[3]) parameter(0)
  i = s32[] get-tuple-element(s), index=0
  x = f32[3] get-tuple-element(s), index=1
  y = f32[3] add(x, x)
  ROOT t = (s32[], f32[3]) tuple(i, y) }
ENTRY main {
  i = s32[] parameter(0)
  x = f32[3] parameter(1)
  t = (s32[], f32[3]) tuple(i, x)
  ROOT w = (s32[], f32[3]) while(t), condition=never, body=step
})"},
    {"loop that swaps and turns its state", R"(
below { s = (s32[], f32[4,4], f32[4,4]) parameter(0)
  i = s32[] get-tuple-element(s), index=0
  n = s32[] constant(13)
  ROOT p = pred[] compare(i, n), direction=LT }
step { s = (s32[], f32[4,4], f32[4,4]) parameter(0)
  i = s32[] get-tuple-element(s), index=0
  x = f32[4,4] get-tuple-element(s), index=1
  y = f32[4,4] get-tuple-element(s), index=2
  one = s32[] constant(1)
  j = s32[] add(i, one)
  xt = f32[4,4] transpose(x), dimensions={1,0}
  yr = f32[4,4] reverse(y), dimensions={0}
  ROOT t = (s32[], f32[4,4], f32[4,4]) tuple(j, yr, xt) }
ENTRY main {
  i = s32[] parameter(0)
  x = f32[4,4] parameter(1)
  y = f32[4,4] parameter(2)
  t = (s32[], f32[4,4], f32[4,4]) tuple(i, x, y)
  ROOT w = (s32[], f32[4,4], f32[4,4]) while(t), condition=below, body=step
})"},
    {"nested loops with values from outside", R"(
inner_below { s = (s32[], f32[130], f32[130]) parameter(0)
  i = s32[] get-tuple-element(s), index=0
  n = s32[] constant(3)
  ROOT p = pred[] compare(i, n), direction=LT }
inner { s = (s32[], f32[130], f32[130]) parameter(0)
  i = s32[] get-tuple-element(s), index=0
  x = f32[130] get-tuple-element(s), index=1
  d = f32[130] get-tuple-element(s), index=2
  one = s32[] constant(1)
  j = s32[] add(i, one)
  y = f32[130] add(x, d)
  ROOT t = (s32[], f32[130], f32[130]) tuple(j, y, d) }
outer_below { s = (s32[], f32[130], f32[130]) parameter(0)
  i = s32[] get-tuple-element(s), index=0
  n = s32[] constant(4)
  ROOT p = pred[] compare(i, n), direction=LT }
outer { s = (s32[], f32[130], f32[130]) parameter(0)
  i = s32[] get-tuple-element(s), index=0
  x = f32[130] get-tuple-element(s), index=1
  d = f32[130] get-tuple-element(s), index=2
  h = f32[] constant(0.5)
  hb = f32[130] broadcast(h), dimensions={}
  e = f32[130] multiply(d, hb)
  zero = s32[] constant(0)
  it = (s32[], f32[130], f32[130]) tuple(zero, x, e)
  w = (s32[], f32[130], f32[130]) while(it), condition=inner_below, body=inner
  y = f32[130] get-tuple-element(w), index=1
  one = s32[] constant(1)
  j = s32[] add(i, one)
  ROOT t = (s32[], f32[130], f32[130]) tuple(j, y, d) }
ENTRY main {
  z = s32[] constant(-1)
  x = f32[130] parameter(0)
  d = f32[130] parameter(1)
  t = (s32[], f32[130], f32[130]) tuple(z, x, d)
  w = (s32[], f32[130], f32[130]) while(t), condition=outer_below, body=outer
  y = f32[130] get-tuple-element(w), index=1
  ROOT r = f32[130] add(y, x)
})"},
    {"updates of a slice", R"(
below { s = (s32[], f32[9,5]) parameter(0)
  i = s32[] get-tuple-element(s), index=0
  n = s32[] constant(9)
  ROOT p = pred[] compare(i, n), direction=LT }
step { s = (s32[], f32[9,5]) parameter(0)
  i = s32[] get-tuple-element(s), index=0
  x = f32[9,5] get-tuple-element(s), index=1
  zero = s32[] constant(0)
  two = s32[] constant(2)
  j = s32[] add(i, two)
  row = f32[1,5] dynamic-slice(x, i, zero), dynamic_slice_sizes={1,5}
  new = f32[1,5] add(row, row)
  y = f32[9,5] dynamic-update-slice(x, new, j, zero)
  ROOT t = (s32[], f32[9,5]) tuple(j, y) }
ENTRY main {
  z = s32[] constant(0)
  x = f32[9,5] parameter(0)
  t = (s32[], f32[9,5]) tuple(z, x)
  ROOT w = (s32[], f32[9,5]) while(t), condition=below, body=step
})"},
    {"conditional", R"(
double { x = f32[6] parameter(0)
  ROOT y = f32[6] add(x, x) }
same { ROOT x = f32[6] parameter(0) }
ENTRY main {
  p = pred[] parameter(0)
  x = f32[6] parameter(1)
  z = f32[6] parameter(2)
  r = f32[6] conditional(p, x, z), true_computation=double, false_computation=same
  ROOT s = f32[6] add(r, x)
})"},
    {"branches", R"(
a { x = f32[6] parameter(0)
  y = f32[6] add(x, x)
  c = s32[] constant(1)
  ROOT t = (f32[6], s32[]) tuple(y, c) }
b { t = (f32[6], s32[]) parameter(0)
  x = f32[6] get-tuple-element(t), index=0
  i = s32[] get-tuple-element(t), index=1
  r = f32[6] reverse(x), dimensions={0}
  ROOT u = (f32[6], s32[]) tuple(r, i) }
c { s = s32[] parameter(0)
  z = f32[] constant(3)
  y = f32[6] broadcast(z), dimensions={}
  ROOT t = (f32[6], s32[]) tuple(y, s) }
ENTRY main {
  i = s32[] parameter(0)
  x = f32[6] parameter(1)
  t = (f32[6], s32[]) tuple(x, i)
  ROOT r = (f32[6], s32[]) conditional(i, x, t, i), branch_computations={a, b, c}
})"},
    {"call", R"(
f { x = f32[6] parameter(0)
  y = f32[6] parameter(1)
  z = f32[6] subtract(x, y)
  ROOT t = (f32[6], f32[6]) tuple(z, x) }
ENTRY main {
  x = f32[6] parameter(0)
  y = f32[6] parameter(1)
  a = (f32[6], f32[6]) call(x, y), to_apply=f
  u = f32[6] get-tuple-element(a), index=0
  b = (f32[6], f32[6]) call(u, x), to_apply=f
  v = f32[6] get-tuple-element(b), index=0
  ROOT r = f32[6] multiply(u, v)
})"},
    {"map", R"(
f { x = f32[] parameter(0)
  y = f32[] parameter(1)
  c = f32[] constant(2)
  z = f32[] subtract(x, y)
  ROOT r = f32[] multiply(z, c) }
ENTRY main {
  x = f32[6,130] parameter(0)
  y = f32[6,130] parameter(1)
  ROOT r = f32[6,130] map(x, y), dimensions={0,1}, to_apply=f
})"},
};

TEST(ControlTest, MatchesEvaluator) {
  for (const Case& c : kCases) {
    SCOPED_TRACE(c.name);
    // Other arguments take other ways.
    for (uint64_t seed = 1; seed <= 6; ++seed) GLIA_EXPECT_OK(CheckText(c.text, seed));
  }
}

TEST(ControlTest, NamesTheTargetOfACustomCall) {
  const auto module = hlo::ParseModule(R"(
ENTRY main {
  x = f32[6] parameter(0)
  ROOT r = f32[6] custom-call(x), custom_call_target="Cholesky"
})");
  ASSERT_TRUE(module.ok()) << module.status().message();
  const absl::Status status = Generate(**module, {}).status();
  EXPECT_EQ(status.code(), absl::StatusCode::kUnimplemented);
  EXPECT_NE(std::string(status.message()).find("'Cholesky'"), std::string::npos)
      << status.message();
}

}  // namespace
}  // namespace glia::compiler
