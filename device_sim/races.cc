// CheckRaces and SerialOrder: what the semaphores of a program do and do not order.
//
// Every engine and every queue is a stream, in order within itself. A transfer follows all instructions
// before its trigger; what waits for a semaphore follows the first increments that suffice. Vector clocks
// over the streams decide whether of two accesses one precedes the other; maps of intervals remember who
// touched which bytes last.
#include <algorithm>
#include <array>
#include <cstdint>
#include <map>
#include <memory>
#include <string>
#include <unordered_map>
#include <utility>
#include <vector>

#include "absl/container/inlined_vector.h"
#include "absl/strings/str_cat.h"
#include "device_sim/executor.h"
#include "device_sim/footprint.h"
#include "serialization/isa/disassemble.h"
#include "serialization/isa/table.h"

namespace glia::device {
namespace {

using isa::Engine;
using isa::Instruction;
using isa::Program;
using isa::Segment;

constexpr int kQuadrants = 4;  // operands start at multiples of 32 partitions
constexpr int kQuadrantPartitions = isa::kPartitions / kQuadrants;
// Longer lists of accesses to one interval are thinned of what precedes everything still to come.
constexpr size_t kThinAbove = 16;

std::string Where(const Program& program, const Segment& segment, StreamPosition at) {
  return absl::StrCat(isa::EngineName(at.engine), " instruction ", at.index, " (",
                      isa::DisassembleInstruction(
                          program, segment.streams[static_cast<int>(at.engine)][at.index]),
                      ")");
}

// Orders the instructions of a segment; blocked ones are a deadlock.
absl::StatusOr<std::vector<StreamPosition>> Order(const Program& program, const Segment& segment,
                                                  const std::string& prefix) {
  std::vector<StreamPosition> order;
  size_t total = 0;
  for (const auto& stream : segment.streams) total += stream.size();
  order.reserve(total);
  std::array<uint64_t, isa::kSemaphores> semaphores = {};
  std::array<uint32_t, isa::kEngines> next = {};
  for (bool progress = true; progress && order.size() < total;) {
    progress = false;
    for (int e = 0; e < isa::kEngines; ++e) {
      const auto& stream = segment.streams[e];
      for (; next[e] < stream.size(); ++next[e]) {
        const Instruction& i = stream[next[e]];
        if (i.wait_semaphore != isa::kNoSemaphore && semaphores[i.wait_semaphore] < i.wait_value) break;
        if (i.inc_semaphore != isa::kNoSemaphore) semaphores[i.inc_semaphore] += i.inc_value;
        order.push_back({static_cast<Engine>(e), next[e]});
        progress = true;
      }
    }
  }
  if (order.size() == total) return order;
  std::string message = absl::StrCat(prefix, "deadlock");
  for (int e = 0; e < isa::kEngines; ++e) {
    if (next[e] == segment.streams[e].size()) continue;
    const Instruction& i = segment.streams[e][next[e]];
    absl::StrAppend(&message, "; ", Where(program, segment, {static_cast<Engine>(e), next[e]}),
                    " waits for semaphore ", i.wait_semaphore, " to reach ", i.wait_value,
                    ", which gets no further than ", semaphores[i.wait_semaphore]);
  }
  return absl::InvalidArgumentError(message);
}

struct Access {
  uint32_t epoch = 0;      // position within its stream, from 1
  uint32_t footprint = 0;  // index
  uint16_t stream = 0;
  bool write = false;
};

struct Interval {
  int64_t end = 0;
  absl::InlinedVector<Access, 2> accesses;
};
using IntervalMap = std::map<int64_t, Interval>;  // by start

class Checker {
 public:
  Checker(const Program& program, const Segment& segment, std::string prefix)
      : program_(program),
        segment_(segment),
        prefix_(std::move(prefix)),
        streams_(isa::kEngines + program.queues.size()),
        clocks_(streams_ * streams_, 0),
        epochs_(streams_, 0),
        positions_(streams_),
        semaphores_(isa::kSemaphores) {}

