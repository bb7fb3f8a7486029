// Convolutions together with what reads them, as models have them.
#include <array>
#include <initializer_list>
#include <memory>
#include <string>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "compiler/codegen/codegen_testing.h"
#include "compiler/passes/split_batch.h"
#include "device_sim/executor.h"
#include "serialization/hlo/text.h"

namespace glia::compiler {
namespace {

constexpr char kComputations[] = R"(
max { a = f32[] parameter(0)
 b = f32[] parameter(1)
 ROOT r = f32[] maximum(a, b) }
)";

CodegenOptions Rounding() {
  CodegenOptions options;
  options.auto_cast = AutoCast::kMatmult;
  return options;
}

using Dims = std::vector<int64_t>;

std::string Joined(std::initializer_list<int64_t> dims) { return absl::StrJoin(dims, ","); }

// Small multiples of 1/8, different for each channel.
std::string PerChannel(int64_t channels, int64_t seed) {
  std::string values;
  for (int64_t c = 0; c < channels; ++c) {
    absl::StrAppend(&values, c == 0 ? "" : ", ", static_cast<double>((c * 5 + seed) % 17 - 8) / 8);
  }
  return absl::StrCat("f32[", channels, "] constant({", values, "})");
}

// Replaces the parameters after the first by constants.
std::unique_ptr<hlo::Module> WithConstants(const std::string& text) {
  auto module = hlo::ParseModule(text);
  if (!module.ok()) ADD_FAILURE() << module.status().message();
  hlo::Computation* entry = (*module)->entry();
  for (int64_t i = 1; i < entry->parameter_count(); ++i) {
    hlo::Instruction* parameter = entry->parameter(i);
    parameter->ReplaceAllUsesWith(
        entry->AddConstant(RandomLiteral(parameter->shape, static_cast<uint64_t>(i) + 50)));
  }
  return *std::move(module);
}

absl::Status Check(const std::string& text, const Tolerance& tolerance,
                   const CodegenOptions& options) {
  const auto module = WithConstants(text);
  std::vector<hlo::Literal> arguments;
  for (const hlo::Instruction* parameter : module->entry()->parameters()) {
    arguments.push_back(RandomLiteral(parameter->shape, 3));
  }
  return CheckModule(*module, arguments, tolerance, options);
}

// A convolution, a batch norm's factors and offsets, a clamp, and a second one that adds its input.
std::string Block(int64_t n, int64_t c, int64_t h, int64_t w) {
  const std::string x = absl::StrCat(" = f32[", Joined({n, c, h, w}), "] ");
  const std::string k = absl::StrCat(" = f32[", Joined({c, c, 3, 3}), "] ");
  const char conv[] = ", window={size=3x3 pad=1_1x1_1}, dim_labels=bf01_oi01->bf01\n";
  return absl::StrCat("HloModule m\nENTRY e {\n x", x, "parameter(0)\n w1", k, "parameter(1)\n w2",
                      k, "parameter(2)\n s = ", PerChannel(c, 3), "\n o = ", PerChannel(c, 1),
                      "\n bs", x, "broadcast(s), dimensions={1}\n bo", x,
                      "broadcast(o), dimensions={1}\n", " zero = f32[] constant(0)\n z", x,
                      "broadcast(zero), dimensions={}\n", " six = f32[] constant(6)\n b6", x,
                      "broadcast(six), dimensions={}\n c1", x, "convolution(x, w1)", conv, " m1", x,
                      "multiply(c1, bs)\n a1", x, "add(m1, bo)\n n1", x, "minimum(a1, b6)\n r1", x,
                      "maximum(n1, z)\n c2", x, "convolution(r1, w2)", conv, " a2", x,
                      "add(c2, bo)\n s2", x, "add(a2, x)\n ROOT r2", x, "maximum(s2, z)\n}\n");
}

TEST(ConvolutionEpilogueTest, NormClampAndSum) {
  for (const auto& [n, c, h, w] : std::vector<std::array<int64_t, 4>>{
           {1, 5, 6, 7}, {3, 17, 5, 5}, {2, 130, 9, 11}, {1, 20, 40, 41}, {9, 24, 7, 7}}) {
    SCOPED_TRACE(absl::StrCat(n, " x ", c, " x ", h, " x ", w));
    // Exact values of magnitude up to some thousands.
    GLIA_EXPECT_OK(Check(Block(n, c, h, w), {0.02, 1e-4}, {}));
    GLIA_EXPECT_OK(CheckText(Block(n, c, h, w), 1, {0.02, 1e-4}));
  }
}

TEST(ConvolutionEpilogueTest, OperationsOutsideTheChain) {
  const char text[] = R"(HloModule m
ENTRY e {
 x = f32[2,17,6,5] parameter(0)
 w = f32[33,17,1,1] parameter(1)
 y = f32[2,33,6,5] parameter(2)
 row = f32[5] parameter(3)
 c = f32[2,33,6,5] convolution(x, w), window={size=1x1}, dim_labels=bf01_oi01->bf01
 rows = f32[2,33,6,5] broadcast(row), dimensions={3}
 d = f32[2,33,6,5] subtract(y, c)
 t = f32[2,33,6,5] tanh(d)
 m = f32[2,33,6,5] multiply(t, rows)
 q = f32[2,33,6,5] multiply(m, d)
 p = pred[2,33,6,5] compare(q, y), direction=GT
 s = f32[2,33,6,5] select(p, q, d)
 ROOT r = (f32[2,33,6,5], f32[2,33,6,5]) tuple(s, m)
})";
  GLIA_EXPECT_OK(CheckText(text, 1, {1e-4, 1e-4}));
  GLIA_EXPECT_OK(Check(text, {1e-4, 1e-4}, {}));
}

