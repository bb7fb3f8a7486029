// The lazy mode with operators that lower and do not compile.
#include <ATen/Functions.h>
#include <ATen/TensorOperators.h>
#include <ATen/core/grad_mode.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "frontend/lazy.h"
#include "frontend/torch_compat.h"

namespace glia {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;

// What one output reads does not fit into a tile.
at::Tensor Wide(const at::Tensor& x, const at::Tensor& w) {
  const at::Tensor y = at::relu(x) + 1;
  return at::conv1d(y, w, {}, 100).mul(2) + y.sum();
}

TEST(RefusedByTheCompiler, RunOnTheCpu) {
  at::manual_seed(0);
  const at::NoGradGuard no_grad;
  const at::Tensor x = at::rand({1, 1, 80000}), w = at::rand({1, 1, 70000}).sub_(0.5);
  const at::Tensor want = Wide(x, w);
  CollectWarnings warnings;
  for (int step = 1; step <= 3; ++step) {
    const at::Tensor y = Wide(x.to(xla_device()), w.to(xla_device()));
    mark_step();
    EXPECT_TRUE(at::allclose(y.cpu(), want, 1e-3, 1e-3)) << step;
    EXPECT_EQ(metric("capture.fallbacks"), step);
  }
  EXPECT_EQ(metric("capture.host.aten::convolution_overrideable"), 3);
  ASSERT_FALSE(warnings.texts.empty());
  EXPECT_THAT(warnings.texts[0], HasSubstr("the compiler refuses aten::convolution"));
}

}  // namespace
}  // namespace glia
