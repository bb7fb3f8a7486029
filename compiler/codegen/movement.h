// Helpers of the operations that move elements.
#ifndef GLIA_COMPILER_CODEGEN_MOVEMENT_H_
#define GLIA_COMPILER_CODEGEN_MOVEMENT_H_

#include <cstdint>

#include "compiler/codegen/emitter.h"

namespace glia::compiler {

// Sets every element of an array in HBM: to the scalar in HBM, or, without one, to `splat` (float
// types) or `splat_int` (integers and pred).
void Fill(Emitter& e, const Nd& target, const Nd* scalar, double splat, int64_t splat_int);

// Copies floats between arrays in HBM by way of SBUF, turned on the tensor engine, if rows run
// along different dims: a transfer would move single elements. False, and nothing done, where that
// is not so.
bool CopyTurned(Emitter& e, const Nd& dst, const Nd& src);

}  // namespace glia::compiler

#endif  // GLIA_COMPILER_CODEGEN_MOVEMENT_H_
