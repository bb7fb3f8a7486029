// Random operators on the device: their distributions, and what a seed decides.
#include <ATen/CPUGeneratorImpl.h>
#include <ATen/Functions.h>
#include <ATen/TensorOperators.h>
#include <ATen/core/grad_mode.h>
#include <gtest/gtest.h>
#include <torch/csrc/jit/serialization/import.h>

#include <cmath>
#include <functional>
#include <sstream>

#include "frontend/lazy.h"
#include "frontend/trace.h"

namespace glia {
namespace {

constexpr int64_t kCount = 20000;

at::TensorOptions OnDevice(at::ScalarType dtype = at::kFloat) {
  return at::TensorOptions().dtype(dtype).device(xla_device());
}

at::Tensor Fetch(const at::Tensor& t) {
  mark_step();
  return t.cpu();
}

// The greatest distance between the distribution of the samples and `cdf`. Below 2 / sqrt(n) but
// for one in 1,500.
double Distance(const at::Tensor& samples, const std::function<double(double)>& cdf) {
  const at::Tensor sorted = std::get<0>(samples.flatten().to(at::kDouble).sort());
  const double* x = sorted.data_ptr<double>();
  const double n = static_cast<double>(sorted.numel());
  double distance = 0;
  for (int64_t i = 0; i < sorted.numel(); ++i) {
    const double p = cdf(x[i]);
    distance =
        std::max({distance, p - static_cast<double>(i) / n, static_cast<double>(i + 1) / n - p});
  }
  return distance;
}
const double kLimit = 2 / std::sqrt(static_cast<double>(kCount));

double NormalCdf(double x) { return 0.5 * std::erfc(-x / std::sqrt(2.0)); }

class Random : public ::testing::Test {
 protected:
  void SetUp() override { at::manual_seed(1234); }
  void TearDown() override { EXPECT_EQ(metric("capture.fallbacks"), fallbacks_); }

