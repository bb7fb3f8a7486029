// Element-wise operations on tiles: the table that says how each is computed, the kernel of a group
// of them, and scalar computations (reducers, comparators) applied to tiles.
#ifndef GLIA_COMPILER_CODEGEN_ELEMENTWISE_H_
#define GLIA_COMPILER_CODEGEN_ELEMENTWISE_H_

#include <functional>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/types/optional.h"
#include "absl/types/span.h"
#include "compiler/codegen/emitter.h"
#include "compiler/codegen/fusion.h"

namespace glia::compiler {

// An operand of an element-wise operation: elements in a tile, or one number for all of them.
struct TileValue {
  absl::optional<Operand> operand;
  double splat = 0;
  int64_t splat_int = 0;  // exact value of an integer splat
  // The operand is a column: one element a partition, repeated by stride 0.
  bool column = false;
  // The operand has one element for each of several rows a partition (group.h).
  bool numbers = false;

  bool is_splat() const { return !operand.has_value(); }
};

// Computes one element-wise instruction over tiles of `partitions` x `free`: operand patterns may
// be any with so many elements. The result is `target`, which may be of another
// type, or a new tile (or, for an operation that changes
// nothing, an operand).
absl::StatusOr<TileValue> EmitTileOp(Emitter& e, const hlo::Instruction& hlo,
                                     absl::Span<const TileValue> operands, int partitions,
                                     int64_t free, absl::optional<Operand> target = absl::nullopt);

// Writes `value` (converted to the tile's type) to a new tile if it is a splat or a repeated
// column.
Operand Materialize(Emitter& e, const TileValue& value, DType dtype, int partitions, int64_t free);

// The whole group, tile by tile; results that others read go to HBM.
absl::Status EmitElementwise(Emitter& e, const Unit& unit);

}  // namespace glia::compiler

#endif  // GLIA_COMPILER_CODEGEN_ELEMENTWISE_H_
