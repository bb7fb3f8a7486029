// Convolution on tiles: channels on the partitions, and one instruction for each tap of the kernel,
// whose input is a strided pattern over a tile of the input. Padding and dilation are never made: a
// tap is applied to those outputs alone for which it meets an input.
#ifndef GLIA_COMPILER_CODEGEN_CONVOLUTION_H_
#define GLIA_COMPILER_CODEGEN_CONVOLUTION_H_

#include <array>
#include <cstdint>
#include <functional>
#include <utility>

#include "compiler/codegen/emitter.h"
#include "serialization/hlo/literal.h"

namespace glia::compiler {

inline constexpr int kConvAxes = 3;

// Outputs first_out + i * out_step read inputs first_in + i * in_step, for i in [0, count).
struct TapRange {
  int64_t count = 0;
  int64_t first_out = 0;
  int64_t out_step = 1;
  int64_t first_in = 0;
  int64_t in_step = 1;
};

// One spatial axis. Output o reads, for tap k, the padded position o * stride + k *
// kernel_dilation; input i is at padded position pad_low + i * base_dilation, and all others are
// zeros.
struct ConvAxis {
  int64_t in = 1;
  int64_t out = 1;
  int64_t kernel = 1;
  int64_t stride = 1;
  int64_t pad_low = 0;
  int64_t kernel_dilation = 1;
  int64_t base_dilation = 1;

  // What `tap` does to outputs [start, start + size).
  TapRange Range(int64_t tap, int64_t start, int64_t size) const;
  // The inputs that outputs [start, start + size) read: the first and how many, perhaps none.
  std::pair<int64_t, int64_t> Inputs(int64_t start, int64_t size) const;
  // An upper bound of the inputs that so many neighbouring outputs read.
  int64_t InputsOf(int64_t outputs) const;
  // Every output reads the one input at its place.
  bool Trivial() const {
    return kernel == 1 && stride == 1 && pad_low == 0 && base_dilation == 1 && in == out;
  }
};

// One group. All arrays have at least one element.
struct ConvProblem {
  Nd x;    // [N, Ci, three spatial dims]
  Nd w;    // [Co, Ci, three kernel dims]
  Nd out;  // [N, Co, three spatial dims]
  std::array<ConvAxis, kConvAxes> axes;
  // The literal whose bytes w views, or null.
  const hlo::Literal* constant = nullptr;

  int64_t Taps() const { return axes[0].kernel * axes[1].kernel * axes[2].kernel; }
};

using ConvTap = std::array<int64_t, kConvAxes>;

// A block of outputs: batch, then the three axes.
struct ConvBlock {
  std::array<int64_t, 4> start;
  std::array<int64_t, 4> size;
  int64_t outputs() const { return size[0] * size[1] * size[2] * size[3]; }
  // The part of an output array [C, N, three axes].
  Nd Of(Nd nd) const;
};

// Calls `f` for blocks that cover all outputs, that read at most `max_inputs` elements and have at
// most `max_outputs`, a partition.
absl::Status ForEachConvBlock(const ConvProblem& p, int64_t max_inputs, int64_t max_outputs,
                              const std::function<void(const ConvBlock&)>& f);
// The same for parts of a block, by outputs alone.
void ForEachPart(const ConvBlock& block, int64_t max_outputs,
                 const std::function<void(const ConvBlock&)>& f);

// The inputs that a block reads: [C, n, d, h, w].
struct ConvInput {
  Tile tile;                     // not valid if it reads none
  std::array<int64_t, 4> first;  // batch and inputs that the tile begins with
  std::array<int64_t, 4> dims;
};
// x is [C, N, three axes], at most 128 channels.
ConvInput LoadConvInput(Emitter& e, const ConvProblem& p, const Nd& x, const ConvBlock& block,
                        DType type);

// The two sides of a tap for a part of a block: the inputs, and the outputs in a tile
// [C, part's outputs].
struct TapOperands {
  Operand in;
  Operand out;
  bool all = false;  // all outputs of the part
};
absl::optional<TapOperands> OperandsOf(const ConvProblem& p, const ConvInput& input,
                                       const ConvTap& tap, const ConvBlock& part, const Tile& out);

// On the tensor engine, in `compute`.
absl::Status EmitConvByMatmul(Emitter& e, const ConvProblem& p, DType compute);

// On the vector engines, exact for integers: one output channel a partition. `depthwise`: w has one
// input channel, and x one channel for each `multiplier` neighbouring output channels.
absl::Status EmitConvByVector(Emitter& e, const ConvProblem& p, bool depthwise, int64_t multiplier);

}  // namespace glia::compiler

#endif  // GLIA_COMPILER_CODEGEN_CONVOLUTION_H_
