#include "compiler/codegen/dot_operands.h"

#include <algorithm>

#include "serialization/isa/table.h"

namespace glia::compiler {
namespace {

// Fewer rows in one tile are no reason to turn all of them.
constexpr int64_t kMinResident = 32;

Piece Slots(const Tile& tile, int64_t slots, int64_t free) {
  Piece piece;
  for (int64_t s = 0; s < slots; ++s)
    piece.slots.push_back(tile.part(tile.partitions, s * free, free));
  return piece;
}

// Rows along the contracted dim are contiguous, those along the free dim are not: the transfer
// would move single elements.
bool WantsTranspose(const Nd& view) {
  const int64_t bytes = view.element_bytes();
  const int64_t free = view.dims[2], slots = view.dims[1];
  if (free == 1 || view.strides[2] == bytes || view.strides[2] == 0) return false;
  const bool contiguous_k = view.strides[1] == bytes || view.strides[0] == bytes;
  if (!contiguous_k) return false;
  // Rows of the transfer against those of the natural layout and the transposes.
  const int64_t rows = view.dims[0] * free * (view.strides[1] == bytes ? 1 : slots);
  return rows > 256;
}

}  // namespace

bool DotOperands::IsConstant(const Nd& x) const {
  return x.dtype == DType::kF32 &&
         e_.serial().program.variables[x.var].kind == isa::VariableKind::kFile;
}

Piece DotOperands::Load(const Nd& view) {
  const int64_t slots = view.dims[1], free = view.dims[2];
  Piece piece;
  if (AsItLies(view, compute_, &piece)) return piece;
  if (const absl::optional<Tile> found = e_.FindShared(view, 1, compute_); found.has_value())
    return Slots(*found, slots, free);
  if (IsConstant(view)) {
    const absl::optional<Nd> packed = e_.ArrangeConstant(view, compute_);
    if (packed.has_value()) {
      const auto loaded = constants_.find({packed->var, packed->offset});
      if (loaded != constants_.end() && loaded->second.partitions == view.dims[0] &&
          loaded->second.free == slots * free)
        return Slots(loaded->second, slots, free);
      const Tile tile =
          e_.NewTile(compute_, static_cast<int>(view.dims[0]), slots * free, "weights");
      e_.Dma(e_.At(tile, {view.dims[0], slots * free}),
             *ReshapeNd(*packed, {view.dims[0], slots * free}));
      constants_[{packed->var, packed->offset}] = tile;
      return Slots(tile, slots, free);
    }
  }
  if (view.dtype != compute_ && AsItLies(view, view.dtype, &piece)) {
    const Tile cast = e_.NewTile(compute_, static_cast<int>(view.dims[0]), slots * free, "cast");
    for (int64_t s = 0; s < slots; ++s)
      e_.Copy(cast.part(cast.partitions, s * free, free), piece.slots[static_cast<size_t>(s)]);
    e_.KeepShared(view, 1, cast);
    return Slots(cast, slots, free);
  }
  const bool natural = RowsInSbuf(TransposeNd(view, {2, 1, 0}));
  const Tile tile = natural || WantsTranspose(view) ? LoadTransposed(view) : LoadDirect(view);
  return Slots(tile, slots, free);
}

// The view slot by slot, if all of it is in SBUF with the contraction on the partitions.
bool DotOperands::AsItLies(const Nd& view, DType dtype, Piece* piece) {
  piece->slots.clear();
  for (int64_t s = 0; s < view.dims[1]; ++s) {
    const absl::optional<Operand> found =
        e_.FindResident(DropDim(SliceDim(view, 1, s, 1), 1), 1, dtype);
    if (!found.has_value()) return false;
    piece->slots.push_back(*found);
  }
  return true;
}

Tile DotOperands::LoadDirect(const Nd& view) {
  const Tile raw = e_.LoadShared(view, 1);
  if (raw.dtype == compute_) return raw;
  const Tile cast = e_.NewTile(compute_, raw.partitions, raw.free, "cast");
  e_.Copy(cast.all(), raw.all());
  e_.KeepShared(view, 1, cast);
  return cast;
}

// What computed an operand [free, ...] left its rows in SBUF: turning them is faster than the way
// through HBM.
bool DotOperands::RowsInSbuf(const Nd& natural) const {
  return ResidentRows(natural, 0) >= std::min(kMinResident, natural.dims[0]);
}
// How many rows from `first` one tile holds.
int64_t DotOperands::ResidentRows(const Nd& natural, int64_t first) const {
  const auto resident = [&](int64_t rows) {
    return Resident(SliceDim(natural, 0, first, rows)).has_value();
  };
  int64_t high = std::min<int64_t>(isa::kPartitions, natural.dims[0] - first);
  if (resident(high)) return high;
  int64_t low = 0;
  while (low + 1 < high) {
    const int64_t middle = (low + high) / 2;
    (resident(middle) ? low : high) = middle;
  }
  return low;
}
bool DotOperands::InSbuf(const Nd& natural) const {
  if (RowsInSbuf(natural)) return true;
  const Nd chunk =
      SliceDim(natural, 1, 0, std::min<int64_t>(isa::kMaxMatmulContraction, natural.dims[1]));
  return Resident(TransposeNd(chunk, {1, 0})).has_value();
}
absl::optional<Operand> DotOperands::Resident(const Nd& view) const {
  absl::optional<Operand> found = e_.FindResident(view, 1, compute_);
  return found.has_value() || view.dtype == compute_ ? found : e_.FindResident(view, 1, view.dtype);
}

// Loads [free, k] as it lies and turns it on the tensor engine, 128 x 128 at a time.
Tile DotOperands::LoadTransposed(const Nd& view) {
  const int64_t partitions = view.dims[0], slots = view.dims[1], free = view.dims[2];
  const Tile out = e_.NewTile(compute_, static_cast<int>(partitions), slots * free, "transposed");
  const Nd first_slot = DropDim(SliceDim(TransposeNd(view, {2, 0, 1}), 2, 0, 1), 2);
  int64_t rows = 0;
  for (int64_t f0 = 0; f0 < free; f0 += rows) {
    rows = ResidentRows(first_slot, f0);
    if (rows == 0) rows = std::min<int64_t>(isa::kPartitions, free - f0);
    const Nd natural = TransposeNd(SliceDim(view, 2, f0, rows), {2, 0, 1});
    // The operand of one slot, [rows, partitions].
    std::vector<Operand> from;
    for (int64_t s = 0; s < slots; ++s) {
      const absl::optional<Operand> found = Resident(DropDim(SliceDim(natural, 2, s, 1), 2));
      if (!found.has_value()) break;
      from.push_back(*found);
    }
    if (static_cast<int64_t>(from.size()) < slots) {
      const bool rows_of_k = view.strides[1] == view.element_bytes();
      const Tile raw = e_.LoadShared(rows_of_k ? natural : TransposeNd(natural, {0, 2, 1}), 1);
      from.clear();
      for (int64_t s = 0; s < slots; ++s) {
        from.push_back(rows_of_k ? raw.pattern(static_cast<int>(rows), s, {partitions}, {slots})
                                 : raw.part(static_cast<int>(rows), s * partitions, partitions));
      }
    }
    // The tensor engine turns floats; others are converted before.
    const DType type = isa::IsFloat(from[0].dtype) ? from[0].dtype : compute_;
    // As many slots as a PSUM bank holds are turned before they are copied out.
    const int64_t bank = isa::kPsumBankBytes / (rows * isa::DTypeBytes(type));
    for (int64_t s0 = 0; s0 < slots; s0 += bank) {
      const int64_t count = std::min(bank, slots - s0);
      const Tile psum = e_.NewPsum(static_cast<int>(partitions), count * rows, type);
      for (int64_t s = 0; s < count; ++s) {
        Operand source = from[static_cast<size_t>(s0 + s)];
        if (source.dtype != type) {
          const Tile cast = e_.NewTile(type, static_cast<int>(rows), partitions, "cast");
          e_.Copy(cast.all(), source);
          source = cast.all();
        }
        e_.PeTranspose(psum.part(psum.partitions, s * rows, rows), source);
      }
      e_.Evacuate(out.pattern(out.partitions, s0 * free + f0, {count, rows}, {free, 1}),
                  psum.pattern(psum.partitions, 0, {count, rows}, {rows, 1}));
    }
  }
  e_.KeepShared(view, 1, out);
  return out;
}

}  // namespace glia::compiler
