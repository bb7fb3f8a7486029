#include "compiler/passes/pass_testing.h"
#include "gtest/gtest.h"
#include "serialization/hlo/verifier.h"

namespace glia::compiler {
namespace {

using hlo::Instruction;
using hlo::Opcode;

// What both modules together compute.
std::unique_ptr<hlo::Module> Joined(const hlo::Module& prepare, const hlo::Module& main) {
  auto joined = std::make_unique<hlo::Module>("joined");
  hlo::Computation* entry = joined->AddComputation("entry");
  joined->set_entry(entry);
  std::vector<Instruction*> parameters;
  for (const Instruction* p : prepare.entry()->parameters()) {
    parameters.push_back(entry->AddParameter(p->parameter_number, p->shape));
  }
  const Instruction* prepared = entry->Inline(*prepare.entry(), parameters);
  const std::vector<Instruction*> results = prepared->operands();
  parameters.insert(parameters.end(), results.begin(), results.end());
  entry->set_root(entry->Inline(*main.entry(), parameters));
  return joined;
}

std::unique_ptr<hlo::Module> SplitAndCheck(hlo::Module* module, const std::vector<bool>& weights) {
  const std::unique_ptr<hlo::Module> original = module->Clone();
  auto prepare = SplitWeights(module, weights);
  EXPECT_TRUE(hlo::Verify(*module).ok());
  if (prepare == nullptr) return nullptr;
  EXPECT_TRUE(hlo::Verify(*prepare).ok());
  ExpectSameResults(*original, *Joined(*prepare, *module), 0);
  return prepare;
}

TEST(SplitWeights, TurnsWhatADotContractsOverItsLastDim) {
  auto module = ParseOrDie(Entry(R"(
    x = f32[3,8] parameter(0)
    w = f32[5,8] parameter(1)
    b = f32[5] parameter(2)
    d = f32[3,5] dot(x, w), lhs_contracting_dims={1}, rhs_contracting_dims={1}
    bb = f32[3,5] broadcast(b), dimensions={1}
    ROOT r = f32[3,5] add(d, bb))"));
  auto prepare = SplitAndCheck(module.get(), {false, true, true});
  ASSERT_NE(prepare, nullptr);
  EXPECT_EQ(Expression(*prepare), "tuple(transpose(p1))");
  EXPECT_EQ(Expression(*module), "add(dot(p0, p3), broadcast(p2))");
}

TEST(SplitWeights, MovesArithmeticOnWeights) {
  auto module = ParseOrDie(Entry(R"(
    x = f32[4,6] parameter(0)
    w = f32[6,4] parameter(1)
    g = f32[6,4] parameter(2)
    m = f32[6,4] multiply(w, g)
    t = f32[4,6] transpose(m), dimensions={1,0}
    a = f32[4,6] add(x, t)
    e = f32[4,6] exponential(t)
    ROOT r = (f32[4,6], f32[4,6], f32[6,4]) tuple(a, e, m))"));
  auto prepare = SplitAndCheck(module.get(), {false, true, true});
  ASSERT_NE(prepare, nullptr);
  EXPECT_EQ(Expression(*prepare),
            "tuple(multiply(p1, p2), transpose(multiply(p1, p2)), "
            "exponential(transpose(multiply(p1, p2))))");
  EXPECT_EQ(Expression(*module), "tuple(add(p0, p4), p5, p3)");
}

TEST(SplitWeights, LeavesWhatIsNotWorthIt) {
  auto module = ParseOrDie(Entry(R"(
    x = f32[3,8] parameter(0)
    w = f32[40] parameter(1)
    v = f32[8,5] reshape(w)
    d = f32[3,5] dot(x, v), lhs_contracting_dims={1}, rhs_contracting_dims={0}
    b = f32[5] parameter(2)
    bb = f32[3,5] broadcast(b), dimensions={1}
    ROOT r = f32[3,5] add(d, bb))"));
  EXPECT_EQ(SplitAndCheck(module.get(), {false, true, true}), nullptr);
  EXPECT_EQ(SplitAndCheck(module.get(), {false, false, false}), nullptr);
}

}  // namespace
}  // namespace glia::compiler
