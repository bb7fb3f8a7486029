// Normalisations and softmax. All statistics are computed in f32.
#include "frontend/lowering/registry.h"

namespace glia::lowering {
namespace {

struct Statistics {
  Op mean, variance;  // reduced dims kept with size 1; the variance is the biased one
};

Statistics StatisticsOf(Op x, absl::Span<const int64_t> dims) {
  if (!x.valid()) return {};
  const Op count = ScalarLike(x, ProductOf(x.shape(), dims));
  const Op mean = Div(ReduceSum(x, dims, true), count);
  const Op centred = Sub(x, BroadcastTo(mean, x.shape().dims));
  return {mean, Div(ReduceSum(Mul(centred, centred), dims, true), count)};
}

Op RsqrtEps(Op variance, double eps) { return Rsqrt(Add(variance, ScalarLike(variance, eps))); }

// A saved statistic brought to the shape of the k-th result. Inference saves none: an empty tensor.
Op Saved(Ctx& c, Op statistic, size_t k) {
  if (!c.OutDefined(k)) return {};
  const Shape shape = c.Out(k);
  return shape.elements() == 0 ? hlo::Filled(c.builder(), shape, 0)
                               : Reshape(statistic, shape.dims);
}

// aten::native_layer_norm(Tensor input, int[] normalized_shape, Tensor? weight, Tensor? bias, float
// eps)
// -> (Tensor, Tensor mean, Tensor rstd)
void LayerNorm(Ctx& c) {
  const Op x = c.T(0, c.compute());
  const int64_t rank = x.shape().rank();
  const Dims dims = DimRange(rank - static_cast<int64_t>(c.Ints(1).size()), rank);
  const Statistics s = StatisticsOf(x, dims);
  const Op rstd = RsqrtEps(s.variance, c.Double(4));
  Op y = Mul(Sub(x, BroadcastTo(s.mean, x.shape().dims)), BroadcastTo(rstd, x.shape().dims));
  if (c.Has(2)) y = Mul(y, c.El(2));
  if (c.Has(3)) y = Add(y, c.El(3));
  c.Return({y, Saved(c, s.mean, 1), Saved(c, rstd, 2)});
}

// aten::native_group_norm(Tensor input, Tensor? weight, Tensor? bias, int N, int C, int HxW, int
// group,
//                         float eps) -> (Tensor, Tensor mean, Tensor rstd)
void GroupNorm(Ctx& c) {
  const Op x = c.T(0, c.compute());
  const int64_t n = c.Int(3), channels = c.Int(4), size = c.Int(5), groups = c.Int(6);
  const Dims grouped = {n, groups, channels / groups * size};
  const Op g = Reshape(x, grouped);
  const Statistics s = StatisticsOf(g, {2});
  const Op rstd = RsqrtEps(s.variance, c.Double(7));
  Op y = Mul(Sub(g, BroadcastTo(s.mean, grouped)), BroadcastTo(rstd, grouped));
  y = Reshape(y, x.shape().dims);
  if (c.Has(1)) y = Mul(y, AlongDim(Reshape(c.T(1, c.compute()), {channels}), x.shape().dims, 1));
  if (c.Has(2)) y = Add(y, AlongDim(Reshape(c.T(2, c.compute()), {channels}), x.shape().dims, 1));
  c.Return({y, Saved(c, s.mean, 1), Saved(c, rstd, 2)});
}

// ---- Batch norm.
struct BatchNormArgs {
  BatchNormArgs(bool training, double momentum, double eps)
      : training(training), momentum(momentum), eps(eps) {}
  bool training;
  double momentum, eps;
  int weight = 1, bias = 2, mean = -1, variance = -1;  // argument positions; -1: there is none
  bool returns_running = false;  // the new running statistics are the last two results
};

// x · scale + offset per channel, where scale = weight · rstd: the form eager computes.
void BatchNorm(Ctx& c, const BatchNormArgs& args) {
  const Op x = c.T(0, c.compute());
  const Dims& dims = x.shape().dims;
  const int64_t channels = dims[1];
  const auto argument = [&](int i) { return c.T(i, c.compute()); };
  const bool has_running = args.mean >= 0 && c.Has(args.mean);
  Op mean, variance;
  if (args.training || !has_running) {
    Dims reduced = DimRange(0, x.shape().rank());
    reduced.erase(reduced.begin() + 1);
    const Statistics s = StatisticsOf(x, reduced);
    mean = Reshape(s.mean, {channels});
    variance = Reshape(s.variance, {channels});
  } else {
    mean = argument(args.mean);
    variance = argument(args.variance);
  }
  const Op rstd = RsqrtEps(variance, args.eps);
  const Op scale = c.Has(args.weight) ? Mul(argument(args.weight), rstd) : rstd;
  Op offset = Neg(Mul(mean, scale));
  if (c.Has(args.bias)) offset = Add(argument(args.bias), offset);
  std::vector<Op> results = {Add(Mul(x, AlongDim(scale, dims, 1)), AlongDim(offset, dims, 1)),
                             Saved(c, mean, 1), Saved(c, rstd, 2)};
  const size_t last = c.OutCount() - (args.returns_running ? 2 : 0);
  for (size_t k = 3; k < last; ++k)
    results.push_back(hlo::Filled(c.builder(), c.Out(k), 0));  // reserved
  if (args.returns_running) {
    const double count = static_cast<double>(x.shape().elements()) / static_cast<double>(channels);
    const auto updated = [&](Op running, Op now) {
      if (!args.training) return running;
      return Add(Mul(running, c.Const(1 - args.momentum)), Mul(now, c.Const(args.momentum)));
    };
    results.push_back(updated(argument(args.mean), mean));
    results.push_back(
        updated(argument(args.variance), Mul(variance, c.Const(count / (count - 1)))));
  }
  c.Return(results);
}

// aten::native_batch_norm(Tensor input, Tensor? weight, Tensor? bias, Tensor? running_mean,
//     Tensor? running_var, bool training, float momentum, float eps) -> (Tensor, Tensor, Tensor)
void NativeBatchNorm(Ctx& c) {
  BatchNormArgs args{c.Bool(5), c.Double(6), c.Double(7)};
  args.mean = 3;
  args.variance = 4;
  args.returns_running = c.OutCount() == 5;  // _native_batch_norm_legit_functional
  BatchNorm(c, args);
}

// aten::_batch_norm_with_update_functional(Tensor input, Tensor? weight, Tensor? bias,
//     Tensor running_mean, Tensor running_var, float momentum, float eps)
// -> (Tensor, Tensor, Tensor, Tensor reserve, Tensor running_mean_out, Tensor running_var_out)
void BatchNormWithUpdate(Ctx& c) {
  BatchNormArgs args{true, c.Double(5), c.Double(6)};
  args.mean = 3;
  args.variance = 4;
  args.returns_running = true;
  BatchNorm(c, args);
}

// aten::_native_batch_norm_legit.no_stats(Tensor input, Tensor? weight, Tensor? bias, bool
// training,
//     float momentum, float eps)
void BatchNormNoStats(Ctx& c) { BatchNorm(c, {true, c.Double(4), c.Double(5)}); }

// aten::_native_batch_norm_legit_no_training(Tensor input, Tensor? weight, Tensor? bias,
//     Tensor running_mean, Tensor running_var, float momentum, float eps)
void BatchNormNoTraining(Ctx& c) {
  BatchNormArgs args{false, c.Double(5), c.Double(6)};
  args.mean = 3;
  args.variance = 4;
  BatchNorm(c, args);
}

// ---- Softmax. Arguments (self, dim, half_to_float).
template <bool kLog>
void Softmax(Ctx& c) {
  const Op x = c.T(0, c.compute());
  if (x.shape().rank() == 0) return c.Return(FullLike(x, kLog ? 0 : 1));
  const int64_t dim = c.Dim(1, x.shape().rank());
  const Op shifted = Sub(x, BroadcastTo(ReduceMax(x, {dim}, true), x.shape().dims));
  const Op e = Exp(shifted);
  const Op sum = ReduceSum(e, {dim}, true);
  c.Return(kLog ? Sub(shifted, BroadcastTo(Log(sum), x.shape().dims))
                : Div(e, BroadcastTo(sum, x.shape().dims)));
}

// aten::_safe_softmax(Tensor self, int dim, ScalarType? dtype=None): rows of -inf give 0
void SafeSoftmax(Ctx& c) {
  const Op x = c.T(0, c.compute());
  if (x.shape().rank() == 0) return c.Return(FullLike(x, 1));
  const int64_t dim = c.Dim(1, x.shape().rank());
  const Op max = ReduceMax(x, {dim}, true);
  const Op finite = Select(Eq(max, InfLike(x, true)), FullLike(max, 0), max);
  const Op e = Exp(Sub(x, BroadcastTo(finite, x.shape().dims)));
  const Op sum = ReduceSum(e, {dim}, true);
  const Op divisor = Select(Eq(sum, ScalarLike(x, 0)), FullLike(sum, 1), sum);
  c.Return(Div(e, BroadcastTo(divisor, x.shape().dims)));
}

}  // namespace

OpTable NormalisationOps() {
  static constexpr OpLowering kOps[] = {
      {"aten::_batch_norm_no_update", BatchNormNoTraining},
      {"aten::_batch_norm_with_update_functional", BatchNormWithUpdate},
      {"aten::_log_softmax", Softmax<true>},
      {"aten::_native_batch_norm_legit_functional", NativeBatchNorm},
      {"aten::_native_batch_norm_legit.no_stats", BatchNormNoStats},
      {"aten::_native_batch_norm_legit_no_training", BatchNormNoTraining},
      {"aten::_safe_softmax", SafeSoftmax},
      {"aten::_softmax", Softmax<false>},
      {"aten::native_batch_norm", NativeBatchNorm},
      {"aten::native_group_norm", GroupNorm},
      {"aten::native_layer_norm", LayerNorm},
  };
  return kOps;
}

}  // namespace glia::lowering
