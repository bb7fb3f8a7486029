// The HLO program in memory: a Module owns Computations, a Computation owns Instructions, and an
// Instruction points to its operands. Builder, parser, verifier, evaluator and compiler passes
// share it; hlo.proto is the form on the wire.
//
// Every edit here is O(1) or linear in what it touches, so that programs of 100,000 instructions
// are cheap. Nothing here checks shapes (see verifier.h). Not thread-safe for writers; any number
// of threads may read a module that nobody changes.
#ifndef GLIA_SERIALIZATION_HLO_IR_H_
#define GLIA_SERIALIZATION_HLO_IR_H_

#include <cstdint>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "absl/container/flat_hash_map.h"
#include "absl/container/flat_hash_set.h"
#include "absl/strings/string_view.h"
#include "absl/types/span.h"
#include "serialization/hlo/attributes.h"
#include "serialization/hlo/opcode.h"
#include "serialization/hlo/shape.h"

namespace glia::hlo {

class Computation;
class Instruction;
class Module;

// One operand slot of `user` that reads the instruction.
struct Use {
  Instruction* user;
  int64_t operand_index;
};

// Created by Computation::Add. The attributes are its public members (attributes.h).
class Instruction : public Attributes {
 public:
  Instruction(const Instruction&) = delete;
  Instruction& operator=(const Instruction&) = delete;

  Opcode opcode() const { return opcode_; }
  Computation* parent() const { return parent_; }

  // Unique among the instructions of the module, >= 0.
  int64_t id() const { return id_; }
  // Unique in the computation; without the '%' of the text form. Made of letters, digits, '_', '.'
  // and '-'.
  const std::string& name() const { return name_; }

  const std::vector<Instruction*>& operands() const { return operands_; }
  Instruction* operand(int64_t i) const { return operands_[i]; }
  int64_t operand_count() const { return static_cast<int64_t>(operands_.size()); }

  // Makes slot i read `operand` (of the same computation).
  void ReplaceOperand(int64_t i, Instruction* operand);
  void AppendOperand(Instruction* operand);
  // Removes slot i; the later ones move down. O(operands).
  void RemoveOperand(int64_t i);

  // Every operand slot that reads this: a user that reads it twice appears twice. In no set order
  // (but the same order for the same edits).
  const std::vector<Use>& uses() const { return uses_; }
  // The users, each once.
  std::vector<Instruction*> users() const;
  bool IsRoot() const;
  // No operand slot reads it and it is not the root.
  bool IsDead() const { return uses_.empty() && !IsRoot(); }

  // Makes every user read `replacement`, which becomes the root if this was it. O(uses).
  void ReplaceAllUsesWith(Instruction* replacement);

  // Must not be removed when dead: parameters, and custom-calls that say so. A call, while or
  // conditional is as pure as what it calls: see HasSideEffectTransitively.
  bool HasSideEffect() const;
  bool HasSideEffectTransitively() const;

  // Computations it calls: call, map, fusion, reduce, reduce-window, scatter, sort, custom-call:
  // to_apply (custom-call: any number). select-and-scatter: select, scatter. while: body,
  // condition. conditional: true, false, or one per branch of an indexed one.
  std::vector<Computation*> called;

  Computation* to_apply() const { return called[0]; }
  Computation* while_body() const { return called[0]; }
  Computation* while_condition() const { return called[1]; }

  // A constant's value; must be a constant with a literal.
  const Literal& constant() const { return *literal; }

  Shape shape;

 private:
  friend class Computation;
  friend class Module;

  Instruction() = default;
  void AddUse(int64_t slot);
  void DropUse(int64_t slot);

  Opcode opcode_ = Opcode::kParameter;
  Computation* parent_ = nullptr;
  int64_t id_ = -1;
  std::string name_;
  std::vector<Instruction*> operands_;
  std::vector<size_t> use_position_;  // of operand slot i in operands_[i]->uses_
  std::vector<Use> uses_;
  size_t index_ = 0;  // position in parent_->instructions_
};

class Computation {
 public:
  ~Computation();
  Computation(const Computation&) = delete;
  Computation& operator=(const Computation&) = delete;

  const std::string& name() const { return name_; }
  Module* module() const { return module_; }
  int64_t id() const { return id_; }

  // Appends an instruction. Operands belong to this computation. An empty name becomes "opcode.ID";
  // a name already taken gets a numbered suffix. The first instruction becomes the root until
  // set_root. Set the attributes on the result.
  Instruction* Add(Opcode opcode, Shape shape, absl::Span<Instruction* const> operands = {},
                   absl::string_view name = "");

  // Appends a copy of `original` (of any computation) with its attributes, called computations and
  // shape, but with these operands.
  Instruction* AddCopy(const Instruction& original, absl::Span<Instruction* const> operands,
                       absl::string_view name = "");

  // A parameter or a constant (of the literal's shape). Parameters are added in this way only; a
  // number that is negative or above 2^20 is not entered in parameters(), and the verifier refuses
  // it.
  Instruction* AddParameter(int64_t number, Shape shape, absl::string_view name = "");
  Instruction* AddConstant(Literal value, absl::string_view name = "");

  Instruction* root() const { return root_; }
  void set_root(Instruction* root) { root_ = root; }

  // Ordered by number; a missing number is null. O(1).
  const std::vector<Instruction*>& parameters() const { return parameters_; }
  Instruction* parameter(int64_t i) const { return parameters_[i]; }
  int64_t parameter_count() const { return static_cast<int64_t>(parameters_.size()); }
  // Changes a parameter's number in the instruction and here. The slot must be free.
  void RenumberParameter(Instruction* parameter, int64_t number);

