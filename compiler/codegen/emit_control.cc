// Control flow: segments that end in jumps and branches. What crosses them lies in HBM.
#include <algorithm>
#include <vector>

#include "absl/strings/str_cat.h"
#include "compiler/codegen/emitters.h"
#include "compiler/codegen/tiling.h"

namespace glia::compiler {
namespace {

using hlo::Computation;
using hlo::Instruction;

isa::Terminator Jump(uint32_t target) {
  isa::Terminator t;
  t.kind = isa::TerminatorKind::kJump;
  t.target = target;
  return t;
}

// Branches to `target` if the pred in HBM is not 0.
isa::Terminator Branch(const Nd& pred, uint32_t target, uint32_t otherwise) {
  isa::Terminator t;
  t.kind = isa::TerminatorKind::kBranch;
  t.target = target;
  t.otherwise = otherwise;
  t.var = pred.var;
  t.offset = static_cast<uint64_t>(pred.offset);
  t.dtype = pred.dtype;
  return t;
}

// The leaves of all operands from `first` on.
absl::StatusOr<std::vector<Nd>> LeavesOf(Emitter& e, const Instruction& hlo, int64_t first) {
  std::vector<Nd> leaves;
  for (int64_t i = first; i < hlo.operand_count(); ++i) {
    absl::StatusOr<std::vector<Nd>> part = e.Leaves(hlo.operand(i));
    if (!part.ok()) return part.status();
    leaves.insert(leaves.end(), part->begin(), part->end());
  }
  return leaves;
}

int64_t LeafCount(const hlo::Shape& shape) {
  if (!shape.IsTuple()) return 1;
  int64_t count = 0;
  for (const hlo::Shape& element : shape.tuple) count += LeafCount(element);
  return count;
}

std::vector<Nd> NewResults(Emitter& e, const Instruction& hlo) {
  std::vector<Nd> results;
  const int64_t count = LeafCount(hlo.shape);
  for (int64_t i = 0; i < count; ++i) results.push_back(e.NewResult(hlo, i));
  return results;
}

bool Same(const Nd& a, const Nd& b) {
  return a.var == b.var && a.offset == b.offset && a.contiguous() && b.contiguous();
}

// Replaces what `state` holds by `next`, whose arrays may be views of it.
void Update(Emitter& e, const std::vector<Nd>& state, std::vector<Nd> next) {
  const auto in_state = [&state](const Nd& nd) {
    return std::any_of(state.begin(), state.end(), [&nd](const Nd& s) { return s.var == nd.var; });
  };
  for (size_t i = 0; i < state.size(); ++i) {
    if (Same(state[i], next[i]) || !in_state(next[i])) continue;
    const Nd copy = e.NewBuffer(next[i].dtype, next[i].dims, "next");
    e.Dma(copy, next[i]);
    next[i] = copy;
  }
  for (size_t i = 0; i < state.size(); ++i) {
    if (!Same(state[i], next[i])) e.Dma(state[i], next[i]);
  }
}

// A scalar where a terminator may read it.
Nd ForTerminator(Emitter& e, const Nd& pred) {
  const Nd copy = e.NewBuffer(pred.dtype, {}, "condition");
  e.Dma(copy, pred);
  return copy;
}

}  // namespace

absl::Status EmitCall(Emitter& e, const Instruction& hlo) {
  absl::StatusOr<std::vector<Nd>> arguments = LeavesOf(e, hlo, 0);
  if (!arguments.ok()) return arguments.status();
  absl::StatusOr<std::vector<Nd>> results = e.EmitComputation(*hlo.to_apply(), *arguments);
  if (!results.ok()) return results.status();
  e.SetLeaves(hlo, *std::move(results));
  return e.status();
}

absl::Status EmitWhile(Emitter& e, const Instruction& hlo) {
  absl::StatusOr<std::vector<Nd>> init = LeavesOf(e, hlo, 0);
  if (!init.ok()) return init.status();
  const std::vector<Nd> state = NewResults(e, hlo);
  for (size_t i = 0; i < state.size(); ++i) e.Dma(state[i], (*init)[i]);

  const uint32_t condition = e.NewSegment();
  e.SetTerminator(e.current_segment(), Jump(condition));
  e.StartSegment(condition);
  absl::StatusOr<std::vector<Nd>> pred = e.EmitComputation(*hlo.while_condition(), state);
  if (!pred.ok()) return pred.status();
  const Nd going = ForTerminator(e, (*pred)[0]);
  const uint32_t body = e.NewSegment(), exit = e.NewSegment();
  e.SetTerminator(e.current_segment(), Branch(going, body, exit));

  e.StartSegment(body);
  absl::StatusOr<std::vector<Nd>> next = e.EmitComputation(*hlo.while_body(), state);
  if (!next.ok()) return next.status();
  Update(e, state, *std::move(next));
  e.SetTerminator(e.current_segment(), Jump(condition));
  e.MarkLoop(condition);
  e.StartSegment(exit);
  return e.status();
}

absl::Status EmitConditional(Emitter& e, const Instruction& hlo) {
  const Instruction* selector = hlo.operand(0);
  const size_t branches = hlo.called.size();
  absl::StatusOr<Nd> selected = e.View(selector);
  if (!selected.ok()) return selected.status();
  std::vector<std::vector<Nd>> arguments;
  for (size_t b = 0; b < branches; ++b) {
    absl::StatusOr<std::vector<Nd>> leaves = e.Leaves(hlo.operand(static_cast<int64_t>(b) + 1));
    if (!leaves.ok()) return leaves.status();
    arguments.push_back(*std::move(leaves));
  }
  // Whether each branch but the last is taken; the last stands for all other values.
  std::vector<Nd> taken;
  if (selector->shape.type == hlo::kPred) {
    taken.push_back(ForTerminator(e, *selected));
  } else {
    const Tile index = e.NewTile(selected->dtype, 1, 1, "branch");
    e.Dma(e.At(index, {1, 1}), BroadcastNd(*selected, {1, 1}, {}));
    for (size_t b = 0; b + 1 < branches; ++b) {
      const Tile equal = e.NewTile(DType::kPred, 1, 1, "branch");
      e.TensorScalar(equal.all(), index.all(), AluOp::kEq, static_cast<int>(b));
      const Nd buffer = e.NewBuffer(DType::kPred, {}, "branch");
      e.Dma(InsertDim(InsertDim(buffer, 0), 0), e.At(equal, {1, 1}));
      taken.push_back(buffer);
    }
  }
  const std::vector<Nd> results = NewResults(e, hlo);
  const uint32_t exit = e.NewSegment();
  for (size_t b = 0; b < branches && e.ok(); ++b) {
    const uint32_t branch = e.NewSegment();
    // Where the choice goes on: after the first, an empty segment for each further branch.
    uint32_t next = branch;
    if (b + 1 < branches) {
      next = e.NewSegment();
      e.SetTerminator(e.current_segment(), Branch(taken[b], branch, next));
    } else {
      e.SetTerminator(e.current_segment(), Jump(branch));
    }
    e.StartSegment(branch);
    absl::StatusOr<std::vector<Nd>> values = e.EmitComputation(*hlo.called[b], arguments[b]);
    if (!values.ok()) return values.status();
    for (size_t i = 0; i < results.size(); ++i) e.Dma(results[i], (*values)[i]);
    e.SetTerminator(e.current_segment(), Jump(exit));
    if (b + 1 < branches) e.StartSegment(next);
  }
  e.StartSegment(exit);
  return e.status();
}

absl::Status EmitMap(Emitter& e, const Instruction& hlo) {
  std::vector<Nd> parts = {e.NewResult(hlo)};
  for (const Instruction* operand : hlo.operands()) {
    absl::StatusOr<Nd> view = e.View(operand);
    if (!view.ok()) return view.status();
    parts.push_back(*view);
  }
  absl::Status status;
  if (!e.ok() || parts[0].elements() == 0) return e.status();
  ForEachTile(parts, 1024, [&](const TileBox& box) {
    if (!status.ok()) return;
    std::vector<Operand> arguments;
    for (size_t i = 1; i < parts.size(); ++i) {
      LoadedOperand load = LoadOperand(e, box.parts[i], box.partition_dims);
      if (load.column) {
        load.operand.size[isa::kFreeDims - 1] = static_cast<uint16_t>(box.free);
      }
      arguments.push_back(load.operand);
    }
    absl::StatusOr<std::vector<Operand>> values = e.ApplyScalar(*hlo.to_apply(), arguments);
    if (!values.ok()) {
      status = values.status();
      return;
    }
    const Tile tile = e.NewTile(parts[0].dtype, box.partitions, box.free, "map");
    e.Copy(tile.all(), (*values)[0]);
    e.Store(box.parts[0], box.partition_dims, tile);
  });
  return status.ok() ? e.status() : status;
}

absl::Status EmitCustomCall(Emitter&, const Instruction& hlo) {
  return absl::UnimplementedError(
      absl::StrCat("custom-call to '", hlo.custom_call_target,
                   "': the compiler knows no custom calls; express it in other HLO operations"));
}

}  // namespace glia::compiler
