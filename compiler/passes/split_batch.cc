#include "compiler/passes/split_batch.h"

#include <algorithm>
#include <limits>
#include <map>
#include <tuple>
#include <utility>
#include <vector>

#include "absl/container/flat_hash_map.h"
#include "absl/container/flat_hash_set.h"
#include "absl/strings/str_cat.h"
#include "compiler/passes/rewrite.h"
#include "serialization/isa/cost.h"

namespace glia::compiler {
namespace {

using hlo::Instruction;
using hlo::Opcode;
using hlo::Shape;

// Bytes a partition left to weights on their way and to what an instruction needs for a moment.
constexpr int64_t kReservedBytes = 48 * 1024;
// What a group waits at a convolution for the last sums of the one before, if they are all of one
// tile; with more tiles the first are done by then. Ours.
constexpr double kLatencyUs = 0.6;
// What goes through HBM is late as well as slow: times the cost of the transfers. Ours.
constexpr double kSpillFactor = 4;
// Places where stretches may begin; more are thinned out.
constexpr size_t kMaxCuts = 64;

int64_t CeilDiv(int64_t a, int64_t b) { return (a + b - 1) / b; }

bool IsConstant(const Instruction* hlo) {
  while (hlo->opcode() == Opcode::kReshape || hlo->opcode() == Opcode::kTranspose ||
         hlo->opcode() == Opcode::kReverse || hlo->opcode() == Opcode::kConvert) {
    hlo = hlo->operand(0);
  }
  return hlo->opcode() == Opcode::kConstant;
}

// The dim of each value that counts the images.
using BatchDims = absl::flat_hash_map<const Instruction*, int64_t>;

// The dim of operand `i` that counts the images, -1 if all of it goes to each group. `dim`: of the
// result.
int64_t OperandDim(const Instruction& hlo, int64_t i, int64_t dim) {
  const Shape& shape = hlo.operand(i)->shape;
  switch (hlo.opcode()) {
    case Opcode::kConvolution:
      return i == 0 ? hlo.conv_dims.input_batch : -1;
    case Opcode::kReduceWindow:
    case Opcode::kPad:
    case Opcode::kSlice:
      return i == 0 ? dim : -1;
    case Opcode::kReduce: {
      if (i != 0) return -1;
      std::vector<bool> reduced(static_cast<size_t>(shape.rank()), false);
      for (int64_t d : hlo.dimensions) reduced[static_cast<size_t>(d)] = true;
      for (int64_t d = 0, kept = 0; d < shape.rank(); ++d) {
        if (!reduced[static_cast<size_t>(d)] && kept++ == dim) return d;
      }
      return -1;
    }
    case Opcode::kTranspose:
      return hlo.dimensions[static_cast<size_t>(dim)];
    case Opcode::kBroadcast: {
      const auto at = std::find(hlo.dimensions.begin(), hlo.dimensions.end(), dim);
      return at == hlo.dimensions.end() ? -1 : at - hlo.dimensions.begin();
    }
    default:
      return shape.rank() == 0 ? -1 : dim;
  }
}

// The dim of the result that counts the images, if it can be computed by groups of them; else -1.
int64_t ResultDim(const Instruction& hlo, const BatchDims& dims) {
  if (!hlo.shape.IsArray()) return -1;
  int64_t first = -1;  // operand that has a batch
  for (int64_t i = hlo.operand_count(); i-- > 0;) {
    if (dims.contains(hlo.operand(i))) first = i;
  }
  const auto none_on = [](const hlo::PaddingDim& p) {
    return p.low == 0 && p.high == 0 && p.interior == 0;
  };
  if (hlo.opcode() == Opcode::kConvolution) {
    if (hlo.batch_group_count != 1 || !IsConstant(hlo.operand(1))) return -1;
    if (first > 0 || (first == 0 && dims.at(hlo.operand(0)) != hlo.conv_dims.input_batch))
      return -1;
    return hlo.conv_dims.output_batch;
  }
  if (first < 0) return -1;
  const int64_t d = dims.at(hlo.operand(first));
  const Shape& in = hlo.operand(first)->shape;
  const auto at = static_cast<size_t>(d);
  switch (hlo.opcode()) {
    case Opcode::kReduceWindow: {
      if (hlo.operand_count() != 2 || first != 0) return -1;
      const hlo::WindowDim& w = hlo.window[at];
      const bool none =
          w.size == 1 && w.stride == 1 && w.pad_low == 0 && w.pad_high == 0 && w.base_dilation == 1;
      return none ? d : -1;
    }
    case Opcode::kReduce: {
      if (hlo.operand_count() != 2 || first != 0) return -1;
      int64_t result = d;
      for (int64_t r : hlo.dimensions) {
        if (r == d) return -1;
        if (r < d) --result;
      }
      return result;
    }
    case Opcode::kPad:
      return first == 0 && none_on(hlo.padding[at]) ? d : -1;
    case Opcode::kSlice:
      return hlo.shape.dim(d) == in.dim(d) ? d : -1;
    case Opcode::kTranspose:
      return std::find(hlo.dimensions.begin(), hlo.dimensions.end(), d) - hlo.dimensions.begin();
    case Opcode::kBroadcast:
      return hlo.dimensions[at];
    case Opcode::kReshape:
      return d == 0 && hlo.shape.rank() > 0 && hlo.shape.dim(0) == in.dim(0) ? 0 : -1;
    case Opcode::kConcatenate:
      if (hlo.dimensions[0] == d) return -1;
      break;
    default:
      if (!hlo::IsElementwise(hlo.opcode()) || !hlo::SameDims(hlo.shape, in)) return -1;
  }
  for (const Instruction* operand : hlo.operands()) {
    const auto other = dims.find(operand);
    if (other != dims.end() && other->second != d) return -1;
    if (operand->shape.rank() != 0 && operand->shape.dim(d) != hlo.shape.dim(d)) return -1;
  }
  return d;
}

// Of values that images have: bytes a partition of one image while they are in SBUF.
int64_t ImageBytes(const Instruction& hlo, int64_t dim, const SplitBatchOptions& options) {
  int64_t bytes = hlo::ByteSize(hlo.shape.type);
  if (options.rounds && hlo.shape.type == hlo::kF32) {
    bool some = false, all = true;
    for (const hlo::Use& use : hlo.uses()) {
      const Opcode opcode = use.user->opcode();
      const bool rounded = opcode == Opcode::kConvolution || opcode == Opcode::kReduceWindow;
      some = some || rounded;
      all = all && rounded;
    }
    bytes = all ? 2 : some ? 6 : 4;
  }
  // The channels, on the partitions, are the outermost of the other dims, or the last in
  // convolutions of that order.
  int64_t channel = dim == 0 ? 1 : 0;
  if (hlo.opcode() == Opcode::kConvolution) channel = hlo.conv_dims.output_feature;
  int64_t free = 1;
  for (int64_t d = 0; d < hlo.shape.rank(); ++d) {
    if (d == channel) {
      free *= CeilDiv(hlo.shape.dim(d), isa::kPartitions);
    } else if (d != dim) {
      free *= hlo.shape.dim(d);
    }
  }
  return free * bytes;
}

// A value in the order of computation.
struct Step {
  int64_t bytes = 0;    // of one image
  size_t last = 0;      // step that reads it last; beyond the end if others do
  int64_t passes = 0;   // of a convolution: matmuls for each 512 columns
  int64_t columns = 0;  // of one image
  double weights_us = 0;
};

// A stretch of steps, [begin, end), for `group` images at a time.
struct Stretch {
  size_t begin = 0, end = 0;
  int64_t group = 1;
};

class Planner {
 public:
  Planner(std::vector<Step> steps, const SplitBatchOptions& options)
      : steps_(std::move(steps)), options_(options) {
    live_.resize(steps_.size() + 1, 0);
    std::vector<int64_t> ends(steps_.size() + 1, 0);
    int64_t now = 0;
    for (size_t i = 0; i < steps_.size(); ++i) {
      live_[i] = now;
      now += steps_[i].bytes;
      ends[std::min(steps_[i].last, steps_.size())] += steps_[i].bytes;
      now -= ends[i];
    }
    // Before a convolution; of neighbouring ones where the fewest bytes cross.
    std::vector<size_t> starts;
    for (size_t i = 1; i < steps_.size(); ++i) {
      if (steps_[i].passes > 0) starts.push_back(i);
    }
    const size_t each = std::max<size_t>(1, (starts.size() + kMaxCuts - 1) / kMaxCuts);
    cuts_ = {0};
    for (size_t i = 0; i < starts.size(); i += each) {
      const auto end = starts.begin() + static_cast<int64_t>(std::min(starts.size(), i + each));
      cuts_.push_back(*std::min_element(starts.begin() + static_cast<int64_t>(i), end,
                                        [&](size_t a, size_t b) { return live_[a] < live_[b]; }));
    }
    cuts_.push_back(steps_.size());
  }

