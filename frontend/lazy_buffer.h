// A tensor of the lazy mode in device memory.
#ifndef GLIA_FRONTEND_LAZY_BUFFER_H_
#define GLIA_FRONTEND_LAZY_BUFFER_H_

#include <condition_variable>
#include <cstdint>
#include <memory>
#include <mutex>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "frontend/capture/backend.h"
#include "nrt/nrt.h"

namespace glia {

// OK, or what the runtime says of the failure of `what`.
absl::Status FromNrt(NRT_STATUS status, absl::string_view what);

// Bytes on the device.
size_t DeviceBytes(const capture::TensorMeta& meta);

// Set once, by whoever runs a step; waited for by any thread.
class Completion {
 public:
  void Set(absl::Status status);
  bool done();
  absl::Status Wait();

 private:
  std::mutex mutex_;
  std::condition_variable changed_;
  bool done_ = false;
  absl::Status status_;
};

class LazyBuffer : public capture::DeviceData {
 public:
  // Uninitialised memory of `core` for an array of the meta's sizes and dtype. Without a completion
  // the contents are there as soon as the caller has written them.
  static absl::StatusOr<std::shared_ptr<LazyBuffer>> Make(int core, const capture::TensorMeta& meta,
                                                          std::shared_ptr<Completion> completion);
  LazyBuffer(capture::TensorMeta meta, nrt_tensor_t* tensor,
             std::shared_ptr<Completion> completion);
  ~LazyBuffer() override;

  bool Ready() const override { return completion_ == nullptr || completion_->done(); }
  absl::Status Wait() override {
    return completion_ == nullptr ? absl::OkStatus() : completion_->Wait();
  }
  nrt_tensor_t* tensor() const { return tensor_; }
  int64_t bytes() const { return static_cast<int64_t>(DeviceBytes(meta())); }
  // Never given twice: what an id stands for never changes, since buffers do not.
  uint64_t id() const { return id_; }

 private:
  const uint64_t id_;
  nrt_tensor_t* tensor_;
  const std::shared_ptr<Completion> completion_;
};

}  // namespace glia

#endif  // GLIA_FRONTEND_LAZY_BUFFER_H_
