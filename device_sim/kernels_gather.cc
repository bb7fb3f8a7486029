#include "device_sim/kernels_gather.h"

#include <cstring>
#include <type_traits>

#if defined(__x86_64__)
#include <immintrin.h>
#define GLIA_AVX512 __attribute__((target("avx512f,avx512bw,avx512vl,avx512dq,bmi2")))
#define GLIA_AVX512_INLINE GLIA_AVX512 __attribute__((always_inline)) inline
#endif

namespace glia::device::kernels {
namespace {

// ---- Any processor ----

template <class T, int kShift, bool kPairs>
void Portable(const GatherColumns& g) {
  constexpr int kStep = kPairs ? 2 : 1;
  uint32_t* out = g.out;
  for (int64_t r = 0; r < g.rows; r += kStep, out += g.out_pitch) {
    std::memset(out, 0, kGatherLanes * sizeof(uint32_t));
    for (int half = 0; half < kStep && r + half < g.rows; ++half) {
      for (int i = 0; i < g.count; ++i) {
        const GatherPart& part = g.parts[i];
        const uint8_t* const p = g.source + (r + half) * g.pitch + part.offset;
        if (sizeof(T) == 4 && part.stride == 4) {
          std::memcpy(out + part.first, p + 4 * part.first, 4 * (part.last - part.first));
          continue;
        }
        for (int l = part.first; l < part.last; ++l) {
          T x;
          std::memcpy(&x, p + int64_t{l} * part.stride, sizeof(T));
          out[l] |= static_cast<uint32_t>(x) << (kShift + 16 * half);
        }
      }
    }
  }
}

#if defined(__x86_64__)
// ---- AVX-512: masked loads do not touch what is masked out ----

constexpr __mmask16 kAll = 0xffff;  // GCC 12 warns of the unmasked forms

// Elements of 4 or 2 bytes, zero-extended.
template <int kBytes, int kSteps>  // kSteps: stride in elements, 0: any
GLIA_AVX512_INLINE __m512i Load(const uint8_t* p, __mmask16 mask, __m512i index) {
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

template <int kBytes, bool kPairs, int kSteps, int kParts>
GLIA_AVX512_INLINE void Rows(const GatherColumns& g) {
  constexpr int kShift = kBytes == 2 && !kPairs ? 16 : 0;
  constexpr int kStep = kPairs ? 2 : 1;
  const uint8_t* p[kParts];
  __mmask16 mask[kParts];
  __m512i index[kParts];
  const __m512i lanes = _mm512_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15);
#pragma GCC unroll 4
  for (int i = 0; i < kParts; ++i) {
    p[i] = g.source + g.parts[i].offset;
    mask[i] = static_cast<__mmask16>((1u << g.parts[i].last) - (1u << g.parts[i].first));
    index[i] = kSteps == 2
                   ? _mm512_maskz_slli_epi32(kAll, lanes, 1)
                   : _mm512_maskz_mullo_epi32(kAll, lanes, _mm512_set1_epi32(g.parts[i].stride));
  }
  const auto row = [&](ptrdiff_t offset) GLIA_AVX512 {
    __m512i x = Load<kBytes, kSteps>(p[0] + offset, mask[0], index[0]);
#pragma GCC unroll 4
    for (int i = 1; i < kParts; ++i) {
      x = _mm512_or_si512(x, Load<kBytes, kSteps>(p[i] + offset, mask[i], index[i]));
    }
    return x;
  };
  uint32_t* out = g.out;
  ptrdiff_t offset = 0;
  int64_t r = 0;
  for (; r + kStep <= g.rows; r += kStep, offset += kStep * g.pitch, out += g.out_pitch) {
    __m512i x = row(offset);
    if constexpr (kPairs)
      x = _mm512_or_si512(x, _mm512_maskz_slli_epi32(kAll, row(offset + g.pitch), 16));
    if constexpr (kShift != 0) x = _mm512_maskz_slli_epi32(kAll, x, kShift);
    _mm512_storeu_si512(out, x);
  }
  if (r < g.rows) _mm512_storeu_si512(out, row(offset));
}

template <int kBytes, bool kPairs, int kSteps>
GLIA_AVX512 void OfSteps(const GatherColumns& g) {
  switch (g.count) {
    case 1:
      return Rows<kBytes, kPairs, kSteps, 1>(g);
    case 2:
      return Rows<kBytes, kPairs, kSteps, 2>(g);
    case 3:
      return Rows<kBytes, kPairs, kSteps, 3>(g);
    case 4:
      return Rows<kBytes, kPairs, kSteps, 4>(g);
    default:
      return Portable < std::conditional_t<kBytes == 4, uint32_t, uint16_t>,
             kBytes == 2 && !kPairs ? 16 : 0, kPairs > (g);
  }
}

template <int kBytes, bool kPairs>
GLIA_AVX512 void Avx512(const GatherColumns& g) {
  bool unit = true, two = true;
  for (int i = 0; i < g.count; ++i) {
    unit = unit && g.parts[i].stride == kBytes;
    two = two && g.parts[i].stride == 2 * kBytes;
  }
  if (unit) return OfSteps<kBytes, kPairs, 1>(g);
  if (two) return OfSteps<kBytes, kPairs, 2>(g);
  OfSteps<kBytes, kPairs, 0>(g);
}
#endif

}  // namespace

const GatherKernels& GetPortableGather() {
  static const GatherKernels kernels = {
      &Portable<uint32_t, 0, false>, &Portable<uint16_t, 16, false>, &Portable<uint16_t, 0, true>};
  return kernels;
}

const GatherKernels& GetGather() {
#if defined(__x86_64__)
  static const GatherKernels kernels = {&Avx512<4, false>, &Avx512<2, false>, &Avx512<2, true>};
  static const bool has = __builtin_cpu_supports("avx512bw") &&
                          __builtin_cpu_supports("avx512vl") &&
                          __builtin_cpu_supports("avx512dq") && __builtin_cpu_supports("bmi2");
  if (has) return kernels;
#endif
  return GetPortableGather();
}

}  // namespace glia::device::kernels
