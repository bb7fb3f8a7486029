#include "frontend/capture/view.h"

#include <algorithm>
#include <numeric>
#include <optional>
#include <unordered_map>

namespace glia::capture {
namespace {

using Ints = std::vector<int64_t>;

int64_t Product(const Ints& v) {
  return std::accumulate(v.begin(), v.end(), int64_t{1}, std::multiplies<int64_t>());
}

Ints Iota(size_t n) {
  Ints v(n);
  std::iota(v.begin(), v.end(), 0);
  return v;
}

Ints Inverse(const Ints& permutation) {
  Ints v(permutation.size());
  for (size_t i = 0; i < v.size(); ++i) v[permutation[i]] = static_cast<int64_t>(i);
  return v;
}

Ints Permute(const Ints& sizes, const Ints& permutation) {
  Ints v;
  for (int64_t p : permutation) v.push_back(sizes[p]);
  return v;
}

// Appends steps to a list while it follows the shape, leaving out those that change nothing.
class StepList {
 public:
  explicit StepList(Ints shape) : shape_(std::move(shape)) {}

  void Reshape(const Ints& sizes) {
    if (sizes == shape_) return;
    if (!steps_.empty() && steps_.back().kind == ViewStepKind::kReshape) {
      steps_.pop_back();
      shape_ = steps_.empty() ? first_ : steps_.back().sizes;
      if (sizes == shape_) return;
    }
    Append(ViewStepKind::kReshape, sizes);
  }
  void Transpose(const Ints& permutation) {
    if (permutation == Iota(permutation.size())) return;
    // Moving dimensions of size 1 about is only a reshape.
    Ints moved;
    for (int64_t p : permutation) {
      if (shape_[p] != 1) moved.push_back(p);
    }
    if (std::is_sorted(moved.begin(), moved.end())) return Reshape(Permute(shape_, permutation));
    Append(ViewStepKind::kTranspose, Permute(shape_, permutation)).permutation = permutation;
  }
  void Slice(const Ints& starts, const Ints& counts, const Ints& steps) {
    if (counts == shape_) return;
    Ints limits;
    for (size_t i = 0; i < starts.size(); ++i) {
      limits.push_back(starts[i] + (counts[i] - 1) * steps[i] + 1);
    }
    ViewStep& s = Append(ViewStepKind::kSlice, counts);
    s.starts = starts;
    s.limits = limits;
    s.steps = steps;
  }
  void Broadcast(const Ints& sizes, const Ints& dimensions) {
    if (sizes == shape_) return;
    Append(ViewStepKind::kBroadcast, sizes).dimensions = dimensions;
  }
  void Bitcast(int64_t count) { Append(ViewStepKind::kBitcast, {count}); }
  void Gather(const Ints& sizes, Ints indices) {
    Append(ViewStepKind::kGather, sizes).indices = std::move(indices);
  }
  const Ints& shape() const { return shape_; }
  std::vector<ViewStep> Take() { return std::move(steps_); }

