// Programs on a lazy device whose graphs go through the lowering and the HLO evaluator, against
// eager.
#include <ATen/ATen.h>
#include <gtest/gtest.h>

#include <functional>
#include <vector>

#include "frontend/capture/capture.h"
#include "frontend/capture/metrics.h"
#include "frontend/lowering/testing/evaluator_backend.h"

namespace glia::lowering {
namespace {

using Tensors = std::vector<at::Tensor>;
using Program = std::function<Tensors(const Tensors&)>;

class DeviceTest : public ::testing::Test {
 protected:
  static void SetUpTestSuite() {
    testing::InstallEvaluatorBackend();
    at::manual_seed(7);
  }

  // The program on copies of the inputs, on the CPU and on the device.
  static void Check(const Program& program, const Tensors& inputs, double tolerance = 1e-5,
                    int64_t fallbacks = 0) {
    Tensors cpu, xla;
    for (const at::Tensor& t : inputs) {
      cpu.push_back(t.clone().detach().requires_grad_(t.requires_grad()));
      xla.push_back(t.detach().to(capture::XlaDevice()).requires_grad_(t.requires_grad()));
    }
    const int64_t before = capture::CounterValue("capture.fallbacks");
    const Tensors want = program(cpu), got = program(xla);
    EXPECT_EQ(capture::CounterValue("capture.fallbacks") - before, fallbacks) << capture::Report();
    ASSERT_EQ(want.size(), got.size());
    for (size_t i = 0; i < want.size(); ++i) {
      EXPECT_EQ(got[i].device().type(), at::kXLA);
      const at::Tensor back = got[i].detach().cpu();
      EXPECT_EQ(back.scalar_type(), want[i].scalar_type());
      EXPECT_TRUE(back.allclose(want[i].detach(), tolerance, tolerance))
          << "result " << i << "\n"
          << back << "\nwhere eager has\n"
          << want[i];
    }
  }
};

TEST_F(DeviceTest, Mlp) {
  Check(
      [](const Tensors& t) -> Tensors {
        const at::Tensor hidden = at::linear(t[0], t[1], t[2]).relu();
        return {at::linear(hidden, t[3], t[4]).softmax(-1)};
      },
      {at::rand({5, 20}), at::rand({13, 20}), at::rand({13}), at::rand({10, 13}), at::rand({10})});
}

TEST_F(DeviceTest, ConvolutionalNetwork) {
  Check(
      [](const Tensors& t) -> Tensors {
        at::Tensor x = at::conv2d(t[0], t[1], t[2], 1, 1).relu_();
        x = at::max_pool2d(x, 2).flatten(1);
        return {at::linear(x, t[3]).log_softmax(1)};
      },
      {at::rand({2, 1, 8, 8}), at::rand({4, 1, 3, 3}), at::rand({4}), at::rand({10, 64})});
}

TEST_F(DeviceTest, AttentionWithEmbedding) {
  Check(
      [](const Tensors& t) -> Tensors {
        const at::Tensor x = at::embedding(t[0], t[1]);
        const at::Tensor qkv = at::linear(x, t[2]).view({2, 6, 3, 2, 4}).permute({2, 0, 3, 1, 4});
        const at::Tensor scores = at::matmul(qkv[0], qkv[1].transpose(-2, -1)) / 2.0;
        const at::Tensor mixed =
            at::matmul(scores.softmax(-1), qkv[2]).transpose(1, 2).reshape({2, 6, 8});
        return {at::layer_norm(mixed + x, {8})};
      },
      {at::rand({30, 8}), at::randint(30, {2, 6}, at::kLong), at::rand({24, 8})});
}

TEST_F(DeviceTest, ViewsWrittenInPlace) {
  Check(
      [](const Tensors& t) -> Tensors {
        at::Tensor x = t[0].clone();
        x.select(1, 0).mul_(3);
        x.slice(0, 1, 4, 2).add_(t[1]);
        x.t().narrow(0, 2, 2).fill_(7);
        const at::Tensor expanded = t[1].expand({3, 5});
        at::Tensor y = at::zeros({3, 5}, t[0].options());
        y.copy_(expanded);
        y.diagonal().zero_();
        return {x, y, x.t().contiguous().view({-1}), at::cat({x, y}, 0)};
      },
      {at::rand({4, 5}), at::rand({1, 5})});
}

TEST_F(DeviceTest, ChannelsLast) {
  const at::Tensor image = at::rand({2, 3, 6, 6}).contiguous(at::MemoryFormat::ChannelsLast);
  Check(
      [](const Tensors& t) -> Tensors {
        at::Tensor x = at::conv2d(t[0], t[1]) * 2;
        x.slice(1, 0, 2).neg_();
        return {x, t[0].permute({0, 2, 3, 1}).contiguous()};
      },
      {image, at::rand({4, 3, 3, 3})});
}

TEST_F(DeviceTest, IndexingAndPromotion) {
  Check(
      [](const Tensors& t) -> Tensors {
        at::Tensor x = t[0].clone();
        x.index_put_({t[1]}, t[0].select(0, 0));
        const at::Tensor steps = at::arange(0, 5, t[0].options());
        return {x,
                t[0].index({t[1]}),
                t[1] * 2.5,
                t[1] / 2,
                t[0] + t[1].select(0, 0),
                steps * t[0],
                t[0].gather(1, t[1].view({3, 1}).remainder(5)),
                t[0].to(at::kDouble).sum(),
                t[0].gt(0.5).to(at::kLong).sum(0),
                std::get<1>(t[0].sort(1, true))};
      },
      {at::rand({4, 5}), at::randint(-4, 4, {3}, at::kLong)});
}

TEST_F(DeviceTest, TrainingStep) {
  const auto parameter = [](at::IntArrayRef sizes) {
    return at::rand(sizes).sub(0.5).requires_grad_();
  };
  Check(
      [](const Tensors& t) -> Tensors {
        at::Tensor x = at::conv2d(t[0], t[2], t[3], 1, 1).relu();
        x = at::max_pool2d(x, 2).flatten(1);
        const at::Tensor loss = at::nll_loss(at::linear(x, t[4]).log_softmax(1), t[1]);
        loss.backward();
        const at::NoGradGuard no_grad;
        Tensors results = {loss};
        for (size_t i = 2; i < 5; ++i) {
          at::Tensor p = t[i];
          p.sub_(p.grad(), 0.1);
          results.push_back(p);
        }
        return results;
      },
      {at::rand({3, 1, 6, 6}), at::randint(4, {3}, at::kLong), parameter({2, 1, 3, 3}),
       parameter({2}), parameter({4, 18})},
      1e-4);
}

TEST_F(DeviceTest, WhatIsNotLoweredRunsOnTheCpu) {
  Check(
      [](const Tensors& t) -> Tensors {
        const at::Tensor x = t[0] * 2;
        return {x.i0() + 1, x.index({x.gt(1)})};
      },
      {at::rand({4, 5}).add(0.1)}, 1e-5, /*fallbacks=*/1);
}

}  // namespace
}  // namespace glia::lowering
