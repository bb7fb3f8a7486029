#include "frontend/support.h"

#include <atomic>
#include <sstream>
#include <thread>

#include "compiler/compile.h"
#include "frontend/lowering/lowering.h"

namespace glia {
namespace {

using capture::Node;
using capture::NodeKind;
using capture::NodePtr;

// A graph of this node alone.
std::shared_ptr<capture::Graph> GraphOf(const Node& node) {
  NodePtr copy = c10::make_intrusive<Node>(node.kind, node.info);
  std::vector<NodePtr> parameters;
  for (const capture::Value& operand : node.operands) {
    if (!operand || operand.node->kind == NodeKind::kConstant) {
      copy->operands.push_back(operand);
      continue;
    }
    auto info = std::make_shared<capture::NodeInfo>();
    info->outputs.push_back(operand.meta());
    NodePtr parameter = c10::make_intrusive<Node>(NodeKind::kInput, std::move(info));
    parameter->parameter = static_cast<int64_t>(parameters.size());
    copy->operands.push_back({parameter, 0});
    parameters.push_back(std::move(parameter));
  }
  std::vector<capture::Value> outputs;
  for (int i = 0; i < node.num_outputs(); ++i) outputs.push_back({copy, i});
  return BuildGraph(std::move(outputs), std::move(parameters));
}

Support Examine(const Node& node, const compiler::Options& options) {
  if (node.kind == NodeKind::kOp) {
    const absl::Status status = lowering::CheckSupport(node);
    if (!status.ok()) return {Stage::kLowering, std::string(status.message())};
  }
  auto module = lowering::Lower(*GraphOf(node));
  if (!module.ok()) return {Stage::kLowering, std::string(module.status().message())};
  const auto result = compiler::Compile(*std::move(module), options);
  if (!result.ok()) return {Stage::kCompiler, std::string(result.status().message())};
  return {};
}

}  // namespace

const Support& SupportChecker::Check(const Node& node) {
  const Key key(node.info->hash.hi, node.info->hash.lo);
  auto it = known_.find(key);
  if (it == known_.end()) it = known_.emplace(key, Examine(node, options_)).first;
  return it->second;
}

void SupportChecker::Prepare(const std::vector<NodePtr>& nodes, int workers) {
  std::vector<std::pair<const Node*, Support*>> jobs;
  known_.reserve(known_.size() + nodes.size());  // the answers stay where they are
  for (const NodePtr& node : nodes) {
    const auto [it, is_new] = known_.try_emplace(Key(node->info->hash.hi, node->info->hash.lo));
    if (is_new) jobs.emplace_back(node.get(), &it->second);
  }
  std::atomic<size_t> next{0};
  auto work = [&] {
    for (size_t i = next++; i < jobs.size(); i = next++) {
      *jobs[i].second = Examine(*jobs[i].first, options_);
    }
  };
  std::vector<std::thread> threads;
  for (int i = 1; i < workers && i < static_cast<int>(jobs.size()); ++i) threads.emplace_back(work);
  work();
  for (std::thread& thread : threads) thread.join();
}

void ThrowRefused(const capture::Graph& graph, const compiler::Options& options,
                  const absl::Status& status) {
  compiler::Options quiet = options;
  quiet.dump_dir.clear();
  SupportChecker checker(quiet);
  for (const NodePtr& node : graph.nodes) {
    if (node->kind == NodeKind::kInput || node->kind == NodeKind::kConstant) continue;
    const Support& support = checker.Check(*node);
    if (support.ok()) continue;
    std::ostringstream schema;
    if (node->kind == NodeKind::kOp) schema << " (schema: " << node->schema() << ")";
    TORCH_CHECK(false, "cannot trace ", DescribeNode(*node),
                node->source == nullptr ? "" : " at " + *node->source, ": ",
                support.refused_by == Stage::kCompiler ? "the compiler refuses it: " : "",
                support.reason, schema.str());
  }
  TORCH_CHECK(false, "trace: compiling: ", std::string(status.message()));
}

}  // namespace glia
