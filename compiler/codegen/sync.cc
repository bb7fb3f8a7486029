#include "compiler/codegen/sync.h"

#include <algorithm>
#include <array>
#include <bitset>
#include <cstdint>
#include <map>
#include <utility>
#include <vector>

#include "absl/container/flat_hash_map.h"
#include "absl/container/inlined_vector.h"
#include "absl/strings/str_cat.h"
#include "serialization/isa/table.h"

namespace glia::compiler {
namespace {

using isa::Engine;
using isa::Instruction;
using isa::Opcode;
using isa::Operand;
using isa::Program;
using isa::Variable;
using isa::VariableKind;

// Queues of each engine that starts transfers, in order within each of them. Constants have their
// own, and few: those wanted first then come first, where many at once would all come late.
struct Issuer {
  Engine engine;
  int queues;
  int for_constants;
};
constexpr Issuer kIssuers[] = {
    {Engine::kSp, 7, 2}, {Engine::kAct, 3, 0}, {Engine::kPool, 3, 0}, {Engine::kDve, 3, 0}};
// Memories: 0 SBUF, 1 PSUM, 2 the scratch area, 3 + a variable's index.
constexpr int64_t kFirstHbm = 2;
constexpr int64_t kFirstVariable = 3;
constexpr int kAgents = isa::kEngines + isa::kDmaQueues;  // engines, then queues

// The n-th instruction (from 1) of an engine or transfer of a queue within the segment.
struct Event {
  uint16_t agent = 0;
  uint32_t sequence = 0;
};
using Clock = std::array<uint32_t, kAgents>;  // sequence of each agent known to be complete

using Partitions = std::bitset<isa::kPartitions>;

// Who touched the bytes of some partitions of a range last.
struct Access {
  Event event;
  Partitions partitions;
  bool write = false;
};
struct Interval {
  int64_t end = 0;
  absl::InlinedVector<Access, 4> accesses;
};

// SBUF or PSUM: ranges of bytes within the partitions.
class Memory {
 public:
  void Read(int64_t low, int64_t high, const Access& access, std::vector<Event>* depends) {
    Visit(low, high, [&](Interval* interval) {
      Access* own = nullptr;
      for (Access& other : interval->accesses) {
        if (other.write) {
          if (Meet(other, access)) depends->push_back(other.event);
        } else if (other.event.agent == access.event.agent && Covers(access, other)) {
          own = &other;
        }
      }
      if (own != nullptr) {
        *own = access;
      } else {
        interval->accesses.push_back(access);
      }
    });
  }
  void Write(int64_t low, int64_t high, const Access& access, std::vector<Event>* depends) {
    bool alone = true;  // nothing of what others did stays
    Visit(low, high, [&](Interval* interval) {
      auto& list = interval->accesses;
      for (const Access& other : list) {
        if (Meet(other, access)) depends->push_back(other.event);
      }
      // From here on it stands for those that it waits for.
      list.erase(std::remove_if(list.begin(), list.end(),
                                [&](const Access& other) { return Covers(access, other); }),
                 list.end());
      alone = alone && list.empty();
      list.push_back(access);
    });
    if (!alone) return;
    map_.erase(map_.lower_bound(low), map_.lower_bound(high));
    map_[low] = Interval{high, {access}};
  }

 private:
  static bool Meet(const Access& a, const Access& b) { return (a.partitions & b.partitions).any(); }
  static bool Covers(const Access& a, const Access& b) {
    return (b.partitions & ~a.partitions).none();
  }

  template <typename F>
  void Visit(int64_t low, int64_t high, const F& f) {
    Cut(low);
    Cut(high);
    auto it = map_.lower_bound(low);
    for (int64_t at = low; at < high;) {
      if (it == map_.end() || it->first > at) {
        const int64_t end = it == map_.end() ? high : std::min(high, it->first);
        it = map_.emplace_hint(it, at, Interval{end, {}});
      }
      f(&it->second);
      at = it->second.end;
      ++it;
    }
  }
  void Cut(int64_t at) {
    auto it = map_.lower_bound(at);
    if (it == map_.begin()) return;
    --it;
    if (it->second.end <= at || it->first == at) return;
    Interval rest = it->second;
    it->second.end = at;
    map_[at] = std::move(rest);
  }

