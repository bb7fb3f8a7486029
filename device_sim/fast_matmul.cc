// The tensor engine: the products of one accumulation group as one product over all of their
// contraction, blocked for the caches and split over the threads along its result.
#include <algorithm>
#include <cstring>
#include <memory>
#include <utility>

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
// Contracted elements whose panel of columns stays in the second-level cache.
constexpr int64_t kBlockBytes = 128 << 10;

// Adjacent or strided elements of a row, and where they go.
struct Piece {
  ptrdiff_t offset;
  ptrdiff_t stride;
  int64_t count;
  int64_t at;
};

// Elements [first, first + n) of one partition of the view.
void PiecesOf(const View& v, int64_t first, int64_t n, std::vector<Piece>& pieces) {
  pieces.clear();
  int64_t index[isa::kFreeDims];
  int64_t rest = first;
  for (int d = isa::kFreeDims - 1; d >= 0; --d) {
    index[d] = rest % v.size[d];
    rest /= v.size[d];
  }
  constexpr int kInner = isa::kFreeDims - 1;
  for (int64_t done = 0; done < n;) {
    ptrdiff_t offset = 0;
    for (int d = 0; d < isa::kFreeDims; ++d) offset += index[d] * v.stride[d];
    const int64_t count = std::min(n - done, v.size[kInner] - index[kInner]);
    const bool continues =
        !pieces.empty() && pieces.back().stride == v.stride[kInner] &&
        pieces.back().offset + pieces.back().count * pieces.back().stride == offset;
    if (continues) {
      pieces.back().count += count;
    } else {
      pieces.push_back({offset, v.stride[kInner], count, done});
    }
    done += count;
    index[kInner] = 0;
    for (int d = kInner - 1; d >= 0; --d) {
      if (++index[d] < v.size[d]) break;
      index[d] = 0;
    }
  }
}

// Buffers of a thread, grown at first use.
struct Scratch {
  std::vector<float> rows, columns, result;
  std::vector<Piece> pieces;
  static Scratch& Get() {
    static thread_local Scratch scratch;
    return scratch;
  }
  static float* Of(std::vector<float>& buffer, int64_t size) {
    if (static_cast<int64_t>(buffer.size()) < size) buffer.resize(size);
    return buffer.data();
  }
};

