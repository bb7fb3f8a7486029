#include "serialization/isa/validate.h"

#include <functional>
#include <random>

#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "serialization/isa/disassemble.h"
#include "serialization/isa/table.h"
#include "serialization/isa/testing/programs.h"
#include "serialization/testing/seed.h"

namespace glia::isa {
namespace {

using ::testing::HasSubstr;
using testing::kAcc;
using testing::kScratch;
using testing::kWTile;
using testing::kX;
using testing::kXTile;
using testing::kY;
using testing::kYTile;
using testing::MatmulProgram;
using testing::OnChip;
using testing::Stream;
using testing::Tile;

TEST(Validate, AcceptsTheSample) {
  EXPECT_TRUE(Validate(MatmulProgram()).ok()) << Validate(MatmulProgram());
}

TEST(Validate, NeedsASegment) {
  EXPECT_THAT(std::string(Validate(Program()).message()), HasSubstr("no segment"));
}

struct Case {
  const char* name;
  std::function<void(Program&)> change;
  const char* error;
};

Instruction& Mm(Program& p) { return Stream(p, Engine::kPe)[0]; }
Instruction& Relu(Program& p) { return Stream(p, Engine::kAct)[0]; }

Instruction Add(Program& p, Engine engine) {
  Instruction i;
  i.opcode = Opcode::kTensorTensor;
  i.op0 = AluOp::kAdd;
  i.dst = i.src0 = i.src1 = Tile(kScratch, 128, 64);
  Stream(p, engine).push_back(i);
  return i;
}
Instruction& LastDve(Program& p) { return Stream(p, Engine::kDve).back(); }

const Case kCases[] = {
    // Operands and accesses.
    {"missing", [](Program& p) { Mm(p).src1.var = UINT32_MAX; }, "src1 is missing"},
    {"superfluous", [](Program& p) { Mm(p).src2 = Tile(kXTile, 16, 1); }, "no such operand"},
    {"unknown_var", [](Program& p) { Mm(p).src0.var = 99; }, "src0 is variable 99"},
    {"hbm_operand", [](Program& p) { Mm(p).src0.var = kX; }, "none in SBUF or PSUM"},
    {"past_end", [](Program& p) { Mm(p).src0.offset = 4; }, "reaches bytes 4 to 132"},
    {"negative_stride", [](Program& p) { Mm(p).src0.stride[3] = -1; }, "reaches bytes -124"},
    {"partitions_beyond", [](Program& p) { Mm(p).src0.num_partitions = 17; },
     "takes 17 partitions"},
    {"no_partitions", [](Program& p) { Mm(p).src0.num_partitions = 0; }, "takes 0 partitions"},
    {"zero_size", [](Program& p) { Mm(p).src0.size[1] = 0; }, "size[1] 0"},
    {"misaligned",
     [](Program& p) {
       Mm(p).src0.offset = 2;
       Mm(p).src0.size[3] = 31;
     },
     "no multiple of the 4"},
    {"huge_repeat",
     [](Program& p) {
       for (auto& s : Mm(p).src1.size) s = 65535;
       Mm(p).src1.stride[3] = 0;
     },
     "elements a partition"},
    {"write_repeat", [](Program& p) { Relu(p).dst.stride[3] = 0; }, "stride 0"},
    {"element_count", [](Program& p) { Relu(p).src0.size[3] = 63; }, "src0 has 63 elements"},
    {"partition_count", [](Program& p) { Relu(p).src0.num_partitions = 31; },
     "src0 has 31 partitions"},
    {"bad_dtype", [](Program& p) { Relu(p).dst.dtype = static_cast<DType>(77); },
     "unknown dtype 77"},
    {"start_partition",
     [](Program& p) {
       Add(p, Engine::kDve);
       auto& d = LastDve(p).dst;
       d.partition = 16;
       d.num_partitions = 32;
     },
     "physical partition 16"},
    // PE.
    {"psum_source", [](Program& p) { Mm(p).src0 = Tile(kAcc, 16, 32); }, "src0 is in PSUM"},
    {"sbuf_result", [](Program& p) { Mm(p).dst = Tile(kYTile, 32, 64); }, "dst is in SBUF"},
    {"two_banks", [](Program& p) { p.variables[kAcc].address = 2048 - 128; },
     "spans PSUM banks 0 to 1"},
    {"mixed_fp32", [](Program& p) { Mm(p).src0.dtype = DType::kBf16; }, "f32 pairs with f32 only"},
    {"bf16_result", [](Program& p) { Mm(p).dst.dtype = DType::kBf16; }, "dst has dtype bf16"},
    {"k_differs", [](Program& p) { Mm(p).src0.num_partitions = 8; }, "partitions, must have 8"},
    {"wrong_engine", [](Program& p) { Stream(p, Engine::kDve).push_back(Mm(p)); },
     "does not run on DVE"},
    // POOL, DVE, ACT.
    {"pool_psum", [](Program& p) { Stream(p, Engine::kPool).push_back(Relu(p)); },
     "which POOL cannot access"},
    {"dve_two_psum",
     [](Program& p) {
       Add(p, Engine::kDve);
       auto& i = LastDve(p);
       i.dst = Tile(kYTile, 32, 64);
       i.src0 = i.src1 = Tile(kAcc, 32, 64);
     },
     "second tensor input in PSUM"},
    {"pool_only_op",
     [](Program& p) {
       Add(p, Engine::kDve);
       LastDve(p).op0 = AluOp::kFloorDivide;
     },
     "floor_divide does not run on DVE"},
    {"no_op",
     [](Program& p) {
       Add(p, Engine::kDve);
       LastDve(p).op0 = AluOp::kBypass;
     },
     "bypass is not allowed"},
    {"raw_float",
     [](Program& p) {
       Add(p, Engine::kDve);
       LastDve(p).op0 = AluOp::kAnd;
     },
     "works on integers"},
    {"unknown_op",
     [](Program& p) {
       Add(p, Engine::kDve);
       LastDve(p).op0 = static_cast<AluOp>(99);
     },
     "op0 99"},
    {"pool_only_fn", [](Program& p) { Relu(p).fn = ActFn::kFloor; }, "floor runs on POOL only"},
    {"unknown_fn", [](Program& p) { Relu(p).fn = static_cast<ActFn>(63); }, "fn 63 is unknown"},
    {"accumulate_without", [](Program& p) { Relu(p).flags = kAccumulate; }, "src3 is absent"},
    {"unused_field", [](Program& p) { Relu(p).op0 = AluOp::kAdd; }, "not used here"},
    {"unused_imm", [](Program& p) { Mm(p).imm_int = 1; }, "imm_int is not used here"},
    {"unknown_flag", [](Program& p) { Relu(p).flags = 128; }, "flags are 128"},
    {"unknown_opcode", [](Program& p) { Relu(p).opcode = static_cast<Opcode>(5000); },
     "opcode 5000"},
    {"debug_index", [](Program& p) { Relu(p).debug = 1; }, "debug 1"},
    {"reduce_dims",
     [](Program& p) {
       Add(p, Engine::kDve);
       auto& i = LastDve(p);
       i.opcode = Opcode::kTensorReduce;
       i.src1 = Operand();
       i.dims = 1;
     },
     "innermost dimensions has 1"},
    {"transpose32",
     [](Program& p) {
       Add(p, Engine::kDve);
       auto& i = LastDve(p);
       i.opcode = Opcode::kTranspose32;
       i.op0 = AluOp::kBypass;
       i.src1 = Operand();
       i.dst = i.src0 = Tile(kScratch, 128, 33);
     },
     "no multiple of 32"},
    // Semaphores, queues, transfers.
    {"semaphore_range", [](Program& p) { Mm(p).wait_semaphore = 256; }, "wait semaphore 256"},
    {"value_without", [](Program& p) { Relu(p).inc_value = 1; }, "no semaphore"},
    {"two_incrementers",
     [](Program& p) {
       Relu(p).inc_semaphore = 2;
       Relu(p).inc_value = 1;
     },
     "semaphore 2 is incremented by ACT and by PE"},
    {"engine_on_queue",
     [](Program& p) {
       Relu(p).inc_semaphore = 1;
       Relu(p).inc_value = 1;
     },
     "queue 1 'out'"},
    {"sum_overflow",
     [](Program& p) {
       Mm(p).inc_value = UINT32_MAX;
       auto again = Mm(p);
       Stream(p, Engine::kPe).push_back(again);
     },
     "passes 32 bits"},
    {"queue_issuer", [](Program& p) { p.dmas[2].queue = 0; }, "belongs to SP"},
    {"queue_on_pe", [](Program& p) { p.queues[0].issuer = Engine::kPe; }, "cannot start transfers"},
    {"queue_semaphore", [](Program& p) { Stream(p, Engine::kSp)[0].inc_semaphore = 7; },
     "that of queue 0 is 0"},
    {"queue_index", [](Program& p) { p.dmas[0].queue = 2; }, "queue 2"},
    {"descriptor_index", [](Program& p) { Stream(p, Engine::kSp)[0].dma = 3; }, "dma 3"},
    {"dma_past_end", [](Program& p) { p.dmas[0].src_offset = 1; }, "reaches bytes 1 to 2049"},
    {"dma_negative", [](Program& p) { p.dmas[0].dst_stride[4] = -4; }, "reaches bytes -2044"},
    {"dma_overflow", [](Program& p) { p.dmas[0].src_stride[4] = INT64_MAX; }, "which has 2048"},
    {"dma_offset", [](Program& p) { p.dmas[0].src_offset = UINT64_MAX; }, "which has 2048"},
    {"dma_huge",
     [](Program& p) {
       for (auto& s : p.dmas[0].size) s = UINT32_MAX;
     },
     "moves more than"},
    {"dma_zero", [](Program& p) { p.dmas[0].size[0] = 0; }, "size[0] is 0"},
    {"dma_element", [](Program& p) { p.dmas[0].element_bytes = 3; }, "element_bytes is 3"},
    {"dma_to_input",
     [](Program& p) {
       p.dmas[2].dst_var = kX;
       p.dmas[2].size[4] = 1;
     },
     "read-only"},
    {"dma_op_dtype", [](Program& p) { p.dmas[0].op = DmaOp::kAdd; }, "computes in dtype u8"},
    {"index_bound",
     [](Program& p) {
       auto& d = p.dmas[0];
       d.index_side = IndexSide::kSource;
       d.index_var = kX;
       d.index_bound = 513;
       d.index_stride = 4;
       d.src_stride[4] = 0;
     },
     "reaches bytes 0 to 2052"},
    {"index_variable",
     [](Program& p) {
       auto& d = p.dmas[0];
       d.index_side = IndexSide::kSource;
       d.index_var = kAcc;
       d.index_bound = 1;
     },
     "index variable"},
    // Variables and control.
    {"sbuf_full", [](Program& p) { p.variables[kXTile].address = 192 * 1024 - 64; }, "has 196608"},
    {"psum_full", [](Program& p) { p.variables[kAcc].address = 16 * 1024; }, "has 16384"},
    {"partition_range", [](Program& p) { p.variables[kXTile].partition = 113; }, "there are 128"},
    {"partition_overflow", [](Program& p) { p.variables[kXTile].partition = INT32_MAX; },
     "there are 128"},
    {"shape_bytes", [](Program& p) { p.variables[kX].shape = {3}; }, "make 12"},
    {"shape_overflow",
     [](Program& p) {
       p.variables[kX].shape = {INT64_MAX, 3};
     },
     "overflows"},
    {"file_name", [](Program& p) { p.variables[kX].file = "f"; }, "kind 'file' only"},
    {"scratch",
     [](Program& p) {
       auto& v = p.variables[kScratch];
       v.kind = VariableKind::kTmpBuf;
     },
     "scratch area"},
    {"alias", [](Program& p) { p.variables[kY].alias = kY; }, "no input variable"},
    {"alias_size", [](Program& p) { p.variables[kY].alias = kX; }, "its alias 0 has 2048"},
    {"same_name", [](Program& p) { p.variables.push_back(p.variables[kX]); }, "a second input"},
    {"jump",
     [](Program& p) {
       p.segments[0].terminator.kind = TerminatorKind::kJump;
       p.segments[0].terminator.target = 1;
     },
     "target 1"},
    {"branch_var",
     [](Program& p) {
       auto& t = p.segments[0].terminator;
       t.kind = TerminatorKind::kBranch;
       t.var = kXTile;
     },
     "no variable in HBM"},
    {"branch_offset",
     [](Program& p) {
       auto& t = p.segments[0].terminator;
       t.kind = TerminatorKind::kBranch;
       t.var = kY;
       t.offset = UINT64_MAX;
     },
     "exceeds the 8192 bytes"},
};

class ValidateError : public ::testing::TestWithParam<Case> {};
TEST_P(ValidateError, IsFound) {
  Program p = MatmulProgram();
  GetParam().change(p);
  const absl::Status status = Validate(p);
  EXPECT_EQ(status.code(), absl::StatusCode::kInvalidArgument);
  EXPECT_THAT(std::string(status.message()), HasSubstr(GetParam().error));
}
INSTANTIATE_TEST_SUITE_P(All, ValidateError, ::testing::ValuesIn(kCases),
                         [](const auto& info) { return info.param.name; });

TEST(Validate, ErrorNamesThePlace) {
  Program p = MatmulProgram();
  Stream(p, Engine::kAct)[0].src0.size[3] = 63;
  EXPECT_EQ(Validate(p).message(),
            "segment 0 ACT 0 activate: src0 has 63 elements a partition, must have 64 as the other "
            "operands");
}

TEST(Validate, PartitionStarts) {
  for (int start = 0; start < 128; ++start) {
    for (int count = 1; start + count <= 128; ++count) {
      Program p = MatmulProgram();
      Add(p, Engine::kDve);
      Instruction& i = LastDve(p);
      i.dst.partition = i.src0.partition = i.src1.partition = static_cast<uint8_t>(start);
      i.dst.num_partitions = i.src0.num_partitions = i.src1.num_partitions =
          static_cast<uint8_t>(count);
      const bool allowed = start == 0 || (count <= 64 && start == 64) ||
                           (count <= 32 && (start == 32 || start == 96));
      EXPECT_EQ(Validate(p).ok(), allowed) << start << " + " << count;
    }
  }
}

TEST(Validate, NegativeStridesWithinBounds) {
  Program p = MatmulProgram();
  Stream(p, Engine::kPe)[0].src0.stride[3] = -1;
  Stream(p, Engine::kPe)[0].src0.offset = 124;
  p.dmas[0].src_stride[4] = -4;
  p.dmas[0].src_offset = 2044;
  EXPECT_TRUE(Validate(p).ok()) << Validate(p);
}

TEST(Validate, IndirectTransferWithinBound) {
  Program p = MatmulProgram();
  DmaDescriptor& d = p.dmas[0];
  d.index_side = IndexSide::kSource;
  d.index_var = kWTile;
  d.index_bound = 16;
  d.index_stride = 128;
  d.size[0] = 16;
  d.size[4] = 32;
  d.dst_stride[0] = 128;
  EXPECT_TRUE(Validate(p).ok()) << Validate(p);
}

// Whatever bytes a program is made of: an answer, no crash, and text to show.
TEST(Validate, SurvivesRandomRecords) {
  const auto seed = static_cast<unsigned>(TestSeed());
  SCOPED_TRACE(seed);
  std::mt19937 random(seed);
  for (int round = 0; round < 20000; ++round) {
    Program p = MatmulProgram();
    auto& stream = Stream(p, static_cast<Engine>(random() % kEngines));
    if (stream.empty()) stream.emplace_back();
    for (int k = random() % 6; k >= 0; --k) {
      reinterpret_cast<uint8_t*>(stream.data())[random() % (stream.size() * sizeof(Instruction))] =
          random();
    }
    if (round % 4 == 0) {
      for (int k = random() % 6; k >= 0; --k) {
        reinterpret_cast<uint8_t*>(
            p.dmas.data())[random() % (p.dmas.size() * sizeof(DmaDescriptor))] = random();
      }
    }
    Validate(p).IgnoreError();
    EXPECT_FALSE(Disassemble(p).empty());
  }
}

TEST(Table, RowsAreComplete) {
  for (const InstructionInfo& info : AllInstructions()) {
    EXPECT_EQ(FindInstruction(info.opcode), &info) << info.name;
    EXPECT_NE(info.engines, 0) << info.name;
    EXPECT_EQ(info.operands[4].present(), info.src3 != Src3Rule::kNever) << info.name;
  }
  EXPECT_EQ(FindInstruction(static_cast<Opcode>(3)), nullptr);
  EXPECT_STREQ(FindActFn(ActFn::kSignInt)->name, "sign_int");
  EXPECT_EQ(FindActFn(static_cast<ActFn>(255)), nullptr);
}

}  // namespace
}  // namespace glia::isa
