#include "device_sim/kernels_stencil.h"

#include <algorithm>

#include "device_sim/kernels_avx512-inl.h"

namespace glia::device::kernels {

#if defined(__x86_64__)
namespace {

// kRows rows at a time share what is to know of a term.
template <int kBytes, int kSteps, int kRows>
GLIA_AVX512_INLINE void Rows(const Stencil& s, int32_t row) {
  const uint8_t* const source = s.source + row * s.source_pitch;
  float* const out = s.out + row * s.out_pitch;
  const float* const factors = s.factors + row;
  const int64_t vectors = (s.elements + kGatherLanes - 1) / kGatherLanes;
  for (int64_t v = 0; v < vectors; ++v) {
    const int64_t at = v * kGatherLanes, left = std::min<int64_t>(s.elements - at, kGatherLanes);
    const auto within = static_cast<__mmask16>((1u << left) - 1);
    __m512 sum[kRows];
#pragma GCC unroll 4
    for (int i = 0; i < kRows; ++i) {
      sum[i] = _mm512_maskz_loadu_ps(within, out + i * s.out_pitch + at);
    }
    for (int32_t t = s.first[v]; t < s.first[v + 1]; ++t) {
      const StencilTerm& term = s.terms[t];
      const __mmask16 mask = MaskOf(term.part);
      const __m512i index = IndexOf<kSteps>(term.part);
      const uint8_t* const p = source + term.part.offset;
      const float* const factor = factors + int64_t{term.tap} * s.rows;
#pragma GCC unroll 4
      for (int i = 0; i < kRows; ++i) {
        __m512i x = LoadPart<kBytes, kSteps>(p + i * s.source_pitch, mask, index);
        if (kBytes == 2) x = _mm512_maskz_slli_epi32(kAll, x, 16);
        const __m512 product = _mm512_mul_ps(_mm512_castsi512_ps(x), _mm512_set1_ps(factor[i]));
        sum[i] = _mm512_mask_add_ps(sum[i], mask, sum[i], product);
      }
    }
#pragma GCC unroll 4
    for (int i = 0; i < kRows; ++i) {
      _mm512_mask_storeu_ps(out + i * s.out_pitch + at, within, sum[i]);
    }
  }
}

template <int kBytes, int kSteps>
GLIA_AVX512 void AllRows(const Stencil& s) {
  int32_t row = 0;
  for (; row + 4 <= s.rows; row += 4) Rows<kBytes, kSteps, 4>(s, row);
  for (; row < s.rows; ++row) Rows<kBytes, kSteps, 1>(s, row);
}

}  // namespace

StencilFn GetStencil(int bytes, int steps) {
  if (!HasAvx512()) return nullptr;
  if (bytes == 4) {
    return steps == 1 ? &AllRows<4, 1> : steps == 2 ? &AllRows<4, 2> : &AllRows<4, 0>;
  }
  return steps == 1 ? &AllRows<2, 1> : steps == 2 ? &AllRows<2, 2> : &AllRows<2, 0>;
}
#else
StencilFn GetStencil(int, int) { return nullptr; }
#endif

}  // namespace glia::device::kernels
