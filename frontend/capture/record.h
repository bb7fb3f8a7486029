// Recording one functional operator.
#ifndef GLIA_FRONTEND_CAPTURE_RECORD_H_
#define GLIA_FRONTEND_CAPTURE_RECORD_H_

#include "frontend/capture/graph.h"

namespace glia::capture {

// The node of a call of `op` with these arguments (device and CPU tensors; CPU tensors are
// snapshotted, numbers of the program become constants). Null when the backend does not support it;
// while a trace records that is an error. Shape errors are libtorch's.
NodePtr RecordOp(const OpInfo& op, c10::ArrayRef<c10::IValue> arguments);

// While it lives, numbers that this thread records become inputs at once.
class NumbersAreInputs {
 public:
  NumbersAreInputs();
  ~NumbersAreInputs();
  NumbersAreInputs(const NumbersAreInputs&) = delete;
  NumbersAreInputs& operator=(const NumbersAreInputs&) = delete;

 private:
  const bool before_;
};

// Return `i` of the operator as new device tensors.
c10::IValue MakeReturn(const NodePtr& node, size_t i);

// The call as TorchScript prints a graph of it, tensors as CPU tensors of their shapes.
std::string PrintCall(const c10::FunctionSchema& schema,
                      c10::ArrayRef<const c10::IValue> arguments);

// "aten::add.Tensor(Tensor self, …) -> Tensor", for messages.
std::string SchemaOf(const OpInfo& op);

}  // namespace glia::capture

#endif  // GLIA_FRONTEND_CAPTURE_RECORD_H_
