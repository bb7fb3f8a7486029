#include "serialization/isa/validate.h"

#include <cstdint>
#include <string>
#include <unordered_set>
#include <vector>

#include "absl/strings/str_cat.h"
#include "serialization/isa/table.h"
#include "serialization/isa/validate_internal.h"

namespace glia::isa {
namespace {

using internal::Invalid;

absl::Status CheckShape(const Variable& v, const std::string& where) {
  const DTypeInfo* dtype = FindDType(v.dtype);
  if (dtype == nullptr) return Invalid(where, "dtype ", static_cast<int>(v.dtype), " is unknown");
  if (v.kind != VariableKind::kInput && v.kind != VariableKind::kOutput &&
      v.kind != VariableKind::kFile) {
    return absl::OkStatus();
  }
  int64_t bytes = dtype->bytes;
  for (int64_t size : v.shape) {
    if (size < 0) return Invalid(where, "shape has the negative size ", size);
    if (__builtin_mul_overflow(bytes, size, &bytes))
      return Invalid(where, "shape overflows 64 bits");
  }
  if (bytes != v.bytes) {
    return Invalid(where, "has ", v.bytes, " bytes, but its shape and dtype ", dtype->name,
                   " make ", bytes);
  }
  return absl::OkStatus();
}

absl::Status CheckOnChip(const Variable& v, const std::string& where) {
  const int64_t limit = v.kind == VariableKind::kPsum ? kPsumPartitionBytes : kSbufPartitionBytes;
  if (v.partition < 0 || v.partitions < 1 || v.partition > kPartitions ||
      v.partitions > kPartitions || v.partition + v.partitions > kPartitions) {
    return Invalid(where, "takes ", v.partitions, " partitions from ", v.partition, "; there are ",
                   kPartitions);
  }
  if (v.address < 0 || v.partition_bytes < 1 || v.address > limit ||
      v.partition_bytes > limit - v.address) {
    return Invalid(where, "takes ", v.partition_bytes, " bytes a partition from address ",
                   v.address, "; a partition of ", VariableKindName(v.kind), " has ", limit);
  }
  if (v.bytes != v.partitions * v.partition_bytes) {
    return Invalid(where, "has ", v.bytes, " bytes, but ", v.partitions, " partitions of ",
                   v.partition_bytes);
  }
  return absl::OkStatus();
}

absl::Status CheckVariables(const Program& program) {
  if (program.scratch_bytes < 0 || program.scratch_bytes > kHbmBytesPerCore) {
    return Invalid("program", "scratch_bytes is ", program.scratch_bytes, "; a core has ",
                   kHbmBytesPerCore, " bytes of HBM");
  }
  std::unordered_set<std::string> names[2];
  for (size_t i = 0; i < program.variables.size(); ++i) {
    const Variable& v = program.variables[i];
    const std::string where = absl::StrCat("variable ", i, " '", v.name, "'");
    if (v.kind > VariableKind::kPsum)
      return Invalid(where, "kind ", static_cast<int>(v.kind), " is unknown");
    if (v.bytes < 0 || v.bytes > kHbmBytesPerCore) {
      return Invalid(where, "has ", v.bytes, " bytes; a core has ", kHbmBytesPerCore,
                     " bytes of HBM");
    }
    absl::Status status = CheckShape(v, where);
    if (!status.ok()) return status;
    if (!IsHbm(v.kind)) {
      status = CheckOnChip(v, where);
      if (!status.ok()) return status;
    }
    if (v.kind == VariableKind::kInput || v.kind == VariableKind::kOutput) {
      if (v.name.empty()) return Invalid(where, "an ", VariableKindName(v.kind), " needs a name");
      if (!names[v.kind == VariableKind::kOutput].insert(v.name).second) {
        return Invalid(where, "a second ", VariableKindName(v.kind), " of this name");
      }
    }
    if ((v.kind == VariableKind::kFile) == v.file.empty()) {
      return Invalid(where, "a file name is needed by kind 'file' only; kind is '",
                     VariableKindName(v.kind), "', file is '", v.file, "'");
    }
    if (v.kind == VariableKind::kTmpBuf &&
        (v.hbm_offset < 0 || v.hbm_offset > program.scratch_bytes ||
         v.bytes > program.scratch_bytes - v.hbm_offset)) {
      return Invalid(where, v.bytes, " bytes at scratch offset ", v.hbm_offset,
                     " exceed the scratch area of ", program.scratch_bytes);
    }
  }
  return absl::OkStatus();
}

absl::Status CheckAliases(const Program& program) {
  std::unordered_set<int32_t> aliased;
  const int64_t count = program.variables.size();
  for (int64_t i = 0; i < count; ++i) {
    const Variable& v = program.variables[i];
    if (v.alias == -1) continue;
    const std::string where = absl::StrCat("variable ", i, " '", v.name, "'");
    if (v.kind != VariableKind::kOutput) {
      return Invalid(where, "only an output may have an alias; kind is '", VariableKindName(v.kind),
                     "'");
    }
    if (v.alias < 0 || v.alias >= count ||
        program.variables[v.alias].kind != VariableKind::kInput) {
      return Invalid(where, "alias ", v.alias, " is no input variable");
    }
    if (program.variables[v.alias].bytes != v.bytes) {
      return Invalid(where, "has ", v.bytes, " bytes, but its alias ", v.alias, " has ",
                     program.variables[v.alias].bytes);
    }
    if (!aliased.insert(v.alias).second)
      return Invalid(where, "input ", v.alias, " is aliased twice");
  }
  return absl::OkStatus();
}

absl::Status CheckQueues(const Program& program) {
  if (program.queues.size() > kDmaQueues) {
    return Invalid("program", "has ", program.queues.size(), " DMA queues; the limit is ",
                   kDmaQueues);
  }
  for (size_t i = 0; i < program.queues.size(); ++i) {
    const DmaQueue& q = program.queues[i];
    const std::string where = absl::StrCat("queue ", i, " '", q.name, "'");
    if (static_cast<int>(q.issuer) >= kEngines || q.issuer == Engine::kPe) {
      return Invalid(where, "issuer ", static_cast<int>(q.issuer), " (", EngineName(q.issuer),
                     ") cannot start transfers");
    }
    if (q.semaphore != kNoSemaphore && q.semaphore >= kSemaphores) {
      return Invalid(where, "semaphore ", q.semaphore, " is not below ", kSemaphores);
    }
  }
  return absl::OkStatus();
}

absl::Status CheckTerminator(const Program& program, size_t segment) {
  const Terminator& t = program.segments[segment].terminator;
  const std::string where = absl::StrCat("segment ", segment, " terminator");
  const size_t segments = program.segments.size();
  if (t.kind > TerminatorKind::kBranch)
    return Invalid(where, "kind ", static_cast<int>(t.kind), " is unknown");
  if (t.kind == TerminatorKind::kHalt) return absl::OkStatus();
  if (t.target >= segments)
    return Invalid(where, "target ", t.target, " is not below the ", segments, " segments");
  if (t.kind == TerminatorKind::kJump) return absl::OkStatus();
  if (t.otherwise >= segments) {
    return Invalid(where, "otherwise ", t.otherwise, " is not below the ", segments, " segments");
  }
  if (t.dtype != DType::kPred && t.dtype != DType::kI32) {
    return Invalid(where, "dtype ", static_cast<int>(t.dtype), " is neither pred nor s32");
  }
  if (t.var >= program.variables.size() || !IsHbm(program.variables[t.var].kind)) {
    return Invalid(where, "variable ", t.var, " is no variable in HBM");
  }
  const uint64_t bytes = program.variables[t.var].bytes;
  const uint64_t size = DTypeBytes(t.dtype);
  if (t.offset > bytes || size > bytes - t.offset) {
    return Invalid(where, "offset ", t.offset, " exceeds the ", bytes, " bytes of variable ",
                   t.var);
  }
  if (t.expected_trips < 0) return Invalid(where, "expected_trips is negative: ", t.expected_trips);
  return absl::OkStatus();
}

}  // namespace

absl::Status Validate(const Program& program) {
  absl::Status status = CheckVariables(program);
  if (status.ok()) status = CheckAliases(program);
  if (status.ok()) status = CheckQueues(program);
  for (size_t i = 0; status.ok() && i < program.dmas.size(); ++i) {
    status = internal::CheckDma(program, i);
  }
  if (!status.ok()) return status;
  if (program.segments.empty()) return Invalid("program", "has no segment");
  internal::SemaphoreCheck semaphores(program);
  for (size_t i = 0; status.ok() && i < program.queues.size(); ++i) status = semaphores.AddQueue(i);
  for (size_t s = 0; status.ok() && s < program.segments.size(); ++s) {
    status = CheckTerminator(program, s);
    semaphores.StartSegment();
    for (int e = 0; status.ok() && e < kEngines; ++e) {
      const std::vector<Instruction>& stream = program.segments[s].streams[e];
      const internal::Position stream_position = {s, static_cast<Engine>(e), 0};
      for (size_t i = 0; status.ok() && i < stream.size(); ++i) {
        internal::Position position = stream_position;
        position.index = i;
        status = internal::CheckInstruction(program, stream[i], position);
        if (status.ok()) status = semaphores.AddInstruction(stream[i], position);
      }
    }
  }
  return status;
}

}  // namespace glia::isa
