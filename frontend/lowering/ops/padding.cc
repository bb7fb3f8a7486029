// Padding. The list of amounts starts with the last dim: (left, right, top, bottom, …); negative
// amounts crop.
#include <algorithm>

#include "frontend/lowering/ops/windows.h"
#include "frontend/lowering/registry.h"

namespace glia::lowering {
namespace {

// aten::constant_pad_nd(Tensor self, int[] pad, Scalar value=0) -> Tensor
void ConstantPad(Ctx& c) {
  const Dims pad = c.Ints(1);
  Op x = c.T(0);
  const Op value = c.Has(2) ? c.ScalarEl(2, c.Out().type) : ScalarLike(x, 0);
  const int64_t rank = x.shape().rank();
  for (size_t i = 0; i + 1 < pad.size(); i += 2) {
    if (pad[i] == 0 && pad[i + 1] == 0) continue;
    x = PadDim(x, value, rank - 1 - static_cast<int64_t>(i / 2), pad[i], pad[i + 1]);
  }
  c.Return(x);
}

// The mirror image around the edge element, or copies of it, joined to x.
template <bool kReflect>
Op Extend(Op x, int64_t dim, int64_t low, int64_t high) {
  if (!x.valid()) return x;
  const int64_t size = x.shape().dim(dim);
  const auto side = [&](int64_t count, bool front) {
    if (kReflect) {
      const int64_t start = front ? 1 : size - 1 - count;
      return Rev(SliceInDim(x, start, start + count, 1, dim), {dim});
    }
    const int64_t edge = front ? 0 : size - 1;
    Dims dims = x.shape().dims;
    dims[dim] = count;
    return BroadcastTo(SliceInDim(x, edge, edge + 1, 1, dim), dims);
  };
  std::vector<Op> parts;
  if (low > 0) parts.push_back(side(low, true));
  parts.push_back(x);
  if (high > 0) parts.push_back(side(high, false));
  Op joined = parts.size() == 1 ? x : hlo::Concatenate(parts, dim);
  if (!joined.valid()) return joined;
  const int64_t start = std::max<int64_t>(0, -low);
  const int64_t limit = joined.shape().dim(dim) - std::max<int64_t>(0, -high);
  return SliceInDim(joined, start, limit, 1, dim);
}

// aten::reflection_pad2d(Tensor self, int[4] padding) -> Tensor
template <bool kReflect>
void EdgePad(Ctx& c) {
  const Dims pad = c.Ints(1);
  Op x = c.T(0);
  const int64_t rank = x.shape().rank();
  for (size_t i = 0; i + 1 < pad.size(); i += 2) {
    if (pad[i] == 0 && pad[i + 1] == 0) continue;
    x = Extend<kReflect>(x, rank - 1 - static_cast<int64_t>(i / 2), pad[i], pad[i + 1]);
  }
  c.Return(x);
}

// The gradient: the sides, turned around or summed up, are added to the part that was copied.
// Arguments (grad_output, self, padding).
template <bool kReflect>
void EdgePadBackward(Ctx& c) {
  const Dims pad = c.Ints(2);
  Op g = c.T(0, c.compute());
  const int64_t rank = g.shape().rank();
  for (size_t i = 0; i + 1 < pad.size(); i += 2) {
    const int64_t dim = rank - 1 - static_cast<int64_t>(i / 2), size = c.Out().dim(dim);
    WeightMatrix m(g.shape().dim(dim), size);
    for (int64_t o = 0; o < m.in; ++o) {
      int64_t source = o - pad[i];
      if (kReflect) {
        if (source < 0) source = -source;
        if (source >= size) source = 2 * (size - 1) - source;
      }
      m.at(o, std::clamp<int64_t>(source, 0, size - 1)) += 1;
    }
    g = MixAlong(g, m, dim);
  }
  c.Return(g);
}

}  // namespace

OpTable PaddingOps() {
  static constexpr OpLowering kOps[] = {
      {"aten::constant_pad_nd", ConstantPad},
      {"aten::reflection_pad1d", EdgePad<true>},
      {"aten::reflection_pad1d_backward", EdgePadBackward<true>},
      {"aten::reflection_pad2d", EdgePad<true>},
      {"aten::reflection_pad2d_backward", EdgePadBackward<true>},
      {"aten::reflection_pad3d", EdgePad<true>},
      {"aten::reflection_pad3d_backward", EdgePadBackward<true>},
      {"aten::replication_pad1d", EdgePad<false>},
      {"aten::replication_pad1d_backward", EdgePadBackward<false>},
      {"aten::replication_pad2d", EdgePad<false>},
      {"aten::replication_pad2d_backward", EdgePadBackward<false>},
      {"aten::replication_pad3d", EdgePad<false>},
      {"aten::replication_pad3d_backward", EdgePadBackward<false>},
  };
  return kOps;
}

}  // namespace glia::lowering