  // The cheapest way to compute `images` of them; its time in microseconds.
  double Plan(int64_t images, std::vector<Stretch>* plan) const {
    std::vector<int64_t> groups;
    for (int64_t g = 1; g < images; g *= 2) groups.push_back(g);
    groups.push_back(images);
    struct Best {
      double us = std::numeric_limits<double>::infinity();
      size_t from = 0;
      int64_t group = 1;
    };
    std::vector<Best> best(cuts_.size());
    best[0].us = 0;
    for (size_t a = 0; a + 1 < cuts_.size(); ++a) {
      // What lies between cut a and the step at hand.
      std::vector<double> pe(groups.size(), 0);
      double weights = 0;
      int64_t now = 0, peak = 0;
      std::vector<int64_t> ends(steps_.size() + 1, 0);
      size_t step = cuts_[a];
      for (size_t b = a + 1; b < cuts_.size(); ++b) {
        for (; step < cuts_[b]; ++step) {
          const Step& s = steps_[step];
          now += s.bytes;
          peak = std::max(peak, now);
          ends[std::min(s.last, steps_.size())] += s.bytes;
          now -= ends[step];
          weights += s.weights_us;
          if (s.passes == 0) continue;
          for (size_t g = 0; g < groups.size(); ++g) {
            const int64_t columns = std::max(groups[g] * s.columns, isa::cost::kPeMinCycles);
            pe[g] +=
                static_cast<double>(isa::CyclesToPs(isa::Engine::kPe, s.passes * columns)) / 1e6 +
                (columns > isa::kMaxMatmulMoving ? kLatencyUs / 4 : kLatencyUs);
          }
        }
        for (size_t g = 0; g < groups.size(); ++g) {
          const double rounds = static_cast<double>(CeilDiv(images, groups[g]));
          // While the first and while the last group is computed.
          const int64_t in = live_[cuts_[a]];
          const int64_t needed =
              groups[g] * peak + std::max(images * in, groups[g] * in + (images - groups[g]) * now);
          const double excess = static_cast<double>(std::max<int64_t>(
              0, needed - std::max<int64_t>(0, options_.sbuf_partition_bytes - kReservedBytes)));
          // What does not fit goes to HBM and comes back.
          const double spilled = kSpillFactor * 2 * excess * isa::kPartitions /
                                 static_cast<double>(isa::cost::kHbmBytesPerNs) / 1e3;
          const double us = best[a].us + spilled + rounds * std::max(pe[g], weights);
          if (us <= best[b].us) best[b] = {us, a, groups[g]};
        }
      }
    }
    plan->clear();
    for (size_t b = cuts_.size() - 1; b > 0; b = best[b].from) {
      plan->push_back({cuts_[best[b].from], cuts_[b], best[b].group});
    }
    std::reverse(plan->begin(), plan->end());
    return best.back().us;
  }

