// The kernel of a reduction: tiles of the inputs, reduced in the free dims, accumulated, and in the
// end reduced across partitions where reduced elements lie on those.
#include <algorithm>
#include <cmath>
#include <limits>
#include <utility>

#include "compiler/codegen/reduce.h"
#include "compiler/codegen/tiling.h"
#include "serialization/isa/table.h"

namespace glia::compiler {
namespace {

constexpr int64_t kMaxFree = 4096;  // elements of a loaded tile

int64_t CeilDiv(int64_t a, int64_t b) { return (a + b - 1) / b; }

// One dim on the partitions, perhaps only in part: dim = (rows, row) with the rows on the
// partitions.
struct Plan {
  int64_t dim = -1;  // none: one partition
  int64_t row = 1;   // elements of the dim that stay in the free dims
  double cost = std::numeric_limits<double>::infinity();
};

// Rough time in ns, as in tiling.cc.
double Cost(const Reduction& p, bool any_computation, int64_t dim, int64_t row) {
  const Nd& x = p.in[0];
  const int64_t elements = x.elements();
  int64_t partitions = 1;
  if (dim >= 0) partitions = std::min<int64_t>(isa::kPartitions, CeilDiv(x.dims[dim], row));
  int64_t run = 1;
  for (int64_t d = 0; d < x.rank(); ++d) {
    if (x.strides[d] == x.element_bytes()) run = std::max(run, d == dim ? row : x.dims[d]);
  }
  run = std::min(run, kMaxFree);
  const double row_ns = std::max(144.0, static_cast<double>(run * x.element_bytes()) / 17.0) / 16.0;
  double cost = std::max(256.0, static_cast<double>(elements) / static_cast<double>(partitions)) +
                static_cast<double>(elements) / static_cast<double>(run) * row_ns;
  if (dim >= p.kept) {
    const int64_t results = p.out[0].elements();
    cost += 150.0 + static_cast<double>(results);
    // The partitions of all results come back into one row.
    if (any_computation) {
      if (partitions * results > kMaxFree) return std::numeric_limits<double>::infinity();
      cost += 5000.0;
    }
  }
  const int64_t tiles = CeilDiv(elements, partitions * kMaxFree);
  return cost + 400.0 * static_cast<double>(tiles);
}

Plan Choose(const Reduction& p, bool any_computation) {
  Plan best;
  best.cost = Cost(p, any_computation, -1, 1);
  for (int64_t dim = 0; dim < p.in[0].rank(); ++dim) {
    for (int64_t row = 1; row <= p.in[0].dims[dim] && row <= kMaxFree; row *= 2) {
      // Rows that fill all partitions evenly where the dim allows it.
      const int64_t even = CeilDiv(p.in[0].dims[dim], CeilDiv(p.in[0].dims[dim], row));
      const double cost = Cost(p, any_computation, dim, even);
      if (cost < best.cost) best = {dim, even, cost};
    }
  }
  return best;
}

// The dims of a tile in the order in which it lies in HBM: long rows for the transfer.
Dims OrderByStride(const Nd& x, const Dims& candidates) {
  Dims order = candidates;
  std::stable_sort(order.begin(), order.end(), [&x](int64_t a, int64_t b) {
    return std::abs(x.strides[a]) > std::abs(x.strides[b]);
  });
  return order;
}

class Reducer {
 public:
  Reducer(Emitter& e, const ReduceOp& op, const std::vector<Nd>& inits)
      : e_(e), op_(op), inits_(inits) {}

