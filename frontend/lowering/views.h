// kView and kUpdate nodes: strided access to a storage as reshape, transpose, slice, broadcast and
// dynamic-update-slice, following capture's ClassifyView and ClassifyUpdate.
#ifndef GLIA_FRONTEND_LOWERING_VIEWS_H_
#define GLIA_FRONTEND_LOWERING_VIEWS_H_

#include "frontend/capture/graph.h"
#include "frontend/lowering/hlo_util.h"

namespace glia::lowering {

// The region of `base`'s memory as an array of the region's sizes and type. Another element type
// than the base's reinterprets bytes; an error is reported to the builder where the device's bytes
// are not torch's (Double).
Op LowerView(Op base, const capture::TensorMeta& base_meta, const capture::TensorMeta& region);

// `base` with the region replaced by `contents` (of the region's sizes and type).
Op LowerUpdate(Op base, const capture::TensorMeta& base_meta, Op contents,
               const capture::TensorMeta& region);

}  // namespace glia::lowering

#endif  // GLIA_FRONTEND_LOWERING_VIEWS_H_
