// Resampling of images. Each spatial dim by itself: a copy of elements, or a product with a matrix
// of interpolation weights.
#include <algorithm>
#include <cmath>

#include "frontend/lowering/ops/windows.h"
#include "frontend/lowering/registry.h"

namespace glia::lowering {
namespace {

// The distance between sources of neighbouring results: from the scale factor where the caller gave
// one.
float StepOf(double scale, int64_t in, int64_t out) {
  return scale > 0 ? static_cast<float>(1.0 / scale)
                   : static_cast<float>(in) / static_cast<float>(out);
}
float StepOf(const Ctx& c, size_t scale_arg, int64_t in, int64_t out) {
  return StepOf(c.Double(scale_arg, 0), in, out);
}

// ---- Nearest.
std::vector<int32_t> NearestSources(int64_t in, int64_t out, float step, bool exact) {
  std::vector<int32_t> source;
  for (int64_t i = 0; i < out; ++i) {
    const float at = (static_cast<float>(i) + (exact ? 0.5f : 0.0f)) * step;
    source.push_back(
        static_cast<int32_t>(std::min<int64_t>(static_cast<int64_t>(std::floor(at)), in - 1)));
  }
  return source;
}

// Arguments (self, output_size, scales…), or all scales as a list (.vec).
template <int64_t kSpatial, bool kExact, bool kList = false>
void Nearest(Ctx& c) {
  Op x = c.T(0);
  std::vector<double> scales = kList ? c.Doubles(2) : std::vector<double>();
  scales.resize(kSpatial, 0);
  const int64_t first = x.shape().rank() - kSpatial;
  for (int64_t d = 0; d < kSpatial; ++d) {
    const int64_t in = x.shape().dim(first + d), out = c.Out().dim(first + d);
    const float step = kList ? StepOf(scales[d], in, out) : StepOf(c, 2 + d, in, out);
    const std::vector<int32_t> source = NearestSources(in, out, step, kExact);
    bool repeats = out % in == 0;
    for (int64_t i = 0; i < out; ++i) repeats = repeats && source[i] == i / (out / in);
    if (repeats) {  // every element the same number of times: a broadcast
      Dims dims = x.shape().dims;
      dims.insert(dims.begin() + first + d + 1, out / in);
      const Op wide = BroadcastTo(Unsqueeze(x, first + d + 1), dims);
      dims.erase(dims.begin() + first + d + 1);
      dims[first + d] = out;
      x = Reshape(wide, dims);
    } else {
      x = TakeAlong(x, hlo::ConstantR1<int32_t>(c.builder(), source), first + d);
    }
  }
  c.Return(x);
}

// The gradients, arguments (grad_output, output_size, input_size, scales…).
template <int64_t kSpatial, bool kExact>
void NearestBackward(Ctx& c) {
  Op x = c.T(0, c.compute());
  const int64_t first = x.shape().rank() - kSpatial;
  for (int64_t d = 0; d < kSpatial; ++d) {
    const int64_t in = c.Out().dim(first + d), out = x.shape().dim(first + d);
    const std::vector<int32_t> source = NearestSources(in, out, StepOf(c, 3 + d, in, out), kExact);
    WeightMatrix gather(out, in);
    for (int64_t o = 0; o < out; ++o) gather.at(o, source[o]) = 1;
    x = MixAlong(x, gather, first + d);
  }
  c.Return(x);
}

// ---- Interpolation.
struct Resample {
  int64_t in, out;
  float step;
  bool align_corners;
};
using Weights = WeightMatrix (*)(const Resample&);

// Where result i lies among the sources.
float SourceOf(const Resample& r, int64_t i, bool cubic) {
  if (r.align_corners) {
    const float step =
        r.out > 1 ? static_cast<float>(r.in - 1) / static_cast<float>(r.out - 1) : 0.0f;
    return step * static_cast<float>(i);
  }
  const float at = r.step * (static_cast<float>(i) + 0.5f) - 0.5f;
  return cubic ? at : std::max(at, 0.0f);
}

WeightMatrix LinearWeights(const Resample& r) {
  WeightMatrix m(r.in, r.out);
  for (int64_t o = 0; o < r.out; ++o) {
    const float at = SourceOf(r, o, false);
    const int64_t low = std::min<int64_t>(static_cast<int64_t>(at), r.in - 1);
    const int64_t high = std::min<int64_t>(low + 1, r.in - 1);
    const double share = std::min(1.0f, std::max(0.0f, at - static_cast<float>(low)));
    m.at(low, o) += 1 - share;
    m.at(high, o) += share;
  }
  return m;
}

// Keys' kernel with A = -0.75, at distance t.
double CubicKernel(double t, double a) {
  t = std::abs(t);
  if (t <= 1) return ((a + 2) * t - (a + 3)) * t * t + 1;
  if (t < 2) return (((t - 5) * t + 8) * t - 4) * a;
  return 0;
}

WeightMatrix CubicWeights(const Resample& r) {
  WeightMatrix m(r.in, r.out);
  for (int64_t o = 0; o < r.out; ++o) {
    const float at = SourceOf(r, o, true);
    const float floor = std::floor(at);
    const double t = static_cast<double>(at - floor);
    for (int64_t k = -1; k <= 2; ++k) {
      const int64_t source = std::clamp<int64_t>(static_cast<int64_t>(floor) + k, 0, r.in - 1);
      m.at(source, o) += CubicKernel(t - static_cast<double>(k), -0.75);
    }
  }
  return m;
}

// Antialiasing: the kernel is widened by the factor that the image shrinks by.
template <bool kCubic>
WeightMatrix SmoothWeights(const Resample& r) {
  const double step = r.align_corners && r.out > 1
                          ? static_cast<double>(r.in - 1) / static_cast<double>(r.out - 1)
                          : static_cast<double>(r.step);
  const double widen = std::max(1.0, step);
  const double support = (kCubic ? 2.0 : 1.0) * widen;
  WeightMatrix m(r.in, r.out);
  for (int64_t o = 0; o < r.out; ++o) {
    const double centre = step * (static_cast<double>(o) + 0.5);
    const int64_t start = std::max<int64_t>(static_cast<int64_t>(centre - support + 0.5), 0);
    const int64_t end = std::min<int64_t>(static_cast<int64_t>(centre + support + 0.5), r.in);
    double total = 0;
    for (int64_t i = start; i < end; ++i) {
      const double t = (static_cast<double>(i) - centre + 0.5) / widen;
      m.at(i, o) = kCubic ? CubicKernel(t, -0.5) : std::max(0.0, 1 - std::abs(t));
      total += m.at(i, o);
    }
    for (int64_t i = start; i < end; ++i) m.at(i, o) /= total;
  }
  return m;
}

// Arguments (self, output_size, align_corners, scales…).
template <int64_t kSpatial, Weights kWeights>
void Interpolate(Ctx& c) {
  Op x = c.T(0, c.compute());
  const int64_t first = x.shape().rank() - kSpatial;
  for (int64_t d = 0; d < kSpatial; ++d) {
    const int64_t in = x.shape().dim(first + d), out = c.Out().dim(first + d);
    if (in == out) continue;
    x = MixAlong(x, kWeights({in, out, StepOf(c, 3 + d, in, out), c.Bool(2)}), first + d);
  }
  c.Return(x);
}

// The gradients, arguments (grad_output, output_size, input_size, align_corners, scales…).
template <int64_t kSpatial, Weights kWeights>
void InterpolateBackward(Ctx& c) {
  Op x = c.T(0, c.compute());
  const int64_t first = x.shape().rank() - kSpatial;
  for (int64_t d = 0; d < kSpatial; ++d) {
    const int64_t in = c.Out().dim(first + d), out = x.shape().dim(first + d);
    if (in == out) continue;
    const WeightMatrix forward = kWeights({in, out, StepOf(c, 4 + d, in, out), c.Bool(3)});
    x = MixAlong(x, forward.Transposed(), first + d);
  }
  c.Return(x);
}

}  // namespace

OpTable UpsampleOps() {
  static constexpr OpLowering kOps[] = {
      {"aten::_upsample_bicubic2d_aa", Interpolate<2, SmoothWeights<true>>},
      {"aten::_upsample_bilinear2d_aa", Interpolate<2, SmoothWeights<false>>},
      {"aten::_upsample_nearest_exact1d", Nearest<1, true>},
      {"aten::_upsample_nearest_exact2d", Nearest<2, true>},
      {"aten::_upsample_nearest_exact3d", Nearest<3, true>},
      {"aten::_upsample_nearest_exact3d.vec", Nearest<3, true, true>},
      {"aten::upsample_bicubic2d", Interpolate<2, CubicWeights>},
      {"aten::upsample_bilinear2d", Interpolate<2, LinearWeights>},
      {"aten::upsample_bilinear2d_backward", InterpolateBackward<2, LinearWeights>},
      {"aten::upsample_bicubic2d_backward", InterpolateBackward<2, CubicWeights>},
      {"aten::upsample_linear1d", Interpolate<1, LinearWeights>},
      {"aten::upsample_linear1d_backward", InterpolateBackward<1, LinearWeights>},
      {"aten::upsample_nearest1d", Nearest<1, false>},
      {"aten::upsample_nearest2d", Nearest<2, false>},
      {"aten::upsample_nearest3d", Nearest<3, false>},
      {"aten::upsample_nearest3d.vec", Nearest<3, false, true>},
      {"aten::upsample_nearest1d_backward", NearestBackward<1, false>},
      {"aten::upsample_nearest2d_backward", NearestBackward<2, false>},
      {"aten::upsample_nearest3d_backward", NearestBackward<3, false>},
      {"aten::upsample_trilinear3d", Interpolate<3, LinearWeights>},
      {"aten::upsample_trilinear3d_backward", InterpolateBackward<3, LinearWeights>},
  };
  return kOps;
}

}  // namespace glia::lowering
