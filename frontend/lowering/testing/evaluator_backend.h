// A lazy device without a compiler: graphs are lowered to HLO and run by the HLO evaluator. What a
// program gives on it differs from eager PyTorch only by a mistake in capture or lowering, or by
// rounding.
#ifndef GLIA_FRONTEND_LOWERING_TESTING_EVALUATOR_BACKEND_H_
#define GLIA_FRONTEND_LOWERING_TESTING_EVALUATOR_BACKEND_H_

#include <memory>
#include <vector>

#include "frontend/capture/backend.h"
#include "serialization/hlo/ir.h"

namespace glia::lowering::testing {

// Thread-safe: it keeps nothing.
class EvaluatorBackend : public capture::Backend {
 public:
  absl::StatusOr<std::shared_ptr<capture::DeviceData>> ToDevice(
      const void* bytes, const capture::TensorMeta& meta) override;
  absl::Status ToHost(capture::DeviceData& data, void* dst) override;
  absl::StatusOr<std::vector<std::shared_ptr<capture::DeviceData>>> Execute(
      std::shared_ptr<const capture::Graph> graph) override;
  bool Supports(const capture::Node& node) override;
};

// Makes an EvaluatorBackend the backend of the process.
void InstallEvaluatorBackend();

}  // namespace glia::lowering::testing

#endif  // GLIA_FRONTEND_LOWERING_TESTING_EVALUATOR_BACKEND_H_
