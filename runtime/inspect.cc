#include "runtime/inspect.h"

#include <unistd.h>

#include <atomic>
#include <cerrno>
#include <cstring>
#include <filesystem>
#include <system_error>
#include <utility>

#include "absl/strings/str_cat.h"

namespace glia::runtime {
namespace {

absl::Status Cannot(absl::string_view what, const std::string& path, const std::string& reason) {
  return absl::FailedPreconditionError(
      absl::StrCat("NEURON_RT_INSPECT_OUTPUT_DIR: cannot ", what, " ", path, ": ", reason));
}

double Microseconds(Inspector::Clock::duration d) {
  return std::chrono::duration<double, std::micro>(d).count();
}

}  // namespace

absl::StatusOr<std::unique_ptr<Inspector>> Inspector::Create(const std::string& directory) {
  // A process may open the runtime again.
  static std::atomic<int> sessions{0};
  const int session = sessions++;
  const std::string own = absl::StrCat(directory, "/pid_", getpid(),
                                       session == 0 ? "" : absl::StrCat("_", session + 1));
  std::error_code error;
  std::filesystem::create_directories(own, error);
  if (error) return Cannot("make the directory", own, error.message());
  const std::string path = own + "/runs.jsonl";
  std::FILE* runs = std::fopen(path.c_str(), "we");
  if (runs == nullptr) return Cannot("write", path, std::strerror(errno));
  return std::unique_ptr<Inspector>(new Inspector(own, runs));
}

Inspector::~Inspector() { std::fclose(runs_); }

absl::StatusOr<std::string> Inspector::NoteModel(const neff::Blob& bytes, uint32_t vnc) {
  std::lock_guard<std::mutex> lock(mutex_);
  std::string name = absl::StrCat("model_", models_++, "_vnc_", vnc);
  const std::string path = absl::StrCat(directory_, "/", name, ".neff");
  std::FILE* file = std::fopen(path.c_str(), "we");
  if (file == nullptr) return Cannot("write", path, std::strerror(errno));
  const bool written = std::fwrite(bytes.data(), 1, bytes.size(), file) == bytes.size();
  if (std::fclose(file) != 0 || !written) return Cannot("write", path, std::strerror(errno));
  return name;
}

void Inspector::NoteRun(const std::string& model, Clock::time_point start, int64_t simulated_ps) {
  const Clock::time_point end = Clock::now();
  std::lock_guard<std::mutex> lock(mutex_);
  std::fprintf(runs_,
               "{\"model\":\"%s\",\"start_us\":%.1f,\"host_us\":%.1f,\"simulated_us\":%.6f}\n",
               model.c_str(), Microseconds(start - begin_), Microseconds(end - start),
               static_cast<double>(simulated_ps) * 1e-6);
  std::fflush(runs_);
}

}  // namespace glia::runtime