  std::map<int64_t, Interval> map_;
};

// The bytes [low, high) of a memory; on chip, of some partitions. For HBM the pattern within: `run`
// bytes at low + sum index * stride, strides positive and descending.
struct Range {
  int64_t space;
  int64_t low;
  int64_t high;
  Partitions partitions = {};
  int64_t run = 0;
  absl::InlinedVector<std::pair<int64_t, int64_t>, isa::kDmaDims>
      dims;  // stride, size; empty: all bytes
};

// Whether two patterns are known to share no byte: they repeat with a common stride, and keep to
// different parts of it.
bool Disjoint(const Range& a, const Range& b) {
  for (const auto& [stride, size] : a.dims) {
    const auto part = [s = stride](const Range& r, int64_t* first, int64_t* last) {
      int64_t extent = r.run;
      for (const auto& [step, count] : r.dims) {
        if (step < s) {
          extent += step * (count - 1);
        } else if (step % s != 0) {
          return false;
        }
      }
      *first = r.low % s;
      *last = *first + extent;
      return *last <= s;
    };
    int64_t a_first, a_last, b_first, b_last;
    if (part(a, &a_first, &a_last) && part(b, &b_first, &b_last) &&
        (a_last <= b_first || b_last <= a_first)) {
      return true;
    }
  }
  return false;
}

// Who touched the bytes of an HBM variable: as Memory, but transfers that interleave do not
// conflict.
class PatternMemory {
 public:
  void Touch(const Range& range, Event event, bool write, std::vector<Event>* depends) {
    const auto access = static_cast<uint32_t>(accesses_.size());
    accesses_.push_back({range, event, write});
    Cut(range.low);
    Cut(range.high);
    auto it = map_.lower_bound(range.low);
    for (int64_t at = range.low; at < range.high;) {
      if (it == map_.end() || it->first > at) {
        const int64_t end = it == map_.end() ? range.high : std::min(range.high, it->first);
        it = map_.emplace_hint(it, at, Node{end, {}});
      }
      Visit(&it->second, range, access, write, depends);
      at = it->second.end;
      ++it;
    }
  }

 private:
  struct Access {
    Range range;
    Event event;
    bool write;
  };
  static Range RangeOfAll(const Range& range) {
    Range all;
    all.space = range.space;
    all.low = range.low;
    all.high = range.high;
    return all;
  }
  struct Node {
    int64_t end = 0;
    std::vector<uint32_t> accesses;  // since the last write of all its bytes
  };
  static constexpr size_t kMaxAccesses = 64;

  void Visit(Node* node, const Range& range, uint32_t access, bool write,
             std::vector<Event>* depends) {
    // A long list is ended by a write that waits for all of it.
    const bool all = write && (range.dims.empty() || node->accesses.size() >= kMaxAccesses);
    for (uint32_t other : node->accesses) {
      const Access& a = accesses_[other];
      if ((a.write || write) && (all || !Disjoint(a.range, range))) depends->push_back(a.event);
    }
    if (all) {
      // From here on it stands for every byte.
      node->accesses.clear();
      if (!range.dims.empty()) {
        accesses_.push_back({RangeOfAll(range), accesses_[access].event, true});
        node->accesses.push_back(static_cast<uint32_t>(accesses_.size() - 1));
        return;
      }
    }
    node->accesses.push_back(access);
  }

  void Cut(int64_t at) {
    auto it = map_.lower_bound(at);
    if (it == map_.begin()) return;
    --it;
    if (it->second.end <= at || it->first == at) return;
    Node rest = it->second;
    it->second.end = at;
    map_[at] = std::move(rest);
  }

