// The fast executor's translation against the interpreter: random programs in which weights come
// from files, accumulation groups interleave, tiles share addresses and much is overwritten unread.
#include <cmath>
#include <cstring>
#include <random>
#include <string>
#include <vector>

#include "absl/strings/str_cat.h"
#include "device_sim/semantics.h"
#include "device_sim/testing/program_builder.h"
#include "gtest/gtest.h"
#include "serialization/isa/validate.h"
#include "serialization/testing/seed.h"

namespace glia::device {
namespace {

using isa::DType;
using isa::Engine;
using isa::Instruction;
using isa::Opcode;
using isa::Operand;

constexpr int kPlaces = 6;  // tiles in SBUF, each under two names of different types
constexpr int kFree = 160;  // fp32 elements of a tile's partition
constexpr int kRow = 4 * kFree;

struct Outcome {
  std::vector<std::string> outputs;
  absl::Status status;
};

Outcome RunOn(const isa::Program& program, const ProgramBuilder& b, bool fast) {
  Outcome outcome;
  const ProgramTiming timing = ComputeTiming(program);
  std::vector<const uint8_t*> constants(program.variables.size());
  for (size_t i = 0; i < constants.size(); ++i) {
    if (program.variables[i].kind != isa::VariableKind::kFile) continue;
    constants[i] =
        reinterpret_cast<const uint8_t*>(b.constants().at(program.variables[i].file).data());
  }
  auto executor =
      fast ? MakeFastExecutor(program, timing, constants) : MakeInterpreter(program, timing);
  if (!executor.ok()) {
    outcome.status = executor.status();
    return outcome;
  }
  for (int run = 0; run < (fast ? 2 : 1); ++run) {  // state must not leak into a second run
    auto outputs = RunOnce(program, executor->get(), b.input_data(), b.constants());
    outcome.status = outputs.status();
    if (outputs.ok()) outcome.outputs = *outputs;
  }
  return outcome;
}

class RandomProgram {
 public:
  explicit RandomProgram(uint64_t seed) : random_(seed) {
    for (int i = 0; i < 3; ++i) {
      for (const DType t : {DType::kF32, DType::kBf16}) files_.push_back({File(t, i), t});
    }
    for (int i = 0; i < kPlaces; ++i) {
      // The same addresses, wide as fp32 and half as wide as bf16.
      const uint32_t wide = b_.Sbuf(isa::kPartitions, kRow);
      tiles_[i][0] = b_.Tile(wide, DType::kF32);
      const int64_t address = b_.variable(wide).address;
      tiles_[i][1] = b_.Tile(b_.Sbuf(isa::kPartitions, kRow / 2, 0, address), DType::kBf16);
    }
    for (Operand& p : psum_) p = b_.Tile(b_.Psum(isa::kPartitions, kRow), DType::kF32);
  }

  isa::Program Draw(int length) {
    std::vector<std::vector<float>> rows(isa::kPartitions, std::vector<float>(kFree));
    for (auto& row : rows) {
      for (float& x : row) x = Value();
    }
    const Operand input = b_.Input(rows);
    for (int i = 0; i < length; ++i) {
      switch (Int(0, 5)) {
        case 0:
          Load();
          break;
        case 1:
        case 2:
          Products();
          break;
        case 3:
          Elementwise(input);
          break;
        case 4:
          Transpose();
          break;
        default:
          Refresh(input);
      }
    }
    // What tiles hold in the end, under the names by which they were written.
    for (int i = 0; i < kPlaces; ++i) {
      if (holds_[i] < 0) continue;
      const Operand& o = tiles_[i][holds_[i]];
      const uint32_t out = b_.Hbm(isa::VariableKind::kOutput, absl::StrCat("out", i), o.dtype,
                                  {isa::kPartitions, kFree});
      b_.Copy(out, o.var);
      types_.push_back(o.dtype);
    }
    return b_.Build();
  }

  const ProgramBuilder& builder() const { return b_; }
  const std::vector<DType>& types() const { return types_; }

 private:
  int Int(int low, int high) { return std::uniform_int_distribution<int>(low, high)(random_); }
  // Multiples of 1/4: products and short sums are exact in any order.
  float Value() { return static_cast<float>(Int(-4, 4)) * 0.25f; }

