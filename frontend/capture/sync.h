// Values to the device, pending values through the backend, results to the host.
#ifndef GLIA_FRONTEND_CAPTURE_SYNC_H_
#define GLIA_FRONTEND_CAPTURE_SYNC_H_

#include <ATen/core/LegacyTypeDispatch.h>
#include <ATen/core/Tensor.h>

#include <vector>

#include "frontend/capture/storage.h"

namespace glia::capture {

// For calls into libtorch's CPU and Meta kernels from below autograd: no autograd, no autocast
// (which would change dtypes a second time).
struct CpuCallGuard {
  c10::impl::ExcludeDispatchKeyGuard exclude{c10::autocast_dispatch_keyset |
                                             c10::autograd_dispatch_keyset_with_ADInplaceOrView |
                                             c10::DispatchKeySet(c10::DispatchKey::Tracer)};
};

// A snapshot of a CPU tensor as an input: device data, or host data while a trace records. Of the
// tensor's strides where those are dense, else row-major.
Value Upload(const at::Tensor& cpu);

// Runs the pending values of these storages as one graph.
void Execute(const std::vector<StorageStatePtr>& storages);

// A CPU copy of an xla tensor, after running what it needs; of its sizes and strides, with
// conjugate and negative bits applied. While a trace records, what it is for the example inputs.
at::Tensor Download(const at::Tensor& t);

// Counts the graphs executed: recording between two of them is a step.
uint64_t StepNumber();

// Changes with every SetBackend.
uint32_t BackendGeneration();

}  // namespace glia::capture

#endif  // GLIA_FRONTEND_CAPTURE_SYNC_H_
