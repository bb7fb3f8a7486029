// The tar archive inside a NEFF, through libarchive. Not for others: ListArchive of neff.h reads.
#ifndef GLIA_SERIALIZATION_NEFF_ARCHIVE_H_
#define GLIA_SERIALIZATION_NEFF_ARCHIVE_H_

#include <functional>
#include <string>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "serialization/neff/neff.h"

namespace glia::neff {

using Members =
    std::vector<std::pair<std::string, absl::string_view>>;  // name, bytes; in this order
using Sink = std::function<absl::Status(absl::string_view)>;

// Equal members give equal bytes. The bytes of large members are passed to `sink` in place.
absl::Status WriteArchive(const Members& members, const Sink& sink);

// The members of an uncompressed tar at bytes[start, start + size). Offsets are from bytes' start.
// Errors: DataLoss for a damaged archive. With `compressed_too`, gzip is read as well and its
// members have offset 0.
absl::StatusOr<std::vector<ArchiveEntry>> ReadArchive(const Blob& bytes, size_t start, size_t size,
                                                      bool compressed_too);

}  // namespace glia::neff

#endif  // GLIA_SERIALIZATION_NEFF_ARCHIVE_H_
