#include <utility>

#include "compiler/passes/passes.h"
#include "compiler/passes/rewrite.h"

namespace glia::compiler {
namespace {

using hlo::Instruction;
using hlo::Opcode;
using Dims = std::vector<int64_t>;

// The dims that a reshape merges into its leading one, the others staying: none if it does
// something else, or if no transpose before it put them apart.
Dims MergedIntoFirst(const Instruction& reshape) {
  if (reshape.opcode() != Opcode::kReshape || reshape.operand(0)->opcode() != Opcode::kTranspose) {
    return {};
  }
  const Dims& from = reshape.operand(0)->shape.dims;
  const Dims& to = reshape.shape.dims;
  if (from.size() <= to.size() || to.empty()) return {};
  const size_t merged = from.size() - to.size() + 1;
  for (size_t d = 1; d < to.size(); ++d) {
    if (from[merged + d - 1] != to[d]) return {};
  }
  const Dims first(from.begin(), from.begin() + static_cast<ptrdiff_t>(merged));
  return first;
}

// With `dims` in place of the leading dim.
Dims WithFirst(const Dims& dims, const Dims& first) {
  Dims result = first;
  result.insert(result.end(), dims.begin() + 1, dims.end());
  return result;
}

Instruction* Split(Instruction* dot) {
  if (dot->opcode() != Opcode::kDot) return nullptr;
  const hlo::DotDims& dims = dot->dot_dims;
  if (dims.lhs_batch != Dims{0} || dims.rhs_batch != Dims{0}) return nullptr;
  Dims batch = MergedIntoFirst(*dot->operand(0));
  if (batch.empty()) batch = MergedIntoFirst(*dot->operand(1));
  if (batch.empty()) return nullptr;
  Rewriter rewriter(*dot);
  const auto operand = [&](int64_t i) {
    Instruction* value = dot->operand(i);
    const Dims wanted = WithFirst(value->shape.dims, batch);
    if (value->opcode() == Opcode::kReshape && value->operand(0)->shape.dims == wanted)
      return value->operand(0);
    return rewriter.Reshape(value, wanted);
  };
  Instruction* result = dot->parent()->AddCopy(*dot, {operand(0), operand(1)});
  result->shape = dot->shape.WithDims(WithFirst(dot->shape.dims, batch));
  const auto more = static_cast<int64_t>(batch.size()) - 1;
  hlo::DotDims& split = result->dot_dims;
  for (int64_t i = 1; i <= more; ++i) {
    split.lhs_batch.push_back(i);
    split.rhs_batch.push_back(i);
  }
  for (int64_t& d : split.lhs_contracting) d += more;
  for (int64_t& d : split.rhs_contracting) d += more;
  return rewriter.Reshape(result, dot->shape.dims);
}

}  // namespace

absl::StatusOr<bool> SplitDotBatches(hlo::Module* module) {
  return RewriteInstructions(module, Split);
}

}  // namespace glia::compiler
