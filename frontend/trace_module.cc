#include "frontend/trace_module.h"

#include <torch/csrc/jit/frontend/resolver.h>
#include <torch/csrc/jit/frontend/sugared_value.h>

#include <memory>
#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"

namespace glia {
namespace {

constexpr char kModelAttribute[] = "model";

// `neuron.forward` is the operator neuron::forward, `torch.cat` aten::cat, `bucket` a given
// function.
class Names : public torch::jit::Resolver {
 public:
  explicit Names(torch::jit::Function* bucket) : bucket_(bucket) {}

  std::shared_ptr<torch::jit::SugaredValue> resolveValue(const std::string& name,
                                                         torch::jit::GraphFunction& /*method*/,
                                                         const torch::jit::SourceRange&) override {
    if (name == "neuron") return std::make_shared<torch::jit::BuiltinModule>("neuron");
    if (name == "torch") return std::make_shared<torch::jit::BuiltinModule>("aten");
    if (name == "bucket" && bucket_ != nullptr) {
      return std::make_shared<torch::jit::FunctionValue>(bucket_);
    }
    return nullptr;
  }
  c10::TypePtr resolveType(const std::string&, const torch::jit::SourceRange&) override {
    return nullptr;
  }

 private:
  torch::jit::Function* bucket_;
};

}  // namespace

// The generator gives integers below 2^63.
const char kDrawSeed[] =
    "    glia_shape: List[int] = []\n"
    "    glia_seed = torch.randint(9223372036854775807, glia_shape, dtype=4)\n";

torch::jit::Module WrapModel(c10::intrusive_ptr<neuron::Model> model,
                             const std::vector<Argument>& arguments, const Structure& result,
                             bool has_seed, const std::string& bucket_code) {
  torch::jit::Module module("__torch__.glia.NeuronModule");
  module.register_attribute(kModelAttribute,
                            c10::getCustomClassType<c10::intrusive_ptr<neuron::Model>>(),
                            c10::IValue(std::move(model)));
  torch::jit::Function* bucket = nullptr;
  if (!bucket_code.empty()) {
    auto unit = module._ivalue()->compilation_unit();
    const c10::QualifiedName prefix("__torch__.glia");
    unit->define(prefix, bucket_code, std::make_shared<Names>(nullptr), nullptr);
    bucket = unit->find_function(c10::QualifiedName(prefix, "bucket"));
    TORCH_CHECK(bucket != nullptr, "a bucket function must define `bucket`:\n", bucket_code);
  }

  std::vector<std::string> signature = {"self"};
  std::vector<std::string> checks;
  std::vector<std::string> leaves;
  for (const Argument& argument : arguments) {
    signature.push_back(absl::StrCat(argument.name, ": ", TypeOf(argument.structure)));
    for (std::string& leaf : Take(argument.structure, argument.name, &checks)) {
      leaves.push_back(std::move(leaf));
    }
  }
  std::string code =
      absl::StrCat("def forward(", absl::StrJoin(signature, ", "), ") -> ", TypeOf(result), ":\n");
  for (const std::string& check : checks) absl::StrAppend(&code, "    ", check, "\n");
  absl::StrAppend(&code, "    glia_inputs: List[Tensor] = [", absl::StrJoin(leaves, ", "), "]\n");
  if (has_seed) absl::StrAppend(&code, kDrawSeed);
  const char* seed = has_seed ? " + [glia_seed]" : "";
  if (bucket != nullptr) {
    absl::StrAppend(&code, "    glia_chosen, glia_bucket = bucket(glia_inputs)\n",
                    "    glia_outputs = neuron.forward_bucket(glia_chosen", seed,
                    ", glia_bucket, self.", kModelAttribute, ")\n");
  } else {
    absl::StrAppend(&code, "    glia_outputs = neuron.forward(glia_inputs", seed, ", self.",
                    kModelAttribute, ")\n");
  }
  size_t next = 0;
  absl::StrAppend(
      &code, "    return ",
      Make(
          result, [](size_t i) { return absl::StrCat("glia_outputs[", i, "]"); }, &next),
      "\n");
  module.define(code, std::make_shared<Names>(bucket));
  module.eval();
  return module;
}

torch::jit::ResolverPtr TraceResolver() { return std::make_shared<Names>(nullptr); }

c10::intrusive_ptr<neuron::Model> UnwrapModel(const torch::jit::Module& traced) {
  TORCH_CHECK(!traced.hasattr("input_specs"),
              "a partitioned module has no single neuron::Model; its shapes are fixed");
  TORCH_CHECK(traced.hasattr(kModelAttribute),
              "this TorchScript module was not traced by glia: it has "
              "no neuron::Model");
  const c10::IValue value = traced.attr(kModelAttribute);
  TORCH_CHECK(value.isCustomClass(),
              "this TorchScript module was not traced by glia: its attribute '", kModelAttribute,
              "' is a ", value.type()->str());
  return value.toCustomClass<neuron::Model>();
}

torch::jit::Module ReplaceModel(const torch::jit::Module& traced,
                                c10::intrusive_ptr<neuron::Model> model) {
  torch::jit::Module copy = traced.copy();
  copy.setattr(kModelAttribute, c10::IValue(std::move(model)));
  return copy;
}

}  // namespace glia
