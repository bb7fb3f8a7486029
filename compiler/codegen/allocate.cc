#include "compiler/codegen/allocate.h"

#include <algorithm>
#include <cstdlib>
#include <deque>
#include <map>
#include <vector>

#include "absl/container/flat_hash_map.h"
#include "absl/status/statusor.h"
#include "absl/strings/str_cat.h"
#include "compiler/codegen/serial_access.h"
#include "serialization/isa/table.h"

namespace glia::compiler {
namespace {

using isa::Instruction;
using isa::Opcode;
using isa::Operand;
using isa::Program;
using isa::Variable;
using isa::VariableKind;

constexpr int64_t kAlignment = 64;
constexpr int64_t kNever = INT64_MAX;
// Tiles of one stretch of so many instructions lie within the same part of SBUF.
constexpr int32_t kStretch = 512;
constexpr int64_t kSpareBytes = 16 * 1024;
constexpr int kDenseAttempts = 4;

// Addresses in one memory. Of what is free, that is given out whose last user, in the order of the
// instructions, is longest ago: who gets it waits least.
class Arena {
 public:
  Arena(int64_t size, int64_t alignment) : size_(size), alignment_(alignment) {
    blocks_[0] = {size, false, kNobody};
  }
  int64_t size() const { return size_; }

  // A place within [low, high), or -1.
  int64_t Take(int64_t bytes, int64_t low, int64_t high) {
    bytes = Round(bytes);
    int64_t best = -1;
    int32_t best_last = 0;
    // Neighbouring free blocks, those with a later last user in front.
    std::deque<std::map<int64_t, Block>::iterator> latest;
    auto end = BlockOf(low);  // behind the blocks looked at
    for (auto start = end; start != blocks_.end() && start->first < high; ++start) {
      if (start->second.used) continue;
      const int64_t at = std::max(start->first, low);
      if (at + bytes > high) break;
      if (end != blocks_.end() && end->first <= start->first) end = start;
      while (!latest.empty() && latest.front()->first < start->first) latest.pop_front();
      while (end != blocks_.end() && end->first < at + bytes && !end->second.used) {
        while (!latest.empty() && latest.back()->second.last <= end->second.last) {
          latest.pop_back();
        }
        latest.push_back(end++);
      }
      const bool fits = end == blocks_.end() || end->first >= at + bytes;
      if (fits && (best < 0 || latest.front()->second.last < best_last)) {
        best = at;
        best_last = latest.front()->second.last;
      }
      if (end == blocks_.end() && !fits) break;
    }
    if (best >= 0) Use(best, bytes);
    return best;
  }
  // The first free place, or -1.
  int64_t TakeFirst(int64_t bytes) {
    bytes = Round(bytes);
    int64_t at = 0;
    for (const auto& [start, block] : blocks_) {
      if (block.used) {
        at = start + block.bytes;
      } else if (start + block.bytes - at >= bytes) {
        Use(at, bytes);
        return at;
      }
    }
    return -1;
  }
  // The last one, or -1.
  int64_t TakeLast(int64_t bytes) {
    bytes = Round(bytes);
    int64_t end = size_;
    for (auto it = blocks_.rbegin(); it != blocks_.rend(); ++it) {
      if (it->second.used) {
        end = it->first;
      } else if (end - it->first >= bytes) {
        Use(end - bytes, bytes);
        return end - bytes;
      }
    }
    return -1;
  }
  // `last`: position of the last user.
  void Free(int64_t at, int32_t last) {
    auto it = blocks_.find(at);
    it->second.used = false;
    it->second.last = last;
    if (it != blocks_.begin()) it = Merge(std::prev(it), it);
    const auto next = std::next(it);
    if (next != blocks_.end()) Merge(it, next);
  }

 private:
  static constexpr int32_t kNobody = -2 * 16;
  struct Block {
    int64_t bytes = 0;
    bool used = false;
    int32_t last = kNobody;
  };
  // Free neighbours whose last users are in one stretch of so many instructions are one.
  static constexpr int32_t kClose = 16;

  int64_t Round(int64_t bytes) const { return (bytes + alignment_ - 1) / alignment_ * alignment_; }

