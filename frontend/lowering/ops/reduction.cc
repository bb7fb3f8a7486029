// Reductions.
#include <cmath>
#include <limits>

#include "frontend/lowering/registry.h"

namespace glia::lowering {
namespace {

using Reducer = Op (*)(Op, absl::Span<const int64_t>, bool);

// The whole tensor.
template <Reducer kReduce>
void Full(Ctx& c) {
  const Op x = c.T(0, c.compute());
  c.Return(kReduce(x, DimRange(0, x.shape().rank()), false));
}

// Arguments (self, dims, keepdim); no dims mean all.
template <Reducer kReduce>
void OverDims(Ctx& c) {
  const Op x = c.T(0, c.compute());
  c.Return(kReduce(x, c.DimsOrAll(1, x.shape().rank()), c.Bool(2)));
}

// The same for predicates, which any type can be read as.
template <Reducer kReduce>
void Predicates(Ctx& c) {
  const Op x = c.T(0, hlo::kPred);
  c.Return(kReduce(x, c.DimsOrAll(1, x.shape().rank()), c.Bool(2)));
}

Op Mean(Op x, absl::Span<const int64_t> dims, bool keepdim) {
  if (!x.valid()) return x;
  return Div(ReduceSum(x, dims, keepdim), ScalarLike(x, ProductOf(x.shape(), dims)));
}

Op WithoutNan(Op x) { return Select(IsNan(x), FullLike(x, 0), x); }

// aten::nansum(Tensor self, int[1]? dim=None, bool keepdim=False, *, ScalarType? dtype=None) ->
// Tensor
void NanSum(Ctx& c) {
  const Op x = WithoutNan(c.T(0, c.compute()));
  c.Return(ReduceSum(x, c.DimsOrAll(1, x.shape().rank()), c.Bool(2)));
}

Op ExtremeOver(Ctx& c, Op x, bool largest) {
  const Dims dims = c.DimsOrAll(1, x.shape().rank());
  return largest ? ReduceMax(x, dims, c.Bool(2)) : ReduceMin(x, dims, c.Bool(2));
}

// aten::aminmax(Tensor self, *, int? dim=None, bool keepdim=False) -> (Tensor min, Tensor max)
void AMinMax(Ctx& c) {
  const Op x = c.T(0, c.compute());
  c.Return({ExtremeOver(c, x, false), ExtremeOver(c, x, true)});
}

// aten::max.dim(Tensor self, int dim, bool keepdim=False) -> (Tensor values, Tensor indices)
template <bool kLargest>
void ExtremeOfDim(Ctx& c) {
  const Op x = c.T(0, c.compute());
  if (x.shape().rank() == 0) return c.Return({x, hlo::Filled(c.builder(), c.Out(1), 0)});
  const int64_t dim = c.Dim(1, x.shape().rank());
  const auto found = ArgExtreme(x, dim, kLargest);
  c.Return({Reshape(found.first, c.Out(0).dims), Reshape(found.second, c.Out(1).dims)});
}

// aten::argmax(Tensor self, int? dim=None, bool keepdim=False) -> Tensor
template <bool kLargest>
void ArgExtremeOp(Ctx& c) {
  Op x = c.T(0);
  if (x.shape().type == hlo::kPred) x = Convert(x, hlo::kS8);
  int64_t dim = 0;
  if (c.Has(1) && x.shape().rank() > 0) {
    dim = c.Dim(1, x.shape().rank());
  } else {
    x = Reshape(x, {x.shape().elements()});
  }
  c.Return(Reshape(ArgExtreme(x, dim, kLargest).second, c.Out().dims));
}

// ---- Variance. Arguments (self, dims, correction, keepdim).
struct Moments {
  Op mean, variance;  // reduced dims kept with size 1
};
Moments MomentsOf(Ctx& c, Op x) {
  const Dims dims = c.DimsOrAll(1, x.shape().rank());
  const double count = static_cast<double>(ProductOf(x.shape(), dims));
  const double divisor = std::max(0.0, count - c.Double(2, 1));
  const Op mean = Mean(x, dims, true);
  const Op centred = Sub(x, BroadcastTo(mean, x.shape().dims));
  const Op sum = ReduceSum(Mul(centred, centred), dims, true);
  return {mean, Div(sum, ScalarLike(x, divisor))};
}
template <bool kRoot>
void Variance(Ctx& c) {
  const Op variance = MomentsOf(c, c.T(0, c.compute())).variance;
  c.Return(Reshape(kRoot ? Sqrt(variance) : variance, c.Out().dims));
}
template <bool kRoot>
void VarianceAndMean(Ctx& c) {
  const Moments m = MomentsOf(c, c.T(0, c.compute()));
  c.Return({Reshape(kRoot ? Sqrt(m.variance) : m.variance, c.Out(0).dims),
            Reshape(m.mean, c.Out(1).dims)});
}

// ---- Norms.
Op Norm(Op x, double p, absl::Span<const int64_t> dims, bool keepdim) {
  if (!x.valid()) return x;
  const Op size = Abs(x);
  if (p == std::numeric_limits<double>::infinity()) return ReduceMax(size, dims, keepdim);
  if (p == -std::numeric_limits<double>::infinity()) return ReduceMin(size, dims, keepdim);
  if (p == 0) return ReduceSum(Convert(NotZero(x), x.shape().type), dims, keepdim);
  if (p == 1) return ReduceSum(size, dims, keepdim);
  if (p == 2) return Sqrt(ReduceSum(Mul(x, x), dims, keepdim));
  const Op sum = ReduceSum(Pow(size, FullLike(size, p)), dims, keepdim);
  return Pow(sum, FullLike(sum, 1 / p));
}

// Arguments (self, p, dims, keepdim).
void NormOp(Ctx& c) {
  const Op x = c.T(0, c.compute());
  c.Return(Norm(x, c.Double(1, 2), c.DimsOrAll(2, x.shape().rank()), c.Bool(3)));
}

// aten::norm.Scalar(Tensor self, Scalar p=2), aten::norm.ScalarOpt_dtype(Tensor self, Scalar? p, *,
// dtype)
void NormOfAll(Ctx& c) {
  const Op x = c.T(0, c.compute());
  c.Return(Norm(x, c.Double(1, 2), DimRange(0, x.shape().rank()), false));
}

// aten::dist(Tensor self, Tensor other, Scalar p=2) -> Tensor
void Dist(Ctx& c) {
  const Dims dims = BroadcastDims({c.T(0).shape().dims, c.T(1).shape().dims});
  const Op x = Sub(BroadcastTo(c.T(0, c.compute()), dims), BroadcastTo(c.T(1, c.compute()), dims));
  c.Return(Norm(x, c.Double(2, 2), DimRange(0, x.shape().rank()), false));
}

// aten::_cdist_forward(Tensor x1, Tensor x2, float p, int? compute_mode) -> Tensor
// Distances of all rows of x1 [.., m, k] from all rows of x2 [.., n, k].
void CDist(Ctx& c) {
  Dims dims = c.Out().dims;
  const int64_t rank = c.Out().rank(), width = c.T(0).shape().dims.back();
  dims.push_back(width);
  const Op a = Unsqueeze(c.T(0, c.compute()), c.T(0).shape().rank() - 1);
  const Op b = Unsqueeze(c.T(1, c.compute()), c.T(1).shape().rank() - 2);
  c.Return(Norm(Sub(BroadcastTo(a, dims), BroadcastTo(b, dims)), c.Double(2), {rank}, false));
}

// aten::_weight_norm_interface(Tensor v, Tensor g, int dim=0) -> (Tensor, Tensor norms)
void WeightNorm(Ctx& c) {
  const Op v = c.T(0, c.compute()), g = c.T(1, c.compute());
  const int64_t rank = v.shape().rank(), dim = Ctx::Wrap(c.Int(2, 0), rank);
  Dims dims;
  for (int64_t d = 0; d < rank; ++d) {
    if (d != dim) dims.push_back(d);
  }
  const Op norms = Norm(v, 2, dims, true);
  const Op factor = Div(Reshape(g, norms.shape().dims), norms);
  c.Return({Mul(v, BroadcastTo(factor, v.shape().dims)), Reshape(norms, c.Out(1).dims)});
}

// aten::logsumexp(Tensor self, int[1] dim, bool keepdim=False) -> Tensor
void LogSumExp(Ctx& c) {
  const Op x = c.T(0, c.compute());
  const Dims dims = c.DimsOrAll(1, x.shape().rank());
  Op max = ReduceMax(x, dims, true);
  max = Select(IsInf(max), FullLike(max, 0), max);
  const Op sum = ReduceSum(Exp(Sub(x, BroadcastTo(max, x.shape().dims))), dims, true);
  c.Return(Reshape(Add(Log(sum), max), c.Out().dims));
}

// aten::count_nonzero.dim_IntList(Tensor self, int[] dim) -> Tensor
void CountNonzero(Ctx& c) {
  const Op x = Convert(c.T(0, hlo::kPred), hlo::kS64);
  c.Return(ReduceSum(x, c.DimsOrAll(1, x.shape().rank())));
}

// aten::trace(Tensor self) -> Tensor
void Trace(Ctx& c) {
  const Op x = c.T(0, c.compute());
  const Op diagonal = Eq(IotaOf(c.builder(), hlo::kS32, x.shape().dims, 0),
                         IotaOf(c.builder(), hlo::kS32, x.shape().dims, 1));
  c.Return(ReduceSum(Select(diagonal, x, FullLike(x, 0)), {0, 1}));
}

}  // namespace

OpTable ReductionOps() {
  static constexpr OpLowering kOps[] = {
      {"aten::_aminmax", AMinMax},
      {"aten::_aminmax.dim", AMinMax},
      {"aten::_cdist_forward", CDist},
      {"aten::_weight_norm_interface", WeightNorm},
      {"aten::all", Predicates<ReduceAnd>},
      {"aten::all.dim", Predicates<ReduceAnd>},
      {"aten::all.dims", Predicates<ReduceAnd>},
      {"aten::amax", OverDims<ReduceMax>},
      {"aten::amin", OverDims<ReduceMin>},
      {"aten::aminmax", AMinMax},
      {"aten::any", Predicates<ReduceOr>},
      {"aten::any.dim", Predicates<ReduceOr>},
      {"aten::any.dims", Predicates<ReduceOr>},
      {"aten::argmax", ArgExtremeOp<true>},
      {"aten::argmin", ArgExtremeOp<false>},
      {"aten::count_nonzero", CountNonzero},
      {"aten::count_nonzero.dim_IntList", CountNonzero},
      {"aten::dist", Dist},
      {"aten::linalg_vector_norm", NormOp},
      {"aten::logsumexp", LogSumExp},
      {"aten::max", Full<ReduceMax>},
      {"aten::max.dim", ExtremeOfDim<true>},
      {"aten::mean", Full<Mean>},
      {"aten::mean.dim", OverDims<Mean>},
      {"aten::min", Full<ReduceMin>},
      {"aten::min.dim", ExtremeOfDim<false>},
      {"aten::nansum", NanSum},
      {"aten::norm.Scalar", NormOfAll},
      {"aten::norm.ScalarOpt_dim", NormOp},
      {"aten::norm.ScalarOpt_dim_dtype", NormOp},
      {"aten::norm.ScalarOpt_dtype", NormOfAll},
      {"aten::prod", Full<ReduceProd>},
      {"aten::prod.dim_int", OverDims<ReduceProd>},
      {"aten::std.correction", Variance<true>},
      {"aten::std_mean.correction", VarianceAndMean<true>},
      {"aten::sum", Full<ReduceSum>},
      {"aten::sum.dim_IntList", OverDims<ReduceSum>},
      {"aten::trace", Trace},
      {"aten::var.correction", Variance<false>},
      {"aten::var_mean.correction", VarianceAndMean<false>},
  };
  return kOps;
}

}  // namespace glia::lowering
