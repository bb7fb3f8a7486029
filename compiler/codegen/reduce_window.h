// Reductions over windows of arrays in HBM by one operation of the engines.
#ifndef GLIA_COMPILER_CODEGEN_REDUCE_WINDOW_H_
#define GLIA_COMPILER_CODEGEN_REDUCE_WINDOW_H_

#include <cstdint>
#include <vector>

#include "absl/status/status.h"
#include "absl/types/optional.h"
#include "absl/types/span.h"
#include "compiler/codegen/emitter.h"
#include "compiler/codegen/window.h"

namespace glia::compiler {

// Writes the element x for which op(x, y) is y.
void SetNeutral(Emitter& e, const Operand& o, AluOp op);
// A scalar in HBM as [P, 1].
Operand LoadScalar(Emitter& e, const Nd& scalar, int partitions);
// The column `free` times.
Operand Repeat(Operand column, int64_t free);

// Whether what one result reads fits into a tile, and so ReduceWindows takes these axes.
bool WindowFits(absl::Span<const WindowAxis> axes, DType x, AluOp op);

// out = op(init, op over the windows of x) for windows over at most kWindowAxes dims, ascending,
// one axis each; without `init`, windows that meet nothing give the neutral element. Floats
// accumulate in fp32. Unimplemented if what one result reads does not fit into a tile.
absl::Status ReduceWindows(Emitter& e, const Nd& x, const Nd& out,
                           const std::vector<WindowAxis>& axes, const Dims& window_dims, AluOp op,
                           const absl::optional<Nd>& init);

}  // namespace glia::compiler

#endif  // GLIA_COMPILER_CODEGEN_REDUCE_WINDOW_H_
