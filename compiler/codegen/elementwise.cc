// The kernel of a group of element-wise instructions.
#include "compiler/codegen/elementwise.h"

#include <algorithm>

#include "absl/container/flat_hash_map.h"
#include "compiler/codegen/group.h"
#include "compiler/codegen/tiling.h"
#include "serialization/isa/table.h"

namespace glia::compiler {
namespace {

using hlo::Instruction;

constexpr int64_t kMaxFree =
    2048;  // elements: long enough to hide what an instruction costs by itself
constexpr int64_t kGroupBytes =
    96 * 1024;  // half of SBUF, so that the next tile is loaded meanwhile

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

absl::Status EmitBox(Emitter& e, const Group& group, const TileBox& box) {
  const absl::StatusOr<std::vector<Operand>> results =
      EmitGroup(e, group, box, {}, [](size_t) { return absl::optional<Operand>(); });
  if (!results.ok()) {
    e.Fail(results.status());
    return e.status();
  }
  for (size_t i = 0; i < results->size(); ++i) {
    const auto& [member, part] = group.outputs[i];
    const Instruction* before = e.SetCurrent(member);
    const Nd out = OutputPart(group, member, box.parts[*part]);
    absl::optional<Tile> tile = WholeTile(e, (*results)[i]);
    if (!tile.has_value()) {
      tile =
          e.NewTile(out.dtype, box.partitions, OutputElements(group, member, box.free), "result");
      e.Copy(tile->all(), (*results)[i]);
    }
    e.Store(out, box.partition_dims, *tile);
    e.SetCurrent(before);
  }
  return e.status();
}

Nd ToFront(const Nd& nd, int64_t dim) {
  Dims order = {dim};
  for (int64_t d = 0; d < nd.rank(); ++d) {
    if (d != dim) order.push_back(d);
  }
  return TransposeNd(nd, order);
}

// The dim whose elements lie on the partitions, 128 neighbours at a time, where all that the group
// reads is in SBUF already; -1 if there is none, or if the results must leave SBUF.
int64_t ResidentDim(Emitter& e, const Group& group, int64_t max_free) {
  if (group.parts.empty() || group.parts[0].elements() == 0) return -1;
  const Nd& all = group.parts[0];
  const auto leaves = [&](const Nd& part) {
    return e.serial().program.variables[part.var].kind == isa::VariableKind::kOutput;
  };
  for (int64_t d = 0; d < all.rank(); ++d) {
    if (all.elements() / all.dims[d] > max_free) continue;
    const auto held = [&](const Nd& part) {
      const Nd first = SliceDim(part, d, 0, std::min<int64_t>(isa::kPartitions, part.dims[d]));
      return e.FindShared(ToFront(first, d), 1, part.dtype).has_value();
    };
    const auto leaves_end = group.parts.end() - static_cast<int64_t>(group.outputs.size());
    if (leaves_end == group.parts.begin() || !std::all_of(group.parts.begin(), leaves_end, held)) {
      continue;
    }
    if (std::none_of(leaves_end, group.parts.end(), leaves)) return d;
  }
  return -1;
}

}  // namespace

absl::Status EmitElementwise(Emitter& e, const Unit& unit) {
  absl::StatusOr<Group> group = CollectGroup(e, unit);
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
  absl::Status status;
  if (unit.rows) {
    ForEachRows(group->parts, max_free, [&](const TileBox& box) {
      if (status.ok()) status = EmitBox(e, *group, box);
    });
    return status.ok() ? e.status() : status;
  }
  const int64_t dim = ResidentDim(e, *group, max_free);
  if (dim >= 0) {
    const int64_t size = group->parts[0].dims[dim];
    for (int64_t start = 0; start < size && status.ok(); start += isa::kPartitions) {
      TileBox box;
      box.partitions = static_cast<int>(std::min<int64_t>(isa::kPartitions, size - start));
      box.free = group->parts[0].elements() / size;
      for (const Nd& part : group->parts) {
        box.parts.push_back(ToFront(SliceDim(part, dim, start, box.partitions), dim));
      }
      status = EmitBox(e, *group, box);
    }
    return status.ok() ? e.status() : status;
  }
  int64_t row = 0;
  for (const Nd& part : group->parts) {
    if (row == 0) row = e.SharedRow(part);
  }
  ForEachTile(
      group->parts, max_free,
      [&](const TileBox& box) {
        if (status.ok()) status = EmitBox(e, *group, box);
      },
      row);
  return status.ok() ? e.status() : status;
}

}  // namespace glia::compiler
