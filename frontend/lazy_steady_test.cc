// What the lazy mode does over many steps: weights laid out once, memory that does not grow, caches
// updated in place, errors survived.
#include <ATen/Functions.h>
#include <ATen/TensorOperators.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <torch/nn/modules/activation.h>
#include <torch/nn/modules/container/sequential.h>
#include <torch/nn/modules/linear.h>
#include <torch/utils.h>
#include <unistd.h>

#include <cstdlib>
#include <fstream>
#include <functional>

#include "frontend/capture/backend.h"
#include "frontend/capture/capture.h"
#include "frontend/lazy.h"
#include "nrt/nrt.h"
#include "nrt/nrt_experimental.h"

namespace glia {
namespace {

constexpr int64_t kHbmBytes = 96 << 20;
[[maybe_unused]] const int small_device =
    setenv("GLIA_HBM_BYTES", std::to_string(kHbmBytes).c_str(), 1);

at::Tensor ToXla(const at::Tensor& t) { return t.to(xla_device()); }

void ExpectClose(const at::Tensor& got, const at::Tensor& want) {
  ASSERT_EQ(got.sizes(), want.sizes());
  EXPECT_LE((got.to(at::kDouble) - want.to(at::kDouble)).abs().max().item<double>(), 1e-5);
}

int64_t Built() { return metric("lazy.hlo_built") + metric("lazy.cache_hits"); }

int64_t ResidentBytes() {
  std::ifstream file("/proc/self/statm");
  int64_t size = 0, resident = 0;
  file >> size >> resident;
  return resident * sysconf(_SC_PAGESIZE);
}

size_t DeviceBytesUsed() {
  wait_device_ops();
  nrt_vnc_memory_stats_t stats = {};
  EXPECT_EQ(nrt_get_vnc_memory_stats(0, &stats, sizeof(stats), nullptr), NRT_SUCCESS);
  return stats.bytes_used;
}

torch::nn::Sequential Model() {
  torch::manual_seed(0);
  return torch::nn::Sequential(torch::nn::Linear(40, 24), torch::nn::ReLU(),
                               torch::nn::Linear(24, 10));
}

int64_t Bound() { return metric("lazy.weights_bound"); }

// A model on the device and its twin on the CPU.
struct Twins {
  torch::nn::Sequential cpu = Model(), device = Model();
  Twins() { device->to(xla_device()); }
  void Call() {
    const at::Tensor x = at::rand({3, 40});
    const at::Tensor y = device->forward(ToXla(x));
    mark_step();
    ExpectClose(y.cpu(), cpu->forward(x));
  }
  void Change(size_t parameter, double factor) {
    device->parameters()[parameter].mul_(factor);
    cpu->parameters()[parameter].mul_(factor);
    mark_step();
  }
};

TEST(LazySteady, WeightsAreConstantsUntilTheyChange) {
  at::NoGradGuard no_grad;
  Twins model;
  const int64_t before = Bound();
  for (int i = 0; i < 3; ++i) model.Call();
  EXPECT_EQ(Bound(), before + 1);
  const int64_t built = Built();
  for (int i = 0; i < 20; ++i) model.Call();
  EXPECT_EQ(Bound(), before + 1);
  EXPECT_EQ(Built(), built);
  // In place, and by new data.
  model.Change(0, 2);
  const int64_t after_update = Built();
  model.Call();
  EXPECT_EQ(Built(), after_update) << "the program of before the weights were known";
  model.Call();
  model.Call();
  EXPECT_EQ(Bound(), before + 2);
  model.device->parameters()[2].copy_(at::ones({10, 24}));
  model.cpu->parameters()[2].fill_(1);
  for (int i = 0; i < 3; ++i) model.Call();
}

TEST(LazySteady, WeightsThatChangeAtEveryCallAreInputs) {
  at::NoGradGuard no_grad;
  Twins model;
  int64_t bound = 0, built = 0;
  for (int i = 0; i < 8; ++i) {
    for (size_t p = 0; p < 4; ++p) model.Change(p, 1.125);
    model.Call();
    if (i == 1) bound = Bound(), built = Built();
  }
  EXPECT_EQ(Bound(), bound);
  EXPECT_EQ(Built(), built);
}

TEST(LazySteady, TheSimulatedTimeOfASteadyCallIsThatOfConstants) {
  at::NoGradGuard no_grad;
  Twins model;
  const at::Tensor x = ToXla(at::rand({7, 40}));
  auto simulated = [&] {
    const at::Tensor y = model.device->forward(x);
    mark_step();
    wait_device_ops();
    return lazy_graphs().back().simulated_ps;
  };
  const uint64_t first = simulated();
  const uint64_t steady = simulated();
  EXPECT_LT(steady, first);
  EXPECT_EQ(simulated(), steady);
}

// Both programs do not fit with another tensor: the one with constants is given up.
TEST(LazySteady, ConstantsMakeRoom) {
  at::NoGradGuard no_grad;
  auto linear = torch::nn::Linear(torch::nn::LinearOptions(1024, 8192).bias(false));  // 32 MiB
  linear->to(xla_device());
  const at::Tensor x = at::rand({1, 1024});
  auto call = [&] {
    const at::Tensor y = linear->forward(ToXla(x));
    mark_step();
    return y.cpu();
  };
  const at::Tensor y = call();
  const int64_t bound = Bound();
  ExpectClose(call() * 1e-2, y * 1e-2);
  EXPECT_EQ(Bound(), bound + 1);
  const size_t used = DeviceBytesUsed();
  EXPECT_GE(used, size_t{64} << 20);
  const at::Tensor large = ToXla(at::ones({40 << 18}));  // 40 MiB
  EXPECT_LT(DeviceBytesUsed(), used + (10 << 20));
  ExpectClose(call() * 1e-2, y * 1e-2);
}

TEST(LazySteady, AThousandCallsTakeNoMemory) {
  at::NoGradGuard no_grad;
  torch::nn::Sequential model = Model();
  model->to(xla_device());
  const at::Tensor x = at::rand({3, 40});
  auto call = [&] {
    const at::Tensor y = model->forward(ToXla(x));
    mark_step();
    return y.cpu();
  };
  for (int i = 0; i < 200; ++i) call();
  const size_t device = DeviceBytesUsed();
  const int64_t resident = ResidentBytes(), built = Built(), disk = metric("lazy.disk_accesses");
  for (int i = 0; i < 1000; ++i) call();
  EXPECT_EQ(DeviceBytesUsed(), device);
  EXPECT_EQ(Built(), built);
  EXPECT_EQ(metric("lazy.disk_accesses"), disk);
  // Half a kilobyte a call would show.
  EXPECT_LT(ResidentBytes() - resident, 512 << 10);
}

// mark_step returns while the device works, and the next step can be recorded and sent meanwhile.
TEST(LazySteady, TheDeviceWorksWhileTheProgramGoesOn) {
  at::NoGradGuard no_grad;
  const int64_t n = 1024;
  const at::Tensor w = ToXla(at::full({n, n}, 1.0 / n));
  auto step = [&] {
    at::Tensor y = ToXla(at::ones({n, n}));
    for (int i = 0; i < 8; ++i) y = y.mm(w);  // 17 GFLOP
    mark_step();
    return y;
  };
  for (int i = 0; i < 3; ++i) {
    const at::Tensor z = step().add(1);
    mark_step();
    z.cpu();
  }
  const at::Tensor y = step();
  EXPECT_FALSE(capture::GetDeviceData(y)->Ready());
  const at::Tensor z = y.add(1);
  mark_step();
  EXPECT_FALSE(capture::GetDeviceData(z)->Ready());
  EXPECT_FALSE(capture::GetDeviceData(y)->Ready());
  ExpectClose(z.cpu(), at::full({n, n}, 2.0));
  EXPECT_TRUE(capture::GetDeviceData(y)->Ready());
}

// A cache of keys or values that grows by a row at each step.
void UpdateCache(
    const std::function<void(at::Tensor cache, at::Tensor at, at::Tensor row)>& update) {
  const at::Tensor start = at::zeros({2, 16, 4});
  at::Tensor cpu = start.clone(), cache = ToXla(start);
  mark_step();
  int64_t built = 0, read = 0;
  for (int64_t i = 0; i < 8; ++i) {
    const at::Tensor row = at::rand({2, 1, 4}), at = at::tensor({i});
    update(cpu, at, row);
    update(cache, ToXla(at), ToXla(row));
    const at::Tensor sum = cache.sum(1);
    mark_step();
    if (i == 1) built = Built(), read = metric("lazy.bytes_to_host");
  }
  EXPECT_EQ(Built(), built);
  EXPECT_EQ(metric("lazy.bytes_to_host"), read) << "the cache stays on the device";
  ExpectClose(cache.cpu(), cpu);
}

TEST(LazySteady, IndexCopyAtAPositionOfTheDevice) {
  UpdateCache(
      [](at::Tensor cache, at::Tensor at, at::Tensor row) { cache.index_copy_(1, at, row); });
}
TEST(LazySteady, IndexPutAtAPositionOfTheDevice) {
  UpdateCache([](at::Tensor cache, at::Tensor at, at::Tensor row) {
    c10::List<c10::optional<at::Tensor>> indices;
    indices.push_back(c10::optional<at::Tensor>());
    indices.push_back(at);
    cache.index_put_(indices, row);
  });
}

TEST(LazySteady, SlicesOfACacheWrittenAcrossSteps) {
  at::Tensor cpu = at::zeros({2, 16, 4}), cache = ToXla(cpu.clone());
  const int64_t read = metric("lazy.bytes_to_host");
  for (int64_t i = 0; i < 4; ++i) {
    const at::Tensor row = at::rand({2, 1, 4});
    cpu.slice(1, i, i + 1).copy_(row);
    cache.slice(1, i, i + 1).copy_(ToXla(row));
    mark_step();
  }
  EXPECT_EQ(metric("lazy.bytes_to_host"), read);
  ExpectClose(cache.cpu(), cpu);
}

// Once with the first numbers, once with inputs in their place; when that graph runs again, once
// with x as a constant.
TEST(LazySteady, NumbersThatChangeBecomeInputs) {
  const at::Tensor x = ToXla(at::ones({5}));
  mark_step();
  int64_t built = 0;
  for (int i = 0; i < 10; ++i) {
    const double a = 1.0 / (i + 3);
    const at::Tensor y = (x * a).add(x, a + 1) * 0.5;
    mark_step();
    ExpectClose(y.cpu(), at::full({5}, (2 * a + 1) * 0.5));
    if (i == 2) built = Built();
  }
  EXPECT_EQ(Built(), built);
}

TEST(LazySteady, AChainOfTenThousandOperators) {
  const at::Tensor x = ToXla(at::rand({8}));
  at::Tensor y = x;
  for (int i = 0; i < 5000; ++i) y = y.mul(0.5).add(1);
  mark_step();
  EXPECT_NEAR(y.cpu().max().item<float>(), 2, 1e-5);
}

TEST(LazySteady, AStepThatDoesNotFitLeavesTheDeviceUsable) {
  const at::Tensor kept = ToXla(at::ones({4}));
  const int64_t n = kHbmBytes / 4 * 2 / 3;  // two of them do not fit
  at::Tensor small;
  std::string error;
  try {
    const at::Tensor large = ToXla(at::ones({n}));
    const at::Tensor sum = large + 1;
    small = kept + 1;
    mark_step();
    sum.slice(0, 0, 4).cpu();
  } catch (const c10::Error& e) {
    error = e.what_without_backtrace();
  }
  EXPECT_THAT(error, ::testing::HasSubstr("memory"));
  ExpectClose(small.cpu(), at::full({4}, 2.0));
  mark_step();
  ExpectClose((kept + 2).cpu(), at::full({4}, 3.0));
}

}  // namespace
}  // namespace glia