  uint32_t File(DType t, int i) {
    std::string bytes;
    for (int e = 0; e < isa::kPartitions * kFree; ++e) {
      uint8_t x[4];
      StoreFloat(t, x, Value());
      bytes.append(reinterpret_cast<const char*>(x), TypeBytes(t));
    }
    return b_.Constant(absl::StrCat("w", i, TypeBytes(t)), t, {isa::kPartitions, kFree}, bytes);
  }

  // A place that holds a value of the type, or -1.
  int Source(int type) {
    std::vector<int> some;
    for (int i = 0; i < kPlaces; ++i) {
      if (holds_[i] == type) some.push_back(i);
    }
    return some.empty() ? -1 : some[Int(0, static_cast<int>(some.size()) - 1)];
  }

  // A file in part or whole, in order or with its rows and columns exchanged in blocks, or one row
  // for all.
  void Load() {
    const auto& [file, type] = files_[Int(0, static_cast<int>(files_.size()) - 1)];
    const int place = Int(0, kPlaces - 1), t = type == DType::kF32 ? 0 : 1;
    const int64_t bytes = TypeBytes(type), row = kFree * bytes;
    isa::DmaDescriptor d;
    d.dst_var = tiles_[place][t].var;
    d.src_var = file;
    d.element_bytes = static_cast<uint8_t>(bytes);
    d.size[2] = isa::kPartitions, d.size[3] = 2, d.size[4] = kFree / 2;
    d.dst_stride[2] = row, d.dst_stride[3] = row / 2, d.dst_stride[4] = bytes;
    switch (Int(0, 2)) {
      case 0:
        d.src_stride[2] = row, d.src_stride[3] = row / 2, d.src_stride[4] = bytes;
        break;
      case 1:
        d.src_stride[2] = row, d.src_stride[3] = bytes, d.src_stride[4] = 2 * bytes;
        break;
      default:
        d.src_stride[2] = 0, d.src_stride[3] = row / 2, d.src_stride[4] = bytes;
    }
    b_.Transfer(d);
    holds_[place] = t;
  }

  static Operand Part(Operand o, int partitions, int first, int n, int stride) {
    o.num_partitions = static_cast<uint8_t>(partitions);
    o.offset += static_cast<uint32_t>(first * TypeBytes(o.dtype));
    for (int d = 0; d < isa::kFreeDims; ++d) o.size[d] = 1, o.stride[d] = 0;
    o.size[3] = static_cast<uint16_t>(n);
    o.stride[3] = static_cast<int16_t>(stride);
    return o;
  }

  // Two groups whose products alternate, evacuated to one or two tiles.
  void Products() {
    const int type = Int(0, 1);
    if (Source(type) < 0) return;
    // Whole tiles are operands that products have in common.
    const bool whole = Int(0, 1) == 0;
    const int m = !whole && Int(0, 2) == 0 ? Int(1, 8) : isa::kPartitions,
              n = !whole && Int(0, 2) == 0 ? Int(1, 60) : kFree;
    const int count = Int(1, whole ? 2 : 4);
    for (int k = 0; k < count; ++k) {
      for (int g = 0; g < 2; ++g) {
        const Operand& a = tiles_[Source(type)][type];
        const Operand& b = tiles_[Source(type)][type];
        const int depth = whole || Int(0, 1) == 0 ? isa::kPartitions : Int(1, 40);
        const int step = 2 * m <= kFree && Int(0, 1) == 0 ? 2 : 1;
        const int first = whole ? 0 : Int(0, kFree - 1 - (m - 1) * step);
        Instruction i =
            Make(Opcode::kMatmul, Part(psum_[g], m, 0, n, 1), Part(a, depth, first, m, step),
                 Part(b, depth, whole ? 0 : Int(0, kFree - n), n, 1));
        if (k > 0) i.flags = isa::kAccumulate;
        b_.Do(Engine::kPe, i);
        if (Int(0, 5) == 0) Load();
        if (Source(type) < 0) return;
      }
    }
    // Whole tiles only: what the products did not reach is filled first.
    for (int g = 0; g < 2; ++g) {
      const int place = Int(0, kPlaces - 1), t = Int(0, 1);
      b_.Do(Engine::kDve, Make(Opcode::kMemset, tiles_[place][t]));
      Instruction i = Make(Opcode::kTensorScalar, Part(tiles_[place][t], m, 0, n, 1),
                           Part(psum_[g], m, 0, n, 1));
      i.op0 = isa::AluOp::kMultiply;
      i.imm0 = 1.0f / 64;
      b_.Do(Engine::kDve, i);
      holds_[place] = t;
    }
  }

