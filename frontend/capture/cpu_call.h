// Calls of libtorch's CPU and Meta kernels with stand-ins for tensors of the device. Not its own
// cpu_fallback, which in 1.13 is wrong for lists of optional tensors.
#ifndef GLIA_FRONTEND_CAPTURE_CPU_CALL_H_
#define GLIA_FRONTEND_CAPTURE_CPU_CALL_H_

#include <ATen/core/stack.h>
#include <c10/util/FunctionRef.h>

#include "frontend/capture/graph.h"

namespace glia::capture {

// The arguments with every defined tensor replaced by `map` of it (argument number, position within
// a list or -1) and every device of kind xla by `device`.
torch::jit::Stack MapArguments(
    const OpInfo& op, c10::ArrayRef<c10::IValue> arguments, c10::Device device,
    c10::function_ref<at::Tensor(const at::Tensor&, size_t argument, int position)> map);

// Runs the operator on CPU (or Meta) tensors: stack in, stack out. Knows the CPU names of operators
// that exist for other devices only (convolution_overrideable).
void CallOnCpu(const OpInfo& op, torch::jit::Stack* stack);

}  // namespace glia::capture

#endif  // GLIA_FRONTEND_CAPTURE_CPU_CALL_H_
