// torch's element types as HLO's. Thread-safe.
#ifndef GLIA_FRONTEND_LOWERING_DTYPES_H_
#define GLIA_FRONTEND_LOWERING_DTYPES_H_

#include <c10/core/ScalarType.h>

#include "serialization/hlo/shape.h"

namespace glia::lowering {

// The type in which the device holds and computes elements of `dtype`; kInvalid when it holds none
// such (complex, quantized). The device has no 64-bit floats: Double becomes F32, and whoever moves
// data between the host and a program's parameters and results converts it.
hlo::PrimitiveType ToHlo(at::ScalarType dtype);

}  // namespace glia::lowering

#endif  // GLIA_FRONTEND_LOWERING_DTYPES_H_
