// sort and topk. Rows on the partitions; where the order is that of one key, POOL sorts them. Any
// other comparator, and rows longer than a tile, go through a network of compare-exchange steps
// over HBM.
#include <algorithm>

#include "absl/strings/str_cat.h"
#include "compiler/codegen/emitters.h"
#include "compiler/codegen/indexing.h"
#include "compiler/codegen/sort.h"
#include "compiler/codegen/tiling.h"
#include "serialization/hlo/builder.h"
#include "serialization/isa/table.h"

namespace glia::compiler {
namespace {

using hlo::Computation;
using hlo::Instruction;
using hlo::Opcode;

constexpr int64_t kTopChunk = 2048;  // elements sorted at once on the way to the largest few

// Whether `a`, on the parameters of the first of two elements, is what `b` is on those of the
// second.
bool Mirrors(const Instruction* a, const Instruction* b) {
  if (a->opcode() == Opcode::kParameter) {
    return b->opcode() == Opcode::kParameter && a->parameter_number % 2 == 0 &&
           b->parameter_number == a->parameter_number + 1;
  }
  if (a->opcode() != b->opcode() || a->shape.type != b->shape.type ||
      a->operand_count() != b->operand_count()) {
    return false;
  }
  if (a->opcode() == Opcode::kConstant) return a == b || a->constant() == b->constant();
  if (a->opcode() != Opcode::kSelect && a->opcode() != Opcode::kCompare &&
      a->opcode() != Opcode::kBitcastConvert && a->opcode() != Opcode::kConvert &&
      a->opcode() != Opcode::kBroadcast && a->opcode() != Opcode::kNegate &&
      a->opcode() != Opcode::kAnd && a->opcode() != Opcode::kOr && a->opcode() != Opcode::kXor &&
      a->opcode() != Opcode::kAbs && a->opcode() != Opcode::kSubtract &&
      a->opcode() != Opcode::kAdd) {
    return false;
  }
  if (a->comparison_direction != b->comparison_direction ||
      a->comparison_type != b->comparison_type) {
    return false;
  }
  for (int64_t i = 0; i < a->operand_count(); ++i) {
    if (!Mirrors(a->operand(i), b->operand(i))) return false;
  }
  return true;
}

// The order of a comparator that compares one key of each element.
struct KeyOrder {
  const Instruction* key = nullptr;  // of the first element; null for any other comparator
  bool descending = false;
  bool total = false;  // floats by all their bits
};

KeyOrder ClassifyComparator(const Computation& computation) {
  KeyOrder order;
  const Instruction* root = computation.root();
  if (root->opcode() != Opcode::kCompare) return order;
  using Direction = hlo::ComparisonDirection;
  const bool less = root->comparison_direction == Direction::kLt;
  if (!less && root->comparison_direction != Direction::kGt) return order;
  const hlo::PrimitiveType type = root->operand(0)->shape.type;
  if (root->comparison_type == hlo::ComparisonType::kUnsigned && !hlo::IsUnsignedInt(type))
    return order;
  if (root->comparison_type == hlo::ComparisonType::kSigned && hlo::IsUnsignedInt(type))
    return order;
  const bool swapped = Mirrors(root->operand(1), root->operand(0));
  if (!swapped && !Mirrors(root->operand(0), root->operand(1))) return order;
  order.key = root->operand(swapped ? 1 : 0);
  order.descending = less == swapped;
  order.total = root->comparison_type == hlo::ComparisonType::kTotalOrder && hlo::IsFloating(type);
  return order;
}

// An array [rows, n], the sorted dim last.
struct Rows {
  Nd nd;
  bool positions = false;  // 0, 1, ... in each row, s32
};

Dims SortedLast(int64_t rank, int64_t dim) {
  Dims order;
  for (int64_t d = 0; d < rank; ++d) {
    if (d != dim) order.push_back(d);
  }
  order.push_back(dim);
  return order;
}

// The result as [rows, n]: its own bytes, or a buffer that Finish copies.
struct ResultRows {
  Nd turned;
  Nd rows;
  bool direct = false;