// Rounded once for the convolution that reads it, or for the maximum in between.
std::string Pooled(int64_t n, int64_t h) {
  const int64_t o = (h + 2 - 3) / 2 + 1;
  const std::string x = absl::StrCat("f32[", Joined({n, 6, h, h}), "]");
  const std::string y = absl::StrCat("f32[", Joined({n, 6, o, o}), "]");
  return absl::StrCat("HloModule m\n", kComputations, "ENTRY e {\n x = ", x,
                      " parameter(0)\n w1 = f32[6,6,3,3] parameter(1)\n"
                      " w2 = f32[6,6,1,1] parameter(2)\n zero = f32[] constant(0)\n"
                      " low = f32[] constant(-inf)\n z = ",
                      x, " broadcast(zero), dimensions={}\n c1 = ", x,
                      " convolution(x, w1), window={size=3x3 pad=1_1x1_1}, "
                      "dim_labels=bf01_oi01->bf01\n r1 = ",
                      x, " maximum(c1, z)\n p = ", y,
                      " reduce-window(r1, low), window={size=1x1x3x3 stride=1x1x2x2 "
                      "pad=0_0x0_0x1_1x1_1}, to_apply=max\n ROOT c2 = ",
                      y, " convolution(p, w2), window={size=1x1}, dim_labels=bf01_oi01->bf01\n}\n");
}

TEST(ConvolutionEpilogueTest, MaximumBetween) {
  for (const auto& [n, h] : std::vector<std::array<int64_t, 2>>{{1, 9}, {3, 12}, {2, 101}}) {
    SCOPED_TRACE(absl::StrCat(n, " images of ", h));
    GLIA_EXPECT_OK(Check(Pooled(n, h), {1e-3, 1e-4}, {}));
    // r1 is rounded to bf16, of magnitude up to 100: the last sum is off by a few of its ulps.
    GLIA_EXPECT_OK(Check(Pooled(n, h), {2.0, 0.02}, Rounding()));
  }
}

