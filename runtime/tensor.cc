// Tensors and tensor sets of the NRT C API.
#include <chrono>
#include <cstdlib>
#include <cstring>
#include <new>

#include "absl/strings/str_cat.h"
#include "nrt/nrt.h"
#include "nrt/nrt_glia.h"
#include "runtime/state.h"

using glia::runtime::CheckOpen;
using glia::runtime::Fail;
using glia::runtime::FailHandle;
using glia::runtime::FromStatus;
using glia::runtime::GetState;
using glia::runtime::TensorSet;
using glia::runtime::VisibleCore;

namespace {

std::shared_ptr<nrt_tensor> Make(const char* name) {
  auto tensor = std::make_shared<nrt_tensor>();
  tensor->contents = std::make_shared<nrt_tensor::Contents>();
  tensor->contents->Changed();
  if (name != nullptr) tensor->name = name;
  return tensor;
}

// Zeroed pages that cost nothing until touched. Aligned as the device's buffers are.
std::shared_ptr<uint8_t> HostMemory(size_t size) {
  constexpr size_t kAlignment = 64;
  void* raw = std::calloc(size + kAlignment, 1);
  if (raw == nullptr) return nullptr;
  const uintptr_t aligned =
      (reinterpret_cast<uintptr_t>(raw) + kAlignment - 1) & ~uintptr_t{kAlignment - 1};
  return std::shared_ptr<uint8_t>(reinterpret_cast<uint8_t*>(aligned),
                                  [raw](uint8_t*) { std::free(raw); });
}

// NRT_SUCCESS when [offset, offset + size) lies in the tensor and it has memory.
NRT_STATUS CheckRange(const char* function, const nrt_tensor& tensor, size_t offset, size_t size) {
  if (offset > tensor.size || size > tensor.size - offset) {
    return Fail(NRT_INVALID, absl::StrCat(function, ": ", size, " bytes at offset ", offset,
                                          " of tensor '", tensor.name, "' of ", tensor.size,
                                          " bytes"));
  }
  if (tensor.data == nullptr && tensor.size > 0) {
    return Fail(NRT_INVALID, absl::StrCat(function, ": tensor '", tensor.name,
                                          "' has no memory; attach a buffer first"));
  }
  return NRT_SUCCESS;
}

struct Access {
  std::shared_ptr<nrt_tensor> tensor;
  NRT_STATUS status;
};

// The tensor behind the handle, with the range checked.
Access Open(const char* function, const nrt_tensor_t* handle, size_t offset, size_t size) {
  if (NRT_STATUS open = CheckOpen(function); open != NRT_SUCCESS) return {nullptr, open};
  auto tensor = GetState().tensors.Get(handle);
  if (tensor == nullptr) return {nullptr, FailHandle(function, "tensor")};
  const NRT_STATUS status = CheckRange(function, *tensor, offset, size);
  return {std::move(tensor), status};
}

NRT_STATUS CheckResult(const char* function, const void* result) {
  if (NRT_STATUS open = CheckOpen(function); open != NRT_SUCCESS) return open;
  if (result == nullptr) return Fail(NRT_INVALID, absl::StrCat(function, ": the result is null"));
  return NRT_SUCCESS;
}

// Checks every operation of every batch, then moves.
template <typename Move>
NRT_STATUS Batches(const char* function, const nrt_tensor_batch_t* batches, uint64_t count,
                   Move move) {
  if (count > 0 && batches == nullptr) {
    return Fail(NRT_INVALID, absl::StrCat(function, ": the batches are null"));
  }
  std::vector<std::shared_ptr<nrt_tensor>> tensors;
  for (uint64_t b = 0; b < count; ++b) {
    if (batches[b].num_ops > 0 && batches[b].ops == nullptr) {
      return Fail(NRT_INVALID, absl::StrCat(function, ": the operations of batch ", b, " are null"));
    }
    Access access = Open(function, batches[b].tensor, 0, 0);
    if (access.status != NRT_SUCCESS) return access.status;
    for (uint32_t i = 0; i < batches[b].num_ops; ++i) {
      const nrt_tensor_batch_op_t& op = batches[b].ops[i];
      if (op.buffer == nullptr && op.size > 0) {
        return Fail(NRT_INVALID, absl::StrCat(function, ": the buffer of operation ", i,
                                              " of batch ", b, " is null"));
      }
      const NRT_STATUS status = CheckRange(function, *access.tensor, op.offset, op.size);
      if (status != NRT_SUCCESS) return status;
    }
    tensors.push_back(std::move(access.tensor));
  }
  for (uint64_t b = 0; b < count; ++b) {
    for (uint32_t i = 0; i < batches[b].num_ops; ++i) move(*tensors[b], batches[b].ops[i]);
  }
  return NRT_SUCCESS;
}

}  // namespace

