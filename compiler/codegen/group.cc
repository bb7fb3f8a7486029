#include "compiler/codegen/group.h"

#include <algorithm>
#include <cmath>

#include "absl/container/flat_hash_set.h"
#include "serialization/isa/table.h"

namespace glia::compiler {
namespace {

using hlo::Instruction;
using hlo::Opcode;

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

std::vector<const Instruction*> OperandsOf(const Group& group, const Instruction* member) {
  const auto found = group.replacements.find(member);
  if (found != group.replacements.end()) return {found->second.operand};
  return {member->operands().begin(), member->operands().end()};
}

// A value that is still to be computed: (base op0 s0) op1 s1, in fp32.
struct Pending {
  Operand base;
  AluOp op0 = AluOp::kBypass;
  Scalar s0 = 0;
  AluOp op1 = AluOp::kBypass;
  Scalar s1 = 0;
};

bool Commutes(AluOp op) { return op == AluOp::kAdd || op == AluOp::kMultiply; }

AluOp ArithmeticOf(Opcode opcode) {
  switch (opcode) {
    case Opcode::kAdd:
      return AluOp::kAdd;
    case Opcode::kSubtract:
      return AluOp::kSubtract;
    case Opcode::kMultiply:
      return AluOp::kMultiply;
    default:
      return AluOp::kBypass;
  }
}

// The functions of ACT's table that HLO operations are.
absl::optional<ActFn> TableFnOf(Opcode opcode) {
  switch (opcode) {
    case Opcode::kExp:
      return ActFn::kExp;
    case Opcode::kTanh:
      return ActFn::kTanh;
    case Opcode::kLogistic:
      return ActFn::kSigmoid;
    case Opcode::kErf:
      return ActFn::kErf;
    case Opcode::kAbs:
      return ActFn::kAbs;
    default:
      return absl::nullopt;
  }
}

class Kernel {
 public:
  Kernel(Emitter& e, const Group& group, const TileBox& box, absl::optional<Operand> produced,
         const std::function<absl::optional<Operand>(size_t)>& target)
      : e_(e), group_(group), box_(box), produced_(std::move(produced)), target_(target) {}

  absl::StatusOr<std::vector<Operand>> Run() {
    values_ = group_.splats;
    int readers = 0;
    for (const auto& [hlo, unused] : group_.produced) {
      const auto uses = group_.uses.find(hlo);
      readers += uses == group_.uses.end() ? 0 : uses->second;
    }
    // PSUM is freed soonest if what reads it several times reads a copy.
    if (produced_.has_value() && readers > 1 && e_.InPsum(*produced_)) {
      const Operand copy = New(DType::kF32);
      e_.Evacuate(copy, *produced_);
      produced_ = copy;
    }
    for (size_t i = 0; i < group_.outputs.size(); ++i) output_[group_.outputs[i].first] = i;
    for (const Instruction* member : group_.members) {
      const Instruction* before = e_.SetCurrent(member);
      if (absl::Status s = Emit(member); !s.ok()) return s;
      e_.SetCurrent(before);
    }
    return Outputs();
  }

 private:
  Operand New(DType dtype) const {
    return e_.NewTile(dtype, box_.partitions, box_.free, "group").all();
  }

  absl::Status Emit(const Instruction* member) {
    std::vector<const Instruction*> names = OperandsOf(group_, member);
    std::vector<TileValue> operands;
    for (const Instruction* name : names) {
      if (pending_.contains(name)) {
        operands.emplace_back();
        continue;
      }
      operands.push_back(ValueOf(name));
    }
    const bool f32 = member->shape.type == hlo::PrimitiveType::F32;
    if (f32 && (TryActivate(member, names, operands) || TryTensor(member, names, operands) ||
                TryPend(member, names, operands)))
      return e_.status();
    for (size_t i = 0; i < names.size(); ++i) operands[i] = Resolved(names[i]);
    absl::StatusOr<TileValue> result =
        EmitTileOp(e_, *member, operands, box_.partitions, box_.free, TargetOf(member));
    if (!result.ok()) return result.status();
    values_[member] = *result;
    return e_.status();
  }

  TileValue ValueOf(const Instruction* hlo) {
    const auto found = values_.find(hlo);
    if (found != values_.end()) return found->second;
    TileValue& value = values_[hlo];
    if (group_.produced.contains(hlo)) {
      value.operand = *produced_;
      return value;
    }
    const size_t part = group_.leaf.at(hlo);
    absl::optional<TileValue>& loaded = loaded_[part];
    if (!loaded.has_value()) {
      const LoadedOperand load = LoadOperand(e_, box_.parts[part], box_.partition_dims);
      loaded.emplace();
      loaded->operand = load.operand;
      loaded->column = load.column;
    }
    value = *loaded;
    return value;
  }

