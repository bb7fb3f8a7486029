#include "compiler/codegen/sort.h"

#include <algorithm>

#include "compiler/codegen/tiling.h"

namespace glia::compiler {

SortedTile SortTile(Emitter& e, const Operand& keys, bool descending) {
  const int partitions = keys.num_partitions;
  const int64_t n = keys.free_elements();
  SortedTile sorted;
  sorted.keys = e.NewTile(keys.dtype, partitions, n, "sorted");
  sorted.order = e.NewTile(DType::kI32, partitions, n, "order");
  const Tile positions = e.NewTile(DType::kI32, partitions, n, "positions");
  e.Iota(positions.all(), 0, 0, {1});
  e.Sort(sorted.keys.all(), keys, descending, positions.all(), sorted.order.all());
  return sorted;
}

Nd NewPositions(Emitter& e, int64_t n) {
  const Nd numbers = e.NewBuffer(DType::kI32, {n}, "positions");
  ForEachTile({numbers}, 2048, [&](const TileBox& box) {
    const Nd& part = box.parts[0];
    const Tile tile = e.NewTile(part.dtype, box.partitions, box.free, "positions");
    e.Iota(tile.all(), part.offset / part.element_bytes(), box.partitions > 1 ? box.free : 0, {1});
    e.Dma(part, TileNd(tile, part.dims, box.partition_dims));
  });
  return numbers;
}

namespace {

Nd Side(const Nd& rows, int64_t start, const ExchangeStep& step, bool mirrored) {
  Nd nd = rows;
  nd.offset += start * rows.strides[1];
  nd.dims = {rows.dims[0], step.blocks, step.count};
  nd.strides = {rows.strides[0], step.block * rows.strides[1],
                mirrored ? -rows.strides[1] : rows.strides[1]};
  return nd;
}

}  // namespace

Nd ExchangeStep::Low(const Nd& rows) const { return Side(rows, low, *this, false); }
Nd ExchangeStep::High(const Nd& rows) const { return Side(rows, high, *this, mirrored); }

void ForEachExchange(int64_t n, const std::function<void(const ExchangeStep&)>& f) {
  const auto emit = [&f](int64_t low, int64_t high, int64_t blocks, int64_t block, int64_t count,
                         bool mirrored) {
    if (blocks > 0 && count > 0) f({low, high, blocks, block, count, mirrored});
  };
  for (int64_t sorted = 1; sorted < n; sorted *= 2) {
    // Two sorted runs, the second one backwards, give one bitonic run.
    const int64_t block = 2 * sorted, whole = n / block, rest = n % block;
    const int64_t tail = whole * block;
    emit(0, block - 1, whole, block, sorted, true);
    // Element i of the tail meets block - 1 - i, if there is one.
    const int64_t first = block - rest;
    emit(tail + first, tail + rest - 1, 1, 0, std::max<int64_t>(0, sorted - first), true);
    for (int64_t half = sorted / 2; half > 0; half /= 2) {
      const int64_t pair = 2 * half, pairs = n / pair, left = n % pair;
      emit(0, half, pairs, pair, half, false);
      emit(pairs * pair, pairs * pair + half, 1, 0, std::max<int64_t>(0, left - half), false);
    }
  }
}

}  // namespace glia::compiler
