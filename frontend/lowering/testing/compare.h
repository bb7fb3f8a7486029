// How close to eager PyTorch a result must be.
#ifndef GLIA_FRONTEND_LOWERING_TESTING_COMPARE_H_
#define GLIA_FRONTEND_LOWERING_TESTING_COMPARE_H_

#include <ATen/core/Tensor.h>

#include "absl/status/status.h"

namespace glia::lowering::testing {

// The greatest difference for results of a type, relative to the larger of 1 and the value.
double ToleranceOf(at::ScalarType dtype);

// OK, or what differs: dtype, sizes, or the first element beyond the tolerance. `tolerance`
// replaces that of the type where it is greater. NaNs are equal; integers and bools must be.
absl::Status Compare(const at::Tensor& got, const at::Tensor& want, double tolerance = 0);

}  // namespace glia::lowering::testing

#endif  // GLIA_FRONTEND_LOWERING_TESTING_COMPARE_H_
