#include "frontend/lazy_backend.h"

#include <ATen/Functions.h>

#include <algorithm>
#include <chrono>
#include <cstring>
#include <utility>

#include "absl/strings/str_cat.h"
#include "compiler/compile.h"
#include "frontend/capture/metrics.h"
#include "frontend/lazy_buffer.h"
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
// Simulated time below which mark_step runs a program itself, if the device is free: another thread
// would take longer to wake.
constexpr uint64_t kAtOncePs = 30'000'000;
// Bytes of constants that programs of graphs keep, beyond which those that ran longest ago go.
constexpr int64_t kMaxBoundBytes = int64_t{2} << 30;

capture::Metric& Metric(const char* name) { return capture::Counter(name); }

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
  bool hit = false;
  size_t neff_bytes = 0;
  double compile_ms = 0;
  int64_t bound_bytes = 0;    // of its constants that are inputs of the graph
  uint64_t simulated_ps = 0;  // of a run, loops aside
};

// What a graph runs as: a program whose inputs are all inputs, or, once some of them have turned
// out to be weights, one that has these as constants, laid out and packed once.
struct LazyBackend::Executable {
  std::mutex mutex;  // of everything; held while the first thread builds it
  std::shared_ptr<Program> whole;
  WeightTracker weights;
  std::weak_ptr<Program> bound;  // kept by bound_programs_

  std::weak_ptr<Program> latest;
  GraphReport report;  // what does not change from run to run, and the executions
};

struct LazyBackend::Job {
  std::shared_ptr<Program> program;
  std::vector<std::shared_ptr<LazyBuffer>> inputs;
  std::vector<std::shared_ptr<LazyBuffer>> outputs;
  std::shared_ptr<Completion> completion;

