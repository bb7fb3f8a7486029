#include <fcntl.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <cerrno>
#include <cstdio>
#include <cstring>
#include <string>
#include <utility>

#include "absl/strings/str_cat.h"
#include "serialization/isa/validate.h"
#include "serialization/neff/archive.h"
#include "serialization/neff/digest.h"
#include "serialization/neff/header.h"
#include "serialization/neff/manifest.h"
#include "serialization/neff/neff.h"
#include "serialization/neff/tables.h"

namespace glia::neff {
namespace {

// A member of the archive may be unpacked by anybody's tar: nothing outside of the directory.
bool SafeName(const std::string& name) {
  if (name.empty() || name.size() > 4096 || name[0] == '/' || name.back() == '/') return false;
  size_t begin = 0;
  while (begin <= name.size()) {
    const size_t end = std::min(name.find('/', begin), name.size());
    const std::string part = name.substr(begin, end - begin);
    if (part.empty() || part == "." || part == "..") return false;
    begin = end + 1;
  }
  for (unsigned char c : name) {
    if (c < 0x20 || c >= 0x7f) return false;
  }
  return true;
}

absl::Status AddConstants(const Neff& neff, const std::map<std::string, std::string>& own,
                          Members* members) {
  std::map<std::string, bool> used;
  for (const auto& [name, blob] : neff.files) used[name] = false;
  for (const isa::Variable& v : neff.program.variables) {
    if (v.kind != isa::VariableKind::kFile) continue;
    const auto it = neff.files.find(v.file);
    if (it == neff.files.end()) {
      return absl::InvalidArgumentError(absl::StrCat("variable '", v.name, "' needs file '", v.file,
                                                     "', which is not among the NEFF's files"));
    }
    if (it->second.size() != static_cast<size_t>(v.bytes)) {
      return absl::InvalidArgumentError(absl::StrCat("variable '", v.name, "' has ", v.bytes,
                                                     " bytes, its file '", v.file, "' ",
                                                     it->second.size()));
    }
    used[v.file] = true;
  }
  for (const auto& [name, blob] : neff.files) {
    if (!used[name]) {
      return absl::InvalidArgumentError(
          absl::StrCat("file '", name, "' belongs to no variable of kind 'file'"));
    }
    if (!SafeName(name) || own.count(name) != 0) {
      return absl::InvalidArgumentError(
          absl::StrCat("file name '", name,
                       "' is not allowed: it must be a plain relative path in printable ASCII, "
                       "other than the names of the NEFF's own members"));
    }
    members->emplace_back(name, blob.view());
  }
  return absl::OkStatus();
}

// The archive's content: the NEFF's own members, and the constants, which stay where they are.
struct Content {
  std::map<std::string, std::string> own;
  Members members;
};
absl::StatusOr<Content> ContentOf(const Neff& neff) {
  absl::Status status = isa::Validate(neff.program);
  if (!status.ok()) return status;
  Content content;
  absl::StatusOr<std::map<std::string, std::string>> own = EncodeTables(neff.program);
  if (!own.ok()) return own.status();
  content.own = *std::move(own);
  absl::StatusOr<std::string> info = InfoJson(neff.info);
  if (!info.ok()) return info.status();
  content.own["info.json"] = *std::move(info);
  content.own[absl::StrCat(kSubgraph, "def.json")] = DefJson(neff.program);
  for (int e = 0; e < isa::kEngines; ++e) {
    content.own[absl::StrCat(kSubgraph, kEngineStems[e], ".json")] = EngineJson(neff.program, e);
  }
  for (const auto& [name, bytes] : content.own) content.members.emplace_back(name, bytes);
  status = AddConstants(neff, content.own, &content.members);
  if (!status.ok()) return status;
  return content;
}

// `digest`: of the archive of `size` bytes.
HeaderBytes HeaderFor(const Neff& neff, uint64_t size, Digest digest) {
  Header header;
  header.pkg_version = kPackageVersion;
  header.header_size = kHeaderSize;
  header.data_size = size;
  header.version_major = kFormatMajor;
  header.version_minor = kFormatMinor;
  header.build_version = kBuildVersion;
  header.num_tpb = 1;
  header.name = neff.program.name;
  header.requested_tpb_count = 1;
  header.tpb_per_node[0] = 1;
  header.lnc_size = 1;
  const std::array<uint8_t, kHashSize> content = digest.Value();
  std::memcpy(header.uuid.data(), content.data(), header.uuid.size());
  header.uuid[6] = (header.uuid[6] & 0x0f) | 0x80;  // version 8 of RFC 9562: vendor specific
  header.uuid[8] = (header.uuid[8] & 0x3f) | 0x80;
  digest.UpdateHeader(EncodeHeader(header));
  header.hash = digest.Value();
  return EncodeHeader(header);
}

absl::Status FileError(const char* what, absl::string_view path, int error) {
  const std::string message =
      absl::StrCat("cannot ", what, " '", path, "': ", std::strerror(error));
  switch (error) {
    case ENOSPC:
    case EDQUOT:
      return absl::ResourceExhaustedError(
          absl::StrCat(message, "; free some space or choose another place"));
    case EACCES:
    case EPERM:
    case EROFS:
      return absl::PermissionDeniedError(
          absl::StrCat(message, "; choose a directory that you may write"));
    case ENOENT:
    case ENOTDIR:
      return absl::NotFoundError(absl::StrCat(message, "; create the directory first"));
    default:
      return absl::UnavailableError(message);
  }
}

// A file that is gone again unless it was kept.
class TemporaryFile {
 public:
  explicit TemporaryFile(absl::string_view target)
      : target_(target), path_(absl::StrCat(target, ".tmp.", getpid(), ".", Counter())) {}
  ~TemporaryFile() {
    if (fd_ >= 0) close(fd_);
    if (created_) unlink(path_.c_str());
  }
  absl::Status Create() {
    fd_ = open(path_.c_str(), O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0644);
    if (fd_ < 0) return FileError("create", path_, errno);
    created_ = true;
    return absl::OkStatus();
  }
  absl::Status Append(absl::string_view bytes) {
    while (!bytes.empty()) {
      const ssize_t n = write(fd_, bytes.data(), bytes.size());
      if (n < 0 && errno == EINTR) continue;
      if (n < 0) return FileError("write", path_, errno);
      bytes.remove_prefix(static_cast<size_t>(n));
    }
    return absl::OkStatus();
  }
  absl::Status Rewind() {
    return lseek(fd_, 0, SEEK_SET) == 0 ? absl::OkStatus() : FileError("write", path_, errno);
  }
  absl::Status Keep() {
    if (fsync(fd_) != 0) return FileError("write", path_, errno);
    const int fd = std::exchange(fd_, -1);
    if (close(fd) != 0) return FileError("write", path_, errno);
    if (std::rename(path_.c_str(), target_.c_str()) != 0)
      return FileError("replace", target_, errno);
    created_ = false;
    SyncDirectory();
    return absl::OkStatus();
  }

