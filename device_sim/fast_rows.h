// The engine of element-wise steps: brings operands of any type and pattern as rows of float or int64_t
// to a computation, and its results back.
#ifndef GLIA_DEVICE_SIM_FAST_ROWS_H_
#define GLIA_DEVICE_SIM_FAST_ROWS_H_

#include <algorithm>
#include <cstdint>
#include <type_traits>
#include <utility>
#include <vector>

#include "device_sim/fast_step.h"
#include "device_sim/semantics.h"

namespace glia::device::fast {

// n values, or one for all of them.
template <class T>
struct Row {
  const T* p;
  bool scalar;
};

// Walks the addresses of a view in order, some at a time.
class Cursor {
 public:
  Cursor(const Walk& walk, uint8_t* base) : walk_(&walk), p_(base), left_(walk.d[walk.dims - 1].n) {}

  // The next n elements where they are, if they lie `stride` apart; null, and not taken, if not.
  uint8_t* TakeInPlace(int64_t n, ptrdiff_t stride) {
    const Dimension& inner = walk_->d[walk_->dims - 1];
    if (left_ < n || (inner.stride != stride && inner.n > 1)) return nullptr;
    uint8_t* const p = p_;
    left_ -= n;
    p_ += n * inner.stride;
    if (left_ == 0) Next(inner);
    return p;
  }

  // Calls f(address, stride, count, done) for the runs that make up the next n elements.
  template <class F>
  void Take(int64_t n, F&& f) {
    const Dimension& inner = walk_->d[walk_->dims - 1];
    for (int64_t done = 0; done < n;) {
      const int64_t count = std::min(n - done, left_);
      f(p_, inner.stride, count, done);
      done += count;
      left_ -= count;
      p_ += count * inner.stride;
      if (left_ == 0) Next(inner);
    }
  }

 private:
  void Next(const Dimension& inner) {
    p_ -= inner.n * inner.stride;
    left_ = inner.n;
    for (int i = walk_->dims - 2; i >= 0; --i) {
      p_ += walk_->d[i].stride;
      if (++index_[i] < walk_->d[i].n) return;
      p_ -= walk_->d[i].n * walk_->d[i].stride;
      index_[i] = 0;
    }
  }

  const Walk* walk_;
  uint8_t* p_;
  int64_t left_;
  int64_t index_[isa::kFreeDims + 1] = {};
};

template <class T>
struct RowIo;  // loads and stores of rows of T
template <>
struct RowIo<float> {
  using Load = kernels::LoadF32Fn;
  using Store = kernels::StoreF32Fn;
  static Load LoadOf(const kernels::ElementwiseKernels& k, isa::DType t) {
    return k.load_f32[static_cast<int>(t)];
  }
  static Store StoreOf(const kernels::ElementwiseKernels& k, isa::DType t, bool) {
    return k.store_f32[static_cast<int>(t)];
  }
  static float (&Scratch(Rows& rows, int i))[kBlock] { return rows.f32[i]; }
};
template <>
struct RowIo<int64_t> {
  using Load = kernels::LoadI64Fn;
  using Store = kernels::StoreI64Fn;
  static Load LoadOf(const kernels::ElementwiseKernels& k, isa::DType t) {
    return k.load_i64[static_cast<int>(t)];
  }
  static Store StoreOf(const kernels::ElementwiseKernels& k, isa::DType t, bool is_signed) {
    return (is_signed ? k.store_i64 : k.store_u64)[static_cast<int>(t)];
  }
  static int64_t (&Scratch(Rows& rows, int i))[kBlock] { return rows.i64[i]; }
};

// An operand of an element-wise instruction: a tensor, or [P, 1] repeated along the free elements.
struct RowOperand {
  View view;
  bool per_partition = false;
};

// `Compute` is called as compute(rows in, T* out, n, spare) for pieces of at most kBlock elements; out
// may be one of the inputs; spare is a row for it to use. Inputs: at most 3.
template <class T, class Compute>
class RowStep final : public Step {
 public:
  // `sums`, if present, is [P, 1] fp32 to which the sum of each partition's results is added.
  RowStep(const kernels::ElementwiseKernels& k, const View& out, const std::vector<RowOperand>& in,
          bool out_signed, const View& sums, Compute compute)
      : compute_(std::move(compute)), inputs_(static_cast<int>(in.size())), sums_(sums) {
    add_ = k.reduce_f32[static_cast<int>(isa::AluOp::kAdd)];
    const int64_t free = out.free();
    View shape = out;
    if (sums.present()) {
      repeat_ = out.partitions;
      shape.partitions = 1;
    }
    operand_[0].Set(shape, WalkOf(shape), out.pitch);
    for (int i = 0; i < inputs_; ++i) {
      View v = in[i].view;
      if (sums.present()) v.partitions = 1;
      operand_[i + 1].Set(v, in[i].per_partition ? WalkOfScalar(v, free) : WalkOf(v), v.pitch);
      load_[i] = RowIo<T>::LoadOf(k, v.dtype);
    }
    store_ = RowIo<T>::StoreOf(k, out.dtype, out_signed);
    in_place_[0] = std::is_same_v<T, float> && out.dtype == isa::DType::kF32;
    for (int i = 0; i < inputs_; ++i) {
      in_place_[i + 1] = std::is_same_v<T, float> && in[i].view.dtype == isa::DType::kF32;
    }
    PlanDirect(out, in);
  }

