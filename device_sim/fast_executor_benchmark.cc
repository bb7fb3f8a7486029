// Speed of the fast executor: matrix products against the processor's own peak, transfers, the
// overhead of an instruction, and a small network with its weights loaded at each run. On one core,
// unless GLIA_NUM_THREADS says otherwise.
#include <cstdint>
#include <cstdlib>
#include <cstring>
#include <ctime>
#include <memory>
#include <string>
#include <vector>

#include "benchmark/benchmark.h"
#include "device_sim/executor.h"
#include "device_sim/kernels_matmul.h"
#include "device_sim/testing/peak.h"
#include "device_sim/testing/program_builder.h"
#include "serialization/isa/program.h"
#include "serialization/isa/table.h"

namespace glia::device {
namespace {

using isa::DType;
using isa::Engine;
using isa::Instruction;
using isa::Opcode;
using isa::Operand;

// Programs whose segments each run one engine, so that no semaphores are needed.
class Builder {
 public:
  uint32_t Hbm(isa::VariableKind kind, int64_t bytes) {
    isa::Variable v;
    v.kind = kind;
    v.bytes = bytes;
    program.variables.push_back(v);
    memory.emplace_back(bytes + 64);
    for (size_t i = 0; i + 4 <= memory.back().size(); i += 4) {
      const float x = static_cast<float>(i * 7919 % 1000) * 1e-3f - 0.5f;
      std::memcpy(&memory.back()[i], &x, 4);
    }
    return static_cast<uint32_t>(program.variables.size() - 1);
  }
  uint32_t OnChip(isa::VariableKind kind, int partitions, int64_t bytes) {
    isa::Variable v;
    v.kind = kind;
    v.partitions = partitions;
    v.partition_bytes = bytes;
    int64_t& top = kind == isa::VariableKind::kPsum ? psum_ : sbuf_;
    v.address = top;
    top += (bytes + 63) / 64 * 64;
    v.bytes = partitions * bytes;
    program.variables.push_back(v);
    memory.emplace_back();
    return static_cast<uint32_t>(program.variables.size() - 1);
  }
  void Add(Engine engine, const Instruction& i) {
    if (program.segments.empty() || engine != engine_) {
      if (!program.segments.empty()) {
        program.segments.back().terminator.kind = isa::TerminatorKind::kJump;
        program.segments.back().terminator.target = static_cast<uint32_t>(program.segments.size());
      }
      program.segments.emplace_back();
      engine_ = engine;
    }
    program.segments.back().streams[static_cast<int>(engine)].push_back(i);
    ++instructions;
  }
  // rows x row_bytes between a dense HBM variable and the start of each partition of an on-chip
  // one.
  void Transfer(uint32_t dst, uint32_t src, int rows, int64_t row_bytes, int64_t offset = 0) {
    isa::DmaDescriptor d;
    d.dst_var = dst;
    d.src_var = src;
    d.element_bytes = 4;
    d.size[3] = static_cast<uint32_t>(rows);
    d.size[4] = static_cast<uint32_t>(row_bytes / 4);
    const auto pitch = [&](uint32_t var) {
      const isa::Variable& v = program.variables[var];
      return isa::IsHbm(v.kind) ? row_bytes : v.partition_bytes;
    };
    d.dst_stride[3] = pitch(dst);
    d.src_stride[3] = pitch(src);
    d.dst_stride[4] = d.src_stride[4] = 4;
    (isa::IsHbm(program.variables[src].kind) ? d.src_offset : d.dst_offset) =
        static_cast<uint64_t>(offset);
    Instruction i;
    i.opcode = Opcode::kDma;
    i.dma = static_cast<uint32_t>(program.dmas.size());
    program.dmas.push_back(d);
    Add(Engine::kSp, i);
  }
  static Operand Tile(uint32_t var, int partitions, int n, int offset = 0) {
    Operand o;
    o.var = var;
    o.num_partitions = static_cast<uint8_t>(partitions);
    o.size[3] = static_cast<uint16_t>(n);
    o.stride[3] = 1;
    o.offset = static_cast<uint32_t>(offset);
    return o;
  }
  void Matmul(const Operand& dst, const Operand& a, const Operand& b, bool accumulate) {
    Instruction i;
    i.opcode = Opcode::kMatmul;
    i.dst = dst;
    i.src0 = a;
    i.src1 = b;
    i.flags = accumulate ? isa::kAccumulate : 0;
    Add(Engine::kPe, i);
  }

