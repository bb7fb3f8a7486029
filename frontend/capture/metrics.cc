#include "frontend/capture/metrics.h"

#include <mutex>

namespace glia::capture {
namespace {

// Never destroyed: operators may still be counted while static objects go away.
struct Registry {
  std::mutex mutex;
  std::map<std::string, Metric> metrics;  // node-based: references stay valid
};

Registry& GetRegistry() {
  static Registry* registry = new Registry;
  return *registry;
}

}  // namespace

Metric& Counter(const std::string& name) {
  Registry& r = GetRegistry();
  std::lock_guard<std::mutex> lock(r.mutex);
  return r.metrics[name];
}

int64_t CounterValue(const std::string& name) {
  Registry& r = GetRegistry();
  std::lock_guard<std::mutex> lock(r.mutex);
  auto it = r.metrics.find(name);
  return it == r.metrics.end() ? 0 : it->second.Get();
}

std::map<std::string, int64_t> AllCounters() {
  Registry& r = GetRegistry();
  std::lock_guard<std::mutex> lock(r.mutex);
  std::map<std::string, int64_t> result;
  for (const auto& [name, metric] : r.metrics) result.emplace(name, metric.Get());
  return result;
}

std::string Report() {
  std::string result;
  for (const auto& [name, value] : AllCounters()) {
    if (value != 0) result += name + " " + std::to_string(value) + "\n";
  }
  return result;
}

void ResetCounters() {
  Registry& r = GetRegistry();
  std::lock_guard<std::mutex> lock(r.mutex);
  for (auto& [name, metric] : r.metrics) metric.Set(0);
}

}  // namespace glia::capture
