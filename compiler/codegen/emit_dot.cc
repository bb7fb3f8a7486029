// dot: any batch, free and contracting dims, on the tensor engine; integers that fp32 cannot hold
// by multiply and reduce.
#include <algorithm>

#include "absl/container/flat_hash_map.h"
#include "absl/strings/str_cat.h"
#include "compiler/codegen/emitters.h"
#include "compiler/codegen/epilogue.h"
#include "compiler/codegen/tiling.h"
#include "serialization/isa/table.h"

namespace glia::compiler {
namespace {

int64_t CeilDiv(int64_t a, int64_t b) { return (a + b - 1) / b; }

// How k elements go on the partitions: `count` partitions of `per_partition` elements each, and
// what is left over. The elements of a partition are neighbours (a transfer then moves longer
// rows), or, in blocks, neighbours are on different partitions.
struct Contraction {
  int64_t count = 0;
  int64_t per_partition = 1;
  int64_t rest = 0;  // last elements, fewer than 128
  bool blocked = false;
};

Contraction PlanContraction(int64_t k, bool blocked) {
  Contraction c;
  c.blocked = blocked;
  const int64_t chunks = CeilDiv(k, isa::kMaxMatmulContraction);
  if (!blocked) {
    for (int64_t per = chunks; per <= chunks + chunks / 4 + 1 && per <= k; ++per) {
      if (k % per == 0) {
        c.count = k / per;
        c.per_partition = per;
        return c;
      }
    }
  }
  c.count = std::min<int64_t>(k, isa::kMaxMatmulContraction);
  c.per_partition = k / c.count;
  c.rest = k - c.count * c.per_partition;
  return c;
}

// A piece of an operand in SBUF: for each slot, a chunk of the contraction, [chunk partitions,
// free].
struct Piece {
  std::vector<Operand> slots;
};

// One side of a matrix product: [free, k] in HBM, a constant, or what is in SBUF.
// out [m, n] = lhs [m, k] . rhs [n, k] for `count` products that lie a stride apart.
struct Products {
  Nd lhs, rhs;  // of the first
  int64_t count = 1;
  int64_t lhs_step = 0, rhs_step = 0;  // bytes
  // Cuts [count, m, n] from an array of the result's dims.
  ProductSink::View view;
};

class DotEmitter {
 public:
  DotEmitter(Emitter& e, DType compute, ProductSink& sink)
      : e_(e), compute_(compute), sink_(sink) {}

  void Emit(const Products& p) {
    const int64_t m = p.lhs.dims[0], n = p.rhs.dims[0];
    const int64_t m_block = CeilDiv(m, CeilDiv(m, isa::kMaxMatmulStationary));
    const int64_t n_block = CeilDiv(n, CeilDiv(n, isa::kMaxMatmulMoving));
    const int64_t widest = kResultBytes / sink_.element_bytes();
    const bool batched = p.count > 1 && n <= isa::kMaxMatmulMoving / 2;
    const int64_t together = batched ? std::min(p.count, std::max<int64_t>(1, widest / n)) : 1;
    const int64_t wide =
        batched ? n
                : n_block * std::max<int64_t>(1, std::min(CeilDiv(n, n_block), widest / n_block));
    const int64_t rows =
        m_block *
        std::max<int64_t>(1, kOpenBytes / (std::min(wide, n) * together * sink_.element_bytes()));
    for (int64_t b0 = 0; b0 < p.count; b0 += together) {
      const int64_t batches = std::min(together, p.count - b0);
      for (int64_t super = 0; super < m; super += rows) {
        for (int64_t w0 = 0; w0 < n; w0 += wide) {
          Block block = {b0, batches, super, std::min(m, super + rows), w0, std::min(n, w0 + wide)};
          EmitBlock(p, block, m_block, n_block);
        }
      }
    }
  }

 private:
  struct Block {
    int64_t b0, batches, m0, m1, n0, n1;
  };
  // Bytes a partition of one block of results, and of all that are open at once.
  static constexpr int64_t kResultBytes = 16 * 1024;
  static constexpr int64_t kOpenBytes = 48 * 1024;
  static constexpr int64_t kPieceBytes = 24 * 1024;
  static constexpr int64_t kStationaryBlocks = 4;
  static constexpr size_t kSums = 3;  // PSUM banks at once

