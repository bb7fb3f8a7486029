// A plain evaluator of HLO: the reference that compiler tests compare with, and the arithmetic of
// constant folding. Clarity over speed, though a small CNN takes no more than seconds.
//
//   absl::StatusOr<Literal> result = Evaluate(*module, {x, weights});
//
// Semantics are XLA's (https://openxla.org/xla/operation_semantics), with these choices where it
// leaves one:
//  * f32 functions are computed in double and rounded; f8, f16 and bf16 are computed in fp32 and
//    rounded after each instruction. dot and convolution, and reductions by add or multiply alone,
//    accumulate in double (integers in 64 bits) and round once; other reductions run in row-major
//    order of the reduced elements and round as their computation says.
//  * Integer division by zero gives all ones, the remainder the dividend; the smallest value by -1
//    gives itself, remainder 0. Shifts by the width or more give 0, or the sign. Floats convert to
//    integers by truncation and saturation, NaN to 0. max, min and clamp propagate NaN.
//  * gather and dynamic-slice clamp start indices so that the slice fits; scatter skips a whole
//    update window that does not lie within the operand, and applies the others in row-major order
//    of the scatter dims.
//  * reduce-window skips positions in the padding or between dilated elements.
//  * sort is always stable. topk takes NaN for the largest value; equal values keep their order.
//  * rng-bit-generator is Philox4x32-10 whatever its algorithm: state[0] is the key, the rest the
//    counter of 128-bit blocks (64 bits wraps when there is one word); bits are taken from the four
//    words of a block in order, one word an element (two for 64-bit elements, the low one first;
//    the low bits for narrower ones). rng is the same with the instruction's id as its key and
//    counter 0.
//  * custom-call is UNIMPLEMENTED.
//
// The module must have passed the verifier. Literals are row-major; layouts are ignored.
// Thread-safe.
#ifndef GLIA_SERIALIZATION_HLO_EVALUATOR_H_
#define GLIA_SERIALIZATION_HLO_EVALUATOR_H_

#include "absl/status/statusor.h"
#include "absl/types/span.h"
#include "serialization/hlo/ir.h"
#include "serialization/hlo/literal.h"

namespace glia::hlo {

// The result of the entry computation (a tuple literal when its root is a tuple). INVALID_ARGUMENT
// when the arguments' number or shapes differ from the parameters'.
absl::StatusOr<Literal> Evaluate(const Module& module, absl::Span<const Literal> args);
absl::StatusOr<Literal> Evaluate(const Computation& computation, absl::Span<const Literal> args);

// One instruction with its operands' values (one each, of the operands' shapes). Not for
// parameters.
absl::StatusOr<Literal> EvaluateInstruction(const Instruction& instruction,
                                            absl::Span<const Literal> operands);

// The movements that constant folding needs by themselves. `permutation` as in transpose.
Literal TransposeLiteral(const Literal& literal, absl::Span<const int64_t> permutation);
// Each element converted as by the convert instruction.
Literal ConvertLiteral(const Literal& literal, PrimitiveType type);

}  // namespace glia::hlo

#endif  // GLIA_SERIALIZATION_HLO_EVALUATOR_H_
