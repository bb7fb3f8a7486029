#include "frontend/script.h"

#include <torch/csrc/jit/api/function_impl.h>
#include <torch/csrc/jit/ir/constants.h>
#include <torch/csrc/jit/passes/inliner.h>
#include <torch/csrc/jit/runtime/interpreter.h>

#include "frontend/capture/capture.h"

namespace glia {
namespace {

bool IsDevice(const c10::Argument& argument) {
  c10::TypePtr type = argument.type();
  if (type->kind() == c10::TypeKind::OptionalType) type = type->containedType(0);
  return type->kind() == c10::TypeKind::DeviceObjType;
}

// An operator of tensors takes its device from them.
bool TakesTensors(const c10::FunctionSchema& schema) {
  for (const c10::Argument& a : schema.arguments()) {
    if (a.type()->kind() == c10::TypeKind::TensorType) return true;
  }
  return false;
}

void MoveNode(torch::jit::Node* node, c10::Device device) {
  const c10::FunctionSchema* schema = node->maybeSchema();
  if (schema == nullptr) return;
  for (size_t i = 0; i < schema->arguments().size() && i < node->inputs().size(); ++i) {
    if (!IsDevice(schema->arguments()[i])) continue;
    const auto value = torch::jit::toIValue(node->input(i));
    if (!value || !(value->isDevice() || (value->isNone() && !TakesTensors(*schema)))) continue;
    torch::jit::WithInsertPoint before(node);
    node->replaceInput(i, node->owningGraph()->insertConstant(device));
  }
}

void MoveBlock(torch::jit::Block* block, c10::Device device) {
  for (auto it = block->nodes().begin(); it != block->nodes().end();) {
    torch::jit::Node* node = *it++;
    for (torch::jit::Block* inner : node->blocks()) MoveBlock(inner, device);
    if (node->hasAttribute(torch::jit::attr::Subgraph)) {
      MoveBlock(node->g(torch::jit::attr::Subgraph)->block(), device);
    }
    if (node->kind() == c10::Symbol::fromQualString("aten::cpu") ||
        node->kind() == c10::Symbol::fromQualString("aten::cuda")) {
      node->output()->replaceAllUsesWith(node->input(0));
      node->destroy();
      continue;
    }
    MoveNode(node, device);
  }
}

}  // namespace

void MoveProgram(torch::jit::Graph* graph, c10::Device device) {
  MoveBlock(graph->block(), device);
}

DeviceScript::DeviceScript(const torch::jit::Module& model) : module_(model.deepcopy()) {
  const torch::jit::Method forward = module_.get_method("forward");
  const auto& arguments = forward.function().getSchema().arguments();
  for (size_t i = 1; i < arguments.size(); ++i) argument_names_.push_back(arguments[i].name());
  graph_ = torch::jit::toGraphFunction(forward.function()).graph()->copy();
  torch::jit::Inline(*graph_);
  MoveProgram(graph_.get(), capture::XlaDevice());
}

void DeviceScript::ToDevice() { module_.to(capture::XlaDevice()); }

c10::IValue DeviceScript::Run(const std::vector<c10::IValue>& inputs) {
  torch::jit::Stack stack;
  stack.emplace_back(module_._ivalue());
  stack.insert(stack.end(), inputs.begin(), inputs.end());
  module_.get_method("forward").function().getSchema().checkAndNormalizeInputs(stack, {});
  // The plain program: optimised executors specialise on what they saw before, and another thread
  // would not record.
  torch::jit::Code code(graph_, "forward");
  torch::jit::InterpreterState(code, [](const std::function<void()>& task) { task(); }).run(stack);
  return stack.at(0);
}

std::vector<std::pair<std::string, at::Tensor>> DeviceScript::State() const {
  std::vector<std::pair<std::string, at::Tensor>> state;
  for (const auto& item : module_.named_parameters()) state.emplace_back(item.name, item.value);
  for (const auto& item : module_.named_buffers()) state.emplace_back(item.name, item.value);
  return state;
}

}  // namespace glia
