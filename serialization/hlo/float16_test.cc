#include "serialization/hlo/float16.h"

#include <cmath>
#include <limits>

#include "gtest/gtest.h"

namespace glia::hlo {
namespace {

template <typename ToFloat>
float Decode(ToFloat to_float, int bits) {
  return to_float(static_cast<uint16_t>(bits));
}

// All 65536 values survive, and halfway points go to the even neighbour.
template <typename ToFloat, typename FromFloat>
void CheckAll(ToFloat to_float, FromFloat from_float) {
  for (int bits = 0; bits < 65536; ++bits) {
    const float value = Decode(to_float, bits);
    if (std::isnan(value)) {
      EXPECT_TRUE(std::isnan(Decode(to_float, from_float(value)))) << bits;
      continue;
    }
    EXPECT_EQ(from_float(value), bits) << value;
    const float above = Decode(to_float, bits + 1);
    if ((bits & 0x7fff) == 0x7fff || std::isinf(value) || !std::isfinite(above)) continue;
    // Exact in double; the middle of two neighbours is exact in float.
    const float middle = static_cast<float>((static_cast<double>(value) + above) / 2);
    const int even = (bits & 1) == 0 ? bits : bits + 1;
    EXPECT_EQ(from_float(middle), even) << value;
    EXPECT_EQ(from_float(std::nextafter(middle, value)), bits) << value;
    EXPECT_EQ(from_float(std::nextafter(middle, above)), bits + 1) << value;
  }
}

TEST(Float16, F16) { CheckAll(F16ToFloat, FloatToF16); }
TEST(Float16, BF16) { CheckAll(BF16ToFloat, FloatToBF16); }

TEST(Float16, Known) {
  EXPECT_EQ(FloatToF16(1.0f), 0x3c00);
  EXPECT_EQ(FloatToF16(-2.0f), 0xc000);
  EXPECT_EQ(FloatToF16(65504.0f), 0x7bff);
  EXPECT_EQ(FloatToF16(65519.0f), 0x7bff);
  EXPECT_EQ(FloatToF16(65520.0f), 0x7c00);
  EXPECT_EQ(FloatToF16(1e-10f), 0);
  EXPECT_EQ(FloatToF16(-std::numeric_limits<float>::infinity()), 0xfc00);
  EXPECT_EQ(FloatToBF16(1.0f), 0x3f80);
  EXPECT_EQ(FloatToBF16(std::numeric_limits<float>::max()), 0x7f80);
}

}  // namespace
}  // namespace glia::hlo
