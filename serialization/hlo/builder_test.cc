#include "serialization/hlo/builder.h"

#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "serialization/hlo/text.h"
#include "serialization/hlo/verifier.h"

namespace glia::hlo {
namespace {

using ::testing::HasSubstr;

void ExpectBuilds(Builder* builder, Op root, const char* shape) {
  absl::StatusOr<std::unique_ptr<Module>> module = builder->Build(root);
  ASSERT_TRUE(module.ok()) << module.status();
  EXPECT_TRUE(Verify(**module).ok()) << Verify(**module);
  EXPECT_EQ((*module)->entry()->root()->shape.ToString(), shape);
  EXPECT_TRUE(ParseModule(ToString(**module)).ok());
}

TEST(Builder, Mlp) {
  Builder b("mlp");
  const Op x = Parameter(&b, 0, Shape(kF32, {1, 784}), "x");
  const Op w = Constant(&b, Literal::Zero(Shape(kF32, {784, 10})));
  b.SetOpMetadata({"aten::relu", "relu", "", 0});
  const Op relu = Max(Dot(x, w), ConstantR0<float>(&b, 0));
  b.ClearOpMetadata();
  const Op sum =
      Reduce(relu, ConstantR0<float>(&b, 0), b.ScalarComputation(Opcode::kAdd, kF32), {1});
  EXPECT_EQ(relu.instr->metadata.op_type, "aten::relu");
  EXPECT_TRUE(sum.instr->metadata.empty());
  ExpectBuilds(&b, Div(relu, sum, {0}), "f32[1,10]");
}

TEST(Builder, BroadcastsExplicitly) {
  Builder b("m");
  const Op x = Parameter(&b, 0, Shape(kF32, {2, 3}));
  const Op row = Parameter(&b, 1, Shape(kF32, {3}));
  const Op column = Parameter(&b, 2, Shape(kF32, {2, 1}));
  EXPECT_EQ(Add(x, row, {1}).shape().ToString(), "f32[2,3]");
  EXPECT_EQ(Add(row, x, {1}).shape().ToString(), "f32[2,3]");
  EXPECT_EQ(Gt(x, ConstantR0<float>(&b, 1)).shape().ToString(), "pred[2,3]");
  EXPECT_EQ(BroadcastInDim(column, {2, 5}, {0, 1}).shape().ToString(), "f32[2,5]");
  EXPECT_EQ(Broadcast(row, {4, 2}).shape().ToString(), "f32[4,2,3]");
  EXPECT_EQ(Filled(&b, Shape(kS32, {7}), 3).shape().ToString(), "s32[7]");
  ASSERT_TRUE(b.status().ok()) << b.status();
  EXPECT_FALSE(Add(x, row).valid());
  EXPECT_THAT(b.status().ToString(), HasSubstr("add(f32[2,3], f32[3])"));
}

TEST(Builder, ReturnsOperandsThatNothingChanges) {
  Builder b("m");
  const Op x = Parameter(&b, 0, Shape(kF32, {2, 3}));
  EXPECT_EQ(Convert(x, kF32).instr, x.instr);
  EXPECT_EQ(Reshape(x, {2, 3}).instr, x.instr);
  EXPECT_EQ(Transpose(x, {0, 1}).instr, x.instr);
  ExpectBuilds(&b, Reshape(Transpose(Convert(x, kBF16), {1, 0}), {6}), "bf16[6]");
}

TEST(Builder, ControlFlow) {
  Builder b("loop");
  const Shape state = Shape::Tuple({Shape(kS32, {}), Shape(kF32, {4})});
  auto condition = b.CreateSubBuilder("condition");
  const Op s = Parameter(condition.get(), 0, state);
  absl::StatusOr<Computation*> built_condition = condition->BuildComputation(
      Lt(GetTupleElement(s, 0), ConstantR0<int32_t>(condition.get(), 5)));
  auto body = b.CreateSubBuilder("body");
  const Op t = Parameter(body.get(), 0, state);
  const Op i = Add(GetTupleElement(t, 0), ConstantR0<int32_t>(body.get(), 1));
  absl::StatusOr<Computation*> built_body = body->BuildComputation(
      Tuple(body.get(), {i, Mul(GetTupleElement(t, 1), GetTupleElement(t, 1))}));
  ASSERT_TRUE(built_condition.ok() && built_body.ok());
  const Op x = Parameter(&b, 0, Shape(kF32, {4}));
  const Op loop = While(*built_condition, *built_body, Tuple(&b, {ConstantR0<int32_t>(&b, 0), x}));
  ExpectBuilds(&b, GetTupleElement(loop, 1), "f32[4]");
}

TEST(Builder, ConvolutionTakesWindowFromKernel) {
  Builder b("m");
  const Op x = Parameter(&b, 0, Shape(kF32, {2, 3, 9, 9}));
  const Op k = Parameter(&b, 1, Shape(kF32, {4, 3, 3, 5}));
  ExpectBuilds(&b, Conv(x, k, {}, DefaultConvDims(2)), "f32[2,4,7,5]");
}

TEST(Builder, FirstErrorSticks) {
  Builder b("m");
  const Op x = Parameter(&b, 0, Shape(kF32, {2}));
  const Op bad = Dot(x, Parameter(&b, 1, Shape(kF32, {3})));
  EXPECT_FALSE(bad.valid());
  EXPECT_EQ(bad.shape().type, kInvalid);
  const Op worse = Reshape(Add(bad, x), {77});
  EXPECT_FALSE(worse.valid());
  absl::StatusOr<std::unique_ptr<Module>> module = b.Build(worse);
  EXPECT_THAT(module.status().ToString(), HasSubstr("dot(f32[2], f32[3])"));
}

TEST(Builder, MisuseIsAnError) {
  {
    Builder b("m");
    Builder other("n");
    const Op x = Parameter(&b, 0, Shape(kF32, {2}));
    const Op y = Parameter(&other, 0, Shape(kF32, {2}));
    EXPECT_FALSE(Add(x, y).valid());
    EXPECT_THAT(b.status().ToString(), HasSubstr("belongs to computation"));
  }
  {
    Builder b("m");
    const Op x = Parameter(&b, 1, Shape(kF32, {2}));
    EXPECT_THAT(b.Build(x).status().ToString(), HasSubstr("parameter 0 is missing"));
  }
  {
    Builder b("m");
    Parameter(&b, 0, Shape(kF32, {2}));
    Parameter(&b, 0, Shape(kF32, {2}));
    EXPECT_THAT(b.status().ToString(), HasSubstr("negative or taken"));
  }
  {
    Builder b("m");
    const Op x = Parameter(&b, 0, Shape(kF32, {2}));
    EXPECT_FALSE(Reduce(x, ConstantR0<float>(&b, 0), nullptr, {0}).valid());
    EXPECT_THAT(b.status().ToString(), HasSubstr("a called computation is missing"));
  }
  {
    Builder b("m");
    auto sub = b.CreateSubBuilder("f");
    const Op x = Parameter(sub.get(), 0, Shape(kS32, {2}));
    EXPECT_FALSE(sub->BuildComputation(Tanh(x)).ok());
    EXPECT_THAT(b.status().ToString(), HasSubstr("tanh"));
  }
}

TEST(Builder, DropsComputationsThatNothingCalls) {
  Builder b("m");
  b.ScalarComputation(Opcode::kAdd, kF32);
  auto unfinished = b.CreateSubBuilder("unfinished");
  unfinished.reset();
  absl::StatusOr<std::unique_ptr<Module>> module = b.Build(Parameter(&b, 0, Shape(kF32, {2})));
  ASSERT_TRUE(module.ok());
  EXPECT_EQ((*module)->computation_count(), 1);
}

}  // namespace
}  // namespace glia::hlo