uint64_t nrt_tensor::Contents::NextVersion() {
  static std::atomic<uint64_t> last{0};
  return ++last;
}

NRT_STATUS nrt_tensor_allocate(nrt_tensor_placement_t placement, int vnc, size_t size,
                               const char* name, nrt_tensor_t** tensor) {
  constexpr char kFunction[] = "nrt_tensor_allocate";
  if (NRT_STATUS status = CheckResult(kFunction, tensor); status != NRT_SUCCESS) return status;
  *tensor = nullptr;
  auto made = Make(name);
  made->size = size;
  switch (placement) {
    case NRT_TENSOR_PLACEMENT_DEVICE: {
      auto core = VisibleCore(kFunction, vnc);
      if (core == nullptr) return NRT_INVALID;
      if (size > static_cast<size_t>(INT64_MAX)) {
        return Fail(NRT_RESOURCE, absl::StrCat(kFunction, ": ", size, " bytes"));
      }
      auto buffer = core->Allocate(static_cast<int64_t>(size));
      if (!buffer.ok()) return FromStatus(kFunction, buffer.status());
      made->hbm = *std::move(buffer);
      made->data = made->hbm->data();
      break;
    }
    case NRT_TENSOR_PLACEMENT_HOST:
      made->host = HostMemory(size);
      if (made->host == nullptr) {
        return Fail(NRT_RESOURCE, absl::StrCat(kFunction, ": no host memory for ", size, " bytes"));
      }
      made->data = made->host.get();
      break;
    case NRT_TENSOR_PLACEMENT_VIRTUAL:
      break;
    default:
      return Fail(NRT_INVALID, absl::StrCat(kFunction, ": no such placement: ",
                                            static_cast<int>(placement)));
  }
  *tensor = GetState().tensors.Add(std::move(made));
  return NRT_SUCCESS;
}

void nrt_tensor_free(nrt_tensor_t** tensor) {
  if (tensor == nullptr) return;
  GetState().tensors.Take(*tensor);
  *tensor = nullptr;
}

NRT_STATUS nrt_tensor_read(const nrt_tensor_t* tensor, void* buf, size_t offset, size_t size) {
  Access access = Open("nrt_tensor_read", tensor, offset, size);
  if (access.status != NRT_SUCCESS) return access.status;
  if (size == 0) return NRT_SUCCESS;
  if (buf == nullptr) return Fail(NRT_INVALID, "nrt_tensor_read: the buffer is null");
  std::memcpy(buf, access.tensor->data + offset, size);
  return NRT_SUCCESS;
}

NRT_STATUS nrt_tensor_write(nrt_tensor_t* tensor, const void* buf, size_t offset, size_t size) {
  Access access = Open("nrt_tensor_write", tensor, offset, size);
  if (access.status != NRT_SUCCESS) return access.status;
  if (size == 0) return NRT_SUCCESS;
  if (buf == nullptr) return Fail(NRT_INVALID, "nrt_tensor_write: the buffer is null");
  access.tensor->contents->Changed();
  std::memcpy(access.tensor->data + offset, buf, size);
  return NRT_SUCCESS;
}

NRT_STATUS nrt_tensor_read_batch(const nrt_tensor_batch_t* batches, uint64_t num_batches,
                                 bool /*unsafe*/) {
  return Batches("nrt_tensor_read_batch", batches, num_batches,
                 [](const nrt_tensor& tensor, const nrt_tensor_batch_op_t& op) {
                   if (op.size > 0) std::memcpy(op.buffer, tensor.data + op.offset, op.size);
                 });
}

