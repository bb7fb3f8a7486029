#include <random>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "compiler/codegen/codegen_testing.h"
#include "serialization/hlo/builder.h"

namespace glia::compiler {
namespace {

using hlo::Op;
using hlo::Opcode;
using hlo::PrimitiveType;
using hlo::Shape;

const std::vector<int64_t> kShapes[] = {{},     {1},        {7},       {128},       {1000},
                                        {3, 5}, {127, 131}, {1, 4097}, {300, 1, 2}, {70000}};

struct OpCase {
  Opcode opcode;
  std::vector<PrimitiveType> types;
};

const std::vector<PrimitiveType> kFloats = {hlo::kF32, hlo::kBF16, hlo::kF16};
const std::vector<PrimitiveType> kInts = {hlo::kS8, hlo::kS16, hlo::kS32, hlo::kS64,
                                          hlo::kU8, hlo::kU16, hlo::kU32, hlo::kU64};

std::vector<PrimitiveType> Both() {
  std::vector<PrimitiveType> all(kFloats);
  all.insert(all.end(), kInts.begin(), kInts.end());
  return all;
}
std::vector<PrimitiveType> IntsAndPred() {
  std::vector<PrimitiveType> all(kInts);
  all.push_back(hlo::kPred);
  return all;
}

std::vector<OpCase> UnaryCases() {
  return {
      {Opcode::kAbs, {hlo::kF32, hlo::kBF16, hlo::kS8, hlo::kS32, hlo::kS64}},
      {Opcode::kCbrt, kFloats},
      {Opcode::kCeil, kFloats},
      {Opcode::kClz, kInts},
      {Opcode::kCos, kFloats},
      {Opcode::kErf, kFloats},
      {Opcode::kExp, kFloats},
      {Opcode::kExpm1, kFloats},
      {Opcode::kFloor, kFloats},
      {Opcode::kIsFinite, kFloats},
      {Opcode::kLog, kFloats},
      {Opcode::kLog1p, kFloats},
      {Opcode::kLogistic, kFloats},
      {Opcode::kNegate, Both()},
      {Opcode::kNot, IntsAndPred()},
      {Opcode::kPopulationCount, kInts},
      {Opcode::kRoundNearestAfz, kFloats},
      {Opcode::kRoundNearestEven, kFloats},
      {Opcode::kRsqrt, kFloats},
      {Opcode::kSign, {hlo::kF32, hlo::kBF16, hlo::kS8, hlo::kS32, hlo::kS64}},
      {Opcode::kSin, kFloats},
      {Opcode::kSqrt, kFloats},
      {Opcode::kTan, kFloats},
      {Opcode::kTanh, kFloats},
  };
}

std::vector<OpCase> BinaryCases() {
  return {
      {Opcode::kAdd, Both()},
      {Opcode::kSubtract, Both()},
      {Opcode::kMultiply, Both()},
      {Opcode::kDivide, Both()},
      {Opcode::kRemainder, Both()},
      {Opcode::kMaximum, Both()},
      {Opcode::kMinimum, Both()},
      {Opcode::kPower, Both()},
      {Opcode::kAtan2, kFloats},
      {Opcode::kAnd, IntsAndPred()},
      {Opcode::kOr, IntsAndPred()},
      {Opcode::kXor, IntsAndPred()},
      {Opcode::kShiftLeft, kInts},
      {Opcode::kShiftRightLogical, kInts},
      {Opcode::kShiftRightArithmetic, kInts},
  };
}

Tolerance For(PrimitiveType type) {
  if (type == hlo::kBF16) return {1e-2, 1e-2};
  if (type == hlo::kF16) return {2e-3, 2e-3};
  return {1e-5, 1e-5};
}

template <typename F>
absl::Status CheckOp(const std::vector<Shape>& shapes, const Tolerance& tolerance, const F& f) {
  hlo::Builder b("op");
  std::vector<Op> parameters;
  std::vector<hlo::Literal> arguments;
  for (size_t i = 0; i < shapes.size(); ++i) {
    parameters.push_back(Parameter(&b, static_cast<int64_t>(i), shapes[i]));
    arguments.push_back(RandomLiteral(shapes[i], i + 1));
  }
  auto module = b.Build(f(&b, parameters));
  if (!module.ok()) return module.status();
  return CheckModule(**module, arguments, tolerance);
}

TEST(ElementwiseTest, Unary) {
  for (const OpCase& c : UnaryCases()) {
    for (PrimitiveType type : c.types) {
      SCOPED_TRACE(
          absl::StrCat(std::string(hlo::OpcodeName(c.opcode)), " ", std::string(hlo::Name(type))));
      GLIA_EXPECT_OK(
          CheckOp({Shape(type, {13, 40})}, For(type),
                  [&](hlo::Builder*, const std::vector<Op>& p) { return Unary(c.opcode, p[0]); }));
    }
  }
}

TEST(ElementwiseTest, Binary) {
  for (const OpCase& c : BinaryCases()) {
    for (PrimitiveType type : c.types) {
      SCOPED_TRACE(
          absl::StrCat(std::string(hlo::OpcodeName(c.opcode)), " ", std::string(hlo::Name(type))));
      const Shape shape(type, {13, 40});
      // Both from memory; a constant on either side.
      for (int constant : {-1, 0, 1}) {
        GLIA_EXPECT_OK(
            CheckOp({shape, shape}, For(type), [&](hlo::Builder* b, const std::vector<Op>& p) {
              const Op three = Filled(b, shape, type == hlo::kPred ? 1 : 3);
              return Binary(c.opcode, constant == 0 ? three : p[0], constant == 1 ? three : p[1]);
            }));
      }
    }
  }
}

TEST(ElementwiseTest, LargeIntegersAreExact) {
  for (PrimitiveType type : {hlo::kS32, hlo::kU32, hlo::kS64, hlo::kU64}) {
    const Shape shape(type, {9});
    hlo::Literal x = hlo::Literal::Zero(shape), y = x;
    const int64_t values[] = {0,         1,         -1,        INT64_MAX,    INT64_MIN,
                              INT32_MAX, INT32_MIN, 123456789, (1 << 24) + 1};
    for (int i = 0; i < 9; ++i) {
      const uint64_t mask = hlo::ByteSize(type) == 8 ? ~uint64_t{0} : 0xffffffff;
      const auto bits = [&](int64_t v) {
        const auto u = static_cast<uint64_t>(v) & mask;
        return type == hlo::kS32 ? static_cast<int64_t>(static_cast<int32_t>(u))
                                 : static_cast<int64_t>(u);
      };
      x.SetFromInt64(i, bits(values[i]));
      y.SetFromInt64(i, bits(values[(i * 5 + 2) % 9]));
    }
    for (Opcode opcode :
         {Opcode::kAdd, Opcode::kSubtract, Opcode::kMultiply, Opcode::kDivide, Opcode::kRemainder,
          Opcode::kMaximum, Opcode::kMinimum, Opcode::kAnd, Opcode::kXor}) {
      SCOPED_TRACE(
          absl::StrCat(std::string(hlo::OpcodeName(opcode)), " ", std::string(hlo::Name(type))));
      hlo::Builder b("op");
      const Op p = Parameter(&b, 0, shape), q = Parameter(&b, 1, shape);
      hlo::Literal big = hlo::Literal::Zero(Shape(type, {}));
      big.SetFromInt64(0, 123456789);
      const Op c = BroadcastScalar(Constant(&b, big), shape.dims);
      std::vector<Op> results = {Binary(opcode, p, q),
                                 Binary(opcode, p, c),
                                 Binary(opcode, c, q),
                                 Lt(p, q),
                                 Eq(p, c),
                                 Ge(p, q),
                                 Select(Gt(p, q), p, c),
                                 Clamp(c, p, q)};
      auto module = b.Build(results);
      ASSERT_TRUE(module.ok()) << module.status().message();
      GLIA_EXPECT_OK(CheckModule(**module, {x, y}));
    }
  }
}

TEST(ElementwiseTest, Shapes) {
  for (const std::vector<int64_t>& dims : kShapes) {
    SCOPED_TRACE(absl::StrJoin(dims, ","));
    for (PrimitiveType type : {hlo::kF32, hlo::kS64, hlo::kU8}) {
      const Shape shape(type, dims);
      GLIA_EXPECT_OK(
          CheckOp({shape, shape}, For(type), [](hlo::Builder*, const std::vector<Op>& p) {
            return Select(Lt(p[0], p[1]), Mul(p[0], p[1]), Sub(p[1], p[0]));
          }));
    }
  }
}

TEST(ElementwiseTest, Conversions) {
  std::vector<PrimitiveType> all = Both();
  all.push_back(hlo::kPred);
  for (PrimitiveType from : all) {
    for (PrimitiveType to : all) {
      SCOPED_TRACE(absl::StrCat(std::string(hlo::Name(from)), " to ", std::string(hlo::Name(to))));
      GLIA_EXPECT_OK(
          CheckOp({Shape(from, {33})}, {0, 0},
                  [&](hlo::Builder*, const std::vector<Op>& p) { return Convert(p[0], to); }));
    }
  }
}

TEST(ElementwiseTest, Comparisons) {
  std::vector<PrimitiveType> all = Both();
  all.push_back(hlo::kPred);
  for (PrimitiveType type : all) {
    for (int d = 0; d < 6; ++d) {
      SCOPED_TRACE(absl::StrCat(std::string(hlo::Name(type)), " ", d));
      const Shape shape(type, {300});
      for (const bool total : {false, true}) {
        if (total && !hlo::IsFloating(type)) continue;
        GLIA_EXPECT_OK(CheckOp({shape, shape}, {}, [&](hlo::Builder*, const std::vector<Op>& p) {
          return Compare(p[0], p[1], static_cast<hlo::ComparisonDirection>(d),
                         total ? hlo::ComparisonType::kTotalOrder : hlo::ComparisonType::kDefault);
        }));
      }
    }
  }
}

TEST(ElementwiseTest, SpecialValues) {
  const float inf = std::numeric_limits<float>::infinity(),
              nan = std::numeric_limits<float>::quiet_NaN();
  const std::vector<float> values = {0.0f, -0.0f,  1,     -1,    inf,   -inf,
                                     nan,  1e-42f, 3e38f, 65504, 65520, 1e-6f};
  const int64_t n = static_cast<int64_t>(values.size());
  const hlo::Literal x = hlo::Literal::FromVector<float>({n}, values);
  std::vector<float> turned(values.rbegin(), values.rend());
  const hlo::Literal y = hlo::Literal::FromVector<float>({n}, turned);
  hlo::Builder b("special");
  const Op p = Parameter(&b, 0, x.shape()), q = Parameter(&b, 1, y.shape());
  const Op low = hlo::ConstantR0<float>(&b, -2), high = hlo::ConstantR0<float>(&b, 2);
  const std::vector<Op> results = {
      Max(p, q),
      Min(p, q),
      Lt(p, q),
      Ne(p, q),
      Clamp(low, p, high),
      Convert(p, hlo::kS32),
      Convert(p, hlo::kPred),
      IsFinite(p),
      Sign(p),
      Compare(p, q, hlo::ComparisonDirection::kLt, hlo::ComparisonType::kTotalOrder),
      ReducePrecision(p, 8, 7),
      ReducePrecision(p, 5, 10),
      ReducePrecision(p, 5, 2)};
  auto module = b.Build(results);
  ASSERT_TRUE(module.ok()) << module.status().message();
  GLIA_EXPECT_OK(CheckModule(**module, {x, y}, {0, 0}));
}

TEST(ElementwiseTest, OperandsThatAreViews) {
  GLIA_EXPECT_OK(CheckText(R"(
ENTRY main {
  x = f32[200,300] parameter(0)
  row = f32[300] parameter(1)
  column = f32[200] parameter(2)
  other = f32[300,200] parameter(3)
  wide = f32[400,300] parameter(4)
  p = pred[] parameter(5)
  s = f32[] parameter(6)
  top = f32[] constant(1.5)
  rb = f32[200,300] broadcast(row), dimensions={1}
  cb = f32[200,300] broadcast(column), dimensions={0}
  sb = f32[200,300] broadcast(s), dimensions={}
  ot = f32[200,300] transpose(other), dimensions={1,0}
  ws = f32[200,300] slice(wide), slice={[0:400:2],[0:300]}
  xr = f32[200,300] reverse(x), dimensions={1}
  a = f32[200,300] add(x, rb)
  b = f32[200,300] multiply(a, cb)
  c = f32[200,300] subtract(b, ot)
  d = f32[200,300] add(c, ws)
  e = f32[200,300] maximum(d, xr)
  f = f32[200,300] add(cb, sb)
  g = f32[200,300] subtract(e, f)
  h = f32[200,300] select(p, g, x)
  ROOT r = f32[200,300] clamp(s, h, top)
})"));
}

TEST(ElementwiseTest, BroadcastOverMiddleDims) {
  GLIA_EXPECT_OK(CheckText(R"(
ENTRY main {
  x = f32[3,40,9,11] parameter(0)
  c = f32[40] parameter(1)
  d = f32[3,9] parameter(2)
  cb = f32[3,40,9,11] broadcast(c), dimensions={1}
  db = f32[3,40,9,11] broadcast(d), dimensions={0,2}
  a = f32[3,40,9,11] multiply(x, cb)
  ROOT b = f32[3,40,9,11] add(a, db)
})"));
}

// Graphs of random operations over f32, s32 and pred, whose results are all outputs or read again.
TEST(ElementwiseTest, RandomGraphs) {
  for (uint64_t seed = 1; seed <= 40; ++seed) {
    SCOPED_TRACE(absl::StrCat("seed ", seed));
    std::mt19937_64 random(seed);
    hlo::Builder b("random");
    const std::vector<int64_t> dims = kShapes[seed % (std::size(kShapes) - 1)];
    std::vector<Op> floats, ints, preds;
    std::vector<hlo::Literal> arguments;
    const auto parameter = [&](PrimitiveType type, std::vector<Op>* to) {
      const Shape shape(type, dims);
      to->push_back(Parameter(&b, static_cast<int64_t>(arguments.size()), shape));
      arguments.push_back(RandomLiteral(shape, seed * 31 + arguments.size()));
    };
    for (int i = 0; i < 3; ++i) {
      parameter(hlo::kF32, &floats);
      parameter(hlo::kS32, &ints);
    }
    parameter(hlo::kPred, &preds);
    const auto any = [&](const std::vector<Op>& list) { return list[random() % list.size()]; };
    for (int i = 0; i < 60; ++i) {
      switch (random() % 12) {
        case 0:
          floats.push_back(Add(any(floats), any(floats)));
          break;
        case 1:
          floats.push_back(Max(any(floats), any(floats)));
          break;
        case 2:
          floats.push_back(Tanh(any(floats)));
          break;
        case 3:
          floats.push_back(Mul(Tanh(any(floats)), any(floats)));
          break;
        case 4:
          floats.push_back(Select(any(preds), any(floats), any(floats)));
          break;
        case 5:
          ints.push_back(Mul(any(ints), any(ints)));
          break;
        case 6:
          ints.push_back(Select(any(preds), any(ints), any(ints)));
          break;
        case 7:
          ints.push_back(Xor(any(ints), any(ints)));
          break;
        case 8:
          preds.push_back(Lt(any(ints), any(ints)));
          break;
        case 9:
          preds.push_back(Not(any(preds)));
          break;
        case 10:
          floats.push_back(Tanh(Convert(any(ints), hlo::kF32)));
          break;
        default:
          ints.push_back(Add(any(ints), Filled(&b, Shape(hlo::kS32, dims), 7)));
          break;
      }
    }
    std::vector<Op> results = {floats.back(), ints.back(), preds.back(), any(floats), any(ints)};
    auto module = b.Build(results);
    ASSERT_TRUE(module.ok()) << module.status().message();
    GLIA_EXPECT_OK(CheckModule(**module, arguments, {1e-4, 1e-4}));
    CodegenOptions tiny;
    tiny.sbuf_partition_bytes = 24 * 1024;
    GLIA_EXPECT_OK(CheckModule(**module, arguments, {1e-4, 1e-4}, tiny));
  }
}

// Long rows of which two outer dims have more than there are partitions.
TEST(ElementwiseTest, ManyLongRowsRepeated) {
  GLIA_EXPECT_OK(CheckText(R"(
ENTRY main {
  x = f32[2,300,1200] parameter(0)
  y = f32[300,1200] parameter(1)
  b = f32[2,300,1200] broadcast(y), dimensions={1,2}
  ROOT m = f32[2,300,1200] multiply(x, b)
})"));
}

}  // namespace
}  // namespace glia::compiler
