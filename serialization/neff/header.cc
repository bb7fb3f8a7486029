#include "serialization/neff/header.h"

#include <algorithm>
#include <cstring>
#include <string>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"

namespace glia::neff {
namespace {

// As in the file: packed, little-endian.
struct __attribute__((packed)) RawHeader {
  uint64_t pkg_version, header_size, data_size, version_major, version_minor;
  char build_version[128];
  uint32_t num_tpb;
  uint8_t hash[kHashSize];
  uint8_t uuid[16];
  char name[256];
  uint32_t requested_tpb_count;
  uint8_t tpb_per_node[64];
  uint64_t feature_bits;
  uint32_t lnc_size;
  uint8_t pad[468];
};
static_assert(sizeof(RawHeader) == kHeaderSize && offsetof(RawHeader, hash) == kHashOffset);

template <size_t N>
void SetText(char (&field)[N], const std::string& text) {
  std::memcpy(field, text.data(), std::min(text.size(), N - 1));
}

template <size_t N>
std::string Text(const char (&field)[N]) {
  return std::string(field, strnlen(field, N));
}

}  // namespace

bool Header::is_glia() const { return absl::StartsWith(build_version, kBuildPrefix); }

HeaderBytes EncodeHeader(const Header& header) {
  RawHeader raw = {};
  raw.pkg_version = header.pkg_version;
  raw.header_size = header.header_size;
  raw.data_size = header.data_size;
  raw.version_major = header.version_major;
  raw.version_minor = header.version_minor;
  SetText(raw.build_version, header.build_version);
  raw.num_tpb = header.num_tpb;
  std::memcpy(raw.hash, header.hash.data(), sizeof(raw.hash));
  std::memcpy(raw.uuid, header.uuid.data(), sizeof(raw.uuid));
  SetText(raw.name, header.name);
  raw.requested_tpb_count = header.requested_tpb_count;
  std::memcpy(raw.tpb_per_node, header.tpb_per_node.data(), sizeof(raw.tpb_per_node));
  raw.feature_bits = header.feature_bits;
  raw.lnc_size = header.lnc_size;
  HeaderBytes bytes;
  std::memcpy(bytes.data(), &raw, sizeof(raw));
  return bytes;
}

absl::StatusOr<Header> ReadHeader(absl::string_view bytes) {
  // Versions are small and the size of the header is fixed: what else starts like this is no NEFF.
  constexpr uint64_t kPlausibleVersion = 1 << 16;
  uint64_t start[2] = {};
  if (bytes.size() >= sizeof(start)) std::memcpy(start, bytes.data(), sizeof(start));
  if (start[0] == 0 || start[0] > kPlausibleVersion || start[1] != kHeaderSize) {
    return absl::InvalidArgumentError(
        absl::StrCat("not a NEFF: ", bytes.size(), " bytes that do not start with a NEFF header"));
  }
  if (bytes.size() < kHeaderSize) {
    return absl::DataLossError(absl::StrCat("truncated NEFF: ", bytes.size(),
                                            " bytes, less than the header of ", kHeaderSize,
                                            "; copy or compile it again"));
  }
  RawHeader raw;
  std::memcpy(&raw, bytes.data(), sizeof(raw));
  Header header;
  header.pkg_version = raw.pkg_version;
  header.header_size = raw.header_size;
  header.data_size = raw.data_size;
  header.version_major = raw.version_major;
  header.version_minor = raw.version_minor;
  header.build_version = Text(raw.build_version);
  header.num_tpb = raw.num_tpb;
  std::memcpy(header.hash.data(), raw.hash, sizeof(raw.hash));
  std::memcpy(header.uuid.data(), raw.uuid, sizeof(raw.uuid));
  header.name = Text(raw.name);
  header.requested_tpb_count = raw.requested_tpb_count;
  std::memcpy(header.tpb_per_node.data(), raw.tpb_per_node, sizeof(raw.tpb_per_node));
  header.feature_bits = raw.feature_bits;
  header.lnc_size = raw.lnc_size;
  return header;
}

}  // namespace glia::neff
