#include "frontend/lazy.h"

#include <memory>

#include "frontend/capture/capture.h"
#include "frontend/capture/metrics.h"
#include "frontend/lazy_backend.h"

namespace glia {
namespace {

// Never destroyed: tensors of static lifetime may outlive main.
LazyBackend& TheBackend() {
  static std::shared_ptr<LazyBackend>* const backend = [] {
    auto* made = new std::shared_ptr<LazyBackend>(std::make_shared<LazyBackend>());
    capture::SetBackend(*made);
    return made;
  }();
  return **backend;
}

[[maybe_unused]] const bool installed = (TheBackend(), true);

}  // namespace

c10::Device xla_device() { return capture::XlaDevice(); }

void mark_step() { capture::MarkStep(); }

void wait_device_ops() {
  capture::WaitDeviceOps();
  TheBackend().WaitIdle();
}

std::string metrics_report() { return capture::Report(); }

int64_t metric(const std::string& name) { return capture::CounterValue(name); }

std::vector<GraphReport> lazy_graphs() { return TheBackend().Reports(); }

}  // namespace glia
