// dot and convolution: both are brought to one canonical order of dims by transposing literals, and
// then run as sums of scaled rows, so that the inner loop is over contiguous elements.
#include <algorithm>
#include <complex>

#include "serialization/hlo/evaluator.h"
#include "serialization/hlo/evaluator_internal.h"
#include "serialization/hlo/evaluator_lanes.h"

namespace glia::hlo::evaluator {
namespace {

using Index = std::vector<int64_t>;

int64_t Product(const Index& dims, const Index& of) {
  int64_t product = 1;
  for (int64_t dim : of) product *= dims[static_cast<size_t>(dim)];
  return product;
}

Index Concat(std::initializer_list<Index> parts) {
  Index all;
  for (const Index& part : parts) all.insert(all.end(), part.begin(), part.end());
  return all;
}

// The dims of 0 … rank-1 that are in neither list.
Index Remaining(int64_t rank, const Index& a, const Index& b) {
  Index rest;
  for (int64_t d = 0; d < rank; ++d) {
    if (std::find(a.begin(), a.end(), d) == a.end() &&
        std::find(b.begin(), b.end(), d) == b.end()) {
      rest.push_back(d);
    }
  }
  return rest;
}

template <typename T>
std::vector<T> Values(const Literal& literal) {
  std::vector<T> values(static_cast<size_t>(literal.elements()));
  Lanes lanes;
  for (int64_t start = 0; start < literal.elements(); start += kLanes) {
    const int n = static_cast<int>(std::min<int64_t>(kLanes, literal.elements() - start));
    Load(literal.raw(), literal.shape().type, start, 1, n, &lanes);
    // Signed and unsigned integers share their bits: int64_t serves both.
    std::copy(lanes.as<T>(), lanes.as<T>() + n, values.begin() + start);
  }
  return values;
}

template <typename T>
Literal FromValues(const Shape& shape, const std::vector<T>& values) {
  Literal result = Literal::Zero(shape);
  void* data = result.MutableRaw();
  Lanes lanes;
  lanes.type = shape.type;
  for (int64_t start = 0; start < result.elements(); start += kLanes) {
    const int n = static_cast<int>(std::min<int64_t>(kLanes, result.elements() - start));
    std::copy(values.begin() + start, values.begin() + start + n, lanes.as<T>());
    Store(lanes, n, data, start);
  }
  return result;
}

template <typename T>
void AddScaled(T scale, const T* row, int64_t n, T* sum) {
  for (int64_t i = 0; i < n; ++i) sum[i] += scale * row[i];
}

// Signed overflow wraps.
template <>
void AddScaled(int64_t scale, const int64_t* row, int64_t n, int64_t* sum) {
  for (int64_t i = 0; i < n; ++i) {
    sum[i] = static_cast<int64_t>(static_cast<uint64_t>(sum[i]) +
                                  static_cast<uint64_t>(scale) * static_cast<uint64_t>(row[i]));
  }
}

// Calls f with a value of the compute type in which products of `type` are summed.
template <typename F>
Literal WithSumType(PrimitiveType type, F f) {
  if (IsFloating(type)) return f(double());
  if (IsComplex(type)) return f(std::complex<double>());
  return f(int64_t());
}

// The result of a type wider than the operands' is computed from operands converted to it.
Literal Widened(const Literal& operand, PrimitiveType result) {
  return LaneKindOf(operand.shape().type) == LaneKindOf(result) ? operand
                                                                : ConvertLiteral(operand, result);
}

struct ConvGeometry {
  Index input_spatial, kernel_spatial, output_spatial;
  const Window* window;

