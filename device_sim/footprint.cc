#include "device_sim/footprint.h"

#include <algorithm>
#include <array>
#include <utility>

#include "device_sim/semantics.h"

namespace glia::device {
namespace {

constexpr int64_t kMaxRuns = int64_t{1} << 20;
// A transfer whose rows cross partitions is cut into at most so many patterns.
constexpr size_t kMaxPieces = 4096;

// A pattern of bytes in one linear space, normalised: strides positive, outer to inner.
struct Pattern {
  int64_t base = 0;
  int64_t run = 1;
  int dims = 0;
  std::array<std::pair<int64_t, int64_t>, Footprint::kMaxDims> dim = {};  // stride, size

  void Add(int64_t size, int64_t stride) {
    if (size <= 1 || stride == 0) return;
    if (stride < 0) {
      base += (size - 1) * stride;
      stride = -stride;
    }
    dim[dims++] = {stride, size};
  }
  int64_t Extent() const {
    int64_t extent = run;
    for (int i = 0; i < dims; ++i) extent += dim[i].first * (dim[i].second - 1);
    return extent;
  }
  // Sorts, and merges dimensions that continue each other.
  void Normalize() {
    std::sort(dim.begin(), dim.begin() + dims, [](const auto& a, const auto& b) { return a > b; });
    while (dims > 0 && dim[dims - 1].first <= run) {
      run += dim[dims - 1].first * (dim[dims - 1].second - 1);
      --dims;
    }
    for (int i = dims - 1; i > 0; --i) {
      if (dim[i - 1].first != dim[i].first * dim[i].second) continue;
      dim[i - 1] = {dim[i].first, dim[i].second * dim[i - 1].second};
      for (int j = i; j + 1 < dims; ++j) dim[j] = dim[j + 1];
      --dims;
    }
  }
};

// Fills bounds and box from base, run, sizes and strides.
Footprint Finish(int32_t space, const Pattern& p) {
  Footprint f;
  f.space = space;
  f.base = p.base;
  f.run = p.run;
  f.dims = p.dims;
  for (int i = 0; i < p.dims; ++i) {
    f.stride[i] = p.dim[i].first;
    f.size[i] = p.dim[i].second;
  }
  if (space > kPsumSpace) {
    f.low = p.base;
    f.high = p.base + p.Extent();
    f.box = p.dims == 0;
    return f;
  }
  const int64_t span = PartitionSpan(space);
  int64_t partitions = 1, extent = p.run;
  int inner = 0, outer = 0;
  bool adjacent = true;
  for (int i = 0; i < p.dims; ++i) {
    if (p.dim[i].first >= span) {
      partitions += p.dim[i].first / span * (p.dim[i].second - 1);
      adjacent = adjacent && p.dim[i].first == span;
      ++outer;
    } else {
      extent += p.dim[i].first * (p.dim[i].second - 1);
      ++inner;
    }
  }
  f.first_partition = static_cast<int32_t>(p.base / span);
  f.last_partition = f.first_partition + static_cast<int32_t>(partitions);
  f.low = p.base % span;
  f.high = f.low + extent;
  // A run as long as a whole partition would have swallowed the partition dimension.
  if (f.high > span) {
    f.last_partition += static_cast<int32_t>((f.high - 1) / span);
    f.box = p.dims == 0 && f.low == 0 && f.high % span == 0;
    f.low = 0;
    f.high = span;
    return f;
  }
  f.box = inner == 0 && outer <= 1 && adjacent;
  return f;
}

struct Place {
  int32_t space;
  const isa::Variable* variable;
  int64_t origin;  // flat address of the variable's first byte
};

Place PlaceOf(const isa::Program& program, uint32_t var) {
  const isa::Variable& v = program.variables[var];
  switch (v.kind) {
    case isa::VariableKind::kStateBuffer:
      return {kSbufSpace, &v, v.partition * isa::kSbufPartitionBytes + v.address};
    case isa::VariableKind::kPsum:
      return {kPsumSpace, &v, v.partition * isa::kPsumPartitionBytes + v.address};
    case isa::VariableKind::kTmpBuf: return {kScratchSpace, &v, v.hbm_offset};
    default: {
      const int32_t home = v.alias >= 0 ? v.alias : static_cast<int32_t>(var);
      return {kFirstVariableSpace + home, &v, 0};
    }
  }
}

// Linear view of a variable in SBUF or PSUM -> flat addresses. `p` is normalised.
void Split(const Place& place, Pattern p, std::vector<Footprint>* out) {
  const int64_t pitch = place.variable->partition_bytes;
  const int64_t span = PartitionSpan(place.space);
  if (out->size() >= kMaxPieces) {  // the bounds of all of it
    Pattern all;
    all.base = place.origin + p.base / pitch * span;
    all.run = std::min(pitch, p.Extent());
    if (p.base % pitch + p.Extent() > pitch) {
      all.run = pitch;
    } else {
      all.base += p.base % pitch;
    }
    all.Add((p.base % pitch + p.Extent() + pitch - 1) / pitch, span);
    all.Normalize();
    out->push_back(Finish(place.space, all));
    return;
  }
  int64_t inner = p.run;
  for (int i = 0; i < p.dims; ++i) {
    if (p.dim[i].first % pitch != 0) inner += p.dim[i].first * (p.dim[i].second - 1);
  }
  if (p.base % pitch + inner <= pitch) {
    Pattern flat;
    flat.base = place.origin + p.base / pitch * span + p.base % pitch;
    flat.run = p.run;
    for (int i = 0; i < p.dims; ++i) {
      const auto [stride, size] = p.dim[i];
      flat.Add(size, stride % pitch == 0 ? stride / pitch * span : stride);
    }
    flat.Normalize();
    out->push_back(Finish(place.space, flat));
    return;
  }
  if (p.dims > 0) {  // one by one along the innermost dimension that leaves a partition
    int cut = p.dims - 1;
    while (cut > 0 && p.dim[cut].first % pitch == 0) --cut;
    const auto [stride, size] = p.dim[cut];
    for (int j = cut; j + 1 < p.dims; ++j) p.dim[j] = p.dim[j + 1];
    --p.dims;
    for (int64_t i = 0; i < size; ++i) {
      Split(place, p, out);
      p.base += stride;
      if (out->size() >= kMaxPieces) {
        p.dim[p.dims++] = {stride, size - i - 1};
        if (size - i - 1 > 0) Split(place, p, out);
        return;
      }
    }
    return;
  }
  // One run over several partitions: the rest of the first, whole ones, the start of the last.
  const int64_t end = p.base + p.run;
  const int64_t first_end = (p.base / pitch + 1) * pitch;
  Pattern part;
  if (p.base % pitch != 0) {
    part.base = p.base;
    part.run = first_end - p.base;
    Split(place, part, out);
    p.base = first_end;
  }
  const int64_t whole = (end - p.base) / pitch;
  if (whole > 0) {
    part = Pattern();
    part.base = p.base;
    part.run = pitch;
    // Not normalised: merging would give the run back.
    Pattern flat;
    flat.base = place.origin + part.base / pitch * span;
    flat.run = pitch;
    flat.Add(whole, span);
    flat.Normalize();
    out->push_back(Finish(place.space, flat));
    p.base += whole * pitch;
  }
  if (p.base < end) {
    part = Pattern();
    part.base = p.base;
    part.run = end - p.base;
    Split(place, part, out);
  }
}

void AppendLinear(const isa::Program& program, uint32_t var, Pattern p, std::vector<Footprint>* out) {
  p.Normalize();
  const Place place = PlaceOf(program, var);
  if (place.space > kPsumSpace) {
    p.base += place.origin;
    out->push_back(Finish(place.space, p));
  } else {
    Split(place, p, out);
  }
}

// Whether pattern dimensions from d on, started at `base`, touch a byte of [low, high).
bool Touches(const Footprint& f, int d, int64_t base, int64_t low, int64_t high) {
  if (d == f.dims) return base < high && base + f.run > low;
  int64_t rest = f.run;
  for (int i = d + 1; i < f.dims; ++i) rest += f.stride[i] * (f.size[i] - 1);
  const int64_t stride = f.stride[d];
  // base + i * stride < high and base + i * stride + rest > low.
  if (base >= high) return false;
  const int64_t last = std::min(f.size[d] - 1, (high - 1 - base) / stride);
  const int64_t before = low - rest - base;
  const int64_t first = before < 0 ? 0 : before / stride + 1;
  for (int64_t i = first; i <= last; ++i) {
    const int64_t at = base + i * stride;
    if (at >= low && at < high) return true;
    if (Touches(f, d + 1, at, low, high)) return true;
  }
  return false;
}

int64_t Runs(const Footprint& f) {
  int64_t runs = 1;
  for (int i = 0; i < f.dims && runs <= kMaxRuns; ++i) runs *= f.size[i];
  return runs;
}

bool AnyRunTouches(const Footprint& a, int d, int64_t base, const Footprint& b, int64_t b_end) {
  if (d == a.dims) return Touches(b, 0, b.base, base, base + a.run);
  int64_t rest = a.run;
  for (int i = d + 1; i < a.dims; ++i) rest += a.stride[i] * (a.size[i] - 1);
  for (int64_t i = 0; i < a.size[d]; ++i) {
    const int64_t at = base + i * a.stride[d];
    if (at >= b_end) break;
    if (at + rest <= b.base) continue;
    if (AnyRunTouches(a, d + 1, at, b, b_end)) return true;
  }
  return false;
}

int64_t End(const Footprint& f) {
  int64_t end = f.base + f.run;
  for (int i = 0; i < f.dims; ++i) end += f.stride[i] * (f.size[i] - 1);
  return end;
}

}  // namespace

Footprint FootprintOf(const isa::Program& program, const isa::Operand& o) {
  const Place place = PlaceOf(program, o.var);
  Pattern p;
  p.base = place.origin + o.partition * PartitionSpan(place.space) + o.offset;
  p.run = TypeBytes(o.dtype);
  p.Add(o.num_partitions, PartitionSpan(place.space));
  for (int i = 0; i < isa::kFreeDims; ++i) p.Add(o.size[i], int64_t{o.stride[i]} * p.run);
  p.Normalize();
  return Finish(place.space, p);
}

DmaFootprints FootprintsOf(const isa::Program& program, const isa::DmaDescriptor& dma) {
  DmaFootprints result;
  const auto side = [&](bool indexed, uint64_t offset, const int64_t* stride) {
    Pattern p;
    p.base = static_cast<int64_t>(offset);
    p.run = dma.element_bytes;
    for (int i = 0; i < isa::kDmaDims; ++i) {
      const bool by_index = indexed && i == 0;
      p.Add(by_index ? dma.index_bound : dma.size[i], by_index ? dma.index_stride : stride[i]);
    }
    return p;
  };
  AppendLinear(program, dma.src_var,
               side(dma.index_side == isa::IndexSide::kSource, dma.src_offset, dma.src_stride),
               &result.reads);
  AppendLinear(program, dma.dst_var,
               side(dma.index_side == isa::IndexSide::kDestination, dma.dst_offset, dma.dst_stride),
               &result.writes);
  if (dma.index_side != isa::IndexSide::kNone) {
    Pattern p;
    p.base = static_cast<int64_t>(dma.index_offset);
    p.run = 4;
    p.Add(dma.size[0], 4);
    AppendLinear(program, dma.index_var, p, &result.reads);
  }
  return result;
}

bool Overlap(const Footprint& a, const Footprint& b) {
  if (a.space != b.space) return false;
  if (a.first_partition >= b.last_partition || b.first_partition >= a.last_partition) return false;
  if (a.low >= b.high || b.low >= a.high) return false;
  if (a.box && b.box) return true;
  const int64_t runs_a = Runs(a), runs_b = Runs(b);
  const Footprint& few = runs_a <= runs_b ? a : b;
  const Footprint& many = runs_a <= runs_b ? b : a;
  if (std::min(runs_a, runs_b) > kMaxRuns) return true;
  return AnyRunTouches(few, 0, few.base, many, End(many));
}

bool SameBytes(const Footprint& a, const Footprint& b) {
  return a.space == b.space && a.base == b.base && a.run == b.run && a.dims == b.dims &&
         std::equal(a.size, a.size + a.dims, b.size) && std::equal(a.stride, a.stride + a.dims, b.stride);
}

}  // namespace glia::device
