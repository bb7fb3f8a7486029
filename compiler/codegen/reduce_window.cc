#include "compiler/codegen/reduce_window.h"

#include <algorithm>
#include <limits>

#include "absl/strings/str_cat.h"
#include "compiler/codegen/tiling.h"
#include "serialization/isa/table.h"

namespace glia::compiler {

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

Operand LoadScalar(Emitter& e, const Nd& scalar, int partitions) {
  const Tile column = e.NewTile(scalar.dtype, partitions, 1, "init");
  e.Dma(e.At(column, {partitions, 1}), BroadcastNd(scalar, {partitions, 1}, {}));
  return column.all();
}

Operand Repeat(Operand column, int64_t free) {
  column.size[isa::kFreeDims - 1] = static_cast<uint16_t>(free);
  return column;
}

namespace {

constexpr int64_t kMaxBytes = 16 * 1024;  // of a tile, a partition
constexpr int64_t kSmallImage = 128;      // results of images that share a tile
constexpr int64_t kPoolFree = 192;        // elements from which POOL is the faster

// The larger of two is one of them: no wider type is needed.
DType SumType(DType x, AluOp op) {
  const bool selects = op == AluOp::kMax || op == AluOp::kMin;
  return isa::IsFloat(x) && !selects ? DType::kF32 : x;
}
// Elements of a tile.
int64_t MostOf(DType sum) { return kMaxBytes / std::max(2, isa::DTypeBytes(sum)); }

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
    sum_type_ = SumType(p.x.dtype, p.op);
  }

  absl::Status Emit() {
    const int64_t most = MostOf(sum_type_);
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
    // Results that fit into a tile stay together: what reads them wants whole images.
    const int64_t results = kMaxTileBytes / p_.out.element_bytes();
    const auto together = [&](const WindowSizes& b) {
      return b[0] * b[1] * b[2] * b[3] <= results &&
             (b[0] == 1 || b[1] * b[2] * b[3] <= kSmallImage);
    };
    for (int64_t c0 = 0; c0 < channels; c0 += each) {
      const int64_t count = std::min(each, channels - c0);
      ForEachWindowBlock(whole, together, [&](const WindowBlock& images) {
        Tile result;
        ForEachWindowBlock(images, fits, [&](const WindowBlock& block) {
          const Tile done = Reduce(block, c0, count);
          // The input's own tile may be in the cache under its own name already.
          if (block.size == images.size && done.dtype == p_.out.dtype && done.var != source_) {
            result = done;
            return;
          }
          if (!result.valid()) {
            result = e_.NewTile(p_.out.dtype, static_cast<int>(count), images.outputs(), "window");
          }
          const WindowSizes steps = DenseSteps(images.size);
          int64_t start = 0;
          for (int d = 0; d < 4; ++d) start += (block.start[d] - images.start[d]) * steps[d];
          const Operand to = WindowPattern(result, start, block.size, steps);
          if (isa::IsFloat(to.dtype) && isa::IsFloat(done.dtype)) {
            e_.Activate(to, done.all(), ActFn::kCopy, 1, absl::nullopt, 0, absl::nullopt,
                        Engine::kAct);
          } else {
            e_.Copy(to, done.all());
          }
        });
        e_.Store(images.Of(SliceDim(p_.out, 0, c0, count)), 1, result);
      });
    }
    return e_.status();
  }