  // The block [m, batch, n] of an array of the result's dims.
  static ProductSink::View Cut(const Products& p, int64_t b, int64_t batches, int64_t m0, int64_t m,
                               int64_t n0, int64_t n) {
    return [=, view = p.view](const Nd& full) {
      return TransposeNd(SliceNd(view(full), {b, m0, n0}, {batches, m, n}), {1, 0, 2});
    };
  }

  void EmitBlock(const Products& p, const Block& block, int64_t m_block, int64_t n_block) {
    const int64_t width = block.n1 - block.n0;
    std::vector<size_t> open;
    for (int64_t m0 = block.m0; m0 < block.m1; m0 += m_block) {
      const int64_t m = std::min(m_block, block.m1 - m0);
      open.push_back(sink_.Begin(Cut(p, block.b0, block.batches, m0, m, block.n0, width), 1));
    }
    const int64_t per_bank = block.batches == 1 ? 1 : isa::kMaxMatmulMoving / width;
    for (int64_t b = 0; b < block.batches; b += per_bank) {
      const int64_t batches = std::min(per_bank, block.batches - b);
      for (int64_t n0 = block.n0; n0 < block.n1; n0 += n_block) {
        const int64_t columns = std::min(n_block, block.n1 - n0);
        moving_.clear();
        for (size_t first = 0; first < open.size(); first += kSums) {
          const size_t count = std::min(kSums, open.size() - first);
          std::vector<Tile> sums;
          for (size_t i = 0; i < count; ++i) {
            const int64_t m0 = block.m0 + static_cast<int64_t>(first + i) * m_block;
            sums.push_back(
                e_.NewPsum(static_cast<int>(std::min(m_block, block.m1 - m0)), batches * columns));
          }
          for (int64_t i = 0; i < batches; ++i) {
            Nd lhs = p.lhs, rhs = p.rhs;
            lhs.offset += (block.b0 + b + i) * p.lhs_step;
            rhs.offset += (block.b0 + b + i) * p.rhs_step;
            Accumulate(lhs, rhs, block.m0 + static_cast<int64_t>(first) * m_block, block.m1,
                       m_block, n0, columns, sums, i * columns);
          }
          for (size_t i = 0; i < count; ++i) {
            const int64_t m0 = block.m0 + static_cast<int64_t>(first + i) * m_block;
            sink_.Put(open[first + i], sums[i].all(), b * width + (n0 - block.n0),
                      Cut(p, block.b0 + b, batches, m0, sums[i].partitions, n0, columns));
          }
        }
      }
    }
    for (size_t block_number : open) sink_.End(block_number);
  }

  void Accumulate(const Nd& lhs, const Nd& rhs, int64_t first_row, int64_t last_row,
                  int64_t m_block, int64_t n0, int64_t columns, const std::vector<Tile>& sums,
                  int64_t start) {
    const int64_t k = rhs.dims[1];
    // Neighbouring contracted elements whose moving operand fits a tile: long rows for the
    // transfers.
    const int64_t stationary_width = IsConstant(lhs) ? kStationaryBlocks * m_block : m_block;
    const int64_t widest = std::max<int64_t>({columns, stationary_width, isa::kPartitions});
    const auto bytes = [&](const Nd& x) {
      return IsConstant(x) ? isa::DTypeBytes(compute_)
                           : std::max(isa::DTypeBytes(compute_), isa::DTypeBytes(x.dtype));
    };
    const int64_t most =
        std::max<int64_t>(1, kPieceBytes / (std::max(bytes(lhs), bytes(rhs)) * widest)) *
        isa::kMaxMatmulContraction;
    const int64_t slabs = CeilDiv(k, most);
    const int64_t slab =
        k % slabs == 0 && (k / slabs) % isa::kMaxMatmulContraction == 0 ? k / slabs : most;
    const bool blocked =
        (IsConstant(lhs) ||
         InSbuf(SliceDim(lhs, 0, first_row, std::min(m_block, last_row - first_row)))) &&
        (IsConstant(rhs) || InSbuf(SliceDim(rhs, 0, n0, columns)));
    bool first = true;
    for (int64_t k0 = 0; k0 < k; k0 += slab) {
      const int64_t length = std::min(slab, k - k0);
      const Contraction plan = PlanContraction(length, blocked);
      for (const bool rest : {false, true}) {
        if (rest && plan.rest == 0) continue;
        const auto part = [&](const Nd& x, int64_t free0, int64_t free) {
          return Load(Arrange(SliceNd(x, {free0, k0}, {free, length}), plan, rest));
        };
        const Piece moving = part(rhs, n0, columns);
        int64_t m0 = first_row;
        for (const Tile& sum : sums) {
          // Constants come in with their neighbours: longer rows for the transfer.
          const int64_t from = m0 / stationary_width * stationary_width;
          const bool shared = IsConstant(lhs);
          const Piece stationary =
              shared ? part(lhs, from, std::min(stationary_width, lhs.dims[0] - from))
                     : part(lhs, m0, sum.partitions);
          for (size_t s = 0; s < moving.slots.size(); ++s) {
            Operand columns_of = stationary.slots[s];
            if (shared) columns_of = Columns(columns_of, m0 - from, sum.partitions);
            e_.Matmul(sum.part(sum.partitions, start, columns), columns_of, moving.slots[s],
                      !first || s > 0);
          }
          m0 += sum.partitions;
        }
        first = false;
      }
    }
  }