 private:
  ViewStep& Append(ViewStepKind kind, const Ints& sizes) {
    if (steps_.empty()) first_ = shape_;
    steps_.push_back({});
    steps_.back().kind = kind;
    steps_.back().sizes = sizes;
    shape_ = sizes;
    return steps_.back();
  }
  Ints shape_, first_;
  std::vector<ViewStep> steps_;
};

// Dimension numbers by descending stride; equal strides (of dimensions of size 1) in order.
Ints MemoryOrder(const Ints& sizes, const Ints& strides) {
  Ints order = Iota(sizes.size());
  std::stable_sort(order.begin(), order.end(), [&](int64_t a, int64_t b) {
    // Dimensions of size 1 have arbitrary strides: leave them where they cost nothing, in front.
    const int64_t sa = sizes[a] == 1 ? INT64_MAX : strides[a];
    const int64_t sb = sizes[b] == 1 ? INT64_MAX : strides[b];
    return sa > sb;
  });
  return order;
}

// A dimension of the region that really moves through memory.
struct CoreDim {
  int64_t size, stride;
  int64_t region_dim;
};

// The region as a box of an array `shape`, which lies over the memory (after `to_shape`).
struct Box {
  Ints shape, starts, counts, steps;
  Ints core_dim;           // for each CoreDim, its dimension in `shape`
  bool flattened = false;  // the array is the memory-ordered base, reshaped; else the base itself
};

// Each core dimension walks along one dimension of the base, the other dimensions stand still.
std::optional<Box> DirectBox(const Ints& sizes, const Ints& strides,
                             const std::vector<CoreDim>& core, int64_t offset) {
  Box box;
  box.shape = sizes;
  box.starts.assign(sizes.size(), 0);
  box.counts.assign(sizes.size(), 1);
  box.steps.assign(sizes.size(), 1);
  for (int64_t d : MemoryOrder(sizes, strides)) {
    if (sizes[d] == 1) continue;
    box.starts[d] = offset / strides[d];
    offset %= strides[d];
    if (box.starts[d] >= sizes[d]) return std::nullopt;
  }
  if (offset != 0) return std::nullopt;
  std::vector<bool> used(sizes.size(), false);
  for (const CoreDim& c : core) {
    int64_t best = -1;
    for (size_t d = 0; d < sizes.size(); ++d) {
      if (sizes[d] == 1 || used[d] || c.stride % strides[d] != 0) continue;
      if (best < 0 || strides[d] > strides[best]) best = static_cast<int64_t>(d);
    }
    if (best < 0) return std::nullopt;
    const int64_t step = c.stride / strides[best];
    if (box.starts[best] + (c.size - 1) * step >= sizes[best]) return std::nullopt;
    used[best] = true;
    box.counts[best] = c.size;
    box.steps[best] = step;
    box.core_dim.push_back(best);
  }
  return box;
}

// Reads the flat memory [total] as a mixed-radix number in whose digits the core dimensions (sorted
// by descending stride) each walk along one digit. Tries for each the units (digit weights) in
// `units` that divide its stride, the largest first.
class RadixSearch {
 public:
  RadixSearch(int64_t total, int64_t offset, const std::vector<CoreDim>& core, const Ints& units)
      : total_(total), offset_(offset), core_(core), units_(units) {}

  std::optional<Box> Run() {
    if (!Search(0, total_)) return std::nullopt;
    Box box;
    box.flattened = true;
    int64_t weight = total_, rest = offset_;
    auto digit = [&](int64_t unit, int64_t count, int64_t step) {
      box.shape.push_back(weight / unit);
      box.starts.push_back(rest / unit);
      box.counts.push_back(count);
      box.steps.push_back(step);
      rest %= unit;
      weight = unit;
    };
    for (size_t i = 0; i < core_.size(); ++i) {
      box.core_dim.push_back(static_cast<int64_t>(box.shape.size()));
      digit(chosen_[i], core_[i].size, core_[i].stride / chosen_[i]);
    }
    if (weight > 1) digit(1, 1, 1);
    return box;
  }

 private:
  bool Search(size_t i, int64_t weight) {
    if (i == core_.size()) return true;
    const CoreDim& c = core_[i];
    for (int64_t unit : units_) {
      if (unit > c.stride || c.stride % unit != 0 || weight % unit != 0 || unit >= weight) continue;
      const int64_t start = offset_ % weight / unit;
      if (start + (c.size - 1) * (c.stride / unit) >= weight / unit) continue;
      chosen_.resize(i);
      chosen_.push_back(unit);
      if (Search(i + 1, unit)) return true;
    }
    return false;
  }

