// Operations that move elements without computing on them.
#include <algorithm>

#include "absl/strings/str_cat.h"
#include "compiler/codegen/emitters.h"
#include "compiler/codegen/movement.h"
#include "compiler/codegen/tiling.h"
#include "serialization/isa/table.h"

namespace glia::compiler {
namespace {

using hlo::Opcode;

constexpr int64_t kFillFree = 2048;

}  // namespace

absl::Status EmitView(Emitter& e, const hlo::Instruction& hlo) {
  const hlo::Instruction* operand = hlo.operand(0);
  absl::StatusOr<Nd> view = e.View(operand);
  if (!view.ok()) return view.status();
  Nd nd = *view;
  switch (hlo.opcode()) {
    case Opcode::kBroadcast:
      nd = BroadcastNd(nd, hlo.shape.dims, hlo.dimensions);
      break;
    case Opcode::kTranspose:
      nd = TransposeNd(nd, hlo.dimensions);
      break;
    case Opcode::kReverse:
      for (int64_t d : hlo.dimensions) nd = ReverseDim(nd, d);
      break;
    case Opcode::kSlice:
      for (int64_t d = 0; d < nd.rank(); ++d) {
        nd = SliceDim(nd, d, hlo.slice_starts[d], hlo.shape.dims[d],
                      hlo.slice_strides.empty() ? 1 : hlo.slice_strides[d]);
      }
      break;
    default: {  // reshape, bitcast
      absl::optional<Nd> reshaped = ReshapeNd(nd, hlo.shape.dims);
      if (!reshaped.has_value()) {
        absl::StatusOr<Nd> home = e.Home(operand);
        if (!home.ok()) return home.status();
        reshaped = DenseNd(home->var, home->dtype, hlo.shape.dims, home->offset);
      }
      nd = *reshaped;
    }
  }
  e.SetLeaves(hlo, {nd});
  return e.status();
}

absl::Status EmitConcatenate(Emitter& e, const hlo::Instruction& hlo) {
  const int64_t dim = hlo.dimensions[0];
  const absl::optional<Nd> made = e.MadeInPlace(hlo);
  const Nd out = made.has_value() ? *made : e.NewResult(hlo);
  int64_t start = 0;
  for (const hlo::Instruction* operand : hlo.operands()) {
    absl::StatusOr<Nd> part = e.View(operand);
    if (!part.ok()) return part.status();
    const Nd target = SliceDim(out, dim, start, part->dims[dim]);
    start += part->dims[dim];
    if (part->var == target.var && part->offset == target.offset) continue;
    if (part->dtype == target.dtype) {
      e.Dma(target, *part);
      continue;
    }
    // What convolutions alone read may be rounded.
    ForEachTile({target, *part}, kFillFree, [&](const TileBox& box) {
      const Tile from = e.LoadShared(box.parts[1], box.partition_dims);
      const Tile to = e.NewTile(target.dtype, from.partitions, from.free, "concatenate");
      e.Copy(to.all(), from.all());
      e.Store(box.parts[0], box.partition_dims, to);
    });
  }
  return e.status();
}

void Fill(Emitter& e, const Nd& target, const Nd* scalar, double splat, int64_t splat_int) {
  if (target.elements() == 0) return;
  const int64_t free = std::min(kFillFree, target.elements());
  constexpr int rows = isa::kPartitions;
  const Tile tile = e.NewTile(target.dtype, rows, free, "fill");
  if (scalar != nullptr) {
    const Tile column = e.NewTile(target.dtype, rows, 1, "fill");
    e.Dma(e.At(column, {rows, 1}), BroadcastNd(*scalar, {rows, 1}, {}));
    e.Copy(tile.all(), column.pattern(rows, 0, {free}, {0}));
  } else if (isa::IsFloat(target.dtype)) {
    e.Memset(tile.all(), splat);
  } else {
    e.MemsetInt(tile.all(), splat_int);
  }
  ForEachTile({target}, free, [&](const TileBox& box) {
    e.Dma(box.parts[0], TileNd(tile, box.parts[0].dims, box.partition_dims));
  });
}

absl::Status EmitPad(Emitter& e, const hlo::Instruction& hlo) {
  absl::StatusOr<Nd> input = e.View(hlo.operand(0));
  if (!input.ok()) return input.status();
  const Nd out = e.NewResult(hlo);
  Nd from = *input, to = out;
  bool interior = false;
  std::vector<Nd> slabs;  // around what is copied; `rest` is what is left within them
  Nd rest = out;
  for (int64_t d = 0; d < out.rank(); ++d) {
    const hlo::PaddingDim& pad = hlo.padding[d];
    const int64_t step = pad.interior + 1;
    // Elements [first, first + count) of the input land within the output.
    const int64_t first = pad.low < 0 ? std::min((-pad.low + step - 1) / step, from.dims[d]) : 0;
    const int64_t room = out.dims[d] - (pad.low + first * step);
    const int64_t count = room <= 0 ? 0 : std::min(from.dims[d] - first, (room + step - 1) / step);
    const int64_t start = count == 0 ? 0 : pad.low + first * step;
    from = SliceDim(from, d, first, count);
    to = SliceDim(to, d, start, count, step);
    interior = interior || (step > 1 && count > 1);
    const int64_t end = count == 0 ? 0 : start + (count - 1) * step + 1;
    slabs.push_back(SliceDim(rest, d, 0, start));
    slabs.push_back(SliceDim(rest, d, end, out.dims[d] - end));
    rest = SliceDim(rest, d, start, end - start);
  }
  if (interior) slabs = {out};
  const hlo::Instruction* value = hlo.operand(1);
  const absl::optional<double> splat = e.Splat(value);
  absl::optional<Nd> scalar;
  int64_t splat_int = 0;
  if (!splat.has_value()) {
    absl::StatusOr<Nd> view = e.View(value);
    if (!view.ok()) return view.status();
    scalar = *view;
  } else if (!hlo::IsFloating(value->shape.type)) {
    splat_int = Emitter::ConstantOf(value)->GetAsInt64(0);
  }
  for (const Nd& slab : slabs) {
    Fill(e, slab, scalar.has_value() ? &*scalar : nullptr, splat.value_or(0), splat_int);
  }
  e.Dma(to, from);
  return e.status();
}

absl::Status EmitIota(Emitter& e, const hlo::Instruction& hlo) {
  const absl::StatusOr<DType> dtype = DeviceType(hlo.shape.type);
  if (!dtype.ok()) return dtype.status();
  const int64_t dim = hlo.dimensions[0];
  // The numbers once; the other dims repeat them.
  const Nd numbers = e.NewBuffer(*dtype, {hlo.shape.dims[dim]}, "iota");
  ForEachTile({numbers}, kFillFree, [&](const TileBox& box) {
    const Nd& part = box.parts[0];
    const Tile tile = e.NewTile(*dtype, box.partitions, box.free, "iota");
    e.Iota(tile.all(), part.offset / part.element_bytes(), box.partitions > 1 ? box.free : 0, {1});
    e.Store(part, box.partition_dims, tile);
  });
  e.SetLeaves(hlo, {BroadcastNd(numbers, hlo.shape.dims, {dim})});
  return e.status();
}

absl::Status EmitBitcastConvert(Emitter& e, const hlo::Instruction& hlo) {
  const absl::StatusOr<DType> dtype = DeviceType(hlo.shape.type);
  if (!dtype.ok()) return dtype.status();
  absl::StatusOr<Nd> home = e.Home(hlo.operand(0));
  if (!home.ok()) return home.status();
  e.SetLeaves(hlo, {DenseNd(home->var, *dtype, hlo.shape.dims, home->offset)});
  return e.status();
}

}  // namespace glia::compiler
