// reduce-window: by one operation of the engines, axis after axis over tiles; running sums and the
// like as scans; any other computation, of one or several arrays, axis after axis over HBM.
#include <algorithm>
#include <limits>

#include "absl/strings/str_cat.h"
#include "compiler/codegen/emitters.h"
#include "compiler/codegen/indexing.h"
#include "compiler/codegen/reduce.h"
#include "compiler/codegen/tiling.h"
#include "compiler/codegen/window.h"
#include "serialization/isa/table.h"

namespace glia::compiler {
namespace {

using hlo::Instruction;

constexpr int64_t kMaxBytes = 16 * 1024;  // of a tile, a partition
constexpr int64_t kScanFree = 4096;       // elements of one scan

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

// Writes the element x for which op(x, y) is y.
void SetNeutral(Emitter& e, const Operand& o, AluOp op) {
  const bool minimum = op == AluOp::kMin, maximum = op == AluOp::kMax;
  if (isa::IsFloat(o.dtype)) {
    const double infinity = std::numeric_limits<double>::infinity();
    e.Memset(o, minimum ? infinity : maximum ? -infinity : op == AluOp::kMultiply ? 1 : 0);
    return;
  }
  const int bits = 8 * isa::DTypeBytes(o.dtype);
  const bool is_signed = o.dtype == DType::kI8 || o.dtype == DType::kI16 ||
                         o.dtype == DType::kI32 || o.dtype == DType::kI64;
  int64_t value = op == AluOp::kMultiply ? 1 : op == AluOp::kAnd ? -1 : 0;
  if (o.dtype == DType::kPred) {
    value = minimum ? 1 : value;
  } else if (is_signed && (minimum || maximum)) {
    value = minimum ? INT64_MAX >> (64 - bits) : INT64_MIN >> (64 - bits);
  } else if (minimum) {
    value = bits == 64 ? -1 : (int64_t{1} << bits) - 1;
  }
  e.MemsetInt(o, value);
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

// A scalar in HBM as [P, 1].
Operand LoadScalar(Emitter& e, const Nd& scalar, int partitions) {
  const Tile column = e.NewTile(scalar.dtype, partitions, 1, "init");
  e.Dma(e.At(column, {partitions, 1}), BroadcastNd(scalar, {partitions, 1}, {}));
  return column.all();
}

Operand Repeat(Operand column, int64_t free) {
  column.size[isa::kFreeDims - 1] = static_cast<uint16_t>(free);
  return column;
}

// Arrays [C, outer, three axes] on both sides.
struct WindowProblem {
  Nd x, out;
  std::array<WindowAxis, kWindowAxes> axes;
  AluOp op;
  absl::optional<Nd> init;  // unless it is neutral
};

class WindowReducer {
 public:
  WindowReducer(Emitter& e, const WindowProblem& p) : e_(e), p_(p) {
    sum_type_ = isa::IsFloat(p.x.dtype) ? DType::kF32 : p.x.dtype;
  }

  absl::Status Emit() {
    const int64_t most = kMaxBytes / std::max(4, isa::DTypeBytes(sum_type_));
    // What there is at each stage: the last axis is reduced first.
    const auto fits = [&](const WindowSizes& b) {
      WindowSizes stage = b;
      for (int a = 0; a < kWindowAxes; ++a) stage[a + 1] = p_.axes[a].InputsOf(b[a + 1]);
      bool small = stage[0] * stage[1] * stage[2] * stage[3] <= most;
      for (int a = kWindowAxes - 1; a >= 0; --a) {
        stage[a + 1] = b[a + 1];
        small = small && stage[0] * stage[1] * stage[2] * stage[3] <= most;
      }
      return small;
    };
    if (!fits({1, 1, 1, 1})) {
      return absl::UnimplementedError(
          absl::StrCat("one result of the reduce-window reads more than the ", most,
                       " elements that a tile holds"));
    }
    const WindowBlock whole = {{0, 0, 0, 0},
                               {p_.out.dims[1], p_.out.dims[2], p_.out.dims[3], p_.out.dims[4]}};
    const int64_t channels = p_.out.dims[0];
    const int64_t each = std::min<int64_t>(channels, isa::kPartitions);
    for (int64_t c0 = 0; c0 < channels; c0 += each) {
      const int64_t count = std::min(each, channels - c0);
      ForEachWindowBlock(whole, fits,
                         [&](const WindowBlock& block) { EmitBlock(block, c0, count); });
    }
    return e_.status();
  }

 private:
  void EmitBlock(const WindowBlock& block, int64_t c0, int64_t count) {
    const int partitions = static_cast<int>(count);
    const Nd target = block.Of(SliceDim(p_.out, 0, c0, count));
    WindowSizes first = block.start, dims = block.size;
    bool nothing = false;
    for (int a = 0; a < kWindowAxes; ++a) {
      const auto [start, size] = p_.axes[a].Inputs(block.start[a + 1], block.size[a + 1]);
      first[a + 1] = start;
      dims[a + 1] = size;
      nothing = nothing || size == 0;
    }
    Tile now;
    if (nothing) {
      now = e_.NewTile(sum_type_, partitions, block.outputs(), "window");
      SetNeutral(e_, now.all(), p_.op);
    } else {
      Nd part = SliceDim(p_.x, 0, c0, count);
      for (int d = 0; d < 4; ++d) part = SliceDim(part, d + 1, first[d], dims[d]);
      now = e_.LoadShared(part, 1);
      for (int a = kWindowAxes - 1; a >= 0; --a) now = ReduceAxis(now, block, a, first, &dims);
    }
    if (p_.init.has_value()) {
      const Tile next = e_.NewTile(now.dtype, partitions, now.free, "window");
      e_.TensorTensor(next.all(), now.all(), Repeat(LoadScalar(e_, *p_.init, partitions), now.free),
                      p_.op);
      now = next;
    }
    Tile result = now;
    // The input's own tile may be in the cache under its own name already.
    if (now.dtype != p_.out.dtype || now.var == source_) {
      result = e_.NewTile(p_.out.dtype, partitions, now.free, "window");
      e_.Copy(result.all(), now.all());
    }
    e_.Store(target, 1, result);
  }

  // dims[a + 1] goes from the inputs to the outputs of the block.
  Tile ReduceAxis(const Tile& in, const WindowBlock& block, int a, const WindowSizes& first,
                  WindowSizes* dims) {
    const WindowAxis& axis = p_.axes[a];
    if (a == kWindowAxes - 1) source_ = in.var;
    if (axis.Trivial()) return in;
    const WindowSizes in_steps = DenseSteps(*dims);
    const int64_t in_size = (*dims)[a + 1];
    (*dims)[a + 1] = block.size[a + 1];
    const WindowSizes out_steps = DenseSteps(*dims);
    const Tile out = e_.NewTile(sum_type_, in.partitions, Product(*dims), "window");
    const int64_t o0 = block.start[a + 1], outputs = block.size[a + 1];
    const auto side = [&](const Tile& tile, WindowSizes steps, int64_t start, int64_t step,
                          int64_t count) {
      WindowSizes sizes = *dims;
      sizes[a + 1] = count;
      start *= steps[a + 1];
      steps[a + 1] *= step;
      return WindowPattern(tile, start, sizes, steps);
    };
    std::vector<TapRange> all, some;
    for (int64_t k = 0; k < axis.kernel; ++k) {
      const TapRange r = axis.Range(k, o0, outputs);
      if (r.count == outputs) {
        all.push_back(r);
      } else if (r.count > 0) {
        some.push_back(r);
      }
    }
    const auto input = [&](const TapRange& r) {
      return side(in, in_steps, r.first_in - first[a + 1], r.in_step, r.count);
    };
    if (outputs == 1 && all.size() > 2 && static_cast<int64_t>(all.size()) == in_size) {
      // One result of all: the axis innermost.
      WindowSizes sizes = *dims, steps = in_steps;
      sizes[a + 1] = in_size;
      for (int d = a + 1; d < 3; ++d) {
        std::swap(sizes[d], sizes[d + 1]);
        std::swap(steps[d], steps[d + 1]);
      }
      e_.Reduce(out.all(), in.pattern(in.partitions, 0, sizes, steps), p_.op, 1);
      return out;
    }
    // Taps that reach every output begin; the others join where they reach.
    size_t next = 0;
    if (all.empty()) {
      SetNeutral(e_, out.all(), p_.op);
    } else if (all.size() == 1) {
      e_.Copy(out.all(), input(all[0]));
      next = 1;
    } else {
      e_.TensorTensor(out.all(), input(all[0]), input(all[1]), p_.op);
      next = 2;
    }
    some.insert(some.begin(), all.begin() + static_cast<int64_t>(next), all.end());
    for (const TapRange& r : some) {
      const Operand to = side(out, out_steps, r.first_out - o0, r.out_step, r.count);
      e_.TensorTensor(to, to, input(r), p_.op);
    }
    return out;
  }

  Emitter& e_;
  const WindowProblem& p_;
  DType sum_type_;
  uint32_t source_ = UINT32_MAX;  // the tile that the block's inputs came in
};

// Kept dims as [C, outer] with the most on C, the others one by one; then the axes.
absl::Status EmitByOperation(Emitter& e, const Nd& x, const Nd& out,
                             const std::vector<WindowAxis>& axes, const Dims& window_dims, AluOp op,
                             const absl::optional<Nd>& init) {
  Dims kept, xs, outs;
  for (int64_t d = 0; d < x.rank(); ++d) {
    if (std::count(window_dims.begin(), window_dims.end(), d) > 0) continue;
    kept.push_back(x.dims[d]);
    xs.push_back(x.strides[d]);
    outs.push_back(out.strides[d]);
  }
  Collapse(&kept, {&xs, &outs});
  // The largest first.
  std::vector<size_t> order(kept.size());
  for (size_t i = 0; i < order.size(); ++i) order[i] = i;
  std::stable_sort(order.begin(), order.end(),
                   [&](size_t a, size_t b) { return kept[a] > kept[b]; });
  const auto arrange = [&](const Nd& nd, const Dims& strides) {
    Nd result = nd;
    result.dims = {kept[order[0]], order.size() > 1 ? kept[order[1]] : 1};
    result.strides = {strides[order[0]], order.size() > 1 ? strides[order[1]] : 0};
    for (int64_t pad = static_cast<int64_t>(window_dims.size()); pad < kWindowAxes; ++pad) {
      result = InsertDim(result, result.rank());
    }
    for (int64_t d : window_dims)
      result = InsertDim(result, result.rank(), nd.dims[d], nd.strides[d]);
    return result;
  };
  WindowProblem p;
  p.op = op;
  p.init = init;
  for (size_t i = 0; i < axes.size(); ++i) p.axes[kWindowAxes - axes.size() + i] = axes[i];
  const Nd px = arrange(x, xs), pout = arrange(out, outs);
  Dims rest;
  for (size_t i = 2; i < order.size(); ++i) rest.push_back(kept[order[i]]);
  const int64_t count = Product(rest);
  for (int64_t i = 0; i < count; ++i) {
    p.x = px;
    p.out = pout;
    int64_t left = i;
    for (size_t d = rest.size(); d-- > 0;) {
      const int64_t at = left % rest[d];
      left /= rest[d];
      p.x.offset += at * xs[order[d + 2]];
      p.out.offset += at * outs[order[d + 2]];
    }
    if (absl::Status s = WindowReducer(e, p).Emit(); !s.ok()) return s;
  }
  return e.status();
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
    out.push_back(e.NewResult(hlo, i));
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
  // Three axes at a time, the last ones first; sums in between as wide as the engines have them.
  while (axes.size() > kWindowAxes) {
    const size_t first = axes.size() - kWindowAxes;
    Dims between = x.dims;
    for (size_t i = first; i < axes.size(); ++i) between[dims[i]] = axes[i].out;
    const Nd buffer = e.NewBuffer(isa::IsFloat(x.dtype) ? DType::kF32 : x.dtype, between, "window");
    const absl::Status status =
        EmitByOperation(e, x, buffer, std::vector<WindowAxis>(axes.begin() + first, axes.end()),
                        Dims(dims.begin() + first, dims.end()), op.alu, absl::nullopt);
    if (!status.ok()) return status;
    axes.resize(first);
    dims.resize(first);
    x = buffer;
  }
  return EmitByOperation(e, x, out[0], axes, dims, op.alu, init);
}

}  // namespace glia::compiler
