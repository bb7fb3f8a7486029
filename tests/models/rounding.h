// Eager PyTorch as the tensor engine rounds: operands of matrix products and convolutions in bf16,
// products and sums in fp32.
#ifndef GLIA_TESTS_MODELS_ROUNDING_H_
#define GLIA_TESTS_MODELS_ROUNDING_H_

#include <c10/core/impl/LocalDispatchKeySet.h>

namespace glia::models {

// While one lives, on this thread, mm, bmm, addmm, baddbmm and convolution on the CPU round both
// factors (not the addend) to bf16.
class RoundMatmulOperands {
 public:
  RoundMatmulOperands();
  ~RoundMatmulOperands();
  RoundMatmulOperands(const RoundMatmulOperands&) = delete;
  RoundMatmulOperands& operator=(const RoundMatmulOperands&) = delete;

 private:
  c10::impl::IncludeDispatchKeyGuard guard_;
};

}  // namespace glia::models

#endif  // GLIA_TESTS_MODELS_ROUNDING_H_
