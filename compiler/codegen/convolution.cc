#include "compiler/codegen/convolution.h"

#include <algorithm>
#include <numeric>

#include "absl/strings/str_cat.h"
#include "compiler/codegen/tiling.h"
#include "serialization/isa/table.h"

namespace glia::compiler {
namespace {

int64_t CeilDiv(int64_t a, int64_t b) { return (a + b - 1) / b; }
int64_t Ceil(int64_t a, int64_t b) { return a <= 0 ? -(-a / b) : CeilDiv(a, b); }

using Sizes = std::array<int64_t, 4>;

void ForEachBlock(const Sizes& start, const Sizes& extent, const Sizes& block,
                  const std::function<void(const ConvBlock&)>& f) {
  Sizes at = {0, 0, 0, 0};
  while (true) {
    ConvBlock b;
    for (int d = 0; d < 4; ++d) {
      b.start[d] = start[d] + at[d];
      b.size[d] = std::min(block[d], extent[d] - at[d]);
    }
    f(b);
    int d = 3;
    while (d >= 0 && (at[d] += block[d]) >= extent[d]) at[d--] = 0;
    if (d < 0) return;
  }
}

// The largest part of each dim, innermost first, that `fits`; even ones.
Sizes Largest(const Sizes& extent, const std::function<bool(const Sizes&)>& fits) {
  Sizes block = {1, 1, 1, 1};
  for (int d = 3; d >= 0; --d) {
    int64_t low = 1, high = extent[d];
    while (low < high) {
      block[d] = (low + high + 1) / 2;
      if (fits(block)) {
        low = block[d];
      } else {
        high = block[d] - 1;
      }
    }
    block[d] = CeilDiv(extent[d], CeilDiv(extent[d], low));
  }
  return block;
}

Sizes DenseStrides(const Sizes& dims) {
  return {dims[1] * dims[2] * dims[3], dims[2] * dims[3], dims[3], 1};
}

Operand Pattern(const Tile& tile, int64_t start, const Sizes& sizes, const Sizes& strides) {
  Dims dims(sizes.begin(), sizes.end()), steps(strides.begin(), strides.end());
  Collapse(&dims, {&steps});
  return tile.pattern(tile.partitions, start, dims, steps);
}

}  // namespace

TapRange ConvAxis::Range(int64_t tap, int64_t start, int64_t size) const {
  TapRange range;
  const int64_t constant = tap * kernel_dilation - pad_low;
  const int64_t common = std::gcd(stride, base_dilation);
  if (constant % common != 0) return range;
  range.out_step = base_dilation / common;
  range.in_step = stride / common;
  // The first output with an input at or after 0, then the next that falls on an input.
  int64_t first = std::max(start, Ceil(-constant, stride));
  while ((first * stride + constant) % base_dilation != 0) ++first;
  range.first_out = first;
  range.first_in = (first * stride + constant) / base_dilation;
  const int64_t by_out = start + size - 1 - first, by_in = in - 1 - range.first_in;
  if (by_out < 0 || by_in < 0) return range;
  range.count = std::min(by_out / range.out_step, by_in / range.in_step) + 1;
  return range;
}

std::pair<int64_t, int64_t> ConvAxis::Inputs(int64_t start, int64_t size) const {
  int64_t first = in, last = -1;
  for (int64_t k = 0; k < kernel; ++k) {
    const TapRange r = Range(k, start, size);
    if (r.count == 0) continue;
    first = std::min(first, r.first_in);
    last = std::max(last, r.first_in + (r.count - 1) * r.in_step);
  }
  return {first, std::max<int64_t>(0, last - first + 1)};
}

int64_t ConvAxis::InputsOf(int64_t outputs) const {
  const int64_t span = (outputs - 1) * stride + (kernel - 1) * kernel_dilation;
  return std::min(in, span / base_dilation + 1);
}

Nd ConvBlock::Of(Nd nd) const {
  for (int d = 0; d < 4; ++d) nd = SliceDim(nd, d + 1, start[d], size[d]);
  return nd;
}

absl::Status ForEachConvBlock(const ConvProblem& p, int64_t max_inputs, int64_t max_outputs,
                              const std::function<void(const ConvBlock&)>& f) {
  const Sizes extent = {p.out.dims[0], p.axes[0].out, p.axes[1].out, p.axes[2].out};
  const auto inputs = [&p](const Sizes& b) {
    int64_t count = b[0];
    for (int a = 0; a < kConvAxes; ++a) count *= p.axes[a].InputsOf(b[a + 1]);
    return count;
  };
  const auto fits = [&](const Sizes& b) {
    return inputs(b) <= max_inputs && b[0] * b[1] * b[2] * b[3] <= max_outputs;
  };
  if (!fits({1, 1, 1, 1})) {
    return absl::UnimplementedError(
        absl::StrCat("one output of the convolution reads a window of ", inputs({1, 1, 1, 1}),
                     " inputs a channel; at most ", max_inputs, " fit into a tile"));
  }
  ForEachBlock({0, 0, 0, 0}, extent, Largest(extent, fits), f);
  return absl::OkStatus();
}

void ForEachPart(const ConvBlock& block, int64_t max_outputs,
                 const std::function<void(const ConvBlock&)>& f) {
  const auto fits = [&](const Sizes& b) { return b[0] * b[1] * b[2] * b[3] <= max_outputs; };
  ForEachBlock(block.start, block.size, Largest(block.size, fits), f);
}

ConvInput LoadConvInput(Emitter& e, const ConvProblem& p, const Nd& x, const ConvBlock& block,
                        DType type) {
  ConvInput result;
  result.first[0] = block.start[0];
  result.dims[0] = block.size[0];
  for (int a = 0; a < kConvAxes; ++a) {
    const auto [first, count] = p.axes[a].Inputs(block.start[a + 1], block.size[a + 1]);
    if (count == 0) return result;
    result.first[a + 1] = first;
    result.dims[a + 1] = count;
  }
  Nd part = x;
  for (int d = 0; d < 4; ++d) part = SliceDim(part, d + 1, result.first[d], result.dims[d]);
  if (const absl::optional<Tile> found = e.FindShared(part, 1, type); found.has_value()) {
    result.tile = *found;
    return result;
  }
  result.tile = e.LoadShared(part, 1);
  if (result.tile.dtype != type) {
    const Tile cast = e.NewTile(type, result.tile.partitions, result.tile.free, "cast");
    e.Copy(cast.all(), result.tile.all());
    e.KeepShared(part, 1, cast);
    result.tile = cast;
  }
  return result;
}

absl::optional<TapOperands> OperandsOf(const ConvProblem& p, const ConvInput& input,
                                       const ConvTap& tap, const ConvBlock& part, const Tile& out) {
  if (!input.tile.valid()) return absl::nullopt;
  TapOperands result;
  Sizes in_steps = DenseStrides(input.dims), out_steps = DenseStrides(part.size);
  Sizes sizes = {part.size[0], 0, 0, 0};
  int64_t in_start = (part.start[0] - input.first[0]) * in_steps[0], out_start = 0;
  for (int a = 0; a < kConvAxes; ++a) {
    const TapRange r = p.axes[a].Range(tap[a], part.start[a + 1], part.size[a + 1]);
    if (r.count == 0) return absl::nullopt;
    sizes[a + 1] = r.count;
    in_start += (r.first_in - input.first[a + 1]) * in_steps[a + 1];
    out_start += (r.first_out - part.start[a + 1]) * out_steps[a + 1];
    in_steps[a + 1] *= r.in_step;
    out_steps[a + 1] *= r.out_step;
  }
  result.in = Pattern(input.tile, in_start, sizes, in_steps);
  result.out = Pattern(out, out_start, sizes, out_steps);
  result.all = sizes == part.size;
  return result;
}

namespace {

constexpr int64_t kVectorFree = 4096;  // elements of a tile
constexpr int64_t kVectorTaps = 2048;  // weights in SBUF at once, a partition

class ConvVector {
 public:
  ConvVector(Emitter& e, const ConvProblem& p, bool depthwise, int64_t multiplier)
      : e_(e), p_(p), depthwise_(depthwise), multiplier_(multiplier) {
    x_ = TransposeNd(p.x, {1, 0, 2, 3, 4});
    out_ = SplitDim(TransposeNd(p.out, {1, 0, 2, 3, 4}), 0, multiplier);  // [C, multiplier, N, ...]
    w_ = SplitDim(p.w, 0, multiplier);  // [C, multiplier, Ci, ...]
  }

