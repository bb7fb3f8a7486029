#include "serialization/hlo/proto_attributes.h"

#include <algorithm>

#include "absl/strings/str_cat.h"

namespace glia::hlo {
namespace {

using Ints = google::protobuf::RepeatedField<int64_t>;

void Put(const std::vector<int64_t>& values, Ints* field) {
  field->Add(values.begin(), values.end());
}
std::vector<int64_t> Take(const Ints& field) { return {field.begin(), field.end()}; }

// In the order of the enumerations.
constexpr const char* kDirections[] = {"EQ", "NE", "GE", "GT", "LE", "LT"};
constexpr const char* kTypes[] = {"", "FLOAT", "TOTALORDER", "SIGNED", "UNSIGNED"};

template <typename Enum, size_t N>
bool FromName(const char* const (&names)[N], const std::string& name, Enum* value) {
  const auto it = std::find(std::begin(names), std::end(names), name);
  *value = static_cast<Enum>(it - std::begin(names));
  return it != std::end(names);
}

void WindowToProto(const Window& window, proto::Window* proto) {
  for (const WindowDim& dim : window) {
    proto::WindowDimension* out = proto->add_dimensions();
    out->set_size(dim.size);
    out->set_stride(dim.stride);
    out->set_padding_low(dim.pad_low);
    out->set_padding_high(dim.pad_high);
    out->set_window_dilation(dim.window_dilation);
    out->set_base_dilation(dim.base_dilation);
    out->set_window_reversal(dim.reversal);
  }
}

Window WindowFromProto(const proto::Window& proto) {
  Window window;
  for (const proto::WindowDimension& dim : proto.dimensions()) {
    window.push_back({dim.size(), dim.stride(), dim.padding_low(), dim.padding_high(),
                      dim.window_dilation(), dim.base_dilation(), dim.window_reversal()});
  }
  return window;
}

void ConvToProto(const ConvDims& dims, proto::ConvolutionDimensionNumbers* proto) {
  proto->set_input_batch_dimension(dims.input_batch);
  proto->set_input_feature_dimension(dims.input_feature);
  Put(dims.input_spatial, proto->mutable_input_spatial_dimensions());
  proto->set_kernel_input_feature_dimension(dims.kernel_input_feature);
  proto->set_kernel_output_feature_dimension(dims.kernel_output_feature);
  Put(dims.kernel_spatial, proto->mutable_kernel_spatial_dimensions());
  proto->set_output_batch_dimension(dims.output_batch);
  proto->set_output_feature_dimension(dims.output_feature);
  Put(dims.output_spatial, proto->mutable_output_spatial_dimensions());
}

ConvDims ConvFromProto(const proto::ConvolutionDimensionNumbers& proto) {
  ConvDims dims;
  dims.input_batch = proto.input_batch_dimension();
  dims.input_feature = proto.input_feature_dimension();
  dims.input_spatial = Take(proto.input_spatial_dimensions());
  dims.kernel_input_feature = proto.kernel_input_feature_dimension();
  dims.kernel_output_feature = proto.kernel_output_feature_dimension();
  dims.kernel_spatial = Take(proto.kernel_spatial_dimensions());
  dims.output_batch = proto.output_batch_dimension();
  dims.output_feature = proto.output_feature_dimension();
  dims.output_spatial = Take(proto.output_spatial_dimensions());
  return dims;
}

void GatherToProto(const GatherDims& dims, proto::GatherDimensionNumbers* proto) {
  Put(dims.offset_dims, proto->mutable_offset_dims());
  Put(dims.collapsed_slice_dims, proto->mutable_collapsed_slice_dims());
  Put(dims.start_index_map, proto->mutable_start_index_map());
  proto->set_index_vector_dim(dims.index_vector_dim);
  Put(dims.operand_batching_dims, proto->mutable_operand_batching_dims());
  Put(dims.start_indices_batching_dims, proto->mutable_start_indices_batching_dims());
}

GatherDims GatherFromProto(const proto::GatherDimensionNumbers& proto) {
  return {Take(proto.offset_dims()),           Take(proto.collapsed_slice_dims()),
          Take(proto.start_index_map()),       proto.index_vector_dim(),
          Take(proto.operand_batching_dims()), Take(proto.start_indices_batching_dims())};
}

void ScatterToProto(const ScatterDims& dims, proto::ScatterDimensionNumbers* proto) {
  Put(dims.update_window_dims, proto->mutable_update_window_dims());
  Put(dims.inserted_window_dims, proto->mutable_inserted_window_dims());
  Put(dims.scatter_dims_to_operand_dims, proto->mutable_scatter_dims_to_operand_dims());
  proto->set_index_vector_dim(dims.index_vector_dim);
  Put(dims.input_batching_dims, proto->mutable_input_batching_dims());
  Put(dims.scatter_indices_batching_dims, proto->mutable_scatter_indices_batching_dims());
}

ScatterDims ScatterFromProto(const proto::ScatterDimensionNumbers& proto) {
  return {Take(proto.update_window_dims()),           Take(proto.inserted_window_dims()),
          Take(proto.scatter_dims_to_operand_dims()), proto.index_vector_dim(),
          Take(proto.input_batching_dims()),          Take(proto.scatter_indices_batching_dims())};
}

}  // namespace

void AttributesToProto(const Instruction& instruction, proto::HloInstructionProto* proto) {
  const Attributes& a = instruction;
  const Opcode opcode = instruction.opcode();
  Put(a.dimensions, proto->mutable_dimensions());
  for (size_t i = 0; i < a.slice_starts.size(); ++i) {
    auto* slice = proto->add_slice_dimensions();
    slice->set_start(a.slice_starts[i]);
    slice->set_limit(a.slice_limits[i]);
    slice->set_stride(a.slice_strides[i]);
  }
  if (opcode == Opcode::kGather) {
    Put(a.slice_sizes, proto->mutable_gather_slice_sizes());
    GatherToProto(a.gather_dims, proto->mutable_gather_dimension_numbers());
  } else {
    Put(a.slice_sizes, proto->mutable_dynamic_slice_sizes());
  }
  if (opcode == Opcode::kScatter) {
    ScatterToProto(a.scatter_dims, proto->mutable_scatter_dimension_numbers());
  }
  for (const PaddingDim& pad : a.padding) {
    auto* dim = proto->mutable_padding_config()->add_dimensions();
    dim->set_edge_padding_low(pad.low);
    dim->set_edge_padding_high(pad.high);
    dim->set_interior_padding(pad.interior);
  }
  if (!a.window.empty()) WindowToProto(a.window, proto->mutable_window());
  if (opcode == Opcode::kConvolution) {
    ConvToProto(a.conv_dims, proto->mutable_convolution_dimension_numbers());
    proto->set_feature_group_count(a.feature_group_count);
    proto->set_batch_group_count(a.batch_group_count);
  }
  if (opcode == Opcode::kDot) {
    proto::DotDimensionNumbers* dot = proto->mutable_dot_dimension_numbers();
    Put(a.dot_dims.lhs_contracting, dot->mutable_lhs_contracting_dimensions());
    Put(a.dot_dims.rhs_contracting, dot->mutable_rhs_contracting_dimensions());
    Put(a.dot_dims.lhs_batch, dot->mutable_lhs_batch_dimensions());
    Put(a.dot_dims.rhs_batch, dot->mutable_rhs_batch_dimensions());
  }
  if (opcode == Opcode::kCompare) {
    proto->set_comparison_direction(kDirections[static_cast<size_t>(a.comparison_direction)]);
    proto->set_comparison_type(kTypes[static_cast<size_t>(a.comparison_type)]);
  }
  if (opcode == Opcode::kTopK) {
    proto->set_k(a.k);
    proto->set_largest(a.largest);
  }
  proto->set_indices_are_sorted(a.indices_are_sorted);
  proto->set_unique_indices(a.unique_indices);
  proto->set_parameter_number(a.parameter_number);
  proto->set_tuple_index(a.tuple_index);
  proto->set_is_stable(a.is_stable);
  proto->set_exponent_bits(a.exponent_bits);
  proto->set_mantissa_bits(a.mantissa_bits);
  proto->set_epsilon(a.epsilon);
  proto->set_feature_index(a.feature_index);
  proto->set_distribution(static_cast<proto::RandomDistribution>(a.distribution));
  proto->set_rng_algorithm(static_cast<proto::RandomAlgorithm>(a.rng_algorithm));
  proto->set_custom_call_target(a.custom_call_target);
  proto->set_custom_call_has_side_effect(a.custom_call_has_side_effect);
  proto->set_custom_call_api_version(
      static_cast<proto::CustomCallApiVersion>(a.custom_call_api_version));
  proto->set_fusion_kind(a.fusion_kind);
  proto->set_backend_config(a.backend_config);
  for (Precision precision : a.operand_precision) {
    proto->mutable_precision_config()->add_operand_precision(
        static_cast<proto::PrecisionConfig::Precision>(precision));
  }
  if (!a.metadata.empty()) {
    proto::OpMetadata* metadata = proto->mutable_metadata();
    metadata->set_op_type(a.metadata.op_type);
    metadata->set_op_name(a.metadata.op_name);
    metadata->set_source_file(a.metadata.source_file);
    metadata->set_source_line(a.metadata.source_line);
  }
  for (const auto& [key, value] : a.frontend_attributes) {
    (*proto->mutable_frontend_attributes()->mutable_map())[key] = value;
  }
}

absl::Status AttributesFromProto(const proto::HloInstructionProto& proto,
                                 Instruction* instruction) {
  Attributes& a = *instruction;
  a.dimensions = Take(proto.dimensions());
  for (const auto& slice : proto.slice_dimensions()) {
    a.slice_starts.push_back(slice.start());
    a.slice_limits.push_back(slice.limit());
    a.slice_strides.push_back(slice.stride());
  }
  const bool is_gather = instruction->opcode() == Opcode::kGather;
  a.slice_sizes = Take(is_gather ? proto.gather_slice_sizes() : proto.dynamic_slice_sizes());
  a.gather_dims = GatherFromProto(proto.gather_dimension_numbers());
  a.scatter_dims = ScatterFromProto(proto.scatter_dimension_numbers());
  for (const auto& pad : proto.padding_config().dimensions()) {
    a.padding.push_back({pad.edge_padding_low(), pad.edge_padding_high(), pad.interior_padding()});
  }
  a.window = WindowFromProto(proto.window());
  a.conv_dims = ConvFromProto(proto.convolution_dimension_numbers());
  if (proto.feature_group_count() != 0) a.feature_group_count = proto.feature_group_count();
  if (proto.batch_group_count() != 0) a.batch_group_count = proto.batch_group_count();
  const proto::DotDimensionNumbers& dot = proto.dot_dimension_numbers();
  a.dot_dims = {Take(dot.lhs_contracting_dimensions()), Take(dot.rhs_contracting_dimensions()),
                Take(dot.lhs_batch_dimensions()), Take(dot.rhs_batch_dimensions())};
  if (instruction->opcode() == Opcode::kCompare) {
    if (!FromName(kDirections, proto.comparison_direction(), &a.comparison_direction) ||
        !FromName(kTypes, proto.comparison_type(), &a.comparison_type)) {
      return absl::InvalidArgumentError(absl::StrCat("unknown comparison \"",
                                                     proto.comparison_direction(), "\" of type \"",
                                                     proto.comparison_type(), "\""));
    }
  }
  if (instruction->opcode() == Opcode::kTopK) {
    a.k = proto.k();
    a.largest = proto.largest();
  }
  a.indices_are_sorted = proto.indices_are_sorted();
  a.unique_indices = proto.unique_indices();
  a.tuple_index = proto.tuple_index();
  a.is_stable = proto.is_stable();
  a.exponent_bits = proto.exponent_bits();
  a.mantissa_bits = proto.mantissa_bits();
  a.epsilon = proto.epsilon();
  a.feature_index = proto.feature_index();
  if (!proto::RandomDistribution_IsValid(proto.distribution()) ||
      !proto::RandomAlgorithm_IsValid(proto.rng_algorithm())) {
    return absl::InvalidArgumentError("unknown random distribution or algorithm");
  }
  a.distribution = static_cast<RandomDistribution>(proto.distribution());
  a.rng_algorithm = static_cast<RandomAlgorithm>(proto.rng_algorithm());
  a.custom_call_target = proto.custom_call_target();
  a.custom_call_has_side_effect = proto.custom_call_has_side_effect();
  a.custom_call_api_version = proto.custom_call_api_version();
  a.fusion_kind = proto.fusion_kind();
  a.backend_config = proto.backend_config();
  for (int precision : proto.precision_config().operand_precision()) {
    if (!proto::PrecisionConfig::Precision_IsValid(precision)) {
      return absl::InvalidArgumentError(absl::StrCat("unknown operand precision ", precision));
    }
    a.operand_precision.push_back(static_cast<Precision>(precision));
  }
  a.metadata.op_type = proto.metadata().op_type();
  a.metadata.op_name = proto.metadata().op_name();
  a.metadata.source_file = proto.metadata().source_file();
  a.metadata.source_line = proto.metadata().source_line();
  for (const auto& [key, value] : proto.frontend_attributes().map()) {
    a.frontend_attributes[key] = value;
  }
  return absl::OkStatus();
}

}  // namespace glia::hlo