  // For each output position, the input position that kernel position `k` (row-major) meets, or -1.
  Index InputPositions(int64_t k) const {
    const size_t rank = output_spatial.size();
    Index positions(1, 0);
    Index kernel(rank);
    for (size_t d = rank; d-- > 0;) {
      kernel[d] = k % kernel_spatial[d];
      k /= kernel_spatial[d];
    }
    for (size_t d = 0; d < rank; ++d) {
      const WindowDim& w = (*window)[d];
      const int64_t tap = w.reversal ? kernel_spatial[d] - 1 - kernel[d] : kernel[d];
      Index next;
      next.reserve(positions.size() * static_cast<size_t>(output_spatial[d]));
      for (int64_t outer : positions) {
        for (int64_t o = 0; o < output_spatial[d]; ++o) {
          const int64_t base = o * w.stride + tap * w.window_dilation - w.pad_low;
          const bool inside = outer >= 0 && base >= 0 && base % w.base_dilation == 0 &&
                              base / w.base_dilation < input_spatial[d];
          next.push_back(inside ? outer * input_spatial[d] + base / w.base_dilation : -1);
        }
      }
      positions = std::move(next);
    }
    return positions;
  }
};

}  // namespace

absl::StatusOr<Literal> Dot(const Instruction& instr, Operands operands) {
  const DotDims& dims = instr.dot_dims;
  const Index& lhs_dims = operands[0].shape().dims;
  const Index& rhs_dims = operands[1].shape().dims;
  const Index lhs_free =
      Remaining(operands[0].shape().rank(), dims.lhs_batch, dims.lhs_contracting);
  const Index rhs_free =
      Remaining(operands[1].shape().rank(), dims.rhs_batch, dims.rhs_contracting);
  const Literal lhs = TransposeLiteral(Widened(operands[0], instr.shape.type),
                                       Concat({dims.lhs_batch, lhs_free, dims.lhs_contracting}));
  const Literal rhs = TransposeLiteral(Widened(operands[1], instr.shape.type),
                                       Concat({dims.rhs_batch, dims.rhs_contracting, rhs_free}));
  const int64_t batches = Product(lhs_dims, dims.lhs_batch);
  const int64_t rows = Product(lhs_dims, lhs_free);
  const int64_t depth = Product(lhs_dims, dims.lhs_contracting);
  const int64_t columns = Product(rhs_dims, rhs_free);
  const Shape shape(instr.shape.type, instr.shape.dims);
  return WithSumType(shape.type, [&](auto zero) {
    using T = decltype(zero);
    const std::vector<T> a = Values<T>(lhs);
    const std::vector<T> b = Values<T>(rhs);
    std::vector<T> c(static_cast<size_t>(batches * rows * columns), T(0));
    for (int64_t batch = 0; batch < batches; ++batch) {
      for (int64_t row = 0; row < rows; ++row) {
        T* sum = c.data() + (batch * rows + row) * columns;
        const T* scales = a.data() + (batch * rows + row) * depth;
        const T* block = b.data() + batch * depth * columns;
        for (int64_t k = 0; k < depth; ++k) AddScaled(scales[k], block + k * columns, columns, sum);
      }
    }
    return FromValues(shape, c);
  });
}

absl::StatusOr<Literal> Convolution(const Instruction& instr, Operands operands) {
  const ConvDims& dims = instr.conv_dims;
  // [batch, feature, spatial…], [output feature, input feature, spatial…].
  const Literal input =
      TransposeLiteral(Widened(operands[0], instr.shape.type),
                       Concat({{dims.input_batch, dims.input_feature}, dims.input_spatial}));
  const Literal kernel = TransposeLiteral(
      Widened(operands[1], instr.shape.type),
      Concat({{dims.kernel_output_feature, dims.kernel_input_feature}, dims.kernel_spatial}));
  const Index output_order =
      Concat({{dims.output_batch, dims.output_feature}, dims.output_spatial});
  Index canonical_dims, back(output_order.size());
  for (size_t i = 0; i < output_order.size(); ++i) {
    canonical_dims.push_back(instr.shape.dims[static_cast<size_t>(output_order[i])]);
    back[static_cast<size_t>(output_order[i])] = static_cast<int64_t>(i);
  }
  const Index& in_dims = input.shape().dims;
  const Index& kernel_dims = kernel.shape().dims;
  ConvGeometry geometry;
  geometry.input_spatial.assign(in_dims.begin() + 2, in_dims.end());
  geometry.kernel_spatial.assign(kernel_dims.begin() + 2, kernel_dims.end());
  geometry.output_spatial.assign(canonical_dims.begin() + 2, canonical_dims.end());
  geometry.window = &instr.window;

  const int64_t batches = canonical_dims[0];
  const int64_t outputs = kernel_dims[0];
  const int64_t depth = kernel_dims[1];
  auto volume = [](const Index& sizes) {
    int64_t product = 1;
    for (int64_t size : sizes) product *= size;
    return product;
  };
  const int64_t taps = volume(geometry.kernel_spatial);
  const int64_t positions = volume(geometry.output_spatial);
  const int64_t in_positions = volume(geometry.input_spatial);
  // Output feature o belongs to feature group o / (outputs / groups), and reads the batches of its
  // batch group o / (outputs / batch groups).
  const int64_t feature_groups = instr.feature_group_count;
  const int64_t batch_groups = instr.batch_group_count;
  const int64_t groups = feature_groups * batch_groups;  // one of them is 1
  const int64_t group_outputs = outputs / groups;

  std::vector<Index> inputs_of_tap;
  for (int64_t k = 0; k < taps; ++k) inputs_of_tap.push_back(geometry.InputPositions(k));

  const Shape shape(instr.shape.type, canonical_dims);
  const Literal result = WithSumType(shape.type, [&](auto zero) {
    using T = decltype(zero);
    const std::vector<T> x = Values<T>(input);
    const std::vector<T> w = Values<T>(kernel);
    std::vector<T> y(static_cast<size_t>(shape.elements()), T(0));
    std::vector<T> patch(static_cast<size_t>(positions));
    for (int64_t n = 0; n < batches; ++n) {
      for (int64_t g = 0; g < groups; ++g) {
        const int64_t in_batch = batch_groups > 1 ? g * batches + n : n;
        const int64_t first_feature = feature_groups > 1 ? g * depth : 0;
        for (int64_t i = 0; i < depth; ++i) {
          const T* plane = x.data() + (in_batch * in_dims[1] + first_feature + i) * in_positions;
          for (int64_t k = 0; k < taps; ++k) {
            const Index& from = inputs_of_tap[static_cast<size_t>(k)];
            for (size_t p = 0; p < patch.size(); ++p)
              patch[p] = from[p] < 0 ? T(0) : plane[from[p]];
            for (int64_t o = g * group_outputs; o < (g + 1) * group_outputs; ++o) {
              AddScaled(w[static_cast<size_t>((o * depth + i) * taps + k)], patch.data(), positions,
                        y.data() + (n * outputs + o) * positions);
            }
          }
        }
      }
    }
    return FromValues(shape, y);
  });
  return TransposeLiteral(result, back);
}

}  // namespace glia::hlo::evaluator
