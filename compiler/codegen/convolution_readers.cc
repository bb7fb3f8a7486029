#include "compiler/codegen/convolution_readers.h"

#include <algorithm>

#include "compiler/codegen/precision.h"
#include "compiler/codegen/reduce.h"

namespace glia::compiler {
namespace {

using hlo::Instruction;
using hlo::Opcode;

// Slices and concatenations between a value and what reads it: of groups of images.
constexpr int kMaxParts = 4;

bool AllRound(const Instruction& value, const CodegenOptions& options, int parts);

bool Rounds(const hlo::Use& use, const CodegenOptions& options, int parts) {
  const Instruction& user = *use.user;
  if (user.opcode() == Opcode::kConvolution) {
    return RoundsOperands(user, options) && user.operand(0)->shape.type == hlo::kF32 &&
           user.operand(0) != user.operand(1) && use.operand_index == 0;
  }
  if (user.opcode() == Opcode::kSlice || user.opcode() == Opcode::kConcatenate) {
    return parts < kMaxParts && AllRound(user, options, parts + 1);
  }
  if (user.opcode() != Opcode::kReduceWindow || user.operand_count() != 2) return false;
  const AluOp op = ClassifyReducer(*user.to_apply()).alu;
  return use.operand_index == 0 && op == AluOp::kMax && AllRound(user, options, parts + 1);
}

bool AllRound(const Instruction& value, const CodegenOptions& options, int parts) {
  if (options.auto_cast == AutoCast::kNone || value.IsRoot() || value.uses().empty()) return false;
  if (!value.shape.IsArray() || value.shape.type != hlo::kF32) return false;
  return std::all_of(value.uses().begin(), value.uses().end(),
                     [&](const hlo::Use& use) { return Rounds(use, options, parts); });
}

bool SomeRound(const Instruction& value, const CodegenOptions& options, int parts) {
  if (options.auto_cast == AutoCast::kNone || !value.shape.IsArray() ||
      value.shape.type != hlo::kF32) {
    return false;
  }
  return std::any_of(value.uses().begin(), value.uses().end(), [&](const hlo::Use& use) {
    const Opcode opcode = use.user->opcode();
    if (opcode == Opcode::kSlice || opcode == Opcode::kConcatenate) {
      return parts < kMaxParts && SomeRound(*use.user, options, parts + 1);
    }
    return opcode == Opcode::kConvolution && Rounds(use, options, parts);
  });
}

const Instruction* FindConvolution(const Instruction& value, int parts) {
  for (const hlo::Use& use : value.uses()) {
    const Opcode opcode = use.user->opcode();
    if (opcode == Opcode::kConvolution && use.operand_index == 0) return use.user;
    if (parts == kMaxParts || (opcode != Opcode::kSlice && opcode != Opcode::kConcatenate)) {
      continue;
    }
    const Instruction* found = FindConvolution(*use.user, parts + 1);
    if (found != nullptr) return found;
  }
  return nullptr;
}

}  // namespace

const Instruction* ConvolutionOf(const Instruction& value) { return FindConvolution(value, 0); }

bool OnlyRounded(const Instruction& value, const CodegenOptions& options) {
  return AllRound(value, options, 0);
}

bool SomeRounded(const Instruction& value, const CodegenOptions& options) {
  return SomeRound(value, options, 0);
}

}  // namespace glia::compiler
