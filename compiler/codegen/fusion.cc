#include "compiler/codegen/fusion.h"

#include <algorithm>
#include <numeric>

#include "absl/container/flat_hash_map.h"

namespace glia::compiler {
namespace {

using hlo::Instruction;
using hlo::Opcode;

class UnionFind {
 public:
  explicit UnionFind(size_t n) : parent_(n) {
    std::iota(parent_.begin(), parent_.end(), size_t{0});
  }
  size_t Find(size_t i) {
    while (parent_[i] != i) i = parent_[i] = parent_[parent_[i]];
    return i;
  }
  void Merge(size_t a, size_t b) {
    a = Find(a);
    b = Find(b);
    if (a != b) parent_[std::max(a, b)] = std::min(a, b);
  }

 private:
  std::vector<size_t> parent_;
};

bool Fuses(const Instruction& operand, const Instruction& user) {
  return IsFusible(operand) && IsFusible(user) && hlo::SameDims(operand.shape, user.shape);
}

// Whether a member of the group reads `view`, or a view of it.
bool ReadsLazily(const Instruction& view,
                 const absl::flat_hash_map<const Instruction*, size_t>& index, UnionFind* groups,
                 size_t group) {
  std::vector<const Instruction*> pending = {&view};
  for (size_t v = 0; v < pending.size(); ++v) {
    for (const hlo::Use& use : pending[v]->uses()) {
      const auto at = index.find(use.user);
      if (at == index.end()) continue;
      if (IsLazy(use.user->opcode())) {
        pending.push_back(use.user);
      } else if (groups->Find(at->second) == group) {
        return true;
      }
    }
  }
  return false;
}

bool IsProduct(const Instruction& hlo) { return hlo.opcode() == Opcode::kDot; }

}  // namespace

const Instruction* BehindReshapes(const Instruction* hlo) {
  while (hlo->opcode() == Opcode::kReshape || hlo->opcode() == Opcode::kBitcast ||
         hlo->opcode() == Opcode::kCopy) {
    if (hlo->shape.type != hlo->operand(0)->shape.type) break;
    hlo = hlo->operand(0);
  }
  return hlo;
}

bool IsLazy(Opcode opcode) {
  switch (opcode) {
    case Opcode::kBitcast:
    case Opcode::kBroadcast:
    case Opcode::kCopy:
    case Opcode::kReshape:
    case Opcode::kReverse:
    case Opcode::kSlice:
    case Opcode::kTranspose:
    case Opcode::kConstant:
    case Opcode::kIota:
    case Opcode::kParameter:
    case Opcode::kTuple:
    case Opcode::kGetTupleElement:
    case Opcode::kOptimizationBarrier:
      return true;
    default:
      return false;
  }
}

bool IsFusible(const Instruction& hlo) {
  if (!hlo::IsElementwise(hlo.opcode()) || !hlo.shape.IsArray()) return false;
  switch (hlo.opcode()) {
    case Opcode::kCopy:
      return false;
    case Opcode::kBitcastConvert:
      return hlo::SameDims(hlo.shape, hlo.operand(0)->shape);
    default:
      return true;
  }
}

std::vector<Unit> PlanUnits(const hlo::Computation& computation) {
  const std::vector<Instruction*> order = computation.PostOrder();
  absl::flat_hash_map<const Instruction*, size_t> index;
  for (size_t i = 0; i < order.size(); ++i) index[order[i]] = i;

  // Instructions of one stage have no path between them that leaves element-wise work of these
  // dims. What is lazy has the stage of what it reads.
  std::vector<int64_t> stage(order.size(), 0);
  UnionFind groups(order.size());
  for (size_t i = 0; i < order.size(); ++i) {
    for (const Instruction* operand : order[i]->operands()) {
      const int64_t step = Fuses(*operand, *order[i]) || IsLazy(order[i]->opcode()) ? 0 : 1;
      stage[i] = std::max(stage[i], stage[index[operand]] + step);
    }
    for (const Instruction* operand : order[i]->operands()) {
      if (Fuses(*operand, *order[i]) && stage[index[operand]] == stage[i])
        groups.Merge(i, index[operand]);
    }
  }
  // A product and the group that reads it are one unit if no other path leads from one to the
  // other.
  std::vector<size_t> producer(order.size(), order.size());  // by group
  for (size_t i = 0; i < order.size(); ++i) {
    if (!IsFusible(*order[i])) continue;
    for (const Instruction* operand : order[i]->operands()) {
      const Instruction* behind = BehindReshapes(operand);
      if (!IsProduct(*behind)) continue;
      const size_t group = groups.Find(i);
      const size_t p = index[behind];
      if (stage[p] + 1 != stage[i] || producer[group] != order.size()) continue;
      producer[group] = p;
    }
  }
  std::vector<bool> fused(order.size(), false);
  for (size_t group = 0; group < order.size(); ++group) {
    size_t& p = producer[group];
    if (p == order.size() || fused[p]) {
      p = order.size();
      continue;
    }
    // A member that reads another view of the product needs all of it.
    std::vector<const Instruction*> views = {order[p]};
    bool whole = false;
    for (size_t v = 0; v < views.size() && !whole; ++v) {
      for (const hlo::Use& use : views[v]->uses()) {
        const auto at = index.find(use.user);
        if (at == index.end() || !IsLazy(use.user->opcode())) continue;
        if (BehindReshapes(use.user) == order[p]) {
          views.push_back(use.user);
          continue;
        }
        whole = ReadsLazily(*use.user, index, &groups, group);
      }
    }
    if (whole) {
      p = order.size();
    } else {
      fused[p] = true;
    }
  }
  std::vector<size_t> leader(order.size());
  std::vector<size_t> producer_of(order.size(), order.size());
  for (size_t group = 0; group < order.size(); ++group) {
    if (producer[group] != order.size()) producer_of[groups.Find(group)] = producer[group];
  }
  for (size_t i = 0; i < order.size(); ++i) leader[i] = groups.Find(i);
  for (size_t group = 0; group < order.size(); ++group) {
    if (producer_of[group] != order.size()) leader[producer_of[group]] = group;
  }
  std::vector<std::vector<size_t>> members(order.size());
  for (size_t i = 0; i < order.size(); ++i) members[leader[i]].push_back(i);

  // Depth first from the root over groups, without recursion: models are deep.
  std::vector<Unit> units;
  std::vector<char> state(order.size(), 0);  // of groups: 1 entered, 2 done
  struct Frame {
    size_t group;
    size_t member;
    size_t operand;
  };
  std::vector<Frame> stack;
  const auto enter = [&](size_t i) {
    const size_t group = leader[i];
    if (state[group] != 0) return;
    state[group] = 1;
    stack.push_back({group, 0, 0});
  };
  const auto run = [&](size_t start) {
    enter(start);
    while (!stack.empty()) {
      Frame& frame = stack.back();
      const std::vector<size_t>& list = members[frame.group];
      if (frame.member == list.size()) {
        Unit unit;
        const size_t p = producer_of[frame.group];
        for (size_t i : list) {
          if (i != p) unit.members.push_back(order[i]);
        }
        if (p != order.size()) unit.producer = order[p];
        unit.elementwise = IsFusible(*unit.members[0]);
        if (!IsLazy(unit.members[0]->opcode())) units.push_back(std::move(unit));
        state[frame.group] = 2;
        stack.pop_back();
        continue;
      }
      const Instruction* member = order[list[frame.member]];
      if (frame.operand == member->operands().size()) {
        ++frame.member;
        frame.operand = 0;
        continue;
      }
      enter(index[member->operand(frame.operand++)]);
    }
  };
  if (computation.root() != nullptr) run(index[computation.root()]);
  for (size_t i = 0; i < order.size(); ++i) {
    if (order[i]->opcode() != Opcode::kParameter && order[i]->HasSideEffectTransitively()) run(i);
  }
  return units;
}

}  // namespace glia::compiler
