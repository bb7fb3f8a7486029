#include "frontend/lazy_parts.h"

#include <ATen/ops/empty.h>

#include <exception>
#include <unordered_map>

#include "frontend/capture/evaluate.h"
#include "frontend/capture/metrics.h"
#include "frontend/partition.h"
#include "frontend/support.h"

namespace glia {
namespace {

using capture::DeviceData;
using capture::Node;
using capture::NodeKind;
using capture::NodePtr;
using capture::Value;

std::pair<uint64_t, uint64_t> KeyOf(const Node& node) {
  return {node.info->hash.hi, node.info->hash.lo};
}

struct HashOfValue {
  size_t operator()(const std::pair<const Node*, int32_t>& key) const {
    return std::hash<const Node*>()(key.first) * 31 + static_cast<size_t>(key.second);
  }
};
using Results =
    std::unordered_map<std::pair<const Node*, int32_t>, std::shared_ptr<DeviceData>, HashOfValue>;

absl::StatusOr<std::vector<std::shared_ptr<DeviceData>>> EvaluateOnCpu(
    capture::Backend* backend, const capture::Graph& graph) {
  std::vector<at::Tensor> parameters;
  for (const NodePtr& input : graph.inputs) {
    if (input->parameter < 0) continue;
    const capture::TensorMeta& meta = input->output();
    parameters.push_back(at::empty(meta.sizes, at::TensorOptions().dtype(meta.dtype)));
    const absl::Status status = backend->ToHost(*input->data, parameters.back().data_ptr());
    if (!status.ok()) return status;
  }
  std::vector<std::shared_ptr<DeviceData>> results;
  try {
    const std::vector<at::Tensor> outputs = capture::Evaluator(&parameters).Evaluate(graph);
    for (size_t i = 0; i < outputs.size(); ++i) {
      auto data = backend->ToDevice(outputs[i].contiguous().data_ptr(), graph.outputs[i].meta());
      if (!data.ok()) return data.status();
      results.push_back(*std::move(data));
    }
  } catch (const c10::Error& error) {
    return absl::InternalError(error.what_without_backtrace());
  } catch (const std::exception& error) {
    return absl::InternalError(error.what());
  }
  return results;
}

}  // namespace

bool RefusedOperators::Contains(const Node& node) const {
  std::lock_guard<std::mutex> lock(mutex_);
  return reasons_.count(KeyOf(node)) != 0;
}

bool RefusedOperators::Learn(const capture::Graph& graph, const compiler::Options& options) {
  compiler::Options quiet = options;
  quiet.dump_dir.clear();
  SupportChecker checker(quiet);
  bool any = false;
  for (const NodePtr& node : graph.nodes) {
    if (node->kind == NodeKind::kInput || node->kind == NodeKind::kConstant) continue;
    const Support& support = checker.Check(*node);
    if (support.ok()) continue;
    std::lock_guard<std::mutex> lock(mutex_);
    if (!reasons_.emplace(KeyOf(*node), support.reason).second) continue;
    any = true;
    TORCH_WARN("the compiler refuses ", DescribeNode(*node), " (", support.reason,
               "): it runs on the CPU, and the tensors it needs are computed and copied first");
  }
  return any;
}

absl::StatusOr<std::vector<std::shared_ptr<DeviceData>>> ExecuteInParts(
    capture::Backend* backend, const capture::Graph& graph, const RefusedOperators& refused) {
  const auto on_cpu = [&](const Node& node) { return refused.Contains(node); };
  Results results;
  const auto find = [&](const Value& v) {
    const auto it = results.find({v.node.get(), v.index});
    return it == results.end() ? v.node->data : it->second;
  };
  for (const Subgraph& part : Partition(graph, on_cpu)) {
    const std::shared_ptr<capture::Graph> own = GraphOf(part);
    for (size_t i = 0; i < part.inputs.size(); ++i) own->inputs[i]->data = find(part.inputs[i]);
    absl::StatusOr<std::vector<std::shared_ptr<DeviceData>>> outputs;
    if (part.on_device) {
      for (const NodePtr& input : own->inputs) input->parameter = -1;
      outputs = backend->Execute(own);
    } else {
      for (const NodePtr& node : part.nodes) {
        if (!refused.Contains(*node)) continue;
        capture::Counter("capture.fallbacks").Add(1);
        if (node->kind == NodeKind::kOp) {
          capture::Counter("capture.host." + node->op()->name).Add(1);
        }
      }
      outputs = EvaluateOnCpu(backend, *own);
    }
    if (!outputs.ok()) return outputs.status();
    for (size_t i = 0; i < part.outputs.size(); ++i) {
      results[{part.outputs[i].node.get(), part.outputs[i].index}] = (*outputs)[i];
    }
  }
  std::vector<std::shared_ptr<DeviceData>> all;
  for (const Value& v : graph.outputs) all.push_back(find(v));
  return all;
}

}  // namespace glia
