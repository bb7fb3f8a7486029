#include "frontend/lowering/testing/evaluator_backend.h"

#include <ATen/ops/empty.h>

#include <cstring>
#include <utility>

#include "frontend/lowering/lowering.h"
#include "frontend/lowering/testing/literals.h"
#include "serialization/hlo/evaluator.h"
#include "serialization/hlo/verifier.h"

namespace glia::lowering::testing {
namespace {

using capture::DeviceData;
using capture::TensorMeta;

class LiteralData : public DeviceData {
 public:
  LiteralData(TensorMeta meta, hlo::Literal literal)
      : DeviceData(std::move(meta)), literal_(std::move(literal)) {}
  bool Ready() const override { return true; }
  absl::Status Wait() override { return absl::OkStatus(); }
  const hlo::Literal& literal() const { return literal_; }

 private:
  hlo::Literal literal_;
};

}  // namespace

absl::StatusOr<std::shared_ptr<DeviceData>> EvaluatorBackend::ToDevice(const void* bytes,
                                                                       const TensorMeta& meta) {
  const at::Tensor t = at::empty(meta.sizes, at::TensorOptions().dtype(meta.dtype));
  if (t.nbytes() > 0) std::memcpy(t.data_ptr(), bytes, t.nbytes());
  return std::make_shared<LiteralData>(meta, ToLiteral(t));
}

absl::Status EvaluatorBackend::ToHost(DeviceData& data, void* dst) {
  const at::Tensor t = ToTensor(static_cast<LiteralData&>(data).literal(), data.meta().dtype);
  if (t.nbytes() > 0) std::memcpy(dst, t.data_ptr(), t.nbytes());
  return absl::OkStatus();
}

absl::StatusOr<std::vector<std::shared_ptr<DeviceData>>> EvaluatorBackend::Execute(
    std::shared_ptr<const capture::Graph> graph) {
  auto module = Lower(*graph);
  if (!module.ok()) return module.status();
  const absl::Status valid = hlo::Verify(**module);
  if (!valid.ok()) return valid;
  std::vector<hlo::Literal> inputs;
  for (const capture::NodePtr& input : graph->inputs) {
    inputs.push_back(input->host.defined() ? ToLiteral(input->host)
                                           : static_cast<LiteralData&>(*input->data).literal());
  }
  auto result = hlo::Evaluate(**module, inputs);
  if (!result.ok()) return result.status();
  std::vector<std::shared_ptr<DeviceData>> outputs;
  for (size_t i = 0; i < graph->outputs.size(); ++i) {
    TensorMeta meta = graph->outputs[i].meta();
    meta.strides = capture::ContiguousStrides(meta.sizes);
    meta.storage_offset = 0;
    outputs.push_back(std::make_shared<LiteralData>(std::move(meta), result->tuple()[i]));
  }
  return outputs;
}

bool EvaluatorBackend::Supports(const capture::Node& node) { return Supported(node); }

void InstallEvaluatorBackend() { capture::SetBackend(std::make_shared<EvaluatorBackend>()); }

}  // namespace glia::lowering::testing
