// Cuts an iteration space into tiles of [partitions, free].
#ifndef GLIA_COMPILER_CODEGEN_TILING_H_
#define GLIA_COMPILER_CODEGEN_TILING_H_

#include <cstdint>
#include <functional>
#include <vector>

#include "compiler/codegen/emitter.h"
#include "compiler/codegen/nd.h"

namespace glia::compiler {

// One tile: each part has dims [partition dims ..., free dims ...], of which the first
// `partition_dims` make up its `partitions`, row-major, and the others its `free` elements.
struct TileBox {
  std::vector<Nd> parts;
  int partition_dims = 1;
  int partitions = 1;
  int64_t free = 1;
};

// Calls `f` for tiles that together cover `parts`, arrays of equal dims with at least one element.
// Dims that are one in all parts are merged; the partition axis is chosen so that engines are busy
// and rows of transfers long; sides that do not divide evenly give smaller tiles. A `row` other
// than 0 is the length of rows that is wanted if all merges to one dim: that of tiles which are in
// SBUF already.
void ForEachTile(std::vector<Nd> parts, int64_t max_free,
                 const std::function<void(const TileBox&)>& f, int64_t row = 0);

// The same for arrays whose last dim stays whole in a partition, as the last of the free dims.
void ForEachRows(std::vector<Nd> parts, int64_t max_free,
                 const std::function<void(const TileBox&)>& f);

// A tile operand read from HBM through the emitter's cache. Dims that repeat (stride 0) are not
// loaded but repeated by the operand's own pattern.
struct LoadedOperand {
  Operand operand;
  bool column = false;  // [P, 1], repeated `free` times
};
LoadedOperand LoadOperand(Emitter& e, const Nd& nd, int partition_dims);

// The tile that the operand is, if it is a dense one in SBUF from its first byte to its last.
absl::optional<Tile> WholeTile(const Emitter& e, const Operand& operand);

// The tile as DMA sees it under dims [partition dims ..., free dims ...].
Nd TileNd(const Tile& tile, Dims dims, int partition_dims);

// Elements [number * count, ... + count) of the free ones, in row-major order; `count` must be a
// product of inner dims, the outermost of them perhaps in part.
Operand Chunk(Operand operand, int64_t number, int64_t count);
// The same elements with a dim boundary between chunks of `count`; nothing if that needs a fifth
// dim. `inner` becomes the number of dims of a chunk.
absl::optional<Operand> SplitChunks(const Operand& operand, int64_t count, int* inner);

}  // namespace glia::compiler

#endif  // GLIA_COMPILER_CODEGEN_TILING_H_
