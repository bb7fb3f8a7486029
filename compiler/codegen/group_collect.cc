// What a group of element-wise instructions reads and writes, and the functions spelled out in it.
#include <algorithm>
#include <cmath>

#include "compiler/codegen/group.h"
#include "compiler/codegen/precision.h"
#include "compiler/codegen/reduce.h"
#include "serialization/isa/table.h"

namespace glia::compiler {
namespace {

using hlo::Instruction;
using hlo::Opcode;

// Shorter rows are summed as fast.
constexpr int64_t kMinStats = 64;
constexpr int64_t kMaxStatsParts = 16;

bool SameBytes(const Nd& a, const Nd& b) {
  return a.var == b.var && a.dtype == b.dtype && a.offset == b.offset && a.strides == b.strides;
}

bool Near(double a, double b) { return std::abs(a - b) <= 1e-6 * std::abs(b); }

// Finds activation functions spelled out in simpler operations.
class Matcher {
 public:
  explicit Matcher(const Emitter& e) : e_(e) {}

  absl::optional<Replacement> Match(const Instruction& root) const {
    if (root.opcode() != Opcode::kMultiply || root.shape.type != hlo::PrimitiveType::F32)
      return absl::nullopt;
    std::vector<const Instruction*> factors;
    double scale = 1;
    Flatten(&root, true, &factors, &scale);
    if (factors.size() != 2) return absl::nullopt;
    for (const size_t i : {0, 1}) {
      const Instruction* x = factors[1 - i];
      const Instruction* gate = factors[i];
      if (scale == 1 && gate->opcode() == Opcode::kLogistic && gate->operand(0) == x)
        return Replacement{ActFn::kSilu, x};
      if (Near(scale, 0.5) && IsOnePlusErf(gate, x)) return Replacement{ActFn::kGelu, x};
    }
    return absl::nullopt;
  }

 private:
  void Flatten(const Instruction* hlo, bool root, std::vector<const Instruction*>* factors,
               double* scale) const {
    if (const absl::optional<double> splat = e_.Splat(hlo); splat.has_value()) {
      *scale *= *splat;
    } else if (hlo->opcode() == Opcode::kMultiply && (root || hlo->uses().size() == 1) &&
               factors->size() < 3) {
      Flatten(hlo->operand(0), false, factors, scale);
      Flatten(hlo->operand(1), false, factors, scale);
    } else {
      factors->push_back(hlo);
    }
  }
  bool IsOnePlusErf(const Instruction* hlo, const Instruction* x) const {
    if (hlo->opcode() != Opcode::kAdd) return false;
    for (const int i : {0, 1}) {
      const Instruction* erf = hlo->operand(i);
      const absl::optional<double> one = e_.Splat(hlo->operand(1 - i));
      if (erf->opcode() != Opcode::kErf || !one.has_value() || *one != 1) continue;
      const Instruction* argument = erf->operand(0);
      if (argument->opcode() == Opcode::kDivide) {
        const absl::optional<double> by = e_.Splat(argument->operand(1));
        return by.has_value() && Near(*by, std::sqrt(2.0)) && argument->operand(0) == x;
      }
      if (argument->opcode() != Opcode::kMultiply) return false;
      for (const int k : {0, 1}) {
        const absl::optional<double> by = e_.Splat(argument->operand(k));
        if (by.has_value() && Near(*by, std::sqrt(0.5)) && argument->operand(1 - k) == x)
          return true;
      }
    }
    return false;
  }

  const Emitter& e_;
};

bool SumsRows(const Instruction* hlo) {
  return hlo->opcode() == Opcode::kReduce && ClassifyReducer(*hlo->to_apply()).alu == AluOp::kAdd;
}

// Finds means and variances of rows spelled out as sums, in a unit of such.
class MomentMatcher {
 public:
  MomentMatcher(const Emitter& e, const absl::flat_hash_set<const Instruction*>& unit, int64_t row)
      : e_(e), unit_(unit), row_(static_cast<double>(row)) {}