  absl::Status Emit() {
    const int64_t channels = out_.dims[0];
    return ForEachConvBlock(p_, kVectorFree, kVectorFree, [&](const ConvBlock& block) {
      for (int64_t c0 = 0; c0 < channels; c0 += isa::kPartitions) {
        const int64_t count = std::min<int64_t>(isa::kPartitions, channels - c0);
        for (int64_t j = 0; j < multiplier_; ++j) EmitOutputs(block, c0, count, j);
      }
    });
  }

 private:
  void EmitOutputs(const ConvBlock& block, int64_t c0, int64_t count, int64_t j) {
    const DType sum_type = isa::IsFloat(p_.out.dtype) ? DType::kF32 : p_.out.dtype;
    const Tile sum = e_.NewTile(sum_type, static_cast<int>(count), block.outputs(), "conv");
    e_.Memset(sum.all(), 0);
    const int64_t kh = p_.axes[1].kernel, kw = p_.axes[2].kernel, taps = p_.Taps();
    for (int64_t i = 0; i < w_.dims[2]; ++i) {
      Nd channel = SliceDim(x_, 0, depthwise_ ? c0 : i, count);
      if (!depthwise_) channel.strides[0] = 0;  // every output channel reads it
      const ConvInput input = LoadConvInput(e_, p_, channel, block, channel.dtype);
      Nd weights = SliceDim(SliceDim(SliceDim(w_, 0, c0, count), 1, j, 1), 2, i, 1);
      weights = DropDim(DropDim(weights, 1), 1);
      Tile columns;
      int64_t loaded = -1;  // the last axis but one, in rows of the kernel
      for (int64_t t = 0; t < taps; ++t) {
        const ConvTap tap = {t / (kw * kh), t / kw % kh, t % kw};
        const absl::optional<TapOperands> o = OperandsOf(p_, input, tap, block, sum);
        if (!o.has_value()) continue;
        const int64_t first = tap[2] / kVectorTaps * kVectorTaps;
        const int64_t piece = t - tap[2] + first;
        if (piece != loaded) {
          Nd row = SliceDim(SliceDim(weights, 1, tap[0], 1), 2, tap[1], 1);
          columns = e_.LoadShared(SliceDim(row, 3, first, std::min(kVectorTaps, kw - first)), 1);
          loaded = piece;
        }
        const Operand weight = columns.part(columns.partitions, tap[2] - first, 1);
        e_.ScalarTensorTensor(o->out, o->in, AluOp::kMultiply, weight, AluOp::kAdd, o->out);
      }
    }
    const Nd part = block.Of(DropDim(SliceDim(SliceDim(out_, 0, c0, count), 1, j, 1), 1));
    Tile result = sum;
    if (sum_type != part.dtype) {
      result = e_.NewTile(part.dtype, sum.partitions, sum.free, "conv");
      e_.Copy(result.all(), sum.all());
    }
    e_.Store(part, 1, result);
  }

  Emitter& e_;
  const ConvProblem& p_;
  const bool depthwise_;
  const int64_t multiplier_;
  Nd x_, out_, w_;
};

}  // namespace

absl::Status EmitConvByVector(Emitter& e, const ConvProblem& p, bool depthwise,
                              int64_t multiplier) {
  const absl::Status status = ConvVector(e, p, depthwise, multiplier).Emit();
  return status.ok() ? e.status() : status;
}

}  // namespace glia::compiler
