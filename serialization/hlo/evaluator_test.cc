#include "serialization/hlo/evaluator.h"

#include "gtest/gtest.h"
#include "serialization/hlo/evaluator_testing.h"

namespace glia::hlo {
namespace {

TEST(EvaluatorTest, WhileSums) {
  Builder b("m");
  const Shape state = Shape::Tuple({Shape(kS32, {}), Shape(kF32, {2})});
  auto condition_builder = b.CreateSubBuilder("condition");
  Op s = Parameter(condition_builder.get(), 0, state);
  auto condition = condition_builder->BuildComputation(
      Lt(GetTupleElement(s, 0), ConstantR0<int32_t>(condition_builder.get(), 5)));
  auto body_builder = b.CreateSubBuilder("body");
  Op t = Parameter(body_builder.get(), 0, state);
  Op i = GetTupleElement(t, 0);
  Op x = GetTupleElement(t, 1);
  auto body = body_builder->BuildComputation(
      Tuple(body_builder.get(), {Add(i, ConstantR0<int32_t>(body_builder.get(), 1)), Add(x, x)}));
  ASSERT_TRUE(condition.ok() && body.ok());
  Op init = Tuple(&b, {ConstantR0<int32_t>(&b, 0), Parameter(&b, 0, Shape(kF32, {2}))});
  Op result = GetTupleElement(While(*condition, *body, init), 1);
  ExpectLiteral(Eval(&b, result, {Lit(kF32, {2}, {1, 3})}), Lit(kF32, {2}, {32, 96}));
}

Computation* AddConstant(Builder* b, float value) {
  auto sub = b->CreateSubBuilder("add");
  auto c = sub->BuildComputation(
      Add(Parameter(sub.get(), 0, Shape(kF32, {})), ConstantR0(sub.get(), value)));
  EXPECT_TRUE(c.ok());
  return *c;
}

TEST(EvaluatorTest, ConditionalTakesTheLastBranchOutOfRange) {
  for (auto [index, expected] : {std::pair<int, int>{0, 10}, {1, 101}, {-1, 1002}, {9, 1002}}) {
    Builder b("m");
    std::vector<Computation*> branches = {AddConstant(&b, 10), AddConstant(&b, 100),
                                          AddConstant(&b, 1000)};
    std::vector<Op> operands = {ConstantR0<float>(&b, 0), ConstantR0<float>(&b, 1),
                                ConstantR0<float>(&b, 2)};
    Op result = ConditionalIndexed(ConstantR0<int32_t>(&b, index), branches, operands);
    ExpectLiteral(Eval(&b, result), Lit(kF32, {}, {static_cast<double>(expected)}));
  }
  Builder b("m");
  Op x = ConstantR0<float>(&b, 0);
  Op result =
      Conditional(ConstantR0<bool>(&b, false), x, AddConstant(&b, 1), x, AddConstant(&b, 2));
  ExpectLiteral(Eval(&b, result), Lit(kF32, {}, {2}));
}

TEST(EvaluatorTest, CallsAreFollowed) {
  Builder b("m");
  Op result =
      Call(&b, AddConstant(&b, 3), {Call(&b, AddConstant(&b, 4), {ConstantR0<float>(&b, 1)})});
  ExpectLiteral(Eval(&b, result), Lit(kF32, {}, {8}));
}

TEST(EvaluatorTest, WrongArgumentsAreErrors) {
  Builder b("m");
  auto module = b.Build(Neg(Parameter(&b, 0, Shape(kF32, {2}))));
  ASSERT_TRUE(module.ok());
  EXPECT_EQ(Evaluate(**module, {}).status().code(), absl::StatusCode::kInvalidArgument);
  const Literal wrong[] = {Lit(kF32, {3}, {1, 2, 3})};
  const auto result = Evaluate(**module, wrong);
  EXPECT_EQ(result.status().message(), "argument 0 of main has shape f32[3], expected f32[2]");
}

TEST(EvaluatorTest, CustomCallIsUnimplemented) {
  Builder b("m");
  auto module = b.Build(CustomCall(&b, "mystery", {}, Shape(kF32, {})));
  ASSERT_TRUE(module.ok());
  const auto result = Evaluate(**module, {});
  EXPECT_EQ(result.status().code(), absl::StatusCode::kUnimplemented);
  EXPECT_NE(result.status().message().find("mystery"), absl::string_view::npos);
}

}  // namespace
}  // namespace glia::hlo
