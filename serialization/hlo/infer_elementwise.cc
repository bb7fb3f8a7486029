// Shape rules of the element-wise instructions.

#include "serialization/hlo/shape_inference_internal.h"

namespace glia::hlo::inference {
namespace {

// Classes of element types an instruction accepts.
enum : unsigned { kP = 1, kI = 2, kF = 4, kC = 8, kAny = kP | kI | kF | kC };

unsigned ClassOf(PrimitiveType type) {
  if (type == kPred) return kP;
  if (IsIntegral(type)) return kI;
  if (IsFloating(type)) return kF;
  return IsComplex(type) ? unsigned{kC} : 0u;
}

struct Accepted {
  Opcode opcode;
  unsigned classes;
};

constexpr Accepted kAccepted[] = {
    {Opcode::kAbs, kI | kF | kC},
    {Opcode::kCbrt, kF | kC},
    {Opcode::kCeil, kF},
    {Opcode::kClz, kI},
    {Opcode::kCopy, kAny},
    {Opcode::kCos, kF | kC},
    {Opcode::kErf, kF},
    {Opcode::kExp, kF | kC},
    {Opcode::kExpm1, kF | kC},
    {Opcode::kFloor, kF},
    {Opcode::kIsFinite, kF},
    {Opcode::kLog, kF | kC},
    {Opcode::kLog1p, kF | kC},
    {Opcode::kLogistic, kF | kC},
    {Opcode::kNegate, kI | kF | kC},
    {Opcode::kNot, kP | kI},
    {Opcode::kPopulationCount, kI},
    {Opcode::kReducePrecision, kF},
    {Opcode::kRoundNearestAfz, kF},
    {Opcode::kRoundNearestEven, kF},
    {Opcode::kRsqrt, kF | kC},
    {Opcode::kSign, kI | kF | kC},
    {Opcode::kSin, kF | kC},
    {Opcode::kSqrt, kF | kC},
    {Opcode::kTan, kF | kC},
    {Opcode::kTanh, kF | kC},
    {Opcode::kAdd, kI | kF | kC},
    {Opcode::kAnd, kP | kI},
    {Opcode::kAtan2, kF | kC},
    {Opcode::kDivide, kI | kF | kC},
    {Opcode::kMaximum, kP | kI | kF},
    {Opcode::kMinimum, kP | kI | kF},
    {Opcode::kMultiply, kI | kF | kC},
    {Opcode::kOr, kP | kI},
    {Opcode::kPower, kI | kF | kC},
    {Opcode::kRemainder, kI | kF},
    {Opcode::kShiftLeft, kI},
    {Opcode::kShiftRightArithmetic, kI},
    {Opcode::kShiftRightLogical, kI},
    {Opcode::kSubtract, kI | kF | kC},
    {Opcode::kXor, kP | kI},
};

std::string ClassNames(unsigned classes) {
  std::string text;
  auto add = [&](unsigned bit, const char* name) {
    if ((classes & bit) != 0) absl::StrAppend(&text, text.empty() ? "" : " or ", name);
  };
  add(kP, "pred");
  add(kI, "integer");
  add(kF, "floating");
  add(kC, "complex");
  return text;
}

absl::Status CheckAccepted(const Input& input) {
  for (const Accepted& entry : kAccepted) {
    if (entry.opcode != input.opcode) continue;
    if ((ClassOf(input.operands[0]->type) & entry.classes) != 0) return absl::OkStatus();
    return Error(input, "elements must be ", ClassNames(entry.classes), ", not ",
                 Name(input.operands[0]->type));
  }
  return absl::OkStatus();
}

Shape ArrayLike(PrimitiveType type, const Shape& shape) { return Shape(type, shape.dims); }

absl::Status CheckSameShapes(const Input& input) {
  GLIA_HLO_RETURN_IF_ERROR(CheckArray(input, 0));
  GLIA_HLO_RETURN_IF_ERROR(CheckArray(input, 1));
  if (!Compatible(*input.operands[0], *input.operands[1])) {
    return Error(input, "operands must have the same type and dims; broadcast or convert first");
  }
  return absl::OkStatus();
}

}  // namespace

Result InferUnary(const Input& input) {
  const Shape& x = *input.operands[0];
  if (input.opcode == Opcode::kCopy) return x.WithoutLayout();
  GLIA_HLO_RETURN_IF_ERROR(CheckArray(input, 0));
  GLIA_HLO_RETURN_IF_ERROR(CheckAccepted(input));
  if (input.opcode == Opcode::kIsFinite) return ArrayLike(kPred, x);
  if (input.opcode == Opcode::kAbs && IsComplex(x.type)) {
    return ArrayLike(x.type == kC64 ? kF32 : kF64, x);
  }
  if (input.opcode == Opcode::kReducePrecision &&
      (input.attributes.exponent_bits < 1 || input.attributes.mantissa_bits < 0)) {
    return Error(input, "exponent_bits must be at least 1 and mantissa_bits at least 0, but are ",
                 input.attributes.exponent_bits, " and ", input.attributes.mantissa_bits);
  }
  return ArrayLike(x.type, x);
}

Result InferConvert(const Input& input) {
  GLIA_HLO_RETURN_IF_ERROR(CheckArray(input, 0));
  const Shape& x = *input.operands[0];
  if (!IsArrayType(input.declared.type)) return Error(input, "the result must be an array");
  if (IsComplex(x.type) && !IsComplex(input.declared.type)) {
    return Error(input, "complex to ", Name(input.declared.type), " is not a conversion");
  }
  return ArrayLike(input.declared.type, x);
}

Result InferBitcastConvert(const Input& input) {
  GLIA_HLO_RETURN_IF_ERROR(CheckArray(input, 0));
  const Shape& x = *input.operands[0];
  const PrimitiveType type = input.declared.type;
  if (!IsArrayType(type)) return Error(input, "the result must be an array");
  if (IsComplex(x.type) != IsComplex(type)) {
    return Error(input, "cannot reinterpret ", Name(x.type), " as ", Name(type));
  }
  const int64_t from = ByteSize(x.type);
  const int64_t to = ByteSize(type);
  Shape result = ArrayLike(type, x);
  if (from > to) {
    result.dims.push_back(from / to);
  } else if (from < to) {
    if (x.dims.empty() || x.dims.back() != to / from) {
      return Error(input, "to ", Name(type), " the last dim must be ", to / from);
    }
    result.dims.pop_back();
  }
  return result;
}

Result InferBinary(const Input& input) {
  GLIA_HLO_RETURN_IF_ERROR(CheckSameShapes(input));
  GLIA_HLO_RETURN_IF_ERROR(CheckAccepted(input));
  return ArrayLike(input.operands[0]->type, *input.operands[0]);
}

Result InferCompare(const Input& input) {
  GLIA_HLO_RETURN_IF_ERROR(CheckSameShapes(input));
  const ComparisonDirection direction = input.attributes.comparison_direction;
  if (IsComplex(input.operands[0]->type) && direction != ComparisonDirection::kEq &&
      direction != ComparisonDirection::kNe) {
    return Error(input, "complex numbers have no order; only EQ and NE");
  }
  return ArrayLike(kPred, *input.operands[0]);
}

Result InferClamp(const Input& input) {
  const Shape& x = *input.operands[1];
  GLIA_HLO_RETURN_IF_ERROR(CheckArray(input, 1));
  for (size_t i : {size_t{0}, size_t{2}}) {
    GLIA_HLO_RETURN_IF_ERROR(CheckArray(input, i));
    const Shape& bound = *input.operands[i];
    if (bound.type != x.type || !(bound.IsScalar() || SameDims(bound, x))) {
      return Error(input, "bounds must have the operand's type, and be scalars or have its dims");
    }
  }
  if (IsComplex(x.type)) return Error(input, "complex numbers have no order");
  return ArrayLike(x.type, x);
}

Result InferSelect(const Input& input) {
  const Shape& pred = *input.operands[0];
  const Shape& on_true = *input.operands[1];
  GLIA_HLO_RETURN_IF_ERROR(CheckArray(input, 1));
  if (!Compatible(on_true, *input.operands[2])) {
    return Error(input, "both values must have the same type and dims");
  }
  if (pred.type != kPred || !(pred.IsScalar() || SameDims(pred, on_true))) {
    return Error(input, "the predicate must be pred[] or have the values' dims");
  }
  return ArrayLike(on_true.type, on_true);
}

}  // namespace glia::hlo::inference