  bool Run(RunContext& context) override {
    if (direct_) {
      const JointDimension& outer = joint_[0];
      const int64_t elements = operand_[0].walk.elements;
      if (splittable_ && elements >= kParallelElements && context.pool->threads() > 1) {
        const int parts = static_cast<int>(std::min<int64_t>(context.pool->threads(), outer.n));
        context.pool->ForEach(parts, [&](int part) {
          alignas(64) T spare[kBlock];
          RunDirect(0, outer.n * part / parts, outer.n * (part + 1) / parts, spare, nullptr);
        });
        return true;
      }
    }
    for (int64_t r = 0; r < repeat_; ++r) {
      float sum = 0;
      float* const total = sums_.present() ? &sum : nullptr;
      if (direct_) {
        RunDirect(r, 0, joint_.size() > 1 ? joint_[0].n : 1, RowIo<T>::Scratch(*context.rows, 5), total);
      } else {
        RunPacked(r, *context.rows, total);
      }
      if (total != nullptr) {
        *reinterpret_cast<float*>(sums_.base + r * sums_.pitch) += sum;
      }
    }
    return true;
  }

 private:
  static constexpr int64_t kParallelElements = 128 << 10;
  static constexpr int64_t kMinDirectRow = 8;

  struct Source {
    uint8_t* base;
    ptrdiff_t repeat;
    Walk walk;
    void Set(const View& v, const Walk& w, ptrdiff_t pitch) {
      base = v.base;
      repeat = pitch;
      walk = w;
    }
  };

  // fp32 operands with adjacent or repeated elements are computed in place.
  void PlanDirect(const View& out, const std::vector<RowOperand>& in) {
    if (!std::is_same_v<T, float> || out.dtype != isa::DType::kF32) return;
    std::vector<Walk> walks;
    for (int i = 0; i <= inputs_; ++i) walks.push_back(operand_[i].walk);
    for (const RowOperand& o : in) {
      if (o.view.dtype != isa::DType::kF32) return;
    }
    joint_ = Align(walks);
    if (joint_.empty()) return;
    const JointDimension& inner = joint_.back();
    bool all_repeat = inputs_ > 0;
    for (int i = 1; i <= inputs_; ++i) {
      if (inner.stride[i] != 4 && inner.stride[i] != 0) return;
      all_repeat = all_repeat && inner.stride[i] == 0;
    }
    direct_ = inner.stride[0] == 4 && inner.n >= kMinDirectRow && !all_repeat;
    // Threads must not write the same place.
    splittable_ = joint_.size() > 1 && repeat_ == 1;
    for (const JointDimension& d : joint_) splittable_ = splittable_ && d.stride[0] != 0;
  }

  // Indices [first, last) of the outermost dimension, if there is more than one dimension.
  void RunDirect(int64_t repeat, int64_t first, int64_t last, T* spare, float* total) const {
    const int outer = static_cast<int>(joint_.size()) - 1;
    const JointDimension& inner = joint_.back();
    uint8_t* p[kMaxTogether];
    Row<T> row[kMaxTogether];
    for (int i = 0; i <= inputs_; ++i) {
      p[i] = operand_[i].base + repeat * operand_[i].repeat;
      if (outer > 0) p[i] += first * joint_[0].stride[i];
    }
    int64_t index[2 * (isa::kFreeDims + 1) * kMaxTogether] = {};
    index[0] = first;
    for (;;) {
      for (int64_t done = 0; done < inner.n; done += kBlock) {
        const int64_t n = std::min(kBlock, inner.n - done);
        for (int i = 1; i <= inputs_; ++i) {
          row[i - 1] = {reinterpret_cast<const T*>(p[i] + done * inner.stride[i]), inner.stride[i] == 0};
        }
        T* const out = reinterpret_cast<T*>(p[0]) + done;
        compute_(row, out, static_cast<size_t>(n), spare);
        if (total != nullptr) Sum(out, n, total);
      }
      int d = outer - 1;
      for (; d >= 0; --d) {
        for (int i = 0; i <= inputs_; ++i) p[i] += joint_[d].stride[i];
        if (++index[d] < (d == 0 ? last : joint_[d].n)) break;
        for (int i = 0; i <= inputs_; ++i) p[i] -= joint_[d].stride[i] * joint_[d].n;
        index[d] = 0;
      }
      if (d < 0) return;
    }
  }

