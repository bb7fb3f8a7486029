#include "compiler/passes/pass_testing.h"
#include "gtest/gtest.h"

namespace glia::compiler {
namespace {

TEST(ExpandOpsTest, BatchNorm) {
  auto module = ParseOrDie(Entry(R"(
  x = f32[2,3,4] parameter(0)
  scale = f32[3] parameter(1)
  offset = f32[3] parameter(2)
  mean = f32[3] parameter(3)
  variance = f32[3] constant({0.5, 1, 2})
  ROOT r = f32[2,3,4] batch-norm-inference(x, scale, offset, mean, variance), epsilon=1e-05, feature_index=1)"));
  EXPECT_TRUE(RunAndCheck(ExpandOps, module.get(), 1e-6));
  EXPECT_EQ(Count(*module, hlo::Opcode::kBatchNormInference), 0);
}

TEST(ExpandOpsTest, Clamp) {
  auto module = ParseOrDie(Entry(R"(
  x = f32[8] parameter(0)
  low = f32[] constant(-1)
  high = f32[8] parameter(1)
  ROOT r = f32[8] clamp(low, x, high))"));
  EXPECT_TRUE(RunAndCheck(ExpandOps, module.get()));
  EXPECT_EQ(Expression(*module), "minimum(maximum(p0, broadcast(constant)), p1)");
}

TEST(ExpandOpsTest, RngBitGeneratorOfAllWidths) {
  for (const char* type : {"u32", "u64", "u8", "s32"}) {
    for (const char* state : {"{5, 18446744073709551615}", "{5, 18446744073709551615, 7}"}) {
      const std::string words =
          state[3] == ' ' && std::string(state).find(", 7") == std::string::npos ? "2" : "3";
      auto module = ParseOrDie(Entry("s = u64[" + words + "] constant(" + state +
                                     ")\n ROOT r = (u64[" + words + "], " + type +
                                     "[3,5]) rng-bit-generator(s), algorithm=rng_philox"));
      EXPECT_TRUE(RunAndCheck(ExpandOps, module.get()));
      EXPECT_EQ(Count(*module, hlo::Opcode::kRngBitGenerator), 0);
    }
  }
}

TEST(ExpandOpsTest, RngUniformAndNormal) {
  for (const char* distribution : {"rng_uniform", "rng_normal"}) {
    auto module = ParseOrDie(Entry(std::string(R"(
  a = f32[] constant(-1)
  b = f32[] constant(3)
  ROOT r = f32[3,7] rng(a, b), distribution=)") +
                                   distribution));
    EXPECT_TRUE(RunAndCheck(ExpandOps, module.get(), 1e-5));
    EXPECT_EQ(Count(*module, hlo::Opcode::kRng), 0);
  }
}

}  // namespace
}  // namespace glia::compiler
