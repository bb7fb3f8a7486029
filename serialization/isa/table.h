// The definition table of the instruction set: what each instruction is called, which engines run
// it, what its operands must be. Validation, disassembly and the cost model derive from it. Rows:
// instructions.inc. Facts: isa.h and the nki.isa reference of aws-neuron-sdk.
#ifndef GLIA_SERIALIZATION_ISA_TABLE_H_
#define GLIA_SERIALIZATION_ISA_TABLE_H_

#include <array>
#include <cstdint>

#include "absl/strings/string_view.h"
#include "absl/types/span.h"
#include "serialization/isa/isa.h"
#include "serialization/isa/program.h"

namespace glia::isa {

// Sets of small enums are bit masks.
using EngineSet = uint8_t;  // bit (int)Engine
using DTypeSet = uint16_t;  // bit (int)DType
using AluOpSet = uint32_t;  // bit (int)AluOp
constexpr EngineSet Bit(Engine e) { return static_cast<EngineSet>(1u << static_cast<int>(e)); }
constexpr DTypeSet Bit(DType t) { return static_cast<DTypeSet>(1u << static_cast<int>(t)); }
constexpr AluOpSet Bit(AluOp o) { return AluOpSet{1} << static_cast<int>(o); }

inline constexpr int kDTypes = 12;
inline constexpr int kAluOps = 27;

enum SpaceSet : uint8_t { kNoSpace = 0, kSbuf = 1, kPsum = 2, kSbufPsum = 3 };

struct DTypeInfo {
  DType dtype;
  const char* name;  // as in HLO: "f32"
  int bytes;
  bool is_float;
  bool is_signed;
};
// Null for a value that is no dtype.
const DTypeInfo* FindDType(DType dtype);
int DTypeBytes(DType dtype);  // requires a valid dtype
inline bool IsFloat(DType t) { return t == DType::kF32 || t == DType::kBf16 || t == DType::kF16; }
inline bool IsIntegerOrPred(DType t) { return !IsFloat(t); }

struct AluOpInfo {
  AluOp op;
  const char* name;
  EngineSet engines;
  bool raw_bits;  // works on the raw integers on every engine
};
const AluOpInfo* FindAluOp(AluOp op);

// ACT holds the tables of one set at a time (cost.h); kEvery functions are in all of them. The
// names of the functions are those of nki.api.shared, their grouping is ours.
enum class ActTable : uint8_t { kEvery, kExp, kGelu, kLog, kRoot, kTrig, kPoolOnly };
struct ActFnInfo {
  ActFn fn;
  const char* name;
  ActTable table;
  bool integers_only;  // POOL: defined for integer and pred inputs only
};
const ActFnInfo* FindActFn(ActFn fn);

const char* EngineName(Engine engine);            // "PE", "ACT", "POOL", "DVE", "SP"
const char* VariableKindName(VariableKind kind);  // as in def.json

// The shape of an operand as two symbols, its partitions and its free elements: a letter stands for
// one number throughout the instruction, a digit for itself. Zero: no such operand.
struct OperandRule {
  char partitions = 0;
  char free = 0;
  SpaceSet spaces = kNoSpace;
  DTypeSet dtypes = 0;
  bool optional = false;
  bool tensor = false;  // streams through the engine, as opposed to one scalar per partition
  bool present() const { return partitions != 0; }
};

// Which fields an instruction uses; all others must be 0.
enum FieldSet : uint16_t {
  kUsesOp0 = 1,
  kUsesOp1 = 2,
  kUsesFn = 4,
  kUsesDims = 8,
  kUsesPattern = 16,
  kUsesImm0 = 32,
  kUsesImm1 = 64,
  kUsesImmInt = 128,
  kUsesImmInt2 = 256,
  kUsesDma = 512,
};

// When src3 must be there.
enum class Src3Rule : uint8_t { kNever, kWithAccumulate, kWithSrc2 };

enum class CostClass : uint8_t {
  kControl,  // semaphores and DMA triggers
  kMatmul,
  kPeTranspose,
  kStream,      // element by element through ACT, DVE or POOL
  kReciprocal,  // DVE: 8 cycles an element
  kSort,
};

struct InstructionInfo {
  Opcode opcode;
  const char* name;
  EngineSet engines;
  OperandRule operands[5];  // dst, src0, src1, src2, src3
  uint16_t fields;          // FieldSet
  AluOpSet op0, op1;        // allowed values
  uint8_t flags;            // allowed InstructionFlags
  bool equal_types;         // dst and src0 (and src2, src3 if present) have one dtype
  bool updates_dst;         // reads what it writes, or leaves part of dst as it was
  Src3Rule src3;
  int min_n, max_n;  // bounds of the free size `N`; max_n 0: none
  int multiple;      // `N` is a multiple of it; kTranspose32: `P` as well
  CostClass cost;
};
// Null for an unknown opcode.
const InstructionInfo* FindInstruction(Opcode opcode);
absl::Span<const InstructionInfo> AllInstructions();

inline constexpr const char* kOperandNames[5] = {"dst", "src0", "src1", "src2", "src3"};
inline const Operand& GetOperand(const Instruction& i, int index) {
  const Operand* const all[5] = {&i.dst, &i.src0, &i.src1, &i.src2, &i.src3};
  return *all[index];
}

// What a valid instruction touches in SBUF and PSUM, in the order dst, src0 ... src3. `dst` of an
// instruction with updates_dst, of an accumulating kMatmul, and src3 of kActivate are read and
// written.
struct OperandAccess {
  const Operand* operand = nullptr;
  const char* name = nullptr;
  bool reads = false;
  bool writes = false;
};
struct OperandAccesses {
  std::array<OperandAccess, 5> access;
  int count = 0;
  const OperandAccess* begin() const { return access.data(); }
  const OperandAccess* end() const { return access.data() + count; }
};
OperandAccesses AccessesOf(const Instruction& instruction);

// Lowest and one past the highest byte, relative to the start of the variable in each partition,
// that the operand's pattern reaches. Any operand with valid dtype; negative low means out of
// bounds.
struct ByteRange {
  int64_t low = 0;
  int64_t high = 0;
};
ByteRange FreeByteRange(const Operand& operand);

// The memories that a valid instruction touches, of SpaceSet.
uint8_t SpacesOf(const Program& program, const Instruction& instruction);

}  // namespace glia::isa

#endif  // GLIA_SERIALIZATION_ISA_TABLE_H_
