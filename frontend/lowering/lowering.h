// Recorded graph → HLO.
//
//   absl::StatusOr<std::unique_ptr<hlo::Module>> module = lowering::Lower(*graph);
//
// Every value of the program is a logical tensor: an array of the tensor's sizes in row-major
// order. Strides appear only where the graph reads or writes a storage through a view. Double
// becomes F32 (dtypes.h); all other types keep their width, and integers are exact.
#ifndef GLIA_FRONTEND_LOWERING_LOWERING_H_
#define GLIA_FRONTEND_LOWERING_LOWERING_H_

#include <memory>
#include <string>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "frontend/capture/graph.h"
#include "serialization/hlo/ir.h"

namespace glia::lowering {

struct LowerOptions {
  std::string module_name = "glia";
};

// The module's parameters are graph.inputs in order; its root is a tuple of graph.outputs in order,
// also when there is only one. Each instruction's metadata names the operator, and the source line
// where the graph knows it. UNIMPLEMENTED when an operator has no lowering or an element type does
// not exist on the device; INTERNAL, naming the operator, when a lowering gives another shape than
// the recording.
absl::StatusOr<std::unique_ptr<hlo::Module>> Lower(const capture::Graph& graph,
                                                   const LowerOptions& options = {});

// Whether Lower takes this kOp node, by its operator, attributes, operand and result metadata. It
// tries the lowering, so the answer costs some microseconds: remember it for nodes of equal hash.
bool Supported(const capture::Node& node);
// OK, or the reason it is not supported; the first names the operator with its operands as well.
absl::Status WhyUnsupported(const capture::Node& node);
absl::Status CheckSupport(const capture::Node& node);

}  // namespace glia::lowering

#endif  // GLIA_FRONTEND_LOWERING_LOWERING_H_
