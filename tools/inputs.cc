#include "tools/inputs.h"

#include <ATen/Functions.h>

#include <stdexcept>

#include "absl/strings/match.h"
#include "runtime/torch/tensor_spec.h"
#include "tools/arguments.h"
#include "tools/npy.h"

namespace glia::tools {

std::vector<c10::IValue> ExampleInputs(const std::vector<std::string>& texts) {
  std::vector<c10::IValue> inputs;
  for (const std::string& text : texts) {
    if (absl::EndsWith(text, ".npy")) {
      inputs.emplace_back(ReadNpy(UserPath(text)));
      continue;
    }
    auto spec = neuron::ParseTensorSpec(text);
    if (!spec.ok()) throw std::runtime_error(std::string(spec.status().message()));
    inputs.emplace_back(at::zeros(spec->sizes, at::TensorOptions(spec->dtype)));
  }
  return inputs;
}

}  // namespace glia::tools
