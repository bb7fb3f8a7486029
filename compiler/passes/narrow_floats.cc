#include <vector>

#include "absl/strings/str_cat.h"
#include "compiler/passes/passes.h"
#include "serialization/hlo/evaluator.h"

namespace glia::compiler {
namespace {

using hlo::Instruction;
using hlo::Opcode;
using hlo::PrimitiveType;
using hlo::Shape;

// Whether anything was of type f32.
bool Narrow(Shape* shape, PrimitiveType type) {
  bool changed = shape->type == hlo::kF32;
  if (changed) shape->type = type;
  for (Shape& element : shape->tuple) changed = Narrow(&element, type) || changed;
  return changed;
}

bool HasF32(Shape shape) { return Narrow(&shape, hlo::kF32); }

Instruction* Convert(Instruction* x, PrimitiveType type) {
  if (x->shape.type == type) return x;
  return x->parent()->Add(Opcode::kConvert, x->shape.WithType(type), {x});
}

// These mean bits, positions or the caller's own conventions, not arithmetic: they stay in f32,
// between conversions.
bool Keeps(const Instruction& instr) {
  switch (instr.opcode()) {
    case Opcode::kBitcastConvert:
    case Opcode::kCustomCall:
    case Opcode::kIota:
    case Opcode::kRng:
      return true;
    default:
      return false;
  }
}

absl::Status NarrowOne(Instruction* instr, PrimitiveType type) {
  if (!HasF32(instr->shape)) return absl::OkStatus();
  hlo::Computation* computation = instr->parent();
  const bool of_entry =
      instr->opcode() == Opcode::kParameter && computation->module()->entry() == computation;
  if (of_entry || Keeps(*instr)) {
    if (!instr->shape.IsArray()) {
      return absl::UnimplementedError(absl::StrCat(
          "--auto-cast all: ", instr->name(), " gives a tuple of f32: ", instr->shape.ToString()));
    }
    Instruction* narrow = computation->Add(Opcode::kConvert, instr->shape.WithType(type), {});
    instr->ReplaceAllUsesWith(narrow);
    narrow->AppendOperand(instr);
    return absl::OkStatus();
  }
  if (instr->opcode() == Opcode::kConstant) {
    if (!instr->shape.IsArray()) {
      return absl::UnimplementedError(
          absl::StrCat("--auto-cast all: ", instr->name(), " is a constant tuple"));
    }
    instr->literal =
        std::make_shared<const hlo::Literal>(hlo::ConvertLiteral(instr->constant(), type));
  }
  Narrow(&instr->shape, type);
  return absl::OkStatus();
}

// What the caller sees keeps its types.
void WidenRoot(hlo::Computation* entry, const Shape& shape) {
  Instruction* root = entry->root();
  if (root->shape == shape) return;
  if (!shape.IsTuple()) {
    entry->set_root(Convert(root, shape.type));
    entry->root()->shape = shape;
    return;
  }
  std::vector<Instruction*> elements;
  for (size_t i = 0; i < shape.tuple.size(); ++i) {
    Instruction* element;
    if (root->opcode() == Opcode::kTuple) {
      element = root->operand(static_cast<int64_t>(i));
    } else {
      element = entry->Add(Opcode::kGetTupleElement, root->shape.tuple[i], {root});
      element->tuple_index = static_cast<int64_t>(i);
    }
    if (shape.tuple[i].IsArray()) element = Convert(element, shape.tuple[i].type);
    elements.push_back(element);
  }
  entry->set_root(entry->Add(Opcode::kTuple, shape, elements));
}

}  // namespace

absl::StatusOr<bool> NarrowFloats(hlo::Module* module, PrimitiveType type) {
  bool changed = false;
  const Shape result = module->entry()->root()->shape;
  for (const Shape& element : result.tuple) {
    if (element.IsTuple() && HasF32(element)) {
      return absl::UnimplementedError("--auto-cast all: the result is a tuple within a tuple");
    }
  }
  for (hlo::Computation* computation : module->Computations()) {
    std::vector<hlo::Use> wide;  // of what stays in f32
    for (Instruction* instr : computation->PostOrder()) {
      for (int64_t i = 0; Keeps(*instr) && i < instr->operand_count(); ++i) {
        if (instr->operand(i)->shape.type == hlo::kF32) wide.push_back({instr, i});
      }
    }
    for (Instruction* instr : computation->PostOrder()) {
      changed = changed || HasF32(instr->shape);
      if (absl::Status s = NarrowOne(instr, type); !s.ok()) return s;
    }
    for (const hlo::Use& use : wide) {
      use.user->ReplaceOperand(use.operand_index,
                               Convert(use.user->operand(use.operand_index), hlo::kF32));
    }
    if (computation == module->entry()) WidenRoot(computation, result);
    computation->RemoveDead();
    computation->Sort();
  }
  return changed;
}

}  // namespace glia::compiler
