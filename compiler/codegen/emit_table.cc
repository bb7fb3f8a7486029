#include <array>

#include "compiler/codegen/emitters.h"

namespace glia::compiler {
namespace {

using hlo::Opcode;

struct Row {
  Opcode opcode;
  EmitFn emit;
};

constexpr Row kEmitters[] = {
    {Opcode::kBitcast, EmitView},
    {Opcode::kBroadcast, EmitView},
    {Opcode::kReshape, EmitView},
    {Opcode::kReverse, EmitView},
    {Opcode::kSlice, EmitView},
    {Opcode::kTranspose, EmitView},
    {Opcode::kCopy, EmitForward},
    {Opcode::kConcatenate, EmitConcatenate},
    {Opcode::kPad, EmitPad},
    {Opcode::kIota, EmitIota},
    {Opcode::kBitcastConvert, EmitBitcastConvert},
    {Opcode::kConstant, EmitConstant},
    {Opcode::kTuple, EmitTuple},
    {Opcode::kGetTupleElement, EmitGetTupleElement},
    {Opcode::kOptimizationBarrier, EmitForward},
    {Opcode::kReduce, EmitReduce},
    {Opcode::kDot, EmitDot},
    {Opcode::kConvolution, EmitConvolution},
    {Opcode::kGather, EmitGather},
    {Opcode::kDynamicSlice, EmitDynamicSlice},
    {Opcode::kDynamicUpdateSlice, EmitDynamicUpdateSlice},
    {Opcode::kScatter, EmitScatter},
    {Opcode::kReduceWindow, EmitReduceWindow},
    {Opcode::kSelectAndScatter, EmitSelectAndScatter},
    {Opcode::kSort, EmitSort},
    {Opcode::kTopK, EmitTopK},
    {Opcode::kCall, EmitCall},
    {Opcode::kFusion, EmitCall},
    {Opcode::kWhile, EmitWhile},
    {Opcode::kConditional, EmitConditional},
    {Opcode::kMap, EmitMap},
    {Opcode::kCustomCall, EmitCustomCall},
};

std::array<EmitFn, hlo::kOpcodeCount> MakeTable() {
  std::array<EmitFn, hlo::kOpcodeCount> table = {};
  for (const Row& row : kEmitters) table[static_cast<size_t>(row.opcode)] = row.emit;
  return table;
}

}  // namespace

EmitFn FindEmitter(Opcode opcode) {
  static const std::array<EmitFn, hlo::kOpcodeCount> table = MakeTable();
  return table[static_cast<size_t>(opcode)];
}

}  // namespace glia::compiler
