#include "compiler/codegen/convolution.h"

#include <algorithm>

#include "absl/strings/str_cat.h"
#include "compiler/codegen/tiling.h"
#include "serialization/isa/table.h"

namespace glia::compiler {

absl::Status ForEachConvBlock(const ConvProblem& p, int64_t max_inputs, int64_t max_outputs,
                              const std::function<void(const WindowBlock&)>& f) {
  const WindowBlock whole = {{0, 0, 0, 0},
                             {p.out.dims[0], p.axes[0].out, p.axes[1].out, p.axes[2].out}};
  const auto inputs = [&p](const WindowSizes& b) {
    int64_t count = b[0];
    for (int a = 0; a < kWindowAxes; ++a) count *= p.axes[a].InputsOf(b[a + 1]);
    return count;
  };
  const auto fits = [&](const WindowSizes& b) {
    return inputs(b) <= max_inputs && b[0] * b[1] * b[2] * b[3] <= max_outputs;
  };
  if (!fits({1, 1, 1, 1})) {
    return absl::UnimplementedError(
        absl::StrCat("one output of the convolution reads a window of ", inputs({1, 1, 1, 1}),
                     " inputs a channel; at most ", max_inputs, " fit into a tile"));
  }
  ForEachWindowBlock(whole, fits, f);
  return absl::OkStatus();
}

ConvInput LoadConvInput(Emitter& e, const ConvProblem& p, const Nd& x, const WindowBlock& block,
                        DType type) {
  ConvInput result;
  result.first[0] = block.start[0];
  result.dims[0] = block.size[0];
  for (int a = 0; a < kWindowAxes; ++a) {
    const auto [first, count] = p.axes[a].Inputs(block.start[a + 1], block.size[a + 1]);
    if (count == 0) return result;
    result.first[a + 1] = first;
    result.dims[a + 1] = count;
  }
  Nd part = x;
  for (int d = 0; d < 4; ++d) part = SliceDim(part, d + 1, result.first[d], result.dims[d]);
  const auto use = [&result](const Emitter::Within& within) {
    result.tile = within.tile;
    result.start = within.start;
    std::copy(within.strides.begin(), within.strides.end(), result.steps.begin());
  };
  if (const auto within = e.FindWithin(part, type); within.has_value()) {
    use(*within);
    return result;
  }
  // Nearly whole rows and images come whole: fewer and longer runs for the transfer.
  for (int a = kWindowAxes - 1; a >= 0; --a) {
    const int64_t in = p.axes[a].in, count = result.dims[a + 1];
    const int64_t all = Product(result.dims) / count * in;
    if (count == in || count * 4 < in * 3 || all * part.element_bytes() > kMaxTileBytes) continue;
    result.first[a + 1] = 0;
    result.dims[a + 1] = in;
  }
  part = x;
  for (int d = 0; d < 4; ++d) part = SliceDim(part, d + 1, result.first[d], result.dims[d]);
  result.steps = DenseSteps(result.dims);
  if (const absl::optional<Tile> found = e.FindShared(part, 1, type); found.has_value()) {
    result.tile = *found;
    return result;
  }
  const auto raw = e.FindWithin(part, part.dtype);
  if (part.dtype == type || !raw.has_value()) result.tile = e.LoadShared(part, 1);
  if (part.dtype != type) {
    const WindowSizes dense = result.steps;
    const Tile cast = e.NewTile(type, static_cast<int>(part.dims[0]), Product(result.dims), "cast");
    if (raw.has_value()) use(*raw);
    const Operand from = WindowPattern(result.tile, result.start, result.dims, result.steps);
    e.Copy(cast.all(), from);
    e.KeepShared(part, 1, cast);
    result.tile = cast;
    result.start = 0;
    result.steps = dense;
  }
  return result;
}

std::vector<ConvInput> LoadConvInputs(Emitter& e, const ConvProblem& p, const Nd& x,
                                      const WindowBlock& block, DType type) {
  if (block.size[0] > 1) {
    Nd first = SliceDim(x, 1, block.start[0], 1),
       all = SliceDim(x, 1, block.start[0], block.size[0]);
    for (int a = 0; a < kWindowAxes; ++a) {
      const auto [start, count] = p.axes[a].Inputs(block.start[a + 1], block.size[a + 1]);
      if (count == 0) return {};
      first = SliceDim(first, a + 2, start, count);
      all = SliceDim(all, a + 2, start, count);
    }
    const auto held = [&](const Nd& part) {
      return e.FindWithin(part, type).has_value() || e.FindWithin(part, part.dtype).has_value();
    };
    if (!held(all) && held(first)) {
      std::vector<ConvInput> inputs;
      WindowBlock image = block;
      image.size[0] = 1;
      for (int64_t n = 0; n < block.size[0]; ++n) {
        image.start[0] = block.start[0] + n;
        inputs.push_back(LoadConvInput(e, p, x, image, type));
      }
      return inputs;
    }
  }
  return {LoadConvInput(e, p, x, block, type)};
}

absl::optional<TapOperands> OperandsOf(const ConvProblem& p, const ConvInput& input,
                                       const ConvTap& tap, const WindowBlock& part,
                                       const Tile& out) {
  if (!input.tile.valid()) return absl::nullopt;
  TapOperands result;
  WindowSizes in_steps = input.steps, out_steps = DenseSteps(part.size);
  // The images of the part that are in this input.
  const int64_t n0 = std::max(part.start[0], input.first[0]);
  const int64_t n1 = std::min(part.start[0] + part.size[0], input.first[0] + input.dims[0]);
  if (n0 >= n1) return absl::nullopt;
  WindowSizes sizes = {n1 - n0, 0, 0, 0};
  int64_t in_start = input.start + (n0 - input.first[0]) * in_steps[0];
  int64_t out_start = (n0 - part.start[0]) * out_steps[0];
  for (int a = 0; a < kWindowAxes; ++a) {
    const TapRange r = p.axes[a].Range(tap[a], part.start[a + 1], part.size[a + 1]);
    if (r.count == 0) return absl::nullopt;
    sizes[a + 1] = r.count;
    in_start += (r.first_in - input.first[a + 1]) * in_steps[a + 1];
    out_start += (r.first_out - part.start[a + 1]) * out_steps[a + 1];
    in_steps[a + 1] *= r.in_step;
    out_steps[a + 1] *= r.out_step;
  }
  result.in = WindowPattern(input.tile, in_start, sizes, in_steps);
  result.out = WindowPattern(out, out_start, sizes, out_steps);
  result.all = sizes == part.size;
  return result;
}

namespace {

constexpr int64_t kVectorFree = 4096;  // elements of a tile
constexpr int64_t kPoolFree = 192;     // elements from which POOL is the faster
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
    return ForEachConvBlock(p_, kVectorFree, kVectorFree, [&](const WindowBlock& block) {
      for (int64_t c0 = 0; c0 < channels; c0 += isa::kPartitions) {
        const int64_t count = std::min<int64_t>(isa::kPartitions, channels - c0);
        for (int64_t j = 0; j < multiplier_; ++j) EmitOutputs(block, c0, count, j);
      }
    });
  }

 private:
  void EmitOutputs(const WindowBlock& block, int64_t c0, int64_t count, int64_t j) {
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
        // Two tensors cost DVE twice the cycles, POOL only a longer start.
        const bool pool = isa::IsFloat(sum_type) && o->out.free_elements() >= kPoolFree;
        e_.ScalarTensorTensor(o->out, o->in, AluOp::kMultiply, weight, AluOp::kAdd, o->out,
                              pool ? Engine::kPool : kAnyEngine);
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
