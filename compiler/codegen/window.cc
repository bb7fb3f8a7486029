#include "compiler/codegen/window.h"

#include <algorithm>
#include <numeric>

namespace glia::compiler {
namespace {

int64_t CeilDiv(int64_t a, int64_t b) { return (a + b - 1) / b; }
int64_t Ceil(int64_t a, int64_t b) { return a <= 0 ? -(-a / b) : CeilDiv(a, b); }

// The largest part of each dim, innermost first, that `fits`; even ones.
WindowSizes Largest(const WindowSizes& extent,
                    const std::function<bool(const WindowSizes&)>& fits) {
  WindowSizes block = {1, 1, 1, 1};
  for (int d = 3; d >= 0; --d) {
    int64_t low = 1, high = extent[d];
    while (low < high) {
      block[d] = (low + high + 1) / 2;
      if (fits(block)) {
        low = block[d];
      } else {
        high = block[d] - 1;
      }
    }
    block[d] = CeilDiv(extent[d], CeilDiv(extent[d], low));
  }
  return block;
}

}  // namespace

TapRange WindowAxis::Range(int64_t tap, int64_t start, int64_t size) const {
  TapRange range;
  const int64_t constant = tap * kernel_dilation - pad_low;
  const int64_t common = std::gcd(stride, base_dilation);
  if (constant % common != 0) return range;
  range.out_step = base_dilation / common;
  range.in_step = stride / common;
  // The first output with an input at or after 0, then the next that falls on an input.
  int64_t first = std::max(start, Ceil(-constant, stride));
  while ((first * stride + constant) % base_dilation != 0) ++first;
  range.first_out = first;
  range.first_in = (first * stride + constant) / base_dilation;
  const int64_t by_out = start + size - 1 - first, by_in = in - 1 - range.first_in;
  if (by_out < 0 || by_in < 0) return range;
  range.count = std::min(by_out / range.out_step, by_in / range.in_step) + 1;
  return range;
}

std::pair<int64_t, int64_t> WindowAxis::Inputs(int64_t start, int64_t size) const {
  int64_t first = in, last = -1;
  for (int64_t k = 0; k < kernel; ++k) {
    const TapRange r = Range(k, start, size);
    if (r.count == 0) continue;
    first = std::min(first, r.first_in);
    last = std::max(last, r.first_in + (r.count - 1) * r.in_step);
  }
  return {first, std::max<int64_t>(0, last - first + 1)};
}

int64_t WindowAxis::InputsOf(int64_t outputs) const {
  const int64_t span = (outputs - 1) * stride + (kernel - 1) * kernel_dilation;
  return std::min(in, span / base_dilation + 1);
}

Nd WindowBlock::Of(Nd nd) const {
  for (int d = 0; d < 4; ++d) nd = SliceDim(nd, d + 1, start[d], size[d]);
  return nd;
}

void ForEachWindowBlock(const WindowBlock& whole,
                        const std::function<bool(const WindowSizes&)>& fits,
                        const std::function<void(const WindowBlock&)>& f) {
  const WindowSizes block = Largest(whole.size, fits);
  WindowSizes at = {0, 0, 0, 0};
  while (true) {
    WindowBlock b;
    for (int d = 0; d < 4; ++d) {
      b.start[d] = whole.start[d] + at[d];
      b.size[d] = std::min(block[d], whole.size[d] - at[d]);
    }
    f(b);
    int d = 3;
    while (d >= 0 && (at[d] += block[d]) >= whole.size[d]) at[d--] = 0;
    if (d < 0) return;
  }
}

WindowSizes DenseSteps(const WindowSizes& dims) {
  return {dims[1] * dims[2] * dims[3], dims[2] * dims[3], dims[3], 1};
}

Operand WindowPattern(const Tile& tile, int64_t start, const WindowSizes& sizes,
                      const WindowSizes& steps) {
  Dims dims(sizes.begin(), sizes.end()), strides(steps.begin(), steps.end());
  Collapse(&dims, {&strides});
  return tile.pattern(tile.partitions, start, dims, strides);
}

}  // namespace glia::compiler
