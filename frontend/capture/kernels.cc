// What the xla device registers with libtorch: the boxed kernel for everything, and the operators
// that are about tensors as such (memory, copies, views) or need a hand.
#include <ATen/ExpandUtils.h>
#include <ATen/MemoryOverlap.h>
#include <ATen/native/Resize.h>
#include <ATen/ops/_reshape_alias_native.h>
#include <ATen/ops/add.h>
#include <ATen/ops/as_strided_native.h>
#include <ATen/ops/empty_strided.h>
#include <ATen/ops/masked_fill.h>
#include <ATen/ops/mul.h>
#include <ATen/ops/set_native.h>
#include <ATen/ops/unfold_native.h>
#include <ATen/ops/var.h>
#include <ATen/ops/view_as_complex_native.h>
#include <ATen/ops/view_as_real_native.h>
#include <ATen/ops/view_native.h>
#include <c10/core/impl/DeviceGuardImplInterface.h>
#include <torch/library.h>

#include "frontend/capture/dispatch.h"
#include "frontend/capture/host.h"
#include "frontend/capture/nodes.h"
#include "frontend/capture/record.h"
#include "frontend/capture/storage.h"
#include "frontend/capture/sync.h"
#include "frontend/capture/trace_session.h"
#include "frontend/torch_compat.h"

