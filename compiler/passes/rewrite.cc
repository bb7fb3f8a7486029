#include "compiler/passes/rewrite.h"

#include <utility>

namespace glia::compiler {

using hlo::Instruction;
using hlo::Opcode;
using hlo::Shape;

Instruction* Rewriter::Add(Opcode opcode, Shape shape, absl::Span<Instruction* const> operands) {
  Instruction* result = computation_->Add(opcode, std::move(shape), operands);
  result->metadata = source_.metadata;
  return result;
}

Instruction* Rewriter::Unary(Opcode opcode, Instruction* x) { return Add(opcode, x->shape, {x}); }

Instruction* Rewriter::Binary(Opcode opcode, Instruction* a, Instruction* b) {
  return Add(opcode, a->shape, {a, b});
}

Instruction* Rewriter::Convert(Instruction* x, hlo::PrimitiveType type) {
  return x->shape.type == type ? x : Add(Opcode::kConvert, x->shape.WithType(type), {x});
}

Instruction* Rewriter::Constant(hlo::Literal value) {
  if (value.shape().IsTuple()) {
    std::vector<Instruction*> elements;
    for (const hlo::Literal& element : value.tuple()) elements.push_back(Constant(element));
    return Tuple(elements);
  }
  Instruction* constant = computation_->AddConstant(std::move(value));
  constant->metadata = source_.metadata;
  return constant;
}

Instruction* Rewriter::Scalar(hlo::PrimitiveType type, double value) {
  return Constant(hlo::Literal::Scalar(type, value));
}

Instruction* Rewriter::Reshape(Instruction* x, std::vector<int64_t> dims) {
  if (x->shape.dims == dims) return x;
  return Add(Opcode::kReshape, x->shape.WithDims(std::move(dims)), {x});
}

Instruction* Rewriter::Transpose(Instruction* x, absl::Span<const int64_t> permutation) {
  if (IsIdentity(permutation)) return x;
  Instruction* transpose =
      Add(Opcode::kTranspose, x->shape.WithDims(Permute(x->shape.dims, permutation)), {x});
  transpose->dimensions.assign(permutation.begin(), permutation.end());
  return transpose;
}

Instruction* Rewriter::Broadcast(Instruction* x, std::vector<int64_t> result_dims,
                                 std::vector<int64_t> dims) {
  if (x->shape.dims == result_dims && IsIdentity(dims)) return x;
  Instruction* broadcast = Add(Opcode::kBroadcast, x->shape.WithDims(std::move(result_dims)), {x});
  broadcast->dimensions = std::move(dims);
  return broadcast;
}

Instruction* Rewriter::Fill(Instruction* scalar, const std::vector<int64_t>& result_dims) {
  return scalar->shape.dims == result_dims ? scalar : Broadcast(scalar, result_dims, {});
}

Instruction* Rewriter::Slice(Instruction* x, std::vector<int64_t> starts,
                             std::vector<int64_t> limits) {
  std::vector<int64_t> dims(starts.size());
  for (size_t d = 0; d < dims.size(); ++d) dims[d] = limits[d] - starts[d];
  if (dims == x->shape.dims) return x;
  Instruction* slice = Add(Opcode::kSlice, x->shape.WithDims(std::move(dims)), {x});
  slice->slice_strides.assign(starts.size(), 1);
  slice->slice_starts = std::move(starts);
  slice->slice_limits = std::move(limits);
  return slice;
}

Instruction* Rewriter::Reverse(Instruction* x, std::vector<int64_t> dims) {
  if (dims.empty()) return x;
  Instruction* reverse = Add(Opcode::kReverse, x->shape, {x});
  reverse->dimensions = std::move(dims);
  return reverse;
}

Instruction* Rewriter::Tuple(absl::Span<Instruction* const> elements) {
  std::vector<Shape> shapes;
  for (const Instruction* element : elements) shapes.push_back(element->shape);
  return Add(Opcode::kTuple, Shape::Tuple(std::move(shapes)), elements);
}

Instruction* Rewriter::GetTupleElement(Instruction* tuple, int64_t index) {
  Instruction* element =
      Add(Opcode::kGetTupleElement, tuple->shape.tuple[static_cast<size_t>(index)], {tuple});
  element->tuple_index = index;
  return element;
}

bool RewriteInstructions(hlo::Module* module,
                         const std::function<Instruction*(Instruction*)>& rewrite) {
  bool changed = false;
  for (hlo::Computation* computation : module->MakeComputationPostOrder()) {
    bool changed_here = false;
    for (Instruction* instruction : computation->PostOrder()) {
      if (instruction->IsDead()) continue;
      Instruction* replacement = rewrite(instruction);
      if (replacement == nullptr || replacement == instruction) continue;
      instruction->ReplaceAllUsesWith(replacement);
      changed_here = true;
    }
    if (changed_here) computation->RemoveDead();
    changed = changed || changed_here;
  }
  return changed;
}

bool IsAll(const Instruction& instruction, double value) {
  if (instruction.opcode() == Opcode::kBroadcast) return IsAll(*instruction.operand(0), value);
  return instruction.opcode() == Opcode::kConstant && instruction.shape.IsArray() &&
         instruction.constant().IsAll(value);
}

absl::optional<double> SplatValue(const Instruction& instruction) {
  if (instruction.opcode() == Opcode::kBroadcast) return SplatValue(*instruction.operand(0));
  if (instruction.opcode() != Opcode::kConstant || !instruction.shape.IsArray() ||
      hlo::IsComplex(instruction.shape.type) || instruction.shape.elements() == 0 ||
      !instruction.constant().IsSplat()) {
    return absl::nullopt;
  }
  return instruction.constant().GetAsDouble(0);
}

absl::optional<int64_t> ConstantIndex(const Instruction& instruction) {
  if (instruction.opcode() != Opcode::kConstant || !instruction.shape.IsArray() ||
      instruction.shape.elements() != 1 ||
      !(hlo::IsIntegral(instruction.shape.type) || instruction.shape.type == hlo::kPred)) {
    return absl::nullopt;
  }
  return instruction.constant().GetAsInt64(0);
}

std::vector<int64_t> Inverse(absl::Span<const int64_t> order) {
  std::vector<int64_t> inverse(order.size());
  for (size_t i = 0; i < order.size(); ++i) {
    inverse[static_cast<size_t>(order[i])] = static_cast<int64_t>(i);
  }
  return inverse;
}

bool IsIdentity(absl::Span<const int64_t> permutation) {
  for (size_t i = 0; i < permutation.size(); ++i) {
    if (permutation[i] != static_cast<int64_t>(i)) return false;
  }
  return true;
}

std::vector<int64_t> Permute(absl::Span<const int64_t> values,
                             absl::Span<const int64_t> permutation) {
  std::vector<int64_t> result;
  result.reserve(values.size());
  for (int64_t i : permutation) result.push_back(values[static_cast<size_t>(i)]);
  return result;
}

absl::optional<Opcode> BinaryReducer(const hlo::Computation& computation) {
  const Instruction* root = computation.root();
  if (computation.parameter_count() != 2 ||
      hlo::OpcodeCategory(root->opcode()) != hlo::OpCategory::kBinary) {
    return absl::nullopt;
  }
  const Instruction* a = root->operand(0);
  const Instruction* b = root->operand(1);
  if (hlo::IsCommutative(root->opcode()) && a == computation.parameter(1)) std::swap(a, b);
  if (a != computation.parameter(0) || b != computation.parameter(1)) return absl::nullopt;
  return root->opcode();
}

}  // namespace glia::compiler
