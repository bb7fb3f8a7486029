#include "serialization/isa/table.h"

#include <cstddef>

namespace glia::isa {
namespace {

constexpr EngineSet PE = Bit(Engine::kPe), ACT = Bit(Engine::kAct), POOL = Bit(Engine::kPool),
                    DVE = Bit(Engine::kDve), SP = Bit(Engine::kSp), NOT_PE = ACT | POOL | DVE | SP,
                    ANY = PE | NOT_PE;

constexpr DTypeInfo kDTypeTable[] = {
    {DType::kPred, "pred", 1, false, false}, {DType::kU8, "u8", 1, false, false},
    {DType::kI8, "s8", 1, false, true},      {DType::kU16, "u16", 2, false, false},
    {DType::kI16, "s16", 2, false, true},    {DType::kU32, "u32", 4, false, false},
    {DType::kI32, "s32", 4, false, true},    {DType::kU64, "u64", 8, false, false},
    {DType::kI64, "s64", 8, false, true},    {DType::kF32, "f32", 4, true, true},
    {DType::kBf16, "bf16", 2, true, true},   {DType::kF16, "f16", 2, true, true},
};

// On DVE: nki.api.shared, table of operators. Atan2 and the floor division are not in it.
constexpr AluOpInfo kAluOpTable[] = {
    {AluOp::kBypass, "bypass", DVE | POOL, false},
    {AluOp::kAdd, "add", DVE | POOL, false},
    {AluOp::kSubtract, "subtract", DVE | POOL, false},
    {AluOp::kMultiply, "multiply", DVE | POOL, false},
    {AluOp::kDivide, "divide", DVE | POOL, false},
    {AluOp::kMax, "max", DVE | POOL, false},
    {AluOp::kMin, "min", DVE | POOL, false},
    {AluOp::kPower, "power", DVE | POOL, false},
    {AluOp::kRemainder, "remainder", DVE | POOL, false},
    {AluOp::kAtan2, "atan2", POOL, false},
    {AluOp::kAnd, "and", DVE | POOL, true},
    {AluOp::kOr, "or", DVE | POOL, true},
    {AluOp::kXor, "xor", DVE | POOL, true},
    {AluOp::kShiftLeft, "shift_left", DVE | POOL, true},
    {AluOp::kShiftRightLogical, "shift_right_logical", DVE | POOL, true},
    {AluOp::kShiftRightArithmetic, "shift_right_arithmetic", DVE | POOL, true},
    {AluOp::kLogicalAnd, "logical_and", DVE | POOL, false},
    {AluOp::kLogicalOr, "logical_or", DVE | POOL, false},
    {AluOp::kLogicalXor, "logical_xor", DVE | POOL, false},
    {AluOp::kEq, "eq", DVE | POOL, false},
    {AluOp::kNe, "ne", DVE | POOL, false},
    {AluOp::kGt, "gt", DVE | POOL, false},
    {AluOp::kGe, "ge", DVE | POOL, false},
    {AluOp::kLt, "lt", DVE | POOL, false},
    {AluOp::kLe, "le", DVE | POOL, false},
    {AluOp::kAbsMax, "abs_max", DVE | POOL, false},
    {AluOp::kFloorDivide, "floor_divide", POOL, false},
};

constexpr ActFnInfo kActFnTable[] = {
    {ActFn::kCopy, "copy", ActTable::kEvery, false},
    {ActFn::kRelu, "relu", ActTable::kEvery, false},
    {ActFn::kLeakyRelu, "leaky_relu", ActTable::kEvery, false},
    {ActFn::kSigmoid, "sigmoid", ActTable::kExp, false},
    {ActFn::kTanh, "tanh", ActTable::kExp, false},
    {ActFn::kExp, "exp", ActTable::kExp, false},
    {ActFn::kLog, "log", ActTable::kLog, false},
    {ActFn::kSqrt, "sqrt", ActTable::kRoot, false},
    {ActFn::kRsqrt, "rsqrt", ActTable::kRoot, false},
    {ActFn::kSquare, "square", ActTable::kEvery, false},
    {ActFn::kAbs, "abs", ActTable::kEvery, false},
    {ActFn::kSign, "sign", ActTable::kEvery, false},
    {ActFn::kErf, "erf", ActTable::kGelu, false},
    {ActFn::kGelu, "gelu", ActTable::kGelu, false},
    {ActFn::kGeluTanh, "gelu_tanh", ActTable::kGelu, false},
    {ActFn::kSilu, "silu", ActTable::kExp, false},
    {ActFn::kSoftplus, "softplus", ActTable::kLog, false},
    {ActFn::kMish, "mish", ActTable::kLog, false},
    {ActFn::kSin, "sin", ActTable::kTrig, false},
    {ActFn::kArctan, "arctan", ActTable::kTrig, false},
    {ActFn::kReciprocal, "reciprocal", ActTable::kRoot, false},
    {ActFn::kFloor, "floor", ActTable::kPoolOnly, false},
    {ActFn::kCeil, "ceil", ActTable::kPoolOnly, false},
    {ActFn::kRoundEven, "round_even", ActTable::kPoolOnly, false},
    {ActFn::kRoundAway, "round_away", ActTable::kPoolOnly, false},
    {ActFn::kTrunc, "trunc", ActTable::kPoolOnly, false},
    {ActFn::kExpm1, "expm1", ActTable::kPoolOnly, false},
    {ActFn::kLog1p, "log1p", ActTable::kPoolOnly, false},
    {ActFn::kCbrt, "cbrt", ActTable::kPoolOnly, false},
    {ActFn::kCos, "cos", ActTable::kPoolOnly, false},
    {ActFn::kSinWide, "sin_wide", ActTable::kPoolOnly, false},
    {ActFn::kTan, "tan", ActTable::kPoolOnly, false},
    {ActFn::kIsFinite, "is_finite", ActTable::kPoolOnly, false},
    {ActFn::kNot, "not", ActTable::kPoolOnly, true},
    {ActFn::kNegate, "negate", ActTable::kPoolOnly, false},
    {ActFn::kPopcount, "popcount", ActTable::kPoolOnly, true},
    {ActFn::kClz, "clz", ActTable::kPoolOnly, true},
    {ActFn::kAbsInt, "abs_int", ActTable::kPoolOnly, true},
    {ActFn::kSignInt, "sign_int", ActTable::kPoolOnly, true},
};

constexpr DTypeSet F32 = Bit(DType::kF32), FLOATS = F32 | Bit(DType::kBf16) | Bit(DType::kF16),
                   U32 = Bit(DType::kU32), I32 = Bit(DType::kI32), I64 = Bit(DType::kI64),
                   ALL = (1u << kDTypes) - 1;

constexpr AluOpSet BYPASS = Bit(AluOp::kBypass), BINARY = ((1u << kAluOps) - 1) & ~BYPASS,
                   COMPARE = Bit(AluOp::kEq) | Bit(AluOp::kNe) | Bit(AluOp::kGt) | Bit(AluOp::kGe) |
                             Bit(AluOp::kLt) | Bit(AluOp::kLe),
                   REDUCE = Bit(AluOp::kAdd) | Bit(AluOp::kMultiply) | Bit(AluOp::kMax) |
                            Bit(AluOp::kMin) | Bit(AluOp::kAnd) | Bit(AluOp::kOr) |
                            Bit(AluOp::kXor) | Bit(AluOp::kLogicalAnd) | Bit(AluOp::kLogicalOr) |
                            Bit(AluOp::kLogicalXor) | Bit(AluOp::kAbsMax);

constexpr OperandRule T(char p, char f, SpaceSet s, DTypeSet d) {
  return {p, f, s, d, false, true};
}
constexpr OperandRule OT(char p, char f, SpaceSet s, DTypeSet d) {
  return {p, f, s, d, true, true};
}
constexpr OperandRule V(char p, char f, SpaceSet s, DTypeSet d) {
  return {p, f, s, d, false, false};
}
constexpr OperandRule OV(char p, char f, SpaceSet s, DTypeSet d) {
  return {p, f, s, d, true, false};
}
constexpr OperandRule NO = {};

struct N {
  constexpr N(int min_n, int max_n, int multiple_of)
      : min(min_n), max(max_n), multiple(multiple_of) {}
  int min, max, multiple;
};

struct Traits {
  bool equal_types, updates_dst;
  Src3Rule src3;
};
constexpr Traits PLAIN = {false, false, Src3Rule::kNever}, EQUAL = {true, false, Src3Rule::kNever},
                 UPDATES = {false, true, Src3Rule::kNever},
                 ACCUMULATES = {false, false, Src3Rule::kWithAccumulate},
                 PAYLOAD = {true, false, Src3Rule::kWithSrc2};

constexpr InstructionInfo kInstructionTable[] = {
#define GLIA_INSTRUCTION(code_, name_, engines_, dst_, src0_, src1_, src2_, src3_, fields_, op0_, \
                         op1_, flags_, n_, traits_, cost_)                                        \
  {Opcode::code_,                                                                                 \
   name_,                                                                                         \
   engines_,                                                                                      \
   {dst_, src0_, src1_, src2_, src3_},                                                            \
   fields_,                                                                                       \
   op0_,                                                                                          \
   op1_,                                                                                          \
   flags_,                                                                                        \
   (traits_).equal_types,                                                                         \
   (traits_).updates_dst,                                                                         \
   (traits_).src3,                                                                                \
   (n_).min,                                                                                      \
   (n_).max,                                                                                      \
   (n_).multiple,                                                                                 \
   CostClass::cost_},
#include "serialization/isa/instructions.inc"
#undef GLIA_INSTRUCTION
};

constexpr int kMaxOpcode = 128;
struct OpcodeIndex {
  int8_t row[kMaxOpcode] = {};
};
constexpr OpcodeIndex MakeOpcodeIndex() {
  OpcodeIndex index;
  for (int i = 0; i < kMaxOpcode; ++i) index.row[i] = -1;
  int8_t row = 0;
  for (const InstructionInfo& info : kInstructionTable) {
    index.row[static_cast<int>(info.opcode)] = row++;
  }
  return index;
}
constexpr OpcodeIndex kOpcodeIndex = MakeOpcodeIndex();

constexpr int kFirstPool = static_cast<int>(ActFn::kFirstPool);
constexpr int kActFns = static_cast<int>(ActFn::kReciprocal) + 1;

// Lookups index the tables: the rows must stand in the order of the enums.
constexpr bool TablesInOrder() {
  for (size_t i = 0; i < std::size(kDTypeTable); ++i) {
    if (static_cast<size_t>(kDTypeTable[i].dtype) != i) return false;
  }
  for (size_t i = 0; i < std::size(kAluOpTable); ++i) {
    if (static_cast<size_t>(kAluOpTable[i].op) != i) return false;
  }
  for (size_t i = 0; i < std::size(kActFnTable); ++i) {
    const size_t fn = i < kActFns ? i : i - kActFns + kFirstPool;
    if (static_cast<size_t>(kActFnTable[i].fn) != fn) return false;
  }
  return std::size(kDTypeTable) == kDTypes && std::size(kAluOpTable) == kAluOps;
}
static_assert(TablesInOrder());

}  // namespace