 private:
  const std::vector<Step> steps_;
  const SplitBatchOptions& options_;
  std::vector<int64_t> live_;  // bytes of one image that cross the start of a step
  std::vector<size_t> cuts_;
};

class BatchSplitter {
 public:
  BatchSplitter(hlo::Computation* computation, const SplitBatchOptions& options)
      : computation_(*computation), options_(options) {}

  bool Run() {
    FindRegions();
    bool changed = false;
    for (const auto& [level, members] : regions_) changed = SplitRegion(members) || changed;
    if (changed) computation_.RemoveDead();
    return changed;
  }

 private:
  // Values with a batch, by how many others lie between them and the inputs: what reads a value
  // that was made of a whole batch comes after all of that batch.
  void FindRegions() {
    absl::flat_hash_map<const Instruction*, int64_t> levels;
    for (Instruction* hlo : computation_.PostOrder()) {
      int64_t dim = ResultDim(*hlo, dims_);
      if (dim >= 0) {
        const int64_t images = hlo->shape.dim(dim);
        if (images_ == 0) images_ = images;
        if (images != images_ || images < 2) dim = -1;
      }
      int64_t level = 0;
      for (const Instruction* operand : hlo->operands()) {
        level = std::max(level, levels[operand] + (dim < 0 && dims_.contains(operand) ? 1 : 0));
      }
      levels[hlo] = level;
      if (dim < 0) continue;
      dims_[hlo] = dim;
      regions_[level].push_back(hlo);
    }
  }