 private:
  // The results of a block, in a dense tile.
  Tile Reduce(const WindowBlock& block, int64_t c0, int64_t count) {
    const int partitions = static_cast<int>(count);
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
      source_start_ = 0;
      source_steps_ = DenseSteps(dims);
      const auto within = e_.FindWithin(part, part.dtype);
      const bool trivial = std::all_of(p_.axes.begin(), p_.axes.end(),
                                       [](const WindowAxis& axis) { return axis.Trivial(); });
      if (within.has_value() && !trivial) {
        now = within->tile;
        source_start_ = within->start;
        std::copy(within->strides.begin(), within->strides.end(), source_steps_.begin());
      } else {
        now = e_.LoadShared(part, 1);
      }
      source_ = now.var;
      for (int a = kWindowAxes - 1; a >= 0; --a) now = ReduceAxis(now, block, a, first, &dims);
    }
    if (p_.init.has_value()) {
      const Tile next = e_.NewTile(now.dtype, partitions, now.free, "window");
      e_.TensorTensor(next.all(), now.all(), Repeat(LoadScalar(e_, *p_.init, partitions), now.free),
                      p_.op);
      now = next;
    }
    return now;
  }

  // dims[a + 1] goes from the inputs to the outputs of the block.
  Tile ReduceAxis(const Tile& in, const WindowBlock& block, int a, const WindowSizes& first,
                  WindowSizes* dims) {
    const WindowAxis& axis = p_.axes[a];
    if (axis.Trivial()) return in;
    const bool source = in.var == source_;
    const WindowSizes in_steps = source ? source_steps_ : DenseSteps(*dims);
    const int64_t in_start = source ? source_start_ : 0;
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
      Operand o = side(in, in_steps, r.first_in - first[a + 1], r.in_step, r.count);
      o.offset += static_cast<uint32_t>(in_start * isa::DTypeBytes(in.dtype));
      return o;
    };
    if (outputs == 1 && all.size() > 2 && static_cast<int64_t>(all.size()) == in_size) {
      // One result of all: the axis innermost.
      WindowSizes sizes = *dims, steps = in_steps;
      sizes[a + 1] = in_size;
      for (int d = a + 1; d < 3; ++d) {
        std::swap(sizes[d], sizes[d + 1]);
        std::swap(steps[d], steps[d + 1]);
      }
      e_.Reduce(out.all(), in.pattern(in.partitions, in_start, sizes, steps), p_.op, 1);
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
      Combine(out.all(), input(all[0]), input(all[1]));
      next = 2;
    }
    some.insert(some.begin(), all.begin() + static_cast<int64_t>(next), all.end());
    for (const TapRange& r : some) {
      const Operand to = side(out, out_steps, r.first_out - o0, r.out_step, r.count);
      Combine(to, to, input(r));
    }
    return out;
  }

  // Two tensors cost DVE twice the cycles, POOL only a longer start.
  void Combine(const Operand& to, const Operand& a, const Operand& b) {
    const bool pool = isa::IsFloat(to.dtype) && to.free_elements() >= kPoolFree;
    e_.TensorTensor(to, a, b, p_.op, pool ? Engine::kPool : kAnyEngine);
  }

  Emitter& e_;
  const WindowProblem& p_;
  DType sum_type_;
  int64_t source_start_ = 0;
  WindowSizes source_steps_ = {0, 0, 0, 0};
  uint32_t source_ = UINT32_MAX;  // the tile that the block's inputs came in
};

}  // namespace

bool WindowFits(absl::Span<const WindowAxis> axes, DType x, AluOp op) {
  int64_t inputs = 1;
  for (const WindowAxis& axis : axes) inputs *= std::max<int64_t>(1, axis.InputsOf(1));
  return inputs <= MostOf(SumType(x, op));
}

absl::Status ReduceWindows(Emitter& e, const Nd& x, const Nd& out,
                           const std::vector<WindowAxis>& axes, const Dims& window_dims, AluOp op,
                           const absl::optional<Nd>& init) {
  Dims kept, xs, outs;
  for (int64_t d = 0; d < x.rank(); ++d) {
    if (std::count(window_dims.begin(), window_dims.end(), d) > 0) continue;
    kept.push_back(x.dims[d]);
    xs.push_back(x.strides[d]);
    outs.push_back(out.strides[d]);
  }
  // As [C, outer] with the most on C, the others one by one; then the axes.
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

}  // namespace glia::compiler