  std::map<int64_t, Node> map_;
  std::vector<Access> accesses_;
};

Range RangeOf(const Program& program, uint32_t var, int64_t low, int64_t high) {
  const Variable& v = program.variables[var];
  Range range;
  const auto set = [&](int64_t space, int64_t start) {
    range.space = space;
    range.low = start + low;
    range.high = start + high;
  };
  switch (v.kind) {
    case VariableKind::kStateBuffer:
      set(0, v.address);
      break;
    case VariableKind::kPsum:
      set(1, v.address);
      break;
    case VariableKind::kTmpBuf:
      set(kFirstHbm, v.hbm_offset);
      break;
    default:
      set(kFirstVariable + (v.alias >= 0 ? v.alias : static_cast<int64_t>(var)), 0);
  }
  return range;
}

// Bytes of one side of a transfer: in HBM from the first to the last; on chip those within a
// partition.
Range SideRange(const Program& program, const isa::DmaDescriptor& dma, uint32_t var,
                uint64_t offset, const int64_t* strides, bool indexed) {
  const Variable& v = program.variables[var];
  const int64_t pitch = isa::IsHbm(v.kind) ? 0 : v.partition_bytes;
  int64_t low = static_cast<int64_t>(offset), high = low + dma.element_bytes;
  Partitions partitions;
  if (pitch != 0) {
    partitions.set(static_cast<size_t>(v.partition + low / pitch));
    low %= pitch;
    high = low + dma.element_bytes;
  }
  Range pattern;
  for (int d = 0; d < isa::kDmaDims; ++d) {
    const bool by_index = indexed && d == 0;
    const int64_t stride = by_index ? dma.index_stride : strides[d];
    const int64_t steps = (by_index ? dma.index_bound : int64_t{dma.size[d]}) - 1;
    if (pitch != 0 && stride % pitch == 0) {
      const Partitions once = partitions;
      for (int64_t i = 1; i <= steps && stride != 0; ++i) {
        const int64_t by = i * (stride / pitch);
        partitions |= by < 0 ? once >> static_cast<size_t>(-by) : once << static_cast<size_t>(by);
      }
      continue;
    }
    (stride < 0 ? low : high) += steps * stride;
    if (stride != 0 && steps > 0) pattern.dims.push_back({std::abs(stride), steps + 1});
  }
  if (pitch != 0) {
    // What crosses into the next partition may touch any byte of all of them.
    const bool crosses = low < 0 || high > pitch;
    Range range = crosses ? RangeOf(program, var, 0, pitch) : RangeOf(program, var, low, high);
    range.partitions = crosses ? Partitions().set() : partitions;
    return range;
  }
  std::sort(pattern.dims.begin(), pattern.dims.end(),
            [](const auto& a, const auto& b) { return a > b; });
  pattern.run = dma.element_bytes;
  while (!pattern.dims.empty() && pattern.dims.back().first <= pattern.run) {
    pattern.run += pattern.dims.back().first * (pattern.dims.back().second - 1);
    pattern.dims.pop_back();
  }
  Range range = RangeOf(program, var, low, high);
  range.run = pattern.run;
  range.dims = pattern.dims;
  return range;
}

struct Accesses {
  std::vector<Range> reads;
  std::vector<Range> writes;
};

Accesses AccessesOf(const Program& program, const Instruction& instruction) {
  Accesses result;
  if (instruction.opcode == Opcode::kDma) {
    const isa::DmaDescriptor& dma = program.dmas[instruction.dma];
    result.reads.push_back(SideRange(program, dma, dma.src_var, dma.src_offset, dma.src_stride,
                                     dma.index_side == isa::IndexSide::kSource));
    if (dma.index_side != isa::IndexSide::kNone) {
      isa::DmaDescriptor index;
      index.element_bytes = 4;
      index.size[0] = dma.size[0];
      const int64_t strides[isa::kDmaDims] = {4, 0, 0, 0, 0};
      result.reads.push_back(
          SideRange(program, index, dma.index_var, dma.index_offset, strides, false));
    }
    result.writes.push_back(SideRange(program, dma, dma.dst_var, dma.dst_offset, dma.dst_stride,
                                      dma.index_side == isa::IndexSide::kDestination));
    return result;
  }
  for (const isa::OperandAccess& access : isa::AccessesOf(instruction)) {
    if (!access.operand->present()) continue;
    const Operand& o = *access.operand;
    const isa::ByteRange bytes = isa::FreeByteRange(o);
    Range range = RangeOf(program, o.var, bytes.low, bytes.high);
    range.partitions = ~Partitions() >> (isa::kPartitions - o.num_partitions)
                                            << (program.variables[o.var].partition + o.partition);
    (access.writes ? result.writes : result.reads).push_back(std::move(range));
  }
  return result;
}

class SegmentSync {
 public:
  SegmentSync(Program* program, const std::vector<std::vector<uint16_t>>& queues)
      : program_(*program), queues_(queues), writable_(program->variables.size(), false) {
    for (size_t i = 0; i < program->variables.size(); ++i) {
      const Variable& v = program->variables[i];
      if (v.kind == VariableKind::kOutput)
        writable_[v.alias >= 0 ? static_cast<size_t>(v.alias) : i] = true;
    }
  }

  isa::Segment Run(const SerialSegment& serial) {
    for (const SerialInstruction& item : serial.instructions) Add(item);
    isa::Segment segment;
    segment.terminator = serial.terminator;
    Emit(&segment);
    return segment;
  }

