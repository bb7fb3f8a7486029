// Programs in TorchScript. Their arguments a, b, c, … are written as in the operator table.
#include "tests/conformance/programs.h"

#include <ATen/core/ivalue.h>
#include <torch/csrc/jit/api/compilation_unit.h>
#include <torch/csrc/jit/frontend/resolver.h>
#include <torch/csrc/jit/frontend/sugared_value.h>
#include <torch/csrc/jit/runtime/graph_executor.h>
#include <torch/library.h>

#include <memory>

#include "absl/strings/ascii.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_replace.h"
#include "absl/strings/str_split.h"
#include "frontend/lowering/testing/op_case.h"
#include "tests/conformance/case.h"
#include "tests/conformance/modes.h"

TORCH_LIBRARY(conformance, m) { m.def("step() -> ()", glia::conformance::Step); }

namespace glia::conformance {
namespace {

// `torch.cat` is aten::cat; `glia.step()` ends a step.
class Names : public torch::jit::Resolver {
 public:
  std::shared_ptr<torch::jit::SugaredValue> resolveValue(const std::string& name,
                                                         torch::jit::GraphFunction&,
                                                         const torch::jit::SourceRange&) override {
    if (name == "torch") return std::make_shared<torch::jit::BuiltinModule>("aten");
    if (name == "glia") return std::make_shared<torch::jit::BuiltinModule>("conformance");
    return nullptr;
  }
  c10::TypePtr resolveType(const std::string&, const torch::jit::SourceRange&) override {
    return nullptr;
  }
};

void Collect(const c10::IValue& value, Tensors* tensors) {
  if (value.isTensor()) {
    tensors->push_back(value.toTensor());
  } else if (value.isTuple()) {
    for (const c10::IValue& v : value.toTupleRef().elements()) Collect(v, tensors);
  } else {
    for (const c10::IValue& v : value.toListRef()) Collect(v, tensors);
  }
}

// "x = a.t(); return x" as the body of a function.
std::string Function(const ProgramCase& row, size_t arguments) {
  std::string code = "def run(";
  for (size_t i = 0; i < arguments; ++i) {
    absl::StrAppend(&code, i == 0 ? "" : ", ", std::string(1, static_cast<char>('a' + i)));
  }
  absl::StrAppend(&code, "):\n");
  for (absl::string_view line : absl::StrSplit(row.body, '\n')) {
    // Statements after ";" are on the level of the first.
    const size_t level = line.size() - absl::StripLeadingAsciiWhitespace(line).size();
    for (const absl::string_view statement : absl::StrSplit(line, ';')) {
      absl::StrAppend(&code, std::string(level + 4, ' '), absl::StripAsciiWhitespace(statement),
                      "\n");
    }
  }
  return code;
}

}  // namespace

void VisitProgram(const ProgramCase& row, const Visitor& visit) {
  Case c;
  c.inputs = lowering::testing::MakeTensors(row.arguments);
  c.name = absl::StrCat(row.body, " of ", row.arguments);
  c.tolerance = row.tolerance;
  c.untraceable = row.untraceable;
  c.fallbacks = row.fallbacks;
  const std::string code = Function(row, c.inputs.size());
  c.run = [code](const Tensors& inputs) {
    torch::jit::CompilationUnit unit;
    unit.define(c10::nullopt, code, std::make_shared<Names>(), nullptr);
    // Optimised executors specialise on what they saw before.
    torch::jit::GraphOptimizerEnabledGuard plain(false);
    torch::jit::Stack stack(inputs.begin(), inputs.end());
    unit.get_function("run").run(stack);
    Tensors results;
    Collect(stack.back(), &results);
    // What became of the arguments.
    results.insert(results.end(), inputs.begin(), inputs.end());
    return results;
  };
  visit(c);
}

void VisitPrograms(const Visitor& visit) {
  for (const ProgramCase& row : ProgramTable()) {
    const std::vector<std::string> types = absl::StrSplit(row.types, ' ');
    for (const std::string& type : types) {
      const std::string arguments = absl::StrReplaceAll(row.arguments, {{"$", type}});
      ProgramCase one = row;
      one.arguments = arguments.c_str();
      VisitProgram(one, visit);
    }
  }
}

}  // namespace glia::conformance
