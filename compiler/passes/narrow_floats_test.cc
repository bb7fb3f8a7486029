#include "compiler/passes/pass_testing.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "serialization/hlo/text.h"
#include "serialization/hlo/verifier.h"

namespace glia::compiler {
namespace {

using ::testing::HasSubstr;
using ::testing::Not;

std::unique_ptr<hlo::Module> Narrowed(absl::string_view text,
                                      hlo::PrimitiveType type = hlo::kBF16) {
  auto module = ParseOrDie(text);
  const auto changed = NarrowFloats(module.get(), type);
  EXPECT_TRUE(changed.ok() && *changed) << changed.status();
  const absl::Status valid = hlo::Verify(*module);
  EXPECT_TRUE(valid.ok()) << valid << "\n" << hlo::ToString(*module);
  return module;
}

TEST(NarrowFloatsTest, EverythingBetweenParametersAndResults) {
  const auto module = Narrowed(R"(
add { a = f32[] parameter(0)
 b = f32[] parameter(1)
 ROOT r = f32[] add(a, b) }
ENTRY e {
 x = f32[4,8] parameter(0)
 n = s32[4] parameter(1)
 w = f32[8,3] constant({{1,2,3},{1,2,3},{1,2,3},{1,2,3},{1,2,3},{1,2,3},{1,2,3},{1,2,3.0001}})
 d = f32[4,3] dot(x, w), lhs_contracting_dims={1}, rhs_contracting_dims={0}
 zero = f32[] constant(0)
 s = f32[4] reduce(d, zero), dimensions={1}, to_apply=add
 f = f32[4] convert(n)
 y = f32[4] multiply(s, f)
 ROOT t = (f32[4], s32[4]) tuple(y, n)
})");
  EXPECT_EQ(module->entry()->root()->shape.ToString(), "(f32[4], s32[4])");
  EXPECT_EQ(module->entry()->parameter(0)->shape.type, hlo::kF32);
  for (const hlo::Instruction* instr : module->entry()->PostOrder()) {
    if (instr->opcode() == hlo::Opcode::kParameter || instr->opcode() == hlo::Opcode::kTuple)
      continue;
    const bool last = instr->uses()[0].user->IsRoot();
    EXPECT_EQ(instr->shape.type, last ? hlo::kF32 : hlo::kBF16) << hlo::ToString(*instr);
  }
  EXPECT_EQ(module->Find("add")->root()->shape.type, hlo::kBF16);
}

TEST(NarrowFloatsTest, BitsAndPositionsKeepTheirWidth) {
  const auto module = Narrowed(R"(
ENTRY e {
 x = f32[300] parameter(0)
 h = bf16[300] parameter(1)
 i = f32[300] iota(), iota_dimension=0
 y = f32[300] add(x, i)
 b = u32[300] bitcast-convert(y)
 c = u16[300] bitcast-convert(h)
 f = f32[300] bitcast-convert(b)
 g = f32[300] negate(f)
 ROOT t = (f32[300], u16[300]) tuple(g, c)
})");
  const std::string text = hlo::ToString(*module);
  EXPECT_THAT(text, HasSubstr("f32[300]{0} iota()"));
  EXPECT_THAT(text, HasSubstr("bf16[300]{0} negate("));
  EXPECT_EQ(module->entry()->Find("b")->operand(0)->shape.type, hlo::kF32);
  EXPECT_EQ(module->entry()->Find("c")->operand(0)->shape.type, hlo::kBF16);
}

TEST(NarrowFloatsTest, Loops) {
  const auto module = Narrowed(R"(
body { s = (s32[], f32[4]) parameter(0)
 n = s32[] get-tuple-element(s), index=0
 one = s32[] constant(1)
 m = s32[] subtract(n, one)
 x = f32[4] get-tuple-element(s), index=1
 y = f32[4] add(x, x)
 ROOT t = (s32[], f32[4]) tuple(m, y) }
cond { s = (s32[], f32[4]) parameter(0)
 n = s32[] get-tuple-element(s), index=0
 zero = s32[] constant(0)
 ROOT c = pred[] compare(n, zero), direction=GT }
ENTRY e {
 n = s32[] parameter(0)
 x = f32[4] parameter(1)
 s = (s32[], f32[4]) tuple(n, x)
 ROOT w = (s32[], f32[4]) while(s), condition=cond, body=body
})",
                               hlo::kF16);
  EXPECT_EQ(module->entry()->root()->shape.ToString(), "(s32[], f32[4])");
  EXPECT_THAT(hlo::ToString(*module->Find("body")), Not(HasSubstr("f32")));
}

TEST(NarrowFloatsTest, RefusesTuplesOfTheCaller) {
  auto module = ParseOrDie(R"(
ENTRY e {
 p = (f32[2], s32[]) parameter(0)
 x = f32[2] get-tuple-element(p), index=0
 ROOT y = f32[2] negate(x)
})");
  const absl::Status status = NarrowFloats(module.get(), hlo::kBF16).status();
  EXPECT_EQ(status.code(), absl::StatusCode::kUnimplemented);
  EXPECT_THAT(std::string(status.message()), HasSubstr("--auto-cast all: p gives a tuple"));
}

}  // namespace
}  // namespace glia::compiler
