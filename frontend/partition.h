// Splitting a recorded graph between the device and the CPU.
//
// Every operator has a place. Operators alternate between the device and the CPU along a path as
// often as their places do; all that are as deep in that alternation form one subgraph, so there
// are as few subgraphs as the longest path has. Views, updates and constants belong to no place:
// each subgraph makes those that it needs.
#ifndef GLIA_FRONTEND_PARTITION_H_
#define GLIA_FRONTEND_PARTITION_H_

#include <functional>
#include <vector>

#include "frontend/capture/graph.h"

namespace glia {

struct Subgraph {
  bool on_device = true;
  std::vector<capture::NodePtr> nodes;  // operands before users
  // From the program's arguments or earlier subgraphs, and to later ones or the program.
  std::vector<capture::Value> inputs;
  std::vector<capture::Value> outputs;
};

// In an order in which they can run. `on_cpu` of nodes that are no inputs and no constants; of
// views and updates it asks whether the device cannot do them.
std::vector<Subgraph> Partition(const capture::Graph& graph,
                                const std::function<bool(const capture::Node&)>& on_cpu);

// A subgraph as a graph of its own: its inputs are the parameters.
std::shared_ptr<capture::Graph> GraphOf(const Subgraph& subgraph);

}  // namespace glia

#endif  // GLIA_FRONTEND_PARTITION_H_