  // Cuts off the rest when the chosen dim is not a multiple of its row; then emits.
  absl::Status Run(Reduction p) {
    Merge(&p);
    const Plan plan = Choose(p, op_.alu == AluOp::kBypass);
    if (plan.dim < 0 || plan.row == 1) return Emit(p, plan.dim);
    const int64_t n = p.in[0].dims[plan.dim];
    const int64_t whole = n / plan.row * plan.row;
    if (plan.dim < p.kept) {
      if (whole < n) {
        Reduction rest = p;
        for (Nd& x : rest.in) x = SliceDim(x, plan.dim, whole, n - whole);
        for (Nd& o : rest.out) o = SliceDim(o, plan.dim, whole, n - whole);
        if (absl::Status s = Emit(rest, -1); !s.ok()) return s;
      }
      for (Nd& x : p.in) x = SplitDim(SliceDim(x, plan.dim, 0, whole), plan.dim, plan.row);
      for (Nd& o : p.out) o = SplitDim(SliceDim(o, plan.dim, 0, whole), plan.dim, plan.row);
      ++p.kept;
      return Emit(p, plan.dim);
    }
    // A reduced dim: the rest becomes a part of its own, accumulated by the same kernel.
    if (whole < n) {
      for (const Nd& x : p.in) rest_.push_back(SliceDim(x, plan.dim, whole, n - whole));
    }
    for (Nd& x : p.in) x = SplitDim(SliceDim(x, plan.dim, 0, whole), plan.dim, plan.row);
    return Emit(p, plan.dim);
  }

 private:
  void Merge(Reduction* p) {
    // Kept dims merge with those of the results, reduced ones among the inputs only.
    const int64_t kept = p->kept, rank = p->in[0].rank();
    std::vector<Dims> kept_strides, reduced_strides;
    for (const Nd& x : p->in) {
      kept_strides.emplace_back(x.strides.begin(), x.strides.begin() + kept);
      reduced_strides.emplace_back(x.strides.begin() + kept, x.strides.begin() + rank);
    }
    for (const Nd& o : p->out) kept_strides.push_back(o.strides);
    Dims kept_dims(p->in[0].dims.begin(), p->in[0].dims.begin() + kept);
    Dims reduced_dims(p->in[0].dims.begin() + kept, p->in[0].dims.end());
    std::vector<Dims*> pointers;
    for (Dims& s : kept_strides) pointers.push_back(&s);
    Collapse(&kept_dims, pointers);
    pointers.clear();
    for (Dims& s : reduced_strides) pointers.push_back(&s);
    Collapse(&reduced_dims, pointers);
    for (size_t i = 0; i < p->in.size(); ++i) {
      Nd& x = p->in[i];
      x.dims = kept_dims;
      x.dims.insert(x.dims.end(), reduced_dims.begin(), reduced_dims.end());
      x.strides = kept_strides[i];
      x.strides.insert(x.strides.end(), reduced_strides[i].begin(), reduced_strides[i].end());
    }
    for (size_t i = 0; i < p->out.size(); ++i) {
      p->out[i].dims = kept_dims;
      p->out[i].strides = kept_strides[p->in.size() + i];
    }
    p->kept = static_cast<int64_t>(kept_dims.size());
  }

  // Blocks of every dim: those of the partition dim of 128, the others as a tile holds them.
  absl::Status Emit(const Reduction& p, int64_t partition) {
    const Nd& x = p.in[0];
    const int64_t rank = x.rank();
    Dims block(x.dims);
    int64_t left = kMaxFree;
    const auto limit = [&](int64_t d, int64_t most) {
      most = std::min(x.dims[d], std::max<int64_t>(most, 1));
      block[d] = CeilDiv(x.dims[d], CeilDiv(x.dims[d], most));
    };
    if (partition >= 0) limit(partition, isa::kPartitions);
    // The dim with the shortest steps first: its rows should be whole.
    Dims free_dims;
    for (int64_t d = 0; d < rank; ++d) {
      if (d != partition) free_dims.push_back(d);
    }
    Dims order = OrderByStride(x, free_dims);
    for (size_t i = order.size(); i-- > 0;) {
      limit(order[i], left);
      left /= block[order[i]];
    }
    // Over the kept dims.
    Dims start(rank, 0);
    while (e_.ok()) {
      if (absl::Status s = EmitKept(p, partition, order, start, block); !s.ok()) return s;
      int64_t d = p.kept;
      bool more = false;
      while (d-- > 0) {
        start[d] += block[d];
        if (start[d] < x.dims[d]) {
          more = true;
          break;
        }
        start[d] = 0;
      }
      if (!more) break;
    }
    return e_.status();
  }

