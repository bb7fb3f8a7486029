// Depthwise convolution of floats, one output channel for each input channel: each tap is a factor
// a partition, and the vector engines add them up part by part of the block, for the epilogue.
#include <algorithm>
#include <cstring>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "compiler/codegen/convolution.h"
#include "compiler/codegen/convolution_epilogue.h"
#include "serialization/isa/table.h"

namespace glia::compiler {
namespace {

constexpr int64_t kPartOutputs = 2048;  // outputs whose sums are made together
constexpr int64_t kPoolFree = 192;      // elements from which POOL is the faster
// Stretches of channels whose sums are made in turn, so that none waits for its own last one; of
// small parts only.
constexpr size_t kInTurn = 8;

class Depthwise {
 public:
  Depthwise(Emitter& e, const ConvProblem& p, ConvEpilogue* epilogue)
      : e_(e), p_(p), epilogue_(*epilogue), x_(TransposeNd(p.x, {1, 0, 2, 3, 4})) {
    const int64_t channels = p.out.dims[1];
    const int64_t stretches = (channels + isa::kPartitions - 1) / isa::kPartitions;
    each_ = (channels + stretches - 1) / stretches;
    for (int64_t d = 0; d < p.axes[0].kernel; ++d) {
      for (int64_t h = 0; h < p.axes[1].kernel; ++h) {
        for (int64_t w = 0; w < p.axes[2].kernel; ++w) taps_.push_back({d, h, w});
      }
    }
    // One that reaches all outputs sets what the others add to.
    std::stable_partition(taps_.begin(), taps_.end(), [this](const ConvTap& tap) {
      for (int a = 0; a < kWindowAxes; ++a) {
        if (p_.axes[a].Range(tap[a], 0, p_.axes[a].out).count != p_.axes[a].out) return false;
      }
      return true;
    });
  }

  absl::Status Emit() {
    if (p_.constant != nullptr && p_.w.dtype == DType::kF32) PackWeights();
    const int64_t channels = p_.out.dims[1];
    const int64_t inputs = kMaxTileBytes / isa::DTypeBytes(p_.x.dtype);
    const int64_t outputs = kMaxTileBytes / std::max<int64_t>(2, epilogue_.MaxElementBytes());
    return ForEachConvBlock(p_, inputs, outputs, [&](const WindowBlock& block) {
      epilogue_.Begin(block);
      const size_t in_turn = block.outputs() <= kPartOutputs / 4 ? kInTurn : 1;
      std::vector<Stretch> stretches;
      for (int64_t c0 = 0; c0 < channels; c0 += each_) {
        const int64_t count = std::min(each_, channels - c0);
        stretches.push_back(
            {c0, count, epilogue_.Open(c0, count, Columns(c0, count)),
             LoadConvInputs(e_, p_, SliceDim(x_, 0, c0, count), block, p_.x.dtype)});
        if (stretches.size() < in_turn && c0 + count < channels) continue;
        EmitParts(block, stretches);
        stretches.clear();
      }
      epilogue_.Close();
    });
  }

 private:
  struct Stretch {
    int64_t c0, count;
    size_t open;  // of the epilogue
    std::vector<ConvInput> inputs;
  };

  void EmitParts(const WindowBlock& block, const std::vector<Stretch>& stretches) {
    const auto fits = [](const WindowSizes& b) {
      return b[0] * b[1] * b[2] * b[3] <= kPartOutputs;
    };
    ForEachWindowBlock(block, fits, [&](const WindowBlock& part) {
      std::vector<Tile> sums;
      std::vector<bool> set;  // by the first tap
      for (const Stretch& s : stretches) {
        sums.push_back(e_.NewTile(DType::kF32, static_cast<int>(s.count), part.outputs(), "conv"));
        int64_t first = 0;
        for (const ConvInput& input : s.inputs) {
          const absl::optional<TapOperands> o = OperandsOf(p_, input, taps_[0], part, sums.back());
          if (o.has_value()) first += o->out.free_elements();
        }
        set.push_back(first == part.outputs());
        if (!set.back()) e_.Memset(sums.back().all(), 0);
      }
      for (size_t t = 0; t < taps_.size(); ++t) {
        for (size_t i = 0; i < stretches.size(); ++i) {
          EmitTap(part, stretches[i], t, t == 0 && set[i], sums[i]);
        }
      }
      for (size_t i = 0; i < stretches.size(); ++i) {
        epilogue_.Finish(stretches[i].open, sums[i], part);
      }
    });
    for (const Stretch& s : stretches) epilogue_.Done(s.open);
  }

  void EmitTap(const WindowBlock& part, const Stretch& stretch, size_t t, bool sets,
               const Tile& sum) {
    for (const ConvInput& input : stretch.inputs) {
      const absl::optional<TapOperands> o = OperandsOf(p_, input, taps_[t], part, sum);
      if (!o.has_value()) continue;
      const Operand weight = Weight(stretch.c0, stretch.count, t);
      const int64_t free = o->out.free_elements();
      if (sets) {
        e_.AddLoad(Engine::kAct, free);
        e_.Activate(o->out, o->in, ActFn::kCopy, weight, absl::nullopt, 0, absl::nullopt,
                    Engine::kAct);
        continue;
      }
      // Two tensors cost DVE twice the cycles, POOL only a longer start.
      const Engine engine = free >= kPoolFree ? Engine::kPool : Engine::kDve;
      e_.AddLoad(engine, free);
      e_.ScalarTensorTensor(o->out, o->in, AluOp::kMultiply, weight, AluOp::kAdd, o->out, engine);
    }
  }

