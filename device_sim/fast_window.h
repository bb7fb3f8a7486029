// Products of constant stationary operands with windows of the moving ones, as convolutions make
// them: each product adds to a rectangle of one result, its columns gathered from wherever they
// lie.
#ifndef GLIA_DEVICE_SIM_FAST_WINDOW_H_
#define GLIA_DEVICE_SIM_FAST_WINDOW_H_

#include <cstdint>
#include <memory>
#include <utility>
#include <vector>

#include "device_sim/fast_parts.h"
#include "device_sim/fast_step.h"
#include "device_sim/kernels_gather.h"

namespace glia::device::fast {

// dst += stationary^T . moving; dst is the whole result or part of it.
struct WindowProduct : Product {
  View dst;
};

// What is the same for all rows of a result: which columns come from where.
class WindowPlan {
 public:
  // Whether the product can be part of a plan for `whole`: its own result lies in there.
  static bool Accepts(const View& whole, const WindowProduct& product);
  // A product that leaves out some of the columns adds zeros there: its weights must be finite.
  static bool Finite(const View& stationary);

  // All products are accepted. Stationary operands are constant.
  WindowPlan(const DecodeContext& context, const View& whole, std::vector<WindowProduct> products,
             bool accumulate);

 private:
  friend class WindowStep;
  struct Slot {
    View stationary, moving;
    int64_t depth = 0;      // contracted rows in the panels
    bool in_place = false;  // the panel kernel may read the operand itself
    kernels::GatherFn gather = nullptr;
    Parts parts;
  };
  // Products whose panel of columns is gathered together.
  struct Block {
    size_t first, last;
    int64_t depth;
  };

  const kernels::MatmulFn matmul_;
  kernels::Bf16PanelFn bf16_ = nullptr;  // null: in fp32
  const View dst_;
  const bool accumulate_;
  int64_t columns_ = 0;
  bool in_place_ = true;  // all of them
  std::vector<Slot> slots_;
  std::vector<Block> blocks_;
};

// Rows [first, first + count) of the plan's result, on one thread. With `packed` their weights are
// laid out now, once.
std::unique_ptr<Step> MakeWindowStep(std::shared_ptr<const WindowPlan> plan, int64_t first,
                                     int64_t count, bool packed);

}  // namespace glia::device::fast

#endif  // GLIA_DEVICE_SIM_FAST_WINDOW_H_
