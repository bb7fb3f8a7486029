// The shape of an HLO instruction, from its operands and attributes. Builder, parser and verifier
// use it. The rules are XLA's (https://openxla.org/xla/operation_semantics). Thread-safe.
//
// Errors are INVALID_ARGUMENT and name the instruction, its operands' shapes, what was expected and
// what was given.
#ifndef GLIA_SERIALIZATION_HLO_SHAPE_INFERENCE_H_
#define GLIA_SERIALIZATION_HLO_SHAPE_INFERENCE_H_

#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/types/span.h"
#include "serialization/hlo/attributes.h"
#include "serialization/hlo/ir.h"
#include "serialization/hlo/opcode.h"

namespace glia::hlo {

// What an instruction's shape follows from. The pointers are not null.
struct InferenceInput {
  Opcode opcode;
  absl::Span<const Shape* const> operands;
  const Attributes& attributes;
  absl::Span<const Computation* const> called;
  // The shape that the instruction has or shall have. The inferred shape takes from it what
  // operands and attributes leave open: all of it for constant, parameter, iota, custom-call and
  // rng; the dims for broadcast and reshape; the element type for convert, and for dot and
  // convolution when it is not INVALID.
  const Shape& declared;
};

// The shape the instruction must have (without layouts), having checked operands and attributes.
absl::StatusOr<Shape> InferShape(const InferenceInput& input);

// InferShape of an existing instruction.
absl::StatusOr<Shape> InferShape(const Instruction& instruction);

// Number of window positions over a base of `base` elements in one dim: 0 when the window does not
// fit. INVALID_ARGUMENT for sizes, strides or dilations below 1.
absl::StatusOr<int64_t> WindowOutputSize(int64_t base, const WindowDim& window);

}  // namespace glia::hlo

#endif  // GLIA_SERIALIZATION_HLO_SHAPE_INFERENCE_H_
