#include "device_sim/fast_memory.h"

#include <sys/mman.h>

#include <algorithm>
#include <new>

#include "serialization/isa/table.h"

namespace glia::device::fast {
namespace {

constexpr int64_t kLine = 64;
constexpr int64_t kHugePage = int64_t{2} << 20;

int64_t RoundUp(int64_t x, int64_t to) { return (x + to - 1) / to * to; }

// Drops dimensions of one element and merges those that continue each other.
void Collapse(Walk& w) {
  int kept = 0;
  for (int i = 0; i < w.dims; ++i) {
    const Dimension next = w.d[i];
    if (next.n == 1) continue;
    if (kept > 0 && w.d[kept - 1].stride == next.stride * next.n) {
      w.d[kept - 1] = {w.d[kept - 1].n * next.n, next.stride};
    } else {
      w.d[kept++] = next;
    }
  }
  if (kept == 0) w.d[kept++] = {1, 0};
  w.dims = kept;
}

// Lowest and one past the highest byte of one partition's elements.
void FreeExtent(const View& v, ptrdiff_t& low, ptrdiff_t& high) {
  low = 0;
  high = v.bytes;
  for (int i = 0; i < isa::kFreeDims; ++i) {
    const ptrdiff_t reach = (v.size[i] - 1) * v.stride[i];
    (reach < 0 ? low : high) += reach;
  }
}

}  // namespace

PartitionedMemory::~PartitionedMemory() {
  if (data_ != nullptr) munmap(data_, mapped_);
}

void PartitionedMemory::Allocate(int64_t partitions, int64_t bytes) {
  const int64_t lines = std::max<int64_t>(1, RoundUp(bytes, kLine) / kLine);
  pitch_ = (lines | 1) * kLine;
  // A line more: vector loads of the last row may not cross the end, but prefetches do.
  mapped_ = RoundUp(std::max<int64_t>(1, partitions) * pitch_ + kLine, 4096);
  if (mapped_ >= kHugePage) mapped_ = RoundUp(mapped_, kHugePage);
  void* p = mmap(nullptr, mapped_, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  if (p == MAP_FAILED) throw std::bad_alloc();
  data_ = static_cast<uint8_t*>(p);
  if (mapped_ >= kHugePage) madvise(data_, mapped_, MADV_HUGEPAGE);
}

Memories::Memories(const isa::Program& program) {
  int64_t partitions[2] = {0, 0}, bytes[2] = {0, 0};
  for (const isa::Variable& v : program.variables) {
    if (isa::IsHbm(v.kind)) continue;
    const int i = v.kind == isa::VariableKind::kPsum ? 1 : 0;
    partitions[i] = std::max<int64_t>(partitions[i], v.partition + v.partitions);
    bytes[i] = std::max(bytes[i], v.address + v.partition_bytes);
  }
  sbuf_.Allocate(partitions[0], bytes[0]);
  psum_.Allocate(partitions[1], bytes[1]);
}

bool View::FreeContiguous() const {
  ptrdiff_t expected = bytes;
  for (int i = isa::kFreeDims - 1; i >= 0; --i) {
    if (size[i] == 1) continue;
    if (stride[i] != expected) return false;
    expected *= size[i];
  }
  return true;
}

View MakeView(const isa::Program& program, const Memories& memories, const isa::Operand& operand) {
  View v;
  if (!operand.present()) return v;
  const isa::Variable& variable = program.variables[operand.var];
  const PartitionedMemory& memory = memories.Of(variable);
  v.base = memory.At(variable.partition + operand.partition, variable.address + operand.offset);
  v.dtype = operand.dtype;
  v.bytes = isa::DTypeBytes(operand.dtype);
  v.partitions = operand.num_partitions;
  v.pitch = memory.pitch();
  for (int i = 0; i < isa::kFreeDims; ++i) {
    v.size[i] = operand.size[i];
    v.stride[i] = ptrdiff_t{operand.stride[i]} * v.bytes;
  }
  return v;
}

bool Overlap(const View& a, const View& b) {
  ptrdiff_t low_a, high_a, low_b, high_b;
  FreeExtent(a, low_a, high_a);
  FreeExtent(b, low_b, high_b);
  if (a.pitch == b.pitch && high_a - low_a <= a.pitch && high_b - low_b <= b.pitch) {
    // Same memory, perhaps: compare partition by partition and column by column.
    const ptrdiff_t distance = (b.base + low_b) - (a.base + low_a);
    // Partition p of a meets partition q of b when the columns meet at p * pitch = distance + q * pitch.
    for (int64_t shift = 1 - b.partitions; shift < a.partitions; ++shift) {
      const ptrdiff_t d = distance - shift * a.pitch;
      if (d < high_a - low_a && -d < high_b - low_b) return true;
    }
    return false;
  }
  const uint8_t* a_low = a.base + low_a;
  const uint8_t* a_high = a.base + high_a + (a.partitions - 1) * a.pitch;
  const uint8_t* b_low = b.base + low_b;
  const uint8_t* b_high = b.base + high_b + (b.partitions - 1) * b.pitch;
  return a_low < b_high && b_low < a_high;
}

bool SamePlace(const View& a, const View& b) {
  if (a.base != b.base || a.bytes != b.bytes || a.elements() != b.elements()) return false;
  const Walk x = WalkOf(a), y = WalkOf(b);
  if (x.dims != y.dims) return false;
  for (int i = 0; i < x.dims; ++i) {
    if (x.d[i].n != y.d[i].n || x.d[i].stride != y.d[i].stride) return false;
  }
  return true;
}

View DenseView(uint8_t* base, isa::DType dtype, int64_t partitions, int64_t free) {
  View v;
  v.base = base;
  v.dtype = dtype;
  v.bytes = isa::DTypeBytes(dtype);
  v.partitions = partitions;
  v.pitch = free * v.bytes;
  v.size[isa::kFreeDims - 1] = free;
  v.stride[isa::kFreeDims - 1] = v.bytes;
  return v;
}

Walk WalkOf(const View& v) {
  Walk w;
  w.d[w.dims++] = {v.partitions, v.pitch};
  for (int i = 0; i < isa::kFreeDims; ++i) w.d[w.dims++] = {v.size[i], v.stride[i]};
  w.elements = v.elements();
  Collapse(w);
  return w;
}

Walk WalkOfScalar(const View& scalar, int64_t free) {
  Walk w;
  w.d[w.dims++] = {scalar.partitions, scalar.pitch};
  w.d[w.dims++] = {free, 0};
  w.elements = scalar.partitions * free;
  Collapse(w);
  return w;
}

std::vector<JointDimension> Align(const std::vector<Walk>& walks) {
  const int count = static_cast<int>(walks.size());
  // From the innermost dimension outwards, take the largest step that all walks can make.
  int at[kMaxTogether];
  int64_t left[kMaxTogether];
  ptrdiff_t stride[kMaxTogether];
  for (int w = 0; w < count; ++w) {
    if (walks[w].elements != walks[0].elements) return {};
    at[w] = walks[w].dims - 1;
    left[w] = walks[w].d[at[w]].n;
    stride[w] = walks[w].d[at[w]].stride;
  }
  std::vector<JointDimension> inner_first;
  for (int64_t rest = walks[0].elements; rest > 1;) {
    int64_t step = left[0];
    for (int w = 1; w < count; ++w) step = std::min(step, left[w]);
    JointDimension d = {step, {}};
    for (int w = 0; w < count; ++w) {
      if (left[w] % step != 0) return {};
      d.stride[w] = stride[w];
      left[w] /= step;
      stride[w] *= step;
      if (left[w] == 1 && at[w] > 0) {
        --at[w];
        left[w] = walks[w].d[at[w]].n;
        stride[w] = walks[w].d[at[w]].stride;
      }
    }
    rest /= step;
    bool merged = !inner_first.empty();
    for (int w = 0; merged && w < count; ++w) {
      const JointDimension& inner = inner_first.back();
      merged = d.stride[w] == inner.stride[w] * inner.n;
    }
    if (merged) {
      inner_first.back().n *= step;
    } else {
      inner_first.push_back(d);
    }
  }
  if (inner_first.empty()) inner_first.push_back({1, {}});
  std::reverse(inner_first.begin(), inner_first.end());
  return inner_first;
}

}  // namespace glia::device::fast
