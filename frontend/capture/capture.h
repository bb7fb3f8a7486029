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
#include <c10/util/Optional.h>

#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "absl/status/status.h"
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

// A frame of the TorchScript program. `file` is empty where it knows none.
struct SourceFrame {
  std::string function;
  std::string file;
  int64_t line = 0;
};

// An operator that the traced program called itself: aten::linear, not the aten::addmm within.
struct TracedCall {
  std::string op;                      // without its overload, "aten::linear"
  std::vector<SourceFrame> callstack;  // innermost first; empty outside of TorchScript
  std::string source;                  // "model.py:12 in forward", or ""
  std::string text;                    // as TorchScript prints a graph of it; see print_calls
  std::vector<NodePtr> nodes;          // what was recorded for it
  std::string refused;                 // operator and reason, when it could not be recorded
};

// What a trace takes.
struct TracePolicy {
  // Why the kOp `node` cannot be part of the graph, or OK. Absent: everything can.
  std::function<absl::Status(const Node&)> check;
  // Whether to go on after an operator whose result the host must know: it then runs on the example
  // inputs, and what it gives is a constant of the trace. Otherwise it is an error.
  bool run_on_examples = false;
  // Whether to fill TracedCall::text.
  bool print_calls = false;
};

// Records on this thread from AddInput to Finish. Meanwhile an operator that the policy's check
// refuses, one whose result's shape depends on data (nonzero, …), a copy to the CPU and a write to
// a CPU tensor are errors (c10::Error) that name the operator, its schema and, in TorchScript, the
// source line. A value that the program asks for (item(), a tensor that decides an `if`) is that of
// the example inputs, with a warning when it depends on them. CPU tensors that meet the device
// become inputs with `host` data, xla tensors that existed before inputs with `data`. Tensors made
// in a scope are of no use outside it. Scopes do not nest.
class TraceScope {
 public:
  explicit TraceScope(TracePolicy policy);
  ~TraceScope();
  TraceScope(const TraceScope&) = delete;
  TraceScope& operator=(const TraceScope&) = delete;

  // The xla tensor to pass to the model in place of `example`, of its sizes, strides and dtype.
  at::Tensor AddInput(const at::Tensor& example);

  // The input of the graph that holds the contents of an xla tensor; null when the program wrote it.
  const Node* InputOf(const at::Tensor& tensor) const;

  // Where the contents of an xla tensor were last written, "model.py:12 in forward" ("" where that
  // is not known), if they are no longer what they were when it was first asked about.
  c10::optional<std::string> Changed(const at::Tensor& tensor);

  // The graph that computes `outputs`: output i has outputs[i].sizes(), row-major. An output that
  // is a CPU tensor is an error: it does not depend on the device.
  std::shared_ptr<Graph> Finish(const std::vector<at::Tensor>& outputs);

  // Whether the program drew random numbers. The graph then has a further parameter, the last: a
  // seed, i64[].
  bool has_seed() const;

  // The operators that the program called, in order.
  std::vector<TracedCall> TakeCalls();

 private:
  struct Impl;
  std::unique_ptr<Impl> impl_;
};

}  // namespace glia::capture

#endif  // GLIA_FRONTEND_CAPTURE_CAPTURE_H_
