// Pooling over the last two or three dims.
#include <algorithm>
#include <cmath>

#include "frontend/lowering/ops/scatter.h"
#include "frontend/lowering/ops/windows.h"
#include "frontend/lowering/registry.h"

namespace glia::lowering {
namespace {

// ---- Maxima.
// aten::max_pool2d_with_indices(Tensor self, int[2] kernel_size, int[2] stride=[], int[2]
// padding=0,
//     int[2] dilation=1, bool ceil_mode=False) -> (Tensor, Tensor)
template <int64_t kSpatial>
void MaxPool(Ctx& c) {
  const Op x = c.T(0);
  const PoolWindow window = ReadPoolWindow(c, x.shape(), kSpatial, /*dilation=*/4);
  const Op lowest = LowestValue(c.builder(), x.shape().type);
  hlo::Computation* max = c.builder()->ScalarComputation(hlo::Opcode::kMaximum, x.shape().type);
  const Op values = ReduceWindow(x, lowest, max, HloWindow(window, x.shape()));
  // The positions are found apart, so that they disappear when nobody reads them.
  const auto tap = [&](Op v, Op fill, int64_t d, int64_t k) {
    const WindowDim& w = window.dims[d];
    const int64_t dim = window.first_dim + d;
    v = PadDim(v, fill, dim, w.pad_low, std::max<int64_t>(0, w.pad_high));
    const int64_t start = k * w.dilation;
    return SliceInDim(v, start, start + (w.out - 1) * w.stride + 1, w.stride, dim);
  };
  c.Return({values, MaxPositions(x, window, tap)});
}

// aten::adaptive_max_pool2d(Tensor self, int[2] output_size) -> (Tensor, Tensor)
template <int64_t kSpatial>
void AdaptiveMaxPool(Ctx& c) {
  const Op x = c.T(0);
  PoolWindow window;
  window.first_dim = x.shape().rank() - kSpatial;
  for (int64_t d = 0; d < kSpatial; ++d) {
    WindowDim w;
    w.in = x.shape().dim(window.first_dim + d);
    w.out = c.Out().dim(window.first_dim + d);
    for (int64_t i = 0; i < w.out; ++i) {
      w.kernel = std::max(w.kernel, AdaptiveEnd(i, w.in, w.out) - AdaptiveStart(i, w.in, w.out));
    }
    window.dims.push_back(w);
  }
  // Windows differ in size: shorter ones read their last element several times.
  const auto tap = [&](Op v, Op, int64_t d, int64_t k) {
    const WindowDim& w = window.dims[d];
    std::vector<int32_t> at;
    for (int64_t i = 0; i < w.out; ++i) {
      at.push_back(static_cast<int32_t>(
          std::min(AdaptiveStart(i, w.in, w.out) + k, AdaptiveEnd(i, w.in, w.out) - 1)));
    }
    return TakeAlong(v, hlo::ConstantR1<int32_t>(c.builder(), at), window.first_dim + d);
  };
  Op values = x;
  for (int64_t d = kSpatial - 1; d >= 0; --d) {
    Op best;
    for (int64_t k = 0; k < window.dims[d].kernel; ++k) {
      const Op now = tap(values, {}, d, k);
      best = best.valid() ? Max(best, now) : now;
    }
    values = best;
  }
  c.Return({values, MaxPositions(x, window, tap)});
}

// ---- Averages.
// How many elements the average of each output element of one dim is over.
std::vector<double> Counts(const WindowDim& w, bool include_padding) {
  std::vector<double> counts;
  for (int64_t i = 0; i < w.out; ++i) {
    const int64_t start = i * w.stride - w.pad_low;
    const int64_t end = std::min(start + w.kernel, w.in + w.pad_low);
    counts.push_back(static_cast<double>(
        include_padding ? end - start : std::min(end, w.in) - std::max<int64_t>(start, 0)));
  }
  return counts;
}

// aten::avg_pool2d(Tensor self, int[2] kernel_size, int[2] stride=[], int[2] padding=0,
//     bool ceil_mode=False, bool count_include_pad=True, int? divisor_override=None) -> Tensor
template <int64_t kSpatial>
void AvgPool(Ctx& c) {
  const Op x = c.T(0, c.compute());
  const PoolWindow window = ReadPoolWindow(c, x.shape(), kSpatial, /*dilation=*/-1);
  hlo::Computation* add = c.builder()->ScalarComputation(hlo::Opcode::kAdd, c.compute());
  Op y = ReduceWindow(x, c.Const(0), add, HloWindow(window, x.shape()));
  if (c.Has(6)) return c.Return(Div(y, c.Const(static_cast<double>(c.Int(6)))));
  y = Mul(y, InverseCounts(c, window, c.Bool(5)));
  c.Return(y);
}

// aten::_adaptive_avg_pool2d(Tensor self, int[2] output_size) -> Tensor
template <int64_t kSpatial>
void AdaptiveAvgPool(Ctx& c) {
  Op x = c.T(0, c.compute());
  const int64_t first = x.shape().rank() - kSpatial;
  bool to_one = true;
  for (int64_t d = 0; d < kSpatial; ++d) to_one = to_one && c.Out().dim(first + d) == 1;
  if (to_one) {
    Dims dims;
    for (int64_t d = 0; d < kSpatial; ++d) dims.push_back(first + d);
    const double count = static_cast<double>(ProductOf(x.shape(), dims));
    return c.Return(Div(ReduceSum(x, dims, true), c.Const(count)));
  }
  for (int64_t d = 0; d < kSpatial; ++d) {
    if (x.shape().dim(first + d) == c.Out().dim(first + d)) continue;
    x = MixAlong(x, AdaptiveWeights(x.shape().dim(first + d), c.Out().dim(first + d)), first + d);
  }
  c.Return(x);
}

// ---- Gradients.
// aten::max_pool2d_with_indices_backward(Tensor grad_output, Tensor self, …, Tensor indices) ->
// Tensor Each output's gradient goes to the position that its index names.
template <int64_t kSpatial, size_t kIndices>
void MaxPoolBackward(Ctx& c) {
  const Dims& dims = c.Out().dims;
  const int64_t first = c.Out().rank() - kSpatial;
  int64_t outer = 1, plane = 1, out_plane = 1;
  for (int64_t d = 0; d < c.Out().rank(); ++d) {
    (d < first ? outer : plane) *= dims[d];
    if (d >= first) out_plane *= c.T(0).shape().dim(d);
  }
  const Op grad = Reshape(c.T(0, c.compute()), {outer, out_plane});
  const Op index = Reshape(c.T(kIndices), {outer, out_plane});
  const Op zeros = hlo::Filled(c.builder(), Shape(c.compute(), {outer, plane}), 0);
  c.Return(Reshape(ScatterElements(zeros, index, grad, 1, Sum), dims));
}

// aten::max_unpool2d(Tensor self, Tensor indices, int[2] output_size) -> Tensor
// aten::max_unpool3d(Tensor self, Tensor indices, int[3] output_size, int[3] stride, int[3]
// padding)
template <int64_t kSpatial>
void MaxUnpool(Ctx& c) {
  const Dims& dims = c.Out().dims;
  int64_t outer = 1, places = 1;
  for (int64_t d = 0; d < c.Out().rank(); ++d) {
    (d + kSpatial < c.Out().rank() ? outer : places) *= dims[d];
  }
  const int64_t in = c.T(0).shape().elements() / std::max<int64_t>(outer, 1);
  const Op zeros = hlo::Filled(c.builder(), Shape(c.Out().type, {outer, places}), 0);
  c.Return(Reshape(ScatterElements(zeros, Reshape(c.T(1), {outer, in}),
                                   Reshape(c.T(0), {outer, in}), 1, Replace),
                   dims));
}

// aten::avg_pool2d_backward(Tensor grad_output, Tensor self, int[2] kernel_size, int[2] stride,
//     int[2] padding, bool ceil_mode, bool count_include_pad, int? divisor_override) -> Tensor
// Every input element receives the share of each window that holds it: a sum over windows of the
// spread out gradient.
template <int64_t kSpatial>
void AvgPoolBackward(Ctx& c) {
  const Shape shape = c.Out();
  const PoolWindow window = ReadPoolWindow(c, shape, kSpatial, /*dilation=*/-1, /*first=*/2);
  Op grad = c.T(0, c.compute());
  grad = c.Has(7) ? Div(grad, c.Const(static_cast<double>(c.Int(7))))
                  : Mul(grad, InverseCounts(c, window, c.Bool(6), grad.shape().dims));
  hlo::Window spread(shape.rank());
  std::vector<hlo::PaddingDim> padding(shape.rank());
  for (int64_t d = 0; d < kSpatial; ++d) {
    const WindowDim& w = window.dims[d];
    const int64_t dim = window.first_dim + d;
    const int64_t extent = (w.out - 1) * w.stride + 1;
    const int64_t low = w.kernel - 1 - w.pad_low;
    padding[dim] = {low, w.in + w.kernel - 1 - low - extent, w.stride - 1};
    spread[dim].size = w.kernel;
  }
  hlo::Computation* add = c.builder()->ScalarComputation(hlo::Opcode::kAdd, c.compute());
  c.Return(ReduceWindow(Pad(grad, c.Const(0), padding), c.Const(0), add, spread));
}

// aten::_adaptive_avg_pool2d_backward(Tensor grad_output, Tensor self) -> Tensor
template <int64_t kSpatial>
void AdaptiveAvgPoolBackward(Ctx& c) {
  Op grad = c.T(0, c.compute());
  const int64_t first = c.Out().rank() - kSpatial;
  for (int64_t d = 0; d < kSpatial; ++d) {
    const WeightMatrix forward =
        AdaptiveWeights(c.Out().dim(first + d), grad.shape().dim(first + d));
    grad = MixAlong(grad, forward.Transposed(), first + d);
  }
  c.Return(grad);
}

}  // namespace

Op InverseCounts(Ctx& c, const PoolWindow& window, bool include_padding, Dims dims) {
  if (dims.empty()) dims = c.Out().dims;
  Op product;
  double constant = 1;
  for (size_t d = 0; d < window.dims.size(); ++d) {
    const std::vector<double> counts = Counts(window.dims[d], include_padding);
    if (counts.empty()) continue;
    if (std::equal(counts.begin() + 1, counts.end(), counts.begin())) {
      constant *= counts[0];
      continue;
    }
    const Shape shape(c.compute(), {static_cast<int64_t>(counts.size())});
    const Op vector = hlo::Constant(c.builder(), hlo::Literal::FromDoubles(shape, counts));
    const Op along = AlongDim(vector, dims, window.first_dim + static_cast<int64_t>(d));
    product = product.valid() ? Mul(product, along) : along;
  }
  const Op one = BroadcastTo(c.Const(1), dims);
  if (!product.valid()) return Div(one, BroadcastTo(c.Const(constant), dims));
  return Div(one, Mul(product, c.Const(constant)));
}

OpTable PoolingOps() {
  static constexpr OpLowering kOps[] = {
      {"aten::_adaptive_avg_pool2d", AdaptiveAvgPool<2>},
      {"aten::_adaptive_avg_pool2d_backward", AdaptiveAvgPoolBackward<2>},
      {"aten::_adaptive_avg_pool3d", AdaptiveAvgPool<3>},
      {"aten::_adaptive_avg_pool3d_backward", AdaptiveAvgPoolBackward<3>},
      {"aten::adaptive_max_pool2d", AdaptiveMaxPool<2>},
      {"aten::adaptive_max_pool2d_backward", MaxPoolBackward<2, 2>},
      {"aten::adaptive_max_pool3d", AdaptiveMaxPool<3>},
      {"aten::adaptive_max_pool3d_backward", MaxPoolBackward<3, 2>},
      {"aten::avg_pool2d", AvgPool<2>},
      {"aten::avg_pool2d_backward", AvgPoolBackward<2>},
      {"aten::avg_pool3d", AvgPool<3>},
      {"aten::avg_pool3d_backward", AvgPoolBackward<3>},
      {"aten::max_pool2d_with_indices", MaxPool<2>},
      {"aten::max_pool2d_with_indices_backward", MaxPoolBackward<2, 7>},
      {"aten::max_pool3d_with_indices", MaxPool<3>},
      {"aten::max_pool3d_with_indices_backward", MaxPoolBackward<3, 7>},
      {"aten::max_unpool2d", MaxUnpool<2>},
      {"aten::max_unpool3d", MaxUnpool<3>},
  };
  return kOps;
}

}  // namespace glia::lowering
