// reduce-window: by one operation of the engines, axis after axis over tiles; running sums and the
// like as scans; any other computation, of one or several arrays, axis after axis over HBM.
#include <algorithm>
#include <limits>

#include "absl/strings/str_cat.h"
#include "compiler/codegen/convolution_readers.h"
#include "compiler/codegen/emitters.h"
#include "compiler/codegen/indexing.h"
#include "compiler/codegen/precision.h"
#include "compiler/codegen/reduce.h"
#include "compiler/codegen/reduce_window.h"
#include "compiler/codegen/tiling.h"
#include "compiler/codegen/window.h"
#include "serialization/isa/table.h"

namespace glia::compiler {
namespace {

using hlo::Instruction;

constexpr int64_t kScanFree = 4096;  // elements of one scan

WindowAxis AxisOf(const hlo::WindowDim& w, int64_t in, int64_t out) {
  WindowAxis axis;
  axis.in = in;
  axis.out = out;
  axis.kernel = w.size;
  axis.stride = w.stride;
  axis.pad_low = w.pad_low;
  axis.kernel_dilation = w.window_dilation;
  axis.base_dilation = w.base_dilation;
  return axis;
}

bool IsNeutral(const Instruction* init, AluOp op, DType dtype) {
  const hlo::Literal* literal = Emitter::ConstantOf(init);
  if (literal == nullptr || literal->elements() != 1) return false;
  const double value = literal->GetAsDouble(0);
  switch (op) {
    case AluOp::kAdd:
      return value == 0;
    case AluOp::kMultiply:
      return value == 1;
    case AluOp::kMax:
      return dtype == DType::kPred
                 ? value == 0
                 : isa::IsFloat(dtype) && value == -std::numeric_limits<double>::infinity();
    case AluOp::kMin:
      return dtype == DType::kPred
                 ? value == 1
                 : isa::IsFloat(dtype) && value == std::numeric_limits<double>::infinity();
    default:
      return false;
  }
}

// Result i is the reduction of elements [0, i].
bool IsPrefix(const WindowAxis& a) {
  return a.kernel >= a.in && a.out == a.in && a.stride == 1 && a.base_dilation == 1 &&
         a.kernel_dilation == 1 && a.pad_low == a.kernel - 1;
}
// Result i is the reduction of elements [i, end).
bool IsSuffix(const WindowAxis& a) {
  return a.kernel >= a.in && a.out == a.in && a.stride == 1 && a.base_dilation == 1 &&
         a.kernel_dilation == 1 && a.pad_low == 0;
}

void EmitScan(Emitter& e, const Nd& x, const Nd& out, int64_t dim, AluOp op,
              const absl::optional<Nd>& init) {
  Dims order;
  for (int64_t d = 0; d < x.rank(); ++d) {
    if (d != dim) order.push_back(d);
  }
  order.push_back(dim);
  const int64_t n = x.dims[dim], rows = x.elements() / n;
  const Nd from = Reshaped(e, TransposeNd(x, order), {rows, n});
  const Nd turned = TransposeNd(out, order);
  const absl::optional<Nd> direct = ReshapeNd(turned, {rows, n});
  const Nd to = direct.has_value() ? *direct : e.NewBuffer(out.dtype, {rows, n}, "scan");
  const DType type = isa::IsFloat(x.dtype) ? DType::kF32 : x.dtype;
  for (int64_t r = 0; r < rows; r += isa::kPartitions) {
    const int64_t count = std::min<int64_t>(isa::kPartitions, rows - r);
    const int partitions = static_cast<int>(count);
    Operand carry;
    if (init.has_value()) {
      carry = LoadScalar(e, *init, partitions);
    } else {
      carry = e.NewTile(type, partitions, 1, "init").all();
      SetNeutral(e, carry, op);
    }
    for (int64_t i = 0; i < n; i += kScanFree) {
      const int64_t length = std::min(kScanFree, n - i);
      const Tile in = e.LoadShared(SliceDim(SliceDim(from, 0, r, count), 1, i, length), 1);
      const Tile sums = e.NewTile(type, partitions, length, "scan");
      e.Scan(sums.all(), in.all(), op, carry);
      carry = sums.part(partitions, length - 1, 1);
      Tile result = sums;
      if (type != out.dtype) {
        result = e.NewTile(out.dtype, partitions, length, "scan");
        e.Copy(result.all(), sums.all());
      }
      e.Store(SliceDim(SliceDim(to, 0, r, count), 1, i, length), 1, result);
    }
  }
  if (!direct.has_value()) e.Dma(turned, *ReshapeNd(to, turned.dims));
}

// Reduces one axis of arrays in HBM by any computation. Outputs that read nothing are left
// unwritten; `absent` lists them.
absl::StatusOr<std::vector<Nd>> ReduceAxisBy(Emitter& e, const hlo::Computation& computation,
                                             const std::vector<Nd>& in, int64_t dim,
                                             const WindowAxis& axis, std::vector<int64_t>* absent) {
  std::vector<Nd> out;
  for (const Nd& x : in) {
    Dims dims = x.dims;
    dims[dim] = axis.out;
    out.push_back(e.NewBuffer(x.dtype, dims, "window"));
  }
  // Neighbouring outputs that all taps reach, or the same ones, go together.
  const auto taps_of = [&axis](int64_t o) {
    std::vector<int64_t> taps;
    for (int64_t k = 0; k < axis.kernel; ++k) {
      if (axis.Range(k, o, 1).count == 1) taps.push_back(k);
    }
    return taps;
  };
  const size_t n = in.size();
  absl::Status status;
  std::vector<int64_t> taps = taps_of(0);
  for (int64_t o = 0; o < axis.out;) {
    int64_t end = o + 1;
    std::vector<int64_t> next;
    while (end < axis.out && (next = taps_of(end)) == taps) ++end;
    if (taps.empty()) {
      for (int64_t i = o; i < end; ++i) absent->push_back(i);
    } else {
      std::vector<Nd> parts;
      for (const Nd& y : out) parts.push_back(SliceDim(y, dim, o, end - o));
      for (int64_t k : taps) {
        const TapRange r = axis.Range(k, o, end - o);
        for (const Nd& x : in) parts.push_back(SliceDim(x, dim, r.first_in, end - o, r.in_step));
      }
      ForEachTile(parts, 1024, [&](const TileBox& box) {
        if (!status.ok()) return;
        std::vector<Operand> sum;
        for (size_t t = 0; t < taps.size(); ++t) {
          std::vector<Operand> arguments = sum;
          for (size_t i = 0; i < n; ++i) {
            const LoadedOperand load =
                LoadOperand(e, box.parts[n * (t + 1) + i], box.partition_dims);
            arguments.push_back(load.column ? Repeat(load.operand, box.free) : load.operand);
          }
          if (t == 0) {
            sum = arguments;
            continue;
          }
          absl::StatusOr<std::vector<Operand>> result = e.ApplyScalar(computation, arguments);
          if (!result.ok()) {
            status = result.status();
            return;
          }
          sum = *std::move(result);
        }
        for (size_t i = 0; i < n; ++i) {
          const Tile tile = e.NewTile(box.parts[i].dtype, box.partitions, box.free, "window");
          e.Copy(tile.all(), sum[i]);
          e.Store(box.parts[i], box.partition_dims, tile);
        }
      });
      if (!status.ok()) return status;
    }
    o = end;
    taps = std::move(next);
  }
  return out;
}

absl::Status EmitByComputation(Emitter& e, const Instruction& hlo, std::vector<Nd> now,
                               const std::vector<Nd>& inits, const std::vector<Nd>& out) {
  const hlo::Computation& computation = *hlo.to_apply();
  // Dims and outputs that no window reaches: they hold the initial values.
  std::vector<std::pair<int64_t, std::vector<int64_t>>> absent;
  const auto fill_absent = [&](const std::vector<Nd>& arrays, const auto& outputs) {
    for (int64_t o : outputs.second) {
      for (size_t i = 0; i < arrays.size(); ++i) {
        const Nd gap = SliceDim(arrays[i], outputs.first, o, 1);
        e.Dma(gap, BroadcastNd(inits[i], gap.dims, {}));
      }
    }
  };
  for (int64_t d = now[0].rank(); d-- > 0;) {
    const WindowAxis axis = AxisOf(hlo.window[d], now[0].dims[d], out[0].dims[d]);
    if (axis.Trivial()) continue;
    absent.emplace_back(d, std::vector<int64_t>());
    absl::StatusOr<std::vector<Nd>> reduced =
        ReduceAxisBy(e, computation, now, d, axis, &absent.back().second);
    if (!reduced.ok()) return reduced.status();
    now = *std::move(reduced);
    fill_absent(now, absent.back());
  }
  // The initial values come first.
  const size_t n = now.size();
  std::vector<Nd> parts = out;
  parts.insert(parts.end(), now.begin(), now.end());
  absl::Status status;
  ForEachTile(parts, 1024, [&](const TileBox& box) {
    if (!status.ok()) return;
    std::vector<Operand> arguments;
    for (const Nd& init : inits)
      arguments.push_back(Repeat(LoadScalar(e, init, box.partitions), box.free));
    for (size_t i = 0; i < n; ++i) {
      const LoadedOperand load = LoadOperand(e, box.parts[n + i], box.partition_dims);
      arguments.push_back(load.column ? Repeat(load.operand, box.free) : load.operand);
    }
    absl::StatusOr<std::vector<Operand>> result = e.ApplyScalar(computation, arguments);
    if (!result.ok()) {
      status = result.status();
      return;
    }
    for (size_t i = 0; i < n; ++i) {
      const Tile tile = e.NewTile(box.parts[i].dtype, box.partitions, box.free, "window");
      e.Copy(tile.all(), (*result)[i]);
      e.Dma(box.parts[i], TileNd(tile, box.parts[i].dims, box.partition_dims));
    }
  });
  if (!status.ok()) return status;
  for (const auto& outputs : absent) fill_absent(out, outputs);
  return e.status();
}

// Reduces one axis whose windows do not fit into a tile: each piece of the window by itself, then
// the pieces.
absl::StatusOr<Nd> ReduceInPieces(Emitter& e, const Nd& x, int64_t dim, const WindowAxis& axis,
                                  AluOp op) {
  WindowAxis piece = axis;
  while (!WindowFits({&piece, 1}, x.dtype, op)) piece.kernel = (piece.kernel + 1) / 2;
  const int64_t size = piece.kernel;
  const int64_t count = (axis.kernel + size - 1) / size;
  Dims dims = x.dims;
  dims[dim] = axis.out;
  dims.insert(dims.begin(), count);
  const DType type = isa::IsFloat(x.dtype) ? DType::kF32 : x.dtype;
  const Nd pieces = e.NewBuffer(type, dims, "window");
  for (int64_t i = 0; i < count; ++i) {
    piece.kernel = std::min(size, axis.kernel - i * size);
    piece.pad_low = axis.pad_low - i * size * axis.kernel_dilation;
    const absl::Status status = ReduceWindows(e, x, DropDim(SliceDim(pieces, 0, i, 1), 0), {piece},
                                              {dim}, op, absl::nullopt);
    if (!status.ok()) return status;
  }
  WindowAxis all;
  all.in = all.kernel = count;
  all.out = 1;
  dims[0] = 1;
  const Nd sum = e.NewBuffer(type, dims, "window");
  const absl::Status status = ReduceWindows(e, pieces, sum, {all}, {0}, op, absl::nullopt);
  if (!status.ok()) return status;
  return DropDim(sum, 0);
}

// Images for convolutions, which may round them, keep their channels outermost.
Nd NewOutput(Emitter& e, const Instruction& hlo, int64_t leaf, AluOp op) {
  const Instruction* reader = hlo.shape.IsTuple() ? nullptr : ConvolutionOf(hlo);
  if (reader == nullptr) return e.NewResult(hlo, leaf);
  const absl::StatusOr<DType> type = DeviceType(hlo.shape.type);
  if (!type.ok()) return e.NewResult(hlo, leaf);
  const bool rounds = op == AluOp::kMax && OnlyRounded(hlo, e.options());
  return e.NewImages(hlo, reader->conv_dims.input_feature,
                     rounds ? RoundedType(e.options()) : *type);
}

}  // namespace

absl::Status EmitReduceWindow(Emitter& e, const Instruction& hlo) {
  const int64_t count = hlo.operand_count() / 2;
  const ReduceOp op = ClassifyReducer(*hlo.to_apply());
  std::vector<Nd> in, inits, out;
  for (int64_t i = 0; i < count; ++i) {
    absl::StatusOr<Nd> x = e.View(hlo.operand(i));
    if (!x.ok()) return x.status();
    absl::StatusOr<Nd> init = e.View(hlo.operand(count + i));
    if (!init.ok()) return init.status();
    in.push_back(*x);
    inits.push_back(*init);
    out.push_back(NewOutput(e, hlo, i, op.alu));
  }
  if (!e.ok() || out[0].elements() == 0) return e.status();
  if (in[0].elements() == 0) {
    for (int64_t i = 0; i < count; ++i) e.Dma(out[i], BroadcastNd(inits[i], out[i].dims, {}));
    return e.status();
  }
  if (count > 1 || op.alu == AluOp::kBypass) return EmitByComputation(e, hlo, in, inits, out);

  Nd x = in[0];
  std::vector<WindowAxis> axes;
  Dims dims;
  for (int64_t d = 0; d < x.rank(); ++d) {
    const WindowAxis axis = AxisOf(hlo.window[d], x.dims[d], out[0].dims[d]);
    if (axis.Trivial()) continue;
    axes.push_back(axis);
    dims.push_back(d);
  }
  absl::optional<Nd> init;
  if (!IsNeutral(hlo.operand(1), op.alu, x.dtype)) init = inits[0];
  if (axes.size() == 1 && axes[0].in > 4 && (IsPrefix(axes[0]) || IsSuffix(axes[0]))) {
    const bool prefix = IsPrefix(axes[0]);
    EmitScan(e, prefix ? x : ReverseDim(x, dims[0]), prefix ? out[0] : ReverseDim(out[0], dims[0]),
             dims[0], op.alu, init);
    return e.status();
  }
  // As many axes at a time as may be, the last ones first; sums in between as wide as the engines
  // have them.
  const auto axes_at_once = [&] {
    size_t count = std::min<size_t>(axes.size(), kWindowAxes);
    while (count > 0 && !WindowFits(absl::MakeSpan(axes).last(count), x.dtype, op.alu)) --count;
    return count;
  };
  for (size_t i = axes.size(); i-- > 0;) {
    if (WindowFits({&axes[i], 1}, x.dtype, op.alu)) continue;
    absl::StatusOr<Nd> reduced = ReduceInPieces(e, x, dims[i], axes[i], op.alu);
    if (!reduced.ok()) return reduced.status();
    x = *std::move(reduced);
    axes.erase(axes.begin() + static_cast<int64_t>(i));
    dims.erase(dims.begin() + static_cast<int64_t>(i));
  }
  for (size_t count = axes_at_once(); count < axes.size(); count = axes_at_once()) {
    const size_t first = axes.size() - count;
    Dims between = x.dims;
    for (size_t i = first; i < axes.size(); ++i) between[dims[i]] = axes[i].out;
    const Nd buffer = e.NewBuffer(isa::IsFloat(x.dtype) ? DType::kF32 : x.dtype, between, "window");
    const absl::Status status =
        ReduceWindows(e, x, buffer, std::vector<WindowAxis>(axes.begin() + first, axes.end()),
                      Dims(dims.begin() + first, dims.end()), op.alu, absl::nullopt);
    if (!status.ok()) return status;
    axes.resize(first);
    dims.resize(first);
    x = buffer;
  }
  return ReduceWindows(e, x, out[0], axes, dims, op.alu, init);
}

}  // namespace glia::compiler
