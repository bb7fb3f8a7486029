// Models with operators that the device refuses, or that are to run on the CPU, traced in parts.
#include <ATen/Functions.h>
#include <ATen/TensorOperators.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <torch/csrc/jit/serialization/import.h>
#include <torch/nn/modules/activation.h>
#include <torch/nn/modules/container/sequential.h>
#include <torch/nn/modules/linear.h>

#include <sstream>

#include "frontend/testing/errors.h"
#include "frontend/trace.h"

namespace glia {
namespace {

using ::testing::AllOf;
using ::testing::ElementsAre;
using ::testing::HasSubstr;

torch::jit::Module SaveAndLoad(const torch::jit::Module& module) {
  std::stringstream stream;
  module.save(stream);
  return torch::jit::load(stream);
}

std::vector<std::string> Parts(const torch::jit::Module& module) {
  std::vector<std::string> names;
  for (const auto& child : module.named_children()) names.push_back(child.name);
  return names;
}

void ExpectClose(const at::Tensor& got, const at::Tensor& want) {
  ASSERT_EQ(got.sizes(), want.sizes());
  ASSERT_EQ(got.scalar_type(), want.scalar_type());
  EXPECT_TRUE(at::allclose(got, want, 1e-5, 1e-5)) << got << want;
}

TraceOptions Partitioned(std::set<std::string> ops = {}) {
  TraceOptions options;
  options.compiler_args = {"--auto-cast", "none"};
  options.partitioner_config.emplace();
  options.partitioner_config->ops_to_partition = std::move(ops);
  return options;
}

torch::nn::Sequential Mlp() {
  torch::manual_seed(0);
  return torch::nn::Sequential(torch::nn::Linear(20, 12), torch::nn::ReLU(),
                               torch::nn::Linear(12, 5), torch::nn::LogSoftmax(1));
}

// fft has no lowering and makes complex numbers; the device can go on from their real part.
at::Tensor Filter(const at::Tensor& x) {
  const at::Tensor y = at::relu(x) * 2 + 1;
  const at::Tensor z = at::real(at::fft_ifft(at::fft_fft(y))).contiguous();
  return at::tanh(z * z).sum(1, true) - y;
}

TEST(PartitionedTrace, UnsupportedOperatorsRunOnTheCpu) {
  const at::Tensor x = at::randn({3, 8});
  torch::jit::Module traced = SaveAndLoad(trace(Filter, {x}, Partitioned()));
  EXPECT_THAT(Parts(traced), ElementsAre("neuron_0", "cpu_1", "neuron_2"));
  for (int i = 0; i < 3; ++i) {
    const at::Tensor other = at::randn({3, 8});
    ExpectClose(traced.forward({other}).toTensor(), Filter(other));
  }
  EXPECT_THAT(ErrorOf([&] { trace(Filter, {x}); }), HasSubstr("aten::_fft"));
}

TEST(PartitionedTrace, WithNothingToPartitionIsOneSubgraph) {
  torch::nn::Sequential model = Mlp();
  const at::Tensor x = at::rand({3, 20});
  torch::jit::Module traced = trace(model, {x}, Partitioned());
  EXPECT_THAT(Parts(traced), ElementsAre("neuron_0"));
  ExpectClose(traced.forward({x}).toTensor(), model->forward(x));
}

TEST(PartitionedTrace, OperatorsMayBeSentToTheCpu) {
  torch::nn::Sequential model = Mlp();
  const at::Tensor x = at::rand({3, 20});
  torch::jit::Module traced = SaveAndLoad(trace(model, {x}, Partitioned({"aten::log_softmax"})));
  EXPECT_THAT(Parts(traced), ElementsAre("neuron_0", "cpu_1"));
  ExpectClose(traced.forward({x}).toTensor(), model->forward(x));
  // All of it.
  torch::jit::Module cpu = SaveAndLoad(trace(
      model, {x}, Partitioned({"aten::log_softmax", "aten::relu", "aten::addmm", "aten::linear"})));
  EXPECT_EQ(Parts(cpu).back().rfind("cpu_", 0), 0u);
  ExpectClose(cpu.forward({x}).toTensor(), model->forward(x));
}

TEST(PartitionedTrace, WeightsBesideTheNeffs) {
  torch::nn::Sequential model = Mlp();
  const at::Tensor x = at::rand({3, 20});
  TraceOptions options = Partitioned({"aten::relu"});
  options.inline_weights_to_neff = false;
  torch::jit::Module traced = SaveAndLoad(trace(model, {x}, options));
  EXPECT_THAT(Parts(traced), ElementsAre("neuron_0", "cpu_1", "neuron_2"));
  ExpectClose(traced.forward({x}).toTensor(), model->forward(x));
}

// Views, writes through views, numbers, lists and integers on the CPU's side.
at::Tensor Movement(const at::Tensor& x) {
  at::Tensor y = at::sin(x).t();
  y = y.clone();
  y.select(0, 1).copy_(x.select(1, 0) * 3);
  const auto parts = at::split(y, 2, 0);
  const at::Tensor z = at::cat({parts[1], parts[0], y.slice(0, 0, 4, 2)}, 0);
  const at::Tensor ids = at::argmax(z, 0);
  return at::index_select(z, 0, ids).to(at::kDouble).add(1.5).floor_divide(2).to(at::kFloat) +
         at::where(x.sum(0) > 0.5, x.sum(0), at::zeros({4})).sum();
}

TEST(PartitionedTrace, EveryOperatorOfAModelMayBeTheOne) {
  const at::Tensor x = at::rand({3, 4});
  const at::Tensor other = at::rand({3, 4});
  for (const char* op : {"aten::sin", "aten::clone", "aten::copy_", "aten::mul", "aten::split",
                         "aten::cat", "aten::argmax", "aten::index_select", "aten::to", "aten::add",
                         "aten::floor_divide", "aten::sum", "aten::gt", "aten::where"}) {
    SCOPED_TRACE(op);
    torch::jit::Module traced = SaveAndLoad(trace(Movement, {x}, Partitioned({op})));
    ExpectClose(traced.forward({other}).toTensor(), Movement(other));
  }
}

TEST(PartitionedTrace, StructuresAndValuesOfNoOperator) {
  TraceFunction fn = [](const std::vector<c10::IValue>& arguments) -> c10::IValue {
    const at::Tensor x = arguments[0].toGenericDict().at("x").toTensor();
    c10::Dict<std::string, at::Tensor> result;
    result.insert("same", x);
    result.insert("view", x.t());
    result.insert("constant", at::arange(3));
    result.insert("phase", at::angle(at::fft_fft(x)));
    return result;
  };
  c10::Dict<std::string, at::Tensor> inputs;
  inputs.insert("x", at::rand({2, 3}));
  TraceOptions options = Partitioned();
  options.partitioner_config->model_support_percentage_threshold = 0.1;
  torch::jit::Module traced = SaveAndLoad(trace_function(fn, {inputs}, options));
  const auto got = traced.forward({inputs}).toGenericDict();
  const auto want = fn({inputs}).toGenericDict();
  for (const char* key : {"same", "view", "constant", "phase"}) {
    SCOPED_TRACE(key);
    ExpectClose(got.at(key).toTensor(), want.at(key).toTensor());
  }
}

TEST(PartitionedTrace, LimitsAreKept) {
  const at::Tensor x = at::randn({3, 8});
  auto error = [&](auto change) {
    TraceOptions options = Partitioned();
    change(*options.partitioner_config);
    return ErrorOf([&] { trace(Filter, {x}, options); });
  };
  EXPECT_EQ(error([](auto& c) { c.max_subgraph_count = 3; }), "no error");
  EXPECT_THAT(error([](auto& c) { c.max_subgraph_count = 2; }),
              HasSubstr("The partitioner has found 3 subgraphs which exceeds the specified max "
                        "subgraph count of 2."));
  EXPECT_EQ(error([](auto& c) { c.min_subgraph_size = 2; }), "no error");
  EXPECT_THAT(error([](auto& c) { c.min_subgraph_size = 5; }),
              AllOf(HasSubstr("subgraph 0"), HasSubstr("min subgraph size of 5")));
  EXPECT_THAT(
      error([](auto& c) { c.model_support_percentage_threshold = 0.99; }),
      AllOf(HasSubstr("model_support_percentage_threshold (99%)"), HasSubstr("aten::fft_fft")));
  EXPECT_THAT(error([](auto& c) { c.model_support_percentage_threshold = 1.5; }),
              HasSubstr("between 0 and 1"));
  EXPECT_THAT(error([](auto& c) { c.min_subgraph_size = 0; }), HasSubstr("at least 1"));
}

TEST(PartitionedTrace, OtherInputsAreRefused) {
  torch::jit::Module traced = trace(Filter, {at::randn({3, 8})}, Partitioned());
  EXPECT_THAT(ErrorOf([&] {
                traced.forward({at::randn({3, 9})});
              }),
              AllOf(HasSubstr("input 0 ('input0') has shape [3, 9]"), HasSubstr("[3, 8]")));
  EXPECT_THAT(ErrorOf([&] {
                traced.forward({at::ones({3, 8}, at::kDouble)});
              }),
              HasSubstr("traced with f32"));
  EXPECT_THAT(ErrorOf([&] { dynamic_batch(traced); }), HasSubstr("partitioned"));
}

TEST(PartitionedTrace, ShapesThatDependOnDataAreStillRefused) {
  auto fn = [](const at::Tensor& x) { return at::nonzero(x).sum() + x; };
  EXPECT_THAT(ErrorOf([&] { trace(fn, {at::rand({4})}, Partitioned()); }),
              HasSubstr("aten::nonzero"));
}

}  // namespace
}  // namespace glia
