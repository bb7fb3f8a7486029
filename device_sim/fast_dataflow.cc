#include "device_sim/fast_dataflow.h"

#include <algorithm>

namespace glia::device::fast {
namespace {

// Patterns of more runs count as their bounds.
constexpr int64_t kMaxRuns = 128;

int Shift(int32_t space) { return space == kScratchSpace ? 16 : 10; }

// The boxes that together are exactly what the footprint touches; false if there are too many.
bool BoxesOf(const Footprint& f, std::vector<Box>& boxes) {
  boxes.clear();
  const Box bounds = BoundsOf(f);
  if (f.box) {
    boxes.push_back(bounds);
    return true;
  }
  const bool hbm = f.space > kPsumSpace;
  const int64_t span = hbm ? 0 : PartitionSpan(f.space);
  int64_t runs = 1, reach = f.run;
  int inner = 0;  // first dimension within a partition
  for (int d = 0; d < f.dims; ++d) {
    if (!hbm && f.stride[d] >= span) {
      if (d > 0 || f.stride[d] != span) return false;
      inner = 1;
      continue;
    }
    reach += (f.size[d] - 1) * f.stride[d];
    if ((runs *= f.size[d]) > kMaxRuns) return false;
  }
  if (bounds.high - bounds.low != reach) return false;  // crosses partitions
  int64_t index[Footprint::kMaxDims] = {};
  for (int64_t r = 0; r < runs; ++r) {
    int64_t at = bounds.low;
    for (int d = inner; d < f.dims; ++d) at += index[d] * f.stride[d];
    boxes.push_back({bounds.first, bounds.last, at, at + f.run});
    for (int d = f.dims - 1; d >= inner; --d) {
      if (++index[d] < f.size[d]) break;
      index[d] = 0;
    }
  }
  return true;
}

// `rest` without `cut`.
void Subtract(const Box& cut, std::vector<Box>& rest) {
  std::vector<Box> left;
  for (const Box& b : rest) {
    if (!b.Meets(cut)) {
      left.push_back(b);
      continue;
    }
    if (b.first < cut.first) left.push_back({b.first, cut.first, b.low, b.high});
    if (cut.last < b.last) left.push_back({cut.last, b.last, b.low, b.high});
    const int32_t first = std::max(b.first, cut.first), last = std::min(b.last, cut.last);
    if (b.low < cut.low) left.push_back({first, last, b.low, cut.low});
    if (cut.high < b.high) left.push_back({first, last, cut.high, b.high});
  }
  rest = std::move(left);
}

}  // namespace

std::vector<uint32_t> Dataflow::Meeting(int32_t space, const Box& box) const {
  std::vector<uint32_t> found;
  const int shift = Shift(space);
  for (int64_t c = box.low >> shift; c <= (box.high - 1) >> shift; ++c) {
    const auto it = chunks_.find({space, c});
    if (it == chunks_.end()) continue;
    std::vector<uint32_t>& ids = it->second;
    ids.erase(std::remove_if(ids.begin(), ids.end(), [&](uint32_t r) { return records_[r].gone; }),
              ids.end());
    for (const uint32_t r : ids) {
      if (records_[r].box.Meets(box)) found.push_back(r);
    }
  }
  std::sort(found.begin(), found.end(), [](uint32_t a, uint32_t b) { return a > b; });
  found.erase(std::unique(found.begin(), found.end()), found.end());
  return found;
}

Dataflow::Origin Dataflow::Read(const Footprint& f) const {
  Origin origin;
  if (f.space >= kFirstVariableSpace) {
    origin.constant = constants_[f.space - kFirstVariableSpace] != nullptr;
    return origin;
  }
  std::vector<Box> rest;
  const bool exact = BoxesOf(f, rest);
  if (!exact) rest.assign(1, BoundsOf(f));
  bool constant = true;
  for (const uint32_t id : Meeting(f.space, BoundsOf(f))) {  // newest first
    const Record& r = records_[id];
    if (std::none_of(rest.begin(), rest.end(), [&](const Box& b) { return b.Meets(r.box); }))
      continue;
    origin.nodes.push_back(r.node);
    constant = constant && r.constant && r.dense;
    if (r.dense) Subtract(r.box, rest);
  }
  origin.constant = constant && rest.empty();
  std::sort(origin.nodes.begin(), origin.nodes.end());
  origin.nodes.erase(std::unique(origin.nodes.begin(), origin.nodes.end()), origin.nodes.end());
  return origin;
}

void Dataflow::WriteBox(int32_t space, const Box& box, bool dense, uint32_t node, bool constant) {
  if (dense) {
    for (const uint32_t id : Meeting(space, box)) {
      if (box.Holds(records_[id].box)) records_[id].gone = true;
    }
  }
  const auto id = static_cast<uint32_t>(records_.size());
  records_.push_back({box, node, constant, dense, false});
  const int shift = Shift(space);
  for (int64_t c = box.low >> shift; c <= (box.high - 1) >> shift; ++c)
    chunks_[{space, c}].push_back(id);
}

void Dataflow::Write(const Footprint& f, uint32_t node, bool constant) {
  if (f.space >= kFirstVariableSpace) return;
  std::vector<Box> boxes;
  if (!BoxesOf(f, boxes)) return WriteBox(f.space, BoundsOf(f), false, node, constant);
  for (const Box& b : boxes) WriteBox(f.space, b, true, node, constant);
}

std::vector<uint32_t> Dataflow::Remaining() const {
  std::vector<uint32_t> nodes;
  for (const Record& r : records_) {
    if (!r.gone) nodes.push_back(r.node);
  }
  return nodes;
}

}  // namespace glia::device::fast
