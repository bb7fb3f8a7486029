#include "compiler/codegen/fusion.h"

#include <algorithm>
#include <numeric>

#include "absl/container/flat_hash_map.h"
#include "compiler/codegen/emitter.h"
#include "compiler/codegen/reduce.h"

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

// A row is in one partition of a tile, and several tiles of rows are in SBUF at once.
constexpr int64_t kMaxRow = 4096;
// Fewer rows leave most partitions idle.
constexpr int64_t kMinRows = 16;

bool IsSplat(const Instruction* hlo) {
  const hlo::Literal* literal = Emitter::ConstantOf(hlo);
  return literal != nullptr && literal->elements() > 0 && literal->IsSplat();
}

// The instructions of a computation in order, and which of them are computed together.
class Grouping {
 public:
  // Reduces of which `reduces` says so may join the group that they read or that reads them.
  Grouping(const std::vector<Instruction*>& order,
           const absl::flat_hash_map<const Instruction*, size_t>& index,
           const std::vector<bool>& reduces)
      : order_(order),
        index_(index),
        stage(order.size(), 0),
        groups(order.size()),
        space_(order.size(), nullptr) {
    for (size_t i = 0; i < order.size(); ++i) {
      const std::vector<size_t> joined = Joined(i, reduces[i]);
      for (const Instruction* operand : order[i]->operands()) {
        const int64_t step = IsLazy(order[i]->opcode()) || Joins(joined, operand) ? 0 : 1;
        stage[i] = std::max(stage[i], stage[index.at(operand)] + step);
      }
      for (size_t j : joined) {
        if (stage[j] == stage[i]) groups.Merge(i, j);
      }
    }
  }

  // Whether an element-wise instruction reads what is one number a row of its dims.
  bool ReadsRows(size_t i) const {
    if (space_[i] != nullptr || !IsFusible(*order_[i])) return false;
    for (const Instruction* operand : order_[i]->operands()) {
      if (RowOf(operand, *order_[i])) return true;
    }
    return false;
  }
  // What is reduced to one number a row, directly or before other operations on such numbers.
  const Instruction* space(size_t i) const { return space_[i]; }

 private:
  const std::vector<Instruction*>& order_;
  const absl::flat_hash_map<const Instruction*, size_t>& index_;

 public:
  // Instructions of one stage have no path between them that leaves their group. What is lazy has
  // the stage of what it reads.
  std::vector<int64_t> stage;
  UnionFind groups;

 private:
  // Whether `operand` holds one number for each row of the user's dims.
  bool RowOf(const Instruction* operand, const Instruction& user) const {
    const Instruction* behind = BehindRepeats(operand);
    const Instruction* space = space_[index_.at(behind)];
    return space != nullptr && space->shape.dims == user.shape.dims;
  }

  // The earlier instructions with which `i` is computed.
  std::vector<size_t> Joined(size_t i, bool reduces) {
    const Instruction& hlo = *order_[i];
    std::vector<size_t> joined;
    if (reduces) {
      const Instruction* x = hlo.operand(0);
      space_[i] = x;
      if (IsFusible(*x) && space_[index_.at(x)] == nullptr) joined.push_back(index_.at(x));
      return joined;
    }
    if (!IsFusible(hlo)) return joined;
    if (const Instruction* space = NumberARow(hlo); space != nullptr) {
      space_[i] = space;
      for (const Instruction* operand : hlo.operands()) {
        if (!IsSplat(operand)) joined.push_back(index_.at(BehindRepeats(operand)));
      }
      return joined;
    }
    for (const Instruction* operand : hlo.operands()) {
      if (Fuses(*operand, hlo) && space_[index_.at(operand)] == nullptr) {
        joined.push_back(index_.at(operand));
      } else if (RowOf(operand, hlo)) {
        joined.push_back(index_.at(BehindRepeats(operand)));
      }
    }
    return joined;
  }

  bool Joins(const std::vector<size_t>& joined, const Instruction* operand) const {
    const auto has = [&](const Instruction* hlo) {
      return std::find(joined.begin(), joined.end(), index_.at(hlo)) != joined.end();
    };
    return has(operand) || has(BehindRepeats(operand));
  }

  // The space of an operation on numbers of rows, all of one space.
  const Instruction* NumberARow(const Instruction& hlo) const {
    if (hlo.shape.type != hlo::PrimitiveType::F32) return nullptr;
    const Instruction* space = nullptr;
    for (const Instruction* operand : hlo.operands()) {
      if (operand->shape.type != hlo::PrimitiveType::F32) return nullptr;
      if (IsSplat(operand)) continue;
      const Instruction* behind = BehindRepeats(operand);
      const Instruction* other = space_[index_.at(behind)];
      if (other == nullptr || behind->shape.elements() != hlo.shape.elements()) return nullptr;
      if (space != nullptr && space->shape.dims != other->shape.dims) return nullptr;
      space = other;
    }
    return space;
  }

