#include "frontend/lazy_backend.h"

#include <ATen/Functions.h>

#include <atomic>
#include <chrono>
#include <cstring>
#include <utility>

#include "absl/strings/str_cat.h"
#include "compiler/compile.h"
#include "frontend/capture/metrics.h"
#include "frontend/lowering/lowering.h"
#include "nrt/nrt_experimental.h"
#include "nrt/nrt_glia.h"
#include "runtime/torch/tensor_spec.h"
#include "serialization/neff/neff.h"

namespace glia {
namespace {

// The lazy mode runs on the first visible core; more cores are for traced models.
constexpr int kCore = 0;
// Steps that may wait for the device at once, beyond which mark_step blocks.
constexpr size_t kMaxInflight = 8;
// Runs in a row with new weights after which a graph has none.
constexpr int kMaxMisses = 3;

capture::Metric& Metric(const char* name) { return capture::Counter(name); }

absl::Status FromNrt(NRT_STATUS status, absl::string_view what) {
  if (status == NRT_SUCCESS) return absl::OkStatus();
  const std::string message =
      absl::StrCat(what, ": ", nrt_get_status_as_str(status), ": ", glia_nrt_last_error());
  switch (status) {
    case NRT_RESOURCE:
      return absl::ResourceExhaustedError(message);
    case NRT_EXEC_OOB:
      return absl::OutOfRangeError(message);
    case NRT_INVALID:
    case NRT_EXEC_BAD_INPUT:
      return absl::InvalidArgumentError(message);
    default:
      return absl::InternalError(message);
  }
}

// Set once, by the worker or at creation; waited for by any thread.
class Completion {
 public:
  void Set(absl::Status status) {
    std::lock_guard<std::mutex> lock(mutex_);
    status_ = std::move(status);
    done_ = true;
    changed_.notify_all();
  }
  bool done() {
    std::lock_guard<std::mutex> lock(mutex_);
    return done_;
  }
  absl::Status Wait() {
    std::unique_lock<std::mutex> lock(mutex_);
    changed_.wait(lock, [this] { return done_; });
    return status_;
  }

 private:
  std::mutex mutex_;
  std::condition_variable changed_;
  bool done_ = false;
  absl::Status status_;
};

size_t DeviceBytes(const capture::TensorMeta& meta) {
  return static_cast<size_t>(meta.numel()) * c10::elementSize(neuron::DeviceDtype(meta.dtype));
}

class Buffer : public capture::DeviceData {
 public:
  Buffer(capture::TensorMeta meta, nrt_tensor_t* tensor, std::shared_ptr<Completion> completion)
      : DeviceData(std::move(meta)), tensor_(tensor), completion_(std::move(completion)) {
    static std::atomic<uint64_t> last_id{0};
    id_ = ++last_id;
  }
  ~Buffer() override { nrt_tensor_free(&tensor_); }

  bool Ready() const override { return completion_ == nullptr || completion_->done(); }
  absl::Status Wait() override {
    return completion_ == nullptr ? absl::OkStatus() : completion_->Wait();
  }
  nrt_tensor_t* tensor() const { return tensor_; }
  // Never given twice: what an id stands for never changes, since buffers do not.
  uint64_t id() const { return id_; }

