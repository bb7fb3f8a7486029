// Sums of scaled windows along rows: what a depthwise convolution is to the vector engines.
#ifndef GLIA_DEVICE_SIM_KERNELS_STENCIL_H_
#define GLIA_DEVICE_SIM_KERNELS_STENCIL_H_

#include <cstddef>
#include <cstdint>

#include "device_sim/kernels_gather.h"

namespace glia::device::kernels {

struct StencilTerm {
  GatherPart part;  // its offset is from `source`
  int32_t tap = 0;  // which factor it takes
};

// For `rows` rows, their sources and results each a pitch apart, and each of `elements` elements:
// out[e] = (out[e] + in[e] * factor) over the terms that have element e, in their order; products
// and sums are rounded one by one. Terms: of each 16 elements, `first` telling where they begin,
// one more at the end. Results do not overlap sources.
struct Stencil {
  const uint8_t* source = nullptr;
  float* out = nullptr;
  const float* factors = nullptr;  // [taps][rows]
  const StencilTerm* terms = nullptr;
  const int32_t* first = nullptr;
  ptrdiff_t source_pitch = 0;  // bytes
  ptrdiff_t out_pitch = 0;     // elements
  int64_t elements = 0;
  int32_t rows = 0;
};
using StencilFn = void (*)(const Stencil&);

// For sources of fp32 (4 bytes) or bf16 (2) whose terms all have the stride of `steps` elements; 0:
// any strides. Null where the processor has no such instructions. Thread-safe.
StencilFn GetStencil(int bytes, int steps);

}  // namespace glia::device::kernels

#endif  // GLIA_DEVICE_SIM_KERNELS_STENCIL_H_
