// Transfers between HBM, SBUF and PSUM, planned at load as strided moves of host memory.
#include <algorithm>
#include <cstring>
#include <memory>
#include <utility>

#include "absl/strings/str_cat.h"
#include "device_sim/fast_move.h"
#include "device_sim/fast_step.h"
#include "device_sim/semantics.h"

namespace glia::device::fast {
namespace {

// A variable's row of bytes in host memory. In SBUF and PSUM it is cut into partitions.
struct Linear {
  bool hbm = true;
  uint32_t var = 0;
  uint8_t* base = nullptr;  // of SBUF and PSUM
  int64_t row = 0;          // bytes per partition
  int64_t pitch = 0;

  uint8_t* Start(const RunContext& context) const { return hbm ? context.hbm[var] : base; }
  int64_t Offset(int64_t linear) const { return hbm ? linear : linear / row * pitch + linear % row; }
};

Linear LinearOf(const DecodeContext& context, uint32_t var) {
  Linear l;
  l.var = var;
  const isa::Variable& v = context.program.variables[var];
  l.hbm = isa::IsHbm(v.kind);
  if (!l.hbm) {
    const PartitionedMemory& memory = context.memories.Of(v);
    l.base = memory.At(v.partition, v.address);
    l.row = v.partition_bytes;
    l.pitch = memory.pitch();
  }
  return l;
}

// One dimension of a transfer, strides in the linear views.
struct Dim {
  int64_t n;
  int64_t dst;
  int64_t src;
};

// Strides through host memory that visit what `strides` visit in the linear view from `offset`, or
// false if no constant ones do. A stride is so many partitions and so many bytes along them, rounded
// down or up; no sum of the latter may leave a partition.
bool HostStrides(const Linear& l, int64_t offset, int64_t element_bytes, const std::vector<int64_t>& sizes,
                 const std::vector<int64_t>& strides, std::vector<int64_t>& out) {
  out = strides;
  if (l.hbm) return true;
  const size_t dims = sizes.size();
  const int64_t column = offset % l.row;
  for (uint32_t up = 0; up < (1u << dims); ++up) {
    int64_t low = column, high = column + element_bytes;
    bool valid = true;
    for (size_t i = 0; i < dims && valid; ++i) {
      if (sizes[i] <= 1) {
        valid = (up >> i & 1) == 0;
        out[i] = 0;
        continue;
      }
      int64_t partitions = strides[i] / l.row, bytes = strides[i] % l.row;
      if (bytes < 0) bytes += l.row, --partitions;
      if (up >> i & 1) {
        if (bytes == 0) valid = false;
        bytes -= l.row, ++partitions;
      }
      out[i] = partitions * l.pitch + bytes;
      (bytes < 0 ? low : high) += (sizes[i] - 1) * bytes;
    }
    if (valid && low >= 0 && high <= l.row) return true;
  }
  return false;
}

// Cuts dimension i where its stride along a partition reaches the end of it.
bool SplitAtPartition(const Linear& l, std::vector<Dim>& dims, bool dst) {
  for (size_t i = 0; i < dims.size(); ++i) {
    const int64_t stride = dst ? dims[i].dst : dims[i].src;
    if (l.hbm || stride <= 0 || stride >= l.row || l.row % stride != 0) continue;
    const int64_t chunk = l.row / stride;
    if (dims[i].n <= chunk || dims[i].n % chunk != 0) continue;
    const Dim inner = {chunk, dims[i].dst, dims[i].src};
    dims[i] = {dims[i].n / chunk, inner.dst * chunk, inner.src * chunk};
    dims.insert(dims.begin() + static_cast<ptrdiff_t>(i) + 1, inner);
    return true;
  }
  return false;
}

// A transfer's geometry: an outer indexed dimension, if any, and a plan for the rest.
class DmaStep final : public Step {
 public:
  DmaStep(const DecodeContext& context, const isa::DmaDescriptor& d)
      : kernels_(context.kernels), d_(d), dst_(LinearOf(context, d.dst_var)),
        src_(LinearOf(context, d.src_var)) {
    indexed_ = d.index_side != isa::IndexSide::kNone;
    if (indexed_) {
      index_ = LinearOf(context, d.index_var);
      index_name_ = &context.program.variables[d.index_var].name;
    }
    ordered_ = MayOverlap(context.program);
    for (int i = indexed_ ? 1 : 0; i < isa::kDmaDims; ++i) {
      dims_.push_back({d.size[i], d.dst_stride[i], d.src_stride[i]});
      if (d.size[i] > 1 && d.dst_stride[i] == 0) ordered_ = true;
    }
    Plan();
  }

