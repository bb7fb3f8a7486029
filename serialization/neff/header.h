// The 1024 bytes before the archive. Layout: work-with-neff-files.rst of aws-neuron-sdk.
#ifndef GLIA_SERIALIZATION_NEFF_HEADER_H_
#define GLIA_SERIALIZATION_NEFF_HEADER_H_

#include <array>
#include <cstdint>

#include "absl/strings/string_view.h"
#include "serialization/neff/neff.h"

namespace glia::neff {

inline constexpr size_t kHeaderSize = 1024;
inline constexpr size_t kHashOffset = 172;
inline constexpr size_t kHashSize = 32;
// The hash is "sha256 or md5 depending on the pkg_version"; which is which is not published. Ours
// is SHA-256 and 2.
inline constexpr uint64_t kPackageVersion = 2;
// Of our records. Any change to them raises the major number. The minor one says how the hash is
// made (digest.h); older ones are read.
inline constexpr uint64_t kFormatMajor = 1;
inline constexpr uint64_t kFormatMinor = 1;
inline constexpr char kBuildPrefix[] = "glia-";
inline constexpr char kBuildVersion[] = "glia-1.1";

using HeaderBytes = std::array<uint8_t, kHeaderSize>;
// Name and build version are cut to what the fields hold.
HeaderBytes EncodeHeader(const Header& header);

}  // namespace glia::neff

#endif  // GLIA_SERIALIZATION_NEFF_HEADER_H_
