// gather, dynamic-slice, dynamic-update-slice.
#include <algorithm>

#include "compiler/codegen/emitters.h"
#include "compiler/codegen/indexing.h"
#include "compiler/codegen/tiling.h"
#include "serialization/isa/table.h"

namespace glia::compiler {
namespace {

using hlo::Instruction;

// So many windows go through SBUF, where what reads them next finds them; more go straight to HBM.
constexpr int64_t kMaxStagedWindows = 512;

bool Contains(const Dims& dims, int64_t dim) {
  return std::find(dims.begin(), dims.end(), dim) != dims.end();
}

// The operand with strides that starts can be multiples of.
absl::StatusOr<Nd> Indexable(Emitter& e, const Instruction* hlo) {
  absl::StatusOr<Nd> view = e.View(hlo);
  if (!view.ok()) return view;
  for (int64_t stride : view->strides) {
    if (stride < 0) return e.Home(hlo);
  }
  return view;
}

// dst [count, window ...] from windows of src, whose dim 0 the index replaces.
void GatherPiece(Emitter& e, const Nd& dst, const Nd& src, const Emitter::Index& index) {
  const int64_t count = dst.dims[0];
  const int64_t window = dst.elements() / std::max<int64_t>(1, count);
  if (count > kMaxStagedWindows || window == 1 || window * dst.element_bytes() > kMaxTileBytes) {
    GatherWindows(e, dst, src, index);
    return;
  }
  for (int64_t first = 0; first < count; first += isa::kPartitions) {
    const int64_t rows = std::min<int64_t>(isa::kPartitions, count - first);
    const Tile tile = e.NewTile(dst.dtype, static_cast<int>(rows), window, "gather");
    const Nd part = SliceDim(dst, 0, first, rows);
    Emitter::Index at = index;
    at.offset += first * isa::DTypeBytes(DType::kI32);
    GatherWindows(e, TileNd(tile, part.dims, 1), SliceDim(src, 0, first, rows), at);
    e.Store(part, 1, tile);
  }
}

// Coordinates of the one window whose start is given by an operand for each dim, from `first` on.
// Known starts move `base`.
absl::Status ReadScalarStarts(Emitter& e, const Instruction& hlo, int64_t first, const Dims& sizes,
                              Nd* base, WindowStarts* starts) {
  for (int64_t d = 0; d < base->rank(); ++d) {
    const int64_t limit = base->dims[d] - sizes[d];
    const Instruction* operand = hlo.operand(first + d);
    const hlo::Literal* known = Emitter::ConstantOf(operand);
    if (limit == 0) continue;
    if (known != nullptr && known->elements() == 1) {
      int64_t start = known->GetAsInt64(0);
      if (start < 0 && operand->shape.type == hlo::kU64) start = limit;
      base->offset += std::clamp<int64_t>(start, 0, limit) * base->strides[d];
      continue;
    }
    absl::StatusOr<Nd> value = e.View(operand);
    if (!value.ok()) return value.status();
    StartCoordinate c;
    c.values = InsertDim(*value, 0);
    c.limit = limit;
    c.stride = base->strides[d];
    starts->coordinates.push_back(c);
  }
  return e.status();
}

}  // namespace

absl::Status EmitGather(Emitter& e, const Instruction& hlo) {
  absl::StatusOr<Nd> operand = Indexable(e, hlo.operand(0));
  if (!operand.ok()) return operand.status();
  absl::StatusOr<Nd> indices = e.View(hlo.operand(1));
  if (!indices.ok()) return indices.status();
  const Nd out = e.NewResult(hlo);
  if (!e.ok() || out.elements() == 0) return e.status();
  const hlo::GatherDims& g = hlo.gather_dims;
  WindowStarts starts;
  if (hlo::ChecksIndices(hlo)) starts.out_of_range = OutOfRange::kRefuse;
  if (absl::Status s = ReadIndexVectors(e, *indices, g.index_vector_dim, g.start_index_map,
                                        g.operand_batching_dims, g.start_indices_batching_dims,
                                        *operand, hlo.slice_sizes, &starts);
      !s.ok()) {
    return s;
  }
  // [count, window ...] on both sides.
  Nd src = *operand;
  src.dims = {starts.count};
  src.strides = {0};
  for (int64_t d = 0; d < operand->rank(); ++d) {
    if (Contains(g.collapsed_slice_dims, d) || Contains(g.operand_batching_dims, d)) continue;
    src = InsertDim(src, src.rank(), hlo.slice_sizes[d], operand->strides[d]);
  }
  Dims order;
  for (int64_t d = 0; d < out.rank(); ++d) {
    if (!Contains(g.offset_dims, d)) order.push_back(d);
  }
  for (int64_t d = 0; d < out.rank(); ++d) {
    if (Contains(g.offset_dims, d)) order.push_back(d);
  }
  const Nd turned = TransposeNd(out, order);
  const absl::optional<Nd> direct = ReshapeNd(turned, src.dims);
  const Nd dst = direct.has_value() ? *direct : e.NewBuffer(out.dtype, src.dims, "gather");
  absl::Status status = ForEachStarts(
      e, starts, out.element_bytes(), 0,
      [&](int64_t first, int64_t count, const Emitter::Index& index) {
        GatherPiece(e, SliceDim(dst, 0, first, count), SliceDim(src, 0, first, count), index);
        return e.status();
      });
  if (!status.ok()) return status;
  if (!direct.has_value()) e.Dma(turned, *ReshapeNd(dst, turned.dims));
  return e.status();
}

absl::Status EmitDynamicSlice(Emitter& e, const Instruction& hlo) {
  absl::StatusOr<Nd> operand = Indexable(e, hlo.operand(0));
  if (!operand.ok()) return operand.status();
  if (hlo.shape.elements() == 0) {
    e.NewResult(hlo);
    return e.status();
  }
  Nd src = *operand;
  WindowStarts starts;
  if (absl::Status s = ReadScalarStarts(e, hlo, 1, hlo.slice_sizes, &src, &starts); !s.ok())
    return s;
  src.dims = hlo.slice_sizes;
  if (starts.coordinates.empty()) {
    e.SetLeaves(hlo, {src});
    return e.status();
  }
  const Nd out = e.NewResult(hlo);
  return ForEachStarts(e, starts, out.element_bytes(), 0,
                       [&](int64_t, int64_t, const Emitter::Index& index) {
                         GatherWindows(e, InsertDim(out, 0), InsertDim(src, 0), index);
                         return e.status();
                       });
}

absl::Status EmitDynamicUpdateSlice(Emitter& e, const Instruction& hlo) {
  absl::StatusOr<Nd> operand = e.View(hlo.operand(0));
  if (!operand.ok()) return operand.status();
  absl::StatusOr<Nd> update = e.View(hlo.operand(1));
  if (!update.ok()) return update.status();
  const Nd out = e.NewResult(hlo);
  if (!e.ok()) return e.status();
  e.Dma(out, *operand);
  if (update->elements() == 0) return e.status();
  Nd dst = out;
  WindowStarts starts;
  if (absl::Status s = ReadScalarStarts(e, hlo, 2, update->dims, &dst, &starts); !s.ok()) return s;
  dst.dims = update->dims;
  if (starts.coordinates.empty()) {
    e.Dma(dst, *update);
    return e.status();
  }
  return ForEachStarts(e, starts, out.element_bytes(), 0,
                       [&](int64_t, int64_t, const Emitter::Index& index) {
                         ScatterWindows(e, InsertDim(dst, 0), InsertDim(*update, 0), index);
                         return e.status();
                       });
}

}  // namespace glia::compiler