  std::vector<Step> StepsOf(const std::vector<Instruction*>& members) const {
    absl::flat_hash_map<const Instruction*, size_t> index;
    for (size_t i = 0; i < members.size(); ++i) index[members[i]] = i;
    std::vector<Step> steps;
    for (Instruction* hlo : members) {
      Step step;
      step.last = index.at(hlo);
      if (hlo->IsRoot()) step.last = members.size();
      for (const hlo::Use& use : hlo->uses()) {
        const auto user = index.find(use.user);
        step.last = std::max(step.last, user == index.end() ? members.size() : user->second);
      }
      step.bytes = ImageBytes(*hlo, dims_.at(hlo), options_);
      if (hlo->opcode() == Opcode::kConvolution) {
        const Shape& w = hlo->operand(1)->shape;
        const int64_t ci = w.dim(hlo->conv_dims.kernel_input_feature);
        const int64_t co = w.dim(hlo->conv_dims.kernel_output_feature);
        const int64_t taps = std::max<int64_t>(1, w.elements() / std::max<int64_t>(1, ci * co));
        // Few channels take neighbouring taps with them.
        step.passes = ci * taps <= isa::kPartitions
                          ? CeilDiv(co, isa::kPartitions)
                          : taps * CeilDiv(ci, isa::kPartitions) * CeilDiv(co, isa::kPartitions);
        step.columns = hlo->shape.elements() / std::max<int64_t>(1, co) / images_;
        const int64_t bytes = options_.rounds ? 2 : hlo::ByteSize(w.type);
        step.weights_us = static_cast<double>(w.elements() * bytes) /
                          static_cast<double>(isa::cost::kHbmBytesPerNs) / 1e3;
      }
      steps.push_back(step);
    }
    // What element-wise operations right behind it read is computed on the way into them.
    size_t next = members.size();  // convolution
    for (size_t i = members.size(); i-- > 0;) {
      const Instruction& hlo = *members[i];
      const auto joins = [&](const hlo::Use& use) {
        return hlo::IsElementwise(use.user->opcode()) && hlo::SameDims(use.user->shape, hlo.shape);
      };
      if (steps[i].last < next && std::all_of(hlo.uses().begin(), hlo.uses().end(), joins)) {
        steps[i].bytes = 0;
      }
      if (steps[i].passes > 0) next = i;
    }
    return steps;
  }

  bool SplitRegion(const std::vector<Instruction*>& members) {
    const Planner planner(StepsOf(members), options_);
    std::vector<Stretch> best;
    double least = std::numeric_limits<double>::infinity();
    int64_t chunk = images_;
    for (int64_t images = images_;; images = CeilDiv(images, 2)) {
      std::vector<Stretch> plan;
      const double us = planner.Plan(images, &plan) * static_cast<double>(CeilDiv(images_, images));
      if (us < least) {
        least = us;
        best = std::move(plan);
        chunk = images;
      }
      if (images == 1) break;
    }
    const bool splits =
        std::any_of(best.begin(), best.end(), [&](const Stretch& s) { return s.group < images_; });
    if (!splits) return false;
    for (const std::vector<Instruction*>& part : Split(members, images_, chunk)) {
      const int64_t images = part[0]->shape.dim(dims_.at(part[0]));
      for (const Stretch& s : best) {
        Split({part.begin() + static_cast<int64_t>(s.begin),
               part.begin() + static_cast<int64_t>(s.end)},
              images, s.group);
      }
    }
    return true;
  }

