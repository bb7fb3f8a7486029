#include "serialization/hlo/text.h"

#include <random>

#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "serialization/hlo/hlo_testing.h"
#include "serialization/hlo/literal_text.h"

namespace glia::hlo {
namespace {

using ::testing::HasSubstr;

std::unique_ptr<Module> Parse(absl::string_view text) {
  absl::StatusOr<std::unique_ptr<Module>> module = ParseModule(text);
  EXPECT_TRUE(module.ok()) << module.status();
  return module.ok() ? *std::move(module) : nullptr;
}

TEST(Text, EveryInstructionRoundTrips) {
  std::unique_ptr<Module> module = Parse(kEveryInstruction);
  ASSERT_NE(module, nullptr);
  const std::string printed = ToString(*module);
  std::unique_ptr<Module> again = Parse(printed);
  ASSERT_NE(again, nullptr);
  EXPECT_EQ(ToString(*again), printed);
  // Every line of the original is there.
  for (const Computation* computation : module->Computations()) {
    for (const Instruction* instruction : computation->Instructions()) {
      EXPECT_THAT(kEveryInstruction, HasSubstr(ToString(*instruction)));
    }
  }
}

TEST(Text, EveryOpcodeIsCovered) {
  std::unique_ptr<Module> module = Parse(kEveryInstruction);
  ASSERT_NE(module, nullptr);
  std::vector<bool> seen(kOpcodeCount);
  for (const Computation* computation : module->Computations()) {
    for (const Instruction* i : computation->Instructions())
      seen[static_cast<int>(i->opcode())] = true;
  }
  for (int i = 0; i < kOpcodeCount; ++i) {
    EXPECT_TRUE(seen[i]) << OpcodeName(static_cast<Opcode>(i));
  }
}

TEST(Text, ReadsJaxDump) {
  std::unique_ptr<Module> module = Parse(R"(
HloModule jit_f, is_scheduled=true, entry_computation_layout={(f32[4,8]{1,0}, /*index=1*/f32[8]{0:T(128)})->f32[4]{0}}, allow_spmd_sharding_propagation_to_parameters={true,true}, num_partitions=1

FileNames
1 "a.py"
2 "b.py"

region_0.5 {
  Arg_0.6 = f32[] parameter(0), metadata={op_name="sum" stack_frame_id=3}
  Arg_1.7 = f32[] parameter(1)
  ROOT add.8 = f32[] add(Arg_0.6, Arg_1.7), metadata={op_name="jit(f)/jit(main)/reduce_sum[axes=(1,)]" source_file="a.py" source_line=3}
}

ENTRY main.10 {
  Arg_0.1 = f32[4,8]{1,0} parameter(0), sharding={devices=[1,1]<=[1]}
  Arg_1.2 = f32[8]{0:T(128)} parameter(1), sharding={replicated}
  // a comment
  broadcast.3 = f32[4,8]{1,0} broadcast(f32[8]{0} %Arg_1.2), dimensions={1}
  multiply.4 = f32[4,8]{1,0} multiply(f32[4,8]{1,0} Arg_0.1, f32[4,8]{1,0} broadcast.3)
  constant.5 = f32[] constant(0)
  ROOT reduce.9 = f32[4]{0} reduce(multiply.4, /*init=*/constant.5), dimensions={1}, to_apply=region_0.5, control-predecessors={multiply.4}
}, execution_thread="main"
)");
  ASSERT_NE(module, nullptr);
  EXPECT_EQ(module->name(), "jit_f");
  EXPECT_EQ(module->entry()->name(), "main.10");
  EXPECT_EQ(module->entry()->root()->shape.ToString(), "f32[4]");
  EXPECT_EQ(module->Find("region_0.5")->root()->metadata.source_line, 3);
}

TEST(Text, PrintsNoMetadataAndShortConstants) {
  std::unique_ptr<Module> module = Parse(kEveryInstruction);
  ASSERT_NE(module, nullptr);
  PrintOptions options;
  options.metadata = false;
  options.max_constant_elements = 2;
  const std::string text = ToString(*module, options);
  EXPECT_EQ(text.find("metadata="), std::string::npos);
  EXPECT_THAT(text, HasSubstr("constant({1, 0, ...)"));
  EXPECT_THAT(std::string(ParseModule(text).status().message()), HasSubstr("were left out"));
}

struct BadText {
  const char* text;
  const char* message;
};

class TextErrors : public ::testing::TestWithParam<BadText> {};

TEST_P(TextErrors, NamesTheCause) {
  absl::StatusOr<std::unique_ptr<Module>> module = ParseModule(GetParam().text);
  ASSERT_FALSE(module.ok());
  EXPECT_THAT(std::string(module.status().message()), HasSubstr(GetParam().message));
}

INSTANTIATE_TEST_SUITE_P(
    All, TextErrors,
    ::testing::Values(
        BadText{"", "no computation"},  //
        BadText{"HloModule m", "no computation"}, BadText{"ENTRY e {\n}", "is empty"},
        BadText{"ENTRY e {\n  x = f32[2] parameter(0)\n  y = f32[2] all-reduce(x)\n}",
                "line 3: instruction all-reduce is not supported"},
        BadText{"ENTRY e {\n  x = f32[2] parameter(0)\n  y = f32[2] add(x, z)\n}",
                "operand z is not defined above"},
        BadText{"ENTRY e {\n  x = f32[2] parameter(0)\n  ROOT y = f32[3] negate(x)\n}",
                "has shape f32[3], but must have f32[2]"},
        BadText{"ENTRY e {\n  x = f32[2] parameter(0)\n  x = f32[2] negate(x)\n}",
                "a second instruction x"},
        BadText{"ENTRY e { x = f32[2] parameter(1) }", "numbers up to 1"},
        BadText{"ENTRY e { x = f32[2] parameter(-1) }", "parameter number -1"},
        BadText{"ENTRY e { x = f32[2] parameter(9999999999) }", "parameter number 9999999999"},
        BadText{"ENTRY e { x = f32[<=2] parameter(0) }", "dynamic dimensions"},
        BadText{"ENTRY e { x = f32[2] constant({1}) }", "has 1 values where 2 are expected"},
        BadText{"ENTRY e { x = f32[2] constant({1, 2, 3}) }", "too many values"},
        BadText{"ENTRY e { x = f32[2] constant({...}) }", "were left out"},
        BadText{"ENTRY e { x = s8[1] constant({128}) }", "a value of type s8"},
        BadText{"ENTRY e { x = f32[99999999999] constant({1}) }", "too few values"},
        BadText{"ENTRY e { x = f32[1] parameter(0)\n y = f32[1] negate(x), colour=red }",
                "unknown attribute colour of negate"},
        BadText{"ENTRY e { x = f32[1] parameter(0)\n y = f32[1] call(x), to_apply=%f }",
                "computation f is not defined"},
        BadText{"ENTRY e { x = f32[1] parameter(0)\n y = f32[1] call(x), to_apply=%e }",
                "recursively"},
        BadText{"ENTRY a { x = f32[] parameter(0) }\nENTRY b { x = f32[] parameter(0) }",
                "a second ENTRY"},
        BadText{"ENTRY e { x = f32[] parameter(0)", "expected a name"}));

TEST(Text, DeepNestingIsAnError) {
  const std::string deep(100000, '(');
  EXPECT_FALSE(ParseModule("ENTRY e { x = " + deep).ok());
  EXPECT_FALSE(ParseModule("ENTRY e { x = f32[] parameter(0), sharding=" + deep).ok());
  EXPECT_FALSE(ParseModule("ENTRY e { x = f32[] constant(" + std::string(100000, '{')).ok());
}

// Damaged text never crashes, and what parses prints and parses again.
TEST(Text, RandomMutations) {
  constexpr int kSeed = 20240531;
  std::mt19937 random(kSeed);
  const std::string original = kEveryInstruction;
  const std::string characters = "{}()[],=%\"x0-19_:>\\ \n/*";
  int parsed = 0;
  for (int round = 0; round < 3000; ++round) {
    std::string text = original;
    const int edits = 1 + static_cast<int>(random() % 3);
    for (int e = 0; e < edits; ++e) {
      const size_t at = random() % text.size();
      switch (random() % 4) {
        case 0:
          text.erase(at, 1 + random() % 8);
          break;
        case 1:
          text[at] = characters[random() % characters.size()];
          break;
        case 2:
          text.insert(at, 1, characters[random() % characters.size()]);
          break;
        default:
          text.resize(at + 1);
          break;
      }
    }
    absl::StatusOr<std::unique_ptr<Module>> module = ParseModule(text);
    if (!module.ok()) continue;
    ++parsed;
    const std::string printed = ToString(**module);
    absl::StatusOr<std::unique_ptr<Module>> again = ParseModule(printed);
    ASSERT_TRUE(again.ok()) << again.status() << " seed " << kSeed << " round " << round;
    ASSERT_EQ(ToString(**again), printed) << "seed " << kSeed << " round " << round;
  }
  EXPECT_GT(parsed, 20);
}

}  // namespace
}  // namespace glia::hlo
