// Training in the lazy mode: backward and optimizer steps are recorded like any other operators.
#include <ATen/Functions.h>
#include <gtest/gtest.h>
#include <torch/nn/functional/loss.h>
#include <torch/nn/modules/activation.h>
#include <torch/nn/modules/container/functional.h>
#include <torch/nn/modules/container/sequential.h>
#include <torch/nn/modules/conv.h>
#include <torch/nn/modules/linear.h>
#include <torch/nn/modules/pooling.h>
#include <torch/optim/adam.h>
#include <torch/optim/sgd.h>
#include <torch/utils.h>

#include <functional>
#include <memory>

#include "frontend/lazy.h"

namespace glia {
namespace {

constexpr int kSteps = 6;

torch::nn::Sequential Mlp() {
  return torch::nn::Sequential(torch::nn::Linear(12, 16), torch::nn::ReLU(),
                               torch::nn::Linear(16, 4));
}

torch::nn::Sequential Cnn() {
  return torch::nn::Sequential(
      torch::nn::Conv2d(torch::nn::Conv2dOptions(1, 4, 3).padding(1)), torch::nn::ReLU(),
      torch::nn::MaxPool2d(2), torch::nn::Conv2d(4, 6, 3), torch::nn::Tanh(),
      torch::nn::AvgPool2d(2), torch::nn::Functional([](at::Tensor x) { return x.flatten(1); }),
      torch::nn::Linear(6, 4));
}

using Optimizer = std::function<std::unique_ptr<torch::optim::Optimizer>(std::vector<at::Tensor>)>;

std::unique_ptr<torch::optim::Optimizer> Sgd(std::vector<at::Tensor> parameters) {
  return std::make_unique<torch::optim::SGD>(
      std::move(parameters),
      torch::optim::SGDOptions(0.1).momentum(0.9).weight_decay(1e-3).nesterov(true));
}

std::unique_ptr<torch::optim::Optimizer> Adam(std::vector<at::Tensor> parameters) {
  return std::make_unique<torch::optim::Adam>(std::move(parameters),
                                              torch::optim::AdamOptions(0.01).weight_decay(1e-3));
}

struct Trained {
  std::vector<at::Tensor> losses, weights;
  std::vector<int64_t> compilations;  // after each step
};

Trained Train(const std::function<torch::nn::Sequential()>& make, const Optimizer& optimizer,
              at::IntArrayRef input, const c10::Device& device) {
  torch::manual_seed(3);
  torch::nn::Sequential model = make();
  std::vector<at::Tensor> xs, ys;
  for (int i = 0; i < kSteps; ++i) {
    xs.push_back(at::randn(input));
    ys.push_back(at::randint(4, {input[0]}));
  }
  model->to(device);
  auto steps = optimizer(model->parameters());
  Trained result;
  for (int i = 0; i < kSteps; ++i) {
    steps->zero_grad();
    const at::Tensor loss =
        torch::nn::functional::cross_entropy(model->forward(xs[i].to(device)), ys[i].to(device));
    loss.backward();
    steps->step();
    mark_step();
    result.losses.push_back(loss.detach());
    result.compilations.push_back(metric("lazy.hlo_built") + metric("lazy.cache_hits"));
  }
  for (at::Tensor& loss : result.losses) loss = loss.cpu();
  for (const at::Tensor& w : model->parameters()) result.weights.push_back(w.detach().cpu());
  return result;
}

void ExpectClose(const at::Tensor& got, const at::Tensor& want, double tolerance) {
  ASSERT_EQ(got.sizes(), want.sizes());
  EXPECT_LE((got - want).abs().max().item<double>(), tolerance) << got << want;
}

void TrainBoth(const std::function<torch::nn::Sequential()>& make, const Optimizer& optimizer,
               at::IntArrayRef input) {
  const int64_t fallbacks = metric("capture.fallbacks");
  const Trained lazy = Train(make, optimizer, input, xla_device());
  EXPECT_EQ(metric("capture.fallbacks"), fallbacks) << metrics_report();
  const Trained eager = Train(make, optimizer, input, at::kCPU);
  for (int i = 0; i < kSteps; ++i) ExpectClose(lazy.losses[i], eager.losses[i], 1e-4);
  for (size_t i = 0; i < eager.weights.size(); ++i) {
    ExpectClose(lazy.weights[i], eager.weights[i], 2e-4);
  }
  for (int i = 2; i < kSteps; ++i) {
    EXPECT_EQ(lazy.compilations[i], lazy.compilations[1]) << "step " << i;
  }
}

TEST(LazyTraining, MlpSgd) { TrainBoth(Mlp, Sgd, {8, 12}); }
TEST(LazyTraining, MlpAdam) { TrainBoth(Mlp, Adam, {8, 12}); }
TEST(LazyTraining, CnnSgd) { TrainBoth(Cnn, Sgd, {4, 1, 8, 8}); }
TEST(LazyTraining, CnnAdam) { TrainBoth(Cnn, Adam, {4, 1, 8, 8}); }

}  // namespace
}  // namespace glia
