#include "compiler/passes/pass_testing.h"
#include "gtest/gtest.h"

namespace glia::compiler {
namespace {

struct Case {
  const char* input;
  const char* kernel;
  const char* result;
  const char* attributes;
};

constexpr Case kCases[] = {
    {"f32[1,2,7,6]", "f32[3,2,3,2]", "f32[1,3,5,5]",
     "window={size=3x2}, dim_labels=bf01_oi01->bf01"},
    {"f32[2,3,9]", "f32[4,3,3]", "f32[2,4,5]",
     "window={size=3 stride=2 pad=1_1}, dim_labels=bf0_oi0->bf0"},
    {"f32[2,5,6,3]", "f32[3,3,3,4]", "f32[2,3,3,4]",
     "window={size=3x3 stride=2x2 pad=1_1x0_1}, dim_labels=b01f_01io->b01f"},
    {"f32[1,2,4,5,3]", "f32[3,2,2,3,2]", "f32[1,3,3,5,2]",
     "window={size=2x3x2 pad=0_0x1_1x0_0}, dim_labels=bf012_oi012->bf012"},
    // Dilations of kernel and base: atrous and transposed convolution.
    {"f32[1,2,9,9]", "f32[3,2,3,3]", "f32[1,3,5,5]",
     "window={size=3x3 rhs_dilate=2x2}, dim_labels=bf01_oi01->bf01"},
    {"f32[2,2,4,4]", "f32[3,2,3,3]", "f32[2,3,9,8]",
     "window={size=3x3 pad=2_2x2_1 lhs_dilate=2x2}, dim_labels=bf01_oi01->bf01"},
    // Grouped, depthwise with a multiplier, and grouped over the batch.
    {"f32[2,4,5,5]", "f32[6,2,3,3]", "f32[2,6,3,3]",
     "window={size=3x3}, dim_labels=bf01_oi01->bf01, feature_group_count=2"},
    {"f32[2,3,5,5]", "f32[6,1,3,3]", "f32[2,6,5,5]",
     "window={size=3x3 pad=1_1x1_1}, dim_labels=bf01_oi01->bf01, feature_group_count=3"},
    {"f32[4,2,5]", "f32[6,2,3]", "f32[2,6,3]",
     "window={size=3}, dim_labels=bf0_oi0->bf0, batch_group_count=2"},
    // One tap; no spatial dims; nothing to compute.
    {"f32[2,3,4,4]", "f32[5,3,1,1]", "f32[2,5,2,2]",
     "window={size=1x1 stride=2x2}, dim_labels=bf01_oi01->bf01"},
    {"f32[2,3]", "f32[5,3]", "f32[2,5]", "dim_labels=bf_oi->bf"},
    {"f32[2,3,4]", "f32[5,3,3]", "f32[2,5,0]",
     "window={size=3 pad=-1_-1}, dim_labels=bf0_oi0->bf0"},
    {"f32[0,3,4]", "f32[5,3,3]", "f32[0,5,2]", "window={size=3}, dim_labels=bf0_oi0->bf0"},
    {"f32[2,0,4]", "f32[5,0,3]", "f32[2,5,2]", "window={size=3}, dim_labels=bf0_oi0->bf0"},
};

TEST(ExpandConvolutionsTest, GivesTheSameWithDots) {
  for (const Case& c : kCases) {
    const std::string text =
        Entry(std::string("\n  x = ") + c.input + " parameter(0)\n  k = " + c.kernel +
              " parameter(1)\n  ROOT c = " + c.result + " convolution(x, k), " + c.attributes);
    SCOPED_TRACE(text);
    auto module = ParseOrDie(text);
    EXPECT_TRUE(RunAndCheck(ExpandConvolutions, module.get(), 1e-5));
    EXPECT_EQ(Count(*module, hlo::Opcode::kConvolution), 0);
    EXPECT_LE(Count(*module, hlo::Opcode::kDot), 1);
    EXPECT_FALSE(RunAndCheck(ExpandConvolutions, module.get(), 1e-5));
  }
}

TEST(ExpandConvolutionsTest, OneTapNeedsNoPatches) {
  auto module = ParseOrDie(Entry(R"(
  x = f32[1,8,4,4] parameter(0)
  k = f32[5,8,1,1] parameter(1)
  ROOT c = f32[1,5,4,4] convolution(x, k), window={size=1x1}, dim_labels=bf01_oi01->bf01)"));
  EXPECT_TRUE(RunAndCheck(ExpandConvolutions, module.get(), 1e-5));
  EXPECT_EQ(Count(*module, hlo::Opcode::kConcatenate), 0);
  EXPECT_EQ(Count(*module, hlo::Opcode::kPad), 0);
}

}  // namespace
}  // namespace glia::compiler
