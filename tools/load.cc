#include "tools/load.h"

#include <c10/util/Exception.h>
#include <sys/stat.h>
#include <torch/csrc/jit/serialization/import.h>

#include <cerrno>
#include <cstdio>
#include <cstring>
#include <fstream>
#include <stdexcept>

#include "absl/strings/str_cat.h"
#include "tools/arguments.h"

namespace glia::tools {

namespace {

// What the file is instead, and how to make one of the right kind, in one line with a line break;
// "" when it is not known.
std::string Advice(const std::string& path) {
  std::ifstream file(path, std::ios::binary);
  std::string bytes(1 << 16, '\0');
  file.read(bytes.data(), static_cast<std::streamsize>(bytes.size()));
  bytes.resize(static_cast<size_t>(file.gcount()));
  const auto has = [&](const char* word) { return bytes.find(word) != std::string::npos; };
  constexpr char kSave[] =
      "save it with torch.jit.script(model).save(…) or torch.jit.trace(…).save(…)\n";
  if (bytes.empty()) return "the file is empty\n";
  if (bytes.compare(0, 2, "PK") == 0 && has("data.pkl") && !has("constants.pkl")) {
    return absl::StrCat(
        "it was written by torch.save, weights (a state dict) or pickled Python code; ", kSave);
  }
  if (static_cast<unsigned char>(bytes[0]) == 0x80 && bytes.size() > 1 && bytes[1] <= 5) {
    return absl::StrCat("it is a Python pickle; ", kSave);
  }
  if (bytes[0] == 0x08 && (has("onnx") || has("ir_version") || has("pytorch"))) {
    return "it looks like an ONNX model, which glia does not read; export the model as "
           "TorchScript\n";
  }
  return "";
}

}  // namespace

torch::jit::Module LoadModule(const std::string& path) {
  // PyTorch reports an error number only.
  std::FILE* file = std::fopen(UserPath(path).c_str(), "rb");
  if (file == nullptr) {
    throw std::runtime_error(absl::StrCat("cannot read '", path, "': ", std::strerror(errno)));
  }
  std::fclose(file);
  struct stat status = {};
  if (stat(UserPath(path).c_str(), &status) == 0 && S_ISDIR(status.st_mode)) {
    throw std::runtime_error(
        absl::StrCat("cannot load '", path, "' as TorchScript: it is a directory"));
  }
  try {
    return torch::jit::load(UserPath(path), at::Device(at::kCPU));
  } catch (const c10::Error& error) {
    throw std::runtime_error(absl::StrCat("cannot load '", path, "' as TorchScript: ",
                                          Advice(UserPath(path)), error.what_without_backtrace()));
  } catch (const std::exception& error) {
    throw std::runtime_error(absl::StrCat(
        "cannot load '", path, "' as TorchScript: ", Advice(UserPath(path)), error.what()));
  }
}

std::vector<std::pair<std::string, c10::intrusive_ptr<neuron::Model>>> ModelsOf(
    const torch::jit::Module& module) {
  std::vector<std::pair<std::string, c10::intrusive_ptr<neuron::Model>>> models;
  const auto add = [&](const std::string& name, const torch::jit::Module& part) {
    if (!part.hasattr("model") || !part.attr("model").isCustomClass()) return;
    models.emplace_back(name, part.attr("model").toCustomClass<neuron::Model>());
  };
  add("", module);
  if (models.empty() && module.hasattr("input_specs")) {
    for (const auto& child : module.named_children()) add(child.name, child.value);
  }
  return models;
}

}  // namespace glia::tools
