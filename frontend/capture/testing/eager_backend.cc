#include "frontend/capture/testing/eager_backend.h"

#include <ATen/ops/empty.h>

#include <cstring>
#include <exception>

#include "frontend/capture/evaluate.h"
#include "frontend/capture/sync.h"

namespace glia::capture::testing {
namespace {

class EagerData : public DeviceData {
 public:
  EagerData(TensorMeta meta, at::Tensor tensor)
      : DeviceData(std::move(meta)), tensor_(std::move(tensor)) {}
  bool Ready() const override { return true; }
  absl::Status Wait() override { return absl::OkStatus(); }
  const at::Tensor& tensor() const { return tensor_; }

 private:
  at::Tensor tensor_;
};

std::shared_ptr<EagerData> MakeData(const at::Tensor& t) {
  TensorMeta meta;
  meta.sizes = t.sizes().vec();
  meta.strides = ContiguousStrides(meta.sizes);
  meta.dtype = t.scalar_type();
  return std::make_shared<EagerData>(std::move(meta), t.contiguous());
}

}  // namespace

std::vector<at::Tensor> EvaluateGraph(const Graph& graph,
                                      const std::vector<at::Tensor>& parameters) {
  std::vector<at::Tensor> outputs;
  for (const at::Tensor& t : Evaluator(&parameters).Evaluate(graph)) {
    outputs.push_back(t.clone(at::MemoryFormat::Contiguous));
  }
  return outputs;
}

absl::StatusOr<std::shared_ptr<DeviceData>> EagerBackend::ToDevice(const void* bytes,
                                                                   const TensorMeta& meta) {
  CpuCallGuard guard;
  at::Tensor t = at::empty(meta.sizes, at::TensorOptions().dtype(meta.dtype));
  if (meta.nbytes() > 0) std::memcpy(t.data_ptr(), bytes, static_cast<size_t>(meta.nbytes()));
  return std::shared_ptr<DeviceData>(MakeData(t));
}

absl::Status EagerBackend::ToHost(DeviceData& data, void* dst) {
  const at::Tensor& t = static_cast<EagerData&>(data).tensor();
  if (t.nbytes() > 0) std::memcpy(dst, t.data_ptr(), t.nbytes());
  return absl::OkStatus();
}

absl::StatusOr<std::vector<std::shared_ptr<DeviceData>>> EagerBackend::Execute(
    std::shared_ptr<const Graph> graph) {
  {
    std::lock_guard<std::mutex> lock(mutex_);
    graphs_.push_back(graph);
    if (!failure_.empty()) return absl::InternalError(std::exchange(failure_, ""));
  }
  try {
    std::vector<std::shared_ptr<DeviceData>> results;
    for (const at::Tensor& t : EvaluateGraph(*graph)) results.push_back(MakeData(t));
    return results;
  } catch (const c10::Error& e) {
    return absl::InternalError(e.what_without_backtrace());
  } catch (const std::exception& e) {
    return absl::InternalError(e.what());
  }
}

bool EagerBackend::Supports(const Node& node) {
  std::lock_guard<std::mutex> lock(mutex_);
  return refused_.count(node.op()->name) == 0;
}

void EagerBackend::Refuse(std::set<std::string> names) {
  {
    std::lock_guard<std::mutex> lock(mutex_);
    refused_ = std::move(names);
  }
  SetBackend(GetBackend());
}

void EagerBackend::FailNext(std::string message) {
  std::lock_guard<std::mutex> lock(mutex_);
  failure_ = std::move(message);
}

std::vector<std::shared_ptr<const Graph>> EagerBackend::TakeGraphs() {
  std::lock_guard<std::mutex> lock(mutex_);
  return std::exchange(graphs_, {});
}

std::shared_ptr<EagerBackend> InstallEagerBackend() {
  auto backend = std::make_shared<EagerBackend>();
  SetBackend(backend);
  return backend;
}

}  // namespace glia::capture::testing
