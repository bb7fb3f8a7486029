#include "frontend/lowering/ops/indexing.h"

#include "frontend/lowering/registry.h"

namespace glia::lowering {

Op WrapIndex(Op index, int64_t size) {
  if (!index.valid()) return index;
  const PrimitiveType type = index.shape().type;
  if (hlo::IsUnsignedInt(type)) return index;
  const Op wrapped = Add(index, IntScalar(index.builder, type, size));
  return Select(Lt(index, ScalarLike(index, 0)), wrapped, index);
}

Op ElementCoordinates(Op index, int64_t dim) {
  if (!index.valid()) return index;
  const Dims& dims = index.shape().dims;
  const int64_t rank = index.shape().rank();
  std::vector<Op> coordinates;
  for (int64_t d = 0; d < rank; ++d) {
    const Op along = d == dim ? index : IotaOf(index.builder, index.shape().type, dims, d);
    coordinates.push_back(Unsqueeze(along, rank));
  }
  return Concatenate(coordinates, rank);
}

Dims AdvancedIndex::WindowDims() const {
  Dims window;
  for (int64_t d = 0; d < static_cast<int64_t>(result.size()); ++d) {
    if (d < position || d >= position + static_cast<int64_t>(broadcast.size())) window.push_back(d);
  }
  return window;
}

AdvancedIndex ReadIndices(Ctx& c, size_t i, const Dims& x_dims) {
  AdvancedIndex a;
  std::vector<Op> indices;
  std::vector<Dims> shapes;
  const std::vector<Op> given = c.List(i);
  for (size_t d = 0; d < given.size(); ++d) {
    if (!given[d].valid()) continue;
    if (given[d].shape().type == hlo::kPred || given[d].shape().type == hlo::kU8) {
      c.Refuse("a boolean index, whose result's shape depends on data");
      return a;
    }
    a.dims.push_back(static_cast<int64_t>(d));
    indices.push_back(WrapIndex(Convert(given[d], hlo::kS64), x_dims[d]));
    shapes.push_back(given[d].shape().dims);
  }
  a.broadcast = BroadcastDims(shapes);
  // The indexed dims are replaced where they are when they are neighbours, else they go to the
  // front.
  const bool adjacent =
      a.dims.empty() || a.dims.back() - a.dims.front() + 1 == static_cast<int64_t>(a.dims.size());
  a.position = adjacent && !a.dims.empty() ? a.dims.front() : 0;
  size_t next = 0;
  for (size_t d = 0; d < x_dims.size(); ++d) {
    if (next < a.dims.size() && a.dims[next] == static_cast<int64_t>(d)) {
      ++next;
    } else {
      a.result.push_back(x_dims[d]);
    }
  }
  a.result.insert(a.result.begin() + a.position, a.broadcast.begin(), a.broadcast.end());
  if (a.dims.empty()) return a;
  const int64_t last = static_cast<int64_t>(a.broadcast.size());
  for (Op& index : indices) index = Unsqueeze(BroadcastTo(index, a.broadcast), last);
  a.starts = Concatenate(indices, last);
  return a;
}

namespace {

// aten::index.Tensor(Tensor self, Tensor?[] indices) -> Tensor
void Index(Ctx& c) {
  const Op x = c.T(0);
  const Dims& dims = x.shape().dims;
  const AdvancedIndex a = ReadIndices(c, 1, dims);
  if (a.empty()) return c.Return(x);
  if (a.dims.size() == 1) {
    // One index: whole slices, whose coordinates need no vector.
    return c.Return(CheckIndices(TakeAlong(x, Reshape(a.starts, a.broadcast), a.dims[0])));
  }
  hlo::GatherDims gather;
  gather.offset_dims = a.WindowDims();
  gather.collapsed_slice_dims = a.dims;
  gather.start_index_map = a.dims;
  gather.index_vector_dim = static_cast<int64_t>(a.broadcast.size());
  Dims sizes = dims;
  for (int64_t d : a.dims) sizes[d] = 1;
  c.Return(CheckIndices(Gather(x, a.starts, gather, sizes)));
}

// aten::index_select(Tensor self, int dim, Tensor index) -> Tensor
void IndexSelect(Ctx& c) {
  const Op index = c.T(2);
  const Op flat = Reshape(index, {index.shape().elements()});
  const Op x = c.T(0);
  if (x.shape().rank() == 0) return c.Return(x);
  c.Return(CheckIndices(TakeAlong(x, flat, c.Dim(1, x.shape().rank()))));
}

// aten::gather(Tensor self, int dim, Tensor index, *, bool sparse_grad=False) -> Tensor
void GatherOp(Ctx& c) {
  const Op x = c.T(0), index = c.T(2);
  const int64_t rank = x.shape().rank();
  if (rank == 0 || index.shape().rank() == 0) {
    // A 0-d tensor counts as one element of one dim.
    return c.Return(BroadcastTo(Reshape(x, {}), c.Out().dims));
  }
  const int64_t dim = c.Dim(1, rank);
  if (rank == 1) return c.Return(CheckIndices(TakeAlong(x, index, 0)));
  hlo::GatherDims gather;
  Dims sizes(rank, 1);
  for (int64_t d = 0; d < rank; ++d) {
    gather.collapsed_slice_dims.push_back(d);
    gather.start_index_map.push_back(d);
  }
  gather.index_vector_dim = rank;
  c.Return(CheckIndices(Gather(x, ElementCoordinates(index, dim), gather, sizes)));
}

// aten::take(Tensor self, Tensor index) -> Tensor: of the flat tensor
void Take(Ctx& c) {
  const Op x = c.T(0);
  const int64_t count = x.shape().elements();
  c.Return(CheckIndices(TakeAlong(Reshape(x, {count}), WrapIndex(c.T(1), count), 0)));
}

// aten::masked_scatter(Tensor self, Tensor mask, Tensor source) -> Tensor
// The n-th true element takes the n-th of source; n is a running count of the mask.
void MaskedScatter(Ctx& c) {
  const Op mask = c.El(1, hlo::kPred);
  const int64_t count = c.Out().elements();
  const Op source = Reshape(c.T(2), {c.T(2).shape().elements()});
  if (source.shape().elements() == 0) return c.Return(c.T(0));
  const Op rank = RunningSum(Reshape(Convert(mask, hlo::kS32), {count}), 0);
  const Op taken = TakeAlong(source, Sub(rank, ScalarLike(rank, 1)), 0);
  c.Return(Select(mask, Reshape(taken, c.Out().dims), c.El(0, c.Out().type)));
}

}  // namespace

OpTable IndexingOps() {
  static constexpr OpLowering kOps[] = {
      {"aten::gather", GatherOp},
      {"aten::index.Tensor", Index},
      {"aten::index_select", IndexSelect},
      {"aten::masked_scatter", MaskedScatter},
      {"aten::take", Take},
  };
  return kOps;
}

}  // namespace glia::lowering
