// Moving bytes between strided places: the core of transfers, copies and transposes.
#ifndef GLIA_DEVICE_SIM_FAST_MOVE_H_
#define GLIA_DEVICE_SIM_FAST_MOVE_H_

#include <cstddef>
#include <cstdint>
#include <vector>

namespace glia::device::fast {

struct MoveDimension {
  int64_t n;
  ptrdiff_t src;  // strides in bytes
  ptrdiff_t dst;
};

// A copy of n[0] x n[1] x ... elements, planned once and run often. With `ordered`, elements move one
// after the other in the order of the dimensions (outermost first), as needed when source and
// destination overlap or the destination repeats; else in any order.
class Move {
 public:
  Move() = default;
  Move(std::vector<MoveDimension> dims, int element_bytes, bool ordered);
  void operator()(const uint8_t* src, uint8_t* dst) const { Level(0, src, dst); }
  int64_t bytes() const { return bytes_; }

 private:
  using Kernel = void (*)(const Move& m, const uint8_t* src, uint8_t* dst);
  template <class T> struct Kernels;
  void Choose(int element_bytes, bool ordered);
  void Level(size_t depth, const uint8_t* src, uint8_t* dst) const;

  std::vector<MoveDimension> outer_;
  MoveDimension middle_ = {1, 0, 0};  // the two innermost, as the kernel sees them
  MoveDimension inner_ = {1, 0, 0};
  size_t run_ = 0;
  int64_t bytes_ = 0;
  Kernel kernel_ = nullptr;
};

}  // namespace glia::device::fast

#endif  // GLIA_DEVICE_SIM_FAST_MOVE_H_
