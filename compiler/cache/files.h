// The few file operations that the cache needs, with the system's reason in every error.
#ifndef GLIA_COMPILER_CACHE_FILES_H_
#define GLIA_COMPILER_CACHE_FILES_H_

#include <string>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"

namespace glia::compiler {

// Makes the directory and those above it where they are missing.
absl::Status MakeDirectories(const std::string& path);

// Writes a temporary file beside `path`, syncs and renames it: a reader sees all of the old
// contents or all of the new. Nothing is left behind on an error.
absl::Status WriteFileAtomically(const std::string& path, absl::string_view contents);

// Removes the temporary files that WriteFileAtomically of `path` left when its process was killed.
// No other may be writing that path.
void RemoveAbandoned(const std::string& path);

// An exclusive lock on a file, which is made if it is missing; waits for it. Held until destruction
// or the end of the process, however that comes. The file stays.
class FileLock {
 public:
  static absl::StatusOr<FileLock> Acquire(const std::string& path);
  FileLock(FileLock&& other) noexcept : fd_(other.fd_) { other.fd_ = -1; }
  FileLock& operator=(FileLock&&) = delete;
  ~FileLock();

 private:
  explicit FileLock(int fd) : fd_(fd) {}
  int fd_;
};

}  // namespace glia::compiler

#endif  // GLIA_COMPILER_CACHE_FILES_H_
