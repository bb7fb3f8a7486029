#include "serialization/hlo/proto_convert.h"

#include <functional>
#include <map>
#include <random>

#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "serialization/hlo/builder.h"
#include "serialization/hlo/hlo_testing.h"
#include "serialization/hlo/text.h"

namespace glia::hlo {
namespace {

using ::testing::HasSubstr;

std::unique_ptr<Module> Every() { return *ParseModule(kEveryInstruction); }

TEST(ProtoConvert, EveryInstructionRoundTrips) {
  std::unique_ptr<Module> module = Every();
  absl::StatusOr<std::string> bytes = SerializeModule(*module);
  ASSERT_TRUE(bytes.ok());
  absl::StatusOr<std::unique_ptr<Module>> again = DeserializeModule(*bytes);
  ASSERT_TRUE(again.ok()) << again.status();
  EXPECT_EQ(ToString(**again), ToString(*module));
  EXPECT_EQ((*again)->entry()->root()->id(), module->entry()->root()->id());
  EXPECT_EQ(*SerializeModule(**again), *bytes);
}

TEST(ProtoConvert, ReadsWrappers) {
  std::unique_ptr<Module> module = Every();
  proto::HloProto wrapped;
  *wrapped.mutable_hlo_module() = ModuleToProto(*module);
  absl::StatusOr<std::unique_ptr<Module>> again = DeserializeModule(wrapped.SerializeAsString());
  ASSERT_TRUE(again.ok()) << again.status();
  EXPECT_EQ(ToString(**again), ToString(*module));
  proto::HloSnapshot snapshot;
  *snapshot.mutable_hlo() = wrapped;
  EXPECT_TRUE(DeserializeModule(snapshot.SerializeAsString()).ok());
}

TEST(ProtoConvert, LiteralsOfEveryType) {
  for (PrimitiveType type : {kPred, kS8, kS16, kS32, kS64, kU8, kU16, kU32, kU64, kF16, kBF16, kF32,
                             kF64, kC64, kC128, kF8E5M2, kF8E4M3FN}) {
    Literal literal = Literal::Zero(Shape(type, {2, 3}));
    for (int i = 0; i < 6; ++i) literal.SetFromDouble(i, i);
    absl::StatusOr<Literal> again = LiteralFromProto(LiteralToProto(literal));
    ASSERT_TRUE(again.ok()) << Name(type) << again.status();
    EXPECT_TRUE(*again == literal) << Name(type);
  }
  EXPECT_FALSE(LiteralFromProto(LiteralToProto(Literal::Zero(Shape(kS4, {2})))).ok());
}

TEST(ProtoConvert, LiteralsInTheOrderOfTheirLayout) {
  proto::LiteralProto proto =
      LiteralToProto(Literal::FromVector<float>({2, 3}, {1, 4, 2, 5, 3, 6}));
  proto.mutable_shape()->mutable_layout()->set_minor_to_major(0, 0);
  proto.mutable_shape()->mutable_layout()->set_minor_to_major(1, 1);
  absl::StatusOr<Literal> literal = LiteralFromProto(proto);
  ASSERT_TRUE(literal.ok()) << literal.status();
  EXPECT_TRUE(*literal == Literal::FromVector<float>({2, 3}, {1, 2, 3, 4, 5, 6}));
}

// Both conventions of ids: small ones, and the computation's id in the upper 32 bits, of which
// references may give the lower ones alone.
TEST(ProtoConvert, LocalIds) {
  std::unique_ptr<Module> module = Every();
  for (bool full_references : {true, false}) {
    proto::HloModuleProto proto = ModuleToProto(*module);
    for (auto& computation : *proto.mutable_computations()) {
      const int64_t high = computation.id() << 32;
      if (full_references) computation.set_root_id(computation.root_id() | high);
      for (auto& instruction : *computation.mutable_instructions()) {
        instruction.set_id(instruction.id() | high);
        if (!full_references) continue;
        for (int64_t& id : *instruction.mutable_operand_ids()) id |= high;
      }
    }
    absl::StatusOr<std::unique_ptr<Module>> again = ModuleFromProto(proto);
    ASSERT_TRUE(again.ok()) << again.status();
    EXPECT_EQ(ToString(**again), ToString(*module));
  }
}

TEST(ProtoConvert, IdsUniqueInTheComputationOnly) {
  std::unique_ptr<Module> module = Every();
  proto::HloModuleProto proto = ModuleToProto(*module);
  for (auto& computation : *proto.mutable_computations()) {
    std::map<int64_t, int64_t> renumbered;
    for (auto& instruction : *computation.mutable_instructions()) {
      const int64_t id = static_cast<int64_t>(renumbered.size());
      renumbered[instruction.id()] = id;
      instruction.set_id(id);
      for (int64_t& operand : *instruction.mutable_operand_ids()) operand = renumbered.at(operand);
    }
    computation.set_root_id(renumbered.at(computation.root_id()));
  }
  absl::StatusOr<std::unique_ptr<Module>> again = ModuleFromProto(proto);
  ASSERT_TRUE(again.ok()) << again.status();
  EXPECT_EQ(ToString(**again), ToString(*module));
}

struct Damage {
  const char* name;
  std::function<void(proto::HloModuleProto*)> apply;
  const char* message;
};

TEST(ProtoConvert, MalformedProtos) {
  Builder builder("m");
  const Op x = Parameter(&builder, 0, Shape(kF32, {2}), "x");
  std::unique_ptr<Module> module =
      *builder.Build(Add(x, Constant(&builder, Literal::FromVector<float>({2}, {1, 2}))));
  const proto::HloModuleProto good = ModuleToProto(*module);
  ASSERT_TRUE(ModuleFromProto(good).ok());
  auto instruction = [](proto::HloModuleProto* p, int i) {
    return p->mutable_computations(0)->mutable_instructions(i);
  };
  const Damage kDamages[] = {
      {"entry", [](auto* p) { p->set_entry_computation_id(77), p->clear_entry_computation_name(); },
       "no computation is the entry (id 77"},
      {"no computations", [](auto* p) { p->clear_computations(); }, "no computation is the entry"},
      {"opcode", [&](auto* p) { instruction(p, 2)->set_opcode("frobnicate"); },
       "\"frobnicate\" is not"},
      {"operand", [&](auto* p) { instruction(p, 2)->set_operand_ids(0, 99); }, "operand id 99"},
      {"cycle", [&](auto* p) { instruction(p, 2)->set_operand_ids(0, instruction(p, 2)->id()); },
       "not that of an instruction before it"},
      {"id", [&](auto* p) { instruction(p, 1)->set_id(instruction(p, 0)->id()); }, "used twice"},
      {"negative id", [&](auto* p) { instruction(p, 1)->set_id(-5); }, "out of range"},
      {"shape", [&](auto* p) { instruction(p, 1)->clear_shape(); }, "has no shape"},
      {"type",
       [&](auto* p) { instruction(p, 1)->mutable_shape()->set_element_type(proto::BUFFER); },
       "unknown element type 34"},
      {"dim", [&](auto* p) { instruction(p, 0)->mutable_shape()->set_dimensions(0, -1); },
       "negative dimension -1"},
      {"dynamic",
       [&](auto* p) { instruction(p, 0)->mutable_shape()->set_is_dynamic_dimension(0, true); },
       "dynamic dimensions"},
      {"layout",
       [&](auto* p) {
         instruction(p, 0)->mutable_shape()->mutable_layout()->set_minor_to_major(0, 3);
       },
       "layout is not a permutation"},
      {"literal", [&](auto* p) { instruction(p, 1)->mutable_literal()->add_f32s(3); },
       "has 12 bytes, not 8"},
      {"no literal", [&](auto* p) { instruction(p, 1)->clear_literal(); }, "no value"},
      {"root", [](auto* p) { p->mutable_computations(0)->set_root_id(1234); },
       "the root's id 1234"},
      {"call", [&](auto* p) { instruction(p, 2)->add_called_computation_ids(9); },
       "called computation id 9"},
      {"parameter", [&](auto* p) { instruction(p, 0)->set_parameter_number(1 << 30); },
       "parameter number 1073741824"},
      {"result", [&](auto* p) { instruction(p, 2)->mutable_shape()->set_dimensions(0, 3); },
       "has shape f32[3], but must have f32[2]"},
      {"second computation", [](auto* p) { *p->add_computations() = p->computations(0); },
       "used by another computation"},
      {"alias",
       [](auto* p) { p->mutable_input_output_alias()->add_entries()->set_parameter_number(5); },
       "parameter 5"},
  };
  for (const Damage& damage : kDamages) {
    proto::HloModuleProto proto = good;
    damage.apply(&proto);
    absl::StatusOr<std::unique_ptr<Module>> result = ModuleFromProto(proto);
    ASSERT_FALSE(result.ok()) << damage.name;
    EXPECT_THAT(std::string(result.status().message()), HasSubstr(damage.message)) << damage.name;
  }
}

// What this schema does not list survives reading and writing.
TEST(ProtoConvert, UnknownFieldsAreKept) {
  // Field 40 (sharding) of an instruction, holding a message with field 1 = 3.
  const std::string bytes = "\xc2\x02\x02\x08\x03";
  proto::HloInstructionProto instruction;
  ASSERT_TRUE(instruction.ParseFromString(bytes));
  EXPECT_EQ(instruction.SerializeAsString(), bytes);
}

TEST(ProtoConvert, RandomBytesNeverCrash) {
  constexpr int kSeed = 4711;
  std::mt19937 random(kSeed);
  const std::string original = *SerializeModule(*Every());
  EXPECT_FALSE(DeserializeModule("").ok());
  EXPECT_FALSE(DeserializeModule("hello").ok());
  for (int round = 0; round < 2000; ++round) {
    std::string bytes = original;
    for (int e = 0; e < 4; ++e)
      bytes[random() % bytes.size()] ^= static_cast<char>(1u << random() % 8);
    if (random() % 4 == 0) bytes.resize(random() % bytes.size());
    absl::StatusOr<std::unique_ptr<Module>> module = DeserializeModule(bytes);
    if (!module.ok()) continue;
    EXPECT_FALSE(ToString(**module).empty());
  }
}

}  // namespace
}  // namespace glia::hlo
