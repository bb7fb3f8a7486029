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

c10::intrusive_ptr<neuron::Model> LoadTraced(const std::string& path) {
  const torch::jit::Module module = LoadModule(path);
  if (!module.hasattr("model") || !module.attr("model").isCustomClass()) {
    throw std::runtime_error(path + " is a TorchScript file without a NEFF: it was not traced");
  }
  return module.attr("model").toCustomClass<neuron::Model>();
}

neff::Blob BytesOf(const neuron::Bucket& bucket) {
  return neff::Blob::View(std::make_shared<at::Tensor>(bucket.neff), bucket.neff.data_ptr(),
                          static_cast<size_t>(bucket.neff.numel()));
}

}  // namespace

int Inspect(const std::vector<std::string>& words) {
  const Arguments arguments(InspectOptions(), words);
  if (arguments.positional().size() != 1) throw std::runtime_error("usage: glia " + InspectUsage());
  if (KindOf(arguments.positional()[0]) != FileKind::kTorchScript) return InspectNeffFile(words);
  const std::string path = UserPath(arguments.positional()[0]);
  const bool disassemble = arguments.Has("--disassemble");
  const auto model = LoadTraced(arguments.positional()[0]);
  const neuron::ModelData& data = model->data();
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
  return 0;
}

std::vector<NamedNeff> NeffsOfTraced(const std::string& path) {
  const auto model = LoadTraced(path);
  const std::vector<neuron::Bucket>& buckets = model->data().buckets;
  std::vector<NamedNeff> neffs;
  for (size_t i = 0; i < buckets.size(); ++i) {
    neffs.push_back({buckets.size() == 1 ? "" : absl::StrCat("bucket ", i), BytesOf(buckets[i])});
  }
  return neffs;
}

}  // namespace glia::tools
