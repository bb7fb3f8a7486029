#include <algorithm>
#include <cstdint>
#include <string>

#include "serialization/isa/table.h"
#include "serialization/isa/validate_internal.h"

namespace glia::isa::internal {
namespace {

struct Context {
  const Program& program;
  const Instruction& instruction;
  const InstructionInfo& info;
  const Position& position;

  template <typename... Args>
  absl::Status Error(const Args&... args) const {
    return Invalid(Describe(position, instruction.opcode), args...);
  }
  Engine engine() const { return position.engine; }
};

// A partition start that the access hardware can address; isa.h and NEURON_FACTS "Limits".
bool PartitionStartAllowed(int start, int count) {
  if (count > 64) return start == 0;
  if (count > 32) return start == 0 || start == 64;
  return start % 32 == 0;
}

absl::Status CheckPlacement(const Context& c, const Operand& o, const char* name) {
  const Variable& v = c.program.variables[o.var];
  if (o.num_partitions < 1 || o.partition + o.num_partitions > v.partitions) {
    return c.Error(name, " takes ", o.num_partitions, " partitions from ", o.partition,
                   " of variable ", o.var, " '", v.name, "', which has ", v.partitions);
  }
  const int start = v.partition + o.partition;
  if (!PartitionStartAllowed(start, o.num_partitions)) {
    return c.Error(name, " takes ", o.num_partitions, " partitions from physical partition ", start,
                   "; more than 64 start at 0, 33 to 64 at 0 or 64, fewer at 0, 32, 64 or 96");
  }
  for (int d = 0; d < kFreeDims; ++d) {
    if (o.size[d] == 0) return c.Error(name, " has size[", d, "] 0, must be at least 1");
  }
  // Strides of 0 let the count grow without bound while the addresses stay; it must fit 64 bits.
  if (int64_t{o.size[0]} * o.size[1] > kSbufPartitionBytes ||
      int64_t{o.size[0]} * o.size[1] * o.size[2] > kSbufPartitionBytes ||
      o.free_elements() > kSbufPartitionBytes) {
    return c.Error(name, " has sizes ", o.size[0], " x ", o.size[1], " x ", o.size[2], " x ",
                   o.size[3], "; at most ", kSbufPartitionBytes, " elements a partition");
  }
  const ByteRange range = FreeByteRange(o);
  if (range.low < 0 || range.high > v.partition_bytes) {
    return c.Error(name, " reaches bytes ", range.low, " to ", range.high,
                   " of a partition of variable ", o.var, " '", v.name, "', which has ",
                   v.partition_bytes);
  }
  const int bytes = DTypeBytes(o.dtype);
  if ((v.address + o.offset) % bytes != 0) {
    return c.Error(name, " starts at byte ", v.address + o.offset, ", no multiple of the ", bytes,
                   " bytes of its dtype ", FindDType(o.dtype)->name);
  }
  return absl::OkStatus();
}

absl::Status CheckSpace(const Context& c, const Operand& o, const OperandRule& rule,
                        const char* name) {
  const Variable& v = c.program.variables[o.var];
  const bool psum = v.kind == VariableKind::kPsum;
  if (psum && c.engine() == Engine::kPool) {
    return c.Error(name, " is in PSUM (variable ", o.var, " '", v.name,
                   "'), which POOL cannot access");
  }
  if ((rule.spaces & (psum ? kPsum : kSbuf)) == 0) {
    return c.Error(name, " is in ", psum ? "PSUM" : "SBUF", " (variable ", o.var, " '", v.name,
                   "'), must be in ", psum ? "SBUF" : "PSUM");
  }
  const int64_t limit = psum ? kMaxFreePsum : kMaxFreeSbuf;
  if ((c.engine() == Engine::kAct || c.engine() == Engine::kDve) && o.free_elements() > limit) {
    return c.Error(name, " has ", o.free_elements(), " elements a partition; ",
                   EngineName(c.engine()), " takes at most ", limit, " in ",
                   psum ? "PSUM" : "SBUF");
  }
  if (psum && c.engine() == Engine::kPe) {
    const ByteRange range = FreeByteRange(o);
    const int64_t first = (v.address + range.low) / kPsumBankBytes;
    const int64_t last = (v.address + range.high - 1) / kPsumBankBytes;
    if (first != last) {
      return c.Error(name, " spans PSUM banks ", first, " to ", last, "; must lie within one of ",
                     kPsumBankBytes, " bytes");
    }
  }
  return absl::OkStatus();
}

// Partitions and free elements against the symbols of the row in the table.
class Symbols {
 public:
  absl::Status Bind(const Context& c, char symbol, int64_t value, const char* name,
                    const char* what) {
    if (symbol <= '9') {
      if (value == symbol - '0') return absl::OkStatus();
      return c.Error(name, " has ", value, " ", what, ", must have ", symbol - '0');
    }
    int64_t& bound = value_[symbol - 'A'];
    if (bound == 0) bound = value;
    if (bound == value) return absl::OkStatus();
    return c.Error(name, " has ", value, " ", what, ", must have ", bound,
                   " as the other operands");
  }
  int64_t operator[](char symbol) const { return value_[symbol - 'A']; }

