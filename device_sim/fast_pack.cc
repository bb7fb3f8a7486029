#include "device_sim/fast_pack.h"

#include <algorithm>
#include <atomic>
#include <cstring>

namespace glia::device::fast {
namespace {

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

template <class T>
void CopyRow(const uint8_t* src, ptrdiff_t stride, T* out, int64_t n) {
  if (stride == sizeof(T)) {
    std::memcpy(out, src, n * sizeof(T));
    return;
  }
  for (int64_t i = 0; i < n; ++i) std::memcpy(out + i, src + i * stride, sizeof(T));
}

// A row of floats into its places in the panels.
template <int64_t kWidth>
void Spread(const uint8_t* row, int64_t n, float* out, int64_t panel_words) {
  for (; n >= kWidth; n -= kWidth, row += kWidth * 4, out += panel_words) {
    std::memcpy(out, row, kWidth * 4);
  }
  if (n > 0) std::memcpy(out, row, n * 4);
}

void Spread(const uint8_t* row, int64_t n, int64_t width, float* out, int64_t panel_words) {
  if (width == kernels::kBf16Rows) return Spread<kernels::kBf16Rows>(row, n, out, panel_words);
  Spread<kernels::kBf16Columns>(row, n, out, panel_words);
}

// Grown at first use.
struct Scratch {
  std::vector<Piece> pieces;
  std::vector<float> row;
  std::vector<uint16_t> halves;
  static Scratch& Get() {
    static thread_local Scratch scratch;
    return scratch;
  }
};

template <class T>
T* Grown(std::vector<T>& buffer, int64_t size) {
  if (static_cast<int64_t>(buffer.size()) < size) buffer.resize(size);
  return buffer.data();
}

}  // namespace

int64_t Packer::RowsOf(absl::Span<const View> slots) const {
  int64_t rows = 0;
  for (const View& v : slots) rows += RowsOf(v);
  return rows;
}

void Packer::Pack(absl::Span<const View> slots, int64_t first, int64_t n, int64_t width, float* out,
                  int64_t panel_words) const {
  for (const View& v : slots) {
    PackSlot(v, first, n, width, out, panel_words);
    out += RowsOf(v) * width;
  }
}

void Packer::PackSlot(const View& v, int64_t first, int64_t n, int64_t width, float* out,
                      int64_t panel_words) const {
  Scratch& scratch = Scratch::Get();
  PiecesOf(v, first, n, scratch.pieces);
  const Piece& start = scratch.pieces[0];
  const bool adjacent = scratch.pieces.size() == 1 && start.stride == v.bytes;
  if (pairs_ != nullptr) {
    uint16_t* const halves = Grown(scratch.halves, 2 * n);
    for (int64_t k = 0; k < v.partitions; k += 2, out += width) {
      const uint16_t* half[2] = {nullptr, nullptr};
      for (int64_t i = 0; i < std::min<int64_t>(2, v.partitions - k); ++i) {
        const uint8_t* const row = v.base + (k + i) * v.pitch;
        half[i] = reinterpret_cast<const uint16_t*>(row + start.offset);
        if (adjacent) continue;
        half[i] = halves + i * n;
        for (const Piece& p : scratch.pieces)
          CopyRow(row + p.offset, p.stride, halves + i * n + p.at, p.count);
      }
      pairs_(half[0], half[1], n, width, reinterpret_cast<uint32_t*>(out), panel_words);
    }
    return;
  }
  const auto load = load_[static_cast<int>(v.dtype)];
  float* const gathered = Grown(scratch.row, n);
  for (int64_t k = 0; k < v.partitions; ++k, out += width) {
    const uint8_t* const row = v.base + k * v.pitch;
    if (adjacent && v.dtype == isa::DType::kF32) {
      Spread(row + start.offset, n, width, out, panel_words);
      continue;
    }
    for (const Piece& p : scratch.pieces) {
      if (v.dtype == isa::DType::kF32) {
        CopyRow(row + p.offset, p.stride, gathered + p.at, p.count);
      } else {
        load(row + p.offset, p.stride, gathered + p.at, static_cast<size_t>(p.count));
      }
    }
    Spread(reinterpret_cast<const uint8_t*>(gathered), n, width, out, panel_words);
  }
}

uint64_t Identities::Next() {
  static std::atomic<uint64_t> last{0};
  return ++last;
}

std::shared_ptr<Identities::List> Identities::Find(const std::vector<uint64_t>& contents,
                                                   int64_t width) {
  std::shared_ptr<List>& list = lists_[{contents, width}];
  if (list == nullptr) {
    list = std::make_shared<List>();
    list->identity = Next();
  }
  ++list->uses;
  return list;
}

float* PanelBuffer::Get(int64_t words) {
  if (words > words_) {
    constexpr int64_t kAlign = 64;
    data_.reset();
    data_.reset(new float[words + kAlign / sizeof(float)]);
    const auto at = reinterpret_cast<uintptr_t>(data_.get());
    start_ = reinterpret_cast<float*>((at + kAlign - 1) / kAlign * kAlign);
    words_ = words;
  }
  return start_;
}

PackCache& PackCache::OfThread() {
  static thread_local PackCache cache;
  return cache;
}

PackCache::Found PackCache::Get(const Key& key, int64_t words) {
  Entry* oldest = &entries_[0];
  for (Entry& e : entries_) {
    if (e.key == key && key.identity != 0) {
      e.used = ++clock_;
      return {e.buffer.Get(words), true};
    }
    if (e.used < oldest->used) oldest = &e;
  }
  oldest->key = key;
  oldest->used = ++clock_;
  return {oldest->buffer.Get(words), false};
}

}  // namespace glia::device::fast
