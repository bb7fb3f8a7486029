#include "frontend/partition_module.h"

#include <ATen/Functions.h>
#include <torch/csrc/jit/api/function_impl.h>
#include <torch/csrc/jit/ir/ir.h>

#include <algorithm>
#include <unordered_map>

#include "absl/strings/escaping.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "frontend/inputs.h"
#include "frontend/trace_module.h"

namespace glia {
namespace {

using capture::ArgKind;
using capture::Node;
using capture::NodeKind;
using capture::NodePtr;
using capture::TensorMeta;
using capture::Value;
using JitValue = torch::jit::Value;

// Writes a subgraph's nodes as TorchScript.
class CpuProgram {
 public:
  explicit CpuProgram(torch::jit::Graph* graph) : graph_(*graph) {}

  void Define(const Value& v, JitValue* value) { values_[{v.node.get(), v.index}] = value; }

  JitValue* Get(const Value& v) {
    if (!v) return None();
    return values_.at({v.node.get(), v.index});
  }

  void Add(const Node& node) {
    switch (node.kind) {
      case NodeKind::kInput:
        values_[{&node, 0}] =
            graph_.insertConstant(node.host.defined() ? node.host : HostInput(node));
        break;
      case NodeKind::kConstant:
        values_[{&node, 0}] = graph_.insertConstant(
            at::scalar_tensor(node.scalar(), at::TensorOptions().dtype(node.output().dtype)));
        break;
      case NodeKind::kZeros:
        values_[{&node, 0}] = graph_.insertConstant(
            at::zeros(node.output().sizes, at::TensorOptions().dtype(node.output().dtype)));
        break;
      case NodeKind::kView:
        values_[{&node, 0}] = Region(Memory(node, false), node.base(), node.region());
        break;
      case NodeKind::kUpdate:
        values_[{&node, 0}] = Update(node);
        break;
      case NodeKind::kOp:
        Call(node);
        break;
    }
  }

 private:
  struct Hash {
    size_t operator()(const std::pair<const Node*, int32_t>& key) const {
      return std::hash<const Node*>()(key.first) * 31 + static_cast<size_t>(key.second);
    }
  };

  JitValue* None() { return graph_.insertConstant(c10::IValue()); }
  JitValue* Int(int64_t value) { return graph_.insertConstant(value); }
  JitValue* Ints(const std::vector<int64_t>& values) { return graph_.insertConstant(values); }

  torch::jit::Node* Insert(const char* name, const std::vector<JitValue*>& inputs) {
    torch::jit::Node* node = graph_.create(c10::Symbol::fromQualString(name), inputs, 1);
    node->output()->setType(c10::TensorType::get());
    return graph_.insertNode(node);
  }

  // The base's elements where they lie in its storage. `own`: in memory of its own.
  JitValue* Memory(const Node& node, bool own) {
    const TensorMeta& base = node.base();
    JitValue* array = Get(node.operands[0]);
    if (!own && base.strides == capture::ContiguousStrides(base.sizes)) {
      return Insert("aten::contiguous", {array, Int(0)})->output();
    }
    JitValue* memory = Insert("aten::empty_strided",
                              {Ints(base.sizes), Ints(base.strides),
                               Int(static_cast<int64_t>(base.dtype)), None(), None(), None()})
                           ->output();
    return Insert("aten::copy_", {memory, array, graph_.insertConstant(false)})->output();
  }

  JitValue* Region(JitValue* memory, const TensorMeta& base, const TensorMeta& region) {
    if (region.dtype != base.dtype) {
      int64_t elements = base.numel() == 0 ? 0 : 1;
      for (size_t d = 0; d < base.sizes.size() && elements > 0; ++d) {
        elements += (base.sizes[d] - 1) * base.strides[d];
      }
      memory = Insert("aten::as_strided", {memory, Ints({elements}), Ints({1}), Int(0)})->output();
      TORCH_CHECK(
          c10::isComplexType(base.dtype) != c10::isComplexType(region.dtype), "trace: ", base.dtype,
          " read as ", region.dtype,
          " bit for bit cannot be called from TorchScript, so not be partitioned to the CPU");
      // view(dtype) would be read back as view(size).
      if (c10::isComplexType(base.dtype)) {
        memory = Insert("aten::view_as_real", {memory})->output();
      } else {
        memory = Insert("aten::as_strided", {memory, Ints({elements / 2, 2}), Ints({2, 1}), Int(0)})
                     ->output();
        memory = Insert("aten::view_as_complex", {memory})->output();
      }
    }
    return Insert("aten::as_strided",
                  {memory, Ints(region.sizes), Ints(region.strides), Int(region.storage_offset)})
        ->output();
  }

