// The kernel of a group: its members on one tile, folded into as few instructions as the engines
// allow.
#include "compiler/codegen/group.h"

#include <algorithm>
#include <cmath>

#include "compiler/codegen/reduce.h"
#include "serialization/isa/table.h"

namespace glia::compiler {
namespace {

using hlo::Instruction;
using hlo::Opcode;

// Shorter rows are summed by DVE, all at once, rather than by ACT, one by one.
constexpr int64_t kMinAccumulated = 64;

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
    case Opcode::kDivide:
      return AluOp::kDivide;
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
  Kernel(Emitter& e, const Group& group, const TileBox& box, const GivenValues& given,
         const std::function<absl::optional<Operand>(size_t)>& target)
      : e_(e), group_(group), box_(box), produced_(given.produced), target_(target) {
    if (group.row > 0) rows_ = box.free / group.row;
    values_ = group_.splats;
    for (const auto& [hlo, operand] : given.others) values_[hlo].operand = operand;
    for (const Instruction* member : group.members) {
      if (member->opcode() == Opcode::kReduce &&
          ClassifyReducer(*member->to_apply()).alu == AluOp::kAdd)
        sum_[member->operand(0)] = member;
    }
  }

  absl::StatusOr<std::vector<Operand>> Run() {
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

  Operand New(const Instruction* member, DType dtype) const {
    const int64_t free = OutputElements(group_, member, box_.free);
    return e_.NewTile(dtype, box_.partitions, free, "group").all();
  }

  absl::Status Emit(const Instruction* member) {
    if (values_.contains(member)) return e_.status();  // with another one
    const std::vector<const Instruction*> names = group_.OperandsOf(member);
    if (group_.moments.contains(member)) return Moments(names[0]);
    if (member->opcode() == Opcode::kReduce) return Reduce(member, names[0]);
    const bool number = group_.numbers.contains(member);
    std::vector<TileValue> operands;
    for (const Instruction* name : names) {
      if (pending_.contains(name) && number == group_.numbers.contains(name)) {
        operands.emplace_back();
        continue;
      }
      operands.push_back(Resolved(name));
    }
    const bool f32 = member->shape.type == hlo::PrimitiveType::F32;
    if (number ? TryNumber(member, names, operands)
               : f32 && (TryActivate(member, names, operands) ||
                         TryTensor(member, names, operands) || TryPend(member, names, operands)))
      return e_.status();
    for (size_t i = 0; i < names.size(); ++i) {
      operands[i] = Resolved(names[i]);
      if (operands[i].is_splat()) continue;
      if (number) {
        operands[i].column = operands[i].numbers = false;
      } else if (operands[i].numbers) {
        operands[i].operand = Repeated(*operands[i].operand);
        operands[i].numbers = false;
      }
    }
    absl::StatusOr<TileValue> result =
        EmitTileOp(e_, *member, operands, box_.partitions,
                   OutputElements(group_, member, box_.free), TargetOf(member));
    if (!result.ok()) return result.status();
    values_[member] = *result;
    if (number && !result->is_splat()) SetNumbers(member, *result->operand);
    return e_.status();
  }

  // One number a row, as many times as the row has elements.
  Operand Repeated(Operand numbers) const {
    std::copy(numbers.size + 1, numbers.size + isa::kFreeDims, numbers.size);
    std::copy(numbers.stride + 1, numbers.stride + isa::kFreeDims, numbers.stride);
    numbers.size[isa::kFreeDims - 1] = static_cast<uint16_t>(group_.row);
    numbers.stride[isa::kFreeDims - 1] = 0;
    return numbers;
  }

  void SetNumbers(const Instruction* member, const Operand& operand) {
    TileValue& value = values_[member];
    value.operand = operand;
    value.column = rows_ == 1;
    value.numbers = rows_ > 1;
  }

  // The value with all its elements.
  Operand Whole(const Instruction* name) {
    TileValue value = Resolved(name);
    if (IsTensor(value)) return *value.operand;
    if (value.numbers) value.operand = Repeated(*value.operand);
    value.numbers = false;
    return Materialize(e_, value, DType::kF32, box_.partitions, box_.free);
  }

  // Both moments of the rows of a value.
  absl::Status Moments(const Instruction* of) {
    const Operand value = Whole(of);
    const int64_t parts = StatsParts(group_.row);
    constexpr int64_t kStats = 6, kMoments = 2;
    const Tile stats = e_.NewTile(DType::kF32, box_.partitions, rows_ * parts * kStats, "stats");
    const Tile moments = e_.NewTile(DType::kF32, box_.partitions, rows_ * kMoments, "moments");
    for (int64_t i = 0; i < rows_ * parts; ++i) {
      e_.BnStats(stats.part(stats.partitions, i * kStats, kStats),
                 Chunk(value, i, group_.row / parts));
    }
    for (int64_t r = 0; r < rows_; ++r) {
      e_.BnAggr(moments.part(moments.partitions, r * kMoments, kMoments),
                stats.part(stats.partitions, r * parts * kStats, parts * kStats));
    }
    for (const auto& [member, moment] : group_.moments) {
      if (moment.of != of) continue;
      SetNumbers(member,
                 moments.pattern(moments.partitions, moment.variance ? 1 : 0, {rows_}, {kMoments}));
    }
    return e_.status();
  }

  absl::Status Reduce(const Instruction* member, const Instruction* name) {
    const Operand value = Whole(name);
    const AluOp op = ClassifyReducer(*member->to_apply()).alu;
    const Operand out = New(member, DType::kF32);
    int inner = isa::kFreeDims;
    const absl::optional<Operand> rows =
        rows_ == 1 ? value : SplitChunks(value, group_.row, &inner);
    if (rows.has_value()) {
      e_.Reduce(out, *rows, op, inner);
    } else {
      for (int64_t r = 0; r < rows_; ++r)
        e_.Reduce(Chunk(out, r, 1), Chunk(value, r, group_.row), op, isa::kFreeDims);
    }
    SetNumbers(member, out);
    return e_.status();
  }

  // Calls `f` once for the whole box, or for each row if one of the scalars is one number a row.
  template <typename F>
  void PerRow(const std::vector<Operand>& tensors, const std::vector<Scalar>& scalars,
              const F& f) const {
    const auto numbers = [](const Scalar& s) {
      return s.column.present() && s.column.free_elements() > 1;
    };
    if (!std::any_of(scalars.begin(), scalars.end(), numbers)) {
      f(tensors, scalars);
      return;
    }
    for (int64_t r = 0; r < rows_; ++r) {
      std::vector<Operand> t = tensors;
      std::vector<Scalar> s = scalars;
      for (Operand& operand : t) operand = Chunk(operand, r, group_.row);
      for (Scalar& scalar : s) {
        if (numbers(scalar)) scalar.column = Chunk(scalar.column, r, 1);
      }
      f(t, s);
    }
  }

  // One number a row or partition, times -1 or as what divides 1: made once.
  Operand Made(const Operand& column, AluOp op) {
    for (const auto& [from, alu, made] : made_) {
      if (alu == op && from.var == column.var && from.offset == column.offset) return made;
    }
    const Operand out =
        e_.NewTile(DType::kF32, box_.partitions, column.free_elements(), "number").all();
    if (op == AluOp::kDivide) {
      e_.Reciprocal(out, column);
    } else {
      e_.TensorScalar(out, column, op, -1);
    }
    made_.push_back({column, op, out});
    return out;
  }
  Scalar Negated(const Scalar& s) {
    if (!s.column.present()) return Scalar(-s.imm);
    return Scalar(Made(s.column, AluOp::kMultiply));
  }

  // Arithmetic of numbers of rows with constants: two operations an instruction.
  bool TryNumber(const Instruction* member, const std::vector<const Instruction*>& names,
                 const std::vector<TileValue>& operands) {
    AluOp alu = ArithmeticOf(member->opcode());
    double by = 0;
    size_t base = names.size();
    if (member->opcode() == Opcode::kRsqrt) {
      alu = AluOp::kPower;
      by = -0.5;
      base = 0;
    } else if (alu != AluOp::kBypass) {
      for (const size_t i : {0, 1}) {
        if (pending_.contains(names[1 - i]) || !operands[1 - i].is_splat()) continue;
        if (i == 1 && !Commutes(alu)) continue;
        base = i;
        by = operands[1 - i].splat;
      }
    }
    if (base == names.size()) return false;
    Pending p;
    const auto waiting = pending_.find(names[base]);
    if (waiting != pending_.end() && waiting->second.op1 == AluOp::kBypass) {
      p = waiting->second;
      p.op1 = alu;
      p.s1 = by;
      pending_.erase(waiting);
    } else {
      const TileValue value = Resolved(names[base]);
      if (value.is_splat()) return false;
      p.base = *value.operand;
      p.op0 = alu;
      p.s0 = by;
    }
    pending_[member] = p;
    const auto uses = group_.uses.find(member);
    if (output_.contains(member) || uses == group_.uses.end() || uses->second != 1)
      Resolved(member);
    return true;
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
    if (group_.number_leaves.contains(hlo)) {
      Nd numbers = box_.parts[part];
      numbers.dims.back() = 1;
      SetNumbers(hlo, LoadOperand(e_, numbers, box_.partition_dims).operand);
      return values_[hlo];
    }
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

  DType OutputType(size_t i) const {
    const auto& [member, part] = group_.outputs[i];
    return part.has_value() ? group_.parts[*part].dtype : *DeviceType(member->shape.type);
  }

  // The place where a member's result goes, with the type that is wanted there.
  absl::optional<Operand> TargetOf(const Instruction* member) const {
    const auto output = output_.find(member);
    if (output == output_.end()) return absl::nullopt;
    absl::optional<Operand> place = target_(output->second);
    const DType dtype = OutputType(output->second);
    const auto uses = group_.uses.find(member);
    // Others of the group read it: in its own type.
    if (uses != group_.uses.end() && uses->second > 0 && dtype != *DeviceType(member->shape.type))
      return absl::nullopt;
    return place.has_value() ? place : New(member, dtype);
  }
  Operand ResultOf(const Instruction* member) const {
    const absl::optional<Operand> target = TargetOf(member);
    return target.has_value() ? *target : New(member, DType::kF32);
  }
  void Set(const Instruction* member, const Operand& operand) { values_[member].operand = operand; }

  TileValue Resolved(const Instruction* hlo) {
    const auto found = pending_.find(hlo);
    if (found == pending_.end()) return ValueOf(hlo);
    const Pending p = found->second;
    pending_.erase(found);
    const Instruction* before = e_.SetCurrent(hlo);
    const Operand out = ResultOf(hlo);
    if (group_.numbers.contains(hlo)) {
      e_.TensorScalar(out, p.base, p.op0, p.s0, p.op1, p.s1);
      SetNumbers(hlo, out);
    } else {
      const bool scales = p.op0 == AluOp::kMultiply && p.op1 == AluOp::kBypass;
      const bool on_act = scales && e_.Lighter(box_.free) == Engine::kAct;
      PerRow({out, p.base}, {p.s0, p.s1},
             [&](const std::vector<Operand>& t, const std::vector<Scalar>& s) {
               if (on_act) {
                 e_.Activate(t[0], t[1], ActFn::kCopy, s[0]);
               } else {
                 e_.TensorScalar(t[0], t[1], p.op0, s[0], p.op1, s[1]);
               }
             });
      Set(hlo, out);
    }
    e_.SetCurrent(before);
    return values_[hlo];
  }

  static bool IsTensor(const TileValue& value) {
    return !value.is_splat() && !value.column && !value.numbers;
  }

  absl::optional<ActFn> FnOf(const Instruction* member) const {
    const auto replaced = group_.replacements.find(member);
    if (replaced != group_.replacements.end()) return replaced->second.fn;
    const bool square =
        member->opcode() == Opcode::kMultiply && member->operand(0) == member->operand(1);
    return square ? ActFn::kSquare : TableFnOf(member->opcode());
  }

  // fn(base * scale + bias) in one instruction of ACT, with the sum of the results where the group
  // wants it.
  bool TryActivate(const Instruction* member, const std::vector<const Instruction*>& names,
                   const std::vector<TileValue>& operands) {
    const bool replaced = group_.replacements.contains(member);
    const absl::optional<ActFn> fn = FnOf(member);
    if (!fn.has_value()) return false;
    const auto pending = pending_.find(names[0]);
    Scalar scale = 1;
    absl::optional<Scalar> bias;
    Operand base;
    if (pending != pending_.end()) {
      const Pending& p = pending->second;
      const bool scaled = p.op0 == AluOp::kMultiply;
      const AluOp shift = scaled ? p.op1 : p.op1 == AluOp::kBypass ? p.op0 : AluOp::kDivide;
      if (scaled) scale = p.s0;
      if (shift == AluOp::kAdd) {
        bias = scaled ? p.s1 : p.s0;
      } else if (shift == AluOp::kSubtract) {
        bias = Negated(scaled ? p.s1 : p.s0);
      } else if (shift != AluOp::kBypass) {
        if (!replaced) return false;
        base = *Resolved(names[0]).operand;
        scale = 1;
      }
      if (!base.present()) base = p.base;
    } else if (replaced) {
      TileValue value = operands[0];
      if (!IsTensor(value)) {
        if (value.numbers) value.operand = Repeated(*value.operand);
        value.numbers = false;
        value.operand = Materialize(e_, value, DType::kF32, box_.partitions, box_.free);
        value.column = false;
      }
      base = *value.operand;
    } else {
      if (!IsTensor(operands[0])) return false;
      base = *operands[0].operand;
    }
    if (bias.has_value() && !bias->column.present()) {
      const Operand column = e_.NewTile(DType::kF32, box_.partitions, 1, "bias").all();
      e_.Memset(column, bias->imm);
      bias = Scalar(column);
    }
    if (pending_.contains(names[0])) pending_.erase(names[0]);
    std::vector<Scalar> scalars = {scale, bias.value_or(Scalar(0))};
    const auto sum = sum_.find(member);
    const bool summed = sum != sum_.end() && (rows_ == 1 || group_.row >= kMinAccumulated);
    if (summed) {
      const Operand total = New(sum->second, DType::kF32);
      e_.Memset(total, 0);
      SetNumbers(sum->second, total);
      scalars.push_back(Scalar(total));
    }
    const Operand out = ResultOf(member);
    PerRow({out, base}, scalars, [&](const std::vector<Operand>& t, const std::vector<Scalar>& s) {
      const auto column = [&](size_t i) {
        return i < s.size() && s[i].column.present() ? absl::optional<Operand>(s[i].column)
                                                     : absl::nullopt;
      };
      e_.Activate(t[0], t[1], *fn, s[0], column(1), 0, column(2));
    });
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
      PerRow({out, p.base, *operands[1 - i].operand}, {p.s0},
             [&](const std::vector<Operand>& t, const std::vector<Scalar>& s) {
               e_.ScalarTensorTensor(t[0], t[1], p.op0, s[0], alu, t[2]);
             });
      Set(member, out);
      return true;
    }
    return false;
  }

  // Arithmetic with a number, or one a partition, waits for what comes next.
  bool TryPend(const Instruction* member, const std::vector<const Instruction*>& names,
               const std::vector<TileValue>& operands) {
    const AluOp arithmetic = ArithmeticOf(member->opcode());
    const auto uses = group_.uses.find(member);
    const bool read_once =
        !output_.contains(member) && uses != group_.uses.end() && uses->second == 1;
    const bool by_number = !pending_.contains(names.back()) && !operands.back().is_splat() &&
                           !IsTensor(operands.back());
    // Else the general way does as well.
    if (arithmetic == AluOp::kBypass || (!read_once && !by_number && rows_ <= 1)) return false;
    for (const int i : {0, 1}) {
      const bool waiting = pending_.contains(names[i]);
      const TileValue& other = operands[1 - i];
      if (pending_.contains(names[1 - i]) || IsTensor(other)) continue;
      if (i == 1 && !Commutes(arithmetic)) continue;
      if (!waiting && !IsTensor(operands[i])) continue;
      if (waiting && pending_[names[i]].op1 != AluOp::kBypass) continue;
      AluOp alu = arithmetic;
      Scalar scalar = other.is_splat() ? Scalar(other.splat) : Scalar(*other.operand);
      if (alu == AluOp::kDivide && !other.is_splat()) {
        alu = AluOp::kMultiply;
        scalar = Scalar(Made(*other.operand, AluOp::kDivide));
      }
      Pending p;
      if (waiting) {
        p = pending_[names[i]];
        p.op1 = alu;
        p.s1 = scalar;
        pending_.erase(names[i]);
      } else {
        p.base = *operands[i].operand;
        p.op0 = alu;
        p.s0 = scalar;
      }
      pending_[member] = p;
      if (!read_once) Resolved(member);
      return true;
    }
    return false;
  }

  absl::StatusOr<std::vector<Operand>> Outputs() {
    std::vector<Operand> results;
    for (size_t i = 0; i < group_.outputs.size(); ++i) {
      const auto& [member, part] = group_.outputs[i];
      const Instruction* before = e_.SetCurrent(member);
      TileValue value = Resolved(member);
      if (group_.numbers.contains(member) && !value.is_splat())
        value.column = value.numbers = false;
      const int64_t free = OutputElements(group_, member, box_.free);
      const DType dtype = OutputType(i);
      const absl::optional<Operand> target = target_(i);
      const bool in_place = IsTensor(value) && value.operand->dtype == dtype &&
                            !e_.InPsum(*value.operand) &&
                            (!target.has_value() || value.operand->var == target->var);
      if (in_place) {
        results.push_back(*value.operand);
      } else if (!target.has_value() && (value.is_splat() || value.column)) {
        results.push_back(Materialize(e_, value, dtype, box_.partitions, free));
      } else {
        const Operand out = target.has_value() ? *target : New(member, dtype);
        Operand from =
            IsTensor(value) ? *value.operand : Materialize(e_, value, dtype, box_.partitions, free);
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
  int64_t rows_ = 1;  // of a partition
  absl::optional<Operand> produced_;
  const std::function<absl::optional<Operand>(size_t)>& target_;
  absl::flat_hash_map<const Instruction*, TileValue> values_;
  absl::flat_hash_map<const Instruction*, Pending> pending_;
  absl::flat_hash_map<const Instruction*, size_t> output_;
  absl::flat_hash_map<const Instruction*, const Instruction*> sum_;  // of a member: who sums it
  struct MadeNumber {
    Operand from;
    AluOp op;
    Operand made;
  };
  std::vector<MadeNumber> made_;
  absl::flat_hash_map<size_t, absl::optional<TileValue>> loaded_;
};

}  // namespace

absl::StatusOr<std::vector<Operand>> EmitGroup(
    Emitter& e, const Group& group, const TileBox& box, const GivenValues& given,
    const std::function<absl::optional<Operand>(size_t)>& target) {
  return Kernel(e, group, box, given, target).Run();
}

}  // namespace glia::compiler
