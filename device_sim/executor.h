// What the checking interpreter and the fast executor have in common.
#ifndef GLIA_DEVICE_SIM_EXECUTOR_H_
#define GLIA_DEVICE_SIM_EXECUTOR_H_

#include <cstdint>
#include <memory>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/types/span.h"
#include "device_sim/device.h"
#include "device_sim/timing_trace.h"
#include "serialization/isa/program.h"

namespace glia::device {

// Host addresses of the HBM variables for one run, indexed as Program::variables; null for variables in
// SBUF and PSUM, which the executor provides itself.
using Bindings = absl::Span<uint8_t* const>;

// Versions of what inputs hold, indexed as Program::variables, or empty. The same number other than 0
// for a variable at the same address in two runs promises the same bytes; variables that are no inputs,
// or that an output writes, have 0.
using Versions = absl::Span<const uint64_t>;

// Runs a validated program. One run at a time.
class Executor {
 public:
  virtual ~Executor() = default;
  virtual absl::StatusOr<RunStatistics> Run(Bindings hbm, Versions versions) = 0;
  absl::StatusOr<RunStatistics> Run(Bindings hbm) { return Run(hbm, {}); }
};

// The program must outlive the executor, and have passed isa::Validate and CheckRaces. `constants` are
// the addresses of the kFile variables (null elsewhere), fixed for the executor's life: what is read
// only from them may be prepared at load.
absl::StatusOr<std::unique_ptr<Executor>> MakeInterpreter(const isa::Program& program,
                                                          const ProgramTiming& timing);
absl::StatusOr<std::unique_ptr<Executor>> MakeFastExecutor(const isa::Program& program,
                                                           const ProgramTiming& timing,
                                                           absl::Span<const uint8_t* const> constants);

// Two engines or queues that touch the same bytes of SBUF, PSUM or HBM, at least one writing, with no
// order between them by semaphores, are a race: InvalidArgument naming both instructions and the bytes.
// Also deadlocks: a wait that no increment can satisfy.
absl::Status CheckRaces(const isa::Program& program);

// The cost model. A function of the program alone: the times are the same with a trace (which is
// appended to, if not null) as without.
ProgramTiming ComputeTiming(const isa::Program& program, TimingTrace* trace = nullptr);

// An order of a segment's instructions in which running them one after the other, each transfer at its
// trigger, respects all semaphores. Pairs of (engine, index in its stream).
struct StreamPosition {
  isa::Engine engine;
  uint32_t index;
};
absl::StatusOr<std::vector<StreamPosition>> SerialOrder(const isa::Program& program,
                                                        const isa::Segment& segment);

}  // namespace glia::device

#endif  // GLIA_DEVICE_SIM_EXECUTOR_H_
