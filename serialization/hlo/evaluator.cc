#include "serialization/hlo/evaluator.h"

#include <utility>

#include "absl/container/flat_hash_map.h"
#include "absl/strings/str_cat.h"
#include "serialization/hlo/evaluator_internal.h"

namespace glia::hlo {
namespace evaluator {
namespace {

absl::StatusOr<Literal> Constant(const Instruction& instr, Operands /*operands*/) {
  if (instr.literal == nullptr) {
    return absl::InvalidArgumentError(absl::StrCat("constant ", instr.name(), " has no value"));
  }
  return instr.constant();
}

absl::StatusOr<Literal> Parameter(const Instruction& instr, Operands /*operands*/) {
  return absl::InvalidArgumentError(
      absl::StrCat("parameter ", instr.name(), " has no value outside of its computation"));
}

absl::StatusOr<Literal> Identity(const Instruction& /*instr*/, Operands operands) {
  return operands[0];
}

absl::StatusOr<Literal> Tuple(const Instruction& /*instr*/, Operands operands) {
  return Literal::Tuple({operands.begin(), operands.end()});
}

absl::StatusOr<Literal> GetTupleElement(const Instruction& instr, Operands operands) {
  return operands[0].tuple()[static_cast<size_t>(instr.tuple_index)];
}

absl::StatusOr<Literal> Call(const Instruction& instr, Operands operands) {
  return Evaluate(*instr.to_apply(), operands);
}

absl::StatusOr<Literal> While(const Instruction& instr, Operands operands) {
  Literal state = operands[0];
  while (true) {
    absl::StatusOr<Literal> more = Evaluate(*instr.while_condition(), absl::MakeSpan(&state, 1));
    if (!more.ok()) return more.status();
    if (more->GetAsInt64(0) == 0) return state;
    absl::StatusOr<Literal> next = Evaluate(*instr.while_body(), absl::MakeSpan(&state, 1));
    if (!next.ok()) return next.status();
    state = *std::move(next);
  }
}

absl::StatusOr<Literal> Conditional(const Instruction& instr, Operands operands) {
  const int64_t branches = static_cast<int64_t>(instr.called.size());
  int64_t branch = operands[0].GetAsInt64(0);
  if (operands[0].shape().type == kPred) {
    branch = branch != 0 ? 0 : 1;
  } else if (branch < 0 || branch >= branches) {
    branch = branches - 1;
  }
  const size_t index = static_cast<size_t>(branch);
  return Evaluate(*instr.called[index], operands.subspan(index + 1, 1));
}

absl::StatusOr<Literal> CustomCall(const Instruction& instr, Operands /*operands*/) {
  return absl::UnimplementedError(absl::StrCat("custom-call ", instr.name(), " to \"",
                                               instr.custom_call_target, "\" cannot be evaluated"));
}

// Instructions that are not element-wise, which are all handled by Elementwise.
Evaluator FindEvaluator(Opcode opcode) {
  static const auto* const table = new absl::flat_hash_map<Opcode, Evaluator>{
      {Opcode::kBitcastConvert, BitcastConvert},
      {Opcode::kBitcast, Bitcast},
      {Opcode::kBroadcast, Broadcast},
      {Opcode::kConcatenate, Concatenate},
      {Opcode::kDynamicSlice, DynamicSlice},
      {Opcode::kDynamicUpdateSlice, DynamicUpdateSlice},
      {Opcode::kGather, Gather},
      {Opcode::kPad, Pad},
      {Opcode::kReshape, Reshape},
      {Opcode::kReverse, Reverse},
      {Opcode::kSlice, Slice},
      {Opcode::kTranspose, Transpose},
      {Opcode::kBatchNormInference, BatchNormInference},
      {Opcode::kConvolution, Convolution},
      {Opcode::kDot, Dot},
      {Opcode::kMap, Map},
      {Opcode::kReduce, Reduce},
      {Opcode::kReduceWindow, ReduceWindow},
      {Opcode::kScatter, Scatter},
      {Opcode::kSelectAndScatter, SelectAndScatter},
      {Opcode::kSort, Sort},
      {Opcode::kTopK, TopK},
      {Opcode::kConstant, Constant},
      {Opcode::kIota, Iota},
      {Opcode::kParameter, Parameter},
      {Opcode::kRng, Rng},
      {Opcode::kRngBitGenerator, RngBitGenerator},
      {Opcode::kCall, Call},
      {Opcode::kConditional, Conditional},
      {Opcode::kCustomCall, CustomCall},
      {Opcode::kFusion, Call},
      {Opcode::kGetTupleElement, GetTupleElement},
      {Opcode::kOptimizationBarrier, Identity},
      {Opcode::kTuple, Tuple},
      {Opcode::kWhile, While},
  };
  auto it = table->find(opcode);
  return it != table->end() ? it->second : Elementwise;
}

}  // namespace
}  // namespace evaluator

absl::StatusOr<Literal> EvaluateInstruction(const Instruction& instruction,
                                            absl::Span<const Literal> operands) {
  if (static_cast<int64_t>(operands.size()) != instruction.operand_count()) {
    return absl::InvalidArgumentError(absl::StrCat(instruction.name(), " takes ",
                                                   instruction.operand_count(), " operands, got ",
                                                   operands.size()));
  }
  return evaluator::FindEvaluator(instruction.opcode())(instruction, operands);
}

absl::StatusOr<Literal> Evaluate(const Computation& computation, absl::Span<const Literal> args) {
  if (static_cast<int64_t>(args.size()) != computation.parameter_count()) {
    return absl::InvalidArgumentError(absl::StrCat(computation.name(), " takes ",
                                                   computation.parameter_count(),
                                                   " arguments, got ", args.size()));
  }
  struct Value {
    Literal literal;
    size_t uses_left = 0;  // operand slots that have yet to read it; then its memory is given back
  };
  absl::flat_hash_map<const Instruction*, Value> values;
  const std::vector<Instruction*> order = computation.PostOrder();
  values.reserve(order.size());
  std::vector<Literal> operands;
  for (const Instruction* instr : order) {
    Value value;
    value.uses_left = instr->uses().size() + (instr->IsRoot() ? 1 : 0);
    if (instr->opcode() == Opcode::kParameter) {
      value.literal = args[static_cast<size_t>(instr->parameter_number)];
      if (!Compatible(value.literal.shape(), instr->shape)) {
        return absl::InvalidArgumentError(absl::StrCat(
            "argument ", instr->parameter_number, " of ", computation.name(), " has shape ",
            value.literal.shape().ToString(), ", expected ", instr->shape.ToString()));
      }
    } else {
      operands.clear();
      for (const Instruction* operand : instr->operands()) {
        Value& source = values.find(operand)->second;
        if (--source.uses_left == 0) {
          operands.push_back(std::move(source.literal));
        } else {
          operands.push_back(source.literal);
        }
      }
      absl::StatusOr<Literal> result = EvaluateInstruction(*instr, operands);
      if (!result.ok()) return result.status();
      value.literal = *std::move(result);
    }
    if (value.uses_left > 0) values.emplace(instr, std::move(value));
  }
  return std::move(values.find(computation.root())->second.literal);
}

absl::StatusOr<Literal> Evaluate(const Module& module, absl::Span<const Literal> args) {
  if (module.entry() == nullptr)
    return absl::InvalidArgumentError("the module has no entry computation");
  return Evaluate(*module.entry(), args);
}

}  // namespace glia::hlo
