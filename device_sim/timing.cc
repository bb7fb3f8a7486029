// The cost model put together: when every instruction and transfer of a segment starts and ends.
//
// Events are handled in the order of time. An instruction is ready when its engine is free, its
// semaphore has been there for one hop, and no source is still on its way out of the same engine's
// pipeline; a transfer's trigger also waits for all results of its engine. Of the ready instructions the
// earliest goes first, then the lower engine number; one that needs a memory port in use waits for it.
// Transfers start kDmaStartPs after their trigger, in order within a queue; the heads of the queues share
// the 16 DMA engines evenly, none getting more than it can use.
#include <algorithm>
#include <array>
#include <cstdint>
#include <deque>
#include <limits>
#include <vector>

#include "device_sim/executor.h"
#include "device_sim/footprint.h"
#include "serialization/isa/cost.h"
#include "serialization/isa/table.h"

namespace glia::device {
namespace {

using isa::Engine;
using isa::Instruction;
using isa::Program;
using isa::Segment;

constexpr int64_t kNever = std::numeric_limits<int64_t>::max();
// Progress of transfers is kept in 2^-20 ps.
constexpr int kFraction = 20;
constexpr int64_t kWhole = int64_t{1} << kFraction;

// The value of a semaphore over time.
class SemaphoreLog {
 public:
  void Add(int64_t time, uint32_t value) {
    sums_.push_back((sums_.empty() ? 0 : sums_.back()) + value);
    times_.push_back(times_.empty() ? time : std::max(time, times_.back()));
  }
  // When the value was reached; kNever if it has not been.
  int64_t Reached(uint32_t value) const {
    if (value == 0) return 0;
    const auto it = std::lower_bound(sums_.begin(), sums_.end(), uint64_t{value});
    return it == sums_.end() ? kNever : times_[it - sums_.begin()];
  }

 private:
  std::vector<uint64_t> sums_;
  std::vector<int64_t> times_;
};

struct Transfer {
  int64_t available = 0;   // earliest start
  int64_t remaining = 0;   // time alone on the DMA engines, in 2^-20 ps
  int64_t engines = 0;     // how many it can keep busy, in 2^-20
  int64_t speed = 0;       // now, as a fraction of alone, in 2^-20
  const Instruction* trigger = nullptr;
};

// The DMA engines and the queues in front of them.
class DmaSystem {
 public:
  DmaSystem(size_t queues, std::vector<SemaphoreLog>* semaphores)
      : queues_(queues), semaphores_(semaphores) {}

  void Start(int queue, int64_t trigger_time, const isa::DmaCost& cost, const Instruction* trigger) {
    Transfer t;
    t.available = trigger_time + isa::cost::kDmaStartPs;
    t.remaining = cost.duration_ps << kFraction;
    t.engines = cost.duration_ps == 0
                    ? 0
                    : static_cast<int64_t>((static_cast<__int128>(cost.work_ps) << kFraction) /
                                           cost.duration_ps);
    t.engines = std::min(std::max<int64_t>(t.engines, 1), isa::cost::kDmaEngines * kWhole);
    t.trigger = trigger;
    queues_[queue].push_back(t);
  }

  // The next start or end of a transfer; kNever if all is done.
  int64_t NextEvent() const {
    int64_t next = kNever;
    for (const auto& queue : queues_) {
      if (queue.empty()) continue;
      const Transfer& t = queue.front();
      if (t.available > now_) {
        next = std::min(next, t.available);
      } else if (t.remaining <= 0) {
        next = now_;
      } else if (t.speed > 0) {
        next = std::min(next, now_ + (t.remaining + t.speed - 1) / t.speed);
      } else {
        next = now_;  // has only come to the head of its queue
      }
    }
    return next;
  }