 private:
  const int64_t fallbacks_ = metric("capture.fallbacks");
  const at::NoGradGuard no_grad_;
};

TEST_F(Random, ContinuousDistributions) {
  const at::Tensor x = at::empty({kCount}, OnDevice());
  const auto distance = [&](at::Tensor drawn, const std::function<double(double)>& cdf) {
    return Distance(Fetch(drawn), cdf);
  };
  EXPECT_LT(distance(at::rand({kCount}, OnDevice()), [](double v) { return v; }), kLimit);
  EXPECT_LT(distance(x.clone().uniform_(-3, 5), [](double v) { return (v + 3) / 8; }), kLimit);
  EXPECT_LT(distance(at::randn({kCount}, OnDevice()), NormalCdf), kLimit);
  EXPECT_LT(distance(x.clone().normal_(4, 0.5), [](double v) { return NormalCdf((v - 4) / 0.5); }),
            kLimit);
  EXPECT_LT(distance(x.clone().exponential_(2), [](double v) { return 1 - std::exp(-2 * v); }),
            kLimit);
  EXPECT_LT(distance(x.clone().cauchy_(1, 2),
                     [](double v) { return 0.5 + std::atan((v - 1) / 2) / 3.14159265358979; }),
            kLimit);
  EXPECT_LT(distance(x.clone().log_normal_(0.3, 0.7),
                     [](double v) { return NormalCdf((std::log(v) - 0.3) / 0.7); }),
            kLimit);
  const at::Tensor mean = at::full({kCount}, 3.0, OnDevice());
  EXPECT_LT(distance(at::normal(mean, mean), [](double v) { return NormalCdf((v - 3) / 3); }),
            kLimit);
}

TEST_F(Random, HalfPrecision) {
  const at::Tensor x = Fetch(at::rand({kCount}, OnDevice(at::kBFloat16)));
  EXPECT_LT(x.max().item<double>(), 1);
  EXPECT_NEAR(x.to(at::kDouble).mean().item<double>(), 0.5 - 1.0 / 512, 0.01);
}

// How often each integer from `low` to `high` was drawn, as shares.
std::vector<double> Shares(const at::Tensor& drawn, int64_t low, int64_t high) {
  std::vector<double> shares;
  const at::Tensor flat = drawn.flatten().to(at::kLong);
  EXPECT_GE(flat.min().item<int64_t>(), low);
  EXPECT_LE(flat.max().item<int64_t>(), high);
  for (int64_t i = low; i <= high; ++i) {
    shares.push_back(flat.eq(i).to(at::kDouble).mean().item<double>());
  }
  return shares;
}

TEST_F(Random, Integers) {
  for (double share : Shares(Fetch(at::randint(-2, 5, {kCount}, OnDevice(at::kLong))), -2, 4)) {
    EXPECT_NEAR(share, 1.0 / 7, 0.015);
  }
  for (double share : Shares(Fetch(at::randint(10, {kCount}, OnDevice())), 0, 9)) {
    EXPECT_NEAR(share, 0.1, 0.015);
  }
  for (double share : Shares(Fetch(at::empty({kCount}, OnDevice(at::kBool)).random_()), 0, 1)) {
    EXPECT_NEAR(share, 0.5, 0.02);
  }
  // Beyond 32 bits: every bit is drawn.
  const int64_t limit = int64_t{1} << 40;
  const at::Tensor wide = Fetch(at::empty({kCount}, OnDevice(at::kLong)).random_(0, limit));
  EXPECT_LT(Distance(wide, [&](double v) { return v / static_cast<double>(limit); }), kLimit);
  EXPECT_NEAR(wide.remainder(2).to(at::kDouble).mean().item<double>(), 0.5, 0.02);
  const at::Tensor all = Fetch(at::empty({kCount}, OnDevice(at::kLong)).random_());
  EXPECT_GE(all.min().item<int64_t>(), 0);
  EXPECT_GT(all.max().item<int64_t>(), int64_t{1} << 62);
}

TEST_F(Random, Trials) {
  const at::Tensor p = at::tensor({0.0f, 0.2f, 0.7f, 1.0f}).to(xla_device());
  const at::Tensor drawn = Fetch(at::bernoulli(p.expand({kCount, 4}))).mean(0);
  for (int64_t i = 0; i < 4; ++i) {
    EXPECT_NEAR(drawn[i].item<double>(), p.cpu()[i].item<double>(), 0.015) << i;
  }
  const at::Tensor geometric = Fetch(at::empty({kCount}, OnDevice()).geometric_(0.25));
  EXPECT_EQ(geometric.min().item<double>(), 1);
  EXPECT_NEAR(geometric.mean().item<double>(), 4, 0.15);
  EXPECT_NEAR(geometric.eq(2).to(at::kDouble).mean().item<double>(), 0.25 * 0.75, 0.015);
}

TEST_F(Random, Dropout) {
  const at::Tensor y = Fetch(at::dropout(at::ones({kCount}, OnDevice()), 0.25, true));
  EXPECT_NEAR(y.eq(0).to(at::kDouble).mean().item<double>(), 0.25, 0.015);
  EXPECT_NEAR(y.max().item<double>(), 1 / 0.75, 1e-6);
  const auto [z, mask] = at::native_dropout(at::ones({kCount}, OnDevice()), 0.25, true);
  mark_step();
  EXPECT_TRUE(at::equal(z.cpu().ne(0), mask.cpu()));
  EXPECT_NEAR(mask.cpu().to(at::kDouble).mean().item<double>(), 0.75, 0.015);
}

TEST_F(Random, ChoosesWithAndWithoutReplacement) {
  const at::Tensor weights = at::tensor({1.0f, 0.0f, 2.0f, 5.0f}).to(xla_device());
  const at::Tensor with = Fetch(at::multinomial(weights, kCount, true));
  const std::vector<double> shares = Shares(with, 0, 3);
  for (size_t i = 0; i < 4; ++i) {
    EXPECT_NEAR(shares[i], weights.cpu()[static_cast<int64_t>(i)].item<double>() / 8, 0.015) << i;
  }
  const at::Tensor without = Fetch(at::multinomial(weights.expand({kCount, 4}), 2, false));
  EXPECT_FALSE(without.select(1, 0).eq(without.select(1, 1)).any().item<bool>());
  EXPECT_FALSE(without.eq(1).any().item<bool>());
  EXPECT_NEAR(without.select(1, 0).eq(3).to(at::kDouble).mean().item<double>(), 5.0 / 8, 0.015);
  // After the 3, one of 1 and 2.
  const at::Tensor second = without.index({without.select(1, 0).eq(3)}).select(1, 1);
  EXPECT_NEAR(second.eq(2).to(at::kDouble).mean().item<double>(), 2.0 / 3, 0.02);
  const at::Tensor one = Fetch(at::multinomial(weights.expand({kCount, 4}), 1));
  EXPECT_NEAR(one.eq(2).to(at::kDouble).mean().item<double>(), 2.0 / 8, 0.015);
}

TEST_F(Random, Permutations) {
  const at::Tensor order = Fetch(at::randperm(1000, OnDevice(at::kLong)));
  EXPECT_TRUE(at::equal(std::get<0>(order.sort()), at::arange(1000)));
  EXPECT_FALSE(at::equal(order, at::arange(1000)));
  // The first element is any.
  double sum = 0;
  for (int i = 0; i < 50; ++i) {
    sum += static_cast<double>(Fetch(at::randperm(100, OnDevice(at::kInt)))[0].item<int64_t>());
  }
  EXPECT_NEAR(sum / 50, 49.5, 16);
}

TEST_F(Random, TheSeedDecidesInLazyMode) {
  const auto draw = [] {
    const at::Tensor a = at::rand({100}, OnDevice()), b = at::rand({100}, OnDevice());
    mark_step();
    return at::stack({a.cpu(), b.cpu()});
  };
  at::manual_seed(7);
  const at::Tensor first = draw();
  const int64_t compilations = metric("lazy.hlo_built");
  const at::Tensor next = draw();
  at::manual_seed(7);
  EXPECT_TRUE(at::equal(draw(), first));
  EXPECT_TRUE(at::equal(draw(), next));
  EXPECT_FALSE(at::equal(first, next));
  EXPECT_FALSE(at::equal(first[0], first[1]));
  // A seed is data: the same graph runs.
  EXPECT_EQ(metric("lazy.hlo_built"), compilations);
  // In the middle of a step too.
  at::manual_seed(9);
  const at::Tensor a = at::rand({100}, OnDevice());
  at::manual_seed(9);
  const at::Tensor b = at::rand({100}, OnDevice());
  EXPECT_TRUE(at::equal(Fetch(a), Fetch(b)));
  // A generator of the program's own.
  const at::Generator generator = at::detail::createCPUGenerator(5);
  const at::Generator same = at::detail::createCPUGenerator(5);
  EXPECT_TRUE(at::equal(Fetch(at::rand({100}, generator, OnDevice())),
                        Fetch(at::rand({100}, same, OnDevice()))));
}

TEST_F(Random, ATracedModuleDrawsAnewAtEachCall) {
  const TraceFunction noisy = [](const std::vector<c10::IValue>& inputs) -> c10::IValue {
    const at::Tensor x = inputs[0].toTensor();
    return at::stack({at::rand_like(x), at::rand_like(x), at::dropout(x, 0.5, true)});
  };
  const at::Tensor x = at::ones({1000});
  std::stringstream file;
  trace_function(noisy, {x}).save(file);
  torch::jit::Module traced = torch::jit::load(file);
  const auto run = [&] { return traced.forward({x}).toTensor(); };
  at::manual_seed(7);
  const at::Tensor first = run(), next = run();
  at::manual_seed(7);
  EXPECT_TRUE(at::equal(run(), first));
  EXPECT_TRUE(at::equal(run(), next));
  EXPECT_FALSE(at::equal(first, next));
  EXPECT_FALSE(at::equal(first[0], first[1]));
  EXPECT_NEAR(first[0].mean().item<double>(), 0.5, 0.05);
  EXPECT_NEAR(first[2].eq(2).to(at::kDouble).mean().item<double>(), 0.5, 0.06);
  EXPECT_THROW(dynamic_batch(traced), c10::Error);
}

TEST_F(Random, PartsOfAPartitionedModuleDrawToo) {
  const TraceFunction noisy = [](const std::vector<c10::IValue>& inputs) -> c10::IValue {
    const at::Tensor y = inputs[0].toTensor() + at::rand_like(inputs[0].toTensor());
    return at::rand_like(y) + at::poisson(y * 0);
  };
  TraceOptions options;
  options.partitioner_config = PartitionerConfig();
  const at::Tensor x = at::ones({1000});
  torch::jit::Module traced = trace_function(noisy, {x}, options);
  at::manual_seed(7);
  const at::Tensor first = traced.forward({x}).toTensor();
  const at::Tensor next = traced.forward({x}).toTensor();
  EXPECT_FALSE(at::equal(first, next));
  EXPECT_NEAR(first.mean().item<double>(), 0.5, 0.05);
  at::manual_seed(7);
  EXPECT_TRUE(at::equal(traced.forward({x}).toTensor(), first));
}

TEST_F(Random, BucketsDrawToo) {
  const TraceFunction noisy = [](const std::vector<c10::IValue>& inputs) -> c10::IValue {
    return at::rand_like(inputs[0].toTensor());
  };
  torch::jit::Module traced =
      bucket_trace_function(noisy, {{at::ones({4})}, {at::ones({8})}}, pad_to_smallest_bucket());
  at::manual_seed(7);
  const at::Tensor first = traced.forward({at::ones({8})}).toTensor();
  EXPECT_FALSE(at::equal(traced.forward({at::ones({8})}).toTensor(), first));
  at::manual_seed(7);
  EXPECT_TRUE(at::equal(traced.forward({at::ones({8})}).toTensor(), first));
}

}  // namespace
}  // namespace glia
