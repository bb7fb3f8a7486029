#include <array>
#include <random>
#include <vector>

#include "device_sim/executor.h"
#include "device_sim/testing/program_builder.h"
#include "gtest/gtest.h"
#include "serialization/isa/cost.h"

namespace glia::device {
namespace {

using isa::DType;
using isa::Engine;
using isa::Instruction;
using isa::Opcode;
using isa::Operand;

SegmentTiming Time(ProgramBuilder* b) { return ComputeTiming(b->Build()).segments[0]; }

Instruction Copy(const Operand& dst, const Operand& src) { return Make(Opcode::kActivate, dst, src); }
Instruction Fill(const Operand& o) { return Make(Opcode::kMemset, o); }

isa::DmaDescriptor Move(uint32_t dst, uint32_t src, uint32_t bytes) {
  isa::DmaDescriptor d;
  d.dst_var = dst;
  d.src_var = src;
  d.size[4] = bytes;
  d.dst_stride[4] = d.src_stride[4] = 1;
  return d;
}

TEST(Timing, NothingTakesNoTime) {
  ProgramBuilder b;
  EXPECT_EQ(Time(&b).duration_ps, 0);
}

// The published profile figures: 159 ns from issue to completion at one element, dependent instructions
// 189 ns apart.
TEST(Timing, DependentActivationsAre189NsApart) {
  ProgramBuilder b;
  const Operand x = b.SbufTile(1, 1), y = b.SbufTile(1, 1), z = b.SbufTile(1, 1);
  b.AddUnordered(Engine::kAct, Copy(y, x));
  EXPECT_EQ(Time(&b).duration_ps, 159'001);
  b.AddUnordered(Engine::kAct, Copy(z, y));
  EXPECT_EQ(Time(&b).duration_ps, 159'001 + 30'000 + 159'001);
}

TEST(Timing, IndependentActivationsPipeline) {
  ProgramBuilder b;
  const Operand x = b.SbufTile(1, 1), y = b.SbufTile(1, 1), z = b.SbufTile(1, 1);
  b.AddUnordered(Engine::kAct, Copy(y, x));
  b.AddUnordered(Engine::kAct, Copy(z, x));
  const SegmentTiming t = Time(&b);
  // The second starts after the initiation interval of 64 cycles at 1.4 GHz.
  EXPECT_EQ(t.duration_ps, 45'715 + 159'001);
  EXPECT_EQ(t.busy_ps[1], 2 * 45'715);
  EXPECT_EQ(t.busy_ps[3], 0);
}

TEST(Timing, SemaphoreHop) {
  ProgramBuilder b;
  Instruction first = Make(Opcode::kNop);
  first.inc_semaphore = 0;
  first.inc_value = 1;
  Instruction second = Make(Opcode::kNop);
  second.wait_semaphore = 0;
  second.wait_value = 1;
  b.AddUnordered(Engine::kSp, first);
  b.AddUnordered(Engine::kAct, second);
  EXPECT_EQ(Time(&b).duration_ps, 9'000 + 30'000 + 9'000);
}

TEST(Timing, DveAndPoolExcludeEachOtherOnSbuf) {
  ProgramBuilder b;
  const Operand x = b.SbufTile(1, 7), y = b.SbufTile(1, 7);
  b.AddUnordered(Engine::kDve, Fill(x));
  // 64 cycles at 1.12 GHz, and the pipeline of 158.286 ns after 7 cycles.
  EXPECT_EQ(Time(&b).duration_ps, 158'286 + 6'250);
  b.AddUnordered(Engine::kPool, Fill(y));
  // Both are ready at 0: POOL has the lower number and takes 157 cycles at 1.4 GHz.
  const SegmentTiming t = Time(&b);
  EXPECT_EQ(t.duration_ps, 112'143 + 158'286 + 6'250);
  EXPECT_EQ(t.busy_ps[2], 112'143);
}

TEST(Timing, DveAndActExcludeEachOtherOnPsumOnly) {
  for (const bool psum : {false, true}) {
    ProgramBuilder b;
    const Operand x = psum ? b.PsumTile(1, 7) : b.SbufTile(1, 7);
    const Operand y = psum ? b.PsumTile(1, 7) : b.SbufTile(1, 7);
    const Operand z = b.SbufTile(1, 7);
    b.AddUnordered(Engine::kAct, Copy(z, y));
    b.AddUnordered(Engine::kDve, Fill(x));
    EXPECT_EQ(Time(&b).duration_ps, (psum ? 45'715 : 0) + 158'286 + 6'250);
  }
}

TEST(Timing, EarliestReadyWinsThePort) {
  ProgramBuilder b;
  const Operand x = b.SbufTile(1, 7), y = b.SbufTile(1, 7);
  // POOL has a nop of 9 ns in front of it, so DVE is there first.
  b.AddUnordered(Engine::kPool, Make(Opcode::kNop));
  b.AddUnordered(Engine::kPool, Fill(y));
  b.AddUnordered(Engine::kDve, Fill(x));
  EXPECT_EQ(Time(&b).duration_ps, 57'143 + 112'143);
}

struct Queues {
  ProgramBuilder b;
  uint32_t x, t;
  explicit Queues(int64_t bytes) {
    x = b.Hbm(isa::VariableKind::kInput, "x", DType::kU8, {bytes});
    t = b.Scratch("t", bytes);
  }
};

TEST(Timing, SmallTransfer) {
  Queues q(4);
  q.b.AddUnordered(Engine::kSp, q.b.Trigger(Move(q.t, q.x, 4), 0));
  const SegmentTiming t = Time(&q.b);
  EXPECT_EQ(t.duration_ps, 9'000 + 1'300'000 + 144'000);
  EXPECT_EQ(t.hbm_read_bytes, 4);
  EXPECT_EQ(t.hbm_write_bytes, 4);
  EXPECT_EQ(t.busy_ps[isa::kEngines], 144'000);
}

TEST(Timing, OneQueueIsInOrderTwoRunAtOnce) {
  for (const uint16_t second : {0, 4}) {
    Queues q(4);
    q.b.AddUnordered(Engine::kSp, q.b.Trigger(Move(q.t, q.x, 4), 0));
    q.b.AddUnordered(Engine::kSp, q.b.Trigger(Move(q.t, q.x, 4), second));
    // One row keeps one DMA engine busy: two of them do not get in each other's way.
    EXPECT_EQ(Time(&q.b).duration_ps, second == 0 ? 9'000 + 1'300'000 + 2 * 144'000
                                                  : 18'000 + 1'300'000 + 144'000);
  }
}

TEST(Timing, LargeTransfersShareTheBandwidth) {
  const int64_t bytes = 16 << 20;
  Queues q(bytes);
  const isa::DmaDescriptor d = Move(q.t, q.x, bytes);
  q.b.AddUnordered(Engine::kSp, q.b.Trigger(d, 0));
  const isa::Program one = q.b.Build();
  const int64_t alone = isa::DmaCostOf(one, one.dmas[0]).duration_ps;
  const int64_t start = 9'000 + 1'300'000;
  EXPECT_EQ(Time(&q.b).duration_ps, start + alone);
  EXPECT_NEAR(static_cast<double>(alone), bytes / 272.0 * 1000, alone * 0.01);  // 272 GB/s
  q.b.AddUnordered(Engine::kSp, q.b.Trigger(d, 4));
  const SegmentTiming t = Time(&q.b);
  EXPECT_NEAR(static_cast<double>(t.duration_ps), static_cast<double>(start + 2 * alone), 1000);
  EXPECT_NEAR(static_cast<double>(t.busy_ps[isa::kEngines]), 2.0 * alone, 1000);
}

TEST(Timing, TransferSemaphore) {
  Queues q(4);
  Instruction trigger = q.b.Trigger(Move(q.t, q.x, 4), 0);
  trigger.inc_semaphore = 7;
  trigger.inc_value = 16;
  q.b.AddUnordered(Engine::kSp, trigger);
  Instruction wait = Make(Opcode::kNop);
  wait.wait_semaphore = 7;
  wait.wait_value = 16;
  q.b.AddUnordered(Engine::kPe, wait);
  EXPECT_EQ(Time(&q.b).duration_ps, 1'453'000 + 30'000 + 9'000);
}

TEST(Timing, TriggerWaitsForTheResultsOfItsEngine) {
  ProgramBuilder b;
  const uint32_t y = b.Hbm(isa::VariableKind::kOutput, "y", DType::kF32, {1});
  const Operand x = b.SbufTile(1, 1), z = b.SbufTile(1, 1);
  b.AddUnordered(Engine::kAct, Copy(x, z));
  b.AddUnordered(Engine::kAct, b.Trigger(Move(y, x.var, 4), 1));
  EXPECT_EQ(Time(&b).duration_ps, 159'001 + 1'453'000);
}

TEST(Timing, MatmulsAccumulateWithoutStalls) {
  ProgramBuilder b;
  const Operand w = b.SbufTile(128, 128, DType::kBf16), x = b.SbufTile(128, 512, DType::kBf16);
  const Operand acc = b.PsumTile(128, 512);
  Instruction mm = Make(Opcode::kMatmul, acc, w, x);
  b.AddUnordered(Engine::kPe, mm);
  const int64_t first = Time(&b).duration_ps;
  mm.flags = isa::kAccumulate;
  for (int i = 0; i < 7; ++i) b.AddUnordered(Engine::kPe, mm);
  // 512 cycles at 2.8 GHz each.
  EXPECT_EQ(Time(&b).duration_ps, first + 7 * 182'858);
}

TEST(Timing, JumpsCostAHop) {
  ProgramBuilder b;
  isa::Terminator jump;
  jump.kind = isa::TerminatorKind::kJump;
  jump.target = 1;
  b.EndSegment(jump);
  const ProgramTiming t = ComputeTiming(b.Build());
  ASSERT_EQ(t.segments.size(), 2u);
  EXPECT_EQ(t.segments[0].duration_ps, 30'000);
  EXPECT_EQ(t.segments[1].duration_ps, 0);
}

TEST(Timing, DeterministicAndGrowsWithTheWork) {
  int64_t previous = 0;
  for (const int n : {1, 64, 65, 500, 4096}) {
    ProgramBuilder b;
    const Operand x = b.SbufTile(128, n), y = b.SbufTile(128, n);
    for (int i = 0; i < 5; ++i) {
      b.Do(Engine::kPool, Fill(x));
      b.Do(Engine::kAct, Copy(y, x));
      b.Do(Engine::kDve, Make(Opcode::kTensorCopy, x, y));
    }
    const isa::Program p = b.Build();
    const int64_t once = ComputeTiming(p).segments[0].duration_ps;
    EXPECT_EQ(ComputeTiming(p).segments[0].duration_ps, once);
    EXPECT_GT(once, previous);
    previous = once;
  }
}

// Transfers in and out, engines that wait for each other and for their own results, a port in use.
isa::Program MixedProgram() {
  ProgramBuilder b;
  const uint32_t in = b.Hbm(isa::VariableKind::kInput, "in", DType::kU8, {1 << 20});
  const uint32_t scratch = b.Scratch("scratch", 1 << 20);
  const Operand x = b.SbufTile(128, 300), y = b.SbufTile(128, 300), z = b.SbufTile(128, 300);
  b.AddUnordered(Engine::kPool, Fill(b.SbufTile(128, 50)));
  b.AddUnordered(Engine::kDve, Fill(b.SbufTile(128, 50)));
  for (int i = 0; i < 4; ++i) {
    b.AddUnordered(Engine::kSp, b.Trigger(Move(scratch, in, 1 << 20), static_cast<uint16_t>(4 * (i % 2))));
    b.Do(Engine::kPool, Fill(x));
    b.Do(Engine::kAct, Copy(y, x));
    b.AddUnordered(Engine::kAct, Copy(z, y));
    b.Do(Engine::kDve, Make(Opcode::kTensorCopy, x, z));
  }
  isa::Terminator jump;
  jump.kind = isa::TerminatorKind::kJump;
  jump.target = 1;
  b.EndSegment(jump);
  b.Do(Engine::kDve, Fill(x));
  return b.Build();
}

TEST(TimingTrace, ChangesNoTime) {
  const isa::Program p = MixedProgram();
  TimingTrace trace;
  const ProgramTiming with = ComputeTiming(p, &trace), without = ComputeTiming(p);
  ASSERT_EQ(with.segments.size(), without.segments.size());
  for (size_t i = 0; i < with.segments.size(); ++i) {
    EXPECT_EQ(with.segments[i].duration_ps, without.segments[i].duration_ps);
    EXPECT_EQ(with.segments[i].busy_ps, without.segments[i].busy_ps);
    EXPECT_EQ(with.segments[i].hbm_read_bytes, without.segments[i].hbm_read_bytes);
    EXPECT_EQ(with.segments[i].hbm_write_bytes, without.segments[i].hbm_write_bytes);
  }
}

// Each start follows from the event that is named as its cause.
TEST(TimingTrace, EveryStartIsExplained) {
  const isa::Program p = MixedProgram();
  TimingTrace trace;
  const ProgramTiming timing = ComputeTiming(p, &trace);
  std::array<int, 5> seen = {};
  int ports = 0;
  size_t instructions = 0;
  std::array<int64_t, isa::kEngines> busy = {};
  for (const TraceEvent& e : trace.events) {
    ++seen[static_cast<size_t>(e.cause)];
    if (e.queue < 0) ++instructions;
    if (e.queue < 0 && e.segment == 0) busy[static_cast<size_t>(e.engine)] += e.free_ps - e.start_ps;
    EXPECT_LE(e.ready_ps, e.start_ps);
    EXPECT_LE(e.start_ps, e.free_ps);
    EXPECT_LE(e.free_ps, e.complete_ps);
    if (e.port_event != kNoEvent) {
      ++ports;
      EXPECT_EQ(e.start_ps, trace.events[e.port_event].free_ps);
    } else {
      EXPECT_EQ(e.start_ps, e.ready_ps);
    }
    if (e.cause_event == kNoEvent) {
      EXPECT_EQ(e.ready_ps, 0);
      continue;
    }
    const TraceEvent& cause = trace.events[e.cause_event];
    EXPECT_EQ(cause.segment, e.segment);
    const int64_t hop = isa::cost::kSemaphoreHopPs;
    switch (e.cause) {
      case WaitCause::kEngine: EXPECT_EQ(e.ready_ps, cause.free_ps); break;
      case WaitCause::kSemaphore: EXPECT_EQ(e.ready_ps, cause.complete_ps + hop); break;
      case WaitCause::kResult: EXPECT_EQ(e.ready_ps, cause.complete_ps + hop); break;
      case WaitCause::kTrigger: EXPECT_EQ(e.ready_ps, cause.complete_ps + isa::cost::kDmaStartPs); break;
      case WaitCause::kQueue: EXPECT_EQ(e.ready_ps, cause.complete_ps); break;
    }
  }
  for (const int count : seen) EXPECT_GT(count, 0);
  EXPECT_GT(ports, 0);
  size_t expected = 0;
  for (const auto& segment : p.segments) {
    for (const auto& stream : segment.streams) expected += stream.size();
  }
  EXPECT_EQ(instructions, expected);
  for (int e = 0; e < isa::kEngines; ++e) EXPECT_EQ(busy[e], timing.segments[0].busy_ps[e]);
  ASSERT_EQ(trace.last_event.size(), p.segments.size());
  EXPECT_EQ(trace.events[trace.last_event[0]].complete_ps + isa::cost::kSemaphoreHopPs,
            timing.segments[0].duration_ps);
}

}  // namespace
}  // namespace glia::device
