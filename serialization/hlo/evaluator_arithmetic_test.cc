#include <cmath>

#include "gtest/gtest.h"
#include "serialization/hlo/evaluator_testing.h"

namespace glia::hlo {
namespace {

TEST(EvaluatorTest, DotOfMatrices) {
  Builder b("m");
  Op result =
      Dot(Const(&b, kF32, {2, 3}, {1, 2, 3, 4, 5, 6}), Const(&b, kF32, {3, 2}, {1, 2, 3, 4, 5, 6}));
  ExpectLiteral(Eval(&b, result), Lit(kF32, {2, 2}, {22, 28, 49, 64}));
}

TEST(EvaluatorTest, DotGeneralWithBatchInTheMiddle) {
  Builder b("m");
  DotDims dims;
  dims.lhs_batch = {1};
  dims.rhs_batch = {0};
  dims.lhs_contracting = {0};
  dims.rhs_contracting = {2};
  Op lhs = Const(&b, kS32, {2, 2}, {1, 2, 3, 4});           // [k, batch]
  Op rhs = Const(&b, kS32, {2, 1, 2}, {10, 100, 20, 200});  // [batch, n, k]
  ExpectLiteral(Eval(&b, DotGeneral(lhs, rhs, dims)), Lit(kS32, {2, 1}, {310, 840}));
}

TEST(EvaluatorTest, DotWithoutContractionIsAnOuterProductAndWithEmptyOneIsZero) {
  Builder b("m");
  ExpectLiteral(
      Eval(&b, DotGeneral(Const(&b, kF32, {2}, {1, 2}), Const(&b, kF32, {2}, {3, 4}), {})),
      Lit(kF32, {2, 2}, {3, 4, 6, 8}));
  Builder b1("m");
  Op empty = Dot(Constant(&b1, Literal::Zero(Shape(kF32, {2, 0}))),
                 Constant(&b1, Literal::Zero(Shape(kF32, {0, 2}))));
  ExpectLiteral(Eval(&b1, empty), Lit(kF32, {2, 2}, {0, 0, 0, 0}));
}

TEST(EvaluatorTest, BF16DotRoundsOnce) {
  Builder b("m");
  // 256 + 1 + 1 is 258 in one rounding; each step alone would stay at 256.
  Op result = Dot(Const(&b, kBF16, {3}, {256, 1, 1}), Const(&b, kBF16, {3}, {1, 1, 1}));
  ExpectLiteral(Eval(&b, result), Lit(kBF16, {}, {258}));
}

TEST(EvaluatorTest, DotToAWiderType) {
  Builder b("m");
  DotDims dims;
  dims.lhs_contracting = dims.rhs_contracting = {0};
  Op result =
      DotGeneral(Const(&b, kS8, {2}, {100, 100}), Const(&b, kS8, {2}, {100, 100}), dims, kS32);
  ExpectLiteral(Eval(&b, result), Lit(kS32, {}, {20000}));
}

Window Window1(WindowDim dim) { return {dim}; }

struct ConvCase {
  const char* name;
  WindowDim window;
  std::vector<double> out;
};

// Input 1 2 3 4, kernel 1 10.
TEST(EvaluatorTest, Conv1d) {
  WindowDim plain, padded, strided, dilated, base, reversed, cropped;
  plain.size = padded.size = strided.size = dilated.size = base.size = reversed.size =
      cropped.size = 2;
  padded.pad_low = padded.pad_high = 1;
  strided.stride = 2;
  dilated.window_dilation = 2;
  base.base_dilation = 2;
  reversed.reversal = true;
  cropped.pad_low = -1;
  const ConvCase cases[] = {
      {"plain", plain, {21, 32, 43}},        {"padded", padded, {10, 21, 32, 43, 4}},
      {"strided", strided, {21, 43}},        {"dilated", dilated, {31, 42}},
      {"base", base, {1, 20, 2, 30, 3, 40}}, {"reversed", reversed, {12, 23, 34}},
      {"cropped", cropped, {32, 43}},
  };
  for (const ConvCase& c : cases) {
    SCOPED_TRACE(c.name);
    Builder b("m");
    Op y = Conv(Const(&b, kF32, {1, 1, 4}, {1, 2, 3, 4}), Const(&b, kF32, {1, 1, 2}, {1, 10}),
                Window1(c.window), DefaultConvDims(1));
    ExpectLiteral(Eval(&b, y), Lit(kF32, {1, 1, static_cast<int64_t>(c.out.size())}, c.out));
  }
}

// NHWC with HWIO kernels, against the sum written out.
TEST(EvaluatorTest, Conv2dInAnotherLayout) {
  const int64_t n = 2, h = 5, w = 4, c = 3, o = 2, k = 3;
  std::vector<double> x, f;
  for (int i = 0; i < n * h * w * c; ++i) x.push_back((i * 7) % 11 - 5);
  for (int i = 0; i < k * k * c * o; ++i) f.push_back((i * 5) % 7 - 3);
  std::vector<double> expected;
  for (int64_t b = 0; b < n; ++b)
    for (int64_t i = 0; i < 3; ++i)
      for (int64_t j = 0; j < 4; ++j)
        for (int64_t q = 0; q < o; ++q) {
          double sum = 0;
          for (int64_t p = 0; p < c; ++p)
            for (int64_t s = 0; s < k; ++s)
              for (int64_t t = 0; t < k; ++t) {
                const int64_t r = 2 * i + s - 1;
                const int64_t d = j + t - 1;
                if (r < 0 || r >= h || d < 0 || d >= w) continue;
                sum += x[((b * h + r) * w + d) * c + p] * f[((s * k + t) * c + p) * o + q];
              }
          expected.push_back(sum);
        }
  Builder b("m");
  ConvDims dims;
  dims.input_batch = 0, dims.input_feature = 3, dims.input_spatial = {1, 2};
  dims.kernel_spatial = {0, 1}, dims.kernel_input_feature = 2, dims.kernel_output_feature = 3;
  dims.output_batch = 0, dims.output_feature = 3, dims.output_spatial = {1, 2};
  WindowDim rows, columns;
  rows.size = columns.size = 3;
  rows.stride = 2;
  rows.pad_low = rows.pad_high = columns.pad_low = columns.pad_high = 1;
  Op y = Conv(Const(&b, kF32, {n, h, w, c}, x), Const(&b, kF32, {k, k, c, o}, f), {rows, columns},
              dims);
  ExpectLiteral(Eval(&b, y), Lit(kF32, {n, 3, 4, o}, expected));
}

TEST(EvaluatorTest, ConvGroups) {
  WindowDim w;
  Builder b("m");  // 4 features in 2 groups, one output each
  Op grouped = Conv(Const(&b, kF32, {1, 4, 1}, {1, 2, 3, 4}),
                    Const(&b, kF32, {2, 2, 1}, {1, 10, 100, 1000}), {w}, DefaultConvDims(1), 2);
  ExpectLiteral(Eval(&b, grouped), Lit(kF32, {1, 2, 1}, {21, 4300}));
  Builder b1("m");  // a batch of 2 in 2 batch groups: output feature g reads batch g
  Op batch_grouped = Conv(Const(&b1, kF32, {2, 1, 1}, {3, 5}),
                          Const(&b1, kF32, {2, 1, 1}, {10, 100}), {w}, DefaultConvDims(1), 1, 2);
  ExpectLiteral(Eval(&b1, batch_grouped), Lit(kF32, {1, 2, 1}, {30, 500}));
}

TEST(EvaluatorTest, Reduce) {
  Builder b("m");
  Op x = Const(&b, kF32, {2, 3}, {1, 2, 3, 4, 5, 6});
  Op sum = Reduce(x, ConstantR0<float>(&b, 10), b.ScalarComputation(Opcode::kAdd, kF32), {1});
  Op max =
      Reduce(x, ConstantR0<float>(&b, -INFINITY), b.ScalarComputation(Opcode::kMaximum, kF32), {0});
  Op all =
      Reduce(x, ConstantR0<float>(&b, 1), b.ScalarComputation(Opcode::kMultiply, kF32), {0, 1});
  ExpectLiteral(
      Eval(&b, Tuple(&b, {sum, max, all})),
      Literal::Tuple({Lit(kF32, {2}, {16, 25}), Lit(kF32, {3}, {4, 5, 6}), Lit(kF32, {}, {720})}));
}

TEST(EvaluatorTest, LongSumsAreExactlyRounded) {
  Builder b("m");
  Op x = Filled(&b, Shape(kF32, {300000}), 0.1f);
  Op sum = Reduce(x, ConstantR0<float>(&b, 0), b.ScalarComputation(Opcode::kAdd, kF32), {0});
  ExpectLiteral(Eval(&b, sum),
                Lit(kF32, {}, {static_cast<float>(300000 * static_cast<double>(0.1f))}), 1e-7);
}

TEST(EvaluatorTest, ReduceOfNothingIsTheInitialValue) {
  Builder b("m");
  Op x = Constant(&b, Literal::Zero(Shape(kS32, {2, 0})));
  Op sum = Reduce(x, ConstantR0<int32_t>(&b, 7), b.ScalarComputation(Opcode::kAdd, kS32), {1});
  ExpectLiteral(Eval(&b, sum), Lit(kS32, {2}, {7, 7}));
}

// The first largest element and its index.
Computation* ArgMax(Builder* b) {
  auto sub = b->CreateSubBuilder("argmax");
  Op v0 = Parameter(sub.get(), 0, Shape(kF32, {}));
  Op i0 = Parameter(sub.get(), 1, Shape(kS32, {}));
  Op v1 = Parameter(sub.get(), 2, Shape(kF32, {}));
  Op i1 = Parameter(sub.get(), 3, Shape(kS32, {}));
  Op keep = Ge(v0, v1);
  auto computation =
      sub->BuildComputation(Tuple(sub.get(), {Select(keep, v0, v1), Select(keep, i0, i1)}));
  EXPECT_TRUE(computation.ok()) << computation.status();
  return *computation;
}

TEST(EvaluatorTest, VariadicReduce) {
  Builder b("m");
  Op inputs[] = {Const(&b, kF32, {2, 3}, {1, 7, 7, -1, -2, -3}), Iota(&b, Shape(kS32, {2, 3}), 1)};
  Op inits[] = {ConstantR0<float>(&b, -INFINITY), ConstantR0<int32_t>(&b, -1)};
  ExpectLiteral(Eval(&b, ReduceVariadic(inputs, inits, ArgMax(&b), {1})),
                Literal::Tuple({Lit(kF32, {2}, {7, -1}), Lit(kS32, {2}, {1, 0})}));
}

TEST(EvaluatorTest, ReduceWindowSkipsPadding) {
  Builder b("m");
  WindowDim w;
  w.size = 3;
  w.stride = 2;
  w.pad_low = w.pad_high = 1;
  Op x = Const(&b, kF32, {5}, {1, 2, 3, 4, 5});
  Op sum = ReduceWindow(x, ConstantR0<float>(&b, 0), b.ScalarComputation(Opcode::kAdd, kF32), {w});
  ExpectLiteral(Eval(&b, sum), Lit(kF32, {3}, {3, 9, 9}));
}

TEST(EvaluatorTest, ReduceWindowDilated) {
  Builder b("m");
  WindowDim w;
  w.size = 2;
  w.window_dilation = 2;
  w.base_dilation = 2;  // 1 _ 2 _ 3
  Op x = Const(&b, kS32, {3}, {1, 2, 3});
  Op sum =
      ReduceWindow(x, ConstantR0<int32_t>(&b, 0), b.ScalarComputation(Opcode::kAdd, kS32), {w});
  ExpectLiteral(Eval(&b, sum), Lit(kS32, {3}, {3, 0, 5}));
}

TEST(EvaluatorTest, VariadicReduceWindow) {
  Builder b("m");
  WindowDim w;
  w.size = w.stride = 2;
  Op inputs[] = {Const(&b, kF32, {4}, {1, 3, 8, 8}), Iota(&b, Shape(kS32, {4}), 0)};
  Op inits[] = {ConstantR0<float>(&b, -INFINITY), ConstantR0<int32_t>(&b, -1)};
  ExpectLiteral(Eval(&b, ReduceWindowVariadic(inputs, inits, ArgMax(&b), {w})),
                Literal::Tuple({Lit(kF32, {2}, {3, 8}), Lit(kS32, {2}, {1, 2})}));
}

TEST(EvaluatorTest, SelectAndScatter) {
  Builder b("m");
  WindowDim w;
  w.size = 3;
  w.stride = 2;
  auto sub = b.CreateSubBuilder("ge");
  auto ge = sub->BuildComputation(
      Ge(Parameter(sub.get(), 0, Shape(kF32, {})), Parameter(sub.get(), 1, Shape(kF32, {}))));
  ASSERT_TRUE(ge.ok());
  Op result =
      SelectAndScatter(Const(&b, kF32, {5}, {1, 2, 9, 2, 1}), Const(&b, kF32, {2}, {10, 20}),
                       ConstantR0<float>(&b, 1), *ge, b.ScalarComputation(Opcode::kAdd, kF32), {w});
  ExpectLiteral(Eval(&b, result), Lit(kF32, {5}, {1, 1, 31, 1, 1}));
}

TEST(EvaluatorTest, SortIsStableAndCarriesPayload) {
  Builder b("m");
  auto sub = b.CreateSubBuilder("greater");
  Op a = Parameter(sub.get(), 0, Shape(kF32, {}));
  Op c = Parameter(sub.get(), 1, Shape(kF32, {}));
  Parameter(sub.get(), 2, Shape(kS32, {}));
  Parameter(sub.get(), 3, Shape(kS32, {}));
  auto greater = sub->BuildComputation(Gt(a, c));
  ASSERT_TRUE(greater.ok());
  Op inputs[] = {Const(&b, kF32, {4, 1}, {1, 3, 1, 3}), Iota(&b, Shape(kS32, {4, 1}), 0)};
  ExpectLiteral(Eval(&b, Sort(inputs, *greater, 0, true)),
                Literal::Tuple({Lit(kF32, {4, 1}, {3, 3, 1, 1}), Lit(kS32, {4, 1}, {1, 3, 0, 2})}));
}

TEST(EvaluatorTest, TopK) {
  Builder b("m");
  Op x = Const(&b, kF32, {2, 4}, {1, 5, 5, 2, -1, NAN, 0, 3});
  ExpectLiteral(Eval(&b, TopK(x, 2)), Literal::Tuple({Lit(kF32, {2, 2}, {5, 5, NAN, 3}),
                                                      Lit(kS32, {2, 2}, {1, 2, 1, 3})}));
  Builder b1("m");
  ExpectLiteral(Eval(&b1, TopK(Const(&b1, kS32, {3}, {3, 1, 2}), 2, /*largest=*/false)),
                Literal::Tuple({Lit(kS32, {2}, {1, 2}), Lit(kS32, {2}, {1, 2})}));
}

// Known answers of Random123 for Philox4x32-10 with all-zero counter and key, and with all ones.
TEST(EvaluatorTest, PhiloxKnownAnswers) {
  Builder b("m");
  Op state = Constant(&b, Literal::Zero(Shape(kU64, {2})));
  Literal result = Eval(&b, RngBitGenerator(RandomAlgorithm::kPhilox, state, Shape(kU32, {5})));
  const auto bits = result.tuple()[1].data<uint32_t>();
  EXPECT_EQ(bits[0], 0x6627e8d5u);
  EXPECT_EQ(bits[1], 0xe169c58du);
  EXPECT_EQ(bits[2], 0xbc57ac4cu);
  EXPECT_EQ(bits[3], 0x9b00dbd8u);
  EXPECT_EQ(result.tuple()[0].data<uint64_t>()[1], 2u);
  Builder b1("m");
  Op ones = Constant(&b1, Literal::FromVector<uint64_t>({3}, {~0ull, ~0ull, ~0ull}));
  Literal all = Eval(&b1, RngBitGenerator(RandomAlgorithm::kDefault, ones, Shape(kU64, {2})));
  EXPECT_EQ(static_cast<uint32_t>(all.tuple()[1].data<uint64_t>()[0]), 0x408f276du);
  EXPECT_EQ(all.tuple()[0].data<uint64_t>()[1], 0u);
  EXPECT_EQ(all.tuple()[0].data<uint64_t>()[2], 0u);
}

}  // namespace
}  // namespace glia::hlo
