#include "frontend/capture/storage.h"

#include <ATen/EmptyTensor.h>
#include <c10/core/StorageImpl.h>

#include <array>

#include "frontend/capture/backend.h"
#include "frontend/capture/nodes.h"
#include "frontend/capture/trace_session.h"
#include "frontend/torch_compat.h"

namespace glia::capture {

namespace {
bool IsPending(const Value& v) { return v && v.node->kind != NodeKind::kInput; }
}  // namespace

// Storages whose value waits to be run. Sharded by recording thread: recorders do not meet here,
// and the order within one thread's list is the order of its program.
struct PendingList {
  SpinLock lock;
  StorageState* first = nullptr;
  StorageState* last = nullptr;

  static constexpr int kLists = 16;
  static PendingList& Get(int i) {
    static auto* lists = new std::array<PendingList, kLists>;
    return (*lists)[i];
  }

  static void Add(StorageState& state) {
    if (state.list_.load() >= 0) return;
    static std::atomic<int> next_thread{0};
    thread_local const int mine = next_thread.fetch_add(1) % kLists;
    PendingList& list = Get(mine);
    std::lock_guard<SpinLock> guard(list.lock);
    list.Append(state, mine);
  }

  // Appends every pending storage and forgets those that are no longer.
  void Collect(std::vector<StorageStatePtr>* result) {
    std::lock_guard<SpinLock> guard(lock);
    for (StorageState *s = first, *next; s != nullptr; s = next) {
      next = s->next_;
      if (!IsPending(s->Get().value)) {
        const int i = s->list_;
        Unlink(*s);
        // A recorder that saw it in the list just before may have made it pending just now.
        if (!IsPending(s->Get().value)) continue;
        Append(*s, i);
      }
      result->push_back(StorageStatePtr::reclaim_copy(s));
    }
  }

  // The caller holds the lock.
  void Append(StorageState& state, int number) {
    int none = -1;
    if (!state.list_.compare_exchange_strong(none, number)) return;  // another thread was faster
    state.previous_ = last;
    state.next_ = nullptr;
    (last != nullptr ? last->next_ : first) = &state;
    last = &state;
  }

  // The caller holds the lock and the state is in this list.
  void Unlink(StorageState& state) {
    (state.previous_ != nullptr ? state.previous_->next_ : first) = state.next_;
    (state.next_ != nullptr ? state.next_->previous_ : last) = state.previous_;
    state.list_.store(-1);
  }

