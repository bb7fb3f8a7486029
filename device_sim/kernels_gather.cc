#include "device_sim/kernels_gather.h"

#include <cstring>
#include <type_traits>

#include "device_sim/kernels_avx512-inl.h"

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
// ---- AVX-512 ----

template <int kBytes, bool kPairs, int kSteps, int kParts>
GLIA_AVX512_INLINE void Rows(const GatherColumns& g) {
  constexpr int kShift = kBytes == 2 && !kPairs ? 16 : 0;
  constexpr int kStep = kPairs ? 2 : 1;
  const uint8_t* p[kParts];
  __mmask16 mask[kParts];
  __m512i index[kParts];
#pragma GCC unroll 4
  for (int i = 0; i < kParts; ++i) {
    p[i] = g.source + g.parts[i].offset;
    mask[i] = MaskOf(g.parts[i]);
    index[i] = IndexOf<kSteps>(g.parts[i]);
  }
  const auto row = [&](ptrdiff_t offset) GLIA_AVX512 {
    __m512i x = LoadPart<kBytes, kSteps>(p[0] + offset, mask[0], index[0]);
#pragma GCC unroll 4
    for (int i = 1; i < kParts; ++i) {
      x = _mm512_or_si512(x, LoadPart<kBytes, kSteps>(p[i] + offset, mask[i], index[i]));
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

// 16 adjacent elements of 2 bytes, zero-extended.
GLIA_AVX512_INLINE __m512i LoadHalves(const uint8_t* p) {
  return _mm512_maskz_cvtepu16_epi32(kAll, _mm256_loadu_si256(reinterpret_cast<const __m256i*>(p)));
}

// One part that has all lanes, its elements adjacent.
template <int kBytes, bool kPairs>
GLIA_AVX512 void Whole(const GatherColumns& g) {
  const uint8_t* p = g.source + g.parts[0].offset;
  uint32_t* out = g.out;
  if constexpr (kBytes == 4) {
    for (int64_t r = 0; r < g.rows; ++r, p += g.pitch, out += g.out_pitch) {
      _mm512_storeu_si512(out, _mm512_loadu_si512(p));
    }
  } else {
    int64_t r = 0;
    for (; r + (kPairs ? 1 : 0) < g.rows; r += kPairs ? 2 : 1, out += g.out_pitch) {
      __m512i x = LoadHalves(p);
      p += g.pitch;
      if constexpr (kPairs) {
        x = _mm512_or_si512(x, _mm512_maskz_slli_epi32(kAll, LoadHalves(p), 16));
        p += g.pitch;
      } else {
        x = _mm512_maskz_slli_epi32(kAll, x, 16);
      }
      _mm512_storeu_si512(out, x);
    }
    if (r < g.rows) _mm512_storeu_si512(out, LoadHalves(p));
  }
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
  const int stride = g.count > 0 ? g.parts[0].stride : kBytes;
  bool same = true;
  for (int i = 1; i < g.count; ++i) same = same && g.parts[i].stride == stride;
  if (g.count == 1 && stride == kBytes && g.parts[0].last - g.parts[0].first == kGatherLanes) {
    return Whole<kBytes, kPairs>(g);
  }
  if (same && stride == kBytes) return OfSteps<kBytes, kPairs, 1>(g);
  if (same && stride == 2 * kBytes) return OfSteps<kBytes, kPairs, 2>(g);
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
  if (HasAvx512()) return kernels;
#endif
  return GetPortableGather();
}

}  // namespace glia::device::kernels
