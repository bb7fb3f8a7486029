#include <algorithm>
#include <cmath>
#include <cstring>
#include <random>
#include <vector>

#include "device_sim/kernels_bf16.h"
#include "device_sim/kernels_elementwise.h"
#include "device_sim/kernels_gather.h"
#include "device_sim/kernels_matmul.h"
#include "device_sim/kernels_narrow.h"
#include "device_sim/semantics.h"
#include "gtest/gtest.h"

namespace glia::device::kernels {
namespace {

// Small integers multiply and add up exactly, whatever the order.
TEST(Matmul, EveryShapeIsExactOnIntegers) {
  const MatmulFn matmul = GetMatmul();
  std::mt19937 random(1);
  std::uniform_int_distribution<int> value(-8, 8), k_of(0, 40);
  for (int m = 0; m <= 19; ++m) {
    for (const int n : {0, 1, 2, 7, 8, 15, 16, 17, 31, 47, 48, 49, 64, 95, 97, 128, 129, 200}) {
      const int k = k_of(random);
      const int pa = m + 3, pb = n + 5, pc = n + 1;
      std::vector<float> a(k * pa + 1), b(k * pb + 1), c(m * pc + 1), want;
      for (auto* v : {&a, &b, &c}) {
        for (float& x : *v) x = static_cast<float>(value(random));
      }
      for (const bool accumulate : {false, true}) {
        want = c;
        for (int i = 0; i < m; ++i) {
          for (int j = 0; j < n; ++j) {
            float sum = accumulate ? c[i * pc + j] : 0;
            for (int p = 0; p < k; ++p) sum += a[p * pa + i] * b[p * pb + j];
            want[i * pc + j] = sum;
          }
        }
        MatmulTile t = {a.data(), b.data(), c.data(), pa, pb, pc, m, n, k, accumulate};
        matmul(t);
        ASSERT_EQ(c, want) << m << " x " << n << " x " << k;  // what lies between the rows included
      }
    }
  }
}

TEST(Bf16Panel, PairsArePackedIntoPanels) {
  const PackPairsFn pack = GetPackPairs();
  if (pack == nullptr) GTEST_SKIP() << "the processor has no bf16 dot product";
  for (const int width : {kBf16Rows, kBf16Columns}) {
    for (const bool two : {false, true}) {
      for (int n = 1; n <= 200; ++n) {
        std::vector<uint16_t> low(n), high(n);
        for (int i = 0; i < n; ++i)
          low[i] = static_cast<uint16_t>(i + 1), high[i] = static_cast<uint16_t>(~i);
        const int panels = (n + width - 1) / width, pitch = 3 * width;
        std::vector<uint32_t> out(panels * pitch, 7), want = out;
        for (int i = 0; i < panels * width; ++i) {
          const uint32_t word =
              i >= n ? 0 : low[i] | (two ? static_cast<uint32_t>(high[i]) << 16 : 0);
          want[i / width * pitch + i % width] = word;
        }
        pack(low.data(), two ? high.data() : nullptr, n, width, out.data(), pitch);
        ASSERT_EQ(out, want) << n << " in panels of " << width;
      }
    }
  }
}

TEST(Bf16Panel, EveryShapeIsExactOnIntegers) {
  const Bf16PanelFn multiply = GetBf16Panel();
  if (multiply == nullptr) GTEST_SKIP() << "the processor has no bf16 dot product";
  std::mt19937 random(1);
  std::uniform_int_distribution<int> value(-8, 8);
  const auto bf16 = [](int x) {
    const float f = static_cast<float>(x);
    uint32_t bits;
    std::memcpy(&bits, &f, 4);
    return bits >> 16;
  };
  for (int m = 1; m <= kBf16Rows; ++m) {
    for (int n = 1; n <= kBf16Columns; ++n) {
      const int pairs = n % 5 + 1;
      std::vector<uint32_t> a(pairs * kBf16Rows), b(pairs * kBf16Columns);
      std::vector<float> c(m * (n + 3)), want;
      for (float& x : c) x = static_cast<float>(value(random));
      for (const bool accumulate : {false, true}) {
        want = c;
        for (int i = 0; i < m; ++i) {
          for (int j = 0; j < n && !accumulate; ++j) want[i * (n + 3) + j] = 0;
        }
        for (int p = 0; p < pairs; ++p) {
          int x[2][kBf16Rows], y[2][kBf16Columns];
          for (int half = 0; half < 2; ++half) {
            for (int& v : x[half]) v = value(random);
            for (int& v : y[half]) v = value(random);
          }
          for (int i = 0; i < kBf16Rows; ++i)
            a[p * kBf16Rows + i] = bf16(x[0][i]) | bf16(x[1][i]) << 16;
          for (int j = 0; j < kBf16Columns; ++j)
            b[p * kBf16Columns + j] = bf16(y[0][j]) | bf16(y[1][j]) << 16;
          for (int i = 0; i < m; ++i) {
            for (int j = 0; j < n; ++j) {
              want[i * (n + 3) + j] += static_cast<float>(x[0][i] * y[0][j] + x[1][i] * y[1][j]);
            }
          }
        }
        Bf16Panel t = {a.data(), b.data(), c.data(), n + 3, m, n, pairs, accumulate};
        multiply(t);
        ASSERT_EQ(c, want) << m << " x " << n << ", " << pairs
                           << " pairs";  // what lies between the rows included
      }
    }
  }
}

TEST(Matmul, SplittingColumnsChangesNoBit) {
  constexpr int kM = 128, kN = 500, kK = 128;
  std::mt19937 random(2);
  std::normal_distribution<float> value;
  std::vector<float> a(kK * kM), b(kK * kN), whole(kM * kN), pieces(kM * kN);
  for (auto* v : {&a, &b}) {
    for (float& x : *v) x = value(random);
  }
  const MatmulFn matmul = GetMatmul();
  matmul({a.data(), b.data(), whole.data(), kM, kN, kN, kM, kN, kK, false});
  for (const int split : {48, 96, 240, 333}) {
    matmul({a.data(), b.data(), pieces.data(), kM, kN, kN, kM, split, kK, false});
    matmul(
        {a.data(), b.data() + split, pieces.data() + split, kM, kN, kN, kM, kN - split, kK, false});
    ASSERT_EQ(pieces, whole) << split;
  }
}

// Over the range where results are normal numbers; errors in units of the last place, or absolute.
struct Accuracy {
  isa::ActFn fn;
  double low, high;
  double relative, absolute;
};

class UnaryAccuracy : public ::testing::TestWithParam<Accuracy> {};

TEST_P(UnaryAccuracy, IsNearTheReference) {
  const Accuracy& p = GetParam();
  const UnaryF32Fn fn = GetElementwise().unary_f32[static_cast<int>(p.fn)];
  ASSERT_NE(fn, nullptr);
  constexpr int kPoints = 20011;
  std::vector<float> x(kPoints), y(kPoints);
  for (int i = 0; i < kPoints; ++i)
    x[i] = static_cast<float>(p.low + (p.high - p.low) * i / (kPoints - 1));
  fn(x.data(), 1.0f, -0.0f, 0.25f, y.data(), kPoints);
  for (int i = 0; i < kPoints; ++i) {
    const double want = ActFloat(p.fn, x[i], 0.25f);
    ASSERT_LE(std::fabs(y[i] - want), p.relative * std::fabs(want) + p.absolute) << "at " << x[i];
  }
}

INSTANTIATE_TEST_SUITE_P(Functions, UnaryAccuracy,
                         ::testing::Values(Accuracy{isa::ActFn::kExp, -100, 88.5, 2.5e-7, 3e-45},
                                           Accuracy{isa::ActFn::kLog, 1e-38, 10, 2.5e-7, 1e-8},
                                           Accuracy{isa::ActFn::kLog, 10, 3e38, 2.5e-7, 0},
                                           Accuracy{isa::ActFn::kTanh, -12, 12, 3e-7, 0},
                                           Accuracy{isa::ActFn::kSigmoid, -80, 80, 4e-7, 0},
                                           Accuracy{isa::ActFn::kErf, -6, 6, 3e-7, 0},
                                           Accuracy{isa::ActFn::kGelu, -8, 8, 4e-7, 6e-7},
                                           Accuracy{isa::ActFn::kGeluTanh, -8, 8, 1e-6, 6e-7},
                                           Accuracy{isa::ActFn::kSilu, -80, 80, 5e-7, 0},
                                           Accuracy{isa::ActFn::kSoftplus, -80, 80, 5e-7, 0},
                                           Accuracy{isa::ActFn::kMish, -30, 30, 1e-6, 0},
                                           Accuracy{isa::ActFn::kSqrt, 0, 1e6, 0, 0},
                                           Accuracy{isa::ActFn::kRsqrt, 1e-3, 1e6, 2.5e-7, 0},
                                           Accuracy{isa::ActFn::kReciprocal, 1e-3, 1e6, 0, 0},
                                           Accuracy{isa::ActFn::kLeakyRelu, -5, 5, 0, 0},
                                           Accuracy{isa::ActFn::kRoundEven, -9, 9, 0, 0}));

TEST(Unary, SpecialValuesAreTheReferences) {
  const float values[] = {0.0f,    -0.0f, INFINITY, -INFINITY, NAN,    1e-40f,
                          -1e-40f, 3e38f, -3e38f,   89.0f,     -110.0f};
  for (int fn = 0; fn < kActFnCount; ++fn) {
    const UnaryF32Fn f = GetElementwise().unary_f32[fn];
    if (f == nullptr) continue;
    for (const float x : values) {
      float y;
      f(&x, 1.0f, -0.0f, 0.5f, &y, 1);
      const float want = ActFloat(static_cast<isa::ActFn>(fn), x, 0.5f);
      if (std::isnan(want)) {
        EXPECT_TRUE(std::isnan(y)) << fn << " of " << x << " is " << y;
      } else if (std::isinf(want)) {
        EXPECT_EQ(y, want) << fn << " of " << x;
      } else {
        EXPECT_NEAR(y, want, 4e-7 * std::fabs(want) + 3e-45) << fn << " of " << x;
      }
    }
  }
}

TEST(Narrow, EveryShapeIsExactOnIntegers) {
  std::mt19937 random(1);
  std::uniform_int_distribution<int> value(-8, 8), k_of(0, 20);
  for (const bool bf16 : {false, true}) {
    const NarrowFn multiply = bf16 ? GetNarrowBf16() : GetNarrow();
    if (multiply == nullptr) continue;
    // A pair of bf16, the second 0; or an fp32.
    const auto bits = [&](float x) {
      uint32_t b;
      std::memcpy(&b, &x, 4);
      return bf16 ? b >> 16 : b;
    };
    for (int m = 1; m <= 80; ++m) {
      for (int n = 1; n <= kNarrowColumns; ++n) {
        const int k = k_of(random), panels = (m + kNarrowRows - 1) / kNarrowRows;
        const int a_panel = (k + 1) * kNarrowRows, b_pitch = n + 2, c_pitch = n + 1;
        std::vector<float> x(panels * a_panel), y(k * b_pitch + n), c(m * c_pitch), want;
        for (auto* v : {&x, &y, &c}) {
          for (float& e : *v) e = static_cast<float>(value(random));
        }
        std::vector<uint32_t> a(x.size()), b(y.size());
        std::transform(x.begin(), x.end(), a.begin(), bits);
        std::transform(y.begin(), y.end(), b.begin(), bits);
        for (const bool accumulate : {false, true}) {
          want = c;
          for (int i = 0; i < m; ++i) {
            for (int j = 0; j < n; ++j) {
              float& sum = want[i * c_pitch + j];
              if (!accumulate) sum = 0;
              for (int p = 0; p < k; ++p) {
                sum += x[i / kNarrowRows * a_panel + p * kNarrowRows + i % kNarrowRows] *
                       y[p * b_pitch + j];
              }
            }
          }
          NarrowTile t;
          t.a = a.data();
          t.b = b.data();
          t.c = c.data();
          t.a_panel = a_panel;
          t.b_pitch = b_pitch;
          t.c_pitch = c_pitch;
          t.m = m;
          t.n = n;
          t.k = k;
          t.accumulate = accumulate;
          multiply(t);
          ASSERT_EQ(c, want) << m << " x " << n << " x " << k;
        }
      }
    }
  }
}

// Any number of parts with any strides, some lanes in none.
TEST(Gather, TakesEachLaneFromItsPart) {
  std::mt19937 random(1);
  const auto number = [&](int low, int high) {
    return std::uniform_int_distribution<int>(low, high)(random);
  };
  std::vector<uint8_t> source(16 << 10);
  for (uint8_t& x : source) x = static_cast<uint8_t>(number(0, 255));
  for (int n = 0; n < 3000; ++n) {
    const int bytes = number(0, 1) == 0 ? 4 : 2, pitch = 64 * number(1, 12);
    const int same = number(0, 1) == 0 ? number(1, 3) * bytes : 0;  // often one stride for all
    std::vector<GatherPart> parts;
    for (int lane = number(0, 3); lane < kGatherLanes;) {
      GatherPart p;
      p.first = static_cast<uint8_t>(lane);
      p.last = static_cast<uint8_t>(std::min(kGatherLanes, lane + number(1, 8)));
      p.stride = same != 0 ? same : number(0, 5) * bytes;
      p.offset = number(0, 100) * bytes - lane * p.stride;
      parts.push_back(p);
      lane = p.last + number(0, 2);
    }
    GatherColumns g;
    g.source = source.data() + 1024;
    g.pitch = pitch;
    g.rows = number(0, 9);
    g.parts = parts.data();
    g.count = static_cast<int32_t>(parts.size());
    g.out_pitch = number(16, 20);
    for (const bool pairs : {false, true}) {
      if (pairs && bytes == 4) continue;
      std::vector<uint32_t> want(g.out_pitch * 10, 7);
      for (int64_t r = 0; r < g.rows; ++r) {
        uint32_t* const to = &want[(pairs ? r / 2 : r) * g.out_pitch];
        if (!pairs || r % 2 == 0) std::fill_n(to, kGatherLanes, 0);
        for (const GatherPart& p : parts) {
          for (int l = p.first; l < p.last; ++l) {
            uint32_t x = 0;
            std::memcpy(&x, g.source + r * pitch + p.offset + l * p.stride, bytes);
            to[l] |= bytes == 4 ? x : x << (pairs && r % 2 == 0 ? 0 : 16);
          }
        }
      }
      for (const GatherKernels& k : {GetGather(), GetPortableGather()}) {
        std::vector<uint32_t> got(g.out_pitch * 10, 7);
        g.out = got.data();
        (pairs ? k.bf16_pairs : bytes == 4 ? k.f32 : k.bf16_to_f32)(g);
        ASSERT_EQ(got, want) << n;
      }
    }
  }
}

// Every 16-bit pattern, and floats between all of them.
TEST(Conversions, SixteenBitFloatsAreExact) {
  const ElementwiseKernels& k = GetElementwise();
  for (const isa::DType t : {isa::DType::kBf16, isa::DType::kF16}) {
    for (uint32_t bits = 0; bits < 0x10000; ++bits) {
      uint8_t half[8];
      std::memcpy(half, &bits, 4);
      float x;
      k.load_f32[static_cast<int>(t)](half, 2, &x, 1);
      const float want = LoadFloat(t, half);
      ASSERT_EQ(std::memcmp(&x, &want, 4), 0) << bits;
    }
    for (uint64_t bits = 0; bits < 0x100000000; bits += 4093) {
      const auto word = static_cast<uint32_t>(bits);
      float x;
      std::memcpy(&x, &word, 4);
      uint8_t got[8] = {}, want[8] = {};
      k.store_f32[static_cast<int>(t)](&x, got, 2, 1);
      StoreFloat(t, want, x);
      ASSERT_EQ(std::memcmp(got, want, 8), 0) << word;
    }
  }
}

}  // namespace
}  // namespace glia::device::kernels
