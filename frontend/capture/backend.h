// What capture needs from whoever executes its graphs. frontend:lazy installs the compiler and the
// runtime behind it; capture's own tests install an eager CPU evaluator (testing/).
#ifndef GLIA_FRONTEND_CAPTURE_BACKEND_H_
#define GLIA_FRONTEND_CAPTURE_BACKEND_H_

#include <atomic>
#include <memory>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "frontend/capture/graph.h"

namespace glia::capture {

// An immutable device buffer: a row-major array of meta().sizes (meta().strides are row-major). It
// may still be being computed. Freed with the last reference.
class DeviceData {
 public:
  explicit DeviceData(TensorMeta meta) : meta_(std::move(meta)) {}
  virtual ~DeviceData() = default;
  const TensorMeta& meta() const { return meta_; }
  // Whether the contents are there, or the computation failed.
  virtual bool Ready() const = 0;
  // Blocks until then; the error of the computation that should have produced it.
  virtual absl::Status Wait() = 0;

  // Whether it is or was what a parameter or buffer of a module holds, as far as the module was
  // moved to the device: what is likely to stay the same from step to step.
  bool parameter() const { return parameter_.load(std::memory_order_relaxed); }
  void NoteParameter() { parameter_.store(true, std::memory_order_relaxed); }

 private:
  const TensorMeta meta_;
  std::atomic<bool> parameter_{false};
};

// Thread-safe. Errors become c10::Error at the torch boundary.
class Backend {
 public:
  virtual ~Backend() = default;

  // Copies meta.nbytes() bytes, row-major, to the device before it returns.
  virtual absl::StatusOr<std::shared_ptr<DeviceData>> ToDevice(const void* bytes,
                                                               const TensorMeta& meta) = 0;
  // Waits for `data` and copies it, row-major, to `dst` (data.meta().nbytes() bytes).
  virtual absl::Status ToHost(DeviceData& data, void* dst) = 0;
  // Runs the graph: one DeviceData per graph.outputs, of that output's sizes and dtype. May return
  // before the device has finished. Inputs carry `data` (or, rarely, `host`), never a trace
  // parameter. On an error the program's tensors keep their pending values and the call can be
  // repeated.
  virtual absl::StatusOr<std::vector<std::shared_ptr<DeviceData>>> Execute(
      std::shared_ptr<const Graph> graph) = 0;
  // Whether the kOp `node` can be part of a graph, by operator, attributes, operand and output
  // metas (operands' own nodes are not to be looked at). The answer is remembered for nodes of
  // equal hash, until ForgetSupport. Never asked, because always needed: aten::full and aten::_to_copy (of which only
  // dtype counts), the kinds other than kOp, and, where a program uses lazy conjugation or negation
  // of complex tensors, aten::conj_physical and aten::neg.
  virtual bool Supports(const Node& node) = 0;
};

// Replaces the backend of this process. Data on the previous one must not be used any more.
void SetBackend(std::shared_ptr<Backend> backend);
// Throws c10::Error when there is none.
std::shared_ptr<Backend> GetBackend();

// The backend is asked again what it supports.
void ForgetSupport();

}  // namespace glia::capture

#endif  // GLIA_FRONTEND_CAPTURE_BACKEND_H_