  JitValue* Update(const Node& node) {
    TensorMeta region = node.region();
    JitValue* memory = Memory(node, true);
    JitValue* contents = Get(node.operands[1]);
    // Of elements that lie on each other the last stays.
    for (size_t d = 0; d < region.sizes.size(); ++d) {
      if (region.strides[d] != 0 || region.sizes[d] < 2) continue;
      contents = Insert("aten::narrow",
                        {contents, Int(static_cast<int64_t>(d)), Int(region.sizes[d] - 1), Int(1)})
                     ->output();
      region.sizes[d] = 1;
    }
    Insert("aten::copy_",
           {Region(memory, node.base(), region), contents, graph_.insertConstant(false)});
    return memory;
  }

  // `numbers`: those of the program as numbers, rather than as tensors.
  JitValue* Operand(const Value& v, bool numbers) {
    if (numbers && v && v.node->kind == NodeKind::kConstant) {
      return graph_.insertConstant(c10::IValue(v.node->scalar()));
    }
    return Get(v);
  }

  JitValue* Argument(const Node& node, size_t i, bool numbers) {
    const c10::IValue& attribute = node.arg(i);
    if (node.arg_kind(i) == ArgKind::kTensor && !attribute.isNone()) {
      return Operand(node.Tensor(i), numbers);
    }
    if (node.arg_kind(i) == ArgKind::kTensorList && attribute.isInt()) {
      c10::TypePtr type = node.schema().arguments()[i].type();
      if (type->kind() == c10::TypeKind::OptionalType) type = type->containedType(0);
      std::vector<JitValue*> elements;
      for (const Value& v : node.TensorList(i)) elements.push_back(Operand(v, false));
      return graph_.insertNode(graph_.createList(type->containedType(0), elements))->output();
    }
    if (attribute.isDevice()) return graph_.insertConstant(c10::Device(at::kCPU));
    return graph_.insertConstant(attribute);
  }

  torch::jit::Node* MakeCall(const Node& node, bool numbers) {
    const std::string& name = node.schema().name();
    const bool convolution = name == "aten::convolution_overrideable";
    std::vector<JitValue*> inputs;
    for (size_t i = 0; i < node.num_args(); ++i) inputs.push_back(Argument(node, i, numbers));
    torch::jit::Node* call =
        graph_.create(c10::Symbol::fromQualString(convolution ? "aten::convolution" : name), inputs,
                      node.schema().returns().size());
    for (size_t i = 0; i < call->outputs().size(); ++i) {
      call->output(i)->setType(node.schema().returns()[i].type());
    }
    return call;
  }

  void Call(const Node& node) {
    torch::jit::Node* call = MakeCall(node, /*numbers=*/true);
    if (call->maybeSchema() == nullptr) {
      call->destroy();
      call = MakeCall(node, /*numbers=*/false);
    }
    TORCH_CHECK(call->maybeSchema() != nullptr, "trace: ", DescribeNode(node),
                " cannot be called from TorchScript, so not be partitioned to the CPU (schema: ",
                node.schema(), ")");
    graph_.insertNode(call);
    for (size_t r = 0; r < node.info->returns.size(); ++r) {
      const capture::NodeInfo::Return& result = node.info->returns[r];
      if (result.count < 0) {
        values_[{&node, result.first}] = call->output(r);
        continue;
      }
      torch::jit::Node* unpack = graph_.insertNode(
          graph_.createListUnpack(call->output(r), static_cast<size_t>(result.count)));
      for (int32_t k = 0; k < result.count; ++k) {
        values_[{&node, result.first + k}] = unpack->output(static_cast<size_t>(k));
      }
    }
  }

