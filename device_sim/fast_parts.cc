#include "device_sim/fast_parts.h"

#include <algorithm>

namespace glia::device::fast {
namespace {

using kernels::GatherPart;

constexpr int64_t kLanes = kernels::kGatherLanes;

std::vector<JointDimension> Together(View pattern, View source) {
  pattern.partitions = source.partitions = 1;
  return Align({WalkOf(pattern), WalkOf(source)});
}

}  // namespace

int64_t ReachOf(const View& v) {
  int64_t reach = v.bytes;
  for (int d = 0; d < isa::kFreeDims; ++d) reach += (v.size[d] - 1) * v.stride[d];
  return reach;
}

bool Parts::Possible(const View& pattern, const View& source) {
  int64_t reach = pattern.bytes;
  for (int d = isa::kFreeDims - 1; d >= 0; --d) {
    if (pattern.size[d] == 1) continue;
    if (pattern.stride[d] < reach || pattern.stride[d] % 4 != 0) return false;
    reach += (pattern.size[d] - 1) * pattern.stride[d];
  }
  return !Together(pattern, source).empty();
}

Parts::Parts(const View& pattern, int64_t first, const View& source, int64_t row) {
  const std::vector<JointDimension> dims = Together(pattern, source);
  const JointDimension& inner = dims.back();
  std::vector<std::vector<GatherPart>> of((row + kLanes - 1) / kLanes);
  const auto add = [&](int64_t element, int64_t count, ptrdiff_t offset, ptrdiff_t stride) {
    while (count > 0) {
      const int64_t lane = element % kLanes, n = std::min(count, kLanes - lane);
      // One element has any stride: that of adjacent ones is the quickest.
      const ptrdiff_t step = n == 1 ? source.bytes : stride;
      GatherPart p;
      p.offset = offset - lane * step;
      p.stride = static_cast<int32_t>(step);
      p.first = static_cast<uint8_t>(lane);
      p.last = static_cast<uint8_t>(lane + n);
      of[element / kLanes].push_back(p);
      element += n;
      offset += n * stride;
      count -= n;
    }
  };
  std::vector<int64_t> index(dims.size(), 0);
  for (;;) {
    ptrdiff_t to = 4 * first, from = 0;
    for (size_t d = 0; d + 1 < dims.size(); ++d) {
      to += index[d] * dims[d].stride[0];
      from += index[d] * dims[d].stride[1];
    }
    if (inner.stride[0] == 4 || inner.n == 1) {
      add(to / 4, inner.n, from, inner.stride[1]);
    } else {
      for (int64_t i = 0; i < inner.n; ++i) {
        add((to + i * inner.stride[0]) / 4, 1, from + i * inner.stride[1], inner.stride[1]);
      }
    }
    int d = static_cast<int>(dims.size()) - 2;
    for (; d >= 0; --d) {
      if (++index[d] < dims[d].n) break;
      index[d] = 0;
    }
    if (d < 0) break;
  }
  for (const std::vector<GatherPart>& parts : of) {
    first_.push_back(static_cast<int32_t>(parts_.size()));
    parts_.insert(parts_.end(), parts.begin(), parts.end());
  }
  first_.push_back(static_cast<int32_t>(parts_.size()));
}

}  // namespace glia::device::fast
