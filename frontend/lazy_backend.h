// The capture backend behind the lazy mode: compiler, NEFF cache and runtime.
#ifndef GLIA_FRONTEND_LAZY_BACKEND_H_
#define GLIA_FRONTEND_LAZY_BACKEND_H_

#include <chrono>
#include <condition_variable>
#include <deque>
#include <list>
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
#include "frontend/lazy_buffer.h"
#include "frontend/lazy_parts.h"
#include "frontend/weight_tracker.h"
#include "nrt/nrt.h"
#include "serialization/hlo/ir.h"
#include "serialization/neff/neff.h"

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

  absl::Status Start();  // the runtime, the options and the cache, once
  // Device memory for a tensor like `meta`.
  absl::StatusOr<std::shared_ptr<LazyBuffer>> MakeBuffer(const capture::TensorMeta& meta,
                                                         std::shared_ptr<Completion> completion);
  absl::StatusOr<std::shared_ptr<Executable>> Find(const capture::Graph& graph);
  // Compiles the graph, or takes its NEFF from the cache, and loads it.
  absl::StatusOr<std::shared_ptr<Program>> Build(const capture::Graph& graph,
                                                 const std::string& hash);
  // The same with some of these inputs as constants.
  absl::StatusOr<std::shared_ptr<Program>> BuildBound(
      const capture::Graph& graph, const std::vector<std::shared_ptr<LazyBuffer>>& inputs,
      const std::vector<bool>& bound);
  absl::StatusOr<std::shared_ptr<Program>> Load(const neff::Blob& neff, bool hit,
                                                std::chrono::steady_clock::time_point begin);
  // Notes that it is about to run; and that it never will again.
  void KeepBound(const std::shared_ptr<Program>& program);
  void DropBound(const std::shared_ptr<Program>& program);
  // The program of the next run. The caller holds the executable's mutex, here and below.
  std::shared_ptr<Program> Choose(const capture::Graph& graph,
                                  const std::vector<std::shared_ptr<LazyBuffer>>& inputs,
                                  Executable* executable);
  absl::StatusOr<std::unique_ptr<Job>> MakeJob(const capture::Graph& graph, Executable* executable);
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

  std::mutex bound_mutex_;
  std::list<std::shared_ptr<Program>> bound_programs_;  // the last to have run first
  int64_t bound_bytes_ = 0;

  std::mutex queue_mutex_;
  std::condition_variable work_;      // for the worker: there is some
  std::condition_variable progress_;  // for all others: the queue is shorter, or a job done
  std::deque<std::unique_ptr<Job>> queue_;
  bool busy_ = false;
  bool stop_ = false;
  std::thread worker_;
};

}  // namespace glia

#endif  // GLIA_FRONTEND_LAZY_BACKEND_H_