  std::map<int64_t, Block>::iterator BlockOf(int64_t at) {
    return std::prev(blocks_.upper_bound(at));
  }
  std::map<int64_t, Block>::iterator Merge(std::map<int64_t, Block>::iterator a,
                                           std::map<int64_t, Block>::iterator b) {
    if (a->second.used || b->second.used || a->second.last / kClose != b->second.last / kClose) {
      return b;
    }
    a->second.bytes += b->second.bytes;
    a->second.last = std::max(a->second.last, b->second.last);
    blocks_.erase(b);
    return a;
  }
  // Makes a block start there.
  void Cut(int64_t at) {
    if (at == size_) return;
    const auto it = BlockOf(at);
    if (it->first == at) return;
    Block rest = it->second;
    rest.bytes = it->first + it->second.bytes - at;
    it->second.bytes -= rest.bytes;
    blocks_[at] = rest;
  }
  void Use(int64_t at, int64_t bytes) {
    Cut(at);
    Cut(at + bytes);
    blocks_.erase(blocks_.find(at), blocks_.lower_bound(at + bytes));
    blocks_[at] = {bytes, true, kNobody};
  }

  const int64_t size_;
  const int64_t alignment_;
  std::map<int64_t, Block> blocks_;  // by start; all of the memory
};

struct Lifetime {
  std::vector<int32_t> accesses;  // positions within the segment, ascending
  int64_t address = -1;
  bool pinned = false;  // made by spilling
  bool spilled = false;
};

class SegmentAllocator {
 public:
  SegmentAllocator(SerialProgram* serial, SerialSegment* segment, int64_t sbuf_bytes,
                   std::vector<bool>* pinned)
      : program_(serial->program), segment_(*segment), sbuf_bytes_(sbuf_bytes), pinned_(*pinned) {}

  absl::Status Run() {
    dense_.assign(segment_.instructions.size() / kStretch + 1, false);
    for (int attempt = 0;; ++attempt) {
      absl::StatusOr<bool> done = Place();
      if (!done.ok()) return done.status();
      if (*done) return absl::OkStatus();
      // Before anything is spilled: what lies apart for the sake of speed may leave no room for
      // what is large.
      if (attempt <= kDenseAttempts) {
        for (size_t s = 0; s < dense_.size(); ++s) {
          const int64_t distance = static_cast<int64_t>(s) - full_;
          if (attempt == kDenseAttempts || std::abs(distance) <= 1) dense_[s] = true;
        }
        continue;
      }
      RewriteSpilled();
      dense_.assign(segment_.instructions.size() / kStretch + 1, true);
    }
  }

 private:
  bool OnChip(uint32_t var) const { return !isa::IsHbm(program_.variables[var].kind); }

  void CollectLifetimes() {
    lives_.clear();
    order_.clear();
    for (size_t p = 0; p < segment_.instructions.size(); ++p) {
      ForEachVariable(
          program_, segment_.instructions[p].instruction, [&](uint32_t var, bool, bool) {
            if (!OnChip(var)) return;
            Lifetime& life = lives_[var];
            if (life.accesses.empty()) order_.push_back(var);
            if (life.accesses.empty() || life.accesses.back() != static_cast<int32_t>(p)) {
              life.accesses.push_back(static_cast<int32_t>(p));
            }
          });
    }
    for (auto& [var, life] : lives_) life.pinned = var < pinned_.size() && pinned_[var];
  }