  absl::Status Run(const std::vector<StreamPosition>& order) {
    for (const StreamPosition& at : order) {
      const Instruction& i = segment_.streams[static_cast<int>(at.engine)][at.index];
      const size_t engine = static_cast<size_t>(at.engine);
      if (i.wait_semaphore != isa::kNoSemaphore && i.wait_value > 0) {
        Join(engine, semaphores_[i.wait_semaphore], i.wait_value);
      }
      Advance(engine, at);
      size_t completes = engine;
      if (i.opcode == isa::Opcode::kDma) {
        const isa::DmaDescriptor& dma = program_.dmas[i.dma];
        completes = isa::kEngines + dma.queue;
        for (size_t s = 0; s < streams_; ++s) Clock(completes)[s] = std::max(Clock(completes)[s], Clock(engine)[s]);
        Advance(completes, at);
        const auto [reads, writes] = DmaSides(i.dma);
        for (uint32_t f = reads.first; f < reads.second; ++f) {
          if (absl::Status s = Touch(completes, f, false); !s.ok()) return s;
        }
        for (uint32_t f = writes.first; f < writes.second; ++f) {
          if (absl::Status s = Touch(completes, f, true); !s.ok()) return s;
        }
      } else {
        for (const isa::OperandAccess& a : isa::AccessesOf(i)) {
          if (!a.operand->present()) continue;
          const uint32_t f = OperandFootprint(*a.operand);
          if (absl::Status s = Touch(engine, f, a.writes); !s.ok()) return s;
        }
      }
      if (i.inc_semaphore != isa::kNoSemaphore) Record(&semaphores_[i.inc_semaphore], completes, i.inc_value);
    }
    return absl::OkStatus();
  }

 private:
  struct Semaphore {
    std::vector<uint64_t> sums;      // after each increment
    std::vector<uint32_t> clocks;    // streams_ entries for each
  };

  uint32_t* Clock(size_t stream) { return &clocks_[stream * streams_]; }

  void Advance(size_t stream, StreamPosition at) {
    Clock(stream)[stream] = ++epochs_[stream];
    positions_[stream].push_back(at);
  }

  void Record(Semaphore* s, size_t stream, uint32_t value) {
    s->sums.push_back((s->sums.empty() ? 0 : s->sums.back()) + value);
    s->clocks.insert(s->clocks.end(), Clock(stream), Clock(stream) + streams_);
  }

  void Join(size_t stream, const Semaphore& s, uint32_t value) {
    const size_t i = std::lower_bound(s.sums.begin(), s.sums.end(), value) - s.sums.begin();
    const uint32_t* other = &s.clocks[i * streams_];
    for (size_t k = 0; k < streams_; ++k) Clock(stream)[k] = std::max(Clock(stream)[k], other[k]);
  }

  uint32_t OperandFootprint(const isa::Operand& o) {
    footprints_.push_back(FootprintOf(program_, o));
    return static_cast<uint32_t>(footprints_.size() - 1);
  }

  using Range = std::pair<uint32_t, uint32_t>;
  std::pair<Range, Range> DmaSides(uint32_t dma) {
    auto [it, fresh] = dma_footprints_.try_emplace(dma);
    if (fresh) {
      const DmaFootprints f = FootprintsOf(program_, program_.dmas[dma]);
      const auto append = [this](const std::vector<Footprint>& list) {
        const auto first = static_cast<uint32_t>(footprints_.size());
        footprints_.insert(footprints_.end(), list.begin(), list.end());
        return Range(first, static_cast<uint32_t>(footprints_.size()));
      };
      it->second.first = append(f.reads);
      it->second.second = append(f.writes);
    }
    return it->second;
  }