 private:
  static int Counter() {
    static std::atomic<int> counter{0};
    return counter++;
  }
  // The file is complete either way: this only makes its name survive a power failure.
  void SyncDirectory() const {
    const size_t slash = target_.rfind('/');
    const std::string directory = slash == std::string::npos ? "."
                                  : slash == 0               ? "/"
                                                             : target_.substr(0, slash);
    const int fd = open(directory.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (fd < 0) return;
    fsync(fd);
    close(fd);
  }
  const std::string target_, path_;
  int fd_ = -1;
  bool created_ = false;
};

}  // namespace

absl::Status WriteTo(const Neff& neff, const std::function<char*(size_t size)>& allocate) {
  const absl::StatusOr<Content> content = ContentOf(neff);
  if (!content.ok()) return content.status();
  // Once for its size, which is cheap: the constants are only pointed to.
  size_t size = 0;
  absl::Status status = WriteArchive(content->members, [&size](absl::string_view bytes) {
    size += bytes.size();
    return absl::OkStatus();
  });
  if (!status.ok()) return status;
  char* const start = allocate(kHeaderSize + size);
  char* next = start + kHeaderSize;
  status = WriteArchive(content->members, [&next](absl::string_view bytes) {
    std::memcpy(next, bytes.data(), bytes.size());
    next += bytes.size();
    return absl::OkStatus();
  });
  if (!status.ok()) return status;
  Digest digest;
  digest.UpdateWhole(absl::string_view(start + kHeaderSize, size));
  const HeaderBytes header = HeaderFor(neff, size, std::move(digest));
  std::memcpy(start, header.data(), kHeaderSize);
  return absl::OkStatus();
}

absl::StatusOr<std::string> Write(const Neff& neff) {
  std::string bytes;
  absl::Status status = WriteTo(neff, [&bytes](size_t size) {
    bytes.resize(size);
    return &bytes[0];
  });
  if (!status.ok()) return status;
  return bytes;
}

absl::Status WriteFile(const Neff& neff, absl::string_view path) {
  const absl::StatusOr<Content> content = ContentOf(neff);
  if (!content.ok()) return content.status();
  TemporaryFile file(path);
  absl::Status status = file.Create();
  // The header depends on the data: its place is kept, then filled.
  if (status.ok()) status = file.Append(std::string(kHeaderSize, '\0'));
  if (!status.ok()) return status;
  Digest digest;
  uint64_t size = 0;
  status = WriteArchive(content->members, [&](absl::string_view bytes) {
    digest.Update(bytes);
    size += bytes.size();
    return file.Append(bytes);
  });
  if (!status.ok()) return status;
  const HeaderBytes header = HeaderFor(neff, size, std::move(digest));
  status = file.Rewind();
  if (status.ok()) {
    status =
        file.Append(absl::string_view(reinterpret_cast<const char*>(header.data()), header.size()));
  }
  return status.ok() ? file.Keep() : status;
}

}  // namespace glia::neff
