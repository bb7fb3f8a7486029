#include "device_sim/fast_window.h"

#include <algorithm>
#include <cstring>

#include "device_sim/kernels_narrow.h"

namespace glia::device::fast {
namespace {

using kernels::MatmulTile;

constexpr int64_t kRows = kernels::kBf16Rows;
constexpr int64_t kColumns = kernels::kBf16Columns;
constexpr int64_t kLanes = kernels::kGatherLanes;
static_assert(kRows == kernels::kNarrowRows && kColumns == kernels::kMatmulColumns &&
              kColumns % kLanes == 0);
// Bytes of a panel of columns: it stays in the second-level cache beside the rows.
constexpr int64_t kBlockBytes = 128 << 10;
// With fewer rows than this, gathering columns that lie in order costs more than it saves.
constexpr int64_t kGatherAbove = 64;
// Rows gathered before the next columns: their lines stay in the first-level cache.
constexpr int64_t kGatherRows = 64;

// Offset of each free element.
std::vector<ptrdiff_t> OffsetsOf(const View& v) {
  std::vector<ptrdiff_t> offsets;
  offsets.reserve(v.free());
  for (int64_t e = 0; e < v.free(); ++e) {
    int64_t rest = e;
    ptrdiff_t offset = 0;
    for (int d = isa::kFreeDims - 1; d >= 0; --d) {
      offset += rest % v.size[d] * v.stride[d];
      rest /= v.size[d];
    }
    offsets.push_back(offset);
  }
  return offsets;
}

}  // namespace

bool WindowPlan::Accepts(const View& whole, const WindowProduct& product) {
  const View &part = product.dst, &moving = product.moving;
  const auto typed = [](const View& v) {
    return v.dtype == isa::DType::kF32 || v.dtype == isa::DType::kBf16;
  };
  if (!typed(product.stationary) || !typed(moving) || product.stationary.dtype != moving.dtype) {
    return false;
  }
  if (whole.dtype != isa::DType::kF32 || part.dtype != isa::DType::kF32) return false;
  if (!whole.FreeContiguous()) return false;
  if (part.partitions != whole.partitions || part.pitch != whole.pitch) return false;
  const ptrdiff_t first = part.base - whole.base;
  if (first < 0 || first % 4 != 0 || first + ReachOf(part) > whole.free() * 4) return false;
  return Parts::Possible(part, moving);
}

bool WindowPlan::Finite(const View& stationary) {
  const std::vector<ptrdiff_t> offsets = OffsetsOf(stationary);
  bool finite = true;
  for (int64_t k = 0; k < stationary.partitions; ++k) {
    const uint8_t* const row = stationary.base + k * stationary.pitch;
    for (const ptrdiff_t offset : offsets) {
      // The upper half of an fp32 holds its exponent, as a bf16 does.
      uint16_t x;
      std::memcpy(&x, row + offset + stationary.bytes - 2, 2);
      finite = finite && (x & 0x7f80) != 0x7f80;
    }
  }
  return finite;
}

WindowPlan::WindowPlan(const DecodeContext& context, const View& whole,
                       std::vector<WindowProduct> products, bool accumulate)
    : matmul_(context.matmul), dst_(whole), accumulate_(accumulate), columns_(whole.free()) {
  const bool bf16 = std::all_of(products.begin(), products.end(), [](const WindowProduct& p) {
    return p.moving.dtype == isa::DType::kBf16;
  });
  bf16_ = bf16 ? kernels::GetBf16Panel() : nullptr;
  const kernels::GatherKernels& gather = kernels::GetGather();
  const int64_t most = kBlockBytes / (kColumns * 4);
  for (const WindowProduct& p : products) {
    Slot slot;
    slot.stationary = p.stationary;
    slot.moving = p.moving;
    slot.dst = p.dst;
    slot.depth = bf16_ != nullptr ? (p.moving.partitions + 1) / 2 : p.moving.partitions;
    slot.gather = bf16_ != nullptr                      ? gather.bf16_pairs
                  : p.moving.dtype == isa::DType::kBf16 ? gather.bf16_to_f32
                                                        : gather.f32;
    slot.in_place = p.moving.dtype == isa::DType::kF32 && p.moving.FreeContiguous() &&
                    p.moving.free() == columns_;
    in_place_ = in_place_ && slot.in_place;
    slot.parts = Parts(p.dst, (p.dst.base - dst_.base) / 4, p.moving, columns_);
    if (blocks_.empty() || blocks_.back().depth + slot.depth > most) {
      blocks_.push_back({slots_.size(), slots_.size(), 0});
    }
    blocks_.back().last = slots_.size() + 1;
    blocks_.back().depth += slot.depth;
    slots_.push_back(std::move(slot));
  }
}

bool WindowPlan::SharesColumns(const WindowPlan& other) const {
  const auto same = [](const View& a, const View& b) {
    return a.dtype == b.dtype && a.partitions == b.partitions && a.pitch == b.pitch &&
           std::equal(a.size, a.size + isa::kFreeDims, b.size) &&
           std::equal(a.stride, a.stride + isa::kFreeDims, b.stride);
  };
  const auto alike = [&](const Slot& a, const Slot& b) {
    return a.moving.base == b.moving.base && same(a.moving, b.moving) &&
           a.dst.base - dst_.base == b.dst.base - other.dst_.base &&
           std::equal(a.dst.size, a.dst.size + isa::kFreeDims, b.dst.size) &&
           std::equal(a.dst.stride, a.dst.stride + isa::kFreeDims, b.dst.stride);
  };
  return columns_ == other.columns_ && (bf16_ != nullptr) == (other.bf16_ != nullptr) &&
         std::equal(slots_.begin(), slots_.end(), other.slots_.begin(), other.slots_.end(), alike);
}

WindowStep::WindowStep(std::shared_ptr<const WindowPlan> plan, int64_t first, int64_t count,
                       bool packed)
    : plan_(std::move(plan)), first_(first), count_(count) {
  in_place_ = plan_->in_place_ && plan_->bf16_ == nullptr && count_ <= kGatherAbove;
  if (packed) {
    for (const WindowPlan::Block& b : plan_->blocks_) PackRows(b, packed_.emplace_back());
  }
}

void WindowStep::Join(std::unique_ptr<WindowStep> other) { others_.push_back(std::move(other)); }

bool WindowStep::Run(RunContext&) {
  static thread_local std::vector<uint32_t> columns;
  static thread_local std::vector<std::vector<uint32_t>> packed;  // of those not packed before
  packed.resize(std::max(packed.size(), others_.size() + 1));
  for (size_t b = 0; b < plan_->blocks_.size(); ++b) {
    const WindowPlan::Block& block = plan_->blocks_[b];
    const auto rows_of = [&](size_t i) {
      const WindowStep& step = i == 0 ? *this : *others_[i - 1];
      return (step.packed_.empty() ? packed[i] : step.packed_[b]).data();
    };
    bool gathers = false;
    for (size_t i = 0; i <= others_.size(); ++i) {
      const WindowStep& step = i == 0 ? *this : *others_[i - 1];
      if (step.packed_.empty()) step.PackRows(block, packed[i]);
      gathers = gathers || !step.in_place_;
      if (step.in_place_) step.InPlace(block, rows_of(i), b > 0 || step.plan_->accumulate_);
    }
    if (!gathers) continue;
    if (static_cast<int64_t>(columns.size()) < block.depth * kColumns) {
      columns.resize(block.depth * kColumns);
    }
    for (int64_t j = 0; j < plan_->columns_; j += kColumns) {
      Gather(block, j, std::min(kColumns, plan_->columns_ - j), columns.data());
      for (size_t i = 0; i <= others_.size(); ++i) {
        const WindowStep& step = i == 0 ? *this : *others_[i - 1];
        if (step.in_place_) continue;
        step.Multiply(rows_of(i), block.depth, columns.data(), kColumns, j, block.depth,
                      b > 0 || step.plan_->accumulate_);
      }
    }
  }
  return true;
}

int64_t WindowStep::panels() const { return (count_ + kRows - 1) / kRows; }

float* WindowStep::Result(int64_t row) const {
  return reinterpret_cast<float*>(plan_->dst_.base + (first_ + row) * plan_->dst_.pitch);
}

// Panel after panel, each `depth` rows of kRows weights.
void WindowStep::PackRows(const WindowPlan::Block& block, std::vector<uint32_t>& out) const {
  out.assign(panels() * kRows * block.depth, 0);
  uint32_t* to = out.data();
  for (size_t s = block.first; s < block.last; ++s) {
    const WindowPlan::Slot& slot = plan_->slots_[s];
    const View& v = slot.stationary;
    const std::vector<ptrdiff_t> offsets = OffsetsOf(v);
    const bool adjacent = v.FreeContiguous();
    const bool pairs = plan_->bf16_ != nullptr;
    for (int64_t k = 0; k < v.partitions; ++k) {
      const uint8_t* const row = v.base + k * v.pitch;
      const int shift = pairs && k % 2 == 0 ? 0 : 16;
      for (int64_t p = 0; p < panels(); ++p) {
        uint32_t* const panel = to + (p * block.depth + (pairs ? k / 2 : k)) * kRows;
        const int64_t first = first_ + p * kRows, n = std::min(kRows, count_ - p * kRows);
        if (v.bytes == 4 && adjacent) {
          std::memcpy(panel, row + first * 4, n * 4);
          continue;
        }
        for (int64_t i = 0; i < n; ++i) {
          const uint8_t* const x = row + (adjacent ? (first + i) * v.bytes : offsets[first + i]);
          if (v.bytes == 4) {
            std::memcpy(panel + i, x, 4);
          } else {
            uint16_t half;
            std::memcpy(&half, x, 2);
            panel[i] |= static_cast<uint32_t>(half) << shift;
          }
        }
      }
    }
    to += slot.depth * kRows;
  }
}

void WindowStep::InPlace(const WindowPlan::Block& block, const uint32_t* rows,
                         bool accumulate) const {
  for (int64_t j = 0; j < plan_->columns_; j += kColumns) {
    int64_t at = 0;
    for (size_t s = block.first; s < block.last; ++s) {
      const WindowPlan::Slot& slot = plan_->slots_[s];
      Multiply(rows + at * kRows, block.depth, slot.moving.base + j * 4, slot.moving.pitch / 4, j,
               slot.depth, accumulate || s > block.first);
      at += slot.depth;
    }
  }
}

// Up to kColumns columns of the result from `column` on: all panels of rows, `panel` weights deep
// each, of which `depth` count, times the columns at b.
void WindowStep::Multiply(const uint32_t* rows, int64_t panel, const void* b, ptrdiff_t b_pitch,
                          int64_t column, int64_t depth, bool accumulate) const {
  const int64_t width = std::min(kColumns, plan_->columns_ - column);
  const ptrdiff_t c_pitch = plan_->dst_.pitch / 4;
  const bool bf16 = plan_->bf16_ != nullptr;
  const kernels::NarrowFn narrow = bf16 ? kernels::GetNarrowBf16() : kernels::GetNarrow();
  if (width <= kernels::kNarrowColumns && narrow != nullptr) {
    kernels::NarrowTile t;
    t.a = rows;
    t.a_panel = panel * kRows;
    t.b = b;
    t.b_pitch = b_pitch;
    t.c = Result(0) + column;
    t.c_pitch = c_pitch;
    t.m = static_cast<int32_t>(count_);
    t.n = static_cast<int32_t>(width);
    t.k = static_cast<int32_t>(depth);
    t.accumulate = accumulate;
    return narrow(t);
  }
  for (int64_t p = 0; p < panels(); ++p) {
    const int64_t height = std::min(kRows, count_ - p * kRows);
    const uint32_t* const a = rows + p * panel * kRows;
    float* const c = Result(p * kRows) + column;
    if (bf16) {
      kernels::Bf16Panel t;
      t.a = a;
      t.b = static_cast<const uint32_t*>(b);
      t.c = c;
      t.c_pitch = c_pitch;
      t.m = static_cast<int32_t>(height);
      t.n = static_cast<int32_t>(width);
      t.pairs = static_cast<int32_t>(depth);
      t.accumulate = accumulate;
      plan_->bf16_(t);
    } else {
      MatmulTile t;
      t.a = reinterpret_cast<const float*>(a);
      t.a_pitch = kRows;
      t.b = static_cast<const float*>(b);
      t.b_pitch = b_pitch;
      t.c = c;
      t.c_pitch = c_pitch;
      t.m = static_cast<int32_t>(height);
      t.n = static_cast<int32_t>(width);
      t.k = static_cast<int32_t>(depth);
      t.accumulate = accumulate;
      plan_->matmul_(t);
    }
  }
}

void WindowStep::Gather(const WindowPlan::Block& block, int64_t column, int64_t width,
                        uint32_t* out) const {
  for (size_t s = block.first; s < block.last; ++s) {
    const WindowPlan::Slot& slot = plan_->slots_[s];
    kernels::GatherColumns g;
    g.pitch = slot.moving.pitch;
    g.out_pitch = kColumns;
    for (int64_t r = 0; r < slot.moving.partitions; r += kGatherRows) {
      g.source = slot.moving.base + r * slot.moving.pitch;
      g.rows = std::min(kGatherRows, slot.moving.partitions - r);
      for (int64_t c = 0; c < width; c += kLanes) {
        const int64_t v = (column + c) / kLanes;
        g.parts = slot.parts.begin(v);
        g.count = slot.parts.count(v);
        g.out = out + (plan_->bf16_ != nullptr ? r / 2 : r) * kColumns + c;
        slot.gather(g);
      }
    }
    out += slot.depth * kColumns;
  }
}

}  // namespace glia::device::fast
