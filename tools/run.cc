// glia run: runs a traced module, or a model in the lazy mode, and compares it with CPU eager.
#include <ATen/CPUGeneratorImpl.h>
#include <ATen/Functions.h>
#include <ATen/TensorOperators.h>
#include <ATen/core/grad_mode.h>
#include <torch/csrc/jit/api/module.h>

#include <algorithm>
#include <chrono>
#include <cstdio>
#include <iostream>
#include <stdexcept>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "frontend/lazy.h"
#include "runtime/torch/neuron_model.h"
#include "tools/arguments.h"
#include "tools/commands.h"
#include "tools/load.h"
#include "tools/npy.h"

namespace glia::tools {
namespace {

const std::vector<OptionSpec>& Options() {
  static const auto* const options = new std::vector<OptionSpec>{
      {"--input", "FILE.npy", "an input; once for each, in order (default: random)"},
      {"--lazy", nullptr,
       "run a model that was not traced in the lazy mode; --input may be TYPE[SHAPE], for random"},
      {"--seed", "N", "of the random inputs (default 0)"},
      {"--max-int", "N", "random integers lie in [0, N) (default 10)"},
      {"--output", "FILE.npy", "where an output goes; once for each, in order (default: printed)"},
      {"--compare", "MODEL.pt", "report the difference to this module run on the CPU"},
      {"--repeat", "N", "run N times and report the median time"},
  };
  return *options;
}

at::Tensor RandomInput(const neuron::TensorSpec& spec, int64_t max_int, at::Generator generator) {
  const at::TensorOptions options(spec.dtype);
  if (c10::isFloatingType(spec.dtype)) {
    return at::rand(spec.sizes, generator, at::TensorOptions(at::kFloat))
        .mul_(2)
        .sub_(1)
        .to(options);
  }
  const int64_t high = spec.dtype == at::kBool ? 2 : max_int;
  return at::randint(high, spec.sizes, generator, at::TensorOptions(at::kLong)).to(options);
}

// The inputs of a partitioned module.
std::vector<neuron::TensorSpec> SpecsOf(const c10::IValue& texts) {
  std::vector<neuron::TensorSpec> specs;
  for (const c10::IValue& text : texts.toListRef()) {
    auto spec = neuron::ParseTensorSpec(text.toStringRef());
    if (!spec.ok()) throw std::runtime_error(std::string(spec.status().message()));
    specs.push_back(*std::move(spec));
  }
  return specs;
}

// The tensors of a result, depth first.
void Collect(const c10::IValue& value, std::vector<at::Tensor>* tensors) {
  if (value.isTensor()) {
    tensors->push_back(value.toTensor());
  } else if (value.isTuple()) {
    for (const c10::IValue& v : value.toTupleRef().elements()) Collect(v, tensors);
  } else if (value.isTensorList()) {
    for (const at::Tensor& t : value.toTensorVector()) tensors->push_back(t);
  } else if (value.isList()) {
    for (const c10::IValue& v : value.toListRef()) Collect(v, tensors);
  } else if (value.isGenericDict()) {
    for (const auto& entry : value.toGenericDict()) Collect(entry.value(), tensors);
  }
}

std::vector<at::Tensor> Forward(torch::jit::Module& module,
                                const std::vector<c10::IValue>& inputs) {
  std::vector<at::Tensor> tensors;
  Collect(module.forward(inputs), &tensors);
  return tensors;
}

void Report(const std::vector<at::Tensor>& got, const std::vector<at::Tensor>& want) {
  if (got.size() != want.size()) {
    throw std::runtime_error(
        absl::StrCat("--compare: ", got.size(), " outputs, the other module has ", want.size()));
  }
  for (size_t i = 0; i < got.size(); ++i) {
    if (got[i].sizes() != want[i].sizes() || got[i].scalar_type() != want[i].scalar_type()) {
      throw std::runtime_error(absl::StrCat("--compare: output ", i, " differs in shape or dtype"));
    }
    double absolute = 0;
    double scale = 0;
    if (got[i].numel() > 0) {
      const at::Tensor a = got[i].to(at::kDouble);
      const at::Tensor b = want[i].to(at::kDouble);
      // Equal infinities and NaNs in both are no difference.
      const at::Tensor same = a.eq(b).logical_or(a.isnan().logical_and(b.isnan()));
      absolute = (a - b).abs().masked_fill(same, 0).max().item<double>();
      scale = b.abs().nan_to_num(0, 0, 0).max().item<double>();
    }
    std::printf("output %zu: largest difference %.3e, relative to the largest value %.3e\n", i,
                absolute, scale > 0 ? absolute / scale : absolute);
  }
}

void ShowOutputs(const Arguments& arguments, const std::vector<at::Tensor>& outputs) {
  const std::vector<std::string> targets = arguments.All("--output");
  if (targets.size() > outputs.size()) {
    throw std::runtime_error(
        absl::StrCat(targets.size(), " --output files for ", outputs.size(), " outputs"));
  }
  for (size_t i = 0; i < outputs.size(); ++i) {
    if (i < targets.size()) {
      WriteNpy(UserPath(targets[i]), outputs[i]);
    } else if (!arguments.Has("--compare")) {
      std::cout << outputs[i] << "\n";
    }
  }
}

class RandomInputs {
 public:
  explicit RandomInputs(const Arguments& arguments)
      : max_int_(arguments.GetInt("--max-int", 10)),
        generator_(
            at::detail::createCPUGenerator(static_cast<uint64_t>(arguments.GetInt("--seed", 0)))) {
    if (max_int_ < 1) throw std::runtime_error("--max-int must be at least 1");
  }
  at::Tensor Next(const neuron::TensorSpec& spec) {
    return RandomInput(spec, max_int_, generator_);
  }