 private:
  uint64_t id_;
  nrt_tensor_t* tensor_;
  const std::shared_ptr<Completion> completion_;  // null when the contents were always there
};

absl::StatusOr<std::shared_ptr<Buffer>> MakeBuffer(capture::TensorMeta meta,
                                                   std::shared_ptr<Completion> completion) {
  nrt_tensor_t* tensor = nullptr;
  absl::Status status = FromNrt(
      nrt_tensor_allocate(NRT_TENSOR_PLACEMENT_DEVICE, kCore, DeviceBytes(meta), nullptr, &tensor),
      "device memory");
  if (!status.ok()) return status;
  return std::make_shared<Buffer>(std::move(meta), tensor, std::move(completion));
}

absl::StatusOr<std::unique_ptr<hlo::Module>> LowerGraph(const capture::Graph& graph,
                                                        const std::string& hash) {
  Metric("lazy.hlo_built").Add(1);
  lowering::LowerOptions options;
  options.module_name = absl::StrCat("lazy_", hash.substr(0, 8));
  return lowering::Lower(graph, options);
}

struct FreeSet {
  void operator()(nrt_tensor_set_t* s) const { nrt_destroy_tensor_set(&s); }
};
using SetPtr = std::unique_ptr<nrt_tensor_set_t, FreeSet>;

}  // namespace

// A loaded NEFF.
struct LazyBackend::Program {
  ~Program() {
    if (model != nullptr) nrt_unload(model);
  }
  nrt_model_t* model = nullptr;
  std::vector<std::string> input_names;
  std::vector<std::string> output_names;
  std::vector<size_t> output_bytes;
  bool hit = false;
  size_t neff_bytes = 0;
  double compile_ms = 0;
};

// What a graph runs as. At first one program, whose inputs are all alike. When inputs turn out to
// be the same in two runs, they are taken for weights: what depends on them only is computed once,
// by a program of its own, and again when they change.
struct LazyBackend::Executable {
  std::mutex mutex;  // of everything; held while the first thread builds it
  std::shared_ptr<Program> whole;
  std::vector<uint64_t> last_inputs;  // ids

  bool specialized = false;  // tried
  std::shared_ptr<Program> prepare;
  std::shared_ptr<Program> main;
  std::vector<bool> weights;
  std::vector<uint64_t> prepared_from;  // ids of the weights, in order
  std::vector<std::shared_ptr<Buffer>> prepared;
  int misses = 0;  // runs in a row with new weights

  std::shared_ptr<Program> latest;
  GraphReport report;  // what does not change after building
};

struct LazyBackend::Job {
  std::shared_ptr<Program> program;
  std::vector<std::shared_ptr<Buffer>> inputs;
  std::vector<std::shared_ptr<Buffer>> outputs;
  std::shared_ptr<Completion> completion;

