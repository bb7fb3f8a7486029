// Convolution on tiles: channels on the partitions, and one instruction for each tap of the kernel,
// whose input is a strided pattern over a tile of the input.
#ifndef GLIA_COMPILER_CODEGEN_CONVOLUTION_H_
#define GLIA_COMPILER_CODEGEN_CONVOLUTION_H_

#include <array>
#include <cstdint>
#include <functional>
#include <vector>

#include "compiler/codegen/emitter.h"
#include "compiler/codegen/fusion.h"
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
// The inputs that a block reads: element (n, d, h, w), less `first`, is at start + sum of steps.
struct ConvInput {
  Tile tile;          // not valid if it reads none
  WindowSizes first;  // batch and inputs
  WindowSizes dims;
  int64_t start = 0;
  WindowSizes steps = {0, 0, 0, 0};
};
// x is [C, N, three axes], at most 128 channels.
ConvInput LoadConvInput(Emitter& e, const ConvProblem& p, const Nd& x, const WindowBlock& block,
                        DType type);

// Likewise; what producers left in SBUF is read where it is, image by image if they lie apart.
std::vector<ConvInput> LoadConvInputs(Emitter& e, const ConvProblem& p, const Nd& x,
                                      const WindowBlock& block, DType type);

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

class ConvEpilogue;
// On the tensor engine, in `compute`; the sums go through the epilogue.
absl::Status EmitConvByMatmul(Emitter& e, const ConvProblem& p, DType compute,
                              ConvEpilogue* epilogue);
// Groups of one input and one output channel each, on the vector engines.
absl::Status EmitDepthwise(Emitter& e, const ConvProblem& p, ConvEpilogue* epilogue);
// Whether the weights are laid out by the compiler, which can scale them then.
bool PacksWeights(const ConvProblem& p, DType compute);

// Groups of one input channel each.
bool IsDepthwise(const hlo::Instruction& conv);
// Whether an element-wise group can be computed as the sums leave PSUM.
bool TakesEpilogue(const hlo::Instruction& conv);
// The convolution and the group that reads it.
absl::Status EmitConvolutionWith(Emitter& e, const hlo::Instruction& conv, const Unit& group);

// On the vector engines, exact for integers: one output channel a partition. `depthwise`: w has one
// input channel, and x one channel for each `multiplier` neighbouring output channels.
absl::Status EmitConvByVector(Emitter& e, const ConvProblem& p, bool depthwise, int64_t multiplier);

}  // namespace glia::compiler

#endif  // GLIA_COMPILER_CODEGEN_CONVOLUTION_H_
