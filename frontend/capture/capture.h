// The `xla` device of this process: operators on its tensors are recorded, not run.
//
// Lazy recording is always on. Values stay pending until MarkStep, SyncTensors or an operation that
// needs their contents (item(), printing, .cpu(), a boolean index, an operator the backend does not
// support) runs them through the installed Backend. A TraceScope instead records, on the thread
// that opened it, what leads from example inputs to outputs, and runs nothing.
//
// Threads may record at once. A tensor may not be written by one thread while another uses it, as
// in eager PyTorch.
#ifndef GLIA_FRONTEND_CAPTURE_CAPTURE_H_
#define GLIA_FRONTEND_CAPTURE_CAPTURE_H_

#include <ATen/core/Tensor.h>

#include <functional>
#include <memory>
#include <vector>

#include "frontend/capture/backend.h"
#include "frontend/capture/graph.h"

namespace glia::capture {

// torch::Device("xla:0").
at::Device XlaDevice();

// Runs the pending values of all live storages on the device, of all threads, as one graph. Throws
// c10::Error when the backend fails; the values then stay pending.
void MarkStep();

// Runs what the tensors need and no more; their values are then device data. Tensors that are not
// on the device are ignored.
void SyncTensors(const std::vector<at::Tensor>& tensors);

// The graph that SyncTensors would run, without running it.
std::shared_ptr<const Graph> PendingGraph(const std::vector<at::Tensor>& tensors);

// The device buffer behind a tensor that fills its storage, after SyncTensors({tensor}).
std::shared_ptr<DeviceData> GetDeviceData(const at::Tensor& tensor);
// An xla tensor over an existing device buffer, row-major.
at::Tensor TensorFromDeviceData(std::shared_ptr<DeviceData> data);

// Waits until the device has computed every value that was executed so far.
void WaitDeviceOps();

// Records on this thread from AddInput to Finish. Meanwhile an operator that `supports` refuses,
// one whose result the host must know (item, nonzero, …), and a write to a CPU tensor are errors
// (c10::Error) that name the operator, its schema and, in TorchScript, the source line. CPU tensors
// that meet the device become inputs with `host` data, xla tensors that existed before inputs with
// `data`. Tensors made in a scope are of no use outside it. Scopes do not nest.
class TraceScope {
 public:
  explicit TraceScope(std::function<bool(const Node&)> supports);
  ~TraceScope();
  TraceScope(const TraceScope&) = delete;
  TraceScope& operator=(const TraceScope&) = delete;

  // The xla tensor to pass to the model in place of `example`, of its sizes, strides and dtype.
  at::Tensor AddInput(const at::Tensor& example);

  // The graph that computes `outputs`: output i has outputs[i].sizes(), row-major. An output that
  // is a CPU tensor is an error: it does not depend on the device.
  std::shared_ptr<Graph> Finish(const std::vector<at::Tensor>& outputs);

 private:
  struct Impl;
  std::unique_ptr<Impl> impl_;
};

}  // namespace glia::capture

#endif  // GLIA_FRONTEND_CAPTURE_CAPTURE_H_
