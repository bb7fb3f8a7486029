#include "device_sim/kernels_bf16.h"

#if defined(__x86_64__)
#include <immintrin.h>
#define GLIA_BF16_TARGET __attribute__((target("avx512f,avx512bw,avx512vl,avx512bf16")))
#endif

namespace glia::device::kernels {

#if defined(__x86_64__)
namespace {

// Highway 1.0 has no such dot product.
template <int kRows, int kVectors>
GLIA_BF16_TARGET void Block(const Bf16Panel& t) {
  __m512 sum[kRows][kVectors];
  const auto mask = [&](int j) GLIA_BF16_TARGET {
    const int left = t.n - 16 * j;
    return left >= 16 ? static_cast<__mmask16>(0xffff) : static_cast<__mmask16>((1u << left) - 1);
  };
#pragma GCC unroll 8
  for (int i = 0; i < kRows; ++i) {
#pragma GCC unroll 3
    for (int j = 0; j < kVectors; ++j) {
      sum[i][j] = t.accumulate ? _mm512_maskz_loadu_ps(mask(j), t.c + i * t.c_pitch + 16 * j)
                               : _mm512_setzero_ps();
    }
  }
  const uint32_t* a = t.a;
  const uint32_t* b = t.b;
  for (int p = 0; p < t.pairs; ++p) {
    __m512bh column[kVectors];
#pragma GCC unroll 3
    for (int j = 0; j < kVectors; ++j) column[j] = (__m512bh)_mm512_loadu_si512(b + 16 * j);
#pragma GCC unroll 8
    for (int i = 0; i < kRows; ++i) {
      const __m512bh row = (__m512bh)_mm512_set1_epi32(static_cast<int>(a[i]));
#pragma GCC unroll 3
      for (int j = 0; j < kVectors; ++j) sum[i][j] = _mm512_dpbf16_ps(sum[i][j], row, column[j]);
    }
    a += kBf16Rows;
    b += kBf16Columns;
  }
#pragma GCC unroll 8
  for (int i = 0; i < kRows; ++i) {
#pragma GCC unroll 3
    for (int j = 0; j < kVectors; ++j)
      _mm512_mask_storeu_ps(t.c + i * t.c_pitch + 16 * j, mask(j), sum[i][j]);
  }
}

template <int kRows>
void OfRows(const Bf16Panel& t) {
  if constexpr (kRows > 0) {
    if (t.m != kRows) return OfRows<kRows - 1>(t);
    if (t.n > 32) return Block<kRows, 3>(t);
    if (t.n > 16) return Block<kRows, 2>(t);
    Block<kRows, 1>(t);
  }
}

// Sixteen words, those from `left` on zero.
GLIA_BF16_TARGET inline __m512i Pairs(const uint16_t* low, const uint16_t* high, int64_t left) {
  const __mmask16 mask =
      left >= 16 ? static_cast<__mmask16>(0xffff) : static_cast<__mmask16>((1u << left) - 1);
  // The forms without a mask use undefined registers, of which GCC 12 warns.
  constexpr __mmask16 kAll = 0xffff;
  const __m512i a = _mm512_maskz_cvtepu16_epi32(kAll, _mm256_maskz_loadu_epi16(mask, low));
  if (high == nullptr) return a;
  const __m512i b = _mm512_maskz_cvtepu16_epi32(kAll, _mm256_maskz_loadu_epi16(mask, high));
  return _mm512_or_si512(a, _mm512_maskz_slli_epi32(kAll, b, 16));
}

GLIA_BF16_TARGET void PackPairs(const uint16_t* low, const uint16_t* high, int64_t n, int64_t width,
                                uint32_t* out, ptrdiff_t panel_words) {
  const auto at = [&](int64_t i) { return high == nullptr ? nullptr : high + i; };
  if (width == kBf16Rows) {
    for (int64_t i = 0; i < n; i += 16, out += 2 * panel_words) {
      const __m512i words = Pairs(low + i, at(i), n - i);
      _mm256_storeu_si256(reinterpret_cast<__m256i*>(out),
                          _mm512_maskz_extracti64x4_epi64(0xff, words, 0));
      if (n - i <= 8) break;
      _mm256_storeu_si256(reinterpret_cast<__m256i*>(out + panel_words),
                          _mm512_maskz_extracti64x4_epi64(0xff, words, 1));
    }
    return;
  }
  for (int64_t i = 0; i < n; i += kBf16Columns, out += panel_words) {
    for (int64_t j = 0; j < kBf16Columns; j += 16) {
      const int64_t left = n - i - j;
      _mm512_storeu_si512(out + j,
                          left > 0 ? Pairs(low + i + j, at(i + j), left) : _mm512_setzero_si512());
    }
  }
}

}  // namespace

Bf16PanelFn GetBf16Panel() {
  static const bool has = __builtin_cpu_supports("avx512bf16") &&
                          __builtin_cpu_supports("avx512bw") && __builtin_cpu_supports("avx512vl");
  return has ? &OfRows<kBf16Rows> : nullptr;
}
PackPairsFn GetPackPairs() { return GetBf16Panel() != nullptr ? &PackPairs : nullptr; }
#else
Bf16PanelFn GetBf16Panel() { return nullptr; }
PackPairsFn GetPackPairs() { return nullptr; }
#endif

}  // namespace glia::device::kernels