  bool IsConstant(const Nd& x) const {
    return x.dtype == DType::kF32 &&
           e_.serial().program.variables[x.var].kind == isa::VariableKind::kFile;
  }

  // An operand [free, k] as [partitions, slots, free].
  static Nd Arrange(const Nd& x, const Contraction& plan, bool rest) {
    const int64_t whole = plan.count * plan.per_partition;
    if (rest) return TransposeNd(InsertDim(SliceDim(x, 1, whole, plan.rest), 1), {2, 1, 0});
    if (plan.blocked)
      return TransposeNd(SplitDim(SliceDim(x, 1, 0, whole), 1, plan.count), {2, 1, 0});
    return TransposeNd(SplitDim(SliceDim(x, 1, 0, whole), 1, plan.per_partition), {1, 2, 0});
  }

  // Elements [start, start + count) of a dense row.
  static Operand Columns(Operand row, int64_t start, int64_t count) {
    row.offset += static_cast<uint32_t>(start * isa::DTypeBytes(row.dtype));
    row.size[isa::kFreeDims - 1] = static_cast<uint16_t>(count);
    if (count == 1) row.stride[isa::kFreeDims - 1] = 0;
    return row;
  }

  static Piece Slots(const Tile& tile, int64_t slots, int64_t free) {
    Piece piece;
    for (int64_t s = 0; s < slots; ++s)
      piece.slots.push_back(tile.part(tile.partitions, s * free, free));
    return piece;
  }

