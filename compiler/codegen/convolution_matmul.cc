// Convolution on the tensor engine: the sum over input channels and taps is accumulated in PSUM.
#include <algorithm>
#include <memory>
#include <vector>

#include "compiler/codegen/convolution.h"
#include "compiler/codegen/convolution_epilogue.h"
#include "compiler/codegen/convolution_staged.h"
#include "compiler/codegen/convolution_weights.h"
#include "compiler/codegen/tiling.h"
#include "serialization/isa/table.h"

namespace glia::compiler {
namespace {

int64_t CeilDiv(int64_t a, int64_t b) { return (a + b - 1) / b; }

constexpr int64_t kInputBytes = 80 * 1024;  // a partition, of all channels of one block
constexpr int64_t kRowsBytes = 16 * 1024;   // likewise, of packed rows
// So few channels leave most of the array idle: rows of the kernel join them on the partitions.
constexpr int64_t kFewChannels = 16;

class ConvMatmul {
 public:
  ConvMatmul(Emitter& e, const ConvProblem& p, DType compute, ConvEpilogue* epilogue)
      : e_(e),
        p_(p),
        rows_(p.axes[1]),
        compute_(compute),
        epilogue_(*epilogue),
        x_(TransposeNd(p.x, {1, 0, 2, 3, 4})) {
    const int64_t ci = p.x.dims[1];
    if (PacksWeights(p, compute) && StagedInput::Pays(p, compute)) {
      staged_ = std::make_unique<StagedInput>(e, p, compute);
      contractions_ = staged_->contractions();
      for (const int a : {1, 2}) {
        const int64_t out = p.axes[a].out;
        p_.axes[a] = WindowAxis();
        p_.axes[a].in = p_.axes[a].out = out;
      }
    }
    packed_ =
        staged_ == nullptr && ci <= kFewChannels && rows_.kernel > 1 && rows_.base_dilation == 1;
    if (packed_) {
      // What is left of the axis: each output reads its own row of the packed input.
      p_.axes[1] = WindowAxis();
      p_.axes[1].in = p_.axes[1].out = rows_.out;
      const int64_t most = isa::kPartitions / ci;
      const int64_t each = CeilDiv(rows_.kernel, CeilDiv(rows_.kernel, most));
      for (int64_t r = 0; r < rows_.kernel; r += each) {
        contractions_.push_back({0, ci, r, std::min(each, rows_.kernel - r)});
      }
    } else if (staged_ == nullptr) {
      const int64_t each = CeilDiv(ci, CeilDiv(ci, isa::kPartitions));
      for (int64_t c = 0; c < ci; c += each) {
        contractions_.push_back({c, std::min(each, ci - c), 0, 1});
      }
    }
    const int64_t co = p.out.dims[1];
    co_block_ = CeilDiv(co, CeilDiv(co, isa::kMaxMatmulStationary));
    // A tap that reaches all outputs goes first: it sets what the others add to.
    for (int64_t d = 0; d < p_.axes[0].kernel; ++d) {
      for (int64_t h = 0; h < p_.axes[1].kernel; ++h) {
        for (int64_t w = 0; w < p_.axes[2].kernel; ++w) taps_.push_back({d, h, w});
      }
    }
    const auto reaches_all = [this](const ConvTap& tap) {
      for (int a = 0; a < kWindowAxes; ++a) {
        if (p_.axes[a].Range(tap[a], 0, p_.axes[a].out).count != p_.axes[a].out) return false;
      }
      return true;
    };
    std::stable_partition(taps_.begin(), taps_.end(), reaches_all);
    const ConvWeights::Layout layout = staged_ != nullptr ? ConvWeights::Layout::kTaps
                                       : packed_          ? ConvWeights::Layout::kRows
                                                          : ConvWeights::Layout::kChannels;
    weights_ = std::make_unique<ConvWeights>(e, p_, compute, layout, contractions_, taps_,
                                             co_block_, epilogue);
  }