  // One pass over the segment. True if everything has an address; else some tiles are marked
  // spilled.
  absl::StatusOr<bool> Place() {
    CollectLifetimes();
    Arena sbuf(sbuf_bytes_, kAlignment);
    Arena psum(isa::kPsumPartitionBytes, isa::kPsumBankBytes);
    // Constants go where the others leave room, so that many of them come in ahead of their use,
    // however the others come and go.
    const std::vector<int64_t> room = RoomForOthers();
    std::vector<uint32_t> live;  // in SBUF, that may be spilled
    std::multimap<int32_t, uint32_t> ends;
    size_t next = 0;
    any_spilled_ = false;
    for (int32_t p = 0; p < static_cast<int32_t>(segment_.instructions.size()); ++p) {
      for (; next < order_.size() && lives_[order_[next]].accesses.front() == p; ++next) {
        const uint32_t var = order_[next];
        Lifetime& life = lives_[var];
        const Variable& v = program_.variables[var];
        if (v.kind == VariableKind::kPsum) {
          life.address = psum.Take(v.partition_bytes, 0, psum.size());
          if (life.address < 0) {
            return absl::InternalError(absl::StrCat("more than ", isa::kPsumBanks,
                                                    " PSUM tiles in use at instruction ", p));
          }
        } else {
          const int64_t border =
              std::max<int64_t>(0, sbuf.size() - room[static_cast<size_t>(p / kStretch)]) /
              kAlignment * kAlignment;
          const bool constant = LoadsConstant(p);
          const auto take = [&] {
            // Small tiles of spilled ones pack: each goes before the next instruction's.
            if (life.pinned) return sbuf.TakeFirst(v.partition_bytes);
            if (dense_[static_cast<size_t>(p / kStretch)]) {
              return constant ? sbuf.TakeFirst(v.partition_bytes)
                              : sbuf.TakeLast(v.partition_bytes);
            }
            const int64_t at = sbuf.Take(v.partition_bytes, constant ? 0 : border,
                                         constant ? border : sbuf.size());
            return at >= 0 ? at : sbuf.Take(v.partition_bytes, 0, sbuf.size());
          };
          while (!life.spilled && (life.address = take()) < 0) {
            const uint32_t victim = Victim(var, live, p);
            if (victim == UINT32_MAX) {
              // The next pass finds room where the spilled tiles of this one were.
              if (any_spilled_) return false;
              return absl::ResourceExhaustedError(
                  absl::StrCat("the operands of one instruction do not fit into ", sbuf_bytes_,
                               " bytes of SBUF a partition"));
            }
            Lifetime& other = lives_[victim];
            other.spilled = true;
            if (!any_spilled_) full_ = p / kStretch;
            any_spilled_ = true;
            if (other.address >= 0) sbuf.Free(other.address, p);
            other.address = -1;
            live.erase(std::remove(live.begin(), live.end(), victim), live.end());
          }
          if (life.spilled) continue;
          if (!life.pinned) live.push_back(var);
        }
        ends.emplace(life.accesses.back(), var);
      }
      for (auto it = ends.begin(); it != ends.end() && it->first <= p; it = ends.erase(it)) {
        const Lifetime& life = lives_[it->second];
        if (life.spilled) continue;
        if (program_.variables[it->second].kind == VariableKind::kPsum) {
          psum.Free(life.address, p);
        } else {
          sbuf.Free(life.address, p);
          live.erase(std::remove(live.begin(), live.end(), it->second), live.end());
        }
      }
    }
    if (any_spilled_) return false;
    for (const auto& [var, life] : lives_) program_.variables[var].address = life.address;
    return true;
  }

  // By stretch: bytes in which the tiles that hold no constants find place, with some to spare, so
  // that what is freed lies still for a while.
  std::vector<int64_t> RoomForOthers() const {
    const int64_t count = static_cast<int64_t>(segment_.instructions.size());
    std::vector<int64_t> change(static_cast<size_t>(count) + 1, 0);
    for (const auto& [var, life] : lives_) {
      const Variable& v = program_.variables[var];
      if (v.kind == VariableKind::kPsum || life.spilled || LoadsConstant(life.accesses.front())) {
        continue;
      }
      change[static_cast<size_t>(life.accesses.front())] += v.partition_bytes;
      change[static_cast<size_t>(life.accesses.back()) + 1] -= v.partition_bytes;
    }
    std::vector<int64_t> most(static_cast<size_t>(count / kStretch) + 1, 0);
    int64_t now = 0;
    for (int64_t p = 0; p < count; ++p) {
      now += change[static_cast<size_t>(p)];
      int64_t& stretch = most[static_cast<size_t>(p / kStretch)];
      stretch = std::max(stretch, now + now / 4 + kSpareBytes);
    }
    return most;
  }

