#include "device_sim/fast_threads.h"

#include <atomic>
#include <chrono>
#include <thread>
#include <vector>

#include "gtest/gtest.h"

namespace glia::device::fast {
namespace {

TEST(ThreadPool, RunsEveryPartOnce) {
  for (const int threads : {1, 2, 5}) {
    ThreadPool pool(threads);
    EXPECT_EQ(pool.threads(), threads);
    for (int job = 0; job < 2000; ++job) {
      const int parts = job % 7;
      std::vector<std::atomic<int>> seen(7);
      pool.ForEach(parts, [&](int part) { seen[part].fetch_add(1); });
      for (int p = 0; p < 7; ++p) ASSERT_EQ(seen[p].load(), p < parts ? 1 : 0);
    }
  }
}

TEST(ThreadPool, WakesSleepingWorkers) {
  ThreadPool pool(3);
  for (int job = 0; job < 20; ++job) {
    std::this_thread::sleep_for(std::chrono::milliseconds(2));
    std::atomic<int> sum{0};
    pool.ForEach(100, [&](int part) { sum.fetch_add(part); });
    ASSERT_EQ(sum.load(), 4950);
  }
}

TEST(ThreadPool, ServesSeveralCallers) {
  ThreadPool pool(2);
  std::vector<std::thread> callers;
  std::atomic<int> total{0};
  for (int c = 0; c < 4; ++c) {
    callers.emplace_back([&] {
      for (int job = 0; job < 500; ++job) pool.ForEach(4, [&](int) { total.fetch_add(1); });
    });
  }
  for (std::thread& t : callers) t.join();
  EXPECT_EQ(total.load(), 4 * 500 * 4);
}

}  // namespace
}  // namespace glia::device::fast
