// Convolutions as HLO, for the operators and for their gradients. All arrays are N C spatial… and
// weights as torch has them.
#ifndef GLIA_FRONTEND_LOWERING_OPS_CONVOLUTION_H_
#define GLIA_FRONTEND_LOWERING_OPS_CONVOLUTION_H_

#include "frontend/lowering/ctx.h"

namespace glia::lowering {

struct ConvParams {
  Dims stride, padding, dilation, output_padding;  // one per spatial dim
  bool transposed = false;
  int64_t groups = 1;
};

// The arguments (stride, padding, dilation, transposed, output_padding, groups) from position
// `first`. Lists of one element hold for all spatial dims.
ConvParams ReadConvParams(const Ctx& c, size_t first, int64_t spatial_rank);

// weight [out, in / groups, k…], or transposed [in, out / groups, k…]. The result is in the type
// that products are summed in (f32 for 16-bit floats).
Op Convolution(Op input, Op weight, const ConvParams& params);

}  // namespace glia::lowering

#endif  // GLIA_FRONTEND_LOWERING_OPS_CONVOLUTION_H_
