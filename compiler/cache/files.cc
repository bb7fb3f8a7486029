#include "compiler/cache/files.h"

#include <dirent.h>
#include <fcntl.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <cstdio>
#include <cstdlib>
#include <cstring>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"

namespace glia::compiler {
namespace {

constexpr char kTemporary[] = ".tmp.";

absl::Status SystemError(const char* what, const std::string& path, int error) {
  return absl::UnavailableError(
      absl::StrCat("cannot ", what, " ", path, ": ", std::strerror(error)));
}

}  // namespace

absl::Status MakeDirectories(const std::string& path) {
  for (size_t slash = path.find('/', 1);; slash = path.find('/', slash + 1)) {
    const std::string part = path.substr(0, slash);
    struct stat info;
    if (mkdir(part.c_str(), 0777) != 0) {
      const int error = errno == EEXIST ? ENOTDIR : errno;
      if (stat(part.c_str(), &info) != 0 || !S_ISDIR(info.st_mode)) {
        return SystemError("make the directory", part, error);
      }
    }
    if (slash == std::string::npos) return absl::OkStatus();
  }
}

void RemoveAbandoned(const std::string& path) {
  const size_t slash = path.rfind('/');
  const std::string directory = path.substr(0, slash);
  const std::string prefix = absl::StrCat(path.substr(slash + 1), kTemporary);
  DIR* entries = opendir(directory.c_str());
  if (entries == nullptr) return;
  while (const dirent* entry = readdir(entries)) {
    if (absl::StartsWith(entry->d_name, prefix)) {
      unlink(absl::StrCat(directory, "/", entry->d_name).c_str());
    }
  }
  closedir(entries);
}

absl::Status WriteFileAtomically(const std::string& path, absl::string_view contents) {
  std::string temporary = absl::StrCat(path, kTemporary, "XXXXXX");
  const int fd = mkostemp(&temporary[0], O_CLOEXEC);
  if (fd < 0) return SystemError("write", temporary, errno);
  int error = 0;
  while (!contents.empty() && error == 0) {
    const ssize_t written = write(fd, contents.data(), contents.size());
    if (written >= 0) {
      contents.remove_prefix(static_cast<size_t>(written));
    } else if (errno != EINTR) {
      error = errno;
    }
  }
  // mkostemp's mode is for the owner alone; a cache may be shared.
  const mode_t mask = umask(0);
  umask(mask);
  if (error == 0 && fchmod(fd, 0666 & ~mask) != 0) error = errno;
  if (error == 0 && fsync(fd) != 0) error = errno;
  if (close(fd) != 0 && error == 0) error = errno;
  if (error == 0 && rename(temporary.c_str(), path.c_str()) != 0) error = errno;
  if (error == 0) return absl::OkStatus();
  unlink(temporary.c_str());
  return SystemError("write", path, error);
}

absl::StatusOr<FileLock> FileLock::Acquire(const std::string& path) {
  const int fd = open(path.c_str(), O_RDWR | O_CREAT | O_CLOEXEC, 0666);
  if (fd < 0) return SystemError("open the lock", path, errno);
  while (flock(fd, LOCK_EX) != 0) {
    if (errno == EINTR) continue;
    const int error = errno;
    close(fd);
    return SystemError("lock", path, error);
  }
  return FileLock(fd);
}

FileLock::~FileLock() {
  if (fd_ >= 0) close(fd_);
}

}  // namespace glia::compiler
