// The tensor engine: the products of one accumulation group as one product over all of their
// contraction, blocked for the caches and split over the threads along its result.
#include <algorithm>
#include <cstring>
#include <memory>
#include <utility>

#include "device_sim/fast_pack.h"
#include "device_sim/fast_step.h"

namespace glia::device::fast {
namespace {

using kernels::MatmulTile;

// Products above this many multiplications are split over the threads: some 20 microseconds of one.
constexpr int64_t kParallelMultiplications = 1 << 20;
// A panel: rows of the one side that are broadcast, columns of the other that fill vectors.
constexpr int64_t kRows = kernels::kBf16Rows;
constexpr int64_t kColumns = kernels::kBf16Columns;
static_assert(kColumns == kernels::kMatmulColumns);
// With fewer rows than this, packing the columns costs more than it saves.
constexpr int64_t kPackAbove = 24;
// A panel of columns of this many contracted rows, and as many rows of the other side, stay in the
// second-level cache.
constexpr int64_t kBlockRows = 800;
constexpr int64_t kLine = 64;

// Buffers of a thread, grown at first use.
struct Scratch {
  PanelBuffer rows, columns, result;
  static Scratch& Get() {
    static thread_local Scratch scratch;
    return scratch;
  }
};

class MatmulStep final : public Step {
 public:
  MatmulStep(const DecodeContext& context, const View& dst, const std::vector<Product>& products,
             bool accumulate)
      : matmul_(context.matmul),
        accumulate_(accumulate),
        dst_(dst),
        packer_(context.kernels, false) {
    const int64_t m = products[0].stationary.free(), n = products[0].moving.free();
    const auto padded = [](int64_t rows, int64_t columns) {
      return rows * ((columns + 15) / 16 * 16);
    };
    swapped_ = padded(n, m) * 20 < padded(m, n) * 19;
    m_ = swapped_ ? n : m;
    n_ = swapped_ ? m : n;
    direct_ = !swapped_ && dst_.FreeContiguous();
    bool bf16 = true, plain = true;
    rows_.known = columns_.known = true;
    for (const Product& p : products) {
      rows_.Add(swapped_ ? p.moving : p.stationary, swapped_ ? p.of_moving : p.of_stationary);
      columns_.Add(swapped_ ? p.stationary : p.moving, swapped_ ? p.of_stationary : p.of_moving);
      const View& v = columns_.slots.back();
      bf16 = bf16 && p.stationary.dtype == isa::DType::kBf16 && p.moving.dtype == isa::DType::kBf16;
      plain = plain && v.dtype == isa::DType::kF32 && v.FreeContiguous();
    }
    bf16_ = bf16 ? kernels::GetBf16Panel() : nullptr;
    packer_ = Packer(context.kernels, bf16_ != nullptr);
    in_place_ = bf16_ == nullptr && plain && m_ <= kPackAbove;
    PlanBlocks();
    Identify(context, rows_, m_, kRows);
    if (!in_place_) Identify(context, columns_, n_, kColumns);
    for (int64_t e = 0; e < dst_.free() && !direct_; ++e) {
      int64_t rest = e;
      ptrdiff_t offset = 0;
      for (int d = isa::kFreeDims - 1; d >= 0; --d) {
        offset += rest % dst_.size[d] * dst_.stride[d];
        rest /= dst_.size[d];
      }
      offsets_.push_back(offset);
    }
  }