  ResultRows(Emitter& e, const Nd& out, int64_t dim, int64_t count, int64_t n) {
    turned = TransposeNd(out, SortedLast(out.rank(), dim));
    const absl::optional<Nd> view = ReshapeNd(turned, {count, n});
    direct = view.has_value();
    rows = direct ? *view : e.NewBuffer(out.dtype, {count, n}, "sort");
  }
  void Finish(Emitter& e) const {
    if (!direct) e.Dma(turned, *ReshapeNd(rows, turned.dims));
  }
};

// Bits of floats as integers whose order is the total order: the lower bits of negatives flip.
Operand TotalOrderKey(Emitter& e, const Operand& value) {
  const int bytes = isa::DTypeBytes(value.dtype);
  const DType type = bytes == 4 ? DType::kI32 : DType::kI16;
  const int partitions = value.num_partitions;
  const auto tile = [&] {
    return e.NewTile(type, partitions, value.free_elements(), "order").all();
  };
  const Operand bits = Bits(value, type), amount = tile(), flip = tile(), mask = tile(),
                low = tile(), key = tile();
  e.MemsetInt(amount, bytes * 8 - 1);
  e.TensorTensor(flip, bits, amount, AluOp::kShiftRightArithmetic);
  e.MemsetInt(mask, bytes == 4 ? INT32_MAX : INT16_MAX);
  e.TensorTensor(low, flip, mask, AluOp::kAnd);
  e.TensorTensor(key, bits, low, AluOp::kXor);
  return key;
}

// Sorts rows of at most a tile by a key of one column.
absl::Status SortRows(Emitter& e, const Computation& comparator, const KeyOrder& order,
                      const std::vector<Rows>& in, const std::vector<Nd>& out) {
  const int64_t n = in[0].nd.dims[1];
  // The key alone, for keys that are computed.
  hlo::Module module("key");
  Computation* key_of = nullptr;
  if (order.key->opcode() != Opcode::kParameter) {
    absl::flat_hash_map<const Computation*, Computation*> mapped;
    key_of = hlo::Module::CopyComputation(comparator, &module, &mapped);
    key_of->set_root(key_of->Find(order.key->name()));
  }
  for (int64_t r = 0; r < in[0].nd.dims[0]; r += isa::kPartitions) {
    const int64_t count = std::min<int64_t>(isa::kPartitions, in[0].nd.dims[0] - r);
    const int partitions = static_cast<int>(count);
    std::vector<Tile> tiles;
    for (const Rows& rows : in) tiles.push_back(e.LoadShared(SliceDim(rows.nd, 0, r, count), 1));
    Operand key;
    int64_t plain = -1;  // the operand that is the key itself
    if (key_of == nullptr) {
      plain = order.key->parameter_number / 2;
      key = tiles[plain].all();
    } else {
      std::vector<Operand> arguments;
      for (const Tile& tile : tiles) {
        arguments.push_back(tile.all());
        arguments.push_back(tile.all());
      }
      absl::StatusOr<std::vector<Operand>> value = e.ApplyScalar(*key_of, arguments);
      if (!value.ok()) return value.status();
      key = (*value)[0];
    }
    if (order.total) {
      key = TotalOrderKey(e, key);
      plain = -1;
    }
    const SortedTile sorted = SortTile(e, key, order.descending);
    for (size_t i = 0; i < in.size(); ++i) {
      Tile result = sorted.keys;
      if (in[i].positions) {
        result = sorted.order;
      } else if (static_cast<int64_t>(i) != plain) {
        result = e.NewTile(out[i].dtype, partitions, n, "sorted");
        e.GatherFree(result.all(), tiles[i].all(), sorted.order.all());
      }
      e.Store(SliceDim(out[i], 0, r, count), 1, result);
    }
  }
  return e.status();
}

// Copies so that steps may work in place, with the position of each element behind them.
absl::Status SortByNetwork(Emitter& e, const Computation& comparator, const std::vector<Rows>& in,
                           const std::vector<Nd>& out) {
  const int64_t rows = in[0].nd.dims[0], n = in[0].nd.dims[1];
  std::vector<Nd> arrays;
  for (const Rows& r : in) {
    arrays.push_back(e.NewBuffer(r.nd.dtype, r.nd.dims, "sort"));
    e.Dma(arrays.back(), r.nd);
  }
  const Nd positions = e.NewBuffer(DType::kI32, {rows, n}, "sort");
  const Nd numbers = NewPositions(e, n);
  e.Dma(positions, BroadcastNd(numbers, positions.dims, {1}));
  arrays.push_back(positions);
  const size_t count = in.size();
  absl::Status status;
  ForEachExchange(n, [&](const ExchangeStep& step) {
    std::vector<Nd> parts;
    for (const Nd& a : arrays) parts.push_back(step.Low(a));
    for (const Nd& a : arrays) parts.push_back(step.High(a));
    ForEachTile(parts, 512, [&](const TileBox& box) {
      if (!status.ok()) return;
      std::vector<Operand> operands;
      for (const Nd& part : box.parts) {
        LoadedOperand load = LoadOperand(e, part, box.partition_dims);
        if (load.column) load.operand.size[isa::kFreeDims - 1] = static_cast<uint16_t>(box.free);
        operands.push_back(load.operand);
      }
      const auto side = [&](size_t i, bool high) { return operands[i + (high ? count + 1 : 0)]; };
      const auto before = [&](bool high) -> absl::StatusOr<Operand> {
        std::vector<Operand> arguments;
        for (size_t i = 0; i < count; ++i) {
          arguments.push_back(side(i, high));
          arguments.push_back(side(i, !high));
        }
        absl::StatusOr<std::vector<Operand>> result = e.ApplyScalar(comparator, arguments);
        if (!result.ok()) return result.status();
        return (*result)[0];
      };
      // Exchanged if the upper element comes before the lower, or neither does and it was before
      // it.
      const absl::StatusOr<Operand> high_first = before(true), low_first = before(false);
      if (!high_first.ok() || !low_first.ok()) {
        status = high_first.ok() ? low_first.status() : high_first.status();
        return;
      }
      const auto pred = [&] {
        return e.NewTile(DType::kPred, box.partitions, box.free, "swap").all();
      };
      const Operand earlier = pred(), tie = pred(), swap = pred();
      e.TensorTensor(earlier, side(count, true), side(count, false), AluOp::kLt);
      e.TensorTensor(tie, earlier, *low_first, AluOp::kGt);  // and not
      e.TensorTensor(swap, tie, *high_first, AluOp::kLogicalOr);
      for (size_t i = 0; i <= count; ++i) {
        for (const bool high : {false, true}) {
          const Nd& part = box.parts[i + (high ? count + 1 : 0)];
          const Tile tile = e.NewTile(part.dtype, box.partitions, box.free, "swap");
          e.Select(tile.all(), swap, side(i, !high), side(i, high));
          e.Dma(part, TileNd(tile, part.dims, box.partition_dims));
        }
      }
    });
  });
  if (!status.ok()) return status;
  for (size_t i = 0; i < count; ++i) e.Dma(out[i], arrays[i]);
  return e.status();
}

// Whether the first of two scalars comes before the second; NaN is the largest.
Computation* TopOrder(hlo::Builder* builder, hlo::PrimitiveType type, bool largest) {
  const auto sub = builder->CreateSubBuilder("before");
  hlo::Op a = Parameter(sub.get(), 0, hlo::Shape(type, {}));
  hlo::Op b = Parameter(sub.get(), 1, hlo::Shape(type, {}));
  if (largest) std::swap(a, b);
  const hlo::Op less = Lt(a, b);
  const absl::StatusOr<Computation*> before =
      sub->BuildComputation(hlo::IsFloating(type) ? Or(less, And(Ne(b, b), Eq(a, a))) : less);
  return before.ok() ? *before : nullptr;
}

// The k first of each row by descending (or ascending) order, and their positions.
struct Top {
  Nd values, positions;  // [rows, k]
};

// Of the pieces [start, start + piece), ... of each row, the first `take` each, side by side.
void TakeTop(Emitter& e, const Top& in, int64_t start, int64_t pieces, int64_t piece, int64_t take,
             bool descending, bool has_positions, const Top& out, int64_t out_start) {
  const int64_t rows = in.values.dims[0];
  const auto view = [&](const Nd& nd) {
    return SplitDim(SliceDim(nd, 1, start, pieces * piece), 1, piece);  // [rows, pieces, piece]
  };
  const auto target = [&](const Nd& nd) {
    return SplitDim(SliceDim(nd, 1, out_start, pieces * take), 1, take);
  };
  const int64_t columns = std::min<int64_t>(pieces, isa::kPartitions);
  const int64_t lines = std::max<int64_t>(1, isa::kPartitions / columns);
  for (int64_t r = 0; r < rows; r += lines) {
    const int64_t r_count = std::min(lines, rows - r);
    for (int64_t c = 0; c < pieces; c += columns) {
      const int64_t c_count = std::min(columns, pieces - c);
      const auto box = [&](const Nd& nd) {
        return SliceDim(SliceDim(nd, 0, r, r_count), 1, c, c_count);
      };
      const Tile values = e.LoadShared(box(view(in.values)), 2);
      const int partitions = values.partitions;
      const SortedTile sorted = SortTile(e, values.all(), descending);
      const Tile first = e.NewTile(values.dtype, partitions, take, "top");
      e.Copy(first.all(), sorted.keys.part(partitions, 0, take));
      e.Dma(box(target(out.values)), TileNd(first, {r_count, c_count, take}, 2));
      const Operand order = sorted.order.part(partitions, 0, take);
      const Tile where = e.NewTile(DType::kI32, partitions, take, "top");
      if (has_positions) {
        const Tile positions = e.LoadShared(box(view(in.positions)), 2);
        e.GatherFree(where.all(), positions.all(), order);
      } else {
        // Each partition's piece begins at its own place.
        const Operand line = e.NewTile(DType::kI32, partitions, 1, "top").all();
        const Operand base = e.NewTile(DType::kI32, partitions, 1, "top").all();
        e.Iota(line, 0, 1, {});
        e.TensorScalar(base, line, AluOp::kRemainder, static_cast<int>(c_count), AluOp::kMultiply,
                       static_cast<int>(piece), 0, Engine::kPool);
        e.TensorScalar(where.all(), order, AluOp::kAdd, base, AluOp::kAdd,
                       static_cast<int>(start + c * piece), 0, Engine::kPool);
      }
      e.Dma(box(target(out.positions)), TileNd(where, {r_count, c_count, take}, 2));
    }
  }
}

}  // namespace

absl::Status EmitSort(Emitter& e, const Instruction& hlo) {
  const int64_t operands = hlo.operand_count();
  const Dims& dims = hlo.operand(0)->shape.dims;
  const int64_t elements = Product(dims);
  const int64_t dim = dims.empty() ? 0 : hlo.dimensions[0];
  std::vector<Rows> in;
  std::vector<Nd> out;
  for (int64_t i = 0; i < operands; ++i) {
    absl::StatusOr<Nd> x = e.View(hlo.operand(i));
    if (!x.ok()) return x.status();
    in.push_back({*x, false});
    out.push_back(e.NewResult(hlo, i));
  }
  if (!e.ok() || elements == 0) return e.status();
  const int64_t n = dims.empty() ? 1 : dims[dim];
  if (n == 1) {
    for (int64_t i = 0; i < operands; ++i) e.Dma(out[i], in[i].nd);
    return e.status();
  }
  const int64_t rows = elements / n;
  std::vector<ResultRows> results;
  std::vector<Nd> targets;
  int64_t widest = isa::DTypeBytes(DType::kI32);
  for (int64_t i = 0; i < operands; ++i) {
    const Instruction* operand = hlo.operand(i);
    in[i].positions = operand->opcode() == Opcode::kIota && operand->dimensions[0] == dim &&
                      operand->shape.type == hlo::kS32;
    in[i].nd = Reshaped(e, TransposeNd(in[i].nd, SortedLast(in[i].nd.rank(), dim)), {rows, n});
    results.emplace_back(e, out[i], dim, rows, n);
    targets.push_back(results.back().rows);
    widest = std::max(widest, in[i].nd.element_bytes());
  }
  const Computation& comparator = *hlo.to_apply();
  const KeyOrder order = ClassifyComparator(comparator);
  if (order.key != nullptr) {
    const absl::StatusOr<DType> key_type = DeviceType(order.key->shape.type);
    if (!key_type.ok()) return key_type.status();
    widest = std::max<int64_t>(widest, isa::DTypeBytes(*key_type));
  }
  const absl::Status status = order.key != nullptr && n * widest <= kMaxTileBytes
                                  ? SortRows(e, comparator, order, in, targets)
                                  : SortByNetwork(e, comparator, in, targets);
  if (!status.ok()) return status;
  for (const ResultRows& result : results) result.Finish(e);
  return e.status();
}

absl::Status EmitTopK(Emitter& e, const Instruction& hlo) {
  absl::StatusOr<Nd> x = e.View(hlo.operand(0));
  if (!x.ok()) return x.status();
  const Nd values = e.NewResult(hlo, 0), indices = e.NewResult(hlo, 1);
  if (!e.ok() || values.elements() == 0) return e.status();
  const int64_t n = x->dims.back(), k = hlo.k, rows = x->elements() / n;
  Top now = {Reshaped(e, *x, {rows, n}), Nd()};
  const Top result = {*ReshapeNd(values, {rows, k}), *ReshapeNd(indices, {rows, k})};
  const int64_t longest = kMaxTileBytes / std::max<int64_t>(4, now.values.element_bytes());
  bool has_positions = false;
  // Pieces of long rows leave their first k, until one tile holds what is left of a row.
  const int64_t chunk = std::max<int64_t>(kTopChunk, std::min(longest, 4 * k));
  if (n > longest && 2 * k > chunk) {
    // Pieces would leave nearly all.
    hlo::Builder builder("top");
    const Computation* before = TopOrder(&builder, hlo.operand(0)->shape.type, hlo.largest);
    const Nd sorted = e.NewBuffer(now.values.dtype, {rows, n}, "top");
    const Nd order = e.NewBuffer(DType::kI32, {rows, n}, "top");
    const Nd positions = BroadcastNd(NewPositions(e, n), {rows, n}, {1});
    const absl::Status status =
        SortByNetwork(e, *before, {{now.values, false}, {positions, true}}, {sorted, order});
    if (!status.ok()) return status;
    e.Dma(result.values, SliceDim(sorted, 1, 0, k));
    e.Dma(result.positions, SliceDim(order, 1, 0, k));
    return e.status();
  }
  while (now.values.dims[1] > longest) {
    const int64_t length = now.values.dims[1];
    const int64_t pieces = length / chunk, rest = length % chunk;
    const int64_t take_rest = std::min(k, rest);
    const int64_t left = pieces * k + take_rest;
    const Top next = {e.NewBuffer(now.values.dtype, {rows, left}, "top"),
                      e.NewBuffer(DType::kI32, {rows, left}, "top")};
    TakeTop(e, now, 0, pieces, chunk, k, hlo.largest, has_positions, next, 0);
    if (rest > 0) {
      TakeTop(e, now, pieces * chunk, 1, rest, take_rest, hlo.largest, has_positions, next,
              pieces * k);
    }
    now = next;
    has_positions = true;
  }
  TakeTop(e, now, 0, 1, now.values.dims[1], k, hlo.largest, has_positions, result, 0);
  return e.status();
}

}  // namespace glia::compiler