  // ---- Weights known to the compiler: for each stretch of channels the numbers that the epilogue
  // wants, then the taps, scaled; a channel a partition.
  int64_t Row() const { return static_cast<int64_t>(epilogue_.columns().size() + taps_.size()); }

  void PackWeights() {
    const int64_t channels = p_.out.dims[1], row = Row();
    const int64_t blocks = (channels + each_ - 1) / each_;
    std::string key = absl::StrCat("depthwise ", reinterpret_cast<uintptr_t>(p_.constant->raw()),
                                   " ", p_.w.ToString());
    const auto append = [&key](const ChannelValues& values) {
      absl::StrAppend(&key, " ", values.size(), ":");
      key.append(reinterpret_cast<const char*>(values.data()), values.size() * sizeof(float));
    };
    append(epilogue_.scale());
    for (const ChannelValues& column : epilogue_.columns()) append(column);
    if (const absl::optional<Nd> made = e_.FindMade(key); made.has_value()) {
      packed_ = *made;
      return;
    }
    hlo::Literal literal = hlo::Literal::Zero(hlo::Shape(hlo::kF32, {each_, blocks * row}));
    float* const to = static_cast<float*>(literal.MutableRaw());
    const char* const from = static_cast<const char*>(p_.constant->raw());
    const Dims& strides = p_.w.strides;
    for (int64_t c = 0; c < channels; ++c) {
      float* at = to + c % each_ * blocks * row + c / each_ * row;
      for (const ChannelValues& column : epilogue_.columns()) {
        *at++ = column[static_cast<size_t>(c)];
      }
      const float scale = epilogue_.scale().empty() ? 1 : epilogue_.scale()[static_cast<size_t>(c)];
      for (const ConvTap& tap : taps_) {
        float value;
        std::memcpy(&value,
                    from + p_.w.offset + c * strides[0] + tap[0] * strides[2] +
                        tap[1] * strides[3] + tap[2] * strides[4],
                    sizeof(value));
        *at++ = value * scale;
      }
    }
    const absl::StatusOr<Nd> nd = e_.AddConstant(literal);
    if (!nd.ok()) {
      e_.Fail(nd.status());
      return;
    }
    packed_ = *nd;
    e_.KeepMade(std::move(key), *nd);
  }

  bool packed() const { return packed_.var != UINT32_MAX; }
  // A column of the packed weights of a stretch.
  Operand Packed(int64_t c0, int64_t count, int64_t index) {
    const Tile tile = e_.LoadShared(SliceDim(packed_, 1, c0 / each_ * Row(), Row()), 1);
    return tile.part(static_cast<int>(count), index, 1);
  }

  std::vector<Operand> Columns(int64_t c0, int64_t count) {
    std::vector<Operand> columns;
    for (size_t i = 0; i < epilogue_.columns().size(); ++i) {
      columns.push_back(
          packed() ? Packed(c0, count, static_cast<int64_t>(i))
                   : LoadChannelColumn(e_, epilogue_.columns()[i], c0, static_cast<int>(count)));
    }
    return columns;
  }

  Operand Weight(int64_t c0, int64_t count, size_t tap) {
    if (packed()) {
      return Packed(c0, count, static_cast<int64_t>(epilogue_.columns().size() + tap));
    }
    const ConvTap& t = taps_[tap];
    Nd w = DropDim(SliceDim(p_.w, 0, c0, count), 1);
    // A row of the kernel at a time.
    w = SliceDim(SliceDim(w, 1, t[0], 1), 2, t[1], 1);
    const int64_t first = t[2] / kRow * kRow;
    const Tile row =
        e_.LoadShared(SliceDim(w, 3, first, std::min(kRow, p_.axes[2].kernel - first)), 1);
    Operand column = row.part(static_cast<int>(count), t[2] - first, 1);
    if (column.dtype == DType::kF32) return column;
    const Tile wide = e_.NewTile(DType::kF32, static_cast<int>(count), 1, "weight");
    e_.Copy(wide.all(), column);
    return wide.all();
  }
  static constexpr int64_t kRow = 2048;  // weights loaded together

  Emitter& e_;
  const ConvProblem& p_;
  ConvEpilogue& epilogue_;
  const Nd x_;        // [C, N, ...]
  int64_t each_ = 1;  // channels of a stretch, as other convolutions have them
  std::vector<ConvTap> taps_;
  Nd packed_;  // [channels of a stretch, row]
};

}  // namespace

absl::Status EmitDepthwise(Emitter& e, const ConvProblem& p, ConvEpilogue* epilogue) {
  const absl::Status status = Depthwise(e, p, epilogue).Emit();
  return status.ok() ? e.status() : status;
}

}  // namespace glia::compiler
