// Allocation and synchronization: what the programs of the other tests do not show.
#include <algorithm>

#include "absl/strings/str_cat.h"
#include "compiler/codegen/codegen_testing.h"
#include "device_sim/executor.h"
#include "serialization/hlo/text.h"

namespace glia::compiler {
namespace {

using isa::VariableKind;

absl::StatusOr<neff::Neff> Compile(absl::string_view text, const CodegenOptions& options = {}) {
  auto module = hlo::ParseModule(text);
  if (!module.ok()) return module.status();
  return Generate(**module, options);
}

int64_t CountKind(const isa::Program& program, VariableKind kind) {
  return std::count_if(program.variables.begin(), program.variables.end(),
                       [kind](const isa::Variable& v) { return v.kind == kind; });
}

size_t Instructions(const isa::Program& program) {
  size_t count = 0;
  for (const isa::Segment& segment : program.segments) {
    for (const auto& stream : segment.streams) count += stream.size();
  }
  return count;
}

// A sum whose terms are all needed again, in the opposite order: none of them can be dropped.
std::string ManyLive(int terms) {
  std::string text = "ENTRY main {\n x0 = f32[128,2048] parameter(0)\n";
  for (int i = 1; i <= terms; ++i)
    absl::StrAppend(&text, "x", i, " = f32[128,2048] cosine(x", i - 1, ")\n");
  absl::StrAppend(&text, "s", terms, " = f32[128,2048] negate(x", terms, ")\n");
  for (int i = terms - 1; i >= 0; --i) {
    absl::StrAppend(&text, i == 0 ? "ROOT " : "", "s", i, " = f32[128,2048] add(s", i + 1, ", x", i,
                    ")\n");
  }
  return text + "}";
}

TEST(AllocateTest, SpillsWhatDoesNotFitAndStaysRight) {
  CodegenOptions options;
  options.sbuf_partition_bytes = 12 * 1024;
  const std::string text = ManyLive(20);
  auto neff = Compile(text, options);
  ASSERT_TRUE(neff.ok()) << neff.status().message();
  EXPECT_GT(CountKind(neff->program, VariableKind::kTmpBuf), 5);
  for (const isa::Variable& v : neff->program.variables) {
    if (v.kind == VariableKind::kStateBuffer) {
      EXPECT_LE(v.address + v.partition_bytes, options.sbuf_partition_bytes);
    }
  }
  GLIA_EXPECT_OK(CheckText(text, 1, {}, options));
}

TEST(AllocateTest, EverythingFitsWithAllOfSbuf) {
  auto neff = Compile(ManyLive(20));
  ASSERT_TRUE(neff.ok()) << neff.status().message();
  EXPECT_EQ(CountKind(neff->program, VariableKind::kTmpBuf), 0);
}

TEST(AllocateTest, TooSmallForOneInstructionIsAnError) {
  CodegenOptions options;
  options.sbuf_partition_bytes = 64;
  EXPECT_EQ(Compile(ManyLive(3), options).status().code(), absl::StatusCode::kResourceExhausted);
}

// A chain of reductions and broadcasts: every value lives in HBM for a short time only.
TEST(AllocateTest, ScratchIsReused) {
  std::string text = "ENTRY main {\n t0 = f32[300,200] parameter(0)\n";
  for (int i = 1; i <= 20; ++i) {
    const int a = i % 2 == 1 ? 200 : 300, b = 500 - a;
    absl::StrAppend(&text, "r", i, " = f32[", a, ",", b, "] transpose(t", i - 1,
                    "), dimensions={1,0}\n");
    absl::StrAppend(&text, i == 20 ? "ROOT " : "", "t", i, " = f32[", a, ",", b, "] reshape(r", i,
                    ")\n");
  }
  text += "}";
  GLIA_EXPECT_OK(CheckText(text));
  std::string chain = "ENTRY main {\n t0 = f32[70,4000] parameter(0)\n";
  for (int i = 1; i <= 12; ++i) {
    // The reshape of a transpose is a copy.
    absl::StrAppend(&chain, "a", i, " = f32[4000,70] transpose(t", i - 1, "), dimensions={1,0}\n");
    absl::StrAppend(&chain, i == 12 ? "ROOT " : "", "t", i, " = f32[70,4000] reshape(a", i, ")\n");
  }
  chain += "}";
  auto neff = Compile(chain);
  ASSERT_TRUE(neff.ok()) << neff.status().message();
  EXPECT_LE(neff->program.scratch_bytes, 3 * 70 * 4000 * 4 + 4096);
  GLIA_EXPECT_OK(CheckText(chain));
}

TEST(SyncTest, EnginesWorkWithoutNeedlessWaits) {
  // Column blocks of one result interleave in HBM: their stores must not wait for each other.
  auto neff = Compile(R"(
ENTRY main {
  x = f32[128,64] parameter(0)
  w = f32[64,9000] parameter(1)
  ROOT d = f32[128,9000] dot(x, w), lhs_contracting_dims={1}, rhs_contracting_dims={0}
})");
  ASSERT_TRUE(neff.ok()) << neff.status().message();
  for (const auto& stream : neff->program.segments[0].streams) {
    for (const isa::Instruction& i : stream) {
      if (i.opcode != isa::Opcode::kDma) continue;
      const isa::DmaDescriptor& dma = neff->program.dmas[i.dma];
      if (neff->program.variables[dma.dst_var].kind == VariableKind::kOutput) {
        // For the engines that computed it, never for a queue.
        EXPECT_TRUE(i.wait_semaphore == isa::kNoSemaphore || i.wait_semaphore < isa::kEngines);
      }
    }
  }
}

TEST(SyncTest, LargeElementwiseProgramsAreFewLargeInstructions) {
  auto neff = Compile(R"(
ENTRY main {
  x = f32[4096,4096] parameter(0)
  y = f32[4096,4096] parameter(1)
  a = f32[4096,4096] add(x, y)
  ROOT t = f32[4096,4096] tanh(a)
})");
  ASSERT_TRUE(neff.ok()) << neff.status().message();
  // 64 tiles of 128 x 2048: two loads, two instructions, a store, and some waits.
  EXPECT_LE(Instructions(neff->program), 64u * 8);
}

TEST(SyncTest, EqualModulesGiveEqualPrograms) {
  auto a = Compile(ManyLive(9)), b = Compile(ManyLive(9));
  ASSERT_TRUE(a.ok() && b.ok());
  auto bytes_a = neff::Write(*a), bytes_b = neff::Write(*b);
  ASSERT_TRUE(bytes_a.ok() && bytes_b.ok());
  EXPECT_TRUE(*bytes_a == *bytes_b);
}

TEST(CodegenTest, OperationsAndTypesOfOtherDevicesAreNamed) {
  auto custom = Compile(R"(
ENTRY main {
  x = f32[4] parameter(0)
  ROOT c = f32[4] custom-call(x), custom_call_target="foo", metadata={op_type="aten::foo"}
})");
  EXPECT_EQ(custom.status().code(), absl::StatusCode::kUnimplemented);
  EXPECT_NE(custom.status().message().find("'c' (custom-call f32[4], from aten::foo"),
            absl::string_view::npos)
      << custom.status().message();
  auto wide = Compile("ENTRY main {\n x = f64[4] parameter(0)\n ROOT y = f64[4] negate(x)\n}");
  EXPECT_EQ(wide.status().code(), absl::StatusCode::kUnimplemented);
  EXPECT_NE(wide.status().message().find("f64"), absl::string_view::npos)
      << wide.status().message();
}

TEST(CodegenTest, ConstantsShareTheLiteralsBytes) {
  auto module = hlo::ParseModule(R"(
ENTRY main {
  x = f32[3] parameter(0)
  c = f32[3] constant({1, 2, 3})
  ROOT y = f32[3] add(x, c)
})");
  ASSERT_TRUE(module.ok());
  const void* bytes = (*module)->entry()->Find("c")->literal->raw();
  auto neff = Generate(**module, {});
  ASSERT_TRUE(neff.ok());
  ASSERT_EQ(neff->files.size(), 1u);
  EXPECT_EQ(static_cast<const void*>(neff->files.begin()->second.data()), bytes);
}

// Blocks of rows that the tensor engine, then the others work on, one after the other as emitted.
constexpr char kPipeline[] = R"(HloModule pipeline
max { a = f32[] parameter(0)
  b = f32[] parameter(1)
  ROOT c = f32[] maximum(a, b) }
ENTRY main {
  x = f32[1024,512] parameter(0)
  w = f32[512,512] parameter(1)
  v = f32[512,512] parameter(2)
  inf = f32[] constant(-inf)
  d = f32[1024,512] dot(x, w), lhs_contracting_dims={1}, rhs_contracting_dims={0}
  m = f32[1024] reduce(d, inf), dimensions={1}, to_apply=max
  mb = f32[1024,512] broadcast(m), dimensions={0}
  s = f32[1024,512] subtract(d, mb)
  t = f32[1024,512] tanh(s)
  u = f32[1024,512] multiply(t, d)
  ROOT y = f32[1024,512] dot(u, v), lhs_contracting_dims={1}, rhs_contracting_dims={0}
})";

TEST(ListScheduleTest, KeepsEnginesBusy) {
  CodegenOptions options;
  options.auto_cast = AutoCast::kMatmult;
  std::vector<int64_t> time;
  for (const int optlevel : {1, 2, 3}) {
    options.optlevel = optlevel;
    GLIA_EXPECT_OK(CheckText(kPipeline, 1, {50, 0.1}, options));
    const auto neff = Compile(kPipeline, options);
    ASSERT_TRUE(neff.ok()) << neff.status().message();
    time.push_back(device::ComputeTiming(neff->program).segments[0].duration_ps);
  }
  EXPECT_LT(time[1], time[0] * 95 / 100);
  EXPECT_LT(time[2], time[0] * 95 / 100);
}

// The order changes nothing for spilled programs, whose order stays, and for control flow.
TEST(ListScheduleTest, EveryLevelIsRight) {
  CodegenOptions options;
  for (const int optlevel : {1, 3}) {
    options.optlevel = optlevel;
    options.sbuf_partition_bytes = isa::kSbufPartitionBytes;
    GLIA_EXPECT_OK(CheckText(ManyLive(20), 1, {}, options));
    options.sbuf_partition_bytes = 12 * 1024;
    GLIA_EXPECT_OK(CheckText(ManyLive(20), 1, {}, options));
  }
}

}  // namespace
}  // namespace glia::compiler
