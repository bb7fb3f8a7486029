#include <algorithm>

#include "absl/strings/str_cat.h"
#include "compiler/passes/passes.h"
#include "compiler/passes/rewrite.h"

namespace glia::compiler {
namespace {

using hlo::Instruction;
using hlo::Opcode;
using hlo::Shape;

// The dims from the slowest to the fastest varying one.
std::vector<int64_t> PhysicalOrder(const Shape& shape) {
  std::vector<int64_t> order(shape.minor_to_major.rbegin(), shape.minor_to_major.rend());
  for (int64_t d = 0; static_cast<int64_t>(order.size()) < shape.rank(); ++d) order.push_back(d);
  return order;
}

// Gives the parameter the dims in physical order, and its users a transpose back.
void CanonicalizeParameter(Instruction* parameter) {
  const std::vector<int64_t> order = PhysicalOrder(parameter->shape);
  const std::vector<hlo::Use> uses = parameter->uses();
  const bool is_root = parameter->IsRoot();
  parameter->shape = parameter->shape.WithDims(Permute(parameter->shape.dims, order));
  Instruction* logical = Rewriter(*parameter).Transpose(parameter, Inverse(order));
  for (const hlo::Use& use : uses) use.user->ReplaceOperand(use.operand_index, logical);
  if (is_root) parameter->parent()->set_root(logical);
}

// `value` with the dims in the order that `shape`, its own with a layout, says.
Instruction* Physical(Rewriter& rewriter, Instruction* value, const Shape& shape) {
  if (shape.HasDefaultLayout()) return value;
  if (!shape.IsTuple()) return rewriter.Transpose(value, PhysicalOrder(shape));
  std::vector<Instruction*> elements;
  for (size_t i = 0; i < shape.tuple.size(); ++i) {
    Instruction* element = value->opcode() == Opcode::kTuple
                               ? value->operand(static_cast<int64_t>(i))
                               : rewriter.GetTupleElement(value, static_cast<int64_t>(i));
    elements.push_back(Physical(rewriter, element, shape.tuple[i]));
  }
  return rewriter.Tuple(elements);
}

// bitcast reads the operand's bytes as another shape: both layouts matter.
Instruction* ExpandBitcast(Instruction* bitcast, const Shape& from, const Shape& to) {
  Rewriter rewriter(*bitcast);
  const std::vector<int64_t> order = PhysicalOrder(to);
  Instruction* bytes = rewriter.Transpose(bitcast->operand(0), PhysicalOrder(from));
  const std::vector<int64_t> dims = Permute(to.dims, order);
  if (from.type != to.type) {
    if (hlo::ByteSize(from.type) == hlo::ByteSize(to.type)) bytes = rewriter.Reshape(bytes, dims);
    bytes = rewriter.Add(Opcode::kBitcastConvert, Shape(to.type, dims), {bytes});
  } else {
    bytes = rewriter.Reshape(bytes, dims);
  }
  return rewriter.Transpose(bytes, Inverse(order));
}

}  // namespace

absl::StatusOr<bool> CanonicalizeLayout(hlo::Module* module) {
  bool changed = false;
  hlo::Computation* entry = module->entry();
  for (Instruction* parameter : entry->parameters()) {
    if (parameter->shape.HasDefaultLayout()) continue;
    if (!parameter->shape.IsArray()) {
      return absl::UnimplementedError(absl::StrCat(
          "parameter ", parameter->name(), " of shape ", parameter->shape.ToString(true),
          ": a layout other than the default within a tuple; pass its arrays one by one"));
    }
  }
  // Shapes as they were given, before any is changed.
  const Shape result = entry->root()->shape;
  std::vector<std::pair<Instruction*, std::pair<Shape, Shape>>> bitcasts;
  for (hlo::Computation* computation : module->Computations()) {
    for (Instruction* instr : computation->Instructions()) {
      if (instr->opcode() == Opcode::kBitcast) {
        bitcasts.push_back({instr, {instr->operand(0)->shape, instr->shape}});
      }
    }
  }
  std::vector<Instruction*> parameters;
  for (Instruction* parameter : entry->parameters()) {
    if (!parameter->shape.HasDefaultLayout()) parameters.push_back(parameter);
  }
  std::vector<Shape> parameter_shapes;
  for (Instruction* parameter : parameters) parameter_shapes.push_back(parameter->shape);
  for (hlo::Computation* computation : module->Computations()) {
    for (Instruction* instr : computation->Instructions()) {
      if (instr->shape.HasDefaultLayout()) continue;
      instr->shape = instr->shape.WithoutLayout();
      changed = true;
    }
  }
  for (size_t i = 0; i < parameters.size(); ++i) {
    parameters[i]->shape = parameter_shapes[i];
    CanonicalizeParameter(parameters[i]);
  }
  for (auto& [bitcast, shapes] : bitcasts) {
    bitcast->ReplaceAllUsesWith(ExpandBitcast(bitcast, shapes.first, shapes.second));
    bitcast->parent()->Remove(bitcast);
    changed = true;
  }
  if (!result.HasDefaultLayout()) {
    Rewriter rewriter(*entry->root());
    entry->set_root(Physical(rewriter, entry->root(), result));
    entry->RemoveDead();
  }
  return changed;
}

}  // namespace glia::compiler
