// Images sampled at given places.
#include <array>

#include "frontend/lowering/registry.h"

namespace glia::lowering {
namespace {

enum Mode { kLinear, kNearest, kCubic };
enum Padding { kZeros, kBorder, kReflection };

// From [-1, 1] to pixels.
Op Unnormalise(Op at, int64_t size, bool align_corners) {
  const Op one = ScalarLike(at, 1);
  if (align_corners) return Mul(Add(at, one), ScalarLike(at, static_cast<double>(size - 1) / 2));
  const Op doubled = Sub(Mul(Add(at, one), ScalarLike(at, static_cast<double>(size))), one);
  return Mul(doubled, ScalarLike(at, 0.5));
}

// Reflects into [low, high], both in halves.
Op ReflectInto(Op at, int64_t twice_low, int64_t twice_high) {
  if (twice_low == twice_high) return FullLike(at, 0);
  const Op low = ScalarLike(at, static_cast<double>(twice_low) / 2);
  const Op span = ScalarLike(at, static_cast<double>(twice_high - twice_low) / 2);
  const Op distance = Abs(Sub(at, low));
  const Op extra = Rem(distance, BroadcastTo(span, at.shape().dims));
  const Op flips = Floor(Div(distance, span));
  const Op odd = Ne(Rem(flips, FullLike(at, 2)), ScalarLike(at, 0));
  return Add(Select(odd, Sub(span, extra), extra), low);
}

// Pixels outside of [0, size) by those inside, unless they count as zeros.
Op PadCoordinate(Op at, int64_t size, int64_t padding_mode, bool align_corners) {
  if (padding_mode == kReflection) {
    at = align_corners ? ReflectInto(at, 0, 2 * (size - 1)) : ReflectInto(at, -1, 2 * size - 1);
  }
  if (padding_mode != kZeros) {
    at = Min(Max(at, ScalarLike(at, 0)), ScalarLike(at, static_cast<double>(size - 1)));
  }
  return at;
}

// The weights of the pixels at floor - 1 … floor + 2, t = at - floor (Keys, A = -0.75).
std::array<Op, 4> CubicWeights(Op t) {
  constexpr double kA = -0.75;
  const auto number = [&](double v) { return ScalarLike(t, v); };
  const auto near = [&](Op x) {  // |x| <= 1
    const Op y = Sub(Mul(x, number(kA + 2)), number(kA + 3));
    return Add(Mul(Mul(y, x), x), number(1));
  };
  const auto far = [&](Op x) {  // |x| <= 2
    Op y = Sub(Mul(x, number(kA)), number(5 * kA));
    y = Add(Mul(y, x), number(8 * kA));
    return Sub(Mul(y, x), number(4 * kA));
  };
  const Op one = FullLike(t, 1);
  return {far(Add(t, one)), near(t), near(Sub(one, t)), far(Sub(FullLike(t, 2), t))};
}

// aten::grid_sampler_2d(Tensor input, Tensor grid, int interpolation_mode, int padding_mode, bool
// align_corners) -> Tensor, and 3d
// input [n, c, spatial…], grid [n, out…, spatial dims] of coordinates in [-1, 1], the last dim's
// first.
template <int64_t kSpatial>
void GridSampler(Ctx& c) {
  const int64_t mode = c.Int(2), padding = c.Int(3);
  const bool align_corners = c.Bool(4);
  const Op input = c.T(0, c.compute()), grid = c.T(1, c.compute());
  const Dims sizes(input.shape().dims.begin() + 2, input.shape().dims.end());
  const Dims places(grid.shape().dims.begin(), grid.shape().dims.end() - 1);
  std::array<Op, kSpatial> at;  // in pixels
  for (int64_t d = 0; d < kSpatial; ++d) {
    const int64_t k = kSpatial - 1 - d;
    at[d] = Reshape(SliceInDim(grid, k, k + 1, 1, kSpatial + 1), places);
    at[d] = Unnormalise(at[d], sizes[d], align_corners);
    // Cubic: each pixel by itself.
    if (mode != kCubic) at[d] = PadCoordinate(at[d], sizes[d], padding, align_corners);
  }
  // Pixels as rows, so that one gather brings all channels.
  const Op rows = Reshape(MoveDim(input, 1, kSpatial + 1),
                          {input.shape().elements() / std::max<int64_t>(1, input.shape().dim(1)),
                           input.shape().dim(1)});
  const auto sample = [&](const std::array<Op, kSpatial>& pixel) {  // whole numbers; 0 outside
    Op row = IotaOf(c.builder(), hlo::kS32, places, 0);
    Op inside;
    for (int64_t d = 0; d < kSpatial; ++d) {
      Op p = pixel[d];
      if (mode == kCubic) p = PadCoordinate(p, sizes[d], padding, align_corners);
      const Op zero = ScalarLike(p, 0), last = ScalarLike(p, static_cast<double>(sizes[d] - 1));
      const Op here = And(Ge(p, zero), Le(p, last));
      inside = inside.valid() ? And(inside, here) : here;
      const Op index = Convert(Clamp(zero, p, last), hlo::kS32);
      row = Add(Mul(row, ScalarLike(row, static_cast<double>(sizes[d]))), index);
    }
    const Op values = TakeAlong(rows, row, 0);
    const Op mask = hlo::BroadcastInDim(inside, values.shape().dims, DimRange(0, kSpatial + 1));
    return Select(mask, values, FullLike(values, 0));
  };
  Op result;
  if (mode == kNearest) {
    std::array<Op, kSpatial> pixel;
    for (int64_t d = 0; d < kSpatial; ++d) pixel[d] = RoundNearestEven(at[d]);
    result = sample(pixel);
  } else {
    const int64_t taps = mode == kCubic ? 4 : 2;
    std::array<std::array<Op, 4>, kSpatial> weights, pixels;
    for (int64_t d = 0; d < kSpatial; ++d) {
      const Op floor = Floor(at[d]), t = Sub(at[d], floor);
      weights[d] = mode == kCubic ? CubicWeights(t)
                                  : std::array<Op, 4>{Sub(FullLike(t, 1), t), t, Op(), Op()};
      for (int64_t k = 0; k < taps; ++k) {
        pixels[d][k] = Add(floor, ScalarLike(floor, static_cast<double>(k - taps / 2 + 1)));
      }
    }
    int64_t count = 1;
    for (int64_t d = 0; d < kSpatial; ++d) count *= taps;
    for (int64_t i = 0; i < count; ++i) {
      std::array<Op, kSpatial> pixel;
      Op weight;
      int64_t rest = i;
      for (int64_t d = kSpatial; d-- > 0; rest /= taps) {
        pixel[d] = pixels[d][rest % taps];
        const Op w = weights[d][rest % taps];
        weight = weight.valid() ? Mul(weight, w) : w;
      }
      const Op values = sample(pixel);
      const Op term =
          Mul(values, hlo::BroadcastInDim(weight, values.shape().dims, DimRange(0, kSpatial + 1)));
      result = result.valid() ? Add(result, term) : term;
    }
  }
  c.Return(MoveDim(result, kSpatial + 1, 1));
}

}  // namespace

OpTable GridSampleOps() {
  static constexpr OpLowering kOps[] = {
      {"aten::grid_sampler_2d", GridSampler<2>},
      {"aten::grid_sampler_3d", GridSampler<3>},
  };
  return kOps;
}

}  // namespace glia::lowering
