#include "compiler/codegen/list_schedule.h"

#include <algorithm>
#include <array>
#include <map>
#include <set>
#include <utility>
#include <vector>

#include "absl/container/flat_hash_map.h"
#include "compiler/codegen/serial_access.h"
#include "serialization/isa/cost.h"
#include "serialization/isa/table.h"

namespace glia::compiler {
namespace {

using isa::Engine;
using isa::Instruction;
using isa::Opcode;
using isa::Program;
using isa::VariableKind;

// An instruction goes before one that precedes it in the serial order if it can start this much
// sooner.
constexpr int64_t kSlackPs = 60'000;

// Who touched the bytes of a variable last.
class Bytes {
 public:
  void Touch(int64_t low, int64_t high, int32_t node, bool write, std::vector<int32_t>* before) {
    Cut(low);
    Cut(high);
    auto it = map_.lower_bound(low);
    for (int64_t at = low; at < high;) {
      if (it == map_.end() || it->first > at) {
        const int64_t end = it == map_.end() ? high : std::min(high, it->first);
        it = map_.emplace_hint(it, at, Interval{end, -1, {}});
      }
      if (it->second.writer >= 0) before->push_back(it->second.writer);
      if (write) {
        before->insert(before->end(), it->second.readers.begin(), it->second.readers.end());
      } else {
        it->second.readers.push_back(node);
      }
      at = it->second.end;
      ++it;
    }
    if (!write) return;
    map_.erase(map_.lower_bound(low), map_.lower_bound(high));
    map_[low] = Interval{high, node, {}};
  }

 private:
  struct Interval {
    int64_t end = 0;
    int32_t writer = -1;
    std::vector<int32_t> readers;  // since then
  };

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

// Bytes of one side of a transfer; on chip, within a partition.
isa::ByteRange SideOf(const Program& program, const isa::DmaDescriptor& dma, bool destination) {
  const isa::Variable& v = program.variables[destination ? dma.dst_var : dma.src_var];
  const int64_t pitch = isa::IsHbm(v.kind) ? 0 : v.partition_bytes;
  const int64_t* strides = destination ? dma.dst_stride : dma.src_stride;
  const isa::IndexSide indexed =
      destination ? isa::IndexSide::kDestination : isa::IndexSide::kSource;
  const int64_t all = isa::IsHbm(v.kind) ? v.bytes : pitch;
  if (dma.index_side == indexed) return {0, all};
  int64_t low = static_cast<int64_t>(destination ? dma.dst_offset : dma.src_offset);
  if (pitch != 0) low %= pitch;
  int64_t high = low + dma.element_bytes;
  for (int d = 0; d < isa::kDmaDims; ++d) {
    if (pitch != 0 && strides[d] % pitch == 0) continue;
    (strides[d] < 0 ? low : high) += (int64_t{dma.size[d]} - 1) * strides[d];
  }
  if (pitch != 0 && (low < 0 || high > pitch)) return {0, pitch};
  return {low, high};
}

class Scheduler {
 public:
  Scheduler(const Program& program, std::vector<SerialInstruction>* list)
      : program_(program), list_(*list), nodes_(list->size()) {}

  void Run(int64_t window) {
    Analyze();
    const auto count = static_cast<int32_t>(nodes_.size());
    int32_t head = 0, entered = 0;
    std::set<int32_t> available;
    std::vector<int32_t> order;
    order.reserve(nodes_.size());
    const auto enter = [&](int32_t i) {
      if (nodes_[i].unmet == 0 && !nodes_[i].loads) available.insert(i);
    };
    while (static_cast<int32_t>(order.size()) < count) {
      while (head < count && (nodes_[head].placed || nodes_[head].loads)) ++head;
      for (; entered < count && entered < head + window; ++entered) enter(entered);
      const int32_t next = Choose(available, head);
      if (next < 0) {
        // Only loads that nothing reads are left.
        for (int32_t i = 0; i < count; ++i) Place(i, &order);
        break;
      }
      available.erase(next);
      for (int32_t load : nodes_[next].before) {
        if (nodes_[load].loads) Place(load, &order);
      }
      Start(next);
      Place(next, &order);
      for (int32_t after : nodes_[next].after) {
        if (--nodes_[after].unmet == 0 && after < entered) available.insert(after);
      }
    }
    std::vector<SerialInstruction> result;
    result.reserve(list_.size());
    for (int32_t i : order) result.push_back(list_[i]);
    list_ = std::move(result);
  }

