// What each instruction does: expected values by hand or from known references.
#include <cmath>
#include <limits>
#include <string>
#include <vector>

#include "device_sim/semantics.h"
#include "device_sim/testing/program_builder.h"
#include "device_sim/testing/run_interpreter.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace glia::device {
namespace {

using isa::ActFn;
using isa::AluOp;
using isa::DType;
using isa::Engine;
using isa::Instruction;
using isa::Opcode;
using isa::Operand;
using ::testing::ElementsAre;
using ::testing::HasSubstr;

constexpr float kNan = std::numeric_limits<float>::quiet_NaN();
constexpr float kInf = std::numeric_limits<float>::infinity();

// The only output, as values of T.
template <typename T = float>
std::vector<T> Result(ProgramBuilder* b, size_t index = 0) {
  auto outputs = Interpret(b);
  EXPECT_TRUE(outputs.ok()) << outputs.status();
  return outputs.ok() ? As<T>((*outputs)[index]) : std::vector<T>();
}

std::vector<std::vector<float>> Rows(int rows, int columns, float first = 0, float step = 1) {
  std::vector<std::vector<float>> r(rows, std::vector<float>(columns));
  for (int i = 0; i < rows * columns; ++i) r[i / columns][i % columns] = first + static_cast<float>(i) * step;
  return r;
}

// ---- PE ----

TEST(Matmul, MultipliesTransposedStationaryByMoving) {
  ProgramBuilder b;
  const Operand w = b.Input({{1, 2, 3}, {4, 5, 6}});        // K=2, M=3
  const Operand x = b.Input({{1, 0, -1, 2}, {2, 1, 0, 1}}); // K=2, N=4
  const Operand acc = b.PsumTile(3, 4);
  const Operand y = b.Output(3, 4);
  b.Do(Engine::kPe, Make(Opcode::kMatmul, acc, w, x));
  b.Do(Engine::kDve, Make(Opcode::kTensorCopy, y, acc));
  EXPECT_THAT(Result(&b), ElementsAre(9, 4, -1, 6, 12, 5, -2, 9, 15, 6, -3, 12));
}

TEST(Matmul, Accumulates) {
  ProgramBuilder b;
  const Operand w = b.Input({{1, 2}});
  const Operand x = b.Input({{3, 5, 7}});
  const Operand acc = b.PsumTile(2, 3);
  const Operand y = b.Output(2, 3);
  Instruction mm = Make(Opcode::kMatmul, acc, w, x);
  b.Do(Engine::kPe, mm);
  mm.flags = isa::kAccumulate;
  b.Do(Engine::kPe, mm);
  b.Do(Engine::kPe, mm);
  b.Do(Engine::kAct, [&] {
    Instruction i = Make(Opcode::kActivate, y, acc);
    i.imm0 = 1;
    return i;
  }());
  EXPECT_THAT(Result(&b), ElementsAre(9, 15, 21, 18, 30, 42));
}

TEST(Matmul, FullTileOfBf16) {
  ProgramBuilder b;
  std::string w, x;
  for (int k = 0; k < 128; ++k) {
    for (int m = 0; m < 128; ++m) {
      const uint16_t v = FloatToBf16(static_cast<float>((k * 7 + m * 3) % 13 - 6));
      w.append(reinterpret_cast<const char*>(&v), 2);
    }
    for (int n = 0; n < 512; ++n) {
      const uint16_t v = FloatToBf16(static_cast<float>((k * 5 + n) % 11 - 5));
      x.append(reinterpret_cast<const char*>(&v), 2);
    }
  }
  const Operand wt = b.InputBytes(DType::kBf16, 128, 128, w);
  const Operand xt = b.InputBytes(DType::kBf16, 128, 512, x);
  const Operand acc = b.PsumTile(128, 512);
  const Operand y = b.Output(128, 512);
  b.Do(Engine::kPe, Make(Opcode::kMatmul, acc, wt, xt));
  b.Do(Engine::kDve, Make(Opcode::kTensorCopy, y, acc));
  const std::vector<float> got = Result(&b);
  ASSERT_EQ(got.size(), 128u * 512);
  for (const int m : {0, 1, 77, 127}) {
    for (const int n : {0, 13, 511}) {
      int want = 0;
      for (int k = 0; k < 128; ++k) want += ((k * 7 + m * 3) % 13 - 6) * ((k * 5 + n) % 11 - 5);
      EXPECT_EQ(got[m * 512 + n], static_cast<float>(want));
    }
  }
}

TEST(PeTranspose, IsBitExact) {
  ProgramBuilder b;
  const Operand x = b.Input({{1, -0.0f, 3}, {kInf, 5, kNan}});
  const Operand t = b.PsumTile(3, 2);
  const Operand y = b.Output(3, 2);
  b.Do(Engine::kPe, Make(Opcode::kPeTranspose, t, x));
  b.Do(Engine::kDve, Make(Opcode::kTensorCopy, y, t));
  const std::vector<float> got = Result(&b);
  EXPECT_EQ(got[0], 1);
  EXPECT_EQ(got[1], kInf);
  EXPECT_TRUE(std::signbit(got[2]));
  EXPECT_EQ(got[4], 3);
  EXPECT_TRUE(std::isnan(got[5]));
}

// ---- ACT ----

TEST(Activate, ScalesAddsBiasAndAccumulates) {
  ProgramBuilder b;
  const Operand x = b.Input({{1, 2, 3}, {4, 5, 6}});
  const Operand scale = b.Input({{2}, {-1}});
  const Operand bias = b.Input({{-5}, {5}});
  const Operand acc = b.Output(2, 1);
  const Operand y = b.Output(2, 3);
  Instruction zero = Make(Opcode::kMemset, acc);
  zero.imm0 = 100;
  b.Do(Engine::kDve, zero);
  Instruction i = Make(Opcode::kActivate, y, x, scale, bias, acc);
  i.fn = ActFn::kRelu;
  i.flags = isa::kAccumulate;
  b.Do(Engine::kAct, i);
  auto outputs = Interpret(&b);
  ASSERT_TRUE(outputs.ok()) << outputs.status();
  EXPECT_THAT(As<float>((*outputs)[0]), ElementsAre(101, 101));
  EXPECT_THAT(As<float>((*outputs)[1]), ElementsAre(0, 0, 1, 1, 0, 0));
}

TEST(Activate, ImmediateScaleAndParameter) {
  ProgramBuilder b;
  const Operand x = b.Input({{-4, 4}});
  const Operand y = b.Output(1, 2);
  Instruction i = Make(Opcode::kActivate, y, x);
  i.fn = ActFn::kLeakyRelu;
  i.imm0 = 2;
  i.imm1 = 0.25f;
  b.Do(Engine::kAct, i);
  EXPECT_THAT(Result(&b), ElementsAre(-2, 8));
}

TEST(Activate, IntegersOnPool) {
  ProgramBuilder b;
  const Operand x = b.Input<int64_t>({{0, 1, -1, (int64_t{1} << 62) + 1}});
  const Operand y = b.Output(1, 4, DType::kI64);
  const Operand z = b.Output(1, 4, DType::kI64);
  Instruction i = Make(Opcode::kActivate, y, x);
  i.fn = ActFn::kClz;
  b.Do(Engine::kPool, i);
  i = Make(Opcode::kActivate, z, x);
  i.fn = ActFn::kNegate;
  i.imm0 = 1;
  b.Do(Engine::kPool, i);
  auto outputs = Interpret(&b);
  ASSERT_TRUE(outputs.ok()) << outputs.status();
  EXPECT_THAT(As<int64_t>((*outputs)[0]), ElementsAre(64, 63, 0, 1));
  EXPECT_THAT(As<int64_t>((*outputs)[1]), ElementsAre(0, -1, 1, -(int64_t{1} << 62) - 1));
}

// ---- DVE and POOL ----

TEST(TensorTensor, Fp32AndRawBits) {
  ProgramBuilder b;
  const Operand x = b.Input<uint32_t>({{0xff00ff00u, 0x80000001u, 7}});
  const Operand s = b.Input<uint32_t>({{4, 31, 40}});
  const Operand y = b.Output(1, 3, DType::kU32);
  const Operand z = b.Output(1, 3, DType::kU32);
  Instruction i = Make(Opcode::kTensorTensor, y, x, s);
  i.op0 = AluOp::kShiftRightLogical;
  b.Do(Engine::kDve, i);
  // 0x80000001 is no fp32 number: DVE rounds it.
  i = Make(Opcode::kTensorTensor, z, x, x);
  i.op0 = AluOp::kMax;
  b.Do(Engine::kDve, i);
  auto outputs = Interpret(&b);
  ASSERT_TRUE(outputs.ok()) << outputs.status();
  EXPECT_THAT(As<uint32_t>((*outputs)[0]), ElementsAre(0x0ff00ff0u, 1, 0));
  EXPECT_THAT(As<uint32_t>((*outputs)[1]), ElementsAre(0xff00ff00u, 0x80000000u, 7));
}

TEST(TensorTensor, PoolWrapsInIntegers) {
  ProgramBuilder b;
  const Operand x = b.Input<int32_t>({{2147483647, -7, 16777217}});
  const Operand s = b.Input<int32_t>({{1, 2, 2}});
  const Operand sum = b.Output(1, 3, DType::kI32);
  const Operand quotient = b.Output(1, 3, DType::kI32);
  Instruction i = Make(Opcode::kTensorTensor, sum, x, s);
  i.op0 = AluOp::kAdd;
  b.Do(Engine::kPool, i);
  i.dst = quotient;
  i.op0 = AluOp::kFloorDivide;
  b.Do(Engine::kPool, i);
  auto outputs = Interpret(&b);
  ASSERT_TRUE(outputs.ok()) << outputs.status();
  EXPECT_THAT(As<int32_t>((*outputs)[0]), ElementsAre(-2147483648, -5, 16777219));
  EXPECT_THAT(As<int32_t>((*outputs)[1]), ElementsAre(2147483647, -4, 8388608));
}

TEST(TensorTensor, ComparisonsGivePred) {
  ProgramBuilder b;
  const Operand x = b.Input({{1, 2, kNan}});
  const Operand z = b.Input({{1, 3, kNan}});
  const Operand y = b.Output(1, 3, DType::kPred);
  Instruction i = Make(Opcode::kTensorTensor, y, x, z);
  i.op0 = AluOp::kEq;
  b.Do(Engine::kDve, i);
  EXPECT_THAT(Result<uint8_t>(&b), ElementsAre(1, 0, 0));
}

TEST(TensorScalar, ChainsWithReverse) {
  ProgramBuilder b;
  const Operand x = b.Input({{1, 2}, {4, 8}});
  const Operand s = b.Input({{10}, {20}});
  const Operand y = b.Output(2, 2);
  const Operand z = b.Output(2, 2);
  Instruction i = Make(Opcode::kTensorScalar, y, x, s);
  i.op0 = AluOp::kSubtract;  // s - x
  i.op1 = AluOp::kDivide;    // 36 / ...
  i.imm1 = 36;
  i.flags = isa::kReverse0 | isa::kReverse1;
  b.Do(Engine::kDve, i);
  i = Make(Opcode::kTensorScalar, z, x);
  i.op0 = AluOp::kMultiply;
  i.imm0 = 3;
  b.Do(Engine::kPool, i);
  auto outputs = Interpret(&b);
  ASSERT_TRUE(outputs.ok()) << outputs.status();
  EXPECT_THAT(As<float>((*outputs)[0]), ElementsAre(4, 4.5, 2.25, 3));
  EXPECT_THAT(As<float>((*outputs)[1]), ElementsAre(3, 6, 12, 24));
}

TEST(TensorScalar, IntegerImmediates) {
  ProgramBuilder b;
  const Operand x = b.Input<int64_t>({{(int64_t{1} << 40) + 1, -9}});
  const Operand y = b.Output(1, 2, DType::kI64);
  Instruction i = Make(Opcode::kTensorScalar, y, x);
  i.op0 = AluOp::kMultiply;
  i.imm0 = 4;
  i.op1 = AluOp::kAdd;
  i.imm1 = 3;
  b.Do(Engine::kPool, i);
  EXPECT_THAT(Result<int64_t>(&b), ElementsAre((int64_t{1} << 42) + 7, -33));
}

TEST(ScalarTensorTensor, CombinesInOrder) {
  ProgramBuilder b;
  const Operand x = b.Input({{1, 2, 3}});
  const Operand z = b.Input({{10, 20, 30}});
  const Operand y = b.Output(1, 3);
  Instruction i = Make(Opcode::kScalarTensorTensor, y, x, z);
  i.op0 = AluOp::kMultiply;
  i.imm0 = 5;
  i.op1 = AluOp::kSubtract;
  b.Do(Engine::kDve, i);
  EXPECT_THAT(Result(&b), ElementsAre(-5, -10, -15));
}

TEST(TensorCopy, ConvertsAndKeepsBits) {
  ProgramBuilder b;
  const Operand x = b.Input({{1.5f, -2.7f, 3e9f, kNan, -kInf}});
  const Operand y = b.Output(1, 5, DType::kI32);
  const Operand z = b.Output(1, 5, DType::kBf16);
  b.Do(Engine::kDve, Make(Opcode::kTensorCopy, y, x));
  b.Do(Engine::kDve, Make(Opcode::kTensorCopy, z, x));
  auto outputs = Interpret(&b);
  ASSERT_TRUE(outputs.ok()) << outputs.status();
  EXPECT_THAT(As<int32_t>((*outputs)[0]), ElementsAre(1, -2, 2147483647, 0, -2147483648));
  EXPECT_EQ(As<uint16_t>((*outputs)[1])[0], 0x3fc0);
  EXPECT_EQ(As<uint16_t>((*outputs)[1])[1], 0xc02d);  // -2.703125
}

TEST(TensorCopy, Int64StaysExactOnPoolOnly) {
  const int64_t odd = (int64_t{1} << 40) + 1;
  for (const Engine engine : {Engine::kPool, Engine::kDve}) {
    ProgramBuilder b;
    const Operand x = b.Input<int64_t>({{odd}});
    const Operand y = b.Output(1, 1, DType::kU64);
    b.Do(engine, Make(Opcode::kTensorCopy, y, x));
    EXPECT_EQ(Result<int64_t>(&b)[0], engine == Engine::kPool ? odd : odd - 1);
  }
}

TEST(Select, TakesByMask) {
  ProgramBuilder b;
  const Operand m = b.Input<bool>({{true, false, true}});
  const Operand t = b.Input({{1, 2, kNan}});
  const Operand f = b.Input({{4, 5, 6}});
  const Operand y = b.Output(1, 3);
  b.Do(Engine::kDve, Make(Opcode::kSelect, y, m, t, f));
  const std::vector<float> got = Result(&b);
  EXPECT_EQ(got[0], 1);
  EXPECT_EQ(got[1], 5);
  EXPECT_TRUE(std::isnan(got[2]));
}

TEST(CopyPredicated, LeavesTheRest) {
  ProgramBuilder b;
  const Operand m = b.Input<int32_t>({{0, -1, 2}});
  const Operand x = b.Input({{1, 2, 3}});
  const Operand y = b.Output(1, 3);
  Instruction fill = Make(Opcode::kMemset, y);
  fill.imm0 = 9;
  b.Do(Engine::kPool, fill);
  b.Do(Engine::kDve, Make(Opcode::kCopyPredicated, y, x, m));
  EXPECT_THAT(Result(&b), ElementsAre(9, 2, 3));
}

TEST(Memset, IntegerImmediate) {
  ProgramBuilder b;
  const Operand y = b.Output(2, 2, DType::kI16);
  Instruction i = Make(Opcode::kMemset, y);
  i.imm_int = -3;
  b.Do(Engine::kDve, i);
  EXPECT_THAT(Result<int16_t>(&b), ElementsAre(-3, -3, -3, -3));
}

TEST(TensorReduce, InnermostDimensionsOfA4dPattern) {
  ProgramBuilder b;
  const Operand x = b.Input(Rows(2, 12));
  const Operand y = b.Output(2, 3);
  const Operand z = b.Output(2, 2);
  Instruction i = Make(Opcode::kTensorReduce, y, Pattern(x, {3, 2, 2}, {4, 2, 1}));
  i.op0 = AluOp::kAdd;
  i.dims = 2;
  b.Do(Engine::kDve, i);
  // Over the columns of [6, 2], reached by swapping strides.
  i = Make(Opcode::kTensorReduce, z, Pattern(x, {2, 6}, {1, 2}));
  i.op0 = AluOp::kMax;
  i.dims = 1;
  b.Do(Engine::kDve, i);
  auto outputs = Interpret(&b);
  ASSERT_TRUE(outputs.ok()) << outputs.status();
  EXPECT_THAT(As<float>((*outputs)[0]), ElementsAre(6, 22, 38, 54, 70, 86));
  EXPECT_THAT(As<float>((*outputs)[1]), ElementsAre(10, 11, 22, 23));
}

TEST(TensorReduce, MaxPropagatesNan) {
  ProgramBuilder b;
  const Operand x = b.Input({{1, kNan, 3}});
  const Operand y = b.Output(1, 1);
  Instruction i = Make(Opcode::kTensorReduce, y, x);
  i.op0 = AluOp::kMax;
  i.dims = 1;
  b.Do(Engine::kDve, i);
  EXPECT_TRUE(std::isnan(Result(&b)[0]));
}

TEST(Scan, StartsAfreshForOuterIndices) {
  ProgramBuilder b;
  const Operand x = b.Input({{1, 2, 3, 4, 5, 6}});
  const Operand y = b.Output(1, 6);
  Instruction i = Make(Opcode::kScan, Pattern(y, {2, 3}, {3, 1}), Pattern(x, {2, 3}, {3, 1}));
  i.op0 = AluOp::kAdd;
  i.imm0 = 100;
  b.Do(Engine::kDve, i);
  EXPECT_THAT(Result(&b), ElementsAre(101, 103, 106, 104, 109, 115));
}

TEST(Scan, IntegersFromAnOperand) {
  ProgramBuilder b;
  const Operand x = b.Input<int32_t>({{1, 2, 3}, {4, 5, 6}});
  const Operand start = b.Input<int32_t>({{16777216}, {-1}});
  const Operand y = b.Output(2, 3, DType::kI32);
  Instruction i = Make(Opcode::kScan, y, x, start);
  i.op0 = AluOp::kAdd;
  b.Do(Engine::kPool, i);
  EXPECT_THAT(Result<int32_t>(&b), ElementsAre(16777217, 16777219, 16777222, 3, 8, 14));
}

TEST(Reciprocal, Divides) {
  ProgramBuilder b;
  const Operand x = b.Input({{4, -0.5f, 0}});
  const Operand y = b.Output(1, 3);
  b.Do(Engine::kDve, Make(Opcode::kReciprocal, y, x));
  EXPECT_THAT(Result(&b), ElementsAre(0.25f, -2, kInf));
}

TEST(BnStats, ThenAggregateGivesMeanAndVariance) {
  ProgramBuilder b;
  const Operand x = b.Input({{1, 10, 2, 20, 3}});
  const Operand stats = b.Output(1, 6);
  const Operand y = b.Output(1, 2);
  b.Do(Engine::kDve, Make(Opcode::kBnStats, stats, x));
  b.Do(Engine::kDve, Make(Opcode::kBnAggr, y, stats));
  auto outputs = Interpret(&b);
  ASSERT_TRUE(outputs.ok()) << outputs.status();
  EXPECT_THAT(As<float>((*outputs)[0]), ElementsAre(3, 2, 2, 2, 15, 50));
  EXPECT_THAT(As<float>((*outputs)[1]), ElementsAre(7.2f, 50.96f));
}

TEST(BnStats, OneElementLeavesTheOddGroupEmpty) {
  ProgramBuilder b;
  const Operand x = b.Input({{5}});
  const Operand y = b.Output(1, 6);
  b.Do(Engine::kDve, Make(Opcode::kBnStats, y, x));
  EXPECT_THAT(Result(&b), ElementsAre(1, 5, 0, 0, 0, 0));
}

TEST(Max8, FindIndex8AndMatchReplace8WorkTogether) {
  ProgramBuilder b;
  const Operand x = b.Input({{3, 9, 1, 9, 5, 7, 2, 8, 6, 4}});
  const Operand top = b.Output(1, 8);
  const Operand at = b.Output(1, 8, DType::kU32);
  const Operand rest = b.Output(1, 10);
  b.Do(Engine::kDve, Make(Opcode::kMax8, top, x));
  b.Do(Engine::kDve, Make(Opcode::kFindIndex8, at, x, top));
  Instruction i = Make(Opcode::kMatchReplace8, rest, x, top);
  i.imm0 = -1;
  b.Do(Engine::kDve, i);
  auto outputs = Interpret(&b);
  ASSERT_TRUE(outputs.ok()) << outputs.status();
  EXPECT_THAT(As<float>((*outputs)[0]), ElementsAre(9, 9, 8, 7, 6, 5, 4, 3));
  EXPECT_THAT(As<uint32_t>((*outputs)[1]), ElementsAre(1, 3, 7, 5, 8, 4, 9, 0));
  EXPECT_THAT(As<float>((*outputs)[2]), ElementsAre(-1, -1, 1, -1, -1, -1, 2, -1, -1, -1));
}

TEST(FindIndex8, AbsentValueGivesAllOnes) {
  ProgramBuilder b;
  const Operand x = b.Input({{1, 2, 3, 4, 5, 6, 7, kNan}});
  const Operand wanted = b.Input({{kNan, 2, 2, 99, 1, 3, 4, 5}});
  const Operand y = b.Output(1, 8, DType::kU32);
  b.Do(Engine::kDve, Make(Opcode::kFindIndex8, y, x, wanted));
  EXPECT_THAT(Result<uint32_t>(&b), ElementsAre(7, 1, 0xffffffffu, 0xffffffffu, 0, 2, 3, 4));
}

TEST(Transpose32, EachBlockByItself) {
  ProgramBuilder b;
  const Operand x = b.Input(Rows(64, 64));
  const Operand y = b.Output(64, 64);
  b.Do(Engine::kDve, Make(Opcode::kTranspose32, y, x));
  const std::vector<float> got = Result(&b);
  ASSERT_EQ(got.size(), 4096u);
  for (int p = 0; p < 64; ++p) {
    for (int f = 0; f < 64; ++f) {
      const int from_p = p / 32 * 32 + f % 32, from_f = f / 32 * 32 + p % 32;
      ASSERT_EQ(got[p * 64 + f], static_cast<float>(from_p * 64 + from_f)) << p << " " << f;
    }
  }
}

TEST(Iota, FollowsPatternAndPartition) {
  ProgramBuilder b;
  const Operand y = b.Output(2, 6, DType::kI32);
  Instruction i = Make(Opcode::kIota, Pattern(y, {2, 3}, {3, 1}));
  i.imm_int = 1000;
  i.mult = -100;
  i.pattern[2] = 10;
  i.pattern[3] = 1;
  b.Do(Engine::kPool, i);
  EXPECT_THAT(Result<int32_t>(&b),
              ElementsAre(1000, 1001, 1002, 1010, 1011, 1012, 900, 901, 902, 910, 911, 912));
}

TEST(AffineSelect, MakesACausalMask) {
  ProgramBuilder b;
  const Operand x = b.Input(Rows(3, 3, 1));
  const Operand y = b.Output(3, 3);
  Instruction i = Make(Opcode::kAffineSelect, y, x);
  i.op0 = AluOp::kGe;  // partition - index >= 0
  i.mult = 1;
  i.pattern[3] = -1;
  i.imm0 = -kInf;
  b.Do(Engine::kPool, i);
  EXPECT_THAT(Result(&b), ElementsAre(1, -kInf, -kInf, 4, 5, -kInf, 7, 8, 9));
}

TEST(PartitionReduce, ThenBroadcast) {
  ProgramBuilder b;
  const Operand x = b.Input({{1, -5}, {2, 7}, {3, 6}});
  const Operand sum = b.Output(1, 2);
  const Operand y = b.Output(3, 2);
  Instruction i = Make(Opcode::kPartitionReduce, sum, x);
  i.op0 = AluOp::kAdd;
  b.Do(Engine::kPool, i);
  b.Do(Engine::kPool, Make(Opcode::kPartitionBroadcast, y, sum));
  auto outputs = Interpret(&b);
  ASSERT_TRUE(outputs.ok()) << outputs.status();
  EXPECT_THAT(As<float>((*outputs)[0]), ElementsAre(6, 8));
  EXPECT_THAT(As<float>((*outputs)[1]), ElementsAre(6, 8, 6, 8, 6, 8));
}

TEST(Gather, WithinThePartition) {
  ProgramBuilder b;
  const Operand x = b.Input({{10, 11, 12, 13}, {20, 21, 22, 23}});
  const Operand at = b.Input<int32_t>({{3, 0, 3}, {1, 1, 2}});
  const Operand y = b.Output(2, 3);
  b.Do(Engine::kPool, Make(Opcode::kGather, y, x, at));
  EXPECT_THAT(Result(&b), ElementsAre(13, 10, 13, 21, 21, 22));
}

TEST(Gather, IndexOutOfRange) {
  for (const int32_t bad : {4, -1}) {
    ProgramBuilder b;
    const Operand x = b.Input({{10, 11, 12, 13}});
    const Operand at = b.Input<int32_t>({{0, bad}});
    const Operand y = b.Output(1, 2);
    b.Do(Engine::kPool, Make(Opcode::kGather, y, x, at));
    const absl::Status s = Interpret(&b).status();
    EXPECT_EQ(s.code(), absl::StatusCode::kOutOfRange);
    EXPECT_THAT(std::string(s.message()), HasSubstr("element 1 is not in [0, 4)"));
  }
}

TEST(ScatterAdd, InOrderOfTheElements) {
  ProgramBuilder b;
  const Operand y = b.Output(1, 4);
  const Operand z = b.Output(1, 4);
  const Operand x = b.Input({{1, 2, 4, 8}});
  const Operand at = b.Input<int64_t>({{2, 0, 2, 3}});
  for (const Operand& o : {y, z}) {
    Instruction zero = Make(Opcode::kMemset, o);
    zero.imm0 = 100;
    b.Do(Engine::kPool, zero);
  }
  Instruction i = Make(Opcode::kScatterAdd, y, x, at);
  i.op0 = AluOp::kAdd;
  b.Do(Engine::kPool, i);
  i.dst = z;
  i.op0 = AluOp::kBypass;
  b.Do(Engine::kPool, i);
  auto outputs = Interpret(&b);
  ASSERT_TRUE(outputs.ok()) << outputs.status();
  EXPECT_THAT(As<float>((*outputs)[0]), ElementsAre(102, 100, 105, 108));
  EXPECT_THAT(As<float>((*outputs)[1]), ElementsAre(2, 100, 4, 8));
}

TEST(Sort, IsStableAndMovesThePayload) {
  ProgramBuilder b;
  const Operand keys = b.Input({{2, kNan, 1, 2, -0.0f, 0}});
  const Operand payload = b.Input<int32_t>({{0, 1, 2, 3, 4, 5}});
  const Operand sorted = b.Output(1, 6);
  const Operand up = b.Output(1, 6, DType::kI32);
  const Operand down = b.Output(1, 6, DType::kI32);
  Instruction i = Make(Opcode::kSort, sorted, keys, {}, payload, up);
  b.Do(Engine::kPool, i);
  i.src3 = down;
  i.flags = isa::kDescending;
  b.Do(Engine::kPool, i);
  auto outputs = Interpret(&b);
  ASSERT_TRUE(outputs.ok()) << outputs.status();
  EXPECT_THAT(As<int32_t>((*outputs)[1]), ElementsAre(4, 5, 2, 0, 3, 1));
  EXPECT_THAT(As<int32_t>((*outputs)[2]), ElementsAre(1, 0, 3, 2, 4, 5));
}

TEST(Sort, UnsignedKeysInPlace) {
  ProgramBuilder b;
  const Operand keys = b.Input<uint64_t>({{~uint64_t{0}, 1, uint64_t{1} << 63, 0}});
  const Operand y = b.Output(1, 4, DType::kU64);
  b.Do(Engine::kPool, Make(Opcode::kSort, keys, keys));
  b.Do(Engine::kPool, Make(Opcode::kTensorCopy, y, keys));
  EXPECT_THAT(Result<uint64_t>(&b), ElementsAre(0, 1, uint64_t{1} << 63, ~uint64_t{0}));
}

TEST(Philox, CountsThroughThePartitions) {
  ProgramBuilder b;
  const Operand y = b.Output(2, 6, DType::kU32);
  Instruction i = Make(Opcode::kPhilox, y);
  i.imm_int = 0;
  i.imm_int2 = 0;
  b.Do(Engine::kPool, i);
  const std::vector<uint32_t> got = Result<uint32_t>(&b);
  ASSERT_EQ(got.size(), 12u);
  // The first block is Random123's known answer for zeros.
  EXPECT_EQ(got[0], 0x6627e8d5u);
  EXPECT_EQ(got[1], 0xe169c58du);
  EXPECT_EQ(got[2], 0xbc57ac4cu);
  EXPECT_EQ(got[3], 0x9b00dbd8u);
  const auto second = Philox4x32({1, 0, 0, 0}, {0, 0});
  const auto third = Philox4x32({2, 0, 0, 0}, {0, 0});
  EXPECT_EQ(got[4], second[0]);
  EXPECT_EQ(got[6], second[2]);  // second partition
  EXPECT_EQ(got[11], third[3]);
}

// ---- Patterns ----

TEST(Patterns, NegativeZeroAndFourDimensionalStrides) {
  ProgramBuilder b;
  const Operand x = b.Input(Rows(2, 8));
  const Operand reversed = b.Output(2, 8);
  const Operand repeated = b.Output(2, 4);
  const Operand permuted = b.Output(2, 8);
  b.Do(Engine::kDve, Make(Opcode::kTensorCopy, reversed, Pattern(x, {8}, {-1}, 7)));
  b.Do(Engine::kDve, Make(Opcode::kTensorCopy, repeated, Pattern(x, {2, 2}, {1, 0}, 3)));
  b.Do(Engine::kDve, Make(Opcode::kTensorCopy, permuted, Pattern(x, {2, 1, 2, 2}, {1, 99, 2, 4})));
  auto outputs = Interpret(&b);
  ASSERT_TRUE(outputs.ok()) << outputs.status();
  EXPECT_THAT(As<float>((*outputs)[0]), ElementsAre(7, 6, 5, 4, 3, 2, 1, 0, 15, 14, 13, 12, 11, 10, 9, 8));
  EXPECT_THAT(As<float>((*outputs)[1]), ElementsAre(3, 3, 4, 4, 11, 11, 12, 12));
  EXPECT_THAT(As<float>((*outputs)[2]), ElementsAre(0, 4, 2, 6, 1, 5, 3, 7, 8, 12, 10, 14, 9, 13, 11, 15));
}

TEST(Patterns, PartitionsMayDiffer) {
  ProgramBuilder b;
  const Operand x = b.Input({{1, 2}}, 32);
  const Operand y = b.Output(1, 2, DType::kF32, 96);
  b.Do(Engine::kDve, Make(Opcode::kTensorCopy, y, x));
  EXPECT_THAT(Result(&b), ElementsAre(1, 2));
}

// ---- Transfers ----

isa::DmaDescriptor Dma(uint32_t dst, uint32_t src, uint8_t bytes, std::vector<uint32_t> size,
                       std::vector<int64_t> dst_stride, std::vector<int64_t> src_stride) {
  isa::DmaDescriptor d;
  d.dst_var = dst;
  d.src_var = src;
  d.element_bytes = bytes;
  const size_t skip = isa::kDmaDims - size.size();
  for (size_t i = 0; i < size.size(); ++i) {
    d.size[skip + i] = size[i];
    d.dst_stride[skip + i] = dst_stride[i];
    d.src_stride[skip + i] = src_stride[i];
  }
  return d;
}

TEST(Dma, TransposesAndReverses) {
  ProgramBuilder b;
  const Operand x = b.Input(Rows(2, 3));
  const uint32_t t = b.Hbm(isa::VariableKind::kOutput, "t", DType::kF32, {3, 2});
  const uint32_t r = b.Hbm(isa::VariableKind::kOutput, "r", DType::kF32, {2, 3});
  b.Transfer(Dma(t, x.var, 4, {3, 2}, {8, 4}, {4, 12}));
  isa::DmaDescriptor reverse = Dma(r, x.var, 4, {6}, {4}, {-4});
  reverse.src_offset = 20;
  b.Transfer(reverse);
  auto outputs = Interpret(&b);
  ASSERT_TRUE(outputs.ok()) << outputs.status();
  EXPECT_THAT(As<float>((*outputs)[0]), ElementsAre(0, 3, 1, 4, 2, 5));
  EXPECT_THAT(As<float>((*outputs)[1]), ElementsAre(5, 4, 3, 2, 1, 0));
}

TEST(Dma, GathersRowsByIndex) {
  ProgramBuilder b;
  const Operand at = b.Input<int32_t>({{2, 0, 2}});
  const uint32_t table = b.Constant("table", DType::kF32, {3, 2}, [] {
    const float v[] = {0, 1, 10, 11, 20, 21};
    return std::string(reinterpret_cast<const char*>(v), sizeof v);
  }());
  const Operand y = b.Output(3, 2);
  isa::DmaDescriptor d = Dma(y.var, table, 4, {3, 1, 1, 1, 2}, {8, 0, 0, 0, 4}, {0, 0, 0, 0, 4});
  d.index_side = isa::IndexSide::kSource;
  d.index_var = at.var;
  d.index_stride = 8;
  d.index_bound = 3;
  b.Transfer(d);
  EXPECT_THAT(Result(&b), ElementsAre(20, 21, 0, 1, 20, 21));
}

TEST(Dma, IndexOutOfBounds) {
  for (const int32_t bad : {3, -1, 1 << 30}) {
    ProgramBuilder b;
    const Operand at = b.Input<int32_t>({{0, bad}});
    const Operand x = b.Input({{0, 1, 2}});
    const Operand y = b.Output(1, 2);
    isa::DmaDescriptor d = Dma(y.var, x.var, 4, {2, 1, 1, 1, 1}, {4, 0, 0, 0, 0}, {0, 0, 0, 0, 0});
    d.index_side = isa::IndexSide::kSource;
    d.index_var = at.var;
    d.index_stride = 4;
    d.index_bound = 3;
    b.Transfer(d);
    const absl::Status s = Interpret(&b).status();
    EXPECT_EQ(s.code(), absl::StatusCode::kOutOfRange) << s;
    EXPECT_THAT(std::string(s.message()), HasSubstr("at position 1"));
  }
}

TEST(Dma, ScatterAddsInOrder) {
  ProgramBuilder b;
  const Operand at = b.Input<int32_t>({{1, 1, 0}});
  const Operand x = b.Input({{1, 2, 4}});
  const Operand y = b.Output(1, 2);
  Instruction fill = Make(Opcode::kMemset, y);
  fill.imm0 = 10;
  b.Do(Engine::kDve, fill);
  isa::DmaDescriptor d = Dma(y.var, x.var, 4, {3, 1, 1, 1, 1}, {0, 0, 0, 0, 0}, {4, 0, 0, 0, 0});
  d.index_side = isa::IndexSide::kDestination;
  d.index_var = at.var;
  d.index_stride = 4;
  d.index_bound = 2;
  d.op = isa::DmaOp::kAdd;
  d.dtype = DType::kF32;
  b.Transfer(d);
  EXPECT_THAT(Result(&b), ElementsAre(14, 13));
}

TEST(Dma, RunsMayCrossPartitions) {
  ProgramBuilder b;
  const Operand x = b.Input(Rows(3, 4));
  const uint32_t y = b.Hbm(isa::VariableKind::kOutput, "y", DType::kF32, {6});
  isa::DmaDescriptor d = Dma(y, x.var, 1, {24}, {1}, {1});
  d.src_offset = 12;  // the last element of partition 0, all of 1, the first of 2
  b.Transfer(d);
  EXPECT_THAT(Result(&b), ElementsAre(3, 4, 5, 6, 7, 8));
}

// ---- Control ----

TEST(Control, LoopsUntilTheConditionIsFalse) {
  ProgramBuilder b;
  // Segment 0: counter = 0. Segment 1: counter += 1, condition = counter < 5; repeat. Segment 2: store.
  const uint32_t condition = b.Scratch("condition", 4);
  const Operand counter = b.SbufTile(1, 1, DType::kI32);
  const Operand flag = b.SbufTile(1, 1, DType::kI32);
  Instruction set = Make(Opcode::kMemset, counter);
  b.Do(Engine::kPool, set);
  isa::Terminator jump;
  jump.kind = isa::TerminatorKind::kJump;
  jump.target = 1;
  b.EndSegment(jump);
  Instruction add = Make(Opcode::kTensorScalar, counter, counter);
  add.op0 = AluOp::kAdd;
  add.imm0 = 1;
  b.Do(Engine::kPool, add);
  Instruction less = Make(Opcode::kTensorScalar, flag, counter);
  less.op0 = AluOp::kLt;
  less.imm0 = 5;
  b.Do(Engine::kPool, less);
  b.Copy(condition, flag.var);
  isa::Terminator branch;
  branch.kind = isa::TerminatorKind::kBranch;
  branch.target = 1;
  branch.otherwise = 2;
  branch.var = condition;
  branch.dtype = DType::kI32;
  b.EndSegment(branch);
  const Operand y = b.Output(1, 1, DType::kI32);
  b.Do(Engine::kPool, Make(Opcode::kTensorCopy, y, counter));
  EXPECT_THAT(Result<int32_t>(&b), ElementsAre(5));
}

TEST(Control, StatisticsSumTheSegments) {
  ProgramBuilder b;
  const Operand y = b.Output(1, 1);
  isa::Terminator jump;
  jump.kind = isa::TerminatorKind::kJump;
  jump.target = 1;
  b.EndSegment(jump);
  b.Do(Engine::kDve, Make(Opcode::kMemset, y));
  const isa::Program program = b.Build();
  const ProgramTiming timing = ComputeTiming(program);
  auto executor = MakeInterpreter(program, timing);
  ASSERT_TRUE(executor.ok()) << executor.status();
  float out;
  std::vector<uint8_t*> bindings(program.variables.size(), nullptr);
  bindings[0] = reinterpret_cast<uint8_t*>(&out);
  auto statistics = (*executor)->Run(bindings);
  ASSERT_TRUE(statistics.ok()) << statistics.status();
  EXPECT_EQ(statistics->segments_run, 2);
  EXPECT_EQ(statistics->simulated_ps, timing.segments[0].duration_ps + timing.segments[1].duration_ps);
}

}  // namespace
}  // namespace glia::device
