// NEURON_RT_INSPECT_ENABLE: what a process loads and runs, captured in a directory for later
// inspection. DIRECTORY/pid_PID/ gets model_N_vnc_V.neff, the bytes of each model loaded, which
// `glia profile` shows engine by engine (its time is a function of the NEFF), and runs.jsonl with a
// line for each run: {"model":"model_N_vnc_V","start_us":…,"host_us":…,"simulated_us":…}, start_us
// and host_us by the host's clock, from nrt_init on.
#ifndef GLIA_RUNTIME_INSPECT_H_
#define GLIA_RUNTIME_INSPECT_H_

#include <chrono>
#include <cstdint>
#include <cstdio>
#include <memory>
#include <mutex>
#include <string>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "serialization/neff/neff.h"

namespace glia::runtime {

// Thread-safe.
class Inspector {
 public:
  using Clock = std::chrono::steady_clock;

  // Makes the directory. Errors: FailedPrecondition with the path and the system's reason.
  static absl::StatusOr<std::unique_ptr<Inspector>> Create(const std::string& directory);
  ~Inspector();
  Inspector(const Inspector&) = delete;
  Inspector& operator=(const Inspector&) = delete;

  // Keeps the NEFF and returns the model's name there.
  absl::StatusOr<std::string> NoteModel(const neff::Blob& bytes, uint32_t vnc);
  void NoteRun(const std::string& model, Clock::time_point start, int64_t simulated_ps);

  const std::string& directory() const { return directory_; }

 private:
  Inspector(std::string directory, std::FILE* runs)
      : directory_(std::move(directory)), runs_(runs) {}

  const std::string directory_;
  const Clock::time_point begin_ = Clock::now();
  std::mutex mutex_;
  std::FILE* const runs_;
  int models_ = 0;
};

}  // namespace glia::runtime

#endif  // GLIA_RUNTIME_INSPECT_H_
