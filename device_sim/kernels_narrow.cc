#include "device_sim/kernels_narrow.h"

#include <algorithm>

#if defined(__x86_64__)
#include <immintrin.h>
#endif

namespace glia::device::kernels {

#if defined(__x86_64__)
namespace {

// kPanels * kN sums, kN columns and one panel fit into 16 registers.
constexpr int PanelsFor(int n) { return n == 1 ? 8 : n == 2 ? 4 : n == 3 ? 3 : n <= 5 ? 2 : 1; }

#define GLIA_NARROW(NAME, TARGET, MULTIPLY_ADD)                                                  \
  template <int kPanels, int kN>                                                                 \
  __attribute__((target(TARGET))) void NAME##Panels(const NarrowTile& t, int row) {              \
    constexpr int kR = kNarrowRows;                                                              \
    __m256 sum[kPanels][kN];                                                                     \
    alignas(32) float out[kR];                                                                   \
    const int rows[2] = {kR, t.m - row - (kPanels - 1) * kR}; /* of all panels, of the last */   \
    for (int p = 0; p < kPanels; ++p) {                                                          \
      for (int j = 0; j < kN; ++j) {                                                             \
        const int m = std::min(rows[p + 1 == kPanels], kR);                                      \
        for (int i = 0; i < kR; ++i) {                                                           \
          out[i] = t.accumulate && i < m ? t.c[(row + p * kR + i) * t.c_pitch + j] : 0.0f;       \
        }                                                                                        \
        sum[p][j] = _mm256_load_ps(out);                                                         \
      }                                                                                          \
    }                                                                                            \
    const float* a = static_cast<const float*>(t.a) + row / kR * t.a_panel;                      \
    const float* b = static_cast<const float*>(t.b);                                             \
    for (int k = 0; k < t.k; ++k, a += kR, b += t.b_pitch) {                                     \
      __m256 column[kN];                                                                         \
      _Pragma("GCC unroll 8") for (int j = 0; j < kN; ++j) column[j] = _mm256_broadcast_ss(b + j); \
      _Pragma("GCC unroll 8") for (int p = 0; p < kPanels; ++p) {                                \
        const __m256 x = _mm256_loadu_ps(a + p * t.a_panel);                                     \
        _Pragma("GCC unroll 8") for (int j = 0; j < kN; ++j) {                                   \
          sum[p][j] = MULTIPLY_ADD(x, column[j], sum[p][j]);                                     \
        }                                                                                        \
      }                                                                                          \
    }                                                                                            \
    for (int p = 0; p < kPanels; ++p) {                                                          \
      for (int j = 0; j < kN; ++j) {                                                             \
        const int m = std::min(rows[p + 1 == kPanels], kR);                                      \
        _mm256_store_ps(out, sum[p][j]);                                                         \
        for (int i = 0; i < m; ++i) t.c[(row + p * kR + i) * t.c_pitch + j] = out[i];            \
      }                                                                                          \
    }                                                                                            \
  }                                                                                              \
  template <int kN>                                                                              \
  void NAME##Of(const NarrowTile& t) {                                                           \
    if constexpr (kN > 0) {                                                                      \
      if (t.n != kN) return NAME##Of<kN - 1>(t);                                                 \
      constexpr int kPanels = PanelsFor(kN);                                                     \
      int row = 0;                                                                               \
      for (; row + (kPanels - 1) * kNarrowRows < t.m; row += kPanels * kNarrowRows) {            \
        NAME##Panels<kPanels, kN>(t, row);                                                       \
      }                                                                                          \
      for (; row < t.m; row += kNarrowRows) NAME##Panels<1, kN>(t, row);                         \
    }                                                                                            \
  }

#define GLIA_FMA(x, y, sum) _mm256_fmadd_ps(x, y, sum)
#define GLIA_DOT(x, y, sum) _mm256_dpbf16_ps(sum, (__m256bh)(x), (__m256bh)(y))
GLIA_NARROW(Fma, "avx2,fma", GLIA_FMA)
GLIA_NARROW(Dot, "avx2,avx512f,avx512vl,avx512bf16", GLIA_DOT)
#undef GLIA_DOT
#undef GLIA_FMA
#undef GLIA_NARROW

}  // namespace

NarrowFn GetNarrow() {
  static const bool has = __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma");
  return has ? &FmaOf<kNarrowColumns> : nullptr;
}

NarrowFn GetNarrowBf16() {
  static const bool has = __builtin_cpu_supports("avx512bf16") && __builtin_cpu_supports("avx512vl");
  return has ? &DotOf<kNarrowColumns> : nullptr;
}
#else
NarrowFn GetNarrow() { return nullptr; }
NarrowFn GetNarrowBf16() { return nullptr; }
#endif

}  // namespace glia::device::kernels
