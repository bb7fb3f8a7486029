// The capture backend behind the lazy mode: compiler, NEFF cache and runtime.
#ifndef GLIA_FRONTEND_LAZY_BACKEND_H_
#define GLIA_FRONTEND_LAZY_BACKEND_H_

#include <condition_variable>
#include <deque>
#include <functional>
#include <map>
#include <memory>
#include <mutex>
#include <string>
#include <thread>
#include <vector>

#include "compiler/cache/neff_cache.h"
#include "compiler/options.h"
#include "frontend/capture/backend.h"
#include "frontend/lazy.h"
#include "frontend/lazy_parts.h"
#include "nrt/nrt.h"
#include "serialization/hlo/ir.h"

namespace glia {

class LazyBackend : public capture::Backend {
 public:
  LazyBackend();
  ~LazyBackend() override;

  absl::StatusOr<std::shared_ptr<capture::DeviceData>> ToDevice(
      const void* bytes, const capture::TensorMeta& meta) override;
  absl::Status ToHost(capture::DeviceData& data, void* dst) override;
  absl::StatusOr<std::vector<std::shared_ptr<capture::DeviceData>>> Execute(
      std::shared_ptr<const capture::Graph> graph) override;
  bool Supports(const capture::Node& node) override;

  void WaitIdle();
  std::vector<GraphReport> Reports();

 private:
  struct Program;
  struct Executable;
  struct Job;
  using ModuleFn = std::function<absl::StatusOr<std::unique_ptr<hlo::Module>>()>;

  absl::Status Start();  // the runtime, the options and the cache, once
  absl::StatusOr<std::shared_ptr<Executable>> Find(const capture::Graph& graph);
  // Compiles the module, or takes its NEFF from the cache, and loads it.
  absl::StatusOr<std::shared_ptr<Program>> Build(const std::string& hash, const ModuleFn& make);
  // The graph in two programs, for inputs that are the same as in its last run.
  void Specialize(const capture::Graph& graph, const std::vector<bool>& weights,
                  Executable* executable);
  // The job of one run, after that which prepares its weights where they are new. The caller holds
  // the executable's mutex until they are queued.
  absl::StatusOr<std::vector<std::unique_ptr<Job>>> MakeJobs(const capture::Graph& graph,
                                                             Executable* executable);
  void Work();
  // Runs the first job of the queue, which nobody else may meanwhile.
  void RunFront(std::unique_lock<std::mutex>* lock);
  // Runs on this thread what `data` waits for, as long as the worker has not begun: it takes longer
  // to wake than a small step to run.
  void Help(const capture::DeviceData& data);

  std::mutex start_mutex_;
  bool started_ = false;
  compiler::Options options_;
  std::unique_ptr<compiler::NeffCache> cache_;

  RefusedOperators refused_;
  std::mutex graphs_mutex_;
  std::map<std::pair<uint64_t, uint64_t>, std::shared_ptr<Executable>> graphs_;
  std::vector<std::shared_ptr<Executable>> order_;  // of first execution

  std::mutex queue_mutex_;
  std::condition_variable queue_changed_;
  std::deque<std::unique_ptr<Job>> queue_;
  bool busy_ = false;
  bool stop_ = false;
  std::thread worker_;
};

}  // namespace glia

#endif  // GLIA_FRONTEND_LAZY_BACKEND_H_