  std::vector<const Instruction*> space_;
};

// Says what kind of a group the members are.
void Describe(const Grouping& grouping,
              const absl::flat_hash_map<const Instruction*, size_t>& index, Unit* unit) {
  for (const Instruction* member : unit->members) {
    const Instruction* space = grouping.space(index.at(member));
    if (space != nullptr) {
      unit->rows = true;
      unit->dims = space->shape.dims;
    }
  }
  unit->elementwise = unit->rows || IsFusible(*unit->members[0]);
  if (unit->elementwise && !unit->rows) unit->dims = unit->members[0]->shape.dims;
}

}  // namespace

bool ReducesRows(const Instruction& hlo) {
  if (hlo.opcode() != Opcode::kReduce || hlo.operand_count() != 2) return false;
  const hlo::Shape& x = hlo.operand(0)->shape;
  if (x.type != hlo::PrimitiveType::F32 || x.dims.empty() || hlo.dimensions.size() != 1 ||
      hlo.dimensions[0] != x.rank() - 1) {
    return false;
  }
  const int64_t row = x.dims.back();
  if (row < 2 || row > kMaxRow || x.elements() / row < kMinRows) return false;
  const ReduceOp op = ClassifyReducer(*hlo.to_apply());
  return (op.alu == AluOp::kAdd || op.alu == AluOp::kMax || op.alu == AluOp::kMin) &&
         IsNeutral(op.opcode, hlo.operand(1), DType::kF32);
}

const Instruction* BehindRepeats(const Instruction* hlo) {
  while (true) {
    if (hlo->opcode() == Opcode::kBroadcast) {
      // The operand's dims, but for those of size 1, come before all new ones.
      std::vector<bool> old(hlo->shape.dims.size(), false);
      bool ordered = true;
      int64_t last = -1;
      for (size_t i = 0; i < hlo->dimensions.size(); ++i) {
        if (hlo->operand(0)->shape.dims[i] == 1) continue;
        old[static_cast<size_t>(hlo->dimensions[i])] = true;
        ordered = ordered && hlo->dimensions[i] > last;
        last = hlo->dimensions[i];
      }
      for (int64_t d = 0; d < last; ++d)
        ordered = ordered &&
                  (old[static_cast<size_t>(d)] || hlo->shape.dims[static_cast<size_t>(d)] == 1);
      if (!ordered) return hlo;
      hlo = hlo->operand(0);
      continue;
    }
    const Instruction* behind = BehindReshapes(hlo);
    if (behind == hlo) return hlo;
    hlo = behind;
  }
}

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

  std::vector<bool> reduces(order.size());
  for (size_t i = 0; i < order.size(); ++i) reduces[i] = ReducesRows(*order[i]);
  {
    // Those whose results their own group reads; the others are better off by themselves.
    Grouping tentative(order, index, reduces);
    std::vector<bool> read(order.size(), false);
    for (size_t i = 0; i < order.size(); ++i) {
      if (tentative.ReadsRows(i)) read[tentative.groups.Find(i)] = true;
    }
    for (size_t i = 0; i < order.size(); ++i)
      reduces[i] = reduces[i] && read[tentative.groups.Find(i)];
  }
  Grouping grouping(order, index, reduces);
  const std::vector<int64_t>& stage = grouping.stage;
  UnionFind& groups = grouping.groups;
  // A product and the group that reads it are one unit if no other path leads from one to the
  // other.
  std::vector<size_t> producer(order.size(), order.size());  // by group
  for (size_t i = 0; i < order.size(); ++i) {
    if (!IsFusible(*order[i]) && !reduces[i]) continue;
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
        Describe(grouping, index, &unit);
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

absl::flat_hash_map<const Instruction*, size_t> LastReaders(const std::vector<Unit>& units,
                                                            const std::vector<size_t>& position,
                                                            const Instruction* root) {
  absl::flat_hash_map<const Instruction*, size_t> last;
  absl::flat_hash_map<const Instruction*, bool> seen;
  // Everything behind `hlo` that is not lazy is read by `unit`.
  const auto read = [&](const Instruction* hlo, size_t unit) {
    std::vector<const Instruction*> pending = {hlo};
    seen.clear();
    while (!pending.empty()) {
      const Instruction* at = pending.back();
      pending.pop_back();
      if (!IsLazy(at->opcode())) {
        last[at] = std::max(last[at], unit);
        continue;
      }
      if (!seen.try_emplace(at, true).second) continue;
      pending.insert(pending.end(), at->operands().begin(), at->operands().end());
    }
  };
  for (size_t u = 0; u < units.size(); ++u) {
    std::vector<const Instruction*> members(units[u].members.begin(), units[u].members.end());
    if (units[u].producer != nullptr) members.push_back(units[u].producer);
    for (const Instruction* member : members) {
      for (const Instruction* operand : member->operands()) read(operand, position[u]);
    }
  }
  read(root, units.size());
  return last;
}

}  // namespace glia::compiler
