// Gradients of activations, normalisations and convolutions. The first argument is the gradient of
// the forward result. (Gradients of pooling, losses and resampling are beside their operators.)
#include "frontend/lowering/ops/convolution.h"
#include "frontend/lowering/registry.h"

namespace glia::lowering {
namespace {

// ---- Activations.
// aten::threshold_backward(Tensor grad_output, Tensor self, Scalar threshold) -> Tensor
void ThresholdBackward(Ctx& c) {
  c.Return(Select(Le(c.El(1), c.ScalarEl(2)), FullLike(c.El(0), 0), c.El(0)));
}
void SigmoidBackward(Ctx& c) {
  const Op y = c.El(1);
  c.Return(Mul(c.El(0), Mul(Sub(c.Const(1), y), y)));
}
void TanhBackward(Ctx& c) {
  const Op y = c.El(1);
  c.Return(Mul(c.El(0), Sub(c.Const(1), Mul(y, y))));
}

// aten::gelu_backward(Tensor grad_output, Tensor self, *, str approximate="none") -> Tensor
void GeluBackward(Ctx& c) {
  const Op g = c.El(0), x = c.El(1);
  if (c.Str(2) != "tanh") return c.Return(Mul(g, Add(NormalCdf(x), Mul(x, NormalPdf(x)))));
  const Op square = Mul(x, x), one = c.Const(1), half = c.Const(0.5),
           k = c.Const(0.7978845608028654);
  const Op t = Tanh(Mul(k, Add(x, Mul(c.Const(0.044715), Mul(square, x)))));
  const Op inner_slope = Mul(k, Add(one, Mul(c.Const(3 * 0.044715), square)));
  const Op right = Mul(Mul(Mul(half, x), Sub(one, Mul(t, t))), inner_slope);
  c.Return(Mul(g, Add(Mul(half, Add(one, t)), right)));
}

void SiluBackward(Ctx& c) {
  const Op x = c.El(1), s = Logistic(x), one = c.Const(1);
  c.Return(Mul(c.El(0), Mul(s, Add(one, Mul(x, Sub(one, s))))));
}

void MishBackward(Ctx& c) {
  const Op x = c.El(1), t = Tanh(Softplus(x));
  const Op slope = Add(t, Mul(Mul(x, Logistic(x)), Sub(c.Const(1), Mul(t, t))));
  c.Return(Mul(c.El(0), slope));
}

// aten::leaky_relu_backward(Tensor grad_output, Tensor self, Scalar negative_slope, bool
// self_is_result)
void LeakyReluBackward(Ctx& c) {
  const Op g = c.El(0);
  c.Return(Select(Gt(c.El(1), c.Const(0)), g, Mul(g, c.ScalarEl(2))));
}

// aten::elu_backward(Tensor grad_output, Scalar alpha, Scalar scale, Scalar input_scale, bool
// is_result,
//                    Tensor self_or_result) -> Tensor
void EluBackward(Ctx& c) {
  const Op g = c.El(0), x = c.El(5);
  const double alpha = c.Double(1), scale = c.Double(2), input_scale = c.Double(3);
  const Op negative = c.Bool(4) ? Mul(Mul(g, c.Const(input_scale)), Add(x, c.Const(alpha * scale)))
                                : Mul(Mul(g, c.Const(input_scale * alpha * scale)),
                                      Exp(Mul(x, c.Const(input_scale))));
  c.Return(Select(Le(x, c.Const(0)), negative, Mul(g, c.Const(scale))));
}

// aten::softplus_backward(Tensor grad_output, Tensor self, Scalar beta, Scalar threshold) -> Tensor
void SoftplusBackward(Ctx& c) {
  const Op g = c.El(0), scaled = Mul(c.El(1), c.ScalarEl(2));
  c.Return(Select(Gt(scaled, c.ScalarEl(3)), g, Mul(g, Logistic(scaled))));
}

void LogSigmoidBackward(Ctx& c) { c.Return(Mul(c.El(0), Logistic(Neg(c.El(1))))); }

// aten::hardtanh_backward(Tensor grad_output, Tensor self, Scalar min_val, Scalar max_val) ->
// Tensor
void HardtanhBackward(Ctx& c) {
  const Op g = c.El(0), x = c.El(1);
  const Op outside = Or(Le(x, c.ScalarEl(2)), Ge(x, c.ScalarEl(3)));
  c.Return(Select(outside, FullLike(g, 0), g));
}
void HardsigmoidBackward(Ctx& c) {
  const Op g = c.El(0), x = c.El(1);
  const Op inside = And(Gt(x, c.Const(-3)), Lt(x, c.Const(3)));
  c.Return(Select(inside, Div(g, c.Const(6)), FullLike(g, 0)));
}
void HardswishBackward(Ctx& c) {
  const Op g = c.El(0), x = c.El(1);
  const Op middle = Mul(g, Add(Div(x, c.Const(3)), c.Const(0.5)));
  c.Return(Select(Lt(x, c.Const(-3)), FullLike(g, 0), Select(Le(x, c.Const(3)), middle, g)));
}
// aten::hardshrink_backward(Tensor grad_out, Tensor self, Scalar lambd); softshrink_backward too
void ShrinkBackward(Ctx& c) {
  const Op g = c.El(0);
  c.Return(Select(Le(Abs(c.El(1)), c.ScalarEl(2)), FullLike(g, 0), g));
}

// aten::glu_backward(Tensor grad_output, Tensor self, int dim) -> Tensor
void GluBackward(Ctx& c) {
  const Op g = c.T(0, c.compute()), x = c.T(1, c.compute());
  const int64_t dim = c.Dim(2, x.shape().rank()), half = x.shape().dim(dim) / 2;
  const Op a = SliceInDim(x, 0, half, 1, dim);
  const Op s = Logistic(SliceInDim(x, half, 2 * half, 1, dim));
  const Op grad_a = Mul(g, s);
  c.Return(hlo::Concatenate({grad_a, Mul(Mul(grad_a, Sub(c.Const(1), s)), a)}, dim));
}

// aten::_prelu_kernel_backward(Tensor grad_output, Tensor self, Tensor weight) -> (Tensor, Tensor)
void PreluKernelBackward(Ctx& c) {
  const Op g = c.El(0), x = c.El(1), zero = FullLike(g, 0);
  const Op positive = Gt(x, c.Const(0));
  c.Return({Select(positive, g, Mul(c.El(2), g)), Select(positive, zero, Mul(x, g))});
}

// aten::prelu_backward(Tensor grad_output, Tensor self, Tensor weight) -> (Tensor, Tensor): one
// weight, or one per channel (dim 1)
void PreluBackward(Ctx& c) {
  const PrimitiveType type = c.compute();
  const Op g = c.T(0, type), x = c.T(1, type), zero = FullLike(g, 0);
  const Dims& dims = x.shape().dims;
  const int64_t channel = x.shape().rank() > 1 ? 1 : 0, weights = c.T(2).shape().elements();
  const Op weight = weights == 1 ? BroadcastTo(Reshape(c.T(2, type), {}), dims)
                                 : AlongDim(c.T(2, type), dims, channel);
  const Op positive = Gt(x, c.Const(0));
  const Op by_weight = Select(positive, zero, Mul(x, g));
  Dims reduced;
  for (int64_t d = 0; d < x.shape().rank(); ++d) {
    if (weights == 1 || d != channel) reduced.push_back(d);
  }
  c.Return(
      {Select(positive, g, Mul(weight, g)), Reshape(ReduceSum(by_weight, reduced), c.Out(1).dims)});
}

// ---- Softmax. Arguments (grad_output, output, dim, input_dtype).
template <bool kLog>
void SoftmaxBackward(Ctx& c) {
  const Op g = c.El(0), y = c.El(1);
  if (y.shape().rank() == 0) return c.Return(FullLike(g, 0));
  const int64_t dim = c.Dim(2, y.shape().rank());
  const Op sum = BroadcastTo(ReduceSum(kLog ? g : Mul(g, y), {dim}, true), y.shape().dims);
  c.Return(kLog ? Sub(g, Mul(Exp(y), sum)) : Mul(Sub(g, sum), y));
}

// ---- Normalisations.
// The gradient through x̂ = (x - mean) · rstd, both statistics of x over `dims`, given that of x̂.
Op ThroughStatistics(Op grad_hat, Op x_hat, Op rstd, absl::Span<const int64_t> dims) {
  if (!grad_hat.valid()) return grad_hat;
  const Shape& shape = grad_hat.shape();
  const Op count = ScalarLike(grad_hat, static_cast<double>(ProductOf(shape, dims)));
  const auto mean = [&](Op v) {
    return BroadcastTo(Div(ReduceSum(v, dims, true), count), shape.dims);
  };
  const Op centred = Sub(Sub(grad_hat, mean(grad_hat)), Mul(x_hat, mean(Mul(grad_hat, x_hat))));
  return Mul(rstd, centred);
}

// aten::native_layer_norm_backward(Tensor grad_out, Tensor input, int[] normalized_shape, Tensor
// mean,
//     Tensor rstd, Tensor? weight, Tensor? bias, bool[3] output_mask) -> (Tensor, Tensor, Tensor)
void LayerNormBackward(Ctx& c) {
  const PrimitiveType type = Ctx::ComputeType(c.T(1).shape().type);
  const Op g = c.T(0, type), x = c.T(1, type);
  const Dims& dims = x.shape().dims;
  const int64_t rank = x.shape().rank(), outer = rank - static_cast<int64_t>(c.Ints(2).size());
  const Op rstd = BroadcastTo(c.T(4, type), dims);
  const Op x_hat = Mul(Sub(x, BroadcastTo(c.T(3, type), dims)), rstd);
  const Op grad_hat = c.Has(5) ? Mul(g, BroadcastTo(c.T(5, type), dims)) : g;
  c.Return({ThroughStatistics(grad_hat, x_hat, rstd, DimRange(outer, rank)),
            ReduceSum(Mul(g, x_hat), DimRange(0, outer)), ReduceSum(g, DimRange(0, outer))});
}

// aten::native_group_norm_backward(Tensor grad_out, Tensor input, Tensor mean, Tensor rstd, Tensor?
// weight,
//     int N, int C, int HxW, int group, bool[3] output_mask) -> (Tensor, Tensor, Tensor)
void GroupNormBackward(Ctx& c) {
  const PrimitiveType type = Ctx::ComputeType(c.T(1).shape().type);
  const int64_t n = c.Int(5), channels = c.Int(6), size = c.Int(7), groups = c.Int(8);
  const Dims dims = {n, groups, channels / groups, size};
  const Op g = Reshape(c.T(0, type), dims), x = Reshape(c.T(1, type), dims);
  const auto statistic = [&](size_t i) {
    return hlo::BroadcastInDim(Reshape(c.T(i, type), {n, groups}), dims, {0, 1});
  };
  const Op rstd = statistic(3);
  const Op x_hat = Mul(Sub(x, statistic(2)), rstd);
  Op grad_hat = g;
  if (c.Has(4)) {
    const Op weight = Reshape(c.T(4, type), {groups, channels / groups});
    grad_hat = Mul(g, hlo::BroadcastInDim(weight, dims, {1, 2}));
  }
  const auto per_channel = [&](Op v) { return Reshape(ReduceSum(v, {0, 3}), {channels}); };
  c.Return({Reshape(ThroughStatistics(grad_hat, x_hat, rstd, {2, 3}), c.T(1).shape().dims),
            per_channel(Mul(g, x_hat)), per_channel(g)});
}

// aten::native_batch_norm_backward(Tensor grad_out, Tensor input, Tensor? weight, Tensor?
// running_mean,
//     Tensor? running_var, Tensor? save_mean, Tensor? save_invstd, bool train, float eps,
//     bool[3] output_mask) -> (Tensor, Tensor, Tensor)
void BatchNormBackward(Ctx& c) {
  const PrimitiveType type = Ctx::ComputeType(c.T(1).shape().type);
  const Op g = c.T(0, type), x = c.T(1, type);
  const Dims dims = x.shape().dims;
  const bool train = c.Bool(7);
  Op mean = c.T(train ? 5 : 3, type), rstd;
  if (train) {
    rstd = c.T(6, type);
  } else {
    const Op variance = c.T(4, type);
    rstd = Rsqrt(Add(variance, ScalarLike(variance, c.Double(8))));
  }
  rstd = AlongDim(rstd, dims, 1);
  const Op x_hat = Mul(Sub(x, AlongDim(mean, dims, 1)), rstd);
  const Op grad_hat = c.Has(2) ? Mul(g, AlongDim(c.T(2, type), dims, 1)) : g;
  Dims reduced = DimRange(0, x.shape().rank());
  reduced.erase(reduced.begin() + 1);
  c.Return({train ? ThroughStatistics(grad_hat, x_hat, rstd, reduced) : Mul(grad_hat, rstd),
            ReduceSum(Mul(g, x_hat), reduced), ReduceSum(g, reduced)});
}

// ---- Convolution.
// The gradient of a forward convolution's weight: `input` slides over, `grad` is the kernel, and
// the batch is what is summed over.
Op WeightGradient(Op input, Op grad, const Dims& kernel, const ConvParams& p) {
  const int64_t spatial = input.shape().rank() - 2;
  hlo::ConvDims dims = hlo::DefaultConvDims(spatial);
  dims.input_batch = 1;
  dims.input_feature = 0;
  dims.kernel_input_feature = 0;
  dims.kernel_output_feature = 1;
  dims.output_batch = 1;
  dims.output_feature = 0;
  hlo::Window window(spatial);
  for (int64_t d = 0; d < spatial; ++d) {
    const int64_t size = grad.shape().dim(d + 2);
    const int64_t extent = (kernel[d] - 1) * p.dilation[d] + (size - 1) * p.stride[d] + 1;
    window[d].size = size;
    window[d].stride = p.dilation[d];
    window[d].window_dilation = p.stride[d];
    window[d].pad_low = p.padding[d];
    window[d].pad_high = extent - input.shape().dim(d + 2) - p.padding[d];
  }
  return Conv(input, grad, window, dims, 1, p.groups, Ctx::ComputeType(input.shape().type));
}

// Arguments (grad_output, input, weight), the convolution's from `first`; output_mask is the last.
void ConvolutionBackwardFrom(Ctx& c, size_t first) {
  const Op g = c.T(0), x = c.T(1), weight = c.T(2);
  const int64_t spatial = x.shape().rank() - 2;
  const ConvParams forward = ReadConvParams(c, first, spatial);
  ConvParams back = forward;
  back.transposed = !forward.transposed;
  Dims kernel;
  for (int64_t d = 0; d < spatial; ++d) {
    kernel.push_back(weight.shape().dim(d + 2));
    const int64_t covered = (g.shape().dim(d + 2) - 1) * forward.stride[d] -
                            2 * forward.padding[d] + forward.dilation[d] * (kernel[d] - 1) + 1;
    back.output_padding[d] = forward.transposed ? 0 : x.shape().dim(d + 2) - covered;
  }
  std::vector<Op> results(3);
  if (c.OutDefined(0)) results[0] = Convolution(g, weight, back);
  if (c.OutDefined(1)) {
    results[1] = forward.transposed ? WeightGradient(g, x, kernel, forward)
                                    : WeightGradient(x, g, kernel, forward);
  }
  if (c.OutDefined(2)) {
    Dims reduced = DimRange(0, g.shape().rank());
    reduced.erase(reduced.begin() + 1);
    results[2] = ReduceSum(Convert(g, Ctx::ComputeType(g.shape().type)), reduced);
  }
  c.Return(results);
}

// aten::convolution_backward_overrideable(Tensor grad_output, Tensor input, Tensor weight, int[]
// stride,
//     int[] padding, int[] dilation, bool transposed, int[] output_padding, int groups,
//     bool[3] output_mask) -> (Tensor grad_input, Tensor grad_weight, Tensor grad_bias)
void ConvolutionBackwardOverrideable(Ctx& c) { ConvolutionBackwardFrom(c, 3); }
// aten::convolution_backward: the same with int[]? bias_sizes before stride
void ConvolutionBackward(Ctx& c) { ConvolutionBackwardFrom(c, 4); }

}  // namespace

OpTable BackwardOps() {
  static constexpr OpLowering kOps[] = {
      {"aten::_log_softmax_backward_data", SoftmaxBackward<true>},
      {"aten::_prelu_kernel_backward", PreluKernelBackward},
      {"aten::_softmax_backward_data", SoftmaxBackward<false>},
      {"aten::convolution_backward", ConvolutionBackward},
      {"aten::convolution_backward_overrideable", ConvolutionBackwardOverrideable},
      {"aten::elu_backward", EluBackward},
      {"aten::gelu_backward", GeluBackward},
      {"aten::glu_backward", GluBackward},
      {"aten::hardshrink_backward", ShrinkBackward},
      {"aten::hardsigmoid_backward", HardsigmoidBackward},
      {"aten::hardswish_backward", HardswishBackward},
      {"aten::hardtanh_backward", HardtanhBackward},
      {"aten::leaky_relu_backward", LeakyReluBackward},
      {"aten::log_sigmoid_backward", LogSigmoidBackward},
      {"aten::mish_backward", MishBackward},
      {"aten::native_batch_norm_backward", BatchNormBackward},
      {"aten::native_group_norm_backward", GroupNormBackward},
      {"aten::native_layer_norm_backward", LayerNormBackward},
      {"aten::prelu_backward", PreluBackward},
      {"aten::sigmoid_backward", SigmoidBackward},
      {"aten::silu_backward", SiluBackward},
      {"aten::softplus_backward", SoftplusBackward},
      {"aten::softshrink_backward", ShrinkBackward},
      {"aten::tanh_backward", TanhBackward},
      {"aten::threshold_backward", ThresholdBackward},
  };
  return kOps;
}

}  // namespace glia::lowering