  // Replaces the members by copies, one for each group of images, and by their concatenation where
  // others read them. Returns the copies, or the members if one group is all.
  std::vector<std::vector<Instruction*>> Split(const std::vector<Instruction*>& members,
                                               int64_t images, int64_t group) {
    if (group >= images) return {members};
    std::vector<std::vector<Instruction*>> parts;
    absl::flat_hash_map<const Instruction*, std::vector<Instruction*>> copies;
    for (int64_t first = 0; first < images; first += group) {
      const int64_t count = std::min(group, images - first);
      std::vector<Instruction*> part;
      for (const Instruction* hlo : members) {
        const int64_t dim = dims_.at(hlo);
        std::vector<Instruction*> operands;
        for (int64_t i = 0; i < hlo->operand_count(); ++i) {
          const auto copied = copies.find(hlo->operand(i));
          operands.push_back(copied != copies.end() ? copied->second.back()
                                                    : Part(*hlo, hlo->operand(i),
                                                           OperandDim(*hlo, i, dim), first, count));
        }
        Instruction* copy =
            computation_.AddCopy(*hlo, operands, absl::StrCat(hlo->name(), ".images", first));
        copy->shape.dims[static_cast<size_t>(dim)] = count;
        if (hlo->opcode() == Opcode::kSlice) copy->slice_limits[static_cast<size_t>(dim)] = count;
        dims_[copy] = dim;
        copies[hlo].push_back(copy);
        part.push_back(copy);
      }
      parts.push_back(std::move(part));
    }
    const absl::flat_hash_set<const Instruction*> inside(members.begin(), members.end());
    for (Instruction* hlo : members) {
      bool outside = hlo->IsRoot();
      for (const hlo::Use& use : hlo->uses()) outside = outside || !inside.contains(use.user);
      if (!outside) continue;
      Rewriter rewriter(*hlo);
      Instruction* all = rewriter.Add(Opcode::kConcatenate, hlo->shape, copies[hlo]);
      all->dimensions = {dims_.at(hlo)};
      hlo->ReplaceAllUsesWith(all);
    }
    return parts;
  }

  // Images [first, first + count) of an operand.
  Instruction* Part(const Instruction& reader, Instruction* operand, int64_t dim, int64_t first,
                    int64_t count) {
    if (dim < 0) return operand;
    // A broadcast that is alike for all images is made for fewer of them.
    const bool alike = operand->opcode() == Opcode::kBroadcast &&
                       std::count(operand->dimensions.begin(), operand->dimensions.end(), dim) == 0;
    Instruction*& part = parts_[{operand, alike ? 0 : first, count}];
    if (part != nullptr) return part;
    Rewriter rewriter(alike ? *operand : reader);
    Shape shape = operand->shape.WithoutLayout();
    std::vector<int64_t> starts(shape.dims.size(), 0);
    starts[static_cast<size_t>(dim)] = first;
    shape.dims[static_cast<size_t>(dim)] = count;
    if (alike) {
      part = rewriter.Broadcast(operand->operand(0), shape.dims, operand->dimensions);
    } else {
      std::vector<int64_t> limits = shape.dims;
      limits[static_cast<size_t>(dim)] += first;
      part = rewriter.Slice(operand, std::move(starts), std::move(limits));
    }
    return part;
  }

  hlo::Computation& computation_;
  const SplitBatchOptions& options_;
  int64_t images_ = 0;
  BatchDims dims_;
  std::map<int64_t, std::vector<Instruction*>> regions_;  // by level, operands first
  std::map<std::tuple<const Instruction*, int64_t, int64_t>, Instruction*> parts_;
};

}  // namespace

absl::StatusOr<bool> SplitBatch(hlo::Module* module, const SplitBatchOptions& options) {
  return BatchSplitter(module->entry(), options).Run();
}

}  // namespace glia::compiler
