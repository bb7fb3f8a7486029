// Every check of the interpreter fires, and says where.
#include <string>
#include <vector>

#include "device_sim/testing/program_builder.h"
#include "device_sim/testing/run_interpreter.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace glia::device {
namespace {

using isa::AluOp;
using isa::DType;
using isa::Engine;
using isa::Instruction;
using isa::Opcode;
using isa::Operand;
using ::testing::AllOf;
using ::testing::HasSubstr;

absl::Status Outcome(ProgramBuilder* b) { return Interpret(b).status(); }

TEST(Checks, UninitialisedSbuf) {
  ProgramBuilder b;
  const Operand x = b.SbufTile(2, 4);
  const Operand y = b.Output(2, 4);
  Instruction fill = Make(Opcode::kMemset, Pattern(x, {3}, {1}));
  b.Do(Engine::kDve, fill);
  b.Do(Engine::kDve, Make(Opcode::kTensorCopy, y, x));
  const absl::Status s = Outcome(&b);
  EXPECT_EQ(s.code(), absl::StatusCode::kInternal);
  EXPECT_THAT(std::string(s.message()),
              AllOf(HasSubstr("segment 0, DVE instruction 1"), HasSubstr("tensor_copy"),
                    HasSubstr("src0 reads what was never written: partition 0, element 3 (byte 12")));
}

TEST(Checks, UninitialisedBytesOfAnElement) {
  ProgramBuilder b;
  const Operand x = b.SbufTile(1, 2);
  const Operand y = b.Output(1, 1);
  Operand half = Pattern(x, {1}, {1});
  half.dtype = DType::kU16;
  b.Do(Engine::kDve, Make(Opcode::kMemset, half));
  b.Do(Engine::kDve, Make(Opcode::kTensorCopy, y, Pattern(x, {1}, {1})));
  EXPECT_THAT(std::string(Outcome(&b).message()), HasSubstr("(byte 2 "));
}

TEST(Checks, UninitialisedScratchInATransfer) {
  ProgramBuilder b;
  const uint32_t scratch = b.Scratch("t", 16);
  const Operand y = b.Output(1, 4);
  b.Copy(y.var, scratch);
  EXPECT_THAT(std::string(Outcome(&b).message()), HasSubstr("reads what was never written: byte 0 of 't'"));
}

TEST(Checks, OutputNotWhollyWritten) {
  ProgramBuilder b;
  b.Hbm(isa::VariableKind::kOutput, "half", DType::kF32, {2});
  EXPECT_THAT(std::string(Outcome(&b).message()), HasSubstr("output 'half' is not wholly written"));
}

TEST(Checks, StateDoesNotSurviveARun) {
  ProgramBuilder b;
  const Operand x = b.SbufTile(1, 1);
  const Operand y = b.Output(1, 1);
  // Reads before it writes: only a second run could find a value.
  b.Do(Engine::kDve, Make(Opcode::kTensorCopy, y, x));
  b.Do(Engine::kDve, Make(Opcode::kMemset, x));
  const isa::Program program = b.Build();
  auto executor = MakeInterpreter(program, ComputeTiming(program));
  ASSERT_TRUE(executor.ok());
  for (int run = 0; run < 2; ++run) {
    EXPECT_EQ(RunOnce(program, executor->get(), {}).status().code(), absl::StatusCode::kInternal);
  }
}

TEST(Checks, AccumulationOntoNothingOrSomethingElse) {
  for (const bool written : {false, true}) {
    ProgramBuilder b;
    const Operand w = b.Input({{1}});
    const Operand acc = b.PsumTile(1, 1);
    if (written) b.Do(Engine::kDve, Make(Opcode::kMemset, acc));
    Instruction mm = Make(Opcode::kMatmul, acc, w, w);
    mm.flags = isa::kAccumulate;
    b.Do(Engine::kPe, mm);
    EXPECT_THAT(std::string(Outcome(&b).message()),
                HasSubstr(written ? "accumulates onto what no matmul wrote" : "never written"));
  }
}

TEST(Checks, PartialOverlapOfDstAndSrc) {
  ProgramBuilder b;
  const Operand x = b.Input({{1, 2, 3, 4}});
  b.Do(Engine::kDve, Make(Opcode::kTensorCopy, Pattern(x, {3}, {1}, 1), Pattern(x, {3}, {1})));
  const absl::Status s = Outcome(&b);
  EXPECT_EQ(s.code(), absl::StatusCode::kInvalidArgument);
  EXPECT_THAT(std::string(s.message()), HasSubstr("dst and src0 overlap"));
}

TEST(Checks, InterleavedDstAndSrcDoNotOverlap) {
  ProgramBuilder b;
  const Operand x = b.Input({{1, 2, 3, 4}});
  const Operand y = b.Output(1, 4);
  b.Do(Engine::kDve, Make(Opcode::kTensorCopy, Pattern(x, {2}, {2}, 1), Pattern(x, {2}, {2})));
  b.Do(Engine::kDve, Make(Opcode::kTensorCopy, y, x));
  auto outputs = Interpret(&b);
  ASSERT_TRUE(outputs.ok()) << outputs.status();
  EXPECT_EQ(As<float>((*outputs)[0]), (std::vector<float>{1, 1, 3, 3}));
}

TEST(Checks, InPlaceWhereElementsMatch) {
  ProgramBuilder b;
  const Operand x = b.Input({{1, 2}, {3, 4}});
  const Operand y = b.Output(2, 2);
  Instruction i = Make(Opcode::kTensorTensor, x, x, x);
  i.op0 = AluOp::kAdd;
  b.Do(Engine::kDve, i);
  b.Do(Engine::kDve, Make(Opcode::kTensorCopy, y, x));
  auto outputs = Interpret(&b);
  ASSERT_TRUE(outputs.ok()) << outputs.status();
  EXPECT_EQ(As<float>((*outputs)[0]), (std::vector<float>{2, 4, 6, 8}));
}

TEST(Checks, DstThatNamesAnElementTwice) {
  ProgramBuilder b;
  const Operand x = b.SbufTile(1, 8);
  b.Do(Engine::kDve, Make(Opcode::kMemset, Pattern(x, {3, 3}, {1, 2})));
  EXPECT_THAT(std::string(Outcome(&b).message()), HasSubstr("dst names an element twice"));
}

TEST(Checks, TransferOntoItself) {
  ProgramBuilder b;
  const Operand x = b.Input({{1, 2, 3, 4}});
  isa::DmaDescriptor d;
  d.dst_var = d.src_var = x.var;
  d.dst_offset = 4;
  d.size[4] = 12;
  d.dst_stride[4] = d.src_stride[4] = 1;
  b.Transfer(d);
  EXPECT_THAT(std::string(Outcome(&b).message()), HasSubstr("reads bytes that it writes"));
}

TEST(Checks, ReduceInPlaceIsRefused) {
  ProgramBuilder b;
  const Operand x = b.Input({{1, 2}});
  Instruction i = Make(Opcode::kTensorReduce, Pattern(x, {1}, {1}), x);
  i.op0 = AluOp::kAdd;
  i.dims = 1;
  b.Do(Engine::kDve, i);
  EXPECT_THAT(std::string(Outcome(&b).message()), HasSubstr("overlap"));
}

TEST(Checks, AliasedOutputHoldsTheInput) {
  ProgramBuilder b;
  const Operand x = b.Input({{1, 2}});
  const uint32_t y = b.Hbm(isa::VariableKind::kOutput, "y", DType::kF32, {2});
  b.variable(y).alias = 0;
  isa::DmaDescriptor d;
  d.dst_var = y;
  d.src_var = x.var;
  d.element_bytes = 4;
  d.dst_offset = 4;
  b.Transfer(d);
  auto outputs = Interpret(&b);
  ASSERT_TRUE(outputs.ok()) << outputs.status();
  EXPECT_EQ(As<float>((*outputs)[0]), (std::vector<float>{1, 1}));
}

TEST(Checks, BranchOnWhatWasNeverWritten) {
  ProgramBuilder b;
  const uint32_t c = b.Scratch("c", 1);
  isa::Terminator t;
  t.kind = isa::TerminatorKind::kBranch;
  t.var = c;
  t.target = 1;
  t.otherwise = 1;
  b.EndSegment(t);
  EXPECT_THAT(std::string(Outcome(&b).message()), HasSubstr("the branch reads 'c'"));
}

TEST(Checks, MissingBinding) {
  ProgramBuilder b;
  b.Input({{1.0f}});
  const isa::Program program = b.Build();
  auto executor = MakeInterpreter(program, ComputeTiming(program));
  ASSERT_TRUE(executor.ok());
  const std::vector<uint8_t*> none(program.variables.size(), nullptr);
  EXPECT_EQ((*executor)->Run(none).status().code(), absl::StatusCode::kInvalidArgument);
  EXPECT_EQ((*executor)->Run({}).status().code(), absl::StatusCode::kInvalidArgument);
}

}  // namespace
}  // namespace glia::device