  absl::Status Emit() {
    const int64_t bytes = std::max(isa::DTypeBytes(compute_), isa::DTypeBytes(p_.x.dtype));
    int64_t one_output = bytes;
    for (const WindowAxis& axis : p_.axes) one_output *= axis.InputsOf(1);
    const int64_t share = kInputBytes / static_cast<int64_t>(contractions_.size());
    const int64_t inputs = std::min(kMaxTileBytes, std::max(share, one_output));
    const int64_t outputs = kMaxTileBytes / std::max<int64_t>(2, epilogue_.MaxElementBytes());
    const int64_t co = p_.out.dims[1];
    if (staged_ != nullptr) staged_->Stage();
    if ((packed_ || staged_ != nullptr) && co <= co_block_) return EmitPacked(outputs, bytes);
    if (staged_ != nullptr) return EmitStaged(outputs, bytes);
    return ForEachConvBlock(p_, inputs / bytes, outputs, [&](const WindowBlock& block) {
      std::vector<std::vector<ConvInput>> in;
      for (const Contraction& c : contractions_) {
        in.emplace_back();
        if (packed_) {
          in.back().push_back(LoadPacked(c, block));
        } else {
          in.back() = LoadConvInputs(e_, p_, SliceDim(x_, 0, c.c0, c.channels), block, compute_);
        }
      }
      EmitOutputs(block, in);
    });
  }

 private:
  // Rows are packed block by block while the results of an image stay together.
  absl::Status EmitPacked(int64_t outputs, int64_t bytes) {
    const int64_t co = p_.out.dims[1];
    const auto inputs = [this](const WindowSizes& b) {
      if (staged_ != nullptr) return staged_->InputsOf(b);
      int64_t count = b[0];
      for (int a = 0; a < kWindowAxes; ++a) count *= p_.axes[a].InputsOf(b[a + 1]);
      return count;
    };
    const int64_t most = std::max(kRowsBytes / bytes, inputs({1, 1, 1, 1}));
    return ForEachConvBlock(p_, INT64_MAX, outputs, [&](const WindowBlock& block) {
      epilogue_.Begin(block);
      const std::vector<Stretch> all = {OpenChannels(0, co)};
      ForEachWindowBlock(
          block, [&](const WindowSizes& b) { return inputs(b) <= most; },
          [&](const WindowBlock& rows) {
            std::vector<std::vector<ConvInput>> in;
            if (staged_ != nullptr) {
              for (ConvInput& input : staged_->Load(rows)) in.push_back({std::move(input)});
            } else {
              for (const Contraction& c : contractions_) in.push_back({LoadPacked(c, rows)});
            }
            EmitParts(rows, in, all);
          });
      CloseChannels(all);
    });
  }

  // Likewise, with more output channels than one matmul has: what is loaded serves all of them.
  absl::Status EmitStaged(int64_t outputs, int64_t bytes) {
    const WindowBlock whole = {{0, 0, 0, 0},
                               {p_.out.dims[0], p_.axes[0].out, p_.axes[1].out, p_.axes[2].out}};
    const int64_t most = std::max(kRowsBytes / bytes, staged_->InputsOf({1, 1, 1, 1}));
    ForEachWindowBlock(
        whole,
        [&](const WindowSizes& b) {
          return staged_->InputsOf(b) <= most && b[0] * b[1] * b[2] * b[3] <= outputs;
        },
        [&](const WindowBlock& block) {
          std::vector<std::vector<ConvInput>> in;
          for (ConvInput& input : staged_->Load(block)) in.push_back({std::move(input)});
          EmitOutputs(block, in);
        });
    return absl::OkStatus();
  }

