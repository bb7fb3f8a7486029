// Where the elements of a strided pattern come from, in vectors of 16.
#ifndef GLIA_DEVICE_SIM_FAST_PARTS_H_
#define GLIA_DEVICE_SIM_FAST_PARTS_H_

#include <cstdint>
#include <vector>

#include "device_sim/fast_memory.h"
#include "device_sim/kernels_gather.h"

namespace glia::device::fast {

// Bytes from a partition's first element to the end of its last; strides are not negative.
int64_t ReachOf(const View& v);

// A row of 4-byte elements, part of which a pattern of the same element size covers: for every 16
// elements of the row, the runs that its elements take from the source, whose elements correspond
// in order. Of one partition: they are all alike.
class Parts {
 public:
  // Whether the pattern's elements are apart and in order, and run along with the source's.
  static bool Possible(const View& pattern, const View& source);

  Parts() = default;
  // `first`: element of the row at which the pattern begins. Offsets are from source.base.
  Parts(const View& pattern, int64_t first, const View& source, int64_t row);

  const kernels::GatherPart* begin(int64_t vector) const { return parts_.data() + first_[vector]; }
  int32_t count(int64_t vector) const { return first_[vector + 1] - first_[vector]; }

 private:
  std::vector<int32_t> first_;  // of each vector; one more at the end
  std::vector<kernels::GatherPart> parts_;
};

}  // namespace glia::device::fast

#endif  // GLIA_DEVICE_SIM_FAST_PARTS_H_
