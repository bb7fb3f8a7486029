// Convolution on the tensor engine: the sum over input channels and taps is accumulated in PSUM.
#include <algorithm>
#include <cstring>
#include <map>
#include <memory>
#include <tuple>
#include <vector>

#include "absl/strings/str_cat.h"
#include "compiler/codegen/convolution.h"
#include "compiler/codegen/convolution_epilogue.h"
#include "compiler/codegen/convolution_staged.h"
#include "compiler/codegen/tiling.h"
#include "serialization/hlo/float16.h"
#include "serialization/isa/table.h"

namespace glia::compiler {
namespace {

int64_t CeilDiv(int64_t a, int64_t b) { return (a + b - 1) / b; }

constexpr int64_t kInputBytes = 80 * 1024;   // a partition, of all channels of one block
constexpr int64_t kWeightBytes = 56 * 1024;  // likewise, of weights that stay for all blocks
constexpr int64_t kRowsBytes = 16 * 1024;    // likewise, of packed rows
constexpr int64_t kPieceBytes = 8 * 1024;    // likewise, of one transfer of weights
constexpr int64_t kTapsAtOnce = 64;          // of weights that are turned together
// So few channels leave most of the array idle: rows of the kernel join them on the partitions.
constexpr int64_t kFewChannels = 16;

// Neighbouring taps.
struct TapBox {
  ConvTap start, size;
  int64_t taps() const { return size[0] * size[1] * size[2]; }
};

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
    if (PacksWeights(p, compute)) PlanWeights();
  }

  absl::Status Emit() {
    const int64_t bytes = std::max(isa::DTypeBytes(compute_), isa::DTypeBytes(p_.x.dtype));
    int64_t one_output = bytes;
    for (const WindowAxis& axis : p_.axes) one_output *= axis.InputsOf(1);
    const int64_t share = kInputBytes / static_cast<int64_t>(contractions_.size());
    const int64_t inputs = std::min(kMaxTileBytes, std::max(share, one_output));
    const int64_t outputs = kMaxTileBytes / std::max<int64_t>(2, epilogue_.MaxElementBytes());
    const int64_t co = p_.out.dims[1];
    if (!units_.empty()) PackWeights();
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
    const int64_t co = p_.out.dims[1];
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
    return {co0, count, epilogue_.Open(co0, count, Columns(co0, static_cast<int>(count)))};
  }
  void CloseChannels(const std::vector<Stretch>& stretches) {
    for (const Stretch& s : stretches) epilogue_.Done(s.open);
    epilogue_.Close();
  }

