// What the lazy mode costs on the host, device and compiler aside: recording an operator, sorting
// and hashing a graph, running the code of a full-size BERT-base; beside that, what libtorch's own
// lazy backend (TorchScript) takes to record the same program. And loading NEFFs.
#include <ATen/Functions.h>
#include <benchmark/benchmark.h>
#include <torch/csrc/jit/api/module.h>
#include <torch/csrc/jit/runtime/graph_executor.h>
#include <torch/csrc/lazy/ts_backend/ts_backend_impl.h>
#include <torch/utils.h>

#include <vector>

#include "compiler/compile.h"
#include "frontend/capture/capture.h"
#include "frontend/capture/metrics.h"
#include "frontend/lazy.h"
#include "nrt/nrt.h"
#include "serialization/hlo/text.h"
#include "serialization/neff/neff.h"
#include "tests/models/torchscript.h"
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

// A view records nothing: libtorch's own cost.
void BM_View(benchmark::State& state) {
  at::NoGradGuard no_grad;
  const at::Tensor x = OnDevice({2, 4});
  for (auto _ : state) benchmark::DoNotOptimize(x.transpose(0, 1));
}
BENCHMARK(BM_View);

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

// The same as TorchScript, which libtorch's lazy backend can run too (its tensors cannot be put
// into modules of C++): a frozen list of operators, without the module's code.
void RecordBertScript(benchmark::State& state, const c10::Device& device) {
  at::NoGradGuard no_grad;
  torch::jit::setGraphExecutorOptimize(false);
  const models::Instance bert = models::Find("bert_base").make(models::Size::kFull, /*batch=*/1);
  torch::jit::Module script = models::ToTorchScript(*bert.model, bert.inputs);
  for (const auto& p : script.named_parameters(/*recurse=*/false))
    script.setattr(p.name, p.value.to(device));
  for (const auto& b : script.named_buffers(/*recurse=*/false))
    script.setattr(b.name, b.value.to(device));
  std::vector<at::Tensor> inputs;
  for (const at::Tensor& t : bert.inputs) inputs.push_back(t.to(device));
  models::RunTorchScript(script, inputs);
  for (auto _ : state) benchmark::DoNotOptimize(models::RunTorchScript(script, inputs));
}

void BM_RecordBertScript(benchmark::State& state) { RecordBertScript(state, xla_device()); }
BENCHMARK(BM_RecordBertScript)->Unit(benchmark::kMicrosecond);

void BM_RecordBertScriptByLibtorch(benchmark::State& state) {
  torch::lazy::InitTorchScriptBackend();
  RecordBertScript(state, c10::Device(at::kLazy, 0));
}
BENCHMARK(BM_RecordBertScriptByLibtorch)->Unit(benchmark::kMicrosecond);

// A step of one small operator, all of it: recording, look-up, running, waiting.
void BM_Step(benchmark::State& state) {
  at::NoGradGuard no_grad;
  const at::Tensor x = OnDevice({2, 4});
  for (auto _ : state) {
    const at::Tensor y = x.relu();
    mark_step();
    wait_device_ops();
  }
}
BENCHMARK(BM_Step)->Unit(benchmark::kMicrosecond);

// A square matrix of ones, as HLO text.
std::string Matrix(int64_t n) {
  std::string row = "{1";
  for (int64_t i = 1; i < n; ++i) row += ",1";
  std::string text = "{" + row + "}";
  for (int64_t i = 1; i < n; ++i) text += "," + row + "}";
  return text + "}";
}

// Loading and unloading the NEFF of a chain of state.range(0) products by 128 x 128 constants.
void BM_LoadNeff(benchmark::State& state) {
  std::string text =
      "HloModule m\nENTRY e {\n  w = f32[128,128] constant({...})\n  x0 = f32[8,128] "
      "parameter(0)\n";
  for (int64_t i = 0; i < state.range(0); ++i) {
    const std::string root = i + 1 == state.range(0) ? "ROOT " : "";
    text += "  " + root + "x" + std::to_string(i + 1) + " = f32[8,128] dot(x" + std::to_string(i) +
            ", w), lhs_contracting_dims={1}, rhs_contracting_dims={0}\n";
  }
  const size_t dots = text.find("{...}");
  text.replace(dots, 5, Matrix(128));
  auto module = hlo::ParseModule(text + "}\n");
  TORCH_CHECK(module.ok(), module.status().ToString());
  auto compiled = compiler::Compile(*std::move(module), compiler::Options());
  TORCH_CHECK(compiled.ok(), compiled.status().ToString());
  auto bytes = neff::Write(compiled->neff);
  TORCH_CHECK(bytes.ok(), bytes.status().ToString());
  TORCH_CHECK(nrt_init(NRT_FRAMEWORK_TYPE_NO_FW, "", "") == NRT_SUCCESS);
  for (auto _ : state) {
    nrt_model_t* model = nullptr;
    TORCH_CHECK(nrt_load(bytes->data(), bytes->size(), 0, 1, &model) == NRT_SUCCESS);
    nrt_unload(model);
  }
  state.SetBytesProcessed(state.iterations() * static_cast<int64_t>(bytes->size()));
}
BENCHMARK(BM_LoadNeff)->Arg(1)->Arg(100)->Unit(benchmark::kMicrosecond);

}  // namespace
}  // namespace glia

BENCHMARK_MAIN();