  // Partition (r, c) holds, for each row of outputs, the row of channel c that row r of the kernel
  // reads.
  ConvInput LoadPacked(const Contraction& c, const WindowBlock& block) {
    ConvInput result;
    result.first = block.start;
    result.dims = block.size;
    for (const int a : {0, 2}) {
      const auto [first, count] = p_.axes[a].Inputs(block.start[a + 1], block.size[a + 1]);
      if (count == 0) return result;
      result.first[a + 1] = first;
      result.dims[a + 1] = count;
    }
    result.steps = DenseSteps(result.dims);
    const Tile raw = e_.NewTile(p_.x.dtype, c.partitions(), Product(result.dims), "rows");
    // Outputs whose row some part of the kernel does not meet read zeros there.
    int64_t low = 0, high = block.size[2];
    for (int64_t r = 0; r < c.rows; ++r) {
      const TapRange range = rows_.Range(c.row + r, block.start[2], block.size[2]);
      low = std::max(low, range.count == 0 ? block.size[2] : range.first_out - block.start[2]);
      high = std::min(high, range.count == 0
                                ? 0
                                : range.first_out - block.start[2] + range.count * range.out_step);
    }
    if (low >= high || rows_.base_dilation > 1) {
      e_.Memset(raw.all(), 0);
    } else {
      for (const auto& [begin, end] :
           {std::make_pair(int64_t{0}, low), std::make_pair(high, block.size[2])}) {
        if (begin >= end) continue;
        WindowSizes sizes = result.dims;
        sizes[2] = end - begin;
        e_.Memset(WindowPattern(raw, begin * result.steps[2], sizes, result.steps), 0);
      }
    }
    Dims dims = {raw.partitions};
    dims.insert(dims.end(), result.dims.begin(), result.dims.end());
    const Nd tile = e_.At(raw, dims);
    Nd from = SliceDim(SliceDim(x_, 0, c.c0, c.channels), 1, block.start[0], block.size[0]);
    from = SliceDim(from, 2, result.first[1], result.dims[1]);
    from = SliceDim(from, 4, result.first[3], result.dims[3]);
    // Outputs that all rows of the kernel reach take one transfer, the others one for each row.
    const bool together = low < high && rows_.base_dilation == 1;
    if (together) {
      const TapRange range = rows_.Range(c.row, block.start[2] + low, high - low);
      Nd src = InsertDim(SliceDim(from, 3, range.first_in, range.count, range.in_step), 0, c.rows,
                         from.strides[3] * rows_.kernel_dilation);
      e_.Dma(SplitDim(SliceDim(tile, 3, low, high - low), 0, c.channels), src);
    }
    for (int64_t r = 0; r < c.rows; ++r) {
      const auto rest = [&](int64_t begin, int64_t end) {
        if (begin >= end) return;
        const TapRange range = rows_.Range(c.row + r, block.start[2] + begin, end - begin);
        if (range.count == 0) return;
        e_.Dma(SliceDim(SliceDim(tile, 0, r * c.channels, c.channels), 3,
                        range.first_out - block.start[2], range.count),
               SliceDim(from, 3, range.first_in, range.count, range.in_step));
      };
      rest(0, together ? low : block.size[2]);
      if (together) rest(high, block.size[2]);
    }
    result.tile = raw;
    if (raw.dtype != compute_) {
      result.tile = e_.NewTile(compute_, raw.partitions, raw.free, "rows");
      if (isa::IsFloat(raw.dtype) && e_.Lighter(raw.free) == Engine::kAct) {
        e_.Activate(result.tile.all(), raw.all(), ActFn::kCopy, 1, absl::nullopt, 0, absl::nullopt,
                    Engine::kAct);
      } else {
        e_.Copy(result.tile.all(), raw.all());
      }
    }
    return result;
  }

  // Output channels that are computed together.
  struct Stretch {
    int64_t co0, count;
    size_t open;  // of the epilogue
  };
  Stretch OpenChannels(int64_t co0, int64_t count) {
    return {co0, count,
            epilogue_.Open(co0, count, weights_->Columns(co0, static_cast<int>(count)))};
  }
  void CloseChannels(const std::vector<Stretch>& stretches) {
    for (const Stretch& s : stretches) epilogue_.Done(s.open);
    epilogue_.Close();
  }