  // Of what the member is the mean, if it is one: a sum over the number of elements.
  const Instruction* MeanOf(const Instruction* member) const {
    const bool divides = member->opcode() == Opcode::kDivide;
    if (!divides && member->opcode() != Opcode::kMultiply) return nullptr;
    for (const int i : {0, 1}) {
      const Instruction* sum = BehindRepeats(member->operand(i));
      const absl::optional<double> by = e_.Splat(member->operand(1 - i));
      if (!unit_.contains(sum) || !SumsRows(sum) || !by.has_value()) continue;
      if (divides ? i == 0 && *by == row_ : Near(*by * row_, 1)) return sum->operand(0);
    }
    return nullptr;
  }
  // Of what it is the variance: the mean of the squares of its distance from its mean, which
  // becomes `mean`.
  const Instruction* VarianceOf(const Instruction* member, const Instruction** mean) const {
    const Instruction* square = MeanOf(member);
    if (square == nullptr || square->opcode() != Opcode::kMultiply ||
        square->operand(0) != square->operand(1) || !unit_.contains(square)) {
      return nullptr;
    }
    const Instruction* distance = square->operand(0);
    if (distance->opcode() != Opcode::kSubtract || !unit_.contains(distance)) return nullptr;
    *mean = BehindRepeats(distance->operand(1));
    return unit_.contains(*mean) && MeanOf(*mean) == distance->operand(0) ? distance->operand(0)
                                                                          : nullptr;
  }

