#include "serialization/hlo/verifier.h"

#include <functional>

#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "serialization/hlo/hlo_testing.h"
#include "serialization/hlo/text.h"

namespace glia::hlo {
namespace {

using ::testing::HasSubstr;

TEST(Verifier, AcceptsEveryInstruction) {
  std::unique_ptr<Module> module = *ParseModule(kEveryInstruction);
  EXPECT_TRUE(Verify(*module).ok()) << Verify(*module);
}

TEST(Verifier, NamesModuleComputationAndInstruction) {
  Module module("m");
  EXPECT_THAT(Verify(module).ToString(), HasSubstr("has no entry computation"));
  Computation* main = module.AddComputation("main");
  module.set_entry(main);
  EXPECT_THAT(Verify(module).ToString(), HasSubstr("HLO module m, computation main: has no root"));
}

struct Case {
  const char* name;
  std::function<void(Module*)> damage;
  const char* message;
};

TEST(Verifier, FindsDamage) {
  const Shape vector(kF32, {2});
  const Case kCases[] = {
      {"shape", [](Module* m) { m->entry()->root()->shape.tuple.pop_back(); }, "but must have"},
      {"id", [](Module* m) { m->SetId(m->entry()->root(), m->entry()->parameter(0)->id()); },
       "is not unique"},
      {"cycle",
       [](Module* m) {
         Instruction* exp = m->entry()->Find("exp");
         m->entry()->Find("cos")->ReplaceOperand(0, exp);
       },
       "is part of a cycle"},
      {"foreign operand",
       [](Module* m) {
         m->entry()->Find("tanh")->ReplaceOperand(0, m->Find("same")->parameter(0));
       },
       "an operand of another computation"},
      {"parameter number", [](Module* m) { m->entry()->parameter(1)->parameter_number = 0; },
       "parameter number 0 is taken"},
      {"missing parameter",
       [](Module* m) { m->entry()->RenumberParameter(m->entry()->parameter(4), 7); },
       "numbers up to 7"},
      {"recursion", [](Module* m) { m->entry()->Find("call")->called = {m->entry()}; },
       "recursively"},
      {"signature", [](Module* m) { m->entry()->Find("reduce")->called = {m->Find("less")}; },
       "computation less must return f32[], but returns pred[]"},
      {"attribute",
       [](Module* m) {
         m->entry()->Find("transpose")->dimensions = {0, 0};
       },
       "repeats 0"},
      {"alias", [](Module* m) { m->input_output_alias[0].output_index = {2}; },
       "names a buffer that does not exist"},
      {"negative dim", [](Module* m) { m->entry()->Find("x")->shape.dims[0] = -1; },
       "negative dimension -1"},
      {"literal", [](Module* m) { m->entry()->Find("zero")->literal = nullptr; }, "has no value"},
  };
  for (const Case& c : kCases) {
    std::unique_ptr<Module> module = *ParseModule(kEveryInstruction);
    c.damage(module.get());
    EXPECT_THAT(Verify(*module).ToString(), HasSubstr(c.message)) << c.name;
  }
  std::unique_ptr<Module> module = *ParseModule(kEveryInstruction);
  std::unique_ptr<Module> other = module->Clone();
  module->entry()->Find("call")->called = {other->Find("negated")};
  EXPECT_THAT(Verify(*module).ToString(), HasSubstr("computation of another module"));
}

}  // namespace
}  // namespace glia::hlo