  bool ReadOnly(int32_t space) const {
    if (space < kFirstVariableSpace) return false;
    const int32_t var = space - kFirstVariableSpace;
    if (program_.variables[var].kind == isa::VariableKind::kOutput) return false;
    for (const isa::Variable& v : program_.variables) {
      if (v.alias == var) return false;
    }
    return true;
  }

  // The interval map of a memory; null if nothing can write it.
  IntervalMap* MapOf(int32_t space, int quadrant) {
    const int64_t key = int64_t{space} * kQuadrants + quadrant;
    auto [it, fresh] = maps_.try_emplace(key);
    if (fresh && !ReadOnly(space)) it->second = std::make_unique<IntervalMap>();
    return it->second.get();
  }

  absl::Status Touch(size_t stream, uint32_t footprint, bool write) {
    const Footprint& f = footprints_[footprint];
    const bool on_chip = f.space <= kPsumSpace;
    const int first = on_chip ? f.first_partition / kQuadrantPartitions : 0;
    const int last = on_chip ? (f.last_partition - 1) / kQuadrantPartitions : 0;
    for (int q = first; q <= last; ++q) {
      IntervalMap* map = MapOf(f.space, q);
      if (map == nullptr) return absl::OkStatus();
      if (absl::Status s = TouchMap(map, q, stream, footprint, write); !s.ok()) return s;
    }
    return absl::OkStatus();
  }

  // Makes intervals of [low, high) exactly and visits them.
  absl::Status TouchMap(IntervalMap* map, int quadrant, size_t stream, uint32_t footprint, bool write) {
    const Footprint& f = footprints_[footprint];
    const Access access = {epochs_[stream], footprint, static_cast<uint16_t>(stream), write};
    auto it = map->upper_bound(f.low);
    if (it != map->begin()) {
      auto before = std::prev(it);
      if (before->first == f.low) {
        it = before;
      } else if (before->second.end > f.low) {
        it = map->emplace_hint(it, f.low, before->second);
        before->second.end = f.low;
      }
    }
    for (int64_t at = f.low; at < f.high;) {
      if (it == map->end() || it->first > at) {  // nobody was here
        const int64_t end = it == map->end() ? f.high : std::min(f.high, it->first);
        it = map->emplace_hint(it, at, Interval{end, {}});
      } else if (it->second.end > f.high) {
        Interval rest = it->second;
        it->second.end = f.high;
        map->emplace_hint(std::next(it), f.high, std::move(rest));
      }
      if (absl::Status s = Visit(&it->second, quadrant, access); !s.ok()) return s;
      at = it->second.end;
      ++it;
    }
    return absl::OkStatus();
  }

  // Whether `a` touches all that `b` may touch within one interval of one quadrant.
  bool Covers(const Footprint& a, const Footprint& b, int quadrant) const {
    if (a.box) {
      if (a.space > kPsumSpace) return true;
      const int first = quadrant * kQuadrantPartitions, last = first + kQuadrantPartitions;
      return a.first_partition <= std::max(first, b.first_partition) &&
             a.last_partition >= std::min(last, b.last_partition);
    }
    return SameBytes(a, b);
  }

  absl::Status Visit(Interval* interval, int quadrant, const Access& access) {
    const Footprint& f = footprints_[access.footprint];
    const uint32_t* clock = Clock(access.stream);
    auto& list = interval->accesses;
    size_t kept = 0;
    for (size_t i = 0; i < list.size(); ++i) {
      const Access& old = list[i];
      const Footprint& g = footprints_[old.footprint];
      const bool ordered = clock[old.stream] >= old.epoch;
      if (!ordered && (old.write || access.write) && Overlap(g, f)) return Race(old, access);
      // Whoever comes after `access` comes after `old`, and conflicts with it no more often.
      const bool obsolete = ordered && (access.write || !old.write) && Covers(f, g, quadrant);
      if (!obsolete) list[kept++] = old;
    }
    list.resize(kept);
    list.push_back(access);
    if (list.size() > kThinAbove) Thin(&list);
    return absl::OkStatus();
  }