 private:
  struct Node {
    Engine engine = Engine::kSp;
    uint8_t spaces = 0;
    bool loads = false;  // of what nothing writes, before all other accesses of its tile
    bool placed = false;
    int32_t unmet = 0;  // of `before`, without loads
    std::vector<int32_t> before, after;
    std::vector<uint32_t> psum;  // tiles in PSUM that it touches
    int64_t done = 0;            // ps; of loads when they are there at the earliest
  };
  struct PsumTile {
    int32_t first = 0;
    int32_t left = 0;  // accesses to come
    bool open = false;
  };

  void Analyze() {
    std::vector<bool> written(program_.variables.size(), false);
    const auto root = [&](uint32_t var) {
      const isa::Variable& v = program_.variables[var];
      return v.alias >= 0 ? static_cast<uint32_t>(v.alias) : var;
    };
    for (const SerialInstruction& item : list_) {
      ForEachVariable(program_, item.instruction, [&](uint32_t var, bool, bool writes) {
        if (writes) written[root(var)] = true;
      });
    }
    absl::flat_hash_map<uint32_t, Bytes> memory;
    absl::flat_hash_map<uint32_t, Engine> writer;
    int64_t arrived = isa::cost::kDmaStartPs;
    int32_t open = 0;
    std::vector<std::pair<int32_t, int32_t>> lives;
    for (int32_t i = 0; i < static_cast<int32_t>(list_.size()); ++i) {
      const Instruction& instruction = list_[i].instruction;
      Node& node = nodes_[i];
      node.engine = list_[i].engine;
      bool source_changes = true;
      if (instruction.opcode == Opcode::kDma) {
        const isa::DmaDescriptor& dma = program_.dmas[instruction.dma];
        node.engine = Engine::kSp;
        if (!isa::IsHbm(program_.variables[dma.src_var].kind)) {
          const auto found = writer.find(dma.src_var);
          if (found != writer.end() && found->second != Engine::kPe) node.engine = found->second;
        }
        source_changes = written[root(dma.src_var)] || dma.index_side != isa::IndexSide::kNone ||
                         isa::IsHbm(program_.variables[dma.dst_var].kind);
        Touch(memory, root(dma.src_var), SideOf(program_, dma, false), i, false);
        if (dma.index_side != isa::IndexSide::kNone)
          Touch(memory, root(dma.index_var), {0, program_.variables[dma.index_var].bytes}, i,
                false);
        Touch(memory, root(dma.dst_var), SideOf(program_, dma, true), i, true);
        writer.erase(dma.dst_var);
      } else {
        node.spaces = isa::SpacesOf(program_, instruction);
        for (const isa::OperandAccess& access : isa::AccessesOf(instruction)) {
          if (!access.operand->present()) continue;
          const uint32_t var = access.operand->var;
          const isa::ByteRange range = isa::FreeByteRange(*access.operand);
          Touch(memory, var, range, i, access.writes);
          if (program_.variables[var].kind == VariableKind::kPsum &&
              std::find(node.psum.begin(), node.psum.end(), var) == node.psum.end()) {
            node.psum.push_back(var);
            PsumTile& tile = psum_[var];
            if (tile.left++ == 0) tile.first = i;
          }
        }
        if (instruction.dst.present()) writer[instruction.dst.var] = node.engine;
      }
      std::sort(node.before.begin(), node.before.end());
      node.before.erase(std::unique(node.before.begin(), node.before.end()), node.before.end());
      node.before.erase(std::remove(node.before.begin(), node.before.end(), i), node.before.end());
      if (!source_changes && node.before.empty()) {
        node.loads = true;
        arrived += isa::DmaCostOf(program_, program_.dmas[instruction.dma]).work_ps /
                   isa::cost::kDmaEngines;
        node.done = arrived;
      }
      for (int32_t b : node.before) {
        if (nodes_[b].loads) continue;
        nodes_[b].after.push_back(i);
        ++node.unmet;
      }
    }
    // PSUM tiles in use at once in the order as it is.
    absl::flat_hash_map<uint32_t, int32_t> left;
    for (const Node& node : nodes_) {
      for (uint32_t var : node.psum) {
        int32_t& accesses = left.try_emplace(var, psum_[var].left).first->second;
        if (accesses == psum_[var].left) ++open;
        --accesses;
      }
      most_open_ = std::max(most_open_, open);
      for (uint32_t var : node.psum) {
        if (left[var] == 0) --open;
      }
    }
  }

