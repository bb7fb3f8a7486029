#include "frontend/lowering/testing/literals.h"

#include <ATen/ops/empty.h>

#include <cstring>

#include "frontend/lowering/dtypes.h"

namespace glia::lowering::testing {

hlo::Literal ToLiteral(const at::Tensor& tensor) {
  const bool wide = tensor.scalar_type() == at::kDouble;
  const at::Tensor t = (wide ? tensor.to(at::kFloat) : tensor).contiguous();
  return hlo::Literal::FromBytes(hlo::Shape(ToHlo(t.scalar_type()), t.sizes().vec()), t.data_ptr());
}

at::Tensor ToTensor(const hlo::Literal& literal, at::ScalarType dtype) {
  const at::ScalarType held = dtype == at::kDouble ? at::kFloat : dtype;
  const at::Tensor t = at::empty(literal.shape().dims, at::TensorOptions().dtype(held));
  if (literal.bytes() > 0) std::memcpy(t.data_ptr(), literal.raw(), literal.bytes());
  return t.to(dtype);
}

}  // namespace glia::lowering::testing
