// What an HLO instruction holds besides its opcode, shape and operands: plain values, copied as a
// whole when an instruction is cloned. Which fields an instruction uses is said beside each field;
// the others keep their defaults. Dimension numbers are XLA's
// (https://openxla.org/xla/operation_semantics).
#ifndef GLIA_SERIALIZATION_HLO_ATTRIBUTES_H_
#define GLIA_SERIALIZATION_HLO_ATTRIBUTES_H_

#include <cstdint>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "serialization/hlo/literal.h"

namespace glia::hlo {

// One dimension of a window that slides over a base area. Convolution, reduce-window,
// select-and-scatter. Negative padding removes elements.
struct WindowDim {
  int64_t size = 1;
  int64_t stride = 1;
  int64_t pad_low = 0;
  int64_t pad_high = 0;
  int64_t window_dilation = 1;
  int64_t base_dilation = 1;
  bool reversal = false;
};
using Window = std::vector<WindowDim>;

// One dimension of pad. Low and high may be negative, interior may not.
struct PaddingDim {
  int64_t low = 0;
  int64_t high = 0;
  int64_t interior = 0;
};

// Result dims of dot: batch, then the remaining lhs dims, then the remaining rhs dims.
struct DotDims {
  std::vector<int64_t> lhs_contracting;
  std::vector<int64_t> rhs_contracting;
  std::vector<int64_t> lhs_batch;
  std::vector<int64_t> rhs_batch;
};

struct ConvDims {
  int64_t input_batch = 0;
  int64_t input_feature = 0;
  std::vector<int64_t> input_spatial;
  int64_t kernel_input_feature = 0;
  int64_t kernel_output_feature = 0;
  std::vector<int64_t> kernel_spatial;
  int64_t output_batch = 0;
  int64_t output_feature = 0;
  std::vector<int64_t> output_spatial;
};

struct GatherDims {
  std::vector<int64_t> offset_dims;
  std::vector<int64_t> collapsed_slice_dims;
  std::vector<int64_t> start_index_map;
  int64_t index_vector_dim = 0;
  std::vector<int64_t> operand_batching_dims;
  std::vector<int64_t> start_indices_batching_dims;
};

struct ScatterDims {
  std::vector<int64_t> update_window_dims;
  std::vector<int64_t> inserted_window_dims;
  std::vector<int64_t> scatter_dims_to_operand_dims;
  int64_t index_vector_dim = 0;
  std::vector<int64_t> input_batching_dims;
  std::vector<int64_t> scatter_indices_batching_dims;
};

enum class ComparisonDirection : uint8_t { kEq, kNe, kGe, kGt, kLe, kLt };

// kDefault follows the operands' type (FLOAT, SIGNED, UNSIGNED); kTotalOrder orders floats
// -NaN < -inf < … < -0 < +0 < … < inf < NaN.
enum class ComparisonType : uint8_t { kDefault, kFloat, kTotalOrder, kSigned, kUnsigned };

// Numbers are the wire's.
enum class Precision : uint8_t { kDefault = 0, kHigh = 1, kHighest = 2 };
enum class RandomDistribution : uint8_t { kInvalid = 0, kUniform = 1, kNormal = 2 };
enum class RandomAlgorithm : uint8_t { kDefault = 0, kThreeFry = 1, kPhilox = 2 };

// Where an instruction came from in the user's program.
struct OpMetadata {
  std::string op_type;  // "aten::addmm"
  std::string op_name;  // "encoder/layer.0/linear"
  std::string source_file;
  int32_t source_line = 0;

  bool empty() const {
    return op_type.empty() && op_name.empty() && source_file.empty() && source_line == 0;
  }
};

struct Attributes {
  // broadcast: result dim of each operand dim. transpose: operand dim of each result dim.
  // reduce, reverse: the dims. concatenate, sort, iota: the one dim. map: 0 … rank-1.
  std::vector<int64_t> dimensions;

  std::vector<int64_t> slice_starts;   // slice, one per dim each
  std::vector<int64_t> slice_limits;   // exclusive
  std::vector<int64_t> slice_strides;  // >= 1

  std::vector<int64_t> slice_sizes;  // dynamic-slice, gather

  std::vector<PaddingDim> padding;  // pad
  Window window;  // convolution (spatial dims), reduce-window, select-and-scatter (all)

  DotDims dot_dims;
  ConvDims conv_dims;
  int64_t feature_group_count = 1;  // convolution
  int64_t batch_group_count = 1;

  GatherDims gather_dims;
  ScatterDims scatter_dims;
  bool indices_are_sorted = false;  // gather, scatter: a promise of the caller
  bool unique_indices = false;      // scatter

  ComparisonDirection comparison_direction = ComparisonDirection::kEq;
  ComparisonType comparison_type = ComparisonType::kDefault;

  int64_t parameter_number = 0;
  int64_t tuple_index = 0;  // get-tuple-element

  std::shared_ptr<const Literal> literal;  // constant

  bool is_stable = false;  // sort
  int64_t k = 0;           // topk: over the last dim, giving (values, s32 indices)
  bool largest = true;

  int32_t exponent_bits = 0;  // reduce-precision
  int32_t mantissa_bits = 0;

  float epsilon = 0;          // batch-norm-inference
  int64_t feature_index = 0;  // batch-norm-inference

  RandomDistribution distribution = RandomDistribution::kInvalid;  // rng
  RandomAlgorithm rng_algorithm = RandomAlgorithm::kDefault;       // rng-bit-generator

  std::string custom_call_target;
  bool custom_call_has_side_effect = false;
  int32_t custom_call_api_version = 0;  // the wire's number

  std::string fusion_kind;     // fusion: "kLoop", …
  std::string backend_config;  // opaque; for a custom-call also the call's own parameters

  std::vector<Precision> operand_precision;  // dot, convolution: empty, or one per operand

  OpMetadata metadata;
  std::map<std::string, std::string> frontend_attributes;
};

// An attribute of ours (key and value of frontend_attributes) of a gather: an index out of range ends
// the run with an error, as it does in PyTorch, where HLO would move it into the range.
inline constexpr char kIndicesKey[] = "glia_indices";
inline constexpr char kIndicesChecked[] = "checked";
inline bool ChecksIndices(const Attributes& a) {
  const auto it = a.frontend_attributes.find(kIndicesKey);
  return it != a.frontend_attributes.end() && it->second == kIndicesChecked;
}

}  // namespace glia::hlo

#endif  // GLIA_SERIALIZATION_HLO_ATTRIBUTES_H_
