// What the lazy mode costs on the host, device and compiler aside: recording an operator, sorting
// and hashing a graph, running the code of a full-size BERT-base.
#include <ATen/Functions.h>
#include <benchmark/benchmark.h>
#include <torch/utils.h>

#include <vector>

#include "frontend/capture/capture.h"
#include "frontend/capture/metrics.h"
#include "frontend/lazy.h"
#include "tests/models/zoo.h"

namespace glia {
namespace {

at::Tensor OnDevice(at::IntArrayRef sizes) { return at::rand(sizes).to(xla_device()); }

// One operator an iteration.
void BM_RecordUnary(benchmark::State& state) {
  at::NoGradGuard no_grad;
  const at::Tensor x = OnDevice({2, 4});
  for (auto _ : state) benchmark::DoNotOptimize(x.relu());
}
BENCHMARK(BM_RecordUnary);

void BM_RecordBinary(benchmark::State& state) {
  at::NoGradGuard no_grad;
  const at::Tensor x = OnDevice({2, 4}), y = OnDevice({2, 4});
  for (auto _ : state) benchmark::DoNotOptimize(at::add(x, y));
}
BENCHMARK(BM_RecordBinary);

void BM_RecordNumber(benchmark::State& state) {
  at::NoGradGuard no_grad;
  const at::Tensor x = OnDevice({2, 4});
  for (auto _ : state) benchmark::DoNotOptimize(at::mul(x, 0.5));
}
BENCHMARK(BM_RecordNumber);

void BM_RecordView(benchmark::State& state) {
  at::NoGradGuard no_grad;
  const at::Tensor x = OnDevice({2, 4});
  for (auto _ : state) benchmark::DoNotOptimize(x.t().add(x.t()));
}
BENCHMARK(BM_RecordView);

// Sorting and hashing a graph of state.range(0) operators: what mark_step does before the look-up.
void BM_Graph(benchmark::State& state) {
  at::NoGradGuard no_grad;
  at::Tensor y = OnDevice({2, 4});
  for (int64_t i = 0; i < state.range(0); ++i) y = y.relu();
  for (auto _ : state) benchmark::DoNotOptimize(capture::PendingGraph({y}));
  state.SetItemsProcessed(state.iterations() * state.range(0));
}
BENCHMARK(BM_Graph)->Arg(10)->Arg(1000)->Arg(100000);

// The model's code, recorded and dropped; "op" is the time of one recorded operator.
void BM_RecordBert(benchmark::State& state) {
  at::NoGradGuard no_grad;
  const models::Instance bert = models::Find("bert_base").make(models::Size::kFull, /*batch=*/1);
  std::vector<at::Tensor> inputs;
  for (const at::Tensor& t : bert.inputs) inputs.push_back(t.to(xla_device()));
  bert.model->to(xla_device());
  bert.model->Run(inputs);
  const int64_t before = capture::CounterValue("capture.ops_recorded");
  for (auto _ : state) benchmark::DoNotOptimize(bert.model->Run(inputs));
  const double ops = static_cast<double>(capture::CounterValue("capture.ops_recorded") - before);
  state.counters["operators"] = ops / static_cast<double>(state.iterations());
  state.counters["op"] =
      benchmark::Counter(ops, benchmark::Counter::kIsRate | benchmark::Counter::kInvert);
}
BENCHMARK(BM_RecordBert)->Unit(benchmark::kMicrosecond);

}  // namespace
}  // namespace glia

BENCHMARK_MAIN();