// Parts of a concatenation are made in place: images of a batch, or channels; read by convolutions
// and by others, whole or in slices.
std::string Parts(int64_t dim, bool other) {
  const Dims part = dim == 0 ? Dims{2, 20, 9, 10} : Dims{3, 10, 9, 10};
  Dims whole = part;
  whole[dim] *= 2;
  Dims half = whole;
  half[0] = 1;
  const auto shape = [](const Dims& dims) {
    return absl::StrCat("f32[", absl::StrJoin(dims, ","), "]");
  };
  const std::string p = shape(part), w = shape(whole), h = shape(half);
  const int64_t in = part[1], all = whole[1];
  return absl::StrCat(
      "HloModule m\nENTRY e {\n x = ", p, " parameter(0)\n w1 = f32[", in, ",", in,
      ",3,3] parameter(1)\n w2 = f32[", in, ",", in, ",1,1] parameter(2)\n w3 = f32[4,", all,
      ",3,3] parameter(3)\n zero = f32[] constant(0)\n z = ", p,
      " broadcast(zero), dimensions={}\n c1 = ", p,
      " convolution(x, w1), window={size=3x3 pad=1_1x1_1}, dim_labels=bf01_oi01->bf01\n r1 = ", p,
      " maximum(c1, z)\n c2 = ", p,
      " convolution(r1, w2), window={size=1x1}, dim_labels=bf01_oi01->bf01\n r2 = ", p,
      other ? " tanh(x)" : " maximum(c2, z)", "\n all = ", w, " concatenate(r1, r2), dimensions={",
      dim, "}\n c3 = f32[", whole[0],
      ",4,9,10] convolution(all, w3), window={size=3x3 pad=1_1x1_1}, dim_labels=bf01_oi01->bf01\n"
      " part = ",
      h, " slice(all), slice={[1:2], [0:", all,
      "], [0:9], [0:10]}\n c4 = f32[1,4,9,10] "
      "convolution(part, w3), window={size=3x3 pad=1_1x1_1}, dim_labels=bf01_oi01->bf01\n",
      other ? absl::StrCat(" n = ", w, " negate(all)\n ROOT t = (f32[", whole[0],
                           ",4,9,10], f32[1,4,9,10], ", w, ") tuple(c3, c4, n)\n}\n")
            : absl::StrCat(" ROOT t = (f32[", whole[0],
                           ",4,9,10], f32[1,4,9,10]) tuple(c3, c4)\n}\n"));
}

TEST(ConvolutionEpilogueTest, PartsOfAConcatenation) {
  for (const int64_t dim : {0, 1}) {
    for (const bool other : {false, true}) {
      SCOPED_TRACE(absl::StrCat("dim ", dim, other ? ", others" : ""));
      GLIA_EXPECT_OK(Check(Parts(dim, other), {0.02, 1e-4}, {}));
      // Values of magnitude up to some hundreds, rounded to bf16, times 9 x 20 weights.
      GLIA_EXPECT_OK(Check(Parts(dim, other), {20.0, 0.02}, Rounding()));
    }
  }
}

int64_t Time(const std::string& text, const CodegenOptions& options, int64_t* written) {
  auto neff = Generate(*WithConstants(text), options);
  if (!neff.ok()) {
    ADD_FAILURE() << neff.status().message();
    return 0;
  }
  const device::ProgramTiming timing = device::ComputeTiming(neff->program);
  *written = timing.segments[0].hbm_write_bytes;
  return timing.segments[0].duration_ps;
}

// What lies between layers does not leave SBUF, and the sums keep ACT and DVE busy while the next
// are made.
TEST(ConvolutionEpilogueTest, StaysOnChip) {
  int64_t written = 0;
  const int64_t ps = Time(Block(1, 128, 28, 28), Rounding(), &written);
  EXPECT_EQ(written, 128 * 28 * 28 * 4);
  // 2 x 9 x 784 columns are 5.0 us; the input arrives, and the result leaves, in 1.5 us each, with
  // 1.3 us until a transfer starts.
  EXPECT_LT(ps, 22'000'000);
}

// Blocks that add what they read, as residual networks have them; `direct`: of one convolution.
std::string Residual(int64_t n, int64_t c, int64_t h, int blocks, bool direct) {
  const std::string x = absl::StrCat(" = f32[", Joined({n, c, h, h}), "] ");
  std::string text = absl::StrCat(
      "HloModule m\nENTRY e {\n x", x, "parameter(0)\n w1 = f32[", Joined({c, c, 3, 3}),
      "] parameter(1)\n w2 = f32[", Joined({c, c, 1, 1}), "] parameter(2)\n o = ", PerChannel(c, 1),
      "\n bo", x, "broadcast(o), dimensions={1}\n zero = f32[] constant(0)\n z", x,
      "broadcast(zero), dimensions={}\n part = f32[] constant(0.0625)\n p", x,
      "broadcast(part), dimensions={}\n c", x,
      "convolution(x, w2), window={size=1x1}, dim_labels=bf01_oi01->bf01\n r0", x,
      "maximum(c, z)\n");
  for (int i = 0; i < blocks; ++i) {
    std::string in = absl::StrCat("r", i);
    if (!direct) {
      absl::StrAppend(&text, " a", i, x, "convolution(", in,
                      ", w1), window={size=3x3 pad=1_1x1_1}, dim_labels=bf01_oi01->bf01\n b", i, x,
                      "multiply(a", i, ", p)\n");
      in = absl::StrCat("b", i);
    }
    absl::StrAppend(&text, " c", i, x, "convolution(", in,
                    ", w2), window={size=1x1}, dim_labels=bf01_oi01->bf01\n e", i, x, "multiply(c",
                    i, ", p)\n d", i, x, "add(e", i, ", bo)\n s", i, x, "add(d", i, ", r", i,
                    ")\n ", i + 1 == blocks ? "ROOT " : "", "r", i + 1, x, "maximum(s", i,
                    ", z)\n");
  }
  return text + "}\n";
}

