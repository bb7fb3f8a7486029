// A NEFF in memory, and its container: a 1024-byte header, then a tar archive with sg00/def.json, one
// binary and one JSON file per engine, DMA descriptors and constants. The layout of the header is the
// public one (work-with-neff-files.rst of aws-neuron-sdk); the engine encodings are ours.
#ifndef GLIA_SERIALIZATION_NEFF_NEFF_H_
#define GLIA_SERIALIZATION_NEFF_NEFF_H_

#include <array>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "serialization/isa/program.h"

namespace glia::neff {

// Read-only bytes, shared: a mapped file, a string, or another owner's memory kept alive.
class Blob {
 public:
  Blob() = default;
  static Blob FromString(std::string bytes);
  static Blob View(std::shared_ptr<const void> owner, const void* data, size_t size);
  // Maps the file. Errors: NotFound, or the system's reason with the path.
  static absl::StatusOr<Blob> MapFile(absl::string_view path);

  const uint8_t* data() const { return data_; }
  size_t size() const { return size_; }
  absl::string_view view() const { return {reinterpret_cast<const char*>(data_), size_}; }
  Blob Slice(size_t offset, size_t size) const;  // requires offset + size <= this->size()

 private:
  std::shared_ptr<const void> owner_;
  const uint8_t* data_ = nullptr;
  size_t size_ = 0;
};

// The fields of the 1024-byte header that a reader may want. Also filled for a foreign NEFF.
struct Header {
  uint64_t pkg_version = 0;
  uint64_t header_size = 0;
  uint64_t data_size = 0;
  uint64_t version_major = 0;
  uint64_t version_minor = 0;
  std::string build_version;  // "glia-..." marks ours
  uint32_t num_tpb = 0;
  std::array<uint8_t, 32> hash = {};
  std::array<uint8_t, 16> uuid = {};
  std::string name;
  uint32_t requested_tpb_count = 0;
  std::array<uint8_t, 64> tpb_per_node = {};
  uint64_t feature_bits = 0;
  uint32_t lnc_size = 0;
  bool is_glia() const;
};

struct ArchiveEntry {
  std::string name;
  size_t offset = 0;  // of the data, from the file's start
  size_t size = 0;
};

struct Neff {
  Header header;                             // filled by the reader; the writer makes its own
  isa::Program program;                      // program.name is the header's name
  std::map<std::string, Blob> files;         // bytes of every kFile variable, by Variable::file
  std::map<std::string, std::string> info;   // compiler version, options, graph hash, ...: info.json
};

// The bytes of the container. Equal inputs give equal bytes: the uuid derives from the content.
absl::StatusOr<std::string> Write(const Neff& neff);
// The same into memory of the caller's: `allocate` is called once and gives that many bytes.
absl::Status WriteTo(const Neff& neff, const std::function<char*(size_t size)>& allocate);
// Writes to a temporary file beside `path`, syncs, and renames: a reader sees all or nothing.
absl::Status WriteFile(const Neff& neff, absl::string_view path);

// Parses and validates all of it: sizes, SHA-256, every record, every reference. The result shares
// `bytes`; constants are not copied. Errors: DataLoss (truncated or altered), FailedPrecondition (a
// newer version of ours), Unimplemented (made by another compiler), InvalidArgument (not a NEFF).
absl::StatusOr<std::shared_ptr<const Neff>> Read(Blob bytes);

// For inspection: these accept foreign NEFFs too and check no hash.
absl::StatusOr<Header> ReadHeader(absl::string_view bytes);
absl::StatusOr<std::vector<ArchiveEntry>> ListArchive(const Blob& bytes);

}  // namespace glia::neff

#endif  // GLIA_SERIALIZATION_NEFF_NEFF_H_
