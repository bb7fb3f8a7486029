// The two modes side by side: the same models traced ahead of time and run lazily, with what each costs.
//
//   trace_vs_lazy [--json]
//
// Computes in fp32; NEURON_CC_FLAGS="--auto-cast matmult" takes the compiler's default, bf16 products.
// Run it twice: the second time, the lazy graphs come from the NEFF cache and nothing is compiled.
#include <ATen/Functions.h>
#include <ATen/core/grad_mode.h>
#include <torch/csrc/jit/api/module.h>
#include <torch/nn/modules/activation.h>
#include <torch/nn/modules/container/sequential.h>
#include <torch/nn/modules/embedding.h>
#include <torch/nn/modules/linear.h>
#include <torch/utils.h>

#include <algorithm>
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <functional>
#include <string>
#include <vector>

#include "frontend/lazy.h"
#include "frontend/trace.h"
#include "runtime/torch/neuron_model.h"

namespace {

using Clock = std::chrono::steady_clock;

struct Row {
  std::string model;
  std::string mode;
  std::string shape;
  double compile_ms = 0;
  double first_call_ms = 0;
  double steady_call_us = 0;
  int64_t compilations = 0;
  int64_t cache_hits = 0;
  double max_abs_err = 0;
  double simulated_us = 0;
  uint64_t device_bytes = 0;
  uint64_t neff_bytes = 0;
};

double Milliseconds(Clock::time_point since) {
  return std::chrono::duration<double, std::milli>(Clock::now() - since).count();
}

// Median time of a call in microseconds, of at least 51 calls and up to a second.
double MedianMicroseconds(const std::function<void()>& call) {
  for (int i = 0; i < 5; ++i) call();
  std::vector<double> times;
  const Clock::time_point begin = Clock::now();
  while (times.size() < 51 || (times.size() < 2001 && Milliseconds(begin) < 1000)) {
    const Clock::time_point start = Clock::now();
    call();
    times.push_back(Milliseconds(start) * 1e3);
  }
  std::nth_element(times.begin(), times.begin() + times.size() / 2, times.end());
  return times[times.size() / 2];
}

std::string ShapeOf(const at::Tensor& t) {
  std::string text = "[";
  for (int64_t d = 0; d < t.dim(); ++d) text += (d > 0 ? "," : "") + std::to_string(t.size(d));
  return text + "]";
}

struct Model {
  std::string name;
  torch::nn::Sequential module;
  std::vector<at::Tensor> inputs;  // the first is traced
};

std::vector<Model> Models() {
  torch::manual_seed(0);
  torch::nn::Sequential mlp(torch::nn::Linear(784, 120), torch::nn::ReLU(),
                            torch::nn::Linear(120, 10), torch::nn::Softmax(/*dim=*/1));
  torch::nn::Sequential embedding(torch::nn::Embedding(30522, 512), torch::nn::Linear(512, 128),
                                  torch::nn::ReLU(), torch::nn::Linear(128, 2),
                                  torch::nn::Softmax(/*dim=*/-1));
  return {
      {"mlp", mlp, {at::rand({1, 784})}},
      {"embedding", embedding, {at::randint(30522, {1, 4}), at::randint(30522, {2, 6})}},
  };
}

double MaxAbsError(const at::Tensor& a, const at::Tensor& b) {
  return (a - b).abs().max().item<double>();
}

Row RunTraced(const Model& model, torch::jit::Module* traced) {
  Row row;
  row.model = model.name;
  row.mode = "traced";
  row.shape = ShapeOf(model.inputs[0]);
  glia::TraceOptions options;
  options.name = model.name;
  glia::TraceReport report;
  *traced = glia::trace(model.module, {model.inputs[0]}, options, &report);
  row.compile_ms = report.compile_ms;
  row.compilations = 1;
  std::vector<c10::IValue> inputs = {model.inputs[0]};
  const Clock::time_point start = Clock::now();
  const at::Tensor output = traced->forward(inputs).toTensor();
  row.first_call_ms = Milliseconds(start);
  row.max_abs_err = MaxAbsError(output, model.module.ptr()->forward(model.inputs[0]));
  row.steady_call_us = MedianMicroseconds([&] { traced->forward(inputs); });
  const auto statistics =
      traced->attr("model").toCustomClass<glia::neuron::Model>()->Statistics();
  row.simulated_us = static_cast<double>(statistics.simulated_ps) * 1e-6;
  row.device_bytes = statistics.device_bytes;
  row.neff_bytes = statistics.neff_bytes;
  return row;
}

Row RunLazy(const Model& model, const torch::nn::Sequential& on_device, const at::Tensor& input) {
  Row row;
  row.model = model.name;
  row.mode = "lazy";
  row.shape = ShapeOf(input);
  const int64_t compilations = glia::metric("lazy.compilations");
  const int64_t cache_hits = glia::metric("lazy.cache_hits");
  auto call = [&] {
    const at::Tensor output = on_device.ptr()->forward(input.to(glia::xla_device()));
    glia::mark_step();
    return output.cpu();
  };
  const Clock::time_point start = Clock::now();
  const at::Tensor output = call();
  row.first_call_ms = Milliseconds(start);
  row.max_abs_err = MaxAbsError(output, model.module.ptr()->forward(input));
  row.compilations = glia::metric("lazy.compilations") - compilations;
  row.cache_hits = glia::metric("lazy.cache_hits") - cache_hits;
  row.steady_call_us = MedianMicroseconds([&] { call(); });
  const glia::GraphReport graph = glia::lazy_graphs().back();
  row.compile_ms = graph.compile_ms;
  row.simulated_us = static_cast<double>(graph.simulated_ps) * 1e-6;
  row.device_bytes = graph.device_bytes;
  row.neff_bytes = graph.neff_bytes;
  return row;
}

void PrintTable(const std::vector<Row>& rows) {
  std::printf("%-10s %-7s %-8s %11s %11s %11s %8s %6s %10s %12s %11s %10s\n", "model", "mode",
              "shape", "compile ms", "first ms", "steady us", "compiled", "cached", "max err",
              "simulated us", "device KiB", "NEFF KiB");
  for (const Row& r : rows) {
    std::printf("%-10s %-7s %-8s %11.2f %11.2f %11.1f %8lld %6lld %10.1e %12.3f %11.1f %10.1f\n",
                r.model.c_str(), r.mode.c_str(), r.shape.c_str(), r.compile_ms, r.first_call_ms,
                r.steady_call_us, static_cast<long long>(r.compilations),
                static_cast<long long>(r.cache_hits), r.max_abs_err, r.simulated_us,
                static_cast<double>(r.device_bytes) / 1024,
                static_cast<double>(r.neff_bytes) / 1024);
  }
}

void PrintJson(const std::vector<Row>& rows) {
  std::printf("{\"rows\":[");
  for (size_t i = 0; i < rows.size(); ++i) {
    const Row& r = rows[i];
    std::printf(
        "%s\n{\"model\":\"%s\",\"mode\":\"%s\",\"shape\":\"%s\",\"compile_ms\":%.3f,"
        "\"first_call_ms\":%.3f,\"steady_call_us\":%.3f,\"compilations\":%lld,\"cache_hits\":%lld,"
        "\"max_abs_err\":%.9g,\"simulated_us\":%.6f,\"device_bytes\":%llu,\"neff_bytes\":%llu}",
        i > 0 ? "," : "", r.model.c_str(), r.mode.c_str(), r.shape.c_str(), r.compile_ms,
        r.first_call_ms, r.steady_call_us, static_cast<long long>(r.compilations),
        static_cast<long long>(r.cache_hits), r.max_abs_err, r.simulated_us,
        static_cast<unsigned long long>(r.device_bytes),
        static_cast<unsigned long long>(r.neff_bytes));
  }
  std::printf("\n]}\n");
}

int Run(bool json) {
  at::NoGradGuard no_grad;
  std::vector<Row> rows;
  std::vector<std::string> notes;
  for (Model& model : Models()) {
    torch::jit::Module traced("none");
    rows.push_back(RunTraced(model, &traced));
    for (size_t i = 1; i < model.inputs.size(); ++i) {
      try {
        traced.forward({model.inputs[i]});
        notes.push_back(model.name + ": the traced module took another shape; that is a bug");
        return 1;
      } catch (const c10::Error& error) {
        notes.push_back(model.name + " traced, given " + ShapeOf(model.inputs[i]) + ": " +
                        error.what_without_backtrace());
      } catch (const std::exception& error) {
        notes.push_back(model.name + " traced, given " + ShapeOf(model.inputs[i]) + ": " +
                        error.what());
      }
    }
    auto on_device = std::dynamic_pointer_cast<torch::nn::SequentialImpl>(model.module->clone());
    on_device->to(glia::xla_device());
    for (size_t i = 0; i < model.inputs.size(); ++i) {
      rows.push_back(RunLazy(model, on_device, model.inputs[i]));
      const Row& row = rows.back();
      if (i > 0) {
        notes.push_back(model.name + " lazy, given " + row.shape + ": a new shape is a new graph, " +
                        (row.compilations > 0 ? "recompiled" : "found in the NEFF cache"));
      }
    }
  }
  if (json) {
    PrintJson(rows);
    return 0;
  }
  PrintTable(rows);
  for (const std::string& note : notes) std::printf("\n%s\n", note.c_str());
  return 0;
}

}  // namespace

int main(int argc, char** argv) {
  // By default the compiler rounds the operands of matrix products to bf16. In fp32, what is left of the
  // differences from the CPU is the order of sums.
  setenv("NEURON_CC_FLAGS", "--auto-cast none", /*overwrite=*/0);
  const bool json = argc == 2 && std::strcmp(argv[1], "--json") == 0;
  if (argc > 1 && !json) {
    std::fprintf(stderr, "usage: %s [--json]\n", argv[0]);
    return 2;
  }
  try {
    return Run(json);
  } catch (const c10::Error& error) {
    std::fprintf(stderr, "trace_vs_lazy: %s\n", error.what_without_backtrace());
    return 1;
  } catch (const std::exception& error) {
    std::fprintf(stderr, "trace_vs_lazy: %s\n", error.what());
    return 1;
  }
}