  bool Run(RunContext& context) override {
    const int threads = context.pool->threads();
    if (threads == 1 || m_ * n_ * k_ < kParallelMultiplications) {
      Compute(context.epoch, 0, m_, 0, n_);
      return true;
    }
    // Never along the contraction: a sum does not depend on the number of threads.
    const bool by_columns = n_ >= 2 * kColumns * threads || m_ < 2 * kRows * threads;
    const bool by_panels = columns_.packed != nullptr || n_ >= 8 * kColumns * threads;
    const int64_t unit = by_columns ? (by_panels ? kColumns : 16) : kRows;
    const int64_t units = ((by_columns ? n_ : m_) + unit - 1) / unit;
    const int parts = static_cast<int>(std::min<int64_t>(threads, units));
    context.pool->ForEach(parts, [&](int part) {
      const int64_t begin = units * part / parts * unit, end = units * (part + 1) / parts * unit;
      if (by_columns) {
        Compute(context.epoch, 0, m_, begin, std::min(n_, end));
      } else {
        Compute(context.epoch, begin, std::min(m_, end), 0, n_);
      }
    });
    return true;
  }

  // Rows that the step after this one reads from far away.
  void SetNext(const MatmulStep& next) {
    if (next.rows_.constant && next.rows_.packed == nullptr) next_ = next.rows_.slots;
  }

 private:
  // One side of the product: what is contracted, slot after slot.
  struct Side {
    std::vector<View> slots;
    std::vector<uint64_t> identity;
    bool known = true;                          // identity tells equal contents
    bool constant = true;                       // never changes
    std::shared_ptr<const PanelBuffer> packed;  // of a constant
    std::shared_ptr<Identities::List> list;

    void Add(const View& v, const Product::Known& of) {
      slots.push_back(v);
      known = known && of.identity != 0;
      constant = constant && of.constant;
      for (const uint64_t x :
           {of.identity, reinterpret_cast<uint64_t>(v.base), static_cast<uint64_t>(v.partitions),
            static_cast<uint64_t>(v.free())}) {
        identity.push_back(x);
      }
    }
  };

  // Slots [first, last): rows [at, at + rows) of the packed panels.
  struct Block {
    size_t first, last;
    int64_t at, rows;
  };

  void PlanBlocks() {
    for (size_t s = 0; s < rows_.slots.size(); ++s) {
      k_ += rows_.slots[s].partitions;
      const int64_t rows = packer_.RowsOf(rows_.slots[s]);
      if (blocks_.empty() || blocks_.back().rows + rows > kBlockRows) {
        blocks_.push_back({s, s, packed_k_, 0});
      }
      blocks_.back().last = s + 1;
      blocks_.back().rows += rows;
      packed_k_ += rows;
    }
  }

  int64_t PanelWords(int64_t width) const { return packed_k_ * width; }
  int64_t PackedWords(int64_t n, int64_t width) const {
    return (n + width - 1) / width * PanelWords(width);
  }

  // Packs constants of bf16, whose pairs take time to make; fp32 would only be there twice.
  void Identify(const DecodeContext& context, Side& side, int64_t n, int64_t width) {
    if (context.identities == nullptr || !side.known) return;
    side.list = context.identities->Find(side.identity, width);
    if (!side.constant || bf16_ == nullptr) return;
    if (side.list->packed.expired()) {
      auto buffer = std::make_shared<PanelBuffer>();
      packer_.Pack(side.slots, 0, n, width, buffer->Get(PackedWords(n, width)), PanelWords(width));
      side.packed = std::move(buffer);
      side.list->packed = side.packed;
    } else {
      side.packed = side.list->packed.lock();
    }
  }

  // Panels of elements [first, first + n) of a side over all of the contraction: packed before or
  // to be used again; null if they are better packed block by block.
  const float* Whole(const Side& side, uint64_t epoch, int64_t first, int64_t n,
                     int64_t width) const {
    if (side.packed != nullptr) return side.packed->data() + first / width * PanelWords(width);
    const int64_t words = PackedWords(n, width);
    if (side.constant || side.list == nullptr || side.list->uses < 2 ||
        words > PackCache::kMaxWords) {
      return nullptr;
    }
    const PackCache::Found found =
        PackCache::OfThread().Get({epoch, side.list->identity, first, n, width}, words);
    if (!found.packed) packer_.Pack(side.slots, first, n, width, found.data, PanelWords(width));
    return found.data;
  }

