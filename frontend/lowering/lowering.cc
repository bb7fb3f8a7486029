#include "frontend/lowering/lowering.h"

#include <utility>
#include <vector>

#include "absl/container/flat_hash_map.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "frontend/lowering/ctx.h"
#include "frontend/lowering/registry.h"
#include "frontend/lowering/views.h"
#include "serialization/hlo/builder.h"

namespace glia::lowering {
namespace {

using capture::Node;
using capture::NodeKind;
using capture::TensorMeta;
using capture::Value;

// The array that holds a tensor; UNIMPLEMENTED for a type that the device does not have.
absl::StatusOr<Shape> ShapeOf(const TensorMeta& meta) {
  Shape shape(ToHlo(meta.dtype), meta.sizes);
  if (shape.type == hlo::kInvalid) {
    return absl::UnimplementedError(absl::StrCat("the device has no element type ",
                                                 c10::toString(meta.dtype), " (tensor ",
                                                 capture::ToString(meta), ")"));
  }
  return shape;
}

// "model.py:12 in forward" → file and line.
hlo::OpMetadata MetadataOf(const Node& node) {
  hlo::OpMetadata metadata;
  if (node.kind == NodeKind::kOp) metadata.op_type = node.op()->handle.schema().name();
  if (node.source == nullptr) return metadata;
  const std::pair<std::string, std::string> parts =
      absl::StrSplit(*node.source, absl::MaxSplits(" in ", 1));
  metadata.source_file = parts.first;
  metadata.op_name = parts.second;
  const size_t colon = parts.first.rfind(':');
  int32_t line = 0;
  if (colon != std::string::npos && absl::SimpleAtoi(parts.first.substr(colon + 1), &line)) {
    metadata.source_file = parts.first.substr(0, colon);
    metadata.source_line = line;
  }
  return metadata;
}

absl::Status Annotate(const absl::Status& status, const Node& node) {
  const bool refused = status.code() == absl::StatusCode::kUnimplemented;
  return absl::Status(
      refused ? absl::StatusCode::kUnimplemented : absl::StatusCode::kInternal,
      absl::StrCat("lowering ", capture::DescribeNode(node),
                   node.source == nullptr ? "" : " from " + *node.source, ": ", status.message()));
}

// A value brought to the type of the tensor it stands for.
Op ConvertResult(Op value, PrimitiveType type) {
  return type == hlo::kPred ? NotZero(value) : Convert(value, type);
}

// Runs the lowering of a kOp node on the values of its operands.
absl::StatusOr<std::vector<Op>> LowerOp(hlo::Builder* builder, const Node& node,
                                        std::vector<Op> operands) {
  const LowerFn lower = FindLowering(node.op()->name);
  if (lower == nullptr) {
    return absl::UnimplementedError(absl::StrCat(node.op()->name, " has no lowering"));
  }
  std::vector<Shape> expected;
  for (const TensorMeta& meta : node.info->outputs) {
    absl::StatusOr<Shape> shape = ShapeOf(meta);
    if (!shape.ok()) return shape.status();
    expected.push_back(*std::move(shape));
  }
  Ctx ctx(builder, node, std::move(operands));
  lower(ctx);
  if (!builder->status().ok()) return builder->status();
  std::vector<Op> results;
  for (size_t i = 0; i < ctx.results().size(); ++i) {
    if (ctx.OutDefined(i)) results.push_back(ctx.results()[i]);
  }
  if (results.size() != expected.size()) {
    return absl::InternalError(absl::StrCat("the lowering gives ", results.size(),
                                            " results where the operator has ", expected.size()));
  }
  for (size_t i = 0; i < results.size(); ++i) {
    if (!results[i].valid()) {
      return absl::InternalError(absl::StrCat("the lowering gives no result ", i));
    }
    results[i] = ConvertResult(results[i], expected[i].type);
    if (!builder->status().ok()) return builder->status();
    if (!Compatible(results[i].shape(), expected[i])) {
      return absl::InternalError(absl::StrCat("result ", i, " is ", results[i].shape().ToString(),
                                              " where the recording has ", expected[i].ToString()));
    }
  }
  return results;
}

class GraphLowering {
 public:
  GraphLowering(const capture::Graph& graph, const LowerOptions& options)
      : graph_(graph), builder_(options.module_name) {}

