#include <cmath>
#include <limits>

#include "gtest/gtest.h"
#include "serialization/hlo/evaluator_testing.h"

namespace glia::hlo {
namespace {

constexpr double kInf = std::numeric_limits<double>::infinity();
const double kNan = std::nan("");

struct UnaryCase {
  Opcode opcode;
  PrimitiveType type;
  std::vector<double> in, out;
};

TEST(EvaluatorTest, Unary) {
  const UnaryCase cases[] = {
      {Opcode::kAbs, kF32, {-1.5, 0, 2, -kInf}, {1.5, 0, 2, kInf}},
      {Opcode::kAbs, kS8, {-128, -5, 7}, {-128, 5, 7}},
      {Opcode::kCbrt, kF32, {-8, 27}, {-2, 3}},
      {Opcode::kCeil, kF32, {-1.5, 1.25}, {-1, 2}},
      {Opcode::kClz, kS32, {0, 1, -1, 256}, {32, 31, 0, 23}},
      {Opcode::kClz, kU8, {0, 1, 255}, {8, 7, 0}},
      {Opcode::kCos, kF32, {0, M_PI}, {1, -1}},
      {Opcode::kErf, kF32, {0, 0.5, -10}, {0, 0.5204998778, -1}},
      {Opcode::kExp, kF32, {0, 1, 100, -kInf}, {1, M_E, kInf, 0}},
      {Opcode::kExpm1, kF32, {1e-8, 0}, {1e-8, 0}},
      {Opcode::kFloor, kF32, {-1.5, 1.75}, {-2, 1}},
      {Opcode::kLog, kF32, {1, 0, -1}, {0, -kInf, kNan}},
      {Opcode::kLog1p, kF32, {1e-8, -1}, {1e-8, -kInf}},
      {Opcode::kLogistic, kF32, {0, 200, -200}, {0.5, 1, 0}},
      {Opcode::kNegate, kS32, {5, -2147483648.0}, {-5, -2147483648.0}},
      {Opcode::kNegate, kU8, {1}, {255}},
      {Opcode::kNot, kPred, {0, 1}, {1, 0}},
      {Opcode::kNot, kS32, {0, 5}, {-1, -6}},
      {Opcode::kNot, kU8, {1}, {254}},
      {Opcode::kPopulationCount, kS8, {-1, 5}, {8, 2}},
      {Opcode::kRoundNearestAfz, kF32, {0.5, -0.5, 2.5, -1.4}, {1, -1, 3, -1}},
      {Opcode::kRoundNearestEven, kF32, {0.5, 1.5, 2.5, -2.5}, {0, 2, 2, -2}},
      {Opcode::kRsqrt, kF32, {4, 0}, {0.5, kInf}},
      {Opcode::kSign, kF32, {-3, 0, 2, kNan}, {-1, 0, 1, kNan}},
      {Opcode::kSign, kS32, {-3, 0, 2}, {-1, 0, 1}},
      {Opcode::kSin, kF32, {0, M_PI / 2}, {0, 1}},
      {Opcode::kSqrt, kF32, {9, -1}, {3, kNan}},
      {Opcode::kTan, kF32, {M_PI / 4}, {1}},
      {Opcode::kTanh, kF32, {0, 100}, {0, 1}},
      {Opcode::kExp, kBF16, {1}, {2.71875}},
  };
  for (const UnaryCase& c : cases) {
    SCOPED_TRACE(std::string(OpcodeName(c.opcode)));
    Builder b("unary");
    const int64_t n = static_cast<int64_t>(c.in.size());
    ExpectLiteral(Eval(&b, Unary(c.opcode, Const(&b, c.type, {n}, c.in))), Lit(c.type, {n}, c.out),
                  2e-7);
  }
}

TEST(EvaluatorTest, IsFinite) {
  Builder b("m");
  ExpectLiteral(Eval(&b, IsFinite(Const(&b, kF32, {3}, {1, kInf, kNan}))),
                Lit(kPred, {3}, {1, 0, 0}));
}

TEST(EvaluatorTest, ReducePrecision) {
  Builder b("m");
  // As bf16 has 8 and 7 bits, the same rounding; e4m3-like overflow and flush.
  Op x = Const(&b, kF32, {4}, {1.00390625, 1.01171875, 1e30, 1e-30});
  ExpectLiteral(Eval(&b, ReducePrecision(x, 5, 7)), Lit(kF32, {4}, {1, 1.015625, kInf, 0}));
}

struct BinaryCase {
  Opcode opcode;
  PrimitiveType type;
  std::vector<double> a, b, out;
};

TEST(EvaluatorTest, Binary) {
  const BinaryCase cases[] = {
      {Opcode::kAdd, kF32, {1, kInf}, {2.5, -kInf}, {3.5, kNan}},
      {Opcode::kAdd, kU8, {250, 1}, {10, 1}, {4, 2}},
      {Opcode::kAdd, kS8, {127}, {1}, {-128}},
      {Opcode::kAdd, kBF16, {256}, {1}, {256}},
      {Opcode::kAdd, kF16, {65504}, {65504}, {kInf}},
      {Opcode::kMultiply, kS32, {65536, -3}, {65536, 5}, {0, -15}},
      {Opcode::kSubtract, kU32, {0}, {1}, {4294967295.0}},
      {Opcode::kDivide, kF32, {1, -1, 0}, {0, 0, 0}, {kInf, -kInf, kNan}},
      {Opcode::kDivide,
       kS32,
       {7, -7, 5, -2147483648.0},
       {-2, 2, 0, -1},
       {-3, -3, -1, -2147483648.0}},
      {Opcode::kDivide, kU8, {7, 7}, {2, 0}, {3, 255}},
      {Opcode::kRemainder, kS32, {7, -7, 5, -2147483648.0}, {-2, 2, 0, -1}, {1, -1, 5, 0}},
      {Opcode::kRemainder, kF32, {7.5, -7.5}, {2, 2}, {1.5, -1.5}},
      {Opcode::kMaximum, kF32, {1, kNan, 3}, {2, 1, kNan}, {2, kNan, kNan}},
      {Opcode::kMinimum, kS32, {1, 5}, {2, -5}, {1, -5}},
      {Opcode::kMaximum, kU8, {200}, {100}, {200}},
      {Opcode::kPower, kF32, {2, -8, 0}, {10, 3, 0}, {1024, -512, 1}},
      {Opcode::kPower, kS32, {3, 2, -1, 1}, {4, -1, -3, -7}, {81, 0, -1, 1}},
      {Opcode::kAtan2, kF32, {1, 0}, {1, -1}, {M_PI / 4, M_PI}},
      {Opcode::kAnd, kS32, {12, -1}, {10, 7}, {8, 7}},
      {Opcode::kOr, kPred, {0, 1}, {0, 0}, {0, 1}},
      {Opcode::kXor, kU8, {255}, {15}, {240}},
      {Opcode::kShiftLeft, kS32, {1, 1, 1, 3}, {4, 32, -1, 31}, {16, 0, 0, -2147483648.0}},
      {Opcode::kShiftRightLogical, kS32, {-1, -1, -1}, {28, 32, -1}, {15, 0, 0}},
      {Opcode::kShiftRightArithmetic, kS32, {-16, -16, 16}, {2, 40, 40}, {-4, -1, 0}},
      {Opcode::kShiftRightArithmetic, kU8, {128}, {1}, {192}},
  };
  for (const BinaryCase& c : cases) {
    SCOPED_TRACE(std::string(OpcodeName(c.opcode)) + " " + std::string(Name(c.type)));
    Builder b("binary");
    const int64_t n = static_cast<int64_t>(c.a.size());
    Op result = Binary(c.opcode, Const(&b, c.type, {n}, c.a), Const(&b, c.type, {n}, c.b));
    ExpectLiteral(Eval(&b, result), Lit(c.type, {n}, c.out), 2e-7);
  }
}

TEST(EvaluatorTest, SixtyFourBitIntegersAreExact) {
  Builder b("m");
  const int64_t big = (int64_t{1} << 62) + 1;
  Literal result = Eval(&b, Mul(ConstantR0<int64_t>(&b, big), ConstantR0<int64_t>(&b, 3)));
  EXPECT_EQ(result.GetAsInt64(0), static_cast<int64_t>(static_cast<uint64_t>(big) * 3));
}

TEST(EvaluatorTest, CompareOrdersNanAndZeroByKind) {
  const std::vector<double> a = {-0.0, kNan, 1};
  const std::vector<double> c = {0.0, kNan, kNan};
  auto run = [&](ComparisonDirection direction, ComparisonType type) {
    Builder b("m");
    return Eval(&b, Compare(Const(&b, kF32, {3}, a), Const(&b, kF32, {3}, c), direction, type));
  };
  ExpectLiteral(run(ComparisonDirection::kLt, ComparisonType::kDefault),
                Lit(kPred, {3}, {0, 0, 0}));
  ExpectLiteral(run(ComparisonDirection::kNe, ComparisonType::kDefault),
                Lit(kPred, {3}, {0, 1, 1}));
  ExpectLiteral(run(ComparisonDirection::kLt, ComparisonType::kTotalOrder),
                Lit(kPred, {3}, {1, 0, 1}));
  ExpectLiteral(run(ComparisonDirection::kEq, ComparisonType::kTotalOrder),
                Lit(kPred, {3}, {0, 1, 0}));
}

TEST(EvaluatorTest, UnsignedComparesAsUnsigned) {
  Builder b("m");
  ExpectLiteral(Eval(&b, Gt(Const(&b, kU8, {1}, {200}), Const(&b, kU8, {1}, {100}))),
                Lit(kPred, {1}, {1}));
}

TEST(EvaluatorTest, SelectAndClampTakeScalars) {
  Builder b("m");
  Op x = Const(&b, kF32, {4}, {-2, 0.5, 3, kNan});
  Op clamped = Clamp(ConstantR0<float>(&b, -1), x, ConstantR0<float>(&b, 1));
  Op chosen = Select(Const(&b, kPred, {4}, {1, 0, 1, 0}), clamped, x);
  ExpectLiteral(Eval(&b, chosen), Lit(kF32, {4}, {-1, 0.5, 1, kNan}));
}

struct ConvertCase {
  PrimitiveType from, to;
  std::vector<double> in, out;
};

TEST(EvaluatorTest, Convert) {
  const ConvertCase cases[] = {
      {kF32, kS32, {1.9, -1.9, 3e9, -3e9, kNan}, {1, -1, 2147483647.0, -2147483648.0, 0}},
      {kF32, kU8, {-5, 300, 255.9}, {0, 255, 255}},
      {kF32, kPred, {0, -0.0, 0.1, kNan}, {0, 0, 1, 1}},
      {kS32, kS8, {130, -129}, {-126, 127}},
      {kS32, kU32, {-1}, {4294967295.0}},
      {kS32, kF32, {16777217}, {16777216}},
      {kPred, kF32, {1, 0}, {1, 0}},
      {kF32, kBF16, {1.00390625, 1.01171875}, {1, 1.015625}},
      {kF32, kF16, {65520, 1e-8, 1.5}, {kInf, 0, 1.5}},
      {kF64, kF32, {1e300}, {kInf}},
  };
  for (const ConvertCase& c : cases) {
    SCOPED_TRACE(std::string(Name(c.from)) + " to " + std::string(Name(c.to)));
    Builder b("convert");
    const int64_t n = static_cast<int64_t>(c.in.size());
    ExpectLiteral(Eval(&b, Convert(Const(&b, c.from, {n}, c.in), c.to)), Lit(c.to, {n}, c.out));
  }
}

TEST(EvaluatorTest, BitcastConvertKeepsBits) {
  Builder b("m");
  ExpectLiteral(Eval(&b, BitcastConvert(ConstantR0<float>(&b, 1.0f), kU32)),
                Lit(kU32, {}, {0x3f800000}));
}

TEST(EvaluatorTest, IotaCountsAlongItsDim) {
  Builder b("m");
  ExpectLiteral(Eval(&b, Iota(&b, Shape(kS32, {2, 3}), 0)), Lit(kS32, {2, 3}, {0, 0, 0, 1, 1, 1}));
  Builder b1("m");
  ExpectLiteral(Eval(&b1, Iota(&b1, Shape(kBF16, {2, 3}), 1)),
                Lit(kBF16, {2, 3}, {0, 1, 2, 0, 1, 2}));
}

TEST(EvaluatorTest, MapRunsAnyScalarComputation) {
  Builder b("m");
  auto sub = b.CreateSubBuilder("poly");
  Op x = Parameter(sub.get(), 0, Shape(kF32, {}));
  Op y = Parameter(sub.get(), 1, Shape(kF32, {}));
  auto poly =
      sub->BuildComputation(Select(Gt(x, y), Mul(x, x), Add(y, ConstantR0<float>(sub.get(), 1))));
  ASSERT_TRUE(poly.ok());
  Op result = Map({Const(&b, kF32, {3}, {3, 1, 2}), Const(&b, kF32, {3}, {1, 5, 2})}, *poly);
  ExpectLiteral(Eval(&b, result), Lit(kF32, {3}, {9, 6, 3}));
}

TEST(EvaluatorTest, BatchNormInference) {
  Builder b("m");
  Op x = Const(&b, kF32, {1, 2, 2}, {1, 2, 3, 4});
  Op result =
      BatchNormInference(x, Const(&b, kF32, {2}, {2, 1}), Const(&b, kF32, {2}, {0, 10}),
                         Const(&b, kF32, {2}, {1, 3}), Const(&b, kF32, {2}, {3, 0}), 1.0f, 1);
  ExpectLiteral(Eval(&b, result), Lit(kF32, {1, 2, 2}, {0, 1, 10, 11}), 1e-6);
}

TEST(EvaluatorTest, ComplexArithmetic) {
  Builder b("m");
  using C = std::complex<float>;
  Op product = Mul(ConstantR0<C>(&b, C(1, 2)), ConstantR0<C>(&b, C(3, -1)));
  Literal result = Eval(&b, product);
  EXPECT_EQ(result.data<C>()[0], C(5, 5));
}

}  // namespace
}  // namespace glia::hlo
