#include "device_sim/device.h"

#include <atomic>
#include <cstdlib>
#include <string>
#include <thread>
#include <vector>

#include "device_sim/testing/program_builder.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace glia::device {
namespace {

using isa::DType;
using isa::Engine;
using isa::Instruction;
using isa::Opcode;
using isa::Operand;
using ::testing::AllOf;
using ::testing::ElementsAre;
using ::testing::HasSubstr;

constexpr ExecutorKind kKinds[] = {ExecutorKind::kFast, ExecutorKind::kInterpreter};

// y = x + w for [2, 3] floats, w a constant.
std::shared_ptr<const neff::Neff> AddConstant(float w) {
  ProgramBuilder b;
  const Operand x = b.Input({{0, 0, 0}, {0, 0, 0}});
  const std::vector<float> values(6, w);
  const uint32_t constant = b.Constant(
      "w", DType::kF32, {2, 3}, std::string(reinterpret_cast<const char*>(values.data()), 24));
  const Operand wt = b.SbufTile(2, 3);
  b.Copy(wt.var, constant);
  const Operand y = b.Output(2, 3);
  Instruction i = Make(Opcode::kTensorTensor, y, x, wt);
  i.op0 = isa::AluOp::kAdd;
  b.Do(Engine::kDve, i);
  b.Scratch("t", 1000);
  return b.BuildNeff();
}

TEST(Core, AccountsExactly) {
  const auto core = Core::Create(3, 1000);
  EXPECT_EQ(core->index(), 3);
  EXPECT_EQ(core->hbm_capacity(), 1000);
  {
    auto a = core->Allocate(600);
    ASSERT_TRUE(a.ok());
    EXPECT_EQ(reinterpret_cast<uintptr_t>((*a)->data()) % 64, 0u);
    EXPECT_EQ((*a)->size(), 600);
    EXPECT_EQ((*a)->data()[599], 0);
    const auto b = core->Allocate(401);
    EXPECT_EQ(b.status().code(), absl::StatusCode::kResourceExhausted);
    EXPECT_THAT(
        std::string(b.status().message()),
        AllOf(HasSubstr("core 3"), HasSubstr("401 bytes needed"), HasSubstr("600 of 1000")));
    EXPECT_TRUE(core->Allocate(400).ok());
    EXPECT_EQ(core->hbm_used(), 600);
    EXPECT_EQ(core->hbm_peak(), 1000);
  }
  EXPECT_EQ(core->hbm_used(), 0);
  EXPECT_EQ(core->hbm_peak(), 1000);
  EXPECT_TRUE(core->Allocate(0).ok());
  EXPECT_EQ(core->Allocate(-1).status().code(), absl::StatusCode::kInvalidArgument);
}

TEST(Core, HugeAllocationsCostNothingUntilTouched) {
  const auto core = Core::Create(0);
  auto a = core->Allocate(int64_t{15} << 30);
  ASSERT_TRUE(a.ok()) << a.status();
  (*a)->data()[(int64_t{15} << 30) - 1] = 1;
  EXPECT_EQ(core->hbm_used(), int64_t{15} << 30);
}

TEST(Core, BufferOutlivesTheHandle) {
  auto core = Core::Create(0, 100);
  auto buffer = *core->Allocate(100);
  core.reset();
  buffer->data()[0] = 1;
  EXPECT_EQ(buffer->core()->hbm_used(), 100);
}

TEST(LoadedProgram, RunsOnBothExecutors) {
  for (const ExecutorKind kind : kKinds) {
    const auto core = Core::Create(0);
    auto program = core->Load(AddConstant(10), kind);
    ASSERT_TRUE(program.ok()) << program.status();
    const float x[6] = {0, 1, 2, 3, 4, 5};
    float y[6] = {};
    const uint8_t* inputs[] = {reinterpret_cast<const uint8_t*>(x)};
    uint8_t* outputs[] = {reinterpret_cast<uint8_t*>(y)};
    for (int run = 0; run < 3; ++run) {
      auto statistics = (*program)->Run(inputs, outputs);
      ASSERT_TRUE(statistics.ok()) << statistics.status();
      EXPECT_EQ(statistics->simulated_ps, (*program)->timing().segments[0].duration_ps);
      EXPECT_THAT(y, ElementsAre(10, 11, 12, 13, 14, 15));
      std::fill(y, y + 6, 0.0f);
    }
  }
}

// y = (w + 1)^T . x, w an input.
std::shared_ptr<const neff::Neff> MultiplyByInput() {
  ProgramBuilder b;
  const Operand x = b.Input({{0, 0}, {0, 0}}), w = b.Input({{0, 0}, {0, 0}});
  const Operand more = b.SbufTile(2, 2), sum = b.PsumTile(2, 2), y = b.Output(2, 2);
  Instruction i = Make(Opcode::kTensorScalar, more, w);
  i.op0 = isa::AluOp::kAdd;
  i.imm0 = 1;
  b.Do(Engine::kDve, i);
  b.Do(Engine::kPe, Make(Opcode::kMatmul, sum, more, x));
  b.Do(Engine::kDve, Make(Opcode::kTensorCopy, y, sum));
  return b.BuildNeff();
}

TEST(LoadedProgram, MakesOfInputsOnceWhileTheirVersionIsTheSame) {
  for (const ExecutorKind kind : kKinds) {
    const auto core = Core::Create(0);
    auto program = core->Load(MultiplyByInput(), kind);
    ASSERT_TRUE(program.ok()) << program.status();
    std::vector<float> w = {0, 1, 2, 3}, other = {-1, -1, -1, 0}, x = {1, 0, 0, 1}, y(4);
    const auto run = [&](const std::vector<float>& weights, uint64_t version) {
      const uint8_t* inputs[] = {reinterpret_cast<const uint8_t*>(x.data()),
                                 reinterpret_cast<const uint8_t*>(weights.data())};
      uint8_t* outputs[] = {reinterpret_cast<uint8_t*>(y.data())};
      const auto statistics = (*program)->Run(inputs, outputs, {0, version});
      EXPECT_TRUE(statistics.ok()) << statistics.status();
      if (!statistics.ok()) return std::vector<float>();
      EXPECT_EQ(statistics->simulated_ps, (*program)->timing().segments[0].duration_ps);
      return y;
    };
    for (int i = 0; i < 4; ++i) EXPECT_THAT(run(w, 7), ElementsAre(1, 3, 2, 4)) << i;
    x[0] = 2;  // has no version
    EXPECT_THAT(run(w, 7), ElementsAre(2, 3, 4, 4));
    EXPECT_THAT(run(other, 7), ElementsAre(0, 0, 0, 1)) << "another address";
    EXPECT_THAT(run(w, 7), ElementsAre(2, 3, 4, 4));
    w[0] = 9;
    // Against the promise, to see what is kept.
    EXPECT_THAT(run(w, 7),
                kind == ExecutorKind::kFast ? ElementsAre(2, 3, 4, 4) : ElementsAre(20, 3, 4, 4));
    EXPECT_THAT(run(w, 8), ElementsAre(20, 3, 4, 4));
    w[0] = 0;
    EXPECT_THAT(run(w, 0), ElementsAre(2, 3, 4, 4));
    // Ever new versions, then the same again for long enough.
    for (uint64_t v = 9; v < 40; ++v) {
      w[0] = static_cast<float>(v);
      EXPECT_THAT(run(w, v), ElementsAre(2 * w[0] + 2, 3, 4, 4));
    }
    for (int i = 0; i < 8; ++i) EXPECT_THAT(run(w, 39), ElementsAre(80, 3, 4, 4)) << i;
  }
}

TEST(LoadedProgram, VersionsAreOnePerInput) {
  const auto core = Core::Create(0);
  auto program = core->Load(AddConstant(1), ExecutorKind::kFast);
  ASSERT_TRUE(program.ok()) << program.status();
  const float x[6] = {};
  float y[6] = {};
  const uint8_t* inputs[] = {reinterpret_cast<const uint8_t*>(x)};
  uint8_t* outputs[] = {reinterpret_cast<uint8_t*>(y)};
  const auto status = (*program)->Run(inputs, outputs, {1, 2}).status();
  EXPECT_EQ(status.code(), absl::StatusCode::kInvalidArgument);
  EXPECT_THAT(std::string(status.message()), HasSubstr("2 versions"));
}

TEST(LoadedProgram, ChargesConstantsAndScratch) {
  const auto core = Core::Create(0);
  {
    auto program = core->Load(AddConstant(1), ExecutorKind::kInterpreter);
    ASSERT_TRUE(program.ok()) << program.status();
    const MemoryUse& m = (*program)->memory();
    EXPECT_EQ(m.hbm_constant_bytes, 24);
    EXPECT_EQ(m.hbm_scratch_bytes, 1024);
    EXPECT_EQ(m.hbm_io_bytes, 48);
    EXPECT_EQ(m.sbuf_peak_bytes_per_partition, 128 + 12);
    EXPECT_EQ(m.psum_peak_bytes_per_partition, 0);
    EXPECT_EQ(core->hbm_used(), 24 + 1024);
  }
  EXPECT_EQ(core->hbm_used(), 0);
}

TEST(LoadedProgram, TooLargeForTheCore) {
  const auto core = Core::Create(0, 1000);
  const absl::Status s = core->Load(AddConstant(1), ExecutorKind::kFast).status();
  EXPECT_EQ(s.code(), absl::StatusCode::kResourceExhausted);
  EXPECT_THAT(std::string(s.message()), HasSubstr("1048 bytes needed, 0 of 1000"));
  EXPECT_EQ(core->hbm_used(), 0);
}

TEST(LoadedProgram, RefusesInvalidProgramsAndRaces) {
  const auto core = Core::Create(0);
  EXPECT_EQ(core->Load(nullptr, ExecutorKind::kFast).status().code(),
            absl::StatusCode::kInvalidArgument);
  auto neff = std::make_shared<neff::Neff>(*AddConstant(1));
  neff->program.segments[0].streams[static_cast<int>(Engine::kDve)][0].dst.num_partitions = 0;
  EXPECT_EQ(core->Load(neff, ExecutorKind::kFast).status().code(),
            absl::StatusCode::kInvalidArgument);
  neff = std::make_shared<neff::Neff>(*AddConstant(1));
  Instruction& add = neff->program.segments[0].streams[static_cast<int>(Engine::kDve)][0];
  add.wait_semaphore = isa::kNoSemaphore;
  add.wait_value = 0;
  const absl::Status s = core->Load(neff, ExecutorKind::kFast).status();
  EXPECT_THAT(std::string(s.message()), HasSubstr("race on SBUF"));
  neff = std::make_shared<neff::Neff>(*AddConstant(1));
  neff->files.clear();
  EXPECT_THAT(std::string(core->Load(neff, ExecutorKind::kFast).status().message()),
              HasSubstr("no such file"));
  EXPECT_EQ(core->hbm_used(), 0);
}

TEST(LoadedProgram, RefusesBadBuffers) {
  const auto core = Core::Create(0);
  auto program = core->Load(AddConstant(1), ExecutorKind::kFast);
  ASSERT_TRUE(program.ok()) << program.status();
  std::vector<float> memory(12);
  auto* bytes = reinterpret_cast<uint8_t*>(memory.data());
  const auto run = [&](std::vector<const uint8_t*> in, std::vector<uint8_t*> out) {
    return (*program)->Run(in, out).status();
  };
  EXPECT_TRUE(run({bytes}, {bytes + 24}).ok());
  EXPECT_THAT(std::string(run({}, {bytes}).message()),
              HasSubstr("takes 1 inputs and 1 outputs; given are 0 and 1"));
  EXPECT_THAT(std::string(run({nullptr}, {bytes}).message()), HasSubstr("no address for 'x0'"));
  EXPECT_THAT(std::string(run({bytes}, {bytes + 20}).message()), HasSubstr("overlap"));
  EXPECT_THAT(std::string(run({bytes}, {bytes}).message()), HasSubstr("overlap"));
}

TEST(LoadedProgram, AliasedOutputMustShareTheBuffer) {
  for (const ExecutorKind kind : kKinds) {
    ProgramBuilder b;
    const Operand x = b.Input({{0, 0}});
    const uint32_t y = b.Hbm(isa::VariableKind::kOutput, "y", DType::kF32, {2});
    b.variable(y).alias = 0;
    Instruction i = Make(Opcode::kTensorTensor, x, x, x);
    i.op0 = isa::AluOp::kAdd;
    b.Do(Engine::kDve, i);
    b.Copy(y, x.var);
    const auto core = Core::Create(0);
    auto program = core->Load(b.BuildNeff(), kind);
    ASSERT_TRUE(program.ok()) << program.status();
    EXPECT_EQ((*program)->memory().hbm_io_bytes, 8);
    float state[2] = {1, 2}, other[2];
    const uint8_t* in[] = {reinterpret_cast<const uint8_t*>(state)};
    uint8_t* out[] = {reinterpret_cast<uint8_t*>(state)};
    for (int run = 0; run < 3; ++run) ASSERT_TRUE((*program)->Run(in, out).ok());
    EXPECT_THAT(state, ElementsAre(8, 16));
    out[0] = reinterpret_cast<uint8_t*>(other);
    EXPECT_THAT(std::string((*program)->Run(in, out).status().message()),
                HasSubstr("bound elsewhere"));
  }
}

TEST(LoadedProgram, ThreadsShareACore) {
  for (const ExecutorKind kind : kKinds) {
    const auto core = Core::Create(0);
    auto a = core->Load(AddConstant(1), kind);
    auto b = core->Load(AddConstant(2), kind);
    ASSERT_TRUE(a.ok() && b.ok());
    std::atomic<int> wrong{0};
    const auto work = [&](LoadedProgram* program, float w, float x) {
      const std::vector<float> in(6, x);
      std::vector<float> out(6);
      const uint8_t* inputs[] = {reinterpret_cast<const uint8_t*>(in.data())};
      uint8_t* outputs[] = {reinterpret_cast<uint8_t*>(out.data())};
      for (int i = 0; i < 100; ++i) {
        if (!program->Run(inputs, outputs).ok() || out != std::vector<float>(6, x + w)) ++wrong;
        if (!core->Allocate(100).ok()) ++wrong;
      }
    };
    std::thread first(work, a->get(), 1.0f, 3.0f), second(work, a->get(), 1.0f, 4.0f);
    work(b->get(), 2.0f, 5.0f);
    first.join();
    second.join();
    EXPECT_EQ(wrong, 0);
  }
}

TEST(LoadedProgram, StaysUsableAfterAnIndexOutOfBounds) {
  for (const ExecutorKind kind : kKinds) {
    ProgramBuilder b;
    const Operand at = b.Input<int32_t>({{0}});
    const Operand x = b.Input({{10, 20}});
    const Operand y = b.Output(1, 1);
    isa::DmaDescriptor d;
    d.dst_var = y.var;
    d.src_var = x.var;
    d.element_bytes = 4;
    d.index_side = isa::IndexSide::kSource;
    d.index_var = at.var;
    d.index_stride = 4;
    d.index_bound = 2;
    b.Transfer(d);
    const auto core = Core::Create(0);
    auto program = core->Load(b.BuildNeff(), kind);
    ASSERT_TRUE(program.ok()) << program.status();
    int32_t index = 2;
    const float values[2] = {10, 20};
    float out = 0;
    const uint8_t* in[] = {reinterpret_cast<const uint8_t*>(&index),
                           reinterpret_cast<const uint8_t*>(values)};
    uint8_t* outputs[] = {reinterpret_cast<uint8_t*>(&out)};
    EXPECT_EQ((*program)->Run(in, outputs).status().code(), absl::StatusCode::kOutOfRange);
    index = 1;
    EXPECT_TRUE((*program)->Run(in, outputs).ok());
    EXPECT_EQ(out, 20);
  }
}

TEST(ExecutorKind, FromTheEnvironment) {
  unsetenv("GLIA_DEVICE");
  EXPECT_EQ(*ExecutorKindFromEnvironment(), ExecutorKind::kFast);
  setenv("GLIA_DEVICE", "interpreter", 1);
  EXPECT_EQ(*ExecutorKindFromEnvironment(), ExecutorKind::kInterpreter);
  setenv("GLIA_DEVICE", "fast", 1);
  EXPECT_EQ(*ExecutorKindFromEnvironment(), ExecutorKind::kFast);
  setenv("GLIA_DEVICE", "quick", 1);
  EXPECT_THAT(std::string(ExecutorKindFromEnvironment().status().message()), HasSubstr("'quick'"));
  unsetenv("GLIA_DEVICE");
}

}  // namespace
}  // namespace glia::device