  const int64_t total_, offset_;
  const std::vector<CoreDim>& core_;
  const Ints& units_;
  Ints chosen_;
};

// The base as the steps below see it: of the region's item size.
struct Prepared {
  Ints sizes, strides;
  Ints order;  // memory order of the original base
  bool bitcast = false;
};

Prepared Prepare(const Geometry& base, const Geometry& region, StepList& steps) {
  Prepared p{base.sizes, base.strides, MemoryOrder(base.sizes, base.strides)};
  if (base.itemsize != region.itemsize) {
    const int64_t count = Product(base.sizes) * base.itemsize / region.itemsize;
    steps.Transpose(p.order);
    steps.Reshape({Product(base.sizes)});
    steps.Bitcast(count);
    p.sizes = {count};
    p.strides = {1};
    p.bitcast = true;
  }
  return p;
}

std::vector<CoreDim> CoreDims(const Geometry& region) {
  std::vector<CoreDim> core;
  for (size_t d = 0; d < region.sizes.size(); ++d) {
    if (region.sizes[d] != 1 && region.strides[d] != 0) {
      core.push_back({region.sizes[d], region.strides[d], static_cast<int64_t>(d)});
    }
  }
  std::stable_sort(core.begin(), core.end(),
                   [](const CoreDim& a, const CoreDim& b) { return a.stride > b.stride; });
  return core;
}

std::optional<Box> FindBox(const Prepared& base, const std::vector<CoreDim>& core, int64_t offset) {
  if (auto box = DirectBox(base.sizes, base.strides, core, offset)) return box;
  Ints units = {1};
  for (const CoreDim& c : core) units.push_back(c.stride);
  for (size_t d = 0; d < base.sizes.size(); ++d) {
    if (base.sizes[d] != 1) units.push_back(base.strides[d]);
  }
  std::sort(units.begin(), units.end(), std::greater<int64_t>());
  units.erase(std::unique(units.begin(), units.end()), units.end());
  return RadixSearch(Product(base.sizes), offset, core, units).Run();
}

// Brings the array from the prepared base to the box's array.
void ToBox(const Prepared& base, const Box& box, StepList& steps) {
  if (box.flattened && !base.bitcast) steps.Transpose(base.order);
  steps.Reshape(box.shape);
}

bool SameGeometry(const Geometry& a, const Geometry& b) {
  if (a.sizes != b.sizes || a.itemsize != b.itemsize || a.offset != b.offset) return false;
  for (size_t d = 0; d < a.sizes.size(); ++d) {
    if (a.sizes[d] != 1 && a.strides[d] != b.strides[d]) return false;
  }
  return true;
}

// Positions in memory of the region's elements, row-major.
Ints Positions(const Geometry& region) {
  Ints positions = {region.offset};
  for (size_t d = 0; d < region.sizes.size(); ++d) {
    Ints next;
    next.reserve(positions.size() * region.sizes[d]);
    for (int64_t p : positions) {
      for (int64_t i = 0; i < region.sizes[d]; ++i) next.push_back(p + i * region.strides[d]);
    }
    positions = std::move(next);
  }
  return positions;
}

// The sizes of the core dimensions, in region order, and where they stand there.
void CoreInRegionOrder(const std::vector<CoreDim>& core, Ints* sizes, Ints* dims,
                       Ints* permutation) {
  *permutation = Iota(core.size());
  std::sort(permutation->begin(), permutation->end(),
            [&](int64_t a, int64_t b) { return core[a].region_dim < core[b].region_dim; });
  for (int64_t i : *permutation) {
    sizes->push_back(core[i].size);
    dims->push_back(core[i].region_dim);
  }
}

// Box dimensions that hold a core dimension, in box order, as indices into core_dim.
Ints CoreInBoxOrder(const Box& box) {
  Ints order = Iota(box.core_dim.size());
  std::sort(order.begin(), order.end(),
            [&](int64_t a, int64_t b) { return box.core_dim[a] < box.core_dim[b]; });
  return order;
}

}  // namespace

std::vector<ViewStep> ClassifyView(const Geometry& base, const Geometry& region) {
  if (SameGeometry(base, region)) return {};
  StepList steps(base.sizes);
  const Prepared prepared = Prepare(base, region, steps);
  const std::vector<CoreDim> core = CoreDims(region);
  const std::optional<Box> box = FindBox(prepared, core, region.offset);
  if (!box) {
    if (!prepared.bitcast) steps.Transpose(prepared.order);
    steps.Reshape({Product(prepared.sizes)});
    steps.Gather(region.sizes, Positions(region));
    return steps.Take();
  }
  ToBox(prepared, *box, steps);
  steps.Slice(box->starts, box->counts, box->steps);
  Ints sizes, dims, region_order;
  CoreInRegionOrder(core, &sizes, &dims, &region_order);
  const Ints box_order = CoreInBoxOrder(*box);
  Ints box_sizes;
  for (int64_t i : box_order) box_sizes.push_back(core[i].size);
  steps.Reshape(box_sizes);
  const Ints place = Inverse(box_order);
  Ints permutation;
  for (int64_t i : region_order) permutation.push_back(place[i]);
  steps.Transpose(permutation);
  if (Product(region.sizes) == Product(sizes)) {
    steps.Reshape(region.sizes);  // only dimensions of size 1 are missing
  } else {
    steps.Broadcast(region.sizes, dims);
  }
  return steps.Take();
}

UpdatePlan ClassifyUpdate(const Geometry& base, const Geometry& region) {
  UpdatePlan plan;
  if (SameGeometry(base, region)) {
    plan.whole = true;
    return plan;
  }
  StepList base_steps(base.sizes), contents(region.sizes);
  const Prepared prepared = Prepare(base, region, base_steps);
  const std::vector<CoreDim> core = CoreDims(region);
  const std::optional<Box> box = FindBox(prepared, core, region.offset);
  Ints result_shape;
  if (box) {
    ToBox(prepared, *box, base_steps);
    // The last copy of expanded dimensions, …
    Ints starts, counts, ones(region.sizes.size(), 1);
    for (size_t d = 0; d < region.sizes.size(); ++d) {
      const bool expanded = region.strides[d] == 0;
      starts.push_back(expanded ? region.sizes[d] - 1 : 0);
      counts.push_back(expanded ? 1 : region.sizes[d]);
    }
    contents.Slice(starts, counts, ones);
    // … its dimensions in the order of the box.
    Ints sizes, dims, region_order;
    CoreInRegionOrder(core, &sizes, &dims, &region_order);
    contents.Reshape(sizes);
    const Ints place = Inverse(region_order);
    Ints permutation;
    for (int64_t i : CoreInBoxOrder(*box)) permutation.push_back(place[i]);
    contents.Transpose(permutation);
    contents.Reshape(box->counts);
    plan.whole = box->counts == box->shape;
    plan.starts = box->starts;
    plan.steps = box->steps;
    result_shape = box->shape;
  } else {
    if (!prepared.bitcast) base_steps.Transpose(prepared.order);
    base_steps.Reshape({Product(prepared.sizes)});
    const Ints positions = Positions(region);
    std::unordered_map<int64_t, int64_t> last;
    for (size_t i = 0; i < positions.size(); ++i) last[positions[i]] = static_cast<int64_t>(i);
    contents.Reshape({static_cast<int64_t>(positions.size())});
    Ints winners;
    for (size_t i = 0; i < positions.size(); ++i) {
      if (last[positions[i]] != static_cast<int64_t>(i)) continue;
      winners.push_back(static_cast<int64_t>(i));
      plan.indices.push_back(positions[i]);
    }
    if (winners.size() != positions.size()) {
      const int64_t count = static_cast<int64_t>(winners.size());
      contents.Gather({count}, std::move(winners));
    }
    result_shape = {Product(prepared.sizes)};
  }
  StepList result(result_shape);
  if (prepared.bitcast) {
    result.Reshape({Product(prepared.sizes)});
    result.Bitcast(Product(base.sizes));
  }
  if (prepared.bitcast || !box || box->flattened) {
    result.Reshape(Permute(base.sizes, prepared.order));
    result.Transpose(Inverse(prepared.order));
  }
  plan.base_steps = base_steps.Take();
  plan.contents_steps = contents.Take();
  plan.result_steps = result.Take();
  return plan;
}

std::string ToString(const std::vector<ViewStep>& steps) {
  static const char* const kNames[] = {"bitcast", "reshape",   "transpose",
                                       "slice",   "broadcast", "gather"};
  auto list = [](const Ints& v) {
    std::string s = "[";
    for (size_t i = 0; i < v.size(); ++i) s += (i ? "," : "") + std::to_string(v[i]);
    return s + "]";
  };
  std::string result;
  for (const ViewStep& s : steps) {
    if (!result.empty()) result += " ";
    result += kNames[static_cast<int>(s.kind)] + list(s.sizes);
    if (!s.permutation.empty()) result += " by" + list(s.permutation);
    if (s.kind == ViewStepKind::kSlice) {
      result += " from" + list(s.starts) + " to" + list(s.limits) + " step" + list(s.steps);
    }
    if (s.kind == ViewStepKind::kBroadcast) result += " dims" + list(s.dimensions);
  }
  return result.empty() ? "identity" : result;
}

}  // namespace glia::capture