  absl::Status Run() {
    SetPtr in;
    SetPtr out;
    auto fill = [](const std::vector<std::string>& names,
                   const std::vector<std::shared_ptr<Buffer>>& buffers, SetPtr* set) {
      nrt_tensor_set_t* made = nullptr;
      absl::Status status = FromNrt(nrt_allocate_tensor_set(&made), "tensor set");
      set->reset(made);
      for (size_t i = 0; status.ok() && i < buffers.size(); ++i) {
        status = FromNrt(nrt_add_tensor_to_tensor_set(made, names[i].c_str(), buffers[i]->tensor()),
                         "tensor set");
      }
      return status;
    };
    for (const auto& input : inputs) {
      // Earlier steps have run: the queue is in order.
      absl::Status status = input->Wait();
      if (!status.ok()) return status;
    }
    absl::Status status = fill(program->input_names, inputs, &in);
    if (status.ok()) status = fill(program->output_names, outputs, &out);
    if (!status.ok()) return status;
    return FromNrt(nrt_execute(program->model, in.get(), out.get()), "running a lazy graph");
  }
};

LazyBackend::LazyBackend() = default;

LazyBackend::~LazyBackend() {
  {
    std::lock_guard<std::mutex> lock(queue_mutex_);
    stop_ = true;
  }
  queue_changed_.notify_all();
  if (worker_.joinable()) worker_.join();
}

absl::Status LazyBackend::Start() {
  std::lock_guard<std::mutex> lock(start_mutex_);
  if (started_) return absl::OkStatus();
  absl::Status status =
      FromNrt(nrt_init(NRT_FRAMEWORK_TYPE_PYTORCH, "", ""), "starting the Neuron runtime");
  if (!status.ok()) return status;
  auto options = compiler::Options::FromEnvironment();
  if (!options.ok()) return options.status();
  options_ = *std::move(options);
  cache_ = compiler::NeffCache::FromEnvironment();
  worker_ = std::thread([this] { Work(); });
  started_ = true;
  return absl::OkStatus();
}

absl::StatusOr<std::shared_ptr<capture::DeviceData>> LazyBackend::ToDevice(
    const void* bytes, const capture::TensorMeta& meta) {
  static capture::Metric& moved = Metric("lazy.bytes_to_device");
  absl::Status status = Start();
  if (!status.ok()) return status;
  capture::TensorMeta device = meta;
  device.strides = capture::ContiguousStrides(meta.sizes);
  device.storage_offset = 0;
  auto buffer = MakeBuffer(std::move(device), nullptr);
  if (!buffer.ok()) return buffer.status();
  const size_t size = DeviceBytes(meta);
  at::Tensor converted;
  if (neuron::DeviceDtype(meta.dtype) != meta.dtype) {
    converted = at::from_blob(const_cast<void*>(bytes), meta.sizes, at::TensorOptions(meta.dtype))
                    .to(neuron::DeviceDtype(meta.dtype))
                    .contiguous();
    bytes = converted.data_ptr();
  }
  status = FromNrt(nrt_tensor_write((*buffer)->tensor(), bytes, 0, size), "writing to the device");
  if (!status.ok()) return status;
  moved.Add(static_cast<int64_t>(size));
  return std::shared_ptr<capture::DeviceData>(*std::move(buffer));
}

absl::Status LazyBackend::ToHost(capture::DeviceData& data, void* dst) {
  static capture::Metric& moved = Metric("lazy.bytes_to_host");
  Help(data);
  absl::Status status = data.Wait();
  if (!status.ok()) return status;
  const auto& buffer = static_cast<const Buffer&>(data);
  const capture::TensorMeta& meta = data.meta();
  const size_t size = DeviceBytes(meta);
  moved.Add(static_cast<int64_t>(size));
  const at::ScalarType device = neuron::DeviceDtype(meta.dtype);
  if (device == meta.dtype) {
    return FromNrt(nrt_tensor_read(buffer.tensor(), dst, 0, size), "reading from the device");
  }
  at::Tensor narrow = at::empty(meta.sizes, at::TensorOptions(device));
  status = FromNrt(nrt_tensor_read(buffer.tensor(), narrow.data_ptr(), 0, size),
                   "reading from the device");
  if (!status.ok()) return status;
  at::from_blob(dst, meta.sizes, at::TensorOptions(meta.dtype)).copy_(narrow);
  return absl::OkStatus();
}

bool LazyBackend::Supports(const capture::Node& node) {
  return lowering::Supported(node) && !refused_.Contains(node);
}

absl::StatusOr<std::shared_ptr<LazyBackend::Program>> LazyBackend::Build(const std::string& hash,
                                                                         const ModuleFn& make) {
  const auto begin = std::chrono::steady_clock::now();
  auto compile = [&]() -> absl::StatusOr<neff::Neff> {
    auto module = make();
    if (!module.ok()) return module.status();
    auto result = compiler::Compile(*std::move(module), options_);
    if (!result.ok()) return result.status();
    return std::move(result->neff);
  };
  auto cached = cache_->GetOrCompile(hash, options_, compile);
  if (!cached.ok()) return cached.status();
  Metric("lazy.disk_accesses").Add(cached->disk_accesses);
  Metric(cached->hit ? "lazy.cache_hits" : "lazy.compilations").Add(1);

  auto program = std::make_shared<Program>();
  program->hit = cached->hit;
  program->neff_bytes = cached->neff.size();
  program->compile_ms =
      std::chrono::duration<double, std::milli>(std::chrono::steady_clock::now() - begin).count();
  auto* keep = new neff::Blob(cached->neff);
  absl::Status status =
      FromNrt(glia_nrt_load_view(
                  cached->neff.data(), cached->neff.size(), kCore,
                  [](void* blob) { delete static_cast<neff::Blob*>(blob); }, keep, &program->model),
              "loading a lazy graph");
  if (!status.ok()) return status;
  nrt_tensor_info_array_t* info = nullptr;
  status = FromNrt(nrt_get_model_tensor_info(program->model, &info), "tensors of a lazy graph");
  if (!status.ok()) return status;
  for (uint64_t i = 0; i < info->tensor_count; ++i) {
    const nrt_tensor_info_t& t = info->tensor_array[i];
    if (t.usage == NRT_TENSOR_USAGE_INPUT) {
      program->input_names.push_back(t.name);
    } else {
      program->output_names.push_back(t.name);
      program->output_bytes.push_back(t.size);
    }
  }
  nrt_free_model_tensor_info(info);
  return program;
}

absl::StatusOr<std::shared_ptr<LazyBackend::Executable>> LazyBackend::Find(
    const capture::Graph& graph) {
  static capture::Metric& hits = Metric("lazy.memory_hits");
  std::shared_ptr<Executable> executable;
  const std::pair<uint64_t, uint64_t> key(graph.hash.hi, graph.hash.lo);
  {
    std::lock_guard<std::mutex> lock(graphs_mutex_);
    std::shared_ptr<Executable>& entry = graphs_[key];
    if (entry == nullptr) entry = std::make_shared<Executable>();
    executable = entry;
  }
  // Threads that want the same graph wait for the first one's compilation.
  std::lock_guard<std::mutex> lock(executable->mutex);
  if (executable->whole != nullptr) {
    hits.Add(1);
    return executable;
  }
  const std::string hash = graph.hash.Hex();
  auto program = Build(hash, [&] { return LowerGraph(graph, hash); });
  if (program.ok() && ((*program)->input_names.size() != graph.inputs.size() ||
                       (*program)->output_names.size() != graph.outputs.size())) {
    program = absl::InternalError(
        absl::StrCat("the NEFF of graph ", hash, " has ", (*program)->input_names.size(),
                     " inputs and ", (*program)->output_names.size(), " outputs, the graph ",
                     graph.inputs.size(), " and ", graph.outputs.size()));
  }
  std::lock_guard<std::mutex> graphs_lock(graphs_mutex_);
  if (!program.ok()) {
    auto it = graphs_.find(key);
    if (it != graphs_.end() && it->second == executable) graphs_.erase(it);
    return program.status();
  }
  executable->whole = executable->latest = *std::move(program);
  GraphReport& report = executable->report;
  report.hash = hash;
  report.source =
      executable->whole->hit ? GraphReport::Source::kDiskCache : GraphReport::Source::kCompiled;
  report.neff_bytes = executable->whole->neff_bytes;
  report.compile_ms = executable->whole->compile_ms;
  order_.push_back(executable);
  return executable;
}

void LazyBackend::Specialize(const capture::Graph& graph, const std::vector<bool>& weights,
                             Executable* executable) {
  executable->specialized = true;
  executable->weights = weights;
  capture::Hasher hasher;
  for (bool weight : weights) hasher.Add(weight);
  const std::string hash = absl::StrCat(graph.hash.Hex(), hasher.Get().Hex().substr(0, 8));
  compiler::WeightSplit split;
  auto ensure = [&]() -> absl::Status {
    if (split.main != nullptr) return absl::OkStatus();
    auto module = LowerGraph(graph, hash);
    if (!module.ok()) return module.status();
    auto made = compiler::SplitForWeights(*std::move(module), weights);
    if (!made.ok()) return made.status();
    split = *std::move(made);
    if (split.prepare == nullptr) return absl::NotFoundError("nothing depends on weights only");
    return absl::OkStatus();
  };
  auto part = [&](std::unique_ptr<hlo::Module> compiler::WeightSplit::*member) {
    return [&, member]() -> absl::StatusOr<std::unique_ptr<hlo::Module>> {
      absl::Status status = ensure();
      if (!status.ok()) return status;
      return (split.*member)->Clone();
    };
  };
  auto prepare = Build(hash + "p", part(&compiler::WeightSplit::prepare));
  // The whole program stays what the graph runs as, whatever went wrong here.
  if (!prepare.ok()) return;
  auto main = Build(hash + "m", part(&compiler::WeightSplit::main));
  if (!main.ok()) return;
  if ((*prepare)->input_names.size() != graph.inputs.size() ||
      (*main)->input_names.size() != graph.inputs.size() + (*prepare)->output_names.size() ||
      (*main)->output_names.size() != graph.outputs.size()) {
    return;
  }
  executable->prepare = *std::move(prepare);
  executable->main = *std::move(main);
  executable->report.compile_ms += executable->prepare->compile_ms + executable->main->compile_ms;
}

absl::StatusOr<std::vector<std::unique_ptr<LazyBackend::Job>>> LazyBackend::MakeJobs(
    const capture::Graph& graph, Executable* executable) {
  std::vector<std::unique_ptr<Job>> jobs;
  auto job = std::make_unique<Job>();
  job->completion = std::make_shared<Completion>();
  std::vector<uint64_t> ids;
  for (const capture::NodePtr& input : graph.inputs) {
    std::shared_ptr<capture::DeviceData> data = input->data;
    if (data == nullptr) {
      auto uploaded = ToDevice(input->host.data_ptr(), input->output());
      if (!uploaded.ok()) return uploaded.status();
      data = *std::move(uploaded);
    }
    job->inputs.push_back(std::static_pointer_cast<Buffer>(std::move(data)));
    ids.push_back(job->inputs.back()->id());
  }
  for (const capture::Value& output : graph.outputs) {
    capture::TensorMeta meta = output.meta();
    meta.strides = capture::ContiguousStrides(meta.sizes);
    meta.storage_offset = 0;
    meta.wrapped_number = false;
    auto buffer = MakeBuffer(std::move(meta), job->completion);
    if (!buffer.ok()) return buffer.status();
    job->outputs.push_back(*std::move(buffer));
  }

  if (!executable->specialized && executable->last_inputs.size() == ids.size()) {
    std::vector<bool> weights;
    bool any = false;
    for (size_t i = 0; i < ids.size(); ++i) {
      weights.push_back(ids[i] == executable->last_inputs[i]);
      any = any || weights.back();
    }
    if (any) Specialize(graph, weights, executable);
  }
  executable->last_inputs = ids;
  job->program = executable->whole;
  if (executable->main != nullptr) {
    std::vector<uint64_t> from;
    for (size_t i = 0; i < ids.size(); ++i) {
      if (executable->weights[i]) from.push_back(ids[i]);
    }
    const bool failed = !executable->prepared.empty() && executable->prepared[0]->Ready() &&
                        !executable->prepared[0]->Wait().ok();
    if (failed || from != executable->prepared_from) {
      executable->prepared.clear();
      executable->prepared_from.clear();
      auto prepare = std::make_unique<Job>();
      prepare->completion = std::make_shared<Completion>();
      prepare->program = executable->prepare;
      prepare->inputs = job->inputs;
      for (size_t bytes : executable->prepare->output_bytes) {
        capture::TensorMeta meta;
        meta.sizes = {static_cast<int64_t>(bytes)};
        meta.strides = {1};
        meta.dtype = at::kByte;
        auto buffer = MakeBuffer(std::move(meta), prepare->completion);
        if (!buffer.ok()) break;
        prepare->outputs.push_back(*std::move(buffer));
      }
      if (++executable->misses < kMaxMisses &&
          prepare->outputs.size() == executable->prepare->output_bytes.size()) {
        executable->prepared = prepare->outputs;
        executable->prepared_from = std::move(from);
        jobs.push_back(std::move(prepare));
        Metric("lazy.weights_prepared").Add(1);
      } else {
        // They are no weights, or do not fit a second time.
        executable->main = nullptr;
        executable->prepare = nullptr;
      }
    } else {
      executable->misses = 0;
    }
  }
  if (executable->main != nullptr) {
    job->program = executable->main;
    job->inputs.insert(job->inputs.end(), executable->prepared.begin(), executable->prepared.end());
  }
  executable->latest = job->program;
  jobs.push_back(std::move(job));
  return jobs;
}

absl::StatusOr<std::vector<std::shared_ptr<capture::DeviceData>>> LazyBackend::Execute(
    std::shared_ptr<const capture::Graph> graph) {
  static capture::Metric& executions = Metric("lazy.executions");
  absl::Status status = Start();
  if (!status.ok()) return status;
  auto executable = Find(*graph);
  if (absl::IsUnimplemented(executable.status()) && refused_.Learn(*graph, options_)) {
    capture::ForgetSupport();
    return ExecuteInParts(this, *graph, refused_);
  }
  if (!executable.ok()) return executable.status();
  // Until the jobs are queued: no other run may queue what reads the weights that they prepare
  // first.
  std::lock_guard<std::mutex> executable_lock((*executable)->mutex);
  auto jobs = MakeJobs(*graph, executable->get());
  if (!jobs.ok()) return jobs.status();
  const auto& outputs = jobs->back()->outputs;
  std::vector<std::shared_ptr<capture::DeviceData>> results(outputs.begin(), outputs.end());
  {
    std::unique_lock<std::mutex> lock(queue_mutex_);
    queue_changed_.wait(lock, [this] { return queue_.size() < kMaxInflight; });
    for (auto& job : *jobs) queue_.push_back(std::move(job));
  }
  queue_changed_.notify_all();
  executions.Add(1);
  return results;
}

void LazyBackend::RunFront(std::unique_lock<std::mutex>* lock) {
  std::unique_ptr<Job> job = std::move(queue_.front());
  queue_.pop_front();
  busy_ = true;
  lock->unlock();
  queue_changed_.notify_all();
  const std::shared_ptr<Completion> completion = job->completion;
  absl::Status status = job->Run();
  // Inputs that nobody else holds go before anyone learns that the step is done.
  job.reset();
  completion->Set(std::move(status));
  lock->lock();
  busy_ = false;
  queue_changed_.notify_all();
}

void LazyBackend::Work() {
  std::unique_lock<std::mutex> lock(queue_mutex_);
  for (;;) {
    queue_changed_.wait(lock, [this] { return queue_.empty() ? stop_ : !busy_; });
    if (queue_.empty()) return;
    RunFront(&lock);
  }
}

void LazyBackend::Help(const capture::DeviceData& data) {
  std::unique_lock<std::mutex> lock(queue_mutex_);
  while (!busy_ && !queue_.empty() && !data.Ready()) RunFront(&lock);
}

void LazyBackend::WaitIdle() {
  std::unique_lock<std::mutex> lock(queue_mutex_);
  queue_changed_.wait(lock, [this] { return queue_.empty() && !busy_; });
}

std::vector<GraphReport> LazyBackend::Reports() {
  WaitIdle();
  std::vector<GraphReport> reports;
  std::vector<std::shared_ptr<Executable>> order;
  {
    std::lock_guard<std::mutex> lock(graphs_mutex_);
    order = order_;
  }
  for (const auto& executable : order) {
    std::lock_guard<std::mutex> executable_lock(executable->mutex);
    GraphReport report = executable->report;
    for (const auto* program : {&executable->whole, &executable->main}) {
      glia_nrt_model_statistics_t s = {};
      if (*program == nullptr ||
          glia_nrt_get_model_statistics((*program)->model, &s) != NRT_SUCCESS) {
        continue;
      }
      report.executions += static_cast<int64_t>(s.executions);
      if (*program != executable->latest) continue;
      report.simulated_ps = s.last_simulated_ps;
      report.device_bytes = s.hbm_constant_bytes + s.hbm_scratch_bytes + s.hbm_io_bytes;
      report.neff_bytes = (*program)->neff_bytes;
    }
    reports.push_back(std::move(report));
  }
  return reports;
}

}  // namespace glia