  torch::jit::Graph& graph_;
  std::unordered_map<std::pair<const Node*, int32_t>, JitValue*, Hash> values_;
};

std::string ShapeCheck(const neuron::TensorSpec& spec, size_t index, const std::string& value) {
  const std::string sizes = spec.sizes.empty()
                                ? "torch.jit.annotate(List[int], [])"
                                : absl::StrCat("[", absl::StrJoin(spec.sizes, ", "), "]");
  const std::string what = absl::StrCat("input ", index, " ('", absl::CEscape(spec.name), "')");
  return absl::StrCat("    assert ", value, ".size() == ", sizes, ", \"", what,
                      " has shape \" + str(", value, ".size()) + \"; the model was traced with ",
                      neuron::ShapeString(spec.sizes), "\"\n", "    assert ", value,
                      ".dtype == ", static_cast<int>(spec.dtype), ", \"", what,
                      " has another dtype; the model was traced with ",
                      std::string(neuron::DtypeName(spec.dtype)), "\"\n");
}

}  // namespace

torch::jit::Module CpuModule(const Subgraph& subgraph, const std::string& name) {
  torch::jit::Module module(absl::StrCat("__torch__.glia.", name));
  auto graph = std::make_shared<torch::jit::Graph>();
  graph->addInput("self")->setType(module.type());
  JitValue* inputs = graph->addInput("inputs")->setType(c10::ListType::ofTensors());
  CpuProgram program(graph.get());
  if (!subgraph.inputs.empty()) {
    torch::jit::Node* unpack =
        graph->insertNode(graph->createListUnpack(inputs, subgraph.inputs.size()));
    for (size_t i = 0; i < subgraph.inputs.size(); ++i) {
      program.Define(subgraph.inputs[i], unpack->output(i));
    }
  }
  for (const NodePtr& node : subgraph.nodes) program.Add(*node);
  std::vector<JitValue*> outputs;
  for (const Value& v : subgraph.outputs) outputs.push_back(program.Get(v));
  graph->registerOutput(
      graph->insertNode(graph->createList(c10::TensorType::get(), outputs))->output());
  torch::jit::Function* forward = module._ivalue()->compilation_unit()->create_function(
      c10::QualifiedName(*module.type()->name(), "forward"), graph);
  module.type()->addMethod(forward);
  module.eval();
  return module;
}

torch::jit::Module DeviceModule(c10::intrusive_ptr<neuron::Model> model, const std::string& name) {
  torch::jit::Module module(absl::StrCat("__torch__.glia.", name));
  module.register_attribute("model", c10::getCustomClassType<c10::intrusive_ptr<neuron::Model>>(),
                            c10::IValue(std::move(model)));
  module.define(
      "def forward(self, inputs: List[Tensor]) -> List[Tensor]:\n"
      "    return neuron.forward(inputs, self.model)\n",
      TraceResolver());
  module.eval();
  return module;
}

torch::jit::Module JoinParts(const Recorded& recorded, const std::vector<Subgraph>& subgraphs,
                             const std::vector<Part>& parts) {
  torch::jit::Module module("__torch__.glia.PartitionedModule");
  c10::impl::GenericList specs(c10::StringType::get());
  for (const neuron::TensorSpec& spec : recorded.inputs) {
    if (spec.name != neuron::kSeedName) specs.push_back(ToString(spec));
  }
  module.register_attribute("input_specs", c10::ListType::ofStrings(), specs);
  for (const Part& part : parts) module.register_module(part.name, part.module);

  std::vector<std::string> checks;
  std::vector<std::string> leaves;
  std::vector<std::string> signature = {"self"};
  for (const Argument& argument : recorded.arguments) {
    signature.push_back(absl::StrCat(argument.name, ": ", TypeOf(argument.structure)));
    for (std::string& leaf : Take(argument.structure, argument.name, &checks)) {
      leaves.push_back(std::move(leaf));
    }
  }
  std::string code = absl::StrCat("def forward(", absl::StrJoin(signature, ", "), ") -> ",
                                  TypeOf(recorded.result), ":\n");
  for (const std::string& check : checks) absl::StrAppend(&code, "    ", check, "\n");
  for (size_t i = 0; i < leaves.size(); ++i) {
    absl::StrAppend(&code, "    glia_in", i, " = ", leaves[i], "\n",
                    ShapeCheck(recorded.inputs[i], i, absl::StrCat("glia_in", i)));
  }
  if (recorded.has_seed) {
    absl::StrAppend(&code, kDrawSeed, "    glia_in", leaves.size(), " = glia_seed\n");
  }
  auto name_of = [&](const Value& v) {
    if (v.node->parameter >= 0) return absl::StrCat("glia_in", v.node->parameter);
    for (size_t p = 0; p < subgraphs.size(); ++p) {
      const auto& outputs = subgraphs[p].outputs;
      const auto it = std::find(outputs.begin(), outputs.end(), v);
      if (it != outputs.end()) return absl::StrCat("glia_out", p, "[", it - outputs.begin(), "]");
    }
    TORCH_CHECK(false, "a value of a partitioned graph has no source");
    return std::string();
  };
  for (size_t p = 0; p < subgraphs.size(); ++p) {
    std::vector<std::string> inputs;
    for (const Value& v : subgraphs[p].inputs) inputs.push_back(name_of(v));
    absl::StrAppend(&code, "    glia_out", p, " = self.", parts[p].name, ".forward(",
                    inputs.empty() ? "torch.jit.annotate(List[Tensor], [])"
                                   : absl::StrCat("[", absl::StrJoin(inputs, ", "), "]"),
                    ")\n");
  }
  size_t next = 0;
  absl::StrAppend(
      &code, "    return ",
      Make(
          recorded.result, [&](size_t i) { return name_of(recorded.graph->outputs[i]); }, &next),
      "\n");
  module.define(code, TraceResolver());
  module.eval();
  return module;
}

}  // namespace glia
