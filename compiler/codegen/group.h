// A group of element-wise instructions on tiles: what it reads and writes, and its kernel for one
// tile.
#ifndef GLIA_COMPILER_CODEGEN_GROUP_H_
#define GLIA_COMPILER_CODEGEN_GROUP_H_

#include <functional>
#include <utility>
#include <vector>

#include "absl/container/flat_hash_map.h"
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

struct Group {
  std::vector<const hlo::Instruction*> members;  // those that are computed, operands before users
  absl::flat_hash_map<const hlo::Instruction*, Replacement> replacements;
  absl::flat_hash_map<const hlo::Instruction*, int> uses;  // of values, by computed members
  std::vector<Nd> parts;  // leaves, then outputs; dims of the group
  absl::flat_hash_map<const hlo::Instruction*, size_t> leaf;        // external operand -> part
  absl::flat_hash_map<const hlo::Instruction*, TileValue> splats;   // external, one number
  absl::flat_hash_map<const hlo::Instruction*, bool> produced;      // external, the unit's producer
  std::vector<std::pair<const hlo::Instruction*, size_t>> outputs;  // member -> part
};

// Enters the results that are read outside; those that only products read have the type in which
// these multiply.
absl::StatusOr<Group> CollectGroup(Emitter& e, const Unit& unit);

// The type in which a result is kept: its own, or that of the products which alone read it.
DType ResultType(const Emitter& e, const hlo::Instruction& hlo);

// Computes the members on one tile. `produced` holds the producer's elements, in SBUF or PSUM.
// `target` gives the place of output i, or none for a new tile. Result: where each output is; it
// has the type of its part.
absl::StatusOr<std::vector<Operand>> EmitGroup(
    Emitter& e, const Group& group, const TileBox& box, absl::optional<Operand> produced,
    const std::function<absl::optional<Operand>(size_t)>& target);

}  // namespace glia::compiler

#endif  // GLIA_COMPILER_CODEGEN_GROUP_H_