  // Rows [r0, r1) and columns [c0, c1) of the result.
  void Compute(uint64_t epoch, int64_t r0, int64_t r1, int64_t c0, int64_t c1) const {
    Scratch& scratch = Scratch::Get();
    const int64_t m = r1 - r0, n = c1 - c0;
    float* c;
    ptrdiff_t pitch;
    if (direct_) {
      pitch = dst_.pitch / 4;
      c = reinterpret_cast<float*>(dst_.base) + r0 * pitch + c0;
    } else {
      pitch = n;
      c = scratch.result.Get(m * n);
    }
    const float* const all_rows = Whole(rows_, epoch, r0, m, kRows);
    const float* const all_columns = in_place_ ? nullptr : Whole(columns_, epoch, c0, n, kColumns);
    bool accumulate = direct_ && accumulate_;
    for (const Block& block : blocks_) {
      Panels rows = {all_rows + block.at * kRows, PanelWords(kRows)};
      if (all_rows == nullptr) {
        rows.words = block.rows * kRows;
        float* const to = scratch.rows.Get((m + kRows - 1) / kRows * rows.words);
        packer_.Pack(SlotsOf(rows_, block), r0, m, kRows, to, rows.words);
        rows.data = to;
      }
      const Ahead ahead = AheadOf(block, r0, m);
      if (in_place_) {
        InPlace(block, rows, m, c0, n, c, pitch, accumulate);
      } else {
        for (int64_t j = 0; j < n; j += kColumns) {
          const int64_t width = std::min(kColumns, n - j);
          const float* columns =
              all_columns + j / kColumns * PanelWords(kColumns) + block.at * kColumns;
          if (all_columns == nullptr) {
            float* const to = scratch.columns.Get(block.rows * kColumns);
            packer_.Pack(SlotsOf(columns_, block), c0 + j, width, kColumns, to,
                         block.rows * kColumns);
            columns = to;
          }
          const bool more = all_columns == nullptr && j + kColumns < n;
          const Ahead next = {SlotsOf(columns_, block), c0 + j + kColumns, kColumns};
          const int64_t panels = (m + kRows - 1) / kRows;
          for (int64_t p = 0; p < panels; ++p) {
            if (more) Prefetch(next, p, panels);
            Prefetch(ahead, j / kColumns * panels + p, (n + kColumns - 1) / kColumns * panels);
            Tile(rows.data + p * rows.words, columns, block.rows, std::min(kRows, m - p * kRows),
                 width, c + p * kRows * pitch + j, pitch, accumulate);
          }
        }
      }
      accumulate = true;
    }
    if (!direct_) Scatter(c, r0, m, c0, n);
  }

  struct Panels {
    const float* data;
    int64_t words;  // from one to the next
  };

  static absl::Span<const View> SlotsOf(const Side& side, const Block& block) {
    return absl::MakeConstSpan(side.slots).subspan(block.first, block.last - block.first);
  }

  void Tile(const float* a, const float* b, int64_t k, int64_t m, int64_t n, float* c,
            ptrdiff_t pitch, bool accumulate) const {
    if (bf16_ != nullptr) {
      kernels::Bf16Panel t;
      t.a = reinterpret_cast<const uint32_t*>(a);
      t.b = reinterpret_cast<const uint32_t*>(b);
      t.c = c;
      t.c_pitch = pitch;
      t.m = static_cast<int32_t>(m);
      t.n = static_cast<int32_t>(n);
      t.pairs = static_cast<int32_t>(k);
      t.accumulate = accumulate;
      return bf16_(t);
    }
    matmul_({a, b, c, kRows, kColumns, pitch, static_cast<int32_t>(m), static_cast<int32_t>(n),
             static_cast<int32_t>(k), accumulate});
  }

