#include "frontend/lowering/ops/convolution.h"

#include <numeric>

#include "frontend/lowering/registry.h"

namespace glia::lowering {
namespace {

Op ForwardConvolution(Op input, Op weight, const ConvParams& p) {
  const int64_t spatial = input.shape().rank() - 2;
  hlo::Window window(spatial);
  for (int64_t d = 0; d < spatial; ++d) {
    window[d].size = weight.shape().dim(d + 2);
    window[d].stride = p.stride[d];
    window[d].pad_low = window[d].pad_high = p.padding[d];
    window[d].window_dilation = p.dilation[d];
  }
  return Conv(input, weight, window, hlo::DefaultConvDims(spatial), p.groups, 1,
              Ctx::ComputeType(input.shape().type));
}

// The gradient of a convolution with respect to its input: the input's elements `stride` apart, the
// kernel turned around, input and output features exchanged.
Op TransposedConvolution(Op input, Op weight, const ConvParams& p) {
  const int64_t spatial = input.shape().rank() - 2;
  const Dims& w = weight.shape().dims;
  Dims turned(spatial);
  std::iota(turned.begin(), turned.end(), 2);
  weight = Rev(weight, turned);
  if (p.groups > 1) {
    // [groups · in, out, k…] → [in, groups · out, k…]
    Dims split = {p.groups, w[0] / p.groups};
    split.insert(split.end(), w.begin() + 1, w.end());
    Dims joined = {w[0] / p.groups, p.groups * w[1]};
    joined.insert(joined.end(), w.begin() + 2, w.end());
    weight = Reshape(SwapDims(Reshape(weight, split), 0, 1), joined);
  }
  hlo::Window window(spatial);
  for (int64_t d = 0; d < spatial; ++d) {
    const int64_t reach = p.dilation[d] * (w[d + 2] - 1);
    window[d].size = w[d + 2];
    window[d].pad_low = reach - p.padding[d];
    window[d].pad_high = reach - p.padding[d] + p.output_padding[d];
    window[d].window_dilation = p.dilation[d];
    window[d].base_dilation = p.stride[d];
  }
  hlo::ConvDims dims = hlo::DefaultConvDims(spatial);
  dims.kernel_input_feature = 0;
  dims.kernel_output_feature = 1;
  return Conv(input, weight, window, dims, p.groups, 1, Ctx::ComputeType(input.shape().type));
}

// aten::convolution(Tensor input, Tensor weight, Tensor? bias, int[] stride, int[] padding,
//                   int[] dilation, bool transposed, int[] output_padding, int groups) -> Tensor
void ConvolutionOp(Ctx& c) {
  const Op input = c.T(0);
  const Op product = Convolution(input, c.T(1), ReadConvParams(c, 3, input.shape().rank() - 2));
  c.Return(c.Has(2) ? Add(product, AlongDim(c.T(2, c.compute()), c.Out().dims, 1)) : product);
}

}  // namespace

ConvParams ReadConvParams(const Ctx& c, size_t first, int64_t spatial_rank) {
  const auto list = [&](size_t i, int64_t if_absent) {
    Dims values = c.Ints(i);
    if (values.empty()) values = {if_absent};
    if (values.size() == 1) values.resize(spatial_rank, values[0]);
    return values;
  };
  ConvParams params;
  params.stride = list(first, 1);
  params.padding = list(first + 1, 0);
  params.dilation = list(first + 2, 1);
  params.transposed = c.Bool(first + 3);
  params.output_padding = list(first + 4, 0);
  params.groups = c.Int(first + 5);
  return params;
}

Op Convolution(Op input, Op weight, const ConvParams& params) {
  if (!input.valid() || !weight.valid()) return {};
  return params.transposed ? TransposedConvolution(input, weight, params)
                           : ForwardConvolution(input, weight, params);
}

OpTable ConvolutionOps() {
  static constexpr OpLowering kOps[] = {
      {"aten::_convolution", ConvolutionOp},
      {"aten::convolution", ConvolutionOp},
      {"aten::convolution_overrideable", ConvolutionOp},
  };
  return kOps;
}

}  // namespace glia::lowering
