// reduce: over any dims, by one operation of the engines or by any computation, one operand or
// several.
#include <cmath>
#include <utility>

#include "compiler/codegen/emitters.h"
#include "compiler/codegen/reduce.h"
#include "serialization/isa/table.h"

namespace glia::compiler {
namespace {

using hlo::Instruction;
using hlo::Opcode;

AluOp AluOf(Opcode opcode, DType dtype) {
  switch (opcode) {
    case Opcode::kAdd:
      return dtype == DType::kPred ? AluOp::kMax : AluOp::kAdd;
    case Opcode::kMultiply:
      return dtype == DType::kPred ? AluOp::kMin : AluOp::kMultiply;
    case Opcode::kMaximum:
      return AluOp::kMax;
    case Opcode::kMinimum:
      return AluOp::kMin;
    case Opcode::kAnd:
      return dtype == DType::kPred ? AluOp::kMin : AluOp::kAnd;
    case Opcode::kOr:
      return dtype == DType::kPred ? AluOp::kMax : AluOp::kOr;
    default:
      return AluOp::kBypass;
  }
}

}  // namespace

bool IsNeutral(Opcode opcode, const Instruction* init, DType dtype) {
  const absl::optional<double> value = [&]() -> absl::optional<double> {
    const hlo::Literal* literal = Emitter::ConstantOf(init);
    if (literal == nullptr || literal->elements() != 1) return absl::nullopt;
    return literal->GetAsDouble(0);
  }();
  if (!value.has_value()) return false;
  switch (opcode) {
    case Opcode::kAdd:
      return *value == 0;
    case Opcode::kMultiply:
      return *value == 1;
    case Opcode::kOr:
      return *value == 0;
    case Opcode::kMaximum:
      return isa::IsFloat(dtype) ? *value == -INFINITY : dtype == DType::kPred && *value == 0;
    case Opcode::kMinimum:
      return isa::IsFloat(dtype) ? *value == INFINITY : dtype == DType::kPred && *value == 1;
    case Opcode::kAnd:
      return dtype == DType::kPred && *value == 1;
    default:
      return false;
  }
}

ReduceOp ClassifyReducer(const hlo::Computation& computation) {
  ReduceOp op;
  op.computation = &computation;
  const Instruction* root = computation.root();
  if (computation.parameter_count() != 2 || root->operand_count() != 2) return op;
  const bool pair = (root->operand(0) == computation.parameter(0) &&
                     root->operand(1) == computation.parameter(1)) ||
                    (root->operand(0) == computation.parameter(1) &&
                     root->operand(1) == computation.parameter(0));
  const absl::StatusOr<DType> dtype = DeviceType(root->shape.type);
  if (!pair || !dtype.ok() || root->shape.type != computation.parameter(0)->shape.type) return op;
  op.alu = AluOf(root->opcode(), *dtype);
  op.opcode = root->opcode();
  return op;
}

absl::Status EmitReduce(Emitter& e, const Instruction& hlo) {
  const int64_t count = hlo.operand_count() / 2;
  const ReduceOp op = ClassifyReducer(*hlo.to_apply());
  Reduction p;
  std::vector<Nd> inits;
  Dims permutation;
  const int64_t rank = hlo.operand(0)->shape.rank();
  std::vector<bool> reduced(rank, false);
  for (int64_t d : hlo.dimensions) reduced[d] = true;
  for (int64_t d = 0; d < rank; ++d) {
    if (!reduced[d]) permutation.push_back(d);
  }
  p.kept = static_cast<int64_t>(permutation.size());
  for (int64_t d = 0; d < rank; ++d) {
    if (reduced[d]) permutation.push_back(d);
  }
  bool neutral = count == 1 && op.alu != AluOp::kBypass;
  for (int64_t i = 0; i < count; ++i) {
    absl::StatusOr<Nd> x = e.View(hlo.operand(i));
    if (!x.ok()) return x.status();
    absl::StatusOr<Nd> init = e.View(hlo.operand(count + i));
    if (!init.ok()) return init.status();
    neutral = neutral && IsNeutral(op.opcode, hlo.operand(count + i), x->dtype);
    p.in.push_back(TransposeNd(*x, permutation));
    inits.push_back(*init);
    p.out.push_back(e.NewResult(hlo, i));
  }
  if (!e.ok() || p.out[0].elements() == 0) return e.status();
  if (p.in[0].elements() == 0) {
    for (int64_t i = 0; i < count; ++i) e.Dma(p.out[i], BroadcastNd(inits[i], p.out[i].dims, {}));
    return e.status();
  }
  if (neutral) inits.clear();
  return EmitReduction(e, op, std::move(p), inits);
}

}  // namespace glia::compiler
