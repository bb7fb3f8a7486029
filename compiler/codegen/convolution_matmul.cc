// Convolution on the tensor engine: the sum over input channels and taps is accumulated in PSUM.
#include <algorithm>
#include <cstring>
#include <map>
#include <tuple>
#include <vector>

#include "compiler/codegen/convolution.h"
#include "compiler/codegen/tiling.h"
#include "serialization/hlo/float16.h"
#include "serialization/isa/table.h"

namespace glia::compiler {
namespace {

int64_t CeilDiv(int64_t a, int64_t b) { return (a + b - 1) / b; }

constexpr int64_t kInputBytes = 80 * 1024;   // a partition, of all channels of one block
constexpr int64_t kWeightBytes = 56 * 1024;  // likewise, of weights that stay for all blocks
constexpr int64_t kTapsAtOnce = 64;          // of weights that are turned together
// So few channels leave most of the array idle: rows of the kernel join them on the partitions.
constexpr int64_t kFewChannels = 16;

// What one set of matmuls contracts: channels [c0, c0 + channels), and, where rows of the kernel
// are packed, rows [row, row + rows) of it.
struct Contraction {
  int64_t c0 = 0;
  int64_t channels = 0;
  int64_t row = 0;
  int64_t rows = 1;
  int partitions() const { return static_cast<int>(channels * rows); }
};

// Neighbouring taps.
struct TapBox {
  ConvTap start, size;
  int64_t taps() const { return size[0] * size[1] * size[2]; }
};

class ConvMatmul {
 public:
  ConvMatmul(Emitter& e, const ConvProblem& p, DType compute)
      : e_(e), p_(p), rows_(p.axes[1]), compute_(compute), x_(TransposeNd(p.x, {1, 0, 2, 3, 4})) {
    const int64_t ci = p.x.dims[1];
    packed_ = ci <= kFewChannels && rows_.kernel > 1 && rows_.base_dilation == 1;
    if (packed_) {
      // What is left of the axis: each output reads its own row of the packed input.
      p_.axes[1] = WindowAxis();
      p_.axes[1].in = p_.axes[1].out = rows_.out;
      const int64_t most = isa::kPartitions / ci;
      const int64_t each = CeilDiv(rows_.kernel, CeilDiv(rows_.kernel, most));
      for (int64_t r = 0; r < rows_.kernel; r += each) {
        contractions_.push_back({0, ci, r, std::min(each, rows_.kernel - r)});
      }
    } else {
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
  }

  absl::Status Emit() {
    const int64_t bytes = std::max(isa::DTypeBytes(compute_), isa::DTypeBytes(p_.x.dtype));
    int64_t one_output = bytes;
    for (const WindowAxis& axis : p_.axes) one_output *= axis.InputsOf(1);
    const int64_t share = kInputBytes / static_cast<int64_t>(contractions_.size());
    const int64_t inputs = std::min(kMaxTileBytes, std::max(share, one_output));
    const int64_t outputs = kMaxTileBytes / std::max<int64_t>(4, p_.out.element_bytes());
    const int64_t co = p_.out.dims[1];
    return ForEachConvBlock(p_, inputs / bytes, outputs, [&](const WindowBlock& block) {
      std::vector<ConvInput> in;
      for (const Contraction& c : contractions_) {
        in.push_back(
            packed_ ? LoadPacked(c, block)
                    : LoadConvInput(e_, p_, SliceDim(x_, 0, c.c0, c.channels), block, compute_));
      }
      for (int64_t co0 = 0; co0 < co; co0 += co_block_) {
        EmitOutputs(block, in, co0, std::min(co_block_, co - co0));
      }
    });
  }

 private:
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
    const Tile raw = e_.NewTile(p_.x.dtype, c.partitions(), Product(result.dims), "rows");
    e_.Memset(raw.all(), 0);
    Dims dims = {raw.partitions};
    dims.insert(dims.end(), result.dims.begin(), result.dims.end());
    const Nd tile = e_.At(raw, dims);
    for (int64_t r = 0; r < c.rows; ++r) {
      const TapRange range = rows_.Range(c.row + r, block.start[2], block.size[2]);
      if (range.count == 0) continue;
      Nd src = SliceDim(SliceDim(x_, 0, c.c0, c.channels), 1, block.start[0], block.size[0]);
      src = SliceDim(src, 2, result.first[1], result.dims[1]);
      src = SliceDim(src, 3, range.first_in, range.count, range.in_step);
      src = SliceDim(src, 4, result.first[3], result.dims[3]);
      const Nd dst = SliceDim(SliceDim(tile, 0, r * c.channels, c.channels), 3,
                              range.first_out - block.start[2], range.count);
      e_.Dma(dst, src);
    }
    result.tile = raw;
    if (raw.dtype != compute_) {
      result.tile = e_.NewTile(compute_, raw.partitions, raw.free, "rows");
      e_.Copy(result.tile.all(), raw.all());
    }
    return result;
  }

