// The instructions of the emitter: each fills one record; Choose picks the engine.
#include <algorithm>
#include <cmath>

#include "absl/strings/str_cat.h"
#include "compiler/codegen/emitter.h"
#include "serialization/isa/cost.h"
#include "serialization/isa/table.h"

namespace glia::compiler {

using isa::Instruction;
using isa::Opcode;

Operand Tile::all() const { return part(partitions, 0, free); }

Operand Tile::part(int p, int64_t start, int64_t count) const {
  return pattern(p, start, {count}, {1});
}

Operand Tile::pattern(int p, int64_t start, absl::Span<const int64_t> sizes,
                      absl::Span<const int64_t> strides) const {
  Operand operand;
  operand.var = var;
  operand.dtype = dtype;
  operand.offset = static_cast<uint32_t>(start * isa::DTypeBytes(dtype));
  operand.num_partitions = static_cast<uint8_t>(p);
  const size_t unused = isa::kFreeDims - sizes.size();
  for (size_t i = 0; i < sizes.size(); ++i) {
    operand.size[i + unused] = static_cast<uint16_t>(sizes[i]);
    operand.stride[i + unused] = sizes[i] == 1 ? int16_t{0} : static_cast<int16_t>(strides[i]);
  }
  return operand;
}

Operand Partitions(Operand operand, int first, int count) {
  operand.partition = static_cast<uint8_t>(first);
  operand.num_partitions = static_cast<uint8_t>(count);
  return operand;
}

Operand Bits(Operand operand, DType dtype) {
  operand.dtype = dtype;
  return operand;
}

Tile Emitter::NewTile(DType dtype, int partitions, int64_t free, absl::string_view name) {
  Tile tile;
  tile.dtype = dtype;
  tile.partitions = partitions;
  tile.free = free;
  isa::Variable v;
  v.name = std::string(name);
  v.kind = isa::VariableKind::kStateBuffer;
  v.dtype = dtype;
  v.shape = {partitions, free};
  v.partitions = partitions;
  v.partition_bytes = free * isa::DTypeBytes(dtype);
  v.bytes = partitions * v.partition_bytes;
  if (partitions < 1 || partitions > isa::kPartitions || free < 1 ||
      v.partition_bytes > kMaxTileBytes) {
    Fail(absl::InternalError(absl::StrCat("tile '", std::string(name), "' of ", partitions, " x ",
                                          v.partition_bytes, " bytes; the limits are ",
                                          isa::kPartitions, " x ", kMaxTileBytes)));
  }
  tile.var = AddVariable(std::move(v));
  return tile;
}

Tile Emitter::NewPsum(int partitions, int64_t free, DType dtype) {
  Tile tile;
  tile.dtype = dtype;
  tile.partitions = partitions;
  tile.free = free;
  isa::Variable v;
  v.name = "psum";
  v.kind = isa::VariableKind::kPsum;
  v.dtype = dtype;
  v.shape = {partitions, free};
  v.partitions = partitions;
  v.partition_bytes = free * isa::DTypeBytes(dtype);
  v.bytes = partitions * v.partition_bytes;
  if (partitions < 1 || partitions > isa::kPartitions || free < 1 ||
      v.partition_bytes > isa::kPsumBankBytes) {
    Fail(absl::InternalError(absl::StrCat("PSUM tile of ", partitions, " x ", v.partition_bytes,
                                          " bytes; a bank has ", isa::kPartitions, " x ",
                                          isa::kPsumBankBytes)));
  }
  tile.var = AddVariable(std::move(v));
  return tile;
}

bool Emitter::InPsum(const Operand& operand) const {
  return operand.present() &&
         serial_.program.variables[operand.var].kind == isa::VariableKind::kPsum;
}

// All inputs are integers or booleans.
bool Emitter::AllInteger(const Instruction& i) const {
  for (const Operand* o : {&i.src0, &i.src1, &i.src2}) {
    if (o->present() && isa::IsFloat(o->dtype)) return false;
  }
  return true;
}

// The engine that computes the instruction exactly as HLO asks: fp32 engines for floats, POOL for
// integers that fp32 cannot hold, for functions without a table, and for results that must wrap.
Engine Emitter::Choose(const Instruction& i, Engine wanted) const {
  if (wanted != kAnyEngine) return wanted;
  const isa::InstructionInfo& info = *isa::FindInstruction(i.opcode);
  const auto only = [&info](Engine e) { return info.engines == isa::Bit(e); };
  for (Engine e : {Engine::kPe, Engine::kPool, Engine::kDve}) {
    if (only(e)) return e;
  }
  if (i.opcode == Opcode::kActivate) {
    if (isa::FindActFn(i.fn)->table == isa::ActTable::kPoolOnly) return Engine::kPool;
    return AllInteger(i) ? Engine::kPool : Engine::kAct;
  }
  for (AluOp op : {i.op0, i.op1}) {
    if ((isa::FindAluOp(op)->engines & isa::Bit(Engine::kDve)) == 0) return Engine::kPool;
  }
  if (i.opcode == Opcode::kMemset)
    return isa::DTypeBytes(i.dst.dtype) == 8 ? Engine::kPool : Engine::kDve;
  if (!AllInteger(i)) {
    // A select or copy among 32-bit integers by a float predicate does not occur: floats go to DVE.
    return Engine::kDve;
  }
  const auto width = [](const Operand& o) { return o.present() ? isa::DTypeBytes(o.dtype) : 0; };
  const int widest = std::max({width(i.src0), width(i.src1), width(i.src2), width(i.dst)});
  if (i.opcode == Opcode::kTensorCopy && i.src0.dtype == i.dst.dtype) return Engine::kDve;
  const bool raw = isa::FindAluOp(i.op0)->raw_bits && i.op1 == AluOp::kBypass;
  if (raw) {
    const bool alike =
        (!i.src1.present() || i.src1.dtype == i.src0.dtype) && i.dst.dtype == i.src0.dtype;
    return widest <= 4 && alike && i.src1.present() ? Engine::kDve : Engine::kPool;
  }
  // fp32 holds integers of 16 bits; results in range neither saturate nor wrap.
  const bool in_range = i.dst.dtype == DType::kPred || isa::IsFloat(i.dst.dtype);
  const int inputs = std::max({width(i.src0), width(i.src1), width(i.src2)});
  if (in_range && inputs <= 2) return Engine::kDve;
  const bool selects = i.opcode == Opcode::kSelect || i.opcode == Opcode::kCopyPredicated;
  if (selects && widest <= 2) return Engine::kDve;
  return Engine::kPool;
}

// Of two floats in SBUF: DVE reads one after the other.
Engine Emitter::ForTwoTensors(const Instruction& i, Engine wanted) const {
  const Engine chosen = Choose(i, wanted);
  if (wanted != kAnyEngine || chosen != Engine::kDve) return chosen;
  for (const Operand* o : {&i.dst, &i.src0, &i.src1}) {
    if (InPsum(*o) || !isa::IsFloat(o->dtype)) return chosen;
  }
  const int64_t elements = i.dst.free_elements();
  const int64_t pool = isa::CyclesToPs(Engine::kPool, isa::cost::kPoolFixedCycles + elements);
  return pool < isa::CyclesToPs(Engine::kDve, 2 * elements) ? Engine::kPool : chosen;
}

void Emitter::SetScalar(const Scalar& scalar, float* imm, Operand* operand) {
  if (scalar.column.present()) {
    *operand = scalar.column;
  } else {
    *imm = scalar.imm;
  }
}

void Emitter::Raw(Instruction instruction, Engine engine) { Append(instruction, engine); }

void Emitter::Append(Instruction instruction, Engine engine) {
  if (!ok()) return;
  instruction.debug = DebugEntry();
  if (engine == Engine::kPool || (InPsum(instruction.src0) && InPsum(instruction.src1))) {
    // POOL does not reach PSUM, and DVE reads at most one input there.
    if (InPsum(instruction.src0)) {
      const Operand from = instruction.src0;
      instruction.src0 = Resident(from);
      if (instruction.src1.var == from.var) instruction.src1 = instruction.src0;
    }
    if (engine == Engine::kPool && InPsum(instruction.src1))
      instruction.src1 = Resident(instruction.src1);
  }
  if (instruction.opcode != Opcode::kDma) {
    const isa::OperandAccesses accesses = isa::AccessesOf(instruction);
    for (const isa::OperandAccess& access : accesses) {
      if (access.writes) ForgetVar(access.operand->var);
    }
  }
  serial_.segments.back().instructions.push_back({instruction, engine});
}

Operand Emitter::Resident(const Operand& psum) {
  const Operand copy = NewTile(psum.dtype, psum.num_partitions, psum.free_elements(), "psum").all();
  Evacuate(copy, psum);
  return copy;
}

void Emitter::Matmul(const Operand& dst, const Operand& stationary, const Operand& moving,
                     bool accumulate, bool exact_one_zero) {
  Instruction i;
  i.opcode = Opcode::kMatmul;
  i.dst = dst;
  i.src0 = stationary;
  i.src1 = moving;
  i.flags = (accumulate ? isa::kAccumulate : 0) | (exact_one_zero ? isa::kExactOneZero : 0);
  Append(i, Engine::kPe);
}

void Emitter::PeTranspose(const Operand& dst, const Operand& src) {
  Instruction i;
  i.opcode = Opcode::kPeTranspose;
  i.dst = dst;
  i.src0 = src;
  Append(i, Engine::kPe);
}

void Emitter::Evacuate(const Operand& dst, const Operand& src) {
  if (evacuations_++ % 2 == 0) {
    Copy(dst, src, Engine::kDve);
  } else {
    Activate(dst, src, ActFn::kCopy, 1, absl::nullopt, 0, absl::nullopt, Engine::kAct);
  }
}

namespace {

int64_t LoadPs(Engine engine, int64_t elements) {
  return isa::CyclesToPs(engine,
                         elements + (engine == Engine::kPool ? isa::cost::kPoolFixedCycles : 0));
}

}  // namespace

void Emitter::AddLoad(Engine engine, int64_t elements) {
  // POOL and DVE share the port of SBUF: each works while the other waits.
  for (Engine other : {Engine::kPool, Engine::kDve}) {
    if (other != engine && (engine == Engine::kPool || engine == Engine::kDve)) {
      load_[static_cast<size_t>(other)] += LoadPs(engine, elements);
    }
  }
  load_[static_cast<size_t>(engine)] += LoadPs(engine, elements);
}

Engine Emitter::Lightest(std::initializer_list<Engine> engines, int64_t elements) {
  const auto after = [&](Engine engine) {
    return load_[static_cast<size_t>(engine)] + LoadPs(engine, elements);
  };
  const Engine engine = *std::min_element(engines.begin(), engines.end(),
                                          [&](Engine a, Engine b) { return after(a) < after(b); });
  AddLoad(engine, elements);
  return engine;
}

void Emitter::Activate(const Operand& dst, const Operand& src, ActFn fn, const Scalar& scale,
                       absl::optional<Operand> bias, float parameter,
                       absl::optional<Operand> accumulator, Engine engine) {
  Instruction i;
  i.opcode = Opcode::kActivate;
  i.fn = fn;
  i.dst = dst;
  i.src0 = src;
  SetScalar(scale, &i.imm0, &i.src1);
  i.imm1 = parameter;
  if (bias.has_value()) i.src2 = *bias;
  if (accumulator.has_value()) {
    i.src3 = *accumulator;
    i.flags = isa::kAccumulate;
  }
  Append(i, Choose(i, engine));
}

void Emitter::TensorTensor(const Operand& dst, const Operand& a, const Operand& b, AluOp op,
                           Engine engine) {
  Instruction i;
  i.opcode = Opcode::kTensorTensor;
  i.op0 = op;
  i.dst = dst;
  i.src0 = a;
  i.src1 = b;
  Append(i, ForTwoTensors(i, engine));
}

void Emitter::TensorScalar(const Operand& dst, const Operand& a, AluOp op0, const Scalar& s0,
                           AluOp op1, const Scalar& s1, uint8_t flags, Engine engine) {
  Instruction i;
  i.opcode = Opcode::kTensorScalar;
  i.op0 = op0;
  i.op1 = op1;
  i.flags = flags;
  i.dst = dst;
  i.src0 = a;
  SetScalar(s0, &i.imm0, &i.src1);
  SetScalar(s1, &i.imm1, &i.src2);
  Append(i, Choose(i, engine));
}

void Emitter::ScalarTensorTensor(const Operand& dst, const Operand& a, AluOp op0, const Scalar& s,
                                 AluOp op1, const Operand& b, Engine engine) {
  Instruction i;
  i.opcode = Opcode::kScalarTensorTensor;
  i.op0 = op0;
  i.op1 = op1;
  i.dst = dst;
  i.src0 = a;
  i.src1 = b;
  SetScalar(s, &i.imm0, &i.src2);
  Append(i, ForTwoTensors(i, engine));
}

void Emitter::Copy(const Operand& dst, const Operand& src, Engine engine) {
  Instruction i;
  i.opcode = Opcode::kTensorCopy;
  i.dst = dst;
  i.src0 = src;
  Append(i, Choose(i, engine));
}

void Emitter::Select(const Operand& dst, const Operand& pred, const Operand& on_true,
                     const Operand& on_false, Engine engine) {
  Instruction i;
  i.opcode = Opcode::kSelect;
  i.dst = dst;
  i.src0 = pred;
  i.src1 = on_true;
  i.src2 = on_false;
  Append(i, Choose(i, engine));
}

void Emitter::CopyPredicated(const Operand& dst, const Operand& src, const Operand& pred,
                             Engine engine) {
  Instruction i;
  i.opcode = Opcode::kCopyPredicated;
  i.dst = dst;
  i.src0 = src;
  i.src1 = pred;
  Append(i, Choose(i, engine));
}

void Emitter::Memset(const Operand& dst, double value, Engine engine) {
  if (!isa::IsFloat(dst.dtype)) {
    MemsetInt(dst, static_cast<int64_t>(value), engine);
    return;
  }
  Instruction i;
  i.opcode = Opcode::kMemset;
  i.dst = dst;
  i.imm0 = static_cast<float>(value);
  Append(i, Choose(i, engine));
}

void Emitter::MemsetInt(const Operand& dst, int64_t value, Engine engine) {
  Instruction i;
  i.opcode = Opcode::kMemset;
  i.dst = dst;
  i.imm_int = value;
  Append(i, Choose(i, engine));
}

void Emitter::Reduce(const Operand& dst, const Operand& src, AluOp op, int dims, Engine engine) {
  Instruction i;
  i.opcode = Opcode::kTensorReduce;
  i.op0 = op;
  i.dims = static_cast<uint8_t>(dims);
  i.dst = dst;
  i.src0 = src;
  Append(i, Choose(i, engine));
}

void Emitter::Scan(const Operand& dst, const Operand& src, AluOp op, const Scalar& initial,
                   Engine engine) {
  Instruction i;
  i.opcode = Opcode::kScan;
  i.op0 = op;
  i.dst = dst;
  i.src0 = src;
  SetScalar(initial, &i.imm0, &i.src1);
  if (!initial.column.present() && !isa::IsFloat(src.dtype)) {
    i.imm_int = static_cast<int64_t>(initial.imm);
    i.imm0 = 0;
  }
  Append(i, Choose(i, engine));
}

void Emitter::Reciprocal(const Operand& dst, const Operand& src) {
  Instruction i;
  i.opcode = Opcode::kReciprocal;
  i.dst = dst;
  i.src0 = src;
  Append(i, Engine::kDve);
}

void Emitter::BnStats(const Operand& dst, const Operand& src) {
  Instruction i;
  i.opcode = Opcode::kBnStats;
  i.dst = dst;
  i.src0 = src;
  Append(i, Engine::kDve);
}

void Emitter::BnAggr(const Operand& dst, const Operand& src) {
  Instruction i;
  i.opcode = Opcode::kBnAggr;
  i.dst = dst;
  i.src0 = src;
  Append(i, Engine::kDve);
}

void Emitter::Max8(const Operand& dst, const Operand& src) {
  Instruction i;
  i.opcode = Opcode::kMax8;
  i.dst = dst;
  i.src0 = src;
  Append(i, Choose(i, kAnyEngine));
}

void Emitter::FindIndex8(const Operand& dst, const Operand& src, const Operand& values) {
  Instruction i;
  i.opcode = Opcode::kFindIndex8;
  i.dst = dst;
  i.src0 = src;
  i.src1 = values;
  Append(i, Choose(i, kAnyEngine));
}

void Emitter::MatchReplace8(const Operand& dst, const Operand& src, const Operand& values,
                            float replacement) {
  Instruction i;
  i.opcode = Opcode::kMatchReplace8;
  i.dst = dst;
  i.src0 = src;
  i.src1 = values;
  i.imm0 = replacement;
  Append(i, Choose(i, kAnyEngine));
}

void Emitter::Transpose32(const Operand& dst, const Operand& src) {
  Instruction i;
  i.opcode = Opcode::kTranspose32;
  i.dst = dst;
  i.src0 = src;
  Append(i, Engine::kDve);
}

namespace {

void SetPattern(int64_t base, int64_t per_partition, absl::Span<const int64_t> steps,
                Instruction* i) {
  i->imm_int = base;
  i->mult = static_cast<int32_t>(per_partition);
  const size_t unused = isa::kFreeDims - steps.size();
  for (size_t d = 0; d < steps.size(); ++d) i->pattern[d + unused] = static_cast<int32_t>(steps[d]);
}

}  // namespace

void Emitter::Iota(const Operand& dst, int64_t base, int64_t per_partition,
                   absl::Span<const int64_t> steps) {
  Instruction i;
  i.opcode = Opcode::kIota;
  i.dst = dst;
  SetPattern(base, per_partition, steps, &i);
  Append(i, Engine::kPool);
}

void Emitter::AffineSelect(const Operand& dst, const Operand& src, AluOp compare, double otherwise,
                           int64_t base, int64_t per_partition, absl::Span<const int64_t> steps) {
  Instruction i;
  i.opcode = Opcode::kAffineSelect;
  i.op0 = compare;
  i.dst = dst;
  i.src0 = src;
  SetPattern(base, per_partition, steps, &i);
  if (isa::IsFloat(dst.dtype)) {
    i.imm0 = static_cast<float>(otherwise);
  } else {
    i.imm_int2 = static_cast<int64_t>(otherwise);
  }
  Append(i, Engine::kPool);
}

void Emitter::PartitionReduce(const Operand& dst, const Operand& src, AluOp op) {
  Instruction i;
  i.opcode = Opcode::kPartitionReduce;
  i.op0 = op;
  i.dst = dst;
  i.src0 = src;
  Append(i, Engine::kPool);
}

void Emitter::PartitionBroadcast(const Operand& dst, const Operand& src) {
  Instruction i;
  i.opcode = Opcode::kPartitionBroadcast;
  i.dst = dst;
  i.src0 = src;
  Append(i, Engine::kPool);
}

void Emitter::GatherFree(const Operand& dst, const Operand& src, const Operand& index) {
  Instruction i;
  i.opcode = Opcode::kGather;
  i.dst = dst;
  i.src0 = src;
  i.src1 = index;
  Append(i, Engine::kPool);
}

void Emitter::ScatterFree(const Operand& dst, const Operand& src, const Operand& index, AluOp op) {
  Instruction i;
  i.opcode = Opcode::kScatterAdd;
  i.op0 = op;
  i.dst = dst;
  i.src0 = src;
  i.src1 = index;
  Append(i, Engine::kPool);
}

void Emitter::Sort(const Operand& dst, const Operand& keys, bool descending,
                   absl::optional<Operand> payload, absl::optional<Operand> payload_dst) {
  Instruction i;
  i.opcode = Opcode::kSort;
  i.flags = descending ? isa::kDescending : 0;
  i.dst = dst;
  i.src0 = keys;
  if (payload.has_value() && payload_dst.has_value()) {
    i.src2 = *payload;
    i.src3 = *payload_dst;
  }
  Append(i, Engine::kPool);
}

void Emitter::Philox(const Operand& dst, uint64_t key, uint64_t counter) {
  Instruction i;
  i.opcode = Opcode::kPhilox;
  i.dst = dst;
  i.imm_int = static_cast<int64_t>(key);
  i.imm_int2 = static_cast<int64_t>(counter);
  Append(i, Engine::kPool);
}

}  // namespace glia::compiler
