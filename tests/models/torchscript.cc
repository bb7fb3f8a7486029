#include "tests/models/torchscript.h"

#include <ATen/core/grad_mode.h>
#include <torch/csrc/jit/frontend/tracer.h>
#include <torch/csrc/jit/ir/ir.h>

#include <algorithm>
#include <string>
#include <utility>

namespace glia::models {

torch::jit::Module ToTorchScript(Model& model, const Tensors& inputs) {
  at::NoGradGuard no_grad;
  torch::jit::Module module("__torch__.glia.models.Model");
  auto add = [&](std::string name, const at::Tensor& value, bool is_buffer) {
    std::replace(name.begin(), name.end(), '.', '_');
    module.register_parameter(name, value, is_buffer);
  };
  for (const auto& item : model.named_parameters()) add(item.key(), item.value(), false);
  for (const auto& item : model.named_buffers()) add(item.key(), item.value(), true);
  module.register_attribute("training", c10::BoolType::get(), false);

  auto forward = [&](torch::jit::Stack stack) -> torch::jit::Stack {
    Tensors arguments;
    for (const c10::IValue& value : stack) arguments.push_back(value.toTensor());
    Tensors outputs = model.Run(arguments);
    if (outputs.size() == 1) return {outputs[0]};
    std::vector<c10::IValue> elements(outputs.begin(), outputs.end());
    return {c10::ivalue::Tuple::create(std::move(elements))};
  };
  const auto traced = torch::jit::tracer::trace(
      torch::jit::Stack(inputs.begin(), inputs.end()), forward,
      [](const at::Tensor&) { return std::string(); }, /*strict=*/true, /*force_outplace=*/false,
      &module);
  const auto function = module._ivalue()->compilation_unit()->create_function(
      c10::QualifiedName(*module.type()->name(), "forward"), traced.first->graph,
      /*shouldMangle=*/true);
  module.type()->addMethod(function);
  return module;
}

Tensors RunTorchScript(torch::jit::Module& module, const Tensors& inputs) {
  const c10::IValue result = module.forward(std::vector<c10::IValue>(inputs.begin(), inputs.end()));
  if (result.isTensor()) return {result.toTensor()};
  if (result.isTensorList()) return result.toTensorVector();
  Tensors outputs;
  for (const c10::IValue& element : result.toTupleRef().elements()) {
    outputs.push_back(element.toTensor());
  }
  return outputs;
}

}  // namespace glia::models
