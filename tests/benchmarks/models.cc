// What the zoo's models cost at full size, in every mode, beside eager PyTorch and frozen
// TorchScript:
//
//   models [--models=mlp,resnet50,…] [--modes=eager,torchscript,lazy,traced_fp32,traced_bf16]
//          [--seconds=10] [--json] [--dump=DIRECTORY]
//
// The modes take turns in one process, in blocks; times are medians over all blocks. Peers run at
// the best of several settings of ATen's and OpenBLAS's threads. Peak memory and load time are
// those of a process of their own, less what it occupied before it had the model. --dump writes
// each traced model's NEFF, and the HLO before and after each compiler pass.
#include <ATen/Functions.h>
#include <ATen/Parallel.h>
#include <ATen/core/grad_mode.h>
#include <dlfcn.h>
#include <pthread.h>
#include <stdlib.h>
#include <torch/csrc/jit/api/module.h>
#include <torch/csrc/jit/serialization/import.h>
#include <unistd.h>

#include <algorithm>
#include <chrono>
#include <cstdio>
#include <cstring>
#include <fstream>
#include <functional>
#include <iostream>
#include <sstream>
#include <string>
#include <vector>

#include "frontend/lazy.h"
#include "frontend/trace.h"
#include "runtime/torch/neuron_model.h"
#include "tests/benchmarks/roofline.h"
#include "tests/models/torchscript.h"
#include "tests/models/zoo.h"

