// Copies, joins and rearrangements. (Views are not operators: see views.h.)
#include <algorithm>
#include <numeric>

#include "frontend/lowering/registry.h"

namespace glia::lowering {
namespace {

// aten::clone, aten::_to_copy, …: the first argument, converted to the result's type.
void Identity(Ctx& c) { c.Return(c.T(0)); }

// Copies under other dims of equal element count: view_copy, _unsafe_view, …
void ReshapeOp(Ctx& c) { c.Return(Reshape(c.T(0), c.Out().dims)); }

// aten::copy(Tensor self, Tensor src, bool non_blocking=False) -> Tensor
void CopyOp(Ctx& c) { c.Return(BroadcastTo(c.T(1), c.Out().dims)); }

void ExpandCopy(Ctx& c) { c.Return(BroadcastTo(c.T(0), c.Out().dims)); }

// aten::cat(Tensor[] tensors, int dim=0) -> Tensor. Empty vectors are skipped whatever the others'
// rank.
void Cat(Ctx& c) {
  std::vector<Op> parts;
  for (const Op& part : c.List(0)) {
    const Dims& dims = part.shape().dims;
    if (dims.size() == 1 && dims[0] == 0 && c.Out().rank() != 1) continue;
    parts.push_back(Convert(part, c.Out().type));
  }
  if (parts.empty()) return c.Return(hlo::Filled(c.builder(), c.Out(), 0));
  c.Return(Concatenate(parts, c.Dim(1, c.Out().rank())));
}

// aten::stack(Tensor[] tensors, int dim=0) -> Tensor
void Stack(Ctx& c) {
  const int64_t dim = c.Dim(1, c.Out().rank());
  std::vector<Op> parts;
  for (const Op& part : c.List(0)) parts.push_back(Unsqueeze(Convert(part, c.Out().type), dim));
  c.Return(Concatenate(parts, dim));
}

// aten::repeat(Tensor self, int[] repeats) -> Tensor: [a, b] becomes [r0, a, r1, b], then the
// result
void Repeat(Ctx& c) {
  const Dims repeats = c.Ints(1);
  const Op x = c.T(0);
  Dims own = x.shape().dims;
  own.insert(own.begin(), repeats.size() - own.size(), 1);
  Dims tiled, map;
  for (size_t d = 0; d < repeats.size(); ++d) {
    tiled.push_back(repeats[d]);
    map.push_back(static_cast<int64_t>(tiled.size()));
    tiled.push_back(own[d]);
  }
  c.Return(Reshape(BroadcastInDim(Reshape(x, own), tiled, map), c.Out().dims));
}

// aten::flip(Tensor self, int[] dims) -> Tensor
void Flip(Ctx& c) {
  const Op x = c.T(0);
  c.Return(Rev(x, c.DimList(1, x.shape().rank())));
}

Op RollDim(Op x, int64_t dim, int64_t shift) {
  if (!x.valid()) return x;
  const int64_t size = x.shape().dim(dim);
  if (size == 0) return x;
  shift = ((shift % size) + size) % size;
  if (shift == 0) return x;
  return hlo::Concatenate(
      {SliceInDim(x, size - shift, size, 1, dim), SliceInDim(x, 0, size - shift, 1, dim)}, dim);
}

// aten::roll(Tensor self, int[1] shifts, int[1] dims=[]) -> Tensor; without dims, of the flat
// tensor
void Roll(Ctx& c) {
  Op x = c.T(0);
  const Dims shifts = c.Ints(1), dims = c.DimList(2, x.shape().rank());
  if (dims.empty()) {
    x = Reshape(RollDim(Reshape(x, {x.shape().elements()}), 0, shifts[0]), x.shape().dims);
  }
  for (size_t i = 0; i < dims.size(); ++i) x = RollDim(x, dims[i], shifts[i]);
  c.Return(x);
}

// aten::rot90(Tensor self, int k=1, int[] dims=[0,1]) -> Tensor
void Rot90(Ctx& c) {
  Op x = c.T(0);
  const Dims dims = c.DimList(2, x.shape().rank());
  const int64_t turns = ((c.Int(1) % 4) + 4) % 4;
  if (turns == 2) return c.Return(Rev(x, dims));
  if (turns == 1) x = SwapDims(Rev(x, {dims[1]}), dims[0], dims[1]);
  if (turns == 3) x = SwapDims(Rev(x, {dims[0]}), dims[0], dims[1]);
  c.Return(x);
}

// column - row >= diagonal for triu, <= for tril, over the last two dims
template <bool kUpper>
void Triangle(Ctx& c) {
  const Op x = c.T(0);
  const Dims& dims = x.shape().dims;
  const int64_t rank = x.shape().rank();
  const Op row = IotaOf(c.builder(), hlo::kS32, dims, rank - 2);
  const Op column = IotaOf(c.builder(), hlo::kS32, dims, rank - 1);
  const int64_t limit = dims[rank - 2] + dims[rank - 1];
  const int64_t diagonal = std::clamp(c.Int(1, 0), -limit, limit);
  const Op offset = Sub(column, row);
  const Op edge = hlo::ConstantR0<int32_t>(c.builder(), static_cast<int32_t>(diagonal));
  c.Return(Select(kUpper ? Ge(offset, edge) : Le(offset, edge), x, FullLike(x, 0)));
}

// ---- A tensor with a part of it replaced.
struct Range {
  int64_t start, limit, step;
};
// Arguments (dim, start, end, step) from position i, as torch's slices clamp them.
Range SliceOf(const Ctx& c, size_t i, int64_t size) {
  const auto bound = [&](int64_t value) {
    if (value < 0) value += size;
    return std::clamp<int64_t>(value, 0, size);
  };
  const int64_t start = bound(c.Int(i, 0));
  const int64_t end = bound(c.Int(i + 1, size));
  return {start, std::max(start, end), c.Int(i + 2, 1)};
}

// `part` at start, start + step, … of one dim of an array of these dims; the value elsewhere is
// `base`'s.
Op Place(Op base, Op part, int64_t dim, int64_t start, int64_t step) {
  if (!base.valid() || !part.valid()) return {};
  const int64_t count = part.shape().dim(dim);
  if (count == 0) return base;
  const int64_t extent = (count - 1) * step + 1;
  const int64_t after = base.shape().dim(dim) - start - extent;
  const Op ones = hlo::Filled(base.builder, part.shape().WithType(hlo::kPred), 1);
  const Op no = hlo::ConstantR0<bool>(base.builder, false);
  return Select(PadDim(ones, no, dim, start, after, step - 1),
                PadDim(part, ScalarLike(part, 0), dim, start, after, step - 1), base);
}

// aten::slice_scatter(Tensor self, Tensor src, int dim=0, int? start=None, int? end=None, int
// step=1)
void SliceScatter(Ctx& c) {
  const Op x = c.T(0);
  const int64_t dim = c.Dim(2, x.shape().rank());
  const Range range = SliceOf(c, 3, x.shape().dim(dim));
  c.Return(Place(x, c.T(1, c.Out().type), dim, range.start, range.step));
}

// aten::select_scatter(Tensor self, Tensor src, int dim, int index) -> Tensor
void SelectScatter(Ctx& c) {
  const Op x = c.T(0);
  const int64_t dim = c.Dim(2, x.shape().rank());
  const int64_t index = Ctx::Wrap(c.Int(3), x.shape().dim(dim));
  c.Return(Place(x, Unsqueeze(c.T(1, c.Out().type), dim), dim, index, 1));
}

// aten::slice_backward(Tensor grad_output, int[] input_sizes, int dim, int start, int end, int
// step)
void SliceBackward(Ctx& c) {
  const Op zeros = hlo::Filled(c.builder(), c.Out(), 0);
  const int64_t dim = c.Dim(2, c.Out().rank());
  const Range range = SliceOf(c, 3, c.Out().dim(dim));
  c.Return(Place(zeros, c.T(0), dim, range.start, range.step));
}

// aten::select_backward(Tensor grad_output, int[] input_sizes, int dim, int index) -> Tensor
void SelectBackward(Ctx& c) {
  const Op zeros = hlo::Filled(c.builder(), c.Out(), 0);
  const int64_t dim = c.Dim(2, c.Out().rank());
  c.Return(Place(zeros, Unsqueeze(c.T(0), dim), dim, Ctx::Wrap(c.Int(3), c.Out().dim(dim)), 1));
}

// `values` [.., n] on the diagonal `offset` of the last two dims of `base`.
Op PlaceDiagonal(Op base, Op values, int64_t offset) {
  if (!base.valid() || !values.valid()) return {};
  const Dims& dims = base.shape().dims;
  const int64_t rank = base.shape().rank();
  const int64_t rows = dims[rank - 2];
  const int64_t count = values.shape().dims.back();
  const Op row = IotaOf(base.builder, hlo::kS32, dims, rank - 2);
  const Op column = IotaOf(base.builder, hlo::kS32, dims, rank - 1);
  const Op on_diagonal = Eq(Sub(column, row), IntScalar(base.builder, hlo::kS32, offset));
  // One value per row, zeros where the diagonal has none; then every column reads its row's.
  const int64_t first_row = std::max<int64_t>(0, -offset);
  const Op per_row =
      PadDim(values, ScalarLike(values, 0), rank - 2, first_row, rows - first_row - count);
  return Select(on_diagonal, BroadcastTo(Unsqueeze(per_row, rank - 1), dims), base);
}

// The permutation that brings dims d1, d2 to the end, and its inverse.
Dims ToTheEnd(int64_t rank, int64_t d1, int64_t d2) {
  Dims order;
  for (int64_t d = 0; d < rank; ++d) {
    if (d != d1 && d != d2) order.push_back(d);
  }
  order.push_back(d1);
  order.push_back(d2);
  return order;
}
Dims Inverse(const Dims& permutation) {
  Dims inverse(permutation.size());
  for (size_t i = 0; i < permutation.size(); ++i) inverse[permutation[i]] = static_cast<int64_t>(i);
  return inverse;
}

void PlaceDiagonalOp(Ctx& c, Op base, Op values, size_t i) {
  const int64_t rank = c.Out().rank();
  const Dims order = ToTheEnd(rank, c.Dim(i + 1, rank), c.Dim(i + 2, rank));
  c.Return(Transpose(PlaceDiagonal(Transpose(base, order), values, c.Int(i)), Inverse(order)));
}

// aten::diag_embed(Tensor self, int offset=0, int dim1=-2, int dim2=-1) -> Tensor
void DiagEmbed(Ctx& c) { PlaceDiagonalOp(c, hlo::Filled(c.builder(), c.Out(), 0), c.T(0), 1); }
// aten::diagonal_backward(Tensor grad_output, int[] input_sizes, int offset, int dim1, int dim2)
void DiagonalBackward(Ctx& c) {
  PlaceDiagonalOp(c, hlo::Filled(c.builder(), c.Out(), 0), c.T(0), 2);
}
// aten::diagonal_scatter(Tensor self, Tensor src, int offset=0, int dim1=0, int dim2=1) -> Tensor
void DiagonalScatter(Ctx& c) { PlaceDiagonalOp(c, c.T(0), c.T(1, c.Out().type), 2); }

// ---- Blocks of channels and pixels.
// aten::pixel_shuffle(Tensor self, int upscale_factor): [.., C r r, H, W] → [.., C, H r, W r]
void PixelShuffle(Ctx& c) {
  const Op x = c.T(0);
  const int64_t r = c.Int(1), rank = x.shape().rank();
  Dims split(x.shape().dims.begin(), x.shape().dims.end() - 3);
  const int64_t n = static_cast<int64_t>(split.size());
  const int64_t h = x.shape().dim(rank - 2), w = x.shape().dim(rank - 1);
  for (int64_t d : {x.shape().dim(rank - 3) / (r * r), r, r, h, w}) split.push_back(d);
  Dims order(n);
  std::iota(order.begin(), order.end(), 0);
  for (int64_t d : {0, 3, 1, 4, 2}) order.push_back(n + d);
  c.Return(Reshape(Transpose(Reshape(x, split), order), c.Out().dims));
}

void PixelUnshuffle(Ctx& c) {
  const Op x = c.T(0);
  const int64_t r = c.Int(1), rank = x.shape().rank();
  Dims split(x.shape().dims.begin(), x.shape().dims.end() - 3);
  const int64_t n = static_cast<int64_t>(split.size());
  const int64_t h = x.shape().dim(rank - 2), w = x.shape().dim(rank - 1);
  for (int64_t d : {x.shape().dim(rank - 3), h / r, r, w / r, r}) split.push_back(d);
  Dims order(n);
  std::iota(order.begin(), order.end(), 0);
  for (int64_t d : {0, 2, 4, 1, 3}) order.push_back(n + d);
  c.Return(Reshape(Transpose(Reshape(x, split), order), c.Out().dims));
}

// aten::channel_shuffle(Tensor self, int groups) -> Tensor
void ChannelShuffle(Ctx& c) {
  const Op x = c.T(0);
  Dims split = x.shape().dims;
  split[1] /= c.Int(1);
  split.insert(split.begin() + 1, c.Int(1));
  c.Return(Reshape(SwapDims(Reshape(x, split), 1, 2), c.Out().dims));
}

// ---- Functional slices: unsafe_split, unsafe_split_with_sizes, …_copy
// aten::unsafe_split.Tensor(Tensor self, int split_size, int dim=0) -> Tensor[]; the sizes are the
// results'
void Split(Ctx& c) {
  const Op x = c.T(0);
  const int64_t dim = c.Dim(2, x.shape().rank());
  std::vector<Op> parts;
  int64_t start = 0;
  for (size_t k = 0; k < c.OutCount(); ++k) {
    const int64_t size = c.Out(k).dim(dim);
    parts.push_back(SliceInDim(x, start, start + size, 1, dim));
    start += size;
  }
  c.Return(parts);
}

// aten::narrow_copy(Tensor self, int dim, int start, int length) -> Tensor
void NarrowCopy(Ctx& c) {
  const Op x = c.T(0);
  const int64_t dim = c.Dim(1, x.shape().rank());
  const int64_t start = Ctx::Wrap(c.Int(2), x.shape().dim(dim));
  c.Return(SliceInDim(x, start, start + c.Int(3), 1, dim));
}

// aten::slice_copy.Tensor(Tensor self, int dim=0, int? start=None, int? end=None, int step=1) ->
// Tensor
void SliceCopy(Ctx& c) {
  const Op x = c.T(0);
  const int64_t dim = c.Dim(1, x.shape().rank());
  const Range range = SliceOf(c, 2, x.shape().dim(dim));
  c.Return(SliceInDim(x, range.start, range.limit, range.step, dim));
}

// aten::permute_copy(Tensor self, int[] dims) -> Tensor
void PermuteCopy(Ctx& c) { c.Return(Transpose(c.T(0), c.DimList(1, c.Out().rank()))); }

// aten::transpose_copy.int(Tensor self, int dim0, int dim1) -> Tensor
void TransposeCopy(Ctx& c) {
  const int64_t rank = c.Out().rank();
  c.Return(rank == 0 ? c.T(0) : SwapDims(c.T(0), c.Dim(1, rank), c.Dim(2, rank)));
}

// aten::select_copy.int(Tensor self, int dim, int index) -> Tensor
void SelectCopy(Ctx& c) {
  const Op x = c.T(0);
  const int64_t dim = c.Dim(1, x.shape().rank());
  const int64_t index = Ctx::Wrap(c.Int(2), x.shape().dim(dim));
  c.Return(Squeeze(SliceInDim(x, index, index + 1, 1, dim), dim));
}

// aten::unbind_copy.int(Tensor self, int dim=0) -> Tensor[]
void UnbindCopy(Ctx& c) {
  const Op x = c.T(0);
  const int64_t dim = c.Dim(1, x.shape().rank());
  std::vector<Op> parts;
  for (int64_t i = 0; i < static_cast<int64_t>(c.OutCount()); ++i) {
    parts.push_back(Squeeze(SliceInDim(x, i, i + 1, 1, dim), dim));
  }
  c.Return(parts);
}

// aten::unfold_copy(Tensor self, int dimension, int size, int step) -> Tensor
// Windows along a dim; the place within the window is a new last dim.
void UnfoldCopy(Ctx& c) {
  const Op x = c.T(0);
  const int64_t rank = x.shape().rank(), dim = c.Dim(1, rank), size = c.Int(2), step = c.Int(3);
  const int64_t windows = c.Out().dim(dim);
  std::vector<Op> taps;
  for (int64_t k = 0; k < size; ++k) {
    taps.push_back(Unsqueeze(SliceInDim(x, k, k + (windows - 1) * step + 1, step, dim), rank));
  }
  c.Return(Concatenate(taps, rank));
}

// aten::unfold_backward(Tensor grad_in, int[] input_sizes, int dim, int size, int step) -> Tensor
void UnfoldBackward(Ctx& c) {
  const Op grad = c.T(0, c.compute());
  const int64_t rank = c.Out().rank(), dim = c.Dim(2, rank), size = c.Int(3), step = c.Int(4);
  const int64_t extent = (grad.shape().dim(dim) - 1) * step + 1;
  Op sum = BroadcastTo(c.Const(0), c.Out().dims);
  for (int64_t k = 0; k < size; ++k) {
    const Op tap = Squeeze(SliceInDim(grad, k, k + 1, 1, rank), rank);
    sum = Add(sum, PadDim(tap, c.Const(0), dim, k, c.Out().dim(dim) - k - extent, step - 1));
  }
  c.Return(sum);
}

// aten::diagonal_copy(Tensor self, int offset=0, int dim1=0, int dim2=1) -> Tensor
void DiagonalCopy(Ctx& c) {
  const int64_t rank = c.T(0).shape().rank(), offset = c.Int(1, 0);
  const Dims order = ToTheEnd(rank, Ctx::Wrap(c.Int(2, 0), rank), Ctx::Wrap(c.Int(3, 1), rank));
  const Op x = Transpose(c.T(0), order);
  const Dims& dims = x.shape().dims;
  // Everything off the diagonal is 0; then each row's sum is its element. Rows without one are cut
  // off.
  const Op row = IotaOf(c.builder(), hlo::kS32, dims, rank - 2);
  const Op column = IotaOf(c.builder(), hlo::kS32, dims, rank - 1);
  const Op on_diagonal = Eq(Sub(column, row), IntScalar(c.builder(), hlo::kS32, offset));
  const Op kept = Select(on_diagonal, x, FullLike(x, 0));
  const Op sums =
      x.shape().type == hlo::kPred ? ReduceOr(kept, {rank - 1}) : ReduceSum(kept, {rank - 1});
  const int64_t first = std::max<int64_t>(0, -offset);
  c.Return(SliceInDim(sums, first, first + c.Out().dims.back(), 1, rank - 2));
}

// aten::block_diag(Tensor[] tensors) -> Tensor
void BlockDiag(Ctx& c) {
  std::vector<Op> rows;
  int64_t column = 0;
  const int64_t columns = c.Out().dim(1);
  for (Op block : c.List(0)) {
    block = Convert(block, c.Out().type);
    while (block.shape().rank() < 2) block = Unsqueeze(block, 0);
    const int64_t width = block.shape().dim(1);
    rows.push_back(PadDim(block, ScalarLike(block, 0), 1, column, columns - column - width));
    column += width;
  }
  c.Return(Concatenate(rows, 0));
}

// aten::im2col(Tensor self, int[2] kernel_size, int[2] dilation, int[2] padding, int[2] stride) ->
// Tensor [N, C, H, W] → [N, C kh kw, L]: one strided slice per kernel position.
void Im2Col(Ctx& c) {
  Op x = c.T(0);
  const bool batched = x.shape().rank() == 4;
  if (!batched) x = Unsqueeze(x, 0);
  const Dims kernel = c.Ints(1), dilation = c.Ints(2), padding = c.Ints(3), stride = c.Ints(4);
  Dims out(2);
  for (int64_t d = 0; d < 2; ++d) {
    x = PadDim(x, ScalarLike(x, 0), d + 2, padding[d], padding[d]);
    out[d] = (x.shape().dim(d + 2) - dilation[d] * (kernel[d] - 1) - 1) / stride[d] + 1;
  }
  std::vector<Op> taps;
  for (int64_t i = 0; i < kernel[0]; ++i) {
    for (int64_t j = 0; j < kernel[1]; ++j) {
      const int64_t top = i * dilation[0], left = j * dilation[1];
      Op tap = SliceInDim(x, top, top + (out[0] - 1) * stride[0] + 1, stride[0], 2);
      tap = SliceInDim(tap, left, left + (out[1] - 1) * stride[1] + 1, stride[1], 3);
      taps.push_back(Unsqueeze(tap, 2));
    }
  }
  c.Return(Reshape(Concatenate(taps, 2), c.Out().dims));
}

// aten::col2im(Tensor self, int[2] output_size, int[2] kernel_size, int[2] dilation, int[2]
// padding,
//              int[2] stride) -> Tensor: the sum of all positions' contributions
void Col2Im(Ctx& c) {
  const Dims size = c.Ints(1), kernel = c.Ints(2), dilation = c.Ints(3), padding = c.Ints(4),
             stride = c.Ints(5);
  Op x = c.T(0, c.compute());
  if (x.shape().rank() == 2) x = Unsqueeze(x, 0);
  const int64_t n = x.shape().dim(0), channels = x.shape().dim(1) / (kernel[0] * kernel[1]);
  Dims out(2);
  for (int64_t d = 0; d < 2; ++d) {
    out[d] = (size[d] + 2 * padding[d] - dilation[d] * (kernel[d] - 1) - 1) / stride[d] + 1;
  }
  x = Reshape(x, {n, channels, kernel[0] * kernel[1], out[0], out[1]});
  Op sum;
  for (int64_t i = 0; i < kernel[0]; ++i) {
    for (int64_t j = 0; j < kernel[1]; ++j) {
      const int64_t k = i * kernel[1] + j;
      Op tap = Reshape(SliceInDim(x, k, k + 1, 1, 2), {n, channels, out[0], out[1]});
      const int64_t low[2] = {i * dilation[0] - padding[0], j * dilation[1] - padding[1]};
      for (int64_t d = 0; d < 2; ++d) {
        const int64_t extent = (out[d] - 1) * stride[d] + 1;
        tap = PadDim(tap, c.Const(0), d + 2, low[d], size[d] - low[d] - extent, stride[d] - 1);
      }
      sum = sum.valid() ? Add(sum, tap) : tap;
    }
  }
  c.Return(Reshape(sum, c.Out().dims));
}

}  // namespace

OpTable ShapeOps() {
  static constexpr OpLowering kOps[] = {
      {"aten::_reshape_alias_copy", ReshapeOp},
      {"aten::_reshape_copy", ReshapeOp},
      {"aten::_stack", Stack},
      {"aten::_to_copy", Identity},
      {"aten::_unsafe_view", ReshapeOp},
      {"aten::alias_copy", Identity},
      {"aten::block_diag", BlockDiag},
      {"aten::cat", Cat},
      {"aten::channel_shuffle", ChannelShuffle},
      {"aten::clone", Identity},
      {"aten::col2im", Col2Im},
      {"aten::copy", CopyOp},
      {"aten::detach_copy", Identity},
      {"aten::diag_embed", DiagEmbed},
      {"aten::diagonal_backward", DiagonalBackward},
      {"aten::diagonal_scatter", DiagonalScatter},
      {"aten::expand_copy", ExpandCopy},
      {"aten::flip", Flip},
      {"aten::im2col", Im2Col},
      {"aten::lift", Identity},
      {"aten::lift_fresh_copy", Identity},
      {"aten::narrow_copy", NarrowCopy},
      {"aten::native_channel_shuffle", ChannelShuffle},
      {"aten::permute_copy", PermuteCopy},
      {"aten::pixel_shuffle", PixelShuffle},
      {"aten::pixel_unshuffle", PixelUnshuffle},
      {"aten::repeat", Repeat},
      {"aten::roll", Roll},
      {"aten::rot90", Rot90},
      {"aten::select_backward", SelectBackward},
      {"aten::select_scatter", SelectScatter},
      {"aten::slice_backward", SliceBackward},
      {"aten::slice_copy.Tensor", SliceCopy},
      {"aten::slice_scatter", SliceScatter},
      {"aten::split_copy.Tensor", Split},
      {"aten::split_with_sizes_copy", Split},
      {"aten::squeeze_copy", ReshapeOp},
      {"aten::squeeze_copy.dim", ReshapeOp},
      {"aten::stack", Stack},
      {"aten::t_copy",
       [](Ctx& c) { c.Return(c.Out().rank() < 2 ? c.T(0) : SwapDims(c.T(0), 0, 1)); }},
      {"aten::transpose_copy.int", TransposeCopy},
      {"aten::tril", Triangle<false>},
      {"aten::triu", Triangle<true>},
      {"aten::unsafe_split.Tensor", Split},
      {"aten::unsafe_split_with_sizes", Split},
      {"aten::unsqueeze_copy", ReshapeOp},
      {"aten::diagonal_copy", DiagonalCopy},
      {"aten::select_copy.int", SelectCopy},
      {"aten::unbind_copy.int", UnbindCopy},
      {"aten::unfold_copy", UnfoldCopy},
      {"aten::unfold_backward", UnfoldBackward},
      {"aten::view_copy", ReshapeOp},
  };
  return kOps;
}

}  // namespace glia::lowering
