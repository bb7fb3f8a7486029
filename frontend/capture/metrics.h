// Named process-wide counters. Free of torch. Thread-safe.
//   static Metric& hits = Counter("cache.hits");   // once
//   hits.Add(1);                                   // a relaxed atomic addition
// Names are dotted: capture.*, lazy.*, …
#ifndef GLIA_FRONTEND_CAPTURE_METRICS_H_
#define GLIA_FRONTEND_CAPTURE_METRICS_H_

#include <atomic>
#include <cstdint>
#include <map>
#include <string>

namespace glia::capture {

class Metric {
 public:
  void Add(int64_t n) { value_.fetch_add(n, std::memory_order_relaxed); }
  void Set(int64_t n) { value_.store(n, std::memory_order_relaxed); }
  int64_t Get() const { return value_.load(std::memory_order_relaxed); }

 private:
  std::atomic<int64_t> value_{0};
};

// The counter of that name, created at 0. The reference is valid for ever.
Metric& Counter(const std::string& name);
// Its value without creating it: 0 when it does not exist.
int64_t CounterValue(const std::string& name);
std::map<std::string, int64_t> AllCounters();
// "name value" lines, sorted by name, counters at zero left out.
std::string Report();
// All to zero. For tests, and to measure a part of a run.
void ResetCounters();

}  // namespace glia::capture

#endif  // GLIA_FRONTEND_CAPTURE_METRICS_H_
