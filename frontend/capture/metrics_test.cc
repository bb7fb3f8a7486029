#include "frontend/capture/metrics.h"

#include <gtest/gtest.h>

#include <thread>
#include <vector>

namespace glia::capture {
namespace {

TEST(Metrics, CountsFromManyThreads) {
  ResetCounters();
  std::vector<std::thread> threads;
  for (int t = 0; t < 8; ++t) {
    threads.emplace_back([] {
      for (int i = 0; i < 1000; ++i) Counter("test.shared").Add(1);
    });
  }
  for (auto& t : threads) t.join();
  EXPECT_EQ(CounterValue("test.shared"), 8000);
}

TEST(Metrics, ReportsSortedAndWithoutZeros) {
  ResetCounters();
  Counter("b.two").Add(2);
  Counter("a.one").Add(1);
  Counter("c.zero");
  EXPECT_EQ(Report(), "a.one 1\nb.two 2\n");
}

TEST(Metrics, ReferencesSurviveAReset) {
  Metric& m = Counter("test.kept");
  m.Add(5);
  ResetCounters();
  EXPECT_EQ(CounterValue("test.kept"), 0);
  m.Add(1);
  EXPECT_EQ(CounterValue("test.kept"), 1);
  EXPECT_EQ(CounterValue("test.never made"), 0);
  EXPECT_EQ(AllCounters().count("test.never made"), 0u);
}

}  // namespace
}  // namespace glia::capture
