// Pieces of sorting: rows within a tile, and the steps of a sorting network.
#ifndef GLIA_COMPILER_CODEGEN_SORT_H_
#define GLIA_COMPILER_CODEGEN_SORT_H_

#include <cstdint>
#include <functional>

#include "compiler/codegen/emitter.h"

namespace glia::compiler {

struct SortedTile {
  Tile keys;
  Tile order;  // i32: where each was
};
// Sorts the free elements of each partition, stably. NaN counts as the largest, -0 equals 0.
SortedTile SortTile(Emitter& e, const Operand& keys, bool descending);

// 0, 1, ..., n - 1 in HBM, s32.
Nd NewPositions(Emitter& e, int64_t n);

// Pairs of positions in rows of n that are put in order: element i of block b of the lower side is
// low + b * block + i, of the upper side high + b * block + i, or - i if it is mirrored.
struct ExchangeStep {
  int64_t low = 0;
  int64_t high = 0;
  int64_t blocks = 1;
  int64_t block = 0;  // distance of blocks
  int64_t count = 0;  // pairs in a block
  bool mirrored = false;

  // Views [rows, blocks, count] of an array [rows, n].
  Nd Low(const Nd& rows) const;
  Nd High(const Nd& rows) const;
};
// The steps of a network that sorts rows of any length: bitonic, with all pairs in the same
// direction, so that positions beyond n can be left out as if they held the largest elements.
void ForEachExchange(int64_t n, const std::function<void(const ExchangeStep&)>& f);

}  // namespace glia::compiler

#endif  // GLIA_COMPILER_CODEGEN_SORT_H_
