// A group of element-wise instructions on tiles: what it reads and writes, and its kernel for one
// tile.
#ifndef GLIA_COMPILER_CODEGEN_GROUP_H_
#define GLIA_COMPILER_CODEGEN_GROUP_H_

#include <functional>
#include <utility>
#include <vector>

#include "absl/container/flat_hash_map.h"
#include "absl/container/flat_hash_set.h"
#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/types/optional.h"
#include "compiler/codegen/elementwise.h"
#include "compiler/codegen/emitter.h"
#include "compiler/codegen/fusion.h"
#include "compiler/codegen/tiling.h"

namespace glia::compiler {

// A member that stands for several: `fn` of `operand`, such as GELU from the operations that spell
// it.
struct Replacement {
  ActFn fn = ActFn::kCopy;
  const hlo::Instruction* operand = nullptr;
};

// A number of a row that bn_stats gives: the mean or the variance of a member's row.
struct Moment {
  const hlo::Instruction* of = nullptr;
  bool variance = false;
};

struct Group {
  std::vector<const hlo::Instruction*> members;  // those that are computed, operands before users
  absl::flat_hash_map<const hlo::Instruction*, Replacement> replacements;
  absl::flat_hash_map<const hlo::Instruction*, int> uses;  // of values, by computed members
  std::vector<Nd> parts;  // leaves, then outputs; dims of the group
  // External operand -> part; of one that is a number a row, the part repeats it as an output's.
  absl::flat_hash_map<const hlo::Instruction*, size_t> leaf;
  absl::flat_hash_set<const hlo::Instruction*> number_leaves;
  absl::flat_hash_map<const hlo::Instruction*, TileValue> splats;  // external, one number
  absl::flat_hash_map<const hlo::Instruction*, bool> produced;     // external, the unit's producer
  // Member -> part; one that only another group of the unit reads has none.
  std::vector<std::pair<const hlo::Instruction*, absl::optional<size_t>>> outputs;

  // A unit with rows: their length, else 0. Members that are one number a row, among them those
  // that reduce; a part of such an output repeats its numbers along the last dim. Operands that
  // stand for such numbers behind reshapes and broadcasts.
  int64_t row = 0;
  absl::flat_hash_set<const hlo::Instruction*> numbers;
  absl::flat_hash_map<const hlo::Instruction*, const hlo::Instruction*> behind;
  absl::flat_hash_map<const hlo::Instruction*, Moment> moments;

  // Those of a member that are read to compute it.
  std::vector<const hlo::Instruction*> OperandsOf(const hlo::Instruction* member) const;
};

// Parts of equal length, as few as bn_stats takes, of a row of so many elements; 0 if there are
// none.
int64_t StatsParts(int64_t row);

// The part of a unit that is computed at once; all of it, or what precedes the first reduces and
// the rest.
struct Scope {
  std::vector<const hlo::Instruction*> members;
  absl::flat_hash_set<const hlo::Instruction*> others;  // of the unit, and given where read
};

// Enters the results that are read outside of the unit; those that only products read have the type
// in which these multiply. `dims` are those to which the caller reshapes the parts: the group's own
// or a producer's.
absl::StatusOr<Group> CollectGroup(Emitter& e, const Unit& unit, const Scope& scope,
                                   const Dims& dims);
absl::StatusOr<Group> CollectGroup(Emitter& e, const Unit& unit);

// What a member reads from outside the unit, as an array of the unit's dims.
absl::StatusOr<Nd> LeafOf(Emitter& e, const Unit& unit, const hlo::Instruction& member,
                          const hlo::Instruction* operand);

// The type in which a result is kept: its own, or that of the products which alone read it.
DType ResultType(const Emitter& e, const hlo::Instruction& hlo);

// What comes from elsewhere in the unit: elements of the box, in SBUF or PSUM.
struct GivenValues {
  absl::optional<Operand> produced;  // the producer's
  absl::flat_hash_map<const hlo::Instruction*, Operand> others;
};

// Computes the members on one tile. `target` gives the place of output i, or none for a new tile.
// Result: where each output is; it has the type of its part, or its own.
absl::StatusOr<std::vector<Operand>> EmitGroup(
    Emitter& e, const Group& group, const TileBox& box, const GivenValues& given,
    const std::function<absl::optional<Operand>(size_t)>& target);

// Elements a partition of an output for `free` ones of the box, and its part without the repeats.
int64_t OutputElements(const Group& group, const hlo::Instruction* member, int64_t free);
Nd OutputPart(const Group& group, const hlo::Instruction* member, const Nd& part);

}  // namespace glia::compiler

#endif  // GLIA_COMPILER_CODEGEN_GROUP_H_
