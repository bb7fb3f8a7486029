#include <algorithm>
#include <utility>

#include "absl/strings/str_cat.h"
#include "compiler/passes/passes.h"
#include "compiler/passes/rewrite.h"
#include "serialization/hlo/evaluator.h"

namespace glia::compiler {
namespace {

using hlo::Instruction;
using hlo::Literal;
using hlo::Opcode;

// Multiplications that folding one instruction may take: a fraction of a second.
constexpr double kMaxFoldedWork = 1 << 27;

bool IsConstantLike(const Instruction& instr) {
  switch (instr.opcode()) {
    case Opcode::kConstant:
      return instr.literal != nullptr;
    case Opcode::kIota:
      return true;
    case Opcode::kBroadcast:
      return IsConstantLike(*instr.operand(0));
    default:
      return false;
  }
}

// Movements that code generation takes for nothing, where the operand is a repeated value anyway.
bool IsKept(const Instruction& instr) {
  switch (instr.opcode()) {
    case Opcode::kConstant:
    case Opcode::kParameter:
    case Opcode::kIota:
    case Opcode::kBroadcast:
    case Opcode::kTuple:
    case Opcode::kGetTupleElement:
    case Opcode::kOptimizationBarrier:
    case Opcode::kRng:
    case Opcode::kCustomCall:
    case Opcode::kWhile:  // may never end
      return true;
    default:
      return instr.HasSideEffectTransitively();
  }
}

double Elements(const hlo::Shape& shape) {
  if (!shape.IsTuple()) return static_cast<double>(shape.elements());
  double sum = 0;
  for (const hlo::Shape& element : shape.tuple) sum += Elements(element);
  return sum;
}

// An estimate of the evaluator's inner loop.
double Work(const Instruction& instr) {
  double inputs = 0;
  for (const Instruction* operand : instr.operands()) inputs += Elements(operand->shape);
  const double outputs = Elements(instr.shape);
  double window = 1;
  for (const hlo::WindowDim& dim : instr.window) window *= static_cast<double>(dim.size);
  switch (instr.opcode()) {
    case Opcode::kDot: {
      double depth = 1;
      for (int64_t d : instr.dot_dims.lhs_contracting) {
        depth *= static_cast<double>(instr.operand(0)->shape.dim(d));
      }
      return outputs * depth;
    }
    case Opcode::kConvolution:
      return outputs * window *
             static_cast<double>(instr.operand(1)->shape.dim(instr.conv_dims.kernel_input_feature));
    case Opcode::kReduceWindow:
    case Opcode::kSelectAndScatter:
      return outputs * window * 10;
    case Opcode::kSort:
    case Opcode::kTopK:
      return inputs * 200;
    case Opcode::kReduce:
    case Opcode::kMap:
    case Opcode::kScatter:
      return (inputs + outputs) * 10;
    default:
      return inputs + outputs;
  }
}

bool IsWorthwhile(const Instruction& instr) {
  const int64_t bytes = instr.shape.bytes();
  int64_t replaced = 0;  // constants that the result may stand for
  for (const Instruction* operand : instr.operands()) {
    if (operand->opcode() == Opcode::kConstant) replaced += operand->shape.bytes();
  }
  // A conversion of weights may grow them.
  if (instr.opcode() == Opcode::kConvert) replaced = std::max(replaced, replaced == 0 ? 0 : bytes);
  return bytes <= std::max(kMaxFoldedBytes, replaced) && Work(instr) <= kMaxFoldedWork;
}

absl::StatusOr<Literal> Materialize(const Instruction& instr) {
  std::vector<Literal> operands;
  for (const Instruction* operand : instr.operands()) {
    absl::StatusOr<Literal> value = Materialize(*operand);
    if (!value.ok()) return value;
    operands.push_back(*std::move(value));
  }
  return hlo::EvaluateInstruction(instr, operands);
}

}  // namespace

absl::StatusOr<bool> FoldConstants(hlo::Module* module) {
  absl::Status status;
  const bool changed = RewriteInstructions(module, [&](Instruction* instr) -> Instruction* {
    Rewriter rewriter(*instr);
    if (instr->opcode() == Opcode::kConstant) {
      if (instr->shape.IsTuple()) return rewriter.Constant(instr->constant());
      if (instr->shape.elements() <= 1 || !instr->constant().IsSplat()) return nullptr;
      const Literal scalar =
          Literal::FromBytes(hlo::Shape(instr->shape.type, {}), instr->constant().raw());
      return rewriter.Fill(rewriter.Constant(scalar), instr->shape.dims);
    }
    if (IsKept(*instr)) return nullptr;
    for (const Instruction* operand : instr->operands()) {
      if (!IsConstantLike(*operand)) return nullptr;
    }
    if (!IsWorthwhile(*instr)) return nullptr;
    absl::StatusOr<Literal> value = Materialize(*instr);
    if (!value.ok()) {
      // What the reference does not define stays for the code generator to refuse.
      if (value.status().code() != absl::StatusCode::kUnimplemented && status.ok()) {
        status = absl::Status(value.status().code(), absl::StrCat("folding ", instr->name(), ": ",
                                                                  value.status().message()));
      }
      return nullptr;
    }
    return rewriter.Constant(*std::move(value));
  });
  if (!status.ok()) return status;
  return changed;
}

}  // namespace glia::compiler
