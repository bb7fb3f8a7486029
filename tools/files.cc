#include "tools/files.h"

#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstdio>
#include <cstring>
#include <stdexcept>
#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/strings/string_view.h"
#include "serialization/hlo/proto_convert.h"
#include "serialization/hlo/text.h"
#include "tools/arguments.h"

namespace glia::tools {
namespace {

neff::Blob Map(const std::string& path) {
  auto file = neff::Blob::MapFile(UserPath(path));
  if (!file.ok()) throw std::runtime_error(std::string(file.status().message()));
  return *std::move(file);
}

FileKind KindOf(absl::string_view bytes) {
  if (bytes.substr(0, 4) == "PK\x03\x04") return FileKind::kTorchScript;
  // What starts like a NEFF is one, truncated or not.
  const absl::StatusOr<neff::Header> header = neff::ReadHeader(bytes);
  return header.ok() || absl::IsDataLoss(header.status()) ? FileKind::kNeff : FileKind::kHlo;
}

// The wire form holds control characters from the start: lengths and field numbers.
bool IsText(absl::string_view bytes) {
  const absl::string_view start = bytes.substr(0, 4096);
  return std::none_of(start.begin(), start.end(), [](char c) {
    const auto u = static_cast<unsigned char>(c);
    return u < 0x20 && c != '\n' && c != '\t' && c != '\r';
  });
}

[[noreturn]] void Fail(const std::string& path, const absl::Status& status) {
  throw std::runtime_error(absl::StrCat(path, ": ", status.message()));
}

std::string Serialize(const compiler::CompileResult& result, const std::string& path) {
  absl::StatusOr<std::string> bytes = neff::Write(result.neff);
  if (!bytes.ok()) Fail(path, bytes.status());
  return *std::move(bytes);
}

}  // namespace

FileKind KindOf(const std::string& path) { return KindOf(Map(path).view()); }

compiler::CompileResult CompileHloFile(const std::string& path,
                                       const std::vector<std::string>& options) {
  const neff::Blob file = Map(path);
  auto module =
      IsText(file.view()) ? hlo::ParseModule(file.view()) : hlo::DeserializeModule(file.view());
  if (!module.ok()) Fail(path, module.status());
  auto parsed = compiler::Options::FromEnvironment();
  if (!parsed.ok()) throw std::runtime_error(std::string(parsed.status().message()));
  if (absl::Status s = parsed->Parse(options); !s.ok()) {
    throw std::runtime_error(std::string(s.message()));
  }
  auto result = compiler::Compile(*std::move(module), *parsed);
  if (!result.ok()) Fail(path, result.status());
  return *std::move(result);
}

std::vector<NamedNeff> OpenNeffs(const std::string& path, const std::vector<std::string>& options,
                                 const TracedReader& traced) {
  neff::Blob file = Map(path);
  switch (KindOf(file.view())) {
    case FileKind::kTorchScript:
      return traced(path);
    case FileKind::kNeff:
      return {{"", std::move(file)}};
    case FileKind::kHlo:
      break;
  }
  return {{"", neff::Blob::FromString(Serialize(CompileHloFile(path, options), path))}};
}

void WriteWholeFile(const std::string& path, absl::string_view bytes) {
  WriteWholeFile(path, [&](const AppendFn& append) { append(bytes.data(), bytes.size()); });
}

void WriteWholeFile(const std::string& path, const std::function<void(const AppendFn&)>& write) {
  const std::string target = UserPath(path);
  const std::string temporary = absl::StrCat(target, ".tmp", getpid());
  std::FILE* file = std::fopen(temporary.c_str(), "wb");
  int error = file == nullptr ? errno : 0;
  if (file != nullptr) {
    try {
      write([&](const void* bytes, size_t size) {
        if (error == 0 && std::fwrite(bytes, 1, size, file) != size) error = errno;
      });
    } catch (...) {
      std::fclose(file);
      std::remove(temporary.c_str());
      throw;
    }
    if (std::fclose(file) != 0 && error == 0) error = errno;
  }
  if (error == 0 && std::rename(temporary.c_str(), target.c_str()) != 0) error = errno;
  if (error == 0) return;
  if (file != nullptr) std::remove(temporary.c_str());
  throw std::runtime_error(absl::StrCat("cannot write '", target, "': ", std::strerror(error)));
}

}  // namespace glia::tools
