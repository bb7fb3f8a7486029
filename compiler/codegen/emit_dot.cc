// dot: any batch, free and contracting dims, on the tensor engine; integers that fp32 cannot hold
// by multiply and reduce.
#include <algorithm>

#include "absl/strings/str_cat.h"
#include "compiler/codegen/emitters.h"
#include "compiler/codegen/tiling.h"
#include "serialization/isa/table.h"

namespace glia::compiler {
namespace {

int64_t CeilDiv(int64_t a, int64_t b) { return (a + b - 1) / b; }

// How k elements go on the partitions: `count` partitions of `per_partition` neighbours each where
// that divides evenly (a transfer then moves longer rows), and what is left over.
struct Contraction {
  int64_t count = 0;
  int64_t per_partition = 1;
  int64_t rest = 0;  // last elements, fewer than 128
};

Contraction PlanContraction(int64_t k) {
  Contraction c;
  const int64_t chunks = CeilDiv(k, isa::kMaxMatmulContraction);
  for (int64_t per = chunks; per <= chunks + chunks / 4 + 1 && per <= k; ++per) {
    if (k % per == 0) {
      c.count = k / per;
      c.per_partition = per;
      return c;
    }
  }
  c.count = std::min<int64_t>(k, isa::kMaxMatmulContraction);
  c.per_partition = k / c.count;
  c.rest = k - c.count * c.per_partition;
  return c;
}

// A piece of an operand in SBUF: [chunk partitions, slots, free], one slot a chunk.
struct Piece {
  Tile tile;
  int64_t slots = 0;
  int64_t free = 0;
  Operand Slot(int64_t slot) const { return tile.part(tile.partitions, slot * free, free); }
};

class DotEmitter {
 public:
  DotEmitter(Emitter& e, DType compute) : e_(e), compute_(compute) {}

  // out [m, n] = lhs [m, k] . rhs [n, k].
  void Emit(const Nd& lhs, const Nd& rhs, const Nd& out) {
    const int64_t m = out.dims[0], n = out.dims[1];
    const int64_t m_blocks = CeilDiv(m, isa::kMaxMatmulStationary);
    const int64_t n_blocks = CeilDiv(n, isa::kMaxMatmulMoving);
    const int64_t m_block = CeilDiv(m, m_blocks), n_block = CeilDiv(n, n_blocks);
    // Blocks of rows that share a moving operand while it is in SBUF, and the columns of one result
    // tile.
    for (int64_t super = 0; super < m; super += kSuperBlocks * m_block) {
      const int64_t super_end = std::min(m, super + kSuperBlocks * m_block);
      const int64_t wide_blocks = CeilDiv(n_blocks, std::max<int64_t>(1, kResultFree / n_block));
      const int64_t wide_block = n_block * CeilDiv(n_blocks, wide_blocks);
      for (int64_t w0 = 0; w0 < n; w0 += wide_block) {
        const int64_t width = std::min(wide_block, n - w0);
        std::vector<Tile> results;
        for (int64_t m0 = super; m0 < super_end; m0 += m_block) {
          results.push_back(
              e_.NewTile(out.dtype, static_cast<int>(std::min(m_block, m - m0)), width, "dot"));
        }
        for (int64_t n0 = w0; n0 < w0 + width; n0 += n_block) {
          const int64_t columns = std::min(n_block, w0 + width - n0);
          std::vector<Tile> sums;
          for (const Tile& result : results) sums.push_back(e_.NewPsum(result.partitions, columns));
          Accumulate(lhs, rhs, super, super_end, m_block, n0, columns, sums);
          for (size_t i = 0; i < sums.size(); ++i) {
            Finish(results[i].part(results[i].partitions, n0 - w0, columns), sums[i]);
          }
        }
        for (size_t i = 0; i < results.size(); ++i) {
          const int64_t m0 = super + static_cast<int64_t>(i) * m_block;
          e_.Store(SliceNd(out, {m0, w0}, {results[i].partitions, width}), 1, results[i]);
        }
      }
    }
  }

 private:
  static constexpr int64_t kSuperBlocks =
      3;  // PSUM banks at once; twice that for the next ones' start
  static constexpr int64_t kResultFree = 2048;