 private:
  const Emitter& e_;
  const absl::flat_hash_set<const Instruction*>& unit_;
  const double row_;
};

// One number a row, repeated along the last of `dims`.
absl::optional<Nd> RepeatRows(const Nd& numbers, const Dims& dims) {
  Dims rows = dims, at(dims.size() - 1);
  rows.pop_back();
  for (size_t d = 0; d < at.size(); ++d) at[d] = static_cast<int64_t>(d);
  const absl::optional<Nd> lead = ReshapeNd(numbers, rows);
  return lead.has_value() ? absl::optional<Nd>(BroadcastNd(*lead, dims, at)) : absl::nullopt;
}

// Whether anything but the instructions of the unit reads the value; what is one number a row is
// read through reshapes and broadcasts.
bool ReadOutside(const Instruction& value, bool number,
                 const absl::flat_hash_set<const Instruction*>& unit) {
  std::vector<const Instruction*> views = {&value};
  for (size_t i = 0; i < views.size(); ++i) {
    if (views[i]->IsRoot()) return true;
    for (const hlo::Use& use : views[i]->uses()) {
      if (unit.contains(use.user)) continue;
      if (!number || BehindRepeats(use.user) != &value) return true;
      views.push_back(use.user);
    }
  }
  return false;
}

}  // namespace

int64_t StatsParts(int64_t row) {
  int64_t parts = (row + isa::kMaxBnStatsFree - 1) / isa::kMaxBnStatsFree;
  while (parts <= kMaxStatsParts && row % parts != 0) ++parts;
  return parts <= kMaxStatsParts ? parts : 0;
}

std::vector<const Instruction*> Group::OperandsOf(const Instruction* member) const {
  const auto found = replacements.find(member);
  if (found != replacements.end()) return {found->second.operand};
  const auto moment = moments.find(member);
  if (moment != moments.end()) return {moment->second.of};
  std::vector<const Instruction*> operands;
  for (const Instruction* operand : member->operands()) {
    const auto source = behind.find(operand);
    operands.push_back(source == behind.end() ? operand : source->second);
    if (member->opcode() == Opcode::kReduce) break;  // its initial value is neutral
  }
  return operands;
}

absl::StatusOr<Nd> LeafOf(Emitter& e, const Unit& unit, const Instruction& member,
                          const Instruction* operand) {
  absl::StatusOr<Nd> view = e.View(operand);
  if (!view.ok() || view->dims == unit.dims) return view;
  if (!unit.rows || member.opcode() == Opcode::kReduce || member.shape.dims == unit.dims)
    return BroadcastNd(*view, unit.dims, {});
  // Of another group's rows.
  absl::optional<Nd> repeated = RepeatRows(*view, unit.dims);
  if (!repeated.has_value()) {
    view = e.Home(operand);
    if (!view.ok()) return view;
    repeated = RepeatRows(*view, unit.dims);
  }
  return *repeated;
}

DType ResultType(const Emitter& e, const Instruction& hlo) {
  const DType own = *DeviceType(hlo.shape.type);
  if (own != DType::kF32 || e.options().auto_cast == AutoCast::kNone) return own;
  std::vector<const Instruction*> pending = {&hlo};
  for (size_t i = 0; i < pending.size(); ++i) {
    if (pending[i]->IsRoot() || pending[i]->uses().empty()) return own;
    for (const hlo::Use& use : pending[i]->uses()) {
      switch (use.user->opcode()) {
        case Opcode::kDot:
          if (!RoundsOperands(*use.user, e.options())) return own;
          break;
        case Opcode::kReshape:
        case Opcode::kBitcast:
        case Opcode::kTranspose:
        case Opcode::kSlice:
          pending.push_back(use.user);
          break;
        default:
          return own;
      }
    }
  }
  return RoundedType(e.options());
}

absl::StatusOr<Group> CollectGroup(Emitter& e, const Unit& unit) {
  return CollectGroup(e, unit, {unit.members, {}}, unit.dims);
}

absl::StatusOr<Group> CollectGroup(Emitter& e, const Unit& unit, const Scope& scope,
                                   const Dims& seen_as) {
  const absl::flat_hash_set<const Instruction*> members(scope.members.begin(), scope.members.end());
  const absl::flat_hash_set<const Instruction*> all(unit.members.begin(), unit.members.end());
  const Dims& dims = unit.dims;
  Group group;
  const auto is_number = [&](const Instruction* hlo) {
    return unit.rows && all.contains(hlo) &&
           (hlo->opcode() == Opcode::kReduce || hlo->shape.dims != dims);
  };
  if (unit.rows) {
    group.row = dims.back();
    for (const Instruction* member : unit.members) {
      if (is_number(member)) group.numbers.insert(member);
      for (const Instruction* operand : member->operands()) {
        const Instruction* source = BehindRepeats(operand);
        if (source != operand && is_number(source)) group.behind[operand] = source;
      }
    }
  }
  if (unit.rows && group.row >= kMinStats && StatsParts(group.row) > 0) {
    const MomentMatcher moments(e, all, group.row);
    for (const Instruction* member : unit.members) {
      const Instruction* mean = nullptr;
      const Instruction* of = moments.VarianceOf(member, &mean);
      if (of == nullptr) continue;
      group.moments[member] = {of, true};
      group.moments[mean] = {of, false};
    }
  }
  absl::flat_hash_set<const Instruction*> needed;
  std::vector<const Instruction*> outside, within;
  for (const Instruction* member : scope.members) {
    const bool number = group.numbers.contains(member);
    if (ReadOutside(*member, number, all)) {
      outside.push_back(member);
    } else if (!scope.others.empty() && ReadOutside(*member, number, members)) {
      within.push_back(member);
    } else {
      continue;
    }
    needed.insert(member);
  }
  const Matcher matcher(e);
  for (auto member = scope.members.rbegin(); member != scope.members.rend(); ++member) {
    if (!needed.contains(*member)) continue;
    if (const absl::optional<Replacement> r = matcher.Match(**member); r.has_value()) {
      group.replacements[*member] = *r;
    }
    for (const Instruction* operand : group.OperandsOf(*member)) {
      if (members.contains(operand)) needed.insert(operand);
      ++group.uses[operand];
    }
    group.members.push_back(*member);
  }
  std::reverse(group.members.begin(), group.members.end());
  for (const Instruction* member : group.members) {
    for (const Instruction* operand : group.OperandsOf(member)) {
      if (members.contains(operand) || scope.others.contains(operand) ||
          group.leaf.contains(operand) || group.splats.contains(operand))
        continue;
      if (unit.producer != nullptr && BehindReshapes(operand) == unit.producer) {
        group.produced[operand] = true;
        continue;
      }
      if (const absl::optional<double> splat = e.Splat(operand); splat.has_value()) {
        TileValue& value = group.splats[operand];
        value.splat = *splat;
        if (!hlo::IsFloating(operand->shape.type)) {
          value.splat_int = Emitter::ConstantOf(operand)->GetAsInt64(0);
        }
        continue;
      }
      const absl::StatusOr<Nd> nd = LeafOf(e, unit, *member, operand);
      if (!nd.ok()) return nd.status();
      size_t part = 0;
      while (part < group.parts.size() && !SameBytes(group.parts[part], *nd)) ++part;
      if (part == group.parts.size()) group.parts.push_back(*nd);
      group.leaf[operand] = part;
      if (group.numbers.contains(member) && operand->shape.elements() < Product(dims))
        group.number_leaves.insert(operand);
    }
  }
  for (const Instruction* member : outside) {
    group.outputs.push_back({member, group.parts.size()});
    if (group.numbers.contains(member)) {
      group.parts.push_back(*RepeatRows(e.NewResult(*member), dims));
      continue;
    }
    group.parts.push_back(e.NewArranged(*member, ResultType(e, *member), seen_as));
  }
  for (const Instruction* member : within) group.outputs.push_back({member, absl::nullopt});
  return group;
}

int64_t OutputElements(const Group& group, const Instruction* member, int64_t free) {
  return group.numbers.contains(member) ? free / group.row : free;
}

Nd OutputPart(const Group& group, const Instruction* member, const Nd& part) {
  return group.numbers.contains(member) ? DropDim(part, part.rank() - 1) : part;
}

}  // namespace glia::compiler
