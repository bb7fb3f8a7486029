// The cache of compiled graphs on disk, shared by processes.
//
// A graph's entry is DIRECTORY/neuronxcc-VERSION/MODULE_<graph hash>+<options hash>/: model.neff,
// written as a whole or not at all, compile_flags.json (what the options hash stands for),
// model.done (empty, written last; other tools wait for it), and model.lock. Layout of neuronx's
// own cache, described in the aws-neuron-sdk documentation (neuron-caching.rst).
//
// A cache that cannot be read or written never fails a compilation: it is reported once, as a
// warning.
#ifndef GLIA_COMPILER_CACHE_NEFF_CACHE_H_
#define GLIA_COMPILER_CACHE_NEFF_CACHE_H_

#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <mutex>
#include <string>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "compiler/options.h"
#include "serialization/neff/neff.h"

namespace glia::compiler {

struct CachedNeff {
  neff::Blob neff;  // the container's bytes
  // Came from the disk, or from another thread's compilation. Otherwise compiled by this call.
  bool hit = false;
  // Files opened for this call.
  int64_t disk_accesses = 0;
  // Why the cache could not be used for this graph, or that its entry was damaged and replaced.
  absl::Status warning;
};

struct CacheCounters {
  int64_t hits = 0;
  int64_t compilations = 0;  // tried, failed ones too
  int64_t damaged = 0;       // entries found so
  int64_t write_failures = 0;
  int64_t disk_accesses = 0;
};

class NeffCache {
 public:
  using CompileFn = std::function<absl::StatusOr<neff::Neff>()>;

  // An empty directory disables it: every call compiles, but threads that want one graph at once
  // share it.
  explicit NeffCache(std::string directory);

  // In the directory of CacheDirectory(). With none, the cache is disabled and warning() says why.
  static std::unique_ptr<NeffCache> FromEnvironment();

  // The entry of the graph under these options and this compiler version, or the result of
  // compile(), which becomes the entry. Of threads and processes that ask for one entry at once,
  // one compiles and the others wait. Errors are compile's and neff::Write's; those that wait in
  // this process get the same. `graph_hash` identifies the graph: any text. Thread-safe; compile
  // may be called from any thread.
  absl::StatusOr<CachedNeff> GetOrCompile(absl::string_view graph_hash, const Options& options,
                                          const CompileFn& compile);

  bool enabled() const { return !directory_.empty(); }
  const std::string& directory() const { return directory_; }
  CacheCounters counters() const;
  // The first warning of all calls, or of FromEnvironment; OK when there was none. Also printed
  // once to stderr.
  absl::Status warning() const;

 private:
  struct InFlight;

  absl::StatusOr<CachedNeff> Lead(const std::string& entry, const Options& options,
                                  const CompileFn& compile);
  // Ends a flight with the leader's result.
  void Land(const std::string& entry, const absl::StatusOr<CachedNeff>& result, InFlight* flight);
  // The entry's bytes, having checked them. NotFound when there is none.
  absl::StatusOr<neff::Blob> ReadEntry(const std::string& entry, int64_t* disk_accesses);
  absl::Status WriteEntry(const std::string& entry, const Options& options,
                          const std::string& bytes, int64_t* disk_accesses);
  void Warn(const absl::Status& status);

  const std::string directory_;
  mutable std::mutex mutex_;
  std::map<std::string, std::shared_ptr<InFlight>> in_flight_;
  CacheCounters counters_;
  absl::Status warning_;
};

// Where the cache is: --cache_dir in NEURON_CC_FLAGS, else NEURON_COMPILE_CACHE_URL (a directory or
// file:// URL), else $XDG_CACHE_HOME/glia/neff, else $HOME/.cache/glia/neff. FAILED_PRECONDITION
// when none is set; UNIMPLEMENTED for another kind of URL (s3://…).
absl::StatusOr<std::string> CacheDirectory();

}  // namespace glia::compiler

#endif  // GLIA_COMPILER_CACHE_NEFF_CACHE_H_
