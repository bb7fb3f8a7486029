// glia inspect of traced modules: what they and their NEFFs hold.
#include <torch/csrc/jit/api/module.h>

#include <cstdio>
#include <memory>
#include <stdexcept>

#include "absl/strings/str_cat.h"
#include "runtime/torch/neuron_model.h"
#include "tools/arguments.h"
#include "tools/commands.h"
#include "tools/load.h"

namespace glia::tools {
namespace {

using Models = std::vector<std::pair<std::string, c10::intrusive_ptr<neuron::Model>>>;

bool IsPartitioned(const torch::jit::Module& module) { return module.hasattr("input_specs"); }

Models TracedModels(const std::string& path, const torch::jit::Module& module) {
  Models models = ModelsOf(module);
  if (models.empty() && !IsPartitioned(module)) {
    throw std::runtime_error(path + " is a TorchScript file without a NEFF: it was not traced");
  }
  return models;
}

neff::Blob BytesOf(const neuron::Bucket& bucket) {
  return neff::Blob::View(std::make_shared<at::Tensor>(bucket.neff), bucket.neff.data_ptr(),
                          static_cast<size_t>(bucket.neff.numel()));
}

void InspectModel(const std::string& path, const neuron::ModelData& data, bool disassemble) {
  std::printf("traced module '%s': %zu bucket%s, %zu weights beside the NEFF%s\n",
              data.name.c_str(), data.buckets.size(), data.buckets.size() == 1 ? "" : "s",
              data.weights.size(), data.dynamic_batch ? ", any batch size" : "");
  for (size_t i = 0; i < data.buckets.size(); ++i) {
    const neuron::Bucket& bucket = data.buckets[i];
    if (data.buckets.size() > 1) std::printf("\nbucket %zu\n", i);
    for (const neuron::TensorSpec& spec : bucket.inputs) {
      std::printf("  input   %s\n", neuron::ToString(spec).c_str());
    }
    for (const neuron::TensorSpec& spec : bucket.outputs) {
      std::printf("  output  %s\n", neuron::ToString(spec).c_str());
    }
    PrintNeff(path, BytesOf(bucket), disassemble);
  }
}

}  // namespace

int Inspect(const std::vector<std::string>& words) {
  const Arguments arguments(InspectOptions(), words);
  if (arguments.positional().size() != 1) throw std::runtime_error("usage: glia " + InspectUsage());
  const std::string& file = arguments.positional()[0];
  if (KindOf(file) != FileKind::kTorchScript) return InspectNeffFile(words);
  const torch::jit::Module module = LoadModule(file);
  const Models models = TracedModels(file, module);
  if (IsPartitioned(module)) {
    std::printf("partitioned module\n");
    const c10::IValue specs = module.attr("input_specs");
    for (const c10::IValue& spec : specs.toListRef()) {
      std::printf("  input   %s\n", spec.toStringRef().c_str());
    }
    for (const auto& child : module.named_children()) {
      std::printf("  part    %s\n", child.name.c_str());
    }
  }
  for (const auto& [name, model] : models) {
    if (!name.empty()) std::printf("\n%s: ", name.c_str());
    InspectModel(UserPath(file), model->data(), arguments.Has("--disassemble"));
  }
  return 0;
}

std::vector<NamedNeff> NeffsOfTraced(const std::string& path) {
  std::vector<NamedNeff> neffs;
  for (const auto& [name, model] : TracedModels(path, LoadModule(path))) {
    const std::vector<neuron::Bucket>& buckets = model->data().buckets;
    for (size_t i = 0; i < buckets.size(); ++i) {
      neffs.push_back(
          {buckets.size() == 1 ? name : absl::StrCat("bucket ", i), BytesOf(buckets[i])});
    }
  }
  return neffs;
}

}  // namespace glia::tools
