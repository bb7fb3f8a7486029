// The lazy mode end to end: recording, compilation, the NEFF cache, the device.
#include "frontend/lazy.h"

#include <ATen/Functions.h>
#include <ATen/TensorOperators.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <torch/nn/modules/activation.h>
#include <torch/nn/modules/container/sequential.h>
#include <torch/nn/modules/linear.h>
#include <torch/utils.h>

#include <cstdlib>
#include <functional>
#include <map>
#include <sstream>
#include <thread>

namespace glia {
namespace {

using ::testing::HasSubstr;

// A small device, so that a test can fill it. Read when the first tensor moves.
constexpr int64_t kHbmBytes = 96 << 20;
[[maybe_unused]] const int small_device =
    setenv("GLIA_HBM_BYTES", std::to_string(kHbmBytes).c_str(), 1);

at::Tensor ToXla(const at::Tensor& t) { return t.to(xla_device()); }

void ExpectClose(const at::Tensor& got, const at::Tensor& want) {
  ASSERT_EQ(got.sizes(), want.sizes());
  ASSERT_EQ(got.scalar_type(), want.scalar_type());
  EXPECT_LE((got.to(at::kDouble) - want.to(at::kDouble)).abs().max().item<double>(), 1e-5);
}

template <typename F>
std::string ErrorOf(F f) {
  try {
    f();
  } catch (const std::exception& error) {
    return error.what();
  }
  return "no error";
}

TEST(Lazy, AModelOnTheDevice) {
  torch::manual_seed(0);
  torch::nn::Sequential model(torch::nn::Linear(20, 12), torch::nn::ReLU(),
                              torch::nn::Linear(12, 5), torch::nn::Softmax(1));
  const at::Tensor x = at::rand({3, 20});
  const at::Tensor want = model->forward(x).detach();
  model->to(xla_device());
  const at::Tensor y = model->forward(ToXla(x));
  mark_step();
  ExpectClose(y.cpu().detach(), want);
}

TEST(Lazy, ASteadyCallBuildsNoHloAndTouchesNoDisk) {
  torch::nn::Sequential model(torch::nn::Linear(6, 4), torch::nn::ReLU());
  model->to(xla_device());
  const at::Tensor x = at::rand({2, 6});
  auto call = [&] {
    const at::Tensor y = model->forward(ToXla(x));
    mark_step();
    return y.cpu();
  };
  call();
  call();
  const char* const kNever[] = {"lazy.hlo_built", "lazy.compilations", "lazy.cache_hits",
                                "lazy.disk_accesses"};
  std::map<std::string, int64_t> before;
  for (const char* name : kNever) before[name] = metric(name);
  const int64_t executions = metric("lazy.executions");
  const int64_t hits = metric("lazy.memory_hits");
  for (int i = 0; i < 5; ++i) call();
  for (const char* name : kNever) EXPECT_EQ(metric(name), before[name]) << name;
  EXPECT_EQ(metric("lazy.executions"), executions + 5);
  EXPECT_EQ(metric("lazy.memory_hits"), hits + 5);
}

TEST(Lazy, ANewShapeIsANewGraph) {
  auto call = [](int64_t n) {
    const at::Tensor x = at::rand({n});
    const at::Tensor y = ToXla(x).mul(3).add(1).tanh();
    mark_step();
    ExpectClose(y.cpu(), x.mul(3).add(1).tanh());
  };
  const int64_t before = metric("lazy.hlo_built");
  call(5);
  call(6);
  call(5);
  EXPECT_EQ(metric("lazy.hlo_built"), before + 2);
}

TEST(Lazy, InPlaceViewsAndAliasesAcrossSteps) {
  const at::Tensor x = at::rand({4, 6});
  auto program = [&](bool step, const at::Device& device) {
    at::Tensor t = x.to(device, x.scalar_type(), false, /*copy=*/true);
    at::Tensor row = t[1];
    row.add_(2);
    if (step) mark_step();
    t.slice(1, 0, 6, 2).mul_(3);
    if (step) mark_step();
    at::Tensor transposed = t.t();
    transposed[0].fill_(7);
    row.sub_(t.select(0, 2));
    if (step) mark_step();
    return std::vector<at::Tensor>{t.cpu(), row.cpu(), transposed.cpu()};
  };
  const auto want = program(false, at::kCPU);
  for (bool step : {false, true}) {
    const auto got = program(step, xla_device());
    for (size_t i = 0; i < want.size(); ++i) ExpectClose(got[i], want[i]);
  }
}

TEST(Lazy, SixtyFourBitIntegersAreExact) {
  const at::Tensor a = at::tensor({int64_t{1} << 53, int64_t{-7}, int64_t{123456789012345}});
  const at::Tensor b = at::tensor({int64_t{1}, int64_t{2}, int64_t{1000003}});
  const at::Tensor got = (ToXla(a) + ToXla(b)).cpu();
  EXPECT_TRUE(got.equal(a + b));
  EXPECT_TRUE((ToXla(a) * ToXla(b)).cpu().equal(a * b));
  EXPECT_TRUE(ToXla(a).floor_divide(ToXla(b)).cpu().equal(a.floor_divide(b)));
}

TEST(Lazy, DoubleIsComputedInFloatWithOneWarning) {
  const at::Tensor x = at::rand({5}, at::kDouble);
  ::testing::internal::CaptureStderr();
  const at::Tensor y = ToXla(x).exp().cpu();
  EXPECT_THAT(::testing::internal::GetCapturedStderr(), HasSubstr("float64 in float32"));
  ::testing::internal::CaptureStderr();
  ToXla(x).sin().cpu();
  EXPECT_EQ(::testing::internal::GetCapturedStderr(), "");
  EXPECT_EQ(y.scalar_type(), at::kDouble);
  EXPECT_LE((y - x.exp()).abs().max().item<double>(), 1e-5);
}

TEST(Lazy, AnOperatorWithoutALoweringRunsOnTheCpu) {
  const at::Tensor x = at::rand({8});
  const at::Tensor y = at::fft_fft(ToXla(x)).abs().cpu();
  ExpectClose(y, at::fft_fft(x).abs());
  EXPECT_THAT(metrics_report(), HasSubstr("fft"));
}

TEST(Lazy, ValuesThatTheHostNeedsSync) {
  at::Tensor x = ToXla(at::arange(6, at::kFloat));
  x.add_(1);
  EXPECT_EQ(x.sum().item<float>(), 21);
  EXPECT_TRUE(
      x.gt(3).nonzero().cpu().flatten().equal(at::tensor({int64_t{3}, int64_t{4}, int64_t{5}})));
  std::ostringstream text;
  text << x;
  EXPECT_THAT(text.str(), HasSubstr("6"));
}

// The error comes with the values, as a device's does, and names the operator.
TEST(Lazy, AnIndexOutOfRangeIsAnErrorAndTheDeviceStaysUsable) {
  const at::Tensor table = ToXla(at::rand({10, 4}));
  const auto ids = [](std::vector<int64_t> values) { return ToXla(at::tensor(values)); };
  const std::vector<std::pair<std::string, std::function<at::Tensor()>>> wrong = {
      {"aten::embedding",
       [&] {
         return at::embedding(table, ids({3, 10}));
       }},
      {"aten::index_select", [&] { return table.index_select(1, ids({-1})); }},
      {"aten::gather",
       [&] {
         return table.gather(0, ids({3, 99}).unsqueeze(1));
       }},
      {"aten::index", [&] { return table.index({ids({-11})}); }},
      {"aten::take", [&] { return table.take(ids({40})); }},
  };
  for (const auto& [name, call] : wrong) {
    const std::string error = ErrorOf([&, &call = call] {
      const at::Tensor rows = call();
      mark_step();
      rows.cpu();
    });
    EXPECT_THAT(error, HasSubstr(name));
    EXPECT_THAT(error, HasSubstr("is not in"));
    const at::Tensor fine = table.index({ids({-10, 9})});
    ExpectClose(fine.cpu(), table.cpu().index_select(0, at::tensor({int64_t{0}, int64_t{9}})));
  }
}

TEST(Lazy, ThreadsRecordAtOnce) {
  std::vector<std::thread> threads;
  for (int t = 0; t < 4; ++t) {
    threads.emplace_back([t] {
      for (int i = 0; i < 10; ++i) {
        const at::Tensor x = at::rand({t + 2, 3});
        const at::Tensor y = ToXla(x).mul(t).sigmoid();
        if (i % 2 == 0) mark_step();
        ExpectClose(y.cpu(), x.mul(t).sigmoid());
      }
    });
  }
  for (std::thread& thread : threads) thread.join();
}

TEST(Lazy, MoreThanTheDeviceHoldsIsRefusedAndNothingIsLost) {
  const at::Tensor kept = ToXla(at::ones({4}));
  const int64_t n = kHbmBytes / 4 * 2 / 3;  // two of them do not fit
  const std::string error = ErrorOf([&] {
    const at::Tensor a = ToXla(at::ones({n}));
    const at::Tensor b = a + 1;
    mark_step();
    b.slice(0, 0, 4).cpu();
  });
  EXPECT_THAT(error, HasSubstr("memory"));
  EXPECT_THAT(error, HasSubstr(std::to_string(kHbmBytes)));
  ExpectClose((kept + 1).cpu(), at::full({4}, 2.0));
}

TEST(Lazy, ReportsItsGraphs) {
  const at::Tensor y = ToXla(at::rand({17, 3})).exp().sum(0);
  mark_step();
  wait_device_ops();
  const GraphReport graph = lazy_graphs().back();
  EXPECT_EQ(graph.hash.size(), 32u);
  EXPECT_EQ(graph.executions, 1);
  EXPECT_GT(graph.simulated_ps, 0u);
  EXPECT_GT(graph.neff_bytes, 1024u);
  EXPECT_GE(graph.device_bytes, (17u * 3 + 3) * 4);
}

}  // namespace
}  // namespace glia
