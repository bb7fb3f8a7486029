#include "serialization/isa/disassemble.h"

#include <algorithm>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "serialization/isa/table.h"

namespace glia::isa {
namespace {

std::string VariableName(const Program& program, uint32_t var) {
  if (var >= program.variables.size()) return absl::StrCat("?", var);
  const std::string& name = program.variables[var].name;
  return name.empty() ? absl::StrCat("v", var) : name;
}

std::string DTypeName(DType dtype) {
  const DTypeInfo* info = FindDType(dtype);
  return info == nullptr ? absl::StrCat("dtype", static_cast<int>(dtype)) : info->name;
}

template <typename Info, typename Value>
std::string NameOf(const Info* info, Value value) {
  return info == nullptr ? absl::StrCat("?", static_cast<int>(value)) : info->name;
}

std::string Flags(uint8_t flags) {
  constexpr const char* kNames[8] = {"accumulate",     "reverse0", "reverse1", "descending",
                                     "exact_one_zero", "flag5",    "flag6",    "flag7"};
  std::string text;
  for (int b = 0; b < 8; ++b) {
    if (flags & (1u << b)) absl::StrAppend(&text, " ", kNames[b]);
  }
  return text;
}

std::string Immediates(const Instruction& i, uint16_t fields) {
  std::string text;
  if (fields & kUsesDims) absl::StrAppend(&text, " dims=", i.dims);
  if (fields & kUsesPattern) {
    absl::StrAppend(&text, " pattern=[", absl::StrJoin(i.pattern, i.pattern + kFreeDims, ","),
                    "] mult=", i.mult);
  }
  if (fields & kUsesImm0) absl::StrAppend(&text, " imm0=", i.imm0);
  if (fields & kUsesImm1) absl::StrAppend(&text, " imm1=", i.imm1);
  if (fields & kUsesImmInt) absl::StrAppend(&text, " imm_int=", i.imm_int);
  if (fields & kUsesImmInt2) absl::StrAppend(&text, " imm_int2=", i.imm_int2);
  return text;
}

std::string Operation(const Program& program, const Instruction& i, const InstructionInfo& info) {
  std::string text = info.name;
  if (info.fields & kUsesFn) absl::StrAppend(&text, " ", NameOf(FindActFn(i.fn), i.fn));
  if (info.fields & kUsesOp0) absl::StrAppend(&text, " ", NameOf(FindAluOp(i.op0), i.op0));
  if (info.fields & kUsesOp1) absl::StrAppend(&text, " ", NameOf(FindAluOp(i.op1), i.op1));
  absl::StrAppend(&text, Flags(i.flags));
  if (info.fields & kUsesDma) {
    absl::StrAppend(
        &text, " #", i.dma, " ",
        i.dma < program.dmas.size() ? DisassembleDma(program, program.dmas[i.dma]) : "?");
  }
  std::string sources;
  for (int k = 1; k < 5; ++k) {
    const Operand& o = GetOperand(i, k);
    if (!o.present()) continue;
    absl::StrAppend(&sources, sources.empty() ? " " : ", ",
                    k == 4   ? "src3: "
                    : k == 3 ? "src2: "
                             : "",
                    DisassembleOperand(program, o));
  }
  if (i.dst.present()) absl::StrAppend(&text, "  ", DisassembleOperand(program, i.dst), " =");
  return text + sources + Immediates(i, info.fields);
}

struct AccessPattern {
  const uint32_t* size;
  const int64_t* stride;
  uint64_t offset;
  bool indexed;
};

std::string DmaSide(const Program& program, uint32_t var, const AccessPattern& pattern,
                    const DmaDescriptor& dma) {
  std::string text = absl::StrCat(VariableName(program, var), "[", pattern.offset);
  if (pattern.indexed) {
    absl::StrAppend(&text, " + ", VariableName(program, dma.index_var), "@", dma.index_offset,
                    "[i]*", dma.index_stride);
  }
  for (int d = pattern.indexed ? 1 : 0; d < kDmaDims; ++d) {
    if (pattern.size[d] != 1) absl::StrAppend(&text, " ", pattern.size[d], ":", pattern.stride[d]);
  }
  return text + "]";
}

}  // namespace

std::string DisassembleOperand(const Program& program, const Operand& o) {
  if (!o.present()) return "-";
  std::string text =
      absl::StrCat(VariableName(program, o.var), "[", o.partition, ":",
                   o.partition + o.num_partitions, " ", DTypeName(o.dtype), " +", o.offset);
  for (int d = 0; d < kFreeDims; ++d) {
    if (o.size[d] != 1) absl::StrAppend(&text, " ", o.size[d], ":", o.stride[d]);
  }
  return text + "]";
}

std::string DisassembleDma(const Program& program, const DmaDescriptor& dma) {
  constexpr const char* kOps[] = {"copy", "add", "max", "min", "multiply"};
  const auto op = static_cast<size_t>(dma.op);
  std::string text = absl::StrCat(
      "q", dma.queue, " ", op < 5 ? kOps[op] : absl::StrCat("?", op).c_str(), " ",
      DmaSide(program, dma.dst_var,
              {dma.size, dma.dst_stride, dma.dst_offset, dma.index_side == IndexSide::kDestination},
              dma),
      " = ",
      DmaSide(program, dma.src_var,
              {dma.size, dma.src_stride, dma.src_offset, dma.index_side == IndexSide::kSource},
              dma),
      " x", dma.element_bytes);
  if (dma.op != DmaOp::kCopy) absl::StrAppend(&text, " ", DTypeName(dma.dtype));
  if (dma.index_side != IndexSide::kNone) {
    absl::StrAppend(&text, " indices=", dma.size[0], " bound=", dma.index_bound);
  }
  return text;
}

std::string DisassembleInstruction(const Program& program, const Instruction& i) {
  const InstructionInfo* info = FindInstruction(i.opcode);
  std::string text = info == nullptr ? absl::StrCat("opcode", static_cast<int>(i.opcode))
                                     : Operation(program, i, *info);
  if (i.wait_semaphore != kNoSemaphore) {
    absl::StrAppend(&text, "  wait s", i.wait_semaphore, ">=", i.wait_value);
  }
  if (i.inc_semaphore != kNoSemaphore)
    absl::StrAppend(&text, "  inc s", i.inc_semaphore, "+", i.inc_value);
  if (i.debug < program.debug.size()) {
    const DebugEntry& entry = program.debug[i.debug];
    absl::StrAppend(&text, "  ; ", entry.hlo, entry.op.empty() ? "" : " ", entry.op,
                    entry.source.empty() ? "" : " ", entry.source);
  }
  return text;
}

std::string DisassembleVariable(const Variable& v) {
  std::string text = absl::StrCat(v.name, ": ", VariableKindName(v.kind), " ", DTypeName(v.dtype),
                                  "[", absl::StrJoin(v.shape, ","), "] ", v.bytes, " bytes");
  if (!IsHbm(v.kind)) {
    absl::StrAppend(&text, " at partitions ", v.partition, ":", int64_t{v.partition} + v.partitions,
                    " address ", v.address, ", ", v.partition_bytes, " each");
  }
  if (v.kind == VariableKind::kTmpBuf) absl::StrAppend(&text, " at scratch ", v.hbm_offset);
  if (v.kind == VariableKind::kFile) absl::StrAppend(&text, " from ", v.file);
  if (v.alias >= 0) absl::StrAppend(&text, " alias of variable ", v.alias);
  return text;
}

std::string Disassemble(const Program& program) {
  std::string text =
      absl::StrCat("program ", program.name, "\nscratch ", program.scratch_bytes, " bytes\n");
  for (size_t i = 0; i < program.variables.size(); ++i) {
    absl::StrAppend(&text, "variable ", i, " ", DisassembleVariable(program.variables[i]), "\n");
  }
  for (size_t i = 0; i < program.queues.size(); ++i) {
    const DmaQueue& q = program.queues[i];
    absl::StrAppend(&text, "queue ", i, " ", q.name, ": ", EngineName(q.issuer),
                    q.semaphore == kNoSemaphore ? "" : absl::StrCat(" s", q.semaphore), "\n");
  }
  for (size_t s = 0; s < program.segments.size(); ++s) {
    const Segment& segment = program.segments[s];
    absl::StrAppend(&text, "segment ", s, "\n");
    for (int e = 0; e < kEngines; ++e) {
      if (segment.streams[e].empty()) continue;
      absl::StrAppend(&text, "  ", EngineName(static_cast<Engine>(e)), "\n");
      for (size_t i = 0; i < segment.streams[e].size(); ++i) {
        absl::StrAppend(&text, "    ", i, "  ",
                        DisassembleInstruction(program, segment.streams[e][i]), "\n");
      }
    }
    const Terminator& t = segment.terminator;
    if (t.kind == TerminatorKind::kHalt) {
      absl::StrAppend(&text, "  halt\n");
    } else if (t.kind == TerminatorKind::kJump) {
      absl::StrAppend(&text, "  jump ", t.target, "\n");
    } else {
      absl::StrAppend(&text, "  branch ", VariableName(program, t.var), "+", t.offset, " ",
                      DTypeName(t.dtype), " ? ", t.target, " : ", t.otherwise,
                      t.expected_trips > 0 ? absl::StrCat("  trips ", t.expected_trips) : "", "\n");
    }
  }
  return text;
}

}  // namespace glia::isa