  // Moves to `time`, which is not beyond NextEvent, and handles what happens then.
  void AdvanceTo(int64_t time) {
    bool busy = false;
    for (auto& queue : queues_) {
      if (queue.empty() || queue.front().available > now_ || queue.front().speed == 0) continue;
      Transfer& t = queue.front();
      t.remaining -= (time - now_) * t.speed;
      busy = true;
    }
    if (busy) busy_ps_ += time - now_;
    now_ = time;
    for (auto& queue : queues_) {
      while (!queue.empty() && queue.front().available <= now_ && queue.front().remaining <= 0) {
        const Instruction& i = *queue.front().trigger;
        if (i.inc_semaphore != isa::kNoSemaphore) (*semaphores_)[i.inc_semaphore].Add(now_, i.inc_value);
        last_ = now_;
        queue.pop_front();
      }
    }
    Share();
  }

  int64_t busy_ps() const { return busy_ps_; }
  int64_t last_completion() const { return last_; }

 private:
  // Divides the engines among the heads: those that can use least first.
  void Share() {
    std::vector<Transfer*> active;
    for (auto& queue : queues_) {
      if (!queue.empty() && queue.front().available <= now_) active.push_back(&queue.front());
    }
    std::stable_sort(active.begin(), active.end(),
                     [](const Transfer* a, const Transfer* b) { return a->engines < b->engines; });
    int64_t left = isa::cost::kDmaEngines * kWhole;
    for (size_t i = 0; i < active.size(); ++i) {
      const int64_t share = std::min(active[i]->engines, left / static_cast<int64_t>(active.size() - i));
      left -= share;
      active[i]->speed = std::max<int64_t>(1, share * kWhole / active[i]->engines);
    }
  }

  std::vector<std::deque<Transfer>> queues_;
  std::vector<SemaphoreLog>* semaphores_;
  int64_t now_ = 0;
  int64_t busy_ps_ = 0;
  int64_t last_ = 0;
};

// One engine: its stream, what is in its pipeline, its clock.
struct Line {
  const std::vector<Instruction>* stream = nullptr;
  size_t next = 0;
  int64_t ready = kNever;  // of the next instruction, if known
  int64_t free = 0;        // may start its next instruction
  int64_t complete = 0;    // of everything issued
  int64_t busy = 0;
  isa::EngineState state;
  struct InFlight {
    Footprint bounds;
    int64_t complete;
  };
  std::deque<InFlight> in_flight;
};

bool BoundsMeet(const Footprint& a, const Footprint& b) {
  return a.space == b.space && a.first_partition < b.last_partition && b.first_partition < a.last_partition &&
         a.low < b.high && b.low < a.high;
}

class SegmentTimer {
 public:
  SegmentTimer(const Program& program, const Segment& segment)
      : program_(program),
        semaphores_(isa::kSemaphores),
        dma_(program.queues.size(), &semaphores_) {
    for (int e = 0; e < isa::kEngines; ++e) lines_[e].stream = &segment.streams[e];
  }

  SegmentTiming Run() {
    while (true) {
      int64_t earliest = kNever;
      int engine = -1;
      for (int e = 0; e < isa::kEngines; ++e) {
        // Fixed once known: neither ports nor later increments change it.
        if (lines_[e].ready == kNever) lines_[e].ready = Ready(e);
        const int64_t ready = lines_[e].ready;
        if (ready < earliest) {
          earliest = ready;
          engine = e;
        }
      }
      const int64_t transfer = dma_.NextEvent();
      if (transfer == kNever && engine < 0) break;  // done (a deadlock has been refused before)
      if (transfer <= earliest) {
        dma_.AdvanceTo(transfer);
      } else {
        Issue(engine, earliest);
      }
    }
    SegmentTiming& t = timing_;
    t.duration_ps = dma_.last_completion();
    for (int e = 0; e < isa::kEngines; ++e) {
      t.duration_ps = std::max({t.duration_ps, lines_[e].complete, lines_[e].free});
      t.busy_ps[e] = lines_[e].busy;
    }
    t.busy_ps[isa::kEngines] = dma_.busy_ps();
    return t;
  }

