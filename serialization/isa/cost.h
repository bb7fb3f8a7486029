// The cost model of NeuronCore-v2: what one instruction and one transfer take by themselves.
// Queues, semaphores and arbitration belong to the timing of device_sim. All times are integer
// picoseconds and functions of the program alone; a clock's period is no whole number of them, so
// the cycles of a whole instruction are converted at once, rounded up.
#ifndef GLIA_SERIALIZATION_ISA_COST_H_
#define GLIA_SERIALIZATION_ISA_COST_H_

#include <cstdint>

#include "serialization/isa/isa.h"
#include "serialization/isa/program.h"
#include "serialization/isa/table.h"

namespace glia::isa {

// The frozen table. Sources are in aws-neuron-sdk; "ours" marks what is not published.
namespace cost {
// Picoseconds of seven cycles: every clock divides 7 exactly.
inline constexpr int64_t kPePsPer7Cycles = 2500;    // 2.8 GHz; trainium_inferentia2_arch.rst
inline constexpr int64_t kActPsPer7Cycles = 5000;   // 1.4 GHz; trainium_inferentia2_arch.rst
inline constexpr int64_t kPoolPsPer7Cycles = 5000;  // 1.4 GHz; trainium_inferentia2_arch.rst
inline constexpr int64_t kDvePsPer7Cycles = 6250;   // 1.12 GHz; trainium_inferentia2_arch.rst
inline constexpr int64_t kSpPsPer7Cycles = 5000;    // ours: as ACT

inline constexpr int64_t kPeMinCycles = 64;          // initiation interval max(N, 64); nc_matmul
inline constexpr int64_t kPeFp32Factor = 4;          // nc_matmul
inline constexpr int64_t kPeFp32OneZeroFactor = 2;   // half with the one/zero flag; nc_matmul
inline constexpr int64_t kPeLoadSpeedup = 4;         // LoadStationary; architecture guide
inline constexpr int64_t kPeLoadLatencyPs = 67'000;  // perf guide, profile figures
// Issue to complete at N = 128 is 188 to 219 ns (perf guide, profile figures); the middle, less the
// 128 cycles of N. The choice of the middle is ours.
inline constexpr int64_t kPePipelinePs = 158'286;

inline constexpr int64_t kActMinCycles = 64;        // ours, after the published one of reciprocal
inline constexpr int64_t kActPipelinePs = 158'286;  // 159 ns at N = 1; perf guide, profile figures
inline constexpr int64_t kActReadAccumulatorCycles = 64;  // profile figures
inline constexpr int64_t kActTableSwitchPs = 368'000;     // profile figures

inline constexpr int64_t kDveMinCycles = 64;  // nki.api.shared (reciprocal); ours for the rest
inline constexpr int64_t kDvePipelinePs = 158'286;            // ours: as ACT
inline constexpr int64_t kDveReciprocalCyclesPerElement = 8;  // nki.api.shared

inline constexpr int64_t kPoolFixedCycles = 150;         // ours
inline constexpr int64_t kPoolRsqrtFactor = 4;           // against ACT; nki.api.shared
inline constexpr int64_t kPoolIndirectCyclesPerRow = 1;  // ours: descriptors of gather and scatter
// A sort is a network of k (k + 1) / 2 stages, k = ceil(log2 N), each N cycles long: ours.
inline constexpr int64_t kPool64BitFactor = 2;  // two 32-bit lanes for one element: ours

inline constexpr int64_t kWideStrideBytes =
    16;  // innermost stride above: half bandwidth; architecture guide
inline constexpr int64_t kWideStrideFactor = 2;

inline constexpr int64_t kSemaphoreHopPs = 30'000;         // between engines; ours: 189 - 159 ns
inline constexpr int64_t kSemaphoreInstructionPs = 9'000;  // profile figures

inline constexpr int kDmaEngines = 16;         // nki-dma-overview
inline constexpr int64_t kDmaBytesPerNs = 17;  // one DMA engine, sustained; nki-dma-bandwidth-guide
inline constexpr int64_t kDmaRowMinPs = 144'000;   // our fit of the published saturation curve
inline constexpr int64_t kDmaStartPs = 1'300'000;  // semaphore to start; nki-dma-overview
inline constexpr int64_t kHbmBytesPerNs = 272;     // one core, 16 engines; nki-dma-bandwidth-guide
// A large row is cut so that all 16 engines work, but not below the size at which a piece costs the
// minimum: ours.
inline constexpr int64_t kDmaMinPieceBytes = kDmaRowMinPs / 1000 * kDmaBytesPerNs;
}  // namespace cost

// Time of `cycles` >= 0 of the engine's clock, rounded up.
int64_t CyclesToPs(Engine engine, int64_t cycles);

// What an engine remembers between instructions. A fresh one for each segment: then the first
// matmul loads its stationary operand and the first table function its table.
struct EngineState {
  Operand stationary;                 // PE: what the array holds; absent at first
  int64_t last_moving_ps = 0;         // PE: occupancy of the previous matmul, which hides a load
  ActTable table = ActTable::kEvery;  // ACT: the loaded set; kEvery: none yet
};

struct InstructionCost {
  int64_t occupancy_ps = 0;  // from start until the engine may start its next instruction
  int64_t latency_ps =
      0;  // from start until the result, and the semaphore, are there; >= occupancy_ps
};

// Cost of a valid instruction on `engine`, and the engine's state after it. For kDma the cost of
// issuing it (for an indirect one, of writing its descriptors); the transfer is DmaCost's.
InstructionCost CostOf(const Program& program, Engine engine, const Instruction& instruction,
                       EngineState* state);

// Contiguous stretches of one side of a transfer, after merging dimensions; in SBUF and PSUM a row
// does not cross into the next partition.
struct DmaRows {
  int64_t rows = 0;
  int64_t row_bytes = 0;  // of the longest
};
struct DmaShape {
  int64_t bytes = 0;  // moved
  DmaRows src, dst;
};
DmaShape DmaRowStructure(const Program& program, const DmaDescriptor& dma);

struct DmaCost {
  int64_t duration_ps = 0;  // alone on all 16 engines, after kDmaStartPs
  int64_t work_ps = 0;      // summed over the 16 engines
  int64_t hbm_read_bytes = 0;
  int64_t hbm_write_bytes = 0;
};
// Each of the 16 engines takes max(bytes / 17, 144) ns for a contiguous row; the rows, those of the
// side with the more, are dealt out evenly.
DmaCost DmaCostOf(const Program& program, const DmaDescriptor& dma);

}  // namespace glia::isa

#endif  // GLIA_SERIALIZATION_ISA_COST_H_