  // Brings a view [partitions, slots, free] into SBUF, in the type of the matmul.
  Piece Load(const Nd& view) {
    const int64_t slots = view.dims[1], free = view.dims[2];
    Piece piece;
    if (AsItLies(view, compute_, &piece)) return piece;
    if (const absl::optional<Tile> found = e_.FindShared(view, 1, compute_); found.has_value())
      return Slots(*found, slots, free);
    if (IsConstant(view)) {
      const absl::optional<Nd> packed = e_.ArrangeConstant(view, compute_);
      if (packed.has_value()) {
        const auto loaded = moving_.find({packed->var, packed->offset});
        if (loaded != moving_.end() && loaded->second.partitions == view.dims[0] &&
            loaded->second.free == slots * free)
          return Slots(loaded->second, slots, free);
        const Tile tile =
            e_.NewTile(compute_, static_cast<int>(view.dims[0]), slots * free, "weights");
        e_.Dma(e_.At(tile, {view.dims[0], slots * free}),
               *ReshapeNd(*packed, {view.dims[0], slots * free}));
        moving_[{packed->var, packed->offset}] = tile;
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
  bool AsItLies(const Nd& view, DType dtype, Piece* piece) {
    piece->slots.clear();
    for (int64_t s = 0; s < view.dims[1]; ++s) {
      const absl::optional<Operand> found =
          e_.FindResident(DropDim(SliceDim(view, 1, s, 1), 1), 1, dtype);
      if (!found.has_value()) return false;
      piece->slots.push_back(*found);
    }
    return true;
  }

  Tile LoadDirect(const Nd& view) {
    const Tile raw = e_.LoadShared(view, 1);
    if (raw.dtype == compute_) return raw;
    const Tile cast = e_.NewTile(compute_, raw.partitions, raw.free, "cast");
    e_.Copy(cast.all(), raw.all());
    e_.KeepShared(view, 1, cast);
    return cast;
  }

  // Rows along the contracted dim are contiguous, those along the free dim are not: the transfer
  // would move single elements.
  static bool WantsTranspose(const Nd& view) {
    const int64_t bytes = view.element_bytes();
    const int64_t free = view.dims[2], slots = view.dims[1];
    if (free == 1 || view.strides[2] == bytes || view.strides[2] == 0) return false;
    const bool contiguous_k = view.strides[1] == bytes || view.strides[0] == bytes;
    if (!contiguous_k) return false;
    // Rows of the transfer against those of the natural layout and the transposes.
    const int64_t rows = view.dims[0] * free * (view.strides[1] == bytes ? 1 : slots);
    return rows > 256;
  }

  // What computed an operand [free, ...] left its rows in SBUF: turning them is faster than the way
  // through HBM.
  bool RowsInSbuf(const Nd& natural) const {
    const Nd rows = SliceDim(natural, 0, 0, std::min<int64_t>(isa::kPartitions, natural.dims[0]));
    return Resident(rows).has_value();
  }
  // [free, k], rows or columns.
  bool InSbuf(const Nd& natural) const {
    if (RowsInSbuf(natural)) return true;
    const Nd chunk =
        SliceDim(natural, 1, 0, std::min<int64_t>(isa::kMaxMatmulContraction, natural.dims[1]));
    return Resident(TransposeNd(chunk, {1, 0})).has_value();
  }
  absl::optional<Operand> Resident(const Nd& view) const {
    absl::optional<Operand> found = e_.FindResident(view, 1, compute_);
    return found.has_value() || view.dtype == compute_ ? found
                                                       : e_.FindResident(view, 1, view.dtype);
  }

  // Loads [free, k] as it lies and turns it on the tensor engine, 128 x 128 at a time.
  Tile LoadTransposed(const Nd& view) {
    const int64_t partitions = view.dims[0], slots = view.dims[1], free = view.dims[2];
    const Tile out = e_.NewTile(compute_, static_cast<int>(partitions), slots * free, "transposed");
    for (int64_t f0 = 0; f0 < free; f0 += isa::kPartitions) {
      const int64_t rows = std::min<int64_t>(isa::kPartitions, free - f0);
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

  Emitter& e_;
  const DType compute_;
  ProductSink& sink_;
  absl::flat_hash_map<std::pair<uint32_t, int64_t>, Tile>
      moving_;  // packed constants in SBUF, of the columns at hand
};

// out[b, m, n] = sum over k of lhs[b, m, k] * rhs[b, n, k], element by element. All have dims [b,
// m, n, k], out without the last.
void MultiplyReduce(Emitter& e, const Nd& lhs, const Nd& rhs, const Nd& out) {
  constexpr int64_t kMaxProducts = 2048;
  const int64_t k = lhs.dims.back();
  const int64_t k_block = std::min(k, kMaxProducts);
  const int64_t last = lhs.rank() - 1;
  const DType type = isa::IsFloat(out.dtype) ? DType::kF32 : out.dtype;
  const auto without_k = [last](const Nd& x) { return DropDim(x, last); };
  const int64_t k_stride[2] = {lhs.strides[last], rhs.strides[last]};
  ForEachTile({out, without_k(lhs), without_k(rhs)}, std::max<int64_t>(1, kMaxProducts / k_block),
              [&](const TileBox& box) {
                Operand sum;
                for (int64_t k0 = 0; k0 < k; k0 += k_block) {
                  const int64_t count = std::min(k_block, k - k0);
                  const auto load = [&](int side) {
                    Nd x = box.parts[1 + side];
                    x.offset += k0 * k_stride[side];
                    x = InsertDim(x, x.rank(), count, k_stride[side]);
                    LoadedOperand loaded = LoadOperand(e, x, box.partition_dims);
                    Operand o = loaded.operand;
                    if (loaded.column) {
                      o.size[isa::kFreeDims - 1] = static_cast<uint16_t>(box.free * count);
                      o.stride[isa::kFreeDims - 1] = 0;
                    }
                    return o;
                  };
                  const Operand a = load(0), b = load(1);
                  const Tile product = e.NewTile(type, box.partitions, box.free * count, "product");
                  e.TensorTensor(product.all(), a, b, AluOp::kMultiply);
                  const Operand part = e.NewTile(type, box.partitions, box.free, "dot").all();
                  e.Reduce(part, product.pattern(box.partitions, 0, {box.free, count}, {count, 1}),
                           AluOp::kAdd, 1);
                  if (k0 == 0) {
                    sum = part;
                  } else {
                    const Operand next = e.NewTile(type, box.partitions, box.free, "dot").all();
                    e.TensorTensor(next, sum, part, AluOp::kAdd);
                    sum = next;
                  }
                }
                const Tile result = e.NewTile(out.dtype, box.partitions, box.free, "dot");
                e.Copy(result.all(), sum);
                e.Store(box.parts[0], box.partition_dims, result);
              });
}

// Merges the dims of a group that are one dim in all of `parts`; false if more than one is left.
struct Grouped {
  Dims dims;
  std::vector<Dims> strides;  // of each part
};
Grouped GroupDims(const std::vector<std::pair<const Nd*, Dims>>& parts) {
  Grouped g;
  for (int64_t d : parts[0].second) g.dims.push_back(parts[0].first->dims[d]);
  for (const auto& [nd, dims] : parts) {
    g.strides.emplace_back();
    for (int64_t d : dims) g.strides.back().push_back(nd->strides[d]);
  }
  std::vector<Dims*> pointers;
  for (Dims& s : g.strides) pointers.push_back(&s);
  Collapse(&g.dims, pointers);
  return g;
}

Dims Remaining(int64_t rank, const Dims& a, const Dims& b) {
  Dims rest;
  for (int64_t d = 0; d < rank; ++d) {
    if (std::count(a.begin(), a.end(), d) == 0 && std::count(b.begin(), b.end(), d) == 0)
      rest.push_back(d);
  }
  return rest;
}

Dims Concat(const Dims& a, const Dims& b, const Dims& c) {
  Dims all(a);
  all.insert(all.end(), b.begin(), b.end());
  all.insert(all.end(), c.begin(), c.end());
  return all;
}

// A dense copy with these dims in this order.
Nd Dense(Emitter& e, const Nd& x, const Dims& permutation) {
  const Nd turned = TransposeNd(x, permutation);
  const Nd copy = e.NewBuffer(x.dtype, turned.dims, "dot.operand");
  e.Dma(copy, turned);
  return copy;
}

DType ComputeType(const Emitter& e, DType lhs, DType rhs) {
  const bool half = lhs != DType::kF32 && rhs != DType::kF32;
  if (!isa::IsFloat(lhs)) return DType::kBf16;  // 8-bit integers are exact
  if (half) return lhs == rhs ? lhs : DType::kBf16;
  if (e.options().auto_cast == AutoCast::kNone) return DType::kF32;
  return e.options().auto_cast_type == AutoCastType::kFp16 ? DType::kF16 : DType::kBf16;
}

// Products and sums that the tensor engine computes exactly.
bool FitsTensorEngine(DType lhs, DType rhs, int64_t k) {
  if (isa::IsFloat(lhs) && isa::IsFloat(rhs)) return true;
  if (isa::IsFloat(lhs) || isa::IsFloat(rhs)) return false;
  if (isa::DTypeBytes(lhs) > 1 || isa::DTypeBytes(rhs) > 1) return false;
  return k <= (int64_t{1} << 24) / (255 * 255);
}

// Strides of the value in elements after an operation that rearranges it; none if it is another.
absl::optional<Nd> ViewOf(const hlo::Instruction& view, const Nd& nd) {
  switch (view.opcode()) {
    case hlo::Opcode::kReshape:
    case hlo::Opcode::kBitcast:
      return ReshapeNd(nd, view.shape.dims);
    case hlo::Opcode::kTranspose:
      return TransposeNd(nd, view.dimensions);
    default:
      return absl::nullopt;
  }
}

constexpr int64_t kMaxTurned = int64_t{4} * 1024 * isa::kPartitions;

// Whether all that read these results [.., m, n] are products that contract over (a part of) n:
// they want it on the partitions.
bool FeedsContraction(const std::vector<const hlo::Instruction*>& results, int64_t n) {
  if (results.empty() || (n > isa::kPartitions && n % isa::kPartitions != 0)) return false;
  for (const hlo::Instruction* result : results) {
    // What does not stay in SBUF would be stored one element at a time.
    if (Product(result->shape.dims) > kMaxTurned) return false;
    std::vector<std::pair<const hlo::Instruction*, Nd>> pending = {
        {result, DenseNd(0, DType::kU8, result->shape.dims)}};
    for (size_t i = 0; i < pending.size(); ++i) {
      const auto [value, nd] = pending[i];
      if (value->IsRoot() || value->uses().empty()) return false;
      for (const hlo::Use& use : value->uses()) {
        if (use.user->opcode() != hlo::Opcode::kDot) {
          const absl::optional<Nd> next = ViewOf(*use.user, nd);
          if (!next.has_value()) return false;
          pending.emplace_back(use.user, *next);
          continue;
        }
        const hlo::DotDims& d = use.user->dot_dims;
        const Dims contracted(use.operand_index == 0 ? d.lhs_contracting : d.rhs_contracting);
        for (int64_t dim : contracted) {
          if (nd.dims[dim] > 1 && nd.strides[dim] * (nd.dims[dim] - 1) >= n) return false;
        }
        if (contracted.empty()) return false;
        // Chunks of the contraction must start where the hardware can address partitions.
        int64_t k = 1;
        for (int64_t dim : contracted) k *= nd.dims[dim];
        if (k != n && k != 32 && k != 64 && k != 128) return false;
      }
    }
  }
  return true;
}

}  // namespace

absl::Status EmitDot(Emitter& e, const hlo::Instruction& hlo) {
  absl::StatusOr<Nd> l = e.View(hlo.operand(0));
  if (!l.ok()) return l.status();
  absl::StatusOr<Nd> r = e.View(hlo.operand(1));
  if (!r.ok()) return r.status();
  Nd lhs = *l, rhs = *r;
  // Only for its dims and strides: the result is entered once it is clear where it goes.
  const Nd out = DenseNd(UINT32_MAX, *DeviceType(hlo.shape.type), hlo.shape.dims);
  if (!e.ok()) return e.status();
  if (out.elements() == 0) {
    e.NewResult(hlo);
    return e.status();
  }
  const hlo::DotDims& d = hlo.dot_dims;
  Dims lb(d.lhs_batch), rb(d.rhs_batch), lk(d.lhs_contracting), rk(d.rhs_contracting);
  Dims lm = Remaining(lhs.rank(), lb, lk), rn = Remaining(rhs.rank(), rb, rk);
  const auto range = [](size_t first, size_t count) {
    Dims dims(count);
    for (size_t i = 0; i < count; ++i) dims[i] = static_cast<int64_t>(first + i);
    return dims;
  };
  const Dims ob = range(0, lb.size()), om = range(lb.size(), lm.size()),
             on = range(lb.size() + lm.size(), rn.size());
  int64_t k = 1;
  for (int64_t dim : lk) k *= lhs.dims[dim];
  if (k == 0) {
    const Tile zero = e.NewTile(out.dtype, 1, 1, "zero");
    e.Memset(zero.all(), 0);
    Nd source = e.At(zero, {1, 1});
    e.Dma(e.NewResult(hlo), BroadcastNd(source, out.dims, {}));
    return e.status();
  }
  // Each of free and contracting dims must be one dim for the tiles; a copy makes it so.
  Grouped kg = GroupDims({{&lhs, lk}, {&rhs, rk}});
  const bool many_m = GroupDims({{&lhs, lm}, {&out, om}}).dims.size() > 1;
  const bool many_n = GroupDims({{&rhs, rn}, {&out, on}}).dims.size() > 1;
  const bool many_k = kg.dims.size() > 1;
  if (many_m || many_k) {
    lhs = Dense(e, lhs, Concat(lb, lm, lk));
    lb = range(0, lb.size());
    lm = range(lb.size(), lm.size());
    lk = range(lb.size() + lm.size(), lk.size());
  }
  if (many_n || many_k) {
    rhs = Dense(e, rhs, Concat(rb, rn, rk));
    rb = range(0, rb.size());
    rn = range(rb.size(), rn.size());
    rk = range(rb.size() + rn.size(), rk.size());
  }
  const Grouped b = GroupDims({{&lhs, lb}, {&rhs, rb}, {&out, ob}});
  const Grouped m = GroupDims({{&lhs, lm}, {&out, om}});
  const Grouped n = GroupDims({{&rhs, rn}, {&out, on}});
  kg = GroupDims({{&lhs, lk}, {&rhs, rk}});
  const auto matrix = [](const Nd& x, int64_t rows, int64_t row_stride, int64_t columns,
                         int64_t column_stride) {
    Nd nd = x;
    nd.dims = {rows, columns};
    nd.strides = {row_stride, column_stride};
    return nd;
  };
  const Nd l2 = matrix(lhs, m.dims[0], m.strides[0][0], k, kg.strides[0][0]);
  const Nd r2 = matrix(rhs, n.dims[0], n.strides[0][0], k, kg.strides[1][0]);

  const int64_t batches = Product(b.dims);
  const bool tiny = batches >= 16 && m.dims[0] * n.dims[0] <= 16;
  if (tiny || !FitsTensorEngine(lhs.dtype, rhs.dtype, k)) {
    const auto full = [&](const Nd& x, size_t part, int64_t m_stride, int64_t n_stride,
                          int64_t k_stride) {
      Nd nd = x;
      nd.dims = b.dims;
      nd.strides = b.strides[part];
      for (const auto& [size, stride] : {std::pair<int64_t, int64_t>{m.dims[0], m_stride},
                                         {n.dims[0], n_stride},
                                         {k, k_stride}}) {
        nd.dims.push_back(size);
        nd.strides.push_back(stride);
      }
      return nd;
    };
    MultiplyReduce(e, full(lhs, 0, m.strides[0][0], 0, kg.strides[0][0]),
                   full(rhs, 1, 0, n.strides[0][0], kg.strides[1][0]),
                   DropDim(full(e.NewResult(hlo), 2, m.strides[1][0], n.strides[1][0], 0),
                           static_cast<int64_t>(b.dims.size()) + 2));
    return e.status();
  }
  Dims dims = b.dims;
  dims.push_back(m.dims[0]);
  dims.push_back(n.dims[0]);
  const auto batch_rank = static_cast<int64_t>(b.dims.size());
  absl::StatusOr<ProductSink> sink = ProductSink::Make(e, hlo, dims);
  if (!sink.ok()) return sink.status();
  DotEmitter emitter(e, ComputeType(e, lhs.dtype, rhs.dtype), *sink);
  // The innermost batch dim in one go, the others one by one.
  const bool turned = FeedsContraction(sink->outputs(), n.dims[0]);
  const int64_t inner = b.dims.empty() ? 1 : b.dims.back();
  for (int64_t i = 0; i < batches / inner; ++i) {
    Products p;
    p.lhs = l2;
    p.rhs = r2;
    p.count = inner;
    Dims at(b.dims.size(), 0);
    int64_t rest = i;
    for (size_t dim = b.dims.size() - (b.dims.empty() ? 0 : 1); dim-- > 0;) {
      at[dim] = rest % b.dims[dim];
      rest /= b.dims[dim];
      p.lhs.offset += at[dim] * b.strides[0][dim];
      p.rhs.offset += at[dim] * b.strides[1][dim];
    }
    if (!b.dims.empty()) {
      p.lhs_step = b.strides[0].back();
      p.rhs_step = b.strides[1].back();
    }
    p.view = [at, batch_rank, turned](Nd full) {
      for (int64_t dim = 0; dim + 1 < batch_rank; ++dim) {
        full = DropDim(SliceDim(full, 0, at[static_cast<size_t>(dim)], 1), 0);
      }
      if (batch_rank == 0) full = InsertDim(full, 0);
      return turned ? TransposeNd(full, {0, 2, 1}) : full;
    };
    if (turned) {
      std::swap(p.lhs, p.rhs);
      std::swap(p.lhs_step, p.rhs_step);
    }
    emitter.Emit(p);
  }
  return e.status();
}

}  // namespace glia::compiler
