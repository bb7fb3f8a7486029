// The tensor engine: matrix products of SBUF tiles into PSUM, and transposes.
#include <algorithm>
#include <cstring>

#include "device_sim/fast_step.h"

namespace glia::device::fast {
namespace {

using kernels::MatmulTile;

// Products above this many multiplications are split over the threads: some 50 microseconds of one.
constexpr int64_t kParallelMultiplications = 3 << 20;
// With fewer columns than this, vectors run along the rows of the result instead.
constexpr int64_t kNarrow = 8;

// A source as rows of adjacent fp32 values, packed into `panel` at each run unless it is that already.
struct Panel {
  View view;
  kernels::LoadF32Fn load = nullptr;
  std::vector<JointDimension> rows;  // the walk within one partition
  std::vector<float> panel;

  void Prepare(const View& v, const kernels::ElementwiseKernels& k) {
    view = v;
    if (v.dtype == isa::DType::kF32 && v.FreeContiguous()) return;
    load = k.load_f32[static_cast<int>(v.dtype)];
    View one = v;
    one.partitions = 1;
    rows = Align({WalkOf(one)});
    panel.resize(v.elements());
  }

  void Pack() {
    if (load == nullptr) return;
    const JointDimension& inner = rows.back();
    const int outer = static_cast<int>(rows.size()) - 1;
    float* out = panel.data();
    for (int64_t p = 0; p < view.partitions; ++p) {
      const uint8_t* base = view.base + p * view.pitch;
      int64_t index[isa::kFreeDims + 1] = {};
      for (;;) {
        load(base, inner.stride[0], out, inner.n);
        out += inner.n;
        int i = outer - 1;
        for (; i >= 0; --i) {
          base += rows[i].stride[0];
          if (++index[i] < rows[i].n) break;
          base -= rows[i].stride[0] * rows[i].n;
          index[i] = 0;
        }
        if (i < 0) break;
      }
    }
  }

  const float* data() const {
    return load == nullptr ? reinterpret_cast<const float*>(view.base) : panel.data();
  }
  ptrdiff_t pitch() const { return load == nullptr ? view.pitch / 4 : view.free(); }
};

class MatmulStep final : public Step {
 public:
  MatmulStep(const DecodeContext& context, const isa::Instruction& i)
      : matmul_(context.matmul), accumulate_((i.flags & isa::kAccumulate) != 0) {
    stationary_.Prepare(context.ViewOf(i.src0), context.kernels);
    moving_.Prepare(context.ViewOf(i.src1), context.kernels);
    dst_ = context.ViewOf(i.dst);
    m_ = stationary_.view.free();
    n_ = moving_.view.free();
    k_ = stationary_.view.partitions;
    swapped_ = n_ < kNarrow && n_ < m_;
    direct_ = !swapped_ && dst_.FreeContiguous();
    if (!direct_) result_.resize(m_ * n_);
    for (int64_t e = 0; e < n_ && !direct_; ++e) {
      int64_t rest = e;
      ptrdiff_t offset = 0;
      for (int d = isa::kFreeDims - 1; d >= 0; --d) {
        offset += rest % dst_.size[d] * dst_.stride[d];
        rest /= dst_.size[d];
      }
      columns_.push_back(offset);
    }
  }

  bool Run(RunContext& context) override {
    stationary_.Pack();
    moving_.Pack();
    MatmulTile t;
    t.k = static_cast<int32_t>(k_);
    const Panel& a = swapped_ ? moving_ : stationary_;
    const Panel& b = swapped_ ? stationary_ : moving_;
    t.a = a.data();
    t.a_pitch = a.pitch();
    t.b = b.data();
    t.b_pitch = b.pitch();
    t.m = static_cast<int32_t>(swapped_ ? n_ : m_);
    t.n = static_cast<int32_t>(swapped_ ? m_ : n_);
    if (direct_) {
      t.c = reinterpret_cast<float*>(dst_.base);
      t.c_pitch = dst_.pitch / 4;
      t.accumulate = accumulate_;
    } else {
      t.c = result_.data();
      t.c_pitch = t.n;
    }
    Multiply(context, t);
    if (!direct_) Scatter();
    return true;
  }

 private:
  void Multiply(RunContext& context, const MatmulTile& t) const {
    const int64_t work = int64_t{t.m} * t.n * t.k;
    const int strips = (t.n + kernels::kMatmulColumns - 1) / kernels::kMatmulColumns;
    const int parts = std::min(context.pool->threads(), strips);
    if (work < kParallelMultiplications || parts == 1) return matmul_(t);
    context.pool->ForEach(parts, [&](int part) {
      const int begin = strips * part / parts * kernels::kMatmulColumns;
      const int end = std::min(t.n, strips * (part + 1) / parts * kernels::kMatmulColumns);
      MatmulTile piece = t;
      piece.b += begin;
      piece.c += begin;
      piece.n = end - begin;
      matmul_(piece);
    });
  }

  void Scatter() const {
    const ptrdiff_t row = swapped_ ? 1 : n_, column = swapped_ ? m_ : 1;
    for (int64_t i = 0; i < m_; ++i) {
      uint8_t* const out = dst_.base + i * dst_.pitch;
      const float* const in = result_.data() + i * row;
      for (int64_t j = 0; j < n_; ++j) {
        float* const p = reinterpret_cast<float*>(out + columns_[j]);
        *p = accumulate_ ? *p + in[j * column] : in[j * column];
      }
    }
  }

  const kernels::MatmulFn matmul_;
  const bool accumulate_;
  Panel stationary_, moving_;
  View dst_;
  int64_t m_, n_, k_;
  bool swapped_, direct_;
  std::vector<float> result_;
  std::vector<ptrdiff_t> columns_;  // byte offsets of the columns of dst
};

}  // namespace

void DecodeMatmul(const DecodeContext& context, const isa::Instruction& i, Steps& steps) {
  steps.push_back(std::make_unique<MatmulStep>(context, i));
}

}  // namespace glia::device::fast
