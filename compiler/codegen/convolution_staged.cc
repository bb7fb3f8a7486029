#include "compiler/codegen/convolution_staged.h"

#include <algorithm>

#include "compiler/codegen/tiling.h"
#include "serialization/isa/cost.h"
#include "serialization/isa/table.h"

namespace glia::compiler {
namespace {

// So few channels leave most of the array idle.
constexpr int64_t kFewChannels = 16;
// The way to HBM and back: two transfers, and what comes between them.
constexpr int64_t kStagePs = 2 * isa::cost::kDmaStartPs + 4'000'000;

int64_t CeilDiv(int64_t a, int64_t b) { return (a + b - 1) / b; }

struct TapPlan {
  int64_t rows, row_groups, taps, tap_groups;
  explicit TapPlan(const ConvProblem& p) {
    const int64_t ci = p.x.dims[1], kernel = p.axes[1].kernel;
    row_groups = CeilDiv(kernel, std::min(kernel, isa::kPartitions / ci));
    rows = CeilDiv(kernel, row_groups);
    tap_groups =
        CeilDiv(p.axes[2].kernel, std::min(p.axes[2].kernel, isa::kPartitions / (ci * rows)));
    taps = CeilDiv(p.axes[2].kernel, tap_groups);
  }
};

}  // namespace

bool StagedInput::Pays(const ConvProblem& p, DType compute) {
  const int64_t ci = p.x.dims[1];
  if (ci > kFewChannels || !p.axes[0].Trivial() || p.axes[0].in > 1) return false;
  for (const WindowAxis& axis : {p.axes[1], p.axes[2]}) {
    if (axis.base_dilation > 1 || axis.pad_low < 0) return false;
  }
  // A stride's rows of the copy are on one partition at a time.
  const int64_t width =
      p.axes[2].in + p.axes[2].pad_low + (2 * p.axes[2].kernel + 1) * p.axes[2].kernel_dilation;
  const int64_t bytes = std::max(isa::DTypeBytes(p.x.dtype), isa::DTypeBytes(compute));
  if (p.axes[1].in > 1 && p.axes[1].stride * width * bytes > kMaxTileBytes) return false;
  const TapPlan plan(p);
  // Without it the rows of the kernel join the channels, if there are any.
  const int64_t before = p.axes[2].kernel * CeilDiv(ci * p.axes[1].kernel, isa::kPartitions);
  const int64_t saved = before - plan.row_groups * plan.tap_groups;
  const int64_t columns = p.out.dims[0] * p.axes[1].out * p.axes[2].out;
  const int64_t factor = compute == DType::kF32 ? isa::cost::kPeFp32Factor : 1;
  return isa::CyclesToPs(Engine::kPe, saved * columns * factor) > kStagePs;
}

StagedInput::StagedInput(Emitter& e, const ConvProblem& p, DType compute)
    : e_(e),
      rows_(p.axes[1]),
      columns_(p.axes[2]),
      compute_(compute),
      x_(DropDim(TransposeNd(p.x, {1, 0, 2, 3, 4}), 2)) {
  const TapPlan plan(p);
  taps_each_ = plan.taps;
  tap_groups_ = plan.tap_groups;
  for (int64_t r = 0; r < rows_.kernel; r += plan.rows) {
    for (int64_t t = 0; t < columns_.kernel; t += plan.taps) {
      contractions_.push_back({0, x_.dims[0], r, std::min(plan.rows, rows_.kernel - r), t,
                               std::min(plan.taps, columns_.kernel - t)});
    }
  }
  // Every partition of a full group of taps may read a whole run.
  pitch_ = PitchOf(columns_.out) + (taps_each_ - 1) * columns_.kernel_dilation;
  const int64_t span =
      (rows_.out - 1) * rows_.stride + (rows_.kernel - 1) * rows_.kernel_dilation + 1;
  plane_rows_ = CeilDiv(span, rows_.stride);
}

// What neighbouring outputs of a row read through the first tap of each group.
int64_t StagedInput::PitchOf(int64_t columns) const {
  return (columns - 1) * columns_.stride +
         (tap_groups_ - 1) * taps_each_ * columns_.kernel_dilation + 1;
}

// Whole rows lie behind each other with all of their padding; of others only what is read comes.
int64_t StagedInput::RunOf(int64_t rows, int64_t columns) const {
  const int64_t last = PitchOf(columns);
  return (rows - 1) * (columns == columns_.out ? pitch_ : last) + last;
}

int64_t StagedInput::InputsOf(const WindowSizes& outputs) const {
  return outputs[0] * RunOf(outputs[2], outputs[3]);
}

void StagedInput::Stage() {
  const int64_t channels = x_.dims[0], images = x_.dims[1];
  staged_ = e_.NewBuffer(compute_, {images, channels, rows_.stride, plane_rows_, pitch_}, "staged");
  for (int64_t n = 0; n < images; ++n) {
    const Nd x = DropDim(SliceDim(x_, 1, n, 1), 1);
    const Nd planes = DropDim(SliceDim(staged_, 0, n, 1), 0);
    if (rows_.in == 1 && rows_.stride == 1) {
      StageLine(x, planes);
    } else {
      StageRows(x, planes);
    }
  }
}

// Zeros to [C, phase, row, column].
void StagedInput::Zero(const Nd& part) {
  if (part.elements() == 0) return;
  const int64_t free = part.elements() / part.dims[0];
  const int64_t most = kMaxTileBytes / isa::DTypeBytes(compute_);
  if (free > most) {
    int64_t d = 1;
    while (part.dims[d] == 1) ++d;
    const int64_t half = part.dims[d] / 2;
    Zero(SliceDim(part, d, 0, half));
    Zero(SliceDim(part, d, half, part.dims[d] - half));
    return;
  }
  const Tile zeros = e_.NewTile(compute_, static_cast<int>(part.dims[0]), free, "zeros");
  e_.Memset(zeros.all(), 0);
  e_.Dma(part, e_.At(zeros, part.dims));
}

void StagedInput::Convert(const Operand& to, const Operand& from) {
  if (isa::IsFloat(from.dtype) && e_.Lighter(from.free_elements()) == Engine::kAct) {
    e_.Activate(to, from, ActFn::kCopy, 1, absl::nullopt, 0, absl::nullopt, Engine::kAct);
  } else {
    e_.Copy(to, from);
  }
}

// Rows of an image [C, rows, columns]: some on each partition, dealt out by the stride and padded
// on the way through SBUF.
void StagedInput::StageRows(const Nd& x, const Nd& planes) {
  const int64_t channels = x.dims[0], stride = rows_.stride, pad = rows_.pad_low;
  const int64_t padded = plane_rows_ * stride;
  const int64_t rows = std::min(rows_.in, std::max<int64_t>(0, padded - pad));
  const int64_t left = std::min(columns_.pad_low, pitch_);
  const int64_t columns = std::min(columns_.in, pitch_ - left);
  // Rows that the input does not have, phase by phase.
  for (int64_t phase = 0; phase < stride; ++phase) {
    const Nd plane = SliceDim(planes, 1, phase, 1);
    const int64_t first = std::min(plane_rows_, CeilDiv(std::max<int64_t>(0, pad - phase), stride));
    const int64_t end = std::max(
        first, std::min(plane_rows_, CeilDiv(std::max<int64_t>(0, pad + rows - phase), stride)));
    Zero(SliceDim(plane, 2, 0, first));
    Zero(SliceDim(plane, 2, end, plane_rows_ - end));
  }
  if (rows == 0 || columns == 0) {
    Zero(planes);
    return;
  }
  // As many on each partition as the stride divides, the same number on all if that can be.
  const int64_t groups = isa::kPartitions / channels;
  int64_t each = CeilDiv(CeilDiv(rows, groups), stride) * stride;
  for (int64_t more = each; more < 2 * each; more += stride) {
    if (rows % more == 0) {
      each = more;
      break;
    }
  }
  const int64_t most = std::max<int64_t>(1, kMaxTileBytes /
                                                std::max(pitch_ * isa::DTypeBytes(compute_),
                                                         columns * x.element_bytes()) /
                                                stride) *
                       stride;
  each = std::min(each, most);
  const auto stage = [&](int64_t first, int64_t count, int64_t per) {
    // Rows [first, first + count * per) on (channel, group).
    const Nd from = SplitDim(SliceDim(SliceDim(x, 1, first, count * per), 2, 0, columns), 1, per);
    const int partitions = static_cast<int>(channels * count);
    const Tile raw = e_.LoadShared(from, 2);
    const Tile tile = e_.NewTile(compute_, partitions, per * pitch_, "staged");
    const int64_t right = pitch_ - left - columns;
    if (left > 0) e_.Memset(tile.pattern(partitions, 0, {per, left}, {pitch_, 1}), 0);
    if (right > 0) {
      e_.Memset(tile.pattern(partitions, left + columns, {per, right}, {pitch_, 1}), 0);
    }
    // Rows of one phase are neighbours in the tile.
    int64_t at = 0;
    for (int64_t i = 0; i < std::min(per, stride); ++i) {
      const int64_t of_phase = CeilDiv(per - i, stride);
      Convert(tile.pattern(partitions, at * pitch_ + left, {of_phase, columns}, {pitch_, 1}),
              raw.pattern(partitions, i * columns, {of_phase, columns}, {stride * columns, 1}));
      const int64_t row = first + i + pad;
      Nd to = SliceDim(SliceDim(planes, 1, row % stride, 1), 2, row / stride,
                       count == 1 ? of_phase : count * of_phase);
      to = SplitDim(DropDim(to, 1), 1, of_phase);
      Nd rows_of = e_.At(tile, {partitions, of_phase, pitch_}, 0, at * pitch_);
      e_.Dma(to, SplitDim(rows_of, 0, count));
      at += of_phase;
    }
  };
  int64_t first = 0;
  const int64_t whole = rows / each;
  for (int64_t g = 0; g < whole; g += groups) {
    const int64_t count = std::min(groups, whole - g);
    stage(first, count, each);
    first += count * each;
  }
  if (first < rows) stage(first, 1, rows - first);
}

// One row: pieces of it on the partitions.
void StagedInput::StageLine(const Nd& x, const Nd& planes) {
  const int64_t channels = x.dims[0], left = std::min(columns_.pad_low, pitch_);
  const int64_t columns = std::min(columns_.in, pitch_ - left);
  // Rows of the kernel beyond the one of the input meet zeros.
  const int64_t row = rows_.pad_low;
  if (row > 0) Zero(SliceDim(planes, 2, 0, std::min(row, plane_rows_)));
  if (row >= plane_rows_) return;
  Zero(SliceDim(planes, 2, row + 1, plane_rows_ - row - 1));
  const Nd line = SliceDim(planes, 2, row, 1);
  Zero(SliceDim(line, 3, 0, left));
  Zero(SliceDim(line, 3, left + columns, pitch_ - left - columns));
  const int64_t groups = isa::kPartitions / channels;
  const int64_t most =
      kMaxTileBytes / std::max(isa::DTypeBytes(compute_), isa::DTypeBytes(x.dtype));
  const int64_t each = std::min(most, CeilDiv(columns, groups));
  const Nd to = DropDim(DropDim(line, 2), 1), from = DropDim(x, 1);
  for (int64_t first = 0; first < columns;) {
    const int64_t count = std::min(groups, (columns - first) / each);
    const int64_t size = count == 0 ? columns - first : count * each;
    const int64_t per = count == 0 ? size : each;
    const Tile raw = e_.LoadShared(SplitDim(SliceDim(from, 1, first, size), 1, per), 2);
    Tile tile = raw;
    if (raw.dtype != compute_) {
      tile = e_.NewTile(compute_, raw.partitions, raw.free, "staged");
      Convert(tile.all(), raw.all());
    }
    e_.Dma(SplitDim(SliceDim(to, 1, left + first, size), 1, per),
           SplitDim(e_.At(tile, {tile.partitions, per}), 0, size / per));
    first += size;
  }
}

std::vector<ConvInput> StagedInput::Load(const WindowBlock& block) {
  const int64_t channels = x_.dims[0], bytes = isa::DTypeBytes(compute_);
  const int64_t run = RunOf(block.size[2], block.size[3]);
  const bool whole = block.size[3] == columns_.out;
  const int64_t pitch = whole ? pitch_ : PitchOf(block.size[3]);
  std::vector<ConvInput> result;
  Tile tile;
  for (const Contraction& c : contractions_) {
    if (c.tap == 0) {
      // The same tile for all groups of taps: partition t of a later one reads it further on.
      tile = e_.NewTile(compute_, static_cast<int>(taps_each_ * c.rows * channels),
                        block.size[0] * run, "taps");
      for (int64_t r = 0; r < c.rows; ++r) {
        const int64_t row = (c.row + r) * rows_.kernel_dilation;
        // [C, N, run] of this row of the kernel, and so for each tap.
        Nd from = TransposeNd(SliceDim(staged_, 0, block.start[0], block.size[0]), {1, 0, 2, 3, 4});
        from.offset += (row % rows_.stride) * from.strides[2] +
                       (row / rows_.stride + block.start[2]) * from.strides[3] +
                       block.start[3] * columns_.stride * bytes;
        from = DropDim(from, 2);
        if (whole) {
          from.dims[2] = 1;
          from.dims[3] = run;
        } else {
          from.dims[2] = block.size[2];
          from.dims[3] = pitch;
        }
        from = InsertDim(from, 0, taps_each_, columns_.kernel_dilation * bytes);
        // Partitions (tap, row, channel).
        Nd to = e_.At(tile, {tile.partitions, block.size[0], from.dims[3], from.dims[4]});
        to = SplitDim(SplitDim(to, 0, c.rows * channels), 1, channels);
        e_.Dma(DropDim(SliceDim(to, 1, r, 1), 1), from);
      }
    }
    ConvInput input;
    input.tile = tile;
    input.tile.partitions = c.partitions();
    input.first = block.start;
    input.dims = block.size;
    input.start = c.tap * columns_.kernel_dilation;
    input.steps = {run, run, pitch, columns_.stride};
    result.push_back(input);
  }
  return result;
}

}  // namespace glia::compiler