 private:
  int64_t max_int_;
  at::Generator generator_;
};

int RunLazily(const Arguments& arguments, torch::jit::Module module) {
  RandomInputs random(arguments);
  std::vector<c10::IValue> inputs;
  for (const std::string& text : arguments.All("--input")) {
    if (absl::EndsWith(text, ".npy")) {
      inputs.emplace_back(ReadNpy(UserPath(text)));
      continue;
    }
    auto spec = neuron::ParseTensorSpec(text);
    if (!spec.ok()) throw std::runtime_error(std::string(spec.status().message()));
    inputs.emplace_back(random.Next(*spec));
  }
  module.to(xla_device());
  std::vector<c10::IValue> on_device;
  for (const c10::IValue& v : inputs) on_device.emplace_back(v.toTensor().to(xla_device()));
  std::vector<at::Tensor> outputs = Forward(module, on_device);
  mark_step();
  for (at::Tensor& t : outputs) t = t.cpu();
  ShowOutputs(arguments, outputs);
  std::printf("%lld operators ran on the CPU\n%s",
              static_cast<long long>(metric("capture.fallbacks")), metrics_report().c_str());
  if (arguments.Has("--compare")) {
    torch::jit::Module reference = LoadModule(arguments.Get("--compare"));
    Report(outputs, Forward(reference, inputs));
  }
  return 0;
}

}  // namespace

std::string RunUsage() {
  return absl::StrCat(
      "run TRACED.pt|MODEL.pt [--lazy] [--input FILE.npy ...] [--output FILE.npy ...]\n",
      DescribeOptions(Options()));
}

int Run(const std::vector<std::string>& words) {
  const Arguments arguments(Options(), words);
  if (arguments.positional().size() != 1) throw std::runtime_error("usage: glia " + RunUsage());
  at::NoGradGuard no_grad;
  torch::jit::Module module = LoadModule(arguments.positional()[0]);
  if (arguments.Has("--lazy")) return RunLazily(arguments, std::move(module));
  const auto models = ModelsOf(module);
  const bool partitioned = module.hasattr("input_specs");
  if (models.empty() && !partitioned) {
    throw std::runtime_error(arguments.positional()[0] +
                             " is no traced module; `glia compile` makes one of it");
  }
  const int64_t repeat = arguments.GetInt("--repeat", 1);
  if (repeat < 1) throw std::runtime_error("--repeat must be at least 1");

  torch::jit::Module reference;
  if (arguments.Has("--compare")) reference = LoadModule(arguments.Get("--compare"));

  std::vector<c10::IValue> inputs;
  const std::vector<std::string> files = arguments.All("--input");
  std::vector<neuron::TensorSpec> specs = partitioned ? SpecsOf(module.attr("input_specs"))
                                                      : models[0].second->data().buckets[0].inputs;
  // The module draws its seed itself.
  if (!specs.empty() && specs.back().name == neuron::kSeedName) specs.pop_back();
  if (files.empty()) {
    RandomInputs random(arguments);
    for (const neuron::TensorSpec& spec : specs) inputs.emplace_back(random.Next(spec));
  }
  for (const std::string& file : files) inputs.emplace_back(ReadNpy(UserPath(file)));
  if (module.get_method("forward").function().getSchema().arguments().size() != inputs.size() + 1) {
    throw std::runtime_error(absl::StrCat(
        "the module's forward takes ",
        module.get_method("forward").function().getSchema().arguments().size() - 1, " arguments, ",
        inputs.size(), " tensors were given (nested arguments need a program)"));
  }

  std::vector<at::Tensor> outputs = Forward(module, inputs);
  if (repeat > 1) {
    std::vector<double> times;
    for (int64_t i = 0; i < repeat; ++i) {
      const auto begin = std::chrono::steady_clock::now();
      outputs = Forward(module, inputs);
      times.push_back(
          std::chrono::duration<double, std::micro>(std::chrono::steady_clock::now() - begin)
              .count());
    }
    std::nth_element(times.begin(), times.begin() + static_cast<std::ptrdiff_t>(times.size() / 2),
                     times.end());
    std::printf("median of %lld calls: %.1f us\n", static_cast<long long>(repeat),
                times[times.size() / 2]);
  }

  ShowOutputs(arguments, outputs);
  uint64_t picoseconds = 0;
  for (const auto& [name, model] : models) picoseconds += model->Statistics().simulated_ps;
  std::printf("simulated device time: %.3f us\n", static_cast<double>(picoseconds) * 1e-6);
  if (arguments.Has("--compare")) {
    Report(outputs, Forward(reference, inputs));
  }
  return 0;
}

}  // namespace glia::tools
