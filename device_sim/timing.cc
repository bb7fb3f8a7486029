// The cost model put together: when every instruction and transfer of a segment starts and ends.
//
// Events are handled in the order of time. An instruction is ready when its engine is free, its
// semaphore has been there for one hop, and no source is still on its way out of the same engine's
// pipeline; a transfer's trigger also waits for all results of its engine. Of the ready instructions the
// earliest goes first, then the lower engine number; one that needs a memory port in use waits for it.
// Transfers start kDmaStartPs after their trigger, in order within a queue; the heads of the queues share
// the 16 DMA engines evenly, none getting more than it can use.
//
// A trace, where one is wanted, is only written here: no time depends on it.
#include <algorithm>
#include <array>
#include <cstdint>
#include <deque>
#include <limits>
#include <vector>

#include "device_sim/executor.h"
#include "device_sim/footprint.h"
#include "device_sim/timing_trace.h"
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

// The value of a semaphore over time, and the event that raised it each time.
class SemaphoreLog {
 public:
  struct Step {
    uint64_t sum = 0;
    int64_t time = kNever;
    int32_t event = kNoEvent;
  };
  void Add(int64_t time, uint32_t value, int32_t event) {
    const bool first = steps_.empty();
    steps_.push_back({(first ? 0 : steps_.back().sum) + value,
                      first ? time : std::max(time, steps_.back().time), event});
  }
  // When the value above 0 was reached; kNever if it has not been.
  Step Reached(uint32_t value) const {
    const auto it = std::lower_bound(steps_.begin(), steps_.end(), uint64_t{value},
                                     [](const Step& s, uint64_t v) { return s.sum < v; });
    return it == steps_.end() ? Step() : *it;
  }

 private:
  std::vector<Step> steps_;
};

struct Transfer {
  int64_t available = 0;   // earliest start
  int64_t remaining = 0;   // time alone on the DMA engines, in 2^-20 ps
  int64_t engines = 0;     // how many it can keep busy, in 2^-20
  int64_t speed = 0;       // now, as a fraction of alone, in 2^-20
  const Instruction* trigger = nullptr;
  int32_t event = kNoEvent;
  bool started = false;
};

// The DMA engines and the queues in front of them.
class DmaSystem {
 public:
  DmaSystem(size_t queues, std::vector<SemaphoreLog>* semaphores, TimingTrace* trace)
      : queues_(queues), semaphores_(semaphores), trace_(trace), last_of_queue_(queues, kNoEvent) {}

  // `trigger_event`: of the trace.
  void Start(int queue, int64_t trigger_time, const isa::DmaCost& cost, const Instruction* trigger,
             int32_t trigger_event) {
    Transfer t;
    t.available = trigger_time + isa::cost::kDmaStartPs;
    t.remaining = cost.duration_ps << kFraction;
    t.engines = cost.duration_ps == 0
                    ? 0
                    : static_cast<int64_t>((static_cast<__int128>(cost.work_ps) << kFraction) /
                                           cost.duration_ps);
    t.engines = std::min(std::max<int64_t>(t.engines, 1), isa::cost::kDmaEngines * kWhole);
    t.trigger = trigger;
    if (trace_ != nullptr) {
      TraceEvent event = trace_->events[trigger_event];
      event.queue = queue;
      event.cause = WaitCause::kTrigger;
      event.cause_event = trigger_event;
      event.port_event = event.complete_event = kNoEvent;
      event.ready_ps = t.available;
      event.alone_ps = cost.duration_ps;
      t.event = static_cast<int32_t>(trace_->events.size());
      trace_->events.push_back(event);
    }
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
    for (size_t q = 0; q < queues_.size(); ++q) {
      auto& queue = queues_[q];
      while (!queue.empty() && queue.front().available <= now_) {
        Transfer& t = queue.front();
        if (!t.started) Started(t, last_of_queue_[q]);
        if (t.remaining > 0) break;
        const Instruction& i = *t.trigger;
        if (i.inc_semaphore != isa::kNoSemaphore) {
          (*semaphores_)[i.inc_semaphore].Add(now_, i.inc_value, t.event);
        }
        if (trace_ != nullptr) {
          trace_->events[t.event].free_ps = trace_->events[t.event].complete_ps = now_;
        }
        last_ = now_;
        last_event_ = last_of_queue_[q] = t.event;
        queue.pop_front();
      }
    }
    Share();
  }

