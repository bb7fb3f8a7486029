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

// x·weightᵀ + bias over the last dim, in `type`.
Op Project(Op x, Op weight, Op bias, PrimitiveType type) {
  if (!x.valid() || !weight.valid()) return {};
  hlo::DotDims dims;
  dims.lhs_contracting = {x.shape().rank() - 1};
  dims.rhs_contracting = {1};
  const Op product = Convert(DotGeneral(x, weight, dims, Ctx::ComputeType(x.shape().type)), type);
  return Add(product, BroadcastTo(Convert(bias, type), product.shape().dims));
}

struct Attention {
  int64_t width, heads;
  Op qkv_weight, qkv_bias, proj_weight, proj_bias;
  Op mask;            // pred, true where nothing may be read; may be absent
  int64_t mask_type;  // 0: [length, length], 1: [batch, length of key], 2: [batch, heads, length,
                      // length]
};

struct Attended {
  Op result, weights;  // weights: [batch, heads, length, length of key]
};

// Inputs [batch, length, width].
Attended Attend(const Attention& a, Op query, Op key, Op value, PrimitiveType type) {
  const int64_t head_width = a.width / a.heads;
  // As [batch, head, length, width].
  const auto part = [&](Op x, int64_t which) {
    const Op weight = SliceInDim(a.qkv_weight, which * a.width, (which + 1) * a.width, 1, 0);
    const Op bias = SliceInDim(a.qkv_bias, which * a.width, (which + 1) * a.width, 1, 0);
    const Op y = Project(x, weight, bias, type);
    const Dims& dims = y.shape().dims;
    return SwapDims(Reshape(y, {dims[0], dims[1], a.heads, head_width}), 1, 2);
  };
  const Op q = part(query, 0), k = part(key, 1), v = part(value, 2);
  Op scores =
      TimesTransposed(Mul(q, ScalarLike(q, 1 / std::sqrt(static_cast<double>(head_width)))), k);
  const Dims dims = scores.shape().dims;
  if (a.mask.valid()) {
    const Op mask =
        a.mask_type == 1 ? hlo::BroadcastInDim(a.mask, dims, {0, 3}) : BroadcastTo(a.mask, dims);
    scores = Select(mask, BroadcastTo(InfLike(scores, true), dims), scores);
  }
  const Op weights = SoftmaxOverLast(scores);
  const Op joined = Reshape(SwapDims(Times(weights, v), 1, 2), {dims[0], dims[2], a.width});
  return {Project(Convert(joined, a.proj_weight.shape().type), a.proj_weight, a.proj_bias, type),
          weights};
}

// The type of a mask of argument `mask`: argument `type`, or what its shape says.
int64_t MaskType(const Ctx& c, size_t mask, size_t type, int64_t length, int64_t keys) {
  if (!c.Has(mask)) return 0;
  const bool square = c.Meta(mask).sizes == Dims{length, keys};
  return c.Has(type) ? c.Int(type) : square ? 0 : 1;
}

// aten::_native_multi_head_attention(Tensor query, Tensor key, Tensor value, int embed_dim, int
// num_head, Tensor qkv_weight, Tensor qkv_bias, Tensor proj_weight, Tensor proj_bias, Tensor?
// mask=None, bool need_weights=True, bool average_attn_weights=True, int? mask_type=None) ->
// (Tensor, Tensor)
void MultiHeadAttention(Ctx& c) {
  const int64_t length = c.Meta(0).sizes[1], keys = c.Meta(1).sizes[1];
  const Attention a = {c.Int(3),
                       c.Int(4),
                       c.T(5),
                       c.T(6),
                       c.T(7),
                       c.T(8),
                       c.T(9, hlo::kPred),
                       MaskType(c, 9, 12, length, keys)};
  const Attended attended = Attend(a, c.T(0), c.T(1), c.T(2), c.compute());
  Op returned = attended.weights;
  if (!c.Has(11) || c.Bool(11)) {
    returned = Div(ReduceSum(returned, {1}), c.Const(static_cast<double>(a.heads)));
  }
  c.Return({attended.result, returned});
}

// aten::_transformer_encoder_layer_fwd(Tensor src, int embed_dim, int num_heads, Tensor qkv_weight,
// Tensor qkv_bias, Tensor proj_weight, Tensor proj_bias, bool use_gelu, bool norm_first, float eps,
// Tensor norm_weight_1, Tensor norm_bias_1, Tensor norm_weight_2, Tensor norm_bias_2, Tensor
// ffn_weight_1, Tensor ffn_bias_1, Tensor ffn_weight_2, Tensor ffn_bias_2, Tensor? mask=None, int?
// mask_type=None) -> Tensor
void TransformerEncoderLayer(Ctx& c) {
  const PrimitiveType type = c.compute();
  const Op x = c.T(0, type);
  const Dims dims = x.shape().dims;
  const Attention a = {c.Int(1),
                       c.Int(2),
                       c.T(3),
                       c.T(4),
                       c.T(5),
                       c.T(6),
                       c.T(18, hlo::kPred),
                       MaskType(c, 18, 19, dims[1], dims[1])};
  const auto narrow = [&](Op y) { return Convert(y, c.Out().type); };
  const auto norm = [&](Op y, size_t weight) {
    const Op count = ScalarLike(y, static_cast<double>(dims[2]));
    const Op centred = Sub(y, BroadcastTo(Div(ReduceSum(y, {2}, true), count), dims));
    const Op variance = Div(ReduceSum(Mul(centred, centred), {2}, true), count);
    const Op scale = Rsqrt(Add(variance, ScalarLike(y, c.Double(9))));
    return Add(Mul(Mul(centred, BroadcastTo(scale, dims)), c.El(weight)), c.El(weight + 1));
  };
  const auto attend = [&](Op y) { return Attend(a, narrow(y), narrow(y), narrow(y), type).result; };
  const auto feed_forward = [&](Op y) {
    const Op inner = Project(narrow(y), c.T(14), c.T(15), type);
    const Op active = c.Bool(7) ? Mul(inner, NormalCdf(inner)) : Relu(inner);
    return Project(narrow(active), c.T(16), c.T(17), type);
  };
  if (c.Bool(8)) {
    const Op y = Add(x, attend(norm(x, 10)));
    return c.Return(Add(y, feed_forward(norm(y, 12))));
  }
  const Op y = norm(Add(x, attend(x)), 10);
  c.Return(norm(Add(y, feed_forward(y)), 12));
}

}  // namespace

OpTable AttentionOps() {
  static constexpr OpLowering kOps[] = {
      {"aten::_native_multi_head_attention", MultiHeadAttention},
      {"aten::_scaled_dot_product_attention_forward", ScaledDotProductAttention},
      {"aten::_transformer_encoder_layer_fwd", TransformerEncoderLayer},
  };
  return kOps;
}

}  // namespace glia::lowering
