// What a model uses, what is refused and how, and what the example inputs decide.
#include "frontend/analyze.h"

#include <ATen/Functions.h>
#include <ATen/TensorOperators.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <torch/nn/modules/batchnorm.h>
#include <torch/nn/modules/linear.h>

#include "frontend/testing/errors.h"
#include "frontend/torch_compat.h"

namespace glia {
namespace {

using ::testing::AllOf;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::Not;
using ::testing::Pair;
using ::testing::UnorderedElementsAre;

torch::jit::Module Script(const std::string& code) {
  torch::jit::Module model("m");
  model.register_parameter("weight", at::full({3}, 2.0f), false);
  model.register_buffer("count", at::zeros({1}));
  model.define(code);
  return model;
}

void ExpectEqual(const at::Tensor& got, const at::Tensor& want) {
  ASSERT_EQ(got.sizes(), want.sizes());
  ASSERT_EQ(got.scalar_type(), want.scalar_type());
  EXPECT_TRUE(got.equal(want)) << got << want;
}

TEST(Analyze, CountsTheOperatorsThatTheModelCalls) {
  torch::jit::Module model = Script(R"(
    def forward(self, x):
        for i in range(3):
            x = torch.relu(torch.linear(x, torch.ones([3, 3]), self.weight))
        return torch.log_softmax(x, 1)
  )");
  const Analysis analysis = analyze(model, {at::rand({2, 3})});
  EXPECT_THAT(analysis.unsupported_operators, IsEmpty());
  EXPECT_EQ(analysis.support(), 1);
  EXPECT_THAT(analysis.supported_operators,
              UnorderedElementsAre(Pair("aten::linear", 3), Pair("aten::relu", 3),
                                   Pair("aten::ones", 3), Pair("aten::log_softmax", 1)));
  EXPECT_THAT(analysis.ToJson(),
              AllOf(HasSubstr("\"support_percentage\": \"100.00%\""),
                    HasSubstr("\"aten::linear\": 3"), HasSubstr("\"unsupported_operators\": []")));
  EXPECT_THAT(analysis.ToText(), HasSubstr("100.00%"));
}

TEST(Analyze, ModulesAndFunctions) {
  torch::nn::Linear linear(4, 2);
  EXPECT_GE(analyze(linear, {at::rand({3, 4})}).supported_operators.size(), 1u);
  EXPECT_TRUE(linear->weight.device().is_cpu());
  auto fft = [](const at::Tensor& x) { return at::fft_fft(x); };
  const Analysis analysis = analyze(fft, {at::arange(4)});
  EXPECT_EQ(analysis.support(), 0);
  ASSERT_EQ(analysis.unsupported_operators.size(), 1u);
  const UnsupportedOperator& found = analysis.unsupported_operators[0];
  EXPECT_EQ(found.kind, "aten::fft_fft");
  EXPECT_EQ(found.failure_at, "Lowering to HLO");
  EXPECT_EQ(found.count, 1);
  EXPECT_THAT(found.reason, AllOf(HasSubstr("aten::_fft_"), HasSubstr("there is no lowering")));
  EXPECT_THAT(found.op_graph, AllOf(HasSubstr("graph(%self : Long(4, strides=[1]"),
                                    HasSubstr("aten::fft_fft(%self, %n, %dim, %norm)")));
}

TEST(Analyze, GoesOnAfterWhatNeedsTheHost) {
  torch::jit::Module model = Script(R"(
    def forward(self, x):
        y = x[x > 0.5]
        return torch.cat([y, torch.nonzero(x).float().reshape([-1])]).sum() + torch.sin(x)
  )");
  const Analysis analysis = analyze(model, {at::tensor({0.0, 0.7, 0.9}, at::kFloat)});
  std::vector<std::string> kinds;
  for (const UnsupportedOperator& o : analysis.unsupported_operators) kinds.push_back(o.kind);
  EXPECT_THAT(kinds, ElementsAre("aten::index", "aten::nonzero"));
  EXPECT_EQ(analysis.supported_operators.count("aten::sin"), 1u);
}

// The lowering takes a convolution of any size; the compiler has one output's inputs in a tile,
// unless the weights are constants.
TEST(Analyze, WhatTheCompilerRefusesIsNotSupported) {
  auto wide = [](const at::Tensor& x, const at::Tensor& w) { return at::conv1d(x, w, {}, 100); };
  const at::Tensor x = at::rand({1, 1, 80000}), w = at::rand({1, 1, 70000});
  const Analysis analysis = analyze(wide, {x, w});
  ASSERT_EQ(analysis.unsupported_operators.size(), 1u) << analysis.ToText();
  EXPECT_EQ(analysis.unsupported_operators[0].kind, "aten::conv1d");
  EXPECT_EQ(analysis.unsupported_operators[0].failure_at, "neuronx-cc");
  EXPECT_THAT(ErrorOf([&] {
                trace(wide, {x, w});
              }),
              AllOf(HasSubstr("cannot trace aten::convolution_overrideable(input=f32[1,1,1,80000]"),
                    HasSubstr("the compiler refuses it"),
                    HasSubstr("schema: aten::convolution_overrideable(Tensor input")));
  AnalyzeOptions options;
  options.additional_ignored_ops = {"aten::conv1d"};
  EXPECT_THAT(analyze(wide, {x, w}, options).unsupported_operators, IsEmpty());
}

struct Refusal {
  const char* code;  // the body of forward(self, x)
  std::vector<const char*> words;
};

TEST(Refusals, NameTheOperatorItsSchemaAndTheArgument) {
  const std::vector<Refusal> refusals = {
      {"torch.nonzero(x)", {"aten::nonzero(Tensor self)", "depends on the contents"}},
      {"x[x > 0]", {"aten::index.Tensor(", "mask"}},
      {"torch.masked_select(x, x > 0)", {"aten::masked_select(Tensor self", "depends"}},
      {"torch._unique2(x)[0]", {"aten::_unique2(Tensor self", "depends"}},
      {"torch.fft_fft(x)",
       {"aten::_fft_r2c(self=f32[2,3], dim=[1]", "(schema: aten::_fft_r2c(Tensor"}},
      {"torch.to_sparse(x)", {"to_sparse(Tensor self", "sparse", "[2, 3]"}},
      {"torch.quantize_per_tensor(x, 0.1, 0, 13)",
       {"aten::quantize_per_tensor(Tensor self", "quantized", "[2, 3]"}},
      {"torch.complex(x, x)",
       {"aten::complex(real=f32[2,3]", "ComplexFloat", "(schema: aten::complex"}},
      {"torch.polygamma(2, x)",
       {"aten::polygamma(n=2, self=f32[2,3])", "(schema: aten::polygamma"}},
  };
  for (const Refusal& refusal : refusals) {
    SCOPED_TRACE(refusal.code);
    torch::jit::Module model =
        Script(std::string("def forward(self, x):\n    return ") + refusal.code + "\n");
    const at::Tensor x = at::rand({2, 3});
    const std::string error = ErrorOf([&] { trace(model, {x}); });
    for (const char* word : refusal.words) EXPECT_THAT(error, HasSubstr(word));
    // The user's line, in TorchScript's traceback.
    EXPECT_THAT(error, HasSubstr(refusal.code));
  }
}

TEST(ExampleInputs, DecideControlFlowWithAWarning) {
  torch::jit::Module model = Script(R"(
    def forward(self, x):
        if bool(x.sum() > 0):
            x = x + 1
        else:
            x = x - 1
        while bool(x.max() < 10):
            x = x * 2
        return x
  )");
  const at::Tensor x = at::ones({3});
  CollectWarnings warnings;
  torch::jit::Module traced = trace(model, {x});
  // One for each line, however often it decides.
  EXPECT_THAT(warnings.texts,
              ElementsAre(AllOf(HasSubstr("aten::item at"), HasSubstr(":3 in forward"),
                                HasSubstr("depends on the inputs"), HasSubstr("does not follow")),
                          HasSubstr(":7 in forward")));
  ExpectEqual(traced.forward({x}).toTensor(), model.forward({x}).toTensor());
  // Another input goes the way of the example.
  ExpectEqual(traced.forward({x * 3}).toTensor(), (x * 3 + 1) * 8);
}

TEST(ExampleInputs, ANumberOfTheInputsWarnsThatItIsFixed) {
  auto scaled = [](const at::Tensor& x) { return x * x.max().item<float>(); };
  const at::Tensor x = at::tensor({1.0f, 2.0f, 4.0f});
  CollectWarnings warnings;
  torch::jit::Module traced = trace(scaled, {x});
  EXPECT_THAT(warnings.texts, ElementsAre(AllOf(HasSubstr("aten::item"), HasSubstr("It is 4"))));
  ExpectEqual(traced.forward({x}).toTensor(), x * 4);
}

TEST(ExampleInputs, NumbersOfTheWeightsAndShapesDoNotWarn) {
  torch::jit::Module model = Script(R"(
    def forward(self, x):
        n = int(torch.tensor(x.size(0)) * 2)
        if bool(self.weight.sum() > 0):
            x = x * float(self.weight[0])
        return x + n
  )");
  const at::Tensor x = at::rand({4, 3});
  CollectWarnings warnings;
  torch::jit::Module traced = trace(model, {x});
  EXPECT_THAT(warnings.texts, IsEmpty());
  ExpectEqual(traced.forward({x}).toTensor(), x * 2 + 8);
}

TEST(State, ChangesOfBuffersAreNamed) {
  torch::jit::Module model = Script(R"(
    def forward(self, x):
        self.count.add_(1)
        return x + self.count
  )");
  const at::Tensor x = at::zeros({3});
  CollectWarnings warnings;
  torch::jit::Module traced = trace(model, {x});
  EXPECT_THAT(warnings.texts, ElementsAre(AllOf(HasSubstr("changes its own count"),
                                                HasSubstr("no state"), Not(HasSubstr("weight")))));
  for (int i = 0; i < 2; ++i) ExpectEqual(traced.forward({x}).toTensor(), x + 1);
  ExpectEqual(model.attr("count").toTensor(), at::zeros({1}));
}

TEST(State, AReplacedBufferAndRunningStatisticsAreNamed) {
  torch::jit::Module model = Script(R"(
    def forward(self, x):
        self.count = self.count + x.sum()
        return x + self.count
  )");
  {
    CollectWarnings warnings;
    trace(model, {at::ones({3})});
    EXPECT_THAT(warnings.texts, ElementsAre(HasSubstr("changes its own count")));
  }
  torch::nn::BatchNorm1d norm(3);
  {
    CollectWarnings warnings;
    trace(norm, {at::rand({4, 3})});
    EXPECT_THAT(warnings.texts, ElementsAre(AllOf(HasSubstr("running_mean"),
                                                  HasSubstr("running_var"), HasSubstr("eval()"))));
  }
  ExpectEqual(norm->running_mean, at::zeros({3}));
  norm->eval();
  CollectWarnings warnings;
  trace(norm, {at::rand({4, 3})});
  EXPECT_THAT(warnings.texts, IsEmpty());
}

// Python's torch.jit.trace writes the device it ran on into the program.
TEST(Devices, OfTheProgramDoNotMatter) {
  torch::jit::Module model = Script(R"(
    def forward(self, x):
        mask = torch.zeros([2, 3], device=torch.device("cpu"))
        mask[:, 1] = x[:, 0]
        other = torch.full([3], 2.0)
        other.mul_(x[0])
        return (x.to(torch.device("cuda:0")) * mask).cpu() + other
  )");
  const at::Tensor x = at::rand({2, 3});
  at::Tensor mask = at::zeros({2, 3});
  mask.select(1, 1).copy_(x.select(1, 0));
  ExpectEqual(trace(model, {x}).forward({x}).toTensor(), x * mask + x[0] * 2);
}

}  // namespace
}  // namespace glia