  // The place where a member's result goes, with the type that is wanted there.
  absl::optional<Operand> TargetOf(const Instruction* member) const {
    const auto output = output_.find(member);
    if (output == output_.end()) return absl::nullopt;
    absl::optional<Operand> place = target_(output->second);
    const DType dtype = group_.parts[group_.outputs[output->second].second].dtype;
    const auto uses = group_.uses.find(member);
    // Others of the group read it: in its own type.
    if (uses != group_.uses.end() && uses->second > 0 && dtype != *DeviceType(member->shape.type))
      return absl::nullopt;
    return place.has_value() ? place : New(dtype);
  }
  Operand ResultOf(const Instruction* member) const {
    const absl::optional<Operand> target = TargetOf(member);
    return target.has_value() ? *target : New(DType::kF32);
  }
  void Set(const Instruction* member, const Operand& operand) { values_[member].operand = operand; }

  TileValue Resolved(const Instruction* hlo) {
    const auto found = pending_.find(hlo);
    if (found == pending_.end()) return ValueOf(hlo);
    const Pending p = found->second;
    pending_.erase(found);
    const Operand out = ResultOf(hlo);
    e_.TensorScalar(out, p.base, p.op0, p.s0, p.op1, p.s1);
    Set(hlo, out);
    return values_[hlo];
  }

  bool IsTensor(const TileValue& value) const { return !value.is_splat() && !value.column; }

  // fn(base * scale + bias) in one instruction of ACT.
  bool TryActivate(const Instruction* member, const std::vector<const Instruction*>& names,
                   const std::vector<TileValue>& operands) {
    const auto replaced = group_.replacements.find(member);
    const absl::optional<ActFn> fn = replaced != group_.replacements.end()
                                         ? absl::optional<ActFn>(replaced->second.fn)
                                         : TableFnOf(member->opcode());
    if (!fn.has_value()) return false;
    const auto pending = pending_.find(names[0]);
    Scalar scale = 1;
    absl::optional<Scalar> bias;
    Operand base;
    if (pending != pending_.end()) {
      const Pending& p = pending->second;
      const bool scaled = p.op0 == AluOp::kMultiply;
      if (scaled) scale = p.s0;
      if (!scaled && p.op0 == AluOp::kAdd && p.op1 == AluOp::kBypass) {
        bias = p.s0;
      } else if (scaled && p.op1 == AluOp::kAdd) {
        bias = p.s1;
      } else if (!scaled || p.op1 != AluOp::kBypass) {
        if (replaced == group_.replacements.end()) return false;
        base = *Resolved(names[0]).operand;
        scale = 1;
      }
      if (!base.present()) base = p.base;
    } else if (replaced != group_.replacements.end()) {
      TileValue value = operands[0];
      if (!IsTensor(value)) {
        value.operand = Materialize(e_, value, DType::kF32, box_.partitions, box_.free);
        value.column = false;
      }
      base = *value.operand;
    } else {
      if (!IsTensor(operands[0])) return false;
      base = *operands[0].operand;
    }
    absl::optional<Operand> column;
    if (bias.has_value()) {
      column = bias->column;
      if (!column->present()) {
        column = e_.NewTile(DType::kF32, box_.partitions, 1, "bias").all();
        e_.Memset(*column, bias->imm);
      }
    }
    if (pending_.contains(names[0])) pending_.erase(names[0]);
    const Operand out = ResultOf(member);
    e_.Activate(out, base, *fn, scale, column);
    Set(member, out);
    return true;
  }

  // (base op s) op tensor in one instruction of DVE.
  bool TryTensor(const Instruction* member, const std::vector<const Instruction*>& names,
                 const std::vector<TileValue>& operands) {
    const AluOp alu = ArithmeticOf(member->opcode());
    if (alu == AluOp::kBypass || names[0] == names[1]) return false;
    for (const int i : {0, 1}) {
      const auto pending = pending_.find(names[i]);
      if (pending == pending_.end() || pending->second.op1 != AluOp::kBypass) continue;
      if (i == 1 && !Commutes(alu)) continue;
      if (pending_.contains(names[1 - i]) || !IsTensor(operands[1 - i])) continue;
      if (e_.InPsum(*operands[1 - i].operand) && e_.InPsum(pending->second.base)) continue;
      const Pending p = pending->second;
      pending_.erase(pending);
      const Operand out = ResultOf(member);
      e_.ScalarTensorTensor(out, p.base, p.op0, p.s0, alu, *operands[1 - i].operand);
      Set(member, out);
      return true;
    }
    return false;
  }

  // Arithmetic with a number, or one a partition, waits for what comes next.
  bool TryPend(const Instruction* member, const std::vector<const Instruction*>& names,
               const std::vector<TileValue>& operands) {
    const AluOp alu = ArithmeticOf(member->opcode());
    if (alu == AluOp::kBypass || output_.contains(member)) return false;
    const auto uses = group_.uses.find(member);
    if (uses == group_.uses.end() || uses->second != 1) return false;
    for (const int i : {0, 1}) {
      const bool waiting = pending_.contains(names[i]);
      const TileValue& other = operands[1 - i];
      if (pending_.contains(names[1 - i]) || IsTensor(other)) continue;
      if (i == 1 && !Commutes(alu)) continue;
      if (!waiting && !IsTensor(operands[i])) continue;
      const Scalar scalar = other.is_splat() ? Scalar(other.splat) : Scalar(*other.operand);
      Pending p;
      if (waiting) {
        p = pending_[names[i]];
        if (p.op1 != AluOp::kBypass) continue;
        p.op1 = alu;
        p.s1 = scalar;
        pending_.erase(names[i]);
      } else {
        p.base = *operands[i].operand;
        p.op0 = alu;
        p.s0 = scalar;
      }
      pending_[member] = p;
      return true;
    }
    return false;
  }

