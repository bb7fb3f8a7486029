// Losses and their gradients. `reduction` is 0 for none, 1 for the mean, 2 for the sum.
#include <cmath>

#include "frontend/lowering/registry.h"

namespace glia::lowering {
namespace {

constexpr int64_t kNone = 0, kMean = 1;

Dims AllDims(Op x) { return DimRange(0, x.shape().rank()); }

void ReturnReduced(Ctx& c, Op loss, int64_t reduction) {
  if (!loss.valid() || reduction == kNone) return c.Return(loss);
  const Op sum = ReduceSum(loss, AllDims(loss));
  c.Return(reduction == kMean ? Div(sum, c.Const(static_cast<double>(loss.shape().elements())))
                              : sum);
}

// Two tensors in the compute type, broadcast against each other.
std::pair<Op, Op> Pair(Ctx& c, size_t i) {
  const Op a = c.T(i, c.compute()), b = c.T(i + 1, c.compute());
  const Dims dims = BroadcastDims({a.shape().dims, b.shape().dims});
  return {BroadcastTo(a, dims), BroadcastTo(b, dims)};
}

// ---- Element-wise losses. Arguments (self, target, reduction, parameter).
Op Square(Op d, double) { return Mul(d, d); }
Op SmoothL1(Op d, double beta) {
  const Op z = Abs(d);
  if (beta == 0) return z;
  const Op small = Div(Mul(Mul(ScalarLike(d, 0.5), z), z), ScalarLike(d, beta));
  return Select(Lt(z, ScalarLike(d, beta)), small, Sub(z, ScalarLike(d, 0.5 * beta)));
}
Op Huber(Op d, double delta) {
  const Op z = Abs(d);
  const Op small = Mul(Mul(ScalarLike(d, 0.5), z), z);
  const Op large = Mul(ScalarLike(d, delta), Sub(z, ScalarLike(d, 0.5 * delta)));
  return Select(Le(z, ScalarLike(d, delta)), small, large);
}
template <Op (*kLoss)(Op, double)>
void Elementwise(Ctx& c) {
  const auto [x, y] = Pair(c, 0);
  ReturnReduced(c, kLoss(Sub(x, y), c.Double(3, 1)), c.Int(2));
}

// Derivatives by the difference. Arguments (grad_output, self, target, reduction, parameter).
Op SquareSlope(Op d, double) { return Mul(ScalarLike(d, 2), d); }
Op SmoothL1Slope(Op d, double beta) {
  const Op b = ScalarLike(d, beta);
  return Select(Lt(Abs(d), b), Div(d, b), Sign(d));
}
Op HuberSlope(Op d, double delta) {
  const Op limit = ScalarLike(d, delta);
  return Clamp(Neg(limit), d, limit);
}
template <Op (*kSlope)(Op, double)>
void ElementwiseBackward(Ctx& c) {
  const auto [x, y] = Pair(c, 1);
  Op grad =
      Mul(BroadcastTo(c.T(0, c.compute()), x.shape().dims), kSlope(Sub(x, y), c.Double(4, 1)));
  if (c.Int(3) == kMean) grad = Div(grad, c.Const(static_cast<double>(x.shape().elements())));
  c.Return(grad);
}

// ---- Cross entropy of probabilities.
// aten::binary_cross_entropy(Tensor self, Tensor target, Tensor? weight=None, int reduction=1) ->
// Tensor
void BinaryCrossEntropy(Ctx& c) {
  const auto [x, y] = Pair(c, 0);
  const Op one = ScalarLike(x, 1),
           floor = ScalarLike(x, -100);  // as eager: logs no smaller than -100
  const Op log_x = Max(Log(x), floor), log_not_x = Max(Log1p(Neg(x)), floor);
  Op loss = Sub(Mul(Sub(y, one), log_not_x), Mul(y, log_x));
  if (c.Has(2)) loss = Mul(loss, BroadcastTo(c.T(2, c.compute()), loss.shape().dims));
  ReturnReduced(c, loss, c.Int(3));
}

// aten::binary_cross_entropy_backward(Tensor grad_output, Tensor self, Tensor target, Tensor?
// weight,
//                                     int reduction) -> Tensor
void BinaryCrossEntropyBackward(Ctx& c) {
  const auto [x, y] = Pair(c, 1);
  const Op variance = Max(Mul(Sub(ScalarLike(x, 1), x), x), ScalarLike(x, 1e-12));
  Op grad = Mul(BroadcastTo(c.T(0, c.compute()), x.shape().dims), Div(Sub(x, y), variance));
  if (c.Has(3)) grad = Mul(grad, BroadcastTo(c.T(3, c.compute()), grad.shape().dims));
  if (c.Int(4) == kMean) grad = Div(grad, c.Const(static_cast<double>(x.shape().elements())));
  c.Return(grad);
}

// aten::binary_cross_entropy_with_logits(Tensor self, Tensor target, Tensor? weight=None,
//                                        Tensor? pos_weight=None, int reduction=1) -> Tensor
void BceWithLogits(Ctx& c) {
  const auto [x, y] = Pair(c, 0);
  const Op one = ScalarLike(x, 1);
  const Op soft = Softplus(Neg(x));  // -log sigmoid(x)
  Op loss = Mul(Sub(one, y), x);
  if (c.Has(3)) {
    const Op pos = BroadcastTo(c.T(3, c.compute()), x.shape().dims);
    loss = Add(loss, Mul(Add(Mul(Sub(pos, one), y), one), soft));
  } else {
    loss = Add(loss, soft);
  }
  if (c.Has(2)) loss = Mul(loss, BroadcastTo(c.T(2, c.compute()), loss.shape().dims));
  ReturnReduced(c, loss, c.Int(4));
}

// ---- Negative log likelihood of log probabilities x [n, classes, …] or [classes], for class
// numbers.
struct Nll {
  Op chosen;  // pred [n, classes, …]: the target's class
  Op weight;  // [n, 1, …]: its class weight, 0 where it is ignored
  Dims dims;  // [n, classes, …]
};

// `arg` is the position of self; target, weight, reduction and ignore_index follow.
Nll ReadNll(Ctx& c, size_t arg, Op x) {
  Nll nll;
  nll.dims = x.shape().dims;
  Dims target_dims = nll.dims;
  target_dims[1] = 1;
  const Op target = Reshape(c.T(arg + 1), target_dims);
  const PrimitiveType index_type = target.shape().type;
  const Op class_number = IotaOf(c.builder(), index_type, nll.dims, 1);
  nll.chosen = Eq(class_number, BroadcastTo(target, nll.dims));
  const Op counted = Ne(target, IntScalar(c.builder(), index_type, c.Int(arg + 4)));
  Op weight = BroadcastTo(c.Const(1), target_dims);
  if (c.Has(arg + 2)) {
    const Op per_class = AlongDim(c.T(arg + 2, c.compute()), nll.dims, 1);
    weight = ReduceSum(Select(nll.chosen, per_class, FullLike(per_class, 0)), {1}, true);
  }
  nll.weight = Select(counted, weight, FullLike(weight, 0));
  return nll;
}

// x as [n, classes, …]
Op WithBatch(Op x) { return x.valid() && x.shape().rank() == 1 ? Unsqueeze(x, 0) : x; }

// aten::nll_loss_forward(Tensor self, Tensor target, Tensor? weight, int reduction, int
// ignore_index)
// -> (Tensor output, Tensor total_weight); nll_loss2d_forward too
void NllForward(Ctx& c) {
  const Op x = WithBatch(c.T(0, c.compute()));
  const Nll nll = ReadNll(c, 0, x);
  const Op picked = ReduceSum(Select(nll.chosen, x, FullLike(x, 0)), {1}, true);
  // A weight of 0 hides even an infinite loss.
  const Op zero = FullLike(picked, 0);
  const Op loss = Select(Eq(nll.weight, zero), zero, Neg(Mul(picked, nll.weight)));
  const int64_t reduction = c.Int(3);
  if (reduction == kNone) {
    return c.Return({Reshape(loss, c.Out(0).dims), hlo::Filled(c.builder(), c.Out(1), 0)});
  }
  const Op sum = ReduceSum(loss, AllDims(loss));
  const Op total = ReduceSum(nll.weight, AllDims(nll.weight));
  c.Return({reduction == kMean ? Div(sum, total) : sum, total});
}

// aten::nll_loss_backward(Tensor grad_output, Tensor self, Tensor target, Tensor? weight, int
// reduction,
//                         int ignore_index, Tensor total_weight) -> Tensor
void NllBackward(Ctx& c) {
  const Op x = WithBatch(c.T(1, c.compute()));
  const Nll nll = ReadNll(c, 1, x);
  Op grad = c.T(0, c.compute());
  if (c.Int(4) == kNone) {
    grad = Reshape(grad, nll.weight.shape().dims);
  } else {
    grad = BroadcastTo(grad, nll.weight.shape().dims);
    if (c.Int(4) == kMean) grad = Div(grad, BroadcastTo(c.T(6, c.compute()), grad.shape().dims));
  }
  const Op value = BroadcastTo(Neg(Mul(grad, nll.weight)), nll.dims);
  c.Return(Reshape(Select(nll.chosen, value, FullLike(value, 0)), c.Out().dims));
}

}  // namespace

OpTable LossOps() {
  static constexpr OpLowering kOps[] = {
      {"aten::binary_cross_entropy", BinaryCrossEntropy},
      {"aten::binary_cross_entropy_backward", BinaryCrossEntropyBackward},
      {"aten::binary_cross_entropy_with_logits", BceWithLogits},
      {"aten::huber_loss", Elementwise<Huber>},
      {"aten::huber_loss_backward", ElementwiseBackward<HuberSlope>},
      {"aten::mse_loss", Elementwise<Square>},
      {"aten::mse_loss_backward", ElementwiseBackward<SquareSlope>},
      {"aten::nll_loss2d_backward", NllBackward},
      {"aten::nll_loss2d_forward", NllForward},
      {"aten::nll_loss_backward", NllBackward},
      {"aten::nll_loss_forward", NllForward},
      {"aten::smooth_l1_loss", Elementwise<SmoothL1>},
      {"aten::smooth_l1_loss_backward", ElementwiseBackward<SmoothL1Slope>},
  };
  return kOps;
}

}  // namespace glia::lowering
