// Host memory behind SBUF and PSUM for the fast executor, and operands resolved to addresses in it.
#ifndef GLIA_DEVICE_SIM_FAST_MEMORY_H_
#define GLIA_DEVICE_SIM_FAST_MEMORY_H_

#include <cstddef>
#include <cstdint>
#include <vector>

#include "serialization/isa/isa.h"
#include "serialization/isa/program.h"

namespace glia::device::fast {

// One memory, partition after partition. The distance between partitions is what the program uses of
// each, made an odd number of cache lines so that the same column of successive partitions falls into
// different cache sets.
class PartitionedMemory {
 public:
  PartitionedMemory() = default;
  ~PartitionedMemory();
  PartitionedMemory(const PartitionedMemory&) = delete;
  PartitionedMemory& operator=(const PartitionedMemory&) = delete;

  // Zeroed memory for `partitions` of `bytes` each.
  void Allocate(int64_t partitions, int64_t bytes);
  uint8_t* At(int64_t partition, int64_t byte) const { return data_ + partition * pitch_ + byte; }
  int64_t pitch() const { return pitch_; }

 private:
  uint8_t* data_ = nullptr;
  int64_t pitch_ = 64;
  int64_t mapped_ = 0;
};

// SBUF and PSUM of one executor, as large as its program needs.
class Memories {
 public:
  explicit Memories(const isa::Program& program);
  const PartitionedMemory& Of(const isa::Variable& v) const {
    return v.kind == isa::VariableKind::kPsum ? psum_ : sbuf_;
  }

 private:
  PartitionedMemory sbuf_;
  PartitionedMemory psum_;
};

// An operand in host memory: `partitions` x size[0] x ... x size[3] elements. Strides in bytes.
struct View {
  uint8_t* base = nullptr;
  isa::DType dtype = isa::DType::kF32;
  int32_t bytes = 4;  // of an element
  int64_t partitions = 0;
  ptrdiff_t pitch = 0;
  int64_t size[isa::kFreeDims] = {1, 1, 1, 1};
  ptrdiff_t stride[isa::kFreeDims] = {0, 0, 0, 0};

  int64_t free() const { return size[0] * size[1] * size[2] * size[3]; }
  int64_t elements() const { return partitions * free(); }
  bool present() const { return partitions != 0; }
  // The free elements are adjacent and in order.
  bool FreeContiguous() const;
};

View MakeView(const isa::Program& program, const Memories& memories, const isa::Operand& operand);

// The bytes a view reaches, as [low, high) in host addresses. Partitions are not told apart within it.
bool Overlap(const View& a, const View& b);
// Both visit the same addresses in the same order.
bool SamePlace(const View& a, const View& b);

// A view of packed rows at `base`.
View DenseView(uint8_t* base, isa::DType dtype, int64_t partitions, int64_t free);

// An iteration over addresses with as few dimensions as possible, outermost first; at least one.
struct Dimension {
  int64_t n;
  ptrdiff_t stride;
};
struct Walk {
  int dims = 0;
  Dimension d[isa::kFreeDims + 1];
  int64_t elements = 0;
};
Walk WalkOf(const View& v);
// The same address for every element of `shape`'s walk, or [P, 1] repeated over the free elements.
Walk WalkOfScalar(const View& scalar, int64_t free);

// Several walks of equal length side by side. Each dimension has one size and a stride per operand.
inline constexpr int kMaxTogether = 4;
struct JointDimension {
  int64_t n;
  ptrdiff_t stride[kMaxTogether];
};
// Splits and merges dimensions until all walks agree; empty if they cannot. Outermost first.
std::vector<JointDimension> Align(const std::vector<Walk>& walks);

}  // namespace glia::device::fast

#endif  // GLIA_DEVICE_SIM_FAST_MEMORY_H_
