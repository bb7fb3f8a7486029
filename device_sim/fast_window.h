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

  // Whether both gather the same columns from the same places, so that doing it once serves both.
  bool SharesColumns(const WindowPlan& other) const;

 private:
  friend class WindowStep;
  struct Slot {
    View stationary, moving, dst;
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

// Some rows of a plan's result, on one thread.
class WindowStep final : public Step {
 public:
  // Rows [first, first + count). With `packed` their weights are laid out now, once.
  WindowStep(std::shared_ptr<const WindowPlan> plan, int64_t first, int64_t count, bool packed);

  // Has this step make the other's result, too, and gather the columns once. The plans share them.
  void Join(std::unique_ptr<WindowStep> other);
  bool Run(RunContext&) override;

 private:
  int64_t panels() const;
  float* Result(int64_t row) const;
  void PackRows(const WindowPlan::Block& block, std::vector<uint32_t>& out) const;
  void Gather(const WindowPlan::Block& block, int64_t column, int64_t width, uint32_t* out) const;
  void InPlace(const WindowPlan::Block& block, const uint32_t* rows, bool accumulate) const;
  void Multiply(const uint32_t* rows, int64_t panel, const void* b, ptrdiff_t b_pitch,
                int64_t column, int64_t depth, bool accumulate) const;

  const std::shared_ptr<const WindowPlan> plan_;
  const int64_t first_, count_;
  bool in_place_;
  std::vector<std::vector<uint32_t>> packed_;  // of each block; empty: at each run
  std::vector<std::unique_ptr<WindowStep>> others_;
};

}  // namespace glia::device::fast

#endif  // GLIA_DEVICE_SIM_FAST_WINDOW_H_
