// Operators on the xla device against eager PyTorch, through the eager backend: recording, shape
// inference, in-place and out= forms, promotion, host operators.
#include <ATen/ATen.h>
#include <gtest/gtest.h>

#include "frontend/capture/metrics.h"
#include "frontend/capture/testing/compare.h"
#include "frontend/capture/testing/eager_backend.h"

namespace glia::capture::testing {
namespace {

class Ops : public ::testing::Test {
 protected:
  void SetUp() override {
    at::manual_seed(7);
    backend_ = InstallEagerBackend();
    ResetCounters();
  }
  void TearDown() override {
    if (!allow_fallbacks_) {
      EXPECT_EQ(CounterValue("capture.fallbacks"), 0) << Report();
    }
  }
  std::shared_ptr<EagerBackend> backend_;
  bool allow_fallbacks_ = false;
};

at::Tensor F(at::IntArrayRef sizes) { return at::randn(sizes); }
at::Tensor Long(at::IntArrayRef sizes, int64_t bound) {
  return at::randint(bound, sizes, at::kLong);
}

TEST_F(Ops, ElementWise) {
  Compare("add", {F({3, 4}), F({3, 4})}, [](const Tensors& t) { return Tensors{t[0] + t[1]}; });
  Compare("broadcast", {F({3, 1, 4}), F({5, 1})},
          [](const Tensors& t) { return Tensors{t[0] * t[1]}; });
  Compare("alpha", {F({3}), F({3})},
          [](const Tensors& t) { return Tensors{at::add(t[0], t[1], 2.5)}; });
  Compare("number", {F({3})}, [](const Tensors& t) {
    return Tensors{t[0] * 2 + 0.5, 1 - t[0], t[0] / 3};
  });
  Compare("chain", {F({7, 5})}, [](const Tensors& t) {
    return Tensors{at::gelu(at::tanh(t[0]).sigmoid()).relu(), t[0].exp().log1p().rsqrt()};
  });
  Compare("where", {F({4, 4}), F({4, 4})}, [](const Tensors& t) {
    return Tensors{at::where(t[0] > t[1], t[0], t[1]), t[0].clamp(-0.5, 0.5), t[0] >= 0.25};
  });
  Compare("empty", {F({0, 4}), F({4, 0})}, [](const Tensors& t) {
    return Tensors{t[0] + 1, at::mm(t[0], t[1]), at::mm(t[1], t[0]), t[0].sum()};
  });
  Compare("strides", {F({3, 4}), F({4, 3})}, [](const Tensors& t) {
    return Tensors{t[0].t() + 1, t[0].t() + t[1], t[0].t().relu(), t[0] + t[1].t()};
  });
  Compare("channels last", {F({2, 3, 4, 5}).contiguous(at::MemoryFormat::ChannelsLast)},
          [](const Tensors& t) {
            return Tensors{t[0].relu(), t[0] + t[0].contiguous(), t[0].clone()};
          });
}

TEST_F(Ops, Promotion) {
  const at::Tensor i = Long({4}, 9), f = F({4}), h = F({4}).to(at::kHalf), b = F({4}) > 0;
  const at::Tensor zero_dim = at::scalar_tensor(2.5, at::kDouble);
  Compare("mixed", {i, f, h, b}, [](const Tensors& t) {
    return Tensors{
        t[0] + t[1], t[1] + t[2], t[3] + t[0], t[0] / 2,   t[0] * 2,
        t[0] * 1.5,  t[2] * 3.0,  t[3] + 1,    t[0] > 1.5, at::true_divide(t[0], t[0] + 1)};
  });
  Compare("0-d against n-d", {f, zero_dim, i}, [](const Tensors& t) {
    return Tensors{t[0] * t[1], t[2] * t[1], t[1] * 2, t[1] + t[0][0]};
  });
  // A CPU scalar tensor is an input of the graph.
  Compare("CPU scalar", {f}, [&](const Tensors& t) { return Tensors{t[0] * zero_dim}; });
}

TEST_F(Ops, Reductions) {
  Compare("reduce", {F({3, 4, 5})}, [](const Tensors& t) {
    return Tensors{t[0].sum(),
                   t[0].sum(at::IntArrayRef({1}), true),
                   t[0].mean(at::IntArrayRef({0, 2})),
                   t[0].amax(1),
                   t[0].argmax(2),
                   t[0].var(1),
                   std::get<0>(t[0].max(1)),
                   std::get<1>(t[0].max(1)),
                   t[0].norm(),
                   at::softmax(t[0], -1),
                   at::log_softmax(t[0], 1),
                   t[0].cumsum(1),
                   (t[0] > 0).any(),
                   at::logsumexp(t[0], 1),
                   std::get<0>(at::var_mean(t[0], 1)),
                   t[0].prod(0)};
  });
  Compare("sort", {F({3, 7})}, [](const Tensors& t) {
    auto s = t[0].sort(1, true);
    auto k = t[0].topk(3, 1);
    return Tensors{std::get<0>(s), std::get<1>(s), std::get<0>(k), std::get<1>(k)};
  });
}

TEST_F(Ops, MatrixProducts) {
  Compare("mm", {F({3, 4}), F({4, 5}), F({5})}, [](const Tensors& t) {
    return Tensors{at::mm(t[0], t[1]), at::addmm(t[2], t[0], t[1]),
                   at::linear(t[0], t[1].t().contiguous(), t[2]), at::matmul(t[0], t[1])};
  });
  Compare("batched", {F({2, 3, 4}), F({2, 4, 5}), F({4})}, [](const Tensors& t) {
    return Tensors{at::bmm(t[0], t[1]), at::matmul(t[0], t[2]),
                   at::einsum("bij,bjk->bki", {t[0], t[1]}),
                   at::baddbmm(at::bmm(t[0], t[1]), t[0], t[1], 0.5, 2)};
  });
}

TEST_F(Ops, Convolutions) {
  Compare("conv2d", {F({2, 6, 9, 8}), F({4, 3, 3, 2}), F({4})}, [](const Tensors& t) {
    return Tensors{at::conv2d(t[0], t[1], t[2], {2, 1}, {1, 1}, {1, 2}, 2)};
  });
  Compare("channels last",
          {F({2, 3, 8, 8}).contiguous(at::MemoryFormat::ChannelsLast), F({4, 3, 3, 3})},
          [](const Tensors& t) { return Tensors{at::conv2d(t[0], t[1])}; });
  Compare("conv1d, transposed, 3d",
          {F({2, 3, 9}), F({4, 3, 3}), F({2, 4, 5, 5}), F({4, 2, 3, 3}), F({1, 2, 4, 4, 4}),
           F({3, 2, 2, 2, 2})},
          [](const Tensors& t) {
            return Tensors{at::conv1d(t[0], t[1]), at::conv_transpose2d(t[2], t[3], {}, 2, 1, 1),
                           at::conv3d(t[4], t[5])};
          });
  EXPECT_GT(CounterValue("capture.graphs_executed"), 0);
}

TEST_F(Ops, Normalisations) {
  Compare("layer, group", {F({2, 4, 6}), F({6}), F({6}), F({4})}, [](const Tensors& t) {
    return Tensors{at::layer_norm(t[0], {6}, t[1], t[2]), at::group_norm(t[0], 2, t[3], t[3])};
  });
  for (bool training : {false, true}) {
    Compare("batch", {F({4, 3, 5}), F({3}), F({3}), F({3}), F({3}).abs()}, [&](const Tensors& t) {
      return Tensors{at::batch_norm(t[0], t[1], t[2], t[3], t[4], training, 0.1, 1e-5, false)};
    });
  }
  Compare("without statistics", {F({4, 3, 5})}, [](const Tensors& t) {
    return Tensors{at::batch_norm(t[0], {}, {}, {}, {}, true, 0.1, 1e-5, false)};
  });
}

TEST_F(Ops, Pooling) {
  Compare("pool", {F({2, 3, 8, 8})}, [](const Tensors& t) {
    return Tensors{at::max_pool2d(t[0], 3, 2, 1), at::avg_pool2d(t[0], 2),
                   at::adaptive_avg_pool2d(t[0], {1, 1}), at::adaptive_avg_pool2d(t[0], {3, 2}),
                   at::upsample_nearest2d(t[0], {16, 16})};
  });
}

TEST_F(Ops, ShapesAndIndices) {
  Compare("cat, stack, split", {F({2, 3}), F({4, 3})}, [](const Tensors& t) {
    auto chunks = at::split(t[1], 2);
    return Tensors{at::cat({t[0], t[1]}),
                   at::stack({t[0], chunks[0], chunks[1]}),
                   at::cat({t[0], t[0].relu()}, 1),
                   at::flip(t[1], {0}),
                   at::roll(t[1], 1, 0),
                   t[0].repeat({2, 2}),
                   at::tril(t[1]),
                   at::constant_pad_nd(t[0], {1, 2}, 3),
                   at::one_hot(at::argmax(t[1], 1), 5)};
  });
  Compare("embedding, gather", {F({10, 4}), Long({2, 3}, 10), Long({5, 4}, 10)},
          [](const Tensors& t) {
            return Tensors{at::embedding(t[0], t[1]),
                           at::index_select(t[0], 0, t[1][0]),
                           at::gather(t[0], 0, t[2]),
                           t[0].index({t[1]}),
                           t[0].index({c10::nullopt, t[2][0] % 4}),
                           at::take(t[0], t[1])};
          });
  EXPECT_EQ(CounterValue("capture.host.aten::index.Tensor"), 0);
  Compare("scatter", {F({5, 4}), Long({2, 4}, 5), F({2, 4})}, [](const Tensors& t) {
    return Tensors{at::scatter(t[0], 0, t[1], t[2]), at::scatter_add(t[0], 0, t[1], t[2]),
                   at::slice_scatter(t[0], t[2], 0, 1, 3),
                   at::index_put(t[0], {t[1][0]}, t[2][0], true),
                   at::index_add(t[0], 0, t[1][0].slice(0, 0, 2), t[2])};
  });
  Compare("factories", {F({3})}, [](const Tensors& t) {
    const auto o = t[0].options();
    return Tensors{at::zeros({2, 3}, o),
                   at::ones({2}, o),
                   at::full({3}, 2.5, o),
                   at::arange(5, o),
                   at::arange(1, 2, 0.25, o),
                   at::eye(3, o),
                   at::linspace(0, 1, 5, o),
                   at::zeros_like(t[0]),
                   at::arange(6, o.dtype(at::kLong)),
                   at::full({2}, 7, o.dtype(at::kInt)),
                   at::empty({0}, o),
                   at::scalar_tensor(3.5, o)};
  });
}

TEST_F(Ops, InPlace) {
  Compare("in place", {F({3, 4}), F({3, 4}), F({4})}, [](const Tensors& t) {
    t[0].add_(t[1]).mul_(2).relu_();
    t[1].sub_(t[2]).clamp_(-1, 1).pow_(2);
    t[2].fill_(3).div_(2).neg_();
    t[0].addcmul_(t[1], t[1], 0.5);
    t[1].zero_();
    return Tensors{t[0] + t[2]};
  });
  Compare("comparison and logic", {F({4}), Long({4}, 8), F({4}) > 0}, [](const Tensors& t) {
    t[0].ge_(0);
    t[1].__iand__(3);
    t[1].bitwise_or_(4);
    t[2].logical_not_();
    return Tensors{};
  });
  Compare("masked", {F({3, 4}), F({3, 4}) > 0, F({4}) > 0}, [](const Tensors& t) {
    t[0].masked_fill_(t[1], -1e4);
    t[0].index_put_({t[1]}, at::scalar_tensor(7.));
    t[0].index_put_({c10::nullopt, t[2]}, at::scalar_tensor(9.));
    t[0].copy_(at::masked_fill(t[0], t[1], 5));
    return Tensors{};
  });
  Compare("index_put_", {F({5, 4}), Long({3}, 5), F({3, 4})}, [](const Tensors& t) {
    t[0].index_put_({t[1]}, t[2], /*accumulate=*/true);
    return Tensors{};
  });
}

TEST_F(Ops, Out) {
  Compare("out=",
          {F({3, 4}), F({3, 4}), at::empty({0}), at::zeros({4, 3}), at::empty({3, 4}, at::kDouble)},
          [](const Tensors& t) {
            at::Tensor a = t[2], b = t[3].t(), c = t[4];
            at::add_out(a, t[0], t[1]);
            at::mul_out(b, t[0], t[1]);
            at::sub_out(c, t[0], t[1]);
            return Tensors{};
          });
  Compare("several", {F({3, 4}), at::empty({0}), at::empty({0}, at::kLong)}, [](const Tensors& t) {
    at::Tensor v = t[1], i = t[2];
    at::max_out(v, i, t[0], 1);
    return Tensors{};
  });
  Compare("arange", {at::empty({0}, at::kDouble), F({0})}, [](const Tensors& t) {
    at::Tensor a = t[0];
    at::arange_out(a, 0, 1, 0.1);
    return Tensors{};
  });
}

TEST_F(Ops, Foreach) {
  Compare("foreach", {F({3}), F({4})}, [](const Tensors& t) {
    at::_foreach_add_(t, 1.5);
    auto r = at::_foreach_mul(t, 2);
    return Tensors{r[0], r[1]};
  });
}

TEST_F(Ops, ErrorsAreEagers) {
  const at::Tensor a = F({3, 4}).to(XlaDevice()), b = F({3, 5}).to(XlaDevice());
  const auto message = [](auto f) -> std::string {
    try {
      f();
    } catch (const c10::Error& e) {
      return e.what_without_backtrace();
    }
    return "no error";
  };
  EXPECT_NE(message([&] { at::mm(a, b); }).find("mat1 and mat2 shapes cannot be multiplied"),
            std::string::npos);
  EXPECT_NE(message([&] { a + b; }).find("must match"), std::string::npos);
  EXPECT_NE(message([&] { a.select(0, 0).add_(a); }).find("doesn't match the broadcast shape"),
            std::string::npos);
  // An out= argument that is read as well is not resized.
  EXPECT_NE(
      message([&] { a.slice(1, 0, 1).logical_and_(a); }).find("doesn't match the broadcast shape"),
      std::string::npos);
  EXPECT_NE(message([&] { a.to(at::kLong).add_(a); }).find("can't be cast"), std::string::npos);
  EXPECT_NE(message([&] {
              a.select(0, 0).expand({3, 4}).add_(1);
            }).find("single memory location"),
            std::string::npos);
  EXPECT_NE(message([&] { a.to_sparse(); }), "no error");
  EXPECT_NE(message([&] { F({2, 2}).to_sparse().to(XlaDevice()); }), "no error");
  EXPECT_NE(message([&] {
              at::empty({2, 2}, a.options())
                  .copy_(at::quantize_per_tensor(F({2, 2}), 0.1, 0, at::kQInt8));
            }),
            "no error");
  // The device stays usable.
  EXPECT_EQ((a + 1).sum().item<float>(), (a.cpu() + 1).sum().item<float>());
  allow_fallbacks_ = true;
}

TEST_F(Ops, ShapesThatZerosCannotTell) {
  // Eager refuses an integer division by zero and the inverse of a singular matrix; asking for the
  // shape of the result must not.
  const at::Tensor spd = at::eye(3) * 4 + 0.1;
  Compare("division, inverse", {Long({4}, 9) + 1, spd}, [](const Tensors& t) {
    return Tensors{at::floor_divide(t[0] * 7, t[0]), at::remainder(t[0] * 7, t[0]),
                   at::linalg_inv(t[1]), at::linalg_cholesky(t[1])};
  });
}

TEST_F(Ops, HostOperators) {
  Compare("syncs", {F({3, 4}), at::tensor({3, 1, 3, 0})}, [](const Tensors& t) {
    return Tensors{t[0].nonzero(),
                   t[0].index({t[0] > 0}),
                   at::masked_select(t[0], t[0] < 0),
                   std::get<0>(at::_unique2(t[1])),
                   at::bincount(t[1]),
                   at::repeat_interleave(t[1].clamp(0, 2))};
  });
  const at::Tensor x = at::tensor({1.5f, 2.5f}).to(XlaDevice());
  EXPECT_EQ(x[1].item<float>(), 2.5f);
  EXPECT_EQ((x * 2).sum().item<float>(), 8.f);
  EXPECT_TRUE(at::equal(x, x + 0));
  EXPECT_TRUE(x.allclose(x * 1));
  std::ostringstream os;
  os << x;
  EXPECT_NE(os.str().find("2.5"), std::string::npos);
  EXPECT_GT(CounterValue("capture.host.aten::_local_scalar_dense"), 0);
}

TEST_F(Ops, FallbackOfUnsupportedOperators) {
  allow_fallbacks_ = true;
  backend_->Refuse(
      {"aten::relu", "aten::add.Tensor", "aten::cat", "aten::index.Tensor", "aten::max.dim"});
  Compare("fallback", {F({3, 4}), F({3, 4}), Long({2}, 3)}, [](const Tensors& t) {
    t[0].add_(t[1]).relu_();
    t[0].t().relu_();
    at::Tensor out = at::empty({0}, t[0].options());
    at::add_out(out, t[0], t[1]);
    auto m = t[0].max(1);
    return Tensors{t[0].relu(), at::cat({t[0], t[1]}), t[0].index({t[2]}),
                   out,         std::get<0>(m),        std::get<1>(m)};
  });
  EXPECT_GE(CounterValue("capture.host.aten::relu_"), 2);
  EXPECT_GE(CounterValue("capture.fallbacks"), 6);
}

TEST_F(Ops, RandomOperatorsFollowTheCpuGenerator) {
  allow_fallbacks_ = true;
  backend_->Refuse(
      {"aten::normal_functional", "aten::bernoulli.p", "aten::uniform", "aten::bernoulli"});
  const auto draw = [](at::Device device) {
    at::manual_seed(3);
    const auto o = at::TensorOptions().device(device);
    return std::vector<at::Tensor>{at::randn({4}, o).cpu(), at::rand({4}, o).cpu(),
                                   at::dropout(at::ones({8}, o), 0.5, true).cpu()};
  };
  const auto cpu = draw(at::kCPU), xla = draw(XlaDevice());
  for (size_t i = 0; i < cpu.size(); ++i) EXPECT_TRUE(at::equal(cpu[i], xla[i])) << i;
}

}  // namespace
}  // namespace glia::capture::testing
