#include <cstring>
#include <map>
#include <memory>
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

absl::Status CheckHeader(const Header& header, size_t size) {
  if (!header.is_glia()) {
    return absl::UnimplementedError(
        absl::StrCat("this NEFF ('", header.name, "', build '", header.build_version,
                     "') was made by another compiler: its engine encodings are not public, so it "
                     "can be inspected but not "
                     "run; compile the model again with glia"));
  }
  if (header.version_major != kFormatMajor || header.version_minor > kFormatMinor) {
    return absl::FailedPreconditionError(
        absl::StrCat("this NEFF has format ", header.version_major, ".", header.version_minor, " (",
                     header.build_version, "), this library reads ", kFormatMajor, ".",
                     kFormatMinor, "; update the library or compile the model again"));
  }
  if (header.feature_bits != 0) {
    return absl::FailedPreconditionError(
        absl::StrCat("this NEFF needs features ", absl::Hex(header.feature_bits),
                     " that this library does not know; update the library"));
  }
  const uint64_t data = size - kHeaderSize;
  if (header.data_size > data) {
    return absl::DataLossError(absl::StrCat("truncated NEFF: ", size, " bytes of ", kHeaderSize,
                                            " + ", header.data_size, "; copy or compile it again"));
  }
  if (header.data_size < data) {
    return absl::DataLossError(absl::StrCat("damaged NEFF: ", data - header.data_size,
                                            " bytes follow its end; copy or compile it again"));
  }
  return absl::OkStatus();
}

absl::Status CheckHash(const Header& header, absl::string_view bytes) {
  HeaderBytes raw;
  std::memcpy(raw.data(), bytes.data(), kHeaderSize);
  Digest digest(header.version_minor);
  digest.UpdateWhole(bytes.substr(kHeaderSize));
  digest.UpdateHeader(raw);
  if (digest.Value() == header.hash) return absl::OkStatus();
  return absl::DataLossError("damaged NEFF: its SHA-256 does not match; copy or compile it again");
}

absl::Status BindConstants(const Blob& bytes, const std::map<std::string, ArchiveEntry>& entries,
                           Neff* neff) {
  for (const isa::Variable& v : neff->program.variables) {
    if (v.kind != isa::VariableKind::kFile) continue;
    const auto it = entries.find(v.file);
    if (it == entries.end()) {
      return absl::DataLossError(
          absl::StrCat("NEFF has no member '", v.file, "', which variable '", v.name, "' needs"));
    }
    if (it->second.size != static_cast<size_t>(v.bytes)) {
      return absl::DataLossError(absl::StrCat("NEFF member '", v.file, "' has ", it->second.size,
                                              " bytes, variable '", v.name, "' ", v.bytes));
    }
    neff->files.emplace(v.file, bytes.Slice(it->second.offset, it->second.size));
  }
  return absl::OkStatus();
}

}  // namespace

absl::StatusOr<std::shared_ptr<const Neff>> Read(Blob bytes) {
  absl::StatusOr<Header> header = ReadHeader(bytes.view());
  if (!header.ok()) return header.status();
  absl::Status status = CheckHeader(*header, bytes.size());
  if (status.ok()) status = CheckHash(*header, bytes.view());
  if (!status.ok()) return status;

  const auto listed = ReadArchive(bytes, kHeaderSize, header->data_size, /*compressed_too=*/false);
  if (!listed.ok()) return listed.status();
  std::map<std::string, ArchiveEntry> entries;
  std::map<std::string, absl::string_view> members;
  for (const ArchiveEntry& entry : *listed) {
    if (!entries.emplace(entry.name, entry).second) {
      return absl::DataLossError(absl::StrCat("damaged NEFF: two members '", entry.name, "'"));
    }
    members[entry.name] = bytes.view().substr(entry.offset, entry.size);
  }

  auto neff = std::make_shared<Neff>();
  neff->header = *std::move(header);
  absl::StatusOr<isa::Program> program = DecodeTables(members);
  if (!program.ok()) return program.status();
  neff->program = *std::move(program);
  const auto info = members.find("info.json");
  if (info == members.end()) return absl::DataLossError("NEFF has no member 'info.json'");
  auto parsed = ParseInfoJson(info->second);
  if (!parsed.ok()) return parsed.status();
  neff->info = *std::move(parsed);
  status = isa::Validate(neff->program);
  if (!status.ok()) {
    return absl::DataLossError(absl::StrCat("NEFF holds an invalid program: ", status.message()));
  }
  status = BindConstants(bytes, entries, neff.get());
  if (!status.ok()) return status;
  return std::shared_ptr<const Neff>(std::move(neff));
}

}  // namespace glia::neff
