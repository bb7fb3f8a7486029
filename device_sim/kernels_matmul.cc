#include "device_sim/kernels_matmul.h"

#include <algorithm>

// The processors between these differ little for this code; each target costs compile time.
#define HWY_DISABLED_TARGETS (HWY_SSSE3 | HWY_AVX3_DL)

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "device_sim/kernels_matmul.cc"
#include "hwy/foreach_target.h"  // IWYU pragma: keep
// Must follow foreach_target.h.
#include "hwy/highway.h"

HWY_BEFORE_NAMESPACE();
namespace glia::device::kernels {
namespace HWY_NAMESPACE {

namespace hn = hwy::HWY_NAMESPACE;

// A capped tag keeps the block shapes below valid on any vector length up to 512 bits.
using D = hn::CappedTag<float, 16>;
using V = hn::Vec<D>;

// Rows x vectors of accumulators. AVX-512 and NEON have 32 registers, the others 16.
#if HWY_TARGET <= HWY_AVX3 || HWY_ARCH_ARM
constexpr int kMaxRows = 8;
constexpr int VectorsFor(int rows) { return rows <= 2 ? 8 : rows <= 4 ? 6 : 3; }
#else
constexpr int kMaxRows = 4;
constexpr int VectorsFor(int rows) { return rows == 1 ? 8 : rows == 2 ? 6 : 3; }
#endif

// One block of kRows x (kVectors vectors). With kTail the last vector has only `tail` columns.
template <int kRows, int kVectors, bool kTail>
HWY_NOINLINE void Block(const float* HWY_RESTRICT a, ptrdiff_t a_pitch, const float* HWY_RESTRICT b,
                        ptrdiff_t b_pitch, float* HWY_RESTRICT c, ptrdiff_t c_pitch, int k,
                        bool accumulate, size_t tail) {
  const D d;
  constexpr int kLanes = HWY_LANES(float) < 16 ? HWY_LANES(float) : 16;
  const auto mask = hn::FirstN(d, tail);
  V sum[kRows][kVectors];
  if (accumulate) {
#pragma GCC unroll 8
    for (int i = 0; i < kRows; ++i) {
#pragma GCC unroll 8
      for (int j = 0; j < kVectors; ++j) {
        const float* p = c + i * c_pitch + j * kLanes;
        sum[i][j] = kTail && j == kVectors - 1 ? hn::MaskedLoad(mask, d, p) : hn::LoadU(d, p);
      }
    }
  } else {
#pragma GCC unroll 8
    for (int i = 0; i < kRows; ++i) {
#pragma GCC unroll 8
      for (int j = 0; j < kVectors; ++j) sum[i][j] = hn::Zero(d);
    }
  }
  for (int p = 0; p < k; ++p) {
    V column[kVectors];
#pragma GCC unroll 8
    for (int j = 0; j < kVectors; ++j) {
      const float* q = b + j * kLanes;
      column[j] = kTail && j == kVectors - 1 ? hn::MaskedLoad(mask, d, q) : hn::LoadU(d, q);
    }
#pragma GCC unroll 8
    for (int i = 0; i < kRows; ++i) {
      const V row = hn::Set(d, a[i]);
#pragma GCC unroll 8
      for (int j = 0; j < kVectors; ++j) sum[i][j] = hn::MulAdd(row, column[j], sum[i][j]);
    }
    a += a_pitch;
    b += b_pitch;
  }
#pragma GCC unroll 8
  for (int i = 0; i < kRows; ++i) {
#pragma GCC unroll 8
    for (int j = 0; j < kVectors; ++j) {
      float* p = c + i * c_pitch + j * kLanes;
      if (kTail && j == kVectors - 1) {
        hn::BlendedStore(sum[i][j], mask, d, p);
      } else {
        hn::StoreU(sum[i][j], d, p);
      }
    }
  }
}

using BlockFn = void (*)(const float*, ptrdiff_t, const float*, ptrdiff_t, float*, ptrdiff_t, int, bool,
                         size_t);

// The blocks of one number of rows: the full one and one for each width of the last columns.
template <int kRows>
struct Blocks {
  static constexpr int kFull = VectorsFor(kRows);
  static BlockFn Full() { return &Block<kRows, kFull, false>; }
  static BlockFn Tail(int vectors) { return TailOf<1>(vectors); }

 private:
  template <int kVectors>
  static BlockFn TailOf(int vectors) {
    if constexpr (kVectors < kFull) {
      return vectors == kVectors ? &Block<kRows, kVectors, true> : TailOf<kVectors + 1>(vectors);
    } else {
      return &Block<kRows, kVectors, true>;
    }
  }
};

// All rows of one strip of columns, so that the strip of b stays in the first-level cache.
template <int kRows>
void Strip(const MatmulTile& t, int row, int column, int width) {
  constexpr int kLanes = HWY_LANES(float) < 16 ? HWY_LANES(float) : 16;
  const float* b = t.b + column;
  float* c = t.c + column;
  const int vectors = (width + kLanes - 1) / kLanes;
  const bool full = width == Blocks<kRows>::kFull * kLanes;
  const BlockFn block = full ? Blocks<kRows>::Full() : Blocks<kRows>::Tail(vectors);
  const size_t tail = static_cast<size_t>(width - (vectors - 1) * kLanes);
  for (; row + kRows <= t.m; row += kRows) {
    block(t.a + row, t.a_pitch, b, t.b_pitch, c + row * t.c_pitch, t.c_pitch, t.k, t.accumulate, tail);
  }
  if constexpr (kRows > 1) {
    // The remaining rows keep the width of the strip: it is what the cache holds.
    const int rest = t.m - row;
    if constexpr (kRows > 4) {
      if (rest > 4) {
        const BlockFn odd = rest == 7   ? (full ? Blocks<7>::Full() : Blocks<7>::Tail(vectors))
                            : rest == 6 ? (full ? Blocks<6>::Full() : Blocks<6>::Tail(vectors))
                                        : (full ? Blocks<5>::Full() : Blocks<5>::Tail(vectors));
        odd(t.a + row, t.a_pitch, b, t.b_pitch, c + row * t.c_pitch, t.c_pitch, t.k, t.accumulate, tail);
        return;
      }
    }
    if (rest > 0) Strip<(kRows > 4 ? 4 : kRows / 2)>(t, row, column, width);
  }
}

template <int kRows>
void Columns(const MatmulTile& t) {
  constexpr int kLanes = HWY_LANES(float) < 16 ? HWY_LANES(float) : 16;
  constexpr int kWidth = VectorsFor(kRows) * kLanes;
  for (int column = 0; column < t.n; column += kWidth) {
    Strip<kRows>(t, 0, column, std::min(kWidth, t.n - column));
  }
}

void Multiply(const MatmulTile& t) {
  if (t.m >= 5 && kMaxRows == 8) {
    Columns<kMaxRows>(t);
  } else if (t.m >= 3) {
    Columns<4>(t);
  } else if (t.m == 2) {
    Columns<2>(t);
  } else {
    Columns<1>(t);
  }
}

MatmulFn MatmulForTarget() { return &Multiply; }

}  // namespace HWY_NAMESPACE
}  // namespace glia::device::kernels
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace glia::device::kernels {

HWY_EXPORT(MatmulForTarget);

MatmulFn GetMatmul() { return HWY_DYNAMIC_DISPATCH(MatmulForTarget)(); }

}  // namespace glia::device::kernels
#endif  // HWY_ONCE
