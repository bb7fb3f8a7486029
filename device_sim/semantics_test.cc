#include "device_sim/semantics.h"

#include <cmath>
#include <cstdint>
#include <limits>

#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace glia::device {
namespace {

using isa::ActFn;
using isa::AluOp;
using isa::DType;
using ::testing::ElementsAre;

constexpr float kNan = std::numeric_limits<float>::quiet_NaN();
constexpr float kInf = std::numeric_limits<float>::infinity();

TEST(Float16, EveryValueRoundTrips) {
  for (uint32_t v = 0; v < 0x10000; ++v) {
    const auto h = static_cast<uint16_t>(v);
    const float f16 = F16ToFloat(h), bf16 = Bf16ToFloat(h);
    if (std::isnan(f16)) {
      EXPECT_TRUE(std::isnan(F16ToFloat(FloatToF16(f16))));
    } else {
      EXPECT_EQ(FloatToF16(f16), h);
    }
    if (std::isnan(bf16)) {
      EXPECT_TRUE(std::isnan(Bf16ToFloat(FloatToBf16(bf16))));
    } else {
      EXPECT_EQ(FloatToBf16(bf16), h);
    }
  }
}

TEST(Float16, TiesGoToEven) {
  // Between every two neighbours: the middle to the even one, a little beside it to the nearer one.
  for (uint16_t h = 0; h < 0x7bff; ++h) {
    const float low = F16ToFloat(h), high = F16ToFloat(static_cast<uint16_t>(h + 1));
    const float middle = (low + high) / 2;  // exact in fp32
    EXPECT_EQ(FloatToF16(middle), (h & 1) ? h + 1 : h);
    EXPECT_EQ(FloatToF16(std::nextafter(middle, 0.0f)), h);
    EXPECT_EQ(FloatToF16(std::nextafter(middle, kInf)), h + 1);
    EXPECT_EQ(FloatToF16(-middle), 0x8000 | ((h & 1) ? h + 1 : h));
  }
  EXPECT_EQ(FloatToF16(65519.0f), 0x7bff);
  EXPECT_EQ(FloatToF16(65520.0f), 0x7c00);
  EXPECT_EQ(FloatToBf16(1.00390625f), 0x3f80);   // half a unit above 1
  EXPECT_EQ(FloatToBf16(1.01171875f), 0x3f82);   // half a unit above 0x3f81
  EXPECT_EQ(FloatToBf16(3.4e38f), 0x7f80);
}

TEST(Conversions, FloatToIntegerTruncatesAndSaturates) {
  const struct {
    float in;
    DType type;
    int64_t out;
  } kCases[] = {
      {-2.9f, DType::kI32, -2},         {2.9f, DType::kU8, 2},
      {256.0f, DType::kU8, 255},        {-1.0f, DType::kU8, 0},
      {-129.0f, DType::kI8, -128},      {127.9f, DType::kI8, 127},
      {kNan, DType::kI64, 0},           {kNan, DType::kPred, 1},
      {0.0f, DType::kPred, 0},          {0.5f, DType::kPred, 1},
      {kInf, DType::kI64, INT64_MAX},   {-kInf, DType::kI64, INT64_MIN},
      {kInf, DType::kU64, -1},          {1e19f, DType::kU64, static_cast<int64_t>(9999999980506447872ULL)},
      {3e9f, DType::kU32, 3000000000},  {5e9f, DType::kU32, 4294967295},
      {2147483648.0f, DType::kI32, 2147483647},
  };
  for (const auto& c : kCases) EXPECT_EQ(FloatToInt(c.in, c.type), c.out) << c.in;
}

TEST(Conversions, IntegersWrapAndRoundToEven) {
  EXPECT_EQ(WrapInt(300, DType::kU8), 44);
  EXPECT_EQ(WrapInt(200, DType::kI8), -56);
  EXPECT_EQ(WrapInt(-1, DType::kU32), 4294967295);
  EXPECT_EQ(WrapInt(256, DType::kPred), 1);
  EXPECT_EQ(IntToFloat(16777217, true), 16777216.0f);
  EXPECT_EQ(IntToFloat(-1, false), 18446744073709551616.0f);
  uint8_t pred = 7;
  EXPECT_EQ(LoadInt(DType::kPred, &pred), 1);
}

TEST(AluFloat, NanAndSpecialValues) {
  EXPECT_TRUE(std::isnan(AluFloat(AluOp::kMax, 1, kNan)));
  EXPECT_TRUE(std::isnan(AluFloat(AluOp::kMin, kNan, 1)));
  EXPECT_TRUE(std::isnan(AluFloat(AluOp::kAbsMax, kNan, 1)));
  EXPECT_EQ(AluFloat(AluOp::kAbsMax, -3, 2), 3);
  EXPECT_FALSE(std::signbit(AluFloat(AluOp::kMax, -0.0f, 0.0f)));
  EXPECT_TRUE(std::signbit(AluFloat(AluOp::kMin, 0.0f, -0.0f)));
  EXPECT_EQ(AluFloat(AluOp::kNe, kNan, kNan), 1);
  EXPECT_EQ(AluFloat(AluOp::kLe, kNan, 1), 0);
  EXPECT_EQ(AluFloat(AluOp::kRemainder, -7, 3), -1);
  EXPECT_EQ(AluFloat(AluOp::kFloorDivide, -7, 2), -4);
  EXPECT_EQ(AluFloat(AluOp::kPower, 2, -1), 0.5f);
  EXPECT_EQ(AluFloat(AluOp::kLogicalXor, 2, 0), 1);
  EXPECT_EQ(AluFloat(AluOp::kLogicalXor, 2, -1), 0);
  EXPECT_FLOAT_EQ(AluFloat(AluOp::kAtan2, 1, -1), 2.3561945f);
  EXPECT_EQ(AluFloat(AluOp::kBypass, 5, 6), 5);
}

TEST(AluInt, EveryOperation) {
  const struct {
    AluOp op;
    int64_t a, b;
    DType type;
    int64_t out;
  } kCases[] = {
      {AluOp::kBypass, 5, 6, DType::kI32, 5},
      {AluOp::kAdd, INT64_MAX, 1, DType::kI64, INT64_MIN},
      {AluOp::kSubtract, INT64_MIN, 1, DType::kI64, INT64_MAX},
      {AluOp::kMultiply, int64_t{1} << 40, int64_t{1} << 40, DType::kI64, 0},
      {AluOp::kDivide, -7, 2, DType::kI32, -3},
      {AluOp::kDivide, -7, 2, DType::kU64, 9223372036854775804},
      {AluOp::kDivide, 7, 0, DType::kI32, -1},
      {AluOp::kDivide, INT64_MIN, -1, DType::kI64, INT64_MIN},
      {AluOp::kMax, -1, 1, DType::kI32, 1},
      {AluOp::kMax, -1, 1, DType::kU64, -1},
      {AluOp::kMin, -1, 1, DType::kI32, -1},
      {AluOp::kMin, -1, 1, DType::kU64, 1},
      {AluOp::kPower, 3, 4, DType::kI32, 81},
      {AluOp::kPower, -1, -3, DType::kI32, -1},
      {AluOp::kPower, 2, -3, DType::kI32, 0},
      {AluOp::kPower, 5, 0, DType::kI32, 1},
      {AluOp::kRemainder, -7, 3, DType::kI32, -1},
      {AluOp::kRemainder, 7, 0, DType::kI32, 7},
      {AluOp::kRemainder, INT64_MIN, -1, DType::kI64, 0},
      {AluOp::kAnd, 6, 3, DType::kI32, 2},
      {AluOp::kOr, 6, 3, DType::kI32, 7},
      {AluOp::kXor, 6, 3, DType::kI32, 5},
      {AluOp::kShiftLeft, 1, 31, DType::kI32, INT32_MIN},
      {AluOp::kShiftLeft, 1, 32, DType::kI32, 0},
      {AluOp::kShiftRightLogical, -1, 28, DType::kI32, 15},
      {AluOp::kShiftRightLogical, -1, -1, DType::kI32, 0},
      {AluOp::kShiftRightArithmetic, -8, 1, DType::kI32, -4},
      {AluOp::kShiftRightArithmetic, -8, 99, DType::kI32, -1},
      {AluOp::kShiftRightArithmetic, 0x80, 1, DType::kU8, 0xc0},
      {AluOp::kLogicalAnd, 2, 4, DType::kI32, 1},
      {AluOp::kLogicalOr, 0, 4, DType::kI32, 1},
      {AluOp::kLogicalXor, 2, 4, DType::kI32, 0},
      {AluOp::kEq, 2, 2, DType::kI32, 1},
      {AluOp::kNe, 2, 2, DType::kI32, 0},
      {AluOp::kGt, -1, 1, DType::kI32, 0},
      {AluOp::kGt, -1, 1, DType::kU64, 1},
      {AluOp::kGe, 1, 1, DType::kI32, 1},
      {AluOp::kLt, -1, 1, DType::kI32, 1},
      {AluOp::kLe, 1, 1, DType::kI32, 1},
      {AluOp::kAbsMax, -9, 4, DType::kI32, 9},
      {AluOp::kFloorDivide, -7, 2, DType::kI32, -4},
      {AluOp::kFloorDivide, 7, -2, DType::kI32, -4},
      {AluOp::kFloorDivide, -8, 2, DType::kI32, -4},
      {AluOp::kFloorDivide, 5, 0, DType::kI32, -1},
  };
  for (const auto& c : kCases) {
    EXPECT_EQ(AluInt(c.op, c.a, c.b, c.type), c.out)
        << "op " << static_cast<int>(c.op) << " of " << c.a << " and " << c.b;
  }
}

TEST(ActFloat, AgainstIndependentValues) {
  const struct {
    ActFn fn;
    float in, parameter, out;
  } kCases[] = {
      {ActFn::kCopy, -3, 0, -3},          {ActFn::kRelu, -3, 0, 0},
      {ActFn::kLeakyRelu, -3, 0.5f, -1.5f}, {ActFn::kSigmoid, 1, 0, 0.73105858f},
      {ActFn::kTanh, 0.5f, 0, 0.46211716f}, {ActFn::kExp, 1, 0, 2.7182818f},
      {ActFn::kLog, 10, 0, 2.3025851f},   {ActFn::kSqrt, 2, 0, 1.4142135f},
      {ActFn::kRsqrt, 4, 0, 0.5f},        {ActFn::kSquare, -3, 0, 9},
      {ActFn::kAbs, -3, 0, 3},            {ActFn::kSign, -3, 0, -1},
      {ActFn::kErf, 0.5f, 0, 0.52049988f}, {ActFn::kGelu, 1, 0, 0.84134475f},
      {ActFn::kGelu, -10, 0, -7.6198530e-23f}, {ActFn::kGeluTanh, 1, 0, 0.84119199f},
      {ActFn::kSilu, 2, 0, 1.7615942f},   {ActFn::kSoftplus, 1, 0, 1.3132616f},
      {ActFn::kSoftplus, 100, 0, 100},    {ActFn::kMish, 1, 0, 0.86509839f},
      {ActFn::kSin, 1, 0, 0.84147098f},   {ActFn::kArctan, 1, 0, 0.78539816f},
      {ActFn::kReciprocal, 8, 0, 0.125f}, {ActFn::kFloor, -1.5f, 0, -2},
      {ActFn::kCeil, -1.5f, 0, -1},       {ActFn::kRoundEven, 2.5f, 0, 2},
      {ActFn::kRoundAway, 2.5f, 0, 3},    {ActFn::kTrunc, -1.5f, 0, -1},
      {ActFn::kExpm1, 1e-5f, 0, 1.0000050e-5f}, {ActFn::kLog1p, 1e-5f, 0, 9.9999500e-6f},
      {ActFn::kCbrt, -27, 0, -3},         {ActFn::kCos, 1, 0, 0.54030231f},
      {ActFn::kSinWide, 100, 0, -0.50636564f}, {ActFn::kTan, 1, 0, 1.5574077f},
      {ActFn::kIsFinite, kInf, 0, 0},     {ActFn::kIsFinite, 1, 0, 1},
      {ActFn::kNegate, 2, 0, -2},
  };
  for (const auto& c : kCases) {
    EXPECT_FLOAT_EQ(ActFloat(c.fn, c.in, c.parameter), c.out) << "fn " << static_cast<int>(c.fn);
  }
}

TEST(ActFloat, NanStaysAndInfinitiesHaveLimits) {
  for (const ActFn fn : {ActFn::kRelu, ActFn::kLeakyRelu, ActFn::kSigmoid, ActFn::kGelu, ActFn::kGeluTanh,
                         ActFn::kSilu, ActFn::kSoftplus, ActFn::kMish, ActFn::kSign, ActFn::kAbs}) {
    EXPECT_TRUE(std::isnan(ActFloat(fn, kNan, 0.1f))) << "fn " << static_cast<int>(fn);
  }
  for (const ActFn fn : {ActFn::kGelu, ActFn::kGeluTanh, ActFn::kSilu, ActFn::kSoftplus, ActFn::kMish}) {
    EXPECT_EQ(ActFloat(fn, -kInf, 0), 0) << "fn " << static_cast<int>(fn);
    EXPECT_EQ(ActFloat(fn, kInf, 0), kInf) << "fn " << static_cast<int>(fn);
  }
}

TEST(ActInt, EveryFunction) {
  EXPECT_EQ(ActInt(ActFn::kNot, 5, DType::kI32), -6);
  EXPECT_EQ(ActInt(ActFn::kNot, 5, DType::kU8), 250);
  EXPECT_EQ(ActInt(ActFn::kNot, 1, DType::kPred), 0);
  EXPECT_EQ(ActInt(ActFn::kNegate, 5, DType::kI32), -5);
  EXPECT_EQ(ActInt(ActFn::kPopcount, -1, DType::kI16), 16);
  EXPECT_EQ(ActInt(ActFn::kClz, 1, DType::kI32), 31);
  EXPECT_EQ(ActInt(ActFn::kClz, 0, DType::kU8), 8);
  EXPECT_EQ(ActInt(ActFn::kClz, -1, DType::kI8), 0);
  EXPECT_EQ(ActInt(ActFn::kAbsInt, -5, DType::kI32), 5);
  EXPECT_EQ(ActInt(ActFn::kSignInt, -5, DType::kI32), -1);
  EXPECT_EQ(ActInt(ActFn::kSignInt, 0, DType::kI32), 0);
  EXPECT_EQ(ActInt(ActFn::kSignInt, -1, DType::kU64), 1);
  EXPECT_EQ(ActInt(ActFn::kRelu, -5, DType::kI32), 0);
  EXPECT_EQ(ActInt(ActFn::kSquare, -5, DType::kI32), 25);
  EXPECT_EQ(ActInt(ActFn::kFloor, -5, DType::kI32), -5);
  EXPECT_FALSE(HasIntegerMeaning(ActFn::kExp));
}

// kat_vectors of Random123, philox4x32 10.
TEST(Philox, KnownAnswers) {
  EXPECT_THAT(Philox4x32({0, 0, 0, 0}, {0, 0}),
              ElementsAre(0x6627e8d5, 0xe169c58d, 0xbc57ac4c, 0x9b00dbd8));
  EXPECT_THAT(Philox4x32({0xffffffff, 0xffffffff, 0xffffffff, 0xffffffff}, {0xffffffff, 0xffffffff}),
              ElementsAre(0x408f276d, 0x41c83b0e, 0xa20bc7c6, 0x6d5451fd));
  EXPECT_THAT(Philox4x32({0x243f6a88, 0x85a308d3, 0x13198a2e, 0x03707344}, {0xa4093822, 0x299f31d0}),
              ElementsAre(0xd16cfe09, 0x94fdcceb, 0x5001e420, 0x24126ea1));
}

}  // namespace
}  // namespace glia::device
