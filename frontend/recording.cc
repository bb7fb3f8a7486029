#include "frontend/recording.h"

#include <ATen/core/grad_mode.h>
#include <torch/nn/module.h>

#include <algorithm>
#include <cctype>
#include <unordered_map>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "frontend/inputs.h"
#include "frontend/script.h"

namespace glia {
namespace {

// How many changed tensors a warning names.
constexpr size_t kNamed = 8;

neuron::TensorSpec SpecOf(const at::Tensor& tensor, std::string name) {
  return {std::move(name), tensor.scalar_type(), tensor.sizes().vec()};
}

std::string ArgumentName(const Callee& callee, const std::vector<std::string>& input_names,
                         size_t i) {
  std::string name;
  if (i < input_names.size()) {
    name = input_names[i];
    const bool valid = !name.empty() && !std::isdigit(static_cast<unsigned char>(name[0])) &&
                       std::all_of(name.begin(), name.end(), [](unsigned char c) {
                         return std::isalnum(c) != 0 || c == '_';
                       });
    TORCH_CHECK(valid, "trace: '", name, "' of input_names is no identifier");
    return name;
  }
  return i < callee.argument_names.size() ? callee.argument_names[i] : absl::StrCat("input", i);
}

// A trace has no place for what the model writes to its own tensors.
void WarnChanged(capture::TraceScope* scope, const Callee::State& before,
                 const Callee::State& after) {
  std::vector<std::string> changed;
  std::string where;
  for (size_t i = 0; i < before.size(); ++i) {
    const auto& [name, tensor] = before[i];
    auto now = std::find_if(after.begin(), after.end(),
                            [&name = name](const auto& other) { return other.first == name; });
    const bool replaced = now != after.end() && !now->second.is_same(tensor);
    const auto source = scope->Changed(tensor);
    if (!replaced && !source) continue;
    changed.push_back(name);
    if (where.empty() && source) where = *source;
  }
  if (changed.empty()) return;
  const size_t more = changed.size() > kNamed ? changed.size() - kNamed : 0;
  changed.resize(changed.size() - more);
  TORCH_WARN(
      "trace: the model changes its own ", absl::StrJoin(changed, ", "),
      more > 0 ? absl::StrCat(" and ", more, " more") : "",
      where.empty() ? "" : absl::StrCat(" (", where, ")"),
      ". A traced module keeps no state: the change is used within a call and then dropped, "
      "each call starts from the values of now. If these are running statistics, call eval() "
      "before tracing; state that must last can be an input and an output");
}

}  // namespace

Callee ForScript(const torch::jit::Module& model) {
  Callee callee;
  callee.name = model.type()->name() ? model.type()->name()->name() : "module";
  auto script = std::make_shared<DeviceScript>(model);
  callee.argument_names = script->argument_names();
  callee.to_device = [script] { script->ToDevice(); };
  callee.call = [script](const std::vector<c10::IValue>& inputs) { return script->Run(inputs); };
  callee.state = [script] { return script->State(); };
  return callee;
}

Callee ForModule(torch::nn::Module& module, const TraceFunction& fn) {
  using Saved = std::vector<std::pair<at::Tensor, at::Tensor>>;
  Callee callee;
  callee.name = module.name();
  auto saved = std::make_shared<Saved>();
  callee.to_device = [&module, saved] {
    auto save = [&](const at::Tensor& t) {
      if (t.defined()) saved->emplace_back(t, t.variable_data());
    };
    for (const at::Tensor& t : module.parameters()) save(t);
    for (const at::Tensor& t : module.buffers()) save(t);
    module.to(capture::XlaDevice());
  };
  callee.call = fn;
  callee.state = [&module] {
    Callee::State state;
    for (const auto& item : module.named_parameters()) state.emplace_back(item.key(), item.value());
    for (const auto& item : module.named_buffers()) state.emplace_back(item.key(), item.value());
    return state;
  };
  callee.restore = [saved] {
    for (auto& [tensor, data] : *saved) tensor.set_data(data);
    saved->clear();
  };
  return callee;
}

Callee ForFunction(const TraceFunction& fn) {
  Callee callee;
  callee.name = "function";
  callee.call = fn;
  return callee;
}

Recorded Record(const Callee& callee, const std::vector<c10::IValue>& examples,
                const std::vector<std::string>& input_names, const capture::TracePolicy& policy) {
  TORCH_CHECK(input_names.empty() || input_names.size() == examples.size(),
              "trace: ", input_names.size(), " input_names for ", examples.size(),
              " example inputs");
  Recorded recorded;
  at::NoGradGuard no_grad;
  capture::TraceScope scope(policy);
  std::vector<c10::IValue> inputs;
  for (size_t i = 0; i < examples.size(); ++i) {
    Argument argument;
    argument.name = ArgumentName(callee, input_names, i);
    std::vector<at::Tensor> leaves;
    argument.structure = Flatten(examples[i], argument.name, /*constants=*/false, &leaves);
    const std::vector<std::string> names = LeafNames(argument.structure, argument.name);
    for (size_t j = 0; j < leaves.size(); ++j) {
      TORCH_CHECK(leaves[j].device().is_cpu() && leaves[j].layout() == at::kStrided,
                  "trace: example input ", names[j], " is on device ", leaves[j].device().str(),
                  "; example inputs are dense CPU tensors");
      recorded.inputs.push_back(SpecOf(leaves[j], names[j]));
      recorded.examples.push_back(leaves[j].detach());
      leaves[j] = scope.AddInput(recorded.examples.back());
    }
    size_t next = 0;
    inputs.push_back(Unflatten(argument.structure, leaves, &next));
    recorded.arguments.push_back(std::move(argument));
  }
  std::vector<at::Tensor> outputs;
  std::unordered_map<const capture::Node*, std::string> names;
  {
    struct Restore {
      const Callee& callee;
      ~Restore() { callee.restore(); }
    } restore{callee};
    callee.to_device();
    const Callee::State before = callee.state();
    for (const auto& [name, tensor] : before) {
      scope.Changed(tensor);
      if (const capture::Node* input = scope.InputOf(tensor)) names.emplace(input, name);
    }
    scope.TakeCalls();  // those that moved it
    recorded.result = Flatten(callee.call(inputs), "the result", /*constants=*/true, &outputs);
    recorded.calls = scope.TakeCalls();
    WarnChanged(&scope, before, callee.state());
  }
  for (size_t i = 0; i < outputs.size(); ++i) {
    recorded.outputs.push_back(SpecOf(outputs[i], absl::StrCat("output", i)));
    // A result that the model computed on the CPU is a constant of the trace.
    if (outputs[i].device().is_cpu()) outputs[i] = outputs[i].to(capture::XlaDevice());
  }
  recorded.has_seed = scope.has_seed();
  if (recorded.has_seed) recorded.inputs.push_back({neuron::kSeedName, at::kLong, {}});
  recorded.graph = scope.Finish(outputs);
  for (size_t i = recorded.inputs.size(); i < recorded.graph->inputs.size(); ++i) {
    const capture::Node& input = *recorded.graph->inputs[i];
    recorded.weights.push_back(HostInput(input));
    const auto name = names.find(&input);
    recorded.weight_names.push_back(name == names.end() ? "" : name->second);
  }
  return recorded;
}

}  // namespace glia