  void Touch(absl::flat_hash_map<uint32_t, Bytes>& memory, uint32_t var, isa::ByteRange range,
             int32_t node, bool write) {
    memory[var].Touch(range.low, range.high, node, write, &nodes_[node].before);
  }

  // When the node could start if it were next; negative if it must not be.
  int64_t StartOf(int32_t i, int32_t head) const {
    const Node& node = nodes_[i];
    if (i != head) {
      // Tiles opened before their turn, besides those of the old order.
      int32_t opens = 0;
      for (uint32_t var : node.psum) opens += psum_.at(var).open ? 0 : 1;
      if (opens > 0) {
        int32_t early = opens;
        for (uint32_t var : open_) early += psum_.at(var).first > head ? 1 : 0;
        if (early > isa::kPsumBanks - most_open_) return -1;
      }
    }
    const auto engine = static_cast<size_t>(node.engine);
    int64_t start = free_[engine];
    for (int32_t b : node.before) {
      const bool hop = nodes_[b].engine != node.engine || nodes_[b].loads;
      start = std::max(start, nodes_[b].done + (hop ? isa::cost::kSemaphoreHopPs : 0));
    }
    if (list_[i].instruction.opcode == Opcode::kDma) return std::max(start, results_[engine]);
    for (const auto& [other, space] : Rivals(node.engine)) {
      if ((node.spaces & space) != 0 && (spaces_[static_cast<size_t>(other)] & space) != 0)
        start = std::max(start, free_[static_cast<size_t>(other)]);
    }
    return start;
  }

  // Engines that do not access a memory at the same time.
  static std::vector<std::pair<Engine, uint8_t>> Rivals(Engine engine) {
    switch (engine) {
      case Engine::kDve:
        return {{Engine::kPool, isa::kSbuf}, {Engine::kAct, isa::kPsum}};
      case Engine::kPool:
        return {{Engine::kDve, isa::kSbuf}};
      case Engine::kAct:
        return {{Engine::kDve, isa::kPsum}};
      default:
        return {};
    }
  }

  int32_t Choose(const std::set<int32_t>& available, int32_t head) const {
    int64_t earliest = INT64_MAX;
    std::vector<std::pair<int32_t, int64_t>> starts;
    starts.reserve(available.size());
    for (int32_t i : available) {
      const int64_t start = StartOf(i, head);
      if (start < 0) continue;
      starts.push_back({i, start});
      earliest = std::min(earliest, start);
    }
    for (const auto& [i, start] : starts) {
      if (start <= earliest + kSlackPs) return i;
    }
    return -1;
  }

  void Start(int32_t i) {
    Node& node = nodes_[i];
    const auto engine = static_cast<size_t>(node.engine);
    const int64_t start = StartOf(i, i);
    const Instruction& instruction = list_[i].instruction;
    const isa::InstructionCost cost =
        isa::CostOf(program_, node.engine, instruction, &states_[engine]);
    free_[engine] = start + cost.occupancy_ps;
    node.done = start + cost.latency_ps;
    spaces_[engine] = node.spaces;
    if (instruction.opcode == Opcode::kDma) {
      node.done += isa::cost::kDmaStartPs +
                   isa::DmaCostOf(program_, program_.dmas[instruction.dma]).duration_ps;
    } else {
      results_[engine] = std::max(results_[engine], node.done);
    }
    for (uint32_t var : node.psum) {
      PsumTile& tile = psum_[var];
      if (!tile.open) open_.push_back(var);
      tile.open = true;
      if (--tile.left == 0) open_.erase(std::find(open_.begin(), open_.end(), var));
    }
  }

  void Place(int32_t i, std::vector<int32_t>* order) {
    if (nodes_[i].placed) return;
    nodes_[i].placed = true;
    order->push_back(i);
  }

  const Program& program_;
  std::vector<SerialInstruction>& list_;
  std::vector<Node> nodes_;
  absl::flat_hash_map<uint32_t, PsumTile> psum_;
  std::vector<uint32_t> open_;
  int32_t most_open_ = 0;
  std::array<int64_t, isa::kEngines> free_ = {};     // when the engine can start the next one
  std::array<int64_t, isa::kEngines> results_ = {};  // when all its results are there
  std::array<uint8_t, isa::kEngines> spaces_ = {};   // of its last instruction
  std::array<isa::EngineState, isa::kEngines> states_;
};

}  // namespace

void ListSchedule(SerialProgram* serial, int64_t window) {
  for (SerialSegment& segment : serial->segments)
    Scheduler(serial->program, &segment.instructions).Run(window);
}

}  // namespace glia::compiler
