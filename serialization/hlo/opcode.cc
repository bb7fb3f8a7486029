#include "serialization/hlo/opcode.h"

#include <string>

#include "absl/container/flat_hash_map.h"

namespace glia::hlo {
namespace {

struct OpcodeInfo {
  const char* text;
  int operands;
  OpCategory category;
};

constexpr OpcodeInfo kOpcodes[] = {
#define GLIA_HLO_OPCODE(name, text, operands, category) {text, operands, OpCategory::category},
#include "serialization/hlo/opcodes.inc"
#undef GLIA_HLO_OPCODE
};

const OpcodeInfo& Info(Opcode opcode) { return kOpcodes[static_cast<size_t>(opcode)]; }

}  // namespace

absl::string_view OpcodeName(Opcode opcode) { return Info(opcode).text; }

absl::optional<Opcode> OpcodeFromName(absl::string_view name) {
  static const auto* const by_name = [] {
    auto* map = new absl::flat_hash_map<std::string, Opcode>;
    for (int i = 0; i < kOpcodeCount; ++i) {
      map->emplace(kOpcodes[i].text, static_cast<Opcode>(i));
    }
    // The barrier's name on the wire before 2023.
    map->emplace("optimization-barrier", Opcode::kOptimizationBarrier);
    return map;
  }();
  auto it = by_name->find(name);
  if (it == by_name->end()) return absl::nullopt;
  return it->second;
}

int OpcodeOperandCount(Opcode opcode) { return Info(opcode).operands; }
OpCategory OpcodeCategory(Opcode opcode) { return Info(opcode).category; }

bool IsCommutative(Opcode opcode) {
  switch (opcode) {
    case Opcode::kAdd:
    case Opcode::kAnd:
    case Opcode::kMaximum:
    case Opcode::kMinimum:
    case Opcode::kMultiply:
    case Opcode::kOr:
    case Opcode::kXor:
      return true;
    default:
      return false;
  }
}

}  // namespace glia::hlo
