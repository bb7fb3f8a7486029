// The modelled memories of one core, with a shadow of what has been written, for the interpreter.
#ifndef GLIA_DEVICE_SIM_MACHINE_H_
#define GLIA_DEVICE_SIM_MACHINE_H_

#include <array>
#include <cstdint>
#include <memory>
#include <vector>

#include "absl/status/status.h"
#include "absl/types/span.h"
#include "serialization/isa/program.h"

namespace glia::device {

// State of a byte. Only PSUM distinguishes who wrote it.
enum Shadow : uint8_t { kUnwritten = 0, kWritten = 1, kWrittenByPe = 2 };

// An operand's elements: `data + p * pitch + offsets[i]` for partition p and element i.
struct View {
  const isa::Operand* operand = nullptr;
  uint8_t* data = nullptr;
  uint8_t* shadow = nullptr;
  int64_t pitch = 0;
  int partitions = 0;
  int64_t n = 0;
  isa::DType dtype = isa::DType::kF32;
  int bytes = 4;
  bool contiguous = false;
  std::vector<int64_t> offsets;

  bool present() const { return operand != nullptr; }
  uint8_t* at(int p, int64_t i) const { return data + p * pitch + offsets[i]; }
  uint8_t* shadow_at(int p, int64_t i) const { return shadow + p * pitch + offsets[i]; }
};

class Machine {
 public:
  // `program` must outlive it and be valid.
  explicit Machine(const isa::Program& program);

  // Forgets what previous runs wrote, and takes the host addresses of the HBM variables.
  void Reset(absl::Span<uint8_t* const> hbm);

  // Points the view at a present operand, reusing its vector.
  void Resolve(const isa::Operand& operand, View* view);

  // Part of a variable's linear view that is adjacent in memory: for SBUF and PSUM up to the end of the
  // partition. shadow is null where everything counts as written.
  struct Stretch {
    uint8_t* data;
    uint8_t* shadow;
    int64_t bytes;
  };
  Stretch Linear(uint32_t var, int64_t offset, int64_t bytes);

  const isa::Program& program() const { return program_; }
  // Internal error naming the variable and byte if an output is not wholly written.
  absl::Status CheckOutputs() const;

 private:
  struct Place {
    uint8_t* data = nullptr;    // of the variable's first byte
    uint8_t* shadow = nullptr;
    int64_t span = 0;           // from partition to partition; 0: HBM
  };
  using Memory = std::unique_ptr<uint8_t, void (*)(void*)>;

  const isa::Program& program_;
  Memory sbuf_, sbuf_shadow_, psum_, psum_shadow_;
  std::vector<uint8_t> scratch_shadow_;
  std::vector<std::vector<uint8_t>> output_shadow_;  // by variable
  std::vector<Place> places_;                        // by variable
};

}  // namespace glia::device

#endif  // GLIA_DEVICE_SIM_MACHINE_H_
