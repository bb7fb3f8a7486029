// Whole modules on the xla device: torch::nn and TorchScript, moved with to(), forward and
// backward.
#include <gtest/gtest.h>
#include <torch/csrc/jit/serialization/import.h>
#include <torch/nn/modules/activation.h>
#include <torch/nn/modules/batchnorm.h>
#include <torch/nn/modules/container/sequential.h>
#include <torch/nn/modules/conv.h>
#include <torch/nn/modules/dropout.h>
#include <torch/nn/modules/embedding.h>
#include <torch/nn/modules/linear.h>
#include <torch/nn/modules/pooling.h>
#include <torch/nn/modules/rnn.h>
#include <torch/nn/modules/transformerlayer.h>
#include <torch/optim/sgd.h>
#include <torch/script.h>

#include "frontend/capture/metrics.h"
#include "frontend/capture/testing/compare.h"
#include "frontend/capture/testing/eager_backend.h"

namespace glia::capture::testing {
namespace {

class Modules : public ::testing::Test {
 protected:
  void SetUp() override {
    torch::manual_seed(11);
    backend_ = InstallEagerBackend();
    ResetCounters();
  }
  void TearDown() override { EXPECT_EQ(CounterValue("capture.fallbacks"), 0) << Report(); }
  std::shared_ptr<EagerBackend> backend_;
};

torch::nn::Sequential ConvNet() {
  return torch::nn::Sequential(
      torch::nn::Conv2d(torch::nn::Conv2dOptions(1, 4, 3).padding(1)), torch::nn::BatchNorm2d(4),
      torch::nn::ReLU(torch::nn::ReLUOptions(true)), torch::nn::MaxPool2d(2), torch::nn::Flatten(),
      torch::nn::Dropout(0.5), torch::nn::Linear(64, 10));
}

TEST_F(Modules, ToMovesParametersAndBuffers) {
  auto net = ConvNet();
  net->eval();
  const at::Tensor x = torch::randn({2, 1, 8, 8});
  const at::Tensor expected = net->forward(x).detach();
  net->to(XlaDevice());
  for (const auto& p : net->parameters()) {
    EXPECT_EQ(p.device(), XlaDevice());
    EXPECT_TRUE(p.is_leaf() && p.requires_grad());
  }
  for (const auto& b : net->buffers()) EXPECT_EQ(b.device(), XlaDevice());
  torch::NoGradGuard no_grad;
  at::Tensor y = net->forward(x.to(XlaDevice()));
  MarkStep();
  EXPECT_EQ(backend_->TakeGraphs().size(), 1u);
  EXPECT_TRUE(at::allclose(y.cpu(), expected, 1e-5, 1e-6));
  net->to(torch::kCPU);
  EXPECT_TRUE(at::allclose(net->forward(x), expected));
}

TEST_F(Modules, TrainingStep) {
  auto make = [] {
    torch::manual_seed(3);
    auto net = torch::nn::Sequential(torch::nn::Conv2d(1, 4, 3), torch::nn::BatchNorm2d(4),
                                     torch::nn::ReLU(), torch::nn::AdaptiveAvgPool2d(2),
                                     torch::nn::Flatten(), torch::nn::Linear(16, 10),
                                     torch::nn::LayerNorm(std::vector<int64_t>{10}));
    return net;
  };
  auto run = [&](at::Device device) {
    auto net = make();
    net->to(device);
    torch::optim::SGD sgd(net->parameters(), torch::optim::SGDOptions(0.1).momentum(0.9));
    torch::manual_seed(5);
    std::vector<at::Tensor> result;
    for (int step = 0; step < 3; ++step) {
      const at::Tensor x = torch::randn({4, 1, 8, 8}),
                       target = torch::randint(10, {4}, torch::kLong);
      sgd.zero_grad();
      at::Tensor loss = torch::cross_entropy_loss(net->forward(x.to(device)), target.to(device));
      loss.backward();
      sgd.step();
      if (device.type() == at::kXLA) MarkStep();
      result.push_back(loss.detach().cpu());
    }
    for (const auto& p : net->parameters()) result.push_back(p.detach().cpu());
    for (const auto& b : net->buffers()) result.push_back(b.cpu());
    return result;
  };
  const auto cpu = run(at::kCPU), xla = run(XlaDevice());
  ASSERT_EQ(cpu.size(), xla.size());
  for (size_t i = 0; i < cpu.size(); ++i)
    EXPECT_TRUE(at::allclose(cpu[i], xla[i], 1e-4, 1e-5)) << i;
}

TEST_F(Modules, RecurrentAndAttention) {
  torch::NoGradGuard no_grad;
  torch::nn::LSTM lstm(torch::nn::LSTMOptions(6, 5).num_layers(2));
  torch::nn::TransformerEncoderLayer layer(
      torch::nn::TransformerEncoderLayerOptions(8, 2).dim_feedforward(16));
  torch::nn::Embedding embedding(10, 6);
  layer->eval();
  const at::Tensor ids = torch::randint(10, {4, 2}, torch::kLong), x = torch::randn({3, 2, 8});
  const at::Tensor rnn = std::get<0>(lstm->forward(embedding->forward(ids))),
                   encoded = layer->forward(x);
  lstm->to(XlaDevice());
  layer->to(XlaDevice());
  embedding->to(XlaDevice());
  EXPECT_TRUE(at::allclose(
      std::get<0>(lstm->forward(embedding->forward(ids.to(XlaDevice())))).cpu(), rnn, 1e-5, 1e-6));
  EXPECT_TRUE(at::allclose(layer->forward(x.to(XlaDevice())).cpu(), encoded, 1e-5, 1e-6));
}

// A module as the TorchScript compiler makes it.
torch::jit::Module Script() {
  torch::jit::Module m("m");
  m.register_parameter("w", torch::randn({5, 4}), false);
  m.register_parameter("b", torch::randn({5}), false);
  m.register_buffer("calls", torch::zeros({1}));
  m.define(R"JIT(
    def forward(self, x, n: int):
        self.calls += 1
        for i in range(n):
            x = torch.relu(x) + float(i)
        y = torch.linear(x, self.w, self.b)
        y[:, 0] = 0.0
        return y, {"max": torch.max(y, 1)[1]}
    def bad(self, x):
        return torch.nonzero(x)
  )JIT");
  return m;
}

TEST_F(Modules, TorchScript) {
  torch::jit::Module m = Script();
  const at::Tensor x = torch::randn({2, 4});
  const auto expected = m.forward({x, 3}).toTuple();
  m.to(XlaDevice());
  const auto got = m.forward({x.to(XlaDevice()), 3}).toTuple();
  EXPECT_TRUE(
      at::allclose(got->elements()[0].toTensor().cpu(), expected->elements()[0].toTensor()));
  EXPECT_TRUE(at::equal(got->elements()[1].toGenericDict().at("max").toTensor().cpu(),
                        expected->elements()[1].toGenericDict().at("max").toTensor()));
  EXPECT_EQ(m.attr("calls").toTensor().item<float>(), 2);
}

TEST_F(Modules, TraceOfTorchScriptNamesTheLine) {
  torch::jit::Module m = Script();
  const at::Tensor x = torch::randn({2, 4});
  const at::Tensor expected = m.forward({x, 2}).toTuple()->elements()[0].toTensor();
  m.to(XlaDevice());
  TraceScope trace({});
  at::Tensor in = trace.AddInput(x);
  try {
    m.get_method("bad")({in});
    ADD_FAILURE() << "nonzero was traced";
  } catch (const std::exception& e) {
    EXPECT_NE(std::string(e.what()).find("cannot trace aten::nonzero"), std::string::npos)
        << e.what();
    EXPECT_NE(std::string(e.what()).find(" in bad"), std::string::npos) << e.what();
  }
  const at::Tensor y = m.forward({in, 2}).toTuple()->elements()[0].toTensor();
  const auto graph = trace.Finish({y});
  bool has_source = false;
  for (const NodePtr& n : graph->nodes) has_source = has_source || n->source != nullptr;
  EXPECT_TRUE(has_source) << ToString(*graph);
  EXPECT_TRUE(at::allclose(EvaluateGraph(*graph, {x})[0], expected));
}

TEST_F(Modules, InferenceMode) {
  c10::InferenceMode guard;
  torch::nn::Linear linear(4, 3);
  const at::Tensor x = torch::randn({2, 4}), expected = linear->forward(x);
  linear->to(XlaDevice());
  at::Tensor y = linear->forward(x.to(XlaDevice()));
  y.select(0, 0).zero_();
  expected.select(0, 0).zero_();
  EXPECT_TRUE(at::allclose(y.cpu(), expected));
}

}  // namespace
}  // namespace glia::capture::testing
