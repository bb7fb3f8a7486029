// Index arithmetic that gathers and scatters share.
#ifndef GLIA_FRONTEND_LOWERING_OPS_INDEXING_H_
#define GLIA_FRONTEND_LOWERING_OPS_INDEXING_H_

#include <vector>

#include "frontend/lowering/ctx.h"

namespace glia::lowering {

// Negative indices count from the end of a dim of `size`.
Op WrapIndex(Op index, int64_t size);

// For x.gather(dim, index) and its inverses: the full coordinates [index dims…, rank] of the
// elements that `index` (of x's rank) names, all other coordinates being the element's own.
Op ElementCoordinates(Op index, int64_t dim);

// x[indices…] of torch: each index is a tensor or absent (a whole dim).
struct AdvancedIndex {
  Dims dims;         // dims of x that have an index, ascending
  Op starts;         // coordinates in those dims: [broadcast dims…, dims.size()]
  Dims broadcast;    // what the index tensors broadcast to
  int64_t position;  // where those dims are in the result
  Dims result;       // dims of x[indices…]
  bool empty() const { return dims.empty(); }
  // Dims of the result that are whole dims of x.
  Dims WindowDims() const;
};
// From the Tensor?[] argument i, for an x of these dims. Refuses boolean masks: their result's
// shape depends on data.
AdvancedIndex ReadIndices(Ctx& c, size_t i, const Dims& x_dims);

}  // namespace glia::lowering

#endif  // GLIA_FRONTEND_LOWERING_OPS_INDEXING_H_
