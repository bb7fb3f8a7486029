// The boxed kernel of every operator that libtorch does not decompose by itself.
#ifndef GLIA_FRONTEND_CAPTURE_DISPATCH_H_
#define GLIA_FRONTEND_CAPTURE_DISPATCH_H_

#include <ATen/core/dispatch/Dispatcher.h>
#include <ATen/core/stack.h>

namespace glia::capture {

void BoxedKernel(const c10::OperatorHandle& op, c10::DispatchKeySet keys, torch::jit::Stack* stack);

}  // namespace glia::capture

#endif  // GLIA_FRONTEND_CAPTURE_DISPATCH_H_
