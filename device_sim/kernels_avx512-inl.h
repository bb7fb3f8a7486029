// Loads of 16 elements that lie anywhere, with AVX-512. Included by kernels only.
#ifndef GLIA_DEVICE_SIM_KERNELS_AVX512_INL_H_
#define GLIA_DEVICE_SIM_KERNELS_AVX512_INL_H_

#if defined(__x86_64__)
#include <immintrin.h>

#include <cstdint>

#include "device_sim/kernels_gather.h"

#define GLIA_AVX512 __attribute__((target("avx512f,avx512bw,avx512vl,avx512dq,bmi2")))
#define GLIA_AVX512_INLINE GLIA_AVX512 __attribute__((always_inline)) inline

namespace glia::device::kernels {
namespace {

inline bool HasAvx512() {
  static const bool has = __builtin_cpu_supports("avx512bw") &&
                          __builtin_cpu_supports("avx512vl") &&
                          __builtin_cpu_supports("avx512dq") && __builtin_cpu_supports("bmi2");
  return has;
}

constexpr __mmask16 kAll = 0xffff;  // GCC 12 warns of the unmasked forms

inline __mmask16 MaskOf(const GatherPart& p) {
  return static_cast<__mmask16>((1u << p.last) - (1u << p.first));
}

// What LoadPart wants to know of a part with kSteps elements from one to the next, 0: any number.
template <int kSteps>
GLIA_AVX512_INLINE __m512i IndexOf(const GatherPart& p) {
  const __m512i lanes = _mm512_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15);
  return kSteps == 2 ? _mm512_maskz_slli_epi32(kAll, lanes, 1)
                     : _mm512_maskz_mullo_epi32(kAll, lanes, _mm512_set1_epi32(p.stride));
}

// Elements of 4 or 2 bytes, zero-extended; 0 outside the mask, where nothing is read.
template <int kBytes, int kSteps>
GLIA_AVX512_INLINE __m512i LoadPart(const uint8_t* p, __mmask16 mask, __m512i index) {
  if constexpr (kBytes == 4 && kSteps == 1) {
    return _mm512_maskz_loadu_epi32(mask, p);
  } else if constexpr (kBytes == 2 && kSteps == 1) {
    return _mm512_maskz_cvtepu16_epi32(mask, _mm256_maskz_loadu_epi16(mask, p));
  } else if constexpr (kBytes == 2 && kSteps == 2) {
    return _mm512_and_si512(_mm512_maskz_loadu_epi32(mask, p), _mm512_set1_epi32(0xffff));
  } else if constexpr (kBytes == 4 && kSteps == 2) {
    const uint32_t wide = _pdep_u32(mask, 0x55555555u);
    const __m512i low = _mm512_maskz_loadu_epi32(static_cast<__mmask16>(wide), p);
    const __m512i high = _mm512_maskz_loadu_epi32(static_cast<__mmask16>(wide >> 16), p + 64);
    return _mm512_permutex2var_epi32(low, index, high);
  } else {
    const __m512i x = _mm512_mask_i32gather_epi32(_mm512_setzero_si512(), mask, index, p, 1);
    return kBytes == 4 ? x : _mm512_and_si512(x, _mm512_set1_epi32(0xffff));
  }
}

}  // namespace
}  // namespace glia::device::kernels
#endif

#endif  // GLIA_DEVICE_SIM_KERNELS_AVX512_INL_H_