const DTypeInfo* FindDType(DType dtype) {
  const auto i = static_cast<size_t>(dtype);
  return i < std::size(kDTypeTable) ? &kDTypeTable[i] : nullptr;
}

int DTypeBytes(DType dtype) { return kDTypeTable[static_cast<size_t>(dtype)].bytes; }

const AluOpInfo* FindAluOp(AluOp op) {
  const auto i = static_cast<size_t>(op);
  return i < std::size(kAluOpTable) ? &kAluOpTable[i] : nullptr;
}

const ActFnInfo* FindActFn(ActFn fn) {
  const int i = static_cast<int>(fn);
  if (i < kActFns) return &kActFnTable[i];
  const int row = i - kFirstPool + kActFns;
  return i >= kFirstPool && row < static_cast<int>(std::size(kActFnTable)) ? &kActFnTable[row]
                                                                           : nullptr;
}

const char* EngineName(Engine engine) {
  constexpr const char* kNames[kEngines] = {"PE", "ACT", "POOL", "DVE", "SP"};
  const auto i = static_cast<size_t>(engine);
  return i < std::size(kNames) ? kNames[i] : "no engine";
}

const char* VariableKindName(VariableKind kind) {
  constexpr const char* kNames[] = {"input", "output", "file", "tmp-buf", "state-buffer", "psum"};
  const auto i = static_cast<size_t>(kind);
  return i < std::size(kNames) ? kNames[i] : "no kind";
}