  bool Run(RunContext& context) override {
    uint8_t* const dst = dst_.Start(context);
    const uint8_t* const src = src_.Start(context);
    if (!indexed_) {
      Piece(static_cast<int64_t>(d_.dst_offset), static_cast<int64_t>(d_.src_offset), dst, src, context);
      return true;
    }
    const uint8_t* const indices = index_.Start(context);
    const bool by_source = d_.index_side == isa::IndexSide::kSource;
    for (int64_t i = 0; i < d_.size[0]; ++i) {
      // Up to four bytes of an index may lie in the next partition.
      uint8_t bytes[4];
      const int64_t at = static_cast<int64_t>(d_.index_offset) + 4 * i;
      for (int b = 0; b < 4; ++b) bytes[b] = indices[index_.Offset(at + b)];
      const int64_t value = LoadAs<int32_t>(bytes);
      if (value < 0 || value >= d_.index_bound) return OutOfRange(context, i, value);
      int64_t to = static_cast<int64_t>(d_.dst_offset), from = static_cast<int64_t>(d_.src_offset);
      from += by_source ? value * d_.index_stride : i * d_.src_stride[0];
      to += by_source ? i * d_.dst_stride[0] : value * d_.index_stride;
      Piece(to, from, dst, src, context);
    }
    return true;
  }

 private:
  // Whether source and destination may be the same memory.
  bool MayOverlap(const isa::Program& p) const {
    const isa::Variable& a = p.variables[d_.dst_var];
    const isa::Variable& b = p.variables[d_.src_var];
    if (d_.dst_var == d_.src_var) return true;
    if (dst_.hbm != src_.hbm) return false;
    if (!dst_.hbm) {
      return a.kind == b.kind && a.partition < b.partition + b.partitions &&
             b.partition < a.partition + a.partitions && a.address < b.address + b.partition_bytes &&
             b.address < a.address + a.partition_bytes;
    }
    if (a.kind == isa::VariableKind::kTmpBuf && b.kind == isa::VariableKind::kTmpBuf) {
      return a.hbm_offset < b.hbm_offset + b.bytes && b.hbm_offset < a.hbm_offset + a.bytes;
    }
    // An output may share the memory of an input.
    const auto root = [](const isa::Variable& v, uint32_t var) {
      return v.kind == isa::VariableKind::kOutput && v.alias >= 0 ? static_cast<uint32_t>(v.alias) : var;
    };
    return root(a, d_.dst_var) == root(b, d_.src_var);
  }

  void Plan() {
    std::vector<int64_t> sizes, dst, src, host_dst, host_src;
    for (;;) {
      sizes.clear(), dst.clear(), src.clear();
      for (const Dim& d : dims_) sizes.push_back(d.n), dst.push_back(d.dst), src.push_back(d.src);
      // With an index, the piece starts anywhere: only pieces that a partition holds whole are certain.
      const bool to = Fits(dst_, static_cast<int64_t>(d_.dst_offset), IndexedStride(true), IndexedSteps(true),
                           sizes, dst, host_dst);
      const bool from = Fits(src_, static_cast<int64_t>(d_.src_offset), IndexedStride(false),
                             IndexedSteps(false), sizes, src, host_src);
      if (to && from) break;
      if (!(!to && SplitAtPartition(dst_, dims_, true)) && !(!from && SplitAtPartition(src_, dims_, false))) {
        planned_ = false;
        return;
      }
    }
    planned_ = true;
    std::vector<MoveDimension> moves;
    for (size_t i = 0; i < dims_.size(); ++i) {
      moves.push_back({dims_[i].n, static_cast<ptrdiff_t>(host_src[i]), static_cast<ptrdiff_t>(host_dst[i])});
    }
    if (d_.op == isa::DmaOp::kCopy) {
      move_ = Move(std::move(moves), d_.element_bytes, ordered_);
    } else {
      for (const MoveDimension& m : moves) {
        if (m.n != 1) combine_.push_back(m);
      }
    }
  }

  int64_t IndexedStride(bool dst) const {
    if (!indexed_) return 0;
    const bool by_source = d_.index_side == isa::IndexSide::kSource;
    return dst == by_source ? (dst ? d_.dst_stride[0] : d_.src_stride[0]) : d_.index_stride;
  }
  int64_t IndexedSteps(bool dst) const {
    if (!indexed_) return 1;
    const bool by_source = d_.index_side == isa::IndexSide::kSource;
    return dst == by_source ? d_.size[0] : std::max<int64_t>(1, d_.index_bound);
  }

  // HostStrides that hold for the piece at every step of the indexed dimension.
  bool Fits(const Linear& l, int64_t offset, int64_t step, int64_t steps, std::vector<int64_t> sizes,
            std::vector<int64_t> strides, std::vector<int64_t>& out) const {
    if (l.hbm) {
      out = strides;
      return true;
    }
    if (!indexed_) return HostStrides(l, offset, d_.element_bytes, sizes, strides, out);
    sizes.insert(sizes.begin(), steps);
    strides.insert(strides.begin(), step);
    if (!HostStrides(l, offset, d_.element_bytes, sizes, strides, out)) return false;
    out.erase(out.begin());
    return true;
  }

