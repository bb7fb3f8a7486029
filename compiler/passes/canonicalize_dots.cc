#include <algorithm>
#include <limits>
#include <tuple>
#include <utility>

#include "compiler/passes/passes.h"
#include "compiler/passes/rewrite.h"

namespace glia::compiler {
namespace {

using hlo::Instruction;
using hlo::Opcode;
using Dims = std::vector<int64_t>;

// One operand and the role of its dims. free is in the order of the result's dims; entry i of batch
// and contracting belongs to entry i of the other operand.
struct Side {
  Instruction* value;
  Dims batch, free, contracting;
};

Side MakeSide(Instruction* value, const Dims& batch, const Dims& contracting) {
  Side side = {value, batch, {}, contracting};
  for (int64_t d = 0; d < value->shape.rank(); ++d) {
    if (std::find(batch.begin(), batch.end(), d) == batch.end() &&
        std::find(contracting.begin(), contracting.end(), d) == contracting.end()) {
      side.free.push_back(d);
    }
  }
  return side;
}

// Reads through transposes.
void AbsorbTransposes(Side* side) {
  while (side->value->opcode() == Opcode::kTranspose) {
    for (Dims* dims : {&side->batch, &side->free, &side->contracting}) {
      *dims = Permute(side->value->dimensions, *dims);
    }
    side->value = side->value->operand(0);
  }
}

// Takes dims of size 1 away from the value and from all lists.
void DropOnes(Rewriter& rewriter, Side* side) {
  const Dims& sizes = side->value->shape.dims;
  Dims position(sizes.size(), -1), kept;
  for (size_t d = 0; d < sizes.size(); ++d) {
    if (sizes[d] == 1) continue;
    position[d] = static_cast<int64_t>(kept.size());
    kept.push_back(sizes[d]);
  }
  for (Dims* dims : {&side->batch, &side->free, &side->contracting}) {
    Dims moved;
    for (int64_t d : *dims) {
      if (position[static_cast<size_t>(d)] >= 0) moved.push_back(position[static_cast<size_t>(d)]);
    }
    *dims = moved;
  }
  side->value = rewriter.Reshape(side->value, kept);
}

bool IsContiguous(const Dims& dims) {
  for (size_t i = 1; i < dims.size(); ++i) {
    if (dims[i] != dims[i - 1] + 1) return false;
  }
  return true;
}

// Whether a reshape alone makes [B, M, K] or [B, K, M] of it.
bool IsReshapeable(const Side& side) {
  return IsContiguous(side.batch) && IsContiguous(side.free) && IsContiguous(side.contracting) &&
         (side.batch.empty() || side.batch[0] == 0);
}

// Elements that must move.
double Cost(const Side& side) {
  if (IsReshapeable(side) || side.value->opcode() == Opcode::kConstant) return 0;
  return static_cast<double>(side.value->shape.elements());
}

// Sorts the pairs a[i], b[i] by a.
void SortPairs(Dims* a, Dims* b) {
  std::vector<std::pair<int64_t, int64_t>> pairs;
  for (size_t i = 0; i < a->size(); ++i) pairs.push_back({(*a)[i], (*b)[i]});
  std::sort(pairs.begin(), pairs.end());
  for (size_t i = 0; i < pairs.size(); ++i) std::tie((*a)[i], (*b)[i]) = pairs[i];
}

// Contracting pairs may come in any order: the one that moves least. The order of the batch dims is
// the result's.
void ChooseOrder(Side* lhs, Side* rhs) {
  Side best_lhs, best_rhs;
  double best = std::numeric_limits<double>::infinity();
  for (bool by_lhs : {true, false}) {
    Side l = *lhs;
    Side r = *rhs;
    if (by_lhs) {
      SortPairs(&l.contracting, &r.contracting);
    } else {
      SortPairs(&r.contracting, &l.contracting);
    }
    const double cost = Cost(l) + Cost(r);
    if (cost >= best) continue;
    best = cost;
    best_lhs = l;
    best_rhs = r;
  }
  *lhs = best_lhs;
  *rhs = best_rhs;
}

int64_t Product(const Dims& sizes, const Dims& dims) {
  int64_t product = 1;
  for (int64_t d : dims) product *= sizes[static_cast<size_t>(d)];
  return product;
}

// The operand with at most one batch dim, which leads, one free and one contracting dim.
struct Canonical {
  Instruction* value;
  bool contracting_first;
};

Canonical Merge(Rewriter& rewriter, const Side& side, bool is_lhs) {
  Instruction* value = side.value;
  bool contracting_first = !is_lhs;
  if (IsReshapeable(side)) {
    if (!side.contracting.empty() && !side.free.empty()) {
      contracting_first = side.contracting[0] < side.free[0];
    }
  } else {
    Dims order = side.batch;
    for (const Dims& dims : is_lhs ? std::vector<Dims>{side.free, side.contracting}
                                   : std::vector<Dims>{side.contracting, side.free}) {
      order.insert(order.end(), dims.begin(), dims.end());
    }
    value = rewriter.Transpose(value, order);
  }
  const Dims& sizes = side.value->shape.dims;
  const int64_t free = Product(sizes, side.free);
  const int64_t contracting = Product(sizes, side.contracting);
  Dims merged;
  if (!side.batch.empty()) merged.push_back(Product(sizes, side.batch));
  merged.push_back(contracting_first ? contracting : free);
  merged.push_back(contracting_first ? free : contracting);
  return {rewriter.Reshape(value, merged), contracting_first};
}

bool HasCanonicalForm(const Instruction& dot) {
  const hlo::DotDims& dims = dot.dot_dims;
  const size_t batch = dims.lhs_batch.size();
  if (batch > 1 || dims.lhs_contracting.size() != 1) return false;
  if (batch == 1 && (dims.lhs_batch[0] != 0 || dims.rhs_batch[0] != 0)) return false;
  for (const Instruction* operand : dot.operands()) {
    if (operand->shape.dims.size() != batch + 2) return false;
    if (operand->opcode() == Opcode::kTranspose && (batch == 0 || operand->dimensions[0] == 0))
      return false;
  }
  // A batch of one is none.
  return batch == 0 || dot.operand(0)->shape.dim(0) != 1;
}

Instruction* Canonicalize(Instruction* dot) {
  if (dot->opcode() != Opcode::kDot || HasCanonicalForm(*dot)) return nullptr;
  Rewriter rewriter(*dot);
  const hlo::DotDims& dims = dot->dot_dims;
  Side lhs = MakeSide(dot->operand(0), dims.lhs_batch, dims.lhs_contracting);
  Side rhs = MakeSide(dot->operand(1), dims.rhs_batch, dims.rhs_contracting);
  for (Side* side : {&lhs, &rhs}) {
    AbsorbTransposes(side);
    DropOnes(rewriter, side);
  }
  ChooseOrder(&lhs, &rhs);
  const Canonical a = Merge(rewriter, lhs, /*is_lhs=*/true);
  const Canonical b = Merge(rewriter, rhs, /*is_lhs=*/false);

  const int64_t batch = lhs.batch.empty() ? 0 : 1;
  Dims result_dims;
  if (batch == 1) result_dims.push_back(a.value->shape.dim(0));
  result_dims.push_back(a.value->shape.dim(batch + (a.contracting_first ? 1 : 0)));
  result_dims.push_back(b.value->shape.dim(batch + (b.contracting_first ? 1 : 0)));
  Instruction* result = dot->parent()->AddCopy(*dot, {a.value, b.value});
  result->shape = dot->shape.WithDims(result_dims);
  result->dot_dims = hlo::DotDims();
  result->dot_dims.lhs_contracting = {batch + (a.contracting_first ? 0 : 1)};
  result->dot_dims.rhs_contracting = {batch + (b.contracting_first ? 0 : 1)};
  if (batch == 1) result->dot_dims.lhs_batch = result->dot_dims.rhs_batch = {0};
  return rewriter.Reshape(result, dot->shape.dims);
}

}  // namespace

absl::StatusOr<bool> CanonicalizeDots(hlo::Module* module) {
  return RewriteInstructions(module, [](Instruction* instr) -> Instruction* {
    if (instr->opcode() == Opcode::kDot) {
      for (int64_t d : instr->dot_dims.lhs_contracting) {
        if (instr->operand(0)->shape.dim(d) != 0) continue;
        Rewriter rewriter(*instr);  // a sum of nothing
        return rewriter.Fill(rewriter.Scalar(instr->shape.type, 0), instr->shape.dims);
      }
    }
    return Canonicalize(instr);
  });
}

}  // namespace glia::compiler
