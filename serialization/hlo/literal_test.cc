#include "serialization/hlo/literal.h"

#include <cmath>
#include <limits>

#include "gtest/gtest.h"
#include "serialization/hlo/literal_text.h"

namespace glia::hlo {
namespace {

const PrimitiveType kNumbers[] = {kS4,  kS8,  kS16, kS32,  kS64, kU4,     kU8,       kU16, kU32,
                                  kU64, kF16, kF32, kBF16, kF64, kF8E5M2, kF8E4M3FN, kC64, kC128};

TEST(Literal, SetsAndGetsEveryType) {
  for (PrimitiveType type : kNumbers) {
    Literal literal = Literal::Zero(Shape(type, {3}));
    literal.SetFromDouble(1, 6);
    literal.SetFromInt64(2, 5);
    EXPECT_EQ(literal.GetAsDouble(0), 0) << Name(type);
    EXPECT_EQ(literal.GetAsDouble(1), 6) << Name(type);
    EXPECT_EQ(literal.GetAsInt64(2), 5) << Name(type);
  }
  EXPECT_EQ(Literal::Scalar(kPred, 7).data<bool>()[0], true);
}

TEST(Literal, IntegersTruncateAndSaturate) {
  EXPECT_EQ(Literal::Scalar(kS32, -2.9).GetAsInt64(0), -2);
  EXPECT_EQ(Literal::Scalar(kS8, 1000).GetAsInt64(0), 127);
  EXPECT_EQ(Literal::Scalar(kU8, -5).GetAsInt64(0), 0);
  EXPECT_EQ(Literal::Scalar(kS64, 1e30).GetAsInt64(0), std::numeric_limits<int64_t>::max());
  EXPECT_EQ(Literal::Scalar(kS32, std::nan("")).GetAsInt64(0), 0);
}

TEST(Literal, FloatsRoundOnce) {
  // Just above halfway between two bf16 values, but halfway once rounded to float.
  const double value = 1.0 + std::ldexp(1, -8) + std::ldexp(1, -40);
  EXPECT_EQ(Literal::Scalar(kBF16, value).GetAsDouble(0), 1.0 + std::ldexp(1, -7));
  EXPECT_EQ(Literal::Scalar(kBF16, 1.0 + std::ldexp(1, -8)).GetAsDouble(0), 1.0);
}

TEST(Literal, SmallFloatsRoundTripAndSaturate) {
  for (PrimitiveType type : {kF8E5M2, kF8E4M3FN}) {
    for (int bits = 0; bits < 256; ++bits) {
      const auto byte = static_cast<uint8_t>(bits);
      const double value = Literal::FromBytes(Shape(type, {}), &byte).GetAsDouble(0);
      if (std::isnan(value)) continue;
      EXPECT_EQ(*static_cast<const uint8_t*>(Literal::Scalar(type, value).raw()), byte) << value;
    }
  }
  EXPECT_EQ(Literal::Scalar(kF8E4M3FN, 460).GetAsDouble(0), 448);
  EXPECT_TRUE(std::isnan(Literal::Scalar(kF8E4M3FN, 480).GetAsDouble(0)));
  EXPECT_TRUE(std::isinf(Literal::Scalar(kF8E5M2, 1e6).GetAsDouble(0)));
}

TEST(Literal, CopiesShareUntilWritten) {
  Literal a = Literal::FromVector<float>({2}, {1, 2});
  Literal b = a;
  EXPECT_EQ(a.raw(), b.raw());
  b.MutableData<float>()[0] = 5;
  EXPECT_NE(a.raw(), b.raw());
  EXPECT_EQ(a.data<float>()[0], 1);
  const void* before = b.raw();
  b.MutableData<float>()[1] = 6;
  EXPECT_EQ(b.raw(), before);
}

TEST(Literal, ViewsForeignMemory) {
  auto owner = std::make_shared<std::vector<float>>(std::vector<float>{1, 2, 3});
  const std::weak_ptr<std::vector<float>> watch = owner;
  Literal view = Literal::View(Shape(kF32, {3}), owner->data(), owner);
  EXPECT_EQ(view.raw(), owner->data());
  owner.reset();
  EXPECT_FALSE(watch.expired());
  view.MutableData<float>()[0] = 9;  // copies, and lets go
  EXPECT_TRUE(watch.expired());
  EXPECT_EQ(view.GetAsDouble(2), 3);
}

TEST(Literal, SplatsAndEquality) {
  EXPECT_TRUE(Literal::Full(Shape(kBF16, {7, 3}), 1.5).IsSplat());
  EXPECT_TRUE(Literal::Full(Shape(kBF16, {7, 3}), 1.5).IsAll(1.5));
  EXPECT_FALSE(Literal::FromVector<float>({2}, {1, 2}).IsSplat());
  EXPECT_TRUE(Literal::FromVector<float>({2}, {0.0f, -0.0f}).IsAll(0));
  EXPECT_TRUE(Literal::Zero(Shape(kF32, {0})).IsSplat());
  EXPECT_TRUE(Literal::R0<float>(1) == Literal::Scalar(kF32, 1));
  EXPECT_TRUE(Literal::R0<float>(0.0f) != Literal::R0<float>(-0.0f));
  EXPECT_TRUE(Literal::R0<float>(1) != Literal::R0<int32_t>(1));
  EXPECT_TRUE(Literal::FromVector<int>({4}, {1, 2, 3, 4}).Reshaped({2, 2}) ==
              Literal::FromVector<int>({2, 2}, {1, 2, 3, 4}));
}

TEST(Literal, TextRoundTrips) {
  const Literal cases[] = {
      Literal::R0<bool>(true),
      Literal::R0<int64_t>(std::numeric_limits<int64_t>::min()),
      Literal::R0<uint64_t>(std::numeric_limits<uint64_t>::max()),
      Literal::FromVector<double>({2}, {0.1, -1e300}),
      Literal::FromVector<float>({2, 2, 1}, {0.1f, 1e-45f, std::nanf(""), -INFINITY}),
      Literal::FromVector<bool>({3}, {true, false, true}),
      Literal::FromVector<uint32_t>({2}, {1, 2}),
      Literal::FromVector<std::complex<float>>({1}, {{1, -2}}),
      Literal::FromDoubles(Shape(kF16, {2}), {0.1, 6e-8}),
      Literal::FromDoubles(Shape(kF8E4M3FN, {2}), {448, NAN}),
      Literal::FromDoubles(Shape(kS4, {2}), {-8, 7}),
      Literal::Zero(Shape(kF32, {3, 0, 2})),
      Literal::Tuple({Literal::R0<float>(1), Literal::Tuple({}), Literal::R1<int32_t>({1, 2})}),
  };
  for (const Literal& literal : cases) {
    const std::string text = literal.ToString();
    absl::string_view rest = text;
    absl::StatusOr<Literal> again = ParseLiteral(literal.shape(), &rest);
    ASSERT_TRUE(again.ok()) << text << again.status();
    EXPECT_TRUE(*again == literal) << text;
    EXPECT_EQ(rest, "");
  }
  EXPECT_EQ(Literal::FromVector<int>({2, 2}, {1, 2, 3, 4}).ToString(), "{ { 1, 2 }, { 3, 4 } }");
}

TEST(Literal, NanPayloadsSurvive) {
  const uint32_t bits = 0xff812345u;
  const Literal literal = Literal::FromBytes(Shape(kF32, {}), &bits);
  EXPECT_EQ(literal.ToString(), "-nan(0x12345)");
  absl::string_view text = "-nan(0x12345)";
  EXPECT_TRUE(*ParseLiteral(literal.shape(), &text) == literal);
}

TEST(LiteralDeathTest, MisuseAborts) {
  EXPECT_DEATH(Literal::R0<float>(1).data<double>(), "elements of 8 bytes");
  EXPECT_DEATH(Literal::FromVector<float>({3}, {1}), "1 values given for f32");
  EXPECT_DEATH(Literal::R0<float>(1).GetAsDouble(1), "element 1 of");
}

}  // namespace
}  // namespace glia::hlo