  // One block of the results: all reduced blocks into accumulators.
  absl::Status EmitKept(const Reduction& p, int64_t partition, const Dims& order, Dims start,
                        const Dims& block) {
    const Nd& x = p.in[0];
    const int64_t rank = x.rank();
    Dims size(rank);
    for (int64_t d = 0; d < rank; ++d) size[d] = std::min(block[d], x.dims[d] - start[d]);
    int64_t kept_free = 1;
    for (int64_t d = 0; d < p.kept; ++d) {
      if (d != partition) kept_free *= size[d];
    }
    std::vector<Operand> acc;  // [P, kept_free], in the order of the kept dims
    int acc_partitions = 0;
    const auto add = [&](const std::vector<Nd>& parts, int64_t partition_dim,
                         const Dims& free_order) {
      absl::StatusOr<std::vector<Operand>> result =
          ReduceTile(p.kept, parts, partition_dim, free_order);
      if (!result.ok()) return result.status();
      return Accumulate(*std::move(result), &acc, &acc_partitions);
    };
    while (true) {
      for (int64_t d = p.kept; d < rank; ++d) size[d] = std::min(block[d], x.dims[d] - start[d]);
      std::vector<Nd> parts;
      for (const Nd& in : p.in) parts.push_back(SliceNd(in, start, size));
      if (absl::Status s = add(parts, partition, order); !s.ok()) return s;
      int64_t d = rank;
      bool more = false;
      while (d-- > p.kept) {
        start[d] += block[d];
        if (start[d] < x.dims[d]) {
          more = true;
          break;
        }
        start[d] = 0;
      }
      if (!more) break;
    }
    if (partition >= p.kept) {
      if (absl::Status s = AcrossPartitions(&acc, acc_partitions, kept_free); !s.ok()) return s;
    }
    if (!rest_.empty()) {
      // What did not fill a row: the same kept block, all of the other reduced dims, on one
      // partition.
      if (absl::Status s = AddRest(p, start, size, &acc); !s.ok()) return s;
    }
    return Finish(p, partition, start, size, acc);
  }

  // rest_ has the dims of x before one of the reduced ones was cut into (rows, row).
  absl::Status AddRest(const Reduction& p, const Dims& start, const Dims& size,
                       std::vector<Operand>* acc) {
    std::vector<Nd> parts;
    for (const Nd& r : rest_) {
      Nd part = r;
      for (int64_t d = 0; d < p.kept; ++d) part = SliceDim(part, d, start[d], size[d]);
      parts.push_back(part);
    }
    Dims blocks = parts[0].dims;
    int64_t left = kMaxFree;
    for (int64_t d = 0; d < p.kept; ++d) left = std::max<int64_t>(1, left / blocks[d]);
    for (int64_t d = parts[0].rank(); d-- > p.kept;) {
      blocks[d] = std::min(blocks[d], left);
      left = std::max<int64_t>(1, left / blocks[d]);
    }
    Dims free_dims;
    for (int64_t d = 0; d < parts[0].rank(); ++d) free_dims.push_back(d);
    const Dims order = OrderByStride(parts[0], free_dims);
    Dims at(parts[0].rank(), 0);
    int partitions = 1;
    while (e_.ok()) {
      std::vector<Nd> boxes;
      Dims sizes(at.size());
      for (size_t d = 0; d < at.size(); ++d)
        sizes[d] = std::min(blocks[d], parts[0].dims[d] - at[d]);
      for (const Nd& part : parts) boxes.push_back(SliceNd(part, at, sizes));
      absl::StatusOr<std::vector<Operand>> result = ReduceTile(p.kept, boxes, -1, order);
      if (!result.ok()) return result.status();
      if (absl::Status s = Accumulate(*std::move(result), acc, &partitions); !s.ok()) return s;
      int64_t d = parts[0].rank();
      bool more = false;
      while (d-- > p.kept) {
        at[d] += blocks[d];
        if (at[d] < parts[0].dims[d]) {
          more = true;
          break;
        }
        at[d] = 0;
      }
      if (!more) break;
    }
    return e_.status();
  }

