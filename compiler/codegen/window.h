// Windows that slide over up to three axes, in blocks that fit into tiles: what convolution,
// reduce-window and select-and-scatter have in common. Padding and dilation are never made: a tap
// of the window is applied to those outputs alone for which it meets an input.
#ifndef GLIA_COMPILER_CODEGEN_WINDOW_H_
#define GLIA_COMPILER_CODEGEN_WINDOW_H_

#include <array>
#include <cstdint>
#include <functional>
#include <utility>

#include "compiler/codegen/emitter.h"

namespace glia::compiler {

inline constexpr int kWindowAxes = 3;

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
struct WindowAxis {
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

// Of the dims (outer, three axes) that the free elements of a tile have.
using WindowSizes = std::array<int64_t, 4>;

// A block of outputs: outer, then the three axes.
struct WindowBlock {
  WindowSizes start;
  WindowSizes size;
  int64_t outputs() const { return size[0] * size[1] * size[2] * size[3]; }
  // The part of an array [C, outer, three axes].
  Nd Of(Nd nd) const;
};

// Calls `f` for blocks that cover `whole`, each the largest that `fits`; blocks of one output
// always do.
void ForEachWindowBlock(const WindowBlock& whole,
                        const std::function<bool(const WindowSizes&)>& fits,
                        const std::function<void(const WindowBlock&)>& f);

// Strides, in elements, of a dense tile with these dims.
WindowSizes DenseSteps(const WindowSizes& dims);
// All partitions of the tile, elements start + sum index * steps.
Operand WindowPattern(const Tile& tile, int64_t start, const WindowSizes& sizes,
                      const WindowSizes& steps);

}  // namespace glia::compiler

#endif  // GLIA_COMPILER_CODEGEN_WINDOW_H_