  bool LoadsConstant(int32_t position) const {
    const Instruction& i = segment_.instructions[position].instruction;
    return i.opcode == Opcode::kDma &&
           program_.variables[program_.dmas[i.dma].src_var].kind == VariableKind::kFile;
  }

  // The tile needed again last, `var` itself included unless it must stay.
  uint32_t Victim(uint32_t var, const std::vector<uint32_t>& live, int32_t position) const {
    uint32_t victim = UINT32_MAX;
    int64_t latest = -1;
    const auto consider = [&](uint32_t candidate) {
      const std::vector<int32_t>& accesses = lives_.at(candidate).accesses;
      const auto use = std::upper_bound(accesses.begin(), accesses.end(), position);
      const int64_t at = use == accesses.end() ? kNever : *use;
      // What this instruction itself accesses goes only when nothing else is left.
      const bool now = std::binary_search(accesses.begin(), accesses.end(), position);
      const int64_t rank = now ? 0 : at;
      if (rank > latest) {
        latest = rank;
        victim = candidate;
      }
    };
    for (uint32_t candidate : live) consider(candidate);
    if (!lives_.at(var).pinned) consider(var);
    return victim;
  }

  uint32_t AddVariable(Variable v, bool pinned) {
    program_.variables.push_back(std::move(v));
    pinned_.resize(program_.variables.size(), false);
    pinned_.back() = pinned;
    return static_cast<uint32_t>(program_.variables.size() - 1);
  }

  // A transfer of just the operand's elements between a tile and its copy in HBM; equal layouts.
  SerialInstruction Move(const Operand& o, uint32_t dst, uint32_t src, int64_t dst_pitch,
                         int64_t dst_low, int64_t src_pitch, int64_t src_low, uint32_t debug) {
    const int bytes = isa::DTypeBytes(o.dtype);
    isa::DmaDescriptor dma;
    dma.dst_var = dst;
    dma.src_var = src;
    dma.element_bytes = static_cast<uint8_t>(bytes);
    dma.dst_offset = static_cast<uint64_t>(o.partition * dst_pitch + o.offset - dst_low);
    dma.src_offset = static_cast<uint64_t>(o.partition * src_pitch + o.offset - src_low);
    dma.size[0] = o.num_partitions;
    dma.dst_stride[0] = dst_pitch;
    dma.src_stride[0] = src_pitch;
    for (int d = 0; d < isa::kFreeDims; ++d) {
      if (o.stride[d] == 0 || o.size[d] == 1) continue;
      dma.size[d + 1] = o.size[d];
      dma.dst_stride[d + 1] = dma.src_stride[d + 1] = int64_t{o.stride[d]} * bytes;
    }
    SerialInstruction move;
    move.instruction.opcode = Opcode::kDma;
    move.instruction.dma = static_cast<uint32_t>(program_.dmas.size());
    move.instruction.debug = debug;
    program_.dmas.push_back(dma);
    return move;
  }

  void RewriteSpilled() {
    absl::flat_hash_map<uint32_t, uint32_t> homes;
    for (const auto& [var, life] : lives_) {
      if (!life.spilled) continue;
      Variable home;
      home.name = absl::StrCat("spill.", program_.variables[var].name);
      home.kind = VariableKind::kTmpBuf;
      home.dtype = program_.variables[var].dtype;
      home.bytes = program_.variables[var].bytes;
      homes[var] = AddVariable(std::move(home), false);
    }
    std::vector<SerialInstruction> result;
    result.reserve(segment_.instructions.size() + 4 * homes.size());
    for (SerialInstruction& item : segment_.instructions) {
      if (item.instruction.opcode == Opcode::kDma) {
        isa::DmaDescriptor& dma = program_.dmas[item.instruction.dma];
        for (uint32_t* var : {&dma.dst_var, &dma.src_var, &dma.index_var}) {
          const auto home = homes.find(*var);
          if (home != homes.end()) *var = home->second;
        }
        result.push_back(item);
        continue;
      }
      RewriteInstruction(homes, item, &result);
    }
    segment_.instructions = std::move(result);
  }

