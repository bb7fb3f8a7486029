#include "device_sim/testing/peak.h"

#include <algorithm>
#include <cstdint>
#include <ctime>

#if defined(__x86_64__)
#include <immintrin.h>
#endif

namespace glia::device {
namespace {

// Independent sums: more than a multiplier's latency times its number per cycle.
constexpr int kSums = 12;
constexpr int64_t kSteps = 1 << 20;

#if defined(__x86_64__)
// Keeps the compiler from seeing what a sum holds, in a register.
#define GLIA_KEEP(x) asm volatile("" : "+v"(x))

// Each adds kSums * kSteps vectors.
__attribute__((target("avx2,fma"))) void Fma256() {
  __m256 sum[kSums], x = _mm256_setzero_ps();
  GLIA_KEEP(x);
#pragma GCC unroll 12
  for (int j = 0; j < kSums; ++j) sum[j] = x;
  for (int64_t i = 0; i < kSteps; ++i) {
#pragma GCC unroll 12
    for (int j = 0; j < kSums; ++j) {
      sum[j] = _mm256_fmadd_ps(x, x, sum[j]);
      GLIA_KEEP(sum[j]);
    }
  }
}

__attribute__((target("avx512f"))) void Fma512() {
  __m512 sum[kSums], x = _mm512_setzero_ps();
  GLIA_KEEP(x);
#pragma GCC unroll 12
  for (int j = 0; j < kSums; ++j) sum[j] = x;
  for (int64_t i = 0; i < kSteps; ++i) {
#pragma GCC unroll 12
    for (int j = 0; j < kSums; ++j) {
      sum[j] = _mm512_fmadd_ps(x, x, sum[j]);
      GLIA_KEEP(sum[j]);
    }
  }
}

__attribute__((target("avx512f,avx512bf16"))) void Dot512() {
  __m512 sum[kSums], x = _mm512_setzero_ps();
  GLIA_KEEP(x);
#pragma GCC unroll 12
  for (int j = 0; j < kSums; ++j) sum[j] = x;
  for (int64_t i = 0; i < kSteps; ++i) {
#pragma GCC unroll 12
    for (int j = 0; j < kSums; ++j) {
      sum[j] = _mm512_dpbf16_ps(sum[j], (__m512bh)x, (__m512bh)x);
      GLIA_KEEP(sum[j]);
    }
  }
}

double Measure(void (*loop)(), int per_vector) {
  double best = 0;
  for (int i = 0; i < 10; ++i) {
    const std::clock_t start = std::clock();
    loop();
    const double seconds = static_cast<double>(std::clock() - start) / CLOCKS_PER_SEC;
    best = std::max(best, static_cast<double>(kSums * kSteps * per_vector) / seconds);
  }
  return best;
}
#endif

}  // namespace

double FmaPeak() {
#if defined(__x86_64__)
  static const double peak = __builtin_cpu_supports("avx512f") ? Measure(&Fma512, 16 * 2)
                             : __builtin_cpu_supports("fma")   ? Measure(&Fma256, 8 * 2)
                                                               : 0;
  return peak;
#else
  return 0;
#endif
}

double Bf16Peak() {
#if defined(__x86_64__)
  static const double peak = __builtin_cpu_supports("avx512bf16") ? Measure(&Dot512, 16 * 4) : 0;
  return peak;
#else
  return 0;
#endif
}

}  // namespace glia::device
