#include "frontend/lowering/testing/evaluate_case.h"

#include <ATen/core/grad_mode.h>
#include <ATen/ops/scalar_tensor.h>

#include <exception>
#include <memory>

#include "absl/strings/str_cat.h"
#include "frontend/capture/graph.h"
#include "frontend/lowering/lowering.h"
#include "frontend/lowering/testing/compare.h"
#include "frontend/lowering/testing/literals.h"
#include "serialization/hlo/evaluator.h"
#include "serialization/hlo/verifier.h"

namespace glia::lowering::testing {
namespace {

using capture::Node;
using capture::NodeInfo;
using capture::NodeKind;
using capture::NodePtr;
using capture::TensorMeta;
using capture::Value;

TensorMeta MetaOf(const at::Tensor& t) {
  TensorMeta meta;
  meta.sizes = t.sizes().vec();
  meta.strides = t.strides().vec();
  meta.dtype = t.scalar_type();
  meta.wrapped_number = t.unsafeGetTensorImpl()->is_wrapped_number();
  return meta;
}

Value InputOf(const at::Tensor& t) {
  if (!t.defined()) return {};
  auto info = std::make_shared<NodeInfo>();
  info->outputs = {MetaOf(t)};
  const bool number = t.unsafeGetTensorImpl()->is_wrapped_number();
  if (number) info->scalar = t.item();
  auto node = c10::make_intrusive<Node>(number ? NodeKind::kConstant : NodeKind::kInput, info);
  if (!number) node->host = t;
  return {node, 0};
}

// One kOp node over inputs that hold the arguments; `results` are eager's.
NodePtr MakeNode(const capture::OpInfo& op, const torch::jit::Stack& arguments,
                 const torch::jit::Stack& results) {
  auto info = std::make_shared<NodeInfo>();
  info->op = &op;
  c10::SmallVector<Value, 4> operands;
  for (size_t i = 0; i < arguments.size(); ++i) {
    const c10::IValue& v = arguments[i];
    if (op.args[i] == capture::ArgKind::kTensor && v.isTensor()) {
      info->args.emplace_back(static_cast<int64_t>(operands.size()));
      operands.push_back(InputOf(v.toTensor()));
    } else if (op.args[i] == capture::ArgKind::kTensorList && v.isList()) {
      const int64_t first = static_cast<int64_t>(operands.size());
      for (const c10::IValue& element : v.toListRef()) {
        operands.push_back(element.isTensor() ? InputOf(element.toTensor()) : Value());
      }
      info->args.emplace_back(
          capture::PackOperandRange(first, static_cast<int64_t>(operands.size()) - first));
    } else {
      info->args.push_back(v);
    }
  }
  for (const c10::IValue& v : results) {
    NodeInfo::Return r;
    r.first = static_cast<int32_t>(info->outputs.size());
    if (v.isTensorList()) {
      for (const at::Tensor& t : v.toTensorVector()) info->outputs.push_back(MetaOf(t));
      r.count = static_cast<int32_t>(info->outputs.size()) - r.first;
    } else if (!v.isTensor() || !v.toTensor().defined()) {
      r.first = -1;
    } else {
      info->outputs.push_back(MetaOf(v.toTensor()));
    }
    info->returns.push_back(r);
  }
  if (op.Draws(arguments)) {
    operands.push_back(InputOf(at::scalar_tensor(20240501, at::TensorOptions().dtype(at::kLong))));
    operands.push_back(InputOf(at::scalar_tensor(3, at::TensorOptions().dtype(at::kLong))));
  }
  auto node = c10::make_intrusive<Node>(NodeKind::kOp, info);
  node->operands = operands;
  return node;
}

struct Call {
  NodePtr node;
  std::vector<at::Tensor> expected;
};

absl::Status RunCall(const Call& call, double tolerance, size_t compared) {
  const absl::Status why = WhyUnsupported(*call.node);
  if (!why.ok()) return why;
  std::vector<Value> outputs;
  for (size_t i = 0; i < call.expected.size(); ++i)
    outputs.push_back({call.node, static_cast<int32_t>(i)});
  const auto graph = capture::BuildGraph(outputs);
  const auto module = Lower(*graph);
  if (!module.ok()) return module.status();
  const absl::Status valid = hlo::Verify(**module);
  if (!valid.ok()) return valid;
  std::vector<hlo::Literal> inputs;
  for (const NodePtr& input : graph->inputs) inputs.push_back(ToLiteral(input->host));
  const auto result = hlo::Evaluate(**module, inputs);
  if (!result.ok()) return result.status();
  if (compared == 0) compared = call.expected.size();
  for (size_t i = 0; i < compared; ++i) {
    const at::Tensor& want = call.expected[i];
    const absl::Status same =
        Compare(ToTensor(result->tuple()[i], want.scalar_type()), want, tolerance);
    if (!same.ok()) return absl::InternalError(absl::StrCat("result ", i, ": ", same.message()));
  }
  return absl::OkStatus();
}

template <typename Function>
absl::Status ForEachCall(const OpCase& op_case, const Function& function) {
  const capture::OpInfo* op = capture::FindOpInfo(op_case.op);
  if (op == nullptr) return absl::NotFoundError(absl::StrCat("no operator ", op_case.op));
  const at::NoGradGuard no_grad;
  for (const std::string& args : ExpandArgs(op_case)) {
    absl::Status status;
    try {
      const torch::jit::Stack arguments = ParseCall(*op, args).arguments;
      const torch::jit::Stack results = CallEager(*op, arguments);
      status = function({MakeNode(*op, arguments, results), FlattenResults(results)});
    } catch (const c10::Error& e) {
      status = absl::InvalidArgumentError(e.what_without_backtrace());
    } catch (const std::exception& e) {
      status = absl::InvalidArgumentError(e.what());
    }
    if (!status.ok()) {
      return absl::Status(status.code(),
                          absl::StrCat(op_case.op, " ", args, ": ", status.message()));
    }
  }
  return absl::OkStatus();
}

}  // namespace

absl::Status RunCase(const OpCase& op_case) {
  return ForEachCall(op_case, [&](const Call& call) {
    return RunCall(call, op_case.tolerance, static_cast<size_t>(op_case.results));
  });
}

absl::StatusOr<std::string> RefusalOf(const OpCase& op_case) {
  std::string refusal;
  const absl::Status status = ForEachCall(op_case, [&](const Call& call) {
    refusal = std::string(WhyUnsupported(*call.node).message());
    return absl::OkStatus();
  });
  if (!status.ok()) return status;
  return refusal;
}

}  // namespace glia::lowering::testing
