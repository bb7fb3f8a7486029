// Sorting, for the lowerings of several families.
#ifndef GLIA_FRONTEND_LOWERING_OPS_SORT_H_
#define GLIA_FRONTEND_LOWERING_OPS_SORT_H_

#include <cstdint>

#include "frontend/lowering/hlo_util.h"

namespace glia::lowering {

struct Sorted {
  Op values, indices;  // s64 indices
};

// Stable. Floats compare in total order, for which all NaNs are made one positive NaN and -0
// becomes 0.
Sorted SortAlong(Op x, int64_t dim, bool descending);

// The place of each value in a sorted sequence [.., n], whose leading dims are the values' or
// absent: the number of elements before it. On `right`, equal elements count too. NaN goes to the
// end.
Op PlacesIn(Op sequence, Op values, bool right);

}  // namespace glia::lowering

#endif  // GLIA_FRONTEND_LOWERING_OPS_SORT_H_
