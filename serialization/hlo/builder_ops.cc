// The operations of builder.h.

#include <algorithm>
#include <numeric>

#include "absl/strings/str_cat.h"
#include "serialization/hlo/builder.h"
#include "serialization/hlo/shape_inference.h"
#include "serialization/hlo/shape_inference_internal.h"

namespace glia::hlo {
namespace {

std::vector<int64_t> ToVector(absl::Span<const int64_t> values) {
  return std::vector<int64_t>(values.begin(), values.end());
}

// The builder of the first operand that has one. Operations on no operand at all have no builder to
// report to, so they give an invalid Op.
Builder* BuilderOf(absl::Span<const Op> operands) {
  for (const Op& operand : operands) {
    if (operand.builder != nullptr) return operand.builder;
  }
  return nullptr;
}

Op Infer(Opcode opcode, absl::Span<const Op> operands, Attributes attributes = {},
         std::vector<Computation*> called = {}) {
  Builder* builder = BuilderOf(operands);
  if (builder == nullptr) return Op{};
  return builder->AddInferred(opcode, operands, std::move(attributes), std::move(called));
}

// With a declared shape, of which inference takes what operands leave open.
Op InferWith(const Shape& declared, Opcode opcode, absl::Span<const Op> operands,
             Attributes attributes = {}) {
  Builder* builder = BuilderOf(operands);
  if (builder == nullptr) return Op{};
  std::vector<const Shape*> shapes;
  for (const Op& operand : operands) {
    if (!operand.valid()) return builder->AddInstruction(opcode, declared, operands);
    shapes.push_back(&operand.shape());
  }
  absl::StatusOr<Shape> shape = InferShape({opcode, shapes, attributes, {}, declared});
  return builder->AddInstruction(opcode, std::move(shape), operands, std::move(attributes));
}

Op Fail(Builder* builder, const std::string& message) {
  if (builder != nullptr) builder->ReportError(absl::InvalidArgumentError(message));
  return Op{nullptr, builder};
}

// Makes the dims of two operands equal, by the rules at Add in the header.
void BroadcastOperands(Op* a, Op* b, absl::Span<const int64_t> broadcast_dims) {
  if (!a->valid() || !b->valid() || a->shape().dims == b->shape().dims) return;
  if (!a->shape().IsArray() || !b->shape().IsArray()) return;  // reported by shape inference
  Op* lower = a->shape().rank() < b->shape().rank() ? a : b;
  const Shape& target = lower == a ? b->shape() : a->shape();
  const bool given = !broadcast_dims.empty() &&
                     static_cast<int64_t>(broadcast_dims.size()) == lower->shape().rank();
  if (lower->shape().IsScalar() || given) {
    *lower = BroadcastInDim(*lower, target.dims, broadcast_dims);
  }
}

}  // namespace

// ---- Sources.

Op Parameter(Builder* builder, int64_t number, Shape shape, absl::string_view name) {
  absl::Status valid = ValidateShape(shape);
  if (!valid.ok()) return Fail(builder, std::string(valid.message()));
  Computation* computation = builder->computation();
  if (number < 0 || (computation != nullptr && number < computation->parameter_count() &&
                     computation->parameter(number) != nullptr)) {
    return Fail(builder, absl::StrCat("parameter number ", number, " is negative or taken"));
  }
  Attributes attributes;
  attributes.parameter_number = number;
  Op op = builder->AddInstruction(Opcode::kParameter, std::move(shape), {}, std::move(attributes),
                                  {}, name);
  if (op.valid()) computation->RenumberParameter(op.instr, number);
  return op;
}

Op Constant(Builder* builder, Literal value) {
  Shape shape = value.shape();
  Attributes attributes;
  attributes.literal = std::make_shared<const Literal>(std::move(value));
  return builder->AddInstruction(Opcode::kConstant, std::move(shape), {}, std::move(attributes));
}

Op ConstantScalar(Builder* builder, PrimitiveType type, double value) {
  if (!IsArrayType(type)) return Fail(builder, absl::StrCat("constant of type ", Name(type)));
  return Constant(builder, Literal::Scalar(type, value));
}

Op Filled(Builder* builder, const Shape& shape, double value) {
  return BroadcastScalar(ConstantScalar(builder, shape.type, value), shape.dims);
}

Op Iota(Builder* builder, const Shape& shape, int64_t dimension) {
  Attributes attributes;
  attributes.dimensions = {dimension};
  absl::StatusOr<Shape> inferred = InferShape({Opcode::kIota, {}, attributes, {}, shape});
  return builder->AddInstruction(Opcode::kIota, std::move(inferred), {}, std::move(attributes));
}

// ---- Element-wise.

Op Unary(Opcode opcode, Op x) { return Infer(opcode, {x}); }

Op Binary(Opcode opcode, Op a, Op b, absl::Span<const int64_t> broadcast_dims) {
  BroadcastOperands(&a, &b, broadcast_dims);
  return Infer(opcode, {a, b});
}

#define GLIA_HLO_UNARY(function, opcode) \
  Op function(Op x) { return Unary(Opcode::opcode, x); }
GLIA_HLO_UNARY(Abs, kAbs)
GLIA_HLO_UNARY(Cbrt, kCbrt)
GLIA_HLO_UNARY(Ceil, kCeil)
GLIA_HLO_UNARY(Clz, kClz)
GLIA_HLO_UNARY(Copy, kCopy)
GLIA_HLO_UNARY(Cos, kCos)
GLIA_HLO_UNARY(Erf, kErf)
GLIA_HLO_UNARY(Exp, kExp)
GLIA_HLO_UNARY(Expm1, kExpm1)
GLIA_HLO_UNARY(Floor, kFloor)
GLIA_HLO_UNARY(IsFinite, kIsFinite)
GLIA_HLO_UNARY(Log, kLog)
GLIA_HLO_UNARY(Log1p, kLog1p)
GLIA_HLO_UNARY(Logistic, kLogistic)
GLIA_HLO_UNARY(Neg, kNegate)
GLIA_HLO_UNARY(Not, kNot)
GLIA_HLO_UNARY(PopulationCount, kPopulationCount)
GLIA_HLO_UNARY(Round, kRoundNearestAfz)
GLIA_HLO_UNARY(RoundNearestEven, kRoundNearestEven)
GLIA_HLO_UNARY(Rsqrt, kRsqrt)
GLIA_HLO_UNARY(Sign, kSign)
GLIA_HLO_UNARY(Sin, kSin)
GLIA_HLO_UNARY(Sqrt, kSqrt)
GLIA_HLO_UNARY(Tan, kTan)
GLIA_HLO_UNARY(Tanh, kTanh)
#undef GLIA_HLO_UNARY

#define GLIA_HLO_BINARY(function, opcode)                             \
  Op function(Op a, Op b, absl::Span<const int64_t> broadcast_dims) { \
    return Binary(Opcode::opcode, a, b, broadcast_dims);              \
  }
GLIA_HLO_BINARY(Add, kAdd)
GLIA_HLO_BINARY(Sub, kSubtract)
GLIA_HLO_BINARY(Mul, kMultiply)
GLIA_HLO_BINARY(Div, kDivide)
GLIA_HLO_BINARY(Rem, kRemainder)
GLIA_HLO_BINARY(Pow, kPower)
GLIA_HLO_BINARY(Max, kMaximum)
GLIA_HLO_BINARY(Min, kMinimum)
GLIA_HLO_BINARY(And, kAnd)
GLIA_HLO_BINARY(Or, kOr)
GLIA_HLO_BINARY(Xor, kXor)
GLIA_HLO_BINARY(Atan2, kAtan2)
GLIA_HLO_BINARY(ShiftLeft, kShiftLeft)
GLIA_HLO_BINARY(ShiftRightArithmetic, kShiftRightArithmetic)
GLIA_HLO_BINARY(ShiftRightLogical, kShiftRightLogical)
#undef GLIA_HLO_BINARY

#define GLIA_HLO_COMPARE(function, direction)                                      \
  Op function(Op a, Op b, absl::Span<const int64_t> broadcast_dims) {              \
    return Compare(a, b, ComparisonDirection::direction, ComparisonType::kDefault, \
                   broadcast_dims);                                                \
  }
GLIA_HLO_COMPARE(Eq, kEq)
GLIA_HLO_COMPARE(Ne, kNe)
GLIA_HLO_COMPARE(Ge, kGe)
GLIA_HLO_COMPARE(Gt, kGt)
GLIA_HLO_COMPARE(Le, kLe)
GLIA_HLO_COMPARE(Lt, kLt)
#undef GLIA_HLO_COMPARE

Op Compare(Op a, Op b, ComparisonDirection direction, ComparisonType type,
           absl::Span<const int64_t> broadcast_dims) {
  BroadcastOperands(&a, &b, broadcast_dims);
  Attributes attributes;
  attributes.comparison_direction = direction;
  attributes.comparison_type = type;
  return Infer(Opcode::kCompare, {a, b}, std::move(attributes));
}

Op ReducePrecision(Op x, int exponent_bits, int mantissa_bits) {
  Attributes attributes;
  attributes.exponent_bits = exponent_bits;
  attributes.mantissa_bits = mantissa_bits;
  return Infer(Opcode::kReducePrecision, {x}, std::move(attributes));
}

Op Convert(Op x, PrimitiveType type) {
  if (x.valid() && x.shape().type == type) return x;
  return InferWith(Shape(type, {}), Opcode::kConvert, {x});
}

Op BitcastConvert(Op x, PrimitiveType type) {
  return InferWith(Shape(type, {}), Opcode::kBitcastConvert, {x});
}

Op Select(Op pred, Op on_true, Op on_false) {
  return Infer(Opcode::kSelect, {pred, on_true, on_false});
}

Op Clamp(Op low, Op x, Op high) { return Infer(Opcode::kClamp, {low, x, high}); }

// ---- Movement.

Op Broadcast(Op x, absl::Span<const int64_t> sizes) {
  if (!x.valid()) return Infer(Opcode::kBroadcast, {x});
  std::vector<int64_t> result = ToVector(sizes);
  result.insert(result.end(), x.shape().dims.begin(), x.shape().dims.end());
  std::vector<int64_t> dims(x.shape().dims.size());
  std::iota(dims.begin(), dims.end(), static_cast<int64_t>(sizes.size()));
  return BroadcastInDim(x, result, dims);
}

Op BroadcastInDim(Op x, absl::Span<const int64_t> result_dims, absl::Span<const int64_t> dims) {
  Attributes attributes;
  attributes.dimensions = ToVector(dims);
  const Shape declared(x.shape().type, ToVector(result_dims));
  bool stretched = false;
  std::vector<int64_t> kept;  // dims of x that are not of size 1 where the result's is larger
  std::vector<int64_t> kept_dims;
  if (x.valid() && x.shape().rank() == static_cast<int64_t>(dims.size())) {
    for (size_t i = 0; i < dims.size(); ++i) {
      const bool in_range = dims[i] >= 0 && dims[i] < declared.rank();
      if (x.shape().dims[i] == 1 && in_range && result_dims[dims[i]] != 1) {
        stretched = true;
      } else {
        kept.push_back(x.shape().dims[i]);
        kept_dims.push_back(dims[i]);
      }
    }
  }
  if (!stretched) return InferWith(declared, Opcode::kBroadcast, {x}, std::move(attributes));
  attributes.dimensions = kept_dims;
  return InferWith(declared, Opcode::kBroadcast, {Reshape(x, kept)}, std::move(attributes));
}

Op BroadcastScalar(Op x, absl::Span<const int64_t> result_dims) {
  if (x.valid() && !x.shape().IsScalar()) {
    return Fail(x.builder, absl::StrCat("BroadcastScalar of ", x.shape().ToString()));
  }
  if (result_dims.empty()) return x;
  return BroadcastInDim(x, result_dims, {});
}

Op Reshape(Op x, absl::Span<const int64_t> dims) {
  if (x.valid() && x.shape().IsArray() && absl::MakeConstSpan(x.shape().dims) == dims) return x;
  return InferWith(Shape(x.shape().type, ToVector(dims)), Opcode::kReshape, {x});
}

Op Transpose(Op x, absl::Span<const int64_t> permutation) {
  Attributes attributes;
  attributes.dimensions = ToVector(permutation);
  if (x.valid() && x.shape().rank() == static_cast<int64_t>(permutation.size())) {
    std::vector<int64_t> identity(permutation.size());
    std::iota(identity.begin(), identity.end(), 0);
    if (attributes.dimensions == identity) return x;
  }
  return Infer(Opcode::kTranspose, {x}, std::move(attributes));
}

Op Slice(Op x, absl::Span<const int64_t> starts, absl::Span<const int64_t> limits,
         absl::Span<const int64_t> strides) {
  Attributes attributes;
  attributes.slice_starts = ToVector(starts);
  attributes.slice_limits = ToVector(limits);
  attributes.slice_strides = ToVector(strides);
  return Infer(Opcode::kSlice, {x}, std::move(attributes));
}

Op SliceInDim(Op x, int64_t start, int64_t limit, int64_t stride, int64_t dim) {
  const size_t rank = x.shape().dims.size();
  if (x.valid() && (dim < 0 || dim >= x.shape().rank())) {
    return Fail(x.builder, absl::StrCat("slice of dim ", dim, " of ", x.shape().ToString()));
  }
  std::vector<int64_t> starts(rank, 0), limits = x.shape().dims, strides(rank, 1);
  if (x.valid()) {
    starts[dim] = start;
    limits[dim] = limit;
    strides[dim] = stride;
  }
  return Slice(x, starts, limits, strides);
}

Op Pad(Op x, Op padding_value, std::vector<PaddingDim> padding) {
  Attributes attributes;
  attributes.padding = std::move(padding);
  return Infer(Opcode::kPad, {x, padding_value}, std::move(attributes));
}

Op Concatenate(absl::Span<const Op> parts, int64_t dim) {
  Attributes attributes;
  attributes.dimensions = {dim};
  return Infer(Opcode::kConcatenate, parts, std::move(attributes));
}

Op Rev(Op x, absl::Span<const int64_t> dims) {
  Attributes attributes;
  attributes.dimensions = ToVector(dims);
  return Infer(Opcode::kReverse, {x}, std::move(attributes));
}

Op DynamicSlice(Op x, absl::Span<const Op> starts, absl::Span<const int64_t> sizes) {
  Attributes attributes;
  attributes.slice_sizes = ToVector(sizes);
  std::vector<Op> operands = {x};
  operands.insert(operands.end(), starts.begin(), starts.end());
  return Infer(Opcode::kDynamicSlice, operands, std::move(attributes));
}

Op DynamicUpdateSlice(Op x, Op update, absl::Span<const Op> starts) {
  std::vector<Op> operands = {x, update};
  operands.insert(operands.end(), starts.begin(), starts.end());
  return Infer(Opcode::kDynamicUpdateSlice, operands);
}

Op Gather(Op x, Op start_indices, GatherDims dims, absl::Span<const int64_t> slice_sizes,
          bool indices_are_sorted) {
  Attributes attributes;
  attributes.gather_dims = std::move(dims);
  attributes.slice_sizes = ToVector(slice_sizes);
  attributes.indices_are_sorted = indices_are_sorted;
  return Infer(Opcode::kGather, {x, start_indices}, std::move(attributes));
}

Op Scatter(absl::Span<const Op> operands, Op indices, absl::Span<const Op> updates,
           Computation* update, ScatterDims dims, bool indices_are_sorted, bool unique_indices) {
  Attributes attributes;
  attributes.scatter_dims = std::move(dims);
  attributes.indices_are_sorted = indices_are_sorted;
  attributes.unique_indices = unique_indices;
  std::vector<Op> all(operands.begin(), operands.end());
  all.push_back(indices);
  all.insert(all.end(), updates.begin(), updates.end());
  return Infer(Opcode::kScatter, all, std::move(attributes), {update});
}

// ---- Arithmetic over several elements.

Op Dot(Op a, Op b) {
  DotDims dims;
  dims.lhs_contracting = {a.shape().rank() - 1};
  dims.rhs_contracting = {0};
  const bool ok = a.shape().rank() >= 1 && a.shape().rank() <= 2 && b.shape().rank() >= 1 &&
                  b.shape().rank() <= 2;
  if (a.valid() && b.valid() && !ok) {
    return Fail(a.builder, absl::StrCat("dot(", a.shape().ToString(), ", ", b.shape().ToString(),
                                        "): operands must be of rank 1 or 2; use DotGeneral"));
  }
  return DotGeneral(a, b, std::move(dims));
}

Op DotGeneral(Op a, Op b, DotDims dims, PrimitiveType type, std::vector<Precision> precision) {
  Attributes attributes;
  attributes.dot_dims = std::move(dims);
  attributes.operand_precision = std::move(precision);
  return InferWith(Shape(type, {}), Opcode::kDot, {a, b}, std::move(attributes));
}

Op Conv(Op input, Op kernel, Window window, ConvDims dims, int64_t feature_group_count,
        int64_t batch_group_count, PrimitiveType type, std::vector<Precision> precision) {
  const std::vector<int64_t>& spatial = dims.kernel_spatial;
  if (window.size() < spatial.size()) {
    const size_t given = window.size();
    window.resize(spatial.size());
    for (size_t i = given; i < window.size(); ++i) window[i].size = 0;
  }
  for (size_t i = 0; i < spatial.size(); ++i) {
    const bool in_range = spatial[i] >= 0 && spatial[i] < kernel.shape().rank();
    if (window[i].size == 0 && in_range) window[i].size = kernel.shape().dims[spatial[i]];
  }
  Attributes attributes;
  attributes.window = std::move(window);
  attributes.conv_dims = std::move(dims);
  attributes.feature_group_count = feature_group_count;
  attributes.batch_group_count = batch_group_count;
  attributes.operand_precision = std::move(precision);
  return InferWith(Shape(type, {}), Opcode::kConvolution, {input, kernel}, std::move(attributes));
}

ConvDims DefaultConvDims(int64_t spatial_rank) {
  ConvDims dims;
  dims.input_batch = dims.kernel_output_feature = dims.output_batch = 0;
  dims.input_feature = dims.kernel_input_feature = dims.output_feature = 1;
  dims.input_spatial.resize(static_cast<size_t>(spatial_rank));
  std::iota(dims.input_spatial.begin(), dims.input_spatial.end(), 2);
  dims.kernel_spatial = dims.output_spatial = dims.input_spatial;
  return dims;
}

namespace {

std::vector<Op> Joined(absl::Span<const Op> a, absl::Span<const Op> b) {
  std::vector<Op> all(a.begin(), a.end());
  all.insert(all.end(), b.begin(), b.end());
  return all;
}

}  // namespace

Op Reduce(Op x, Op init, Computation* reducer, absl::Span<const int64_t> dims) {
  return ReduceVariadic({x}, {init}, reducer, dims);
}

Op ReduceVariadic(absl::Span<const Op> operands, absl::Span<const Op> inits, Computation* reducer,
                  absl::Span<const int64_t> dims) {
  Attributes attributes;
  attributes.dimensions = ToVector(dims);
  return Infer(Opcode::kReduce, Joined(operands, inits), std::move(attributes), {reducer});
}

Op ReduceWindow(Op x, Op init, Computation* reducer, Window window) {
  return ReduceWindowVariadic({x}, {init}, reducer, std::move(window));
}

Op ReduceWindowVariadic(absl::Span<const Op> operands, absl::Span<const Op> inits,
                        Computation* reducer, Window window) {
  Attributes attributes;
  attributes.window = std::move(window);
  return Infer(Opcode::kReduceWindow, Joined(operands, inits), std::move(attributes), {reducer});
}

Op SelectAndScatter(Op x, Op source, Op init, Computation* select, Computation* scatter,
                    Window window) {
  Attributes attributes;
  attributes.window = std::move(window);
  return Infer(Opcode::kSelectAndScatter, {x, source, init}, std::move(attributes),
               {select, scatter});
}

Op Sort(absl::Span<const Op> operands, Computation* comparator, int64_t dim, bool is_stable) {
  Attributes attributes;
  attributes.dimensions = {dim};
  attributes.is_stable = is_stable;
  return Infer(Opcode::kSort, operands, std::move(attributes), {comparator});
}

Op TopK(Op x, int64_t k, bool largest) {
  Attributes attributes;
  attributes.k = k;
  attributes.largest = largest;
  return Infer(Opcode::kTopK, {x}, std::move(attributes));
}

Op Map(absl::Span<const Op> operands, Computation* function) {
  Attributes attributes;
  if (!operands.empty()) attributes.dimensions.resize(operands[0].shape().dims.size());
  std::iota(attributes.dimensions.begin(), attributes.dimensions.end(), 0);
  return Infer(Opcode::kMap, operands, std::move(attributes), {function});
}

Op BatchNormInference(Op x, Op scale, Op offset, Op mean, Op variance, float epsilon,
                      int64_t feature_index) {
  Attributes attributes;
  attributes.epsilon = epsilon;
  attributes.feature_index = feature_index;
  return Infer(Opcode::kBatchNormInference, {x, scale, offset, mean, variance},
               std::move(attributes));
}

Op RngUniform(Op low, Op high, const Shape& shape) {
  Attributes attributes;
  attributes.distribution = RandomDistribution::kUniform;
  return InferWith(shape, Opcode::kRng, {low, high}, std::move(attributes));
}

Op RngNormal(Op mean, Op deviation, const Shape& shape) {
  Attributes attributes;
  attributes.distribution = RandomDistribution::kNormal;
  return InferWith(shape, Opcode::kRng, {mean, deviation}, std::move(attributes));
}

Op RngBitGenerator(RandomAlgorithm algorithm, Op state, const Shape& shape) {
  Attributes attributes;
  attributes.rng_algorithm = algorithm;
  return InferWith(Shape::Tuple({state.shape(), shape}), Opcode::kRngBitGenerator, {state},
                   std::move(attributes));
}

// ---- Tuples and control.

Op Tuple(Builder* builder, absl::Span<const Op> elements) {
  return builder->AddInferred(Opcode::kTuple, elements);
}

Op GetTupleElement(Op tuple, int64_t index) {
  Attributes attributes;
  attributes.tuple_index = index;
  return Infer(Opcode::kGetTupleElement, {tuple}, std::move(attributes));
}

Op Call(Builder* builder, Computation* function, absl::Span<const Op> operands) {
  return builder->AddInferred(Opcode::kCall, operands, {}, {function});
}

Op While(Computation* condition, Computation* body, Op init) {
  return Infer(Opcode::kWhile, {init}, {}, {body, condition});
}

Op Conditional(Op pred, Op true_operand, Computation* on_true, Op false_operand,
               Computation* on_false) {
  return Infer(Opcode::kConditional, {pred, true_operand, false_operand}, {}, {on_true, on_false});
}

Op ConditionalIndexed(Op branch_index, absl::Span<Computation* const> branches,
                      absl::Span<const Op> operands) {
  return Infer(Opcode::kConditional, Joined({branch_index}, operands), {},
               std::vector<Computation*>(branches.begin(), branches.end()));
}

Op CustomCall(Builder* builder, absl::string_view target, absl::Span<const Op> operands,
              const Shape& shape, absl::string_view backend_config, bool has_side_effect) {
  Attributes attributes;
  attributes.custom_call_target = std::string(target);
  attributes.backend_config = std::string(backend_config);
  attributes.custom_call_has_side_effect = has_side_effect;
  absl::StatusOr<Shape> inferred = InferShape({Opcode::kCustomCall, {}, attributes, {}, shape});
  return builder->AddInstruction(Opcode::kCustomCall, std::move(inferred), operands,
                                 std::move(attributes));
}

Op OptimizationBarrier(Op x) { return Infer(Opcode::kOptimizationBarrier, {x}); }

}  // namespace glia::hlo
