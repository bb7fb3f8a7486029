// Compositions of HLO operations that several lowerings share: shape helpers that HLO has no single
// operation for, reductions with their reducer, numerically careful formulas. Each takes and
// returns values of one builder; like the builder's own functions they pass an invalid Op on.
#ifndef GLIA_FRONTEND_LOWERING_HLO_UTIL_H_
#define GLIA_FRONTEND_LOWERING_HLO_UTIL_H_

#include <cstdint>
#include <functional>
#include <utility>
#include <vector>

#include "absl/types/span.h"
#include "serialization/hlo/builder.h"

namespace glia::lowering {

using hlo::Op;
using hlo::PrimitiveType;
using hlo::Shape;
using Dims = std::vector<int64_t>;

// ---- Constants.
// A scalar of x's type.
Op ScalarLike(Op x, double value);
// A scalar that holds an exact integer (ScalarLike rounds beyond 2^53).
Op IntScalar(hlo::Builder* builder, PrimitiveType type, int64_t value);
// An array of x's type and dims.
Op FullLike(Op x, double value);
// The least or greatest finite value, or infinity for floats: what max or min starts from.
Op LowestValue(hlo::Builder* builder, PrimitiveType type);
Op HighestValue(hlo::Builder* builder, PrimitiveType type);
Op NanLike(Op x);
Op InfLike(Op x, bool negative = false);
// s64[…] that counts along `dim`.
Op IotaOf(hlo::Builder* builder, PrimitiveType type, Dims dims, int64_t dim);

// ---- Shapes.
// NumPy broadcasting: trailing dims are aligned, size-1 dims stretched.
Op BroadcastTo(Op x, absl::Span<const int64_t> dims);
// The dims that all the shapes broadcast to (they must fit).
Dims BroadcastDims(absl::Span<const Dims> shapes);
// Inserts a dim of size 1, removes a dim of size 1.
Op Unsqueeze(Op x, int64_t dim);
Op Squeeze(Op x, int64_t dim);
// Moves one dim, the others keep their order.
Op MoveDim(Op x, int64_t from, int64_t to);
Op SwapDims(Op x, int64_t a, int64_t b);
// A vector along `dim` of an array of these dims.
Op AlongDim(Op vector, absl::Span<const int64_t> dims, int64_t dim);
// Constant padding of one dim; negative amounts crop.
Op PadDim(Op x, Op value, int64_t dim, int64_t low, int64_t high, int64_t interior = 0);

// ---- Reductions. `dims` are removed, or kept with size 1.
Op ReduceSum(Op x, absl::Span<const int64_t> dims, bool keepdim = false);
Op ReduceProd(Op x, absl::Span<const int64_t> dims, bool keepdim = false);
// NaN wins, as in PyTorch.
Op ReduceMax(Op x, absl::Span<const int64_t> dims, bool keepdim = false);
Op ReduceMin(Op x, absl::Span<const int64_t> dims, bool keepdim = false);
Op ReduceAnd(Op x, absl::Span<const int64_t> dims, bool keepdim = false);  // pred
Op ReduceOr(Op x, absl::Span<const int64_t> dims, bool keepdim = false);   // pred
// x with the reduced dims put back with size 1.
Op KeepDims(Op reduced, const Dims& original, absl::Span<const int64_t> dims);
// (values, s64 positions) of the first largest or smallest element along a dim; NaN counts as the
// extreme of both. The dim is removed.
std::pair<Op, Op> ArgExtreme(Op x, int64_t dim, bool largest);

// {first, …, limit - 1}.
Dims DimRange(int64_t first, int64_t limit);

// The product of sizes of these dims.
int64_t ProductOf(const Shape& shape, absl::Span<const int64_t> dims);

// ---- Element-wise.
Op IsNan(Op x);       // pred; false for integers
Op IsInf(Op x);       // pred
Op NotZero(Op x);     // pred
Op LogicalNot(Op x);  // of a pred
// Integer division rounded down; remainder with the divisor's sign. Also for floats.
Op FloorDiv(Op a, Op b);
Op FloorMod(Op a, Op b);
// Division rounded towards zero.
Op TruncDiv(Op a, Op b);
Op Trunc(Op x);
Op Relu(Op x);
Op Log2(Op x);
// log(1 + exp(x)) without overflow.
Op Softplus(Op x);
Op Erfc(Op x);
// exp(x²) erfc(x) for x >= 0.
Op ScaledErfc(Op x);
Op ErfInv(Op x);
Op Asin(Op x);
Op Acos(Op x);
Op Atan(Op x);
Op Sinh(Op x);
Op Cosh(Op x);
Op Asinh(Op x);
Op Acosh(Op x);
Op Atanh(Op x);
// Standard normal distribution function, and density.
Op NormalCdf(Op x);
Op NormalPdf(Op x);
// base^exponent for floats, or for integers by repeated squaring (a negative exponent gives 0
// unless the base is 1 or -1, as in PyTorch).
Op PowInt(Op base, int64_t exponent);

// A computation of scalars of `type`, made by `body` from `count` parameters.
hlo::Computation* ScalarFunction(hlo::Builder* builder, PrimitiveType type, int count,
                                 const std::function<Op(absl::Span<const Op>)>& body);

// ---- Running combinations along a dim.
// Element i of each result combines elements 0 … i. `combine(before, now)` is element-wise and
// associative; `neutral` are scalars that change nothing as `before`. Takes log2(size) steps of
// shifted combinations.
using ScanStep =
    std::function<std::vector<Op>(absl::Span<const Op> before, absl::Span<const Op> now)>;
std::vector<Op> RunningScan(std::vector<Op> operands, int64_t dim, absl::Span<const Op> neutral,
                            const ScanStep& combine);
Op RunningSum(Op x, int64_t dim);

// ---- Gather and scatter by whole slices along one dim.
// result[.., i.., ..] = x[.., indices[i..], ..]: the dim is replaced by the dims of `indices`,
// whose values must lie in the dim.
Op TakeAlong(Op x, Op indices, int64_t dim);
// The same gather, whose indices are the user's: one out of range is an error of the run.
Op CheckIndices(Op gather);

}  // namespace glia::lowering

#endif  // GLIA_FRONTEND_LOWERING_HLO_UTIL_H_