  // The storage dies.
  static void Remove(StorageState& state) {
    const int i = state.list_.load();
    if (i < 0) return;
    PendingList& list = Get(i);
    std::lock_guard<SpinLock> guard(list.lock);
    // A collection may have unlinked it meanwhile.
    if (state.list_.load() == i) list.Unlink(state);
  }
};

namespace {

uint64_t TraceId() {
  const TraceSession* trace = CurrentTrace();
  return trace != nullptr ? trace->id : 0;
}

void DeleteContext(void* context) {
  auto state = StorageStatePtr::reclaim(static_cast<StorageState*>(context));
  PendingList::Remove(*state);
}

// The data pointer is null: there is no memory behind it, and libtorch 2.6 crashes in its lazy
// clone of a storage with a non-null pointer and a context of its own.
c10::DataPtr MakeDataPtr(StorageStatePtr state) {
  return c10::DataPtr(nullptr, state.release(), &DeleteContext, c10::Device(at::kXLA, 0));
}

c10::DataPtr Allocate(size_t) { return MakeDataPtr(c10::make_intrusive<StorageState>(TraceId())); }

FunctionAllocator& XlaAllocator() {
  static auto* allocator = new FunctionAllocator(&Allocate);
  return *allocator;
}

struct RegisterAllocator {
  RegisterAllocator() { c10::SetAllocator(at::kXLA, &XlaAllocator()); }
} register_allocator;

at::Tensor MakeOver(StorageStatePtr state, size_t nbytes, c10::IntArrayRef sizes,
                    c10::IntArrayRef strides, at::ScalarType dtype) {
  c10::Storage storage(c10::make_intrusive<c10::StorageImpl>(
      c10::StorageImpl::use_byte_size_t(), nbytes, MakeDataPtr(std::move(state)), &XlaAllocator(),
      /*resizable=*/true));
  at::Tensor t = at::detail::make_tensor<c10::TensorImpl>(
      std::move(storage), c10::DispatchKeySet(c10::DispatchKey::XLA),
      c10::scalarTypeToTypeMeta(dtype));
  t.unsafeGetTensorImpl()->set_sizes_and_strides(sizes, strides);
  return t;
}

StorageState& State(const at::Tensor& t) {
  auto* state =
      static_cast<StorageState*>(t.storage().unsafeGetStorageImpl()->data_ptr().get_context());
  TORCH_CHECK(state != nullptr, "a tensor of the xla device has a storage that was not made by it");
  return *state;
}

void CheckStrided(const at::Tensor& t) {
  TORCH_CHECK(t.layout() == at::kStrided && !t.is_quantized(), "the xla device has no ",
              t.is_quantized() ? "quantized" : "sparse", " tensors (got one of sizes ", t.sizes(),
              "); ", t.is_quantized() ? "dequantize() it first" : "use to_dense() first");
}

// One past the last element that the geometry touches.
int64_t Extent(c10::IntArrayRef sizes, c10::IntArrayRef strides, int64_t offset) {
  int64_t last = offset;
  for (size_t d = 0; d < sizes.size(); ++d) {
    if (sizes[d] == 0) return 0;
    last += (sizes[d] - 1) * strides[d];
  }
  return last + 1;
}

TensorMeta Flat(int64_t count, at::ScalarType dtype) {
  TensorMeta m;
  m.sizes = {count};
  m.strides = {1};
  m.dtype = dtype;
  return m;
}

// Contents whose value fills all of the storage that `t` looks at: a storage may be larger than the
// value that was written to it last (resize_, empty_strided with gaps), and what was never written
// reads as zeros.
Contents Fill(Contents contents, const at::Tensor& t) {
  const int64_t nbytes = static_cast<int64_t>(t.storage().nbytes());
  const int64_t itemsize = static_cast<int64_t>(t.dtype().itemsize());
  const int64_t need = Extent(t.sizes(), t.strides(), t.storage_offset()) * itemsize;
  TORCH_CHECK(need <= nbytes, "a tensor of sizes ", t.sizes(), ", strides ", t.strides(),
              " and offset ", t.storage_offset(), " reaches beyond its storage of ", nbytes,
              " bytes");
  if (!contents.value) {
    const int64_t count = nbytes / itemsize;
    return {MakeZeros({count}, {1}, t.scalar_type()), nullptr};
  }
  const TensorMeta& layout = contents.Layout();
  const int64_t have = layout.nbytes();
  if (need <= have && have % itemsize == 0) return contents;
  const int64_t base_itemsize = static_cast<int64_t>(c10::elementSize(layout.dtype));
  const int64_t whole =
      std::max(need, nbytes) / (base_itemsize * itemsize) * (base_itemsize * itemsize);
  TORCH_CHECK(whole >= need && whole >= have, "the xla device cannot see ", have, " bytes of ",
              layout.dtype, " as elements of ", t.scalar_type());
  const TensorMeta flat = Flat(whole / base_itemsize, layout.dtype);
  Value wide = MakeZeros(flat.sizes, flat.strides, flat.dtype);
  if (layout.numel() > 0)
    wide = MakeUpdate(wide, flat, layout.sizes, layout.strides, 0, contents.value);
  return {wide, nullptr};
}

Value ReadStorage(const at::Tensor& t) {
  if (t.numel() == 0) return MakeZeros(t.sizes(), t.strides(), t.scalar_type());
  const StorageState& state = State(t);
  if (t.storage_offset() == 0) {
    Value whole = state.GetWhole(t.sizes(), t.strides(), t.scalar_type());
    if (whole) return whole;
  }
  Contents contents = state.Get();
  const int64_t itemsize = static_cast<int64_t>(t.dtype().itemsize());
  if (!contents.value ||
      Extent(t.sizes(), t.strides(), t.storage_offset()) * itemsize > contents.Layout().nbytes() ||
      contents.Layout().nbytes() % itemsize != 0) {
    contents = Fill(std::move(contents), t);
  }
  return MakeView(contents.value, contents.Layout(), t.sizes(), t.strides(), t.storage_offset(),
                  t.scalar_type());
}

}  // namespace

void StorageState::Record(Contents contents) {
  TraceSession* session = CurrentTrace();
  if (session != nullptr && trace != session->id) {
    session->undo.emplace_back(StorageStatePtr::reclaim_copy(this), Get());
    trace = session->id;
  }
  const bool pending = session == nullptr && IsPending(contents.value);
  {
    std::lock_guard<SpinLock> lock(lock_);
    std::swap(contents_, contents);
    if (parameter_) TellData();
  }
  if (pending) PendingList::Add(*this);
}

Value StorageState::GetWhole(c10::IntArrayRef sizes, c10::IntArrayRef strides,
                             at::ScalarType dtype) const {
  std::lock_guard<SpinLock> lock(lock_);
  if (!contents_.value || contents_.layout != nullptr) return {};
  const TensorMeta& meta = contents_.value.meta();
  if (meta.dtype != dtype || sizes != c10::IntArrayRef(meta.sizes) ||
      !SameStrides(sizes, strides, meta.strides)) {
    return {};
  }
  return contents_.value;
}

void StorageState::Replace(const Value& expected, Contents contents) {
  std::lock_guard<SpinLock> lock(lock_);
  if (contents_.value == expected) std::swap(contents_, contents);
  if (parameter_) TellData();
}

void StorageState::NoteParameter() {
  std::lock_guard<SpinLock> lock(lock_);
  parameter_ = true;
  TellData();
}

void StorageState::TellData() const {
  if (contents_.value && contents_.value.node->data) contents_.value.node->data->NoteParameter();
}

at::Tensor MakeEmpty(c10::IntArrayRef sizes, c10::IntArrayRef strides, at::ScalarType dtype) {
  TORCH_CHECK(!c10::isQIntType(dtype), "the xla device has no quantized tensors (", dtype, ")");
  const size_t nbytes = at::detail::computeStorageNbytes(sizes, strides, c10::elementSize(dtype));
  return MakeOver(c10::make_intrusive<StorageState>(TraceId()), nbytes, sizes, strides, dtype);
}

at::Tensor MakeTensor(Value value) {
  const TensorMeta& meta = value.meta();
  auto owner = c10::make_intrusive<StorageState>(TraceId());
  StorageState& state = *owner;
  at::Tensor t = MakeOver(std::move(owner), static_cast<size_t>(meta.nbytes()), meta.sizes,
                          meta.strides, meta.dtype);
  state.Record({std::move(value), nullptr});
  return t;
}

bool IsXla(const at::Tensor& t) { return t.defined() && t.device().type() == at::kXLA; }

StorageStatePtr StateOf(const at::Tensor& t) {
  if (!IsXla(t)) return {};
  CheckStrided(t);
  return StorageStatePtr::reclaim_copy(&State(t));
}

Value ReadTensor(const at::Tensor& t) {
  CheckStrided(t);
  Value v = ReadStorage(t);
  if (t.is_conj()) v = MakeUnary("aten::conj_physical", v);
  if (t.is_neg()) v = MakeUnary("aten::neg", v);
  return v;
}

void WriteTensor(const at::Tensor& t, Value value) {
  CheckStrided(t);
  if (t.numel() == 0) return;
  TORCH_INTERNAL_ASSERT(c10::IntArrayRef(value.meta().sizes) == t.sizes() &&
                        value.meta().dtype == t.scalar_type());
  if (t.is_conj()) value = MakeUnary("aten::conj_physical", value);
  if (t.is_neg()) value = MakeUnary("aten::neg", value);
  StorageState& state = State(t);
  if (t.storage_offset() == 0 && t.is_non_overlapping_and_dense() &&
      static_cast<size_t>(t.numel()) * t.dtype().itemsize() == t.storage().nbytes()) {
    Contents contents;
    if (!SameStrides(t.sizes(), t.strides(), value.meta().strides)) {
      TensorMeta layout;
      layout.sizes = t.sizes().vec();
      layout.strides = t.strides().vec();
      layout.dtype = t.scalar_type();
      contents.layout = std::make_shared<const TensorMeta>(std::move(layout));
    }
    contents.value = std::move(value);
    state.Record(std::move(contents));
    return;
  }
  const Contents base = Fill(state.Get(), t);
  state.Record(
      {MakeUpdate(base.value, base.Layout(), t.sizes(), t.strides(), t.storage_offset(), value),
       base.layout});
}

void ResizeTensor(const at::Tensor& t, c10::IntArrayRef sizes, c10::IntArrayRef strides) {
  CheckStrided(t);
  c10::StorageImpl* storage = t.storage().unsafeGetStorageImpl();
  const size_t need =
      at::detail::computeStorageNbytes(sizes, strides, t.dtype().itemsize(), t.storage_offset());
  if (need > storage->nbytes()) storage->set_nbytes(need);
  t.unsafeGetTensorImpl()->set_sizes_and_strides(sizes, strides);
}

std::vector<StorageStatePtr> PendingStorages() {
  std::vector<StorageStatePtr> result;
  for (int i = 0; i < PendingList::kLists; ++i) PendingList::Get(i).Collect(&result);
  return result;
}

}  // namespace glia::capture
