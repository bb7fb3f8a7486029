#include <algorithm>

#include "absl/container/flat_hash_map.h"
#include "absl/container/flat_hash_set.h"
#include "absl/types/optional.h"
#include "compiler/passes/passes.h"
#include "compiler/passes/rewrite.h"
#include "serialization/hlo/evaluator.h"

namespace glia::compiler {
namespace {

using hlo::Computation;
using hlo::Instruction;
using hlo::Literal;
using hlo::Opcode;

constexpr int64_t kMaxTrips = 1 << 16;
// The whole state, where it is not a tuple.
constexpr int64_t kWhole = -1;

Instruction* Call(Instruction* instr, Computation* callee,
                  absl::Span<Instruction* const> operands) {
  Instruction* call = Rewriter(*instr).Add(Opcode::kCall, instr->shape, operands);
  call->called = {callee};
  return call;
}

Instruction* SimplifyConditional(Instruction* instr) {
  const auto selector = ConstantIndex(*instr->operand(0));
  if (!selector.has_value()) return nullptr;
  const int64_t branches = static_cast<int64_t>(instr->called.size());
  int64_t branch = *selector;
  if (instr->operand(0)->shape.type == hlo::kPred) {
    branch = branch != 0 ? 0 : 1;
  } else if (branch < 0 || branch >= branches) {
    branch = branches - 1;
  }
  return Call(instr, instr->called[static_cast<size_t>(branch)], {instr->operand(branch + 1)});
}

// The part of a loop's state that decides when it ends: elements that, with constants, are all that
// the condition and their own next values depend on.
class InductionState {
 public:
  explicit InductionState(const Instruction& loop) : loop_(loop) {}

  // How often the body runs; nothing when that depends on more, or is above kMaxTrips.
  absl::optional<int64_t> TripCount() {
    if (!Need(*loop_.while_condition(), loop_.while_condition()->root())) return absl::nullopt;
    while (!pending_.empty()) {
      const int64_t index = pending_.back();
      pending_.pop_back();
      const Instruction* init = Element(loop_.operand(0), index);
      const Instruction* next = Element(loop_.while_body()->root(), index);
      if (init == nullptr || next == nullptr || init->opcode() != Opcode::kConstant)
        return absl::nullopt;
      values_[index] = init->constant();
      next_[index] = next;
      if (!Need(*loop_.while_body(), next)) return absl::nullopt;
    }
    for (int64_t trips = 0; trips <= kMaxTrips; ++trips) {
      Memo memo;
      const auto more = Value(loop_.while_condition()->root(), &memo);
      if (!more.has_value()) return absl::nullopt;
      if (more->GetAsInt64(0) == 0) return trips;
      memo.clear();
      absl::flat_hash_map<int64_t, Literal> values;
      for (const auto& [index, instr] : next_) {
        auto value = Value(instr, &memo);
        if (!value.has_value()) return absl::nullopt;
        values[index] = *std::move(value);
      }
      values_ = std::move(values);
    }
    return absl::nullopt;
  }

 private:
  using Memo = absl::flat_hash_map<const Instruction*, Literal>;

  // Larger values do not count loops.
  static constexpr int64_t kMaxElements = 64;

  static const Instruction* Element(const Instruction* value, int64_t index) {
    if (index == kWhole) return value;
    return value->opcode() == Opcode::kTuple ? value->operand(index) : nullptr;
  }

  // The state's element that an instruction reads, if it does.
  static absl::optional<int64_t> StateIndex(const Instruction& instr) {
    if (instr.opcode() == Opcode::kParameter && instr.shape.IsArray()) return kWhole;
    if (instr.opcode() == Opcode::kGetTupleElement &&
        instr.operand(0)->opcode() == Opcode::kParameter) {
      return instr.tuple_index;
    }
    return absl::nullopt;
  }

  // Enters the state elements that `instr` depends on; false when it does not qualify.
  bool Need(const Computation& computation, const Instruction* instr) {
    std::vector<const Instruction*> stack = {instr};
    absl::flat_hash_set<const Instruction*> seen;
    while (!stack.empty()) {
      const Instruction* current = stack.back();
      stack.pop_back();
      if (!seen.insert(current).second) continue;
      if (!current->shape.IsArray() || current->shape.elements() > kMaxElements ||
          !current->called.empty() || current->parent() != &computation) {
        return false;
      }
      if (const auto index = StateIndex(*current)) {
        if (needed_.insert(*index).second) pending_.push_back(*index);
        continue;
      }
      stack.insert(stack.end(), current->operands().begin(), current->operands().end());
    }
    return true;
  }

  absl::optional<Literal> Value(const Instruction* instr, Memo* memo) {
    if (const auto index = StateIndex(*instr)) return values_[*index];
    auto it = memo->find(instr);
    if (it != memo->end()) return it->second;
    std::vector<Literal> operands;
    for (const Instruction* operand : instr->operands()) {
      auto value = Value(operand, memo);
      if (!value.has_value()) return absl::nullopt;
      operands.push_back(*std::move(value));
    }
    absl::StatusOr<Literal> value = hlo::EvaluateInstruction(*instr, operands);
    if (!value.ok()) return absl::nullopt;
    memo->emplace(instr, *value);
    return *value;
  }

  const Instruction& loop_;
  absl::flat_hash_set<int64_t> needed_;
  std::vector<int64_t> pending_;
  absl::flat_hash_map<int64_t, const Instruction*> next_;
  absl::flat_hash_map<int64_t, Literal> values_;
};

// Instructions that inlining a computation adds, with what it calls.
int64_t InlinedSize(const Computation& computation) {
  int64_t size = computation.instruction_count();
  for (const Instruction* instr : computation.Instructions()) {
    for (const Computation* called : instr->called) size += InlinedSize(*called);
  }
  return size;
}

Instruction* SimplifyWhile(Instruction* instr, int64_t room) {
  const auto trips = InductionState(*instr).TripCount();
  if (!trips.has_value()) return nullptr;
  if (*trips > 0 && InlinedSize(*instr->while_body()) > room / *trips) return nullptr;
  Instruction* state = instr->operand(0);
  for (int64_t trip = 0; trip < *trips; ++trip) {
    state = instr->parent()->Inline(*instr->while_body(), {state});
  }
  return state;
}

}  // namespace

absl::StatusOr<bool> SimplifyControlFlow(hlo::Module* module) {
  const bool changed = RewriteInstructions(module, [module](Instruction* instr) -> Instruction* {
    if (instr->opcode() == Opcode::kConditional) return SimplifyConditional(instr);
    if (instr->opcode() != Opcode::kWhile) return nullptr;
    return SimplifyWhile(instr, kMaxUnrolledInstructions - module->instruction_count());
  });
  if (changed) module->RemoveUnreachable();
  return changed;
}

}  // namespace glia::compiler