  void Elementwise(const Operand& input) {
    const int type = Int(0, 1), from = Source(type);
    if (from < 0) return;
    const int to = Int(0, kPlaces - 1);
    const int t = to == from ? type : Int(0, 1);
    Instruction i = Make(Opcode::kTensorTensor, tiles_[to][t], tiles_[from][type], input);
    i.op0 = Int(0, 1) == 0 ? isa::AluOp::kMax : isa::AluOp::kMin;
    b_.Do(Engine::kDve, i);
    holds_[to] = t;
  }

  void Transpose() {
    const int from = Source(0);
    if (from < 0) return;
    const Operand to = Part(psum_[2], isa::kPartitions, 0, isa::kPartitions, 1);
    b_.Do(Engine::kPe, Make(Opcode::kPeTranspose, to,
                            Part(tiles_[from][0], isa::kPartitions,
                                 Int(0, kFree - isa::kPartitions), isa::kPartitions, 1)));
    b_.Do(Engine::kAct, [&] {
      Instruction i = Make(Opcode::kActivate,
                           Part(tiles_[from][0], isa::kPartitions, 0, isa::kPartitions, 1), to);
      i.fn = isa::ActFn::kRelu;
      i.imm0 = 1;
      return i;
    }());
  }

  void Refresh(const Operand& input) {
    const int place = Int(0, kPlaces - 1), t = Int(0, 1);
    b_.Do(Engine::kDve, Make(Opcode::kTensorCopy, tiles_[place][t], input));
    holds_[place] = t;
  }

