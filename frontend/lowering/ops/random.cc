// Random operators, by Philox from the node's seed and stream. The numbers are not those that eager
// draws from torch's generator, their distributions are; equal seeds give equal numbers. What has
// no lowering because it draws until a number fits (poisson, binomial, gamma, dirichlet) runs on
// the CPU.
#include <cmath>
#include <limits>

#include "frontend/lowering/ops/sort.h"
#include "frontend/lowering/registry.h"

namespace glia::lowering {
namespace {

constexpr double kPi = 3.14159265358979323846;

// Random bits: u32 or u64. One call for each operator.
Op Bits(Ctx& c, PrimitiveType type, Dims dims) {
  const auto word = [&](Op x) { return Reshape(Convert(x, hlo::kU64), {1}); };
  const Op zero = hlo::ConstantR1<uint64_t>(c.builder(), {0});
  const Op state = hlo::Concatenate({word(c.Seed(0)), zero, word(c.Seed(1))}, 0);
  return hlo::GetTupleElement(
      hlo::RngBitGenerator(hlo::RandomAlgorithm::kPhilox, state, Shape(type, std::move(dims))), 1);
}

// In [0, 1), f32, multiples of 2^-digits.
Op Unit(Op bits, int digits = 24) {
  const Op top = ShiftRightLogical(bits, ScalarLike(bits, 32 - digits));
  const Op x = Convert(top, hlo::kF32);
  return Mul(x, ScalarLike(x, std::ldexp(1.0, -digits)));
}
Op Uniform(Ctx& c, Dims dims) { return Unit(Bits(c, hlo::kU32, std::move(dims))); }

// Mean 0, deviation 1 (Box and Muller).
Op Normal(Ctx& c, const Dims& dims) {
  Dims pairs = {2};
  pairs.insert(pairs.end(), dims.begin(), dims.end());
  const Op u = Uniform(c, pairs);
  const Op radius = Sqrt(Mul(Log(Sub(FullLike(u, 1), u)), ScalarLike(u, -2)));
  const Op angle = Cos(Mul(u, ScalarLike(u, 2 * kPi)));
  const auto half = [&](Op x, int64_t i) { return Squeeze(hlo::SliceInDim(x, i, i + 1, 1, 0), 0); };
  return Mul(half(radius, 0), half(angle, 1));
}

// Mean 1.
Op Exponential(Ctx& c, Dims dims) {
  const Op u = Uniform(c, std::move(dims));
  return Neg(Log(Sub(FullLike(u, 1), u)));
}

// Whether a number of [0, 1) lies below `p`, f32 of the result's dims.
Op Hits(Ctx& c, Op p) { return Lt(Uniform(c, c.Out().dims), p); }

// Binary digits that the type's numbers have.
int DigitsOf(PrimitiveType type) { return type == hlo::kBF16 ? 8 : type == hlo::kF16 ? 11 : 24; }

// s64: from + n, n uniform below `range`, which 0 makes 2^64.
Op Integers(Ctx& c, int64_t from, uint64_t range) {
  const Dims dims = c.Out().dims;
  Op n;
  if (range != 0 && range <= uint64_t{1} << 32) {
    n = Bits(c, hlo::kU32, dims);
    if (range < uint64_t{1} << 32) n = Rem(n, ScalarLike(n, static_cast<double>(range)));
    n = Convert(n, hlo::kS64);
  } else {
    n = Bits(c, hlo::kU64, dims);
    if (range != 0) n = Rem(n, hlo::ConstantR0<uint64_t>(c.builder(), range));
    n = hlo::BitcastConvert(n, hlo::kS64);
  }
  return Add(n, IntScalar(c.builder(), hlo::kS64, from));
}

// The greatest integer up to which the type holds all.
int64_t GreatestOf(PrimitiveType type) {
  switch (type) {
    case hlo::kPred:
      return 1;
    case hlo::kS8:
      return std::numeric_limits<int8_t>::max();
    case hlo::kU8:
      return std::numeric_limits<uint8_t>::max();
    case hlo::kS16:
      return std::numeric_limits<int16_t>::max();
    case hlo::kS32:
      return std::numeric_limits<int32_t>::max();
    case hlo::kS64:
      return std::numeric_limits<int64_t>::max();
    default:
      return int64_t{1} << DigitsOf(type);
  }
}

// aten::uniform(Tensor self, float from=0., float to=1., *, Generator? generator=None) -> Tensor
void UniformOp(Ctx& c) {
  const Op unit = Unit(Bits(c, hlo::kU32, c.Out().dims), DigitsOf(c.Out().type));
  const double from = c.Double(1, 0), to = c.Double(2, 1);
  c.Return(Add(Mul(unit, ScalarLike(unit, to - from)), ScalarLike(unit, from)));
}

// aten::normal_functional(Tensor self, float mean=0., float std=1., *, Generator? generator=None)
void NormalFunctional(Ctx& c) {
  const Op x = Normal(c, c.Out().dims);
  c.Return(Add(Mul(x, ScalarLike(x, c.Double(2, 1))), ScalarLike(x, c.Double(1, 0))));
}

// aten::normal.Tensor_Tensor(Tensor mean, Tensor std, *, Generator? generator=None) -> Tensor; one
// of them may be a float
void NormalOf(Ctx& c) {
  const Op x = Normal(c, c.Out().dims);
  c.Return(Add(Mul(x, c.El(1, hlo::kF32)), c.El(0, hlo::kF32)));
}

// aten::log_normal(Tensor self, float mean=1., float std=2., *, Generator? generator=None) ->
// Tensor
void LogNormal(Ctx& c) {
  const Op x = Normal(c, c.Out().dims);
  c.Return(Exp(Add(Mul(x, ScalarLike(x, c.Double(2, 2))), ScalarLike(x, c.Double(1, 1)))));
}

// aten::exponential(Tensor self, float lambd=1., *, Generator? generator=None) -> Tensor
void ExponentialOp(Ctx& c) {
  const Op x = Exponential(c, c.Out().dims);
  c.Return(Div(x, ScalarLike(x, c.Double(1, 1))));
}

// aten::geometric(Tensor self, float p, *, Generator? generator=None) -> Tensor: trials up to the
// first success
void Geometric(Ctx& c) {
  const Op x = Exponential(c, c.Out().dims);
  const Op trials = Ceil(Div(x, ScalarLike(x, -std::log1p(-c.Double(1)))));
  c.Return(Max(trials, ScalarLike(x, 1)));
}

// aten::cauchy(Tensor self, float median=0., float sigma=1., *, Generator? generator=None) ->
// Tensor
void Cauchy(Ctx& c) {
  const Op u = Uniform(c, c.Out().dims);
  const Op angle = Mul(Sub(u, ScalarLike(u, 0.5)), ScalarLike(u, kPi));
  const Op x = Div(Sin(angle), Cos(angle));
  c.Return(Add(Mul(x, ScalarLike(x, c.Double(2, 1))), ScalarLike(x, c.Double(1, 0))));
}

// aten::bernoulli(Tensor self, *, Generator? generator=None) -> Tensor: self is the probability
void Bernoulli(Ctx& c) { c.Return(Hits(c, c.El(0, hlo::kF32))); }

// aten::bernoulli.p(Tensor self, float p, *, Generator? generator=None) -> Tensor; p may be a
// tensor
void BernoulliOf(Ctx& c) { c.Return(Hits(c, c.El(1, hlo::kF32))); }

// aten::random(Tensor self, *, Generator? generator=None) -> Tensor
void Random(Ctx& c) {
  c.Return(Integers(c, 0, static_cast<uint64_t>(GreatestOf(c.Out().type)) + 1));
}

// aten::random.to(Tensor self, int to, *, Generator? generator=None) -> Tensor
void RandomTo(Ctx& c) { c.Return(Integers(c, 0, static_cast<uint64_t>(c.Int(1)))); }

// aten::random.from(Tensor self, int from, int? to, *, Generator? generator=None) -> Tensor
void RandomFrom(Ctx& c) {
  const uint64_t end = c.Has(2) ? static_cast<uint64_t>(c.Int(2))
                                : static_cast<uint64_t>(GreatestOf(c.Out().type)) + 1;
  c.Return(Integers(c, c.Int(1), end - static_cast<uint64_t>(c.Int(1))));
}

// aten::randperm.generator(int n, *, Generator? generator, …) -> Tensor: the order of random keys.
// Equal ones, of 2^31, stay in order.
void RandPerm(Ctx& c) {
  const Op bits = Bits(c, hlo::kU32, {c.Int(0)});
  const Op keys = Convert(ShiftRightLogical(bits, ScalarLike(bits, 1)), hlo::kS32);
  c.Return(SortAlong(keys, 0, /*descending=*/false).indices);
}

// aten::multinomial(Tensor self, int num_samples, bool replacement=False, *, Generator? generator)
void Multinomial(Ctx& c) {
  const Op weights = c.T(0, hlo::kF32);
  const int64_t dim = weights.shape().rank() - 1;
  const int64_t categories = weights.shape().dim(dim);
  const int64_t samples = c.Int(1);
  if (c.Bool(2) && samples > 1) {
    const Op sums = RunningSum(weights, dim);
    const Op total = hlo::SliceInDim(sums, categories - 1, categories, 1, dim);
    const Op drawn = Mul(Uniform(c, c.Out().dims), BroadcastTo(total, c.Out().dims));
    const Op place = PlacesIn(sums, drawn, /*right=*/true);
    return c.Return(Min(place, IntScalar(c.builder(), hlo::kS64, categories - 1)));
  }
  // The first of exponential clocks of these rates to strike, then the second, and so on.
  const Op clock = Exponential(c, weights.shape().dims);
  const Op score = Div(weights, Max(clock, ScalarLike(clock, std::ldexp(1.0, -30))));
  if (samples == 1) {
    return c.Return(KeepDims(ArgExtreme(score, dim, true).second, weights.shape().dims, {dim}));
  }
  const Op order = SortAlong(score, dim, /*descending=*/true).indices;
  c.Return(hlo::SliceInDim(order, 0, samples, 1, dim));
}

// aten::native_dropout(Tensor input, float p, bool? train) -> (Tensor, Tensor mask)
void NativeDropout(Ctx& c) {
  const bool train = !c.Has(2) || c.Bool(2);
  const double keep = 1 - c.Double(1);
  if (!train || keep == 1) return c.Return({c.T(0), hlo::Filled(c.builder(), c.Out(1), 1)});
  const Op mask = Hits(c, hlo::Filled(c.builder(), Shape(hlo::kF32, c.Out().dims), keep));
  const double scale = keep == 0 ? 0 : 1 / keep;
  c.Return({Mul(Mul(c.El(0), Convert(mask, c.compute())), c.Const(scale)), mask});
}

// aten::native_dropout_backward(Tensor grad_output, Tensor mask, float scale) -> Tensor
void NativeDropoutBackward(Ctx& c) { c.Return(Mul(Mul(c.El(0), c.El(1)), c.ScalarEl(2))); }

}  // namespace

OpTable RandomOps() {
  static constexpr OpLowering kOps[] = {
      {"aten::bernoulli", Bernoulli},
      {"aten::bernoulli.Tensor", BernoulliOf},
      {"aten::bernoulli.p", BernoulliOf},
      {"aten::cauchy", Cauchy},
      {"aten::exponential", ExponentialOp},
      {"aten::geometric", Geometric},
      {"aten::log_normal", LogNormal},
      {"aten::multinomial", Multinomial},
      {"aten::native_dropout", NativeDropout},
      {"aten::native_dropout_backward", NativeDropoutBackward},
      {"aten::normal.Tensor_Tensor", NormalOf},
      {"aten::normal.Tensor_float", NormalOf},
      {"aten::normal.float_Tensor", NormalOf},
      {"aten::normal_functional", NormalFunctional},
      {"aten::random", Random},
      {"aten::random.from", RandomFrom},
      {"aten::random.to", RandomTo},
      {"aten::randperm.generator", RandPerm},
      {"aten::uniform", UniformOp},
  };
  return kOps;
}

}  // namespace glia::lowering
