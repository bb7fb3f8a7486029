// A program before its tiles have addresses and its engines their streams: every segment is one
// list of instructions in the order in which they take effect.
#ifndef GLIA_COMPILER_CODEGEN_SERIAL_H_
#define GLIA_COMPILER_CODEGEN_SERIAL_H_

#include <cstdint>
#include <utility>
#include <vector>

#include "serialization/isa/isa.h"
#include "serialization/isa/program.h"

namespace glia::compiler {

// Operands name variables by index; those in SBUF and PSUM have no address yet, tmp-bufs no offset.
// A kDma instruction's `dma` is the index of its descriptor; its engine and queue are chosen by
// sync.
struct SerialInstruction {
  isa::Instruction instruction;
  isa::Engine engine = isa::Engine::kSp;
};

struct SerialSegment {
  uint32_t number = 0;
  std::vector<SerialInstruction> instructions;
  isa::Terminator terminator;
};

struct SerialProgram {
  // variables, dmas, debug and name; segments and queues are empty.
  isa::Program program;
  std::vector<SerialSegment> segments;               // in the order in which they were started
  std::vector<std::pair<uint32_t, uint32_t>> loops;  // first and last position in `segments`
  uint32_t next_segment = 0;                         // numbers below are taken
};

}  // namespace glia::compiler

#endif  // GLIA_COMPILER_CODEGEN_SERIAL_H_