  // A few rows: the columns are read where they are.
  void InPlace(const Block& block, const Panels& rows, int64_t m, int64_t c0, int64_t n, float* c,
               ptrdiff_t pitch, bool accumulate) const {
    int64_t done = 0;
    for (size_t s = block.first; s < block.last; ++s) {
      const View& v = columns_.slots[s];
      for (int64_t p = 0; p * kRows < m; ++p) {
        matmul_({rows.data + p * rows.words + done * kRows,
                 reinterpret_cast<const float*>(v.base) + c0, c + p * kRows * pitch, kRows,
                 v.pitch / 4, pitch, static_cast<int32_t>(std::min(kRows, m - p * kRows)),
                 static_cast<int32_t>(n), static_cast<int32_t>(v.partitions),
                 accumulate || s > block.first});
      }
      done += v.partitions;
    }
  }

  // What will be read next, to be brought nearer meanwhile: elements [first, first + n) of the
  // slots.
  struct Ahead {
    absl::Span<const View> slots;
    int64_t first = 0, n = 0;
  };

  // The rows to be packed after those of `block`, in this step or the next.
  Ahead AheadOf(const Block& block, int64_t r0, int64_t m) const {
    if (&block != &blocks_.back()) {
      if (!rows_.constant || rows_.packed != nullptr) return {};
      return {SlotsOf(rows_, *(&block + 1)), r0, m};
    }
    if (next_.empty()) return {};
    const int64_t rows = next_[0].free();
    return {next_, rows * r0 / m_, rows * m / m_};
  }

  // The given one of so many parts.
  static void Prefetch(const Ahead& ahead, int64_t part, int64_t parts) {
    for (const View& v : ahead.slots) {
      if (v.size[0] * v.size[1] * v.size[2] != 1) return;
      const uint8_t* const base = v.base + ahead.first * v.stride[isa::kFreeDims - 1];
      const int64_t bytes = ahead.n * v.stride[isa::kFreeDims - 1];
      for (int64_t k = v.partitions * part / parts; k < v.partitions * (part + 1) / parts; ++k) {
        for (int64_t b = 0; b < bytes; b += kLine) __builtin_prefetch(base + k * v.pitch + b, 0, 2);
      }
    }
  }

  void Scatter(const float* c, int64_t r0, int64_t m, int64_t c0, int64_t n) const {
    for (int64_t i = 0; i < m; ++i) {
      for (int64_t j = 0; j < n; ++j) {
        const int64_t partition = swapped_ ? c0 + j : r0 + i, free = swapped_ ? r0 + i : c0 + j;
        float* const p =
            reinterpret_cast<float*>(dst_.base + partition * dst_.pitch + offsets_[free]);
        *p = accumulate_ ? *p + c[i * n + j] : c[i * n + j];
      }
    }
  }

  const kernels::MatmulFn matmul_;
  const bool accumulate_;
  const View dst_;
  Packer packer_;
  kernels::Bf16PanelFn bf16_ = nullptr;  // null: in fp32
  Side rows_, columns_;
  std::vector<Block> blocks_;
  std::vector<View> next_;
  int64_t m_ = 0, n_ = 0, k_ = 0;
  int64_t packed_k_ = 0;            // rows of a panel
  bool swapped_ = false;            // rows are the moving operand's free elements
  bool direct_ = false;             // the result has the layout of dst
  bool in_place_ = false;           // columns are read where they are
  std::vector<ptrdiff_t> offsets_;  // of dst's free elements
};

}  // namespace

std::unique_ptr<Step> MakeMatmul(const DecodeContext& context, const View& dst,
                                 std::vector<Product> products, bool accumulate) {
  auto step = std::make_unique<MatmulStep>(context, dst, products, accumulate);
  if (context.identities != nullptr) {
    Step*& last = context.identities->last[context.lane];
    if (last != nullptr) static_cast<MatmulStep*>(last)->SetNext(*step);
    last = step.get();
  }
  return step;
}

}  // namespace glia::device::fast
