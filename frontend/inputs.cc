#include "frontend/inputs.h"

#include <ATen/Functions.h>

#include <memory>
#include <string>
#include <utility>

#include "frontend/capture/backend.h"
#include "runtime/torch/tensor_spec.h"

namespace glia {

at::Tensor HostInput(const capture::Node& input) {
  at::Tensor host = input.host;
  if (!host.defined()) {
    const capture::TensorMeta& meta = input.data->meta();
    host = at::empty(meta.sizes, at::TensorOptions(meta.dtype).device(at::kCPU));
    const absl::Status status = capture::GetBackend()->ToHost(*input.data, host.data_ptr());
    TORCH_CHECK(status.ok(), "reading a tensor from the xla device: ",
                std::string(status.message()));
  }
  return host.to(neuron::DeviceDtype(host.scalar_type())).contiguous();
}

hlo::Literal ShareAsLiteral(const at::Tensor& tensor, const hlo::Shape& shape) {
  TORCH_INTERNAL_ASSERT(static_cast<int64_t>(tensor.nbytes()) == shape.bytes());
  auto owner = std::make_shared<at::Tensor>(tensor);
  const void* data = tensor.data_ptr();
  return hlo::Literal::View(shape, data, std::shared_ptr<const void>(std::move(owner), data));
}

void InlineParameters(hlo::Module* module, int64_t first, absl::Span<const at::Tensor> values) {
  hlo::Computation* entry = module->entry();
  for (size_t i = 0; i < values.size(); ++i) {
    hlo::Instruction* parameter = entry->parameter(first + static_cast<int64_t>(i));
    parameter->ReplaceAllUsesWith(
        entry->AddConstant(ShareAsLiteral(values[i], parameter->shape)));
  }
  for (size_t i = values.size(); i-- > 0;) {
    entry->Remove(entry->parameter(first + static_cast<int64_t>(i)));
  }
  entry->Sort();
}

}  // namespace glia
