#include "frontend/lazy_buffer.h"

#include <atomic>
#include <string>
#include <utility>

#include "absl/strings/str_cat.h"
#include "nrt/nrt_glia.h"
#include "runtime/torch/tensor_spec.h"

namespace glia {
namespace {

uint64_t NextId() {
  static std::atomic<uint64_t> last{0};
  return ++last;
}

}  // namespace

absl::Status FromNrt(NRT_STATUS status, absl::string_view what) {
  if (status == NRT_SUCCESS) return absl::OkStatus();
  const std::string message =
      absl::StrCat(what, ": ", nrt_get_status_as_str(status), ": ", glia_nrt_last_error());
  switch (status) {
    case NRT_RESOURCE:
      return absl::ResourceExhaustedError(message);
    case NRT_EXEC_OOB:
      return absl::OutOfRangeError(message);
    case NRT_INVALID:
    case NRT_EXEC_BAD_INPUT:
      return absl::InvalidArgumentError(message);
    default:
      return absl::InternalError(message);
  }
}

size_t DeviceBytes(const capture::TensorMeta& meta) {
  return static_cast<size_t>(meta.numel()) * c10::elementSize(neuron::DeviceDtype(meta.dtype));
}

void Completion::Set(absl::Status status) {
  std::lock_guard<std::mutex> lock(mutex_);
  status_ = std::move(status);
  done_ = true;
  changed_.notify_all();
}

bool Completion::done() {
  std::lock_guard<std::mutex> lock(mutex_);
  return done_;
}

absl::Status Completion::Wait() {
  std::unique_lock<std::mutex> lock(mutex_);
  changed_.wait(lock, [this] { return done_; });
  return status_;
}

absl::StatusOr<std::shared_ptr<LazyBuffer>> LazyBuffer::Make(
    int core, const capture::TensorMeta& meta, std::shared_ptr<Completion> completion) {
  nrt_tensor_t* tensor = nullptr;
  absl::Status status = FromNrt(
      nrt_tensor_allocate(NRT_TENSOR_PLACEMENT_DEVICE, core, DeviceBytes(meta), nullptr, &tensor),
      "device memory");
  if (!status.ok()) return status;
  capture::TensorMeta dense;
  dense.sizes = meta.sizes;
  dense.strides = capture::ContiguousStrides(meta.sizes);
  dense.dtype = meta.dtype;
  return std::make_shared<LazyBuffer>(std::move(dense), tensor, std::move(completion));
}

LazyBuffer::LazyBuffer(capture::TensorMeta meta, nrt_tensor_t* tensor,
                       std::shared_ptr<Completion> completion)
    : DeviceData(std::move(meta)),
      id_(NextId()),
      tensor_(tensor),
      completion_(std::move(completion)) {}

LazyBuffer::~LazyBuffer() { nrt_tensor_free(&tensor_); }

}  // namespace glia
