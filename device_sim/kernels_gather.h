// Brings columns of the tensor engine's moving operand, wherever its pattern has them, into panels
// as the product kernels read them.
#ifndef GLIA_DEVICE_SIM_KERNELS_GATHER_H_
#define GLIA_DEVICE_SIM_KERNELS_GATHER_H_

#include <cstddef>
#include <cstdint>

namespace glia::device::kernels {

inline constexpr int kGatherLanes = 16;

// Part of 16 columns: lanes [first, last), lane l being the element at source + offset + l *
// stride, in bytes. The offset is that of lane 0 even where the part does not have it.
struct GatherPart {
  int64_t offset = 0;
  int32_t stride = 0;
  uint8_t first = 0;
  uint8_t last = 0;
};

// 16 columns of `rows` successive rows, `pitch` bytes apart: element l of row r goes to
// out[r * out_pitch + l]. Lanes that no part has become 0; no two parts have the same lane. Reads
// up to three bytes past the elements.
struct GatherColumns {
  const uint8_t* source = nullptr;
  ptrdiff_t pitch = 0;
  int64_t rows = 0;
  const GatherPart* parts = nullptr;
  int32_t count = 0;
  uint32_t* out = nullptr;
  ptrdiff_t out_pitch = 0;  // in elements
};
using GatherFn = void (*)(const GatherColumns&);

struct GatherKernels {
  GatherFn f32 = nullptr;  // 4-byte elements as they are
  GatherFn bf16_to_f32 = nullptr;
  GatherFn bf16_pairs =
      nullptr;  // rows in pairs: the first in the low half, an odd last row with 0
};

// The implementation for this processor. Thread-safe.
const GatherKernels& GetGather();
// The one for any processor.
const GatherKernels& GetPortableGather();

}  // namespace glia::device::kernels

#endif  // GLIA_DEVICE_SIM_KERNELS_GATHER_H_
