// The environment of the runtime: which cores a process sees.
#ifndef GLIA_RUNTIME_ENVIRONMENT_H_
#define GLIA_RUNTIME_ENVIRONMENT_H_

#include <cstdint>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "device_sim/device.h"

namespace glia::runtime {

struct Environment {
  int total_cores = 2;              // two on each of GLIA_NUM_DEVICES devices
  std::vector<int> visible_cores;   // physical indices, in the order the process numbers them
  int64_t hbm_bytes = 0;            // capacity of each core
  device::ExecutorKind executor = device::ExecutorKind::kFast;
  bool log_errors = false;
  std::string inspect_directory;  // "": nothing is captured
};

// "0", "1-3", "0,2-3": ascending ranges, every index once and below `total`. Error: InvalidArgument
// naming the text.
absl::StatusOr<std::vector<int>> ParseCoreList(absl::string_view text, int total);

// Reads NEURON_RT_VISIBLE_CORES, NEURON_RT_NUM_CORES, NEURON_RT_LOG_LEVEL, NEURON_RT_INSPECT_ENABLE,
// NEURON_RT_INSPECT_OUTPUT_DIR (./output if it is not set), GLIA_NUM_DEVICES, GLIA_HBM_BYTES and
// GLIA_DEVICE. As in libnrt, the list wins over the number when both are set. Error:
// InvalidArgument naming the variable and its value.
absl::StatusOr<Environment> ReadEnvironment();

}  // namespace glia::runtime

#endif  // GLIA_RUNTIME_ENVIRONMENT_H_
