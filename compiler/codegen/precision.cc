#include "compiler/codegen/precision.h"

#include <algorithm>

#include "compiler/codegen/convolution.h"
#include "serialization/isa/table.h"

namespace glia::compiler {

using isa::DType;

DType RoundedType(const CodegenOptions& options) {
  if (options.auto_cast == AutoCast::kNone) return DType::kF32;
  return options.auto_cast_type == AutoCastType::kFp16 ? DType::kF16 : DType::kBf16;
}

bool IsTiny(const hlo::Instruction& dot) {
  constexpr int64_t kMinCount = 16, kMaxResults = 16;
  const auto product = [](const hlo::Shape& shape, const std::vector<int64_t>& dims) {
    int64_t size = 1;
    for (int64_t d : dims) size *= shape.dim(d);
    return size;
  };
  const int64_t count = product(dot.operand(0)->shape, dot.dot_dims.lhs_batch);
  return count >= kMinCount && dot.shape.elements() / count <= kMaxResults;
}

bool RoundsOperands(const hlo::Instruction& product, const CodegenOptions& options) {
  const bool vector =
      product.opcode() == hlo::Opcode::kDot ? IsTiny(product) : IsDepthwise(product);
  return options.auto_cast != AutoCast::kNone && !vector &&
         std::all_of(product.operand_precision.begin(), product.operand_precision.end(),
                     [](hlo::Precision p) { return p == hlo::Precision::kDefault; });
}

DType ProductType(const hlo::Instruction& product, DType lhs, DType rhs,
                  const CodegenOptions& options) {
  if (!isa::IsFloat(lhs)) return DType::kBf16;
  if (lhs != DType::kF32 && rhs != DType::kF32) return lhs == rhs ? lhs : DType::kBf16;
  return RoundsOperands(product, options) ? RoundedType(options) : DType::kF32;
}

}  // namespace glia::compiler