  int64_t busy_ps() const { return busy_ps_; }
  int64_t last_completion() const { return last_; }
  int32_t last_event() const { return last_event_; }

 private:
  void Started(Transfer& t, int32_t previous) {
    t.started = true;
    if (trace_ == nullptr) return;
    TraceEvent& event = trace_->events[t.event];
    event.start_ps = now_;
    if (now_ > t.available) {
      event.ready_ps = now_;
      event.cause = WaitCause::kQueue;
      event.cause_event = previous;
    }
  }

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
  TimingTrace* trace_;
  std::vector<int32_t> last_of_queue_;  // event of the transfer that ended last
  int64_t now_ = 0;
  int64_t busy_ps_ = 0;
  int64_t last_ = 0;
  int32_t last_event_ = kNoEvent;
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
  // Of `ready`, `free` and `complete`: what they are due to.
  WaitCause cause = WaitCause::kEngine;
  int32_t cause_event = kNoEvent;
  int32_t last_event = kNoEvent;
  int32_t complete_event = kNoEvent;
  struct InFlight {
    Footprint bounds;
    int64_t complete;
    int32_t event;
  };
  std::deque<InFlight> in_flight;
};

bool BoundsMeet(const Footprint& a, const Footprint& b) {
  return a.space == b.space && a.first_partition < b.last_partition && b.first_partition < a.last_partition &&
         a.low < b.high && b.low < a.high;
}

// When a port is free again, and who has it until then.
struct Port {
  int64_t free = 0;
  int32_t event = kNoEvent;
};

class SegmentTimer {
 public:
  SegmentTimer(const Program& program, size_t segment, TimingTrace* trace)
      : program_(program),
        segment_index_(static_cast<int32_t>(segment)),
        trace_(trace),
        semaphores_(isa::kSemaphores),
        dma_(program.queues.size(), &semaphores_, trace) {
    for (int e = 0; e < isa::kEngines; ++e) lines_[e].stream = &program.segments[segment].streams[e];
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
    if (trace_ != nullptr) trace_->last_event.push_back(LastEvent(t.duration_ps));
    return t;
  }

 private:
  int32_t LastEvent(int64_t duration_ps) const {
    if (dma_.last_completion() == duration_ps && dma_.last_event() != kNoEvent) return dma_.last_event();
    for (const Line& line : lines_) {
      if (line.complete == duration_ps && line.complete_event != kNoEvent) return line.complete_event;
    }
    return kNoEvent;
  }

  // When the engine's next instruction could start if no other engine were in its way.
  int64_t Ready(int e) {
    Line& line = lines_[e];
    if (line.next == line.stream->size()) return kNever;
    const Instruction& i = (*line.stream)[line.next];
    int64_t ready = line.free;
    line.cause = WaitCause::kEngine;
    line.cause_event = line.last_event;
    const auto wait = [&](int64_t until, WaitCause cause, int32_t event) {
      if (until <= ready) return;
      ready = until;
      line.cause = cause;
      line.cause_event = event;
    };
    if (i.wait_semaphore != isa::kNoSemaphore && i.wait_value > 0) {
      const SemaphoreLog::Step step = semaphores_[i.wait_semaphore].Reached(i.wait_value);
      if (step.time == kNever) return kNever;
      wait(step.time + isa::cost::kSemaphoreHopPs, WaitCause::kSemaphore, step.event);
    }
    if (i.opcode == isa::Opcode::kDma) {
      wait(line.complete, WaitCause::kResult, line.complete_event);
      return ready;
    }
    while (!line.in_flight.empty() && line.in_flight.front().complete <= ready) line.in_flight.pop_front();
    if (line.in_flight.empty()) return ready;
    const int64_t since = ready;
    for (const isa::OperandAccess& a : isa::AccessesOf(i)) {
      if (!a.reads || !a.operand->present()) continue;
      const Footprint f = FootprintOf(program_, *a.operand);
      for (const Line::InFlight& w : line.in_flight) {
        if (w.complete > since && BoundsMeet(f, w.bounds)) {
          wait(w.complete + isa::cost::kSemaphoreHopPs, WaitCause::kResult, w.event);
        }
      }
    }
    return ready;
  }

