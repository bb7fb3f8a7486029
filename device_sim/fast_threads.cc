#include "device_sim/fast_threads.h"

#include <algorithm>
#include <chrono>
#include <cstdlib>

namespace glia::device::fast {
namespace {

constexpr std::chrono::microseconds kSpin(50);

inline void Pause() {
#if defined(__x86_64__) || defined(__i386__)
  __builtin_ia32_pause();
#elif defined(__aarch64__)
  asm volatile("yield");
#endif
}

int ThreadsFromEnvironment() {
  if (const char* text = std::getenv("GLIA_NUM_THREADS")) {
    char* end = nullptr;
    const long value = std::strtol(text, &end, 10);
    if (end != text && *end == '\0' && value >= 1) return static_cast<int>(std::min(value, 256L));
  }
  return std::clamp(static_cast<int>(std::thread::hardware_concurrency()), 1, 256);
}

}  // namespace

ThreadPool& ThreadPool::Get() {
  // Never destroyed: other statics may still run programs while the process ends.
  static ThreadPool* const pool = new ThreadPool(ThreadsFromEnvironment());
  return *pool;
}

ThreadPool::ThreadPool(int threads) {
  for (int i = 1; i < threads; ++i) workers_.emplace_back([this] { Loop(); });
}

ThreadPool::~ThreadPool() {
  {
    std::lock_guard<std::mutex> lock(sleep_mutex_);
    stop_.store(true);
  }
  wake_.notify_all();
  for (std::thread& t : workers_) t.join();
}

// Works on the current job until its parts are claimed. False if there was nothing to do.
bool ThreadPool::Help(uint64_t& seen) {
  bool helped = false;
  for (;;) {
    uint64_t ticket = ticket_.load(std::memory_order_acquire);
    seen = ticket >> 32;
    const int part = static_cast<int>(ticket & 0xffff);
    const Work work = work_.load(std::memory_order_relaxed);
    const void* argument = argument_.load(std::memory_order_relaxed);
    if (part >= static_cast<int>((ticket >> 16) & 0xffff)) return helped;
    if (!ticket_.compare_exchange_weak(ticket, ticket + 1, std::memory_order_acq_rel)) continue;
    work(argument, part);
    done_.fetch_add(1, std::memory_order_release);
    helped = true;
  }
}

void ThreadPool::Loop() {
  uint64_t seen = 0;
  for (;;) {
    auto deadline = std::chrono::steady_clock::now() + kSpin;
    for (int spins = 1;; ++spins) {
      if ((ticket_.load(std::memory_order_acquire) >> 32) != seen && Help(seen)) {
        deadline = std::chrono::steady_clock::now() + kSpin;
      }
      if (stop_.load(std::memory_order_relaxed)) return;
      Pause();
      if (spins % 64 == 0 && std::chrono::steady_clock::now() > deadline) break;
    }
    std::unique_lock<std::mutex> lock(sleep_mutex_);
    sleepers_.fetch_add(1);
    wake_.wait(lock, [&] { return stop_.load() || (ticket_.load() >> 32) != seen; });
    sleepers_.fetch_sub(1);
  }
}

void ThreadPool::Run(int parts, Work work, const void* argument) {
  std::unique_lock<std::mutex> busy(busy_, std::defer_lock);
  if (parts <= 1 || parts > 0xffff || workers_.empty() || !busy.try_lock()) {
    for (int part = 0; part < parts; ++part) work(argument, part);
    return;
  }
  done_.store(0, std::memory_order_relaxed);
  work_.store(work, std::memory_order_relaxed);
  argument_.store(argument, std::memory_order_relaxed);
  const uint64_t generation = (ticket_.load(std::memory_order_relaxed) >> 32) + 1;
  // Sequentially consistent, with the sleepers' counting: either we see a sleeper or it sees the job.
  ticket_.store(generation << 32 | static_cast<uint64_t>(parts) << 16);
  if (sleepers_.load() > 0) {
    std::lock_guard<std::mutex> lock(sleep_mutex_);
    wake_.notify_all();
  }
  uint64_t seen;
  Help(seen);
  for (int spins = 1; done_.load(std::memory_order_acquire) < parts; ++spins) {
    Pause();
    if (spins % 4096 == 0) std::this_thread::yield();
  }
}

}  // namespace glia::device::fast
