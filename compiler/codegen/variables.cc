// Passes over the variables of a serial program.
#include <algorithm>
#include <cstdint>
#include <map>
#include <tuple>
#include <utility>
#include <vector>

#include "compiler/codegen/allocate.h"
#include "compiler/codegen/serial_access.h"
#include "serialization/isa/table.h"

namespace glia::compiler {
namespace {

using isa::Opcode;
using isa::Operand;
using isa::Program;
using isa::Variable;
using isa::VariableKind;

constexpr int64_t kAlignment = 64;
constexpr int64_t kNever = INT64_MAX;

}  // namespace

void RemoveDeadWork(SerialProgram* serial) {
  Program& program = serial->program;
  std::vector<int64_t> readers(program.variables.size(), 0);
  for (const SerialSegment& segment : serial->segments) {
    if (segment.terminator.kind == isa::TerminatorKind::kBranch) ++readers[segment.terminator.var];
    for (const SerialInstruction& item : segment.instructions) {
      ForEachVariable(program, item.instruction, [&](uint32_t var, bool reads, bool) {
        if (reads) ++readers[var];
      });
    }
  }
  for (auto segment = serial->segments.rbegin(); segment != serial->segments.rend(); ++segment) {
    std::vector<SerialInstruction>& list = segment->instructions;
    std::vector<bool> keep(list.size(), true);
    for (size_t i = list.size(); i-- > 0;) {
      bool needed = list[i].instruction.opcode == Opcode::kNop;
      ForEachVariable(program, list[i].instruction, [&](uint32_t var, bool, bool writes) {
        const VariableKind kind = program.variables[var].kind;
        if (writes && (kind == VariableKind::kOutput || readers[var] > 0)) needed = true;
      });
      if (needed) continue;
      keep[i] = false;
      ForEachVariable(program, list[i].instruction, [&](uint32_t var, bool reads, bool) {
        if (reads) --readers[var];
      });
    }
    size_t kept = 0;
    for (size_t i = 0; i < list.size(); ++i) {
      if (keep[i]) list[kept++] = list[i];
    }
    list.resize(kept);
  }
}

void AllocateScratch(SerialProgram* serial) {
  Program& program = serial->program;
  struct Range {
    int64_t first = kNever;
    int64_t last = -1;
  };
  std::vector<Range> ranges(program.variables.size());
  std::vector<std::pair<int64_t, int64_t>> extents;  // of each segment, in positions
  int64_t position = 0;
  const auto touch = [&](uint32_t var) {
    ranges[var].first = std::min(ranges[var].first, position);
    ranges[var].last = std::max(ranges[var].last, position);
  };
  for (const SerialSegment& segment : serial->segments) {
    const int64_t start = position++;
    for (const SerialInstruction& item : segment.instructions) {
      ForEachVariable(program, item.instruction, [&](uint32_t var, bool, bool) { touch(var); });
      ++position;
    }
    if (segment.terminator.kind == isa::TerminatorKind::kBranch) touch(segment.terminator.var);
    extents.push_back({start, position++});
  }
  // What crosses the border of a loop lives through all of its iterations. Inner loops come first.
  for (const auto& [first, last] : serial->loops) {
    const int64_t start = extents[first].first;
    const int64_t end = extents[last].second;
    for (Range& r : ranges) {
      if (r.last < start || r.first > end) continue;
      if (r.first < start) r.last = std::max(r.last, end);
      if (r.last > end) r.first = std::min(r.first, start);
    }
  }
  std::vector<uint32_t> order;
  for (uint32_t v = 0; v < program.variables.size(); ++v) {
    if (program.variables[v].kind == VariableKind::kTmpBuf && ranges[v].last >= 0)
      order.push_back(v);
  }
  std::sort(order.begin(), order.end(), [&](uint32_t a, uint32_t b) {
    return std::tie(ranges[a].first, a) < std::tie(ranges[b].first, b);
  });
  std::map<int64_t, int64_t> free_blocks = {{0, kNever}};  // start -> end
  std::multimap<int64_t, uint32_t> ends;
  int64_t top = 0;
  for (uint32_t var : order) {
    while (!ends.empty() && ends.begin()->first < ranges[var].first) {
      const Variable& v = program.variables[ends.begin()->second];
      int64_t start = v.hbm_offset;
      int64_t end = start + (v.bytes + kAlignment - 1) / kAlignment * kAlignment;
      ends.erase(ends.begin());
      auto after = free_blocks.lower_bound(start);
      if (after != free_blocks.end() && after->first == end) {
        end = after->second;
        after = free_blocks.erase(after);
      }
      if (after != free_blocks.begin() && std::prev(after)->second == start) {
        std::prev(after)->second = end;
      } else if (start < end) {
        free_blocks[start] = end;
      }
    }
    Variable& v = program.variables[var];
    const int64_t bytes = (v.bytes + kAlignment - 1) / kAlignment * kAlignment;
    if (bytes == 0) continue;
    // The smallest block that fits.
    auto best = free_blocks.end();
    for (auto it = free_blocks.begin(); it != free_blocks.end(); ++it) {
      const int64_t size = it->second - it->first;
      if (size >= bytes && (best == free_blocks.end() || size < best->second - best->first))
        best = it;
    }
    v.hbm_offset = best->first;
    const int64_t rest = best->first + bytes, end = best->second;
    free_blocks.erase(best);
    if (rest < end) free_blocks[rest] = end;
    top = std::max(top, rest);
    ends.emplace(ranges[var].last, var);
  }
  program.scratch_bytes = top;
}

void CompactVariables(SerialProgram* serial) {
  Program& program = serial->program;
  std::vector<bool> used(program.variables.size(), false);
  for (const SerialSegment& segment : serial->segments) {
    if (segment.terminator.kind == isa::TerminatorKind::kBranch)
      used[segment.terminator.var] = true;
    for (const SerialInstruction& item : segment.instructions) {
      ForEachVariable(program, item.instruction,
                      [&](uint32_t var, bool, bool) { used[var] = true; });
    }
  }
  std::vector<uint32_t> renumbered(program.variables.size(), UINT32_MAX);
  std::vector<Variable> kept;
  std::map<std::tuple<VariableKind, isa::DType, int64_t, int64_t, int64_t>, uint32_t> tiles;
  for (size_t i = 0; i < program.variables.size(); ++i) {
    Variable& v = program.variables[i];
    if (!used[i] && v.kind != VariableKind::kInput && v.kind != VariableKind::kOutput) continue;
    if (!isa::IsHbm(v.kind)) {
      const auto [it, added] =
          tiles.try_emplace({v.kind, v.dtype, v.partitions, v.address, v.partition_bytes},
                            static_cast<uint32_t>(kept.size()));
      renumbered[i] = it->second;
      if (!added) continue;
    }
    renumbered[i] = static_cast<uint32_t>(kept.size());
    kept.push_back(std::move(v));
  }
  for (Variable& v : kept) {
    if (v.alias >= 0) v.alias = static_cast<int32_t>(renumbered[v.alias]);
  }
  program.variables = std::move(kept);
  // Descriptors of removed transfers go, too.
  std::vector<isa::DmaDescriptor> dmas;
  for (SerialSegment& segment : serial->segments) {
    if (segment.terminator.kind == isa::TerminatorKind::kBranch) {
      segment.terminator.var = renumbered[segment.terminator.var];
    }
    for (SerialInstruction& item : segment.instructions) {
      if (item.instruction.opcode == Opcode::kDma) {
        isa::DmaDescriptor dma = program.dmas[item.instruction.dma];
        dma.src_var = renumbered[dma.src_var];
        dma.dst_var = renumbered[dma.dst_var];
        if (dma.index_side != isa::IndexSide::kNone) dma.index_var = renumbered[dma.index_var];
        item.instruction.dma = static_cast<uint32_t>(dmas.size());
        dmas.push_back(dma);
        continue;
      }
      ForEachOperand(&item.instruction, [&](Operand* o) { o->var = renumbered[o->var]; });
    }
  }
  program.dmas = std::move(dmas);
}

}  // namespace glia::compiler
