// Moves within SBUF and PSUM: copies between equal types, fills, selections by a mask, transposes and
// broadcasts. Values are not touched but by conversions of a selection's sources.
#include <algorithm>
#include <cstring>
#include <memory>
#include <utility>

#include "device_sim/fast_move.h"
#include "device_sim/fast_rows.h"

namespace glia::device::fast {
namespace {

class MoveStep final : public Step {
 public:
  MoveStep(Move move, const uint8_t* src, uint8_t* dst) : move_(std::move(move)), src_(src), dst_(dst) {}
  bool Run(RunContext&) override {
    move_(src_, dst_);
    return true;
  }

 private:
  const Move move_;
  const uint8_t* const src_;
  uint8_t* const dst_;
};

// A copy whose walks do not line up: element by element.
class UnevenCopy final : public Step {
 public:
  UnevenCopy(const View& from, const View& to) : from_(from), to_(to), src_(WalkOf(from)), dst_(WalkOf(to)) {}
  bool Run(RunContext&) override {
    Cursor in(src_, from_.base), out(dst_, to_.base);
    uint8_t block[kBlock * 8];
    const size_t bytes = from_.bytes;
    for (int64_t done = 0; done < src_.elements; done += kBlock) {
      const int64_t n = std::min(kBlock, src_.elements - done);
      in.Take(n, [&](const uint8_t* p, ptrdiff_t stride, int64_t count, int64_t at) {
        for (int64_t i = 0; i < count; ++i) std::memcpy(block + (at + i) * bytes, p + i * stride, bytes);
      });
      out.Take(n, [&](uint8_t* p, ptrdiff_t stride, int64_t count, int64_t at) {
        for (int64_t i = 0; i < count; ++i) std::memcpy(p + i * stride, block + (at + i) * bytes, bytes);
      });
    }
    return true;
  }

 private:
  const View from_, to_;
  const Walk src_, dst_;
};

// Steps that work on a private copy of the result, written out at the end.
class BufferedStep final : public Step {
 public:
  std::vector<uint8_t> bytes;
  std::unique_ptr<Step> first, second;
  bool Run(RunContext& context) override { return first->Run(context) && second->Run(context); }
};

class MemsetStep final : public Step {
 public:
  MemsetStep(const View& to, const isa::Instruction& i) : to_(to), walk_(WalkOf(to)) {
    if (IsFloatType(to.dtype)) {
      StoreFloat(to.dtype, value_, i.imm0);
    } else {
      StoreRaw(to.dtype, value_, WrapInt(i.imm_int, to.dtype));
    }
    // One element repeated: a source that does not move.
    std::vector<MoveDimension> dims;
    for (int d = 0; d < walk_.dims; ++d) dims.push_back({walk_.d[d].n, 0, walk_.d[d].stride});
    move_ = Move(std::move(dims), to.bytes, false);
  }
  bool Run(RunContext&) override {
    move_(value_, to_.base);
    return true;
  }

 private:
  const View to_;
  const Walk walk_;
  uint8_t value_[8] = {};
  Move move_;
};

// dst = mask != 0 ? a : b, with a and b converted to dst's type.
class SelectStep final : public Step {
 public:
  SelectStep(const DecodeContext& context, bool pool, const View& dst, const View& mask, const View& a,
             const View& b)
      : kernels_(context.kernels), pool_(pool), dst_(dst), view_{mask, a, b}, out_(WalkOf(dst)) {
    for (int i = 0; i < 3; ++i) walk_[i] = WalkOf(view_[i]);
  }

  bool Run(RunContext& context) override {
    Cursor to(out_, dst_.base);
    Cursor mask(walk_[0], view_[0].base), a(walk_[1], view_[1].base), b(walk_[2], view_[2].base);
    alignas(64) uint8_t block[2][kBlock * 8];
    float* const truth = context.rows->f32[0];
    const auto load = kernels_.load_f32[static_cast<int>(view_[0].dtype)];
    for (int64_t done = 0; done < out_.elements; done += kBlock) {
      const int64_t n = std::min(kBlock, out_.elements - done);
      mask.Take(n, [&](uint8_t* p, ptrdiff_t stride, int64_t count, int64_t at) {
        load(p, stride, truth + at, static_cast<size_t>(count));
      });
      Convert(a, view_[1].dtype, n, *context.rows, block[0]);
      Convert(b, view_[2].dtype, n, *context.rows, block[1]);
      switch (dst_.bytes) {
        case 1: Choose<uint8_t>(truth, block[0], block[1], n); break;
        case 2: Choose<uint16_t>(truth, block[0], block[1], n); break;
        case 4: Choose<uint32_t>(truth, block[0], block[1], n); break;
        default: Choose<uint64_t>(truth, block[0], block[1], n);
      }
      const size_t bytes = dst_.bytes;
      to.Take(n, [&](uint8_t* p, ptrdiff_t stride, int64_t count, int64_t at) {
        CopyRun(block[0] + at * bytes, bytes, p, stride, count);
      });
    }
    return true;
  }

