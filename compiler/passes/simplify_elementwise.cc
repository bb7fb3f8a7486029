#include <cmath>
#include <limits>

#include "compiler/passes/rewrite.h"
#include "compiler/passes/simplify.h"

namespace glia::compiler {
namespace {

using hlo::Instruction;
using hlo::Opcode;

bool IsInteger(const Instruction& instr) {
  return hlo::IsIntegral(instr.shape.type) || instr.shape.type == hlo::kPred;
}

// All bits set: -1, or true.
bool IsAllOnes(const Instruction& instr) {
  if (instr.shape.type == hlo::kPred) return IsAll(instr, 1);
  if (hlo::IsSignedInt(instr.shape.type)) return IsAll(instr, -1);
  if (instr.shape.type == hlo::kU64) return false;  // not exact in a double
  return IsAll(instr, std::ldexp(1.0, static_cast<int>(8 * hlo::ByteSize(instr.shape.type))) - 1);
}

// The operand that `neutral` does not hold for, if it holds for the other.
template <typename F>
Instruction* OtherOperand(Instruction* instr, F neutral) {
  if (neutral(*instr->operand(1))) return instr->operand(0);
  if (neutral(*instr->operand(0))) return instr->operand(1);
  return nullptr;
}

Instruction* AddZero(Instruction* instr) {
  return OtherOperand(instr, [](const Instruction& x) { return IsAll(x, 0); });
}

Instruction* SubtractZero(Instruction* instr) {
  return IsAll(*instr->operand(1), 0) ? instr->operand(0) : nullptr;
}

Instruction* SubtractSelf(Instruction* instr) {
  if (!IsInteger(*instr) || instr->operand(0) != instr->operand(1)) return nullptr;
  Rewriter rewriter(*instr);
  return rewriter.Fill(rewriter.Scalar(instr->shape.type, 0), instr->shape.dims);
}

Instruction* MultiplyOne(Instruction* instr) {
  return OtherOperand(instr, [](const Instruction& x) { return IsAll(x, 1); });
}

// Of floats, 0 * inf and 0 * nan are not 0.
Instruction* MultiplyZero(Instruction* instr) {
  if (!IsInteger(*instr)) return nullptr;
  if (IsAll(*instr->operand(0), 0)) return instr->operand(0);
  return IsAll(*instr->operand(1), 0) ? instr->operand(1) : nullptr;
}

Instruction* DivideByOne(Instruction* instr) {
  return IsAll(*instr->operand(1), 1) ? instr->operand(0) : nullptr;
}

// x / 2^k is x * 2^-k exactly, while both powers are normal numbers.
Instruction* DivideByPowerOfTwo(Instruction* instr) {
  if (instr->shape.type != hlo::kF32) return nullptr;
  const auto divisor = SplatValue(*instr->operand(1));
  if (!divisor.has_value() || *divisor == 0 || !std::isfinite(*divisor)) return nullptr;
  int exponent;
  if (std::fabs(std::frexp(*divisor, &exponent)) != 0.5 || std::abs(exponent) > 120) return nullptr;
  Rewriter rewriter(*instr);
  Instruction* factor = rewriter.Scalar(instr->shape.type, 1 / *divisor);
  return rewriter.Binary(Opcode::kMultiply, instr->operand(0),
                         rewriter.Fill(factor, instr->shape.dims));
}

Instruction* PowerOfConstant(Instruction* instr) {
  Instruction* x = instr->operand(0);
  if (IsAll(*instr->operand(1), 1)) return x;
  if (IsAll(*instr->operand(1), 2)) return Rewriter(*instr).Binary(Opcode::kMultiply, x, x);
  return nullptr;
}

Instruction* SameOperands(Instruction* instr) {
  return instr->operand(0) == instr->operand(1) ? instr->operand(0) : nullptr;
}

// The type's own lowest value changes no maximum, and its highest no minimum.
bool IsExtreme(const Instruction& x, bool lowest) {
  const hlo::PrimitiveType type = x.shape.type;
  const double sign = lowest ? -1 : 1;
  if (hlo::IsFloating(type)) return IsAll(x, sign * std::numeric_limits<double>::infinity());
  if (type == hlo::kPred) return IsAll(x, lowest ? 0 : 1);
  const int bits = static_cast<int>(8 * hlo::ByteSize(type));
  if (bits == 64) return false;  // not exact in a double
  if (hlo::IsUnsignedInt(type)) return IsAll(x, lowest ? 0 : std::ldexp(1.0, bits) - 1);
  return IsAll(x, lowest ? -std::ldexp(1.0, bits - 1) : std::ldexp(1.0, bits - 1) - 1);
}

Instruction* MaximumOfLowest(Instruction* instr) {
  return OtherOperand(instr, [](const Instruction& x) { return IsExtreme(x, true); });
}

Instruction* MinimumOfHighest(Instruction* instr) {
  return OtherOperand(instr, [](const Instruction& x) { return IsExtreme(x, false); });
}

Instruction* AndAllOnes(Instruction* instr) { return OtherOperand(instr, IsAllOnes); }

Instruction* AndZero(Instruction* instr) {
  if (IsAll(*instr->operand(0), 0)) return instr->operand(0);
  return IsAll(*instr->operand(1), 0) ? instr->operand(1) : nullptr;
}

Instruction* OrAllOnes(Instruction* instr) {
  if (IsAllOnes(*instr->operand(0))) return instr->operand(0);
  return IsAllOnes(*instr->operand(1)) ? instr->operand(1) : nullptr;
}

// negate(negate(x)), not(not(x)).
Instruction* Involution(Instruction* instr) {
  Instruction* inner = instr->operand(0);
  return inner->opcode() == instr->opcode() ? inner->operand(0) : nullptr;
}

// abs(abs(x)), floor(floor(x)), sign(sign(x)), …
Instruction* Idempotent(Instruction* instr) {
  Instruction* inner = instr->operand(0);
  return inner->opcode() == instr->opcode() && inner->shape == instr->shape ? inner : nullptr;
}

Instruction* Copy(Instruction* instr) { return instr->operand(0); }

Instruction* SelectConstant(Instruction* instr) {
  if (instr->operand(1) == instr->operand(2)) return instr->operand(1);
  if (IsAll(*instr->operand(0), 1)) return instr->operand(1);
  return IsAll(*instr->operand(0), 0) ? instr->operand(2) : nullptr;
}

// The other operands of select have its dims; a scalar predicate is given them too.
Instruction* SelectScalar(Instruction* instr) {
  if (!instr->operand(0)->shape.IsScalar() || instr->shape.IsScalar() || !instr->shape.IsArray()) {
    return nullptr;
  }
  Rewriter rewriter(*instr);
  return rewriter.Add(
      Opcode::kSelect, instr->shape,
      {rewriter.Fill(instr->operand(0), instr->shape.dims), instr->operand(1), instr->operand(2)});
}

Instruction* SelectNot(Instruction* instr) {
  Instruction* pred = instr->operand(0);
  if (pred->opcode() != Opcode::kNot) return nullptr;
  return Rewriter(*instr).Add(Opcode::kSelect, instr->shape,
                              {pred->operand(0), instr->operand(2), instr->operand(1)});
}

// Of integers: x == x and its like. (NaN differs from itself.)
Instruction* CompareSelf(Instruction* instr) {
  if (instr->operand(0) != instr->operand(1) || !IsInteger(*instr->operand(0))) return nullptr;
  using Direction = hlo::ComparisonDirection;
  const Direction direction = instr->comparison_direction;
  const bool value =
      direction == Direction::kEq || direction == Direction::kGe || direction == Direction::kLe;
  Rewriter rewriter(*instr);
  return rewriter.Fill(rewriter.Scalar(hlo::kPred, value ? 1 : 0), instr->shape.dims);
}

// Whether every value of `from` is a value of `to`.
bool IsLossless(hlo::PrimitiveType from, hlo::PrimitiveType to) {
  if (from == to) return true;
  const int64_t from_bits = from == hlo::kPred ? 1 : 8 * hlo::ByteSize(from);
  const int64_t to_bits = 8 * hlo::ByteSize(to);
  const bool from_unsigned = hlo::IsUnsignedInt(from) || from == hlo::kPred;
  if (from_unsigned || hlo::IsSignedInt(from)) {
    if (hlo::IsSignedInt(to))
      return from_bits < to_bits || (from_bits == to_bits && !from_unsigned);
    if (hlo::IsUnsignedInt(to)) return from_unsigned && from_bits <= to_bits;
    // Bits of a float's mantissa.
    const int64_t exact = to == hlo::kF64 ? 53 : to == hlo::kF32 ? 24 : to == hlo::kF16 ? 11 : 8;
    return hlo::IsFloating(to) && from_bits <= exact && to_bits >= 16;
  }
  if (!hlo::IsFloating(from) || !hlo::IsFloating(to)) return false;
  return to_bits >= 32 && to_bits > from_bits;
}

Instruction* ConvertConvert(Instruction* instr) {
  Instruction* inner = instr->operand(0);
  if (inner->shape.type == instr->shape.type) return inner;
  if (inner->opcode() != Opcode::kConvert) return nullptr;
  Instruction* x = inner->operand(0);
  return IsLossless(x->shape.type, inner->shape.type)
             ? Rewriter(*instr).Convert(x, instr->shape.type)
             : nullptr;
}

Instruction* BitcastConvertSelf(Instruction* instr) {
  return instr->operand(0)->shape == instr->shape ? instr->operand(0) : nullptr;
}

constexpr SimplifyRule kRules[] = {
    {"x+0", Opcode::kAdd, AddZero},
    {"x-0", Opcode::kSubtract, SubtractZero},
    {"x-x", Opcode::kSubtract, SubtractSelf},
    {"x*1", Opcode::kMultiply, MultiplyOne},
    {"x*0", Opcode::kMultiply, MultiplyZero},
    {"x/1", Opcode::kDivide, DivideByOne},
    {"x/2^k", Opcode::kDivide, DivideByPowerOfTwo},
    {"x^const", Opcode::kPower, PowerOfConstant},
    {"max(x,x)", Opcode::kMaximum, SameOperands},
    {"max(x,lowest)", Opcode::kMaximum, MaximumOfLowest},
    {"min(x,x)", Opcode::kMinimum, SameOperands},
    {"min(x,highest)", Opcode::kMinimum, MinimumOfHighest},
    {"x&x", Opcode::kAnd, SameOperands},
    {"x&~0", Opcode::kAnd, AndAllOnes},
    {"x&0", Opcode::kAnd, AndZero},
    {"x|x", Opcode::kOr, SameOperands},
    {"x|0", Opcode::kOr, AddZero},
    {"x|~0", Opcode::kOr, OrAllOnes},
    {"x^0", Opcode::kXor, AddZero},
    {"x<<0", Opcode::kShiftLeft, SubtractZero},
    {"x>>0", Opcode::kShiftRightLogical, SubtractZero},
    {"x>>0", Opcode::kShiftRightArithmetic, SubtractZero},
    {"-(-x)", Opcode::kNegate, Involution},
    {"~~x", Opcode::kNot, Involution},
    {"abs(abs)", Opcode::kAbs, Idempotent},
    {"floor(floor)", Opcode::kFloor, Idempotent},
    {"ceil(ceil)", Opcode::kCeil, Idempotent},
    {"round(round)", Opcode::kRoundNearestEven, Idempotent},
    {"sign(sign)", Opcode::kSign, Idempotent},
    {"copy", Opcode::kCopy, Copy},
    {"select(const)", Opcode::kSelect, SelectConstant},
    {"select(scalar)", Opcode::kSelect, SelectScalar},
    {"select(not)", Opcode::kSelect, SelectNot},
    {"x==x", Opcode::kCompare, CompareSelf},
    {"convert(convert)", Opcode::kConvert, ConvertConvert},
    {"bitcast-convert", Opcode::kBitcastConvert, BitcastConvertSelf},
};

}  // namespace

absl::Span<const SimplifyRule> ElementwiseRules() { return kRules; }

Instruction* ElementwiseOfBroadcasts(Instruction* instr) {
  if (!hlo::IsElementwise(instr->opcode()) || !instr->shape.IsArray()) return nullptr;
  // The broadcast whose operand has the most elements; all others equal it but for repeated
  // scalars.
  const Instruction* model = nullptr;
  for (const Instruction* operand : instr->operands()) {
    if (operand->opcode() != Opcode::kBroadcast || operand->shape.dims != instr->shape.dims)
      return nullptr;
    if (model == nullptr || model->operand(0)->shape.IsScalar()) model = operand;
  }
  const hlo::Shape& inner = model->operand(0)->shape;
  if (inner.elements() >= instr->shape.elements()) return nullptr;
  for (const Instruction* operand : instr->operands()) {
    const hlo::Shape& shape = operand->operand(0)->shape;
    const bool same = shape.dims == inner.dims && operand->dimensions == model->dimensions;
    if (!same && !shape.IsScalar()) return nullptr;
  }
  Rewriter rewriter(*instr);
  std::vector<Instruction*> operands;
  for (const Instruction* operand : instr->operands()) {
    operands.push_back(rewriter.Fill(operand->operand(0), inner.dims));
  }
  Instruction* result = instr->parent()->AddCopy(*instr, operands);
  result->shape = instr->shape.WithDims(inner.dims);
  return rewriter.Broadcast(result, instr->shape.dims, model->dimensions);
}

}  // namespace glia::compiler
