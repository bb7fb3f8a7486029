// The HLO instruction set, derived from opcodes.inc. Thread-safe.
#ifndef GLIA_SERIALIZATION_HLO_OPCODE_H_
#define GLIA_SERIALIZATION_HLO_OPCODE_H_

#include <cstdint>

#include "absl/strings/string_view.h"
#include "absl/types/optional.h"

namespace glia::hlo {

enum class Opcode : uint8_t {
#define GLIA_HLO_OPCODE(name, text, operands, category) name,
#include "serialization/hlo/opcodes.inc"
#undef GLIA_HLO_OPCODE
};

enum class OpCategory : uint8_t {
  kUnary,       // one result element from the operand's element at the same position
  kConversion,  // as kUnary, with another element type
  kBinary,      // two operands of the same dims, element by element
  kTernary,     // select, clamp: element by element, some operands may be scalars
  kMovement,    // moves elements without computing on them
  kArithmetic,  // combines several elements
  kSource,      // constants, parameters, generated values
  kControl,     // tuples, calls and control flow
};

inline constexpr int kOpcodeCount = 0
#define GLIA_HLO_OPCODE(name, text, operands, category) +1
#include "serialization/hlo/opcodes.inc"
#undef GLIA_HLO_OPCODE
    ;

// XLA's name: "add", "get-tuple-element".
absl::string_view OpcodeName(Opcode opcode);
absl::optional<Opcode> OpcodeFromName(absl::string_view name);

// Exact operand count, -1 for variadic instructions.
int OpcodeOperandCount(Opcode opcode);
OpCategory OpcodeCategory(Opcode opcode);

// Unary, conversion, binary and ternary instructions. (bitcast-convert between sizes moves elements
// between positions, and is element-wise only when the shapes have the same dims.)
inline bool IsElementwise(Opcode opcode) {
  return static_cast<uint8_t>(OpcodeCategory(opcode)) <= static_cast<uint8_t>(OpCategory::kTernary);
}

// Operand order does not matter (compare is not listed: it does for most directions).
bool IsCommutative(Opcode opcode);

}  // namespace glia::hlo

#endif  // GLIA_SERIALIZATION_HLO_OPCODE_H_