NRT_STATUS nrt_tensor_write_batch(const nrt_tensor_batch_t* batches, uint64_t num_batches,
                                  bool /*unsafe*/) {
  return Batches("nrt_tensor_write_batch", batches, num_batches,
                 [](const nrt_tensor& tensor, const nrt_tensor_batch_op_t& op) {
                   if (op.size == 0) return;
                   tensor.contents->Changed();
                   std::memcpy(tensor.data + op.offset, op.buffer, op.size);
                 });
}

NRT_STATUS nrt_tensor_copy(const nrt_tensor_t* src, size_t src_offset, nrt_tensor_t* dst,
                           size_t dst_offset, size_t size) {
  constexpr char kFunction[] = "nrt_tensor_copy";
  Access from = Open(kFunction, src, src_offset, size);
  if (from.status != NRT_SUCCESS) return from.status;
  Access to = Open(kFunction, dst, dst_offset, size);
  if (to.status != NRT_SUCCESS) return to.status;
  if (from.tensor->hbm != nullptr && to.tensor->hbm != nullptr &&
      from.tensor->hbm->core() != to.tensor->hbm->core()) {
    return Fail(NRT_INVALID, absl::StrCat(kFunction, ": the tensors lie on cores ",
                                          from.tensor->hbm->core()->index(), " and ",
                                          to.tensor->hbm->core()->index(),
                                          "; copy by way of the host"));
  }
  if (size == 0) return NRT_SUCCESS;
  to.tensor->contents->Changed();
  std::memmove(to.tensor->data + dst_offset, from.tensor->data + src_offset, size);
  return NRT_SUCCESS;
}

size_t nrt_tensor_get_size(const nrt_tensor_t* tensor) {
  auto found = GetState().tensors.Get(tensor);
  return found == nullptr ? 0 : found->size;
}

NRT_STATUS nrt_tensor_memset(nrt_tensor_t* tensor, uint64_t offset, int value, size_t size) {
  Access access = Open("nrt_tensor_memset", tensor, offset, size);
  if (access.status != NRT_SUCCESS) return access.status;
  if (size == 0) return NRT_SUCCESS;
  access.tensor->contents->Changed();
  std::memset(access.tensor->data + offset, value, size);
  return NRT_SUCCESS;
}

NRT_STATUS nrt_tensor_allocate_empty(const char* name, nrt_tensor_t** tensor) {
  if (NRT_STATUS status = CheckResult("nrt_tensor_allocate_empty", tensor);
      status != NRT_SUCCESS) {
    return status;
  }
  *tensor = GetState().tensors.Add(Make(name));
  return NRT_SUCCESS;
}

NRT_STATUS nrt_tensor_attach_buffer(nrt_tensor_t* tensor, void* buffer, size_t size) {
  constexpr char kFunction[] = "nrt_tensor_attach_buffer";
  Access access = Open(kFunction, tensor, 0, 0);
  if (access.tensor == nullptr) return access.status;
  if (buffer == nullptr && size > 0) {
    return Fail(NRT_INVALID, absl::StrCat(kFunction, ": the buffer is null"));
  }
  nrt_tensor& t = *access.tensor;
  t.hbm = nullptr;
  t.host = nullptr;
  t.data = static_cast<uint8_t*>(buffer);
  t.size = size;
  t.contents = std::make_shared<nrt_tensor::Contents>();
  t.contents->exposed = true;
  return NRT_SUCCESS;
}

NRT_STATUS nrt_tensor_allocate_slice(const nrt_tensor_t* tensor_source, size_t offset, size_t size,
                                     const char* name, nrt_tensor_t** tensor_slice) {
  constexpr char kFunction[] = "nrt_tensor_allocate_slice";
  if (NRT_STATUS status = CheckResult(kFunction, tensor_slice); status != NRT_SUCCESS) {
    return status;
  }
  *tensor_slice = nullptr;
  Access access = Open(kFunction, tensor_source, offset, size);
  if (access.status != NRT_SUCCESS) return access.status;
  auto made = Make(name);
  made->hbm = access.tensor->hbm;
  made->host = access.tensor->host;
  made->data = access.tensor->data == nullptr ? nullptr : access.tensor->data + offset;
  made->size = size;
  made->contents = access.tensor->contents;
  *tensor_slice = GetState().tensors.Add(std::move(made));
  return NRT_SUCCESS;
}

