// Sorting and selection. NaN counts as the largest value.
#include "frontend/lowering/ops/sort.h"

#include "frontend/lowering/registry.h"

namespace glia::lowering {

Sorted SortAlong(Op x, int64_t dim, bool descending) {
  if (!x.valid()) return {};
  hlo::Builder* builder = x.builder;
  PrimitiveType type = x.shape().type;
  if (type == hlo::kPred) return SortAlong(Convert(x, hlo::kS8), dim, descending);
  const bool floating = hlo::IsFloating(type);
  if (floating) {
    x = Select(IsNan(x), BroadcastTo(NanLike(x), x.shape().dims), x);
    x = Select(Eq(x, ScalarLike(x, 0)), FullLike(x, 0), x);
  }
  const auto sub = builder->CreateSubBuilder("compare");
  const Op a = hlo::Parameter(sub.get(), 0, Shape(type, {}));
  const Op b = hlo::Parameter(sub.get(), 1, Shape(type, {}));
  hlo::Parameter(sub.get(), 2, Shape(hlo::kS32, {}));
  hlo::Parameter(sub.get(), 3, Shape(hlo::kS32, {}));
  const auto comparator = sub->BuildComputation(
      Compare(a, b, descending ? hlo::ComparisonDirection::kGt : hlo::ComparisonDirection::kLt,
              floating ? hlo::ComparisonType::kTotalOrder : hlo::ComparisonType::kDefault));
  if (!comparator.ok()) return {};
  const Op index = IotaOf(builder, hlo::kS32, x.shape().dims, dim);
  const Op sorted = Sort({x, index}, *comparator, dim, /*is_stable=*/true);
  return {GetTupleElement(sorted, 0), Convert(GetTupleElement(sorted, 1), hlo::kS64)};
}

Op PlacesIn(Op sequence, Op values, bool right) {
  if (!sequence.valid() || !values.valid()) return {};
  const Dims value_dims = values.shape().dims;
  const int64_t rank = values.shape().rank(), count = sequence.shape().dims.back();
  Dims pairs = value_dims, own(rank), sequence_map;
  pairs.push_back(count);
  for (int64_t d = 0; d < rank; ++d) own[d] = d;
  for (int64_t d = 0; d + 1 < sequence.shape().rank(); ++d) sequence_map.push_back(d);
  sequence_map.push_back(rank);
  const Op s = hlo::BroadcastInDim(sequence, pairs, sequence_map);
  const Op v = hlo::BroadcastInDim(values, pairs, own);
  const Op after = right ? Gt(s, v) : Ge(s, v);
  return ReduceSum(Convert(Not(after), hlo::kS64), {rank});
}

namespace {

// The arguments of the sorts: self, then dim and `descending` at given positions.
void SortBy(Ctx& c, size_t dim_arg, size_t descending_arg, bool indices_only) {
  const Op x = c.T(0);
  const int64_t rank = x.shape().rank();
  const bool descending = c.Bool(descending_arg);
  Sorted s;
  if (rank == 0) {
    s = {x, IntScalar(c.builder(), hlo::kS64, 0)};
  } else {
    s = SortAlong(x, Ctx::Wrap(c.Int(dim_arg, -1), rank), descending);
  }
  c.Return(indices_only ? std::vector<Op>{s.indices} : std::vector<Op>{s.values, s.indices});
}

// aten::sort(Tensor self, int dim=-1, bool descending=False) -> (Tensor values, Tensor indices)
void SortOp(Ctx& c) { SortBy(c, 1, 2, false); }
// aten::sort.stable(Tensor self, *, bool? stable, int dim=-1, bool descending=False)
void SortStable(Ctx& c) { SortBy(c, 2, 3, false); }
void ArgsortStable(Ctx& c) { SortBy(c, 2, 3, true); }

// aten::topk(Tensor self, int k, int dim=-1, bool largest=True, bool sorted=True)
void TopKOp(Ctx& c) {
  const Op x = c.T(0);
  const int64_t rank = x.shape().rank();
  const int64_t k = c.Int(1);
  if (rank == 0 || k == 0) {
    return c.Return({k == 0 ? hlo::Filled(c.builder(), c.Out(0), 0) : x,
                     hlo::Filled(c.builder(), c.Out(1), 0)});
  }
  const int64_t dim = Ctx::Wrap(c.Int(2, -1), rank);
  const bool largest = !c.Has(3) || c.Bool(3);
  const Op top = TopK(MoveDim(x, dim, rank - 1), k, largest);
  c.Return({MoveDim(GetTupleElement(top, 0), rank - 1, dim),
            MoveDim(GetTupleElement(top, 1), rank - 1, dim)});
}

// The element at `position` of the sorted dim, which is removed or kept with size 1.
void ReturnAt(Ctx& c, const Sorted& s, int64_t dim, int64_t position) {
  c.Return({Reshape(SliceInDim(s.values, position, position + 1, 1, dim), c.Out(0).dims),
            Reshape(SliceInDim(s.indices, position, position + 1, 1, dim), c.Out(1).dims)});
}

// aten::kthvalue(Tensor self, int k, int dim=-1, bool keepdim=False) -> (Tensor values, Tensor
// indices)
void KthValue(Ctx& c) {
  const Op x = c.T(0);
  const int64_t rank = x.shape().rank();
  if (rank == 0) return c.Return({x, hlo::Filled(c.builder(), c.Out(1), 0)});
  const int64_t dim = Ctx::Wrap(c.Int(2, -1), rank);
  ReturnAt(c, SortAlong(x, dim, false), dim, c.Int(1) - 1);
}

// aten::median.dim(Tensor self, int dim, bool keepdim=False): the lower middle one; NaN if there is
// any, at the place of the first
void MedianDim(Ctx& c) {
  const Op x = c.T(0);
  const int64_t rank = x.shape().rank();
  if (rank == 0) return c.Return({x, hlo::Filled(c.builder(), c.Out(1), 0)});
  const int64_t dim = c.Dim(1, rank);
  const int64_t size = x.shape().dim(dim);
  const Sorted s = SortAlong(x, dim, false);
  const int64_t middle = (size - 1) / 2;
  if (!hlo::IsFloating(x.shape().type)) return ReturnAt(c, s, dim, middle);
  const Op nan = IsNan(SliceInDim(s.values, size - 1, size, 1, dim));
  const Op first_nan = KeepDims(ArgExtreme(x, dim, true).second, x.shape().dims, {dim});
  const Op value = SliceInDim(s.values, middle, middle + 1, 1, dim);
  const Op index = SliceInDim(s.indices, middle, middle + 1, 1, dim);
  c.Return(
      {Reshape(Select(nan, BroadcastTo(NanLike(value), value.shape().dims), value), c.Out(0).dims),
       Reshape(Select(nan, first_nan, index), c.Out(1).dims)});
}

// aten::median(Tensor self) -> Tensor
void Median(Ctx& c) {
  const int64_t count = c.T(0).shape().elements();
  const Op x = Reshape(c.T(0), {count});
  const Op sorted = SortAlong(x, 0, false).values;
  const int64_t middle = (count - 1) / 2;
  Op value = Reshape(SliceInDim(sorted, middle, middle + 1, 1, 0), {});
  if (hlo::IsFloating(x.shape().type)) {
    const Op last = Reshape(SliceInDim(sorted, count - 1, count, 1, 0), {});
    value = Select(IsNan(last), last, value);
  }
  c.Return(value);
}

// aten::searchsorted.Tensor(Tensor sorted_sequence, Tensor self, *, bool out_int32=False, bool
// right=False,
//                           str? side=None, Tensor? sorter=None) -> Tensor; self may be a Scalar
void SearchSorted(Ctx& c) {
  if (c.Has(5)) return c.Refuse("a sorter");
  const PrimitiveType type = c.Promote({0, 1});
  const Op values = c.IsTensor(1) ? c.T(1, type) : c.ScalarEl(1, type);
  c.Return(PlacesIn(c.T(0, type), values, c.Bool(3) || c.Str(4) == "right"));
}

// aten::bucketize.Tensor(Tensor self, Tensor boundaries, *, bool out_int32=False, bool right=False)
void Bucketize(Ctx& c) {
  const PrimitiveType type = c.Promote({0, 1});
  c.Return(PlacesIn(c.T(1, type), c.T(0, type), c.Bool(3)));
}

}  // namespace

OpTable SortOps() {
  static constexpr OpLowering kOps[] = {
      {"aten::argsort.stable", ArgsortStable},
      {"aten::bucketize.Tensor", Bucketize},
      {"aten::kthvalue", KthValue},
      {"aten::median", Median},
      {"aten::median.dim", MedianDim},
      {"aten::searchsorted.Scalar", SearchSorted},
      {"aten::searchsorted.Tensor", SearchSorted},
      {"aten::sort", SortOp},
      {"aten::sort.stable", SortStable},
      {"aten::topk", TopKOp},
  };
  return kOps;
}

}  // namespace glia::lowering
