// Operators that run on the CPU: those the backend does not support, and those whose result the
// program must know.
#ifndef GLIA_FRONTEND_CAPTURE_HOST_H_
#define GLIA_FRONTEND_CAPTURE_HOST_H_

#include <ATen/core/stack.h>

#include "frontend/capture/graph.h"

namespace glia::capture {

// Runs `op` (any overload, writing ones too) on CPU copies of its device arguments and puts results
// and written arguments back on the device. Counts it as capture.host.<operator>. `inherent`: no
// backend could do it; otherwise the first time is worth a warning. While a trace records it is an
// error with `reason`, unless the result is no tensor: then the example inputs decide.
void RunOnHost(const OpInfo& op, torch::jit::Stack* stack, const char* reason, bool inherent);

}  // namespace glia::capture

#endif  // GLIA_FRONTEND_CAPTURE_HOST_H_
