#include <algorithm>
#include <string>

#include "absl/container/flat_hash_map.h"
#include "absl/hash/hash.h"
#include "compiler/passes/attributes_equal.h"
#include "compiler/passes/passes.h"
#include "compiler/passes/rewrite.h"

namespace glia::compiler {
namespace {

using hlo::Instruction;
using hlo::Opcode;

bool IsMergeable(const Instruction& instr) {
  return instr.opcode() != Opcode::kParameter && instr.opcode() != Opcode::kRng &&
         !instr.HasSideEffectTransitively();
}

// Operands in an order that does not depend on how a commutative instruction was written.
std::vector<const Instruction*> OrderedOperands(const Instruction& instr) {
  std::vector<const Instruction*> operands(instr.operands().begin(), instr.operands().end());
  if (hlo::IsCommutative(instr.opcode())) {
    std::sort(operands.begin(), operands.end(),
              [](const Instruction* a, const Instruction* b) { return a->id() < b->id(); });
  }
  return operands;
}

// Large constants are sampled: those that agree in the samples are compared in full.
size_t HashLiteral(const hlo::Literal& literal) {
  if (literal.shape().IsTuple() || literal.bytes() == 0) return 0;
  const char* data = static_cast<const char*>(literal.raw());
  const int64_t bytes = literal.bytes();
  constexpr int64_t kSample = 64;
  size_t hash = static_cast<size_t>(bytes);
  for (int64_t i = 0; i < 16; ++i) {
    const int64_t start = (bytes - std::min(bytes, kSample)) / 15 * i;
    hash = absl::HashOf(
        hash, absl::string_view(data + start, static_cast<size_t>(std::min(bytes, kSample))));
  }
  return hash;
}

size_t HashInstruction(const Instruction& instr) {
  size_t hash =
      absl::HashOf(static_cast<int>(instr.opcode()), static_cast<int>(instr.shape.type),
                   instr.shape.dims, instr.dimensions, instr.tuple_index, instr.slice_starts);
  for (const Instruction* operand : OrderedOperands(instr))
    hash = absl::HashOf(hash, operand->id());
  for (const hlo::Computation* called : instr.called) hash = absl::HashOf(hash, called->id());
  if (instr.literal != nullptr) hash = absl::HashOf(hash, HashLiteral(*instr.literal));
  return hash;
}

bool Equal(const Instruction& a, const Instruction& b) {
  return a.opcode() == b.opcode() && a.shape == b.shape && a.called == b.called &&
         OrderedOperands(a) == OrderedOperands(b) && AttributesEqual(a, b);
}

bool MergeInstructions(hlo::Computation* computation) {
  absl::flat_hash_map<size_t, std::vector<Instruction*>> seen;
  bool changed = false;
  for (Instruction* instr : computation->PostOrder()) {
    if (instr->IsDead() || !IsMergeable(*instr)) continue;
    std::vector<Instruction*>& bucket = seen[HashInstruction(*instr)];
    auto it = std::find_if(bucket.begin(), bucket.end(),
                           [&](const Instruction* other) { return Equal(*instr, *other); });
    if (it == bucket.end()) {
      bucket.push_back(instr);
    } else {
      instr->ReplaceAllUsesWith(*it);
      changed = true;
    }
  }
  if (changed) computation->RemoveDead();
  return changed;
}

bool Equal(const hlo::Computation& a, const hlo::Computation& b) {
  const std::vector<Instruction*> x = a.PostOrder();
  const std::vector<Instruction*> y = b.PostOrder();
  if (x.size() != y.size() || a.parameter_count() != b.parameter_count()) return false;
  absl::flat_hash_map<const Instruction*, size_t> positions;
  for (size_t i = 0; i < x.size(); ++i) {
    positions[x[i]] = i;
    positions[y[i]] = i;
    if (x[i]->opcode() != y[i]->opcode() || x[i]->shape != y[i]->shape ||
        x[i]->called != y[i]->called || x[i]->operand_count() != y[i]->operand_count() ||
        !AttributesEqual(*x[i], *y[i])) {
      return false;
    }
    for (int64_t k = 0; k < x[i]->operand_count(); ++k) {
      if (positions[x[i]->operand(k)] != positions[y[i]->operand(k)]) return false;
    }
  }
  return positions[a.root()] == positions[b.root()];
}

size_t HashComputation(const hlo::Computation& computation) {
  size_t hash = static_cast<size_t>(computation.parameter_count());
  for (const Instruction* instr : computation.PostOrder()) {
    hash = absl::HashOf(hash, static_cast<int>(instr->opcode()),
                        static_cast<int>(instr->shape.type), instr->shape.dims);
  }
  return hash;
}

bool MergeComputations(hlo::Module* module) {
  absl::flat_hash_map<size_t, std::vector<hlo::Computation*>> seen;
  absl::flat_hash_map<const hlo::Computation*, hlo::Computation*> canonical;
  for (hlo::Computation* computation : module->MakeComputationPostOrder()) {
    // Callees come first, so what a computation calls is already the canonical one.
    for (Instruction* instr : computation->Instructions()) {
      for (hlo::Computation*& called : instr->called) called = canonical.find(called)->second;
    }
    std::vector<hlo::Computation*>& bucket = seen[HashComputation(*computation)];
    auto it = std::find_if(bucket.begin(), bucket.end(), [&](const hlo::Computation* other) {
      return computation != module->entry() && Equal(*computation, *other);
    });
    if (it != bucket.end()) {
      canonical[computation] = *it;
    } else {
      canonical[computation] = computation;
      bucket.push_back(computation);
    }
  }
  return module->RemoveUnreachable() > 0;
}

}  // namespace

absl::StatusOr<bool> MergeCommonSubexpressions(hlo::Module* module) {
  bool changed = MergeComputations(module);
  for (hlo::Computation* computation : module->MakeComputationPostOrder()) {
    changed = MergeInstructions(computation) || changed;
  }
  return changed;
}

}  // namespace glia::compiler
