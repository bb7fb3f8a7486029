#include "compiler/passes/attributes_equal.h"

#include <algorithm>
#include <cstring>
#include <tuple>

namespace glia::compiler {
namespace {

auto Fields(const hlo::WindowDim& d) {
  return std::tie(d.size, d.stride, d.pad_low, d.pad_high, d.window_dilation, d.base_dilation,
                  d.reversal);
}
auto Fields(const hlo::PaddingDim& d) { return std::tie(d.low, d.high, d.interior); }
auto Fields(const hlo::DotDims& d) {
  return std::tie(d.lhs_contracting, d.rhs_contracting, d.lhs_batch, d.rhs_batch);
}
auto Fields(const hlo::ConvDims& d) {
  return std::tie(d.input_batch, d.input_feature, d.input_spatial, d.kernel_input_feature,
                  d.kernel_output_feature, d.kernel_spatial, d.output_batch, d.output_feature,
                  d.output_spatial);
}
auto Fields(const hlo::GatherDims& d) {
  return std::tie(d.offset_dims, d.collapsed_slice_dims, d.start_index_map, d.index_vector_dim,
                  d.operand_batching_dims, d.start_indices_batching_dims);
}
auto Fields(const hlo::ScatterDims& d) {
  return std::tie(d.update_window_dims, d.inserted_window_dims, d.scatter_dims_to_operand_dims,
                  d.index_vector_dim, d.input_batching_dims, d.scatter_indices_batching_dims);
}
auto PlainFields(const hlo::Attributes& a) {
  return std::tie(a.dimensions, a.slice_starts, a.slice_limits, a.slice_strides, a.slice_sizes,
                  a.feature_group_count, a.batch_group_count, a.indices_are_sorted,
                  a.unique_indices, a.comparison_direction, a.comparison_type, a.parameter_number,
                  a.tuple_index, a.is_stable, a.k, a.largest, a.exponent_bits, a.mantissa_bits,
                  a.feature_index, a.distribution, a.rng_algorithm, a.custom_call_target,
                  a.custom_call_has_side_effect, a.custom_call_api_version, a.fusion_kind,
                  a.backend_config, a.operand_precision);
}

template <typename T>
bool AllEqual(const std::vector<T>& a, const std::vector<T>& b) {
  return std::equal(a.begin(), a.end(), b.begin(), b.end(),
                    [](const T& x, const T& y) { return Fields(x) == Fields(y); });
}

}  // namespace

bool AttributesEqual(const hlo::Attributes& a, const hlo::Attributes& b) {
  if (PlainFields(a) != PlainFields(b) || Fields(a.dot_dims) != Fields(b.dot_dims) ||
      Fields(a.conv_dims) != Fields(b.conv_dims) ||
      Fields(a.gather_dims) != Fields(b.gather_dims) ||
      Fields(a.scatter_dims) != Fields(b.scatter_dims) || !AllEqual(a.window, b.window) ||
      !AllEqual(a.padding, b.padding) ||
      std::memcmp(&a.epsilon, &b.epsilon, sizeof(a.epsilon)) != 0 ||
      hlo::ChecksIndices(a) != hlo::ChecksIndices(b)) {
    return false;
  }
  if ((a.literal == nullptr) != (b.literal == nullptr)) return false;
  return a.literal == nullptr || *a.literal == *b.literal;
}

}  // namespace glia::compiler
