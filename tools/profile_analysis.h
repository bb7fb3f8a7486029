// Where the simulated time of a NEFF goes: per engine, per operation, and along the critical path.
#ifndef GLIA_TOOLS_PROFILE_ANALYSIS_H_
#define GLIA_TOOLS_PROFILE_ANALYSIS_H_

#include <array>
#include <cstdint>
#include <string>
#include <vector>

#include "nrt/nrt_glia.h"
#include "serialization/isa/program.h"

namespace glia::tools {

// What a stretch of the critical path was spent on.
enum class PathCause : uint8_t {
  kEngineBusy,  // an engine worked
  kPipeline,  // its result came out of the pipeline, and reached the next instruction on the engine
  kSemaphore,      // the hop from a semaphore to the engine that waited for it
  kPort,           // another engine held the memory port
  kDmaStart,       // from a trigger to the start of its transfer
  kDmaBandwidth,   // a transfer at the full rate of the core
  kDmaRows,        // what it took longer because its rows are short or few
  kDmaContention,  // what it took longer because others ran beside it
  kControl,        // the end of a segment
};
inline constexpr int kPathCauses = 9;
const char* PathCauseName(PathCause cause);

// Engines, then all DMA.
inline constexpr int kLanes = isa::kEngines + 1;
const char* LaneName(int lane);

struct PathPart {
  int32_t event = -1;  // of the profile; -1: kControl
  PathCause cause = PathCause::kControl;
  uint64_t start_ps = 0, end_ps = 0;  // from the start of the segment
};

// What an engine does when it does not work.
struct EngineProfile {
  int64_t instructions = 0;
  int64_t busy_ps = 0;
  std::array<int64_t, kLanes> semaphore_ps =
      {};                 // waiting for a semaphore of an engine or of the DMA
  int64_t result_ps = 0;  // for a result of its own
  int64_t port_ps = 0;
  int64_t done_ps = 0;  // after its last instruction
};

// The sums over instructions with one origin.
struct OpProfile {
  std::string hlo, op,
      source;  // as in isa::DebugEntry; hlo empty: sums over all HLO operations of `op`
  int64_t instructions = 0, transfers = 0;
  std::array<int64_t, kPathCauses> path_ps = {};  // of the critical path
  std::array<int64_t, isa::kEngines> busy_ps = {};
  int64_t dma_ps = 0;     // work of the 16 DMA engines / 16
  int64_t hbm_bytes = 0;  // read and written
  int64_t flops = 0;      // of matmuls

  int64_t path_total_ps() const;
  // The least it could take: the larger of the PE's busy time and the bytes at the rate of the HBM.
  int64_t roofline_ps() const;
};

struct ProfileAnalysis {
  int64_t total_ps = 0;  // each segment once
  bool has_loops = false;
  std::array<EngineProfile, isa::kEngines> engines;
  int64_t transfers = 0;
  int64_t dma_active_ps = 0;  // some transfer under way
  int64_t dma_work_ps = 0;    // work of the 16 DMA engines / 16
  int64_t hbm_read_bytes = 0, hbm_write_bytes = 0;
  int64_t must_move_bytes = 0;  // constants, inputs and outputs, each once
  int64_t flops = 0;
  int64_t roofline_ps =
      0;  // the larger of the PE's busy time and must_move_bytes at the HBM's rate
  std::array<std::array<int64_t, kLanes>, kPathCauses> path_ps = {};  // cause, and whose
  std::vector<std::vector<PathPart>> path;  // of each segment, in the order of time
  std::vector<OpProfile> hlo_ops;           // by time on the critical path, then busy time
  std::vector<OpProfile> source_ops;        // the same by source operator
};

// `profile` is of `program`.
ProfileAnalysis Analyze(const isa::Program& program, const glia_nrt_profile_t& profile);

const isa::Instruction& InstructionOf(const isa::Program& program,
                                      const glia_nrt_profile_event_t& event);
// Engine of an instruction; kLanes - 1 of a transfer.
int LaneOf(const glia_nrt_profile_event_t& event);

}  // namespace glia::tools

#endif  // GLIA_TOOLS_PROFILE_ANALYSIS_H_
