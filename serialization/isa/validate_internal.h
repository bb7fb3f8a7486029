// The parts of Validate. Not for others.
#ifndef GLIA_SERIALIZATION_ISA_VALIDATE_INTERNAL_H_
#define GLIA_SERIALIZATION_ISA_VALIDATE_INTERNAL_H_

#include <array>
#include <cstdint>
#include <string>

#include "absl/status/status.h"
#include "absl/strings/str_cat.h"
#include "serialization/isa/isa.h"
#include "serialization/isa/program.h"

namespace glia::isa::internal {

template <typename... Args>
absl::Status Invalid(absl::string_view where, const Args&... args) {
  return absl::InvalidArgumentError(absl::StrCat(where, ": ", args...));
}

struct Position {
  size_t segment;
  Engine engine;
  size_t index;
};
// "segment 0 DVE 12 tensor_tensor"
std::string Describe(const Position& position, Opcode opcode);

// Variables must have been checked.
absl::Status CheckDma(const Program& program, size_t index);
// Variables, queues and DMA descriptors must have been checked.
absl::Status CheckInstruction(const Program& program, const Instruction& instruction,
                              const Position& position);

// One engine or one queue increments a semaphore, in all of a program, and never past 32 bits in a
// segment. Instructions must have been checked.
class SemaphoreCheck {
 public:
  explicit SemaphoreCheck(const Program& program);
  absl::Status AddQueue(size_t queue);
  void StartSegment();
  absl::Status AddInstruction(const Instruction& instruction, const Position& position);

 private:
  absl::Status SetOwner(uint16_t semaphore, int owner, const std::string& where);

  const Program& program_;
  std::array<int, kSemaphores> owner_;     // engine, or kEngines + queue, or -1
  std::array<uint64_t, kSemaphores> sum_;  // of the segment's increments
};

}  // namespace glia::isa::internal

#endif  // GLIA_SERIALIZATION_ISA_VALIDATE_INTERNAL_H_
