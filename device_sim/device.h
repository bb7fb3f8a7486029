// A simulated NeuronCore-v2: its memory, and programs loaded onto it. Reached only through the NRT
// C API of //runtime.
#ifndef GLIA_DEVICE_SIM_DEVICE_H_
#define GLIA_DEVICE_SIM_DEVICE_H_

#include <array>
#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/types/span.h"
#include "device_sim/timing_trace.h"
#include "serialization/isa/program.h"
#include "serialization/neff/neff.h"

namespace glia::device {

class Core;

// A stretch of a core's HBM, backed by host memory aligned to 64 bytes, zeroed. Freed when the last
// reference goes. The accounting is exact and per core; data() may be used from any thread.
class HbmBuffer {
 public:
  ~HbmBuffer();
  HbmBuffer(const HbmBuffer&) = delete;
  HbmBuffer& operator=(const HbmBuffer&) = delete;
  uint8_t* data() const { return data_; }
  int64_t size() const { return size_; }
  const std::shared_ptr<Core>& core() const { return core_; }

 private:
  friend class Core;
  HbmBuffer(std::shared_ptr<Core> core, uint8_t* data, int64_t size, int64_t charged);
  std::shared_ptr<Core> core_;
  uint8_t* data_;
  int64_t size_;
  int64_t charged_;
};

// Exact simulated cost of one run of one segment, and of a program. Times in picoseconds, so that sums
// are exact integers. `busy` is time an engine (or the DMA engines, last entry) was working.
struct SegmentTiming {
  int64_t duration_ps = 0;
  std::array<int64_t, isa::kEngines + 1> busy_ps = {};
  int64_t hbm_read_bytes = 0;
  int64_t hbm_write_bytes = 0;
};

struct ProgramTiming {
  std::vector<SegmentTiming> segments;  // one per Program segment
};

struct RunStatistics {
  int64_t simulated_ps = 0;   // sum over the segments that ran
  int64_t segments_run = 0;
};

// What a loaded program occupies.
struct MemoryUse {
  int64_t hbm_constant_bytes = 0;
  int64_t hbm_scratch_bytes = 0;
  int64_t hbm_io_bytes = 0;        // inputs and outputs, bound at each run: not charged by loading
  int64_t sbuf_peak_bytes_per_partition = 0;
  int64_t psum_peak_bytes_per_partition = 0;
};

// What a run would do, found without one: times, memory, and every instruction and transfer.
struct ProgramProfile {
  ProgramTiming timing;
  MemoryUse memory;
  TimingTrace trace;
};
// Errors: InvalidArgument as of Core::Load.
absl::StatusOr<ProgramProfile> ProfileProgram(const neff::Neff& neff);

// Which executor runs programs. kFast falls back to nothing: both run every valid program.
enum class ExecutorKind { kFast, kInterpreter };
// From GLIA_DEVICE ("fast", the default, or "interpreter"). Error: InvalidArgument naming the value.
absl::StatusOr<ExecutorKind> ExecutorKindFromEnvironment();

// A validated, race-checked, decoded program on one core. Immutable; Run may be called from several
// threads, runs on one core exclude each other.
class LoadedProgram {
 public:
  virtual ~LoadedProgram() = default;
  virtual const neff::Neff& neff() const = 0;
  virtual const ProgramTiming& timing() const = 0;
  virtual const MemoryUse& memory() const = 0;
  // Host addresses, one per kInput (kOutput) variable in the order of Program::variables; each holds
  // the variable's bytes. Outputs may not overlap inputs unless the output's alias says so. Error:
  // OutOfRange for an index out of bounds in an indirect transfer; the interpreter adds Internal for
  // what its checks find. The outputs are undefined after an error; program and core stay usable.
  // `versions` is empty or has one number per input. Where it is not 0, the same number in two runs
  // promises the same bytes at the same address: what a program makes of such inputs alone (weights) may
  // be kept from one run to the next, as it is of constants. Results and statistics do not depend on it.
  virtual absl::StatusOr<RunStatistics> Run(absl::Span<const uint8_t* const> inputs,
                                            absl::Span<uint8_t* const> outputs,
                                            absl::Span<const uint64_t> versions) = 0;
  absl::StatusOr<RunStatistics> Run(absl::Span<const uint8_t* const> inputs,
                                    absl::Span<uint8_t* const> outputs) {
    return Run(inputs, outputs, {});
  }
};

class Core : public std::enable_shared_from_this<Core> {
 public:
  // `hbm_bytes` is the capacity; allocation of more is ResourceExhausted, naming need, use and capacity.
  static std::shared_ptr<Core> Create(int index, int64_t hbm_bytes = isa::kHbmBytesPerCore);
  virtual ~Core() = default;
  virtual int index() const = 0;
  virtual absl::StatusOr<std::shared_ptr<HbmBuffer>> Allocate(int64_t bytes) = 0;
  virtual int64_t hbm_capacity() const = 0;
  virtual int64_t hbm_used() const = 0;
  virtual int64_t hbm_peak() const = 0;
  // Charges constants and scratch to this core's HBM. Constants are read in place from the NEFF's bytes
  // where their alignment allows. Errors: InvalidArgument (limits, races, bad references; with the
  // instructions concerned), ResourceExhausted.
  virtual absl::StatusOr<std::unique_ptr<LoadedProgram>> Load(
      std::shared_ptr<const neff::Neff> neff, ExecutorKind kind) = 0;

 protected:
  friend class HbmBuffer;
  virtual void Release(int64_t charged) = 0;
  std::shared_ptr<HbmBuffer> Wrap(uint8_t* data, int64_t size, int64_t charged);
};

}  // namespace glia::device

#endif  // GLIA_DEVICE_SIM_DEVICE_H_