  // All output channels of a block, part by part where the weights stay: the next convolution reads
  // all channels of a part.
  void EmitOutputs(const WindowBlock& block, const std::vector<std::vector<ConvInput>>& in) {
    const int64_t co = p_.out.dims[1];
    epilogue_.Begin(block);
    std::vector<Stretch> stretches;
    for (int64_t co0 = 0; co0 < co; co0 += co_block_) {
      stretches.push_back(OpenChannels(co0, std::min(co_block_, co - co0)));
      if (!weights_->stay()) {
        EmitParts(block, in, {stretches.back()});
        epilogue_.Done(stretches.back().open);
      }
    }
    if (!weights_->stay()) return epilogue_.Close();
    EmitParts(block, in, stretches);
    CloseChannels(stretches);
  }

  void EmitParts(const WindowBlock& block, const std::vector<std::vector<ConvInput>>& in,
                 const std::vector<Stretch>& stretches) {
    const auto fits = [](const WindowSizes& b) {
      return b[0] * b[1] * b[2] * b[3] <= isa::kMaxMatmulMoving;
    };
    ForEachWindowBlock(block, fits, [&](const WindowBlock& part) {
      for (const Stretch& s : stretches) EmitSums(part, in, s);
    });
  }

  void EmitSums(const WindowBlock& part, const std::vector<std::vector<ConvInput>>& in,
                const Stretch& stretch) {
    const int64_t co0 = stretch.co0, count = stretch.count;
    const Tile sum = e_.NewPsum(static_cast<int>(count), part.outputs());
    bool first = true;
    for (size_t i = 0; i < contractions_.size(); ++i) {
      for (const ConvTap& tap : taps_) {
        std::vector<TapOperands> operands;
        for (const ConvInput& piece : in[i]) {
          const absl::optional<TapOperands> o = OperandsOf(p_, piece, tap, part, sum);
          if (o.has_value()) operands.push_back(*o);
        }
        if (operands.empty()) continue;
        // Pieces of different images that each reach all of theirs together reach all.
        int64_t reached = 0;
        for (const TapOperands& o : operands) reached += o.out.free_elements();
        const bool all = reached == part.outputs();
        if (first && !all) SetZero(sum);
        const Operand weights = weights_->Of(i, co0, count, tap);
        for (const TapOperands& o : operands) {
          e_.Matmul(o.out, weights, o.in, !first || !all);
        }
        first = false;
      }
    }
    if (first) SetZero(sum);
    epilogue_.Finish(stretch.open, sum, part);
  }

  // By a product with zeros: only what a matmul wrote may be added to.
  void SetZero(const Tile& sum) {
    if (!zeros_.valid()) {
      zeros_ = e_.NewTile(DType::kBf16, 1, isa::kMaxMatmulMoving, "zeros");
      e_.Memset(zeros_.all(), 0);
    }
    e_.Matmul(sum.all(), zeros_.part(1, 0, sum.partitions), zeros_.part(1, 0, sum.free), false);
  }

  Emitter& e_;
  ConvProblem p_;          // packed: of what is left once rows are on the partitions
  const WindowAxis rows_;  // the second axis as it was
  const DType compute_;
  ConvEpilogue& epilogue_;
  const Nd x_;  // [Ci, N, ...]
  bool packed_ = false;
  std::unique_ptr<StagedInput> staged_;  // if taps are on the partitions
  int64_t co_block_ = 1;
  std::vector<Contraction> contractions_;
  std::vector<ConvTap> taps_;
  Tile zeros_;
  std::unique_ptr<ConvWeights> weights_;
};

}  // namespace

absl::Status EmitConvByMatmul(Emitter& e, const ConvProblem& p, DType compute,
                              ConvEpilogue* epilogue) {
  const absl::Status status = ConvMatmul(e, p, compute, epilogue).Emit();
  return status.ok() ? e.status() : status;
}

}  // namespace glia::compiler