void* nrt_tensor_get_va(const nrt_tensor_t* tensor) {
  auto found = GetState().tensors.Get(tensor);
  if (found == nullptr) return nullptr;
  found->contents->exposed = true;
  return found->data;
}

NRT_STATUS glia_nrt_tensor_set_weight(nrt_tensor_t* tensor, bool weight) {
  Access access = Open("glia_nrt_tensor_set_weight", tensor, 0, 0);
  if (access.tensor == nullptr) return access.status;
  access.tensor->weight = weight;
  return NRT_SUCCESS;
}

NRT_STATUS nrt_tensor_check_output_completion(const nrt_tensor_t* output_tensor, int64_t timeout,
                                              uint64_t expected_completion_count) {
  constexpr char kFunction[] = "nrt_tensor_check_output_completion";
  Access access = Open(kFunction, output_tensor, 0, 0);
  if (access.tensor == nullptr) return access.status;
  const nrt_tensor& t = *access.tensor;
  std::unique_lock<std::mutex> lock(t.mutex);
  auto reached = [&] { return t.completed >= expected_completion_count; };
  if (timeout < 0) {
    t.changed.wait(lock, reached);
  } else if (!t.changed.wait_for(lock, std::chrono::microseconds(timeout), reached)) {
    return Fail(NRT_TIMEOUT, absl::StrCat(kFunction, ": ", t.completed, " of ",
                                          expected_completion_count, " completions after ",
                                          timeout, " us"));
  }
  return NRT_SUCCESS;
}

NRT_STATUS nrt_tensor_reset_output_completion(nrt_tensor_t* output_tensor) {
  Access access = Open("nrt_tensor_reset_output_completion", output_tensor, 0, 0);
  if (access.tensor == nullptr) return access.status;
  std::lock_guard<std::mutex> lock(access.tensor->mutex);
  access.tensor->completed = 0;
  return NRT_SUCCESS;
}

NRT_STATUS nrt_allocate_tensor_set(nrt_tensor_set_t** result) {
  if (NRT_STATUS status = CheckResult("nrt_allocate_tensor_set", result); status != NRT_SUCCESS) {
    return status;
  }
  *result = GetState().sets.Add(std::make_shared<TensorSet>());
  return NRT_SUCCESS;
}

void nrt_destroy_tensor_set(nrt_tensor_set_t** tensor_set) {
  if (tensor_set == nullptr) return;
  GetState().sets.Take(*tensor_set);
  *tensor_set = nullptr;
}

NRT_STATUS nrt_add_tensor_to_tensor_set(nrt_tensor_set_t* tensor_set, const char* tensor_name,
                                        nrt_tensor_t* tensor) {
  constexpr char kFunction[] = "nrt_add_tensor_to_tensor_set";
  if (NRT_STATUS open = CheckOpen(kFunction); open != NRT_SUCCESS) return open;
  auto set = GetState().sets.Get(tensor_set);
  if (set == nullptr) return FailHandle(kFunction, "tensor set");
  if (tensor_name == nullptr) return Fail(NRT_INVALID, absl::StrCat(kFunction, ": no name"));
  if (GetState().tensors.Get(tensor) == nullptr) return FailHandle(kFunction, "tensor");
  std::lock_guard<std::mutex> lock(set->mutex);
  set->tensors[tensor_name] = tensor;
  return NRT_SUCCESS;
}

NRT_STATUS nrt_get_tensor_from_tensor_set(nrt_tensor_set_t* tensor_set, const char* tensor_name,
                                          nrt_tensor_t** tensor) {
  constexpr char kFunction[] = "nrt_get_tensor_from_tensor_set";
  if (NRT_STATUS status = CheckResult(kFunction, tensor); status != NRT_SUCCESS) return status;
  *tensor = nullptr;
  auto set = GetState().sets.Get(tensor_set);
  if (set == nullptr) return FailHandle(kFunction, "tensor set");
  if (tensor_name == nullptr) return Fail(NRT_INVALID, absl::StrCat(kFunction, ": no name"));
  std::lock_guard<std::mutex> lock(set->mutex);
  auto it = set->tensors.find(std::string_view(tensor_name));
  if (it == set->tensors.end()) {
    return Fail(NRT_INVALID, absl::StrCat(kFunction, ": the set holds no '", tensor_name, "'"));
  }
  *tensor = it->second;
  return NRT_SUCCESS;
}