TEST(ConvolutionEpilogueTest, ResidualBlocks) {
  for (const bool direct : {false, true}) {
    for (const auto& [n, c, h] :
         std::vector<std::array<int64_t, 3>>{{1, 20, 9}, {1, 150, 25}, {3, 34, 12}}) {
      SCOPED_TRACE(absl::StrCat(n, " x ", c, " x ", h, direct ? ", direct" : ""));
      GLIA_EXPECT_OK(Check(Residual(n, c, h, 3, direct), {0.1, 1e-3}, {}));
      // Values of magnitude up to some hundreds, rounded to bf16 at each convolution.
      GLIA_EXPECT_OK(Check(Residual(n, c, h, 3, direct), {8.0, 0.02}, Rounding()));
    }
  }
}

// A sum that convolutions round has its fp32 copy where that of what was added to it was.
TEST(ConvolutionEpilogueTest, SumsReplaceWhatWasAdded) {
  auto neff = Generate(*WithConstants(Residual(1, 128, 64, 4, false)), Rounding());
  ASSERT_TRUE(neff.ok()) << neff.status().message();
  const device::ProgramTiming timing = device::ComputeTiming(neff->program);
  EXPECT_EQ(timing.segments[0].hbm_write_bytes, 128 * 64 * 64 * 4);
  for (const isa::Variable& v : neff->program.variables) {
    const bool whole = v.kind == isa::VariableKind::kStateBuffer && v.dtype == isa::DType::kF32 &&
                       v.partition_bytes == 64 * 64 * 4;
    EXPECT_FALSE(whole && (v.name == "r1" || v.name == "r2" || v.name == "r3")) << v.name;
  }
}

// Pointwise, depthwise, pointwise, as mobile networks have them.
std::string Inverted(int64_t n, int64_t c, int64_t wide, int64_t h, int64_t stride) {
  const int64_t o = (h - 1) / stride + 1;
  const auto array = [&](int64_t channels, int64_t size) {
    return absl::StrCat(" = f32[", Joined({n, channels, size, size}), "] ");
  };
  const std::string a = array(wide, h), d = array(wide, o), y = array(c, o);
  const char labels[] = ", dim_labels=bf01_oi01->bf01";
  return absl::StrCat(
      "HloModule m\nENTRY e {\n x", array(c, h), "parameter(0)\n w1 = f32[",
      Joined({wide, c, 1, 1}), "] parameter(1)\n w2 = f32[", Joined({wide, 1, 3, 3}),
      "] parameter(2)\n w3 = f32[", Joined({c, wide, 1, 1}),
      "] parameter(3)\n o = ", PerChannel(wide, 1), "\n s = ", PerChannel(wide, 4),
      "\n zero = f32[] constant(0)\n six = f32[] constant(6)\n ao", a,
      "broadcast(o), dimensions={1}\n a0", a, "broadcast(zero), dimensions={}\n a6", a,
      "broadcast(six), dimensions={}\n ds", d, "broadcast(s), dimensions={1}\n do", d,
      "broadcast(o), dimensions={1}\n d0", d, "broadcast(zero), dimensions={}\n d6", d,
      "broadcast(six), dimensions={}\n c1", a, "convolution(x, w1), window={size=1x1}", labels,
      "\n p1", a, "add(c1, ao)\n m1", a, "maximum(p1, a0)\n r1", a, "minimum(m1, a6)\n c2", d,
      "convolution(r1, w2), window={size=3x3 stride=", stride, "x", stride,
      " pad=1_1x1_1}, feature_group_count=", wide, labels, "\n t2", d, "multiply(c2, ds)\n p2", d,
      "add(t2, do)\n m2", d, "maximum(p2, d0)\n r2", d, "minimum(m2, d6)\n c3", y,
      "convolution(r2, w3), window={size=1x1}", labels, "\n",
      stride == 1 ? absl::StrCat(" ROOT s3", y, "add(c3, x)\n}\n")
                  : absl::StrCat(" ROOT s3", y, "negate(c3)\n}\n"));
}