  template <typename List>
  void Thin(List* list) {
    std::vector<uint32_t> known(clocks_.begin(), clocks_.begin() + static_cast<ptrdiff_t>(streams_));
    for (size_t s = 1; s < isa::kEngines; ++s) {
      for (size_t k = 0; k < streams_; ++k) known[k] = std::min(known[k], Clock(s)[k]);
    }
    // A queue's future transfers follow their triggers, so only the engines count.
    list->erase(std::remove_if(list->begin(), list->end(),
                               [&](const Access& a) { return a.epoch <= known[a.stream]; }),
                list->end());
  }

  std::string Describe(const Access& a) const {
    const StreamPosition at = positions_[a.stream][a.epoch - 1];
    const Instruction& i = segment_.streams[static_cast<int>(at.engine)][at.index];
    std::string text = absl::StrCat(isa::EngineName(at.engine), " instruction ", at.index);
    if (i.opcode == isa::Opcode::kDma) {
      absl::StrAppend(&text, " by its transfer on queue ", a.stream - isa::kEngines, " (",
                      isa::DisassembleDma(program_, program_.dmas[i.dma]), ")");
    } else {
      absl::StrAppend(&text, " (", isa::DisassembleInstruction(program_, i), ")");
    }
    return text;
  }

  std::string SpaceName(int32_t space) const {
    if (space == kSbufSpace) return "SBUF";
    if (space == kPsumSpace) return "PSUM";
    if (space == kScratchSpace) return "the HBM scratch area";
    return absl::StrCat("HBM variable '", program_.variables[space - kFirstVariableSpace].name, "'");
  }

  absl::Status Race(const Access& a, const Access& b) const {
    const Footprint& f = footprints_[a.footprint];
    const Footprint& g = footprints_[b.footprint];
    std::string bytes = absl::StrCat("bytes ", std::max(f.low, g.low), " to ", std::min(f.high, g.high));
    if (f.space <= kPsumSpace) {
      absl::StrAppend(&bytes, " of partitions ", std::max(f.first_partition, g.first_partition), " to ",
                      std::min(f.last_partition, g.last_partition) - 1);
    }
    return absl::InvalidArgumentError(absl::StrCat(
        prefix_, "race on ", SpaceName(f.space), ", ", bytes, ": ", a.write ? "written" : "read", " by ",
        Describe(a), " and ", b.write ? "written" : "read", " by ", Describe(b),
        " with no semaphore that orders them"));
  }

  const Program& program_;
  const Segment& segment_;
  const std::string prefix_;
  const size_t streams_;
  std::vector<uint32_t> clocks_;  // [streams][streams]: what each stream knows of the others
  std::vector<uint32_t> epochs_;
  std::vector<std::vector<StreamPosition>> positions_;  // by epoch - 1
  std::vector<Semaphore> semaphores_;
  std::vector<Footprint> footprints_;
  std::unordered_map<uint32_t, std::pair<Range, Range>> dma_footprints_;
  std::unordered_map<int64_t, std::unique_ptr<IntervalMap>> maps_;
};

std::string SegmentPrefix(size_t index) { return absl::StrCat("segment ", index, ": "); }

}  // namespace

absl::Status CheckRaces(const Program& program) {
  for (size_t s = 0; s < program.segments.size(); ++s) {
    const Segment& segment = program.segments[s];
    auto order = Order(program, segment, SegmentPrefix(s));
    if (!order.ok()) return order.status();
    const absl::Status status = Checker(program, segment, SegmentPrefix(s)).Run(*order);
    if (!status.ok()) return status;
  }
  return absl::OkStatus();
}

absl::StatusOr<std::vector<StreamPosition>> SerialOrder(const Program& program, const Segment& segment) {
  return Order(program, segment, "");
}

}  // namespace glia::device
