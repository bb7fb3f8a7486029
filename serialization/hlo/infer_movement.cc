// Shape rules of the instructions that move elements.

#include <algorithm>

#include "serialization/hlo/shape_inference_internal.h"

namespace glia::hlo::inference {

Result InferBitcast(const Input& input) {
  GLIA_HLO_RETURN_IF_ERROR(CheckArray(input, 0));
  GLIA_HLO_RETURN_IF_ERROR(ValidateShape(input.declared));
  if (!input.declared.IsArray() || input.declared.bytes() != input.operands[0]->bytes()) {
    return Error(input, "to ", input.declared.ToString(), " changes the number of bytes");
  }
  return Shape(input.declared.type, input.declared.dims);
}

Result InferBroadcast(const Input& input) {
  GLIA_HLO_RETURN_IF_ERROR(CheckArray(input, 0));
  const Shape& x = *input.operands[0];
  const std::vector<int64_t>& dims = input.attributes.dimensions;
  if (static_cast<int64_t>(dims.size()) != x.rank()) {
    return Error(input, "dimensions ", DimsToString(dims), " must name a result dim for each of ",
                 x.rank(), " operand dims");
  }
  GLIA_HLO_RETURN_IF_ERROR(CheckDims(input, dims, input.declared.rank(), "dimensions"));
  for (int64_t i = 0; i < x.rank(); ++i) {
    if (x.dims[i] != input.declared.dims[dims[i]]) {
      return Error(input, "operand dim ", i, " of size ", x.dims[i], " cannot become result dim ",
                   dims[i], " of ", input.declared.ToString());
    }
  }
  return Shape(x.type, input.declared.dims);
}

Result InferConcatenate(const Input& input) {
  if (input.operands.empty()) return Error(input, "needs at least one operand");
  if (input.attributes.dimensions.size() != 1) return Error(input, "needs exactly one dimension");
  GLIA_HLO_RETURN_IF_ERROR(CheckArray(input, 0));
  const Shape& first = *input.operands[0];
  const int64_t dim = input.attributes.dimensions[0];
  GLIA_HLO_RETURN_IF_ERROR(CheckDims(input, {dim}, first.rank(), "dimension"));
  Shape result(first.type, first.dims);
  for (size_t i = 1; i < input.operands.size(); ++i) {
    const Shape& part = *input.operands[i];
    bool match = part.type == first.type && part.rank() == first.rank();
    for (int64_t d = 0; match && d < first.rank(); ++d) {
      match = d == dim || part.dims[d] == first.dims[d];
    }
    if (!match) {
      return Error(input, "operand ", i, " ", part.ToString(), " must equal operand 0 ",
                   first.ToString(), " in type and in all dims but ", dim);
    }
    if (__builtin_add_overflow(result.dims[dim], part.dims[dim], &result.dims[dim])) {
      return Error(input, "the result is too large");
    }
  }
  return result;
}

namespace {

absl::Status CheckStarts(const Input& input, size_t first) {
  const int64_t rank = input.operands[0]->rank();
  if (static_cast<int64_t>(input.operands.size() - first) != rank) {
    return Error(input, "needs one scalar start index for each of ", rank, " dims, but has ",
                 input.operands.size() - first);
  }
  for (size_t i = first; i < input.operands.size(); ++i) {
    const Shape& start = *input.operands[i];
    if (!start.IsScalar() || !IsIntegral(start.type) || start.type != input.operands[first]->type) {
      return Error(input, "start indices must be scalars of one integer type; operand ", i, " is ",
                   start.ToString());
    }
  }
  return absl::OkStatus();
}

}  // namespace

Result InferDynamicSlice(const Input& input) {
  if (input.operands.empty()) return Error(input, "needs an operand");
  GLIA_HLO_RETURN_IF_ERROR(CheckArray(input, 0));
  GLIA_HLO_RETURN_IF_ERROR(CheckStarts(input, 1));
  const Shape& x = *input.operands[0];
  const std::vector<int64_t>& sizes = input.attributes.slice_sizes;
  bool match = static_cast<int64_t>(sizes.size()) == x.rank();
  for (int64_t d = 0; match && d < x.rank(); ++d) match = sizes[d] >= 0 && sizes[d] <= x.dims[d];
  if (!match) return Error(input, "slice sizes ", DimsToString(sizes), " do not fit the operand");
  return Shape(x.type, sizes);
}

Result InferDynamicUpdateSlice(const Input& input) {
  if (input.operands.size() < 2) return Error(input, "needs an operand and an update");
  GLIA_HLO_RETURN_IF_ERROR(CheckArray(input, 0));
  GLIA_HLO_RETURN_IF_ERROR(CheckArray(input, 1));
  GLIA_HLO_RETURN_IF_ERROR(CheckStarts(input, 2));
  const Shape& x = *input.operands[0];
  const Shape& update = *input.operands[1];
  bool match = update.type == x.type && update.rank() == x.rank();
  for (int64_t d = 0; match && d < x.rank(); ++d) match = update.dims[d] <= x.dims[d];
  if (!match) return Error(input, "the update must have the operand's type and fit into it");
  return Shape(x.type, x.dims);
}

Result InferGather(const Input& input) {
  GLIA_HLO_RETURN_IF_ERROR(CheckArray(input, 0));
  GLIA_HLO_RETURN_IF_ERROR(CheckArray(input, 1));
  const Shape& x = *input.operands[0];
  const Shape& indices = *input.operands[1];
  const GatherDims& dims = input.attributes.gather_dims;
  const std::vector<int64_t>& sizes = input.attributes.slice_sizes;
  if (!IsIntegral(indices.type)) return Error(input, "indices must be integers");
  if (dims.index_vector_dim < 0 || dims.index_vector_dim > indices.rank()) {
    return Error(input, "index_vector_dim ", dims.index_vector_dim, " is outside [0, ",
                 indices.rank(), "]");
  }
  GLIA_HLO_RETURN_IF_ERROR(
      CheckDims(input, dims.collapsed_slice_dims, x.rank(), "collapsed_slice_dims"));
  GLIA_HLO_RETURN_IF_ERROR(
      CheckDims(input, dims.operand_batching_dims, x.rank(), "operand_batching_dims"));
  GLIA_HLO_RETURN_IF_ERROR(CheckDims(input, dims.start_index_map, x.rank(), "start_index_map"));
  GLIA_HLO_RETURN_IF_ERROR(CheckDims(input, dims.start_indices_batching_dims, indices.rank(),
                                     "start_indices_batching_dims"));
  const int64_t index_size =
      dims.index_vector_dim == indices.rank() ? 1 : indices.dims[dims.index_vector_dim];
  if (static_cast<int64_t>(dims.start_index_map.size()) != index_size) {
    return Error(input, "start_index_map ", DimsToString(dims.start_index_map),
                 " must have one entry for each of ", index_size, " index components");
  }
  if (dims.operand_batching_dims.size() != dims.start_indices_batching_dims.size()) {
    return Error(input, "operand_batching_dims and start_indices_batching_dims differ in length");
  }
  for (size_t i = 0; i < dims.operand_batching_dims.size(); ++i) {
    const int64_t d = dims.operand_batching_dims[i];
    const int64_t e = dims.start_indices_batching_dims[i];
    if (e == dims.index_vector_dim || x.dims[d] != indices.dims[e]) {
      return Error(input, "batching dims ", d, " of the operand and ", e,
                   " of the indices do not match");
    }
    if (std::count(dims.start_index_map.begin(), dims.start_index_map.end(), d) > 0) {
      return Error(input, "dim ", d, " is in start_index_map and operand_batching_dims");
    }
  }
  if (static_cast<int64_t>(sizes.size()) != x.rank()) {
    return Error(input, "slice_sizes ", DimsToString(sizes), " must have ", x.rank(), " entries");
  }
  std::vector<int64_t> window;
  for (int64_t d = 0; d < x.rank(); ++d) {
    if (sizes[d] < 0 || sizes[d] > x.dims[d]) {
      return Error(input, "slice size ", sizes[d], " does not fit dim ", d);
    }
    auto in = [d](const std::vector<int64_t>& list) {
      return std::find(list.begin(), list.end(), d) != list.end();
    };
    const bool collapsed = in(dims.collapsed_slice_dims);
    const bool batching = in(dims.operand_batching_dims);
    if (collapsed && batching) return Error(input, "dim ", d, " is both collapsed and batching");
    if (!collapsed && !batching) {
      window.push_back(sizes[d]);
    } else if (sizes[d] > 1) {
      return Error(input, "slice size of the removed dim ", d, " must be at most 1, but is ",
                   sizes[d]);
    }
  }
  if (window.size() != dims.offset_dims.size()) {
    return Error(input, "offset_dims ", DimsToString(dims.offset_dims), " must have ",
                 window.size(), " entries, one for each slice dim that stays");
  }
  const int64_t batch_rank = indices.rank() - (dims.index_vector_dim < indices.rank() ? 1 : 0);
  const int64_t rank = batch_rank + static_cast<int64_t>(window.size());
  GLIA_HLO_RETURN_IF_ERROR(CheckDims(input, dims.offset_dims, rank, "offset_dims"));
  if (!std::is_sorted(dims.offset_dims.begin(), dims.offset_dims.end())) {
    return Error(input, "offset_dims ", DimsToString(dims.offset_dims), " must be ascending");
  }
  Shape result(x.type, std::vector<int64_t>(static_cast<size_t>(rank)));
  size_t next_window = 0;
  int64_t next_batch = 0;
  for (int64_t d = 0; d < rank; ++d) {
    if (next_window < window.size() && dims.offset_dims[next_window] == d) {
      result.dims[d] = window[next_window++];
    } else {
      if (next_batch == dims.index_vector_dim) ++next_batch;
      result.dims[d] = indices.dims[next_batch++];
    }
  }
  return result;
}

Result InferPad(const Input& input) {
  GLIA_HLO_RETURN_IF_ERROR(CheckArray(input, 0));
  GLIA_HLO_RETURN_IF_ERROR(CheckScalar(input, 1));
  const Shape& x = *input.operands[0];
  if (input.operands[1]->type != x.type) return Error(input, "the padding value's type differs");
  const std::vector<PaddingDim>& padding = input.attributes.padding;
  if (static_cast<int64_t>(padding.size()) != x.rank()) {
    return Error(input, "padding is given for ", padding.size(), " of ", x.rank(), " dims");
  }
  Shape result(x.type, x.dims);
  for (int64_t d = 0; d < x.rank(); ++d) {
    const PaddingDim& pad = padding[d];
    if (pad.interior < 0) return Error(input, "interior padding ", pad.interior, " of dim ", d);
    const __int128 size =
        static_cast<__int128>(x.dims[d]) +
        static_cast<__int128>(std::max<int64_t>(x.dims[d] - 1, 0)) * pad.interior + pad.low +
        pad.high;
    if (size < 0 || size > (int64_t{1} << 60)) {
      return Error(input, "padding low=", pad.low, " high=", pad.high, " interior=", pad.interior,
                   " gives dim ", d, size < 0 ? " a negative size" : " too large a size");
    }
    result.dims[d] = static_cast<int64_t>(size);
  }
  return result;
}

Result InferReshape(const Input& input) {
  GLIA_HLO_RETURN_IF_ERROR(CheckArray(input, 0));
  const Shape& x = *input.operands[0];
  const Shape result(x.type, input.declared.dims);
  GLIA_HLO_RETURN_IF_ERROR(ValidateShape(result));
  if (result.elements() != x.elements()) {
    return Error(input, "to ", result.ToString(), " changes the number of elements from ",
                 x.elements(), " to ", result.elements());
  }
  return result;
}

Result InferReverse(const Input& input) {
  GLIA_HLO_RETURN_IF_ERROR(CheckArray(input, 0));
  const Shape& x = *input.operands[0];
  GLIA_HLO_RETURN_IF_ERROR(CheckDims(input, input.attributes.dimensions, x.rank(), "dimensions"));
  return Shape(x.type, x.dims);
}

Result InferSlice(const Input& input) {
  GLIA_HLO_RETURN_IF_ERROR(CheckArray(input, 0));
  const Shape& x = *input.operands[0];
  const Attributes& a = input.attributes;
  const size_t rank = x.dims.size();
  if (a.slice_starts.size() != rank || a.slice_limits.size() != rank ||
      a.slice_strides.size() != rank) {
    return Error(input, "starts ", DimsToString(a.slice_starts), ", limits ",
                 DimsToString(a.slice_limits), " and strides ", DimsToString(a.slice_strides),
                 " must have ", rank, " entries each");
  }
  Shape result(x.type, x.dims);
  for (size_t d = 0; d < rank; ++d) {
    const int64_t start = a.slice_starts[d], limit = a.slice_limits[d], stride = a.slice_strides[d];
    if (start < 0 || limit < start || limit > x.dims[d] || stride < 1) {
      return Error(input, "slice [", start, ":", limit, ":", stride, "] does not fit dim ", d,
                   " of size ", x.dims[d]);
    }
    result.dims[d] = limit == start ? 0 : (limit - start - 1) / stride + 1;
  }
  return result;
}

Result InferTranspose(const Input& input) {
  GLIA_HLO_RETURN_IF_ERROR(CheckArray(input, 0));
  const Shape& x = *input.operands[0];
  const std::vector<int64_t>& permutation = input.attributes.dimensions;
  if (permutation.size() != x.dims.size()) {
    return Error(input, "permutation ", DimsToString(permutation), " must have ", x.rank(),
                 " entries");
  }
  GLIA_HLO_RETURN_IF_ERROR(CheckDims(input, permutation, x.rank(), "permutation"));
  Shape result(x.type, x.dims);
  for (size_t d = 0; d < permutation.size(); ++d) result.dims[d] = x.dims[permutation[d]];
  return result;
}

}  // namespace glia::hlo::inference
