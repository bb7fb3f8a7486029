#include "compiler/codegen/codegen_testing.h"

#include <cmath>
#include <random>
#include <utility>

#include "absl/strings/str_cat.h"
#include "device_sim/device.h"
#include "serialization/hlo/evaluator.h"
#include "serialization/hlo/text.h"

namespace glia::compiler {
namespace {

using hlo::Literal;
using hlo::Shape;

void Flatten(const Literal& literal, std::vector<Literal>* leaves) {
  if (!literal.shape().IsTuple()) {
    leaves->push_back(literal);
    return;
  }
  for (const Literal& element : literal.tuple()) Flatten(element, leaves);
}

void FlattenShape(const Shape& shape, std::vector<Shape>* leaves) {
  if (!shape.IsTuple()) {
    leaves->push_back(shape);
    return;
  }
  for (const Shape& element : shape.tuple) FlattenShape(element, leaves);
}

absl::Status Compare(const Literal& got, const Literal& want, const Tolerance& tolerance,
                     const std::string& where) {
  const int64_t n = want.elements();
  for (int64_t i = 0; i < n; ++i) {
    std::string difference;
    if (hlo::IsFloating(want.shape().type)) {
      const double a = got.GetAsDouble(i), b = want.GetAsDouble(i);
      const bool equal = a == b || (std::isnan(a) && std::isnan(b)) ||
                         std::abs(a - b) <= tolerance.absolute + tolerance.relative * std::abs(b);
      if (!equal) difference = absl::StrCat(a, " instead of ", b);
    } else if (got.GetAsInt64(i) != want.GetAsInt64(i)) {
      difference = absl::StrCat(got.GetAsInt64(i), " instead of ", want.GetAsInt64(i));
    }
    if (!difference.empty()) {
      return absl::InternalError(absl::StrCat(where, " ", want.shape().ToString(),
                                              " differs at element ", i, ": ", difference));
    }
  }
  return absl::OkStatus();
}

}  // namespace

Literal RandomLiteral(const Shape& shape, uint64_t seed) {
  Literal literal = Literal::Zero(shape);
  std::mt19937_64 random(seed * 0x9e3779b97f4a7c15u + 1);
  for (int64_t i = 0; i < literal.elements(); ++i) {
    const uint64_t r = random() >> 16;
    if (shape.type == hlo::kPred) {
      literal.SetFromInt64(i, static_cast<int64_t>(r & 1));
    } else if (hlo::IsFloating(shape.type)) {
      literal.SetFromDouble(i, static_cast<double>(static_cast<int64_t>(r % 256) - 128) / 64);
    } else if (hlo::IsUnsignedInt(shape.type)) {
      literal.SetFromInt64(i, static_cast<int64_t>(r % 21));
    } else {
      literal.SetFromInt64(i, static_cast<int64_t>(r % 21) - 10);
    }
  }
  return literal;
}

absl::StatusOr<std::vector<Literal>> RunNeff(const neff::Neff& neff, const hlo::Module& module,
                                             const std::vector<Literal>& arguments,
                                             device::ExecutorKind kind) {
  auto core = device::Core::Create(0);
  auto loaded = core->Load(std::make_shared<neff::Neff>(neff), kind);
  if (!loaded.ok()) return loaded.status();
  std::vector<Literal> inputs, outputs;
  for (const Literal& argument : arguments) Flatten(argument, &inputs);
  std::vector<Shape> shapes;
  FlattenShape(module.entry()->root()->shape, &shapes);
  for (const Shape& shape : shapes) outputs.push_back(Literal::Zero(shape.WithoutLayout()));
  uint8_t nothing = 0;
  const auto bytes = [&nothing](Literal* literal) {
    return literal->bytes() == 0 ? &nothing : static_cast<uint8_t*>(literal->MutableRaw());
  };
  std::vector<uint8_t*> in, out;
  for (Literal& literal : inputs) in.push_back(bytes(&literal));
  for (Literal& literal : outputs) out.push_back(bytes(&literal));
  // Inputs are the first variables, outputs those after them, both in order.
  std::vector<size_t> shared(outputs.size(), SIZE_MAX);
  for (size_t i = 0; i < outputs.size(); ++i) {
    const int32_t alias = neff.program.variables[inputs.size() + i].alias;
    if (alias < 0) continue;
    shared[i] = static_cast<size_t>(alias);
    out[i] = in[shared[i]];
  }
  auto statistics = (*loaded)->Run(std::vector<const uint8_t*>(in.begin(), in.end()), out);
  if (!statistics.ok()) return statistics.status();
  for (size_t i = 0; i < outputs.size(); ++i) {
    if (shared[i] != SIZE_MAX) outputs[i] = inputs[shared[i]];
  }
  return outputs;
}

absl::Status CheckModule(const hlo::Module& module, const std::vector<Literal>& arguments,
                         const Tolerance& tolerance, const CodegenOptions& options) {
  absl::StatusOr<Literal> want = hlo::Evaluate(module, arguments);
  if (!want.ok()) return want.status();
  absl::StatusOr<neff::Neff> neff = Generate(module, options);
  if (!neff.ok()) return neff.status();
  std::vector<Literal> leaves;
  Flatten(*want, &leaves);
  for (const auto kind : {device::ExecutorKind::kInterpreter, device::ExecutorKind::kFast}) {
    const char* name = kind == device::ExecutorKind::kFast ? "fast executor" : "interpreter";
    absl::StatusOr<std::vector<Literal>> got = RunNeff(*neff, module, arguments, kind);
    if (!got.ok()) return got.status();
    if (leaves.size() != got->size()) return absl::InternalError("wrong number of outputs");
    for (size_t i = 0; i < leaves.size(); ++i) {
      absl::Status s = Compare((*got)[i], leaves[i], tolerance, absl::StrCat(name, ", output ", i));
      if (!s.ok()) return s;
    }
  }
  return absl::OkStatus();
}

absl::Status CheckText(absl::string_view text, uint64_t seed, const Tolerance& tolerance,
                       const CodegenOptions& options) {
  absl::StatusOr<std::unique_ptr<hlo::Module>> module = hlo::ParseModule(text);
  if (!module.ok()) return module.status();
  std::vector<Literal> arguments;
  for (const hlo::Instruction* parameter : (*module)->entry()->parameters()) {
    arguments.push_back(RandomLiteral(parameter->shape, seed++));
  }
  return CheckModule(**module, arguments, tolerance, options);
}

}  // namespace glia::compiler
