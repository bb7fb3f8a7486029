#include "tools/load.h"

#include <c10/util/Exception.h>
#include <torch/csrc/jit/serialization/import.h>

#include <cerrno>
#include <cstdio>
#include <cstring>
#include <stdexcept>

#include "absl/strings/str_cat.h"
#include "tools/arguments.h"

namespace glia::tools {

torch::jit::Module LoadModule(const std::string& path) {
  // PyTorch reports an error number only.
  std::FILE* file = std::fopen(UserPath(path).c_str(), "rb");
  if (file == nullptr) {
    throw std::runtime_error(absl::StrCat("cannot read '", path, "': ", std::strerror(errno)));
  }
  std::fclose(file);
  try {
    return torch::jit::load(UserPath(path), at::Device(at::kCPU));
  } catch (const c10::Error& error) {
    throw std::runtime_error(
        absl::StrCat("cannot load '", path, "' as TorchScript: ", error.what_without_backtrace()));
  } catch (const std::exception& error) {
    throw std::runtime_error(
        absl::StrCat("cannot load '", path, "' as TorchScript: ", error.what()));
  }
}

}  // namespace glia::tools