TEST(ConvolutionEpilogueTest, DepthwiseBetweenPointwise) {
  for (const auto& [n, c, wide, h, stride] : std::vector<std::array<int64_t, 5>>{
           {1, 5, 20, 9, 1}, {1, 24, 144, 57, 2}, {3, 24, 300, 7, 1}, {2, 3, 33, 70, 1}}) {
    SCOPED_TRACE(absl::StrCat(n, " x ", c, " (", wide, ") x ", h, ", stride ", stride));
    const std::string text = Inverted(n, c, wide, h, stride);
    GLIA_EXPECT_OK(Check(text, {0.02, 1e-4}, {}));
    GLIA_EXPECT_OK(CheckText(text, 1, {0.02, 1e-4}));
    // Values of at most 6 rounded to bf16, times up to 300 weights of magnitude 2.
    GLIA_EXPECT_OK(Check(text, {3.0, 0.02}, Rounding()));
  }
}

TEST(ConvolutionEpilogueTest, DepthwiseStaysOnChip) {
  int64_t written = 0;
  const int64_t ps = Time(Inverted(1, 24, 144, 56, 1), Rounding(), &written);
  EXPECT_EQ(written, 24 * 56 * 56 * 4);
  // Two times 8 taps of 3136 columns on POOL, at 1.4 GHz, are 36 us and 4 us to start; the
  // pointwise ones before and after, and the transfers, are short.
  EXPECT_LT(ps, 70'000'000);
}

// Images in groups, and what they leave for each other.
TEST(ConvolutionEpilogueTest, GroupsOfImages) {
  for (const int64_t kib : {49, 54, 64}) {
    for (const int64_t n : {2, 5}) {
      SCOPED_TRACE(absl::StrCat(n, " images, ", kib, " KiB"));
      const auto module = WithConstants(Block(n, 20, 22, 23));
      const auto whole = module->Clone();
      SplitBatchOptions split;
      split.sbuf_partition_bytes = kib * 1024;
      split.rounds = true;
      const absl::StatusOr<bool> changed = SplitBatch(module.get(), split);
      ASSERT_TRUE(changed.ok());
      if (kib == 49) {
        EXPECT_TRUE(*changed);
      }
      for (const CodegenOptions& options : {CodegenOptions(), Rounding()}) {
        std::vector<hlo::Literal> arguments;
        for (const hlo::Instruction* parameter : module->entry()->parameters()) {
          arguments.push_back(RandomLiteral(parameter->shape, 3));
        }
        // r1 is at most 6, and rounded.
        GLIA_EXPECT_OK(CheckModule(*module, arguments, {1.0, 0.02}, options));
        // The groups share their weights.
        auto one = Generate(*whole, options), groups = Generate(*module, options);
        ASSERT_TRUE(one.ok() && groups.ok());
        EXPECT_EQ(groups->files.size(), one->files.size());
      }
    }
  }
}

// The first layer of an image network: taps share the partitions with the channels.
TEST(ConvolutionEpilogueTest, FewChannelsFillTheArray) {
  const char text[] = R"(HloModule m
ENTRY e {
 x = f32[1,3,224,224] parameter(0)
 w = f32[64,3,7,7] parameter(1)
 ROOT c = f32[1,64,112,112] convolution(x, w), window={size=7x7 stride=2x2 pad=3_3x3_3}, dim_labels=bf01_oi01->bf01
})";
  auto neff = Generate(*WithConstants(text), Rounding());
  ASSERT_TRUE(neff.ok()) << neff.status().message();
  const device::ProgramTiming timing = device::ComputeTiming(neff->program);
  // Two passes of 12544 columns, at 2.8 GHz.
  EXPECT_LT(timing.segments[0].busy_ps[static_cast<int>(isa::Engine::kPe)], 9'300'000);
  // Transfers into different partitions of one tile do not wait for each other.
  const isa::Program& program = neff->program;
  const auto& streams = program.segments[0].streams;
  int transfers = 0;
  for (const isa::Instruction& i : streams[static_cast<int>(isa::Engine::kPool)]) {
    if (i.opcode != isa::Opcode::kDma) continue;
    ++transfers;
    for (const isa::DmaQueue& queue : program.queues) {
      if (queue.issuer == isa::Engine::kPool) {
        EXPECT_NE(i.wait_semaphore, queue.semaphore);
      }
    }
  }
  EXPECT_GE(transfers, 7 * 7);
}

}  // namespace
}  // namespace glia::compiler
