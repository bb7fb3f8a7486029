// What recorded values are on the CPU: runs nodes with libtorch's CPU operators. While a trace
// records it answers for the example inputs; in tests it is the reference for capture itself.
#ifndef GLIA_FRONTEND_CAPTURE_EVALUATE_H_
#define GLIA_FRONTEND_CAPTURE_EVALUATE_H_

#include <ATen/core/Tensor.h>

#include <unordered_map>
#include <vector>

#include "frontend/capture/graph.h"

namespace glia::capture {

// Remembers every node that it evaluated, so a program that asks for many values runs each node
// once. Not thread-safe.
class Evaluator {
 public:
  // `parameters`: the inputs of a trace by position; read when a node needs them.
  explicit Evaluator(const std::vector<at::Tensor>* parameters) : parameters_(parameters) {}

  // Arrays of the values' sizes, not to be written: they may be what the evaluator remembers.
  // Throws c10::Error: an operator's own, or one that names a node whose result is not as recorded.
  at::Tensor Evaluate(const Value& value);
  std::vector<at::Tensor> Evaluate(const Graph& graph);

  // Whether an evaluated value was computed from an input of the trace.
  bool DependsOnParameters(const Value& value) const { return known_.at(value.node.get()).depends; }

 private:
  struct Known {
    NodePtr node;  // keeps the key alive
    std::vector<at::Tensor> results;
    bool depends = false;
  };

  void EvaluateNodes(const std::vector<NodePtr>& nodes);
  std::vector<at::Tensor> EvaluateNode(const Node& node) const;
  std::vector<at::Tensor> Call(const Node& node) const;
  at::Tensor Get(const Value& value) const;
  at::Tensor Operand(const Value& value) const;

  const std::vector<at::Tensor>* parameters_;
  std::unordered_map<const Node*, Known> known_;
};

}  // namespace glia::capture

#endif  // GLIA_FRONTEND_CAPTURE_EVALUATE_H_