  int64_t instruction_count() const { return static_cast<int64_t>(live_); }

  // All instructions in a valid order (operands before users), including dead ones, stable with
  // respect to the order of addition where dependencies allow. Linear. The vector is the caller's:
  // instructions may be added and removed while walking it (do not touch those removed).
  std::vector<Instruction*> PostOrder() const;

  // Instructions in the order they were added or last sorted, as above the caller's own vector.
  // After Builder, parser, proto conversion and Sort it is a post order.
  std::vector<Instruction*> Instructions() const;
  // Makes the stored order PostOrder().
  void Sort();

  // Removes an instruction without uses that is not the root. Parameters may be removed too:
  // renumber the later ones.
  void Remove(Instruction* instruction);
  // Removes it and then its operands, transitively, as far as they became dead and have no side
  // effects.
  void RemoveWithDeadOperands(Instruction* instruction);
  // Removes everything the root does not need, except parameters and side effects; returns how
  // many.
  int64_t RemoveDead();

  // Instruction by name; null when absent.
  Instruction* Find(absl::string_view name) const;

  // Copies all of `source` into this computation, `parameters` standing for its parameters (one for
  // each), and returns the copy of the root. The heart of inlining.
  Instruction* Inline(const Computation& source, absl::Span<Instruction* const> parameters);

 private:
  friend class Module;
  friend class Instruction;
  Computation() = default;

  std::string UniqueName(absl::string_view wanted, Opcode opcode, int64_t id);
  void EnterParameter(Instruction* parameter);
  void Erase(Instruction* instruction);
  void Compact();

  Module* module_ = nullptr;
  std::string name_;
  int64_t id_ = -1;
  Instruction* root_ = nullptr;
  std::vector<std::unique_ptr<Instruction>> instructions_;  // null where one was removed
  size_t live_ = 0;
  std::vector<Instruction*> parameters_;
  absl::flat_hash_map<absl::string_view, Instruction*> names_;  // keys are the instructions' names
  absl::flat_hash_map<std::string, int64_t> suffixes_;          // last one given to a base name
};

// An output buffer that may or must be that of a parameter.
struct InputOutputAlias {
  std::vector<int64_t> output_index;  // ShapeIndex into the result
  int64_t parameter_number = 0;
  std::vector<int64_t> parameter_index;  // ShapeIndex into the parameter
  bool must_alias = false;
};

// The signature of a computation.
struct ProgramShape {
  std::vector<Shape> parameters;
  std::vector<std::string> parameter_names;
  Shape result;
};

class Module {
 public:
  explicit Module(absl::string_view name = "module") : name_(name) {}
  Module(const Module&) = delete;
  Module& operator=(const Module&) = delete;

  const std::string& name() const { return name_; }
  void set_name(absl::string_view name) { name_ = std::string(name); }

  // Adds an empty computation; a name already taken gets a numbered suffix.
  Computation* AddComputation(absl::string_view name);

  Computation* entry() const { return entry_; }
  void set_entry(Computation* entry) { entry_ = entry; }

  // In order of addition, as the caller's own vector.
  std::vector<Computation*> Computations() const;
  int64_t computation_count() const { return static_cast<int64_t>(computations_.size()); }
  Computation* Find(absl::string_view name) const;

  // Callees before callers, entry last; those that the entry does not reach are included, before
  // it. Recursion (invalid HLO) does not loop, and the order is then unspecified.
  std::vector<Computation*> MakeComputationPostOrder() const;

  // Removes a computation that nothing calls.
  void Remove(Computation* computation);
  // Removes every computation that the entry does not reach; returns how many.
  int64_t RemoveUnreachable();
  // Instructions that call it. Linear in the module.
  std::vector<Instruction*> CallersOf(const Computation* computation) const;

  // Deep copy; ids and names are kept.
  std::unique_ptr<Module> Clone() const;
  // Copies a computation and everything it calls into `target` and returns the copy; `mapped` holds
  // the computations already copied and is extended.
  static Computation* CopyComputation(
      const Computation& source, Module* target,
      absl::flat_hash_map<const Computation*, Computation*>* mapped);

  // Parameters and result of the entry computation, as the instructions say.
  ProgramShape program_shape() const;

  int64_t instruction_count() const;

  // Gives the instruction or computation an id from outside (as read from a file), which must be
  // free.
  void SetId(Instruction* instruction, int64_t id);
  void SetId(Computation* computation, int64_t id);

  std::vector<InputOutputAlias> input_output_alias;
  std::map<std::string, std::string> frontend_attributes;

 private:
  friend class Computation;
  int64_t NextId() { return next_id_++; }

  std::string name_;
  std::vector<std::unique_ptr<Computation>> computations_;
  absl::flat_hash_map<absl::string_view, Computation*> names_;  // keys are the computations' names
  absl::flat_hash_map<std::string, int64_t> suffixes_;
  Computation* entry_ = nullptr;
  int64_t next_id_ = 1;
};

// The name as the text form can hold it: other characters than [A-Za-z0-9_.-] become '_', and a
// leading digit, '.' or '-' gets a '_' in front. Names of instructions and computations pass
// through it.
std::string SanitizeName(absl::string_view name);

// Parameters and result of any computation.
ProgramShape ProgramShapeOf(const Computation& computation);

}  // namespace glia::hlo

#endif  // GLIA_SERIALIZATION_HLO_IR_H_
