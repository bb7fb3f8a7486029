// Tables of vectors, looked up by number.
#include "frontend/lowering/ops/scatter.h"
#include "frontend/lowering/registry.h"

namespace glia::lowering {
namespace {

// aten::embedding(Tensor weight, Tensor indices, int padding_idx=-1, …) -> Tensor
void Embedding(Ctx& c) { c.Return(CheckIndices(TakeAlong(c.T(0), c.T(1), 0))); }

// aten::embedding_dense_backward(Tensor grad_output, Tensor indices, int num_weights, int
// padding_idx,
//                                bool scale_grad_by_freq) -> Tensor
void EmbeddingBackward(Ctx& c) {
  if (c.Bool(4)) return c.Refuse("scale_grad_by_freq");
  const int64_t width = c.Out().dim(1), count = c.T(1).shape().elements();
  const Op index = Reshape(c.T(1), {count});
  Op grad = Reshape(c.T(0, c.compute()), {count, width});
  const Op padding = Eq(index, IntScalar(c.builder(), index.shape().type, c.Int(3)));
  grad = Select(AlongDim(padding, grad.shape().dims, 0), FullLike(grad, 0), grad);
  const Op zeros = hlo::Filled(c.builder(), c.Out().WithType(c.compute()), 0);
  c.Return(ScatterSlices(zeros, index, grad, 0, Sum));
}

// aten::_embedding_bag(Tensor weight, Tensor indices, Tensor offsets, bool
// scale_grad_by_freq=False,
//     int mode=0, bool sparse=False, Tensor? per_sample_weights=None, bool
//     include_last_offset=False, int padding_idx=-1) -> (Tensor, Tensor offset2bag, Tensor
//     bag_size, Tensor max_indices)
// Bag b holds the indices from offsets[b] up to offsets[b + 1]; its vectors are summed (mode 0),
// averaged (1) or their maximum is taken (2). The last three results serve the backward pass, which
// has no lowering: sizes are right, what eager leaves unset is 0.
void EmbeddingBag(Ctx& c) {
  constexpr int64_t kMean = 1, kMax = 2;
  const int64_t mode = c.Int(4, 0), padding = c.Int(8, -1);
  const PrimitiveType type = c.compute();
  const Op index = c.T(1);
  const int64_t count = index.shape().dim(0), bags = c.Out().dim(0), width = c.Out().dim(1);
  // An index's bag is the number of offsets at or before it, less one.
  const PrimitiveType offset_type = c.T(2).shape().type;
  const Op offsets = SliceInDim(c.T(2), 0, bags, 1, 0);
  const Dims pairs = {count, bags};
  const Op begun = Ge(IotaOf(c.builder(), offset_type, pairs, 0), AlongDim(offsets, pairs, 1));
  const Op bag =
      Sub(ReduceSum(Convert(begun, hlo::kS64), {1}), IntScalar(c.builder(), hlo::kS64, 1));
  // Padding goes to a bag outside, which scatter drops.
  const Op counted = Ne(index, IntScalar(c.builder(), index.shape().type, padding));
  const Op nowhere = hlo::BroadcastScalar(IntScalar(c.builder(), hlo::kS64, bags), {count});
  const Op target = padding < 0 ? bag : Select(counted, bag, nowhere);
  const Op zeros = hlo::Filled(c.builder(), Shape(hlo::kS64, {bags}), 0);
  const Op ones = hlo::Filled(c.builder(), Shape(hlo::kS64, {count}), 1);
  const Op sizes = ScatterSlices(zeros, target, ones, 0, Sum);
  Op rows = Convert(TakeAlong(c.T(0), index, 0), type);
  if (c.Has(6)) rows = Mul(rows, AlongDim(c.T(6, type), rows.shape().dims, 0));
  const Dims dims = {bags, width};
  const Op empty = hlo::Filled(c.builder(), Shape(type, dims), 0);
  Op result;
  if (mode == kMax) {
    const Op lowest = hlo::BroadcastScalar(LowestValue(c.builder(), type), dims);
    const Op largest = ScatterSlices(lowest, target, rows, 0, Larger);
    const Op none = Eq(sizes, IntScalar(c.builder(), hlo::kS64, 0));
    result = Select(AlongDim(none, dims, 0), empty, largest);
  } else {
    result = ScatterSlices(empty, target, rows, 0, Sum);
  }
  if (mode == kMean) {
    const Op divisor = Max(Convert(sizes, type), c.Const(1));
    result = Div(result, AlongDim(divisor, dims, 0));
  }
  const auto held = [&](Op value, size_t k) {
    const Shape shape = c.Out(k);
    return shape.dims == value.shape().dims ? value : hlo::Filled(c.builder(), shape, 0);
  };
  c.Return({result, held(bag, 1), held(sizes, 2), hlo::Filled(c.builder(), c.Out(3), 0)});
}

}  // namespace

OpTable EmbeddingOps() {
  static constexpr OpLowering kOps[] = {
      {"aten::_embedding_bag", EmbeddingBag},
      {"aten::_embedding_bag_forward_only", EmbeddingBag},
      {"aten::embedding", Embedding},
      {"aten::embedding_dense_backward", EmbeddingBackward},
  };
  return kOps;
}

}  // namespace glia::lowering