namespace glia::capture {
namespace {

using c10::optional;
using IntArray = c10::IntArrayRef;

std::vector<int64_t> Contiguous(IntArray sizes) {
  return ContiguousStrides({sizes.data(), sizes.size()});
}

at::ScalarType DtypeOr(optional<at::ScalarType> dtype) {
  return dtype.value_or(at::typeMetaToScalarType(at::get_default_dtype()));
}

void CheckLayout(optional<at::Layout> layout) {
  TORCH_CHECK(!layout || *layout == at::kStrided, "the xla device has no ", *layout,
              " tensors: use to_dense() first");
}

// --- memory ---

at::Tensor Empty(IntArray sizes, optional<at::ScalarType> dtype, optional<at::Layout> layout,
                 optional<at::Device>, optional<bool>, optional<at::MemoryFormat> format) {
  CheckLayout(layout);
  for (int64_t s : sizes) TORCH_CHECK(s >= 0, "negative size in ", sizes);
  at::Tensor t = MakeEmpty(sizes, Contiguous(sizes), DtypeOr(dtype));
  if (format && *format != at::MemoryFormat::Contiguous && *format != at::MemoryFormat::Preserve) {
    t.unsafeGetTensorImpl()->empty_tensor_restride(*format);
  }
  return t;
}

at::Tensor EmptyStrided(IntArray sizes, IntArray strides, optional<at::ScalarType> dtype,
                        optional<at::Layout> layout, optional<at::Device>, optional<bool>) {
  CheckLayout(layout);
  return MakeEmpty(sizes, strides, DtypeOr(dtype));
}

// Strides of a new tensor like `self`. libtorch's own empty_like and _to_copy give up on strides
// for the xla device; eager's keep the order of dimensions.
std::vector<int64_t> StridesLike(const at::Tensor& self, optional<at::MemoryFormat> format) {
  const at::MemoryFormat f = format.value_or(at::MemoryFormat::Preserve);
  const IntArray sizes = self.sizes();
  switch (f) {
    case at::MemoryFormat::Preserve:
      if (self.is_non_overlapping_and_dense()) return self.strides().vec();
      return at::infer_dense_strides(sizes, self.strides());
    case at::MemoryFormat::ChannelsLast:
      TORCH_CHECK(sizes.size() == 4, "required rank 4 tensor to use channels_last format");
      return c10::get_channels_last_strides_2d(sizes);
    case at::MemoryFormat::ChannelsLast3d:
      TORCH_CHECK(sizes.size() == 5, "required rank 5 tensor to use channels_last_3d format");
      return c10::get_channels_last_strides_3d(sizes);
    default:
      return Contiguous(sizes);
  }
}

at::Tensor EmptyLike(const at::Tensor& self, optional<at::ScalarType> dtype,
                     optional<at::Layout> layout, optional<at::Device> device,
                     optional<bool> pin_memory, optional<at::MemoryFormat> format) {
  CheckLayout(layout);
  return at::empty_strided(self.sizes(), StridesLike(self, format),
                           dtype.value_or(self.scalar_type()), at::kStrided,
                           device.value_or(self.device()), pin_memory);
}

at::Tensor ToCopy(const at::Tensor& self, optional<at::ScalarType> dtype,
                  optional<at::Layout> layout, optional<at::Device> device,
                  optional<bool> pin_memory, bool non_blocking, optional<at::MemoryFormat> format) {
  return EmptyLike(self, dtype, layout, device, pin_memory, format).copy_(self, non_blocking);
}

at::Tensor NewEmptyStrided(const at::Tensor& self, IntArray sizes, IntArray strides,
                           optional<at::ScalarType> dtype, optional<at::Layout> layout,
                           optional<at::Device> device, optional<bool> pin_memory) {
  CheckLayout(layout);
  return at::empty_strided(sizes, strides, dtype.value_or(self.scalar_type()), at::kStrided,
                           device.value_or(self.device()), pin_memory);
}

at::Tensor EfficientZeros(IntArray sizes, optional<at::ScalarType> dtype, optional<at::Layout>,
                          optional<at::Device>, optional<bool>) {
  return MakeTensor(MakeZeros(sizes, Contiguous(sizes), DtypeOr(dtype)));
}

const at::Tensor& Resize(const at::Tensor& self, IntArray sizes,
                         optional<at::MemoryFormat> format) {
  ResizeTensor(self, sizes, Contiguous(sizes));
  if (format && *format != at::MemoryFormat::Preserve) {
    self.unsafeGetTensorImpl()->empty_tensor_restride(*format);
  }
  return self;
}

at::Tensor& SetStorageOffset(at::Tensor& self, at::Storage source, int64_t offset, IntArray sizes,
                             IntArray strides) {
  TORCH_CHECK(source.device_type() == at::kXLA,
              "set_() of a tensor of the xla device to a storage of ", source.device());
  auto* impl = self.unsafeGetTensorImpl();
  impl->set_storage_keep_dtype(std::move(source));
  impl->set_storage_offset(offset);
  if (strides.data() == nullptr || strides.size() != sizes.size()) {
    impl->set_sizes_contiguous(sizes);
  } else {
    impl->set_sizes_and_strides(sizes, strides);
  }
  c10::StorageImpl* storage = self.storage().unsafeGetStorageImpl();
  const size_t need = at::detail::computeStorageNbytes(self.sizes(), self.strides(),
                                                       self.dtype().itemsize(), offset);
  if (self.numel() > 0 && need > storage->nbytes()) storage->set_nbytes(need);
  return self;
}

at::Tensor& SetStorage(at::Tensor& self, at::Storage source) {
  const int64_t count = static_cast<int64_t>(source.nbytes() / self.dtype().itemsize());
  return SetStorageOffset(self, std::move(source), 0, {count}, {});
}

at::Tensor& SetTensor(at::Tensor& self, const at::Tensor& source) {
  if (self.unsafeGetTensorImpl() == source.unsafeGetTensorImpl()) return self;
  return SetStorageOffset(self, source.storage(), source.storage_offset(), source.sizes(),
                          source.strides());
}

at::Tensor& SetEmpty(at::Tensor& self) {
  const at::Tensor t = MakeEmpty({0}, {1}, self.scalar_type());
  return SetStorageOffset(self, t.storage(), 0, {0}, {});
}

bool IsSetTo(const at::Tensor& self, const at::Tensor& other) {
  return self.storage().unsafeGetStorageImpl() == other.storage().unsafeGetStorageImpl() &&
         self.storage_offset() == other.storage_offset() && self.sizes() == other.sizes() &&
         self.strides() == other.strides();
}

// Lets Module::to put device tensors into parameters of the CPU (set_data).
bool HasCompatibleShallowCopyType(const at::Tensor& self, const at::Tensor& from) {
  const bool compatible = self.layout() == at::kStrided && from.layout() == at::kStrided;
  if (compatible && IsXla(from)) StateOf(from)->NoteParameter();
  return compatible;
}

// --- copies ---

at::Tensor& Copy(at::Tensor& self, const at::Tensor& source, bool) {
  if (self.is_same(source)) return self;
  at::assert_no_internal_overlap(self);
  if (!IsXla(self)) {
    if (CurrentTrace() != nullptr) {
      RefuseInTrace("aten::copy_ from the xla device to " + self.device().str(),
                    "what the program does with it there cannot be compiled; leave the tensor where it "
                    "is, the traced module gives CPU tensors");
    }
    const at::Tensor host = Download(source);
    CpuCallGuard guard;
    self.copy_(host);
    return self;
  }
  at::Tensor from = source;
  if (!IsXla(from)) {
    CpuCallGuard guard;
    TORCH_CHECK(from.device().type() == at::kCPU, "copying from ", from.device(), " to ",
                self.device());
    from = MakeTensor(Upload(from.to(self.scalar_type())));
  }
  if (from.sizes() != self.sizes()) from = from.expand(self.sizes());
  WriteTensor(self, MakeConvert(ReadTensor(from), self.scalar_type()));
  return self;
}

at::Tensor CopyFrom(const at::Tensor& source, const at::Tensor& to, bool non_blocking) {
  at::Tensor self = to;
  return Copy(self, source, non_blocking);
}

at::Tensor CopyFromAndResize(const at::Tensor& source, const at::Tensor& to) {
  if (to.sizes() != source.sizes()) to.resize_(source.sizes());
  return CopyFrom(source, to, false);
}

at::Tensor& FillScalar(at::Tensor& self, const at::Scalar& value) {
  TORCH_CHECK(!value.isComplex() || c10::isComplexType(self.scalar_type()),
              "value cannot be converted to type ", self.scalar_type(), " without overflow");
  const bool dense = self.is_non_overlapping_and_dense();
  const std::vector<int64_t> strides = dense ? self.strides().vec() : Contiguous(self.sizes());
  WriteTensor(self, MakeFull(self.sizes(), strides, self.scalar_type(), value));
  return self;
}

at::Tensor& FillTensor(at::Tensor& self, const at::Tensor& value) {
  TORCH_CHECK(value.dim() == 0, "fill_ only supports 0-dimension value tensor but got tensor with ",
              value.dim(), " dimensions.");
  if (!IsXla(value) && value.unsafeGetTensorImpl()->is_wrapped_number()) {
    return FillScalar(self, value.item());
  }
  at::Tensor from = IsXla(value) ? value : MakeTensor(Upload(value));
  WriteTensor(self, MakeConvert(ReadTensor(from.expand(self.sizes())), self.scalar_type()));
  return self;
}

at::Tensor& Zero(at::Tensor& self) {
  const bool dense = self.is_non_overlapping_and_dense();
  const std::vector<int64_t> strides = dense ? self.strides().vec() : Contiguous(self.sizes());
  WriteTensor(self, MakeZeros(self.sizes(), strides, self.scalar_type()));
  return self;
}

// libtorch's own in-place kernel is for the CPU only.
at::Tensor& ConjPhysicalInPlace(at::Tensor& self) {
  if (self.is_complex()) WriteTensor(self, MakeUnary("aten::conj_physical", ReadTensor(self)));
  return self;
}

// --- views: libtorch's own arithmetic on strides ---

at::Tensor AsStrided(const at::Tensor& self, IntArray sizes, IntArray strides,
                     optional<int64_t> offset) {
  return at::native::as_strided_tensorimpl(self, sizes, strides, offset);
}

const at::Tensor& AsStridedInPlace(const at::Tensor& self, IntArray sizes, IntArray strides,
                                   optional<int64_t> offset) {
  auto* impl = self.unsafeGetTensorImpl();
  impl->set_sizes_and_strides(sizes, strides);
  if (offset) impl->set_storage_offset(*offset);
  return self;
}

at::Tensor View(const at::Tensor& self, IntArray sizes) { return at::native::view(self, sizes); }

at::Tensor ReshapeAlias(const at::Tensor& self, IntArray sizes, IntArray strides) {
  return at::native::_reshape_alias(self, sizes, strides);
}

at::Tensor Unfold(const at::Tensor& self, int64_t dimension, int64_t size, int64_t step) {
  return at::native::unfold(self, dimension, size, step);
}

at::Tensor ViewDtype(const at::Tensor& self, at::ScalarType dtype) {
  return at::native::view_dtype(self, dtype);
}

at::Tensor ViewAsReal(const at::Tensor& self) { return at::native::view_as_real(self); }

at::Tensor ViewAsComplex(const at::Tensor& self) { return at::native::view_as_complex(self); }

// --- operators that need a hand ---

c10::OperatorHandle Handle(const char* name) {
  return c10::Dispatcher::singleton().findSchemaOrThrow(name, "");
}

// In training it updates the running statistics without saying so in its schema.
std::tuple<at::Tensor, at::Tensor, at::Tensor> BatchNorm(
    const at::Tensor& input, const optional<at::Tensor>& weight, const optional<at::Tensor>& bias,
    const optional<at::Tensor>& running_mean, const optional<at::Tensor>& running_var,
    bool training, double momentum, double eps) {
  static const c10::OperatorHandle op = Handle("aten::native_batch_norm");
  torch::jit::Stack stack;
  auto push = [&](const optional<at::Tensor>& t) {
    if (t && t->defined()) {
      stack.emplace_back(*t);
    } else {
      stack.emplace_back();
    }
  };
  stack.emplace_back(input);
  push(weight);
  push(bias);
  // In training the statistics are not read, only written.
  push(training ? c10::nullopt : running_mean);
  push(training ? c10::nullopt : running_var);
  torch::jit::push(stack, training, momentum, eps);
  BoxedKernel(op, {}, &stack);
  if (training) {
    std::vector<int64_t> dims = {0};
    for (int64_t d = 2; d < input.dim(); ++d) dims.push_back(d);
    auto update = [&](const optional<at::Tensor>& running, const at::Tensor& batch) {
      at::Tensor(*running).mul_(1 - momentum).add_(batch.to(running->scalar_type()), momentum);
    };
    if (running_mean && running_mean->defined()) update(running_mean, stack[1].toTensor());
    if (running_var && running_var->defined()) {
      update(running_var,
             at::var(input, at::IntArrayRef(dims), /*unbiased=*/true, /*keepdim=*/false));
    }
  }
  return {stack[0].toTensor(), stack[1].toTensor(), stack[2].toTensor()};
}

// `x[mask] = number` need not know how many elements the mask selects.
at::Tensor& IndexPut(at::Tensor& self, const c10::List<optional<at::Tensor>>& indices,
                     const at::Tensor& values, bool accumulate, bool unsafe) {
  if (!accumulate && values.numel() == 1) {
    at::Tensor mask;
    int64_t masks = 0, others = 0, dim = 0;
    for (const optional<at::Tensor>& index : indices) {
      if (!index || !index->defined()) {
        if (masks == 0) ++dim;
        continue;
      }
      if (index->scalar_type() == at::kBool) {
        ++masks;
        mask = *index;
      } else {
        ++others;
      }
    }
    if (masks == 1 && others == 0 && mask.dim() + dim <= self.dim()) {
      for (int64_t d = 0; d < mask.dim(); ++d) {
        TORCH_CHECK(mask.size(d) == self.size(dim + d), "The shape of the mask ", mask.sizes(),
                    " at index ", d, " does not match the shape of the indexed tensor ",
                    self.sizes(), " at index ", dim + d);
      }
      for (int64_t d = dim + mask.dim(); d < self.dim(); ++d) mask = mask.unsqueeze(-1);
      return self.masked_fill_(mask, values.reshape({}));
    }
  }
  static const c10::OperatorHandle op = Handle("aten::_index_put_impl_");
  torch::jit::Stack stack;
  torch::jit::push(stack, self, indices, values, accumulate, unsafe);
  BoxedKernel(op, {}, &stack);
  return self;
}

// Its only effect is an error, which nobody can see before the graph runs.
void AssertAsync(const at::Tensor&) {}

struct DeviceGuard final : c10::impl::DeviceGuardImplInterface {
  DeviceGuard() = default;
  explicit DeviceGuard(at::DeviceType) {}
  at::DeviceType type() const override { return at::kXLA; }
  c10::Device exchangeDevice(c10::Device) const override { return getDevice(); }
  c10::Device getDevice() const override { return c10::Device(at::kXLA, 0); }
  void setDevice(c10::Device) const override {}
  void uncheckedSetDevice(c10::Device) const noexcept override {}
  c10::Stream getStream(c10::Device d) const noexcept override {
    return c10::Stream(c10::Stream::DEFAULT, d);
  }
  c10::Stream exchangeStream(c10::Stream s) const noexcept override { return s; }
  c10::DeviceIndex deviceCount() const noexcept override { return 1; }
};
C10_REGISTER_GUARD_IMPL(XLA, DeviceGuard);

}  // namespace
}  // namespace glia::capture

