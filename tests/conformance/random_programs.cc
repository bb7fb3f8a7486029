// Random programs of views, writes through them and steps. Values are small integers, so that every
// order of additions gives the same.
#include <ATen/ops/arange.h>
#include <ATen/ops/as_strided.h>

#include <cstdlib>
#include <random>

#include "absl/strings/str_cat.h"
#include "serialization/testing/seed.h"
#include "tests/conformance/case.h"
#include "tests/conformance/modes.h"

namespace glia::conformance {
namespace {

constexpr int kPrograms = 150;
constexpr int kLength = 14;

class Random {
 public:
  explicit Random(uint64_t seed) : engine_(seed) {}
  int64_t Below(int64_t n) { return static_cast<int64_t>(engine_() % static_cast<uint64_t>(n)); }

 private:
  std::mt19937_64 engine_;
};

at::Tensor RandomView(const at::Tensor& t, Random& random) {
  if (t.dim() == 0) return t.unsqueeze(0);
  const int64_t d = random.Below(t.dim());
  const int64_t size = t.size(d);
  switch (random.Below(9)) {
    case 0:
      return t.transpose(d, random.Below(t.dim()));
    case 1:
      return t.dim() < 2 || size == 0 ? t.flatten() : t.select(d, random.Below(size));
    case 2: {
      const int64_t begin = random.Below(size + 1);
      return t.slice(d, begin, begin + random.Below(size - begin + 1), 1 + random.Below(3));
    }
    case 3:
      return t.unsqueeze(random.Below(t.dim() + 1));
    case 4:
      return size == 1 ? t.squeeze(d) : t;
    case 5:
      return t.is_contiguous() && size % 2 == 0 && d == 0 && size > 0
                 ? t.reshape({2, t.numel() / 2})
                 : t.narrow(d, 0, (size + 1) / 2);
    case 6:
      return t.dim() >= 2 ? t.diagonal(0, 0, 1) : t;
    case 7:
      return size >= 2 ? t.unfold(d, 2, 1 + random.Below(2)) : t;
    default:
      return t.permute([&] {
        std::vector<int64_t> order(static_cast<size_t>(t.dim()));
        for (int64_t i = 0; i < t.dim(); ++i) order[i] = (i + d) % t.dim();
        return order;
      }());
  }
}

// Whether no element of it is there twice, so that it can be written.
bool Writable(const at::Tensor& t) { return t.is_non_overlapping_and_dense() || t.numel() < 2; }

void RandomWrite(const at::Tensor& to, const at::Tensor& from, Random& random) {
  at::Tensor t = to;
  switch (random.Below(5)) {
    case 0:
      t.add_(1 + random.Below(3));
      return;
    case 1:
      t.neg_();
      return;
    case 2:
      t.fill_(random.Below(9));
      return;
    case 3:
      t.remainder_(7);
      return;
    default:
      if (from.sizes() == t.sizes()) {
        t.copy_(from.clone());
      } else {
        t.sub_(from.sum().remainder(5));
      }
  }
}

Tensors RunProgram(const Tensors& inputs, uint64_t seed) {
  Random random(seed);
  Tensors live = inputs;
  for (int i = 0; i < kLength; ++i) {
    const at::Tensor t = live[random.Below(static_cast<int64_t>(live.size()))];
    const int64_t kind = random.Below(8);
    if (kind < 4 || !Writable(t)) {
      live.push_back(RandomView(t, random));
    } else if (kind < 7) {
      RandomWrite(t, live[random.Below(static_cast<int64_t>(live.size()))], random);
    } else {
      Step();
    }
  }
  return live;
}

}  // namespace

void VisitRandomPrograms(const Visitor& visit) {
  for (int i = 0; i < kPrograms; ++i) {
    Case c;
    const uint64_t seed = TestSeed() + static_cast<uint64_t>(i);
    c.name = absl::StrCat("random views and writes, seed ", seed);
    c.inputs = {at::arange(24, at::kFloat).reshape({4, 6}), at::arange(8, at::kFloat)};
    c.run = [seed](const Tensors& inputs) { return RunProgram(inputs, seed); };
    visit(c);
  }
}

}  // namespace glia::conformance
