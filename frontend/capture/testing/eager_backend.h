// A backend for tests: runs graphs node by node with libtorch's CPU operators. What a program gives
// on it can differ from plain eager PyTorch only by a mistake in capture.
#ifndef GLIA_FRONTEND_CAPTURE_TESTING_EAGER_BACKEND_H_
#define GLIA_FRONTEND_CAPTURE_TESTING_EAGER_BACKEND_H_

#include <memory>
#include <mutex>
#include <set>
#include <string>
#include <vector>

#include "frontend/capture/backend.h"

namespace glia::capture::testing {

// The values of graph.outputs, contiguous. `parameters` are the inputs of a trace.
std::vector<at::Tensor> EvaluateGraph(const Graph& graph,
                                      const std::vector<at::Tensor>& parameters = {});

class EagerBackend : public Backend {
 public:
  absl::StatusOr<std::shared_ptr<DeviceData>> ToDevice(const void* bytes,
                                                       const TensorMeta& meta) override;
  absl::Status ToHost(DeviceData& data, void* dst) override;
  absl::StatusOr<std::vector<std::shared_ptr<DeviceData>>> Execute(
      std::shared_ptr<const Graph> graph) override;
  bool Supports(const Node& node) override;

  // Operators ("aten::relu") to be refused from now on; forgets earlier answers.
  void Refuse(std::set<std::string> names);
  // The next Execute fails with this message.
  void FailNext(std::string message);
  std::vector<std::shared_ptr<const Graph>> TakeGraphs();

 private:
  std::mutex mutex_;
  std::set<std::string> refused_;
  std::string failure_;
  std::vector<std::shared_ptr<const Graph>> graphs_;
};

// Makes a new EagerBackend the backend of the process.
std::shared_ptr<EagerBackend> InstallEagerBackend();

}  // namespace glia::capture::testing

#endif  // GLIA_FRONTEND_CAPTURE_TESTING_EAGER_BACKEND_H_
