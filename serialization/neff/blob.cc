#include <fcntl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <string>
#include <utility>

#include "absl/strings/str_cat.h"
#include "serialization/neff/neff.h"

namespace glia::neff {
namespace {

absl::Status SystemError(absl::string_view path, int error) {
  const std::string message = absl::StrCat("cannot read '", path, "': ", std::strerror(error));
  if (error == ENOENT || error == ENOTDIR) return absl::NotFoundError(message);
  if (error == EACCES || error == EPERM) return absl::PermissionDeniedError(message);
  return absl::UnavailableError(message);
}

struct Descriptor {
  int fd;
  ~Descriptor() { close(fd); }
};

}  // namespace

Blob Blob::FromString(std::string bytes) {
  auto owner = std::make_shared<const std::string>(std::move(bytes));
  const char* data = owner->data();
  const size_t size = owner->size();
  return View(std::move(owner), data, size);
}

Blob Blob::View(std::shared_ptr<const void> owner, const void* data, size_t size) {
  Blob blob;
  blob.owner_ = std::move(owner);
  blob.data_ = static_cast<const uint8_t*>(data);
  blob.size_ = size;
  return blob;
}

Blob Blob::Slice(size_t offset, size_t size) const { return View(owner_, data_ + offset, size); }

absl::StatusOr<Blob> Blob::MapFile(absl::string_view path) {
  const std::string name(path);
  const int fd = open(name.c_str(), O_RDONLY | O_CLOEXEC);
  if (fd < 0) return SystemError(path, errno);
  const Descriptor descriptor = {fd};
  struct stat info;
  if (fstat(fd, &info) != 0) return SystemError(path, errno);
  if (!S_ISREG(info.st_mode)) {
    return absl::InvalidArgumentError(absl::StrCat("cannot read '", path, "': not a regular file"));
  }
  const size_t size = static_cast<size_t>(info.st_size);
  if (size == 0) return Blob();
  void* data = mmap(nullptr, size, PROT_READ, MAP_PRIVATE, fd, 0);
  if (data == MAP_FAILED) return SystemError(path, errno);
  std::shared_ptr<const void> owner(data,
                                    [size](const void* p) { munmap(const_cast<void*>(p), size); });
  return View(std::move(owner), data, size);
}

}  // namespace glia::neff
