#include <algorithm>
#include <vector>

#include "absl/container/flat_hash_map.h"
#include "compiler/passes/passes.h"
#include "compiler/passes/rewrite.h"

namespace glia::compiler {
namespace {

using hlo::Computation;
using hlo::Instruction;
using hlo::Opcode;
using hlo::Shape;

using Arrays = std::vector<Instruction*>;  // one for each operand of a variadic reduce-window

// The reducer of one reduce-window, over arrays instead of scalars.
class Reducer {
 public:
  Reducer(Rewriter* rewriter, const Instruction& window)
      : r_(*rewriter), parent_(window.parent()), computation_(*window.to_apply()) {}

  // Every instruction is element-wise on scalars, but for a tuple as the root.
  bool Applicable() const {
    for (const Instruction* instr : computation_.Instructions()) {
      const Opcode opcode = instr->opcode();
      if (opcode == Opcode::kTuple && instr->IsRoot()) continue;
      const bool source = opcode == Opcode::kParameter || opcode == Opcode::kConstant;
      if (!instr->shape.IsScalar() || (!source && !hlo::IsElementwise(opcode))) return false;
    }
    return true;
  }

  Arrays operator()(const Arrays& left, const Arrays& right) const {
    const std::vector<int64_t>& dims = left[0]->shape.dims;
    absl::flat_hash_map<const Instruction*, Instruction*> arrays;
    for (const Instruction* instr : computation_.PostOrder()) {
      if (instr->opcode() == Opcode::kTuple) continue;
      Instruction*& array = arrays[instr];
      if (instr->opcode() == Opcode::kParameter) {
        const auto number = static_cast<size_t>(instr->parameter_number);
        array = number < left.size() ? left[number] : right[number - left.size()];
        continue;
      }
      std::vector<Instruction*> operands;
      for (const Instruction* operand : instr->operands()) {
        operands.push_back(arrays.find(operand)->second);
      }
      Instruction* copy = parent_->AddCopy(*instr, operands);
      if (instr->opcode() == Opcode::kConstant) {
        copy = r_.Fill(copy, dims);
      } else {
        copy->shape = instr->shape.WithDims(dims);
      }
      arrays[instr] = copy;
    }
    const Instruction* root = computation_.root();
    if (root->opcode() != Opcode::kTuple) return {arrays.find(root)->second};
    Arrays results;
    for (const Instruction* element : root->operands()) {
      results.push_back(arrays.find(element)->second);
    }
    return results;
  }

 private:
  Rewriter& r_;
  Computation* parent_;
  const Computation& computation_;
};

Arrays SliceDim(Rewriter& r, const Arrays& arrays, size_t dim, int64_t start, int64_t count,
                int64_t stride) {
  Arrays results;
  for (Instruction* x : arrays) {
    std::vector<int64_t> dims = x->shape.dims;
    if (start == 0 && count == dims[dim] && stride == 1) {
      results.push_back(x);
      continue;
    }
    std::vector<int64_t> starts(dims.size(), 0);
    std::vector<int64_t> strides(dims.size(), 1);
    std::vector<int64_t> limits = dims;
    starts[dim] = start;
    limits[dim] = start + (count - 1) * stride + 1;
    strides[dim] = stride;
    dims[dim] = count;
    Instruction* slice = r.Add(Opcode::kSlice, x->shape.WithDims(dims), {x});
    slice->slice_starts = starts;
    slice->slice_limits = limits;
    slice->slice_strides = strides;
    results.push_back(slice);
  }
  return results;
}

// Reduces windows along one dim: a window of n elements is put together from windows of powers of
// two, each of which is two of the next smaller one, shifted. 2 log2(n) applications instead of n.
// `count` results.
Arrays ReduceDim(Rewriter& r, const Reducer& reduce, Arrays x, size_t dim,
                 const hlo::WindowDim& window, int64_t count) {
  const int64_t positions = (count - 1) * window.stride + 1;
  Arrays result;  // covers `covered` elements of each window
  int64_t covered = 0;
  for (int64_t size = 1;; size *= 2) {
    if ((window.size & size) != 0) {
      Arrays part = SliceDim(r, x, dim, covered * window.window_dilation, positions, 1);
      result = result.empty() ? part : reduce(result, part);
      covered += size;
    }
    if (covered == window.size) break;
    const int64_t shift = size * window.window_dilation;
    const int64_t length = x[0]->shape.dims[dim] - shift;
    x = reduce(SliceDim(r, x, dim, 0, length, 1), SliceDim(r, x, dim, shift, length, 1));
  }
  return SliceDim(r, result, dim, 0, count, window.stride);
}

Instruction* Expand(Instruction* instr) {
  if (instr->opcode() != Opcode::kReduceWindow) return nullptr;
  Rewriter r(*instr);
  const Reducer reduce(&r, *instr);
  if (!reduce.Applicable()) return nullptr;
  const auto n = static_cast<size_t>(instr->operand_count()) / 2;
  const bool tuple = instr->shape.IsTuple();
  const std::vector<int64_t>& result_dims = tuple ? instr->shape.tuple[0].dims : instr->shape.dims;
  Arrays arrays;
  for (size_t i = 0; i < n; ++i) {
    Instruction* x = instr->operand(static_cast<int64_t>(i));
    Instruction* init = instr->operand(static_cast<int64_t>(n + i));
    if (std::find(result_dims.begin(), result_dims.end(), 0) != result_dims.end()) {
      arrays.push_back(r.Fill(init, result_dims));
      continue;
    }
    std::vector<hlo::PaddingDim> padding;
    std::vector<int64_t> dims;
    bool pads = false;
    for (size_t d = 0; d < instr->window.size(); ++d) {
      const hlo::WindowDim& w = instr->window[d];
      const int64_t size = x->shape.dims[d];
      const int64_t interior = size > 0 ? (size - 1) * (w.base_dilation - 1) : 0;
      padding.push_back({w.pad_low, w.pad_high, w.base_dilation - 1});
      dims.push_back(size + interior + w.pad_low + w.pad_high);
      pads = pads || w.pad_low != 0 || w.pad_high != 0 || w.base_dilation != 1;
    }
    if (pads) {
      x = r.Add(Opcode::kPad, x->shape.WithDims(dims), {x, init});
      x->padding = padding;
    }
    arrays.push_back(x);
  }
  if (arrays[0]->shape.dims != result_dims ||
      std::any_of(instr->window.begin(), instr->window.end(),
                  [](const auto& w) { return w.size > 1; })) {
    for (size_t d = 0; d < instr->window.size(); ++d) {
      if (arrays[0]->shape.elements() == 0) break;
      arrays = ReduceDim(r, reduce, arrays, d, instr->window[d], result_dims[d]);
    }
  }
  // The initial value takes part once in each window; one that is the identity folds away.
  Arrays inits;
  for (size_t i = 0; i < n; ++i) {
    inits.push_back(r.Fill(instr->operand(static_cast<int64_t>(n + i)), result_dims));
  }
  if (instr->shape.elements() != 0 || tuple) arrays = reduce(inits, arrays);
  return tuple ? r.Tuple(arrays) : arrays[0];
}

}  // namespace

absl::StatusOr<bool> ExpandReduceWindows(hlo::Module* module) {
  return RewriteInstructions(module, Expand);
}

}  // namespace glia::compiler
