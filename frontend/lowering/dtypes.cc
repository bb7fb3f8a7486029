#include "frontend/lowering/dtypes.h"

namespace glia::lowering {

hlo::PrimitiveType ToHlo(at::ScalarType dtype) {
  switch (dtype) {
    case at::ScalarType::Bool:
      return hlo::kPred;
    case at::ScalarType::Byte:
      return hlo::kU8;
    case at::ScalarType::Char:
      return hlo::kS8;
    case at::ScalarType::Short:
      return hlo::kS16;
    case at::ScalarType::Int:
      return hlo::kS32;
    case at::ScalarType::Long:
      return hlo::kS64;
    case at::ScalarType::Half:
      return hlo::kF16;
    case at::ScalarType::BFloat16:
      return hlo::kBF16;
    case at::ScalarType::Float:
      return hlo::kF32;
    case at::ScalarType::Double:
      return hlo::kF32;
    default:
      return hlo::kInvalid;
  }
}

}  // namespace glia::lowering