  // All output channels of a block, part by part where the weights stay: the next convolution reads
  // all channels of a part.
  void EmitOutputs(const WindowBlock& block, const std::vector<std::vector<ConvInput>>& in) {
    const int64_t co = p_.out.dims[1];
    int64_t weights = co * static_cast<int64_t>(contractions_.size() * taps_.size());
    if (staged_ != nullptr) weights = row_;
    const bool stay = weights * isa::DTypeBytes(compute_) <= kWeightBytes;
    epilogue_.Begin(block);
    std::vector<Stretch> stretches;
    for (int64_t co0 = 0; co0 < co; co0 += co_block_) {
      stretches.push_back(OpenChannels(co0, std::min(co_block_, co - co0)));
      if (!stay) {
        EmitParts(block, in, {stretches.back()});
        epilogue_.Done(stretches.back().open);
      }
    }
    if (!stay) return epilogue_.Close();
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
        const Operand weights = Weights(i, co0, count, tap);
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

  TapBox BoxOf(const ConvTap& tap) const {
    TapBox box;
    int64_t left = kTapsAtOnce;
    for (int a = kWindowAxes - 1; a >= 0; --a) {
      const int64_t kernel = p_.axes[a].kernel;
      const int64_t most = std::max<int64_t>(1, std::min(kernel, left));
      box.start[a] = tap[a] / most * most;
      box.size[a] = std::min(most, kernel - box.start[a]);
      left = most == kernel ? left / kernel : 1;
    }
    return box;
  }

  // [contraction, co] for one tap.
  Operand Weights(size_t contraction, int64_t co0, int64_t count, const ConvTap& tap) {
    const Contraction& c = contractions_[contraction];
    if (!units_.empty()) {
      const int64_t number = UnitOf(co0, contraction, tap);
      const Tile piece = Piece(units_[number].piece);
      return piece.part(c.partitions(), units_[number].start - pieces_[units_[number].piece].start,
                        count);
    }
    const TapBox box = BoxOf(tap);
    const auto key = std::make_tuple(c.c0, c.row, co0, box.start);
    auto found = weights_.find(key);
    if (found == weights_.end()) {
      const int64_t bytes = box.taps() * count * isa::DTypeBytes(compute_);
      if (weight_bytes_ + bytes > kWeightBytes) {
        weights_.clear();
        weight_bytes_ = 0;
      }
      weight_bytes_ += bytes;
      found = weights_.emplace(key, LoadWeights(c, co0, count, box)).first;
    }
    const int64_t slot =
        ((tap[0] - box.start[0]) * box.size[1] + tap[1] - box.start[1]) * box.size[2] + tap[2] -
        box.start[2];
    return found->second.part(c.partitions(), slot * count, count);
  }

  // ---- Weights known to the compiler: one array of a row a partition, in the order of their use,
  // behind the numbers of each channel that the epilogue wants. Pieces of it are long enough for
  // transfers to run at full speed.
  struct WeightUnit {
    int64_t start = 0;  // element of the row
    int piece = 0;
  };
  struct WeightPiece {
    int64_t start = 0, size = 0;
    Tile tile;
  };

  int64_t UnitOf(int64_t co0, size_t contraction, const ConvTap& tap) const {
    const auto& a = p_.axes;
    const int64_t t = (tap[0] * a[1].kernel + tap[1]) * a[2].kernel + tap[2];
    const int64_t taps = a[0].kernel * a[1].kernel * a[2].kernel;
    return (co0 / co_block_ * static_cast<int64_t>(contractions_.size()) +
            static_cast<int64_t>(contraction)) *
               taps +
           t;
  }

  void PlanWeights() {
    const int64_t co = p_.out.dims[1], blocks = CeilDiv(co, co_block_);
    const int64_t bytes = isa::DTypeBytes(compute_);
    for (const ChannelValues& column : epilogue_.columns()) {
      if (!column.empty()) header_ += blocks * 4 / bytes;
    }
    row_ = header_;
    pieces_.push_back({0, header_, {}});
    const int64_t taps = p_.axes[0].kernel * p_.axes[1].kernel * p_.axes[2].kernel;
    for (int64_t b = 0; b < blocks; ++b) {
      const int64_t count = std::min(co_block_, co - b * co_block_);
      for (int64_t u = 0; u < static_cast<int64_t>(contractions_.size()) * taps; ++u) {
        if ((pieces_.back().size + count) * bytes > kPieceBytes) pieces_.push_back({row_, 0, {}});
        units_.push_back({row_, static_cast<int>(pieces_.size()) - 1});
        pieces_.back().size += count;
        row_ += count;
      }
    }
  }

  // All that the packed array depends on.
  std::string WeightsKey() const {
    std::string key =
        absl::StrCat("weights ", reinterpret_cast<uintptr_t>(p_.constant->raw()), " ",
                     p_.w.ToString(), " ", static_cast<int>(compute_), " ", co_block_);
    for (const Contraction& c : contractions_) {
      absl::StrAppend(&key, " ", c.c0, ",", c.channels, ",", c.row, ",", c.rows, ",", c.tap, ",",
                      c.taps);
    }
    const auto append = [&key](const ChannelValues& values) {
      absl::StrAppend(&key, " ", values.size(), ":");
      key.append(reinterpret_cast<const char*>(values.data()), values.size() * sizeof(float));
    };
    append(epilogue_.scale());
    for (const ChannelValues& column : epilogue_.columns()) append(column);
    return key;
  }

  void PackWeights() {
    // Groups of images share them.
    std::string key = WeightsKey();
    if (const absl::optional<Nd> made = e_.FindMade(key); made.has_value()) {
      packed_weights_ = *made;
      return;
    }
    int most = static_cast<int>(std::min(co_block_, p_.out.dims[1]));
    for (const Contraction& c : contractions_) most = std::max(most, c.partitions());
    const hlo::PrimitiveType type = compute_ == DType::kF32   ? hlo::kF32
                                    : compute_ == DType::kF16 ? hlo::kF16
                                                              : hlo::kBF16;
    const int64_t bytes = isa::DTypeBytes(compute_), pitch = row_ * bytes;
    hlo::Literal literal = hlo::Literal::Zero(hlo::Shape(type, {most, row_}));
    char* const target = static_cast<char*>(literal.MutableRaw());
    const int64_t co = p_.out.dims[1];
    int64_t at = 0;
    for (const ChannelValues& column : epilogue_.columns()) {
      for (int64_t c = 0; c < co; ++c) {
        std::memcpy(target + c % co_block_ * pitch + at + c / co_block_ * 4, &column[c], 4);
      }
      at += CeilDiv(co, co_block_) * 4;
    }
    const char* const source = static_cast<const char*>(p_.constant->raw());
    const Dims& strides = p_.w.strides;
    for (int64_t co0 = 0; co0 < co; co0 += co_block_) {
      const int64_t count = std::min(co_block_, co - co0);
      for (size_t i = 0; i < contractions_.size(); ++i) {
        const Contraction& c = contractions_[i];
        for (const ConvTap& tap : taps_) {
          const int64_t start = units_[UnitOf(co0, i, tap)].start * bytes;
          for (int p = 0; p < c.partitions(); ++p) {
            const bool rows = packed_ || staged_ != nullptr;
            const int64_t row = rows ? c.row + p / c.channels % c.rows : tap[1];
            const int64_t column = staged_ != nullptr ? c.tap + p / (c.channels * c.rows) : tap[2];
            int64_t offset = p_.w.offset + co0 * strides[0] + (c.c0 + p % c.channels) * strides[1] +
                             tap[0] * strides[2] + row * strides[3] + column * strides[4];
            char* to = target + p * pitch + start;
            for (int64_t o = 0; o < count; ++o, offset += strides[0], to += bytes) {
              Put(source + offset, co0 + o, to);
            }
          }
        }
      }
    }
    const absl::StatusOr<Nd> nd = e_.AddConstant(literal);
    if (!nd.ok()) {
      e_.Fail(nd.status());
      return;
    }
    packed_weights_ = *nd;
    e_.KeepMade(std::move(key), *nd);
  }

  // One weight, scaled and rounded.
  void Put(const char* from, int64_t channel, char* to) const {
    if (p_.w.dtype != DType::kF32) {
      std::memcpy(to, from, static_cast<size_t>(isa::DTypeBytes(compute_)));
      return;
    }
    float value;
    std::memcpy(&value, from, sizeof(value));
    if (!epilogue_.scale().empty()) value *= epilogue_.scale()[static_cast<size_t>(channel)];
    if (compute_ == DType::kF32) {
      std::memcpy(to, &value, sizeof(value));
      return;
    }
    const uint16_t half =
        compute_ == DType::kBf16 ? hlo::FloatToBF16(value) : hlo::FloatToF16(value);
    std::memcpy(to, &half, sizeof(half));
  }

  Tile Piece(int number) {
    WeightPiece& piece = pieces_[number];
    if (!piece.tile.valid()) {
      const int64_t bytes = piece.size * isa::DTypeBytes(compute_);
      if (weight_bytes_ + bytes > kWeightBytes) {
        for (WeightPiece& other : pieces_) other.tile = Tile();
        weight_bytes_ = 0;
      }
      weight_bytes_ += bytes;
      const int partitions = static_cast<int>(packed_weights_.dims[0]);
      piece.tile = e_.NewTile(compute_, partitions, piece.size, "weights");
      e_.Dma(e_.At(piece.tile, {partitions, piece.size}),
             SliceDim(packed_weights_, 1, piece.start, piece.size));
    }
    return piece.tile;
  }

  // The epilogue's columns for these channels.
  std::vector<Operand> Columns(int64_t co0, int partitions) {
    std::vector<Operand> columns;
    const int64_t blocks = CeilDiv(p_.out.dims[1], co_block_), b = co0 / co_block_;
    for (size_t i = 0; i < epilogue_.columns().size(); ++i) {
      if (units_.empty()) {
        columns.push_back(LoadChannelColumn(e_, epilogue_.columns()[i], co0, partitions));
        continue;
      }
      Operand column = Piece(0).part(partitions, 0, 1);
      column.dtype = DType::kF32;
      column.offset = static_cast<uint32_t>((static_cast<int64_t>(i) * blocks + b) * 4);
      columns.push_back(column);
    }
    return columns;
  }
  Tile LoadWeights(const Contraction& c, int64_t co0, int64_t count, const TapBox& box) {
    Nd w = SliceDim(SliceDim(p_.w, 0, co0, count), 1, c.c0, c.channels);
    w = SliceDim(w, 2, box.start[0], box.size[0]);
    w = packed_ ? SliceDim(w, 3, c.row, c.rows) : SliceDim(w, 3, box.start[1], box.size[1]);
    w = SliceDim(w, 4, box.start[2], box.size[2]);
    // [co, packed row, ci, d, h, w]
    Nd rows = InsertDim(w, 1);
    if (packed_) {
      rows.dims[1] = c.rows;
      rows.strides[1] = w.strides[3];
      rows.dims[4] = 1;
    }
    if (rows.dims[0] > 1 && rows.strides[0] != rows.element_bytes()) {
      return Turn(rows, c.partitions(), box.taps());
    }
    const Tile raw = e_.LoadShared(TransposeNd(rows, {1, 2, 3, 4, 5, 0}), 2);
    if (raw.dtype == compute_) return raw;
    const Tile cast = e_.NewTile(compute_, raw.partitions, raw.free, "weights");
    e_.Copy(cast.all(), raw.all());
    return cast;
  }

  // Loads [co, (row, ci), taps] as it lies and turns each tap on the tensor engine.
  Tile Turn(const Nd& rows, int partitions, int64_t taps) {
    const int count = static_cast<int>(rows.dims[0]);
    const Tile out = e_.NewTile(compute_, partitions, taps * count, "weights");
    // [co, ci, d, row, h, w]: dense in the usual layout.
    const Tile raw = e_.LoadShared(TransposeNd(rows, {0, 2, 3, 1, 4, 5}), 1);
    Tile from = raw;
    if (raw.dtype != compute_) {
      from = e_.NewTile(compute_, raw.partitions, raw.free, "weights");
      e_.Copy(from.all(), raw.all());
    }
    const int64_t row = rows.dims[1], ci = rows.dims[2], d = rows.dims[3];
    const int64_t hw = rows.dims[4] * rows.dims[5];
    const int64_t bank = isa::kPsumBankBytes / (count * isa::DTypeBytes(compute_));
    for (int64_t t0 = 0; t0 < taps; t0 += bank) {
      const int64_t n = std::min(bank, taps - t0);
      const Tile psum = e_.NewPsum(partitions, n * count, compute_);
      for (int64_t t = t0; t < t0 + n; ++t) {
        e_.PeTranspose(
            psum.part(partitions, (t - t0) * count, count),
            from.pattern(count, t / hw * row * hw + t % hw, {row, ci}, {hw, d * row * hw}));
      }
      e_.Evacuate(out.part(partitions, t0 * count, n * count), psum.all());
    }
    return out;
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
  std::map<std::tuple<int64_t, int64_t, int64_t, ConvTap>, Tile> weights_;
  int64_t weight_bytes_ = 0;
  int64_t header_ = 0, row_ = 0;   // elements
  std::vector<WeightUnit> units_;  // by output channels, contraction, tap; empty: not packed
  std::vector<WeightPiece> pieces_;
  Nd packed_weights_;  // [partitions, row]
};

}  // namespace

bool PacksWeights(const ConvProblem& p, DType compute) {
  const bool halves = compute == DType::kBf16 || compute == DType::kF16;
  return p.constant != nullptr && (p.w.dtype == compute || (p.w.dtype == DType::kF32 && halves));
}

absl::Status EmitConvByMatmul(Emitter& e, const ConvProblem& p, DType compute,
                              ConvEpilogue* epilogue) {
  const absl::Status status = ConvMatmul(e, p, compute, epilogue).Emit();
  return status.ok() ? e.status() : status;
}

}  // namespace glia::compiler