  void Accumulate(const Nd& lhs, const Nd& rhs, int64_t super, int64_t super_end, int64_t m_block,
                  int64_t n0, int64_t columns, const std::vector<Tile>& sums) {
    // Neighbouring contracted elements whose moving operand fits a tile: long rows for the
    // transfers.
    const int64_t k = rhs.dims[1];
    const int64_t bytes = std::max(isa::DTypeBytes(compute_), isa::DTypeBytes(rhs.dtype));
    const int64_t widest = std::max<int64_t>({columns, m_block, isa::kPartitions});
    const int64_t most =
        std::max<int64_t>(1, kPieceBytes / (bytes * widest)) * isa::kMaxMatmulContraction;
    const int64_t slabs = CeilDiv(k, most);
    const int64_t slab = k % slabs == 0 ? k / slabs : most;
    bool first = true;
    for (int64_t k0 = 0; k0 < k; k0 += slab) {
      const int64_t length = std::min(slab, k - k0);
      const Contraction plan = PlanContraction(length);
      for (const bool rest : {false, true}) {
        if (rest && plan.rest == 0) continue;
        const auto part = [&](const Nd& x, int64_t free0, int64_t free) {
          return Load(Arrange(SliceNd(x, {free0, k0}, {free, length}), plan, rest));
        };
        const Piece moving = part(rhs, n0, columns);
        size_t i = 0;
        for (int64_t m0 = super; m0 < super_end; m0 += m_block, ++i) {
          const Piece stationary = part(lhs, m0, std::min(m_block, super_end - m0));
          for (int64_t s = 0; s < moving.slots; ++s) {
            e_.Matmul(sums[i].all(), stationary.Slot(s), moving.Slot(s), !first || s > 0);
          }
        }
        first = false;
      }
    }
  }

  // An operand [free, k] as [partitions, slots, free].
  static Nd Arrange(const Nd& x, const Contraction& plan, bool rest) {
    const int64_t whole = plan.count * plan.per_partition;
    if (rest) return TransposeNd(InsertDim(SliceDim(x, 1, whole, plan.rest), 1), {2, 1, 0});
    return TransposeNd(SplitDim(SliceDim(x, 1, 0, whole), 1, plan.per_partition), {1, 2, 0});
  }

  // Brings a view [partitions, slots, free] into SBUF, in the type of the matmul.
  Piece Load(const Nd& view) {
    Piece piece;
    piece.slots = view.dims[1];
    piece.free = view.dims[2];
    if (const absl::optional<Nd> constant = e_.ArrangeConstant(view, compute_)) {
      piece.tile = e_.LoadShared(*constant, 1);
      return piece;
    }
    const absl::optional<Tile> found = e_.FindShared(view, 1, compute_);
    piece.tile = found.has_value()                      ? *found
                 : InSbuf(view) || WantsTranspose(view) ? LoadTransposed(view)
                                                        : LoadDirect(view);
    return piece;
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
    const bool contiguous_k = view.strides[1] == bytes || (slots == 1 && view.strides[0] == bytes);
    if (!contiguous_k) return false;
    // Rows of the transfer against those of the natural layout and the transposes.
    const int64_t rows = view.dims[0] * free;
    return rows > 256;
  }

  // A part of the view as LoadTransposed wants it: [rows, partitions, slots].
  static Nd Natural(const Nd& view, int64_t f0) {
    const int64_t rows = std::min<int64_t>(isa::kPartitions, view.dims[2] - f0);
    return TransposeNd(SliceDim(view, 2, f0, rows), {2, 0, 1});
  }
  // What computed the operand left it in SBUF: turning it is faster than the way through HBM.
  bool InSbuf(const Nd& view) const {
    return e_.FindShared(Natural(view, 0), 1, view.dtype).has_value();
  }

