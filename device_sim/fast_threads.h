// Fork and join of short pieces of work, for the fast executor.
#ifndef GLIA_DEVICE_SIM_FAST_THREADS_H_
#define GLIA_DEVICE_SIM_FAST_THREADS_H_

#include <atomic>
#include <condition_variable>
#include <cstdint>
#include <mutex>
#include <thread>
#include <vector>

namespace glia::device::fast {

// Workers wait for work by spinning for some 50 microseconds, then sleep. One job at a time: a caller
// that finds the pool busy runs its job alone. Thread-safe.
class ThreadPool {
 public:
  // The pool of the process: GLIA_NUM_THREADS threads, the caller's included (1 to 256), or as many as
  // there are processors. Started at first use.
  static ThreadPool& Get();

  explicit ThreadPool(int threads);
  ~ThreadPool();
  ThreadPool(const ThreadPool&) = delete;
  ThreadPool& operator=(const ThreadPool&) = delete;

  int threads() const { return static_cast<int>(workers_.size()) + 1; }

  // Calls work(argument, part) for each part in [0, parts), in any order on any thread; returns when
  // all are done.
  using Work = void (*)(const void* argument, int part);
  void Run(int parts, Work work, const void* argument);

  // The same for a callable taking the part.
  template <class F>
  void ForEach(int parts, const F& f) {
    Run(parts, [](const void* p, int part) { (*static_cast<const F*>(p))(part); }, &f);
  }

 private:
  void Loop();
  bool Help(uint64_t& seen);

  // Generation of the job (32 bits), its number of parts (16), the next unclaimed one (16). Parts are
  // claimed by compare-exchange, which fails when the job has ended meanwhile.
  alignas(64) std::atomic<uint64_t> ticket_{0};
  std::atomic<Work> work_{nullptr};
  std::atomic<const void*> argument_{nullptr};
  alignas(64) std::atomic<int> done_{0};
  alignas(64) std::atomic<int> sleepers_{0};
  std::atomic<bool> stop_{false};
  std::mutex busy_;
  std::mutex sleep_mutex_;
  std::condition_variable wake_;
  std::vector<std::thread> workers_;
};

}  // namespace glia::device::fast

#endif  // GLIA_DEVICE_SIM_FAST_THREADS_H_
