// Shape rules of the instructions that combine several elements.

#include <algorithm>

#include "serialization/hlo/shape_inference_internal.h"

namespace glia::hlo::inference {
namespace {

bool Contains(const std::vector<int64_t>& list, int64_t value) {
  return std::find(list.begin(), list.end(), value) != list.end();
}

// The type of a dot or convolution: the declared one where given, of the operands' kind.
absl::Status ProductType(const Input& input, PrimitiveType* type) {
  const PrimitiveType a = input.operands[0]->type;
  const PrimitiveType b = input.operands[1]->type;
  if (a != b) return Error(input, "operands must have one element type; convert one of them");
  if (a == kPred) return Error(input, "elements must be numbers");
  *type = input.declared.type == kInvalid ? a : input.declared.type;
  if (IsFloating(*type) != IsFloating(a) || IsIntegral(*type) != IsIntegral(a) ||
      IsComplex(*type) != IsComplex(a)) {
    return Error(input, "the result cannot be ", Name(*type));
  }
  return absl::OkStatus();
}

// Concatenates dimension numbers and checks that together they are 0 … rank-1.
absl::Status CheckPermutation(const Input& input, int64_t batch, int64_t feature,
                              const std::vector<int64_t>& spatial, int64_t rank,
                              absl::string_view what) {
  std::vector<int64_t> all = {batch, feature};
  all.insert(all.end(), spatial.begin(), spatial.end());
  if (static_cast<int64_t>(all.size()) != rank) {
    return Error(input, what, " dimension numbers ", DimsToString(all), " must be ", rank);
  }
  return CheckDims(input, all, rank, what);
}

// `count` arrays of equal dims from operand `first` on.
absl::Status CheckSameDims(const Input& input, size_t first, size_t count) {
  for (size_t i = first; i < first + count; ++i) {
    GLIA_HLO_RETURN_IF_ERROR(CheckArray(input, i));
    if (!SameDims(*input.operands[i], *input.operands[first])) {
      return Error(input, "operands ", first, " and ", i, " must have equal dims");
    }
  }
  return absl::OkStatus();
}

Shape OneOrTuple(std::vector<Shape> shapes) {
  return shapes.size() == 1 ? shapes[0] : Shape::Tuple(std::move(shapes));
}

// Checks operands of reduce and reduce-window, N arrays and then N scalar initial values, and the
// reducer (T0 … TN-1, T0 … TN-1) -> (T0 … TN-1). Sets N.
absl::Status CheckReduction(const Input& input, size_t* n) {
  if (input.operands.empty() || input.operands.size() % 2 != 0) {
    return Error(input, "needs as many initial values as operands");
  }
  *n = input.operands.size() / 2;
  GLIA_HLO_RETURN_IF_ERROR(CheckSameDims(input, 0, *n));
  std::vector<Shape> scalars;
  for (size_t i = 0; i < *n; ++i) {
    GLIA_HLO_RETURN_IF_ERROR(CheckScalar(input, *n + i));
    if (input.operands[*n + i]->type != input.operands[i]->type) {
      return Error(input, "initial value ", i, " must be ", Name(input.operands[i]->type), "[]");
    }
    scalars.push_back(Shape(input.operands[i]->type, {}));
  }
  GLIA_HLO_RETURN_IF_ERROR(CheckCalled(input, 1));
  const Shape result = OneOrTuple(scalars);
  scalars.insert(scalars.end(), scalars.begin(), scalars.begin() + static_cast<int64_t>(*n));
  return CheckSignature(input, 0, scalars, &result);
}

absl::StatusOr<std::vector<int64_t>> SlideWindow(const Input& input) {
  const Shape& x = *input.operands[0];
  const Window& window = input.attributes.window;
  if (static_cast<int64_t>(window.size()) != x.rank()) {
    return Error(input, "the window has ", window.size(), " dims, the operand ", x.rank());
  }
  std::vector<int64_t> dims;
  for (int64_t d = 0; d < x.rank(); ++d) {
    if (window[d].reversal) return Error(input, "only convolutions may reverse a window");
    absl::StatusOr<int64_t> size = WindowOutputSize(x.dims[d], window[d]);
    if (!size.ok()) return Error(input, "dim ", d, ": ", size.status().message());
    dims.push_back(*size);
  }
  return dims;
}

}  // namespace

Result InferBatchNormInference(const Input& input) {
  GLIA_HLO_RETURN_IF_ERROR(CheckArray(input, 0));
  const Shape& x = *input.operands[0];
  const int64_t feature = input.attributes.feature_index;
  if (!IsFloating(x.type)) return Error(input, "elements must be floating");
  GLIA_HLO_RETURN_IF_ERROR(CheckDims(input, {feature}, x.rank(), "feature_index"));
  const Shape vector(x.type, {x.dims[feature]});
  for (size_t i = 1; i < 5; ++i) {
    if (!Compatible(*input.operands[i], vector)) {
      return Error(input, "operand ", i, " must be ", vector.ToString());
    }
  }
  return Shape(x.type, x.dims);
}

Result InferConvolution(const Input& input) {
  GLIA_HLO_RETURN_IF_ERROR(CheckArray(input, 0));
  GLIA_HLO_RETURN_IF_ERROR(CheckArray(input, 1));
  const Shape& x = *input.operands[0];
  const Shape& kernel = *input.operands[1];
  const ConvDims& dims = input.attributes.conv_dims;
  const Window& window = input.attributes.window;
  const int64_t groups = input.attributes.feature_group_count;
  const int64_t batch_groups = input.attributes.batch_group_count;
  Shape result;
  GLIA_HLO_RETURN_IF_ERROR(ProductType(input, &result.type));
  if (x.rank() < 2 || x.rank() != kernel.rank() ||
      static_cast<int64_t>(window.size()) != x.rank() - 2) {
    return Error(input, "input and kernel must have two dims more than the window, which has ",
                 window.size());
  }
  const int64_t rank = x.rank();
  GLIA_HLO_RETURN_IF_ERROR(CheckPermutation(input, dims.input_batch, dims.input_feature,
                                            dims.input_spatial, rank, "input"));
  GLIA_HLO_RETURN_IF_ERROR(CheckPermutation(input, dims.kernel_output_feature,
                                            dims.kernel_input_feature, dims.kernel_spatial, rank,
                                            "kernel"));
  GLIA_HLO_RETURN_IF_ERROR(CheckPermutation(input, dims.output_batch, dims.output_feature,
                                            dims.output_spatial, rank, "output"));
  const int64_t batch = x.dims[dims.input_batch];
  const int64_t features = x.dims[dims.input_feature];
  const int64_t kernel_features = kernel.dims[dims.kernel_input_feature];
  const int64_t out_features = kernel.dims[dims.kernel_output_feature];
  if (groups < 1 || batch_groups < 1 || (groups > 1 && batch_groups > 1)) {
    return Error(input, "feature_group_count ", groups, " and batch_group_count ", batch_groups,
                 " must be at least 1, and not both more");
  }
  if (features % groups != 0 || kernel_features != features / groups) {
    return Error(input, "the kernel must have ", features, " / ", groups,
                 " input features, but has ", kernel_features);
  }
  if (out_features % groups != 0 || out_features % batch_groups != 0 || batch % batch_groups != 0) {
    return Error(input, "batch ", batch, " and output features ", out_features,
                 " must be multiples of the group counts ", groups, " and ", batch_groups);
  }
  result.dims.resize(static_cast<size_t>(rank));
  result.dims[dims.output_batch] = batch / batch_groups;
  result.dims[dims.output_feature] = out_features;
  for (size_t i = 0; i < window.size(); ++i) {
    if (window[i].size != kernel.dims[dims.kernel_spatial[i]]) {
      return Error(input, "window size ", window[i].size, " of spatial dim ", i,
                   " differs from the kernel's ", kernel.dims[dims.kernel_spatial[i]]);
    }
    absl::StatusOr<int64_t> size = WindowOutputSize(x.dims[dims.input_spatial[i]], window[i]);
    if (!size.ok()) return Error(input, "spatial dim ", i, ": ", size.status().message());
    result.dims[dims.output_spatial[i]] = *size;
  }
  return result;
}

Result InferDot(const Input& input) {
  GLIA_HLO_RETURN_IF_ERROR(CheckArray(input, 0));
  GLIA_HLO_RETURN_IF_ERROR(CheckArray(input, 1));
  const Shape& a = *input.operands[0];
  const Shape& b = *input.operands[1];
  const DotDims& dims = input.attributes.dot_dims;
  Shape result;
  GLIA_HLO_RETURN_IF_ERROR(ProductType(input, &result.type));
  auto joined = [](std::vector<int64_t> first, const std::vector<int64_t>& second) {
    first.insert(first.end(), second.begin(), second.end());
    return first;
  };
  GLIA_HLO_RETURN_IF_ERROR(CheckDims(input, joined(dims.lhs_batch, dims.lhs_contracting), a.rank(),
                                     "lhs batch and contracting dims"));
  GLIA_HLO_RETURN_IF_ERROR(CheckDims(input, joined(dims.rhs_batch, dims.rhs_contracting), b.rank(),
                                     "rhs batch and contracting dims"));
  auto check_pairs = [&](const std::vector<int64_t>& lhs, const std::vector<int64_t>& rhs,
                         absl::string_view what) {
    bool match = lhs.size() == rhs.size();
    for (size_t i = 0; match && i < lhs.size(); ++i) match = a.dims[lhs[i]] == b.dims[rhs[i]];
    if (match) return absl::OkStatus();
    return Error(input, what, " dims ", DimsToString(lhs), " of lhs and ", DimsToString(rhs),
                 " of rhs must have equal sizes");
  };
  GLIA_HLO_RETURN_IF_ERROR(check_pairs(dims.lhs_batch, dims.rhs_batch, "batch"));
  GLIA_HLO_RETURN_IF_ERROR(check_pairs(dims.lhs_contracting, dims.rhs_contracting, "contracting"));
  for (int64_t d : dims.lhs_batch) result.dims.push_back(a.dims[d]);
  for (int64_t d = 0; d < a.rank(); ++d) {
    if (!Contains(dims.lhs_batch, d) && !Contains(dims.lhs_contracting, d)) {
      result.dims.push_back(a.dims[d]);
    }
  }
  for (int64_t d = 0; d < b.rank(); ++d) {
    if (!Contains(dims.rhs_batch, d) && !Contains(dims.rhs_contracting, d)) {
      result.dims.push_back(b.dims[d]);
    }
  }
  return result;
}

Result InferMap(const Input& input) {
  if (input.operands.empty()) return Error(input, "needs at least one operand");
  GLIA_HLO_RETURN_IF_ERROR(CheckSameDims(input, 0, input.operands.size()));
  GLIA_HLO_RETURN_IF_ERROR(CheckCalled(input, 1));
  std::vector<Shape> scalars;
  for (const Shape* operand : input.operands) scalars.push_back(Shape(operand->type, {}));
  GLIA_HLO_RETURN_IF_ERROR(CheckSignature(input, 0, scalars, nullptr));
  const Shape& result = input.called[0]->root()->shape;
  if (!result.IsScalar()) {
    return Error(input, "the function must return a scalar, not ", result.ToString());
  }
  return Shape(result.type, input.operands[0]->dims);
}

Result InferReduce(const Input& input) {
  size_t n;
  GLIA_HLO_RETURN_IF_ERROR(CheckReduction(input, &n));
  const Shape& x = *input.operands[0];
  const std::vector<int64_t>& reduced = input.attributes.dimensions;
  GLIA_HLO_RETURN_IF_ERROR(CheckDims(input, reduced, x.rank(), "dimensions"));
  std::vector<int64_t> dims;
  for (int64_t d = 0; d < x.rank(); ++d) {
    if (!Contains(reduced, d)) dims.push_back(x.dims[d]);
  }
  std::vector<Shape> results;
  for (size_t i = 0; i < n; ++i) results.push_back(Shape(input.operands[i]->type, dims));
  return OneOrTuple(std::move(results));
}

Result InferReduceWindow(const Input& input) {
  size_t n;
  GLIA_HLO_RETURN_IF_ERROR(CheckReduction(input, &n));
  absl::StatusOr<std::vector<int64_t>> dims = SlideWindow(input);
  if (!dims.ok()) return dims.status();
  std::vector<Shape> results;
  for (size_t i = 0; i < n; ++i) results.push_back(Shape(input.operands[i]->type, *dims));
  return OneOrTuple(std::move(results));
}

Result InferScatter(const Input& input) {
  if (input.operands.size() < 3 || input.operands.size() % 2 == 0) {
    return Error(input, "takes N operands, the indices and N updates");
  }
  const size_t n = input.operands.size() / 2;
  GLIA_HLO_RETURN_IF_ERROR(CheckSameDims(input, 0, n));
  GLIA_HLO_RETURN_IF_ERROR(CheckArray(input, n));
  GLIA_HLO_RETURN_IF_ERROR(CheckSameDims(input, n + 1, n));
  const Shape& x = *input.operands[0];
  const Shape& indices = *input.operands[n];
  const Shape& updates = *input.operands[n + 1];
  const ScatterDims& dims = input.attributes.scatter_dims;
  if (!IsIntegral(indices.type)) return Error(input, "indices must be integers");
  if (dims.index_vector_dim < 0 || dims.index_vector_dim > indices.rank()) {
    return Error(input, "index_vector_dim ", dims.index_vector_dim, " is outside [0, ",
                 indices.rank(), "]");
  }
  std::vector<int64_t> removed = dims.inserted_window_dims;
  removed.insert(removed.end(), dims.input_batching_dims.begin(), dims.input_batching_dims.end());
  GLIA_HLO_RETURN_IF_ERROR(
      CheckDims(input, removed, x.rank(), "inserted_window_dims and input_batching_dims"));
  GLIA_HLO_RETURN_IF_ERROR(
      CheckDims(input, dims.update_window_dims, updates.rank(), "update_window_dims"));
  std::vector<int64_t> indexed = dims.scatter_dims_to_operand_dims;
  indexed.insert(indexed.end(), dims.input_batching_dims.begin(), dims.input_batching_dims.end());
  GLIA_HLO_RETURN_IF_ERROR(
      CheckDims(input, indexed, x.rank(), "scatter_dims_to_operand_dims and input_batching_dims"));
  GLIA_HLO_RETURN_IF_ERROR(CheckDims(input, dims.scatter_indices_batching_dims, indices.rank(),
                                     "scatter_indices_batching_dims"));
  if (!std::is_sorted(dims.update_window_dims.begin(), dims.update_window_dims.end())) {
    return Error(input, "update_window_dims must be ascending");
  }
  const bool has_vector = dims.index_vector_dim < indices.rank();
  const int64_t index_size = has_vector ? indices.dims[dims.index_vector_dim] : 1;
  if (static_cast<int64_t>(dims.scatter_dims_to_operand_dims.size()) != index_size) {
    return Error(input, "scatter_dims_to_operand_dims must have one entry for each of ", index_size,
                 " index components");
  }
  if (dims.input_batching_dims.size() != dims.scatter_indices_batching_dims.size()) {
    return Error(input, "input_batching_dims and scatter_indices_batching_dims differ in length");
  }
  for (size_t i = 0; i < dims.input_batching_dims.size(); ++i) {
    const int64_t e = dims.scatter_indices_batching_dims[i];
    if (e == dims.index_vector_dim || x.dims[dims.input_batching_dims[i]] != indices.dims[e]) {
      return Error(input, "batching dims ", dims.input_batching_dims[i], " of the operand and ", e,
                   " of the indices do not match");
    }
  }
  const int64_t window_rank = x.rank() - static_cast<int64_t>(removed.size());
  if (static_cast<int64_t>(dims.update_window_dims.size()) != window_rank ||
      updates.rank() != window_rank + indices.rank() - (has_vector ? 1 : 0)) {
    return Error(input, "updates must have the indices' dims without index_vector_dim, and ",
                 window_rank, " update_window_dims");
  }
  int64_t operand_dim = 0;
  int64_t index_dim = 0;
  for (int64_t d = 0; d < updates.rank(); ++d) {
    if (Contains(dims.update_window_dims, d)) {
      while (Contains(removed, operand_dim)) ++operand_dim;
      if (updates.dims[d] > x.dims[operand_dim]) {
        return Error(input, "update window dim ", d, " is larger than operand dim ", operand_dim);
      }
      ++operand_dim;
    } else {
      if (index_dim == dims.index_vector_dim) ++index_dim;
      if (updates.dims[d] != indices.dims[index_dim]) {
        return Error(input, "update dim ", d, " must have the size of index dim ", index_dim);
      }
      ++index_dim;
    }
  }
  std::vector<Shape> scalars;
  std::vector<Shape> results;
  for (size_t i = 0; i < n; ++i) {
    if (input.operands[i]->type != input.operands[n + 1 + i]->type) {
      return Error(input, "update ", i, " must have the type of operand ", i);
    }
    scalars.push_back(Shape(input.operands[i]->type, {}));
    results.push_back(Shape(input.operands[i]->type, x.dims));
  }
  const Shape update_result = OneOrTuple(scalars);
  scalars.insert(scalars.end(), scalars.begin(), scalars.begin() + static_cast<int64_t>(n));
  GLIA_HLO_RETURN_IF_ERROR(CheckCalled(input, 1));
  GLIA_HLO_RETURN_IF_ERROR(CheckSignature(input, 0, scalars, &update_result));
  return OneOrTuple(std::move(results));
}

Result InferSelectAndScatter(const Input& input) {
  GLIA_HLO_RETURN_IF_ERROR(CheckArray(input, 0));
  GLIA_HLO_RETURN_IF_ERROR(CheckArray(input, 1));
  GLIA_HLO_RETURN_IF_ERROR(CheckScalar(input, 2));
  const Shape& x = *input.operands[0];
  absl::StatusOr<std::vector<int64_t>> dims = SlideWindow(input);
  if (!dims.ok()) return dims.status();
  const Shape source(x.type, *dims);
  if (!Compatible(*input.operands[1], source) || input.operands[2]->type != x.type) {
    return Error(input, "the source must be ", source.ToString(), ", the initial value ",
                 Name(x.type), "[]");
  }
  GLIA_HLO_RETURN_IF_ERROR(CheckCalled(input, 2));
  const Shape scalar(x.type, {});
  const Shape pred(kPred, {});
  GLIA_HLO_RETURN_IF_ERROR(CheckSignature(input, 0, {scalar, scalar}, &pred));
  GLIA_HLO_RETURN_IF_ERROR(CheckSignature(input, 1, {scalar, scalar}, &scalar));
  return Shape(x.type, x.dims);
}

Result InferSort(const Input& input) {
  if (input.operands.empty()) return Error(input, "needs at least one operand");
  GLIA_HLO_RETURN_IF_ERROR(CheckSameDims(input, 0, input.operands.size()));
  if (input.attributes.dimensions.size() != 1) return Error(input, "needs exactly one dimension");
  GLIA_HLO_RETURN_IF_ERROR(
      CheckDims(input, input.attributes.dimensions, input.operands[0]->rank(), "dimension"));
  std::vector<Shape> scalars;
  std::vector<Shape> results;
  for (const Shape* operand : input.operands) {
    scalars.push_back(Shape(operand->type, {}));
    scalars.push_back(scalars.back());
    results.push_back(Shape(operand->type, operand->dims));
  }
  const Shape pred(kPred, {});
  GLIA_HLO_RETURN_IF_ERROR(CheckCalled(input, 1));
  GLIA_HLO_RETURN_IF_ERROR(CheckSignature(input, 0, scalars, &pred));
  return OneOrTuple(std::move(results));
}

Result InferTopK(const Input& input) {
  GLIA_HLO_RETURN_IF_ERROR(CheckArray(input, 0));
  const Shape& x = *input.operands[0];
  const int64_t k = input.attributes.k;
  if (x.rank() < 1 || k < 0 || k > x.dims.back()) {
    return Error(input, "k ", k, " must be within the last dim");
  }
  if (IsComplex(x.type)) return Error(input, "complex numbers have no order");
  Shape values(x.type, x.dims);
  values.dims.back() = k;
  const Shape indices(kS32, values.dims);
  return Shape::Tuple({values, indices});
}

}  // namespace glia::hlo::inference