TORCH_LIBRARY_IMPL(_, XLA, m) {
  m.fallback(torch::CppFunction::makeFromBoxedFunction<&glia::capture::BoxedKernel>());
}

#if GLIA_TORCH_HAS_AUTOCAST_XLA
TORCH_LIBRARY_IMPL(_, AutocastXLA, m) { m.fallback(torch::CppFunction::makeFallthrough()); }
#endif

TORCH_LIBRARY_IMPL(aten, XLA, m) {
  using namespace glia::capture;  // NOLINT: the kernels above
  m.impl("empty.memory_format", Empty);
  m.impl("empty_strided", EmptyStrided);
  m.impl("empty_like", EmptyLike);
  m.impl("_to_copy", ToCopy);
  m.impl("new_empty_strided", NewEmptyStrided);
  m.impl("conj_physical_", ConjPhysicalInPlace);
  m.impl("_efficientzerotensor", EfficientZeros);
  m.impl("resize_", Resize);
  m.impl("set_.source_Storage_storage_offset", SetStorageOffset);
  m.impl("set_.source_Storage", SetStorage);
  m.impl("set_.source_Tensor", SetTensor);
  m.impl("set_", SetEmpty);
  m.impl("is_set_to", IsSetTo);
  m.impl("_has_compatible_shallow_copy_type", HasCompatibleShallowCopyType);
  m.impl("copy_", Copy);
  m.impl("_copy_from", CopyFrom);
  m.impl("_copy_from_and_resize", CopyFromAndResize);
  m.impl("fill_.Scalar", FillScalar);
  m.impl("fill_.Tensor", FillTensor);
  m.impl("zero_", Zero);
  m.impl("as_strided", AsStrided);
  m.impl("as_strided_", AsStridedInPlace);
  m.impl("view", View);
  m.impl("view.dtype", ViewDtype);
  m.impl("_reshape_alias", ReshapeAlias);
  m.impl("unfold", Unfold);
  m.impl("view_as_real", ViewAsReal);
  m.impl("view_as_complex", ViewAsComplex);
  m.impl("native_batch_norm", BatchNorm);
  m.impl("_index_put_impl_", IndexPut);
  m.impl("_assert_async", AssertAsync);
  // Recorded whole instead of being decomposed by libtorch. convolution_overrideable has a kernel
  // that throws for every device that has none of its own.
  for (const char* name :
       {"native_layer_norm", "native_group_norm", "constant_pad_nd", "slice_scatter", "embedding",
        "repeat", "convolution_overrideable", "convolution_backward_overrideable"}) {
    m.impl(name, torch::CppFunction::makeFromBoxedFunction<&BoxedKernel>());
  }
#if GLIA_TORCH_HAS_INFERENCE_BATCH_NORM
  for (const char* name : {"_batch_norm_no_update", "_native_batch_norm_legit_no_training"}) {
    m.impl(name, torch::CppFunction::makeFromBoxedFunction<&BoxedKernel>());
  }
#endif
}