  absl::StatusOr<std::vector<Operand>> Outputs() {
    std::vector<Operand> results;
    for (size_t i = 0; i < group_.outputs.size(); ++i) {
      const auto& [member, part] = group_.outputs[i];
      const Instruction* before = e_.SetCurrent(member);
      const TileValue value = Resolved(member);
      const DType dtype = group_.parts[part].dtype;
      const absl::optional<Operand> target = target_(i);
      const bool in_place = IsTensor(value) && value.operand->dtype == dtype &&
                            !e_.InPsum(*value.operand) &&
                            (!target.has_value() || value.operand->var == target->var);
      if (in_place) {
        results.push_back(*value.operand);
      } else if (!target.has_value() && (value.is_splat() || value.column)) {
        results.push_back(Materialize(e_, value, dtype, box_.partitions, box_.free));
      } else {
        const Operand out = target.has_value() ? *target : New(dtype);
        Operand from = IsTensor(value) ? *value.operand
                                       : Materialize(e_, value, dtype, box_.partitions, box_.free);
        e_.Copy(out, from);
        results.push_back(out);
      }
      e_.SetCurrent(before);
    }
    if (!e_.ok()) return e_.status();
    return results;
  }

  Emitter& e_;
  const Group& group_;
  const TileBox& box_;
  absl::optional<Operand> produced_;
  const std::function<absl::optional<Operand>(size_t)>& target_;
  absl::flat_hash_map<const Instruction*, TileValue> values_;
  absl::flat_hash_map<const Instruction*, Pending> pending_;
  absl::flat_hash_map<const Instruction*, size_t> output_;
  absl::flat_hash_map<size_t, absl::optional<TileValue>> loaded_;
};

}  // namespace

DType ResultType(const Emitter& e, const Instruction& hlo) {
  const DType own = *DeviceType(hlo.shape.type);
  if (own != DType::kF32 || e.options().auto_cast == AutoCast::kNone) return own;
  std::vector<const Instruction*> pending = {&hlo};
  for (size_t i = 0; i < pending.size(); ++i) {
    if (pending[i]->IsRoot() || pending[i]->uses().empty()) return own;
    for (const hlo::Use& use : pending[i]->uses()) {
      switch (use.user->opcode()) {
        case Opcode::kDot:
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
  return e.options().auto_cast_type == AutoCastType::kFp16 ? DType::kF16 : DType::kBf16;
}

absl::StatusOr<Group> CollectGroup(Emitter& e, const Unit& unit) {
  const absl::flat_hash_set<const Instruction*> members(unit.members.begin(), unit.members.end());
  const Dims& dims = unit.members[0]->shape.dims;
  Group group;
  absl::flat_hash_set<const Instruction*> needed;
  std::vector<const Instruction*> outside;
  for (const Instruction* member : unit.members) {
    bool read_outside = member->IsRoot();
    for (const hlo::Use& use : member->uses())
      read_outside = read_outside || !members.contains(use.user);
    if (read_outside) {
      outside.push_back(member);
      needed.insert(member);
    }
  }
  const Matcher matcher(e);
  for (auto member = unit.members.rbegin(); member != unit.members.rend(); ++member) {
    if (!needed.contains(*member)) continue;
    if (const absl::optional<Replacement> r = matcher.Match(**member); r.has_value()) {
      group.replacements[*member] = *r;
    }
    for (const Instruction* operand : OperandsOf(group, *member)) {
      if (members.contains(operand)) needed.insert(operand);
      ++group.uses[operand];
    }
    group.members.push_back(*member);
  }
  std::reverse(group.members.begin(), group.members.end());
  for (const Instruction* member : group.members) {
    for (const Instruction* operand : OperandsOf(group, member)) {
      if (members.contains(operand) || group.leaf.contains(operand) ||
          group.splats.contains(operand))
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
      absl::StatusOr<Nd> view = e.View(operand);
      if (!view.ok()) return view.status();
      const Nd nd = view->dims == dims ? *view : BroadcastNd(*view, dims, {});
      size_t part = 0;
      while (part < group.parts.size() && !SameBytes(group.parts[part], nd)) ++part;
      if (part == group.parts.size()) group.parts.push_back(nd);
      group.leaf[operand] = part;
    }
  }
  for (const Instruction* member : outside) {
    group.outputs.push_back({member, group.parts.size()});
    group.parts.push_back(e.NewResult(*member, 0, ResultType(e, *member)));
  }
  return group;
}

absl::StatusOr<std::vector<Operand>> EmitGroup(
    Emitter& e, const Group& group, const TileBox& box, absl::optional<Operand> produced,
    const std::function<absl::optional<Operand>(size_t)>& target) {
  return Kernel(e, group, box, std::move(produced), target).Run();
}

}  // namespace glia::compiler
