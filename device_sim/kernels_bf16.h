// Products of bf16 panels with the processor's dot-product instruction.
#ifndef GLIA_DEVICE_SIM_KERNELS_BF16_H_
#define GLIA_DEVICE_SIM_KERNELS_BF16_H_

#include <cstddef>
#include <cstdint>

namespace glia::device::kernels {

inline constexpr int kBf16Rows = 8;
inline constexpr int kBf16Columns = 48;

// c[i][j] = (accumulate ? c[i][j] : 0) + sum over p < pairs of a[p][i] . b[p][j], each element two
// neighbours along the contraction, the first in the low half. i < m <= 8, j < n <= 48; rows of a
// have 8 elements, those of b 48, all readable. Sums are fp32, rounded to nearest; denormal
// operands and results count as zero, which is what the instruction does.
struct Bf16Panel {
  const uint32_t* a = nullptr;
  const uint32_t* b = nullptr;
  float* c = nullptr;
  ptrdiff_t c_pitch = 0;
  int32_t m = 0;
  int32_t n = 0;
  int32_t pairs = 0;
  bool accumulate = false;
};
using Bf16PanelFn = void (*)(const Bf16Panel&);

// Null where the processor has no such instruction. Thread-safe.
Bf16PanelFn GetBf16Panel();

// One row of the panels: elements i < n of `low` and `high` (null: zeros) as words low | high <<
// 16, `width` (kBf16Rows or kBf16Columns) to a panel, the next panel `panel_words` further. The
// rest of the last panel's row is zeroed. Null where GetBf16Panel is.
using PackPairsFn = void (*)(const uint16_t* low, const uint16_t* high, int64_t n, int64_t width,
                             uint32_t* out, ptrdiff_t panel_words);
PackPairsFn GetPackPairs();

}  // namespace glia::device::kernels

#endif  // GLIA_DEVICE_SIM_KERNELS_BF16_H_
