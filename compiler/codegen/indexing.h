// Windows of an array whose starts are computed at run time: what gather, scatter, dynamic-slice
// and dynamic-update-slice have in common. Starts become one i32 for each window, in SBUF, that
// indirect transfers read.
#ifndef GLIA_COMPILER_CODEGEN_INDEXING_H_
#define GLIA_COMPILER_CODEGEN_INDEXING_H_

#include <cstdint>
#include <functional>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "compiler/codegen/emitter.h"

namespace glia::compiler {

// One coordinate of the starts of `count` windows.
struct StartCoordinate {
  Nd values;              // [count], any integer type
  int64_t limit = 0;      // the largest valid start, >= 0
  int64_t stride = 0;     // bytes, >= 0
  bool in_range = false;  // known to lie in [0, limit]
};

enum class OutOfRange : uint8_t {
  kClamp,   // moves to the nearest valid start (gather, dynamic-slice)
  kDivert,  // the window goes to WindowStarts::trash (scatter, which leaves it out)
  kRefuse,  // ends the run: the transfer gets an index that it has no place for
};

struct WindowStarts {
  int64_t count = 1;
  std::vector<StartCoordinate> coordinates;
  OutOfRange out_of_range = OutOfRange::kClamp;

  // Bytes that one unit of a start is: what all strides are multiples of.
  int64_t Unit(int64_t element_bytes) const;
  // The largest start within the array, in units.
  int64_t Last(int64_t unit) const;
};

// The starts of windows [first, first + count): `index` has one i32 for each.
using StartsFn =
    std::function<absl::Status(int64_t first, int64_t count, const Emitter::Index& index)>;

// Computes starts in pieces and calls `f` for each piece. kDivert: `trash`, in units, is where
// windows that do not fit go; it must not be below Last(). Errors: Unimplemented for arrays whose
// starts exceed 32 bits.
absl::Status ForEachStarts(Emitter& e, const WindowStarts& starts, int64_t element_bytes,
                           int64_t trash, const StartsFn& f);

// Indirect transfers of windows: dims [count, window ...], any number of them. For Gather the
// source's, for Scatter the target's dim 0 is replaced by the index.
void GatherWindows(Emitter& e, const Nd& dst, const Nd& src, const Emitter::Index& index);
void ScatterWindows(Emitter& e, const Nd& dst, const Nd& src, const Emitter::Index& index,
                    isa::DmaOp op = isa::DmaOp::kCopy);

// The elements in row-major order as one dim; a copy if strides cannot say that.
Nd Flatten(Emitter& e, const Nd& nd);
// The same elements under other dims; a copy if strides cannot say that.
Nd Reshaped(Emitter& e, const Nd& nd, const Dims& dims);

// Coordinates from the index vectors of gather or scatter: `indices` with vectors along
// `vector_dim`, of which component i belongs to operand dim map[i]; `batching` pairs operand dims
// with dims of the indices. `sizes` are those of a window in each dim of the operand. Sets count
// and coordinates.
absl::Status ReadIndexVectors(Emitter& e, const Nd& indices, int64_t vector_dim, const Dims& map,
                              const Dims& operand_batching, const Dims& indices_batching,
                              const Nd& operand, const Dims& sizes, WindowStarts* starts);

}  // namespace glia::compiler

#endif  // GLIA_COMPILER_CODEGEN_INDEXING_H_
