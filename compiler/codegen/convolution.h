// Convolution on tiles: channels on the partitions, and one instruction for each tap of the kernel,
// whose input is a strided pattern over a tile of the input.
#ifndef GLIA_COMPILER_CODEGEN_CONVOLUTION_H_
#define GLIA_COMPILER_CODEGEN_CONVOLUTION_H_

#include <array>
#include <cstdint>
#include <functional>

#include "compiler/codegen/emitter.h"
#include "compiler/codegen/window.h"
#include "serialization/hlo/literal.h"

namespace glia::compiler {

// One group. All arrays have at least one element.
struct ConvProblem {
  Nd x;    // [N, Ci, three spatial dims]
  Nd w;    // [Co, Ci, three kernel dims]
  Nd out;  // [N, Co, three spatial dims]
  std::array<WindowAxis, kWindowAxes> axes;
  // The literal whose bytes w views, or null.
  const hlo::Literal* constant = nullptr;

  int64_t Taps() const { return axes[0].kernel * axes[1].kernel * axes[2].kernel; }
};

using ConvTap = std::array<int64_t, kWindowAxes>;

// Calls `f` for blocks that cover all outputs, which read at most `max_inputs` elements and have at
// most `max_outputs`, a partition.
absl::Status ForEachConvBlock(const ConvProblem& p, int64_t max_inputs, int64_t max_outputs,
                              const std::function<void(const WindowBlock&)>& f);
// The inputs that a block reads: [C, n, d, h, w].
struct ConvInput {
  Tile tile;          // not valid if it reads none
  WindowSizes first;  // batch and inputs that the tile begins with
  WindowSizes dims;
};
// x is [C, N, three axes], at most 128 channels.
ConvInput LoadConvInput(Emitter& e, const ConvProblem& p, const Nd& x, const WindowBlock& block,
                        DType type);

// The two sides of a tap for a part of a block: the inputs, and the outputs in a tile
// [C, part's outputs].
struct TapOperands {
  Operand in;
  Operand out;
  bool all = false;  // all outputs of the part
};
absl::optional<TapOperands> OperandsOf(const ConvProblem& p, const ConvInput& input,
                                       const ConvTap& tap, const WindowBlock& part,
                                       const Tile& out);

// On the tensor engine, in `compute`.
absl::Status EmitConvByMatmul(Emitter& e, const ConvProblem& p, DType compute);

// On the vector engines, exact for integers: one output channel a partition. `depthwise`: w has one
// input channel, and x one channel for each `multiplier` neighbouring output channels.
absl::Status EmitConvByVector(Emitter& e, const ConvProblem& p, bool depthwise, int64_t multiplier);

}  // namespace glia::compiler

#endif  // GLIA_COMPILER_CODEGEN_CONVOLUTION_H_
