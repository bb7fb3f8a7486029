#include "compiler/cache/neff_cache.h"

#include <condition_variable>
#include <cstdlib>
#include <iostream>
#include <utility>

#include "absl/strings/ascii.h"
#include "absl/strings/escaping.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/strip.h"
#include "absl/types/optional.h"
#include "compiler/cache/files.h"
#include "compiler/version.h"
#include "openssl/sha.h"

namespace glia::compiler {
namespace {

std::string Sha256Hex(absl::string_view text) {
  unsigned char digest[SHA256_DIGEST_LENGTH];
  SHA256(reinterpret_cast<const unsigned char*>(text.data()), text.size(), digest);
  return absl::BytesToHexString(
      absl::string_view(reinterpret_cast<const char*>(digest), SHA256_DIGEST_LENGTH));
}

// A hash that can be part of a file name stands for itself.
std::string FileNamePart(absl::string_view hash) {
  bool plain = !hash.empty() && hash.size() <= 128;
  for (char c : hash)
    plain = plain && (absl::ascii_isalnum(static_cast<unsigned char>(c)) || c == '_' || c == '-');
  return plain ? std::string(hash) : Sha256Hex(hash);
}

std::string EntryName(absl::string_view graph_hash, const Options& options) {
  return absl::StrCat("neuronxcc-", kCompilerVersion, "/MODULE_", FileNamePart(graph_hash), "+",
                      Sha256Hex(options.Fingerprint()).substr(0, 8));
}

const char* NonEmptyVariable(const char* name) {
  const char* value = std::getenv(name);
  return value != nullptr && *value != 0 ? value : nullptr;
}

absl::StatusOr<std::string> DirectoryOfUrl(absl::string_view url) {
  if (absl::ConsumePrefix(&url, "file://")) {
    absl::ConsumePrefix(&url, "localhost");
    if (!absl::StartsWith(url, "/")) {
      return absl::InvalidArgumentError(
          absl::StrCat("the NEFF cache file://", url,
                       ": a file URL needs an absolute path, as in file:///var/cache"));
    }
  } else if (url.find("://") != absl::string_view::npos) {
    return absl::UnimplementedError(
        absl::StrCat("the NEFF cache ", url, ": only directories and file:// URLs are supported"));
  }
  while (url.size() > 1 && url.back() == '/') url.remove_suffix(1);
  return std::string(url);
}

}  // namespace

// One entry being read or compiled in this process. Threads other than the first wait for its
// result.
struct NeffCache::InFlight {
  std::mutex mutex;
  std::condition_variable changed;
  bool done = false;
  absl::Status status;
  neff::Blob neff;
};

NeffCache::NeffCache(std::string directory) : directory_(std::move(directory)) {}

std::unique_ptr<NeffCache> NeffCache::FromEnvironment() {
  absl::StatusOr<std::string> directory = CacheDirectory();
  if (directory.ok()) return std::make_unique<NeffCache>(*std::move(directory));
  auto cache = std::make_unique<NeffCache>("");
  cache->Warn(directory.status());
  return cache;
}

absl::StatusOr<CachedNeff> NeffCache::GetOrCompile(absl::string_view graph_hash,
                                                   const Options& options,
                                                   const CompileFn& compile) {
  const std::string entry = EntryName(graph_hash, options);
  std::shared_ptr<InFlight> flight;
  bool leads = false;
  {
    std::lock_guard<std::mutex> lock(mutex_);
    std::shared_ptr<InFlight>& slot = in_flight_[entry];
    if (slot == nullptr) {
      slot = std::make_shared<InFlight>();
      leads = true;
    }
    flight = slot;
  }
  if (!leads) {
    std::unique_lock<std::mutex> lock(flight->mutex);
    flight->changed.wait(lock, [&] { return flight->done; });
    if (!flight->status.ok()) return flight->status;
    CachedNeff shared;
    shared.neff = flight->neff;
    shared.hit = true;
    std::lock_guard<std::mutex> counters_lock(mutex_);
    ++counters_.hits;
    return shared;
  }

  absl::StatusOr<CachedNeff> result = absl::AbortedError("the compilation was given up");
  try {
    result = Lead(entry, options, compile);
  } catch (...) {  // from compile: those who wait must be told
    Land(entry, result, flight.get());
    throw;
  }
  Land(entry, result, flight.get());
  return result;
}

void NeffCache::Land(const std::string& entry, const absl::StatusOr<CachedNeff>& result,
                     InFlight* flight) {
  {
    std::lock_guard<std::mutex> lock(mutex_);
    in_flight_.erase(entry);
    if (result.ok()) {
      counters_.hits += result->hit ? 1 : 0;
      counters_.disk_accesses += result->disk_accesses;
    }
  }
  std::lock_guard<std::mutex> lock(flight->mutex);
  flight->done = true;
  flight->status = result.status();
  if (result.ok()) flight->neff = result->neff;
  flight->changed.notify_all();
}

absl::StatusOr<CachedNeff> NeffCache::Lead(const std::string& entry, const Options& options,
                                           const CompileFn& compile) {
  CachedNeff result;
  auto warn = [&](const absl::Status& cause) {
    const absl::Status status =
        absl::IsDataLoss(cause)
            ? cause
            : absl::Status(cause.code(),
                           absl::StrCat(cause.message(),
                                        "; set NEURON_COMPILE_CACHE_URL to a directory that "
                                        "can be written"));
    if (result.warning.ok()) result.warning = status;
    Warn(status);
  };
  // True when the entry was found whole.
  auto read = [&]() {
    absl::StatusOr<neff::Blob> neff = ReadEntry(entry, &result.disk_accesses);
    if (neff.ok()) {
      result.neff = *std::move(neff);
      result.hit = true;
    } else if (!absl::IsNotFound(neff.status())) {
      warn(neff.status());
    }
    return neff.ok();
  };

  absl::optional<FileLock> lock;
  if (enabled()) {
    if (read()) return result;
    const std::string path = absl::StrCat(directory_, "/", entry);
    absl::Status writable = MakeDirectories(path);
    if (writable.ok()) {
      ++result.disk_accesses;
      absl::StatusOr<FileLock> acquired = FileLock::Acquire(path + "/model.lock");
      writable = acquired.status();
      if (acquired.ok()) lock.emplace(*std::move(acquired));
    }
    if (!writable.ok()) warn(writable);
    // Another process may have compiled it while this one waited for the lock. A damaged entry is
    // reported once.
    if (lock.has_value() && result.warning.ok() && read()) return result;
  }
  {
    std::lock_guard<std::mutex> counters_lock(mutex_);
    ++counters_.compilations;
  }
  absl::StatusOr<neff::Neff> neff = compile();
  if (!neff.ok()) return neff.status();
  absl::StatusOr<std::string> bytes = neff::Write(*neff);
  if (!bytes.ok()) return bytes.status();
  if (lock.has_value()) {
    absl::Status written = WriteEntry(entry, options, *bytes, &result.disk_accesses);
    if (!written.ok()) {
      warn(written);
      std::lock_guard<std::mutex> counters_lock(mutex_);
      ++counters_.write_failures;
    }
  }
  result.neff = neff::Blob::FromString(*std::move(bytes));
  return result;
}

absl::StatusOr<neff::Blob> NeffCache::ReadEntry(const std::string& entry, int64_t* disk_accesses) {
  const std::string path = absl::StrCat(directory_, "/", entry, "/model.neff");
  ++*disk_accesses;
  absl::StatusOr<neff::Blob> bytes = neff::Blob::MapFile(path);
  if (!bytes.ok()) return bytes.status();
  const absl::Status valid = neff::Read(*bytes).status();
  if (valid.ok()) return bytes;
  {
    std::lock_guard<std::mutex> lock(mutex_);
    ++counters_.damaged;
  }
  return absl::DataLossError(
      absl::StrCat("entry ", path, " is damaged and compiled anew: ", valid.message()));
}

absl::Status NeffCache::WriteEntry(const std::string& entry, const Options& options,
                                   const std::string& bytes, int64_t* disk_accesses) {
  const std::string path = absl::StrCat(directory_, "/", entry);
  const std::string flags =
      absl::StrCat("{\"compiler_version\": \"", kCompilerVersion, "\", \"compile_flags\": \"",
                   absl::CEscape(options.Fingerprint()), "\"}\n");
  const std::pair<const char*, absl::string_view> files[] = {
      {"/model.neff", bytes}, {"/compile_flags.json", flags}, {"/model.done", ""}};
  for (const auto& [name, contents] : files) {
    ++*disk_accesses;
    RemoveAbandoned(path + name);  // the entry's lock is held
    absl::Status status = WriteFileAtomically(path + name, contents);
    if (!status.ok()) return status;
  }
  return absl::OkStatus();
}

CacheCounters NeffCache::counters() const {
  std::lock_guard<std::mutex> lock(mutex_);
  return counters_;
}

absl::Status NeffCache::warning() const {
  std::lock_guard<std::mutex> lock(mutex_);
  return warning_;
}

void NeffCache::Warn(const absl::Status& status) {
  std::lock_guard<std::mutex> lock(mutex_);
  if (!warning_.ok()) return;
  warning_ = status;
  std::cerr << "glia: warning: NEFF cache: " << status.message() << std::endl;
}

absl::StatusOr<std::string> CacheDirectory() {
  // Bad flags are an error of the compiler's, not of the cache's.
  const absl::StatusOr<Options> options = Options::FromEnvironment();
  if (options.ok() && !options->cache_dir.empty()) return DirectoryOfUrl(options->cache_dir);
  if (const char* url = NonEmptyVariable("NEURON_COMPILE_CACHE_URL")) return DirectoryOfUrl(url);
  if (const char* cache = NonEmptyVariable("XDG_CACHE_HOME"))
    return absl::StrCat(cache, "/glia/neff");
  if (const char* home = NonEmptyVariable("HOME")) return absl::StrCat(home, "/.cache/glia/neff");
  return absl::FailedPreconditionError(
      "disabled: set NEURON_COMPILE_CACHE_URL to a directory (XDG_CACHE_HOME and HOME are not set "
      "either)");
}

}  // namespace glia::compiler
