#include "serialization/hlo/ir.h"

#include "gtest/gtest.h"
#include "serialization/hlo/hlo_testing.h"
#include "serialization/hlo/text.h"
#include "serialization/hlo/verifier.h"

namespace glia::hlo {
namespace {

const Shape kVector(kF32, {2});

TEST(Ir, UsesFollowEdits) {
  Module module("m");
  Computation* main = module.AddComputation("main");
  Instruction* x = main->AddParameter(0, kVector, "x");
  Instruction* y = main->AddParameter(1, kVector, "y");
  Instruction* sum = main->Add(Opcode::kAdd, kVector, {x, x});
  Instruction* neg = main->Add(Opcode::kNegate, kVector, {x});
  EXPECT_EQ(x->uses().size(), 3u);
  EXPECT_EQ(x->users(), (std::vector<Instruction*>{sum, neg}));
  sum->ReplaceOperand(0, y);
  EXPECT_EQ(x->uses().size(), 2u);
  EXPECT_EQ(y->users(), (std::vector<Instruction*>{sum}));
  main->set_root(x);
  x->ReplaceAllUsesWith(y);
  EXPECT_EQ(main->root(), y);
  EXPECT_TRUE(x->uses().empty());
  EXPECT_EQ(y->uses().size(), 3u);
  sum->AppendOperand(x);
  sum->RemoveOperand(0);
  EXPECT_EQ(sum->operands(), (std::vector<Instruction*>{y, x}));
  EXPECT_EQ(x->uses()[0].operand_index, 1);
}

TEST(Ir, NamesAreUniqueAndSanitized) {
  Module module("m");
  Computation* main = module.AddComputation("main");
  EXPECT_EQ(module.AddComputation("main")->name(), "main.1");
  Instruction* a = main->AddParameter(0, kVector, "aten::x");
  EXPECT_EQ(a->name(), "aten__x");
  EXPECT_EQ(main->Add(Opcode::kNegate, kVector, {a}, "aten::x")->name(), "aten__x.1");
  EXPECT_EQ(main->Add(Opcode::kNegate, kVector, {a}, "aten__x.1")->name(), "aten__x.2");
  EXPECT_EQ(main->Add(Opcode::kNegate, kVector, {a}, "0")->name(), "_0");
  EXPECT_EQ(main->Find("aten__x"), a);
  EXPECT_EQ(main->Find("nothing"), nullptr);
}

TEST(Ir, PostOrderAfterEdits) {
  Module module("m");
  Computation* main = module.AddComputation("main");
  Instruction* x = main->AddParameter(0, kVector, "x");
  Instruction* a = main->Add(Opcode::kNegate, kVector, {x}, "a");
  Instruction* b = main->Add(Opcode::kExp, kVector, {x}, "b");
  a->ReplaceOperand(0, b);
  EXPECT_EQ(main->PostOrder(), (std::vector<Instruction*>{x, b, a}));
  EXPECT_EQ(main->Instructions(), (std::vector<Instruction*>{x, a, b}));
  main->Sort();
  EXPECT_EQ(main->Instructions(), (std::vector<Instruction*>{x, b, a}));
}

TEST(Ir, RemovesDeadInstructionsButNotSideEffects) {
  std::unique_ptr<Module> module = *ParseModule(R"(
f { p = f32[2] parameter(0)
    ROOT c = f32[2] custom-call(p), custom_call_target="x", custom_call_has_side_effect=true }
g { p = f32[2] parameter(0)
    ROOT n = f32[2] negate(p) }
ENTRY e {
  x = f32[2] parameter(0)
  unused = f32[2] parameter(1)
  a = f32[2] negate(x)
  b = f32[2] add(a, a)
  effect = f32[2] call(b), to_apply=f
  pure = f32[2] call(b), to_apply=g
  ROOT r = f32[2] exponential(x)
})");
  Computation* entry = module->entry();
  EXPECT_EQ(entry->RemoveDead(), 1);
  EXPECT_EQ(entry->Find("pure"), nullptr);
  EXPECT_NE(entry->Find("effect"), nullptr);
  entry->RemoveWithDeadOperands(entry->Find("effect"));
  EXPECT_EQ(entry->instruction_count(), 3);
  EXPECT_EQ(entry->parameter_count(), 2);
  EXPECT_EQ(module->RemoveUnreachable(), 2);
  EXPECT_TRUE(Verify(*module).ok());
}

TEST(Ir, Inlines) {
  std::unique_ptr<Module> module = *ParseModule(R"(
f { p = f32[2] parameter(0)
    q = f32[2] parameter(1)
    ROOT s = f32[2] subtract(q, p) }
ENTRY e {
  x = f32[2] parameter(0)
  y = f32[2] negate(x)
  ROOT c = f32[2] call(x, y), to_apply=f
})");
  Computation* entry = module->entry();
  Instruction* call = entry->root();
  EXPECT_EQ(module->CallersOf(module->Find("f")), (std::vector<Instruction*>{call}));
  Instruction* result = entry->Inline(*call->to_apply(), call->operands());
  call->ReplaceAllUsesWith(result);
  entry->Remove(call);
  EXPECT_EQ(module->RemoveUnreachable(), 1);
  ASSERT_TRUE(Verify(*module).ok());
  EXPECT_EQ(entry->root()->opcode(), Opcode::kSubtract);
  EXPECT_EQ(entry->root()->operand(0)->name(), "y");
}

TEST(Ir, CloneKeepsIdsNamesAndOrder) {
  std::unique_ptr<Module> module = *ParseModule(kEveryInstruction);
  std::unique_ptr<Module> clone = module->Clone();
  EXPECT_EQ(ToString(*clone), ToString(*module));
  EXPECT_TRUE(Verify(*clone).ok());
  EXPECT_EQ(clone->entry()->root()->id(), module->entry()->root()->id());
  EXPECT_EQ(clone->input_output_alias.size(), 2u);
  Instruction* added = clone->entry()->Add(Opcode::kTuple, Shape::Tuple({}));
  EXPECT_TRUE(Verify(*clone).ok()) << added->id();
}

TEST(Ir, RenumbersParameters) {
  Module module("m");
  Computation* main = module.AddComputation("main");
  Instruction* x = main->AddParameter(0, kVector, "x");
  Instruction* y = main->AddParameter(1, kVector, "y");
  main->set_root(y);
  main->Remove(x);
  main->RenumberParameter(y, 0);
  EXPECT_EQ(main->parameters(), (std::vector<Instruction*>{y}));
}

// Quadratic work here would take minutes.
TEST(Ir, HundredThousandInstructions) {
  constexpr int kCount = 100000;
  Module module("big");
  Computation* main = module.AddComputation("main");
  module.set_entry(main);
  Instruction* x = main->AddParameter(0, kVector, "x");
  Instruction* popular = main->AddConstant(Literal::Zero(kVector), "zero");
  Instruction* last = x;
  for (int i = 0; i < kCount; ++i) last = main->Add(Opcode::kAdd, kVector, {last, popular}, "add");
  main->set_root(last);
  EXPECT_TRUE(Verify(module).ok());
  // Every second one is bypassed and removed.
  for (Instruction* instruction : main->PostOrder()) {
    if (instruction->opcode() != Opcode::kAdd || instruction->id() % 2 != 0) continue;
    instruction->ReplaceAllUsesWith(instruction->operand(0));
    main->Remove(instruction);
  }
  EXPECT_EQ(main->instruction_count(), kCount / 2 + 2);
  EXPECT_EQ(ToString(*module.Clone()), ToString(module));
  main->set_root(x);
  EXPECT_EQ(main->RemoveDead(), kCount / 2 + 1);
}

}  // namespace
}  // namespace glia::hlo
