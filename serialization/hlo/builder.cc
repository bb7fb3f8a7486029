#include "serialization/hlo/builder.h"

#include "absl/strings/str_cat.h"
#include "serialization/hlo/shape_inference.h"

namespace glia::hlo {

const Shape& Op::shape() const {
  static const Shape* const invalid = new Shape();
  return instr == nullptr ? *invalid : instr->shape;
}

Builder::Builder(absl::string_view name)
    : owned_(std::make_unique<Module>(name)), root_(this), module_(owned_.get()) {
  computation_ = module_->AddComputation("main");
}

Builder::Builder(Builder* root, absl::string_view name)
    : root_(root), module_(root->module_), computation_(module_->AddComputation(name)) {}

Builder::~Builder() = default;

std::unique_ptr<Builder> Builder::CreateSubBuilder(absl::string_view name) {
  return std::unique_ptr<Builder>(new Builder(root_, name));
}

void Builder::ReportError(absl::Status error) {
  if (status_.ok()) status_ = error;
  if (root_ != this && root_->status_.ok()) root_->status_ = std::move(error);
}

Op Builder::AddInstruction(Opcode opcode, absl::StatusOr<Shape> shape,
                           absl::Span<const Op> operands, Attributes attributes,
                           std::vector<Computation*> called, absl::string_view name) {
  const Op invalid{nullptr, this};
  if (status_.ok() && !root_->status_.ok()) status_ = root_->status_;
  if (!status_.ok()) return invalid;
  if (computation_ == nullptr) {
    ReportError(absl::FailedPreconditionError("the builder has been used up by Build"));
    return invalid;
  }
  if (!shape.ok()) {
    ReportError(shape.status());
    return invalid;
  }
  std::vector<Instruction*> instructions;
  instructions.reserve(operands.size());
  for (const Op& operand : operands) {
    if (!operand.valid() || operand.instr->parent() != computation_) {
      ReportError(absl::InvalidArgumentError(absl::StrCat(
          OpcodeName(opcode), ": operand ", instructions.size(),
          operand.valid()
              ? absl::StrCat(" belongs to computation ", operand.instr->parent()->name(), ", not ",
                             computation_->name())
              : " is not valid")));
      return invalid;
    }
    instructions.push_back(operand.instr);
  }
  Instruction* instruction = computation_->Add(opcode, *std::move(shape), instructions, name);
  static_cast<Attributes&>(*instruction) = std::move(attributes);
  instruction->metadata = metadata_;
  instruction->called = std::move(called);
  return Op{instruction, this};
}

Op Builder::AddInferred(Opcode opcode, absl::Span<const Op> operands, Attributes attributes,
                        std::vector<Computation*> called) {
  for (const Computation* computation : called) {
    if (computation == nullptr || computation->module() != module_) {
      ReportError(absl::InvalidArgumentError(absl::StrCat(
          OpcodeName(opcode), ": a called computation is ",
          computation == nullptr ? "missing"
                                 : absl::StrCat(computation->name(), " of another module"),
          "; build it with CreateSubBuilder")));
      return Op{nullptr, this};
    }
  }
  std::vector<const Shape*> shapes;
  shapes.reserve(operands.size());
  for (const Op& operand : operands) shapes.push_back(&operand.shape());
  static const Shape* const open = new Shape();
  // An invalid operand would give an error about its shape, where the reason is an earlier one.
  bool all_valid = status_.ok();
  for (const Op& operand : operands) all_valid = all_valid && operand.valid();
  absl::StatusOr<Shape> shape = Shape();
  if (all_valid) shape = InferShape({opcode, shapes, attributes, called, *open});
  return AddInstruction(opcode, std::move(shape), operands, std::move(attributes),
                        std::move(called));
}

absl::StatusOr<Computation*> Builder::BuildComputation(Op root) {
  if (!status_.ok()) return status_;
  if (root_ == this) {
    ReportError(absl::FailedPreconditionError(
        "BuildComputation is for a builder made by CreateSubBuilder; use Build"));
    return status_;
  }
  if (!root.valid() || root.instr->parent() != computation_) {
    ReportError(absl::InvalidArgumentError("the root is not an operation of this builder"));
    return status_;
  }
  computation_->set_root(root.instr);
  Computation* computation = computation_;
  computation_ = nullptr;
  return computation;
}

Computation* Builder::ScalarComputation(Opcode opcode, PrimitiveType type) {
  Computation*& computation = root_->scalar_computations_[{opcode, type}];
  if (computation != nullptr) return computation;
  std::unique_ptr<Builder> sub =
      CreateSubBuilder(absl::StrCat(OpcodeName(opcode), "_", Name(type)));
  const Op x = Parameter(sub.get(), 0, Shape(type, {}), "x");
  const Op y = Parameter(sub.get(), 1, Shape(type, {}), "y");
  absl::StatusOr<Computation*> built = sub->BuildComputation(Binary(opcode, x, y));
  if (built.ok()) {
    computation = *built;
  } else {
    ReportError(built.status());
  }
  return computation;
}

absl::StatusOr<std::unique_ptr<Module>> Builder::Build(Op root) {
  if (!status_.ok()) return status_;
  if (root_ != this) {
    return absl::FailedPreconditionError("Build is for the entry's builder; use BuildComputation");
  }
  if (computation_ == nullptr) {
    return absl::FailedPreconditionError("the builder has been used up by Build");
  }
  if (!root.valid() || root.instr->parent() != computation_) {
    ReportError(absl::InvalidArgumentError("the root is not an operation of this builder"));
    return status_;
  }
  const std::vector<Instruction*>& parameters = computation_->parameters();
  for (size_t i = 0; i < parameters.size(); ++i) {
    if (parameters[i] == nullptr) {
      ReportError(absl::InvalidArgumentError(absl::StrCat("parameter ", i, " is missing")));
      return status_;
    }
  }
  computation_->set_root(root.instr);
  module_->set_entry(computation_);
  module_->RemoveUnreachable();  // computations begun or built, but not called
  computation_ = nullptr;
  module_ = nullptr;
  return std::move(owned_);
}

absl::StatusOr<std::unique_ptr<Module>> Builder::Build(absl::Span<const Op> tuple_elements) {
  return Build(Tuple(this, tuple_elements));
}

}  // namespace glia::hlo
