// How each element-wise HLO operation is computed on tiles.
#include <array>
#include <cmath>

#include "absl/strings/str_cat.h"
#include "compiler/codegen/elementwise.h"
#include "compiler/codegen/fusion.h"
#include "serialization/isa/table.h"

namespace glia::compiler {
namespace {

using hlo::Instruction;
using hlo::Opcode;

// Integers up to here are exact in the fp32 immediate of an instruction.
constexpr int64_t kExactImmediate = int64_t{1} << 24;

// One operation on tiles being emitted.
struct TileOp {
  Emitter& e;
  const Instruction& hlo;
  absl::Span<const TileValue> in;
  DType dtype;  // of the result
  int partitions;
  int64_t free;  // elements of the result: 1 if all operands are columns or splats

  Tile New() const { return e.NewTile(dtype, partitions, free, hlo.name()); }
  // Where the result goes, converted on the way if that is of another type.
  Operand Out() const { return target.has_value() ? *target : New().all(); }
  bool is_float() const { return isa::IsFloat(dtype); }
  DType in_dtype(int i) const { return *DeviceType(hlo.operand(i)->shape.type); }

  // The operand as an instruction wants it: `free` elements a partition.
  Operand Wide(int i) const { return WideOf(in[i], in_dtype(i)); }
  Operand WideOf(const TileValue& value, DType type) const {
    Operand o;
    if (value.is_splat()) {
      o = Column(value, type);
    } else if (!value.column) {
      return *value.operand;
    } else {
      o = *value.operand;
    }
    o.size[isa::kFreeDims - 1] = static_cast<uint16_t>(free);
    o.stride[isa::kFreeDims - 1] = 0;
    return o;
  }
  // A splat or column as [P, 1].
  Operand Column(const TileValue& value, DType type) const {
    if (!value.is_splat()) return *value.operand;
    const Operand o = e.NewTile(type, partitions, 1, "splat").all();
    if (isa::IsFloat(type)) {
      e.Memset(o, value.splat);
    } else {
      e.MemsetInt(o, value.splat_int);
    }
    return o;
  }
  bool narrow(int i) const { return in[i].is_splat() || in[i].column; }
  // As the scalar of tensor_scalar; requires narrow(i).
  Scalar ScalarOf(int i) const {
    const TileValue& v = in[i];
    const bool exact = isa::IsFloat(in_dtype(i)) ||
                       (v.splat_int >= -kExactImmediate && v.splat_int <= kExactImmediate);
    if (v.is_splat() && exact) return Scalar(v.splat);
    return Scalar(Column(v, in_dtype(i)));
  }
  TileValue Result(const Operand& operand) const {
    TileValue value;
    value.operand = operand;
    value.column = column;
    return value;
  }
  bool column = false;  // the result is one
  absl::optional<Operand> target;
};

using TileFn = absl::StatusOr<TileValue> (*)(const TileOp& op, AluOp alu, ActFn fn, ActFn int_fn);

absl::StatusOr<TileValue> Unary(const TileOp& op, AluOp, ActFn fn, ActFn int_fn) {
  const Operand out = op.Out();
  op.e.Activate(out, op.Wide(0), isa::IsFloat(op.in_dtype(0)) ? fn : int_fn);
  return op.Result(out);
}

absl::StatusOr<TileValue> Binary(const TileOp& op, AluOp alu, ActFn, ActFn) {
  const Operand out = op.Out();
  if (op.narrow(1)) {
    op.e.TensorScalar(out, op.Wide(0), alu, op.ScalarOf(1));
  } else if (op.narrow(0)) {
    op.e.TensorScalar(out, op.Wide(1), alu, op.ScalarOf(0), AluOp::kBypass, 0, isa::kReverse0);
  } else {
    op.e.TensorTensor(out, op.Wide(0), op.Wide(1), alu);
  }
  return op.Result(out);
}

// And, or, xor: bits of integers, truth of booleans.
absl::StatusOr<TileValue> Logical(const TileOp& op, AluOp alu, ActFn, ActFn) {
  if (op.dtype == DType::kPred) {
    const AluOp truth = alu == AluOp::kAnd  ? AluOp::kLogicalAnd
                        : alu == AluOp::kOr ? AluOp::kLogicalOr
                                            : AluOp::kLogicalXor;
    return Binary(op, truth, ActFn::kCopy, ActFn::kCopy);
  }
  // Raw operations take no immediate: its type would not be that of the other input.
  const Operand out = op.Out();
  op.e.TensorTensor(out, op.Wide(0), op.Wide(1), alu);
  return op.Result(out);
}

absl::StatusOr<TileValue> Not(const TileOp& op, AluOp, ActFn, ActFn) {
  const Operand out = op.Out();
  if (op.dtype == DType::kPred) {
    op.e.TensorScalar(out, op.Wide(0), AluOp::kLogicalXor, 1);
  } else {
    op.e.Activate(out, op.Wide(0), ActFn::kNot);
  }
  return op.Result(out);
}

absl::StatusOr<TileValue> Negate(const TileOp& op, AluOp, ActFn, ActFn) {
  const Operand out = op.Out();
  if (op.is_float()) {
    op.e.TensorScalar(out, op.Wide(0), AluOp::kMultiply, -1);
  } else {
    op.e.Activate(out, op.Wide(0), ActFn::kNegate);
  }
  return op.Result(out);
}

absl::StatusOr<TileValue> Convert(const TileOp& op, AluOp, ActFn, ActFn) {
  if (op.in_dtype(0) == op.dtype) return op.Result(op.Wide(0));
  const Operand out = op.Out();
  op.e.Copy(out, op.Wide(0));
  return op.Result(out);
}

absl::StatusOr<TileValue> BitcastConvert(const TileOp& op, AluOp, ActFn, ActFn) {
  if (isa::DTypeBytes(op.in_dtype(0)) != isa::DTypeBytes(op.dtype)) {
    return absl::UnimplementedError("bitcast-convert between sizes within a group");
  }
  return op.Result(Bits(op.Wide(0), op.dtype));
}

DType SignedOfSize(int bytes) {
  return bytes == 8   ? DType::kI64
         : bytes == 4 ? DType::kI32
         : bytes == 2 ? DType::kI16
                      : DType::kI8;
}

// Bits of a float as an integer whose order is the total order: the lower bits of negatives flip.
Operand TotalOrderKey(const TileOp& op, int i) {
  const int bytes = isa::DTypeBytes(op.in_dtype(i));
  const DType type = SignedOfSize(bytes);
  const auto tile = [&] { return op.e.NewTile(type, op.partitions, op.free, "order").all(); };
  const Operand bits = Bits(op.Wide(i), type);
  const Operand flip = tile(), amount = tile(), mask = tile(), key = tile();
  op.e.MemsetInt(amount, bytes * 8 - 1);
  op.e.TensorTensor(flip, bits, amount, AluOp::kShiftRightArithmetic);
  op.e.MemsetInt(mask, bytes == 4 ? INT32_MAX : INT16_MAX);
  const Operand low = tile();
  op.e.TensorTensor(low, flip, mask, AluOp::kAnd);
  op.e.TensorTensor(key, bits, low, AluOp::kXor);
  return key;
}

absl::StatusOr<TileValue> Compare(const TileOp& op, AluOp, ActFn, ActFn) {
  static constexpr std::array<AluOp, 6> kDirections = {AluOp::kEq, AluOp::kNe, AluOp::kGe,
                                                       AluOp::kGt, AluOp::kLe, AluOp::kLt};
  const AluOp alu = kDirections[static_cast<size_t>(op.hlo.comparison_direction)];
  const bool total = op.hlo.comparison_type == hlo::ComparisonType::kTotalOrder;
  if (!total || !isa::IsFloat(op.in_dtype(0))) return Binary(op, alu, ActFn::kCopy, ActFn::kCopy);
  const Operand a = TotalOrderKey(op, 0), b = TotalOrderKey(op, 1);
  const Operand out = op.Out();
  op.e.TensorTensor(out, a, b, alu);
  return op.Result(out);
}

absl::StatusOr<TileValue> Select(const TileOp& op, AluOp, ActFn, ActFn) {
  const Operand out = op.Out();
  op.e.Select(out, op.Wide(0), op.Wide(1), op.Wide(2));
  return op.Result(out);
}

absl::StatusOr<TileValue> Clamp(const TileOp& op, AluOp, ActFn, ActFn) {
  const Operand out = op.Out();
  if (op.narrow(0) && op.narrow(2)) {
    op.e.TensorScalar(out, op.Wide(1), AluOp::kMax, op.ScalarOf(0), AluOp::kMin, op.ScalarOf(2));
    return op.Result(out);
  }
  const Operand raised = op.New().all();
  op.e.TensorTensor(raised, op.Wide(1), op.Wide(0), AluOp::kMax);
  op.e.TensorTensor(out, raised, op.Wide(2), AluOp::kMin);
  return op.Result(out);
}

// Rounds the mantissa to `m` bits, ties to even, on the bits of an fp32: carries into the exponent
// are right, also to infinity. A smaller exponent range then overflows to infinity and flushes to
// zero. NaN stays.
absl::StatusOr<TileValue> ReducePrecision(const TileOp& op, AluOp, ActFn, ActFn) {
  const int exponent_bits = op.hlo.exponent_bits, mantissa_bits = op.hlo.mantissa_bits;
  Emitter& e = op.e;
  const auto tile = [&](DType t) {
    return e.NewTile(t, op.partitions, op.free, "precision").all();
  };
  const Operand x = tile(DType::kF32);
  e.Copy(x, op.Wide(0));
  Operand y = x;
  if (mantissa_bits < 23) {
    const Operand bits = Bits(x, DType::kU32);
    const auto constant = [&](int64_t v) {
      const Operand c = e.NewTile(DType::kU32, op.partitions, 1, "splat").all();
      e.MemsetInt(c, v);
      TileValue value;
      value.operand = c;
      value.column = true;
      return op.WideOf(value, DType::kU32);
    };
    const int drop = 23 - mantissa_bits;
    const Operand odd = tile(DType::kU32), one = tile(DType::kU32), sum = tile(DType::kU32),
                  sum2 = tile(DType::kU32), rounded = tile(DType::kU32);
    e.TensorTensor(odd, bits, constant(drop), AluOp::kShiftRightLogical);
    e.TensorTensor(one, odd, constant(1), AluOp::kAnd);
    e.TensorTensor(sum, bits, one, AluOp::kAdd, Engine::kPool);
    e.TensorTensor(sum2, sum, constant((int64_t{1} << (drop - 1)) - 1), AluOp::kAdd, Engine::kPool);
    e.TensorTensor(rounded, sum2, constant(0xffffffffLL - ((int64_t{1} << drop) - 1)), AluOp::kAnd);
    y = Bits(rounded, DType::kF32);
  }
  if (exponent_bits < 8) {
    const int bias = (1 << (exponent_bits - 1)) - 1;
    const float largest = std::ldexp(2.0f - std::ldexp(1.0f, -mantissa_bits), bias);
    const float smallest = std::ldexp(1.0f, 1 - bias);
    const Operand magnitude = tile(DType::kF32), over = tile(DType::kPred),
                  under = tile(DType::kPred), infinite = tile(DType::kF32),
                  zero = tile(DType::kF32), a = tile(DType::kF32), b = tile(DType::kF32);
    e.Activate(magnitude, y, ActFn::kAbs);
    e.TensorScalar(over, magnitude, AluOp::kGt, largest);
    e.TensorScalar(under, magnitude, AluOp::kLt, smallest);
    e.TensorScalar(infinite, y, AluOp::kMultiply, INFINITY);
    e.TensorScalar(zero, y, AluOp::kMultiply, 0);
    e.Select(a, over, infinite, y);
    e.Select(b, under, zero, a);
    y = b;
  }
  const Operand is_nan = tile(DType::kPred);
  e.TensorTensor(is_nan, x, x, AluOp::kNe);
  const Operand out = op.Out();
  e.Select(out, is_nan, x, y);
  return op.Result(out);
}

struct Row {
  Opcode opcode;
  TileFn emit;
  AluOp alu = AluOp::kBypass;
  ActFn fn = ActFn::kCopy;      // of floats
  ActFn int_fn = ActFn::kCopy;  // of integers
};

constexpr Row Act(Opcode opcode, ActFn fn, ActFn int_fn = ActFn::kCopy) {
  return {opcode, Unary, AluOp::kBypass, fn, int_fn};
}

constexpr Row kRows[] = {
    Act(Opcode::kAbs, ActFn::kAbs, ActFn::kAbsInt),
    Act(Opcode::kCbrt, ActFn::kCbrt),
    Act(Opcode::kCeil, ActFn::kCeil),
    Act(Opcode::kClz, ActFn::kClz, ActFn::kClz),
    Act(Opcode::kCos, ActFn::kCos),
    Act(Opcode::kErf, ActFn::kErf),
    Act(Opcode::kExp, ActFn::kExp),
    Act(Opcode::kExpm1, ActFn::kExpm1),
    Act(Opcode::kFloor, ActFn::kFloor),
    Act(Opcode::kIsFinite, ActFn::kIsFinite, ActFn::kIsFinite),
    Act(Opcode::kLog, ActFn::kLog),
    Act(Opcode::kLog1p, ActFn::kLog1p),
    Act(Opcode::kLogistic, ActFn::kSigmoid),
    Act(Opcode::kPopulationCount, ActFn::kPopcount, ActFn::kPopcount),
    Act(Opcode::kRoundNearestAfz, ActFn::kRoundAway),
    Act(Opcode::kRoundNearestEven, ActFn::kRoundEven),
    Act(Opcode::kRsqrt, ActFn::kRsqrt),
    Act(Opcode::kSign, ActFn::kSign, ActFn::kSignInt),
    Act(Opcode::kSin, ActFn::kSinWide),
    Act(Opcode::kSqrt, ActFn::kSqrt),
    Act(Opcode::kTan, ActFn::kTan),
    Act(Opcode::kTanh, ActFn::kTanh),
    {Opcode::kNegate, Negate},
    {Opcode::kNot, Not},
    {Opcode::kReducePrecision, ReducePrecision},
    {Opcode::kConvert, Convert},
    {Opcode::kBitcastConvert, BitcastConvert},
    {Opcode::kAdd, Binary, AluOp::kAdd},
    {Opcode::kSubtract, Binary, AluOp::kSubtract},
    {Opcode::kMultiply, Binary, AluOp::kMultiply},
    {Opcode::kDivide, Binary, AluOp::kDivide},
    {Opcode::kRemainder, Binary, AluOp::kRemainder},
    {Opcode::kPower, Binary, AluOp::kPower},
    {Opcode::kAtan2, Binary, AluOp::kAtan2},
    {Opcode::kMaximum, Binary, AluOp::kMax},
    {Opcode::kMinimum, Binary, AluOp::kMin},
    {Opcode::kAnd, Logical, AluOp::kAnd},
    {Opcode::kOr, Logical, AluOp::kOr},
    {Opcode::kXor, Logical, AluOp::kXor},
    {Opcode::kShiftLeft, Logical, AluOp::kShiftLeft},
    {Opcode::kShiftRightLogical, Logical, AluOp::kShiftRightLogical},
    {Opcode::kShiftRightArithmetic, Logical, AluOp::kShiftRightArithmetic},
    {Opcode::kCompare, Compare},
    {Opcode::kSelect, Select},
    {Opcode::kClamp, Clamp},
};

const Row* FindRow(Opcode opcode) {
  static const std::array<const Row*, hlo::kOpcodeCount> table = [] {
    std::array<const Row*, hlo::kOpcodeCount> t = {};
    for (const Row& row : kRows) t[static_cast<size_t>(row.opcode)] = &row;
    return t;
  }();
  return table[static_cast<size_t>(opcode)];
}

}  // namespace

absl::StatusOr<TileValue> EmitTileOp(Emitter& e, const Instruction& hlo,
                                     absl::Span<const TileValue> operands, int partitions,
                                     int64_t free, absl::optional<Operand> target) {
  const Row* row = FindRow(hlo.opcode());
  if (row == nullptr) {
    return absl::UnimplementedError(
        absl::StrCat("no tile operation for ", std::string(hlo::OpcodeName(hlo.opcode()))));
  }
  const absl::StatusOr<DType> dtype = DeviceType(hlo.shape.type);
  if (!dtype.ok()) return dtype.status();
  bool column = true;
  for (const TileValue& v : operands) column = column && (v.is_splat() || v.column);
  TileOp op{e, hlo, operands, *dtype, partitions, column ? 1 : free, false, {}};
  op.column = column && free != 1;
  if (!op.column) op.target = std::move(target);
  return row->emit(op, row->alu, row->fn, row->int_fn);
}

Operand Materialize(Emitter& e, const TileValue& value, DType dtype, int partitions, int64_t free) {
  const Operand out = e.NewTile(dtype, partitions, free, "result").all();
  if (value.is_splat()) {
    if (isa::IsFloat(dtype)) {
      e.Memset(out, value.splat);
    } else {
      e.MemsetInt(out, value.splat_int);
    }
    return out;
  }
  Operand from = *value.operand;
  if (value.column) {
    from.size[isa::kFreeDims - 1] = static_cast<uint16_t>(free);
    from.stride[isa::kFreeDims - 1] = 0;
  }
  e.Copy(out, from);
  return out;
}

absl::StatusOr<std::vector<Operand>> Emitter::ApplyScalar(const hlo::Computation& computation,
                                                          absl::Span<const Operand> arguments) {
  if (arguments.empty()) return absl::InternalError("a scalar computation without arguments");
  const int partitions = arguments[0].num_partitions;
  const int64_t free = arguments[0].free_elements();
  absl::flat_hash_map<const Instruction*, TileValue> values;
  std::vector<const Instruction*> results;
  for (const Instruction* hlo : computation.PostOrder()) {
    TileValue& value = values[hlo];
    switch (hlo->opcode()) {
      case Opcode::kParameter:
        if (hlo->parameter_number >= static_cast<int64_t>(arguments.size())) {
          return absl::InternalError(absl::StrCat("computation '", computation.name(),
                                                  "' takes more than ", arguments.size(),
                                                  " arguments"));
        }
        value.operand = arguments[hlo->parameter_number];
        break;
      case Opcode::kConstant:
        value.splat = hlo->constant().GetAsDouble(0);
        if (!hlo::IsFloating(hlo->shape.type)) value.splat_int = hlo->constant().GetAsInt64(0);
        break;
      case Opcode::kTuple:
        break;
      case Opcode::kCopy:
      case Opcode::kBroadcast:
      case Opcode::kReshape:
      case Opcode::kBitcast:
        value = values[hlo->operand(0)];
        break;
      default: {
        std::vector<TileValue> operands;
        for (const Instruction* operand : hlo->operands()) operands.push_back(values[operand]);
        absl::StatusOr<TileValue> result = EmitTileOp(*this, *hlo, operands, partitions, free);
        if (!result.ok()) return result.status();
        values[hlo] = *result;
      }
    }
  }
  const Instruction* root = computation.root();
  if (root->opcode() == Opcode::kTuple) {
    results.assign(root->operands().begin(), root->operands().end());
  } else {
    results.push_back(root);
  }
  std::vector<Operand> operands;
  for (const Instruction* result : results) {
    const TileValue& value = values[result];
    if (value.is_splat() || value.column) {
      const absl::StatusOr<DType> dtype = DeviceType(result->shape.type);
      if (!dtype.ok()) return dtype.status();
      operands.push_back(Materialize(*this, value, *dtype, partitions, free));
    } else {
      operands.push_back(*value.operand);
    }
  }
  if (!ok()) return status_;
  return operands;
}

}  // namespace glia::compiler
