// Writing at computed places.
#ifndef GLIA_FRONTEND_LOWERING_OPS_SCATTER_H_
#define GLIA_FRONTEND_LOWERING_OPS_SCATTER_H_

#include <functional>

#include "frontend/lowering/ctx.h"

namespace glia::lowering {

// What a place holds after an update reached it: scalars of the array's type.
using Combine = std::function<Op(Op old, Op update)>;
Op Replace(Op old, Op update);
Op Sum(Op old, Op update);
Op Product(Op old, Op update);
Op Larger(Op old, Op update);
Op Smaller(Op old, Op update);

// HLO's scatter of one array. Updates that lie outside x are dropped.
Op ScatterWith(Op x, Op starts, Op updates, const hlo::ScatterDims& dims, const Combine& combine);
// updates[e] at e's coordinates, but index[e] in `dim`; all three of one rank.
Op ScatterElements(Op x, Op index, Op updates, int64_t dim, const Combine& combine);
// updates.select(dim, i) at index[i] of `dim`; index is a vector.
Op ScatterSlices(Op x, Op index, Op updates, int64_t dim, const Combine& combine);

}  // namespace glia::lowering

#endif  // GLIA_FRONTEND_LOWERING_OPS_SCATTER_H_
