#include "compiler/passes/pass_testing.h"
#include "gtest/gtest.h"

namespace glia::compiler {
namespace {

TEST(FoldConstantsTest, FoldsWhatDependsOnConstantsOnly) {
  auto module = ParseOrDie(Entry(R"(
  x = f32[2] parameter(0)
  c = f32[2] constant({1, 4})
  s = f32[2] sqrt(c)
  n = f32[2] negate(s)
  ROOT r = f32[2] add(x, n))"));
  EXPECT_TRUE(RunAndCheck(FoldConstants, module.get()));
  EXPECT_EQ(Expression(*module), "add(p0, constant)");
  EXPECT_EQ(module->entry()->root()->operand(1)->constant().GetAsDouble(1), -2);
  EXPECT_FALSE(RunAndCheck(FoldConstants, module.get()));
}

TEST(FoldConstantsTest, MasksOfIotasFoldIotasAloneDoNot) {
  auto module = ParseOrDie(Entry(R"(
  rows = s32[4,4] iota(), iota_dimension=0
  columns = s32[4,4] iota(), iota_dimension=1
  mask = pred[4,4] compare(rows, columns), direction=GE
  ROOT r = (pred[4,4], s32[4,4]) tuple(mask, rows))"));
  EXPECT_TRUE(RunAndCheck(FoldConstants, module.get()));
  EXPECT_EQ(Expression(*module), "tuple(constant, iota)");
}

TEST(FoldConstantsTest, RepeatedValuesBecomeBroadcasts) {
  auto module = ParseOrDie(Entry("ROOT c = f32[2,2] constant({ {3, 3}, {3, 3} })"));
  EXPECT_TRUE(RunAndCheck(FoldConstants, module.get()));
  EXPECT_EQ(Expression(*module), "broadcast(constant)");
  EXPECT_FALSE(RunAndCheck(FoldConstants, module.get()));
}

TEST(FoldConstantsTest, LargeResultsStayButWeightsFold) {
  hlo::Module module("m");
  hlo::Computation* entry = module.AddComputation("e");
  module.set_entry(entry);
  hlo::Literal weights = hlo::Literal::Zero(hlo::Shape(hlo::kF32, {1000, 700}));
  for (int64_t i = 0; i < weights.elements(); ++i)
    weights.MutableData<float>()[i] = static_cast<float>(i);
  hlo::Instruction* w = entry->AddConstant(weights);
  hlo::Instruction* t =
      entry->Add(hlo::Opcode::kTranspose, hlo::Shape(hlo::kF32, {700, 1000}), {w});
  t->dimensions = {1, 0};
  hlo::Instruction* iota = entry->Add(hlo::Opcode::kIota, hlo::Shape(hlo::kF32, {700, 1000}));
  iota->dimensions = {0};
  hlo::Instruction* grown = entry->Add(hlo::Opcode::kExp, iota->shape, {iota});
  entry->set_root(entry->Add(hlo::Opcode::kMultiply, iota->shape, {t, grown}));
  EXPECT_TRUE(RunAndCheck(FoldConstants, &module));
  EXPECT_EQ(Expression(module), "multiply(constant, exponential(iota))");
}

TEST(FoldConstantsTest, TuplesOfResultsAreTuplesOfConstants) {
  auto module = ParseOrDie(Entry(R"(
  c = f32[4] constant({3, 1, 4, 1})
  ROOT t = (f32[2], s32[2]) topk(c), k=2, largest=true)"));
  EXPECT_TRUE(RunAndCheck(FoldConstants, module.get()));
  EXPECT_EQ(Expression(*module), "tuple(constant, constant)");
}

TEST(FoldConstantsTest, LeavesRandomNumbersAndCustomCalls) {
  auto module = ParseOrDie(Entry(R"(
  a = f32[] constant(0)
  b = f32[] constant(1)
  u = f32[4] rng(a, b), distribution=rng_uniform
  ROOT c = f32[4] custom-call(a), custom_call_target="x")"));
  EXPECT_FALSE(*FoldConstants(module.get()));
}

}  // namespace
}  // namespace glia::compiler
