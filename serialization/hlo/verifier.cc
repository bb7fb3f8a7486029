#include "serialization/hlo/verifier.h"

#include "absl/container/flat_hash_map.h"
#include "absl/container/flat_hash_set.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "serialization/hlo/shape_inference.h"
#include "serialization/hlo/shape_inference_internal.h"

namespace glia::hlo {
namespace {

absl::Status Error(const Computation& computation, const Instruction* instruction,
                   absl::string_view what) {
  return absl::InvalidArgumentError(
      absl::StrCat("HLO module ", computation.module()->name(), ", computation ",
                   computation.name(), instruction == nullptr ? "" : ", instruction ",
                   instruction == nullptr ? "" : instruction->name(), ": ", what));
}

class Verifier {
 public:
  explicit Verifier(const Module& module) : module_(module) {
    for (Computation* computation : module.Computations()) computations_.insert(computation);
  }

  absl::Status Run() {
    if (module_.entry() == nullptr) {
      return absl::InvalidArgumentError(
          absl::StrCat("HLO module ", module_.name(), " has no entry computation"));
    }
    for (const Computation* computation : module_.Computations()) {
      GLIA_HLO_RETURN_IF_ERROR(CheckStructure(*computation));
    }
    // Before shapes: inference looks into called computations.
    GLIA_HLO_RETURN_IF_ERROR(CheckCallGraph());
    for (const Computation* computation : module_.MakeComputationPostOrder()) {
      for (const Instruction* instruction : computation->Instructions()) {
        GLIA_HLO_RETURN_IF_ERROR(CheckShape(*instruction));
      }
    }
    return CheckAliases();
  }

 private:
  absl::Status CheckStructure(const Computation& computation) {
    if (computation.root() == nullptr || computation.root()->parent() != &computation) {
      return Error(computation, nullptr, "has no root");
    }
    if (!computation_ids_.insert(computation.id()).second) {
      return Error(computation, nullptr, absl::StrCat("id ", computation.id(), " is not unique"));
    }
    for (const Instruction* instruction : computation.Instructions()) {
      for (const Instruction* operand : instruction->operands()) {
        if (operand->parent() != &computation) {
          return Error(computation, instruction, "has an operand of another computation");
        }
      }
    }
    absl::flat_hash_set<const Instruction*> done;
    int64_t parameters = 0;
    for (const Instruction* instruction : computation.PostOrder()) {
      for (const Instruction* operand : instruction->operands()) {
        if (!done.contains(operand)) return Error(computation, instruction, "is part of a cycle");
      }
      done.insert(instruction);
      if (instruction->id() < 0 || !ids_.insert(instruction->id()).second) {
        return Error(computation, instruction,
                     absl::StrCat("id ", instruction->id(), " is not unique"));
      }
      for (const Computation* callee : instruction->called) {
        if (!computations_.contains(callee)) {
          return Error(computation, instruction, "calls a computation of another module");
        }
      }
      if (instruction->opcode() == Opcode::kParameter) {
        ++parameters;
        const int64_t number = instruction->parameter_number;
        if (number < 0 || number >= computation.parameter_count() ||
            computation.parameter(number) != instruction) {
          return Error(computation, instruction,
                       absl::StrCat("parameter number ", number, " is taken or out of range"));
        }
      }
    }
    if (parameters != computation.parameter_count()) {
      return Error(computation, nullptr,
                   absl::StrCat("has ", parameters, " parameters, but numbers up to ",
                                computation.parameter_count() - 1));
    }
    return absl::OkStatus();
  }

  // In a callee-first order of an acyclic graph every callee has been seen.
  absl::Status CheckCallGraph() {
    absl::flat_hash_set<const Computation*> done;
    for (const Computation* computation : module_.MakeComputationPostOrder()) {
      for (const Instruction* instruction : computation->Instructions()) {
        for (const Computation* callee : instruction->called) {
          if (!done.contains(callee)) {
            return Error(*computation, instruction,
                         absl::StrCat("calls ", callee->name(), " recursively"));
          }
        }
      }
      done.insert(computation);
    }
    return absl::OkStatus();
  }

  absl::Status CheckShape(const Instruction& instruction) {
    const Computation& computation = *instruction.parent();
    absl::Status valid = ValidateShape(instruction.shape);
    if (!valid.ok()) return Error(computation, &instruction, valid.message());
    absl::StatusOr<Shape> inferred = InferShape(instruction);
    if (!inferred.ok()) return Error(computation, &instruction, inferred.status().message());
    if (!Compatible(*inferred, instruction.shape)) {
      return Error(computation, &instruction,
                   absl::StrCat("has shape ", instruction.shape.ToString(), ", but must have ",
                                inferred->ToString()));
    }
    return absl::OkStatus();
  }

  absl::Status CheckAliases() {
    const ProgramShape program = module_.program_shape();
    auto exists = [](const Shape& shape, const std::vector<int64_t>& index) {
      const Shape* at = &shape;
      for (int64_t i : index) {
        if (i < 0 || i >= static_cast<int64_t>(at->tuple.size())) return false;
        at = &at->tuple[i];
      }
      return true;
    };
    for (const InputOutputAlias& alias : module_.input_output_alias) {
      const bool ok = exists(program.result, alias.output_index) && alias.parameter_number >= 0 &&
                      alias.parameter_number < static_cast<int64_t>(program.parameters.size()) &&
                      exists(program.parameters[alias.parameter_number], alias.parameter_index);
      if (!ok) {
        return Error(*module_.entry(), nullptr,
                     absl::StrCat("alias of output {", absl::StrJoin(alias.output_index, ","),
                                  "} and parameter ", alias.parameter_number, " {",
                                  absl::StrJoin(alias.parameter_index, ","),
                                  "} names a buffer that does not exist"));
      }
    }
    return absl::OkStatus();
  }

  const Module& module_;
  absl::flat_hash_set<const Computation*> computations_;
  absl::flat_hash_set<int64_t> computation_ids_;
  absl::flat_hash_set<int64_t> ids_;  // of instructions; a space of their own
};

}  // namespace

absl::Status Verify(const Module& module) { return Verifier(module).Run(); }

}  // namespace glia::hlo
