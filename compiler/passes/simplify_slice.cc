#include <algorithm>

#include "compiler/passes/rewrite.h"
#include "compiler/passes/simplify.h"

namespace glia::compiler {
namespace {

using hlo::Instruction;
using hlo::Opcode;

bool IsRepeatedScalar(const Instruction& instr) {
  return instr.opcode() == Opcode::kBroadcast && instr.operand(0)->shape.IsScalar();
}

Instruction* SliceWhole(Instruction* instr) {
  // A slice of all elements has starts 0 and strides 1.
  return instr->operand(0)->shape.dims == instr->shape.dims ? instr->operand(0) : nullptr;
}

Instruction* SliceSlice(Instruction* instr) {
  Instruction* inner = instr->operand(0);
  if (inner->opcode() != Opcode::kSlice) return nullptr;
  Instruction* slice = Rewriter(*instr).Add(Opcode::kSlice, instr->shape, {inner->operand(0)});
  for (size_t d = 0; d < instr->slice_starts.size(); ++d) {
    const int64_t step = inner->slice_strides[d];
    slice->slice_strides.push_back(instr->slice_strides[d] * step);
    slice->slice_starts.push_back(inner->slice_starts[d] + instr->slice_starts[d] * step);
    // One past the last element taken.
    slice->slice_limits.push_back(slice->slice_starts[d] +
                                  (instr->shape.dims[d] - 1) * slice->slice_strides[d] + 1);
  }
  return slice;
}

Instruction* SliceOfRepeatedScalar(Instruction* instr) {
  Instruction* x = instr->operand(0);
  return IsRepeatedScalar(*x) ? Rewriter(*instr).Fill(x->operand(0), instr->shape.dims) : nullptr;
}

// A slice that lies within one part of a concatenation.
Instruction* SliceConcatenate(Instruction* instr) {
  Instruction* concat = instr->operand(0);
  if (concat->opcode() != Opcode::kConcatenate) return nullptr;
  const size_t dim = static_cast<size_t>(concat->dimensions[0]);
  int64_t position = 0;
  for (Instruction* part : concat->operands()) {
    const int64_t end = position + part->shape.dims[dim];
    if (instr->slice_starts[dim] >= position && instr->slice_limits[dim] <= end) {
      Instruction* slice = Rewriter(*instr).Add(Opcode::kSlice, instr->shape, {part});
      slice->slice_starts = instr->slice_starts;
      slice->slice_limits = instr->slice_limits;
      slice->slice_strides = instr->slice_strides;
      slice->slice_starts[dim] -= position;
      slice->slice_limits[dim] -= position;
      return slice;
    }
    position = end;
  }
  return nullptr;
}

Instruction* PadNothing(Instruction* instr) {
  for (const hlo::PaddingDim& dim : instr->padding) {
    if (dim.low != 0 || dim.high != 0 || dim.interior != 0) return nullptr;
  }
  return instr->operand(0);
}

// A repeated scalar padded with the same value, or nothing padded at all.
Instruction* PadOfSame(Instruction* instr) {
  const auto value = SplatValue(*instr->operand(1));
  Instruction* x = instr->operand(0);
  if (x->shape.elements() == 0) return Rewriter(*instr).Fill(instr->operand(1), instr->shape.dims);
  if (!value.has_value() || *value == 0 || !IsAll(*x, *value)) return nullptr;  // 0 has two signs
  return Rewriter(*instr).Fill(instr->operand(1), instr->shape.dims);
}

// Negative padding is a slice, before or instead of a pad. With interior padding it may cut in
// between.
Instruction* NegativePad(Instruction* instr) {
  Instruction* x = instr->operand(0);
  std::vector<int64_t> starts(instr->padding.size(), 0);
  std::vector<int64_t> limits = x->shape.dims;
  std::vector<hlo::PaddingDim> rest = instr->padding;
  bool any = false;
  for (size_t d = 0; d < rest.size(); ++d) {
    if (rest[d].interior != 0 || (rest[d].low >= 0 && rest[d].high >= 0)) continue;
    const int64_t low = std::min<int64_t>(rest[d].low, 0);
    const int64_t high = std::min<int64_t>(rest[d].high, 0);
    if (x->shape.dims[d] + low + high < 0)
      return nullptr;  // cuts into the padding of the other side
    starts[d] = -low;
    limits[d] += high;
    rest[d].low -= low;
    rest[d].high -= high;
    any = true;
  }
  if (!any) return nullptr;
  Rewriter rewriter(*instr);
  Instruction* pad = rewriter.Add(Opcode::kPad, instr->shape,
                                  {rewriter.Slice(x, starts, limits), instr->operand(1)});
  pad->padding = rest;
  return pad;
}

Instruction* ConcatenateFew(Instruction* instr) {
  const size_t dim = static_cast<size_t>(instr->dimensions[0]);
  std::vector<Instruction*> parts;
  for (Instruction* part : instr->operands()) {
    if (part->shape.dims[dim] == 0) continue;
    if (part->opcode() == Opcode::kConcatenate && part->dimensions == instr->dimensions) {
      parts.insert(parts.end(), part->operands().begin(), part->operands().end());
      continue;
    }
    // Neighbouring slices of one array are one slice.
    Instruction* last = parts.empty() ? nullptr : parts.back();
    if (last != nullptr && last->opcode() == Opcode::kSlice && part->opcode() == Opcode::kSlice &&
        last->operand(0) == part->operand(0) && last->slice_strides == part->slice_strides &&
        part->slice_strides[dim] == 1 && last->slice_limits[dim] == part->slice_starts[dim]) {
      auto starts = last->slice_starts;
      auto limits = part->slice_limits;
      starts[dim] = part->slice_starts[dim];
      limits[dim] = last->slice_limits[dim];
      if (starts == part->slice_starts && limits == last->slice_limits) {
        hlo::Shape shape = last->shape;
        shape.dims[dim] += part->shape.dims[dim];
        Instruction* merged = Rewriter(*instr).Add(Opcode::kSlice, shape, {part->operand(0)});
        merged->slice_starts = last->slice_starts;
        merged->slice_limits = part->slice_limits;
        merged->slice_strides = part->slice_strides;
        parts.back() = merged;
        continue;
      }
    }
    parts.push_back(part);
  }
  if (parts.size() == instr->operands().size() &&
      std::equal(parts.begin(), parts.end(), instr->operands().begin())) {
    return nullptr;
  }
  if (parts.size() == 1) return parts[0];
  Instruction* result = Rewriter(*instr).Add(Opcode::kConcatenate, instr->shape, parts);
  result->dimensions = instr->dimensions;
  return result;
}

// A single part, also where no rule above applies.
Instruction* ConcatenateOne(Instruction* instr) {
  return instr->operand_count() == 1 ? instr->operand(0) : nullptr;
}

// Constant starts from operand `first` on, clamped so that `sizes` fit in `dims`.
bool ConstantStarts(const Instruction& instr, int64_t first, const std::vector<int64_t>& dims,
                    const std::vector<int64_t>& sizes, std::vector<int64_t>* starts) {
  if (instr.operand_count() - first != static_cast<int64_t>(dims.size())) return false;
  for (size_t d = 0; d < dims.size(); ++d) {
    // Where the whole dim is taken, clamping leaves only 0.
    if (sizes[d] == dims[d]) {
      starts->push_back(0);
      continue;
    }
    const Instruction& start = *instr.operand(first + static_cast<int64_t>(d));
    const auto value = ConstantIndex(start);
    if (!value.has_value()) return false;
    const int64_t index = *value < 0 && start.shape.type == hlo::kU64 ? dims[d] : *value;
    starts->push_back(std::max<int64_t>(0, std::min(index, dims[d] - sizes[d])));
  }
  return true;
}

Instruction* DynamicSliceConstant(Instruction* instr) {
  Instruction* x = instr->operand(0);
  std::vector<int64_t> starts;
  if (!ConstantStarts(*instr, 1, x->shape.dims, instr->shape.dims, &starts)) return nullptr;
  std::vector<int64_t> limits = starts;
  for (size_t d = 0; d < limits.size(); ++d) limits[d] += instr->shape.dims[d];
  return Rewriter(*instr).Slice(x, starts, limits);
}

// Written at a known place, and smaller than the operand in one dim at most.
Instruction* DynamicUpdateSliceConstant(Instruction* instr) {
  Instruction* x = instr->operand(0);
  Instruction* update = instr->operand(1);
  const std::vector<int64_t>& dims = x->shape.dims;
  if (update->shape.elements() == 0) return x;
  std::vector<int64_t> starts;
  if (!ConstantStarts(*instr, 2, dims, update->shape.dims, &starts)) return nullptr;
  std::vector<size_t> partial;
  for (size_t d = 0; d < dims.size(); ++d) {
    if (update->shape.dims[d] != dims[d]) partial.push_back(d);
  }
  if (partial.empty()) return update;
  if (partial.size() > 1) return nullptr;
  const size_t dim = partial[0];
  Rewriter rewriter(*instr);
  std::vector<Instruction*> parts;
  auto part_of_x = [&](int64_t begin, int64_t end) {
    if (begin == end) return;
    std::vector<int64_t> part_starts(dims.size(), 0);
    std::vector<int64_t> part_limits = dims;
    part_starts[dim] = begin;
    part_limits[dim] = end;
    parts.push_back(rewriter.Slice(x, part_starts, part_limits));
  };
  part_of_x(0, starts[dim]);
  parts.push_back(update);
  part_of_x(starts[dim] + update->shape.dims[dim], dims[dim]);
  Instruction* result = rewriter.Add(Opcode::kConcatenate, instr->shape, parts);
  result->dimensions = {static_cast<int64_t>(dim)};
  return result;
}

constexpr SimplifyRule kRules[] = {
    {"slice(x)", Opcode::kSlice, SliceWhole},
    {"slice(slice)", Opcode::kSlice, SliceSlice},
    {"slice(broadcast)", Opcode::kSlice, SliceOfRepeatedScalar},
    {"slice(concatenate)", Opcode::kSlice, SliceConcatenate},
    {"pad by nothing", Opcode::kPad, PadNothing},
    {"pad of the same", Opcode::kPad, PadOfSame},
    {"negative pad", Opcode::kPad, NegativePad},
    {"concatenate few", Opcode::kConcatenate, ConcatenateFew},
    {"concatenate one", Opcode::kConcatenate, ConcatenateOne},
    {"dynamic-slice(const)", Opcode::kDynamicSlice, DynamicSliceConstant},
    {"dynamic-update-slice(const)", Opcode::kDynamicUpdateSlice, DynamicUpdateSliceConstant},
};

}  // namespace

absl::Span<const SimplifyRule> SliceRules() { return kRules; }

}  // namespace glia::compiler
