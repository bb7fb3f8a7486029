#include "frontend/capture/sync.h"

#include <ATen/ops/empty.h>
#include <ATen/ops/empty_strided.h>
#include <ATen/ops/zeros.h>

#include <atomic>
#include <map>
#include <utility>

#include "frontend/capture/backend.h"
#include "frontend/capture/capture.h"
#include "frontend/capture/metrics.h"
#include "frontend/capture/nodes.h"
#include "frontend/capture/trace_session.h"

namespace glia::capture {
namespace {

struct BackendSlot {
  std::mutex mutex;
  std::shared_ptr<Backend> backend;
  std::vector<std::weak_ptr<DeviceData>> running;  // results that may not be there yet
};

BackendSlot& Slot() {
  static auto* slot = new BackendSlot;
  return *slot;
}

std::atomic<uint32_t> generation{0};
std::atomic<uint64_t> step_number{0};

void Check(const absl::Status& status, const char* what) {
  TORCH_CHECK(status.ok(), what, ": ", std::string(status.message()));
}

void NoteRunning(const std::vector<std::shared_ptr<DeviceData>>& results) {
  BackendSlot& slot = Slot();
  std::lock_guard<std::mutex> lock(slot.mutex);
  auto done = [](const std::weak_ptr<DeviceData>& w) {
    auto data = w.lock();
    return !data || data->Ready();
  };
  slot.running.erase(std::remove_if(slot.running.begin(), slot.running.end(), done),
                     slot.running.end());
  for (const auto& data : results) {
    if (!data->Ready()) slot.running.push_back(data);
  }
}

at::Tensor EmptyCpu(c10::IntArrayRef sizes, c10::IntArrayRef strides, at::ScalarType dtype) {
  return at::empty_strided(sizes, strides, at::TensorOptions().dtype(dtype).device(at::kCPU));
}

// The dense array of a value that is an input or zeros.
at::Tensor FetchRowMajor(const Value& v) {
  const TensorMeta& meta = v.meta();
  const auto options = at::TensorOptions().dtype(meta.dtype).device(at::kCPU);
  if (v.node->kind == NodeKind::kZeros) return at::zeros(meta.sizes, options);
  if (v.node->host.defined()) return v.node->host.clone();
  TORCH_CHECK(
      v.node->data != nullptr,
      "an input of a trace has no value: the program depends on the contents of a tensor while "
      "it is traced");
  at::Tensor result = at::empty(meta.sizes, options);
  Check(GetBackend()->ToHost(*v.node->data, result.data_ptr()), "reading from the device failed");
  static Metric& bytes = Counter("capture.bytes_from_device");
  bytes.Add(meta.nbytes());
  return result;
}

}  // namespace

void SetBackend(std::shared_ptr<Backend> backend) {
  BackendSlot& slot = Slot();
  std::lock_guard<std::mutex> lock(slot.mutex);
  slot.backend = std::move(backend);
  generation.fetch_add(1);
}

void ForgetSupport() { generation.fetch_add(1); }

std::shared_ptr<Backend> GetBackend() {
  BackendSlot& slot = Slot();
  std::lock_guard<std::mutex> lock(slot.mutex);
  TORCH_CHECK(
      slot.backend != nullptr,
      "the xla device has nothing to run on: no backend is installed. Link //frontend:lazy");
  return slot.backend;
}

uint64_t StepNumber() { return step_number.load(std::memory_order_relaxed); }

uint32_t BackendGeneration() { return generation.load(std::memory_order_relaxed); }

Value Upload(const at::Tensor& cpu) {
  TORCH_CHECK(cpu.device().type() == at::kCPU, "tensors of device ", cpu.device(),
              " cannot be combined with those of the xla device");
  TORCH_CHECK(cpu.layout() == at::kStrided && !cpu.is_quantized(), "the xla device has no ",
              cpu.is_quantized() ? "quantized" : "sparse", " tensors (got one of sizes ",
              cpu.sizes(), "); ",
              cpu.is_quantized() ? "dequantize() it first" : "use to_dense() first");
  CpuCallGuard guard;
  at::Tensor array = cpu.resolve_conj().resolve_neg();
  TensorMeta meta;
  meta.sizes = cpu.sizes().vec();
  meta.dtype = cpu.scalar_type();
  meta.strides = ContiguousStrides(meta.sizes);
  TensorMeta storage_meta = meta;
  if (cpu.is_non_overlapping_and_dense()) storage_meta.strides = cpu.strides().vec();
  array = array.contiguous();
  if (CurrentTrace() != nullptr) {
    if (array.unsafeGetTensorImpl() == cpu.unsafeGetTensorImpl() || array.is_alias_of(cpu)) {
      array = array.clone(at::MemoryFormat::Contiguous);
    }
    return MakeHostInput(array.detach(), std::move(storage_meta));
  }
  auto data = GetBackend()->ToDevice(array.data_ptr(), meta);
  Check(data.status(), "copying a tensor to the device failed");
  static Metric& bytes = Counter("capture.bytes_to_device");
  bytes.Add(meta.nbytes());
  return MakeDataInput(*std::move(data), std::move(storage_meta));
}

void Execute(const std::vector<StorageStatePtr>& storages) {
  struct Job {
    StorageState* storage;
    Contents contents;
    size_t output;
  };
  std::vector<Job> jobs;
  std::vector<Value> outputs;
  std::map<std::pair<Node*, int>, size_t> position;
  for (const StorageStatePtr& s : storages) {
    Contents contents = s->Get();
    if (!contents.value || contents.value.node->kind == NodeKind::kInput) continue;
    const auto [it, is_new] = position.emplace(
        std::make_pair(contents.value.node.get(), contents.value.index), outputs.size());
    if (is_new) outputs.push_back(contents.value);
    jobs.push_back({s.get(), std::move(contents), it->second});
  }
  if (jobs.empty()) return;
  step_number.fetch_add(1, std::memory_order_relaxed);
  const std::shared_ptr<Graph> graph = BuildGraph(outputs);
  for (const NodePtr& input : graph->inputs) {
    TORCH_CHECK(input->parameter < 0,
                "a tensor that was made while tracing has no value outside of the trace");
  }
  auto results = GetBackend()->Execute(graph);
  Check(results.status(), "running on the device failed");
  TORCH_CHECK(results->size() == outputs.size(), "the backend returned ", results->size(),
              " results for ", outputs.size(), " outputs");
  std::vector<Value> values;
  for (size_t i = 0; i < outputs.size(); ++i) {
    values.push_back(MakeDataInput((*results)[i], outputs[i].meta()));
  }
  for (Job& job : jobs) {
    job.storage->Replace(job.contents.value, {values[job.output], job.contents.layout});
  }
  NoteRunning(*results);
  static Metric& graphs = Counter("capture.graphs_executed");
  static Metric& nodes = Counter("capture.nodes_executed");
  graphs.Add(1);
  nodes.Add(static_cast<int64_t>(graph->nodes.size()));
}

at::Tensor Download(const at::Tensor& t) {
  CpuCallGuard guard;
  if (TraceSession* trace = CurrentTrace()) {
    const at::Tensor array = trace->values.Evaluate(ReadTensor(t));
    if (!t.is_non_overlapping_and_dense()) return array.clone(at::MemoryFormat::Contiguous);
    at::Tensor result = EmptyCpu(t.sizes(), t.strides(), t.scalar_type());
    return result.copy_(array);
  }
  StorageStatePtr state = StateOf(t);
  const auto options = at::TensorOptions().dtype(t.scalar_type()).device(at::kCPU);
  Contents contents = state->Get();
  at::Tensor result;
  if (!contents.value || t.numel() == 0) {
    result = at::zeros(t.sizes(), options);
  } else {
    if (contents.value.node->kind != NodeKind::kInput &&
        contents.value.node->kind != NodeKind::kZeros) {
      Execute({state});
      contents = state->Get();
    }
    const TensorMeta& layout = contents.Layout();
    const at::Tensor array = FetchRowMajor(contents.value);
    const bool dense_order = layout.strides == ContiguousStrides(layout.sizes);
    if (t.storage_offset() == 0 && t.scalar_type() == layout.dtype &&
        t.sizes() == c10::IntArrayRef(layout.sizes) &&
        SameStrides(t.sizes(), t.strides(), layout.strides)) {
      result = array;
      if (!dense_order) {
        result = EmptyCpu(t.sizes(), t.strides(), t.scalar_type());
        result.copy_(array);
      }
    } else {
      // The storage's bytes on the host, seen through the tensor's geometry.
      const int64_t nbytes = std::max(static_cast<int64_t>(t.storage().nbytes()), layout.nbytes());
      at::Tensor memory =
          at::zeros({nbytes}, at::TensorOptions().dtype(at::kByte).device(at::kCPU));
      at::Tensor base = at::empty({0}, options.dtype(layout.dtype));
      base.set_(memory.storage(), 0, layout.sizes, layout.strides);
      base.copy_(array);
      result = at::empty({0}, options);
      result.set_(memory.storage(), t.storage_offset(), t.sizes(), t.strides());
    }
  }
  if (t.is_conj()) result = result.conj().resolve_conj();
  if (t.is_neg()) result = result._neg_view().resolve_neg();
  return result;
}

at::Device XlaDevice() { return at::Device(at::kXLA, 0); }

void MarkStep() {
  TORCH_CHECK(CurrentTrace() == nullptr, "mark_step() inside of a trace: a trace runs nothing");
  Execute(PendingStorages());
}

void SyncTensors(const std::vector<at::Tensor>& tensors) {
  TORCH_CHECK(CurrentTrace() == nullptr, "tensors cannot be synchronised inside of a trace");
  std::vector<StorageStatePtr> storages;
  for (const at::Tensor& t : tensors) {
    if (IsXla(t)) storages.push_back(StateOf(t));
  }
  Execute(storages);
}

std::shared_ptr<const Graph> PendingGraph(const std::vector<at::Tensor>& tensors) {
  std::vector<Value> outputs;
  for (const at::Tensor& t : tensors) {
    if (!IsXla(t)) continue;
    const Value v = StateOf(t)->Get().value;
    if (v && v.node->kind != NodeKind::kInput &&
        std::find(outputs.begin(), outputs.end(), v) == outputs.end()) {
      outputs.push_back(v);
    }
  }
  return BuildGraph(std::move(outputs));
}

std::shared_ptr<DeviceData> GetDeviceData(const at::Tensor& t) {
  TORCH_CHECK(IsXla(t), "not a tensor of the xla device, but of ", t.device());
  const Value v = ReadTensor(t);
  TORCH_CHECK(v.node->kind == NodeKind::kInput && v.node->data != nullptr,
              "the tensor has no device buffer of its own: it is pending or a view");
  return v.node->data;
}

at::Tensor TensorFromDeviceData(std::shared_ptr<DeviceData> data) {
  TensorMeta meta = data->meta();
  meta.strides = ContiguousStrides(meta.sizes);
  return MakeTensor(MakeDataInput(std::move(data), std::move(meta)));
}

void WaitDeviceOps() {
  std::vector<std::weak_ptr<DeviceData>> running;
  {
    BackendSlot& slot = Slot();
    std::lock_guard<std::mutex> lock(slot.mutex);
    running.swap(slot.running);
  }
  for (const auto& weak : running) {
    if (auto data = weak.lock()) Check(data->Wait(), "running on the device failed");
  }
}

}  // namespace glia::capture
