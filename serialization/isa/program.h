// A program in memory: what a NEFF holds besides its header and the bytes of its constants.
#ifndef GLIA_SERIALIZATION_ISA_PROGRAM_H_
#define GLIA_SERIALIZATION_ISA_PROGRAM_H_

#include <array>
#include <cstdint>
#include <string>
#include <vector>

#include "serialization/isa/isa.h"

namespace glia::isa {

// Names as in a NEFF's def.json.
enum class VariableKind : uint8_t {
  kInput,        // "input": HBM, bound at each run, read-only
  kOutput,       // "output": HBM, bound at each run
  kFile,         // "file": HBM, constant, bytes in the archive
  kTmpBuf,       // "tmp-buf": HBM scratch at hbm_offset of the program's one scratch area
  kStateBuffer,  // "state-buffer": SBUF
  kPsum,         // "psum"
};

struct Variable {
  std::string name;
  VariableKind kind = VariableKind::kTmpBuf;
  DType dtype = DType::kF32;
  std::vector<int64_t> shape;  // logical, row-major; informative for tmp-buf, state-buffer and psum
  int64_t bytes = 0;           // HBM kinds: total; SBUF and PSUM: partitions * partition_bytes
  int64_t hbm_offset = 0;      // kTmpBuf
  std::string file;            // kFile: name in the archive
  // SBUF and PSUM: where it lies. Variables whose lifetimes do not meet may share addresses.
  int32_t partition = 0;
  int32_t partitions = 0;
  int64_t address = 0;          // byte offset within each partition
  int64_t partition_bytes = 0;
  // kOutput: index of the input variable whose buffer it shares (input_output_aliases), or -1.
  int32_t alias = -1;
};

// What follows when all engines and queues have finished the segment. Semaphores return to 0.
enum class TerminatorKind : uint8_t { kHalt, kJump, kBranch };
struct Terminator {
  TerminatorKind kind = TerminatorKind::kHalt;
  uint32_t target = 0;       // kJump; kBranch: taken when the value is not 0
  uint32_t otherwise = 0;    // kBranch
  uint32_t var = UINT32_MAX; // kBranch: HBM variable; a `dtype` scalar (kPred or kI32) at `offset`
  uint64_t offset = 0;
  DType dtype = DType::kPred;
  // Trip count of the loop that this branch closes if known to the compiler, else 0. Informative.
  int64_t expected_trips = 0;
};

struct Segment {
  std::array<std::vector<Instruction>, kEngines> streams;  // indexed by Engine
  Terminator terminator;
};

// Where an instruction comes from.
struct DebugEntry {
  std::string hlo;      // name of the HLO instruction
  std::string op;       // source operator, such as aten::addmm
  std::string source;   // file:line of the user's code, may be empty
};

struct DmaQueue {
  std::string name;
  Engine issuer = Engine::kSp;  // the one engine that starts transfers on it
  uint16_t semaphore = kNoSemaphore;
};

struct Program {
  std::string name;
  std::vector<Variable> variables;
  std::vector<Segment> segments;  // execution starts at 0
  std::vector<DmaDescriptor> dmas;
  std::vector<DmaQueue> queues;
  std::vector<DebugEntry> debug;
  int64_t scratch_bytes = 0;      // extent of the tmp-buf area
};

inline bool IsHbm(VariableKind k) {
  return k != VariableKind::kStateBuffer && k != VariableKind::kPsum;
}

}  // namespace glia::isa

#endif  // GLIA_SERIALIZATION_ISA_PROGRAM_H_