  std::mt19937_64 random_;
  ProgramBuilder b_;
  std::vector<std::pair<uint32_t, DType>> files_;
  Operand tiles_[kPlaces][2];
  Operand psum_[3];
  int holds_[kPlaces] = {-1, -1, -1, -1, -1, -1};
  std::vector<DType> types_;
};

TEST(FastTranslate, RandomProgramsAgreeWithTheInterpreter) {
  const uint64_t seed = TestSeed();
  int checked = 0;
  for (uint64_t n = 0; n < 60; ++n) {
    SCOPED_TRACE(absl::StrCat("GLIA_TEST_SEED=", seed + n));
    RandomProgram random(seed + n);
    const isa::Program program = random.Draw(4 + static_cast<int>(n % 30));
    ASSERT_TRUE(isa::Validate(program).ok()) << isa::Validate(program);
    const Outcome want = RunOn(program, random.builder(), false),
                  got = RunOn(program, random.builder(), true);
    ASSERT_TRUE(want.status.ok()) << want.status;
    ASSERT_TRUE(got.status.ok()) << got.status;
    ASSERT_EQ(got.outputs.size(), want.outputs.size());
    for (size_t o = 0; o < want.outputs.size(); ++o) {
      const DType t = random.types()[o];
      const double rounding = t == DType::kF32 ? 1e-5 : 1e-2;  // a last bit of bf16 may tip
      for (size_t e = 0; e < want.outputs[o].size() / TypeBytes(t); ++e) {
        const double x =
            LoadFloat(t, reinterpret_cast<const uint8_t*>(&want.outputs[o][e * TypeBytes(t)]));
        const double y =
            LoadFloat(t, reinterpret_cast<const uint8_t*>(&got.outputs[o][e * TypeBytes(t)]));
        ASSERT_LE(std::abs(x - y), rounding * (1 + std::abs(x)))
            << "output " << o << ", element " << e;
      }
      ++checked;
    }
  }
  EXPECT_GE(checked, 60);
}

// Products that share an operand do not see each other's version of it, nor that of an earlier run.
TEST(FastTranslate, SharedOperandsOfProductsAreThoseOfTheirTime) {
  constexpr int kSize = 64;
  for (const DType type : {DType::kF32, DType::kBf16}) {
    ProgramBuilder b;
    const auto rows = [](float first) {
      std::vector<std::vector<float>> r(kSize, std::vector<float>(kSize));
      for (int i = 0; i < kSize * kSize; ++i)
        r[i / kSize][i % kSize] = first + static_cast<float>(i % 5);
      return r;
    };
    const Operand x = b.Input(rows(1)), y = b.Input(rows(-2));
    const Operand a = b.SbufTile(kSize, kSize, type), c = b.SbufTile(kSize, kSize, type);
    const auto product = [&](const Operand& stationary, const Operand& moving) {
      const Operand sum = b.PsumTile(kSize, kSize), out = b.Output(kSize, kSize);
      b.Do(Engine::kPe, Make(Opcode::kMatmul, sum, stationary, moving));
      b.Do(Engine::kDve, Make(Opcode::kTensorCopy, out, sum));
    };
    b.Do(Engine::kDve, Make(Opcode::kTensorCopy, a, x));
    b.Do(Engine::kDve, Make(Opcode::kTensorCopy, c, y));
    product(a, c);
    product(c, c);
    // One partition of what both were made with.
    Operand part = c, from = x;
    part.num_partitions = from.num_partitions = 1;
    b.Do(Engine::kDve, Make(Opcode::kTensorCopy, part, from));
    product(a, c);
    product(c, c);
    const isa::Program program = b.Build();
    const Outcome want = RunOn(program, b, false), got = RunOn(program, b, true);
    ASSERT_TRUE(got.status.ok()) << got.status;
    ASSERT_EQ(want.outputs.size(), 4u);
    for (size_t o = 0; o < 4; ++o) {
      EXPECT_EQ(As<float>(got.outputs[o]), As<float>(want.outputs[o])) << "output " << o;
    }
    EXPECT_NE(want.outputs[1], want.outputs[3]);
  }
}

// A transfer by index leaves the other rows as they were.
TEST(FastTranslate, WhatAnIndexedTransferLeavesIsKept) {
  ProgramBuilder b;
  const Operand base = b.Input(std::vector<std::vector<float>>(4, {1, 2})), row = b.Input({{7, 8}});
  const Operand index = b.Input<int32_t>({{2}});
  const uint32_t scratch = b.Scratch("scratch", 32);
  b.Copy(scratch, base.var);
  isa::DmaDescriptor d;
  d.dst_var = scratch;
  d.src_var = row.var;
  d.element_bytes = 4;
  d.size[4] = 2;
  d.dst_stride[4] = d.src_stride[4] = 4;
  d.index_side = isa::IndexSide::kDestination;
  d.index_var = index.var;
  d.index_stride = 8;
  d.index_bound = 4;
  b.Transfer(d);
  const uint32_t out = b.Hbm(isa::VariableKind::kOutput, "out", DType::kF32, {4, 2});
  b.Copy(out, scratch);
  const isa::Program program = b.Build();
  const Outcome got = RunOn(program, b, true);
  ASSERT_TRUE(got.status.ok()) << got.status;
  EXPECT_EQ(As<float>(got.outputs[0]), (std::vector<float>{1, 2, 1, 2, 7, 8, 1, 2}));
}

// Denormal bf16 operands may count as zero, nothing else may be lost.
TEST(FastTranslate, DenormalProductsAreNearZero) {
  ProgramBuilder b;
  const std::vector<std::vector<float>> tiny(2, std::vector<float>(8, 1e-39f)),
      ones(2, std::vector<float>(8, 1.0f));
  const Operand a = b.Input(tiny), c = b.Input(ones);
  const Operand a16 = b.SbufTile(2, 8, DType::kBf16), c16 = b.SbufTile(2, 8, DType::kBf16);
  b.Do(Engine::kDve, Make(Opcode::kTensorCopy, a16, a));
  b.Do(Engine::kDve, Make(Opcode::kTensorCopy, c16, c));
  const Operand sum = b.PsumTile(8, 8), out = b.Output(8, 8);
  b.Do(Engine::kPe, Make(Opcode::kMatmul, sum, a16, c16));
  b.Do(Engine::kDve, Make(Opcode::kTensorCopy, out, sum));
  const isa::Program program = b.Build();
  const Outcome got = RunOn(program, b, true);
  ASSERT_TRUE(got.status.ok()) << got.status;
  for (const float x : As<float>(got.outputs[0])) EXPECT_LE(std::abs(x), 3e-39f);
}

}  // namespace
}  // namespace glia::device
