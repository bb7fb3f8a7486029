// What the timing model can tell of a program: when each instruction and transfer ran, and what it
// waited for.
#ifndef GLIA_DEVICE_SIM_TIMING_TRACE_H_
#define GLIA_DEVICE_SIM_TIMING_TRACE_H_

#include <cstdint>
#include <vector>

#include "serialization/isa/isa.h"

namespace glia::device {

inline constexpr int32_t kNoEvent = -1;

// What the start of an instruction or transfer was due to: the last of all that it needed.
enum class WaitCause : uint8_t {
  kEngine = 0,     // its engine did the instruction before it; of the first, nothing
  kSemaphore = 1,  // a semaphore, one hop after `cause_event` raised it
  kResult = 2,     // a result of the same engine was still on its way out of the pipeline
  kTrigger = 3,    // transfers: the fixed time from the trigger to the start
  kQueue = 4,      // transfers: the one before in the queue
};

// Times in picoseconds from the start of the segment. Events are numbered in the order of issue;
// other events are named by number, or kNoEvent.
struct TraceEvent {
  int32_t segment = 0;
  isa::Engine engine = isa::Engine::kPe;
  int32_t queue = -1;  // a transfer's; -1: an instruction
  uint32_t index = 0;  // in the engine's stream; of a transfer, its trigger's
  WaitCause cause = WaitCause::kEngine;
  int32_t cause_event = kNoEvent;
  int32_t port_event = kNoEvent;  // held a memory port from ready_ps to start_ps
  int32_t complete_event =
      kNoEvent;          // an earlier instruction whose result, later than its own, complete_ps is
  int64_t ready_ps = 0;  // all but the ports was there
  int64_t start_ps = 0;
  int64_t free_ps = 0;      // the engine could go on; of a transfer, complete_ps
  int64_t complete_ps = 0;  // result and semaphore were there
  int64_t alone_ps = 0;     // transfers: duration with all DMA engines to itself
};

struct TimingTrace {
  std::vector<TraceEvent> events;
  std::vector<int32_t> last_event;  // of each segment: the one that its end is due to
};

}  // namespace glia::device

#endif  // GLIA_DEVICE_SIM_TIMING_TRACE_H_
