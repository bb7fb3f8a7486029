#include <algorithm>

#include "compiler/passes/rewrite.h"
#include "compiler/passes/simplify.h"

namespace glia::compiler {
namespace {

using hlo::Instruction;
using hlo::Opcode;

// broadcast(x) of x's own dims in order.
Instruction* BroadcastIdentity(Instruction* instr) {
  Instruction* x = instr->operand(0);
  return x->shape.dims == instr->shape.dims && IsIdentity(instr->dimensions) ? x : nullptr;
}

Instruction* BroadcastBroadcast(Instruction* instr) {
  Instruction* inner = instr->operand(0);
  if (inner->opcode() != Opcode::kBroadcast) return nullptr;
  return Rewriter(*instr).Broadcast(inner->operand(0), instr->shape.dims,
                                    Permute(instr->dimensions, inner->dimensions));
}

// One that adds dims of size 1 only is a reshape.
Instruction* BroadcastToReshape(Instruction* instr) {
  Instruction* x = instr->operand(0);
  if (x->shape.elements() != instr->shape.elements() || instr->shape.elements() == 0)
    return nullptr;
  if (!std::is_sorted(instr->dimensions.begin(), instr->dimensions.end())) return nullptr;
  return Rewriter(*instr).Reshape(x, instr->shape.dims);
}

// The operand of a broadcast without its dims of size 1: fewer shapes to tell apart.
Instruction* BroadcastDropOnes(Instruction* instr) {
  Instruction* x = instr->operand(0);
  std::vector<int64_t> kept_dims, kept_targets;
  for (int64_t d = 0; d < x->shape.rank(); ++d) {
    if (x->shape.dim(d) == 1) continue;
    kept_dims.push_back(x->shape.dim(d));
    kept_targets.push_back(instr->dimensions[static_cast<size_t>(d)]);
  }
  if (kept_dims.size() == x->shape.dims.size()) return nullptr;
  Rewriter rewriter(*instr);
  return rewriter.Broadcast(rewriter.Reshape(x, kept_dims), instr->shape.dims, kept_targets);
}

Instruction* ReshapeIdentity(Instruction* instr) {
  return instr->operand(0)->shape.dims == instr->shape.dims ? instr->operand(0) : nullptr;
}

Instruction* ReshapeReshape(Instruction* instr) {
  Instruction* inner = instr->operand(0);
  if (inner->opcode() != Opcode::kReshape) return nullptr;
  return Rewriter(*instr).Reshape(inner->operand(0), instr->shape.dims);
}

Instruction* ReshapeOfRepeatedScalar(Instruction* instr) {
  Instruction* inner = instr->operand(0);
  if (inner->opcode() != Opcode::kBroadcast || !inner->operand(0)->shape.IsScalar()) return nullptr;
  return Rewriter(*instr).Fill(inner->operand(0), instr->shape.dims);
}

Instruction* TransposeIdentity(Instruction* instr) {
  return IsIdentity(instr->dimensions) ? instr->operand(0) : nullptr;
}

Instruction* TransposeTranspose(Instruction* instr) {
  Instruction* inner = instr->operand(0);
  if (inner->opcode() != Opcode::kTranspose) return nullptr;
  return Rewriter(*instr).Transpose(inner->operand(0),
                                    Permute(inner->dimensions, instr->dimensions));
}

// One that only moves dims of size 1 is a reshape.
Instruction* TransposeToReshape(Instruction* instr) {
  std::vector<int64_t> moved;
  for (int64_t d : instr->dimensions) {
    if (instr->operand(0)->shape.dim(d) != 1) moved.push_back(d);
  }
  if (!std::is_sorted(moved.begin(), moved.end())) return nullptr;
  return Rewriter(*instr).Reshape(instr->operand(0), instr->shape.dims);
}

// Dim i of x lands at dimensions[i] of the broadcast, and that at its place in the permutation.
Instruction* TransposeBroadcast(Instruction* instr) {
  Instruction* inner = instr->operand(0);
  if (inner->opcode() != Opcode::kBroadcast) return nullptr;
  const std::vector<int64_t> targets = Permute(Inverse(instr->dimensions), inner->dimensions);
  if (!std::is_sorted(targets.begin(), targets.end())) return nullptr;
  return Rewriter(*instr).Broadcast(inner->operand(0), instr->shape.dims, targets);
}

Instruction* ReverseOnes(Instruction* instr) {
  Instruction* x = instr->operand(0);
  if (x->opcode() == Opcode::kBroadcast && x->operand(0)->shape.IsScalar()) return x;
  std::vector<int64_t> dims;
  for (int64_t d : instr->dimensions) {
    if (x->shape.dim(d) != 1) dims.push_back(d);
  }
  return dims.size() == instr->dimensions.size() ? nullptr : Rewriter(*instr).Reverse(x, dims);
}

Instruction* ReverseReverse(Instruction* instr) {
  Instruction* inner = instr->operand(0);
  if (inner->opcode() != Opcode::kReverse) return nullptr;
  std::vector<int64_t> dims;
  for (int64_t d = 0; d < instr->shape.rank(); ++d) {
    const auto& a = instr->dimensions;
    const auto& b = inner->dimensions;
    const bool once = (std::find(a.begin(), a.end(), d) != a.end()) !=
                      (std::find(b.begin(), b.end(), d) != b.end());
    if (once) dims.push_back(d);
  }
  return Rewriter(*instr).Reverse(inner->operand(0), dims);
}

Instruction* IotaOfOne(Instruction* instr) {
  if (instr->shape.dim(instr->dimensions[0]) != 1) return nullptr;
  Rewriter rewriter(*instr);
  return rewriter.Fill(rewriter.Scalar(instr->shape.type, 0), instr->shape.dims);
}

constexpr SimplifyRule kRules[] = {
    {"broadcast(x)", Opcode::kBroadcast, BroadcastIdentity},
    {"broadcast(broadcast)", Opcode::kBroadcast, BroadcastBroadcast},
    {"broadcast to reshape", Opcode::kBroadcast, BroadcastToReshape},
    {"broadcast of ones", Opcode::kBroadcast, BroadcastDropOnes},
    {"reshape(x)", Opcode::kReshape, ReshapeIdentity},
    {"reshape(reshape)", Opcode::kReshape, ReshapeReshape},
    {"reshape(broadcast)", Opcode::kReshape, ReshapeOfRepeatedScalar},
    {"transpose(x)", Opcode::kTranspose, TransposeIdentity},
    {"transpose(transpose)", Opcode::kTranspose, TransposeTranspose},
    {"transpose to reshape", Opcode::kTranspose, TransposeToReshape},
    {"transpose(broadcast)", Opcode::kTranspose, TransposeBroadcast},
    {"reverse of ones", Opcode::kReverse, ReverseOnes},
    {"reverse(reverse)", Opcode::kReverse, ReverseReverse},
    {"iota of one", Opcode::kIota, IotaOfOne},
};

}  // namespace

absl::Span<const SimplifyRule> MovementRules() { return kRules; }

}  // namespace glia::compiler
