#include "serialization/isa/cost.h"

#include "gtest/gtest.h"
#include "serialization/isa/disassemble.h"
#include "serialization/isa/encode.h"
#include "serialization/isa/testing/programs.h"
#include "serialization/isa/validate.h"

namespace glia::isa {
namespace {

using namespace testing;  // NOLINT: the sample programs

TEST(Cost, ClocksRoundUpWholeInstructions) {
  EXPECT_EQ(CyclesToPs(Engine::kPe, 7), 2500);
  EXPECT_EQ(CyclesToPs(Engine::kPe, 1), 358);
  EXPECT_EQ(CyclesToPs(Engine::kDve, 112), 100'000);
  EXPECT_EQ(CyclesToPs(Engine::kAct, 0), 0);
}

TEST(Cost, MatmulsStreamAndHideLoads) {
  const Program p = MatmulProgram();
  Instruction mm = p.segments[0].streams[0][0];
  EngineState state;
  const InstructionCost first = CostOf(p, Engine::kPe, mm, &state);
  const int64_t stream = CyclesToPs(Engine::kPe, 64 * 4);
  EXPECT_EQ(first.occupancy_ps, cost::kPeLoadLatencyPs + stream);
  EXPECT_EQ(first.latency_ps, cost::kPeLoadLatencyPs + cost::kPePipelinePs + stream);
  EXPECT_EQ(CostOf(p, Engine::kPe, mm, &state).occupancy_ps,
            stream);  // the same stationary operand
  mm.flags = kExactOneZero;
  EXPECT_EQ(CostOf(p, Engine::kPe, mm, &state).occupancy_ps, CyclesToPs(Engine::kPe, 64 * 2));
  mm.src0.size[3] = 16;  // another one, loaded behind the previous product
  mm.dst.num_partitions = 16;
  EXPECT_EQ(CostOf(p, Engine::kPe, mm, &state).occupancy_ps, CyclesToPs(Engine::kPe, 64 * 2));
}

TEST(Cost, ActSwitchesTables) {
  const Program p = MatmulProgram();
  Instruction i = p.segments[0].streams[1][0];
  EngineState state;
  const int64_t relu = CostOf(p, Engine::kAct, i, &state).occupancy_ps;
  EXPECT_EQ(relu, CyclesToPs(Engine::kAct, 64));
  i.fn = ActFn::kExp;
  EXPECT_EQ(CostOf(p, Engine::kAct, i, &state).occupancy_ps, relu + cost::kActTableSwitchPs);
  i.fn = ActFn::kTanh;
  EXPECT_EQ(CostOf(p, Engine::kAct, i, &state).occupancy_ps, relu);
  i.fn = ActFn::kGelu;
  EXPECT_EQ(CostOf(p, Engine::kAct, i, &state).occupancy_ps, relu + cost::kActTableSwitchPs);
  i.fn = ActFn::kCopy;
  i.dst.size[3] = i.src0.size[3] = 1;
  EXPECT_EQ(CostOf(p, Engine::kAct, i, &state).latency_ps,
            cost::kActPipelinePs + CyclesToPs(Engine::kAct, 1));  // 159 ns
}

TEST(Cost, DveCountsInputsAndStrides) {
  const Program p = MatmulProgram();
  EngineState state;
  Instruction i;
  i.opcode = Opcode::kTensorCopy;
  i.dst = i.src0 = Tile(kScratch, 128, 100);
  EXPECT_EQ(CostOf(p, Engine::kDve, i, &state).occupancy_ps, CyclesToPs(Engine::kDve, 100));
  i.src0.stride[3] = 4;  // 16 bytes: still full speed
  EXPECT_EQ(CostOf(p, Engine::kDve, i, &state).occupancy_ps, CyclesToPs(Engine::kDve, 100));
  i.src0.stride[3] = 5;
  EXPECT_EQ(CostOf(p, Engine::kDve, i, &state).occupancy_ps, CyclesToPs(Engine::kDve, 200));
  i.opcode = Opcode::kTensorTensor;
  i.src0.stride[3] = 1;
  i.src1 = i.src0;
  EXPECT_EQ(CostOf(p, Engine::kDve, i, &state).occupancy_ps, CyclesToPs(Engine::kDve, 200));
  EXPECT_EQ(CostOf(p, Engine::kPool, i, &state).occupancy_ps, CyclesToPs(Engine::kPool, 250));
  i.opcode = Opcode::kReciprocal;
  i.src1 = Operand();
  EXPECT_EQ(CostOf(p, Engine::kDve, i, &state).occupancy_ps, CyclesToPs(Engine::kDve, 800));
}

TEST(Cost, DmaRowsMergeAndStayInPartitions) {
  const Program p = MatmulProgram();
  DmaShape shape = DmaRowStructure(p, p.dmas[0]);  // 2048 contiguous bytes to 16 partitions of 128
  EXPECT_EQ(shape.bytes, 2048);
  EXPECT_EQ(shape.src.rows, 1);
  EXPECT_EQ(shape.src.row_bytes, 2048);
  EXPECT_EQ(shape.dst.rows, 16);
  EXPECT_EQ(shape.dst.row_bytes, 128);
  EXPECT_EQ(DmaCostOf(p, p.dmas[0]).duration_ps, cost::kDmaRowMinPs);
  EXPECT_EQ(DmaCostOf(p, p.dmas[0]).hbm_read_bytes, 2048);
  EXPECT_EQ(DmaCostOf(p, p.dmas[0]).hbm_write_bytes, 0);

  DmaDescriptor transposed = p.dmas[0];  // element by element
  transposed.size[3] = 16;
  transposed.size[4] = 32;
  transposed.src_stride[3] = 4;
  transposed.src_stride[4] = 64;
  transposed.dst_stride[3] = 128;
  shape = DmaRowStructure(p, transposed);
  EXPECT_EQ(shape.src.rows, 512);
  EXPECT_EQ(shape.dst.rows, 16);
  EXPECT_EQ(DmaCostOf(p, transposed).duration_ps, 512 / 16 * cost::kDmaRowMinPs);
}

TEST(Cost, LargeTransfersReachTheBandwidth) {
  Program p;
  p.variables = {Hbm(VariableKind::kInput, "a", {1 << 20}),
                 Hbm(VariableKind::kOutput, "b", {1 << 20})};
  const DmaCost cost = DmaCostOf(p, Copy(1, 0, 4 << 20));
  const int64_t ideal = (int64_t{4} << 20) * 1000 / cost::kHbmBytesPerNs;
  EXPECT_GE(cost.duration_ps, ideal);
  EXPECT_LE(cost.duration_ps, ideal + ideal / 100);
}

TEST(Disassemble, ReadsWell) {
  const Program p = MatmulProgram();
  EXPECT_EQ(DisassembleInstruction(p, p.segments[0].streams[0][0]),
            "matmul  acc[0:32 f32 +0 64:1] = x_tile[0:16 f32 +0 32:1], w_tile[0:16 f32 +0 64:1]  "
            "wait s0>=32  "
            "inc s2+1  ; dot.1 aten::mm model.py:7");
  EXPECT_EQ(DisassembleDma(p, p.dmas[0]), "q0 copy x_tile[0 512:4] = x[0 512:4] x4");
  EXPECT_NE(Disassemble(p).find("queue 1 out: ACT s1"), std::string::npos);
}

TEST(Encode, RoundTripsAndChecksSizes) {
  const Program p = MatmulProgram();
  const auto& stream = p.segments[0].streams[4];
  const absl::string_view bytes = EncodedInstructions(stream);
  const auto decoded = DecodeInstructions(bytes);
  ASSERT_TRUE(decoded.ok());
  EXPECT_EQ(EncodedInstructions(*decoded), bytes);
  EXPECT_EQ(DecodeInstructions(bytes.substr(1)).status().code(), absl::StatusCode::kDataLoss);
  EXPECT_TRUE(DecodeDmas("")->empty());
  EXPECT_EQ(DecodeDmas(EncodedDmas(p.dmas))->size(), 3u);
}

}  // namespace
}  // namespace glia::isa