  void EmitOutputs(const WindowBlock& block, const std::vector<ConvInput>& in, int64_t co0,
                   int64_t count) {
    const int partitions = static_cast<int>(count);
    const Tile result = e_.NewTile(p_.out.dtype, partitions, block.outputs(), "conv");
    const WindowSizes steps = DenseSteps(block.size);
    const auto fits = [](const WindowSizes& b) {
      return b[0] * b[1] * b[2] * b[3] <= isa::kMaxMatmulMoving;
    };
    ForEachWindowBlock(block, fits, [&](const WindowBlock& part) {
      const Tile sum = e_.NewPsum(partitions, part.outputs());
      bool first = true;
      for (size_t i = 0; i < contractions_.size(); ++i) {
        for (const ConvTap& tap : taps_) {
          const absl::optional<TapOperands> o = OperandsOf(p_, in[i], tap, part, sum);
          if (!o.has_value()) continue;
          if (first && !o->all) SetZero(sum);
          e_.Matmul(o->out, Weights(contractions_[i], co0, count, tap), o->in, !first || !o->all);
          first = false;
        }
      }
      if (first) SetZero(sum);
      int64_t start = 0;
      for (int d = 0; d < 4; ++d) start += (part.start[d] - block.start[d]) * steps[d];
      const Operand to = WindowPattern(result, start, part.size, steps);
      if (isa::IsFloat(p_.out.dtype)) {
        e_.Evacuate(to, sum.all());
      } else {
        // Exact integers; narrow results wrap.
        const Tile wide = e_.NewTile(DType::kI32, sum.partitions, sum.free, "conv");
        e_.Copy(wide.all(), sum.all(), Engine::kDve);
        e_.Copy(to, wide.all());
      }
    });
    e_.Store(block.Of(SliceDim(TransposeNd(p_.out, {1, 0, 2, 3, 4}), 0, co0, count)), 1, result);
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

  // [contraction, co] for one tap, among those of its box: [contraction, taps, co].
  Operand Weights(const Contraction& c, int64_t co0, int64_t count, const ConvTap& tap) {
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

  Tile LoadWeights(const Contraction& c, int64_t co0, int64_t count, const TapBox& box) {
    Nd w = SliceDim(OutputChannels(co0, count), 1, c.c0, c.channels);
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

  // Weights [co, ci, taps ...] of these output channels. Constants are laid out as the engine reads
  // them.
  Nd OutputChannels(int64_t co0, int64_t count) {
    const Nd part = SliceDim(p_.w, 0, co0, count);
    const bool floats =
        part.dtype == DType::kF32 && (compute_ == DType::kBf16 || compute_ == DType::kF16);
    if (p_.constant == nullptr || (part.dtype != compute_ && !floats)) return part;
    const auto found = constants_.find(co0);
    if (found != constants_.end()) return found->second;
    const Nd from = TransposeNd(part, {1, 2, 3, 4, 0});
    const hlo::PrimitiveType type = compute_ == DType::kF32   ? hlo::kF32
                                    : compute_ == DType::kF16 ? hlo::kF16
                                                              : hlo::kBF16;
    hlo::Literal literal = hlo::Literal::Zero(hlo::Shape(type, from.dims));
    const char* source = static_cast<const char*>(p_.constant->raw());
    char* target = static_cast<char*>(literal.MutableRaw());
    Dims at(4, 0);
    const int64_t bytes = from.element_bytes();
    while (true) {
      int64_t offset = from.offset;
      for (int d = 0; d < 4; ++d) offset += at[d] * from.strides[d];
      for (int64_t i = 0; i < count; ++i, offset += from.strides[4]) {
        if (floats) {
          float value;
          std::memcpy(&value, source + offset, sizeof(value));
          const uint16_t half =
              compute_ == DType::kBf16 ? hlo::FloatToBF16(value) : hlo::FloatToF16(value);
          std::memcpy(target, &half, sizeof(half));
          target += sizeof(half);
        } else {
          std::memcpy(target, source + offset, static_cast<size_t>(bytes));
          target += bytes;
        }
      }
      int d = 3;
      while (d >= 0 && ++at[d] == from.dims[d]) at[d--] = 0;
      if (d < 0) break;
    }
    const absl::StatusOr<Nd> nd = e_.AddConstant(literal);
    if (!nd.ok()) {
      e_.Fail(nd.status());
      return part;
    }
    return constants_[co0] = TransposeNd(*nd, {4, 0, 1, 2, 3});
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
  const Nd x_;  // [Ci, N, ...]
  bool packed_ = false;
  int64_t co_block_ = 1;
  std::vector<Contraction> contractions_;
  std::vector<ConvTap> taps_;
  Tile zeros_;
  std::map<std::tuple<int64_t, int64_t, int64_t, ConvTap>, Tile> weights_;
  int64_t weight_bytes_ = 0;
  std::map<int64_t, Nd> constants_;  // by first output channel
};

}  // namespace

absl::Status EmitConvByMatmul(Emitter& e, const ConvProblem& p, DType compute) {
  const absl::Status status = ConvMatmul(e, p, compute).Emit();
  return status.ok() ? e.status() : status;
}

}  // namespace glia::compiler