  // Of a memory that the engine shares with another; null: it has one of its own.
  Port* PortOf(Engine engine, isa::SpaceSet space) {
    if (space == isa::kSbuf && (engine == Engine::kDve || engine == Engine::kPool)) return &sbuf_port_;
    if (space == isa::kPsum && (engine == Engine::kDve || engine == Engine::kAct)) return &psum_port_;
    return nullptr;
  }

  void Issue(int e, int64_t ready) {
    Line& line = lines_[e];
    const auto engine = static_cast<Engine>(e);
    const auto index = static_cast<uint32_t>(line.next);
    const Instruction& i = (*line.stream)[line.next++];
    line.ready = kNever;
    const isa::InstructionCost cost = isa::CostOf(program_, engine, i, &line.state);
    const uint8_t spaces = isa::SpacesOf(program_, i);
    const int32_t event = trace_ == nullptr ? kNoEvent : static_cast<int32_t>(trace_->events.size());
    int64_t start = ready;
    int32_t port_event = kNoEvent;
    for (const isa::SpaceSet space : {isa::kSbuf, isa::kPsum}) {
      const Port* port = PortOf(engine, space);
      if (port == nullptr || (spaces & space) == 0 || port->free <= start) continue;
      start = port->free;
      port_event = port->event;
    }
    for (const isa::SpaceSet space : {isa::kSbuf, isa::kPsum}) {
      Port* port = PortOf(engine, space);
      if (port != nullptr && (spaces & space) != 0) *port = {start + cost.occupancy_ps, event};
    }
    line.free = start + cost.occupancy_ps;
    line.busy += cost.occupancy_ps;
    const int64_t complete = std::max(line.complete, start + cost.latency_ps);
    const bool own = start + cost.latency_ps >= line.complete;
    line.complete = complete;
    if (trace_ != nullptr) {
      TraceEvent t;
      t.segment = segment_index_;
      t.engine = engine;
      t.index = index;
      t.cause = line.cause;
      t.cause_event = line.cause_event;
      t.port_event = port_event;
      t.complete_event = own ? kNoEvent : line.complete_event;
      t.ready_ps = ready;
      t.start_ps = start;
      t.free_ps = line.free;
      t.complete_ps = complete;
      trace_->events.push_back(t);
      line.last_event = event;
      if (own) line.complete_event = event;
    }
    if (i.opcode == isa::Opcode::kDma) {
      const isa::DmaDescriptor& descriptor = program_.dmas[i.dma];
      const isa::DmaCost transfer = isa::DmaCostOf(program_, descriptor);
      timing_.hbm_read_bytes += transfer.hbm_read_bytes;
      timing_.hbm_write_bytes += transfer.hbm_write_bytes;
      dma_.Start(descriptor.queue, complete, transfer, &i, event);
      return;
    }
    if (i.inc_semaphore != isa::kNoSemaphore) semaphores_[i.inc_semaphore].Add(complete, i.inc_value, event);
    // PE reads nothing that it writes: accumulation happens at the end of the pipeline.
    if (engine == Engine::kPe || complete <= line.free) return;
    for (const isa::OperandAccess& a : isa::AccessesOf(i)) {
      if (a.writes && a.operand->present()) {
        line.in_flight.push_back({FootprintOf(program_, *a.operand), complete, event});
      }
    }
  }

  const Program& program_;
  const int32_t segment_index_;
  TimingTrace* const trace_;
  std::vector<SemaphoreLog> semaphores_;
  DmaSystem dma_;
  std::array<Line, isa::kEngines> lines_;
  Port sbuf_port_;
  Port psum_port_;
  SegmentTiming timing_;
};

}  // namespace

ProgramTiming ComputeTiming(const Program& program, TimingTrace* trace) {
  ProgramTiming timing;
  timing.segments.reserve(program.segments.size());
  for (size_t i = 0; i < program.segments.size(); ++i) {
    SegmentTiming t = SegmentTimer(program, i, trace).Run();
    // Control instructions wait for every engine and queue: one more hop. Ours.
    if (program.segments[i].terminator.kind != isa::TerminatorKind::kHalt) {
      t.duration_ps += isa::cost::kSemaphoreHopPs;
    }
    timing.segments.push_back(t);
  }
  return timing;
}

}  // namespace glia::device
