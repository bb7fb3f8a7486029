// select-and-scatter: each window's selected element receives the window's source. Tap by tap over
// HBM: first which tap each window selects, then what each tap adds.
#include <algorithm>
#include <functional>

#include "compiler/codegen/emitters.h"
#include "compiler/codegen/movement.h"
#include "compiler/codegen/tiling.h"
#include "compiler/codegen/window.h"

namespace glia::compiler {
namespace {

using hlo::Instruction;

constexpr int64_t kMaxFree = 1024;

// One tap: the boxes of windows and of elements that meet.
struct TapBoxes {
  int64_t tap = 0;
  std::vector<TapRange> ranges;
  Nd Windows(Nd nd) const {
    for (size_t d = 0; d < ranges.size(); ++d) {
      const TapRange& r = ranges[d];
      nd = SliceDim(nd, static_cast<int64_t>(d), r.first_out, r.count, r.out_step);
    }
    return nd;
  }
  Nd Elements(Nd nd) const {
    for (size_t d = 0; d < ranges.size(); ++d) {
      const TapRange& r = ranges[d];
      nd = SliceDim(nd, static_cast<int64_t>(d), r.first_in, r.count, r.in_step);
    }
    return nd;
  }
};

// Taps in row-major order, those that meet something.
std::vector<TapBoxes> TapsOf(const hlo::Window& window, const Dims& in, const Dims& out) {
  std::vector<TapBoxes> taps;
  int64_t count = 1;
  for (const hlo::WindowDim& w : window) count *= w.size;
  for (int64_t t = 0; t < count; ++t) {
    TapBoxes boxes;
    boxes.tap = t;
    boxes.ranges.resize(window.size());
    int64_t rest = t;
    bool any = true;
    for (size_t d = window.size(); d-- > 0;) {
      WindowAxis axis;
      axis.in = in[d];
      axis.out = out[d];
      axis.kernel = window[d].size;
      axis.stride = window[d].stride;
      axis.pad_low = window[d].pad_low;
      axis.kernel_dilation = window[d].window_dilation;
      axis.base_dilation = window[d].base_dilation;
      boxes.ranges[d] = axis.Range(rest % window[d].size, 0, out[d]);
      rest /= window[d].size;
      any = any && boxes.ranges[d].count > 0;
    }
    if (any) taps.push_back(std::move(boxes));
  }
  return taps;
}

// Calls f for tiles of `parts` with all of them loaded; f stores what it changes.
absl::Status ForEachLoaded(
    Emitter& e, const std::vector<Nd>& parts,
    const std::function<absl::Status(const TileBox&, const std::vector<Operand>&)>& f) {
  absl::Status status;
  ForEachTile(parts, kMaxFree, [&](const TileBox& box) {
    if (!status.ok()) return;
    std::vector<Operand> operands;
    for (const Nd& part : box.parts) {
      LoadedOperand load = LoadOperand(e, part, box.partition_dims);
      if (load.column) load.operand.size[isa::kFreeDims - 1] = static_cast<uint16_t>(box.free);
      operands.push_back(load.operand);
    }
    status = f(box, operands);
  });
  return status.ok() ? e.status() : status;
}

}  // namespace

absl::Status EmitSelectAndScatter(Emitter& e, const Instruction& hlo) {
  absl::StatusOr<Nd> x = e.View(hlo.operand(0));
  if (!x.ok()) return x.status();
  absl::StatusOr<Nd> source = e.View(hlo.operand(1));
  if (!source.ok()) return source.status();
  absl::StatusOr<Nd> init = e.View(hlo.operand(2));
  if (!init.ok()) return init.status();
  const hlo::Computation& select = *hlo.called[0];
  const hlo::Computation& scatter = *hlo.called[1];
  const Nd result = e.NewResult(hlo);
  if (!e.ok() || result.elements() == 0) return e.status();
  e.Dma(result, BroadcastNd(*init, result.dims, {}));
  if (source->elements() == 0) return e.status();

  const Nd best = e.NewBuffer(x->dtype, source->dims, "best");
  const Nd chosen = e.NewBuffer(DType::kI32, source->dims, "chosen");
  Fill(e, best, nullptr, 0, 0);
  Fill(e, chosen, nullptr, 0, -1);
  const std::vector<TapBoxes> taps = TapsOf(hlo.window, x->dims, source->dims);
  const auto tile = [&e](DType type, const TileBox& box) {
    return e.NewTile(type, box.partitions, box.free, "select");
  };
  const auto store = [&e](const TileBox& box, size_t part, const Tile& t) {
    e.Dma(box.parts[part], TileNd(t, box.parts[part].dims, box.partition_dims));
  };
  for (const TapBoxes& t : taps) {
    const absl::Status status = ForEachLoaded(
        e, {t.Windows(best), t.Windows(chosen), t.Elements(*x)},
        [&](const TileBox& box, const std::vector<Operand>& o) {
          absl::StatusOr<std::vector<Operand>> kept = e.ApplyScalar(select, {o[0], o[2]});
          if (!kept.ok()) return kept.status();
          // The first element of a window is taken whatever the selection says.
          const Operand seen = tile(DType::kPred, box).all(), keep = tile(DType::kPred, box).all();
          e.TensorScalar(seen, o[1], AluOp::kGe, 0);
          e.TensorTensor(keep, seen, (*kept)[0], AluOp::kLogicalAnd);
          const Tile value = tile(box.parts[0].dtype, box), tap = tile(DType::kI32, box);
          const Operand this_tap = tile(DType::kI32, box).all();
          e.MemsetInt(this_tap, t.tap);
          e.Select(value.all(), keep, o[0], o[2]);
          e.Select(tap.all(), keep, o[1], this_tap);
          store(box, 0, value);
          store(box, 1, tap);
          return e.status();
        });
    if (!status.ok()) return status;
  }
  for (const TapBoxes& t : taps) {
    const absl::Status status = ForEachLoaded(
        e, {t.Elements(result), t.Windows(chosen), t.Windows(*source)},
        [&](const TileBox& box, const std::vector<Operand>& o) {
          absl::StatusOr<std::vector<Operand>> sum = e.ApplyScalar(scatter, {o[0], o[2]});
          if (!sum.ok()) return sum.status();
          const Operand here = tile(DType::kPred, box).all();
          const Operand this_tap = tile(DType::kI32, box).all();
          e.MemsetInt(this_tap, t.tap);
          e.TensorTensor(here, o[1], this_tap, AluOp::kEq);
          const Tile value = tile(box.parts[0].dtype, box);
          e.Select(value.all(), here, (*sum)[0], o[0]);
          store(box, 0, value);
          return e.status();
        });
    if (!status.ok()) return status;
  }
  return e.status();
}

}  // namespace glia::compiler
