#include "compiler/codegen/matrix_product.h"

#include <algorithm>
#include <vector>

#include "compiler/codegen/dot_operands.h"
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

class DotEmitter {
 public:
  DotEmitter(Emitter& e, DType compute, ProductSink& sink)
      : e_(e), compute_(compute), sink_(sink), operands_(e, compute) {}

  void Emit(const Products& p) {
    const int64_t m = p.lhs.dims[0], n = p.rhs.dims[0];
    const int64_t m_block = CeilDiv(m, CeilDiv(m, isa::kMaxMatmulStationary));
    const int64_t n_block = CeilDiv(n, CeilDiv(n, isa::kMaxMatmulMoving));
    const int64_t widest = kResultBytes / sink_.element_bytes();
    const bool batched = p.count > 1 && n <= isa::kMaxMatmulMoving / 2;
    const int64_t together = batched ? std::min(p.count, std::max<int64_t>(1, widest / n)) : 1;
    const int64_t wide =
        batched || sink_.rows()
            ? n
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
        operands_.ForgetConstants();
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
    const int64_t stationary_width =
        operands_.IsConstant(lhs) ? kStationaryBlocks * m_block : m_block;
    const int64_t widest = std::max<int64_t>({columns, stationary_width, isa::kPartitions});
    const auto bytes = [&](const Nd& x) {
      return operands_.IsConstant(x)
                 ? isa::DTypeBytes(compute_)
                 : std::max(isa::DTypeBytes(compute_), isa::DTypeBytes(x.dtype));
    };
    const int64_t most =
        std::max<int64_t>(1, kPieceBytes / (std::max(bytes(lhs), bytes(rhs)) * widest)) *
        isa::kMaxMatmulContraction;
    const int64_t slabs = CeilDiv(k, most);
    const int64_t slab =
        k % slabs == 0 && (k / slabs) % isa::kMaxMatmulContraction == 0 ? k / slabs : most;
    const bool blocked =
        (operands_.IsConstant(lhs) ||
         operands_.InSbuf(SliceDim(lhs, 0, first_row, std::min(m_block, last_row - first_row)))) &&
        (operands_.IsConstant(rhs) || operands_.InSbuf(SliceDim(rhs, 0, n0, columns)));
    bool first = true;
    for (int64_t k0 = 0; k0 < k; k0 += slab) {
      const int64_t length = std::min(slab, k - k0);
      const Contraction plan = PlanContraction(length, blocked);
      for (const bool rest : {false, true}) {
        if (rest && plan.rest == 0) continue;
        const auto part = [&](const Nd& x, int64_t free0, int64_t free) {
          return operands_.Load(Arrange(SliceNd(x, {free0, k0}, {free, length}), plan, rest));
        };
        const Piece moving = part(rhs, n0, columns);
        int64_t m0 = first_row;
        for (const Tile& sum : sums) {
          // Constants come in with their neighbours: longer rows for the transfer.
          const int64_t from = m0 / stationary_width * stationary_width;
          const bool shared = operands_.IsConstant(lhs);
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

  Emitter& e_;
  const DType compute_;
  ProductSink& sink_;
  DotOperands operands_;
};

}  // namespace

void EmitProducts(Emitter& e, DType compute, ProductSink& sink, const Products& products) {
  DotEmitter(e, compute, sink).Emit(products);
}

}  // namespace glia::compiler