  void RewriteInstruction(const absl::flat_hash_map<uint32_t, uint32_t>& homes,
                          SerialInstruction item, std::vector<SerialInstruction>* result) {
    // The bytes of each spilled tile that this instruction touches.
    struct Part {
      uint32_t home;
      int64_t low = INT64_MAX, high = 0;
      int partitions = 0;
      uint32_t mini = UINT32_MAX;
    };
    std::map<uint32_t, Part> parts;
    ForEachOperand(&item.instruction, [&](Operand* o) {
      const auto home = homes.find(o->var);
      if (home == homes.end()) return;
      Part& part = parts[o->var];
      part.home = home->second;
      const isa::ByteRange range = isa::FreeByteRange(*o);
      part.low = std::min(part.low, range.low / 8 * 8);
      part.high = std::max(part.high, range.high);
      part.partitions = std::max<int>(part.partitions, o->partition + o->num_partitions);
    });
    if (parts.empty()) {
      result->push_back(item);
      return;
    }
    for (auto& [var, part] : parts) {
      Variable v = program_.variables[var];
      v.name = absl::StrCat("reload.", v.name);
      v.partitions = part.partitions;
      v.partition_bytes = part.high - part.low;
      v.bytes = v.partitions * v.partition_bytes;
      v.shape.clear();
      part.mini = AddVariable(std::move(v), true);
    }
    const uint32_t debug = item.instruction.debug;
    std::vector<SerialInstruction> after;
    for (const isa::OperandAccess& access : isa::AccessesOf(item.instruction)) {
      const Operand& o = *access.operand;
      const auto found = o.present() ? parts.find(o.var) : parts.end();
      if (found == parts.end()) continue;
      const Part& part = found->second;
      const int64_t mini_pitch = part.high - part.low;
      const int64_t pitch = program_.variables[o.var].partition_bytes;
      if (access.reads) {
        result->push_back(Move(o, part.mini, part.home, mini_pitch, part.low, pitch, 0, debug));
      }
      if (access.writes) {
        after.push_back(Move(o, part.home, part.mini, pitch, 0, mini_pitch, part.low, debug));
      }
    }
    ForEachOperand(&item.instruction, [&](Operand* o) {
      const auto found = parts.find(o->var);
      if (found == parts.end()) return;
      o->var = found->second.mini;
      o->offset -= static_cast<uint32_t>(found->second.low);
    });
    result->push_back(item);
    result->insert(result->end(), after.begin(), after.end());
  }

  Program& program_;
  SerialSegment& segment_;
  const int64_t sbuf_bytes_;
  std::vector<bool>& pinned_;
  absl::flat_hash_map<uint32_t, Lifetime> lives_;
  std::vector<uint32_t> order_;  // by first access
  bool any_spilled_ = false;
  int64_t full_ = 0;         // the stretch in which the first one was
  std::vector<bool> dense_;  // stretches whose tiles lie as close as they can
};

}  // namespace

absl::Status AllocateTiles(SerialProgram* serial, int64_t sbuf_partition_bytes) {
  // Nothing in SBUF or PSUM outlives its segment.
  std::vector<int64_t> home(serial->program.variables.size(), -1);
  for (const SerialSegment& segment : serial->segments) {
    for (const SerialInstruction& item : segment.instructions) {
      absl::Status status;
      ForEachVariable(serial->program, item.instruction, [&](uint32_t var, bool, bool) {
        const Variable& v = serial->program.variables[var];
        if (isa::IsHbm(v.kind)) return;
        if (home[var] >= 0 && home[var] != segment.number) {
          status = absl::InternalError(absl::StrCat("tile '", v.name, "' is used in segments ",
                                                    home[var], " and ", segment.number));
        }
        home[var] = segment.number;
      });
      if (!status.ok()) return status;
    }
  }
  std::vector<bool> pinned(serial->program.variables.size(), false);
  for (SerialSegment& segment : serial->segments) {
    absl::Status status =
        SegmentAllocator(serial, &segment, std::min(sbuf_partition_bytes, isa::kSbufPartitionBytes),
                         &pinned)
            .Run();
    if (!status.ok()) return status;
  }
  return absl::OkStatus();
}

}  // namespace glia::compiler