  absl::StatusOr<std::unique_ptr<hlo::Module>> Run() {
    for (size_t i = 0; i < graph_.inputs.size(); ++i) {
      const Node& node = *graph_.inputs[i];
      absl::StatusOr<Shape> shape = ShapeOf(node.output());
      if (!shape.ok()) return Annotate(shape.status(), node);
      const int64_t number = static_cast<int64_t>(i);
      values_[&node] = {Parameter(&builder_, number, *std::move(shape), absl::StrCat("p", i))};
    }
    for (const capture::NodePtr& node : graph_.nodes) {
      if (node->kind == NodeKind::kInput) continue;
      builder_.SetOpMetadata(MetadataOf(*node));
      absl::StatusOr<std::vector<Op>> results = LowerNode(*node);
      if (!results.ok()) return Annotate(results.status(), *node);
      values_[node.get()] = *std::move(results);
    }
    builder_.ClearOpMetadata();
    std::vector<Op> outputs;
    for (const Value& value : graph_.outputs) outputs.push_back(Get(value));
    return builder_.Build(outputs);
  }

 private:
  Op Get(const Value& value) const {
    if (!value) return {};
    return values_.at(value.node.get())[value.index];
  }

  absl::StatusOr<std::vector<Op>> LowerNode(const Node& node) {
    if (node.kind == NodeKind::kOp) {
      std::vector<Op> operands;
      for (const Value& operand : node.operands) operands.push_back(Get(operand));
      return LowerOp(&builder_, node, std::move(operands));
    }
    absl::StatusOr<Shape> shape = ShapeOf(node.output());
    if (!shape.ok()) return shape.status();
    const Op value = LowerStorageNode(node, *shape);
    if (!builder_.status().ok()) return builder_.status();
    if (!Compatible(value.shape(), *shape)) {
      return absl::InternalError(absl::StrCat("the result is ", value.shape().ToString(),
                                              " where the recording has ", shape->ToString()));
    }
    return std::vector<Op>{value};
  }

  Op LowerStorageNode(const Node& node, const Shape& shape) {
    switch (node.kind) {
      case NodeKind::kConstant:
        return BroadcastTo(ConstantOf(node.scalar(), shape.type), shape.dims);
      case NodeKind::kZeros:
        return hlo::Filled(&builder_, shape, 0);
      case NodeKind::kView:
        return LowerView(Get(node.operands[0]), node.base(), node.region());
      case NodeKind::kUpdate:
        return LowerUpdate(Get(node.operands[0]), node.base(), Get(node.operands[1]),
                           node.region());
      default:
        return {};  // inputs are parameters already, operators went another way
    }
  }

  Op ConstantOf(const c10::Scalar& scalar, PrimitiveType type) {
    if (scalar.isFloatingPoint() || hlo::IsFloating(type)) {
      return hlo::ConstantScalar(&builder_, type, scalar.toDouble());
    }
    return IntScalar(&builder_, type, scalar.toLong());
  }

  const capture::Graph& graph_;
  hlo::Builder builder_;
  absl::flat_hash_map<const Node*, std::vector<Op>> values_;
};

}  // namespace

absl::StatusOr<std::unique_ptr<hlo::Module>> Lower(const capture::Graph& graph,
                                                   const LowerOptions& options) {
  return GraphLowering(graph, options).Run();
}

absl::Status CheckSupport(const Node& node) {
  if (FindLowering(node.op()->name) == nullptr) {  // the common refusal, without a builder
    for (const TensorMeta& meta : node.info->outputs) {
      const absl::StatusOr<Shape> shape = ShapeOf(meta);
      if (shape.ok()) continue;
      return absl::UnimplementedError(
          absl::StrCat("there is no lowering for it, and ", shape.status().message()));
    }
    return absl::UnimplementedError("there is no lowering for it");
  }
  hlo::Builder builder("supported");
  std::vector<Op> operands;
  for (const Value& operand : node.operands) {
    if (!operand) {
      operands.emplace_back();
      continue;
    }
    absl::StatusOr<Shape> shape = ShapeOf(operand.meta());
    if (!shape.ok()) return shape.status();
    const int64_t number = static_cast<int64_t>(operands.size());
    operands.push_back(Parameter(&builder, number, *std::move(shape)));
  }
  return LowerOp(&builder, node, std::move(operands)).status();
}

absl::Status WhyUnsupported(const Node& node) {
  const absl::Status status = CheckSupport(node);
  return status.ok() ? status : Annotate(status, node);
}

bool Supported(const Node& node) { return CheckSupport(node).ok(); }

}  // namespace glia::lowering
