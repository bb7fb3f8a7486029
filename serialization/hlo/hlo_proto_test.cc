// The wire format is XLA's: numbers and types as in xla/service/hlo.proto and xla/xla_data.proto.

#include "gtest/gtest.h"
#include "serialization/hlo/hlo.pb.h"

namespace glia::hlo {
namespace {

using Type = google::protobuf::FieldDescriptor::Type;

constexpr Type kInt64 = google::protobuf::FieldDescriptor::TYPE_INT64;
constexpr Type kInt32 = google::protobuf::FieldDescriptor::TYPE_INT32;
constexpr Type kBool = google::protobuf::FieldDescriptor::TYPE_BOOL;
constexpr Type kString = google::protobuf::FieldDescriptor::TYPE_STRING;
constexpr Type kBytes = google::protobuf::FieldDescriptor::TYPE_BYTES;
constexpr Type kMessage = google::protobuf::FieldDescriptor::TYPE_MESSAGE;
constexpr Type kEnum = google::protobuf::FieldDescriptor::TYPE_ENUM;
constexpr Type kFloat = google::protobuf::FieldDescriptor::TYPE_FLOAT;

struct Field {
  const char* message;
  const char* name;
  int number;
  Type type;
};

const Field kFields[] = {
    {"HloModuleProto", "name", 1, kString},
    {"HloModuleProto", "entry_computation_name", 2, kString},
    {"HloModuleProto", "computations", 3, kMessage},
    {"HloModuleProto", "host_program_shape", 4, kMessage},
    {"HloModuleProto", "id", 5, kInt64},
    {"HloModuleProto", "entry_computation_id", 6, kInt64},
    {"HloModuleProto", "input_output_alias", 8, kMessage},
    {"HloModuleProto", "frontend_attributes", 19, kMessage},
    {"HloComputationProto", "name", 1, kString},
    {"HloComputationProto", "instructions", 2, kMessage},
    {"HloComputationProto", "program_shape", 4, kMessage},
    {"HloComputationProto", "id", 5, kInt64},
    {"HloComputationProto", "root_id", 6, kInt64},
    {"HloInstructionProto", "name", 1, kString},
    {"HloInstructionProto", "opcode", 2, kString},
    {"HloInstructionProto", "shape", 3, kMessage},
    {"HloInstructionProto", "metadata", 7, kMessage},
    {"HloInstructionProto", "literal", 8, kMessage},
    {"HloInstructionProto", "parameter_number", 9, kInt64},
    {"HloInstructionProto", "fusion_kind", 11, kString},
    {"HloInstructionProto", "tuple_index", 13, kInt64},
    {"HloInstructionProto", "dimensions", 14, kInt64},
    {"HloInstructionProto", "window", 15, kMessage},
    {"HloInstructionProto", "convolution_dimension_numbers", 16, kMessage},
    {"HloInstructionProto", "slice_dimensions", 17, kMessage},
    {"HloInstructionProto", "exponent_bits", 18, kInt32},
    {"HloInstructionProto", "mantissa_bits", 19, kInt32},
    {"HloInstructionProto", "dynamic_slice_sizes", 20, kInt64},
    {"HloInstructionProto", "padding_config", 21, kMessage},
    {"HloInstructionProto", "distribution", 23, kEnum},
    {"HloInstructionProto", "epsilon", 24, kFloat},
    {"HloInstructionProto", "feature_index", 25, kInt64},
    {"HloInstructionProto", "custom_call_target", 28, kString},
    {"HloInstructionProto", "dot_dimension_numbers", 30, kMessage},
    {"HloInstructionProto", "gather_dimension_numbers", 33, kMessage},
    {"HloInstructionProto", "gather_slice_sizes", 34, kInt64},
    {"HloInstructionProto", "id", 35, kInt64},
    {"HloInstructionProto", "operand_ids", 36, kInt64},
    {"HloInstructionProto", "called_computation_ids", 38, kInt64},
    {"HloInstructionProto", "backend_config", 43, kBytes},
    {"HloInstructionProto", "scatter_dimension_numbers", 48, kMessage},
    {"HloInstructionProto", "feature_group_count", 50, kInt64},
    {"HloInstructionProto", "precision_config", 51, kMessage},
    {"HloInstructionProto", "batch_group_count", 58, kInt64},
    {"HloInstructionProto", "is_stable", 60, kBool},
    {"HloInstructionProto", "comparison_direction", 63, kString},
    {"HloInstructionProto", "custom_call_has_side_effect", 65, kBool},
    {"HloInstructionProto", "indices_are_sorted", 67, kBool},
    {"HloInstructionProto", "frontend_attributes", 68, kMessage},
    {"HloInstructionProto", "unique_indices", 69, kBool},
    {"HloInstructionProto", "rng_algorithm", 70, kEnum},
    {"HloInstructionProto", "comparison_type", 72, kString},
    {"HloInstructionProto", "custom_call_api_version", 77, kEnum},
    {"HloInstructionProto", "k", 81, kInt64},
    {"HloInstructionProto", "largest", 85, kBool},
    {"ShapeProto", "element_type", 2, kEnum},
    {"ShapeProto", "dimensions", 3, kInt64},
    {"ShapeProto", "tuple_shapes", 4, kMessage},
    {"ShapeProto", "layout", 5, kMessage},
    {"ShapeProto", "is_dynamic_dimension", 6, kBool},
    {"LayoutProto", "minor_to_major", 1, kInt64},
    {"ConvolutionDimensionNumbers", "kernel_input_feature_dimension", 3, kInt64},
    {"ConvolutionDimensionNumbers", "kernel_output_feature_dimension", 4, kInt64},
    {"ConvolutionDimensionNumbers", "kernel_spatial_dimensions", 6, kInt64},
    {"ConvolutionDimensionNumbers", "input_batch_dimension", 7, kInt64},
    {"ConvolutionDimensionNumbers", "input_feature_dimension", 8, kInt64},
    {"ConvolutionDimensionNumbers", "output_batch_dimension", 9, kInt64},
    {"ConvolutionDimensionNumbers", "output_feature_dimension", 10, kInt64},
    {"ConvolutionDimensionNumbers", "input_spatial_dimensions", 11, kInt64},
    {"ConvolutionDimensionNumbers", "output_spatial_dimensions", 12, kInt64},
    {"HloProto", "hlo_module", 1, kMessage},
};

TEST(HloProto, FieldsAreXlas) {
  const google::protobuf::FileDescriptor* file = proto::HloModuleProto::descriptor()->file();
  for (const Field& expected : kFields) {
    const auto* message = file->FindMessageTypeByName(expected.message);
    ASSERT_NE(message, nullptr) << expected.message;
    const auto* field = message->FindFieldByName(expected.name);
    ASSERT_NE(field, nullptr) << expected.message << "." << expected.name;
    EXPECT_EQ(field->number(), expected.number) << expected.message << "." << expected.name;
    EXPECT_EQ(field->type(), expected.type) << expected.message << "." << expected.name;
  }
}

}  // namespace
}  // namespace glia::hlo
