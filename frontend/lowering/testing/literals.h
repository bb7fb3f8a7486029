// Tensors as literals of the evaluator and back.
#ifndef GLIA_FRONTEND_LOWERING_TESTING_LITERALS_H_
#define GLIA_FRONTEND_LOWERING_TESTING_LITERALS_H_

#include <ATen/core/Tensor.h>

#include "serialization/hlo/literal.h"

namespace glia::lowering::testing {

// The tensor's values, row-major, in the device's element type (Double becomes F32).
hlo::Literal ToLiteral(const at::Tensor& tensor);
// A CPU tensor of that dtype.
at::Tensor ToTensor(const hlo::Literal& literal, at::ScalarType dtype);

}  // namespace glia::lowering::testing

#endif  // GLIA_FRONTEND_LOWERING_TESTING_LITERALS_H_
