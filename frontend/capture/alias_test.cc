// Views, aliases and writes through them, also across MarkStep.
#include <ATen/ATen.h>
#include <gtest/gtest.h>

#include <random>

#include "frontend/capture/metrics.h"
#include "frontend/capture/testing/compare.h"
#include "frontend/capture/testing/eager_backend.h"

namespace glia::capture::testing {
namespace {

class Alias : public ::testing::Test {
 protected:
  void SetUp() override {
    at::manual_seed(7);
    backend_ = InstallEagerBackend();
    ResetCounters();
  }
  void TearDown() override { EXPECT_EQ(CounterValue("capture.fallbacks"), 0) << Report(); }
  std::shared_ptr<EagerBackend> backend_;
};

struct Named {
  const char* name;
  std::function<at::Tensor(at::Tensor)> f;
};

const std::vector<Named>& Views() {
  static const auto* views = new std::vector<Named>{
      {"itself", [](at::Tensor t) { return t; }},
      {"alias", [](at::Tensor t) { return t.alias(); }},
      {"t", [](at::Tensor t) { return t.transpose(0, 1); }},
      {"select", [](at::Tensor t) { return t.select(0, 1); }},
      {"select last", [](at::Tensor t) { return t.select(-1, 2); }},
      {"slice", [](at::Tensor t) { return t.slice(0, 1, 3); }},
      {"step", [](at::Tensor t) { return t.slice(1, 0, 5, 2); }},
      {"view",
       [](at::Tensor t) {
         return t.view({2, -1});
       }},
      {"flatten", [](at::Tensor t) { return t.view(-1); }},
      {"flat slice", [](at::Tensor t) { return t.view(-1).slice(0, 3, 11); }},
      {"flat step", [](at::Tensor t) { return t.view(-1).slice(0, 1, 18, 3); }},
      {"unsqueeze", [](at::Tensor t) { return t.unsqueeze(1); }},
      {"diagonal", [](at::Tensor t) { return t.diagonal(); }},
      {"permute",
       [](at::Tensor t) {
         return t.view({2, 2, 6}).permute({2, 0, 1});
       }},
      {"narrow of permute",
       [](at::Tensor t) {
         return t.view({2, 2, 6}).permute({2, 0, 1}).narrow(0, 1, 3);
       }},
      {"split", [](at::Tensor t) { return t.split(2, 1).at(1); }},
      {"as_strided",
       [](at::Tensor t) {
         return t.as_strided({3, 2}, {5, 1}, 2);
       }},
      {"unfold", [](at::Tensor t) { return t.unfold(1, 2, 2); }},
      {"detach", [](at::Tensor t) { return t.detach(); }},
      {"bits", [](at::Tensor t) { return t.view(at::kInt); }},
      {"double", [](at::Tensor t) { return t.view(at::kDouble); }},
  };
  return *views;
}

// Every view, then every view of it that exists, on a [4,6] base: read it, write through it, see
// the base.
TEST_F(Alias, ViewsOfViews) {
  int pairs = 0;
  for (const Named& first : Views()) {
    for (const Named& second : Views()) {
      at::Tensor probe = at::arange(24, at::kFloat).view({4, 6});
      try {
        second.f(first.f(probe));
      } catch (const std::exception&) {
        continue;
      }
      ++pairs;
      const std::string name = std::string(first.name) + ", " + second.name;
      const bool bits =
          name.find("bits") != std::string::npos || name.find("double") != std::string::npos;
      Compare(name.c_str(), {probe}, [&](const Tensors& t) {
        at::Tensor v = first.f(t[0]);
        at::Tensor w = second.f(v);
        const at::Tensor before = w.clone();
        if (bits) {
          w.copy_(w.flip(0));
        } else {
          w.mul_(10);
        }
        if (v.dim() > 0) v.select(0, 0).zero_();
        return Tensors{before, v.clone(), w.contiguous()};
      });
      if (HasFatalFailure()) return;
    }
  }
  EXPECT_GT(pairs, 200);
}

TEST_F(Alias, RandomProgramsOfViewsAndWrites) {
  std::mt19937 random(5);
  for (int round = 0; round < 60; ++round) {
    std::vector<uint32_t> dice;
    for (int i = 0; i < 60; ++i) dice.push_back(random());
    Compare(("round " + std::to_string(round)).c_str(), {at::randn({4, 6}), at::randn({6, 4})},
            [&](const Tensors& inputs) {
              Tensors pool = inputs;
              size_t next = 0;
              auto roll = [&](size_t n) { return dice[next++ % dice.size()] % n; };
              for (int step = 0; step < 12; ++step) {
                at::Tensor t = pool[roll(pool.size())];
                switch (roll(4)) {
                  case 0:
                    try {
                      at::Tensor v = Views()[roll(Views().size() - 2)].f(t);
                      pool.push_back(v);
                    } catch (const std::exception&) {
                    }
                    break;
                  case 1:
                    t.add_(static_cast<double>(roll(5)));
                    break;
                  case 2:
                    t.copy_(t.clone().mul(0.5));
                    break;
                  case 3:
                    // In eager nothing, on the device a new graph.
                    if (roll(2) == 0 && t.device().type() == at::kXLA) MarkStep();
                    pool.push_back(t * 2);
                    break;
                }
              }
              Tensors results;
              for (const at::Tensor& t : pool) results.push_back(t.clone());
              return results;
            });
    if (HasFailure()) return;
  }
}

TEST_F(Alias, OverlappingWrites) {
  Compare("windows", {at::arange(8, at::kFloat)}, [](const Tensors& t) {
    t[0].slice(0, 0, 4).fill_(1);
    t[0].slice(0, 2, 6).fill_(2);
    t[0].slice(0, 0, 8, 3).add_(10);
    return Tensors{t[0].unfold(0, 3, 1).clone()};
  });
  Compare("expanded fill", {at::arange(4, at::kFloat).view({4, 1})}, [](const Tensors& t) {
    t[0].expand({4, 3}).fill_(5);
    return Tensors{};
  });
}

TEST_F(Alias, Complex) {
  const at::Tensor c = at::view_as_complex(at::randn({3, 4, 2}));
  Compare("real and imaginary", {c, at::randn({3, 4, 2})}, [](const Tensors& t) {
    at::Tensor c = t[0];
    at::real(c).mul_(2);
    at::imag(c).slice(0, 1, 3).add_(1);
    at::Tensor d = at::view_as_complex(t[1]);
    d.mul_(c);
    return Tensors{
        c.conj() * d,           c.conj().clone(),       at::abs(c), at::view_as_real(c).sum(-1),
        at::imag(c.conj()) + 1, c.conj().resolve_conj()};
  });
}

TEST_F(Alias, AcrossMarkStep) {
  at::Tensor x = at::arange(12, at::kFloat).view({3, 4}).to(XlaDevice());
  at::Tensor row = x.select(0, 1), column = x.select(1, 2);
  row.add_(100);
  MarkStep();
  column.mul_(2);
  MarkStep();
  MarkStep();  // nothing is pending: nothing runs
  row.zero_();
  at::Tensor expected = at::arange(12, at::kFloat).view({3, 4});
  expected.select(0, 1).add_(100);
  expected.select(1, 2).mul_(2);
  expected.select(0, 1).zero_();
  EXPECT_TRUE(at::equal(x.cpu(), expected));
  EXPECT_TRUE(at::equal(column.cpu(), expected.select(1, 2)));
  EXPECT_EQ(backend_->TakeGraphs().size(), 3u);
}

TEST_F(Alias, ResizeAndSet) {
  Compare("resize_", {at::arange(6, at::kFloat)}, [](const Tensors& t) {
    at::Tensor a = t[0].clone();
    a.resize_({2, 2});
    at::Tensor b = a + 1;
    a.fill_(9);
    a.resize_({3, 2});
    at::Tensor c = t[0].clone();
    c.resize_({8});
    c.slice(0, 6, 8).fill_(1);
    c.slice(0, 0, 2).neg_();
    return Tensors{b, a, c};
  });
  Compare("set_", {at::arange(6, at::kFloat), at::arange(4, at::kFloat)}, [](const Tensors& t) {
    at::Tensor a = t[0].alias();
    a.set_(t[1]);
    a.add_(1);
    at::Tensor b = at::empty({0}, t[0].options());
    b.set_(t[0].storage(), 1, {2, 2}, {1, 2});
    b.mul_(10);
    EXPECT_TRUE(a.is_set_to(t[1]));
    EXPECT_FALSE(b.is_set_to(t[0]));
    at::Tensor d = t[0].alias();
    d.set_();
    return Tensors{a, b, d};
  });
  Compare("set_data", {at::arange(6, at::kFloat), at::arange(4, at::kFloat)}, [](const Tensors& t) {
    t[0].set_data(t[1] * 2);
    return Tensors{t[0] + 1};
  });
}

TEST_F(Alias, CopiesBetweenDevices) {
  const at::Tensor cpu = at::randn({4, 3}).t();
  at::Tensor x = at::empty({3, 4}, at::TensorOptions().device(XlaDevice()).dtype(at::kHalf));
  x.copy_(cpu);
  EXPECT_TRUE(at::equal(x.cpu(), cpu.to(at::kHalf)));
  x.copy_(at::arange(4));
  EXPECT_TRUE(at::equal(x.cpu(), at::arange(4).to(at::kHalf).expand({3, 4})));
  at::Tensor back = at::zeros({2, 4}, at::kDouble);
  back.copy_(x.slice(0, 1, 3));
  EXPECT_EQ(back[1][3].item<double>(), 3);
  // CPU arguments are snapshots.
  at::Tensor source = at::ones({3});
  at::Tensor y = source.to(XlaDevice());
  at::Tensor z = y + 1;
  source.zero_();
  EXPECT_EQ(z.sum().item<float>(), 6);
  EXPECT_EQ(at::empty({2, 0}, x.options()).cpu().numel(), 0);
}

TEST_F(Alias, MultipleOwnersOfOneValue) {
  at::Tensor x = at::ones({4}).to(XlaDevice());
  at::Tensor y = x * 3;
  at::Tensor a = y.clone(), b = y.clone();
  a.add_(1);
  MarkStep();
  b.add_(2);
  EXPECT_EQ(y.sum().item<float>(), 12);
  EXPECT_EQ(a.sum().item<float>(), 16);
  EXPECT_EQ(b.sum().item<float>(), 20);
}

}  // namespace
}  // namespace glia::capture::testing
