// What rounding the operands explains, product by product. A whole model with other roundings ends
// up elsewhere after some layers, so a comparison of outputs leaves much room (models_test.cc).
// Here each matrix product and convolution of the zoo's compiled modules is run together with the
// one before it and all between them, from the values that the evaluator gives for what comes
// earlier, with --auto-cast matmult. The device must then give what the evaluator gives when
// exactly the operands of products are rounded to bf16, once: up to the few roundings that another
// order of fp32 sums tips, the fraction kTipped of what rounding itself changes.
#include <ATen/core/grad_mode.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <cstdio>
#include <cstring>
#include <memory>
#include <string>
#include <vector>

#include "absl/container/flat_hash_map.h"
#include "compiler/codegen/codegen.h"
#include "compiler/codegen/codegen_testing.h"
#include "compiler/codegen/rounding_testing.h"
#include "compiler/passes/pass_pipeline.h"
#include "frontend/capture/capture.h"
#include "frontend/inputs.h"
#include "frontend/lowering/lowering.h"
#include "frontend/lowering/testing/literals.h"
#include "serialization/hlo/evaluator.h"
#include "serialization/hlo/text.h"
#include "tests/models/zoo.h"

namespace glia::models {
namespace {

constexpr double kTipped = 0.05;
// fp32 sums, where nothing is rounded.
constexpr double kFp32 = 1e-6;

using compiler::CodegenOptions;
using hlo::Instruction;
using hlo::Literal;
using hlo::Opcode;

using Values = absl::flat_hash_map<std::string, Literal>;  // by the instruction's name

bool IsProduct(const Instruction& instr) {
  return instr.opcode() == Opcode::kDot || instr.opcode() == Opcode::kConvolution;
}

struct Compiled {
  std::unique_ptr<hlo::Module> module;  // weights are constants, as code generation sees it
  std::vector<Literal> arguments;
};

Compiled Record(Model& model, const Tensors& inputs) {
  capture::TraceScope scope(capture::TracePolicy{});
  Tensors stand_ins;
  for (const at::Tensor& t : inputs) stand_ins.push_back(scope.AddInput(t));
  model.to(capture::XlaDevice());
  const std::shared_ptr<capture::Graph> graph = scope.Finish(model.Run(stand_ins));
  auto module = lowering::Lower(*graph);
  TORCH_CHECK(module.ok(), std::string(module.status().message()));
  std::vector<at::Tensor> weights;
  for (size_t i = inputs.size(); i < graph->inputs.size(); ++i) {
    weights.push_back(HostInput(*graph->inputs[i]));
  }
  InlineParameters(module->get(), static_cast<int64_t>(inputs.size()), weights);
  const auto passes = compiler::RunPasses(module->get());
  TORCH_CHECK(passes.ok(), std::string(passes.status().message()));
  Compiled compiled;
  compiled.module = *std::move(module);
  for (const at::Tensor& t : inputs) {
    compiled.arguments.push_back(lowering::testing::ToLiteral(t));
  }
  return compiled;
}

Values Evaluate(const Compiled& compiled) {
  Values values;
  for (const Instruction* instr : compiled.module->entry()->PostOrder()) {
    if (instr->opcode() == Opcode::kParameter) {
      values[instr->name()] = compiled.arguments[static_cast<size_t>(instr->parameter_number)];
      continue;
    }
    std::vector<Literal> operands;
    for (const Instruction* operand : instr->operands()) {
      operands.push_back(values.at(operand->name()));
    }
    auto value = hlo::EvaluateInstruction(*instr, operands);
    TORCH_CHECK(value.ok(), std::string(value.status().message()));
    values[instr->name()] = *std::move(value);
  }
  return values;
}

// The product with what lies between it and the products before the last, on the longest way: the
// values there are new parameters. (A residual connection is cut, so that the order of computation
// stays.)
struct Cut {
  std::unique_ptr<hlo::Module> module;
  std::vector<Literal> arguments;
};

Cut CutOut(const Compiled& compiled, const Values& values, const std::string& product) {
  Cut cut;
  cut.module = compiled.module->Clone();
  cut.arguments = compiled.arguments;
  hlo::Computation* entry = cut.module->entry();
  Instruction* root = entry->Find(product);
  absl::flat_hash_map<const Instruction*, int> passed = {
      {root, 0}};  // products on the way, at most
  const std::vector<Instruction*> order = entry->PostOrder();
  for (auto instr = order.rbegin(); instr != order.rend(); ++instr) {
    const auto here = passed.find(*instr);
    if (here == passed.end()) continue;
    const int products = here->second;
    for (const Instruction* operand : (*instr)->operands()) {
      int& there = passed[operand];
      there = std::max(there, products + (IsProduct(*operand) ? 1 : 0));
    }
  }
  entry->set_root(root);
  for (Instruction* instr : order) {
    const auto at = passed.find(instr);
    if (at == passed.end() || at->second < 2) continue;
    if (instr->opcode() == Opcode::kConstant || instr->opcode() == Opcode::kParameter) continue;
    cut.arguments.push_back(values.at(instr->name()));
    instr->ReplaceAllUsesWith(
        entry->AddParameter(entry->parameter_count(), instr->shape.WithoutLayout()));
  }
  entry->RemoveDead();
  entry->Sort();
  cut.module->RemoveUnreachable();
  return cut;
}

double Rms(const Literal& a, const Literal* b) {
  double sum = 0;
  for (int64_t i = 0; i < a.elements(); ++i) {
    const double d = a.GetAsDouble(i) - (b == nullptr ? 0 : b->GetAsDouble(i));
    sum += d * d;
  }
  return std::sqrt(sum / static_cast<double>(std::max<int64_t>(a.elements(), 1)));
}

std::string Text(const hlo::Module& module) {
  hlo::PrintOptions options;
  options.max_constant_elements = 4;
  return hlo::ToString(module, options);
}

template <typename T>
T Value(absl::StatusOr<T> value) {
  TORCH_CHECK(value.ok(), std::string(value.status().message()));
  return *std::move(value);
}

class ProductsTest : public testing::TestWithParam<const char*> {};

TEST_P(ProductsTest, EachWithTheOneBefore) {
  at::NoGradGuard no_grad;
  const Instance instance = Find(GetParam()).make(Size::kSmall, 1);
  const Compiled compiled = Record(*instance.model, instance.inputs);
  const Values values = Evaluate(compiled);
  CodegenOptions options;
  options.auto_cast = compiler::AutoCast::kMatmult;
  int products = 0, rounding = 0;
  double worst = 0;
  for (const Instruction* product : compiled.module->entry()->PostOrder()) {
    if (!IsProduct(*product) || product->shape.type != hlo::kF32) continue;
    const Cut cut = CutOut(compiled, values, product->name());
    const Literal want =
        Value(hlo::Evaluate(*compiler::WithRoundedOperands(*cut.module, options), cut.arguments));
    const Literal exact = Value(hlo::Evaluate(*cut.module, cut.arguments));
    const Literal got =
        Value(compiler::RunNeff(Value(compiler::Generate(*cut.module, options)), *cut.module,
                                cut.arguments, device::ExecutorKind::kFast))[0];
    const double rounded = Rms(exact, &want);
    const double bound = std::max(kFp32 * Rms(want, nullptr), kTipped * rounded);
    const double difference = Rms(got, &want);
    EXPECT_LE(difference, bound) << product->name() << " of\n" << Text(*cut.module);
    ++products;
    if (rounded > 0) {
      ++rounding;
      worst = std::max(worst, difference / rounded);
    }
  }
  std::printf("%s: %d products, %d with rounding; at worst %.1e of what it changes\n", GetParam(),
              products, rounding, worst);
  EXPECT_GT(rounding, 1);
}

std::vector<const char*> Names() {
  std::vector<const char*> names;
  for (const Entry& entry : Zoo()) names.push_back(entry.name);
  return names;
}

INSTANTIATE_TEST_SUITE_P(, ProductsTest, testing::ValuesIn(Names()),
                         [](const auto& info) { return std::string(info.param); });

}  // namespace
}  // namespace glia::models
