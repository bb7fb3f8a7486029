#include "frontend/lowering/ops/scatter.h"

#include "frontend/lowering/ops/indexing.h"
#include "frontend/lowering/registry.h"

namespace glia::lowering {

Op Replace(Op, Op update) { return update; }
Op Sum(Op old, Op update) { return Add(old, update); }
Op Product(Op old, Op update) { return Mul(old, update); }
Op Larger(Op old, Op update) { return Max(old, update); }
Op Smaller(Op old, Op update) { return Min(old, update); }

Op ScatterWith(Op x, Op starts, Op updates, const hlo::ScatterDims& dims, const Combine& combine) {
  if (!x.valid() || !starts.valid() || !updates.valid()) return {};
  hlo::Computation* computation = ScalarFunction(
      x.builder, x.shape().type, 2, [&](absl::Span<const Op> p) { return combine(p[0], p[1]); });
  if (computation == nullptr) return {};
  return hlo::Scatter({x}, starts, {updates}, computation, dims);
}

Op ScatterElements(Op x, Op index, Op updates, int64_t dim, const Combine& combine) {
  if (!x.valid() || !index.valid() || !updates.valid()) return {};
  hlo::ScatterDims dims;
  for (int64_t d = 0; d < x.shape().rank(); ++d) {
    dims.inserted_window_dims.push_back(d);
    dims.scatter_dims_to_operand_dims.push_back(d);
  }
  dims.index_vector_dim = index.shape().rank();
  return ScatterWith(x, ElementCoordinates(index, dim), updates, dims, combine);
}

Op ScatterSlices(Op x, Op index, Op updates, int64_t dim, const Combine& combine) {
  if (!x.valid() || !index.valid() || !updates.valid()) return {};
  hlo::ScatterDims dims;
  for (int64_t d = 0; d < x.shape().rank(); ++d) {
    if (d != dim) dims.update_window_dims.push_back(d);
  }
  dims.inserted_window_dims = {dim};
  dims.scatter_dims_to_operand_dims = {dim};
  dims.index_vector_dim = 1;
  return ScatterWith(x, index, updates, dims, combine);
}

namespace {

// ---- scatter: arguments (self, dim, index, src or value)
struct ScatterArgs {
  Op x, index, source;  // of one rank >= 1, source and index of one shape
  int64_t dim;
};
ScatterArgs ReadScatter(Ctx& c, PrimitiveType type) {
  ScatterArgs a;
  a.x = c.T(0, type);
  a.index = c.T(2);
  a.source = c.IsTensor(3) ? c.T(3, type) : c.ScalarEl(3, type);
  const int64_t rank = a.x.shape().rank();
  a.dim = c.Dim(1, rank);
  const auto vector = [](Op v) { return v.shape().rank() == 0 ? Reshape(v, {1}) : v; };
  a.x = vector(a.x);
  a.index = vector(a.index);
  const Dims& dims = a.index.shape().dims;
  if (!c.IsTensor(3)) {
    a.source = BroadcastTo(a.source, dims);
  } else {
    // src may be larger than index; the rest is not read.
    a.source = vector(a.source);
    a.source = Slice(a.source, Dims(dims.size(), 0), dims, Dims(dims.size(), 1));
  }
  return a;
}

void ScatterBy(Ctx& c, const Combine& combine) {
  const ScatterArgs a = ReadScatter(c, c.Out().type);
  if (a.index.shape().elements() == 0) return c.Return(c.T(0));
  c.Return(Reshape(ScatterElements(a.x, a.index, a.source, a.dim, combine), c.Out().dims));
}

void ScatterReplace(Ctx& c) { ScatterBy(c, Replace); }
void ScatterAdd(Ctx& c) { ScatterBy(c, Sum); }

// aten::scatter.reduce(Tensor self, int dim, Tensor index, Tensor src, *, str reduce) -> Tensor
void ScatterReduceOld(Ctx& c) { ScatterBy(c, c.Str(4) == "add" ? Sum : Product); }

// aten::scatter_reduce.two(Tensor self, int dim, Tensor index, Tensor src, str reduce, *,
//                          bool include_self=True) -> Tensor
void ScatterReduce(Ctx& c) {
  const std::string reduce = c.Str(4);
  const bool mean = reduce == "mean";
  const PrimitiveType type = mean ? c.compute() : c.Out().type;
  const ScatterArgs a = ReadScatter(c, type);
  if (a.index.shape().elements() == 0) return c.Return(c.T(0));
  const Combine combine = reduce == "sum" || mean ? Combine(Sum)
                          : reduce == "prod"      ? Combine(Product)
                          : reduce == "amax"      ? Combine(Larger)
                                                  : Combine(Smaller);
  const bool include_self = !c.Has(5) || c.Bool(5);
  Op start = a.x;
  // Elements that receive something start from the reduction's neutral value instead.
  const Op touched = [&] {
    const Op none = hlo::Filled(c.builder(), a.x.shape().WithType(hlo::kPred), 0);
    const Op some = hlo::Filled(c.builder(), a.source.shape().WithType(hlo::kPred), 1);
    return ScatterElements(none, a.index, some, a.dim, Replace);
  }();
  if (!include_self) {
    const Op neutral = reduce == "prod"   ? ScalarLike(a.x, 1)
                       : reduce == "amax" ? LowestValue(c.builder(), type)
                       : reduce == "amin" ? HighestValue(c.builder(), type)
                                          : ScalarLike(a.x, 0);
    start = Select(touched, BroadcastTo(neutral, a.x.shape().dims), a.x);
  }
  Op result = ScatterElements(start, a.index, a.source, a.dim, combine);
  if (mean) {
    const Op count_start =
        include_self ? FullLike(a.x, 1) : Select(touched, FullLike(a.x, 0), FullLike(a.x, 1));
    const Op count = ScatterElements(count_start, a.index, FullLike(a.source, 1), a.dim, Sum);
    result = hlo::IsFloating(type) ? Div(result, count) : FloorDiv(result, count);
  }
  c.Return(Reshape(result, c.Out().dims));
}

// ---- index_add, index_copy, index_fill: arguments (self, dim, index, source)
void IndexSlices(Ctx& c, const Combine& combine, bool scaled) {
  const PrimitiveType type = c.Out().type;
  Op x = c.T(0, type);
  const bool scalar = x.shape().rank() == 0;
  if (scalar) x = Reshape(x, {1});
  const int64_t dim = scalar ? 0 : c.Dim(1, x.shape().rank());
  const Op index = Reshape(c.T(2), {c.T(2).shape().elements()});
  Dims dims = x.shape().dims;
  dims[dim] = index.shape().elements();
  Op source = c.IsTensor(3) ? c.T(3, type) : c.ScalarEl(3, type);
  source = source.shape().rank() == 0 ? BroadcastTo(source, dims) : Reshape(source, dims);
  if (scaled && c.Has(4) && !c.IsScalar(4, 1)) source = Mul(source, c.ScalarEl(4, type));
  c.Return(Reshape(ScatterSlices(x, WrapIndex(index, x.shape().dim(dim)), source, dim, combine),
                   c.Out().dims));
}
// aten::index_add(Tensor self, int dim, Tensor index, Tensor source, *, Scalar alpha=1) -> Tensor
void IndexAdd(Ctx& c) { IndexSlices(c, Sum, true); }
void IndexReplace(Ctx& c) { IndexSlices(c, Replace, false); }

// aten::index_put(Tensor self, Tensor?[] indices, Tensor values, bool accumulate=False) -> Tensor
void IndexPut(Ctx& c) {
  const PrimitiveType type = c.Out().type;
  const Op x = c.T(0, type);
  const bool accumulate = c.Bool(3);
  const std::vector<Op> indices = c.List(1);
  // One mask over leading dims and one value: no scatter, and no shape that depends on data.
  if (indices.size() == 1 && indices[0].valid() && indices[0].shape().type == hlo::kPred &&
      c.Meta(2).numel() == 1) {
    Dims leading(indices[0].shape().rank());
    for (size_t d = 0; d < leading.size(); ++d) leading[d] = static_cast<int64_t>(d);
    const Op mask = hlo::BroadcastInDim(indices[0], x.shape().dims, leading);
    const Op value = BroadcastTo(Reshape(c.T(2, type), {}), x.shape().dims);
    return c.Return(Select(mask, accumulate ? Add(x, value) : value, x));
  }
  const AdvancedIndex a = ReadIndices(c, 1, x.shape().dims);
  const Op values = BroadcastTo(c.T(2, type), a.result);
  if (a.empty()) return c.Return(accumulate ? Add(x, values) : values);
  hlo::ScatterDims dims;
  dims.update_window_dims = a.WindowDims();
  dims.inserted_window_dims = a.dims;
  dims.scatter_dims_to_operand_dims = a.dims;
  dims.index_vector_dim = static_cast<int64_t>(a.broadcast.size());
  c.Return(ScatterWith(x, a.starts, values, dims, accumulate ? Sum : Replace));
}

// aten::put(Tensor self, Tensor index, Tensor source, bool accumulate=False) -> Tensor
void Put(Ctx& c) {
  const PrimitiveType type = c.Out().type;
  const int64_t count = c.Out().elements();
  const Op index = Reshape(WrapIndex(c.T(1), count), {c.T(1).shape().elements()});
  const Op source = Reshape(c.T(2, type), index.shape().dims);
  const Op x = Reshape(c.T(0, type), {count});
  c.Return(Reshape(ScatterSlices(x, index, source, 0, c.Bool(3) ? Sum : Replace), c.Out().dims));
}

}  // namespace

OpTable ScatterOps() {
  static constexpr OpLowering kOps[] = {
      {"aten::_index_put_impl", IndexPut},
      {"aten::_unsafe_index_put", IndexPut},
      {"aten::index_add", IndexAdd},
      {"aten::index_copy", IndexReplace},
      {"aten::index_fill.int_Scalar", IndexReplace},
      {"aten::index_fill.int_Tensor", IndexReplace},
      {"aten::index_put", IndexPut},
      {"aten::put", Put},
      {"aten::scatter.reduce", ScatterReduceOld},
      {"aten::scatter.src", ScatterReplace},
      {"aten::scatter.value", ScatterReplace},
      {"aten::scatter.value_reduce", ScatterReduceOld},
      {"aten::scatter_add", ScatterAdd},
      {"aten::scatter_reduce.two", ScatterReduce},
  };
  return kOps;
}

}  // namespace glia::lowering
