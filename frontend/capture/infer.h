// Sizes, strides and dtypes of an operator's results, as eager PyTorch gives them.
#ifndef GLIA_FRONTEND_CAPTURE_INFER_H_
#define GLIA_FRONTEND_CAPTURE_INFER_H_

#include <ATen/core/stack.h>

#include "frontend/capture/graph.h"

namespace glia::capture {

// Fills info.outputs and info.returns for a call of the functional operator `op`. Asks libtorch:
// the operator's Meta kernel where it has one, else the operator itself on CPU tensors of zeros of
// these shapes; so this is slow, and errors about shapes and types are libtorch's own. Does not
// disturb the CPU's random generator.
void InferOutputs(const OpInfo& op, c10::ArrayRef<c10::IValue> arguments, NodeInfo* info);

}  // namespace glia::capture

#endif  // GLIA_FRONTEND_CAPTURE_INFER_H_
