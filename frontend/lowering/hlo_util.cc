#include "frontend/lowering/hlo_util.h"

#include <algorithm>
#include <limits>
#include <numeric>

namespace glia::lowering {
namespace {

using hlo::Literal;
using hlo::Opcode;

// The opcodes of a reduction and the value it starts from.
Op ReduceWith(Opcode opcode, Op x, Op init, absl::Span<const int64_t> dims, bool keepdim) {
  if (!x.valid()) return x;
  const Dims original = x.shape().dims;
  const PrimitiveType type = x.shape().type;
  Op reduced = x;
  if (!dims.empty()) {
    reduced = hlo::Reduce(x, init, x.builder->ScalarComputation(opcode, type), dims);
  }
  return keepdim ? KeepDims(reduced, original, dims) : reduced;
}

// c[0] x^(n-1) + … + c[n-1] by Horner's rule.
Op Polynomial(Op x, absl::Span<const double> coefficients) {
  Op sum = FullLike(x, coefficients[0]);
  for (size_t i = 1; i < coefficients.size(); ++i) {
    sum = Add(Mul(sum, x), ScalarLike(x, coefficients[i]));
  }
  return sum;
}

}  // namespace

Op ScalarLike(Op x, double value) {
  if (!x.valid()) return x;
  return hlo::ConstantScalar(x.builder, x.shape().type, value);
}

Op IntScalar(hlo::Builder* builder, PrimitiveType type, int64_t value) {
  Literal literal = Literal::Zero(Shape(type, {}));
  literal.SetFromInt64(0, value);
  return hlo::Constant(builder, std::move(literal));
}

Op FullLike(Op x, double value) {
  if (!x.valid()) return x;
  return hlo::BroadcastScalar(ScalarLike(x, value), x.shape().dims);
}

namespace {

Op ExtremeValue(hlo::Builder* builder, PrimitiveType type, bool highest) {
  if (hlo::IsFloating(type)) {
    const double inf = std::numeric_limits<double>::infinity();
    return hlo::ConstantScalar(builder, type, highest ? inf : -inf);
  }
  if (type == hlo::kPred) return hlo::ConstantScalar(builder, type, highest ? 1 : 0);
  const int64_t bits = 8 * hlo::ByteSize(type);
  int64_t value = 0;
  if (hlo::IsUnsignedInt(type)) {
    value = highest ? static_cast<int64_t>(~uint64_t{0} >> (64 - bits)) : 0;
  } else {
    const int64_t max = static_cast<int64_t>(~uint64_t{0} >> (65 - bits));
    value = highest ? max : -max - 1;
  }
  return IntScalar(builder, type, value);
}

}  // namespace

Op LowestValue(hlo::Builder* builder, PrimitiveType type) {
  return ExtremeValue(builder, type, false);
}
Op HighestValue(hlo::Builder* builder, PrimitiveType type) {
  return ExtremeValue(builder, type, true);
}

Op NanLike(Op x) { return ScalarLike(x, std::numeric_limits<double>::quiet_NaN()); }
Op InfLike(Op x, bool negative) {
  const double inf = std::numeric_limits<double>::infinity();
  return ScalarLike(x, negative ? -inf : inf);
}

Op IotaOf(hlo::Builder* builder, PrimitiveType type, Dims dims, int64_t dim) {
  return hlo::Iota(builder, Shape(type, std::move(dims)), dim);
}

Op BroadcastTo(Op x, absl::Span<const int64_t> dims) {
  if (!x.valid()) return x;
  const Dims& own = x.shape().dims;
  if (absl::Span<const int64_t>(own) == dims) return x;
  if (own.empty()) return hlo::BroadcastScalar(x, dims);
  Dims map(own.size());
  const int64_t shift = static_cast<int64_t>(dims.size()) - static_cast<int64_t>(own.size());
  std::iota(map.begin(), map.end(), shift);
  return hlo::BroadcastInDim(x, dims, map);
}

Dims BroadcastDims(absl::Span<const Dims> shapes) {
  size_t rank = 0;
  for (const Dims& shape : shapes) rank = std::max(rank, shape.size());
  Dims result(rank, 1);
  for (const Dims& shape : shapes) {
    const size_t shift = rank - shape.size();
    for (size_t i = 0; i < shape.size(); ++i) {
      if (shape[i] != 1) result[shift + i] = shape[i];
    }
  }
  return result;
}

Op Unsqueeze(Op x, int64_t dim) {
  if (!x.valid()) return x;
  Dims dims = x.shape().dims;
  dims.insert(dims.begin() + dim, 1);
  return hlo::Reshape(x, dims);
}

Op Squeeze(Op x, int64_t dim) {
  if (!x.valid()) return x;
  Dims dims = x.shape().dims;
  dims.erase(dims.begin() + dim);
  return hlo::Reshape(x, dims);
}

Op MoveDim(Op x, int64_t from, int64_t to) {
  if (!x.valid()) return x;
  Dims permutation(x.shape().dims.size());
  std::iota(permutation.begin(), permutation.end(), 0);
  permutation.erase(permutation.begin() + from);
  permutation.insert(permutation.begin() + to, from);
  return hlo::Transpose(x, permutation);
}

Op SwapDims(Op x, int64_t a, int64_t b) {
  if (!x.valid()) return x;
  Dims permutation(x.shape().dims.size());
  std::iota(permutation.begin(), permutation.end(), 0);
  std::swap(permutation[a], permutation[b]);
  return hlo::Transpose(x, permutation);
}

Op AlongDim(Op vector, absl::Span<const int64_t> dims, int64_t dim) {
  return hlo::BroadcastInDim(vector, dims, {dim});
}

Op PadDim(Op x, Op value, int64_t dim, int64_t low, int64_t high, int64_t interior) {
  if (!x.valid()) return x;
  if (interior == 0 && (low < 0 || high < 0)) {  // a slice says it more plainly
    const int64_t start = std::max<int64_t>(0, -low);
    const int64_t limit = x.shape().dim(dim) - std::max<int64_t>(0, -high);
    x = SliceInDim(x, start, std::max(start, limit), 1, dim);
    low = std::max<int64_t>(0, low);
    high = std::max<int64_t>(0, high);
    if (!x.valid() || (low == 0 && high == 0)) return x;
  }
  std::vector<hlo::PaddingDim> padding(x.shape().dims.size());
  padding[dim] = {low, high, interior};
  return hlo::Pad(x, value, std::move(padding));
}

Op ReduceSum(Op x, absl::Span<const int64_t> dims, bool keepdim) {
  return ReduceWith(Opcode::kAdd, x, ScalarLike(x, 0), dims, keepdim);
}
Op ReduceProd(Op x, absl::Span<const int64_t> dims, bool keepdim) {
  return ReduceWith(Opcode::kMultiply, x, ScalarLike(x, 1), dims, keepdim);
}
Op ReduceMax(Op x, absl::Span<const int64_t> dims, bool keepdim) {
  if (!x.valid()) return x;
  return ReduceWith(Opcode::kMaximum, x, LowestValue(x.builder, x.shape().type), dims, keepdim);
}
Op ReduceMin(Op x, absl::Span<const int64_t> dims, bool keepdim) {
  if (!x.valid()) return x;
  return ReduceWith(Opcode::kMinimum, x, HighestValue(x.builder, x.shape().type), dims, keepdim);
}
Op ReduceAnd(Op x, absl::Span<const int64_t> dims, bool keepdim) {
  return ReduceWith(Opcode::kAnd, x, ScalarLike(x, 1), dims, keepdim);
}
Op ReduceOr(Op x, absl::Span<const int64_t> dims, bool keepdim) {
  return ReduceWith(Opcode::kOr, x, ScalarLike(x, 0), dims, keepdim);
}

Op KeepDims(Op reduced, const Dims& original, absl::Span<const int64_t> dims) {
  Dims kept = original;
  for (int64_t d : dims) kept[d] = 1;
  return hlo::Reshape(reduced, kept);
}

std::pair<Op, Op> ArgExtreme(Op x, int64_t dim, bool largest) {
  if (!x.valid()) return {x, x};
  // Two plain reductions rather than one over (value, index) pairs: the position is the least index
  // whose element equals the extreme. A NaN makes the extreme NaN, which equals nothing but is
  // found by x != x.
  const Op extreme = largest ? ReduceMax(x, {dim}, true) : ReduceMin(x, {dim}, true);
  Op hit = Eq(x, BroadcastTo(extreme, x.shape().dims));
  if (hlo::IsFloating(x.shape().type)) hit = Or(hit, IsNan(x));
  const Op iota = IotaOf(x.builder, hlo::kS32, x.shape().dims, dim);
  const Op position = ReduceMin(Select(hit, iota, FullLike(iota, x.shape().dim(dim))), {dim});
  return {Squeeze(extreme, dim), Convert(position, hlo::kS64)};
}

Dims DimRange(int64_t first, int64_t limit) {
  Dims dims(limit - first);
  std::iota(dims.begin(), dims.end(), first);
  return dims;
}

int64_t ProductOf(const Shape& shape, absl::Span<const int64_t> dims) {
  int64_t product = 1;
  for (int64_t d : dims) product *= shape.dims[d];
  return product;
}

Op IsNan(Op x) {
  if (!x.valid()) return x;
  if (!hlo::IsFloating(x.shape().type)) {
    return hlo::Filled(x.builder, x.shape().WithType(hlo::kPred), 0);
  }
  return Ne(x, x);
}

Op IsInf(Op x) {
  if (!x.valid()) return x;
  if (!hlo::IsFloating(x.shape().type)) {
    return hlo::Filled(x.builder, x.shape().WithType(hlo::kPred), 0);
  }
  return Eq(Abs(x), InfLike(x));
}

Op NotZero(Op x) {
  if (!x.valid() || x.shape().type == hlo::kPred) return x;
  return Ne(x, ScalarLike(x, 0));
}

Op LogicalNot(Op x) { return Not(x); }

Op Trunc(Op x) {
  if (!x.valid() || !hlo::IsFloating(x.shape().type)) return x;
  return Select(Lt(x, ScalarLike(x, 0)), Ceil(x), Floor(x));
}

Op TruncDiv(Op a, Op b) { return Trunc(Div(a, b)); }

Op FloorMod(Op a, Op b) {
  if (!a.valid() || !b.valid()) return a.valid() ? b : a;
  const Op remainder = Rem(a, b);
  if (hlo::IsUnsignedInt(a.shape().type)) return remainder;
  const Op zero = ScalarLike(remainder, 0);
  const Op differs = Ne(Lt(remainder, zero), Lt(BroadcastTo(b, remainder.shape().dims), zero));
  return Select(And(Ne(remainder, zero), differs), Add(remainder, b), remainder);
}

Op FloorDiv(Op a, Op b) {
  if (!a.valid() || !b.valid()) return a.valid() ? b : a;
  const PrimitiveType type = a.shape().type;
  if (hlo::IsUnsignedInt(type)) return Div(a, b);
  const Op quotient = Div(a, b);
  if (!hlo::IsFloating(type)) {
    const Op remainder = Rem(a, b);
    const Op zero = ScalarLike(a, 0);
    const Op differs = Ne(Lt(remainder, zero), Lt(BroadcastTo(b, remainder.shape().dims), zero));
    return Select(And(Ne(remainder, zero), differs), Sub(quotient, ScalarLike(a, 1)), quotient);
  }
  // (a - mod) / b is nearly an integer; rounding it to one is what eager does. A zero divisor gives
  // a / b.
  const Op exact = Div(Sub(a, FloorMod(a, b)), b);
  const Op rounded = Floor(exact);
  const Op result =
      Select(Gt(Sub(exact, rounded), ScalarLike(a, 0.5)), Add(rounded, ScalarLike(a, 1)), rounded);
  const Op by_zero = BroadcastTo(Eq(b, ScalarLike(b, 0)), quotient.shape().dims);
  return Select(by_zero, quotient, result);
}

Op Relu(Op x) { return Max(x, ScalarLike(x, 0)); }

Op Log2(Op x) { return Mul(Log(x), ScalarLike(x, 1.4426950408889634)); }

Op Softplus(Op x) { return Add(Relu(x), Log1p(Exp(Neg(Abs(x))))); }

Op ScaledErfc(Op x) {
  // Press et al., Numerical Recipes, "erfcc": a relative error of 1.2e-7.
  const Op t = Div(FullLike(x, 1), Add(Mul(x, ScalarLike(x, 0.5)), ScalarLike(x, 1)));
  const Op series = Polynomial(t, {0.17087277, -0.82215223, 1.48851587, -1.13520398, 0.27886807,
                                   -0.18628806, 0.09678418, 0.37409196, 1.00002368, -1.26551223});
  return Mul(t, Exp(series));
}

Op Erfc(Op x) {
  // 1 - erf(x) loses everything beyond x = 4.
  const Op z = Abs(x);
  const Op tail = Mul(ScaledErfc(z), Exp(Neg(Mul(z, z))));
  const Op far = Select(Lt(x, ScalarLike(x, 0)), Sub(FullLike(x, 2), tail), tail);
  return Select(Lt(z, ScalarLike(x, 0.5)), Sub(FullLike(x, 1), Erf(x)), far);
}

Op ErfInv(Op x) {
  // M. Giles, "Approximating the erfinv function" (GPU Computing Gems, 2011), single precision.
  const Op w = Neg(Log1p(Neg(Mul(x, x))));
  const Op near =
      Polynomial(Sub(w, ScalarLike(x, 2.5)),
                 {2.81022636e-08, 3.43273939e-07, -3.5233877e-06, -4.39150654e-06, 0.00021858087,
                  -0.00125372503, -0.00417768164, 0.246640727, 1.50140941});
  const Op far = Polynomial(Sub(Sqrt(w), ScalarLike(x, 3)),
                            {-0.000200214257, 0.000100950558, 0.00134934322, -0.00367342844,
                             0.00573950773, -0.0076224613, 0.00943887047, 1.00167406, 2.83297682});
  const Op inside = Mul(Select(Lt(w, ScalarLike(x, 5)), near, far), x);
  const Op edge = Mul(x, InfLike(x));
  return Select(Eq(Abs(x), ScalarLike(x, 1)), edge, inside);
}

namespace {
// sqrt(1 - x^2) without cancellation near 1.
Op Cathetus(Op x) {
  const Op one = ScalarLike(x, 1);
  return Sqrt(Mul(Sub(one, x), Add(one, x)));
}
}  // namespace

Op Asin(Op x) { return Atan2(x, Cathetus(x)); }
Op Acos(Op x) { return Atan2(Cathetus(x), x); }
Op Atan(Op x) { return Atan2(x, ScalarLike(x, 1)); }

Op Sinh(Op x) {
  // exp(x/2)^2 / 2 does not overflow before sinh does; expm1 keeps the digits near 0.
  const Op half = Exp(Mul(Abs(x), ScalarLike(x, 0.5)));
  const Op grown = Mul(Mul(half, ScalarLike(x, 0.5)), half);
  const Op shrunk = Div(ScalarLike(x, 0.25), grown);
  const Op large = Mul(Sign(x), Sub(grown, shrunk));
  const Op e = Expm1(x);
  const Op small = Mul(ScalarLike(x, 0.5), Add(e, Div(e, Add(e, ScalarLike(x, 1)))));
  return Select(Lt(Abs(x), ScalarLike(x, 1)), small, large);
}

Op Cosh(Op x) {
  const Op half = Exp(Mul(Abs(x), ScalarLike(x, 0.5)));
  const Op grown = Mul(Mul(half, ScalarLike(x, 0.5)), half);
  return Add(grown, Div(ScalarLike(x, 0.25), grown));
}

Op Asinh(Op x) {
  const Op z = Abs(x);
  const Op square = Mul(z, z);
  const Op one = ScalarLike(x, 1);
  const Op small = Log1p(Add(z, Div(square, Add(Sqrt(Add(square, one)), one))));
  const Op large = Add(Log(z), ScalarLike(x, 0.6931471805599453));
  return Mul(Sign(x), Select(Gt(z, ScalarLike(x, 1e9)), large, small));
}

Op Acosh(Op x) {
  const Op t = Sub(x, ScalarLike(x, 1));
  const Op small = Log1p(Add(t, Sqrt(Mul(t, Add(t, ScalarLike(x, 2))))));
  const Op large = Add(Log(x), ScalarLike(x, 0.6931471805599453));
  return Select(Gt(x, ScalarLike(x, 1e9)), large, small);
}

Op Atanh(Op x) { return Mul(ScalarLike(x, 0.5), Sub(Log1p(x), Log1p(Neg(x)))); }

Op NormalCdf(Op x) {
  const Op scaled = Mul(x, ScalarLike(x, 0.7071067811865476));
  return Mul(ScalarLike(x, 0.5), Add(Erf(scaled), ScalarLike(x, 1)));
}

Op NormalPdf(Op x) {
  return Mul(ScalarLike(x, 0.3989422804014327), Exp(Mul(ScalarLike(x, -0.5), Mul(x, x))));
}

Op PowInt(Op base, int64_t exponent) {
  if (!base.valid()) return base;
  if (exponent < 0) {
    if (hlo::IsFloating(base.shape().type)) {
      return Div(FullLike(base, 1), PowInt(base, -exponent));
    }
    const Op one = ScalarLike(base, 1);
    const Op of_minus_one = exponent % 2 == 0 ? FullLike(base, 1) : FullLike(base, -1);
    const Op other = Select(Eq(base, ScalarLike(base, -1)), of_minus_one, FullLike(base, 0));
    return Select(Eq(base, one), FullLike(base, 1), other);
  }
  Op result = FullLike(base, 1);
  bool first = true;
  for (Op square = base; exponent > 0; exponent >>= 1) {
    if (exponent & 1) {
      result = first ? square : Mul(result, square);
      first = false;
    }
    if (exponent > 1) square = Mul(square, square);
  }
  return result;
}

hlo::Computation* ScalarFunction(hlo::Builder* builder, PrimitiveType type, int count,
                                 const std::function<Op(absl::Span<const Op>)>& body) {
  const auto sub = builder->CreateSubBuilder("scalar_function");
  std::vector<Op> parameters;
  for (int i = 0; i < count; ++i)
    parameters.push_back(hlo::Parameter(sub.get(), i, Shape(type, {})));
  auto computation = sub->BuildComputation(body(parameters));
  return computation.ok() ? *computation : nullptr;
}

std::vector<Op> RunningScan(std::vector<Op> operands, int64_t dim, absl::Span<const Op> neutral,
                            const ScanStep& combine) {
  if (!operands[0].valid()) return operands;
  const int64_t size = operands[0].shape().dim(dim);
  for (int64_t distance = 1; distance < size; distance *= 2) {
    std::vector<Op> before;
    for (size_t i = 0; i < operands.size(); ++i) {
      before.push_back(PadDim(operands[i], neutral[i], dim, distance, -distance));
    }
    operands = combine(before, operands);
  }
  return operands;
}

Op RunningSum(Op x, int64_t dim) {
  return RunningScan({x}, dim, {ScalarLike(x, 0)},
                     [](absl::Span<const Op> before, absl::Span<const Op> now) {
                       return std::vector<Op>{Add(before[0], now[0])};
                     })[0];
}

Op TakeAlong(Op x, Op indices, int64_t dim) {
  if (!x.valid() || !indices.valid()) return x.valid() ? indices : x;
  const int64_t index_rank = indices.shape().rank();
  hlo::GatherDims dims;
  Dims sizes = x.shape().dims;
  sizes[dim] = 1;
  for (int64_t d = 0; d < x.shape().rank(); ++d) {
    if (d < dim) dims.offset_dims.push_back(d);
    if (d > dim) dims.offset_dims.push_back(d - 1 + index_rank);
  }
  dims.collapsed_slice_dims = {dim};
  dims.start_index_map = {dim};
  dims.index_vector_dim = index_rank;
  return hlo::Gather(x, indices, dims, sizes);
}

Op CheckIndices(Op gather) {
  if (gather.valid()) gather.instr->frontend_attributes[hlo::kIndicesKey] = hlo::kIndicesChecked;
  return gather;
}

}  // namespace glia::lowering
