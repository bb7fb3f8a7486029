// The tensor engine's arithmetic on host memory: small dense products, vectorised for the processor at
// hand. Not aware of threads; callers split over m or n, which leaves every result bit unchanged.
#ifndef GLIA_DEVICE_SIM_KERNELS_MATMUL_H_
#define GLIA_DEVICE_SIM_KERNELS_MATMUL_H_

#include <cstddef>
#include <cstdint>

namespace glia::device::kernels {

// c[i][j] = (accumulate ? c[i][j] : 0) + sum over p < k of a[p][i] * b[p][j], in the order of p.
// i < m, j < n. Pitches are between rows, in elements; within a row elements are adjacent. c must not
// overlap a or b. Any size, 0 included (k = 0 stores zeros or leaves c).
struct MatmulTile {
  const float* a = nullptr;
  const float* b = nullptr;
  float* c = nullptr;
  ptrdiff_t a_pitch = 0;
  ptrdiff_t b_pitch = 0;
  ptrdiff_t c_pitch = 0;
  int32_t m = 0;
  int32_t n = 0;
  int32_t k = 0;
  bool accumulate = false;
};

using MatmulFn = void (*)(const MatmulTile&);

// The implementation for this processor. Thread-safe.
MatmulFn GetMatmul();

// Columns per register block: the natural unit for splitting n.
inline constexpr int kMatmulColumns = 48;

}  // namespace glia::device::kernels

#endif  // GLIA_DEVICE_SIM_KERNELS_MATMUL_H_