  // Loads one box and reduces its reduced free dims.
  absl::StatusOr<std::vector<Operand>> ReduceTile(int64_t kept, const std::vector<Nd>& parts,
                                                  int64_t partition, const Dims& free_order) {
    Dims kept_free, reduced_free;
    for (int64_t d : free_order) {
      (d < kept ? kept_free : reduced_free).push_back(d);
    }
    std::sort(kept_free.begin(), kept_free.end());
    const Dims& dims = parts[0].dims;
    int64_t kept_count = 1, reduced_count = 1;
    for (int64_t d : kept_free) kept_count *= dims[d];
    for (int64_t d : reduced_free) reduced_count *= dims[d];
    const int partitions = partition < 0 ? 1 : static_cast<int>(dims[partition]);
    std::vector<Operand> operands;
    for (const Nd& part : parts) {
      Dims order = op_.alu == AluOp::kBypass ? Dims() : free_order;
      // A computation of any kind works on halves of the reduced elements: those outermost.
      if (order.empty()) {
        order = reduced_free;
        order.insert(order.end(), kept_free.begin(), kept_free.end());
      }
      Operand o = Load(part, partition, order, kept_free, reduced_free);
      operands.push_back(o);
    }
    if (op_.alu == AluOp::kBypass) return Halve(operands, kept_count, reduced_count);
    const DType acc_type = isa::IsFloat(operands[0].dtype) ? DType::kF32 : operands[0].dtype;
    if (reduced_count == 1) {
      if (operands[0].dtype == acc_type) return operands;
      const Operand wide = e_.NewTile(acc_type, partitions, kept_count, "reduce").all();
      e_.Copy(wide, operands[0]);
      return std::vector<Operand>{wide};
    }
    const Operand out = e_.NewTile(acc_type, partitions, kept_count, "reduce").all();
    e_.Reduce(out, operands[0], op_.alu, reduced_dims_);
    return std::vector<Operand>{out};
  }

  // The tile's elements seen as [P, kept ..., reduced ...] for one operation of the engine; as
  // [P, reduced, kept] dense for a computation. Sets reduced_dims_.
  Operand Load(const Nd& part, int64_t partition, const Dims& order, const Dims& kept_free,
               const Dims& reduced_free) {
    const auto arrange = [&](const Dims& free) {
      Dims permutation;
      Nd x = part;
      if (partition < 0) {
        x = InsertDim(x, x.rank());
        permutation.push_back(part.rank());
      } else {
        permutation.push_back(partition);
      }
      permutation.insert(permutation.end(), free.begin(), free.end());
      return TransposeNd(x, permutation);
    };
    if (op_.alu == AluOp::kBypass) {
      // Dense, so that halves are contiguous.
      const Tile tile = e_.LoadShared(arrange(order), 1);
      return tile.all();
    }
    // What computed it left it in SBUF, as a part of a larger tile perhaps.
    int64_t kept = 1;
    for (int64_t d : kept_free) kept *= part.dims[d];
    if (kept == 1) {
      const absl::optional<Operand> resident = e_.FindResident(arrange(order), 1, part.dtype);
      if (resident.has_value() && resident->partition == 0) {
        reduced_dims_ = isa::kFreeDims;
        return *resident;
      }
    }
    // Strides of each dim within the tile.
    const auto pattern = [&](const Dims& free, Dims* sizes, Dims* strides) {
      std::vector<int64_t> step(part.rank(), 0);
      int64_t stride = 1;
      for (size_t i = free.size(); i-- > 0;) {
        step[free[i]] = stride;
        stride *= part.dims[free[i]];
      }
      Dims kept_sizes, kept_strides, reduced_sizes, reduced_strides;
      for (int64_t d : kept_free) {
        kept_sizes.push_back(part.dims[d]);
        kept_strides.push_back(step[d]);
      }
      // Ascending dims merge; any order of summation will do.
      Dims sorted = reduced_free;
      std::sort(sorted.begin(), sorted.end(),
                [&step](int64_t a, int64_t b) { return step[a] > step[b]; });
      for (int64_t d : sorted) {
        reduced_sizes.push_back(part.dims[d]);
        reduced_strides.push_back(step[d]);
      }
      Collapse(&kept_sizes, {&kept_strides});
      Collapse(&reduced_sizes, {&reduced_strides});
      reduced_dims_ = static_cast<int>(reduced_sizes.size());
      *sizes = kept_sizes;
      sizes->insert(sizes->end(), reduced_sizes.begin(), reduced_sizes.end());
      *strides = kept_strides;
      strides->insert(strides->end(), reduced_strides.begin(), reduced_strides.end());
      return sizes->size() <= static_cast<size_t>(isa::kFreeDims);
    };
    Dims sizes, strides, used = order;
    if (!pattern(order, &sizes, &strides)) {
      used = kept_free;
      used.insert(used.end(), reduced_free.begin(), reduced_free.end());
      pattern(used, &sizes, &strides);
    }
    const Tile tile = e_.LoadShared(arrange(used), 1);
    return tile.pattern(tile.partitions, 0, sizes, strides);
  }

