#include "compiler/passes/pass_testing.h"

#include <cmath>
#include <cstdlib>
#include <iostream>
#include <random>
#include <vector>

#include "absl/strings/str_cat.h"
#include "gtest/gtest.h"
#include "serialization/hlo/evaluator.h"
#include "serialization/hlo/text.h"
#include "serialization/hlo/verifier.h"

namespace glia::compiler {
namespace {

hlo::Literal RandomLiteral(const hlo::Shape& shape, std::mt19937* random) {
  if (shape.IsTuple()) {
    std::vector<hlo::Literal> elements;
    for (const hlo::Shape& element : shape.tuple)
      elements.push_back(RandomLiteral(element, random));
    return hlo::Literal::Tuple(std::move(elements));
  }
  hlo::Literal literal = hlo::Literal::Zero(shape.WithoutLayout());
  std::uniform_real_distribution<double> real(-2, 2);
  std::uniform_int_distribution<int> integer(0, 5);
  for (int64_t i = 0; i < literal.elements(); ++i) {
    literal.SetFromDouble(i, hlo::IsFloating(shape.type) ? real(*random) : integer(*random));
  }
  return literal;
}

void ExpectNear(const hlo::Literal& expected, const hlo::Literal& actual, double tolerance) {
  ASSERT_TRUE(hlo::Compatible(expected.shape(), actual.shape()))
      << expected.shape().ToString() << " became " << actual.shape().ToString();
  for (size_t i = 0; i < expected.tuple().size(); ++i) {
    ExpectNear(expected.tuple()[i], actual.tuple()[i], tolerance);
  }
  for (int64_t i = 0; i < expected.elements(); ++i) {
    const double e = expected.GetAsDouble(i);
    const double a = actual.GetAsDouble(i);
    const bool near = e == a || (std::isnan(e) && std::isnan(a)) ||
                      std::fabs(e - a) <= tolerance * std::max(1.0, std::fabs(e));
    ASSERT_TRUE(near) << "element " << i << ": " << e << " became " << a;
  }
}

std::string ExpressionOf(const hlo::Instruction& instr) {
  if (instr.opcode() == hlo::Opcode::kParameter) return absl::StrCat("p", instr.parameter_number);
  std::string text(hlo::OpcodeName(instr.opcode()));
  if (instr.operand_count() == 0) return text;
  for (int64_t i = 0; i < instr.operand_count(); ++i) {
    absl::StrAppend(&text, i == 0 ? "(" : ", ", ExpressionOf(*instr.operand(i)));
  }
  return text + ")";
}

}  // namespace

std::unique_ptr<hlo::Module> ParseOrDie(absl::string_view text) {
  auto module = hlo::ParseModule(text);
  if (!module.ok()) {
    std::cerr << module.status() << "\nin\n" << text << std::endl;
    std::abort();
  }
  return *std::move(module);
}

void ExpectSameResults(const hlo::Module& expected, const hlo::Module& actual, double tolerance,
                       uint32_t seed) {
  std::mt19937 random(seed);
  std::vector<hlo::Literal> args;
  for (const hlo::Instruction* parameter : expected.entry()->parameters()) {
    args.push_back(RandomLiteral(parameter->shape, &random));
  }
  auto before = hlo::Evaluate(expected, args);
  auto after = hlo::Evaluate(actual, args);
  ASSERT_TRUE(before.ok()) << before.status();
  ASSERT_TRUE(after.ok()) << after.status();
  SCOPED_TRACE(absl::StrCat("seed ", seed, ", result:\n", hlo::ToString(actual)));
  ExpectNear(*before, *after, tolerance);
}

bool RunAndCheck(PassFn pass, hlo::Module* module, double tolerance) {
  const std::unique_ptr<hlo::Module> original = module->Clone();
  const std::string before = hlo::ToString(*module);
  const absl::StatusOr<bool> changed = pass(module);
  EXPECT_TRUE(changed.ok()) << changed.status();
  if (!changed.ok()) return false;
  const std::string after = hlo::ToString(*module);
  EXPECT_EQ(*changed, before != after) << before << "became" << after;
  const absl::Status valid = hlo::Verify(*module);
  EXPECT_TRUE(valid.ok()) << valid << "\n" << after;
  if (valid.ok()) ExpectSameResults(*original, *module, tolerance);
  return *changed;
}

int64_t Count(const hlo::Module& module, hlo::Opcode opcode) {
  int64_t count = 0;
  for (const hlo::Instruction* instr : module.entry()->Instructions())
    count += instr->opcode() == opcode;
  return count;
}

std::string Expression(const hlo::Module& module) { return ExpressionOf(*module.entry()->root()); }

std::string Entry(absl::string_view body) {
  return absl::StrCat("HloModule test\n\nENTRY e {\n", body, "\n}\n");
}

}  // namespace glia::compiler
