// Tensors of the xla device: plain c10::TensorImpl over a storage whose DataPtr context is a
// StorageState. Views are ordinary tensors that share the storage; reading one is a strided read of
// the storage's current value, writing one replaces it.
#ifndef GLIA_FRONTEND_CAPTURE_STORAGE_H_
#define GLIA_FRONTEND_CAPTURE_STORAGE_H_

#include <ATen/core/Tensor.h>

#include <atomic>
#include <memory>
#include <mutex>
#include <vector>

#include "frontend/capture/block_pool.h"
#include "frontend/capture/graph.h"
#include "frontend/capture/spin_lock.h"

namespace glia::capture {

// What a storage holds now.
struct Contents {
  Value value;  // null: never written
  // Where the value's elements lie, when that is not at the strides of its own meta.
  std::shared_ptr<const TensorMeta> layout;

  const TensorMeta& Layout() const { return layout ? *layout : value.meta(); }
};

class StorageState final : public c10::intrusive_ptr_target {
 public:
  explicit StorageState(uint64_t trace) : trace(trace) {}
  static void* operator new(size_t) { return BlockPool<StorageState>::Allocate(); }
  static void operator delete(void* memory) { BlockPool<StorageState>::Free(memory); }

  Contents Get() const {
    std::lock_guard<SpinLock> lock(lock_);
    return contents_;
  }
  void Set(Contents contents) {
    std::lock_guard<SpinLock> lock(lock_);
    std::swap(contents_, contents);  // the old value is released after the lock, here and below
  }
  // The value, if an array of these sizes, strides and type is all there is to it; else null.
  Value GetWhole(c10::IntArrayRef sizes, c10::IntArrayRef strides, at::ScalarType dtype) const;
  // Sets what a lazy program or the trace that made the storage recorded; the storage is then
  // pending unless the value is an input. Within a trace the old contents of a storage made before
  // it are saved.
  void Record(Contents contents);
  // Sets the contents if they still are `expected`; leaves them alone otherwise.
  void Replace(const Value& expected, Contents contents);
  // It is that of a parameter or buffer of a module: so is the data that it gets, DeviceData is
  // told.
  void NoteParameter();

  // The trace that made the storage or saved its contents; 0 for none. Only the thread of a trace
  // looks.
  uint64_t trace;

 private:
  friend struct PendingList;
  // The caller holds `lock_`.
  void TellData() const;

  mutable SpinLock lock_;
  Contents contents_;
  bool parameter_ = false;
  // Membership of the list of storages with pending values; guarded by that list's lock.
  std::atomic<int> list_{-1};
  StorageState* previous_ = nullptr;
  StorageState* next_ = nullptr;
};
using StorageStatePtr = c10::intrusive_ptr<StorageState>;

// New tensors. The first has undefined contents.
at::Tensor MakeEmpty(c10::IntArrayRef sizes, c10::IntArrayRef strides, at::ScalarType dtype);
// Of the value's sizes and strides (row-major where those leave gaps or overlap).
at::Tensor MakeTensor(Value value);

bool IsXla(const at::Tensor& t);
// Null for a tensor that is not on the device. Throws for a sparse or quantized one.
StorageStatePtr StateOf(const at::Tensor& t);

// The tensor's elements as an array of its sizes. Conjugate and negative bits are applied.
Value ReadTensor(const at::Tensor& t);
// Replaces them. `value` has the tensor's sizes and dtype.
void WriteTensor(const at::Tensor& t, Value value);
// Gives the tensor a new shape, and its storage more room where it needs it.
void ResizeTensor(const at::Tensor& t, c10::IntArrayRef sizes, c10::IntArrayRef strides);

// All storages with values that were recorded and not run, in the order in which they became
// pending (per thread that recorded them).
std::vector<StorageStatePtr> PendingStorages();

}  // namespace glia::capture

#endif  // GLIA_FRONTEND_CAPTURE_STORAGE_H_