 private:
  template <class T>
  static void Choose(const float* truth, uint8_t* a, const uint8_t* b, int64_t n) {
    for (int64_t i = 0; i < n; ++i) {
      if (truth[i] == 0) std::memcpy(a + i * sizeof(T), b + i * sizeof(T), sizeof(T));
    }
  }

  static void CopyRun(const uint8_t* src, ptrdiff_t src_stride, uint8_t* dst, ptrdiff_t dst_stride,
                      int64_t n, size_t bytes) {
    if (src_stride == static_cast<ptrdiff_t>(bytes) && dst_stride == src_stride) {
      std::memcpy(dst, src, n * bytes);
      return;
    }
    for (int64_t i = 0; i < n; ++i) std::memcpy(dst + i * dst_stride, src + i * src_stride, bytes);
  }
  static void CopyRun(const uint8_t* src, size_t bytes, uint8_t* dst, ptrdiff_t stride, int64_t n) {
    CopyRun(src, static_cast<ptrdiff_t>(bytes), dst, stride, n, bytes);
  }

  // The next n elements as dense values of dst's type.
  void Convert(Cursor& from, isa::DType type, int64_t n, Rows& rows, uint8_t* out) const {
    const int src = static_cast<int>(type), dst = static_cast<int>(dst_.dtype);
    if (type == dst_.dtype) {
      const size_t bytes = dst_.bytes;
      from.Take(n, [&](const uint8_t* p, ptrdiff_t stride, int64_t count, int64_t at) {
        CopyRun(p, stride, out + at * bytes, static_cast<ptrdiff_t>(bytes), count, bytes);
      });
    } else if (pool_ && !IsFloatType(type)) {
      from.Take(n, [&](const uint8_t* p, ptrdiff_t stride, int64_t count, int64_t at) {
        kernels_.load_i64[src](p, stride, rows.i64[1] + at, static_cast<size_t>(count));
      });
      const auto store = IsSignedType(type) ? kernels_.store_i64[dst] : kernels_.store_u64[dst];
      store(rows.i64[1], out, dst_.bytes, static_cast<size_t>(n));
    } else {
      from.Take(n, [&](const uint8_t* p, ptrdiff_t stride, int64_t count, int64_t at) {
        kernels_.load_f32[src](p, stride, rows.f32[1] + at, static_cast<size_t>(count));
      });
      kernels_.store_f32[dst](rows.f32[1], out, dst_.bytes, static_cast<size_t>(n));
    }
  }

