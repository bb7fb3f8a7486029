// The one place that knows libtorch versions apart. glia supports 1.13 and 2.6.
#ifndef GLIA_FRONTEND_TORCH_COMPAT_H_
#define GLIA_FRONTEND_TORCH_COMPAT_H_

#include <c10/core/Allocator.h>
#include <c10/util/Exception.h>
#include <torch/version.h>

#include <string>
#include <vector>

#if TORCH_VERSION_MAJOR < 1 || (TORCH_VERSION_MAJOR == 1 && TORCH_VERSION_MINOR < 13)
#error "glia needs libtorch 1.13 or later"
#endif

// 1 where libtorch is at least that version.
#define GLIA_TORCH_AT_LEAST(major, minor) \
  (TORCH_VERSION_MAJOR > (major) ||       \
   (TORCH_VERSION_MAJOR == (major) && TORCH_VERSION_MINOR >= (minor)))

// The dispatch key of autocast on the xla device came with 2.0.
#define GLIA_TORCH_HAS_AUTOCAST_XLA GLIA_TORCH_AT_LEAST(2, 0)
// repeat_interleave with a number of repeats is made of views and a copy since 2.0; before, its
// shape counted as dependent on data.
#define GLIA_TORCH_REPEATS_BY_VIEWS GLIA_TORCH_AT_LEAST(2, 0)
// Inference's batch norm has operators of its own since 2.1 and 2.4, composites whose parts not
// every tensor of a device can take.
#define GLIA_TORCH_HAS_INFERENCE_BATCH_NORM GLIA_TORCH_AT_LEAST(2, 4)

namespace glia {

// Paddings on the CPU keep channels-last images so, and the functional scatters copy the gaps
// between the elements of their operand.
inline constexpr bool kCpuKernelsChooseLayouts = GLIA_TORCH_AT_LEAST(2, 0);

// Tests list all operators of 1.13; later versions have more.
inline constexpr bool kOperatorsAreListed = !GLIA_TORCH_AT_LEAST(2, 0);

// An allocator made of a function from bytes to a DataPtr. c10::Allocator::allocate lost its const
// and copy_data appeared in 2.3.
class FunctionAllocator final : public c10::Allocator {
 public:
  explicit FunctionAllocator(c10::DataPtr (*allocate)(size_t)) : allocate_(allocate) {}
#if GLIA_TORCH_AT_LEAST(2, 3)
  c10::DataPtr allocate(size_t bytes) override { return allocate_(bytes); }
  void copy_data(void*, const void*, std::size_t) const override {
    TORCH_CHECK(false, "memory of the xla device cannot be copied through its allocator");
  }
#else
  c10::DataPtr allocate(size_t bytes) const override { return allocate_(bytes); }
#endif

 private:
  c10::DataPtr (*allocate_)(size_t);
};

// The warnings of PyTorch, of all threads, while it lives; they are then printed nowhere else.
// Warnings became objects in 2.0.
class CollectWarnings final : public c10::WarningHandler {
 public:
#if GLIA_TORCH_AT_LEAST(2, 0)
  CollectWarnings() : before_(c10::WarningUtils::get_warning_handler()) {
    c10::WarningUtils::set_warning_handler(this);
  }
  ~CollectWarnings() override { c10::WarningUtils::set_warning_handler(before_); }
  void process(const c10::Warning& warning) override { texts.push_back(warning.msg()); }
#else
  CollectWarnings() : before_(c10::Warning::get_warning_handler()) {
    c10::Warning::set_warning_handler(this);
  }
  ~CollectWarnings() override { c10::Warning::set_warning_handler(before_); }
  void process(const c10::SourceLocation&, const std::string& text, bool) override {
    texts.push_back(text);
  }
#endif

  std::vector<std::string> texts;

 private:
  c10::WarningHandler* before_;
};

}  // namespace glia

#endif  // GLIA_FRONTEND_TORCH_COMPAT_H_
