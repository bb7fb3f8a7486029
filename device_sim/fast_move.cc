#include "device_sim/fast_move.h"

#include <algorithm>
#include <cstring>
#include <utility>

namespace glia::device::fast {
namespace {

template <class T>
inline void CopyOne(const uint8_t* src, uint8_t* dst) {
  T x;
  std::memcpy(&x, src, sizeof(T));
  std::memcpy(dst, &x, sizeof(T));
}

// Side of the blocks of a transpose: a block's lines on both sides stay in the first-level cache.
constexpr int64_t kTransposeBlock = 16;

}  // namespace

template <class T>
struct Move::Kernels {
  static void Strided(const Move& m, const uint8_t* src, uint8_t* dst) {
    const MoveDimension& in = m.inner_;
    for (int64_t i = 0; i < m.middle_.n; ++i) {
      const uint8_t* s = src + i * m.middle_.src;
      uint8_t* d = dst + i * m.middle_.dst;
      for (int64_t j = 0; j < in.n; ++j, s += in.src, d += in.dst) CopyOne<T>(s, d);
    }
  }

  // One side takes short steps along `middle`, the other along `inner`.
  static void Transpose(const Move& m, const uint8_t* src, uint8_t* dst) {
    const MoveDimension a = m.middle_, b = m.inner_;
    for (int64_t i0 = 0; i0 < a.n; i0 += kTransposeBlock) {
      const int64_t i1 = std::min(a.n, i0 + kTransposeBlock);
      for (int64_t j0 = 0; j0 < b.n; j0 += kTransposeBlock) {
        const int64_t j1 = std::min(b.n, j0 + kTransposeBlock);
        for (int64_t i = i0; i < i1; ++i) {
          const uint8_t* s = src + i * a.src + j0 * b.src;
          uint8_t* d = dst + i * a.dst + j0 * b.dst;
          for (int64_t j = j0; j < j1; ++j, s += b.src, d += b.dst) CopyOne<T>(s, d);
        }
      }
    }
  }

  // One element repeated over a run.
  static void Fill(const Move& m, const uint8_t* src, uint8_t* dst) {
    for (int64_t i = 0; i < m.middle_.n; ++i) {
      T x;
      std::memcpy(&x, src + i * m.middle_.src, sizeof(T));
      uint8_t* d = dst + i * m.middle_.dst;
      for (int64_t j = 0; j < m.inner_.n; ++j) std::memcpy(d + j * sizeof(T), &x, sizeof(T));
    }
  }
};

Move::Move(std::vector<MoveDimension> dims, int element_bytes, bool ordered) {
  bytes_ = element_bytes;
  for (const MoveDimension& d : dims) {
    bytes_ *= d.n;
    if (d.n == 1) continue;
    if (!outer_.empty() && outer_.back().src == d.src * d.n && outer_.back().dst == d.dst * d.n) {
      outer_.back() = {outer_.back().n * d.n, d.src, d.dst};
    } else {
      outer_.push_back(d);
    }
  }
  if (bytes_ == 0) outer_.assign(1, {0, 0, 0});
  Choose(element_bytes, ordered);
}

void Move::Choose(int element_bytes, bool ordered) {
  const auto take = [&](MoveDimension& into) {
    if (outer_.empty()) return;
    into = outer_.back();
    outer_.pop_back();
  };
  if (bytes_ == 0) {
    kernel_ = [](const Move&, const uint8_t*, uint8_t*) {};
    return;
  }
  const bool adjacent = outer_.empty() || (outer_.back().src == element_bytes &&
                                           outer_.back().dst == element_bytes);
  if (adjacent && !ordered) {
    MoveDimension run = {1, 0, 0};
    take(run);
    run_ = static_cast<size_t>(run.n * element_bytes);
    take(middle_);
    kernel_ = [](const Move& m, const uint8_t* src, uint8_t* dst) {
      for (int64_t i = 0; i < m.middle_.n; ++i) {
        std::memcpy(dst + i * m.middle_.dst, src + i * m.middle_.src, m.run_);
      }
    };
    if (run_ != 1 && run_ != 2 && run_ != 4 && run_ != 8) return;
    // Rows of one small element: strided moves of it.
    inner_ = middle_;
    middle_ = {1, 0, 0};
    element_bytes = static_cast<int>(run_);
  } else {
    take(inner_);
  }
  take(middle_);
  const bool fill = !ordered && inner_.src == 0 && inner_.dst == element_bytes;
  // Steps that are short along different dimensions on the two sides: lines are used whole in blocks.
  const auto near = [](ptrdiff_t stride) { return stride > 0 && stride <= 64; };
  const bool transpose = !ordered && middle_.n > 1 && inner_.n > 1 &&
                         ((near(middle_.src) && near(inner_.dst) && !near(inner_.src)) ||
                          (near(middle_.dst) && near(inner_.src) && !near(inner_.dst)));
  const auto pick = [&](auto type) -> Kernel {
    using T = decltype(type);
    return fill ? &Kernels<T>::Fill : transpose ? &Kernels<T>::Transpose : &Kernels<T>::Strided;
  };
  kernel_ = element_bytes == 1   ? pick(uint8_t{})
            : element_bytes == 2 ? pick(uint16_t{})
            : element_bytes == 4 ? pick(uint32_t{})
                                 : pick(uint64_t{});
}

void Move::Level(size_t depth, const uint8_t* src, uint8_t* dst) const {
  if (depth == outer_.size()) return kernel_(*this, src, dst);
  const MoveDimension& d = outer_[depth];
  for (int64_t i = 0; i < d.n; ++i) Level(depth + 1, src + i * d.src, dst + i * d.dst);
}

}  // namespace glia::device::fast
