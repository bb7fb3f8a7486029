#include "runtime/environment.h"

#include <algorithm>
#include <cstdlib>
#include <numeric>
#include <string>

#include "absl/strings/ascii.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"

namespace glia::runtime {
namespace {

absl::string_view Variable(const char* name) {
  const char* value = std::getenv(name);
  return value == nullptr ? absl::string_view() : absl::StripAsciiWhitespace(value);
}

absl::Status Bad(absl::string_view name, absl::string_view value, absl::string_view want) {
  return absl::InvalidArgumentError(absl::StrCat(name, " is '", value, "'; expected ", want));
}

absl::StatusOr<int64_t> Number(const char* name, int64_t otherwise, int64_t least, int64_t most) {
  const absl::string_view text = Variable(name);
  if (text.empty()) return otherwise;
  int64_t value = 0;
  if (!absl::SimpleAtoi(text, &value) || value < least || value > most) {
    return Bad(name, text, absl::StrCat("a number from ", least, " to ", most));
  }
  return value;
}

}  // namespace

absl::StatusOr<std::vector<int>> ParseCoreList(absl::string_view text, int total) {
  const std::string want =
      absl::StrCat("a list such as \"0\", \"0-1\" or \"0,2-3\" of cores 0 to ", total - 1,
                   ", each at most once");
  std::vector<int> cores;
  for (absl::string_view part : absl::StrSplit(text, ',')) {
    const std::vector<absl::string_view> ends = absl::StrSplit(part, absl::MaxSplits('-', 1));
    int first = 0;
    int last = 0;
    if (!absl::SimpleAtoi(ends.front(), &first) || !absl::SimpleAtoi(ends.back(), &last) ||
        first < 0 || last < first || last >= total) {
      return absl::InvalidArgumentError(absl::StrCat("'", text, "' is not ", want));
    }
    for (int core = first; core <= last; ++core) {
      if (std::find(cores.begin(), cores.end(), core) != cores.end()) {
        return absl::InvalidArgumentError(absl::StrCat("'", text, "' is not ", want));
      }
      cores.push_back(core);
    }
  }
  return cores;
}

absl::StatusOr<Environment> ReadEnvironment() {
  Environment env;
  auto devices = Number("GLIA_NUM_DEVICES", 1, 1, 64);
  if (!devices.ok()) return devices.status();
  env.total_cores = static_cast<int>(*devices) * 2;

  auto hbm = Number("GLIA_HBM_BYTES", isa::kHbmBytesPerCore, 1, int64_t{1} << 50);
  if (!hbm.ok()) return hbm.status();
  env.hbm_bytes = *hbm;

  auto count = Number("NEURON_RT_NUM_CORES", env.total_cores, 1, env.total_cores);
  if (!count.ok()) {
    return absl::InvalidArgumentError(
        absl::StrCat(count.status().message(), " (the cores of ", *devices,
                     " simulated devices; set GLIA_NUM_DEVICES for more)"));
  }
  env.visible_cores.resize(*count);
  std::iota(env.visible_cores.begin(), env.visible_cores.end(), 0);

  const absl::string_view list = Variable("NEURON_RT_VISIBLE_CORES");
  if (!list.empty()) {
    auto cores = ParseCoreList(list, env.total_cores);
    if (!cores.ok()) {
      return absl::InvalidArgumentError(
          absl::StrCat("NEURON_RT_VISIBLE_CORES: ", cores.status().message()));
    }
    env.visible_cores = *std::move(cores);
  }

  const std::string level = absl::AsciiStrToUpper(Variable("NEURON_RT_LOG_LEVEL"));
  if (!level.empty()) {
    static const char* const kLevels[] = {"CRITICAL", "ERROR", "WARN", "WARNING", "INFO", "DEBUG",
                                          "TRACE"};
    if (std::find(std::begin(kLevels), std::end(kLevels), level) == std::end(kLevels)) {
      return Bad("NEURON_RT_LOG_LEVEL", level, "CRITICAL, ERROR, WARN, INFO, DEBUG or TRACE");
    }
    env.log_errors = level != "CRITICAL";
  }

  auto inspect = Number("NEURON_RT_INSPECT_ENABLE", 0, 0, 1);
  if (!inspect.ok()) return inspect.status();
  if (*inspect == 1) {
    const absl::string_view directory = Variable("NEURON_RT_INSPECT_OUTPUT_DIR");
    env.inspect_directory = directory.empty() ? "./output" : std::string(directory);
  }

  auto executor = device::ExecutorKindFromEnvironment();
  if (!executor.ok()) return executor.status();
  env.executor = *executor;
  return env;
}

}  // namespace glia::runtime
