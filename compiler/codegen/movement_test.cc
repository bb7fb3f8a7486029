#include "absl/strings/str_cat.h"
#include "compiler/codegen/codegen_testing.h"

namespace glia::compiler {
namespace {

struct Case {
  const char* name;
  const char* body;  // instructions of the entry
};

const Case kCases[] = {
    {"parameter as result", "ROOT x = f32[3,5] parameter(0)"},
    {"value twice",
     "x = f32[3,5] parameter(0) y = f32[3,5] negate(x) ROOT t = (f32[3,5], f32[3,5], f32[3,5]) "
     "tuple(y, y, x)"},
    {"nested tuple",
     "x = f32[3] parameter(0) y = f32[3] exponential(x) a = (f32[3], f32[3]) tuple(y, x) "
     "ROOT t = (f32[3], (f32[3], f32[3])) tuple(x, a)"},
    {"tuple parameter",
     "p = (f32[3], s32[2]) parameter(0) a = f32[3] get-tuple-element(p), index=0 "
     "b = s32[2] get-tuple-element(p), index=1 ROOT t = (s32[2], f32[3]) tuple(b, a)"},
    {"constant result", "ROOT c = s32[2,2] constant({{1,2},{3,4}})"},
    {"scalar", "x = f32[] parameter(0) ROOT y = f32[] cosine(x)"},
    {"empty", "x = f32[0,5] parameter(0) ROOT y = f32[0,5] cosine(x)"},
    {"transpose", "x = f32[70,90] parameter(0) ROOT y = f32[90,70] transpose(x), dimensions={1,0}"},
    {"transpose of long rows",
     "x = f32[3,5000] parameter(0) y = f32[2100,300] parameter(1) a = f32[5000,3] transpose(x), "
     "dimensions={1,0} b = f32[300,2100] transpose(y), dimensions={1,0} ROOT t = (f32[5000,3], "
     "f32[300,2100]) tuple(a, b)"},
    {"transpose of several",
     "x = bf16[5,17,200,4] parameter(0) y = f16[300,9,20] parameter(1) z = f32[40,7,3,50] "
     "parameter(2) a = bf16[200,17,4,5] transpose(x), dimensions={2,1,3,0} b = f16[20,300,9] "
     "transpose(y), dimensions={2,0,1} c = f32[50,3,7,40] transpose(z), dimensions={3,2,1,0} "
     "ROOT t = (bf16[200,17,4,5], f16[20,300,9], f32[50,3,7,40]) tuple(a, b, c)"},
    {"concatenation of a transpose",
     "x = f32[130,197] parameter(0) y = f32[1,130] parameter(1) t = f32[197,130] transpose(x), "
     "dimensions={1,0} ROOT c = f32[198,130] concatenate(y, t), dimensions={0}"},
    {"transpose of many dims",
     "x = s8[2,3,4,5,6,7] parameter(0) ROOT y = s8[7,2,6,3,5,4] transpose(x), "
     "dimensions={5,0,4,1,3,2}"},
    {"seven dims",
     "x = s8[2,3,2,3,2,3,2,3] parameter(0) ROOT y = s8[3,2,3,2,3,2,3,2] transpose(x), "
     "dimensions={7,6,5,4,3,2,1,0}"},
    {"reshape of a transpose",
     "x = f32[6,35] parameter(0) t = f32[35,6] transpose(x), dimensions={1,0} ROOT y = f32[5,42] "
     "reshape(t)"},
    {"slice",
     "x = f32[10,20,30] parameter(0) ROOT y = f32[3,10,5] slice(x), "
     "slice={[1:10:3],[5:15],[2:30:6]}"},
    {"reverse", "x = u16[5,7,3] parameter(0) ROOT y = u16[5,7,3] reverse(x), dimensions={0,2}"},
    {"broadcast", "x = f32[5,3] parameter(0) ROOT y = f32[2,5,4,3] broadcast(x), dimensions={1,3}"},
    {"broadcast of a scalar",
     "x = s64[] parameter(0) ROOT y = s64[200,30] broadcast(x), dimensions={}"},
    {"pad",
     "x = f32[5,7] parameter(0) z = f32[] constant(2) ROOT y = f32[9,6] pad(x, z), "
     "padding=1_3x1_-2"},
    {"pad with interior",
     "x = s32[5,7] parameter(0) z = s32[] constant(9) ROOT y = s32[13,8] pad(x, z), "
     "padding=0_0_2x-3_-2_1"},
    {"pad away",
     "x = s32[5] parameter(0) z = s32[] constant(9) ROOT y = s32[3] pad(x, z), padding=-6_4"},
    {"pad by a value",
     "x = f32[300,3] parameter(0) z = f32[] parameter(1) ROOT y = f32[302,7] pad(x, z), "
     "padding=1_1x2_2"},
    {"concatenate",
     "x = f32[5,7] parameter(0) y = f32[5,2] parameter(1) z = f32[5,0] parameter(2) "
     "ROOT c = f32[5,16] concatenate(x, y, z, x), dimensions={1}"},
    {"iota", "ROOT y = s32[300,5] iota(), iota_dimension=0"},
    {"iota of the inner dim", "ROOT y = f32[3,5000] iota(), iota_dimension=1"},
    {"iota in arithmetic",
     "x = s64[40,50] parameter(0) i = s64[40,50] iota(), iota_dimension=1 ROOT y = s64[40,50] "
     "multiply(x, i)"},
    {"bitcast-convert", "x = f32[5,7] parameter(0) ROOT y = s32[5,7] bitcast-convert(x)"},
    {"bitcast-convert to bytes", "x = f32[5,7] parameter(0) ROOT y = u8[5,7,4] bitcast-convert(x)"},
    {"bitcast-convert from halves", "x = u16[5,2] parameter(0) ROOT y = u32[5] bitcast-convert(x)"},
    {"copy", "x = bf16[5,2] parameter(0) ROOT y = bf16[5,2] copy(x)"},
};

TEST(MovementTest, MatchesEvaluator) {
  for (const Case& c : kCases) {
    SCOPED_TRACE(c.name);
    // One instruction a line.
    std::string text = "ENTRY main {\n";
    absl::StrAppend(&text, c.body, "\n}");
    GLIA_EXPECT_OK(CheckText(text));
  }
}

TEST(MovementTest, OutputThatSharesAnInput) {
  GLIA_EXPECT_OK(CheckText(R"(
HloModule m, input_output_alias={ {0}: (0, {}, may-alias) }
ENTRY main {
  x = f32[300] parameter(0)
  y = f32[300] parameter(1)
  s = f32[300] add(x, y)
  r = f32[300] reverse(x), dimensions={0}
  ROOT t = (f32[300], f32[300], f32[300]) tuple(s, x, r)
})"));
}

}  // namespace
}  // namespace glia::compiler
