// Transfers of the emitter.
#include <algorithm>
#include <limits>

#include "absl/strings/str_cat.h"
#include "compiler/codegen/emitter.h"
#include "compiler/codegen/movement.h"
#include "compiler/codegen/tiling.h"
#include "serialization/isa/table.h"

namespace glia::compiler {
namespace {

constexpr int64_t kMinRowBytes = 64;
constexpr int64_t kMinRepeated = 16;  // partitions
constexpr int64_t kMaxDmaSize = std::numeric_limits<uint32_t>::max();

bool SameNd(const Nd& a, const Nd& b) {
  return a.var == b.var && a.dtype == b.dtype && a.offset == b.offset && a.dims == b.dims &&
         a.strides == b.strides;
}

// Merges dims among the partition dims and among the others.
Nd Canonical(const Nd& view, int* partition_dims) {
  const auto merge = [&view](int64_t first, int64_t last, Nd* to) {
    Dims dims(view.dims.begin() + first, view.dims.begin() + last);
    Dims strides(view.strides.begin() + first, view.strides.begin() + last);
    Collapse(&dims, {&strides});
    to->dims.insert(to->dims.end(), dims.begin(), dims.end());
    to->strides.insert(to->strides.end(), strides.begin(), strides.end());
    return static_cast<int>(dims.size());
  };
  Nd result = view;
  result.dims.clear();
  result.strides.clear();
  const int merged = merge(0, *partition_dims, &result);
  merge(*partition_dims, view.rank(), &result);
  *partition_dims = merged;
  return result;
}

}  // namespace

Nd Emitter::At(const Tile& tile, Dims dims, int first_partition, int64_t start) const {
  const int64_t partition_bytes = tile.free * isa::DTypeBytes(tile.dtype);
  Nd nd = DenseNd(tile.var, tile.dtype, std::move(dims),
                  first_partition * partition_bytes + start * isa::DTypeBytes(tile.dtype));
  if (!nd.dims.empty()) nd.strides[0] = partition_bytes;
  return nd;
}

Nd Emitter::At(const Operand& operand) const {
  const isa::Variable& variable = serial_.program.variables[operand.var];
  Nd nd;
  nd.var = operand.var;
  nd.dtype = operand.dtype;
  nd.offset = operand.partition * variable.partition_bytes + operand.offset;
  nd.dims = {operand.num_partitions};
  nd.strides = {variable.partition_bytes};
  int first = 0;
  while (first < isa::kFreeDims - 1 && operand.size[first] == 1) ++first;
  for (int d = first; d < isa::kFreeDims; ++d) {
    nd.dims.push_back(operand.size[d]);
    nd.strides.push_back(int64_t{operand.stride[d]} * isa::DTypeBytes(operand.dtype));
  }
  return nd;
}

void Emitter::Dma(const Nd& dst, const Nd& src, isa::DmaOp op) {
  const auto in_hbm = [this](const Nd& nd) {
    return isa::IsHbm(serial_.program.variables[nd.var].kind);
  };
  if (ok() && op == isa::DmaOp::kCopy && in_hbm(dst) && in_hbm(src) &&
      CopyTurned(*this, dst, src)) {
    return;
  }
  Transfer(dst, src, op, nullptr, isa::IndexSide::kNone);
}

void Emitter::Gather(const Nd& dst, const Nd& src, const Index& index) {
  Transfer(dst, src, isa::DmaOp::kCopy, &index, isa::IndexSide::kSource);
}

void Emitter::Scatter(const Nd& dst, const Nd& src, const Index& index, isa::DmaOp op) {
  Transfer(dst, src, op, &index, isa::IndexSide::kDestination);
}

void Emitter::Transfer(const Nd& dst, const Nd& src, isa::DmaOp op, const Index* index,
                       isa::IndexSide side) {
  if (!ok()) return;
  if (dst.dims != src.dims || dst.element_bytes() != src.element_bytes()) {
    Fail(absl::InternalError(absl::StrCat("transfer between unlike arrays: ", dst.ToString(),
                                          " from ", src.ToString())));
    return;
  }
  if (dst.elements() == 0) return;
  // The indexed dim stays apart from the others.
  const size_t first = index == nullptr ? 0 : 1;
  Dims dims(dst.dims.begin() + first, dst.dims.end());
  Dims to(dst.strides.begin() + first, dst.strides.end());
  Dims from(src.strides.begin() + first, src.strides.end());
  Collapse(&dims, {&to, &from});
  if (index != nullptr) {
    dims.insert(dims.begin(), dst.dims[0]);
    to.insert(to.begin(), dst.strides[0]);
    from.insert(from.begin(), src.strides[0]);
    if (dims.size() > static_cast<size_t>(isa::kDmaDims)) {
      Fail(absl::InternalError(
          absl::StrCat("indirect transfer of ", dims.size(), " dims; at most ", isa::kDmaDims)));
      return;
    }
  }
  // Too many dims, or a size beyond 32 bits: one transfer for each index of the outer dims.
  const auto split = [&](size_t dim, int64_t count, int64_t step) {
    for (int64_t i = 0; i < count; i += step) {
      Nd d = dst, s = src;
      d.dims = s.dims = dims;
      d.strides = to;
      s.strides = from;
      const int64_t size = std::min(step, count - i);
      Dma(SliceDim(d, dim, i, size), SliceDim(s, dim, i, size), op);
    }
  };
  if (dims.size() > static_cast<size_t>(isa::kDmaDims)) {
    const size_t smallest = std::min_element(dims.begin(), dims.end() - 1) - dims.begin();
    split(smallest, dims[smallest], 1);
    return;
  }
  for (size_t d = 0; d < dims.size(); ++d) {
    if (dims[d] > kMaxDmaSize) {
      split(d, dims[d], kMaxDmaSize / 2);
      return;
    }
  }
  isa::DmaDescriptor dma;
  dma.dst_var = dst.var;
  dma.src_var = src.var;
  dma.dst_offset = static_cast<uint64_t>(dst.offset);
  dma.src_offset = static_cast<uint64_t>(src.offset);
  dma.element_bytes = static_cast<uint8_t>(dst.element_bytes());
  dma.op = op;
  dma.dtype = op == isa::DmaOp::kCopy ? DType::kU8 : dst.dtype;
  const size_t unused = isa::kDmaDims - dims.size();
  // The index belongs to dimension 0; unused sizes are 1.
  for (size_t d = 0; d < dims.size(); ++d) {
    const size_t at = index != nullptr ? (d == 0 ? 0 : d + unused) : d + unused;
    dma.size[at] = static_cast<uint32_t>(dims[d]);
    dma.dst_stride[at] = dims[d] == 1 && index == nullptr ? 0 : to[d];
    dma.src_stride[at] = dims[d] == 1 && index == nullptr ? 0 : from[d];
  }
  if (index != nullptr) {
    dma.index_side = side;
    dma.index_var = index->var;
    dma.index_offset = static_cast<uint64_t>(index->offset);
    dma.index_stride = index->stride;
    dma.index_bound = index->bound;
  }
  AppendDma(dma);
}

void Emitter::AppendDma(const isa::DmaDescriptor& dma) {
  ForgetVar(dma.dst_var);
  isa::Instruction instruction;
  instruction.opcode = isa::Opcode::kDma;
  instruction.dma = static_cast<uint32_t>(serial_.program.dmas.size());
  serial_.program.dmas.push_back(dma);
  Append(instruction, Engine::kSp);
}

// What is written is no longer what the cache says it is: a variable in HBM, or a tile.
void Emitter::ForgetVar(uint32_t var) {
  const auto entries = cache_.find(var);
  if (entries != cache_.end()) {
    for (const CacheEntry& entry : entries->second) Uncache(entry.tile.var);
    cache_.erase(entries);
  }
  const auto tile = cached_tile_.find(var);
  if (tile == cached_tile_.end()) return;
  auto& list = cache_[tile->second];
  Uncache(var);
  list.erase(std::remove_if(list.begin(), list.end(),
                            [var](const CacheEntry& e) { return e.tile.var == var; }),
             list.end());
}

// Whether the tile's elements lie in HBM in rows that are worth a transfer, or it is no longer in
// the cache.
bool Emitter::HasRows(uint32_t tile) const {
  const auto home = cached_tile_.find(tile);
  if (home == cached_tile_.end()) return true;
  for (const CacheEntry& entry : cache_.at(home->second)) {
    if (entry.tile.var != tile) continue;
    const Nd& view = entry.view;
    return view.strides.back() == view.element_bytes() &&
           view.dims.back() * view.element_bytes() >= kMinRowBytes;
  }
  return true;
}

void Emitter::Uncache(uint32_t tile) {
  if (cached_tile_.erase(tile) > 0) cached_bytes_ -= TileBytes(tile);
}

void Emitter::Remember(CacheEntry entry) {
  const uint32_t tile = entry.tile.var;
  if (cached_tile_.contains(tile)) return;
  cached_tile_[tile] = entry.view.var;
  cached_order_.push_back(tile);
  cached_bytes_ += TileBytes(tile);
  const uint32_t home = entry.view.var;
  cache_[home].push_back(std::move(entry));
  // A part of SBUF stays free for what instructions need besides.
  while (cached_bytes_ > options_.sbuf_partition_bytes / 12 * 11) {
    // The oldest, of those that are stored in long rows if there is one.
    auto victim = cached_order_.begin();
    while (victim != cached_order_.end() && !HasRows(*victim)) ++victim;
    if (victim == cached_order_.end()) victim = cached_order_.begin();
    const uint32_t oldest = *victim;
    cached_order_.erase(victim);
    if (cached_tile_.contains(oldest)) ForgetVar(oldest);
  }
}

absl::optional<Tile> Emitter::FindShared(const Nd& view, int partition_dims, DType dtype) {
  const Nd key = Canonical(view, &partition_dims);
  const auto entries = cache_.find(key.var);
  if (entries == cache_.end()) return absl::nullopt;
  for (const CacheEntry& entry : entries->second) {
    if (entry.partition_dims == partition_dims && entry.tile.dtype == dtype &&
        SameNd(entry.view, key)) {
      return entry.tile;
    }
  }
  return absl::nullopt;
}

absl::optional<Emitter::Within> Emitter::FindWithin(const Nd& view, DType dtype) const {
  const auto entries = cache_.find(view.var);
  if (entries == cache_.end()) return absl::nullopt;
  const int64_t bytes = view.element_bytes();
  for (const CacheEntry& entry : entries->second) {
    const Nd& held = entry.view;
    if (entry.partition_dims != 1 || held.rank() != 2 || entry.tile.dtype != dtype ||
        held.dtype != view.dtype || held.dims[0] != view.dims[0] ||
        (held.dims[0] > 1 && held.strides[0] != view.strides[0]) ||
        (held.dims[1] > 1 && held.strides[1] != bytes)) {
      continue;
    }
    Within within;
    within.tile = entry.tile;
    int64_t end = view.offset - held.offset;
    within.start = end / bytes;
    bool inside = end >= 0;
    for (int64_t d = 1; d < view.rank(); ++d) {
      inside = inside && (view.strides[d] >= 0 || view.dims[d] == 1);
      end += (view.dims[d] - 1) * view.strides[d];
      within.strides.push_back(view.strides[d] / bytes);
    }
    if (inside && end < held.dims[1] * bytes) return within;
  }
  return absl::nullopt;
}

void Emitter::KeepShared(const Nd& view, int partition_dims, const Tile& tile) {
  const Nd key = Canonical(view, &partition_dims);
  Remember({key, partition_dims, tile});
}

// Where `view` lies within the tile of an entry: dims of the entry are the digits of an address.
absl::optional<Operand> Emitter::PartOf(const CacheEntry& entry, const Nd& view,
                                        int partition_dims) const {
  const Nd& whole = entry.view;
  if (entry.partition_dims != 1 || partition_dims != 1 || view.dtype != whole.dtype)
    return absl::nullopt;
  struct Digit {
    int64_t stride, size, step, used;  // bytes in HBM; elements in the tile (partition: -1)
  };
  std::vector<Digit> digits;
  int64_t step = 1;
  for (int64_t d = whole.rank(); d-- > 0;) {
    if (whole.strides[d] <= 0 && whole.dims[d] > 1) return absl::nullopt;
    digits.push_back({whole.strides[d], whole.dims[d], d == 0 ? -1 : step, 0});
    if (d > 0) step *= whole.dims[d];
  }
  std::stable_sort(digits.begin(), digits.end(),
                   [](const Digit& a, const Digit& b) { return a.stride > b.stride; });
  int64_t rest = view.offset - whole.offset;
  if (rest < 0) return absl::nullopt;
  int64_t start = 0, first_partition = 0;
  for (Digit& digit : digits) {
    if (digit.size == 1) continue;
    digit.used = rest / digit.stride;
    rest %= digit.stride;
    if (digit.used >= digit.size) return absl::nullopt;
    (digit.step < 0 ? first_partition : start) += digit.used * std::abs(digit.step);
  }
  if (rest != 0) return absl::nullopt;
  Dims sizes, steps;
  for (int64_t d = 0; d < view.rank(); ++d) {
    const int64_t size = view.dims[d];
    if (size == 1) continue;
    if (view.strides[d] == 0 && d > 0) {
      sizes.push_back(size);
      steps.push_back(0);
      continue;
    }
    bool found = false;
    for (Digit& digit : digits) {
      if (digit.size == 1 || view.strides[d] <= 0 || view.strides[d] % digit.stride != 0) continue;
      const int64_t times = view.strides[d] / digit.stride;
      if (digit.used + times * (size - 1) >= digit.size) continue;
      if ((digit.step < 0) != (d == 0) || (d == 0 && times != 1)) return absl::nullopt;
      digit.used += times * (size - 1);
      if (d > 0) {
        sizes.push_back(size);
        steps.push_back(times * digit.step);
      }
      found = true;
      break;
    }
    if (!found) return absl::nullopt;
  }
  Collapse(&sizes, {&steps});
  const int64_t partitions = view.dims[0];
  const bool aligned = partitions > 64   ? first_partition == 0
                       : partitions > 32 ? first_partition % 64 == 0
                                         : first_partition % 32 == 0;
  if (!aligned || sizes.size() > static_cast<size_t>(isa::kFreeDims)) return absl::nullopt;
  for (int64_t s : steps) {
    if (s > INT16_MAX) return absl::nullopt;
  }
  if (sizes.empty()) {
    sizes = {1};
    steps = {1};
  }
  return Partitions(entry.tile.pattern(1, start, sizes, steps), static_cast<int>(first_partition),
                    static_cast<int>(partitions));
}

absl::optional<Operand> Emitter::FindResident(const Nd& view, int partition_dims, DType dtype) {
  int merged = partition_dims;
  const Nd key = Canonical(view, &merged);
  const auto entries = cache_.find(key.var);
  if (entries == cache_.end() || merged != 1) return absl::nullopt;
  // In the dims of the view as well: merged ones may lie apart in the tile.
  for (const CacheEntry& entry : entries->second) {
    if (entry.tile.dtype != dtype) continue;
    absl::optional<Operand> found = PartOf(entry, key, merged);
    if (!found.has_value() && partition_dims == 1) found = PartOf(entry, view, 1);
    if (found.has_value()) return found;
  }
  return absl::nullopt;
}

Tile Emitter::LoadShared(const Nd& view, int partition_dims) {
  const absl::optional<Tile> found = FindShared(view, partition_dims, view.dtype);
  if (found.has_value()) return *found;
  const Nd key = Canonical(view, &partition_dims);
  const absl::Span<const int64_t> dims = key.dims;
  const int64_t partitions = Product(dims.subspan(0, partition_dims));
  const int64_t free = Product(dims.subspan(partition_dims));
  const Tile tile = NewTile(view.dtype, static_cast<int>(partitions), free, "load");
  if (partition_dims == 1 && partitions >= kMinRepeated && key.strides[0] == 0) {
    // Equal in all partitions: POOL repeats it sooner than as many rows arrive.
    const Tile one = LoadShared(SliceDim(key, 0, 0, 1));
    PartitionBroadcast(tile.all(), one.all());
  } else {
    Dma(TileNd(tile, key.dims, partition_dims), key);
  }
  Remember({key, partition_dims, tile});
  return tile;
}

int64_t Emitter::SharedRow(const Nd& nd) const {
  const auto entries = cache_.find(nd.var);
  if (entries == cache_.end() || !nd.contiguous()) return 0;
  for (const CacheEntry& entry : entries->second) {
    const Nd& v = entry.view;
    if (v.offset != nd.offset || entry.partition_dims != 1 || v.rank() != 2) continue;
    const bool dense = (v.dims[1] == 1 || v.strides[1] == v.element_bytes()) &&
                       (v.dims[0] == 1 || v.strides[0] == v.dims[1] * v.element_bytes());
    if (dense && v.dims[0] * v.dims[1] == std::min(nd.elements(), isa::kPartitions * v.dims[1]))
      return v.dims[1];
  }
  return 0;
}

void Emitter::Store(const Nd& part, int partition_dims, const Tile& tile) {
  const Nd key = Canonical(part, &partition_dims);
  // The transfer would forget the parts stored before.
  auto others = std::move(cache_[key.var]);
  cache_.erase(key.var);
  Dma(key, TileNd(tile, key.dims, partition_dims));
  cache_[key.var] = std::move(others);
  Remember({key, partition_dims, tile});
}

}  // namespace glia::compiler
