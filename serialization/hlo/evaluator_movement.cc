// Instructions that move elements: each is one copy, or a few, between strided boxes.
#include <algorithm>
#include <cstdlib>
#include <cstring>

#include "serialization/hlo/evaluator.h"
#include "serialization/hlo/evaluator_internal.h"

namespace glia::hlo {
namespace evaluator {
namespace {

using Index = std::vector<int64_t>;

struct Element16 {
  uint64_t words[2];
};

struct BoxDim {
  int64_t size;
  int64_t source_stride;
  int64_t target_stride;
};

// Drops dims of size 1 and merges neighbours that are contiguous on both sides.
std::vector<BoxDim> Collapse(absl::Span<const int64_t> dims,
                             absl::Span<const int64_t> source_strides,
                             absl::Span<const int64_t> target_strides) {
  std::vector<BoxDim> box;
  for (size_t d = 0; d < dims.size(); ++d) {
    if (dims[d] == 1) continue;
    const BoxDim dim = {dims[d], source_strides[d], target_strides[d]};
    if (!box.empty() && box.back().source_stride == dim.source_stride * dim.size &&
        box.back().target_stride == dim.target_stride * dim.size) {
      box.back() = {box.back().size * dim.size, dim.source_stride, dim.target_stride};
    } else {
      box.push_back(dim);
    }
  }
  // The order of the dims is free: the source's innermost goes next to the target's, to be tiled
  // with it.
  if (box.size() > 2) {
    auto inner = std::min_element(box.begin(), box.end() - 1, [](const BoxDim& a, const BoxDim& b) {
      return std::abs(a.source_stride) < std::abs(b.source_stride);
    });
    if (std::abs(inner->source_stride) < std::abs(box.back().source_stride)) {
      std::rotate(inner, inner + 1, box.end() - 1);
    }
  }
  return box;
}

template <typename T>
void CopyRow(const BoxDim& dim, const T* source, T* target) {
  if (dim.source_stride == 1 && dim.target_stride == 1) {
    std::memcpy(target, source, static_cast<size_t>(dim.size) * sizeof(T));
  } else {
    for (int64_t i = 0; i < dim.size; ++i)
      target[i * dim.target_stride] = source[i * dim.source_stride];
  }
}

// A matrix that is contiguous along `outer` in the source and along `inner` in the target, in tiles
// of whole cache lines: every line is read once and written once, whatever power of two lies
// between rows.
template <typename T>
void CopyTransposed(const BoxDim& outer, const BoxDim& inner, const T* source, T* target) {
  constexpr int64_t kTile = std::max<int64_t>(8, 64 / static_cast<int64_t>(sizeof(T)));
  T tile[kTile * kTile];
  for (int64_t i0 = 0; i0 < outer.size; i0 += kTile) {
    const int64_t rows = std::min(kTile, outer.size - i0);
    for (int64_t j0 = 0; j0 < inner.size; j0 += kTile) {
      const int64_t columns = std::min(kTile, inner.size - j0);
      for (int64_t j = 0; j < columns; ++j) {
        std::memcpy(tile + j * kTile, source + (j0 + j) * inner.source_stride + i0,
                    static_cast<size_t>(rows) * sizeof(T));
      }
      for (int64_t i = 0; i < rows; ++i) {
        T* row = target + (i0 + i) * outer.target_stride + j0;
        for (int64_t j = 0; j < columns; ++j) row[j] = tile[j * kTile + i];
      }
    }
  }
}

template <typename T>
void CopyDims(const BoxDim* dims, size_t count, const T* source, T* target) {
  if (count == 0) {
    *target = *source;
  } else if (count == 1) {
    CopyRow(dims[0], source, target);
  } else if (count == 2 && dims[0].source_stride == 1 && dims[1].target_stride == 1) {
    CopyTransposed(dims[0], dims[1], source, target);
  } else {
    for (int64_t i = 0; i < dims[0].size; ++i) {
      CopyDims(dims + 1, count - 1, source + i * dims[0].source_stride,
               target + i * dims[0].target_stride);
    }
  }
}

template <typename T>
void CopyTyped(const std::vector<BoxDim>& box, const void* source, int64_t source_offset,
               void* target, int64_t target_offset) {
  CopyDims(box.data(), box.size(), static_cast<const T*>(source) + source_offset,
           static_cast<T*>(target) + target_offset);
}

Literal NewResult(const Instruction& instr) {
  return Literal::Zero(Shape(instr.shape.type, instr.shape.dims));
}

int64_t Dot(absl::Span<const int64_t> a, absl::Span<const int64_t> b) {
  int64_t sum = 0;
  for (size_t i = 0; i < a.size(); ++i) sum += a[i] * b[i];
  return sum;
}

// Start indices of dynamic-slice and dynamic-update-slice: scalar operands from `first` on (or one
// vector), clamped so that a box of `sizes` fits.
Index ClampedStarts(Operands operands, size_t first, absl::Span<const int64_t> dims,
                    absl::Span<const int64_t> sizes) {
  Index starts(dims.size());
  for (size_t d = 0; d < dims.size(); ++d) {
    const bool vector = operands[first].shape().rank() == 1;
    const Literal& literal = vector ? operands[first] : operands[first + d];
    int64_t start = literal.GetAsInt64(vector ? static_cast<int64_t>(d) : 0);
    // A u64 above 2^63 is large, not negative.
    if (start < 0 && literal.shape().type == kU64) start = dims[d];
    starts[d] = std::max<int64_t>(0, std::min(start, dims[d] - sizes[d]));
  }
  return starts;
}

}  // namespace

void CopyBox(absl::Span<const int64_t> dims, int64_t element_bytes, const void* source,
             int64_t source_offset, absl::Span<const int64_t> source_strides, void* target,
             int64_t target_offset, absl::Span<const int64_t> target_strides) {
  if (std::find(dims.begin(), dims.end(), 0) != dims.end()) return;
  const std::vector<BoxDim> box = Collapse(dims, source_strides, target_strides);
  switch (element_bytes) {
    case 1:
      return CopyTyped<uint8_t>(box, source, source_offset, target, target_offset);
    case 2:
      return CopyTyped<uint16_t>(box, source, source_offset, target, target_offset);
    case 4:
      return CopyTyped<uint32_t>(box, source, source_offset, target, target_offset);
    case 8:
      return CopyTyped<uint64_t>(box, source, source_offset, target, target_offset);
    default:
      return CopyTyped<Element16>(box, source, source_offset, target, target_offset);
  }
}

absl::StatusOr<Literal> Reshape(const Instruction& instr, Operands operands) {
  return operands[0].Reshaped(instr.shape.dims);
}

absl::StatusOr<Literal> Bitcast(const Instruction& instr, Operands operands) {
  // The same bytes in the order that the layouts say.
  auto physical = [](const Shape& shape) {  // slowest varying dimension first
    Index order(shape.minor_to_major.rbegin(), shape.minor_to_major.rend());
    for (int64_t d = 0; order.size() < shape.dims.size(); ++d) order.push_back(d);
    return order;
  };
  const Literal source = TransposeLiteral(operands[0], physical(instr.operand(0)->shape));
  const Index order = physical(instr.shape);
  Index dims, back(order.size());
  for (size_t i = 0; i < order.size(); ++i) {
    dims.push_back(instr.shape.dims[static_cast<size_t>(order[i])]);
    back[static_cast<size_t>(order[i])] = static_cast<int64_t>(i);
  }
  return TransposeLiteral(Literal::FromBytes(Shape(instr.shape.type, dims), source.raw()), back);
}

absl::StatusOr<Literal> Broadcast(const Instruction& instr, Operands operands) {
  Literal result = NewResult(instr);
  const Index operand_strides = RowMajorStrides(operands[0].shape().dims);
  Index source_strides(instr.shape.dims.size(), 0);
  for (size_t i = 0; i < operand_strides.size(); ++i) {
    source_strides[static_cast<size_t>(instr.dimensions[i])] = operand_strides[i];
  }
  CopyBox(instr.shape.dims, ByteSize(instr.shape.type), operands[0].raw(), 0, source_strides,
          result.MutableRaw(), 0, RowMajorStrides(instr.shape.dims));
  return result;
}

absl::StatusOr<Literal> Transpose(const Instruction& instr, Operands operands) {
  return TransposeLiteral(operands[0], instr.dimensions);
}

absl::StatusOr<Literal> Slice(const Instruction& instr, Operands operands) {
  Literal result = NewResult(instr);
  const Index strides = RowMajorStrides(operands[0].shape().dims);
  Index steps = strides;
  for (size_t d = 0; d < steps.size(); ++d) steps[d] *= instr.slice_strides[d];
  CopyBox(instr.shape.dims, ByteSize(instr.shape.type), operands[0].raw(),
          Dot(strides, instr.slice_starts), steps, result.MutableRaw(), 0,
          RowMajorStrides(instr.shape.dims));
  return result;
}

absl::StatusOr<Literal> Reverse(const Instruction& instr, Operands operands) {
  Literal result = NewResult(instr);
  const Index strides = RowMajorStrides(instr.shape.dims);
  Index source_strides = strides;
  int64_t offset = 0;
  for (int64_t dim : instr.dimensions) {
    const size_t d = static_cast<size_t>(dim);
    offset += (instr.shape.dims[d] - 1) * strides[d];
    source_strides[d] = -strides[d];
  }
  CopyBox(instr.shape.dims, ByteSize(instr.shape.type), operands[0].raw(), offset, source_strides,
          result.MutableRaw(), 0, strides);
  return result;
}

absl::StatusOr<Literal> Concatenate(const Instruction& instr, Operands operands) {
  Literal result = NewResult(instr);
  const size_t dim = static_cast<size_t>(instr.dimensions[0]);
  const Index strides = RowMajorStrides(instr.shape.dims);
  int64_t position = 0;
  for (const Literal& operand : operands) {
    const Index& dims = operand.shape().dims;
    CopyBox(dims, ByteSize(instr.shape.type), operand.raw(), 0, RowMajorStrides(dims),
            result.MutableRaw(), position * strides[dim], strides);
    position += dims[dim];
  }
  return result;
}

absl::StatusOr<Literal> Pad(const Instruction& instr, Operands operands) {
  Literal result = NewResult(instr);
  const Index& dims = operands[0].shape().dims;
  const int64_t bytes = ByteSize(instr.shape.type);
  const Index strides = RowMajorStrides(instr.shape.dims);
  CopyBox(instr.shape.dims, bytes, operands[1].raw(), 0, Index(strides.size(), 0),
          result.MutableRaw(), 0, strides);
  // Element i of a dim lands at low + i * (interior + 1); those outside are cut off.
  const Index source_strides = RowMajorStrides(dims);
  Index box(dims.size()), target_strides(dims.size());
  int64_t source_offset = 0;
  int64_t target_offset = 0;
  for (size_t d = 0; d < dims.size(); ++d) {
    const PaddingDim& padding = instr.padding[d];
    const int64_t step = padding.interior + 1;
    const int64_t begin = padding.low >= 0 ? 0 : (-padding.low + step - 1) / step;
    const int64_t last_fitting = instr.shape.dims[d] - 1 - padding.low;  // largest i * step
    const int64_t end = last_fitting < 0 ? 0 : std::min(dims[d], last_fitting / step + 1);
    box[d] = std::max<int64_t>(0, end - begin);
    source_offset += begin * source_strides[d];
    target_offset += (padding.low + begin * step) * strides[d];
    target_strides[d] = strides[d] * step;
  }
  CopyBox(box, bytes, operands[0].raw(), source_offset, source_strides, result.MutableRaw(),
          target_offset, target_strides);
  return result;
}

absl::StatusOr<Literal> DynamicSlice(const Instruction& instr, Operands operands) {
  Literal result = NewResult(instr);
  const Index& dims = operands[0].shape().dims;
  if (dims.empty()) return operands[0];
  const Index starts = ClampedStarts(operands, 1, dims, instr.shape.dims);
  const Index strides = RowMajorStrides(dims);
  CopyBox(instr.shape.dims, ByteSize(instr.shape.type), operands[0].raw(), Dot(starts, strides),
          strides, result.MutableRaw(), 0, RowMajorStrides(instr.shape.dims));
  return result;
}

absl::StatusOr<Literal> DynamicUpdateSlice(const Instruction& instr, Operands operands) {
  if (instr.shape.dims.empty()) return operands[1];
  Literal result = operands[0];
  const Index& update_dims = operands[1].shape().dims;
  const Index starts = ClampedStarts(operands, 2, instr.shape.dims, update_dims);
  const Index strides = RowMajorStrides(instr.shape.dims);
  CopyBox(update_dims, ByteSize(instr.shape.type), operands[1].raw(), 0,
          RowMajorStrides(update_dims), result.MutableRaw(), Dot(starts, strides), strides);
  return result;
}

}  // namespace evaluator

Literal TransposeLiteral(const Literal& literal, absl::Span<const int64_t> permutation) {
  const std::vector<int64_t> strides = RowMajorStrides(literal.shape().dims);
  std::vector<int64_t> dims, source_strides;
  for (int64_t d : permutation) {
    dims.push_back(literal.shape().dims[static_cast<size_t>(d)]);
    source_strides.push_back(strides[static_cast<size_t>(d)]);
  }
  const Shape shape(literal.shape().type, dims);
  Literal result = Literal::Zero(shape);
  evaluator::CopyBox(dims, ByteSize(shape.type), literal.raw(), 0, source_strides,
                     result.MutableRaw(), 0, RowMajorStrides(dims));
  return result;
}

}  // namespace glia::hlo
