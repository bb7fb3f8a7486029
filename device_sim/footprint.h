// The bytes that an operand or one side of a transfer touches, as strided patterns in one flat address
// space per memory, with an exact test for overlap.
#ifndef GLIA_DEVICE_SIM_FOOTPRINT_H_
#define GLIA_DEVICE_SIM_FOOTPRINT_H_

#include <cstdint>
#include <vector>

#include "serialization/isa/program.h"

namespace glia::device {

// Memories that may alias within themselves, never among each other.
enum : int32_t {
  kSbufSpace = 0,
  kPsumSpace = 1,
  kScratchSpace = 2,
  kFirstVariableSpace = 3,  // + index of a kInput, kFile or kOutput variable (of the alias, if it has one)
};

// Bytes between the same address of adjacent partitions in the flat view.
constexpr int64_t PartitionSpan(int32_t space) {
  return space == kPsumSpace ? isa::kPsumPartitionBytes : isa::kSbufPartitionBytes;
}

// Flat address of a byte is partition * PartitionSpan + address in SBUF and PSUM, the offset in HBM. The
// pattern: base + sum index[i] * stride[i], and `run` bytes at each. Strides are positive, descending.
struct Footprint {
  static constexpr int kMaxDims = 6;
  int32_t space = 0;
  int32_t dims = 0;
  int64_t base = 0;
  int64_t run = 0;
  int64_t size[kMaxDims] = {};
  int64_t stride[kMaxDims] = {};
  // Bounds: partitions [first, last) and within each the bytes [low, high). HBM: one partition.
  int32_t first_partition = 0;
  int32_t last_partition = 1;
  int64_t low = 0;
  int64_t high = 0;
  bool box = false;  // touches every byte within the bounds
};

// Requires a present operand of a valid program.
Footprint FootprintOf(const isa::Program& program, const isa::Operand& operand);

// What a transfer touches, of a valid program. The indexed side covers every index within the bound.
struct DmaFootprints {
  std::vector<Footprint> reads;
  std::vector<Footprint> writes;
};
DmaFootprints FootprintsOf(const isa::Program& program, const isa::DmaDescriptor& dma);

// Whether the two share a byte. Exact, except that patterns of more than a million separate runs count
// as their bounds.
bool Overlap(const Footprint& a, const Footprint& b);

// Equal patterns in the same place.
bool SameBytes(const Footprint& a, const Footprint& b);

}  // namespace glia::device

#endif  // GLIA_DEVICE_SIM_FOOTPRINT_H_