 private:
  // When the engine's next instruction could start if no other engine were in its way.
  int64_t Ready(int e) {
    Line& line = lines_[e];
    if (line.next == line.stream->size()) return kNever;
    const Instruction& i = (*line.stream)[line.next];
    int64_t ready = line.free;
    if (i.wait_semaphore != isa::kNoSemaphore && i.wait_value > 0) {
      const int64_t reached = semaphores_[i.wait_semaphore].Reached(i.wait_value);
      if (reached == kNever) return kNever;
      ready = std::max(ready, reached + isa::cost::kSemaphoreHopPs);
    }
    if (i.opcode == isa::Opcode::kDma) return std::max(ready, line.complete);
    while (!line.in_flight.empty() && line.in_flight.front().complete <= ready) line.in_flight.pop_front();
    if (line.in_flight.empty()) return ready;
    const int64_t since = ready;
    for (const isa::OperandAccess& a : isa::AccessesOf(i)) {
      if (!a.reads || !a.operand->present()) continue;
      const Footprint f = FootprintOf(program_, *a.operand);
      for (const Line::InFlight& w : line.in_flight) {
        if (w.complete > since && BoundsMeet(f, w.bounds)) {
          ready = std::max(ready, w.complete + isa::cost::kSemaphoreHopPs);
        }
      }
    }
    return ready;
  }

  // The time from which the ports that the instruction needs are free.
  int64_t* Port(Engine engine, isa::SpaceSet space) {
    if (space == isa::kSbuf && (engine == Engine::kDve || engine == Engine::kPool)) return &sbuf_port_;
    if (space == isa::kPsum && (engine == Engine::kDve || engine == Engine::kAct)) return &psum_port_;
    return nullptr;
  }

  void Issue(int e, int64_t ready) {
    Line& line = lines_[e];
    const auto engine = static_cast<Engine>(e);
    const Instruction& i = (*line.stream)[line.next++];
    line.ready = kNever;
    const isa::InstructionCost cost = isa::CostOf(program_, engine, i, &line.state);
    const uint8_t spaces = isa::SpacesOf(program_, i);
    int64_t start = ready;
    for (const isa::SpaceSet space : {isa::kSbuf, isa::kPsum}) {
      if (int64_t* port = Port(engine, space); port != nullptr && (spaces & space) != 0) {
        start = std::max(start, *port);
      }
    }
    for (const isa::SpaceSet space : {isa::kSbuf, isa::kPsum}) {
      if (int64_t* port = Port(engine, space); port != nullptr && (spaces & space) != 0) {
        *port = start + cost.occupancy_ps;
      }
    }
    line.free = start + cost.occupancy_ps;
    line.busy += cost.occupancy_ps;
    const int64_t complete = std::max(line.complete, start + cost.latency_ps);
    line.complete = complete;
    if (i.opcode == isa::Opcode::kDma) {
      const isa::DmaDescriptor& descriptor = program_.dmas[i.dma];
      const isa::DmaCost transfer = isa::DmaCostOf(program_, descriptor);
      timing_.hbm_read_bytes += transfer.hbm_read_bytes;
      timing_.hbm_write_bytes += transfer.hbm_write_bytes;
      dma_.Start(descriptor.queue, complete, transfer, &i);
      return;
    }
    if (i.inc_semaphore != isa::kNoSemaphore) semaphores_[i.inc_semaphore].Add(complete, i.inc_value);
    // PE reads nothing that it writes: accumulation happens at the end of the pipeline.
    if (engine == Engine::kPe || complete <= line.free) return;
    for (const isa::OperandAccess& a : isa::AccessesOf(i)) {
      if (a.writes && a.operand->present()) {
        line.in_flight.push_back({FootprintOf(program_, *a.operand), complete});
      }
    }
  }

  const Program& program_;
  std::vector<SemaphoreLog> semaphores_;
  DmaSystem dma_;
  std::array<Line, isa::kEngines> lines_;
  int64_t sbuf_port_ = 0;
  int64_t psum_port_ = 0;
  SegmentTiming timing_;
};

}  // namespace

ProgramTiming ComputeTiming(const Program& program) {
  ProgramTiming timing;
  timing.segments.reserve(program.segments.size());
  for (const Segment& segment : program.segments) {
    SegmentTiming t = SegmentTimer(program, segment).Run();
    // Control instructions wait for every engine and queue: one more hop. Ours.
    if (segment.terminator.kind != isa::TerminatorKind::kHalt) t.duration_ps += isa::cost::kSemaphoreHopPs;
    timing.segments.push_back(t);
  }
  return timing;
}

}  // namespace glia::device
