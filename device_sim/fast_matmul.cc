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
// Rows that are packed on the way: both forms of them fit there too.
constexpr int64_t kRowChunk = 64;
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
        alone_(context.lane >= 0),
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
    if (alone_ || threads == 1 || m_ * n_ * k_ < kParallelMultiplications) {
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

  // From one panel to the next: a line more than there is, or else the panels, which are written
  // side by side, would meet in few sets of the cache.
  static int64_t PanelWords(int64_t rows, int64_t width) { return rows * width + kLine / 4; }
  int64_t PanelWords(int64_t width) const { return PanelWords(packed_k_, width); }
  int64_t PackedWords(int64_t n, int64_t width) const {
    return (n + width - 1) / width * PanelWords(width);
  }

  // Tells the side's contents apart from others', and packs constants: bf16 always, fp32 as far as
  // the memory for having them twice goes.
  void Identify(const DecodeContext& context, Side& side, int64_t n, int64_t width) {
    if (context.identities == nullptr || !side.known) return;
    // Lanes do not see what others pack as they run.
    if (!side.constant) side.identity.push_back(static_cast<uint64_t>(context.lane));
    side.list = context.identities->Find(side.identity, width);
    if (!side.constant) return;
    side.packed = side.list->packed.lock();
    if (side.packed != nullptr) return;
    const int64_t words = PackedWords(n, width);
    if (bf16_ == nullptr && !context.identities->Spend(words * 4)) return;
    auto buffer = std::make_shared<PanelBuffer>();
    packer_.Pack(side.slots, 0, n, width, buffer->Get(words), PanelWords(width));
    side.packed = std::move(buffer);
    side.list->packed = side.packed;
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
    const int64_t chunk = all_rows == nullptr && all_columns != nullptr ? kRowChunk : m;
    for (const Block& block : blocks_) {
      for (int64_t i = 0; i < m; i += chunk) {
        const Part part = {r0 + i, std::min(chunk, m - i), c0, n, c + i * pitch, pitch, accumulate};
        Panels rows = {nullptr, PanelWords(kRows)};
        if (all_rows != nullptr) {
          rows.data = all_rows + block.at * kRows + i / kRows * rows.words;
        } else {
          rows.words = PanelWords(block.rows, kRows);
          float* const to = scratch.rows.Get((part.m + kRows - 1) / kRows * rows.words);
          packer_.Pack(SlotsOf(rows_, block), part.r0, part.m, kRows, to, rows.words);
          rows.data = to;
        }
        if (in_place_) {
          InPlace(block, rows, part);
        } else {
          const float* const columns =
              all_columns == nullptr ? nullptr : all_columns + block.at * kColumns;
          ByPanels(block, rows, columns, part);
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

  // What will be read next, to be brought nearer meanwhile: elements [first, first + n) of the
  // slots.
  struct Ahead {
    absl::Span<const View> slots;
    int64_t first = 0, n = 0;
  };

  // Rows [r0, r0 + m) and columns [c0, c0 + n) of the result, at c.
  struct Part {
    int64_t r0, m, c0, n;
    float* c;
    ptrdiff_t pitch;
    bool accumulate;
  };

  // `columns`: panels over all of the contraction from the block on, or null.
  void ByPanels(const Block& block, const Panels& rows, const float* columns,
                const Part& part) const {
    Scratch& scratch = Scratch::Get();
    const int64_t panels = (part.m + kRows - 1) / kRows;
    for (int64_t j = 0; j < part.n; j += kColumns) {
      MatmulTile t;
      t.n = static_cast<int32_t>(std::min(kColumns, part.n - j));
      t.k = static_cast<int32_t>(block.rows);
      t.a_pitch = kRows;
      t.b_pitch = kColumns;
      t.c_pitch = part.pitch;
      t.accumulate = part.accumulate;
      if (columns != nullptr) {
        t.b = columns + j / kColumns * PanelWords(kColumns);
      } else {
        float* const to = scratch.columns.Get(block.rows * kColumns);
        packer_.Pack(SlotsOf(columns_, block), part.c0 + j, t.n, kColumns, to,
                     block.rows * kColumns);
        t.b = to;
      }
      const bool more = columns == nullptr && j + kColumns < part.n;
      const Ahead next = {SlotsOf(columns_, block), part.c0 + j + kColumns, kColumns};
      for (int64_t p = 0; p < panels; ++p) {
        if (more) Prefetch(next, p, panels);
        t.a = rows.data + p * rows.words;
        t.c = part.c + p * kRows * part.pitch + j;
        t.m = static_cast<int32_t>(std::min(kRows, part.m - p * kRows));
        Tile(t);
      }
    }
  }

  static absl::Span<const View> SlotsOf(const Side& side, const Block& block) {
    return absl::MakeConstSpan(side.slots).subspan(block.first, block.last - block.first);
  }

  void Tile(const MatmulTile& tile) const {
    if (bf16_ == nullptr) return matmul_(tile);
    kernels::Bf16Panel t;
    t.a = reinterpret_cast<const uint32_t*>(tile.a);
    t.b = reinterpret_cast<const uint32_t*>(tile.b);
    t.c = tile.c;
    t.c_pitch = tile.c_pitch;
    t.m = tile.m;
    t.n = tile.n;
    t.pairs = tile.k;
    t.accumulate = tile.accumulate;
    bf16_(t);
  }

  // A few rows: the columns are read where they are.
  void InPlace(const Block& block, const Panels& rows, const Part& part) const {
    int64_t done = 0;
    for (size_t s = block.first; s < block.last; ++s) {
      const View& v = columns_.slots[s];
      for (int64_t p = 0; p * kRows < part.m; ++p) {
        MatmulTile t;
        t.a = rows.data + p * rows.words + done * kRows;
        t.b = reinterpret_cast<const float*>(v.base) + part.c0;
        t.c = part.c + p * kRows * part.pitch;
        t.a_pitch = kRows;
        t.b_pitch = v.pitch / 4;
        t.c_pitch = part.pitch;
        t.m = static_cast<int32_t>(std::min(kRows, part.m - p * kRows));
        t.n = static_cast<int32_t>(part.n);
        t.k = static_cast<int32_t>(v.partitions);
        t.accumulate = part.accumulate || s > block.first;
        matmul_(t);
      }
      done += v.partitions;
    }
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
  const bool alone_;  // on the thread that runs it
  const bool accumulate_;
  const View dst_;
  Packer packer_;
  kernels::Bf16PanelFn bf16_ = nullptr;  // null: in fp32
  Side rows_, columns_;
  std::vector<Block> blocks_;
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
  return std::make_unique<MatmulStep>(context, dst, products, accumulate);
}

}  // namespace glia::device::fast
