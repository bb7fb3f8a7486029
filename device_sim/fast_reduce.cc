// Reductions over the innermost free dimensions.
#include <algorithm>
#include <memory>
#include <utility>
#include <vector>

#include "device_sim/fast_rows.h"

namespace glia::device::fast {
namespace {

// Reads all of its source before it writes, unless neither touches the other.
template <class T>
class ReduceStep final : public Step {
 public:
  ReduceStep(const DecodeContext& context, const View& dst, const View& src, int dims, RowAlu<T> alu,
             bool out_signed)
      : alu_(alu), dst_(dst), out_(WalkOf(dst)), load_(RowIo<T>::LoadOf(context.kernels, src.dtype)),
        store_(RowIo<T>::StoreOf(context.kernels, dst.dtype, out_signed)) {
    if constexpr (std::is_same_v<T, float>) fold_ = context.kernels.reduce_f32[static_cast<int>(alu.op)];
    View kept = src, reduced = src;
    reduced.partitions = 1;
    for (int i = 0; i < isa::kFreeDims; ++i) {
      (i < isa::kFreeDims - dims ? reduced : kept).size[i] = 1;
    }
    base_ = src.base;
    kept_ = WalkOf(kept);
    reduced_ = WalkOf(reduced);
    buffer_.resize(Overlap(dst, src) ? kept_.elements : std::min(kBlock, kept_.elements));
    const Dimension& inner = reduced_.d[reduced_.dims - 1];
    in_place_ = std::is_same_v<T, float> && src.dtype == isa::DType::kF32 && reduced_.dims == 1 &&
                inner.stride == 4 && fold_ != nullptr;
    // Many results of few elements each are computed side by side, few results of many one by one.
    by_result_ = fold_ != nullptr && (in_place_ ? inner.n >= 16 || kept_.elements < 8
                                                : reduced_.elements >= 4 * kept_.elements);
  }

  bool Run(RunContext& context) override {
    Cursor from(kept_, base_);
    Cursor to(out_, dst_.base);
    const int64_t block = static_cast<int64_t>(buffer_.size());
    for (int64_t done = 0; done < kept_.elements; done += block) {
      const int64_t n = std::min(block, kept_.elements - done);
      T* const out = buffer_.data();
      if (by_result_) {
        from.Take(n, [&](uint8_t* p, ptrdiff_t stride, int64_t count, int64_t at) {
          for (int64_t i = 0; i < count; ++i) out[at + i] = One(p + i * stride, *context.rows);
        });
      } else {
        for (int64_t begin = 0; begin < n; begin += kBlock) {
          SideBySide(from, std::min(kBlock, n - begin), out + begin, *context.rows);
        }
      }
      to.Take(n, [&](uint8_t* p, ptrdiff_t stride, int64_t count, int64_t at) {
        store_(out + at, p, stride, static_cast<size_t>(count));
      });
    }
    return true;
  }

 private:
  T One(uint8_t* base, Rows& rows) const {
    if constexpr (std::is_same_v<T, float>) {
      if (in_place_) return fold_(reinterpret_cast<const float*>(base), static_cast<size_t>(reduced_.elements));
      float* const row = rows.f32[0];
      Cursor cursor(reduced_, base);
      float partial[2];
      for (int64_t done = 0; done < reduced_.elements; done += kBlock) {
        const int64_t n = std::min(kBlock, reduced_.elements - done);
        cursor.Take(n, [&](uint8_t* p, ptrdiff_t stride, int64_t count, int64_t at) {
          load_(p, stride, row + at, static_cast<size_t>(count));
        });
        partial[1] = fold_(row, static_cast<size_t>(n));
        partial[0] = done == 0 ? partial[1] : fold_(partial, 2);
      }
      return partial[0];
    } else {
      (void)base;
      (void)rows;
      return T{0};
    }
  }

  // The next n results, element after element of what they reduce.
  void SideBySide(Cursor& from, int64_t n, T* out, Rows& rows) const {
    T* const row = RowIo<T>::Scratch(rows, 0);
    const Cursor start = from;
    int64_t index[isa::kFreeDims + 1] = {};
    ptrdiff_t offset = 0;
    for (int64_t e = 0; e < reduced_.elements; ++e) {
      Cursor cursor = start;
      T* const into = e == 0 ? out : row;
      cursor.Take(n, [&](uint8_t* p, ptrdiff_t stride, int64_t count, int64_t at) {
        load_(p + offset, stride, into + at, static_cast<size_t>(count));
      });
      if (e > 0) alu_({out, false}, {row, false}, out, static_cast<size_t>(n));
      for (int d = reduced_.dims - 1; d >= 0; --d) {
        offset += reduced_.d[d].stride;
        if (++index[d] < reduced_.d[d].n) break;
        offset -= reduced_.d[d].stride * reduced_.d[d].n;
        index[d] = 0;
      }
    }
    from.Take(n, [](uint8_t*, ptrdiff_t, int64_t, int64_t) {});
  }

  const RowAlu<T> alu_;
  const View dst_;
  const Walk out_;
  const typename RowIo<T>::Load load_;
  const typename RowIo<T>::Store store_;
  kernels::ReduceF32Fn fold_ = nullptr;
  uint8_t* base_ = nullptr;
  Walk kept_, reduced_;
  std::vector<T> buffer_;
  bool in_place_ = false;
  bool by_result_ = false;
};

template <class T>
void Emit(const DecodeContext& context, const isa::Instruction& i, const View& dst, const View& src,
          int dims, Steps& steps) {
  steps.push_back(std::make_unique<ReduceStep<T>>(context, dst, src, dims,
                                                  RowAlu<T>(context.kernels, i.op0, i.src0.dtype),
                                                  IsSignedType(i.src0.dtype)));
}

}  // namespace

void DecodeReduce(const DecodeContext& context, isa::Engine engine, const isa::Instruction& i,
                  Steps& steps) {
  const View dst = context.ViewOf(i.dst);
  View src = context.ViewOf(i.src0);
  int dims = i.dims;
  if (i.opcode == isa::Opcode::kPartitionReduce && src.size[0] == 1) {
    // The partitions become the innermost dimension of a single one.
    for (int d = 0; d + 1 < isa::kFreeDims; ++d) {
      src.size[d] = src.size[d + 1];
      src.stride[d] = src.stride[d + 1];
    }
    src.size[isa::kFreeDims - 1] = src.partitions;
    src.stride[isa::kFreeDims - 1] = src.pitch;
    src.partitions = 1;
    dims = 1;
  } else if (i.opcode == isa::Opcode::kPartitionReduce) {
    return DecodeScalar(context, engine, i, steps);
  }
  const bool integers = (engine == isa::Engine::kPool && !IsFloatType(src.dtype)) || IsRawOp(i.op0);
  if (integers && !IsFloatType(src.dtype)) return Emit<int64_t>(context, i, dst, src, dims, steps);
  Emit<float>(context, i, dst, src, dims, steps);
}

}  // namespace glia::device::fast
