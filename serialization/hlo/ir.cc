#include "serialization/hlo/ir.h"

#include <algorithm>
#include <utility>

#include "absl/strings/ascii.h"
#include "absl/strings/str_cat.h"

namespace glia::hlo {
namespace {

constexpr int64_t kMaxParameters = int64_t{1} << 20;

// "add.12" -> "add".
absl::string_view WithoutNumber(absl::string_view name) {
  size_t end = name.size();
  while (end > 0 && absl::ascii_isdigit(name[end - 1])) --end;
  if (end == name.size() || end < 2 || name[end - 1] != '.') return name;
  return name.substr(0, end - 1);
}

// `wanted`, or its base with the first free number.
template <typename NameMap>
std::string FreeName(absl::string_view wanted, const NameMap& taken,
                     absl::flat_hash_map<std::string, int64_t>* suffixes) {
  std::string name = SanitizeName(wanted);
  if (!taken.contains(name)) return name;
  const std::string base(WithoutNumber(name));
  int64_t& suffix = (*suffixes)[base];
  do {
    name = absl::StrCat(base, ".", ++suffix);
  } while (taken.contains(name));
  return name;
}

// Callees before callers, from `roots` in order; on recursion the order is unspecified.
std::vector<const Computation*> ComputationsReachableFrom(
    absl::Span<const Computation* const> roots) {
  struct Frame {
    const Computation* computation;
    std::vector<const Computation*> callees;
    size_t next;
  };
  auto callees_of = [](const Computation* computation) {
    std::vector<const Computation*> callees;
    for (const Instruction* instruction : computation->Instructions()) {
      callees.insert(callees.end(), instruction->called.begin(), instruction->called.end());
    }
    return callees;
  };
  std::vector<const Computation*> order;
  absl::flat_hash_set<const Computation*> seen;
  for (const Computation* root : roots) {
    if (root == nullptr || !seen.insert(root).second) continue;
    std::vector<Frame> stack;
    stack.push_back({root, callees_of(root), 0});
    while (!stack.empty()) {
      Frame& frame = stack.back();
      if (frame.next == frame.callees.size()) {
        order.push_back(frame.computation);
        stack.pop_back();
        continue;
      }
      const Computation* callee = frame.callees[frame.next++];
      if (callee != nullptr && seen.insert(callee).second) {
        stack.push_back({callee, callees_of(callee), 0});
      }
    }
  }
  return order;
}

}  // namespace

// ---- Instruction

void Instruction::AddUse(int64_t slot) {
  std::vector<Use>& uses = operands_[slot]->uses_;
  use_position_[slot] = uses.size();
  uses.push_back({this, slot});
}

void Instruction::DropUse(int64_t slot) {
  std::vector<Use>& uses = operands_[slot]->uses_;
  const size_t position = use_position_[slot];
  if (position + 1 != uses.size()) {
    uses[position] = uses.back();
    uses[position].user->use_position_[uses[position].operand_index] = position;
  }
  uses.pop_back();
}

void Instruction::ReplaceOperand(int64_t i, Instruction* operand) {
  DropUse(i);
  operands_[i] = operand;
  AddUse(i);
}

void Instruction::AppendOperand(Instruction* operand) {
  operands_.push_back(operand);
  use_position_.push_back(0);
  AddUse(operand_count() - 1);
}

void Instruction::RemoveOperand(int64_t i) {
  DropUse(i);
  for (int64_t j = i; j + 1 < operand_count(); ++j) {
    operands_[j] = operands_[j + 1];
    use_position_[j] = use_position_[j + 1];
    operands_[j]->uses_[use_position_[j]].operand_index = j;
  }
  operands_.pop_back();
  use_position_.pop_back();
}

std::vector<Instruction*> Instruction::users() const {
  std::vector<Instruction*> result;
  result.reserve(uses_.size());
  absl::flat_hash_set<const Instruction*> seen;
  for (const Use& use : uses_) {
    if (seen.insert(use.user).second) result.push_back(use.user);
  }
  return result;
}

bool Instruction::IsRoot() const { return parent_->root_ == this; }

void Instruction::ReplaceAllUsesWith(Instruction* replacement) {
  if (replacement == this) return;
  std::vector<Use> uses = std::move(uses_);
  uses_.clear();
  for (const Use& use : uses) {
    use.user->operands_[use.operand_index] = replacement;
    use.user->AddUse(use.operand_index);
  }
  if (IsRoot()) parent_->root_ = replacement;
}

bool Instruction::HasSideEffect() const {
  return opcode_ == Opcode::kParameter ||
         (opcode_ == Opcode::kCustomCall && custom_call_has_side_effect);
}

bool Instruction::HasSideEffectTransitively() const {
  if (HasSideEffect()) return true;
  std::vector<const Computation*> pending(called.begin(), called.end());
  absl::flat_hash_set<const Computation*> seen(pending.begin(), pending.end());
  while (!pending.empty()) {
    const Computation* computation = pending.back();
    pending.pop_back();
    for (const auto& instruction : computation->instructions_) {
      if (instruction == nullptr) continue;
      // Parameters matter to the computation that declares them only.
      if (instruction->opcode_ == Opcode::kParameter) continue;
      if (instruction->HasSideEffect()) return true;
      for (const Computation* callee : instruction->called) {
        if (seen.insert(callee).second) pending.push_back(callee);
      }
    }
  }
  return false;
}

// ---- Computation

Computation::~Computation() = default;

std::string Computation::UniqueName(absl::string_view wanted, Opcode opcode, int64_t id) {
  if (!wanted.empty()) return FreeName(wanted, names_, &suffixes_);
  return FreeName(absl::StrCat(OpcodeName(opcode), ".", id), names_, &suffixes_);
}

Instruction* Computation::Add(Opcode opcode, Shape shape, absl::Span<Instruction* const> operands,
                              absl::string_view name) {
  std::unique_ptr<Instruction> owned(new Instruction);
  Instruction* instruction = owned.get();
  instruction->opcode_ = opcode;
  instruction->shape = std::move(shape);
  instruction->parent_ = this;
  instruction->id_ = module_->NextId();
  instruction->name_ = UniqueName(name, opcode, instruction->id_);
  instruction->index_ = instructions_.size();
  instructions_.push_back(std::move(owned));
  ++live_;
  names_.emplace(instruction->name_, instruction);
  instruction->operands_.assign(operands.begin(), operands.end());
  instruction->use_position_.resize(operands.size());
  for (int64_t i = 0; i < instruction->operand_count(); ++i) instruction->AddUse(i);
  if (root_ == nullptr) root_ = instruction;
  return instruction;
}

Instruction* Computation::AddCopy(const Instruction& original,
                                  absl::Span<Instruction* const> operands, absl::string_view name) {
  Instruction* copy = Add(original.opcode_, original.shape, operands, name);
  static_cast<Attributes&>(*copy) = original;
  copy->called = original.called;
  if (copy->opcode_ == Opcode::kParameter) EnterParameter(copy);
  return copy;
}

Instruction* Computation::AddParameter(int64_t number, Shape shape, absl::string_view name) {
  Instruction* parameter = Add(Opcode::kParameter, std::move(shape), {}, name);
  parameter->parameter_number = number;
  EnterParameter(parameter);
  return parameter;
}

void Computation::EnterParameter(Instruction* parameter) {
  const int64_t number = parameter->parameter_number;
  if (number < 0 || number > kMaxParameters) return;
  if (number >= parameter_count()) parameters_.resize(static_cast<size_t>(number) + 1);
  if (parameters_[number] == nullptr) parameters_[number] = parameter;
}

void Computation::RenumberParameter(Instruction* parameter, int64_t number) {
  const int64_t old = parameter->parameter_number;
  if (old >= 0 && old < parameter_count() && parameters_[old] == parameter) {
    parameters_[old] = nullptr;
  }
  parameter->parameter_number = number;
  EnterParameter(parameter);
  while (!parameters_.empty() && parameters_.back() == nullptr) parameters_.pop_back();
}

Instruction* Computation::AddConstant(Literal value, absl::string_view name) {
  Instruction* constant = Add(Opcode::kConstant, value.shape(), {}, name);
  constant->literal = std::make_shared<const Literal>(std::move(value));
  return constant;
}

std::vector<Instruction*> Computation::PostOrder() const {
  std::vector<Instruction*> order;
  order.reserve(live_);
  std::vector<bool> seen(instructions_.size());
  std::vector<std::pair<Instruction*, size_t>> stack;  // instruction, next operand to visit
  for (const auto& start : instructions_) {
    if (start == nullptr || seen[start->index_]) continue;
    seen[start->index_] = true;
    stack.emplace_back(start.get(), 0);
    while (!stack.empty()) {
      auto& [instruction, next] = stack.back();
      if (next == instruction->operands_.size()) {
        order.push_back(instruction);
        stack.pop_back();
        continue;
      }
      Instruction* operand = instruction->operands_[next++];
      if (!seen[operand->index_]) {
        seen[operand->index_] = true;
        stack.emplace_back(operand, 0);
      }
    }
  }
  return order;
}

std::vector<Instruction*> Computation::Instructions() const {
  std::vector<Instruction*> result;
  result.reserve(live_);
  for (const auto& instruction : instructions_) {
    if (instruction != nullptr) result.push_back(instruction.get());
  }
  return result;
}

void Computation::Sort() {
  std::vector<std::unique_ptr<Instruction>> sorted;
  sorted.reserve(live_);
  for (Instruction* instruction : PostOrder()) {
    sorted.push_back(std::move(instructions_[instruction->index_]));
  }
  instructions_ = std::move(sorted);
  for (size_t i = 0; i < instructions_.size(); ++i) instructions_[i]->index_ = i;
}

void Computation::Compact() {
  instructions_.erase(std::remove(instructions_.begin(), instructions_.end(), nullptr),
                      instructions_.end());
  for (size_t i = 0; i < instructions_.size(); ++i) instructions_[i]->index_ = i;
}

void Computation::Erase(Instruction* instruction) {
  for (int64_t i = 0; i < instruction->operand_count(); ++i) instruction->DropUse(i);
  names_.erase(instruction->name_);
  if (instruction->opcode_ == Opcode::kParameter) {
    const int64_t number = instruction->parameter_number;
    if (number >= 0 && number < parameter_count() && parameters_[number] == instruction) {
      parameters_[number] = nullptr;
      while (!parameters_.empty() && parameters_.back() == nullptr) parameters_.pop_back();
    }
  }
  if (root_ == instruction) root_ = nullptr;
  --live_;
  instructions_[instruction->index_].reset();
}

void Computation::Remove(Instruction* instruction) {
  Erase(instruction);
  if (instructions_.size() > 64 && live_ < instructions_.size() / 2) Compact();
}

void Computation::RemoveWithDeadOperands(Instruction* instruction) {
  std::vector<Instruction*> pending = {instruction};
  absl::flat_hash_set<const Instruction*> queued;  // an operand may be read by several slots
  while (!pending.empty()) {
    Instruction* dead = pending.back();
    pending.pop_back();
    const std::vector<Instruction*> operands = dead->operands_;
    Erase(dead);
    for (Instruction* operand : operands) {
      if (operand->IsDead() && !operand->HasSideEffectTransitively() &&
          queued.insert(operand).second) {
        pending.push_back(operand);
      }
    }
  }
  if (instructions_.size() > 64 && live_ < instructions_.size() / 2) Compact();
}

int64_t Computation::RemoveDead() {
  std::vector<bool> needed(instructions_.size());
  std::vector<Instruction*> pending;
  auto need = [&](Instruction* instruction) {
    if (needed[instruction->index_]) return;
    needed[instruction->index_] = true;
    pending.push_back(instruction);
  };
  const std::vector<Instruction*> order = PostOrder();
  if (root_ != nullptr) need(root_);
  for (Instruction* instruction : order) {
    if (instruction->HasSideEffectTransitively()) need(instruction);
  }
  while (!pending.empty()) {
    Instruction* instruction = pending.back();
    pending.pop_back();
    for (Instruction* operand : instruction->operands_) need(operand);
  }
  int64_t removed = 0;
  for (auto it = order.rbegin(); it != order.rend(); ++it) {
    if (needed[(*it)->index_]) continue;
    Erase(*it);
    ++removed;
  }
  if (removed > 0) Compact();
  return removed;
}

Instruction* Computation::Find(absl::string_view name) const {
  auto it = names_.find(name);
  return it == names_.end() ? nullptr : it->second;
}

Instruction* Computation::Inline(const Computation& source,
                                 absl::Span<Instruction* const> parameters) {
  absl::flat_hash_map<const Instruction*, Instruction*> copies;
  for (const Instruction* instruction : source.PostOrder()) {
    if (instruction->opcode_ == Opcode::kParameter) {
      copies[instruction] = parameters[static_cast<size_t>(instruction->parameter_number)];
      continue;
    }
    std::vector<Instruction*> operands;
    operands.reserve(instruction->operands_.size());
    for (const Instruction* operand : instruction->operands_)
      operands.push_back(copies.at(operand));
    copies[instruction] = AddCopy(*instruction, operands, instruction->name_);
  }
  return copies.at(source.root_);
}

// ---- Module

Computation* Module::AddComputation(absl::string_view name) {
  std::unique_ptr<Computation> computation(new Computation);
  computation->module_ = this;
  computation->id_ = NextId();
  computation->name_ = FreeName(name.empty() ? "computation" : name, names_, &suffixes_);
  names_.emplace(computation->name_, computation.get());
  computations_.push_back(std::move(computation));
  return computations_.back().get();
}

std::vector<Computation*> Module::Computations() const {
  std::vector<Computation*> result;
  result.reserve(computations_.size());
  for (const auto& computation : computations_) result.push_back(computation.get());
  return result;
}

Computation* Module::Find(absl::string_view name) const {
  auto it = names_.find(name);
  return it == names_.end() ? nullptr : it->second;
}

std::vector<Computation*> Module::MakeComputationPostOrder() const {
  std::vector<const Computation*> roots;
  for (const auto& computation : computations_) {
    if (computation.get() != entry_) roots.push_back(computation.get());
  }
  roots.push_back(entry_);
  std::vector<Computation*> order;
  for (const Computation* computation : ComputationsReachableFrom(roots)) {
    order.push_back(const_cast<Computation*>(computation));  // the module's own
  }
  return order;
}

void Module::Remove(Computation* computation) {
  names_.erase(computation->name_);
  if (entry_ == computation) entry_ = nullptr;
  computations_.erase(
      std::find_if(computations_.begin(), computations_.end(),
                   [&](const auto& candidate) { return candidate.get() == computation; }));
}

int64_t Module::RemoveUnreachable() {
  const std::vector<const Computation*> order = ComputationsReachableFrom({entry_});
  const absl::flat_hash_set<const Computation*> reachable(order.begin(), order.end());
  const size_t before = computations_.size();
  auto keep_end = std::stable_partition(
      computations_.begin(), computations_.end(),
      [&](const auto& computation) { return reachable.contains(computation.get()); });
  for (auto it = keep_end; it != computations_.end(); ++it) names_.erase((*it)->name_);
  computations_.erase(keep_end, computations_.end());
  return static_cast<int64_t>(before - computations_.size());
}

std::vector<Instruction*> Module::CallersOf(const Computation* computation) const {
  std::vector<Instruction*> callers;
  for (const auto& candidate : computations_) {
    for (const auto& instruction : candidate->instructions_) {
      if (instruction != nullptr &&
          std::count(instruction->called.begin(), instruction->called.end(), computation) > 0) {
        callers.push_back(instruction.get());
      }
    }
  }
  return callers;
}

Computation* Module::CopyComputation(
    const Computation& source, Module* target,
    absl::flat_hash_map<const Computation*, Computation*>* mapped) {
  for (const Computation* original : ComputationsReachableFrom({&source})) {
    if (mapped->contains(original)) continue;
    Computation* copy = target->AddComputation(original->name_);
    (*mapped)[original] = copy;
    absl::flat_hash_map<const Instruction*, Instruction*> copies;
    for (const Instruction* instruction : original->PostOrder()) {
      std::vector<Instruction*> operands;
      operands.reserve(instruction->operands_.size());
      for (const Instruction* operand : instruction->operands_) {
        operands.push_back(copies.at(operand));
      }
      Instruction* added = copy->AddCopy(*instruction, operands, instruction->name_);
      for (Computation*& callee : added->called) callee = mapped->at(callee);
      copies[instruction] = added;
    }
    if (original->root_ != nullptr) copy->root_ = copies.at(original->root_);
  }
  return mapped->at(&source);
}

std::unique_ptr<Module> Module::Clone() const {
  auto clone = std::make_unique<Module>(name_);
  clone->input_output_alias = input_output_alias;
  clone->frontend_attributes = frontend_attributes;
  absl::flat_hash_map<const Computation*, Computation*> mapped;
  for (const auto& computation : computations_) {
    CopyComputation(*computation, clone.get(), &mapped);
  }
  // Copies stand in the order of the originals' PostOrder.
  for (const auto& [original, copy] : mapped) {
    copy->id_ = original->id_;
    const std::vector<Instruction*> from = original->PostOrder();
    for (size_t i = 0; i < from.size(); ++i) copy->instructions_[i]->id_ = from[i]->id_;
  }
  // Callees were copied first; restore the order of addition.
  absl::flat_hash_map<const Computation*, size_t> rank;
  for (size_t i = 0; i < computations_.size(); ++i) rank[mapped.at(computations_[i].get())] = i;
  std::sort(clone->computations_.begin(), clone->computations_.end(),
            [&](const auto& a, const auto& b) { return rank.at(a.get()) < rank.at(b.get()); });
  if (entry_ != nullptr) clone->entry_ = mapped.at(entry_);
  clone->next_id_ = next_id_;
  return clone;
}

std::string SanitizeName(absl::string_view name) {
  std::string result(name);
  for (char& c : result) {
    if (!absl::ascii_isalnum(c) && c != '_' && c != '.' && c != '-') c = '_';
  }
  const bool starts_well = !result.empty() && (absl::ascii_isalpha(result[0]) || result[0] == '_');
  return starts_well ? result : "_" + result;
}

ProgramShape ProgramShapeOf(const Computation& computation) {
  ProgramShape result;
  for (const Instruction* parameter : computation.parameters()) {
    result.parameters.push_back(parameter == nullptr ? Shape() : parameter->shape);
    result.parameter_names.push_back(parameter == nullptr ? "" : parameter->name());
  }
  if (computation.root() != nullptr) result.result = computation.root()->shape;
  return result;
}

ProgramShape Module::program_shape() const {
  return entry_ == nullptr ? ProgramShape() : ProgramShapeOf(*entry_);
}

int64_t Module::instruction_count() const {
  int64_t count = 0;
  for (const auto& computation : computations_) count += computation->instruction_count();
  return count;
}

void Module::SetId(Instruction* instruction, int64_t id) {
  instruction->id_ = id;
  next_id_ = std::max(next_id_, id + 1);
}

void Module::SetId(Computation* computation, int64_t id) {
  computation->id_ = id;
  next_id_ = std::max(next_id_, id + 1);
}

}  // namespace glia::hlo
