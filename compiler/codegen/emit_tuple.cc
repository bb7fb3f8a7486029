// Tuples, constants and operations that hand their operand on.
#include <cstdint>
#include <vector>

#include "absl/strings/str_cat.h"
#include "compiler/codegen/emitters.h"

namespace glia::compiler {
namespace {

int64_t LeafCount(const hlo::Shape& shape) {
  if (!shape.IsTuple()) return 1;
  int64_t count = 0;
  for (const hlo::Shape& element : shape.tuple) count += LeafCount(element);
  return count;
}

absl::Status AddLeaves(Emitter& e, const hlo::Literal& literal, std::vector<Nd>* leaves) {
  if (literal.shape().IsTuple()) {
    for (const hlo::Literal& element : literal.tuple()) {
      if (absl::Status s = AddLeaves(e, element, leaves); !s.ok()) return s;
    }
    return absl::OkStatus();
  }
  absl::StatusOr<Nd> nd = e.AddConstant(literal);
  if (!nd.ok()) return nd.status();
  leaves->push_back(*std::move(nd));
  return absl::OkStatus();
}

}  // namespace

absl::Status EmitTuple(Emitter& e, const hlo::Instruction& hlo) {
  std::vector<Nd> leaves;
  for (const hlo::Instruction* operand : hlo.operands()) {
    absl::StatusOr<std::vector<Nd>> part = e.Leaves(operand);
    if (!part.ok()) return part.status();
    leaves.insert(leaves.end(), part->begin(), part->end());
  }
  e.SetLeaves(hlo, std::move(leaves));
  return e.status();
}

absl::Status EmitGetTupleElement(Emitter& e, const hlo::Instruction& hlo) {
  absl::StatusOr<std::vector<Nd>> leaves = e.Leaves(hlo.operand(0));
  if (!leaves.ok()) return leaves.status();
  int64_t first = 0;
  for (int64_t i = 0; i < hlo.tuple_index; ++i) first += LeafCount(hlo.operand(0)->shape.tuple[i]);
  const int64_t count = LeafCount(hlo.shape);
  if (first + count > static_cast<int64_t>(leaves->size())) {
    return absl::InternalError(
        absl::StrCat("'", hlo.operand(0)->name(), "' has ", leaves->size(), " leaves"));
  }
  e.SetLeaves(hlo, std::vector<Nd>(leaves->begin() + first, leaves->begin() + first + count));
  return e.status();
}

absl::Status EmitForward(Emitter& e, const hlo::Instruction& hlo) {
  absl::StatusOr<std::vector<Nd>> leaves = e.Leaves(hlo.operand(0));
  if (!leaves.ok()) return leaves.status();
  e.SetLeaves(hlo, *std::move(leaves));
  return e.status();
}

absl::Status EmitConstant(Emitter& e, const hlo::Instruction& hlo) {
  std::vector<Nd> leaves;
  if (absl::Status s = AddLeaves(e, hlo.constant(), &leaves); !s.ok()) return s;
  e.SetLeaves(hlo, std::move(leaves));
  return e.status();
}

}  // namespace glia::compiler