  // Pairs of halves until one is left. Operands are dense [P, reduced * kept].
  absl::StatusOr<std::vector<Operand>> Halve(std::vector<Operand> now, int64_t kept,
                                             int64_t reduced) {
    std::vector<Operand> odd;  // what was left over
    const auto piece = [&](const Operand& o, int64_t first, int64_t count) {
      Operand r = o;
      for (int d = 0; d < isa::kFreeDims; ++d) {
        r.size[d] = 1;
        r.stride[d] = 0;
      }
      r.offset = o.offset + static_cast<uint32_t>(first * kept * isa::DTypeBytes(o.dtype));
      r.size[isa::kFreeDims - 1] = static_cast<uint16_t>(count * kept);
      r.stride[isa::kFreeDims - 1] = count * kept == 1 ? 0 : 1;
      return r;
    };
    while (reduced > 1) {
      const int64_t half = reduced / 2;
      std::vector<Operand> low, high, last;
      for (const Operand& o : now) {
        low.push_back(piece(o, 0, half));
        high.push_back(piece(o, half, half));
        if (reduced % 2 != 0) last.push_back(piece(o, reduced - 1, 1));
      }
      if (!last.empty()) {
        if (odd.empty()) {
          odd = last;
        } else {
          absl::StatusOr<std::vector<Operand>> joined = Apply(odd, last);
          if (!joined.ok()) return joined.status();
          odd = *std::move(joined);
        }
      }
      absl::StatusOr<std::vector<Operand>> result = Apply(low, high);
      if (!result.ok()) return result.status();
      now = *std::move(result);
      reduced = half;
    }
    if (odd.empty()) return now;
    return Apply(now, odd);
  }

  absl::StatusOr<std::vector<Operand>> Apply(const std::vector<Operand>& a,
                                             const std::vector<Operand>& b) {
    std::vector<Operand> arguments(a);
    arguments.insert(arguments.end(), b.begin(), b.end());
    return e_.ApplyScalar(*op_.computation, arguments);
  }

  absl::Status Accumulate(std::vector<Operand> next, std::vector<Operand>* acc,
                          int* acc_partitions) {
    if (acc->empty()) {
      *acc_partitions = next[0].num_partitions;
      *acc = std::move(next);
      return e_.status();
    }
    // The last block may have fewer partitions: only those change.
    const int p = next[0].num_partitions;
    std::vector<Operand> now;
    for (const Operand& o : *acc) now.push_back(Partitions(o, 0, p));
    std::vector<Operand> sum;
    if (op_.alu != AluOp::kBypass) {
      const Operand out = e_.NewTile(now[0].dtype, p, now[0].free_elements(), "reduce").all();
      e_.TensorTensor(out, now[0], next[0], op_.alu);
      sum = {out};
    } else {
      absl::StatusOr<std::vector<Operand>> result = Apply(now, next);
      if (!result.ok()) return result.status();
      sum = *std::move(result);
    }
    for (size_t i = 0; i < sum.size() && p < *acc_partitions; ++i) {
      const Operand merged =
          e_.NewTile(sum[i].dtype, *acc_partitions, sum[i].free_elements(), "reduce").all();
      e_.Copy(merged, (*acc)[i]);
      e_.Copy(Partitions(merged, 0, p), sum[i]);
      sum[i] = merged;
    }
    *acc = std::move(sum);
    return e_.status();
  }

