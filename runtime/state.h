// What the functions of the NRT C API share: handles, the process's state, and errors.
#ifndef GLIA_RUNTIME_STATE_H_
#define GLIA_RUNTIME_STATE_H_

#include <atomic>
#include <condition_variable>
#include <cstdint>
#include <map>
#include <memory>
#include <mutex>
#include <shared_mutex>
#include <string>
#include <unordered_map>
#include <vector>

#include "absl/status/status.h"
#include "absl/strings/string_view.h"
#include "device_sim/device.h"
#include "nrt/nrt.h"
#include "nrt/nrt_glia.h"
#include "runtime/environment.h"
#include "runtime/inspect.h"

// A tensor's memory and the part of it that the tensor is. Changed by nrt_tensor_attach_buffer only,
// which the caller keeps apart from other uses of the same tensor, as with memory it writes itself.
struct nrt_tensor {
  // Of the bytes behind a tensor, its slices included. Every write through the API gives them a version
  // that the process has not used before.
  struct Contents {
    std::atomic<uint64_t> version{0};
    std::atomic<bool> exposed{false};  // written past the API, perhaps
    void Changed() { version = NextVersion(); }
    static uint64_t NextVersion();
  };

  std::string name;
  std::shared_ptr<glia::device::HbmBuffer> hbm;  // device placement
  std::shared_ptr<uint8_t> host;                 // host placement, or an attached buffer
  uint8_t* data = nullptr;
  size_t size = 0;
  std::shared_ptr<Contents> contents;
  std::atomic<bool> weight{false};               // glia_nrt_tensor_set_weight
  mutable std::mutex mutex;                      // of `completed`
  mutable std::condition_variable changed;
  uint64_t completed = 0;
};

struct nrt_model {
  std::unique_ptr<glia::device::LoadedProgram> program;
  std::shared_ptr<glia::device::Core> core;
  uint32_t vnc = 0;
  std::shared_ptr<glia::runtime::Inspector> inspector;  // null when nothing is captured
  std::string inspect_name;                             // in the capture
  // Indices into the program's variables, in order, and their names.
  std::vector<int> inputs;
  std::vector<int> outputs;
  mutable std::mutex mutex;  // of what follows
  uint64_t executions = 0;
  int64_t last_simulated_ps = 0;
  // The addresses of the last run whose overlap check passed.
  std::vector<const uint8_t*> checked_inputs;
  std::vector<uint8_t*> checked_outputs;
};

namespace glia::runtime {

struct TensorSet {
  std::mutex mutex;
  std::map<std::string, nrt_tensor_t*, std::less<>> tensors;
};

// Live handles of one kind. Get keeps the object alive while a call uses it, whatever others free.
template <typename T>
class Registry {
 public:
  T* Add(std::shared_ptr<T> object) {
    std::unique_lock<std::shared_mutex> lock(mutex_);
    T* handle = object.get();
    objects_.emplace(handle, std::move(object));
    return handle;
  }
  std::shared_ptr<T> Get(const void* handle) const {
    std::shared_lock<std::shared_mutex> lock(mutex_);
    auto it = objects_.find(handle);
    return it == objects_.end() ? nullptr : it->second;
  }
  // The object, no longer registered; null when the handle is unknown.
  std::shared_ptr<T> Take(const void* handle) {
    std::unique_lock<std::shared_mutex> lock(mutex_);
    auto it = objects_.find(handle);
    if (it == objects_.end()) return nullptr;
    std::shared_ptr<T> object = std::move(it->second);
    objects_.erase(it);
    return object;
  }
  std::vector<std::shared_ptr<T>> TakeAll() {
    std::unique_lock<std::shared_mutex> lock(mutex_);
    std::vector<std::shared_ptr<T>> all;
    for (auto& [handle, object] : objects_) all.push_back(std::move(object));
    objects_.clear();
    return all;
  }

 private:
  mutable std::shared_mutex mutex_;
  std::unordered_map<const void*, std::shared_ptr<T>> objects_;
};

enum class Phase { kBefore, kOpen, kClosed };

struct State {
  std::shared_mutex mutex;  // of phase, environment, cores, inspector
  Phase phase = Phase::kBefore;
  Environment environment;
  std::vector<std::shared_ptr<device::Core>> cores;  // the visible ones
  std::shared_ptr<Inspector> inspector;              // null when nothing is captured
  std::atomic<uint32_t> next_core{0};
  std::atomic<bool> log_errors{false};
  Registry<nrt_tensor> tensors;
  Registry<nrt_model> models;
  Registry<TensorSet> sets;
};

// Never destroyed: threads may still call the API while the process ends.
State& GetState();

// Records the message for glia_nrt_last_error, prints it if the log level says so, and returns `status`.
NRT_STATUS Fail(NRT_STATUS status, absl::string_view message);
NRT_STATUS FailHandle(absl::string_view function, absl::string_view kind);
// For errors of loading and running.
NRT_STATUS FromStatus(absl::string_view function, const absl::Status& status);

// What is occupied; the other fields are 0.
glia_nrt_model_statistics_t MemoryStatistics(const device::MemoryUse& memory);

// NRT_SUCCESS between nrt_init and nrt_close.
NRT_STATUS CheckOpen(absl::string_view function);
// The visible core, or null after recording the error.
std::shared_ptr<device::Core> VisibleCore(absl::string_view function, int64_t vnc);

}  // namespace glia::runtime

#endif  // GLIA_RUNTIME_STATE_H_