namespace glia::benchmarks {
namespace {

using Clock = std::chrono::steady_clock;
using models::Tensors;

double Microseconds(Clock::time_point since) {
  return std::chrono::duration<double, std::micro>(Clock::now() - since).count();
}

double Median(std::vector<double> times) {
  if (times.empty()) return 0;
  std::nth_element(times.begin(), times.begin() + times.size() / 2, times.end());
  return times[times.size() / 2];
}

// A line of /proc/self/status, in bytes.
int64_t ProcessMemory(const char* field) {
  std::ifstream status("/proc/self/status");
  std::string line;
  while (std::getline(status, line)) {
    if (line.rfind(field, 0) == 0)
      return std::strtoll(line.c_str() + std::strlen(field) + 1, nullptr, 10) * 1024;
  }
  return 0;
}

// ---- The models

// 10,000 element-wise operators on 64 elements.
class Chain : public models::Model {
 public:
  Tensors Run(const Tensors& inputs) override {
    at::Tensor x = inputs[0];
    for (int i = 0; i < 2500; ++i) x = at::tanh(x * 1.5 + 0.25).neg();
    return {x};
  }
};

struct Benchmark {
  const char* name;
  const char* entry;  // of the zoo; "" for the chain
  int64_t batch;
};
constexpr Benchmark kBenchmarks[] = {
    {"mlp", "mlp", 1},
    {"resnet50", "resnet50", 1},
    {"resnet50_b8", "resnet50", 8},
    {"mobilenet_v2", "mobilenet_v2", 1},
    {"bert_base", "bert_base", 1},
    {"bert_base_b8", "bert_base", 8},
    {"gpt2_decode", "gpt2_decode", 1},
    {"vit_b_16", "vit_b_16", 1},
    {"chain10k", "", 1},
};
// Those, then any other model of the zoo at batch 1.
Benchmark FindBenchmark(const std::string& name) {
  for (const Benchmark& b : kBenchmarks) {
    if (name == b.name) return b;
  }
  const models::Entry& entry = models::Find(name);
  return {entry.name, entry.name, 1};
}

size_t FirstState(const Benchmark& b) {
  return *b.entry == '\0' ? SIZE_MAX : models::Find(b.entry).first_state;
}

models::Instance Make(const Benchmark& b) {
  if (*b.entry == '\0') return {std::make_shared<Chain>(), {models::Draw(2).Normal({1, 64})}};
  return models::Find(b.entry).make(models::Size::kFull, b.batch);
}

Tensors Clone(const Tensors& tensors) {
  Tensors clones;
  for (const at::Tensor& t : tensors) clones.push_back(t.clone());
  return clones;
}

// ---- The modes

struct Threads {
  int aten, blas;
};
constexpr Threads kThreadSettings[] = {{2, 1}, {1, 2}, {2, 2}, {1, 1}};

void SetThreads(Threads threads) {
  using Setter = void (*)(int);
  static const Setter set_blas =
      reinterpret_cast<Setter>(dlsym(RTLD_DEFAULT, "openblas_set_num_threads"));
  at::set_num_threads(threads.aten);
  if (set_blas != nullptr) set_blas(threads.blas);
}

struct Row {
  std::string model, mode;
  double p50_us = 0, record_us = 0, compile_ms = 0, load_ms = 0;
  int64_t peak_rss_bytes = 0;
  double simulated_us = 0, roofline_us = 0;
  double error = 0;  // largest difference to eager over eager's largest value
  Threads threads = {0, 0};
};

// A model ready to be called in one mode.
struct Runner {
  Row row;
  std::function<Tensors()> call;  // of outputs on the CPU
  std::function<void(Row*)> finish = [](Row*) {};
  bool is_peer = false;
  std::vector<double> times;
  std::shared_ptr<std::vector<double>> record_times = std::make_shared<std::vector<double>>();
};

Runner Eager(const Benchmark& b) {
  Runner r;
  r.is_peer = true;
  const models::Instance instance = Make(b);
  r.call = [instance] { return instance.model->Run(instance.inputs); };
  return r;
}

Runner TorchScript(const Benchmark& b) {
  Runner r;
  r.is_peer = true;
  const models::Instance instance = Make(b);
  const Clock::time_point start = Clock::now();
  auto module = models::ToTorchScript(*instance.model, Clone(instance.inputs));
  auto fast = std::make_shared<torch::jit::Module>(torch::jit::optimize_for_inference(module));
  r.row.compile_ms = Microseconds(start) * 1e-3;
  r.call = [fast, inputs = instance.inputs] { return models::RunTorchScript(*fast, inputs); };
  return r;
}

// Inputs move at each call, the state stays on the device; output 0 comes back.
Runner Lazy(const Benchmark& b) {
  Runner r;
  const models::Instance instance = Make(b);
  instance.model->to(xla_device());
  Tensors state;
  const size_t first_state = std::min(FirstState(b), instance.inputs.size());
  for (size_t i = first_state; i < instance.inputs.size(); ++i) {
    state.push_back(instance.inputs[i].to(xla_device()));
  }
  r.call = [instance, state, first_state, record = r.record_times]() -> Tensors {
    const Clock::time_point start = Clock::now();
    Tensors inputs;
    for (size_t i = 0; i < first_state; ++i) {
      inputs.push_back(instance.inputs[i].to(xla_device()));
    }
    inputs.insert(inputs.end(), state.begin(), state.end());
    const Tensors outputs = instance.model->Run(inputs);
    record->push_back(Microseconds(start));
    mark_step();
    Tensors results;
    for (size_t i = 0; i < (state.empty() ? outputs.size() : 1); ++i) {
      results.push_back(outputs[i].cpu());
    }
    return results;
  };
  const size_t graphs_before = lazy_graphs().size();
  r.finish = [record = r.record_times, graphs_before](Row* row) {
    row->record_us = Median(*record);
    // The model's graph is the one of its calls that ran most often.
    const std::vector<GraphReport> graphs = lazy_graphs();
    int64_t most = 0;
    for (size_t i = graphs_before; i < graphs.size(); ++i) {
      row->compile_ms += graphs[i].compile_ms;
      if (graphs[i].executions < most) continue;
      most = graphs[i].executions;
      row->simulated_us = static_cast<double>(graphs[i].simulated_ps) * 1e-6;
    }
  };
  return r;
}

torch::jit::Module Trace(const Benchmark& b, bool bf16, const std::string& dump, Row* row) {
  const models::Instance instance = Make(b);
  TraceOptions options;
  options.name = b.name;
  options.compiler_args = {"--auto-cast", bf16 ? "matmult" : "none", "--auto-cast-type", "bf16"};
  const std::string path = dump + "/" + b.name + (bf16 ? ".bf16" : ".fp32");
  if (!dump.empty()) options.compiler_workdir = path;
  TraceReport report;
  torch::jit::Module traced = trace_module(
      *instance.model,
      [&](const std::vector<c10::IValue>& arguments) -> c10::IValue {
        Tensors inputs;
        for (const c10::IValue& a : arguments) inputs.push_back(a.toTensor());
        Tensors outputs = instance.model->Run(inputs);
        if (outputs.size() == 1) return outputs[0];
        std::vector<c10::IValue> elements(outputs.begin(), outputs.end());
        return c10::ivalue::Tuple::create(std::move(elements));
      },
      std::vector<c10::IValue>(instance.inputs.begin(), instance.inputs.end()), options, &report);
  row->compile_ms = report.compile_ms;
  if (!dump.empty()) {
    const at::Tensor neff =
        traced.attr("model").toCustomClass<neuron::Model>()->data().buckets[0].neff;
    std::ofstream(path + ".neff", std::ios::binary)
        .write(static_cast<const char*>(neff.data_ptr()), neff.numel());
  }
  return traced;
}

Runner Traced(const Benchmark& b, bool bf16, const std::string& dump) {
  Runner r;
  auto module = std::make_shared<torch::jit::Module>(Trace(b, bf16, dump, &r.row));
  const Tensors inputs = Make(b).inputs;
  r.call = [module, inputs] { return models::RunTorchScript(*module, inputs); };
  r.finish = [module](Row* row) {
    const auto statistics = module->attr("model").toCustomClass<neuron::Model>()->Statistics();
    row->simulated_us = static_cast<double>(statistics.simulated_ps) * 1e-6;
  };
  char path[] = "/tmp/glia_benchmark_XXXXXX";
  const int file = mkstemp(path);
  TORCH_CHECK(file >= 0, "cannot make a file in /tmp");
  close(file);
  module->save(path);
  r.row.model = path;  // until Measure has read it
  return r;
}

struct Mode {
  const char* name;
  std::function<Runner(const Benchmark&, const std::string& dump)> make;
};
const std::vector<Mode>& Modes() {
  static const auto* modes = new std::vector<Mode>{
      {"eager", [](const Benchmark& b, const std::string&) { return Eager(b); }},
      {"torchscript", [](const Benchmark& b, const std::string&) { return TorchScript(b); }},
      {"lazy", [](const Benchmark& b, const std::string&) { return Lazy(b); }},
      {"traced_fp32",
       [](const Benchmark& b, const std::string& dump) { return Traced(b, false, dump); }},
      {"traced_bf16",
       [](const Benchmark& b, const std::string& dump) { return Traced(b, true, dump); }},
  };
  return *modes;
}

// ---- A process of its own: load time and peak memory

// Prints "load_ms peak_bytes" of one mode; traced modes load `file`.
int RunChild(const std::string& name, const std::string& mode, const std::string& file) {
  at::NoGradGuard no_grad;
  const Benchmark b = FindBenchmark(name);
  const int64_t before = ProcessMemory("VmRSS:");
  double load_ms = 0;
  if (!file.empty()) {
    const Tensors inputs = [&] {
      const models::Instance instance = Make(b);
      return instance.inputs;
    }();
    std::ofstream("/proc/self/clear_refs") << "5";
    const int64_t base = ProcessMemory("VmRSS:");
    const Clock::time_point start = Clock::now();
    torch::jit::Module module = torch::jit::load(file);
    module.attr("model").toCustomClass<neuron::Model>()->Load();
    load_ms = Microseconds(start) * 1e-3;
    for (int i = 0; i < 3; ++i) models::RunTorchScript(module, inputs);
    std::printf("%.3f %lld\n", load_ms, static_cast<long long>(ProcessMemory("VmHWM:") - base));
    return 0;
  }
  for (const Mode& m : Modes()) {
    if (mode != m.name) continue;
    Runner runner = m.make(b, "");
    for (int i = 0; i < 3; ++i) runner.call();
  }
  std::printf("0 %lld\n", static_cast<long long>(ProcessMemory("VmHWM:") - before));
  return 0;
}

void MeasureInChild(Row* row, const std::string& file) {
  char self[4096];
  const ssize_t length = readlink("/proc/self/exe", self, sizeof(self) - 1);
  TORCH_CHECK(length > 0, "cannot find this program");
  const std::string command = "'" + std::string(self, length) + "' --child " + row->model + " " +
                              row->mode + " '" + file + "' 2>/dev/null";
  FILE* pipe = popen(command.c_str(), "r");
  TORCH_CHECK(pipe != nullptr, "cannot start a process");
  long long bytes = 0;
  const int fields = std::fscanf(pipe, "%lf %lld", &row->load_ms, &bytes);
  TORCH_CHECK(pclose(pipe) == 0 && fields == 2, row->model, " ", row->mode,
              ": the process that measures memory failed");
  row->peak_rss_bytes = bytes;
}

// ---- Measuring

double Difference(const Tensors& got, const Tensors& expected) {
  double worst = 0;
  for (size_t i = 0; i < got.size(); ++i) {
    const double scale = expected[i].abs().max().item<double>();
    worst = std::max(worst, (got[i] - expected[i]).abs().max().item<double>() / scale);
  }
  return worst;
}

Threads BestThreads(const Runner& runner) {
  Threads best = kThreadSettings[0];
  double best_us = 0;
  for (const Threads& threads : kThreadSettings) {
    SetThreads(threads);
    runner.call();
    std::vector<double> times;
    const Clock::time_point begin = Clock::now();
    while (times.size() < 3 || (times.size() < 100 && Microseconds(begin) < 3e5)) {
      const Clock::time_point start = Clock::now();
      runner.call();
      times.push_back(Microseconds(start));
    }
    if (best_us == 0 || Median(times) < best_us) {
      best_us = Median(times);
      best = threads;
    }
  }
  return best;
}

// Calls in one mode for 20 ms at least.
void Block(Runner* runner) {
  if (runner->is_peer) {
    SetThreads(runner->row.threads);
    runner->call();  // the first one after a change of threads starts them
  }
  const Clock::time_point begin = Clock::now();
  do {
    const Clock::time_point start = Clock::now();
    runner->call();
    runner->times.push_back(Microseconds(start));
  } while (Microseconds(begin) < 20'000);
}

struct Flags {
  std::vector<std::string> models, modes;
  double seconds = 10;
  bool json = false;
  std::string dump;
};

std::vector<Row> Measure(const Benchmark& b, const Flags& flags) {
  std::vector<Runner> runners;
  Work work;
  Tensors expected;
  {
    const models::Instance instance = Make(b);
    work = CountWork(*instance.model, Clone(instance.inputs));
    expected = instance.model->Run(Clone(instance.inputs));
  }
  std::vector<std::string> files;
  for (const Mode& mode : Modes()) {
    if (std::find(flags.modes.begin(), flags.modes.end(), mode.name) == flags.modes.end()) continue;
    std::fprintf(stderr, "%s %s\n", b.name, mode.name);
    Runner runner = mode.make(b, flags.dump);
    files.push_back(runner.row.model);
    runner.row.model = b.name;
    runner.row.mode = mode.name;
    runner.row.error = Difference(runner.call(), expected);
    if (runner.is_peer) runner.row.threads = BestThreads(runner);
    runners.push_back(std::move(runner));
  }
  for (Runner& r : runners) {
    r.call();
    r.record_times->clear();
  }
  const Clock::time_point begin = Clock::now();
  for (int round = 0; round < 5 || (round < 500 && Microseconds(begin) < flags.seconds * 1e6);
       ++round) {
    for (Runner& r : runners) Block(&r);
  }
  std::vector<Row> rows;
  for (size_t i = 0; i < runners.size(); ++i) {
    Runner& r = runners[i];
    r.row.p50_us = Median(r.times);
    r.finish(&r.row);
    r.row.roofline_us = RooflineMicroseconds(work, r.row.mode == "traced_bf16");
    rows.push_back(r.row);
  }
  runners.clear();
  for (size_t i = 0; i < rows.size(); ++i) {
    MeasureInChild(&rows[i], files[i]);
    if (!files[i].empty()) unlink(files[i].c_str());
  }
  return rows;
}

void PrintTable(const std::vector<Row>& rows) {
  std::printf("%-13s %-12s %11s %10s %10s %9s %9s %12s %11s %8s %7s\n", "model", "mode", "p50 us",
              "record us", "compile ms", "load ms", "peak MiB", "simulated us", "roofline us",
              "error", "threads");
  for (const Row& r : rows) {
    std::printf("%-13s %-12s %11.1f %10.1f %10.1f %9.1f %9.1f %12.2f %11.2f %8.1e", r.model.c_str(),
                r.mode.c_str(), r.p50_us, r.record_us, r.compile_ms, r.load_ms,
                static_cast<double>(r.peak_rss_bytes) / (1 << 20), r.simulated_us, r.roofline_us,
                r.error);
    if (r.threads.aten > 0) std::printf("   %d+%d", r.threads.aten, r.threads.blas);
    std::printf("\n");
  }
}

void PrintJson(const std::vector<Row>& rows) {
  std::printf("{\"rows\":[");
  for (size_t i = 0; i < rows.size(); ++i) {
    const Row& r = rows[i];
    std::printf(
        "%s\n{\"model\":\"%s\",\"mode\":\"%s\",\"p50_us\":%.3f,\"record_us\":%.3f,"
        "\"compile_ms\":%.3f,\"load_ms\":%.3f,\"peak_rss_bytes\":%lld,\"simulated_us\":%.6f,"
        "\"roofline_us\":%.6f}",
        i > 0 ? "," : "", r.model.c_str(), r.mode.c_str(), r.p50_us, r.record_us, r.compile_ms,
        r.load_ms, static_cast<long long>(r.peak_rss_bytes), r.simulated_us, r.roofline_us);
  }
  std::printf("\n]}\n");
}

std::vector<std::string> Split(const std::string& text) {
  std::vector<std::string> parts;
  std::stringstream stream(text);
  for (std::string part; std::getline(stream, part, ',');) parts.push_back(part);
  return parts;
}

// A new, empty NEFF cache, so that compilations are cold; removed at exit.
class ColdCache {
 public:
  ColdCache() {
    if (mkdtemp(path_) != nullptr) setenv("NEURON_COMPILE_CACHE_URL", path_, /*overwrite=*/1);
  }
  ~ColdCache() {
    if (std::system(("rm -rf '" + std::string(path_) + "'").c_str()) != 0) std::perror(path_);
  }

 private:
  char path_[32] = "/tmp/glia_neff_cache_XXXXXX";
};

int Main(int argc, char** argv) {
  ColdCache cache;
  if (argc >= 4 && std::strcmp(argv[1], "--child") == 0) {
    return RunChild(argv[2], argv[3], argc > 4 ? argv[4] : "");
  }
  Flags flags;
  for (const Benchmark& b : kBenchmarks) flags.models.push_back(b.name);
  for (const Mode& mode : Modes()) flags.modes.push_back(mode.name);
  for (int i = 1; i < argc; ++i) {
    const std::string text = argv[i];
    const size_t equals = text.find('=');
    const std::string name = text.substr(0, equals);
    const std::string value = equals == std::string::npos ? "" : text.substr(equals + 1);
    if (name == "--models") {
      flags.models = Split(value);
    } else if (name == "--modes") {
      flags.modes = Split(value);
    } else if (name == "--seconds") {
      flags.seconds = std::stod(value);
    } else if (name == "--json") {
      flags.json = true;
    } else if (name == "--dump") {
      flags.dump = value;
    } else {
      std::fprintf(
          stderr,
          "usage: %s [--models=A,B] [--modes=A,B] [--seconds=S] [--json] [--dump=DIRECTORY]\n",
          argv[0]);
      return 2;
    }
  }
  for (const std::string& name : flags.modes) {
    TORCH_CHECK(std::any_of(Modes().begin(), Modes().end(),
                            [&](const Mode& mode) { return name == mode.name; }),
                "no mode is called '", name, "'");
  }
  at::NoGradGuard no_grad;
  if (!flags.dump.empty() && flags.dump[0] != '/') {
    const char* directory = std::getenv("BUILD_WORKING_DIRECTORY");
    if (directory != nullptr) flags.dump = std::string(directory) + "/" + flags.dump;
  }
  std::vector<Row> rows;
  for (const std::string& name : flags.models) {
    const std::vector<Row> more = Measure(FindBenchmark(name), flags);
    rows.insert(rows.end(), more.begin(), more.end());
  }
  flags.json ? PrintJson(rows) : PrintTable(rows);
  return 0;
}

}  // namespace
}  // namespace glia::benchmarks

namespace {

struct Call {
  int argc;
  char** argv;
  int result;
};

void* RunMain(void* argument) {
  auto* call = static_cast<Call*>(argument);
  call->result = 1;
  try {
    call->result = glia::benchmarks::Main(call->argc, call->argv);
  } catch (const c10::Error& error) {
    std::fprintf(stderr, "%s: %s\n", call->argv[0], error.what_without_backtrace());
  } catch (const std::exception& error) {
    std::fprintf(stderr, "%s: %s\n", call->argv[0], error.what());
  }
  return nullptr;
}

}  // namespace

// On a thread with a large stack: libtorch's passes over TorchScript recurse along chain10k.
int main(int argc, char** argv) {
  setenv("NEURON_CC_FLAGS", "--auto-cast none", /*overwrite=*/0);  // the lazy mode's
  Call call = {argc, argv, 1};
  pthread_attr_t attributes;
  pthread_t thread;
  pthread_attr_init(&attributes);
  if (pthread_attr_setstacksize(&attributes, size_t{1} << 30) != 0 ||
      pthread_create(&thread, &attributes, RunMain, &call) != 0) {
    std::fprintf(stderr, "%s: cannot start a thread\n", argv[0]);
    return 1;
  }
  pthread_join(thread, nullptr);
  pthread_attr_destroy(&attributes);
  return call.result;
}
