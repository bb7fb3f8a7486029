// Attention operators that arrive whole.
#include <cmath>

#include "frontend/lowering/registry.h"

namespace glia::lowering {
namespace {

// [.., m, k]·[.., n, k] over equal leading dims
Op TimesTransposed(Op a, Op b) {
  if (!a.valid() || !b.valid()) return {};
  const int64_t rank = a.shape().rank();
  hlo::DotDims dims;
  for (int64_t d = 0; d + 2 < rank; ++d) {
    dims.lhs_batch.push_back(d);
    dims.rhs_batch.push_back(d);
  }
  dims.lhs_contracting = dims.rhs_contracting = {rank - 1};
  return DotGeneral(a, b, dims, Ctx::ComputeType(a.shape().type));
}

// [.., m, n]·[.., n, k]
Op Times(Op a, Op b) {
  if (!a.valid() || !b.valid()) return {};
  const int64_t rank = a.shape().rank();
  hlo::DotDims dims;
  for (int64_t d = 0; d + 2 < rank; ++d) {
    dims.lhs_batch.push_back(d);
    dims.rhs_batch.push_back(d);
  }
  dims.lhs_contracting = {rank - 1};
  dims.rhs_contracting = {rank - 2};
  return DotGeneral(a, b, dims, Ctx::ComputeType(a.shape().type));
}

Op SoftmaxOverLast(Op x) {
  if (!x.valid()) return x;
  const int64_t last = x.shape().rank() - 1;
  const Op e = Exp(Sub(x, BroadcastTo(ReduceMax(x, {last}, true), x.shape().dims)));
  return Div(e, BroadcastTo(ReduceSum(e, {last}, true), x.shape().dims));
}

// aten::_scaled_dot_product_attention_forward(Tensor query, Tensor key, Tensor value,
//     Tensor? attn_mask=None, float dropout_p=0., bool need_attn_weights=False, bool
//     is_causal=False)
// -> (Tensor, Tensor)
void ScaledDotProductAttention(Ctx& c) {
  if (c.Double(4, 0) != 0) return c.Refuse("dropout, which draws random numbers");
  const Op q = c.T(0), k = c.T(1), v = c.T(2);
  const int64_t rank = q.shape().rank();
  for (const Op& operand : {k, v}) {
    const Dims leading(operand.shape().dims.begin(), operand.shape().dims.end() - 2);
    if (leading != Dims(q.shape().dims.begin(), q.shape().dims.end() - 2)) {
      return c.Refuse("query, key and value of different batch dims");
    }
  }
  Op scores = Convert(TimesTransposed(q, k), c.compute());
  scores = Mul(scores, c.Const(1 / std::sqrt(static_cast<double>(q.shape().dims.back()))));
  const Dims& dims = scores.shape().dims;
  const Op minus_inf = BroadcastTo(InfLike(scores, true), dims);
  if (c.Bool(6)) {
    const Op row = IotaOf(c.builder(), hlo::kS32, dims, rank - 2);
    const Op column = IotaOf(c.builder(), hlo::kS32, dims, rank - 1);
    scores = Select(Le(column, row), scores, minus_inf);
  } else if (c.Has(3)) {
    const Op mask = c.T(3);
    scores = mask.shape().type == hlo::kPred
                 ? Select(BroadcastTo(mask, dims), scores, minus_inf)
                 : Add(scores, BroadcastTo(Convert(mask, c.compute()), dims));
  }
  const Op weights = SoftmaxOverLast(scores);
  c.Return({Times(Convert(weights, v.shape().type), v), weights});
}

// aten::_native_multi_head_attention(Tensor query, Tensor key, Tensor value, int embed_dim, int
// num_head,
//     Tensor qkv_weight, Tensor qkv_bias, Tensor proj_weight, Tensor proj_bias, Tensor? mask=None,
//     bool need_weights=True, bool average_attn_weights=True, int? mask_type=None) -> (Tensor,
//     Tensor)
// Inputs [batch, length, embed_dim]. The mask is true where nothing may be read: type 0 [length,
// length], 1 [batch, length of key], 2 [batch, heads, length, length].
void MultiHeadAttention(Ctx& c) {
  const PrimitiveType type = c.compute();
  const int64_t width = c.Int(3), heads = c.Int(4), head_width = width / heads;
  const auto project = [&](Op x, Op weight, Op bias) {  // x·weightᵀ + bias
    hlo::DotDims dims;
    dims.lhs_contracting = {2};
    dims.rhs_contracting = {1};
    const Op product = Convert(DotGeneral(x, weight, dims, Ctx::ComputeType(x.shape().type)), type);
    return Add(product, BroadcastTo(Convert(bias, type), product.shape().dims));
  };
  const auto part = [&](size_t i,
                        int64_t which) {  // query, key or value as [batch, head, length, width]
    const Op weight = SliceInDim(c.T(5), which * width, (which + 1) * width, 1, 0);
    const Op bias = SliceInDim(c.T(6), which * width, (which + 1) * width, 1, 0);
    const Op x = project(c.T(i), weight, bias);
    const Dims& dims = x.shape().dims;
    return SwapDims(Reshape(x, {dims[0], dims[1], heads, head_width}), 1, 2);
  };
  const Op q = part(0, 0), k = part(1, 1), v = part(2, 2);
  Op scores = TimesTransposed(Mul(q, c.Const(1 / std::sqrt(static_cast<double>(head_width)))), k);
  const Dims dims = scores.shape().dims;
  if (c.Has(9)) {
    Op mask = c.T(9, hlo::kPred);
    const int64_t mask_type =
        c.Int(12, mask.shape().rank() == 2 && mask.shape().dims == Dims{dims[2], dims[3]} ? 0 : 1);
    mask = mask_type == 1 ? hlo::BroadcastInDim(mask, dims, {0, 3}) : BroadcastTo(mask, dims);
    scores = Select(mask, BroadcastTo(InfLike(scores, true), dims), scores);
  }
  const Op weights = SoftmaxOverLast(scores);
  const Op joined = Reshape(SwapDims(Times(weights, v), 1, 2), {dims[0], dims[2], width});
  const Op result = project(Convert(joined, c.T(7).shape().type), c.T(7), c.T(8));
  Op returned = weights;
  if (!c.Has(11) || c.Bool(11)) {
    returned = Div(ReduceSum(weights, {1}), c.Const(static_cast<double>(heads)));
  }
  c.Return({result, returned});
}

}  // namespace

OpTable AttentionOps() {
  static constexpr OpLowering kOps[] = {
      {"aten::_native_multi_head_attention", MultiHeadAttention},
      {"aten::_scaled_dot_product_attention_forward", ScaledDotProductAttention},
  };
  return kOps;
}

}  // namespace glia::lowering
