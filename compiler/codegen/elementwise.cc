// The kernel of a group of element-wise instructions.
#include "compiler/codegen/elementwise.h"

#include <algorithm>

#include "absl/container/flat_hash_map.h"
#include "absl/container/flat_hash_set.h"
#include "compiler/codegen/tiling.h"
#include "serialization/isa/table.h"

namespace glia::compiler {
namespace {

using hlo::Instruction;

constexpr int64_t kMaxFree =
    2048;  // elements: long enough to hide what an instruction costs by itself
constexpr int64_t kGroupBytes =
    96 * 1024;  // half of SBUF, so that the next tile is loaded meanwhile

// What a group reads and writes.
struct Group {
  std::vector<Nd> parts;                                      // leaves, then outputs
  absl::flat_hash_map<const Instruction*, size_t> leaf;       // external operand -> part
  absl::flat_hash_map<const Instruction*, TileValue> splats;  // external operand that is one number
  std::vector<std::pair<const Instruction*, size_t>> outputs;  // member -> part
};

bool SameBytes(const Nd& a, const Nd& b) {
  return a.var == b.var && a.dtype == b.dtype && a.offset == b.offset && a.strides == b.strides;
}

// Tiles in use at once, at most.
int64_t MaxLive(const Unit& unit, const Group& group) {
  absl::flat_hash_map<const Instruction*, size_t> last;
  for (size_t i = 0; i < unit.members.size(); ++i) {
    for (const Instruction* operand : unit.members[i]->operands()) last[operand] = i;
  }
  std::vector<int64_t> ends(unit.members.size(), 0);
  for (const auto& [hlo, at] : last) ++ends[at];
  int64_t live = static_cast<int64_t>(group.leaf.size()), most = live;
  for (size_t i = 0; i < unit.members.size(); ++i) {
    most = std::max(most, ++live);
    live -= std::min(live, ends[i]);
  }
  return most + static_cast<int64_t>(group.outputs.size());
}

absl::StatusOr<Group> Collect(Emitter& e, const Unit& unit) {
  const absl::flat_hash_set<const Instruction*> members(unit.members.begin(), unit.members.end());
  const Dims& dims = unit.members[0]->shape.dims;
  Group group;
  for (const Instruction* member : unit.members) {
    for (const Instruction* operand : member->operands()) {
      if (members.contains(operand) || group.leaf.contains(operand) ||
          group.splats.contains(operand))
        continue;
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
  for (const Instruction* member : unit.members) {
    bool read_outside = member->IsRoot();
    for (const hlo::Use& use : member->uses())
      read_outside = read_outside || !members.contains(use.user);
    if (!read_outside) continue;
    group.outputs.push_back({member, group.parts.size()});
    group.parts.push_back(e.NewResult(*member));
  }
  return group;
}

absl::Status EmitBox(Emitter& e, const Unit& unit, const Group& group, const TileBox& box) {
  absl::flat_hash_map<const Instruction*, TileValue> values(group.splats);
  std::vector<absl::optional<TileValue>> loaded(group.parts.size());
  for (const Instruction* member : unit.members) {
    const Instruction* before = e.SetCurrent(member);
    std::vector<TileValue> operands;
    for (const Instruction* operand : member->operands()) {
      const auto leaf = group.leaf.find(operand);
      if (leaf != group.leaf.end() && !values.contains(operand)) {
        absl::optional<TileValue>& value = loaded[leaf->second];
        if (!value.has_value()) {
          const LoadedOperand load = LoadOperand(e, box.parts[leaf->second], box.partition_dims);
          value.emplace();
          value->operand = load.operand;
          value->column = load.column;
        }
        values[operand] = *value;
      }
      operands.push_back(values[operand]);
    }
    absl::StatusOr<TileValue> result = EmitTileOp(e, *member, operands, box.partitions, box.free);
    if (!result.ok()) {
      e.Fail(result.status());
      return e.status();
    }
    values[member] = *result;
    e.SetCurrent(before);
  }
  for (const auto& [member, part] : group.outputs) {
    const Instruction* before = e.SetCurrent(member);
    const Nd& out = box.parts[part];
    const TileValue& value = values[member];
    absl::optional<Tile> tile;
    if (!value.is_splat() && !value.column) tile = WholeTile(e, *value.operand);
    if (!tile.has_value())
      tile = WholeTile(e, Materialize(e, value, out.dtype, box.partitions, box.free));
    e.Store(out, box.partition_dims, *tile);
    e.SetCurrent(before);
  }
  return e.status();
}

}  // namespace

absl::Status EmitElementwise(Emitter& e, const Unit& unit) {
  absl::StatusOr<Group> group = Collect(e, unit);
  if (!group.ok()) return group.status();
  if (group->outputs.empty()) return e.status();
  int element_bytes = 1;
  for (const Instruction* member : unit.members) {
    const absl::StatusOr<DType> dtype = DeviceType(member->shape.type);
    if (!dtype.ok()) return dtype.status();
    element_bytes = std::max(element_bytes, isa::DTypeBytes(*dtype));
  }
  for (const Nd& part : group->parts)
    element_bytes = std::max(element_bytes, isa::DTypeBytes(part.dtype));
  const int64_t live = MaxLive(unit, *group);
  const int64_t max_free =
      std::max<int64_t>(16, std::min(kMaxFree, kGroupBytes / (live * element_bytes)));
  int64_t row = 0;
  for (const Nd& part : group->parts) {
    if (row == 0) row = e.SharedRow(part);
  }
  absl::Status status;
  ForEachTile(
      group->parts, max_free,
      [&](const TileBox& box) {
        if (status.ok()) status = EmitBox(e, unit, *group, box);
      },
      row);
  return status.ok() ? e.status() : status;
}

}  // namespace glia::compiler
