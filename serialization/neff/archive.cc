#include "serialization/neff/archive.h"

#include <archive.h>
#include <archive_entry.h>

#include <cerrno>
#include <memory>

#include "absl/strings/str_cat.h"

namespace glia::neff {
namespace {

struct FreeArchive {
  void operator()(struct archive* a) const { archive_free(a); }
};
struct FreeEntry {
  void operator()(struct archive_entry* e) const { archive_entry_free(e); }
};
using ArchivePtr = std::unique_ptr<struct archive, FreeArchive>;
using EntryPtr = std::unique_ptr<struct archive_entry, FreeEntry>;

struct SinkState {
  const Sink* sink;
  absl::Status status;
};

la_ssize_t WriteToSink(struct archive* a, void* data, const void* buffer, size_t size) {
  auto* state = static_cast<SinkState*>(data);
  state->status = (*state->sink)(absl::string_view(static_cast<const char*>(buffer), size));
  if (state->status.ok()) return static_cast<la_ssize_t>(size);
  archive_set_error(a, EIO, "sink failed");
  return -1;
}

std::string ErrorOf(struct archive* a) {
  const char* text = archive_error_string(a);
  return text == nullptr ? "unknown error" : text;
}

absl::Status WriteMember(struct archive* a, const std::string& name, absl::string_view bytes) {
  const EntryPtr entry(archive_entry_new());
  archive_entry_set_pathname(entry.get(), name.c_str());
  archive_entry_set_size(entry.get(), static_cast<la_int64_t>(bytes.size()));
  archive_entry_set_filetype(entry.get(), AE_IFREG);
  archive_entry_set_perm(entry.get(), 0644);
  archive_entry_set_mtime(entry.get(), 0, 0);
  archive_entry_set_uid(entry.get(), 0);
  archive_entry_set_gid(entry.get(), 0);
  if (archive_write_header(a, entry.get()) != ARCHIVE_OK) {
    return absl::InternalError(absl::StrCat("archive member '", name, "': ", ErrorOf(a)));
  }
  while (!bytes.empty()) {
    const la_ssize_t written = archive_write_data(a, bytes.data(), bytes.size());
    if (written <= 0)
      return absl::InternalError(absl::StrCat("archive member '", name, "': ", ErrorOf(a)));
    bytes.remove_prefix(static_cast<size_t>(written));
  }
  return absl::OkStatus();
}

absl::Status Damaged(const std::string& reason) {
  return absl::DataLossError(
      absl::StrCat("damaged NEFF archive: ", reason, "; copy or compile it again"));
}

// Where the data of the current member lies in [base, base + size): the reader hands out pointers
// into it.
absl::StatusOr<size_t> FindData(struct archive* a, const ArchiveEntry& entry, const uint8_t* base,
                                size_t size) {
  const void* buffer = nullptr;
  size_t length = 0;
  la_int64_t position = 0;
  if (archive_read_data_block(a, &buffer, &length, &position) != ARCHIVE_OK) {
    return Damaged(absl::StrCat("member '", entry.name, "': ", ErrorOf(a)));
  }
  const auto* data = static_cast<const uint8_t*>(buffer);
  if (data < base || data > base + size || position != 0 ||
      entry.size > static_cast<size_t>(base + size - data)) {
    return Damaged(absl::StrCat("member '", entry.name, "' of ", entry.size,
                                " bytes is not stored in one piece"));
  }
  return static_cast<size_t>(data - base);
}

}  // namespace

absl::Status WriteArchive(const Members& members, const Sink& sink) {
  const ArchivePtr a(archive_write_new());
  SinkState state = {&sink, absl::OkStatus()};
  // Plain ustar, with extended headers only where a name or a size needs them. No blocking: blocks
  // copy.
  if (a == nullptr || archive_write_set_format_pax_restricted(a.get()) != ARCHIVE_OK ||
      archive_write_set_bytes_per_block(a.get(), 0) != ARCHIVE_OK ||
      archive_write_open(a.get(), &state, nullptr, WriteToSink, nullptr) != ARCHIVE_OK) {
    return absl::InternalError("cannot set up libarchive");
  }
  for (const auto& [name, bytes] : members) {
    const absl::Status status = WriteMember(a.get(), name, bytes);
    if (!state.status.ok()) return state.status;
    if (!status.ok()) return status;
  }
  if (archive_write_close(a.get()) != ARCHIVE_OK && state.status.ok()) {
    return absl::InternalError(absl::StrCat("archive: ", ErrorOf(a.get())));
  }
  return state.status;
}

absl::StatusOr<std::vector<ArchiveEntry>> ReadArchive(const Blob& bytes, size_t start, size_t size,
                                                      bool compressed_too) {
  const ArchivePtr a(archive_read_new());
  if (a == nullptr || archive_read_support_format_tar(a.get()) != ARCHIVE_OK) {
    return absl::InternalError("cannot set up libarchive");
  }
  if (compressed_too) archive_read_support_filter_gzip(a.get());
  const uint8_t* base = bytes.data() + start;
  if (size == 0 || archive_read_open_memory(a.get(), base, size) != ARCHIVE_OK) {
    return Damaged(size == 0 ? "it is empty" : ErrorOf(a.get()));
  }
  std::vector<ArchiveEntry> entries;
  while (true) {
    struct archive_entry* raw = nullptr;
    const int result = archive_read_next_header(a.get(), &raw);
    if (result == ARCHIVE_EOF) return entries;
    if (result != ARCHIVE_OK) return Damaged(ErrorOf(a.get()));
    const char* name = archive_entry_pathname(raw);
    if (name == nullptr) return Damaged("a member has no name");
    if (archive_entry_filetype(raw) == AE_IFDIR) continue;
    if (archive_entry_filetype(raw) != AE_IFREG || archive_entry_sparse_count(raw) != 0 ||
        archive_entry_hardlink(raw) != nullptr || archive_entry_size(raw) < 0) {
      return Damaged(absl::StrCat("member '", name, "' is no plain file"));
    }
    ArchiveEntry entry;
    entry.name = name;
    entry.size = static_cast<size_t>(archive_entry_size(raw));
    // The innermost filter is always "none"; any other one means that the data are not in place.
    if (entry.size > 0 && archive_filter_count(a.get()) == 1) {
      absl::StatusOr<size_t> offset = FindData(a.get(), entry, base, size);
      if (!offset.ok()) return offset.status();
      entry.offset = start + *offset;
    }
    entries.push_back(std::move(entry));
    if (archive_read_data_skip(a.get()) != ARCHIVE_OK) return Damaged(ErrorOf(a.get()));
  }
}

absl::StatusOr<std::vector<ArchiveEntry>> ListArchive(const Blob& bytes) {
  const absl::StatusOr<Header> header = ReadHeader(bytes.view());
  if (!header.ok()) return header.status();
  if (header->data_size > bytes.size() - header->header_size) {
    return absl::DataLossError(absl::StrCat("truncated NEFF: ", bytes.size(),
                                            " bytes, its header says ", header->header_size, " + ",
                                            header->data_size));
  }
  return ReadArchive(bytes, header->header_size, header->data_size, /*compressed_too=*/true);
}

}  // namespace glia::neff
