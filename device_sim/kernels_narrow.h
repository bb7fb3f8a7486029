// Products with a few columns, where vectors of columns would be mostly empty: the vectors run along
// the rows.
#ifndef GLIA_DEVICE_SIM_KERNELS_NARROW_H_
#define GLIA_DEVICE_SIM_KERNELS_NARROW_H_

#include <cstddef>
#include <cstdint>

namespace glia::device::kernels {

inline constexpr int kNarrowRows = 8;
inline constexpr int kNarrowColumns = 6;

// c[i][j] = (accumulate ? c[i][j] : 0) + sum over p < k of a[p][i] * b[p][j], in the order of p, for
// i < m, j < n <= kNarrowColumns. a: panels of kNarrowRows rows, `a_panel` apart, in each k times
// kNarrowRows elements (all readable). Pitches are in elements of 4 bytes. For bf16 an element of a and
// b is a pair along the contraction, as in Bf16Panel, and k counts pairs.
struct NarrowTile {
  const void* a = nullptr;
  const void* b = nullptr;
  float* c = nullptr;
  ptrdiff_t a_panel = 0;
  ptrdiff_t b_pitch = 0;
  ptrdiff_t c_pitch = 0;
  int32_t m = 0;
  int32_t n = 0;
  int32_t k = 0;
  bool accumulate = false;
};
using NarrowFn = void (*)(const NarrowTile&);

// For fp32, for bf16; null where the processor lacks the instructions. Thread-safe.
NarrowFn GetNarrow();
NarrowFn GetNarrowBf16();

}  // namespace glia::device::kernels

#endif  // GLIA_DEVICE_SIM_KERNELS_NARROW_H_
