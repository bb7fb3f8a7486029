// Pooling windows, and resampling of one dim by a matrix of weights.
#ifndef GLIA_FRONTEND_LOWERING_OPS_WINDOWS_H_
#define GLIA_FRONTEND_LOWERING_OPS_WINDOWS_H_

#include <functional>
#include <vector>

#include "frontend/lowering/ctx.h"

namespace glia::lowering {

struct WindowDim {
  int64_t in = 0, out = 0;
  int64_t kernel = 1, stride = 1, dilation = 1;
  int64_t pad_low = 0;
  int64_t pad_high = 0;  // as much as `out` windows need: more than pad_low in ceil mode, or less
};

struct PoolWindow {
  int64_t first_dim = 0;  // of the spatial dims, which are the last ones
  std::vector<WindowDim> dims;
};

// The arguments (kernel, stride, padding) from position `first`, dilation from its own position
// (-1: none). `in` is the pooled array, whose results have the first result's dims (or, for
// gradients, argument 0's).
PoolWindow ReadPoolWindow(const Ctx& c, const Shape& in, int64_t spatial, int64_t dilation,
                          size_t first = 1);

// For reduce-window over all dims.
hlo::Window HloWindow(const PoolWindow& window, const Shape& in);

// tap(x, fill, d, k): element k of every window along spatial dim d, with `fill` where that is
// padding.
using Tap = std::function<Op(Op x, Op fill, int64_t d, int64_t k)>;
// s64 positions of the maxima in the flattened spatial dims: of equals the first, of NaNs the last.
Op MaxPositions(Op x, const PoolWindow& window, const Tap& tap);

// 1 / (number of elements that each average is over), in the compute type and these dims (of the
// result when none are given).
Op InverseCounts(Ctx& c, const PoolWindow& window, bool include_padding, Dims dims = {});

// Where output element i of an adaptive pool begins and ends.
int64_t AdaptiveStart(int64_t i, int64_t in, int64_t out);
int64_t AdaptiveEnd(int64_t i, int64_t in, int64_t out);

// result[o] = Σ_i x[i] · weights[i · out + o]
struct WeightMatrix {
  int64_t in = 0, out = 0;
  std::vector<double> weights;
  WeightMatrix(int64_t in, int64_t out) : in(in), out(out), weights(in * out, 0.0) {}
  double& at(int64_t i, int64_t o) { return weights[i * out + o]; }
  WeightMatrix Transposed() const;
};
WeightMatrix AdaptiveWeights(int64_t in, int64_t out);
// Applies the matrix along one dim, as a dot at the highest precision.
Op MixAlong(Op x, const WeightMatrix& weights, int64_t dim);

}  // namespace glia::lowering

#endif  // GLIA_FRONTEND_LOWERING_OPS_WINDOWS_H_
