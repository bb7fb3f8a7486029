#include "compiler/passes/split_batch.h"

#include "absl/strings/str_cat.h"
#include "compiler/passes/pass_testing.h"
#include "gtest/gtest.h"
#include "serialization/hlo/verifier.h"

namespace glia::compiler {
namespace {

using hlo::Opcode;

// Two convolutions of constant weights with a sum and a maximum between them, channels innermost
// or not, and a mean at the end.
std::string Net(int64_t images, int64_t h) {
  const std::string x = absl::StrCat("f32[", images, ",4,", h, ",", h, "]");
  return absl::StrCat(R"(HloModule m
max { a = f32[] parameter(0)
 b = f32[] parameter(1)
 ROOT r = f32[] maximum(a, b) }
add { a = f32[] parameter(0)
 b = f32[] parameter(1)
 ROOT r = f32[] add(a, b) }
ENTRY e {
 x = )",
                      x, R"( parameter(0)
 one = f32[] constant(0.5)
 w1 = f32[4,4,3,3] broadcast(one), dimensions={}
 w = f32[4,4,3,3] constant({)",
                      [] {
                        std::string values;
                        for (int i = 0; i < 16; ++i) {
                          absl::StrAppend(&values,
                                          i == 0       ? "{"
                                          : i % 4 == 0 ? "}, {"
                                                       : ", ",
                                          "{ {1, ", i % 3, ", -1}, {0.5, 2, 0}, {", i % 5,
                                          ", 1, 1} }");
                        }
                        return values + "}";
                      }(),
                      R"(})
 b = f32[4] constant({1, -2, 3, 0.25})
 bb = )",
                      x, " broadcast(b), dimensions={1}\n c1 = ", x,
                      " convolution(x, w), window={size=3x3 pad=1_1x1_1}, "
                      "dim_labels=bf01_oi01->bf01\n a1 = ",
                      x, " add(c1, bb)\n low = f32[] constant(-inf)\n m1 = ", x,
                      " reduce-window(a1, low), window={size=1x1x3x3 pad=0_0x0_0x1_1x1_1}, "
                      "to_apply=max\n c2 = ",
                      x,
                      " convolution(m1, w), window={size=3x3 pad=1_1x1_1}, "
                      "dim_labels=bf01_oi01->bf01\n s2 = ",
                      x, " add(c2, m1)\n zero = f32[] constant(0)\n r = f32[", images,
                      ",4] reduce(s2, zero), dimensions={2,3}, to_apply=add\n t = f32[4,", images,
                      "] transpose(r), dimensions={1,0}\n ROOT out = (f32[4,", images, "], ", x,
                      ") tuple(t, m1)\n}\n");
}

void ExpectKept(const std::string& text, const SplitBatchOptions& options, int64_t convolutions) {
  const auto before = ParseOrDie(text);
  auto module = before->Clone();
  const auto changed = SplitBatch(module.get(), options);
  ASSERT_TRUE(changed.ok());
  EXPECT_TRUE(hlo::Verify(*module).ok()) << hlo::Verify(*module).message();
  EXPECT_EQ(Count(*module, Opcode::kConvolution), convolutions);
  EXPECT_EQ(*changed, convolutions != Count(*before, Opcode::kConvolution));
  ExpectSameResults(*before, *module, 1e-6);
}

SplitBatchOptions Sbuf(int64_t kib) {
  SplitBatchOptions options;
  options.sbuf_partition_bytes = kib * 1024;
  return options;
}

TEST(SplitBatchTest, WhatFitsStaysWhole) { ExpectKept(Net(6, 20), Sbuf(192), 2); }

TEST(SplitBatchTest, WhatDoesNotFitIsComputedInGroups) {
  // Two values of an image are live at once, 3.2 KB a partition: 16 KB hold those of five.
  ExpectKept(Net(6, 20), Sbuf(64), 4);
  // One image at a time; no group is without a last one.
  ExpectKept(Net(5, 20), Sbuf(52), 10);
  ExpectKept(Net(5, 20), Sbuf(56), 6);
}

TEST(SplitBatchTest, OneImageStays) { ExpectKept(Net(1, 100), Sbuf(64), 2); }

// The weights are read as often as there are groups; what is no constant is not.
TEST(SplitBatchTest, ParametersAsWeightsStay) {
  ExpectKept(R"(HloModule m
ENTRY e {
 x = f32[4,3,50,50] parameter(0)
 w = f32[3,3,1,1] parameter(1)
 c1 = f32[4,3,50,50] convolution(x, w), window={size=1x1}, dim_labels=bf01_oi01->bf01
 ROOT c2 = f32[4,3,50,50] convolution(c1, w), window={size=1x1}, dim_labels=bf01_oi01->bf01
})",
             Sbuf(64), 2);
}

// What reads a whole batch, and is read by images again, comes between two stretches.
TEST(SplitBatchTest, WholeBatchesInBetween) {
  ExpectKept(R"(HloModule m
add { a = f32[] parameter(0)
 b = f32[] parameter(1)
 ROOT r = f32[] add(a, b) }
ENTRY e {
 x = f32[4,50,50,3] parameter(0)
 w = f32[1,1,3,3] constant({ { { {1, 2, 3}, {0, -1, 1}, {2, 0.5, 1} } } })
 c1 = f32[4,50,50,3] convolution(x, w), window={size=1x1}, dim_labels=b01f_01io->b01f
 zero = f32[] constant(0)
 all = f32[50,50,3] reduce(c1, zero), dimensions={0}, to_apply=add
 back = f32[4,50,50,3] broadcast(all), dimensions={1,2,3}
 s = f32[4,50,50,3] subtract(c1, back)
 ROOT c2 = f32[4,50,50,3] convolution(s, w), window={size=1x1}, dim_labels=b01f_01io->b01f
})",
             Sbuf(64), 8);
}

}  // namespace
}  // namespace glia::compiler
