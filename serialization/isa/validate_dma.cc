#include <algorithm>
#include <string>

#include "serialization/isa/table.h"
#include "serialization/isa/validate_internal.h"

namespace glia::isa::internal {
namespace {

// 128 bits hold any sum of the products of a descriptor's fields.
using Wide = __int128;

std::string Text(Wide value) {
  // Only for messages: what exceeds 64 bits is shown as the nearest that does not.
  const Wide limit = Wide{INT64_MAX};
  return absl::StrCat(static_cast<int64_t>(std::max(-limit, std::min(limit, value))));
}

struct Side {
  const char* name;
  uint32_t var;
  uint64_t offset;
  const int64_t* stride;
  bool indexed;
};

absl::Status CheckSide(const Program& program, const DmaDescriptor& dma, const Side& side,
                       const std::string& where) {
  if (side.var >= program.variables.size()) {
    return Invalid(where, side.name, " variable ", side.var, " is not below the ",
                   program.variables.size(), " variables");
  }
  Wide low = side.offset, high = Wide{side.offset} + dma.element_bytes;
  for (int d = 0; d < kDmaDims; ++d) {
    // Index values lie in [0, index_bound).
    const bool by_index = side.indexed && d == 0;
    const Wide last = by_index ? Wide{dma.index_bound} - 1 : Wide{dma.size[d]} - 1;
    const Wide extent = last * (by_index ? dma.index_stride : side.stride[d]);
    (extent < 0 ? low : high) += extent;
  }
  const Variable& v = program.variables[side.var];
  if (low < 0 || high > v.bytes) {
    return Invalid(where, side.name, " reaches bytes ", Text(low), " to ", Text(high),
                   " of variable ", side.var, " '", v.name, "', which has ", v.bytes);
  }
  return absl::OkStatus();
}

}  // namespace

absl::Status CheckDma(const Program& program, size_t index) {
  const DmaDescriptor& dma = program.dmas[index];
  const std::string where = absl::StrCat("DMA descriptor ", index);
  if (dma.reserved != 0) return Invalid(where, "reserved is ", dma.reserved, ", must be 0");
  if (dma.element_bytes != 1 && dma.element_bytes != 2 && dma.element_bytes != 4 &&
      dma.element_bytes != 8) {
    return Invalid(where, "element_bytes is ", dma.element_bytes, "; allowed are 1, 2, 4 and 8");
  }
  if (dma.op > DmaOp::kMultiply)
    return Invalid(where, "op ", static_cast<int>(dma.op), " is unknown");
  const DTypeInfo* dtype = FindDType(dma.dtype);
  if (dtype == nullptr) return Invalid(where, "dtype ", static_cast<int>(dma.dtype), " is unknown");
  if (dma.op != DmaOp::kCopy && (dtype->bytes != dma.element_bytes || dma.dtype == DType::kPred)) {
    return Invalid(where, "op ", static_cast<int>(dma.op), " computes in dtype ", dtype->name,
                   " of ", dtype->bytes, " bytes; element_bytes is ", dma.element_bytes);
  }
  if (dma.index_side > IndexSide::kDestination) {
    return Invalid(where, "index_side ", static_cast<int>(dma.index_side), " is unknown");
  }
  if (dma.queue >= program.queues.size()) {
    return Invalid(where, "queue ", dma.queue, " is not below the ", program.queues.size(),
                   " queues");
  }
  Wide bytes = dma.element_bytes;
  for (int d = 0; d < kDmaDims; ++d) {
    if (dma.size[d] == 0) return Invalid(where, "size[", d, "] is 0, must be at least 1");
    bytes *= dma.size[d];
    if (bytes > kHbmBytesPerCore) {
      return Invalid(where, "moves more than ", kHbmBytesPerCore, " bytes, the HBM of a core");
    }
  }
  const bool indirect = dma.index_side != IndexSide::kNone;
  if (indirect) {
    if (dma.index_bound < 1)
      return Invalid(where, "index_bound is ", dma.index_bound, ", must be at least 1");
    if (dma.index_var >= program.variables.size() ||
        program.variables[dma.index_var].kind == VariableKind::kPsum) {
      return Invalid(where, "index variable ", dma.index_var, " is no variable in HBM or SBUF");
    }
    const Variable& v = program.variables[dma.index_var];
    if (Wide{dma.index_offset} + Wide{4} * dma.size[0] > v.bytes) {
      return Invalid(where, dma.size[0], " indices at offset ", dma.index_offset,
                     " exceed variable ", dma.index_var, " '", v.name, "' of ", v.bytes, " bytes");
    }
  } else if (dma.index_var != UINT32_MAX) {
    return Invalid(where, "has index variable ", dma.index_var, " but no index side");
  }
  absl::Status status = CheckSide(
      program, dma,
      {"source", dma.src_var, dma.src_offset, dma.src_stride, dma.index_side == IndexSide::kSource},
      where);
  if (status.ok()) {
    status = CheckSide(program, dma,
                       {"destination", dma.dst_var, dma.dst_offset, dma.dst_stride,
                        dma.index_side == IndexSide::kDestination},
                       where);
  }
  if (!status.ok()) return status;
  const Variable& dst = program.variables[dma.dst_var];
  if (dst.kind == VariableKind::kInput || dst.kind == VariableKind::kFile) {
    return Invalid(where, "writes variable ", dma.dst_var, " '", dst.name,
                   "', which is read-only (", VariableKindName(dst.kind), ")");
  }
  return absl::OkStatus();
}

SemaphoreCheck::SemaphoreCheck(const Program& program) : program_(program) {
  owner_.fill(-1);
  sum_.fill(0);
}

absl::Status SemaphoreCheck::SetOwner(uint16_t semaphore, int owner, const std::string& where) {
  const auto describe = [this](int o) {
    return o < kEngines ? std::string(EngineName(static_cast<Engine>(o)))
                        : absl::StrCat("queue ", o - kEngines, " '",
                                       program_.queues[o - kEngines].name, "'");
  };
  int& current = owner_[semaphore];
  if (current >= 0 && current != owner) {
    return Invalid(where, "semaphore ", semaphore, " is incremented by ", describe(owner),
                   " and by ", describe(current), "; only one may");
  }
  current = owner;
  return absl::OkStatus();
}

absl::Status SemaphoreCheck::AddQueue(size_t queue) {
  const DmaQueue& q = program_.queues[queue];
  if (q.semaphore == kNoSemaphore) return absl::OkStatus();
  return SetOwner(q.semaphore, kEngines + static_cast<int>(queue), absl::StrCat("queue ", queue));
}

void SemaphoreCheck::StartSegment() { sum_.fill(0); }

absl::Status SemaphoreCheck::AddInstruction(const Instruction& instruction,
                                            const Position& position) {
  if (instruction.inc_semaphore == kNoSemaphore) return absl::OkStatus();
  int owner = static_cast<int>(position.engine);
  if (instruction.opcode == Opcode::kDma) owner = kEngines + program_.dmas[instruction.dma].queue;
  uint64_t& sum = sum_[instruction.inc_semaphore];
  sum += instruction.inc_value;
  if (sum > UINT32_MAX) {
    return Invalid(Describe(position, instruction.opcode), "semaphore ", instruction.inc_semaphore,
                   " passes 32 bits in this segment");
  }
  if (owner_[instruction.inc_semaphore] == owner) return absl::OkStatus();
  return SetOwner(instruction.inc_semaphore, owner, Describe(position, instruction.opcode));
}

}  // namespace glia::isa::internal
