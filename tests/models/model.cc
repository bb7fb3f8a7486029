#include "tests/models/model.h"

#include <ATen/CPUGeneratorImpl.h>
#include <ATen/Functions.h>
#include <ATen/core/grad_mode.h>
#include <torch/nn/modules/batchnorm.h>

#include <cmath>
#include <string>

namespace glia::models {

Draw::Draw(uint64_t seed) : generator_(at::detail::createCPUGenerator(seed)) {}

at::Tensor Draw::Normal(at::IntArrayRef sizes) {
  return at::randn(sizes, generator_, at::TensorOptions(at::kFloat));
}

at::Tensor Draw::Integers(int64_t end, at::IntArrayRef sizes) {
  return at::randint(end, sizes, generator_, at::TensorOptions(at::kLong));
}

at::Tensor Draw::Uniform(double low, double high, at::IntArrayRef sizes) {
  return at::rand(sizes, generator_, at::TensorOptions(at::kFloat)).mul_(high - low).add_(low);
}

namespace {

bool EndsWith(const std::string& text, const std::string& end) {
  return text.size() >= end.size() && text.compare(text.size() - end.size(), end.size(), end) == 0;
}

}  // namespace

void Initialize(Model& model, uint64_t seed, const InitOptions& options) {
  at::NoGradGuard no_grad;
  at::Generator generator = at::detail::createCPUGenerator(seed);
  for (auto& item : model.named_parameters()) {
    const std::string& name = item.key();
    at::Tensor& value = item.value();
    value.set_requires_grad(false);
    if (name.find("embedding") != std::string::npos) {
      value.normal_(0, options.embedding_std, generator);
    } else if (value.dim() >= 2) {
      const double fan_in = static_cast<double>(value.numel()) / static_cast<double>(value.size(0));
      value.normal_(0, std::sqrt(options.gain / fan_in), generator);
    } else {
      const bool of_branch = name.find("branch_norm") != std::string::npos;
      value.normal_(EndsWith(name, "weight") ? (of_branch ? 0.25 : 1) : 0, 0.1, generator);
    }
  }
  model.eval();
}

void CalibrateBatchNorms(Model& model, const Tensors& inputs) {
  at::NoGradGuard no_grad;
  for (const std::shared_ptr<torch::nn::Module>& module : model.modules()) {
    if (auto* norm = module->as<torch::nn::BatchNorm2d>()) norm->options.momentum(1.0);
  }
  model.train();
  model.Run(inputs);
  model.eval();
}

}  // namespace glia::models
