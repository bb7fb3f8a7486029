// Instructions of the vector engines that add scaled windows to one place, one after another:
// together one pass over that place, with its sums in registers.
#ifndef GLIA_DEVICE_SIM_FAST_STENCIL_H_
#define GLIA_DEVICE_SIM_FAST_STENCIL_H_

#include <cstdint>
#include <memory>
#include <vector>

#include "device_sim/fast_step.h"
#include "device_sim/kernels_stencil.h"

namespace glia::device::fast {

// dst += source * factor; the factor is [partitions, 1], or the immediate if it is not present.
struct StencilTap {
  View dst, source, factor;
  float immediate = 0;
};

class StencilPlan {
 public:
  // Whether the instruction is such a tap, for the processor at hand.
  static bool Accepts(const DecodeContext& context, const isa::Instruction& i, StencilTap* tap);
  // Whether it can join taps that the other goes with.
  static bool Alike(const StencilTap& a, const StencilTap& b);

  // All accepted and alike. The row of results reaches over all of the taps'.
  explicit StencilPlan(const std::vector<StencilTap>& taps);

  int64_t rows() const { return rows_; }
  int64_t terms() const { return static_cast<int64_t>(terms_.size()); }

 private:
  friend class StencilStep;
  struct Factor {
    const uint8_t* base;  // null: immediate
    ptrdiff_t pitch;
    isa::DType dtype;
    float immediate;
  };

  kernels::StencilFn fn_ = nullptr;
  const uint8_t* source_ = nullptr;
  uint8_t* out_ = nullptr;
  ptrdiff_t source_pitch_ = 0, out_pitch_ = 0;
  int64_t rows_ = 0, elements_ = 0;
  std::vector<Factor> factors_;
  std::vector<kernels::StencilTerm> terms_;
  std::vector<int32_t> first_;
};

// Partitions [first, first + count) of the plan's, on one thread.
std::unique_ptr<Step> MakeStencilStep(std::shared_ptr<const StencilPlan> plan, int64_t first,
                                      int64_t count);

}  // namespace glia::device::fast

#endif  // GLIA_DEVICE_SIM_FAST_STENCIL_H_
