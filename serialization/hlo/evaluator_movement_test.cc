#include <algorithm>
#include <numeric>

#include "gtest/gtest.h"
#include "serialization/hlo/evaluator_testing.h"

namespace glia::hlo {
namespace {

std::vector<double> Range(int64_t n) {
  std::vector<double> values(static_cast<size_t>(n));
  std::iota(values.begin(), values.end(), 0);
  return values;
}

TEST(EvaluatorTest, BroadcastReshapeTranspose) {
  Builder b("m");
  Op x = Const(&b, kS32, {2, 3}, Range(6));
  Op y = Transpose(BroadcastInDim(x, {2, 2, 3}, {0, 2}), {2, 0, 1});
  ExpectLiteral(Eval(&b, y), Lit(kS32, {3, 2, 2}, {0, 0, 3, 3, 1, 1, 4, 4, 2, 2, 5, 5}));
  Builder b1("m");
  ExpectLiteral(Eval(&b1, Reshape(Const(&b1, kS8, {2, 3}, Range(6)), {3, 2})),
                Lit(kS8, {3, 2}, Range(6)));
}

// Every permutation of a box with dims that are no multiple of a tile, in every element size.
TEST(EvaluatorTest, TransposesOfAllKinds) {
  const std::vector<int64_t> dims = {37, 3, 41, 2};
  for (PrimitiveType type : {kS8, kS16, kS32, kS64, kC128}) {
    std::vector<int64_t> permutation = {0, 1, 2, 3};
    Literal in = Literal::Zero(Shape(type, dims));
    for (int64_t i = 0; i < in.elements(); ++i) in.SetFromDouble(i, static_cast<double>(i % 127));
    do {
      Literal out = TransposeLiteral(in, permutation);
      const auto strides = RowMajorStrides(dims);
      int64_t position = 0;
      std::vector<int64_t> index(4, 0);
      for (index[0] = 0; index[0] < out.shape().dim(0); ++index[0])
        for (index[1] = 0; index[1] < out.shape().dim(1); ++index[1])
          for (index[2] = 0; index[2] < out.shape().dim(2); ++index[2])
            for (index[3] = 0; index[3] < out.shape().dim(3); ++index[3]) {
              int64_t from = 0;
              for (int d = 0; d < 4; ++d) from += index[d] * strides[permutation[d]];
              ASSERT_EQ(out.GetAsDouble(position++), static_cast<double>(from % 127));
            }
    } while (std::next_permutation(permutation.begin(), permutation.end()));
  }
}

TEST(EvaluatorTest, SliceReverseConcatenate) {
  Builder b("m");
  Op x = Const(&b, kF32, {2, 5}, Range(10));
  Op slice = Slice(x, {0, 1}, {2, 5}, {1, 2});
  Op parts[] = {slice, Rev(slice, {0, 1})};
  ExpectLiteral(Eval(&b, Concatenate(parts, 1)), Lit(kF32, {2, 4}, {1, 3, 8, 6, 6, 8, 3, 1}));
}

struct PadCase {
  PaddingDim padding;
  std::vector<double> out;
};

TEST(EvaluatorTest, Pad) {
  const PadCase cases[] = {
      {{1, 2, 0}, {9, 0, 1, 2, 9, 9}},
      {{0, 0, 1}, {0, 9, 1, 9, 2}},
      {{-1, 0, 0}, {1, 2}},
      {{-1, -1, 1}, {9, 1, 9}},
      {{-2, 1, 2}, {9, 1, 9, 9, 2, 9}},
      {{-3, 1, 0}, {9}},
      {{1, -4, 0}, {}},
      {{0, -2, 0}, {0}},
      {{2, -4, 1}, {9, 9, 0}},
  };
  for (const PadCase& c : cases) {
    SCOPED_TRACE(c.padding.low);
    Builder b("m");
    Op padded = Pad(Const(&b, kF32, {3}, Range(3)), ConstantR0<float>(&b, 9), {c.padding});
    ExpectLiteral(Eval(&b, padded), Lit(kF32, {static_cast<int64_t>(c.out.size())}, c.out));
  }
}

TEST(EvaluatorTest, DynamicSliceClamps) {
  for (auto [start, first] : {std::pair<int, int>{-5, 0}, {1, 1}, {9, 2}}) {
    Builder b("m");
    Op start_op = ConstantR0<int32_t>(&b, start);
    Op x = Const(&b, kS32, {4}, Range(4));
    Op slice = DynamicSlice(x, {start_op}, {2});
    ExpectLiteral(Eval(&b, slice), Lit(kS32, {2}, {first + 0.0, first + 1.0}));
  }
}

TEST(EvaluatorTest, DynamicUpdateSliceClampsAndLeavesTheOperand) {
  Builder b("m");
  Op x = Const(&b, kS32, {2, 2}, Range(4));
  Op updated = DynamicUpdateSlice(x, Const(&b, kS32, {1, 2}, {7, 8}),
                                  {ConstantR0<int64_t>(&b, 5), ConstantR0<int64_t>(&b, -3)});
  Op parts[] = {updated, x};
  ExpectLiteral(Eval(&b, Concatenate(parts, 0)), Lit(kS32, {4, 2}, {0, 1, 7, 8, 0, 1, 2, 3}));
}

// Rows of a table by index, as an embedding does; out of range is clamped.
TEST(EvaluatorTest, GatherRows) {
  Builder b("m");
  Op table = Const(&b, kF32, {3, 2}, Range(6));
  GatherDims dims;
  dims.offset_dims = {1};
  dims.collapsed_slice_dims = {0};
  dims.start_index_map = {0};
  dims.index_vector_dim = 1;
  Op rows = Gather(table, Const(&b, kS32, {4}, {2, 0, -1, 7}), dims, {1, 2});
  ExpectLiteral(Eval(&b, rows), Lit(kF32, {4, 2}, {4, 5, 0, 1, 0, 1, 4, 5}));
}

// Windows that start at (row, column) pairs in dim 0 of the indices, offset dims in front.
TEST(EvaluatorTest, GatherWindows) {
  Builder b("m");
  Op x = Const(&b, kS32, {3, 4}, Range(12));
  GatherDims dims;
  dims.offset_dims = {0, 2};
  dims.start_index_map = {1, 0};
  dims.index_vector_dim = 0;
  // Vectors (column, row): (2, 0) and (3, 2); the second is clamped to (2, 1).
  Op windows = Gather(x, Const(&b, kS32, {2, 2}, {2, 3, 0, 2}), dims, {2, 2});
  ExpectLiteral(Eval(&b, windows), Lit(kS32, {2, 2, 2}, {2, 3, 6, 7, 6, 7, 10, 11}));
}

TEST(EvaluatorTest, GatherWithBatchingDims) {
  Builder b("m");
  Op x = Const(&b, kS32, {2, 3}, Range(6));
  GatherDims dims;
  dims.start_index_map = {1};
  dims.operand_batching_dims = {0};
  dims.start_indices_batching_dims = {0};
  dims.index_vector_dim = 2;
  dims.collapsed_slice_dims = {1};
  Op picked = Gather(x, Const(&b, kS32, {2, 2}, {2, 0, 1, 1}), dims, {1, 1});
  ExpectLiteral(Eval(&b, picked), Lit(kS32, {2, 2}, {2, 0, 4, 4}));
}

ScatterDims RowScatter() {
  ScatterDims dims;
  dims.update_window_dims = {1};
  dims.inserted_window_dims = {0};
  dims.scatter_dims_to_operand_dims = {0};
  dims.index_vector_dim = 1;
  return dims;
}

TEST(EvaluatorTest, ScatterAddsRepeatedRowsAndSkipsThoseOutside) {
  Builder b("m");
  Op x[] = {Const(&b, kF32, {3, 2}, Range(6))};
  Op updates[] = {Const(&b, kF32, {4, 2}, {10, 10, 20, 20, 30, 30, 40, 40})};
  Op result = Scatter(x, Const(&b, kS32, {4}, {1, 3, 1, -1}), updates,
                      b.ScalarComputation(Opcode::kAdd, kF32), RowScatter());
  ExpectLiteral(Eval(&b, result), Lit(kF32, {3, 2}, {0, 1, 42, 43, 4, 5}));
}

// A window that sticks out is skipped as a whole.
TEST(EvaluatorTest, ScatterSkipsPartialWindows) {
  Builder b("m");
  ScatterDims dims;
  dims.update_window_dims = {1};
  dims.scatter_dims_to_operand_dims = {0};
  dims.index_vector_dim = 1;
  Op x[] = {Const(&b, kS32, {4}, {0, 0, 0, 0})};
  Op updates[] = {Const(&b, kS32, {2, 2}, {1, 2, 3, 4})};
  Op result = Scatter(x, Const(&b, kS32, {2, 1}, {3, 1}), updates,
                      b.ScalarComputation(Opcode::kAdd, kS32), dims);
  ExpectLiteral(Eval(&b, result), Lit(kS32, {4}, {0, 3, 4, 0}));
}

TEST(EvaluatorTest, ScatterOfSeveralOperands) {
  Builder b("m");
  auto sub = b.CreateSubBuilder("swap");
  std::vector<Op> p;
  for (int i = 0; i < 4; ++i)
    p.push_back(Parameter(sub.get(), i, Shape(i % 2 == 0 ? kF32 : kS32, {})));
  auto swap = sub->BuildComputation(Tuple(sub.get(), {Max(p[0], p[2]), p[3]}));
  ASSERT_TRUE(swap.ok()) << swap.status();
  Op x[] = {Const(&b, kF32, {2, 1}, {5, 1}), Const(&b, kS32, {2, 1}, {0, 0})};
  Op updates[] = {Const(&b, kF32, {2, 1}, {3, 4}), Const(&b, kS32, {2, 1}, {7, 8})};
  Op result = Scatter(x, Const(&b, kS32, {2}, {0, 1}), updates, *swap, RowScatter());
  ExpectLiteral(Eval(&b, result),
                Literal::Tuple({Lit(kF32, {2, 1}, {5, 4}), Lit(kS32, {2, 1}, {7, 8})}));
}

}  // namespace
}  // namespace glia::hlo