  absl::Status Run() {
    SetPtr in;
    SetPtr out;
    auto fill = [](const std::vector<std::string>& names,
                   const std::vector<std::shared_ptr<LazyBuffer>>& buffers, SetPtr* set) {
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
  work_.notify_one();
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

absl::StatusOr<std::shared_ptr<LazyBuffer>> LazyBackend::MakeBuffer(
    const capture::TensorMeta& meta, std::shared_ptr<Completion> completion) {
  auto buffer = LazyBuffer::Make(kCore, meta, completion);
  if (!absl::IsResourceExhausted(buffer.status())) return buffer;
  // Programs with weights of their own are made for speed only.
  {
    std::list<std::shared_ptr<Program>> dropped;
    std::lock_guard<std::mutex> lock(bound_mutex_);
    if (bound_programs_.empty()) return buffer;
    dropped.swap(bound_programs_);
    bound_bytes_ = 0;
  }
  WaitIdle();  // jobs hold theirs
  return LazyBuffer::Make(kCore, meta, std::move(completion));
}

absl::StatusOr<std::shared_ptr<capture::DeviceData>> LazyBackend::ToDevice(
    const void* bytes, const capture::TensorMeta& meta) {
  static capture::Metric& moved = Metric("lazy.bytes_to_device");
  absl::Status status = Start();
  if (!status.ok()) return status;
  auto buffer = MakeBuffer(meta, nullptr);
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
  const auto& buffer = static_cast<const LazyBuffer&>(data);
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

absl::StatusOr<std::shared_ptr<LazyBackend::Program>> LazyBackend::Build(
    const capture::Graph& graph, const std::string& hash) {
  const auto begin = std::chrono::steady_clock::now();
  auto compile = [&]() -> absl::StatusOr<neff::Neff> {
    auto module = LowerGraph(graph, hash);
    if (!module.ok()) return module.status();
    auto result = compiler::Compile(*std::move(module), options_);
    if (!result.ok()) return result.status();
    return std::move(result->neff);
  };
  auto cached = cache_->GetOrCompile(hash, options_, compile);
  if (!cached.ok()) return cached.status();
  Metric("lazy.disk_accesses").Add(cached->disk_accesses);
  Metric(cached->hit ? "lazy.cache_hits" : "lazy.compilations").Add(1);

  return Load(cached->neff, cached->hit, begin);
}

absl::StatusOr<std::shared_ptr<LazyBackend::Program>> LazyBackend::Load(
    const neff::Blob& neff, bool hit, std::chrono::steady_clock::time_point begin) {
  auto program = std::make_shared<Program>();
  program->hit = hit;
  program->neff_bytes = neff.size();
  program->compile_ms =
      std::chrono::duration<double, std::milli>(std::chrono::steady_clock::now() - begin).count();
  auto* keep = new neff::Blob(neff);
  absl::Status status =
      FromNrt(glia_nrt_load_view(
                  neff.data(), neff.size(), kCore,
                  [](void* blob) { delete static_cast<neff::Blob*>(blob); }, keep, &program->model),
              "loading a lazy graph");
  if (!status.ok()) return status;
  nrt_tensor_info_array_t* info = nullptr;
  status = FromNrt(nrt_get_model_tensor_info(program->model, &info), "tensors of a lazy graph");
  if (!status.ok()) return status;
  for (uint64_t i = 0; i < info->tensor_count; ++i) {
    const nrt_tensor_info_t& t = info->tensor_array[i];
    (t.usage == NRT_TENSOR_USAGE_INPUT ? program->input_names : program->output_names)
        .push_back(t.name);
  }
  nrt_free_model_tensor_info(info);
  glia_nrt_model_statistics_t statistics = {};
  status = FromNrt(glia_nrt_get_model_statistics(program->model, &statistics), "a lazy graph");
  if (!status.ok()) return status;
  program->simulated_ps = statistics.last_simulated_ps;
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
  auto program = Build(graph, hash);
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
  executable->whole = *std::move(program);
  executable->latest = executable->whole;
  GraphReport& report = executable->report;
  report.hash = hash;
  report.source =
      executable->whole->hit ? GraphReport::Source::kDiskCache : GraphReport::Source::kCompiled;
  report.neff_bytes = executable->whole->neff_bytes;
  report.compile_ms = executable->whole->compile_ms;
  order_.push_back(executable);
  return executable;
}

// Nothing of it goes to the disk: the next process may have other weights.
absl::StatusOr<std::shared_ptr<LazyBackend::Program>> LazyBackend::BuildBound(
    const capture::Graph& graph, const std::vector<std::shared_ptr<LazyBuffer>>& inputs,
    const std::vector<bool>& bound) {
  const auto begin = std::chrono::steady_clock::now();
  auto module = LowerGraph(graph, graph.hash.Hex());
  if (!module.ok()) return module.status();
  hlo::Computation* entry = (*module)->entry();
  int64_t next = 0, bytes = 0;
  for (size_t i = 0; i < inputs.size(); ++i) {
    hlo::Instruction* parameter = entry->parameter(static_cast<int64_t>(i));
    if (!bound[i]) {
      if (parameter->parameter_number != next) entry->RenumberParameter(parameter, next);
      ++next;
      continue;
    }
    Help(*inputs[i]);
    absl::Status status = inputs[i]->Wait();
    if (!status.ok()) return status;
    const hlo::Shape shape(parameter->shape.type, parameter->shape.dims);
    const void* data = nrt_tensor_get_va(inputs[i]->tensor());
    if (shape != parameter->shape || shape.bytes() != inputs[i]->bytes() || data == nullptr) {
      return absl::InternalError(absl::StrCat("input ", i, " of graph ", graph.hash.Hex(), " is ",
                                              inputs[i]->bytes(), " bytes, its parameter ",
                                              parameter->shape.ToString(/*with_layout=*/true)));
    }
    bytes += shape.bytes();
    parameter->ReplaceAllUsesWith(entry->AddConstant(hlo::Literal::View(shape, data, inputs[i])));
    entry->Remove(parameter);
  }
  entry->Sort();
  auto compiled = compiler::Compile(*std::move(module), options_);
  if (!compiled.ok()) return compiled.status();
  Metric("lazy.compilations").Add(1);
  std::shared_ptr<char> memory;
  size_t size = 0;
  absl::Status status = neff::WriteTo(compiled->neff, [&](size_t wanted) {
    size = wanted;
    memory.reset(new char[wanted], std::default_delete<char[]>());
    return memory.get();
  });
  if (!status.ok()) return status;
  compiled->neff = neff::Neff();
  auto program = Load(neff::Blob::View(memory, memory.get(), size), /*hit=*/false, begin);
  if (program.ok()) (*program)->bound_bytes = bytes;
  return program;
}

void LazyBackend::KeepBound(const std::shared_ptr<Program>& program) {
  std::vector<std::shared_ptr<Program>> dropped;  // unloaded after the lock
  std::lock_guard<std::mutex> lock(bound_mutex_);
  auto at = std::find(bound_programs_.begin(), bound_programs_.end(), program);
  if (at == bound_programs_.end()) {
    bound_programs_.push_front(program);
    bound_bytes_ += program->bound_bytes;
  } else {
    bound_programs_.splice(bound_programs_.begin(), bound_programs_, at);
  }
  while (bound_bytes_ > kMaxBoundBytes && bound_programs_.size() > 1) {
    bound_bytes_ -= bound_programs_.back()->bound_bytes;
    dropped.push_back(std::move(bound_programs_.back()));
    bound_programs_.pop_back();
  }
}

void LazyBackend::DropBound(const std::shared_ptr<Program>& program) {
  std::lock_guard<std::mutex> lock(bound_mutex_);
  auto at = std::find(bound_programs_.begin(), bound_programs_.end(), program);
  if (at == bound_programs_.end()) return;
  bound_bytes_ -= program->bound_bytes;
  bound_programs_.erase(at);
}

std::shared_ptr<LazyBackend::Program> LazyBackend::Choose(
    const capture::Graph& graph, const std::vector<std::shared_ptr<LazyBuffer>>& inputs,
    Executable* executable) {
  static capture::Metric& bound = Metric("lazy.weights_bound");
  std::vector<WeightTracker::Input> seen;
  seen.reserve(inputs.size());
  for (const auto& input : inputs) seen.push_back({input->id(), input->parameter()});
  const WeightTracker::Choice choice = executable->weights.Next(seen);
  std::shared_ptr<Program> program = executable->bound.lock();
  if (choice == WeightTracker::Choice::kBound) {
    if (program != nullptr) {
      KeepBound(program);
      return program;
    }
    executable->weights.Lost();
  }
  // Before another one is made: they need not fit at once.
  if (program != nullptr) DropBound(std::exchange(program, nullptr));
  executable->bound.reset();
  if (choice != WeightTracker::Choice::kBind) return executable->whole;
  auto made = BuildBound(graph, inputs, executable->weights.bound());
  if (!made.ok() || (*made)->output_names.size() != graph.outputs.size()) {
    // The other one does as well, only slower.
    executable->weights.Lost();
    return executable->whole;
  }
  bound.Add(1);
  executable->bound = *made;
  executable->report.compile_ms += (*made)->compile_ms;
  KeepBound(*made);
  return *made;
}

absl::StatusOr<std::unique_ptr<LazyBackend::Job>> LazyBackend::MakeJob(const capture::Graph& graph,
                                                                       Executable* executable) {
  auto job = std::make_unique<Job>();
  job->completion = std::make_shared<Completion>();
  job->inputs.reserve(graph.inputs.size());
  for (const capture::NodePtr& input : graph.inputs) {
    std::shared_ptr<capture::DeviceData> data = input->data;
    if (data == nullptr) {
      auto uploaded = ToDevice(input->host.data_ptr(), input->output());
      if (!uploaded.ok()) return uploaded.status();
      data = *std::move(uploaded);
    }
    job->inputs.push_back(std::static_pointer_cast<LazyBuffer>(std::move(data)));
  }
  for (const capture::Value& output : graph.outputs) {
    auto buffer = MakeBuffer(output.meta(), job->completion);
    if (!buffer.ok()) return buffer.status();
    job->outputs.push_back(*std::move(buffer));
  }
  job->program = Choose(graph, job->inputs, executable);
  if (job->program != executable->whole) {
    const std::vector<bool>& bound = executable->weights.bound();
    size_t kept = 0;
    for (size_t i = 0; i < job->inputs.size(); ++i) {
      if (!bound[i]) job->inputs[kept++] = std::move(job->inputs[i]);
    }
    job->inputs.resize(kept);
  }
  executable->latest = job->program;
  ++executable->report.executions;
  return job;
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
  std::unique_ptr<Job> job;
  {
    std::lock_guard<std::mutex> lock((*executable)->mutex);
    auto made = MakeJob(*graph, executable->get());
    if (!made.ok()) return made.status();
    job = *std::move(made);
  }
  std::vector<std::shared_ptr<capture::DeviceData>> results(job->outputs.begin(),
                                                            job->outputs.end());
  executions.Add(1);
  std::unique_lock<std::mutex> lock(queue_mutex_);
  progress_.wait(lock, [this] { return queue_.size() < kMaxInflight; });
  const bool at_once = queue_.empty() && !busy_ && job->program->simulated_ps < kAtOncePs;
  queue_.push_back(std::move(job));
  if (at_once) {
    RunFront(&lock);
  } else {
    work_.notify_one();
  }
  return results;
}

void LazyBackend::RunFront(std::unique_lock<std::mutex>* lock) {
  std::unique_ptr<Job> job = std::move(queue_.front());
  queue_.pop_front();
  busy_ = true;
  lock->unlock();
  progress_.notify_all();
  const std::shared_ptr<Completion> completion = job->completion;
  absl::Status status = job->Run();
  // Inputs that nobody else holds go before anyone learns that the step is done.
  job.reset();
  completion->Set(std::move(status));
  lock->lock();
  busy_ = false;
  if (!queue_.empty()) work_.notify_one();
  progress_.notify_all();
}

void LazyBackend::Work() {
  std::unique_lock<std::mutex> lock(queue_mutex_);
  for (;;) {
    work_.wait(lock, [this] { return queue_.empty() ? stop_ : !busy_; });
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
  progress_.wait(lock, [this] { return queue_.empty() && !busy_; });
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
    const std::shared_ptr<Program> program = executable->latest.lock();
    glia_nrt_model_statistics_t s = {};
    if (program != nullptr && glia_nrt_get_model_statistics(program->model, &s) == NRT_SUCCESS) {
      report.simulated_ps = s.last_simulated_ps;
      report.device_bytes = s.hbm_constant_bytes + s.hbm_scratch_bytes + s.hbm_io_bytes;
      report.neff_bytes = program->neff_bytes;
    }
    reports.push_back(std::move(report));
  }
  return reports;
}

}  // namespace glia
