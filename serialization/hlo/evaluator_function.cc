// ScalarFunction: a computation over scalars, flattened to a list of element-wise steps.
#include <cstring>
#include <utility>

#include "absl/container/flat_hash_map.h"
#include "serialization/hlo/evaluator.h"
#include "serialization/hlo/evaluator_lanes.h"

namespace glia::hlo::evaluator {
namespace {

void FlatTypes(const Shape& shape, std::vector<PrimitiveType>* types) {
  if (!shape.IsTuple()) return types->push_back(shape.type);
  for (const Shape& element : shape.tuple) FlatTypes(element, types);
}

void Fill(const Literal& scalar, Lanes* lanes) {
  Load(scalar.raw(), scalar.shape().type, /*start=*/0, /*stride=*/0, kLanes, lanes);
}

void FlatLiterals(const Literal& literal, std::vector<Literal>* flat) {
  if (!literal.shape().IsTuple()) return flat->push_back(literal);
  for (const Literal& element : literal.tuple()) FlatLiterals(element, flat);
}

}  // namespace

ScalarFunction::ScalarFunction(const Computation& computation) : computation_(computation) {
  FlatTypes(computation.root()->shape, &result_types_);
  std::vector<std::vector<int>> args;
  for (const Instruction* parameter : computation.parameters()) {
    parameters_.push_back(NewBlock(parameter->shape.type));
    args.push_back({parameters_.back()});
  }
  compiled_ = Compile(computation, args, &results_);
}

int ScalarFunction::NewBlock(PrimitiveType type) {
  blocks_.push_back(std::make_unique<Lanes>());
  blocks_.back()->type = type;
  return static_cast<int>(blocks_.size()) - 1;
}

bool ScalarFunction::Compile(const Computation& computation,
                             const std::vector<std::vector<int>>& args, std::vector<int>* results) {
  // The blocks that hold each instruction's value: one, or those of a tuple's elements.
  absl::flat_hash_map<const Instruction*, std::vector<int>> values;
  for (const Instruction* instr : computation.PostOrder()) {
    if (!instr->shape.IsTuple() && !instr->shape.IsScalar()) return false;
    std::vector<int>& value = values[instr];
    std::vector<std::vector<int>> operands;
    for (const Instruction* operand : instr->operands()) operands.push_back(values[operand]);
    switch (instr->opcode()) {
      case Opcode::kParameter:
        value = args[instr->parameter_number];
        break;
      case Opcode::kConstant:
        if (instr->shape.IsTuple()) return false;
        value = {NewBlock(instr->shape.type)};
        Fill(instr->constant(), blocks_[value[0]].get());
        break;
      case Opcode::kTuple:
        for (const std::vector<int>& operand : operands) {
          if (operand.size() != 1) return false;
          value.push_back(operand[0]);
        }
        break;
      case Opcode::kGetTupleElement:
        if (instr->shape.IsTuple()) return false;
        value = {operands[0][instr->tuple_index]};
        break;
      case Opcode::kReshape:
      case Opcode::kBroadcast:
      case Opcode::kTranspose:
      case Opcode::kBitcast:
      case Opcode::kOptimizationBarrier:
        value = operands[0];
        break;
      case Opcode::kCall:
      case Opcode::kFusion:
      case Opcode::kMap: {
        std::vector<int> inner;
        if (!Compile(*instr->to_apply(), operands, &inner)) return false;
        values[instr] = std::move(inner);
        break;
      }
      default: {
        if (!IsElementwise(instr->opcode()) || instr->opcode() == Opcode::kBitcastConvert)
          return false;
        Step step;
        step.instruction = instr;
        for (const std::vector<int>& operand : operands) step.operands.push_back(operand[0]);
        step.result = NewBlock(instr->shape.type);
        value = {step.result};
        steps_.push_back(std::move(step));
      }
    }
  }
  *results = values[computation.root()];
  return true;
}

bool ScalarFunction::AccumulateWide() {
  round_ = true;
  if (!compiled_ || steps_.size() != 1 || results_.size() != 1 || parameters_.size() != 2)
    return false;
  const Step& step = steps_[0];
  const Opcode opcode = step.instruction->opcode();
  if (opcode != Opcode::kAdd && opcode != Opcode::kMultiply) return false;
  if (results_[0] != step.result || step.operands[0] == step.operands[1]) return false;
  for (int operand : step.operands) {
    if (operand != parameters_[0] && operand != parameters_[1]) return false;
  }
  round_ = LaneKindOf(result_types_[0]) != LaneKind::kFloat;
  return !round_;
}

absl::Status ScalarFunction::Run(absl::Span<Lanes* const> args, int n,
                                 absl::Span<Lanes* const> results) {
  if (!compiled_) return RunLaneByLane(args, n, results);
  // Results may be the arguments' blocks, so they are written last, and from copies when a result
  // is a parameter itself.
  const Lanes* operands[3];
  auto block = [&](int index) -> const Lanes* {
    for (size_t p = 0; p < parameters_.size(); ++p) {
      if (parameters_[p] == index) return args[p];
    }
    return blocks_[index].get();
  };
  for (const Step& step : steps_) {
    for (size_t i = 0; i < step.operands.size(); ++i) operands[i] = block(step.operands[i]);
    absl::Status status = Apply(*step.instruction, absl::MakeSpan(operands, step.operands.size()),
                                n, blocks_[step.result].get(), round_);
    if (!status.ok()) return status;
  }
  auto copy = [&](const Lanes& from, Lanes* to) {
    to->type = from.type;
    const size_t size = IsComplex(from.type) ? sizeof(std::complex<double>) : sizeof(double);
    std::memmove(to->storage, from.storage, static_cast<size_t>(n) * size);
  };
  for (size_t p = 0; p < parameters_.size(); ++p) {
    for (int result : results_) {
      if (result == parameters_[p]) copy(*args[p], blocks_[result].get());
    }
  }
  for (size_t r = 0; r < results_.size(); ++r) copy(*blocks_[results_[r]], results[r]);
  return absl::OkStatus();
}

absl::Status ScalarFunction::RunLaneByLane(absl::Span<Lanes* const> args, int n,
                                           absl::Span<Lanes* const> results) {
  std::vector<std::vector<Literal>> values(static_cast<size_t>(n));
  for (int lane = 0; lane < n; ++lane) {
    std::vector<Literal> scalars;
    for (const Lanes* arg : args) {
      Lanes one;
      one.type = arg->type;
      const size_t size = IsComplex(arg->type) ? sizeof(std::complex<double>) : sizeof(double);
      std::memcpy(one.storage, arg->storage + static_cast<size_t>(lane) * size, size);
      Literal scalar = Literal::Zero(Shape(arg->type, {}));
      Store(one, 1, scalar.MutableRaw(), int64_t{0});
      scalars.push_back(std::move(scalar));
    }
    absl::StatusOr<Literal> result = Evaluate(computation_, scalars);
    if (!result.ok()) return result.status();
    FlatLiterals(*result, &values[static_cast<size_t>(lane)]);
  }
  for (size_t r = 0; r < results.size(); ++r) {
    Literal column = Literal::Zero(Shape(result_types_[r], {n}));
    const int64_t size = ByteSize(result_types_[r]);
    for (int lane = 0; lane < n; ++lane) {
      std::memcpy(static_cast<char*>(column.MutableRaw()) + lane * size,
                  values[static_cast<size_t>(lane)][r].raw(), static_cast<size_t>(size));
    }
    Load(column.raw(), result_types_[r], 0, 1, n, results[r]);
  }
  return absl::OkStatus();
}

}  // namespace glia::hlo::evaluator
