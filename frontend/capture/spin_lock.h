// A lock for a few instructions that hardly ever meet another thread: half the cost of a mutex.
#ifndef GLIA_FRONTEND_CAPTURE_SPIN_LOCK_H_
#define GLIA_FRONTEND_CAPTURE_SPIN_LOCK_H_

#include <atomic>
#include <thread>

namespace glia::capture {

class SpinLock {
 public:
  void lock() {
    while (locked_.exchange(true, std::memory_order_acquire)) {
      while (locked_.load(std::memory_order_relaxed)) std::this_thread::yield();
    }
  }
  void unlock() { locked_.store(false, std::memory_order_release); }

 private:
  std::atomic<bool> locked_{false};
};

}  // namespace glia::capture

#endif  // GLIA_FRONTEND_CAPTURE_SPIN_LOCK_H_