 private:
  int64_t value_[26] = {};
};

absl::Status CheckOperands(const Context& c) {
  Symbols symbols;
  int tensors_in_psum = 0;
  for (int i = 0; i < 5; ++i) {
    const OperandRule& rule = c.info.operands[i];
    const Operand& o = GetOperand(c.instruction, i);
    const char* name = kOperandNames[i];
    if (!o.present()) {
      if (rule.present() && !rule.optional) return c.Error(name, " is missing");
      continue;
    }
    if (!rule.present())
      return c.Error(name, " is variable ", o.var, ", but there is no such operand");
    if (o.var >= c.program.variables.size() || IsHbm(c.program.variables[o.var].kind)) {
      return c.Error(name, " is variable ", o.var, ", which is none in SBUF or PSUM");
    }
    if (o.reserved != 0 || o.reserved2 != 0)
      return c.Error(name, " has reserved fields that are not 0");
    const DTypeInfo* dtype = FindDType(o.dtype);
    if (dtype == nullptr) return c.Error(name, " has unknown dtype ", static_cast<int>(o.dtype));
    if ((rule.dtypes & Bit(o.dtype)) == 0)
      return c.Error(name, " has dtype ", dtype->name, ", not allowed here");
    absl::Status status = CheckPlacement(c, o, name);
    if (status.ok()) status = CheckSpace(c, o, rule, name);
    if (status.ok())
      status = symbols.Bind(c, rule.partitions, o.num_partitions, name, "partitions");
    if (status.ok())
      status = symbols.Bind(c, rule.free, o.free_elements(), name, "elements a partition");
    if (!status.ok()) return status;
    if (i == 0 || i == 4) {
      for (int d = 0; d < kFreeDims; ++d) {
        if (o.size[d] > 1 && o.stride[d] == 0) {
          return c.Error(name, " is written with size[", d, "] ", o.size[d],
                         " and stride 0: one element many times");
        }
      }
    } else if (rule.tensor && c.program.variables[o.var].kind == VariableKind::kPsum &&
               ++tensors_in_psum > 1) {
      return c.Error(name, " is a second tensor input in PSUM; at most one may be there");
    }
  }
  const int64_t n = symbols['N'];
  if (c.info.max_n > 0 && n > c.info.max_n)
    return c.Error("free size is ", n, "; the limit is ", c.info.max_n);
  if (n < c.info.min_n) return c.Error("free size is ", n, ", must be at least ", c.info.min_n);
  if (n % c.info.multiple != 0)
    return c.Error("free size is ", n, ", no multiple of ", c.info.multiple);
  if (c.info.opcode == Opcode::kTranspose32 && symbols['P'] % c.info.multiple != 0) {
    return c.Error("takes ", symbols['P'], " partitions, no multiple of ", c.info.multiple);
  }
  return absl::OkStatus();
}

absl::Status CheckDTypes(const Context& c) {
  const Instruction& i = c.instruction;
  const auto name = [](DType t) { return FindDType(t)->name; };
  if (c.info.equal_types && i.dst.dtype != i.src0.dtype) {
    return c.Error("dst is ", name(i.dst.dtype), " and src0 ", name(i.src0.dtype),
                   "; must be equal");
  }
  if (c.info.src3 == Src3Rule::kWithSrc2 && i.src2.present() && i.src3.present() &&
      i.src2.dtype != i.src3.dtype) {
    return c.Error("src2 is ", name(i.src2.dtype), " and src3 ", name(i.src3.dtype),
                   "; must be equal");
  }
  if (c.info.opcode == Opcode::kMatmul) {
    const bool fp32 = i.src0.dtype == DType::kF32;
    if (fp32 != (i.src1.dtype == DType::kF32)) {
      return c.Error("src0 is ", name(i.src0.dtype), " and src1 ", name(i.src1.dtype),
                     "; f32 pairs with f32 only");
    }
    if (!fp32 && (i.flags & kExactOneZero) != 0) {
      return c.Error("flag exact_one_zero is for f32 operands; they are ", name(i.src0.dtype));
    }
  }
  return absl::OkStatus();
}

// Bitwise operations and shifts take integers of one type; on DVE of at most 32 bits.
absl::Status CheckRawOp(const Context& c, const AluOpInfo& op) {
  const Instruction& i = c.instruction;
  for (int k = 0; k < 5; ++k) {
    const Operand& o = GetOperand(i, k);
    if (!o.present()) continue;
    const DTypeInfo& dtype = *FindDType(o.dtype);
    const char* name = kOperandNames[k];
    if (!IsIntegerOrPred(o.dtype))
      return c.Error(op.name, " works on integers; ", name, " is ", dtype.name);
    if (c.engine() != Engine::kDve) continue;
    if (dtype.bytes > 4)
      return c.Error(op.name, " on DVE takes at most 32 bits; ", name, " is ", dtype.name);
    if (k > 0 && o.dtype != i.src0.dtype) {
      return c.Error(op.name, " on DVE takes inputs of one type; src0 is ",
                     FindDType(i.src0.dtype)->name, ", ", name, " ", dtype.name);
    }
  }
  return absl::OkStatus();
}

absl::Status CheckAluOp(const Context& c, AluOp op, bool used, AluOpSet allowed,
                        const char* field) {
  if (!used) {
    if (op == AluOp::kBypass) return absl::OkStatus();
    return c.Error(field, " is ", static_cast<int>(op), ", but is not used here and must be 0");
  }
  const AluOpInfo* info = FindAluOp(op);
  if (info == nullptr) return c.Error(field, " ", static_cast<int>(op), " is unknown");
  if ((allowed & Bit(op)) == 0) return c.Error(field, " ", info->name, " is not allowed here");
  if ((info->engines & Bit(c.engine())) == 0) {
    return c.Error(field, " ", info->name, " does not run on ", EngineName(c.engine()));
  }
  return info->raw_bits ? CheckRawOp(c, *info) : absl::OkStatus();
}

absl::Status CheckActFn(const Context& c) {
  const Instruction& i = c.instruction;
  if ((c.info.fields & kUsesFn) == 0) {
    if (i.fn == ActFn::kCopy) return absl::OkStatus();
    return c.Error("fn is ", static_cast<int>(i.fn), ", but is not used here and must be 0");
  }
  const ActFnInfo* fn = FindActFn(i.fn);
  if (fn == nullptr) return c.Error("fn ", static_cast<int>(i.fn), " is unknown");
  if (c.engine() == Engine::kAct) {
    if (fn->table == ActTable::kPoolOnly) return c.Error("fn ", fn->name, " runs on POOL only");
    // nki.isa.activation: reciprocal takes no bias vector.
    if (i.fn == ActFn::kReciprocal && i.src2.present()) {
      return c.Error("fn reciprocal takes no bias on ACT; src2 must be absent");
    }
  }
  if (fn->integers_only && !IsIntegerOrPred(i.src0.dtype)) {
    return c.Error("fn ", fn->name, " works on integers; src0 is ", FindDType(i.src0.dtype)->name);
  }
  return absl::OkStatus();
}

absl::Status CheckUnusedFields(const Context& c) {
  const Instruction& i = c.instruction;
  const uint16_t fields = c.info.fields;
  const char* set = nullptr;
  if (i.reserved != 0 || i.reserved2 != 0 || i.reserved3 != 0) set = "a reserved field";
  if ((fields & kUsesDims) == 0 && i.dims != 0) set = "dims";
  if ((fields & kUsesImm0) == 0 && i.imm0 != 0) set = "imm0";
  if ((fields & kUsesImm1) == 0 && i.imm1 != 0) set = "imm1";
  if ((fields & kUsesImmInt) == 0 && i.imm_int != 0) set = "imm_int";
  if ((fields & kUsesImmInt2) == 0 && i.imm_int2 != 0) set = "imm_int2";
  if ((fields & kUsesPattern) == 0 &&
      (i.mult != 0 ||
       std::any_of(i.pattern, i.pattern + kFreeDims, [](int32_t p) { return p != 0; }))) {
    set = "pattern or mult";
  }
  if (set != nullptr) return c.Error(set, " is not used here and must be 0");
  if ((fields & kUsesDma) == 0 && i.dma != UINT32_MAX) {
    return c.Error("dma is ", i.dma, ", but is not used here and must be ", UINT32_MAX);
  }
  if ((i.flags & ~c.info.flags) != 0) {
    return c.Error("flags are ", i.flags, "; allowed here are ", c.info.flags);
  }
  return absl::OkStatus();
}

absl::Status CheckTrigger(const Context& c) {
  const Instruction& i = c.instruction;
  if (i.dma >= c.program.dmas.size()) {
    return c.Error("dma ", i.dma, " is not below the ", c.program.dmas.size(), " descriptors");
  }
  const DmaDescriptor& dma = c.program.dmas[i.dma];
  const DmaQueue& queue = c.program.queues[dma.queue];
  if (queue.issuer != c.engine()) {
    return c.Error("starts descriptor ", i.dma, " on queue ", dma.queue, ", which belongs to ",
                   EngineName(queue.issuer));
  }
  if (i.inc_semaphore != kNoSemaphore && queue.semaphore != kNoSemaphore &&
      i.inc_semaphore != queue.semaphore) {
    return c.Error("increments semaphore ", i.inc_semaphore, "; that of queue ", dma.queue, " is ",
                   queue.semaphore);
  }
  return absl::OkStatus();
}

absl::Status CheckSemaphores(const Context& c) {
  const Instruction& i = c.instruction;
  const auto check = [&c](const char* what, uint16_t semaphore, uint32_t value) {
    if (semaphore < kSemaphores || (semaphore == kNoSemaphore && value == 0))
      return absl::OkStatus();
    if (semaphore == kNoSemaphore)
      return c.Error(what, " value is ", value, ", but there is no semaphore");
    return c.Error(what, " semaphore ", semaphore, " is not below ", kSemaphores);
  };
  absl::Status status = check("wait", i.wait_semaphore, i.wait_value);
  return status.ok() ? check("inc", i.inc_semaphore, i.inc_value) : status;
}

absl::Status CheckSpecial(const Context& c) {
  const Instruction& i = c.instruction;
  const bool src3 = i.src3.present();
  if (c.info.src3 == Src3Rule::kWithAccumulate && src3 != ((i.flags & kAccumulate) != 0)) {
    return c.Error("src3 and flag accumulate go together; src3 is ", src3 ? "present" : "absent");
  }
  if (c.info.src3 == Src3Rule::kWithSrc2 && src3 != i.src2.present()) {
    return c.Error("src2 and src3 go together; src3 is ", src3 ? "present" : "absent");
  }
  if (i.opcode == Opcode::kTensorReduce) {
    if (i.dims < 1 || i.dims > kFreeDims)
      return c.Error("dims is ", i.dims, ", must be 1 to ", kFreeDims);
    int64_t kept = 1;
    for (int d = 0; d < kFreeDims - i.dims; ++d) kept *= i.src0.size[d];
    if (i.dst.free_elements() != kept) {
      return c.Error("dst has ", i.dst.free_elements(), " elements a partition; src0 less its ",
                     i.dims, " innermost dimensions has ", kept);
    }
  }
  // The scan starts afresh for each index of the outer dimensions: both sides must agree on them.
  if (i.opcode == Opcode::kScan && i.dst.size[kFreeDims - 1] != i.src0.size[kFreeDims - 1]) {
    return c.Error("dst has innermost size ", i.dst.size[kFreeDims - 1], ", src0 ",
                   i.src0.size[kFreeDims - 1], "; must be equal");
  }
  return absl::OkStatus();
}

}  // namespace

std::string Describe(const Position& position, Opcode opcode) {
  const InstructionInfo* info = FindInstruction(opcode);
  return absl::StrCat("segment ", position.segment, " ", EngineName(position.engine), " ",
                      position.index, " ", info == nullptr ? "instruction" : info->name);
}

absl::Status CheckInstruction(const Program& program, const Instruction& instruction,
                              const Position& position) {
  const InstructionInfo* info = FindInstruction(instruction.opcode);
  if (info == nullptr) {
    return Invalid(Describe(position, instruction.opcode), "opcode ",
                   static_cast<int>(instruction.opcode), " is unknown");
  }
  const Context c = {program, instruction, *info, position};
  if ((info->engines & Bit(position.engine)) == 0) {
    return c.Error("does not run on ", EngineName(position.engine));
  }
  if (instruction.debug != UINT32_MAX && instruction.debug >= program.debug.size()) {
    return c.Error("debug ", instruction.debug, " is not below the ", program.debug.size(),
                   " entries");
  }
  absl::Status status = CheckUnusedFields(c);
  if (status.ok()) status = CheckSemaphores(c);
  if (status.ok() && info->opcode == Opcode::kDma) status = CheckTrigger(c);
  if (status.ok()) status = CheckOperands(c);
  if (status.ok()) status = CheckDTypes(c);
  if (status.ok()) {
    status = CheckAluOp(c, instruction.op0, (info->fields & kUsesOp0) != 0, info->op0, "op0");
  }
  if (status.ok()) {
    status = CheckAluOp(c, instruction.op1, (info->fields & kUsesOp1) != 0, info->op1, "op1");
  }
  if (status.ok()) status = CheckActFn(c);
  return status.ok() ? CheckSpecial(c) : status;
}

}  // namespace glia::isa::internal