  void Run(benchmark::State& state) {
    ProgramTiming timing;
    timing.segments.resize(program.segments.size());
    std::vector<const uint8_t*> constants(program.variables.size());
    std::vector<uint8_t*> hbm(program.variables.size());
    for (size_t i = 0; i < hbm.size(); ++i) {
      if (!isa::IsHbm(program.variables[i].kind)) continue;
      hbm[i] = memory[i].data();
      if (program.variables[i].kind == isa::VariableKind::kFile) constants[i] = hbm[i];
    }
    auto executor = MakeFastExecutor(program, timing, constants);
    if (!executor.ok()) return state.SkipWithError(executor.status().ToString().c_str());
    for (auto _ : state) benchmark::DoNotOptimize((*executor)->Run(hbm));
  }

  isa::Program program;
  std::vector<std::vector<uint8_t>> memory;
  int64_t instructions = 0;

 private:
  Engine engine_ = Engine::kPe;
  int64_t sbuf_ = 0, psum_ = 0;
};

using Rate = benchmark::Counter;
void SetFlops(benchmark::State& state, double per_run) {
  state.counters["FLOP/s"] = Rate(per_run, Rate::kIsIterationInvariantRate);
}

// Products against a core's peak, by the time of all threads: that of other processes does not
// count.
class Share {
 public:
  Share(benchmark::State& state, bool bf16)
      : state_(state), peak_(bf16 ? Bf16Peak() : FmaPeak()), start_(std::clock()) {}
  void Set(double per_run) {
    const double seconds = static_cast<double>(std::clock() - start_) / CLOCKS_PER_SEC;
    const double flops = per_run * static_cast<double>(state_.iterations()) / seconds;
    state_.counters["FLOP/s"] = flops;
    if (peak_ > 0) state_.counters["of_peak"] = flops / peak_;
  }