  // [P, kept] -> [1, kept].
  absl::Status AcrossPartitions(std::vector<Operand>* acc, int partitions, int64_t kept_free) {
    if (partitions == 1) return e_.status();
    if (op_.alu != AluOp::kBypass) {
      Operand from = (*acc)[0];
      const Operand out = e_.NewTile(from.dtype, 1, kept_free, "reduce").all();
      e_.PartitionReduce(out, from, op_.alu);
      *acc = {out};
      return e_.status();
    }
    // By way of HBM: the partitions come back as free elements.
    std::vector<Operand> rows;
    int64_t free = 0;
    for (const Operand& o : *acc) {
      const Nd buffer = e_.NewBuffer(o.dtype, {partitions, kept_free}, "reduce");
      Nd from = e_.At(o);
      absl::optional<Nd> flat = ReshapeNd(from, {partitions, kept_free});
      if (!flat.has_value()) return absl::InternalError("an accumulator that is not dense");
      e_.Dma(buffer, *flat);
      free = partitions * kept_free;
      if (free * buffer.element_bytes() > kMaxTileBytes) {
        return absl::InternalError("partial results do not fit into a tile");
      }
      const Tile tile = e_.NewTile(o.dtype, 1, free, "reduce");
      e_.Dma(e_.At(tile, {1, free}), *ReshapeNd(buffer, {1, free}));
      rows.push_back(tile.all());
    }
    absl::StatusOr<std::vector<Operand>> result = Halve(rows, kept_free, partitions);
    if (!result.ok()) return result.status();
    *acc = *std::move(result);
    return e_.status();
  }

  // Applies the initial value, converts, stores.
  absl::Status Finish(const Reduction& p, int64_t partition, const Dims& start, const Dims& size,
                      std::vector<Operand> acc) {
    if (!inits_.empty()) {
      std::vector<Operand> init;
      for (size_t i = 0; i < acc.size(); ++i) {
        const Tile column = e_.NewTile(inits_[i].dtype, acc[i].num_partitions, 1, "init");
        e_.Dma(e_.At(column, {column.partitions, 1}),
               BroadcastNd(inits_[i], {column.partitions, 1}, {}));
        init.push_back(column.pattern(column.partitions, 0, {acc[i].free_elements()}, {0}));
      }
      if (op_.alu != AluOp::kBypass) {
        const Operand out =
            e_.NewTile(acc[0].dtype, acc[0].num_partitions, acc[0].free_elements(), "reduce").all();
        e_.TensorTensor(out, acc[0], init[0], op_.alu);
        acc = {out};
      } else {
        absl::StatusOr<std::vector<Operand>> result = Apply(init, acc);
        if (!result.ok()) return result.status();
        acc = *std::move(result);
      }
    }
    for (size_t i = 0; i < acc.size(); ++i) {
      // Dims of the results in this block: the partition dim first.
      Nd out = p.out[i];
      for (int64_t d = 0; d < p.kept; ++d) out = SliceDim(out, d, start[d], size[d]);
      Dims permutation;
      const bool kept_partition = partition >= 0 && partition < p.kept;
      if (!kept_partition) {
        out = InsertDim(out, out.rank());
        permutation.push_back(p.kept);
      } else {
        permutation.push_back(partition);
      }
      for (int64_t d = 0; d < p.kept; ++d) {
        if (!(kept_partition && d == partition)) permutation.push_back(d);
      }
      out = TransposeNd(out, permutation);
      absl::optional<Tile> tile = WholeTile(e_, acc[i]);
      if (!tile.has_value() || tile->dtype != out.dtype) {
        tile = e_.NewTile(out.dtype, acc[i].num_partitions, acc[i].free_elements(), "reduce");
        e_.Copy(tile->all(), acc[i]);
      }
      e_.Store(out, 1, *tile);
    }
    return e_.status();
  }

  Emitter& e_;
  const ReduceOp& op_;
  const std::vector<Nd>& inits_;
  std::vector<Nd> rest_;
  int reduced_dims_ = 0;
};

}  // namespace

absl::Status EmitReduction(Emitter& e, const ReduceOp& op, Reduction reduction,
                           const std::vector<Nd>& inits) {
  return Reducer(e, op, inits).Run(std::move(reduction));
}

}  // namespace glia::compiler