const InstructionInfo* FindInstruction(Opcode opcode) {
  const auto i = static_cast<size_t>(opcode);
  return i < kMaxOpcode && kOpcodeIndex.row[i] >= 0 ? &kInstructionTable[kOpcodeIndex.row[i]]
                                                    : nullptr;
}

absl::Span<const InstructionInfo> AllInstructions() { return kInstructionTable; }

OperandAccesses AccessesOf(const Instruction& instruction) {
  OperandAccesses result;
  const InstructionInfo* info = FindInstruction(instruction.opcode);
  if (info == nullptr) return result;
  for (int i = 0; i < 5; ++i) {
    const Operand& operand = GetOperand(instruction, i);
    if (!info->operands[i].present() || !operand.present()) continue;
    OperandAccess& access = result.access[result.count++];
    access.operand = &operand;
    access.name = kOperandNames[i];
    if (i == 0) {
      access.writes = true;
      access.reads = info->updates_dst ||
                     (info->opcode == Opcode::kMatmul && (instruction.flags & kAccumulate));
    } else if (i == 4) {
      access.writes = true;
      access.reads = info->src3 == Src3Rule::kWithAccumulate;
    } else {
      access.reads = true;
    }
  }
  return result;
}

ByteRange FreeByteRange(const Operand& operand) {
  const int64_t bytes = DTypeBytes(operand.dtype);
  ByteRange range = {operand.offset, operand.offset + bytes};
  for (int d = 0; d < kFreeDims; ++d) {
    if (operand.size[d] == 0) return {operand.offset, operand.offset};
    const int64_t extent = int64_t{operand.size[d] - 1} * operand.stride[d] * bytes;
    (extent < 0 ? range.low : range.high) += extent;
  }
  return range;
}

uint8_t SpacesOf(const Program& program, const Instruction& instruction) {
  uint8_t spaces = kNoSpace;
  for (const OperandAccess& access : AccessesOf(instruction)) {
    const VariableKind kind = program.variables[access.operand->var].kind;
    spaces |= kind == VariableKind::kPsum ? kPsum : kSbuf;
  }
  return spaces;
}

}  // namespace glia::isa