  const kernels::ElementwiseKernels& kernels_;
  const bool pool_;
  const View dst_;
  const View view_[3];
  const Walk out_;
  Walk walk_[3];
};

struct SelectF32 {
  kernels::SelectF32Fn fn;
  void operator()(const Row<float>* in, float* out, size_t n, float* spare) const {
    if (!in[0].scalar && !in[1].scalar && !in[2].scalar) return fn(in[0].p, in[1].p, in[2].p, out, n);
    for (size_t i = 0; i < n; ++i) {
      const bool truth = in[0].p[in[0].scalar ? 0 : i] != 0;
      const Row<float>& from = truth ? in[1] : in[2];
      spare[i] = from.p[from.scalar ? 0 : i];
    }
    std::memcpy(out, spare, n * sizeof(float));
  }
};

// One partition of the source for every partition of the result.
View Repeated(View source, int64_t partitions) {
  source.partitions = partitions;
  source.pitch = 0;
  return source;
}

// dst[f, p] = src[p, f].
void EmitTranspose(const View& src, const View& dst, Steps& steps) {
  const auto walk = [](View v) {
    v.partitions = 1;
    return WalkOf(v);
  };
  const Walk from = walk(src), to = walk(dst);
  std::vector<MoveDimension> dims;
  int64_t inner = src.free();
  for (int i = 0; i < from.dims; ++i) {
    inner /= from.d[i].n;
    dims.push_back({from.d[i].n, from.d[i].stride, inner * dst.pitch});
  }
  inner = dst.free();
  for (int i = 0; i < to.dims; ++i) {
    inner /= to.d[i].n;
    dims.push_back({to.d[i].n, inner * src.pitch, to.d[i].stride});
  }
  steps.push_back(std::make_unique<MoveStep>(Move(std::move(dims), src.bytes, false), src.base, dst.base));
}

void EmitSelect(const DecodeContext& context, bool pool, const isa::Instruction& i, const View& mask,
                const View& a, const View& b, Steps& steps) {
  const View dst = context.ViewOf(i.dst);
  View out = dst;
  bool buffered = false, f32 = dst.dtype == isa::DType::kF32;
  for (const View* v : {&mask, &a, &b}) {
    buffered = buffered || (Overlap(dst, *v) && !SamePlace(dst, *v));
    f32 = f32 && v->dtype == isa::DType::kF32;
  }
  auto step = std::make_unique<BufferedStep>();
  if (buffered) {
    step->bytes.resize(dst.elements() * dst.bytes);
    out = DenseView(step->bytes.data(), dst.dtype, dst.partitions, dst.free());
    step->second = MakeCopy(out, dst);
  }
  if (f32) {
    step->first = std::make_unique<RowStep<float, SelectF32>>(
        context.kernels, out, std::vector<RowOperand>{{mask, false}, {a, false}, {b, false}}, true, View(),
        SelectF32{context.kernels.select_f32});
  } else {
    step->first = std::make_unique<SelectStep>(context, pool, out, mask, a, b);
  }
  if (buffered) {
    steps.push_back(std::move(step));
  } else {
    steps.push_back(std::move(step->first));
  }
}

}  // namespace

std::unique_ptr<Step> MakeCopy(const View& from, const View& to) {
  const std::vector<JointDimension> joint = Align({WalkOf(from), WalkOf(to)});
  if (joint.empty()) return std::make_unique<UnevenCopy>(from, to);
  std::vector<MoveDimension> dims;
  for (const JointDimension& d : joint) dims.push_back({d.n, d.stride[0], d.stride[1]});
  return std::make_unique<MoveStep>(Move(std::move(dims), from.bytes, false), from.base, to.base);
}

std::unique_ptr<Step> MakeSafeCopy(const View& from, const View& to) {
  if (!Overlap(from, to) || SamePlace(from, to)) return MakeCopy(from, to);
  auto step = std::make_unique<BufferedStep>();
  step->bytes.resize(to.elements() * to.bytes);
  const View dense = DenseView(step->bytes.data(), to.dtype, to.partitions, to.free());
  step->first = MakeCopy(from, dense);
  step->second = MakeCopy(dense, to);
  return step;
}

void DecodeMove(const DecodeContext& context, isa::Engine engine, const isa::Instruction& i,
                Steps& steps) {
  const View dst = context.ViewOf(i.dst), src = context.ViewOf(i.src0);
  const bool pool = engine == isa::Engine::kPool;
  switch (i.opcode) {
    case isa::Opcode::kMemset:
      steps.push_back(std::make_unique<MemsetStep>(dst, i));
      return;
    case isa::Opcode::kSelect:
      return EmitSelect(context, pool, i, src, context.ViewOf(i.src1), context.ViewOf(i.src2), steps);
    case isa::Opcode::kCopyPredicated:
      return EmitSelect(context, pool, i, context.ViewOf(i.src1), src, dst, steps);
    case isa::Opcode::kPeTranspose:
      return EmitTranspose(src, dst, steps);
    case isa::Opcode::kPartitionBroadcast: {
      // Source and result may overlap: the source is read once, first.
      if (src.dtype == dst.dtype) {
        const View repeated = Repeated(src, dst.partitions);
        if (!Overlap(src, dst)) {
          steps.push_back(MakeCopy(repeated, dst));
          return;
        }
        auto step = std::make_unique<BufferedStep>();
        step->bytes.resize(src.free() * src.bytes);
        const View dense = DenseView(step->bytes.data(), src.dtype, 1, src.free());
        step->first = MakeCopy(src, dense);
        step->second = MakeCopy(Repeated(dense, dst.partitions), dst);
        steps.push_back(std::move(step));
        return;
      }
      return DecodeScalar(context, engine, i, steps);
    }
    default:  // kTensorCopy
      if (src.dtype != dst.dtype) return DecodeElementwise(context, engine, i, steps);
      steps.push_back(MakeSafeCopy(src, dst));
  }
}

}  // namespace glia::device::fast