 private:
  benchmark::State& state_;
  const double peak_;
  const std::clock_t start_;
};

void BM_FmaPeak(benchmark::State& state) {
  for (auto _ : state) state.counters["FLOP/s"] = FmaPeak();
}
BENCHMARK(BM_FmaPeak)->Iterations(1);

void BM_Bf16Peak(benchmark::State& state) {
  for (auto _ : state) state.counters["FLOP/s"] = Bf16Peak();
}
BENCHMARK(BM_Bf16Peak)->Iterations(1);

// The kernel alone, everything in the first-level cache.
void BM_Kernel(benchmark::State& state) {
  std::vector<float> a(64 * 8), b(64 * 48), c(8 * 48);
  kernels::MatmulTile t;
  t.a = a.data(), t.b = b.data(), t.c = c.data();
  t.a_pitch = 8, t.b_pitch = t.c_pitch = 48;
  t.m = 8, t.n = 48, t.k = 64;
  const kernels::MatmulFn matmul = kernels::GetMatmul();
  for (auto _ : state) {
    for (int i = 0; i < 100; ++i) matmul(t);
    benchmark::DoNotOptimize(c.data());
  }
  SetFlops(state, 100 * 2.0 * 8 * 48 * 64);
}
BENCHMARK(BM_Kernel);

// A linear layer [tokens, 768] x [768, outputs] as the compiler lays it out: weights of a file in
// tiles of 512 columns, tokens along the free dimension, results 128 outputs at a time.
void BM_Linear(benchmark::State& state) {
  const int tokens = static_cast<int>(state.range(0)), outputs = static_cast<int>(state.range(1));
  const DType type = state.range(2) != 0 ? DType::kBf16 : DType::kF32;
  constexpr int kSlots = 6, kTile = 512, kP = isa::kPartitions;
  const int64_t bytes = isa::DTypeBytes(type);
  ProgramBuilder b;
  const Operand x = b.Tile(b.Sbuf(kP, kSlots * tokens * bytes), type);
  Instruction fill = Make(Opcode::kMemset, x);
  fill.imm0 = 0.5f;
  b.Do(Engine::kDve, fill);
  const Operand y = b.Output(kP, outputs / kP * tokens);
  const uint32_t sums[2] = {b.Psum(kP, 4 * tokens), b.Psum(kP, 4 * tokens)};
  for (int tile = 0; tile < outputs / kTile; ++tile) {
    const int64_t row = kSlots * kTile * bytes;
    const uint32_t file = b.Constant("w" + std::to_string(tile), type, {kP, kSlots, kTile},
                                     std::string(kP * row, '\x3c'));
    const Operand w = b.Tile(b.Sbuf(kP, row), type);
    b.Copy(w.var, file);
    for (int block = 0; block < kTile / kP; ++block) {
      const Operand sum = b.Tile(sums[block % 2]);
      for (int slot = 0; slot < kSlots; ++slot) {
        Instruction i = Make(Opcode::kMatmul, sum, Pattern(w, {kP}, {1}, slot * kTile + block * kP),
                             Pattern(x, {tokens}, {1}, slot * tokens));
        if (slot > 0) i.flags = isa::kAccumulate;
        b.Do(Engine::kPe, i);
      }
      const int done = tile * (kTile / kP) + block;
      b.Do(Engine::kDve, Make(Opcode::kTensorCopy, Pattern(y, {tokens}, {1}, done * tokens), sum));
    }
  }
  const isa::Program program = b.Build();
  std::vector<std::vector<uint8_t>> memory(program.variables.size());
  std::vector<uint8_t*> hbm(program.variables.size());
  std::vector<const uint8_t*> constants(program.variables.size());
  for (size_t i = 0; i < hbm.size(); ++i) {
    const isa::Variable& v = program.variables[i];
    if (!isa::IsHbm(v.kind)) continue;
    if (v.kind == isa::VariableKind::kFile) {
      const std::string& file = b.constants().at(v.file);
      memory[i].assign(file.begin(), file.end());
      constants[i] = memory[i].data();
    }
    memory[i].resize(v.bytes);
    hbm[i] = memory[i].data();
  }
  ProgramTiming timing;
  timing.segments.resize(program.segments.size());
  auto executor = MakeFastExecutor(program, timing, constants);
  if (!executor.ok()) return state.SkipWithError(executor.status().ToString().c_str());
  Share share(state, type == DType::kBf16);
  for (auto _ : state) {
    if (!(*executor)->Run(hbm).ok()) return state.SkipWithError("the run failed");
  }
  share.Set(2.0 * tokens * outputs * kSlots * kP);
}
BENCHMARK(BM_Linear)
    ->ArgNames({"tokens", "outputs", "bf16"})
    ->ArgsProduct({{128, 512}, {3072}, {0, 1}})
    ->UseRealTime();

// A stream of [128, M]^T [128, N] products on different tiles.
void BM_Matmul(benchmark::State& state) {
  const int m = static_cast<int>(state.range(0)), n = static_cast<int>(state.range(1));
  Builder b;
  const uint32_t weights = b.OnChip(isa::VariableKind::kStateBuffer, 128, 16 * 4 * m);
  const uint32_t moving = b.OnChip(isa::VariableKind::kStateBuffer, 128, 4 * 4 * n);
  const uint32_t psum = b.OnChip(isa::VariableKind::kPsum, 128, 4 * 2048);
  for (int i = 0; i < 16; ++i) {
    b.Matmul(Builder::Tile(psum, m, n, i / 4 * 2048), Builder::Tile(weights, 128, m, i * 4 * m),
             Builder::Tile(moving, 128, n, i % 4 * 4 * n), i % 4 != 0);
  }
  // A further segment: what it might read has to be computed.
  b.Transfer(b.Hbm(isa::VariableKind::kOutput, 128 * 4), weights, 128, 4);
  Share share(state, false);
  b.Run(state);
  share.Set(16 * 2.0 * 128 * m * n);
}
BENCHMARK(BM_Matmul)
    ->Args({128, 512})
    ->Args({128, 128})
    ->Args({128, 64})
    ->Args({128, 1})
    ->Args({1, 512})
    ->UseRealTime();

void BM_Transfer(benchmark::State& state) {
  const int64_t row = state.range(0);
  Builder b;
  const uint32_t in = b.Hbm(isa::VariableKind::kInput, 128 * row);
  const uint32_t tile = b.OnChip(isa::VariableKind::kStateBuffer, 128, row);
  b.Transfer(tile, in, 128, row);
  b.Run(state);
  state.SetBytesProcessed(state.iterations() * 128 * row);
}
BENCHMARK(BM_Transfer)->Arg(64)->Arg(480)->Arg(4096)->Arg(65536);

// A transfer that transposes 4-byte elements.
void BM_TransposingTransfer(benchmark::State& state) {
  const int64_t n = state.range(0);
  Builder b;
  const uint32_t in = b.Hbm(isa::VariableKind::kInput, 128 * n * 4);
  const uint32_t tile = b.OnChip(isa::VariableKind::kStateBuffer, 128, n * 4);
  b.Transfer(tile, in, 128, n * 4);
  isa::DmaDescriptor& d = b.program.dmas.back();
  d.src_stride[3] = 4;
  d.src_stride[4] = 128 * 4;
  b.Run(state);
  state.SetBytesProcessed(state.iterations() * 128 * n * 4);
}
BENCHMARK(BM_TransposingTransfer)->Arg(128)->Arg(512);

void BM_InstructionOverhead(benchmark::State& state) {
  Builder b;
  const uint32_t tile = b.OnChip(isa::VariableKind::kStateBuffer, 1, 64);
  for (int i = 0; i < 1000; ++i) {
    Instruction add;
    add.opcode = Opcode::kTensorTensor;
    add.op0 = isa::AluOp::kAdd;
    add.dst = Builder::Tile(tile, 1, 8);
    add.src0 = add.src1 = Builder::Tile(tile, 1, 8, 32);
    b.Add(Engine::kDve, add);
  }
  b.Run(state);
  state.SetItemsProcessed(state.iterations() * 1000);
}
BENCHMARK(BM_InstructionOverhead);

void BM_Activate(benchmark::State& state) {
  Builder b;
  const uint32_t tile = b.OnChip(isa::VariableKind::kStateBuffer, 128, 2 * 2048);
  Instruction i;
  i.opcode = Opcode::kActivate;
  i.fn = static_cast<isa::ActFn>(state.range(0));
  i.imm0 = 1.0f;
  i.dst = Builder::Tile(tile, 128, 512, 2048);
  i.src0 = Builder::Tile(tile, 128, 512);
  b.Add(Engine::kAct, i);
  b.Run(state);
  state.SetItemsProcessed(state.iterations() * 128 * 512);
}
BENCHMARK(BM_Activate)
    ->Arg(static_cast<int>(isa::ActFn::kRelu))
    ->Arg(static_cast<int>(isa::ActFn::kExp))
    ->Arg(static_cast<int>(isa::ActFn::kTanh))
    ->Arg(static_cast<int>(isa::ActFn::kGelu))
    ->UseRealTime();

// Linear(784, 120), ReLU, Linear(120, 10), weights from HBM at each run.
void BM_Mlp(benchmark::State& state) {
  Builder b;
  const uint32_t x = b.Hbm(isa::VariableKind::kInput, 784 * 4),
                 y = b.Hbm(isa::VariableKind::kOutput, 10 * 4);
  const uint32_t w1 = b.Hbm(isa::VariableKind::kFile, 784 * 120 * 4),
                 w2 = b.Hbm(isa::VariableKind::kFile, 120 * 10 * 4);
  const uint32_t b1 = b.Hbm(isa::VariableKind::kFile, 120 * 4),
                 b2 = b.Hbm(isa::VariableKind::kFile, 10 * 4);
  const uint32_t xs = b.OnChip(isa::VariableKind::kStateBuffer, 112, 7 * 4);
  const uint32_t s1 = b.OnChip(isa::VariableKind::kStateBuffer, 120, 4),
                 s2 = b.OnChip(isa::VariableKind::kStateBuffer, 10, 4);
  const uint32_t h = b.OnChip(isa::VariableKind::kStateBuffer, 120, 4),
                 o = b.OnChip(isa::VariableKind::kStateBuffer, 10, 4);
  const uint32_t w2s = b.OnChip(isa::VariableKind::kStateBuffer, 120, 40);
  const uint32_t p1 = b.OnChip(isa::VariableKind::kPsum, 120, 4),
                 p2 = b.OnChip(isa::VariableKind::kPsum, 10, 4);
  b.Transfer(xs, x, 112, 28);
  std::vector<uint32_t> tiles;
  for (int k = 0; k < 7; ++k) {
    tiles.push_back(b.OnChip(isa::VariableKind::kStateBuffer, 112, 480));
    b.Transfer(tiles.back(), w1, 112, 480, k * 112 * 480);
  }
  b.Transfer(w2s, w2, 120, 40);
  b.Transfer(s1, b1, 120, 4);
  b.Transfer(s2, b2, 10, 4);
  for (int k = 0; k < 7; ++k) {
    b.Matmul(Builder::Tile(p1, 120, 1), Builder::Tile(tiles[k], 112, 120),
             Builder::Tile(xs, 112, 1, k * 4), k > 0);
  }
  const auto activate = [&](isa::ActFn fn, uint32_t to, uint32_t from, uint32_t bias,
                            int partitions) {
    Instruction i;
    i.opcode = Opcode::kActivate;
    i.fn = fn;
    i.imm0 = 1.0f;
    i.dst = Builder::Tile(to, partitions, 1);
    i.src0 = Builder::Tile(from, partitions, 1);
    i.src2 = Builder::Tile(bias, partitions, 1);
    b.Add(Engine::kAct, i);
  };
  activate(isa::ActFn::kRelu, h, p1, s1, 120);
  b.Matmul(Builder::Tile(p2, 10, 1), Builder::Tile(w2s, 120, 10), Builder::Tile(h, 120, 1), false);
  activate(isa::ActFn::kCopy, o, p2, s2, 10);
  b.Transfer(y, o, 10, 4);
  b.Run(state);
  state.counters["instructions"] = static_cast<double>(b.instructions);
}
BENCHMARK(BM_Mlp)->Unit(benchmark::kMicrosecond);

}  // namespace
}  // namespace glia::device

int main(int argc, char** argv) {
  setenv("GLIA_NUM_THREADS", "1", /*overwrite=*/0);
  benchmark::Initialize(&argc, argv);
  if (benchmark::ReportUnrecognizedArguments(argc, argv)) return 1;
  benchmark::RunSpecifiedBenchmarks();
  return 0;
}
