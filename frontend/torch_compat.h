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

namespace glia {

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
