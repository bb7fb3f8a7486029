// Tensors made from nothing: constants, ranges, identity matrices.
#include <cmath>

#include "frontend/lowering/registry.h"

namespace glia::lowering {
namespace {

using hlo::Literal;

void Zeros(Ctx& c) { c.Return(hlo::Filled(c.builder(), c.Out(), 0)); }
void Ones(Ctx& c) { c.Return(hlo::Filled(c.builder(), c.Out(), 1)); }

// The Scalar or 0-d tensor at argument kValue, everywhere.
template <size_t kValue>
void FullOf(Ctx& c) {
  c.Return(c.El(kValue, c.Out().type));
}

// start + i · step
void FillRange(Ctx& c, double start, double step, int64_t int_start, int64_t int_step) {
  const Shape shape = c.Out();
  const PrimitiveType type = c.compute();
  const bool whole = start == std::floor(start) && step == std::floor(step);
  if (hlo::IsFloating(type) && !whole) {
    // As eager: in double, rounded once. A literal, because the device has no doubles.
    Literal values = Literal::Zero(shape);
    for (int64_t i = 0; i < shape.dim(0); ++i)
      values.SetFromDouble(i, start + static_cast<double>(i) * step);
    return c.Return(hlo::Constant(c.builder(), std::move(values)));
  }
  Op range = IotaOf(c.builder(), type, shape.dims, 0);
  if (int_step != 1) range = Mul(range, IntScalar(c.builder(), type, int_step));
  if (int_start != 0) range = Add(range, IntScalar(c.builder(), type, int_start));
  c.Return(range);
}

// aten::arange(Scalar end, …), aten::arange.start(Scalar start, Scalar end, …)
void Arange(Ctx& c) { FillRange(c, 0, 1, 0, 1); }
void ArangeStart(Ctx& c) { FillRange(c, c.Double(0), 1, c.Int(0), 1); }
// aten::arange.start_step(Scalar start, Scalar end, Scalar step=1, …)
void ArangeStep(Ctx& c) { FillRange(c, c.Double(0), c.Double(2), c.Int(0), c.Int(2)); }

// start + i (end - start) / (steps - 1), counted from the nearer end; then `map` of it
template <typename Map>
void FillSteps(Ctx& c, const Map& map) {
  const Shape shape = c.Out();
  const double start = c.Double(0), end = c.Double(1);
  const int64_t steps = shape.dim(0);
  const double step = steps > 1 ? (end - start) / static_cast<double>(steps - 1) : 0;
  Literal values = Literal::Zero(shape);
  for (int64_t i = 0; i < steps; ++i) {
    const double value = 2 * i < steps ? start + step * static_cast<double>(i)
                                       : end - step * static_cast<double>(steps - 1 - i);
    values.SetFromDouble(i, map(value));
  }
  c.Return(hlo::Constant(c.builder(), std::move(values)));
}

// aten::linspace(Scalar start, Scalar end, int steps, …) -> Tensor
void Linspace(Ctx& c) {
  FillSteps(c, [](double x) { return x; });
}
// aten::logspace(Scalar start, Scalar end, int steps, float base=10., …) -> Tensor
void Logspace(Ctx& c) {
  const double base = c.Double(3, 10);
  FillSteps(c, [base](double x) { return std::pow(base, x); });
}

// aten::eye(int n, …), aten::eye.m(int n, int m, …)
void Eye(Ctx& c) {
  const Dims dims = c.Out().dims;
  c.Return(Eq(IotaOf(c.builder(), hlo::kS32, dims, 0), IotaOf(c.builder(), hlo::kS32, dims, 1)));
}

// aten::tril_indices(int row, int col, int offset=0, …): [2, n] coordinates, row by row
template <bool kUpper>
void TriangleIndices(Ctx& c) {
  const int64_t rows = c.Int(0), columns = c.Int(1), offset = c.Int(2, 0);
  Literal values = Literal::Zero(c.Out());
  const int64_t count = c.Out().dim(1);
  int64_t k = 0;
  for (int64_t i = 0; i < rows; ++i) {
    for (int64_t j = 0; j < columns && k < count; ++j) {
      if (kUpper ? j - i < offset : j - i > offset) continue;
      values.SetFromInt64(k, i);
      values.SetFromInt64(count + k, j);
      ++k;
    }
  }
  c.Return(hlo::Constant(c.builder(), std::move(values)));
}

}  // namespace

OpTable FactoryOps() {
  static constexpr OpLowering kOps[] = {
      {"aten::_efficientzerotensor", Zeros},
      {"aten::arange", Arange},
      {"aten::arange.start", ArangeStart},
      {"aten::arange.start_step", ArangeStep},
      {"aten::empty.memory_format", Zeros},
      {"aten::empty_like", Zeros},
      {"aten::eye", Eye},
      {"aten::eye.m", Eye},
      {"aten::fill.Scalar", FullOf<1>},
      {"aten::fill.Tensor", FullOf<1>},
      {"aten::full", FullOf<1>},
      {"aten::full_like", FullOf<1>},
      {"aten::linspace", Linspace},
      {"aten::logspace", Logspace},
      {"aten::new_empty", Zeros},
      {"aten::new_full", FullOf<2>},
      {"aten::new_ones", Ones},
      {"aten::new_zeros", Zeros},
      {"aten::ones", Ones},
      {"aten::ones_like", Ones},
      {"aten::scalar_tensor", FullOf<0>},
      {"aten::tril_indices", TriangleIndices<false>},
      {"aten::triu_indices", TriangleIndices<true>},
      {"aten::zero", Zeros},
      {"aten::zeros", Zeros},
      {"aten::zeros_like", Zeros},
  };
  return kOps;
}

}  // namespace glia::lowering
