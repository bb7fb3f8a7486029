#ifndef GLIA_COMPILER_PASSES_ATTRIBUTES_EQUAL_H_
#define GLIA_COMPILER_PASSES_ATTRIBUTES_EQUAL_H_

#include "serialization/hlo/attributes.h"

namespace glia::compiler {

// Whether two instructions of one opcode compute the same function of the same operands: everything
// but metadata and frontend attributes. Literals are compared bit by bit.
bool AttributesEqual(const hlo::Attributes& a, const hlo::Attributes& b);

}  // namespace glia::compiler

#endif  // GLIA_COMPILER_PASSES_ATTRIBUTES_EQUAL_H_
