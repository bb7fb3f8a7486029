// The inputs of a recorded graph that are not arguments of the program, on the host.
#ifndef GLIA_FRONTEND_INPUTS_H_
#define GLIA_FRONTEND_INPUTS_H_

#include <ATen/core/Tensor.h>

#include <vector>

#include "absl/types/span.h"
#include "frontend/capture/graph.h"
#include "serialization/hlo/ir.h"
#include "serialization/hlo/literal.h"

namespace glia {

// The data of a kInput node as the device holds it: contiguous, f64 as f32. Shares memory with the node
// where it can. Throws c10::Error when reading a device buffer fails.
at::Tensor HostInput(const capture::Node& input);

// `tensor` (contiguous, CPU) as a literal of this shape that shares its memory.
hlo::Literal ShareAsLiteral(const at::Tensor& tensor, const hlo::Shape& shape);

// Turns the entry parameters from `first` on into constants of these values, one for each.
void InlineParameters(hlo::Module* module, int64_t first, absl::Span<const at::Tensor> values);

}  // namespace glia

#endif  // GLIA_FRONTEND_INPUTS_H_
