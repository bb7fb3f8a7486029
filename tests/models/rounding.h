// Eager PyTorch as the tensor engine rounds: operands of matrix products and convolutions in bf16,
// products and sums in fp32.
#ifndef GLIA_TESTS_MODELS_ROUNDING_H_
#define GLIA_TESTS_MODELS_ROUNDING_H_

#include <c10/core/impl/LocalDispatchKeySet.h>

namespace glia::models {

// Whether weights take the factors of the batch norm behind their convolution before they are
// rounded, as the compiler has it that knows both.
enum class BatchNorms { kApart, kFolded };

// While one lives, on this thread, mm, mv, dot, bmm, addmm, addmv, baddbmm and convolution on the
// CPU round both factors (not the addend) to bf16 if they are fp32 or f64. Depthwise convolutions,
// which are no matrix products, and batches of tiny products do not: the vector engines compute
// them in fp32.
class RoundMatmulOperands {
 public:
  explicit RoundMatmulOperands(BatchNorms batch_norms);
  ~RoundMatmulOperands();
  RoundMatmulOperands(const RoundMatmulOperands&) = delete;
  RoundMatmulOperands& operator=(const RoundMatmulOperands&) = delete;

 private:
  c10::impl::IncludeDispatchKeyGuard guard_;
};

}  // namespace glia::models

#endif  // GLIA_TESTS_MODELS_ROUNDING_H_
