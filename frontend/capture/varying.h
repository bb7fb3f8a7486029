// Numbers of the user's program that change from step to step (a learning rate, a bias correction).
// A number is a constant of the graph, so that the compiler can fold it, until it changes: then it
// becomes an input, lest each value compile a graph of its own.
#ifndef GLIA_FRONTEND_CAPTURE_VARYING_H_
#define GLIA_FRONTEND_CAPTURE_VARYING_H_

#include <cstdint>
#include <mutex>
#include <string>
#include <vector>

#include "frontend/capture/graph.h"

namespace glia::capture {

// The numbers of equal calls (operator, shapes, types), by their order within a step. Thread-safe;
// threads that record equal calls at once share the order, which makes inputs of more numbers than
// need be.
class VaryingNumbers {
 public:
  // Whether this call's number (hashed) is still the one it was in earlier steps.
  bool IsConstant(uint64_t bits);

 private:
  struct Slot {
    uint64_t bits;
    bool varies;
  };
  std::mutex mutex_;
  uint64_t step_ = 0;
  size_t next_ = 0;
  std::vector<Slot> slots_;
  // Of the calls beyond the slots: their values, while these are few.
  std::vector<uint64_t> others_;
};

// Position of the number argument that is a factor and no tensor (alpha of aten::add.Tensor, value
// of aten::addcdiv), or -1.
int FactorArgument(const std::string& functional_name);

// Records the call with its factor as an input when it has changed from step to step; null when it
// has not. `factor` is FactorArgument of `op`. Floating-point only; rounds the scaled term to the
// tensors' type, as aten::mul would.
NodePtr RecordVaryingFactor(const OpInfo& op, int factor, c10::ArrayRef<c10::IValue> arguments);

}  // namespace glia::capture

#endif  // GLIA_FRONTEND_CAPTURE_VARYING_H_
