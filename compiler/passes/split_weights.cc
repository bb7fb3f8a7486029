#include <utility>

#include "absl/container/flat_hash_map.h"
#include "absl/container/flat_hash_set.h"
#include "absl/strings/str_cat.h"
#include "compiler/passes/passes.h"
#include "compiler/passes/rewrite.h"

namespace glia::compiler {
namespace {

using hlo::Instruction;
using hlo::Opcode;

// What is never computed ahead: it has effects, calls computations, or grows its operands.
bool IsMovable(const Instruction& instr) {
  switch (instr.opcode()) {
    case Opcode::kParameter:
    case Opcode::kConstant:
    case Opcode::kIota:
    case Opcode::kBroadcast:
    case Opcode::kTuple:
    case Opcode::kGetTupleElement:
    case Opcode::kOptimizationBarrier:
    case Opcode::kRng:
    case Opcode::kCustomCall:
      return false;
    default:
      break;
  }
  if (!instr.called.empty() || instr.HasSideEffect() || instr.shape.IsTuple()) return false;
  int64_t elements = 0;
  for (const Instruction* operand : instr.operands()) {
    if (operand->shape.IsTuple()) return false;
    elements += operand->shape.elements();
  }
  return instr.shape.elements() <= elements;
}

class Splitter {
 public:
  Splitter(hlo::Module* main, const std::vector<bool>& weights)
      : main_(main), entry_(main->entry()), weights_(weights) {}

  std::unique_ptr<hlo::Module> Run() {
    const std::vector<Instruction*> order = entry_->PostOrder();
    for (Instruction* instr : order) {
      if (DependsOnWeightsOnly(*instr)) ahead_.insert(instr);
    }
    for (Instruction* instr : order) {
      if (instr->opcode() == Opcode::kDot && ahead_.count(instr) == 0) TurnOperands(instr);
    }
    for (Instruction* instr : entry_->PostOrder()) {
      if (IsResult(*instr)) results_.push_back(instr);
    }
    if (results_.empty()) return nullptr;
    auto prepare = Prepare();
    const int64_t first = entry_->parameter_count();
    for (size_t i = 0; i < results_.size(); ++i) {
      results_[i]->ReplaceAllUsesWith(entry_->AddParameter(
          first + static_cast<int64_t>(i), results_[i]->shape, absl::StrCat("prepared", i)));
    }
    entry_->RemoveDead();
    entry_->Sort();
    return prepare;
  }

 private:
  bool IsAhead(const Instruction* instr) const { return ahead_.count(instr) != 0; }

  bool DependsOnWeightsOnly(const Instruction& instr) const {
    if (instr.opcode() == Opcode::kParameter) {
      const size_t number = static_cast<size_t>(instr.parameter_number);
      return number < weights_.size() && weights_[number] && !instr.shape.IsTuple();
    }
    if (!IsMovable(instr)) return false;
    bool any = false;
    for (const Instruction* operand : instr.operands()) {
      if (IsAhead(operand)) {
        any = true;
      } else if (operand->opcode() != Opcode::kConstant) {
        return false;
      }
    }
    return any;
  }

  // The tensor engine wants the contracted dim first in both operands, the free dim contiguous.
  void TurnOperands(Instruction* dot) {
    Rewriter rewriter(*dot);
    for (int64_t side = 0; side < 2; ++side) {
      Instruction* operand = dot->operand(side);
      std::vector<int64_t>& contracting =
          side == 0 ? dot->dot_dims.lhs_contracting : dot->dot_dims.rhs_contracting;
      const std::vector<int64_t>& batch =
          side == 0 ? dot->dot_dims.lhs_batch : dot->dot_dims.rhs_batch;
      const int64_t rank = operand->shape.rank();
      if (!IsAhead(operand) || contracting.size() != 1 || contracting[0] != rank - 1 ||
          rank != static_cast<int64_t>(batch.size()) + 2) {
        continue;
      }
      std::vector<int64_t> order;
      for (int64_t d = 0; d < rank; ++d) order.push_back(d);
      std::swap(order[static_cast<size_t>(rank - 2)], order[static_cast<size_t>(rank - 1)]);
      Instruction* turned = rewriter.Transpose(operand, order);
      ahead_.insert(turned);
      dot->ReplaceOperand(side, turned);
      contracting[0] = rank - 2;
    }
  }

  // Computed ahead, needed by the rest, and worth it: a reshape costs nothing.
  bool IsResult(const Instruction& instr) const {
    if (!IsAhead(&instr)) return false;
    const Instruction* source = &instr;
    while (source->opcode() == Opcode::kReshape) source = source->operand(0);
    if (source->opcode() == Opcode::kParameter) return false;
    if (instr.IsRoot()) return true;
    for (const hlo::Use& use : instr.uses()) {
      if (!IsAhead(use.user)) return true;
    }
    return false;
  }

  std::unique_ptr<hlo::Module> Prepare() {
    auto module = std::make_unique<hlo::Module>(absl::StrCat(main_->name(), "_prepare"));
    hlo::Computation* computation = module->AddComputation("prepare");
    module->set_entry(computation);
    absl::flat_hash_map<const Instruction*, Instruction*> copies;
    for (const Instruction* parameter : entry_->parameters()) {
      copies[parameter] = computation->AddParameter(parameter->parameter_number, parameter->shape);
    }
    for (const Instruction* instr : entry_->PostOrder()) {
      const bool constant = instr->opcode() == Opcode::kConstant;
      if (instr->opcode() == Opcode::kParameter || (!constant && !IsAhead(instr))) continue;
      std::vector<Instruction*> operands;
      for (const Instruction* operand : instr->operands()) operands.push_back(copies.at(operand));
      copies[instr] = computation->AddCopy(*instr, operands);
    }
    std::vector<Instruction*> results;
    std::vector<hlo::Shape> shapes;
    for (const Instruction* result : results_) {
      results.push_back(copies.at(result));
      shapes.push_back(result->shape);
    }
    computation->set_root(
        computation->Add(Opcode::kTuple, hlo::Shape::Tuple(std::move(shapes)), results));
    computation->RemoveDead();
    return module;
  }

  hlo::Module* const main_;
  hlo::Computation* const entry_;
  const std::vector<bool>& weights_;
  absl::flat_hash_set<const Instruction*> ahead_;
  std::vector<Instruction*> results_;
};

}  // namespace

std::unique_ptr<hlo::Module> SplitWeights(hlo::Module* module, const std::vector<bool>& weights) {
  return Splitter(module, weights).Run();
}

}  // namespace glia::compiler