  void Piece(int64_t to, int64_t from, uint8_t* dst, const uint8_t* src, RunContext& context) const {
    if (!planned_) return Slow(to, from, dst, src, 0);
    dst += dst_.Offset(to);
    src += src_.Offset(from);
    if (d_.op == isa::DmaOp::kCopy) return move_(src, dst);
    Combine(src, dst, 0, *context.rows);
  }

  // dst = dst op src, in dtype.
  void Combine(const uint8_t* src, uint8_t* dst, size_t depth, Rows& rows) const {
    static constexpr MoveDimension kOne = {1, 0, 0};
    if (depth + 1 < combine_.size()) {
      const MoveDimension& m = combine_[depth];
      for (int64_t i = 0; i < m.n; ++i) Combine(src + i * m.src, dst + i * m.dst, depth + 1, rows);
      return;
    }
    const MoveDimension& inner = combine_.empty() ? kOne : combine_.back();
    if (IsFloatType(d_.dtype) && inner.n > 1 && !ordered_) {
      const int t = static_cast<int>(d_.dtype);
      const auto alu = kernels_.binary_f32[static_cast<int>(AluOf(d_.op))];
      for (int64_t done = 0; done < inner.n; done += kBlock) {
        const auto n = static_cast<size_t>(std::min(kBlock, inner.n - done));
        uint8_t* const p = dst + done * inner.dst;
        kernels_.load_f32[t](p, inner.dst, rows.f32[0], n);
        kernels_.load_f32[t](src + done * inner.src, inner.src, rows.f32[1], n);
        alu(rows.f32[0], false, rows.f32[1], false, rows.f32[2], n);
        kernels_.store_f32[t](rows.f32[2], p, inner.dst, n);
      }
      return;
    }
    for (int64_t i = 0; i < inner.n; ++i) CombineOne(src + i * inner.src, dst + i * inner.dst);
  }

  static isa::AluOp AluOf(isa::DmaOp op) {
    switch (op) {
      case isa::DmaOp::kAdd: return isa::AluOp::kAdd;
      case isa::DmaOp::kMax: return isa::AluOp::kMax;
      case isa::DmaOp::kMin: return isa::AluOp::kMin;
      case isa::DmaOp::kMultiply: return isa::AluOp::kMultiply;
      default: return isa::AluOp::kBypass;
    }
  }

  void CombineOne(const uint8_t* src, uint8_t* dst) const {
    if (d_.op == isa::DmaOp::kCopy) {
      std::memmove(dst, src, d_.element_bytes);
    } else if (IsFloatType(d_.dtype)) {
      StoreFloat(d_.dtype, dst, AluFloat(AluOf(d_.op), LoadFloat(d_.dtype, dst), LoadFloat(d_.dtype, src)));
    } else {
      const int64_t v = AluInt(AluOf(d_.op), LoadInt(d_.dtype, dst), LoadInt(d_.dtype, src), d_.dtype);
      StoreRaw(d_.dtype, dst, WrapInt(v, d_.dtype));
    }
  }

  // Patterns that run over the ends of partitions: every byte finds its own place.
  void Slow(int64_t to, int64_t from, uint8_t* dst, const uint8_t* src, size_t depth) const {
    if (depth < dims_.size()) {
      const Dim& d = dims_[depth];
      for (int64_t i = 0; i < d.n; ++i) Slow(to + i * d.dst, from + i * d.src, dst, src, depth + 1);
      return;
    }
    uint8_t a[8] = {}, b[8] = {};
    for (int i = 0; i < d_.element_bytes; ++i) {
      a[i] = dst[dst_.Offset(to + i)];
      b[i] = src[src_.Offset(from + i)];
    }
    CombineOne(b, a);
    for (int i = 0; i < d_.element_bytes; ++i) dst[dst_.Offset(to + i)] = a[i];
  }

  bool OutOfRange(RunContext& context, int64_t i, int64_t value) const {
    context.error = absl::OutOfRangeError(absl::StrCat("index ", value, " at position ", i, " of '", *index_name_,
                                                       "' is not in [0, ", d_.index_bound, ")"));
    return false;
  }

  const kernels::ElementwiseKernels& kernels_;
  const isa::DmaDescriptor& d_;
  const Linear dst_, src_;
  Linear index_;
  const std::string* index_name_ = nullptr;
  bool indexed_ = false;
  bool ordered_ = false;
  bool planned_ = false;
  std::vector<Dim> dims_;
  Move move_;
  std::vector<MoveDimension> combine_;
};

}  // namespace

void DecodeDma(const DecodeContext& context, const isa::DmaDescriptor& d, Steps& steps) {
  for (uint32_t size : d.size) {
    if (size == 0) return;
  }
  steps.push_back(std::make_unique<DmaStep>(context, d));
}

}  // namespace glia::device::fast