 private:
  struct Item {
    Instruction instruction;
    Engine engine;
    Event event;  // what completes it
    absl::InlinedVector<Event, 2> waits;
  };

  // Which engine starts a transfer: stores follow what computed them, loads of what other kernels
  // left in HBM go by POOL so that they do not hold up those of inputs and constants on SP.
  Engine IssuerOf(const isa::DmaDescriptor& dma) const {
    const Variable& src = program_.variables[dma.src_var];
    if (!isa::IsHbm(src.kind)) {
      const auto writer = last_writer_.find(dma.src_var);
      if (writer != last_writer_.end() && writer->second != Engine::kPe) return writer->second;
      return Engine::kSp;
    }
    return src.kind == VariableKind::kTmpBuf ? Engine::kPool : Engine::kSp;
  }

  void Add(const SerialInstruction& serial) {
    Item item;
    item.instruction = serial.instruction;
    item.engine = serial.engine;
    const bool is_dma = serial.instruction.opcode == Opcode::kDma;
    if (is_dma) {
      isa::DmaDescriptor& dma = program_.dmas[serial.instruction.dma];
      item.engine = IssuerOf(dma);
      const bool constant =
          item.engine == Engine::kSp && program_.variables[dma.src_var].kind == VariableKind::kFile;
      const std::vector<uint16_t>& queues =
          queues_[constant ? isa::kEngines : static_cast<size_t>(item.engine)];
      size_t& turn = turn_[constant ? isa::kEngines : static_cast<size_t>(item.engine)];
      dma.queue = queues[turn++ % queues.size()];
      item.event.agent = static_cast<uint16_t>(isa::kEngines + dma.queue);
      if (!isa::IsHbm(program_.variables[dma.dst_var].kind)) last_writer_.erase(dma.dst_var);
    } else {
      item.event.agent = static_cast<uint16_t>(item.engine);
      if (item.instruction.dst.present()) last_writer_[item.instruction.dst.var] = item.engine;
    }
    item.event.sequence = ++counts_[item.event.agent];

    std::vector<Event> depends;
    const Accesses accesses = AccessesOf(program_, item.instruction);
    for (const Range& r : accesses.reads) Touch(r, item.event, false, &depends);
    for (const Range& r : accesses.writes) Touch(r, item.event, true, &depends);

    Clock& known = clocks_[static_cast<size_t>(item.engine)];
    Reduce(item, known, &depends);
    for (const Event& d : depends) {
      item.waits.push_back(d);
      Join(&known, d);
      waited_[d.agent].push_back(d.sequence);
    }
    // A transfer starts after its trigger, and with it after all that its engine has done before,
    // and after the transfers before it in the queue.
    Clock& after = history_[item.event.agent].emplace_back(known);
    if (is_dma) {
      if (history_[item.event.agent].size() > 1) {
        const Clock& before = history_[item.event.agent][history_[item.event.agent].size() - 2];
        for (int a = 0; a < kAgents; ++a) after[a] = std::max(after[a], before[a]);
      }
      after[static_cast<size_t>(item.engine)] = std::max(after[static_cast<size_t>(item.engine)],
                                                         counts_[static_cast<size_t>(item.engine)]);
    }
    after[item.event.agent] = item.event.sequence;
    if (!is_dma) known[item.event.agent] = item.event.sequence;
    items_.push_back(std::move(item));
  }

  void Touch(const Range& r, Event event, bool write, std::vector<Event>* depends) {
    if (r.space >= kFirstHbm) {
      if (r.space >= kFirstVariable && !writable_[static_cast<size_t>(r.space - kFirstVariable)])
        return;
      hbm_[r.space].Touch(r, event, write, depends);
    } else if (write) {
      on_chip_[r.space].Write(r.low, r.high, {event, r.partitions, true}, depends);
    } else {
      on_chip_[r.space].Read(r.low, r.high, {event, r.partitions, false}, depends);
    }
  }

  const Clock& ClockOf(const Event& e) const { return history_[e.agent][e.sequence - 1]; }

  void Join(Clock* clock, const Event& event) const {
    const Clock& other = ClockOf(event);
    for (int a = 0; a < kAgents; ++a) (*clock)[a] = std::max((*clock)[a], other[a]);
  }

