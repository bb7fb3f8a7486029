#include "frontend/partition.h"

#include <algorithm>
#include <unordered_map>
#include <unordered_set>

namespace glia {
namespace {

using capture::Node;
using capture::NodeKind;
using capture::NodePtr;
using capture::Value;

// Depth of what needs no subgraph before it.
constexpr int kAnywhere = -1;

class Partitioner {
 public:
  Partitioner(const capture::Graph& graph, const std::function<bool(const Node&)>& on_cpu)
      : graph_(graph) {
    for (const NodePtr& node : graph.nodes) {
      Place place;
      for (const Value& v : node->operands) {
        if (v) place.depth = std::max(place.depth, places_.at(v.node.get()).depth);
      }
      const bool view = node->kind == NodeKind::kView || node->kind == NodeKind::kUpdate;
      if (node->kind == NodeKind::kOp || view) {
        const bool cpu = on_cpu(*node);
        place.fixed = cpu || !view;
        if (place.fixed) {
          // Even depths are the device's, odd ones the CPU's.
          place.depth = std::max(place.depth, 0);
          if ((place.depth % 2 == 1) != cpu) ++place.depth;
        }
      }
      places_.emplace(node.get(), place);
    }
  }

  std::vector<Subgraph> Run() {
    int last = 0;
    for (const auto& [node, place] : places_) last = std::max(last, place.depth);
    parts_.resize(static_cast<size_t>(last) + 1);
    members_.resize(parts_.size());
    for (size_t i = 0; i < parts_.size(); ++i) parts_[i].on_device = i % 2 == 0;
    for (const NodePtr& node : graph_.nodes) {
      if (places_.at(node.get()).fixed) Add(node, static_cast<size_t>(DepthOf(*node)));
    }
    // What the program returns without an operator, constants for example, is made by the first
    // subgraph.
    size_t first = 0;
    while (first < parts_.size() && parts_[first].nodes.empty()) ++first;
    if (first == parts_.size()) first = 0;
    for (const Value& v : graph_.outputs) {
      if (IsArgument(*v.node)) continue;
      const int depth = DepthOf(*v.node);
      const size_t part = depth < 0 ? first : static_cast<size_t>(depth);
      Add(v.node, part);
      Export(v, part);
    }
    std::vector<Subgraph> result;
    for (Subgraph& part : parts_) {
      if (part.nodes.empty()) continue;
      std::unordered_map<const Node*, size_t> order;
      for (const NodePtr& n : graph_.nodes) order.emplace(n.get(), order.size());
      std::sort(part.nodes.begin(), part.nodes.end(), [&](const NodePtr& a, const NodePtr& b) {
        return order.at(a.get()) < order.at(b.get());
      });
      result.push_back(std::move(part));
    }
    return result;
  }

 private:
  struct Place {
    bool fixed = false;  // an operator of this depth's subgraph
    int depth = kAnywhere;
  };

  int DepthOf(const Node& node) const { return places_.at(&node).depth; }
  static bool IsArgument(const Node& node) { return node.parameter >= 0; }

  static void AddOnce(const Value& v, std::vector<Value>* values) {
    if (std::find(values->begin(), values->end(), v) == values->end()) values->push_back(v);
  }
  void Export(const Value& v, size_t part) { AddOnce(v, &parts_[part].outputs); }

  // Adds a node, and the unplaced ones that lead to it.
  void Add(const NodePtr& root, size_t part) {
    std::vector<NodePtr> work = {root};
    while (!work.empty()) {
      const NodePtr node = work.back();
      work.pop_back();
      if (!members_[part].insert(node.get()).second) continue;
      parts_[part].nodes.push_back(node);
      for (const Value& v : node->operands) {
        if (!v) continue;
        const Place& place = places_.at(v.node.get());
        const bool elsewhere = place.fixed && place.depth != static_cast<int>(part);
        if (elsewhere || IsArgument(*v.node)) {
          AddOnce(v, &parts_[part].inputs);
          if (elsewhere) Export(v, static_cast<size_t>(place.depth));
        } else if (!place.fixed) {
          work.push_back(v.node);
        }
      }
    }
  }

  const capture::Graph& graph_;
  std::unordered_map<const Node*, Place> places_;
  std::vector<Subgraph> parts_;
  std::vector<std::unordered_set<const Node*>> members_;
};

}  // namespace

std::vector<Subgraph> Partition(const capture::Graph& graph,
                                const std::function<bool(const Node&)>& on_cpu) {
  return Partitioner(graph, on_cpu).Run();
}

std::shared_ptr<capture::Graph> GraphOf(const Subgraph& subgraph) {
  std::vector<std::pair<Value, Value>> inputs;  // a few
  std::unordered_map<const Node*, NodePtr> copies;
  std::vector<NodePtr> parameters;
  for (const Value& v : subgraph.inputs) {
    auto info = std::make_shared<capture::NodeInfo>();
    info->outputs.push_back(v.meta());
    const capture::TensorMeta& meta = info->outputs[0];
    info->outputs[0].strides = capture::ContiguousStrides(meta.sizes);
    capture::Hasher hasher;
    for (int64_t s : meta.sizes) hasher.Add(static_cast<uint64_t>(s));
    hasher.Add(static_cast<uint64_t>(meta.dtype));
    info->hash = hasher.Get();
    NodePtr parameter = c10::make_intrusive<Node>(NodeKind::kInput, std::move(info));
    parameter->parameter = static_cast<int64_t>(parameters.size());
    inputs.emplace_back(v, Value{parameter, 0});
    parameters.push_back(std::move(parameter));
  }
  auto map = [&](const Value& v) -> Value {
    if (!v) return v;
    for (const auto& [from, to] : inputs) {
      if (from == v) return to;
    }
    return {copies.at(v.node.get()), v.index};
  };
  for (const NodePtr& node : subgraph.nodes) {
    NodePtr copy = c10::make_intrusive<Node>(node->kind, node->info);
    for (const Value& v : node->operands) copy->operands.push_back(map(v));
    copy->data = node->data;
    copy->host = node->host;
    copy->source = node->source;
    copies.emplace(node.get(), std::move(copy));
  }
  std::vector<Value> outputs;
  for (const Value& v : subgraph.outputs) outputs.push_back(map(v));
  return BuildGraph(std::move(outputs), std::move(parameters));
}

}  // namespace glia
