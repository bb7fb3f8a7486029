// The text form of a tensor's type, "f32[1,784]": in a saved neuron::Model, on the command line and in
// messages.
#ifndef GLIA_RUNTIME_TORCH_TENSOR_SPEC_H_
#define GLIA_RUNTIME_TORCH_TENSOR_SPEC_H_

#include <c10/core/ScalarType.h>

#include <cstdint>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"

namespace glia::neuron {

struct TensorSpec {
  std::string name;  // may be empty
  at::ScalarType dtype = at::ScalarType::Float;
  std::vector<int64_t> sizes;
};

// The name of the input, an i64[], of a model that draws random numbers: the last one. The traced
// module's forward draws it from torch's generator at each call.
constexpr char kSeedName[] = "glia.seed";

// f32 f64 bf16 f16 i8 u8 i16 i32 i64 bool; "?" for any other.
absl::string_view DtypeName(at::ScalarType dtype);
// "x:f32[1,784]", without a name "f32[1,784]".
std::string ToString(const TensorSpec& spec);
// "[1, 784]", as PyTorch prints a shape.
std::string ShapeString(const std::vector<int64_t>& sizes);
// The reverse of ToString. s8, s32, … and PyTorch's names (float32, int64, …) are read too, as are
// spaces. Error: InvalidArgument with the text and what is expected.
absl::StatusOr<TensorSpec> ParseTensorSpec(absl::string_view text);

// The type that the device holds: f64 is computed in f32, all others as themselves.
at::ScalarType DeviceDtype(at::ScalarType dtype);

}  // namespace glia::neuron

#endif  // GLIA_RUNTIME_TORCH_TENSOR_SPEC_H_
