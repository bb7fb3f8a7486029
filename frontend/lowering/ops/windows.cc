#include "frontend/lowering/ops/windows.h"

#include <algorithm>

namespace glia::lowering {

PoolWindow ReadPoolWindow(const Ctx& c, const Shape& in, int64_t spatial, int64_t dilation,
                          size_t first) {
  const auto list = [&](size_t i, Dims if_absent) {
    Dims values = c.Ints(i);
    if (values.empty()) values = std::move(if_absent);
    if (values.size() == 1) values.resize(spatial, values[0]);
    return values;
  };
  const Dims kernel = list(first, {1});
  const Dims stride = list(first + 1, kernel);
  const Dims padding = list(first + 2, {0});
  const Dims dilations = dilation < 0 ? Dims(spatial, 1) : list(dilation, {1});
  const Dims& out = first == 1 ? c.Out().dims : c.T(0).shape().dims;
  PoolWindow window;
  window.first_dim = in.rank() - spatial;
  for (int64_t d = 0; d < spatial; ++d) {
    WindowDim w;
    w.in = in.dim(window.first_dim + d);
    w.out = out[window.first_dim + d];
    w.kernel = kernel[d];
    w.stride = stride[d];
    w.dilation = dilations[d];
    w.pad_low = padding[d];
    const int64_t needed =
        (w.out - 1) * w.stride + w.dilation * (w.kernel - 1) + 1 - w.in - w.pad_low;
    w.pad_high = std::max(needed, std::min(w.pad_low, needed + w.stride - 1));
    window.dims.push_back(w);
  }
  return window;
}

hlo::Window HloWindow(const PoolWindow& window, const Shape& in) {
  hlo::Window result(in.rank());
  for (size_t d = 0; d < window.dims.size(); ++d) {
    const WindowDim& w = window.dims[d];
    hlo::WindowDim& r = result[window.first_dim + static_cast<int64_t>(d)];
    r.size = w.kernel;
    r.stride = w.stride;
    r.pad_low = w.pad_low;
    r.pad_high = w.pad_high;
    r.window_dilation = w.dilation;
  }
  return result;
}

Op MaxPositions(Op x, const PoolWindow& window, const Tap& tap) {
  if (!x.valid()) return x;
  // One dim after the other, the last one first: its best element of each row, then the best row.
  Op value = x;
  Op position = hlo::Filled(x.builder, x.shape().WithType(hlo::kS32), 0);
  int64_t scale = 1;
  for (int64_t d = static_cast<int64_t>(window.dims.size()) - 1; d >= 0; --d) {
    const int64_t dim = window.first_dim + d;
    const Op along = IotaOf(x.builder, hlo::kS32, position.shape().dims, dim);
    position = Add(position, Mul(along, IntScalar(x.builder, hlo::kS32, scale)));
    scale *= window.dims[d].in;
    const Op lowest = LowestValue(x.builder, x.shape().type);
    Op best_value, best_position;
    for (int64_t k = 0; k < window.dims[d].kernel; ++k) {
      const Op v = tap(value, lowest, d, k);
      // Padding must not win against a real -inf: its position is negative, so that anything beats
      // it.
      const Op p = tap(position, IntScalar(x.builder, hlo::kS32, -1), d, k);
      if (!v.valid() || !p.valid()) return {};
      if (!best_value.valid()) {
        best_value = v;
        best_position = p;
        continue;
      }
      const Op zero = ScalarLike(p, 0);
      const Op real = Ge(p, zero);
      const Op better = Or(Or(Gt(v, best_value), IsNan(v)), Lt(best_position, zero));
      const Op take = And(real, better);
      best_value = Select(take, v, best_value);
      best_position = Select(take, p, best_position);
    }
    value = best_value;
    position = best_position;
  }
  return Convert(position, hlo::kS64);
}

int64_t AdaptiveStart(int64_t i, int64_t in, int64_t out) { return i * in / out; }
int64_t AdaptiveEnd(int64_t i, int64_t in, int64_t out) { return ((i + 1) * in + out - 1) / out; }

WeightMatrix WeightMatrix::Transposed() const {
  WeightMatrix result(out, in);
  for (int64_t i = 0; i < in; ++i) {
    for (int64_t o = 0; o < out; ++o) result.at(o, i) = weights[i * out + o];
  }
  return result;
}

WeightMatrix AdaptiveWeights(int64_t in, int64_t out) {
  WeightMatrix m(in, out);
  for (int64_t o = 0; o < out; ++o) {
    const int64_t start = AdaptiveStart(o, in, out), end = AdaptiveEnd(o, in, out);
    for (int64_t i = start; i < end; ++i) m.at(i, o) = 1.0 / static_cast<double>(end - start);
  }
  return m;
}

Op MixAlong(Op x, const WeightMatrix& weights, int64_t dim) {
  if (!x.valid()) return x;
  const Shape shape(x.shape().type, {weights.in, weights.out});
  const Op matrix = hlo::Constant(x.builder, hlo::Literal::FromDoubles(shape, weights.weights));
  hlo::DotDims dims;
  dims.lhs_contracting = {dim};
  dims.rhs_contracting = {0};
  const Op mixed = DotGeneral(x, matrix, dims, x.shape().type,
                              {hlo::Precision::kHighest, hlo::Precision::kHighest});
  return MoveDim(mixed, x.shape().rank() - 1, dim);
}

}  // namespace glia::lowering