class MatmulStep final : public Step {
 public:
  MatmulStep(const DecodeContext& context, const View& dst, std::vector<Product> products,
             bool accumulate)
      : matmul_(context.matmul),
        load_(context.kernels.load_f32),
        accumulate_(accumulate),
        dst_(dst) {
    const int64_t m = products[0].stationary.free(), n = products[0].moving.free();
    const auto padded = [](int64_t rows, int64_t columns) {
      return rows * ((columns + 15) / 16 * 16);
    };
    swapped_ = padded(n, m) * 20 < padded(m, n) * 19;
    m_ = swapped_ ? n : m;
    n_ = swapped_ ? m : n;
    direct_ = !swapped_ && dst_.FreeContiguous();
    bool bf16 = true, plain = true;
    for (Product& p : products) {
      if (swapped_) std::swap(p.stationary, p.moving);
      slots_.push_back({p.stationary, p.moving});
      k_ += p.stationary.partitions;
      bf16 = bf16 && p.stationary.dtype == isa::DType::kBf16 && p.moving.dtype == isa::DType::kBf16;
      plain = plain && p.moving.dtype == isa::DType::kF32 && p.moving.FreeContiguous();
    }
    bf16_ = bf16 ? kernels::GetBf16Panel() : nullptr;
    in_place_ = plain && m_ <= kPackAbove;
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
      Compute(0, m_, 0, n_);
      return true;
    }
    // Never along the contraction: a sum does not depend on the number of threads.
    const bool by_columns = n_ >= 2 * kColumns * threads || m_ < 2 * kRows * threads;
    const int64_t unit = by_columns ? (n_ >= 8 * kColumns * threads ? kColumns : 16) : kRows;
    const int64_t units = ((by_columns ? n_ : m_) + unit - 1) / unit;
    const int parts = static_cast<int>(std::min<int64_t>(threads, units));
    context.pool->ForEach(parts, [&](int part) {
      const int64_t begin = units * part / parts * unit, end = units * (part + 1) / parts * unit;
      if (by_columns) {
        Compute(0, m_, begin, std::min(n_, end));
      } else {
        Compute(begin, std::min(m_, end), 0, n_);
      }
    });
    return true;
  }

 private:
  struct Slot {
    View rows, columns;
    int64_t k() const { return rows.partitions; }
  };

  // Rows [r0, r1) and columns [c0, c1) of the result.
  void Compute(int64_t r0, int64_t r1, int64_t c0, int64_t c1) const {
    Scratch& scratch = Scratch::Get();
    const int64_t m = r1 - r0, n = c1 - c0;
    float* c;
    ptrdiff_t pitch;
    if (direct_) {
      pitch = dst_.pitch / 4;
      c = reinterpret_cast<float*>(dst_.base) + r0 * pitch + c0;
    } else {
      pitch = n;
      c = Scratch::Of(scratch.result, m * n);
    }
    bool accumulate = direct_ && accumulate_;
    for (size_t first = 0; first < slots_.size();) {
      // As many products as fill a block.
      size_t last = first;
      int64_t k = 0;
      const int64_t most = kBlockBytes / (kColumns * (bf16_ != nullptr ? 2 : 4));
      while (last < slots_.size() && (k == 0 || k + slots_[last].k() <= most)) {
        k += bf16_ != nullptr ? (slots_[last].k() + 1) / 2 * 2 : slots_[last].k();
        ++last;
      }
      Block(scratch, first, last, k, r0, m, c0, n, c, pitch, accumulate);
      accumulate = true;
      first = last;
    }
    if (!direct_) Scatter(c, r0, m, c0, n);
  }

  // c += or = the products [first, last), k contracted elements in all (rounded up to pairs for
  // bf16).
  void Block(Scratch& scratch, size_t first, size_t last, int64_t k, int64_t r0, int64_t m,
             int64_t c0, int64_t n, float* c, ptrdiff_t pitch, bool accumulate) const {
    const int64_t panels = (m + kRows - 1) / kRows;
    float* const rows = Scratch::Of(scratch.rows, panels * kRows * k);
    const int64_t packed_k = bf16_ != nullptr ? k / 2 : k;  // in elements of 4 bytes
    PackRows(scratch, first, last, r0, m, packed_k, rows);
    if (in_place_ && bf16_ == nullptr) {
      int64_t done = 0;
      for (size_t s = first; s < last; ++s) {
        const View& v = slots_[s].columns;
        for (int64_t p = 0; p < panels; ++p) {
          MatmulTile t;
          t.a = rows + p * kRows * k + done * kRows;
          t.a_pitch = kRows;
          t.b = reinterpret_cast<const float*>(v.base) + c0;
          t.b_pitch = v.pitch / 4;
          t.c = c + p * kRows * pitch;
          t.c_pitch = pitch;
          t.m = static_cast<int32_t>(std::min(kRows, m - p * kRows));
          t.n = static_cast<int32_t>(n);
          t.k = static_cast<int32_t>(v.partitions);
          t.accumulate = accumulate || s > first;
          matmul_(t);
        }
        done += v.partitions;
      }
      return;
    }
    float* const columns = Scratch::Of(scratch.columns, kColumns * packed_k);
    for (int64_t j = 0; j < n; j += kColumns) {
      const int64_t width = std::min(kColumns, n - j);
      Pack<false>(scratch, first, last, c0 + j, width, columns);
      for (int64_t p = 0; p < panels; ++p) {
        if (j + kColumns < n) Prefetch(first, last, c0 + j + kColumns, p, panels);
        const int64_t height = std::min(kRows, m - p * kRows);
        if (bf16_ != nullptr) {
          kernels::Bf16Panel t;
          t.a = reinterpret_cast<const uint32_t*>(rows + p * kRows * packed_k);
          t.b = reinterpret_cast<const uint32_t*>(columns);
          t.c = c + p * kRows * pitch + j;
          t.c_pitch = pitch;
          t.m = static_cast<int32_t>(height);
          t.n = static_cast<int32_t>(width);
          t.pairs = static_cast<int32_t>(packed_k);
          t.accumulate = accumulate;
          bf16_(t);
        } else {
          MatmulTile t;
          t.a = rows + p * kRows * k;
          t.a_pitch = kRows;
          t.b = columns;
          t.b_pitch = kColumns;
          t.c = c + p * kRows * pitch + j;
          t.c_pitch = pitch;
          t.m = static_cast<int32_t>(height);
          t.n = static_cast<int32_t>(width);
          t.k = static_cast<int32_t>(k);
          t.accumulate = accumulate;
          matmul_(t);
        }
      }
    }
  }

  // All panels of rows, the next one `packed_k` rows of the panel further.
  void PackRows(Scratch& scratch, size_t first, size_t last, int64_t r0, int64_t m,
                int64_t packed_k, float* out) const {
    const auto adjacent = [&](const View& v) {
      return v.FreeContiguous() && (v.dtype == isa::DType::kF32 || bf16_ != nullptr);
    };
    const int64_t whole = m / kRows;  // panels
    bool fast = true;
    for (size_t s = first; s < last; ++s) fast = fast && adjacent(slots_[s].rows);
    for (int64_t p = fast ? whole : 0; p * kRows < m; ++p) {
      Pack<true>(scratch, first, last, r0 + p * kRows, std::min(kRows, m - p * kRows),
                 out + p * kRows * packed_k);
    }
    if (!fast) return;
    // Along the rows as they lie in memory, into all panels.
    for (size_t s = first; s < last; ++s) {
      const View& v = slots_[s].rows;
      const uint8_t* const base = v.base + r0 * v.bytes;
      static constexpr uint16_t kZeros[kRows] = {};
      for (int64_t k = 0; k < v.partitions; k += bf16_ != nullptr ? 2 : 1, out += kRows) {
        const uint8_t* const row = base + k * v.pitch;
        for (int64_t p = 0; p < whole; ++p) {
          float* const to = out + p * kRows * packed_k;
          if (bf16_ == nullptr) {
            std::memcpy(to, row + p * kRows * 4, kRows * 4);
          } else {
            const bool pair = k + 1 < v.partitions;
            Interleave<kRows>(
                row + p * kRows * 2,
                pair ? row + v.pitch + p * kRows * 2 : reinterpret_cast<const uint8_t*>(kZeros),
                to);
          }
        }
      }
    }
  }

  template <int64_t kWidth>
  static void Interleave(const uint8_t* low, const uint8_t* high, float* out) {
    uint16_t a[kWidth], b[kWidth];
    uint32_t pairs[kWidth];
    std::memcpy(a, low, sizeof(a));
    std::memcpy(b, high, sizeof(b));
    for (int64_t j = 0; j < kWidth; ++j) pairs[j] = a[j] | static_cast<uint32_t>(b[j]) << 16;
    std::memcpy(out, pairs, sizeof(pairs));
  }

  // Elements [f0, f0 + n) of every contracted row of the products, one row (bf16: pair of rows)
  // after another, each padded to the panel's width.
  template <bool kSide>
  void Pack(Scratch& scratch, size_t first, size_t last, int64_t f0, int64_t n, float* out) const {
    constexpr int64_t kWidth = kSide ? kRows : kColumns;
    for (size_t s = first; s < last; ++s) {
      const View& v = kSide ? slots_[s].rows : slots_[s].columns;
      PiecesOf(v, f0, n, scratch.pieces);
      out = bf16_ != nullptr ? PackPairs<kWidth>(v, scratch.pieces, n, out)
                             : PackFloats<kWidth>(v, scratch.pieces, n, out);
    }
  }

  template <int64_t kWidth>
  float* PackFloats(const View& v, const std::vector<Piece>& pieces, int64_t n, float* out) const {
    const bool adjacent =
        v.dtype == isa::DType::kF32 && pieces.size() == 1 && pieces[0].stride == 4;
    const auto load = load_[static_cast<int>(v.dtype)];
    for (int64_t k = 0; k < v.partitions; ++k, out += kWidth) {
      const uint8_t* const row = v.base + k * v.pitch;
      if (adjacent && n == kWidth) {
        std::memcpy(out, row + pieces[0].offset, kWidth * 4);
      } else if (v.dtype == isa::DType::kF32) {
        for (const Piece& p : pieces)
          CopyRow<uint32_t>(row + p.offset, p.stride, out + p.at, p.count);
      } else {
        for (const Piece& p : pieces)
          load(row + p.offset, p.stride, out + p.at, static_cast<size_t>(p.count));
      }
    }
    return out;
  }

  template <int64_t kWidth>
  float* PackPairs(const View& v, const std::vector<Piece>& pieces, int64_t n, float* out) const {
    const bool adjacent = pieces.size() == 1 && pieces[0].stride == 2;
    uint16_t gathered[2][kWidth] = {};
    for (int64_t k = 0; k < v.partitions; k += 2, out += kWidth) {
      const uint16_t* half[2] = {gathered[0], gathered[1]};
      for (int64_t i = 0; i < 2; ++i) {
        const uint8_t* const row = v.base + (k + i) * v.pitch;
        if (k + i == v.partitions) {
          std::memset(gathered[i], 0, sizeof(gathered[i]));
        } else if (adjacent) {
          half[i] = reinterpret_cast<const uint16_t*>(row + pieces[0].offset);
        } else {
          for (const Piece& p : pieces)
            CopyRow<uint16_t>(row + p.offset, p.stride, gathered[i] + p.at, p.count);
        }
      }
      uint32_t* const to = reinterpret_cast<uint32_t*>(out);
      const uint16_t* const a = half[0];
      const uint16_t* const b = half[1];
      if (n == kWidth) {
        for (int64_t j = 0; j < kWidth; ++j) to[j] = a[j] | static_cast<uint32_t>(b[j]) << 16;
      } else {
        for (int64_t j = 0; j < n; ++j) to[j] = a[j] | static_cast<uint32_t>(b[j]) << 16;
        for (int64_t j = n; j < kWidth; ++j) to[j] = 0;
      }
    }
    return out;
  }

  template <class T>
  static void CopyRow(const uint8_t* src, ptrdiff_t stride, void* dst, int64_t n) {
    if (stride == sizeof(T)) {
      std::memcpy(dst, src, n * sizeof(T));
      return;
    }
    T* const out = static_cast<T*>(dst);
    for (int64_t i = 0; i < n; ++i) std::memcpy(out + i, src + i * stride, sizeof(T));
  }

  // Brings a share of the next panel of columns nearer while this one is computed with.
  void Prefetch(size_t first, size_t last, int64_t column, int64_t part, int64_t parts) const {
    for (size_t s = first; s < last; ++s) {
      const View& v = slots_[s].columns;
      if (v.size[0] * v.size[1] * v.size[2] != 1) return;
      const uint8_t* const base = v.base + column * v.stride[isa::kFreeDims - 1];
      const int64_t bytes = kColumns * v.stride[isa::kFreeDims - 1];
      for (int64_t k = v.partitions * part / parts; k < v.partitions * (part + 1) / parts; ++k) {
        for (int64_t b = 0; b < bytes; b += 64) __builtin_prefetch(base + k * v.pitch + b, 0, 2);
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
  const kernels::LoadF32Fn* const load_;
  const bool accumulate_;
  const View dst_;
  kernels::Bf16PanelFn bf16_ = nullptr;  // null: in fp32
  std::vector<Slot> slots_;
  int64_t m_ = 0, n_ = 0, k_ = 0;
  bool swapped_ = false;            // rows are the moving operand's free elements
  bool direct_ = false;             // the result has the layout of dst
  bool in_place_ = false;           // columns are read where they are
  std::vector<ptrdiff_t> offsets_;  // of dst's free elements
};

}  // namespace

std::unique_ptr<Step> MakeMatmul(const DecodeContext& context, const View& dst,
                                 std::vector<Product> products, bool accumulate) {
  return std::make_unique<MatmulStep>(context, dst, std::move(products), accumulate);
}

}  // namespace glia::device::fast