  void RunPacked(int64_t repeat, Rows& rows, float* total) const {
    Cursor to(operand_[0].walk, operand_[0].base + repeat * operand_[0].repeat);
    const auto source = [&](int i) {
      const Source& s = operand_[std::min(i, inputs_)];
      return Cursor(s.walk, s.base + repeat * s.repeat);
    };
    Cursor from[3] = {source(1), source(2), source(3)};
    const int64_t elements = operand_[0].walk.elements;
    for (int64_t done = 0; done < elements; done += kBlock) {
      const int64_t n = std::min(kBlock, elements - done);
      Row<T> row[kMaxTogether];
      for (int i = 0; i < inputs_; ++i) {
        T* const in = RowIo<T>::Scratch(rows, i);
        if constexpr (std::is_same_v<T, float>) {
          if (const uint8_t* p = from[i].TakeInPlace(n, 0); p != nullptr) {
            load_[i](p, 0, in, 1);
            row[i] = {in, true};
            continue;
          }
        }
        if (in_place_[i + 1]) {
          if (const uint8_t* p = from[i].TakeInPlace(n, sizeof(T)); p != nullptr) {
            row[i] = {reinterpret_cast<const T*>(p), false};
            continue;
          }
        }
        from[i].Take(n, [&](uint8_t* p, ptrdiff_t stride, int64_t count, int64_t at) {
          load_[i](p, stride, in + at, static_cast<size_t>(count));
        });
        row[i] = {in, false};
      }
      uint8_t* const place = in_place_[0] ? to.TakeInPlace(n, sizeof(T)) : nullptr;
      T* const out = place != nullptr ? reinterpret_cast<T*>(place) : RowIo<T>::Scratch(rows, 4);
      compute_(row, out, static_cast<size_t>(n), RowIo<T>::Scratch(rows, 5));
      if (total != nullptr) Sum(out, n, total);
      if (place != nullptr) continue;
      to.Take(n, [&](uint8_t* p, ptrdiff_t stride, int64_t count, int64_t at) {
        store_(out + at, p, stride, static_cast<size_t>(count));
      });
    }
  }

  void Sum(const T* out, int64_t n, float* total) const {
    if constexpr (std::is_same_v<T, float>) {
      *total += add_(out, static_cast<size_t>(n));
    } else {
      for (int64_t i = 0; i < n; ++i) *total += static_cast<float>(out[i]);
    }
  }

  const Compute compute_;
  const int inputs_;
  const View sums_;
  int64_t repeat_ = 1;
  Source operand_[kMaxTogether];  // 0: the result
  bool in_place_[kMaxTogether] = {};  // it is of type T
  typename RowIo<T>::Load load_[3] = {};
  typename RowIo<T>::Store store_ = nullptr;
  kernels::ReduceF32Fn add_ = nullptr;
  std::vector<JointDimension> joint_;
  bool direct_ = false;
  bool splittable_ = false;
};

// Two-operand arithmetic on rows: the vector kernel where there is one, else the scalar reference.
template <class T>
struct RowAlu {
  using Fn = std::conditional_t<std::is_same_v<T, float>, kernels::BinaryF32Fn, kernels::BinaryI64Fn>;

  RowAlu() = default;
  // `type` is that of the instruction's first input: it matters to integers.
  RowAlu(const kernels::ElementwiseKernels& k, isa::AluOp o, isa::DType t) : op(o), type(t) {
    if constexpr (std::is_same_v<T, float>) {
      fn = k.binary_f32[static_cast<int>(o)];
    } else if (IsSignedType(t) || !Ordered(o)) {
      // Raw operations wrap to the type, which the kernels do not know.
      if (!IsRawOp(o)) fn = k.binary_i64[static_cast<int>(o)];
    }
  }

  // Signedness matters to the result.
  static bool Ordered(isa::AluOp op) {
    using isa::AluOp;
    return op == AluOp::kMax || op == AluOp::kMin || (op >= AluOp::kGt && op <= AluOp::kLe);
  }

  T One(T a, T b) const {
    if constexpr (std::is_same_v<T, float>) {
      return AluFloat(op, a, b);
    } else {
      return AluInt(op, a, b, type);
    }
  }

  void operator()(Row<T> a, Row<T> b, T* out, size_t n) const {
    if (a.scalar && b.scalar) {
      std::fill_n(out, n, One(*a.p, *b.p));
    } else if (fn != nullptr) {
      fn(a.p, a.scalar, b.p, b.scalar, out, n);
    } else {
      for (size_t i = 0; i < n; ++i) out[i] = One(a.p[a.scalar ? 0 : i], b.p[b.scalar ? 0 : i]);
    }
  }

  Fn fn = nullptr;
  isa::AluOp op = isa::AluOp::kBypass;
  isa::DType type = isa::DType::kF32;
};

}  // namespace glia::device::fast

#endif  // GLIA_DEVICE_SIM_FAST_ROWS_H_
