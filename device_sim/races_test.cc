#include <algorithm>
#include <array>
#include <chrono>
#include <random>
#include <string>
#include <vector>

#include "device_sim/executor.h"
#include "device_sim/testing/program_builder.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "serialization/isa/table.h"

namespace glia::device {
namespace {

using isa::DType;
using isa::Engine;
using isa::Instruction;
using isa::Opcode;
using isa::Operand;
using ::testing::AllOf;
using ::testing::HasSubstr;

Instruction Wait(Instruction i, uint16_t semaphore, uint32_t value) {
  i.wait_semaphore = semaphore;
  i.wait_value = value;
  return i;
}
Instruction Inc(Instruction i, uint16_t semaphore, uint32_t value = 1) {
  i.inc_semaphore = semaphore;
  i.inc_value = value;
  return i;
}
Instruction Fill(const Operand& o) { return Make(Opcode::kMemset, o); }
Instruction CopyTile(const Operand& dst, const Operand& src) { return Make(Opcode::kTensorCopy, dst, src); }

std::string Message(const isa::Program& p) { return std::string(CheckRaces(p).message()); }

TEST(Races, ReadOfWhatAnotherEngineWrites) {
  ProgramBuilder b;
  const Operand x = b.SbufTile(4, 16), y = b.SbufTile(4, 16);
  b.AddUnordered(Engine::kPool, Fill(x));
  b.AddUnordered(Engine::kDve, CopyTile(y, x));
  const absl::Status s = CheckRaces(b.Build());
  EXPECT_EQ(s.code(), absl::StatusCode::kInvalidArgument);
  EXPECT_THAT(std::string(s.message()),
              AllOf(HasSubstr("segment 0: race on SBUF, bytes 0 to 64 of partitions 0 to 3"),
                    HasSubstr("written by POOL instruction 0 (memset"),
                    HasSubstr("read by DVE instruction 0 (tensor_copy")));
}

TEST(Races, SemaphoreOrders) {
  ProgramBuilder b;
  const Operand x = b.SbufTile(4, 16), y = b.SbufTile(4, 16);
  b.AddUnordered(Engine::kPool, Inc(Fill(x), 0));
  b.AddUnordered(Engine::kDve, Wait(CopyTile(y, x), 0, 1));
  EXPECT_EQ(Message(b.Build()), "");
}

TEST(Races, TheFirstIncrementThatSufficesCounts) {
  for (const uint32_t value : {1u, 2u}) {
    ProgramBuilder b;
    const Operand x = b.SbufTile(4, 16), y = b.SbufTile(4, 16), z = b.SbufTile(4, 16);
    b.AddUnordered(Engine::kPool, Inc(Fill(y), 0));
    b.AddUnordered(Engine::kPool, Inc(Fill(x), 0));
    b.AddUnordered(Engine::kDve, Wait(CopyTile(z, x), 0, value));
    EXPECT_EQ(CheckRaces(b.Build()).ok(), value == 2);
  }
}

TEST(Races, OrderIsTransitive) {
  ProgramBuilder b;
  const Operand x = b.SbufTile(4, 16), y = b.SbufTile(4, 16);
  b.AddUnordered(Engine::kPool, Inc(Fill(x), 0));
  b.AddUnordered(Engine::kAct, Inc(Wait(Make(Opcode::kNop), 0, 1), 1));
  b.AddUnordered(Engine::kDve, Wait(CopyTile(y, x), 1, 1));
  EXPECT_EQ(Message(b.Build()), "");
}

TEST(Races, WriteAfterRead) {
  ProgramBuilder b;
  const Operand x = b.SbufTile(4, 16), y = b.SbufTile(4, 16);
  b.AddUnordered(Engine::kPool, Inc(Fill(x), 0));
  b.AddUnordered(Engine::kDve, Wait(CopyTile(y, x), 0, 1));
  b.AddUnordered(Engine::kPool, Fill(x));
  EXPECT_THAT(Message(b.Build()), HasSubstr("race on SBUF"));
}

TEST(Races, ReadsMayCoincide) {
  ProgramBuilder b;
  const Operand x = b.SbufTile(4, 16), y = b.SbufTile(4, 16), z = b.SbufTile(4, 16);
  b.AddUnordered(Engine::kPool, Inc(Fill(x), 0));
  b.AddUnordered(Engine::kDve, Wait(CopyTile(y, x), 0, 1));
  b.AddUnordered(Engine::kPool, CopyTile(z, x));
  EXPECT_EQ(Message(b.Build()), "");
}

TEST(Races, VariablesThatShareAddresses) {
  ProgramBuilder b;
  const Operand x = b.Tile(b.Sbuf(64, 64, 0, 1024)), y = b.Tile(b.Sbuf(32, 64, 32, 1040));
  const Operand elsewhere = b.Tile(b.Sbuf(32, 64, 64, 1040));
  b.AddUnordered(Engine::kPool, Fill(x));
  b.AddUnordered(Engine::kDve, Fill(elsewhere));
  EXPECT_EQ(Message(b.Build()), "");
  b.AddUnordered(Engine::kDve, Fill(y));
  EXPECT_THAT(Message(b.Build()), HasSubstr("bytes 1040 to 1088 of partitions 32 to 63"));
}

TEST(Races, InterleavedStridesAreNone) {
  for (const int offset : {1, 2}) {
    ProgramBuilder b;
    const Operand x = b.SbufTile(4, 64);
    b.AddUnordered(Engine::kPool, Fill(Pattern(x, {8}, {4})));
    b.AddUnordered(Engine::kDve, Fill(Pattern(x, {8, 2}, {4, 1}, offset)));
    EXPECT_EQ(Message(b.Build()), "");
    b.AddUnordered(Engine::kDve, Fill(Pattern(x, {1}, {1}, 12)));
    EXPECT_THAT(Message(b.Build()), HasSubstr("race"));
  }
}

TEST(Races, ASparseWriteDoesNotHideAnEarlierOne) {
  ProgramBuilder b;
  const Operand x = b.SbufTile(4, 64), y = b.SbufTile(4, 64);
  b.AddUnordered(Engine::kPool, Fill(x));
  b.AddUnordered(Engine::kPool, Fill(Pattern(x, {32}, {2})));
  // Odd elements only, which the first fill wrote.
  b.AddUnordered(Engine::kDve, CopyTile(Pattern(y, {32}, {2}), Pattern(x, {32}, {2}, 1)));
  EXPECT_THAT(Message(b.Build()), HasSubstr("POOL instruction 0"));
}

TEST(Races, EngineDoesNotWaitForItsTransfers) {
  ProgramBuilder b;
  const uint32_t in = b.Hbm(isa::VariableKind::kInput, "x", DType::kF32, {4, 16});
  const Operand x = b.SbufTile(4, 16), y = b.SbufTile(4, 16);
  isa::DmaDescriptor d;
  d.dst_var = x.var;
  d.src_var = in;
  d.size[4] = 256;
  d.dst_stride[4] = d.src_stride[4] = 1;
  b.AddUnordered(Engine::kPool, Inc(b.Trigger(d, 2), 0));
  b.AddUnordered(Engine::kPool, CopyTile(y, x));
  EXPECT_THAT(Message(b.Build()), HasSubstr("by its transfer on queue 2"));
}

TEST(Races, TriggerFollowsItsEngine) {
  ProgramBuilder b;
  const uint32_t out = b.Hbm(isa::VariableKind::kOutput, "y", DType::kF32, {4, 16});
  const Operand x = b.SbufTile(4, 16);
  isa::DmaDescriptor d;
  d.dst_var = out;
  d.src_var = x.var;
  d.size[4] = 256;
  d.dst_stride[4] = d.src_stride[4] = 1;
  b.AddUnordered(Engine::kPool, Fill(x));
  b.AddUnordered(Engine::kPool, b.Trigger(d, 2));
  EXPECT_EQ(Message(b.Build()), "");
  // The transfer still reads when this one writes.
  b.AddUnordered(Engine::kPool, Fill(x));
  EXPECT_THAT(Message(b.Build()), HasSubstr("race"));
}

TEST(Races, TransfersOnTwoQueuesMeetInHbm) {
  for (const uint64_t offset : {0, 256}) {
    ProgramBuilder b;
    const uint32_t t = b.Scratch("t", 512);
    const uint32_t x = b.Hbm(isa::VariableKind::kInput, "x", DType::kU8, {256});
    isa::DmaDescriptor d;
    d.dst_var = t;
    d.src_var = x;
    d.size[4] = 256;
    d.dst_stride[4] = d.src_stride[4] = 1;
    b.AddUnordered(Engine::kSp, b.Trigger(d, 0));
    d.dst_offset = offset;
    b.AddUnordered(Engine::kPool, b.Trigger(d, 2));
    EXPECT_EQ(CheckRaces(b.Build()).ok(), offset == 256);
  }
}

TEST(Races, AliasedOutputMeetsItsInput) {
  for (const bool alias : {false, true}) {
    ProgramBuilder b;
    const uint32_t x = b.Hbm(isa::VariableKind::kInput, "x", DType::kU8, {256});
    const uint32_t y = b.Hbm(isa::VariableKind::kOutput, "y", DType::kU8, {256});
    const uint32_t t = b.Scratch("t", 256);
    if (alias) b.variable(y).alias = static_cast<int32_t>(x);
    isa::DmaDescriptor d;
    d.src_var = x;
    d.dst_var = t;
    d.size[4] = 256;
    d.dst_stride[4] = d.src_stride[4] = 1;
    b.AddUnordered(Engine::kSp, b.Trigger(d, 0));
    d.src_var = b.Hbm(isa::VariableKind::kInput, "z", DType::kU8, {256});
    d.dst_var = y;
    b.AddUnordered(Engine::kPool, b.Trigger(d, 2));
    EXPECT_EQ(CheckRaces(b.Build()).ok(), !alias);
  }
}

TEST(Races, SegmentsFollowEachOther) {
  ProgramBuilder b;
  const Operand x = b.SbufTile(4, 16);
  b.AddUnordered(Engine::kPool, Fill(x));
  isa::Terminator jump;
  jump.kind = isa::TerminatorKind::kJump;
  jump.target = 1;
  b.EndSegment(jump);
  b.AddUnordered(Engine::kDve, Fill(x));
  EXPECT_EQ(Message(b.Build()), "");
}

TEST(Deadlock, NobodyIncrements) {
  ProgramBuilder b;
  b.AddUnordered(Engine::kAct, Wait(Make(Opcode::kNop), 3, 2));
  b.AddUnordered(Engine::kDve, Inc(Make(Opcode::kNop), 3));
  EXPECT_THAT(Message(b.Build()),
              AllOf(HasSubstr("segment 0: deadlock"), HasSubstr("ACT instruction 0"),
                    HasSubstr("waits for semaphore 3 to reach 2, which gets no further than 1")));
}

TEST(Deadlock, Cycle) {
  ProgramBuilder b;
  b.AddUnordered(Engine::kAct, Inc(Wait(Make(Opcode::kNop), 1, 1), 0));
  b.AddUnordered(Engine::kDve, Inc(Wait(Make(Opcode::kNop), 0, 1), 1));
  EXPECT_THAT(Message(b.Build()), AllOf(HasSubstr("ACT instruction 0"), HasSubstr("DVE instruction 0")));
}

TEST(SerialOrder, RespectsSemaphores) {
  ProgramBuilder b;
  b.AddUnordered(Engine::kPe, Wait(Make(Opcode::kNop), 0, 2));
  b.AddUnordered(Engine::kDve, Inc(Make(Opcode::kNop), 0));
  b.AddUnordered(Engine::kDve, Inc(Wait(Make(Opcode::kNop), 1, 1), 0));
  b.AddUnordered(Engine::kAct, Inc(Make(Opcode::kNop), 1));
  const isa::Program p = b.Build();
  auto order = SerialOrder(p, p.segments[0]);
  ASSERT_TRUE(order.ok()) << order.status();
  ASSERT_EQ(order->size(), 4u);
  EXPECT_EQ(order->back().engine, Engine::kPe);
}

// Random programs, correct by construction: every instruction waits, through nops, for all that it
// conflicts with. Then one wait is removed.
struct RandomProgram {
  ProgramBuilder builder;
  std::vector<Operand> slots;
  explicit RandomProgram(int count, unsigned seed) {
    std::mt19937 random(seed);
    const Engine engines[] = {Engine::kAct, Engine::kPool, Engine::kDve};
    for (int i = 0; i < 40; ++i) slots.push_back(builder.SbufTile(128, 512));
    std::vector<std::array<uint32_t, 3>> touched(slots.size());  // by engine: its count at the last use
    std::array<uint32_t, 3> counts = {};
    for (int i = 0; i < count; ++i) {
      const int e = static_cast<int>(random() % 3);
      const size_t from = random() % slots.size();
      const size_t to = (from + 1 + random() % (slots.size() - 1)) % slots.size();
      std::array<uint32_t, 3> need = {};
      for (const size_t s : {from, to}) {
        for (int k = 0; k < 3; ++k) need[k] = std::max(need[k], touched[s][k]);
      }
      for (int k = 0; k < 3; ++k) {
        if (k != e && need[k] > 0) {
          builder.AddUnordered(engines[e], Wait(Make(Opcode::kNop), static_cast<uint16_t>(k), need[k]));
        }
      }
      Instruction copy = Make(engines[e] == Engine::kAct ? Opcode::kActivate : Opcode::kTensorCopy, slots[to],
                              slots[from]);
      builder.AddUnordered(engines[e], Inc(copy, static_cast<uint16_t>(e)));
      ++counts[e];
      touched[from][e] = touched[to][e] = counts[e];
    }
  }
};

TEST(Races, RandomProgramsAreCleanUntilAWaitIsLost) {
  int found = 0, tried = 0;
  for (unsigned seed = 1; seed <= 20; ++seed) {
    RandomProgram r(60, seed);
    isa::Program p = r.builder.Build();
    ASSERT_EQ(Message(p), "") << "seed " << seed;
    for (auto& stream : p.segments[0].streams) {
      for (Instruction& i : stream) {
        if (i.wait_semaphore == isa::kNoSemaphore) continue;
        const Instruction kept = i;
        i.wait_semaphore = isa::kNoSemaphore;
        ++tried;
        found += !CheckRaces(p).ok();
        i = kept;
      }
    }
  }
  // Many waits are implied by others; those that are not must be missed.
  EXPECT_GT(found, tried / 4) << tried;
}

TEST(Races, AHundredThousandInstructionsAreQuick) {
  RandomProgram r(50000, 5);
  const isa::Program p = r.builder.Build();
  const auto start = std::chrono::steady_clock::now();
  EXPECT_EQ(Message(p), "");
  const double seconds = std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
  RecordProperty("seconds", std::to_string(seconds));
  EXPECT_LT(seconds, 5);  // about 0.2; generous for a loaded machine
}

}  // namespace
}  // namespace glia::device
