// Just-in-time execution on the `xla` device: move a model and its inputs there, run the model, and call
// mark_step(). What was recorded since the last step is compiled once per graph, kept in memory and in
// the NEFF cache, and run on a simulated NeuronCore. A new shape is a new graph.
//
//   model->to(glia::xla_device());
//   at::Tensor y = model->forward(x.to(glia::xla_device()));
//   glia::mark_step();
//   std::cout << y.cpu();
//
// Linking //frontend:lazy installs the device. NEURON_CC_FLAGS and NEURON_COMPILE_CACHE_URL are read when
// the first graph is compiled. Thread-safe; errors are c10::Error.
#ifndef GLIA_FRONTEND_LAZY_H_
#define GLIA_FRONTEND_LAZY_H_

#if __cplusplus < 201703L
#error "glia needs C++17: build with --cxxopt=-std=c++17"
#endif

#include <c10/core/Device.h>

#include <cstdint>
#include <string>
#include <vector>

namespace glia {

c10::Device xla_device();

// Sends all that is pending, of all threads, to the device as one graph; may return before the device has
// finished. An error of an earlier step that ran meanwhile surfaces where its values are read.
void mark_step();

// Waits until the device has finished everything sent to it.
void wait_device_ops();

// Counters, one per line: graphs compiled, found in memory and in the NEFF cache, operators recorded and
// run on the CPU instead, bytes moved. `metric` gives one of them, 0 when it never counted.
std::string metrics_report();
int64_t metric(const std::string& name);

// One graph that this process has run.
struct GraphReport {
  enum class Source { kCompiled, kDiskCache };
  std::string hash;
  Source source = Source::kCompiled;
  double compile_ms = 0;         // time to have the NEFF: compilation, or reading the cache
  int64_t executions = 0;
  uint64_t simulated_ps = 0;     // of the last execution
  uint64_t device_bytes = 0;     // constants, scratch, inputs and outputs
  uint64_t neff_bytes = 0;
};

// In the order of first execution.
std::vector<GraphReport> lazy_graphs();

}  // namespace glia

#endif  // GLIA_FRONTEND_LAZY_H_