  // Loads [free, k] as it lies and turns it on the tensor engine, 128 x 128 at a time.
  Tile LoadTransposed(const Nd& view) {
    const int64_t partitions = view.dims[0], slots = view.dims[1], free = view.dims[2];
    const Tile out = e_.NewTile(compute_, static_cast<int>(partitions), slots * free, "transposed");
    for (int64_t f0 = 0; f0 < free; f0 += isa::kPartitions) {
      const int64_t rows = std::min<int64_t>(isa::kPartitions, free - f0);
      const Tile raw = e_.LoadShared(Natural(view, f0), 1);
      Tile from = raw;
      if (raw.dtype != compute_) {
        from = e_.NewTile(compute_, raw.partitions, raw.free, "cast");
        e_.Copy(from.all(), raw.all());
      }
      // As many slots as a PSUM bank holds are turned before they are copied out.
      const int64_t bank = isa::kPsumBankBytes / (rows * isa::DTypeBytes(compute_));
      for (int64_t s0 = 0; s0 < slots; s0 += bank) {
        const int64_t count = std::min(bank, slots - s0);
        const Tile psum = e_.NewPsum(static_cast<int>(partitions), count * rows, compute_);
        for (int64_t s = 0; s < count; ++s) {
          e_.PeTranspose(psum.part(psum.partitions, s * rows, rows),
                         from.pattern(static_cast<int>(rows), s0 + s, {partitions}, {slots}));
        }
        e_.Evacuate(out.pattern(out.partitions, s0 * free + f0, {count, rows}, {free, 1}),
                    psum.pattern(psum.partitions, 0, {count, rows}, {rows, 1}));
      }
    }
    e_.KeepShared(view, 1, out);
    return out;
  }

  void Finish(const Operand& result, const Tile& sum) {
    if (isa::IsFloat(result.dtype)) {
      e_.Evacuate(result, sum.all());
      return;
    }
    // Exact integers; narrow results wrap.
    const Tile wide = e_.NewTile(DType::kI32, sum.partitions, sum.free, "dot");
    e_.Copy(wide.all(), sum.all(), Engine::kDve);
    e_.Copy(result, wide.all());
  }

  static constexpr int64_t kPieceBytes = 16 * 1024;

  Emitter& e_;
  const DType compute_;
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
Grouped Group(const std::vector<std::pair<const Nd*, Dims>>& parts) {
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

}  // namespace

absl::Status EmitDot(Emitter& e, const hlo::Instruction& hlo) {
  absl::StatusOr<Nd> l = e.View(hlo.operand(0));
  if (!l.ok()) return l.status();
  absl::StatusOr<Nd> r = e.View(hlo.operand(1));
  if (!r.ok()) return r.status();
  Nd lhs = *l, rhs = *r;
  const Nd out = e.NewResult(hlo);
  if (!e.ok() || out.elements() == 0) return e.status();
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
    e.Dma(out, BroadcastNd(source, out.dims, {}));
    return e.status();
  }
  // Each of free and contracting dims must be one dim for the tiles; a copy makes it so.
  Grouped kg = Group({{&lhs, lk}, {&rhs, rk}});
  const bool many_m = Group({{&lhs, lm}, {&out, om}}).dims.size() > 1;
  const bool many_n = Group({{&rhs, rn}, {&out, on}}).dims.size() > 1;
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
  const Grouped b = Group({{&lhs, lb}, {&rhs, rb}, {&out, ob}});
  const Grouped m = Group({{&lhs, lm}, {&out, om}});
  const Grouped n = Group({{&rhs, rn}, {&out, on}});
  kg = Group({{&lhs, lk}, {&rhs, rk}});
  const auto matrix = [](const Nd& x, int64_t rows, int64_t row_stride, int64_t columns,
                         int64_t column_stride) {
    Nd nd = x;
    nd.dims = {rows, columns};
    nd.strides = {row_stride, column_stride};
    return nd;
  };
  const Nd l2 = matrix(lhs, m.dims[0], m.strides[0][0], k, kg.strides[0][0]);
  const Nd r2 = matrix(rhs, n.dims[0], n.strides[0][0], k, kg.strides[1][0]);
  const Nd o2 = matrix(out, m.dims[0], m.strides[1][0], n.dims[0], n.strides[1][0]);

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
                   DropDim(full(out, 2, m.strides[1][0], n.strides[1][0], 0),
                           static_cast<int64_t>(b.dims.size()) + 2));
    return e.status();
  }
  DotEmitter emitter(e, ComputeType(e, lhs.dtype, rhs.dtype));
  Dims index(b.dims.size(), 0);
  for (int64_t i = 0; i < batches; ++i) {
    int64_t rest = i;
    Nd li = l2, ri = r2, oi = o2;
    for (size_t dim = b.dims.size(); dim-- > 0;) {
      const int64_t at = rest % b.dims[dim];
      rest /= b.dims[dim];
      li.offset += at * b.strides[0][dim];
      ri.offset += at * b.strides[1][dim];
      oi.offset += at * b.strides[2][dim];
    }
    emitter.Emit(li, ri, oi);
  }
  return e.status();
}

}  // namespace glia::compiler