  // Leaves of `depends` the events that the engine does not know of, nor learns of by waiting for
  // another.
  void Reduce(const Item& item, const Clock& known, std::vector<Event>* depends) const {
    std::array<uint32_t, kAgents> latest = {};
    for (const Event& d : *depends) {
      if (d.agent == item.event.agent) continue;  // in order
      if (d.agent == static_cast<uint16_t>(item.engine))
        continue;  // a transfer after its own engine
      if (known[d.agent] >= d.sequence) continue;
      latest[d.agent] = std::max(latest[d.agent], d.sequence);
    }
    depends->clear();
    for (uint16_t a = 0; a < kAgents; ++a) {
      if (latest[a] != 0) depends->push_back({a, latest[a]});
    }
    for (size_t i = 0; i < depends->size();) {
      bool implied = false;
      for (size_t j = 0; j < depends->size() && !implied; ++j) {
        implied = i != j && ClockOf((*depends)[j])[(*depends)[i].agent] >= (*depends)[i].sequence;
      }
      if (implied) {
        depends->erase(depends->begin() + static_cast<ptrdiff_t>(i));
      } else {
        ++i;
      }
    }
  }

  void Emit(isa::Segment* segment) {
    for (auto& list : waited_) {
      std::sort(list.begin(), list.end());
      list.erase(std::unique(list.begin(), list.end()), list.end());
    }
    const auto value = [this](const Event& e) {
      const auto& list = waited_[e.agent];
      return static_cast<uint32_t>(std::lower_bound(list.begin(), list.end(), e.sequence) -
                                   list.begin() + 1);
    };
    for (Item& item : items_) {
      std::vector<Instruction>& stream = segment->streams[static_cast<size_t>(item.engine)];
      for (size_t w = 0; w < item.waits.size(); ++w) {
        Instruction nop;
        nop.debug = item.instruction.debug;
        Instruction& waiter = w + 1 == item.waits.size() ? item.instruction : nop;
        waiter.wait_semaphore = item.waits[w].agent;
        waiter.wait_value = value(item.waits[w]);
        if (&waiter == &nop) stream.push_back(nop);
      }
      const auto& list = waited_[item.event.agent];
      if (std::binary_search(list.begin(), list.end(), item.event.sequence)) {
        item.instruction.inc_semaphore = item.event.agent;
        item.instruction.inc_value = 1;
      }
      stream.push_back(item.instruction);
    }
  }

  Program& program_;
  const std::vector<std::vector<uint16_t>>& queues_;  // by engine; then those of constants
  std::array<size_t, isa::kEngines + 1> turn_ = {};
  std::array<uint32_t, kAgents> counts_ = {};
  std::array<Clock, isa::kEngines> clocks_ = {};
  std::array<std::vector<Clock>, kAgents> history_;    // knowledge at the completion of each event
  std::array<std::vector<uint32_t>, kAgents> waited_;  // sequences that others wait for
  std::array<Memory, kFirstHbm> on_chip_;
  absl::flat_hash_map<int64_t, PatternMemory> hbm_;
  std::vector<bool> writable_;  // variables that some transfer may write
  absl::flat_hash_map<uint32_t, Engine> last_writer_;
  std::vector<Item> items_;
};

}  // namespace

absl::StatusOr<Program> Synchronize(SerialProgram serial) {
  Program program = std::move(serial.program);
  std::vector<std::vector<uint16_t>> queues(isa::kEngines + 1);
  for (const Issuer& issuer : kIssuers) {
    for (int i = 0; i < issuer.queues; ++i) {
      const auto number = static_cast<uint16_t>(program.queues.size());
      isa::DmaQueue queue;
      queue.name = absl::StrCat("q", isa::EngineName(issuer.engine), i);
      queue.issuer = issuer.engine;
      queue.semaphore = static_cast<uint16_t>(isa::kEngines + number);
      program.queues.push_back(std::move(queue));
      const bool constants = i < issuer.for_constants;
      queues[constants ? isa::kEngines : static_cast<size_t>(issuer.engine)].push_back(number);
    }
  }
  program.segments.resize(serial.next_segment);
  std::vector<bool> written(serial.next_segment, false);
  for (const SerialSegment& segment : serial.segments) {
    program.segments[segment.number] = SegmentSync(&program, queues).Run(segment);
    written[segment.number] = true;
  }
  for (size_t i = 0; i < written.size(); ++i) {
    if (!written[i]) return absl::InternalError(absl::StrCat("segment ", i, " was never started"));
  }
  return program;
}

}  // namespace glia::compiler
