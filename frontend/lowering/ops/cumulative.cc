// Running sums, products and extremes along one dim.
#include "frontend/lowering/registry.h"

namespace glia::lowering {
namespace {

Op Prefix(Op x, int64_t dim, Op neutral, Op (*combine)(Op, Op)) {
  return RunningScan({x}, dim, {neutral},
                     [combine](absl::Span<const Op> before, absl::Span<const Op> now) {
                       return std::vector<Op>{combine(before[0], now[0])};
                     })[0];
}

Op LogAddExp(Op a, Op b) {
  const Op value = Add(Max(a, b), Log1p(Exp(Neg(Abs(Sub(a, b))))));
  return Select(And(IsInf(a), Eq(a, b)), a, value);
}

// Arguments (self, dim); 0-d tensors are their own running sum.
template <Op (*kScan)(Op, int64_t)>
void Cumulative(Ctx& c) {
  const Op x = c.T(0, c.compute());
  c.Return(x.shape().rank() == 0 ? x : kScan(x, c.Dim(1, x.shape().rank())));
}

Op CumProd(Op x, int64_t dim) {
  return Prefix(x, dim, ScalarLike(x, 1), [](Op a, Op b) { return Mul(a, b); });
}
Op LogCumSumExp(Op x, int64_t dim) { return Prefix(x, dim, InfLike(x, true), LogAddExp); }

// aten::cummax(Tensor self, int dim) -> (Tensor values, Tensor indices)
// The last position among equals, and NaN stays once it appeared.
template <bool kLargest>
void CumExtreme(Ctx& c) {
  const Op x = c.T(0, c.compute());
  const int64_t rank = x.shape().rank();
  if (rank == 0) return c.Return({x, hlo::Filled(c.builder(), c.Out(1), 0)});
  const int64_t dim = c.Dim(1, rank);
  const Op index = IotaOf(c.builder(), hlo::kS32, x.shape().dims, dim);
  const Op neutral =
      kLargest ? LowestValue(c.builder(), c.compute()) : HighestValue(c.builder(), c.compute());
  const std::vector<Op> scanned = RunningScan(
      {x, index}, dim, {neutral, ScalarLike(index, 0)},
      [](absl::Span<const Op> before, absl::Span<const Op> now) {
        const Op better = kLargest ? Ge(now[0], before[0]) : Le(now[0], before[0]);
        const Op take = Or(better, IsNan(now[0]));
        return std::vector<Op>{Select(take, now[0], before[0]), Select(take, now[1], before[1])};
      });
  c.Return({scanned[0], scanned[1]});
}

}  // namespace

OpTable CumulativeOps() {
  static constexpr OpLowering kOps[] = {
      {"aten::_logcumsumexp", Cumulative<LogCumSumExp>},
      {"aten::cummax", CumExtreme<true>},
      {"aten::cummin", CumExtreme<false>},
      {"aten::cumprod", Cumulative<CumProd>},
      {"aten::cumsum", Cumulative<RunningSum>},
      {"aten::logcumsumexp", Cumulative<LogCumSumExp>},
  };
  return kOps;
}

}  // namespace glia::lowering
