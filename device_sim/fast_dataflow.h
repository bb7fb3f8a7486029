// Who wrote the bytes that an instruction reads, along a straight line of instructions.
#ifndef GLIA_DEVICE_SIM_FAST_DATAFLOW_H_
#define GLIA_DEVICE_SIM_FAST_DATAFLOW_H_

#include <cstdint>
#include <map>
#include <utility>
#include <vector>

#include "absl/types/span.h"
#include "device_sim/footprint.h"

namespace glia::device::fast {

// Bytes [low, high) of partitions [first, last); memories in HBM have one partition.
struct Box {
  int32_t first = 0;
  int32_t last = 0;
  int64_t low = 0;
  int64_t high = 0;

  bool Meets(const Box& o) const {
    return first < o.last && o.first < last && low < o.high && o.low < high;
  }
  bool Holds(const Box& o) const {
    return first <= o.first && o.last <= last && low <= o.low && o.high <= high;
  }
};
inline Box BoundsOf(const Footprint& f) {
  return {f.first_partition, f.last_partition, f.low, f.high};
}

// Remembers the writes to SBUF, PSUM and scratch by device address, so that variables which share
// addresses are no special case. A node is whatever number the caller gives to a writer.
class Dataflow {
 public:
  // `constants`: addresses of the variables whose bytes are fixed, null for others.
  explicit Dataflow(absl::Span<const uint8_t* const> constants) : constants_(constants) {}

  struct Origin {
    bool constant = false;  // every byte was written by constant writes, or is of a fixed variable
    std::vector<uint32_t> nodes;  // all that may have written any of the bytes, each once
  };
  Origin Read(const Footprint& f) const;
  void Write(const Footprint& f, uint32_t node, bool constant);
  // The nodes whose bytes are still there.
  std::vector<uint32_t> Remaining() const;

 private:
  struct Record {
    Box box;
    uint32_t node = 0;
    bool constant = false;
    bool dense = false;  // wrote every byte of the box
    bool gone = false;   // overwritten
  };
  using Key = std::pair<int32_t, int64_t>;  // space, chunk of addresses

  void WriteBox(int32_t space, const Box& box, bool dense, uint32_t node, bool constant);
  std::vector<uint32_t> Meeting(int32_t space, const Box& box) const;

  const absl::Span<const uint8_t* const> constants_;
  std::vector<Record> records_;
  mutable std::map<Key, std::vector<uint32_t>>
      chunks_;  // records that reach into each; emptied of `gone` on sight
};

}  // namespace glia::device::fast

#endif  // GLIA_DEVICE_SIM_FAST_DATAFLOW_H_
