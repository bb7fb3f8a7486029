#include "frontend/capture/evaluate.h"

#include <ATen/ops/empty.h>
#include <ATen/ops/empty_strided.h>
#include <ATen/ops/scalar_tensor.h>
#include <ATen/ops/zeros.h>

#include <utility>

#include "frontend/capture/backend.h"
#include "frontend/capture/cpu_call.h"
#include "frontend/capture/sync.h"

namespace glia::capture {
namespace {

at::Tensor Fetch(const Node& input) {
  if (input.host.defined()) return input.host;
  TORCH_CHECK(input.data != nullptr, "an input of a trace has no value");
  const TensorMeta& meta = input.data->meta();
  at::Tensor t = at::empty(meta.sizes, at::TensorOptions().dtype(meta.dtype).device(at::kCPU));
  const absl::Status status = GetBackend()->ToHost(*input.data, t.data_ptr());
  TORCH_CHECK(status.ok(), "reading from the device failed: ", std::string(status.message()));
  return t;
}

// The base's memory, seen through the region.
at::Tensor RegionOf(const Node& node, const at::Tensor& base) {
  const TensorMeta &layout = node.base(), &region = node.region();
  const auto options = at::TensorOptions().device(at::kCPU);
  at::Tensor memory = at::empty_strided(layout.sizes, layout.strides, options.dtype(layout.dtype));
  memory.copy_(base);
  at::Tensor view = at::empty({0}, options.dtype(region.dtype));
  view.set_(memory.storage(), region.storage_offset, region.sizes, region.strides);
  return view;
}

}  // namespace

at::Tensor Evaluator::Evaluate(const Value& value) { return Evaluate(*BuildGraph({value}))[0]; }

std::vector<at::Tensor> Evaluator::Evaluate(const Graph& graph) {
  CpuCallGuard guard;
  EvaluateNodes(graph.nodes);
  std::vector<at::Tensor> outputs;
  for (const Value& v : graph.outputs) outputs.push_back(Get(v));
  return outputs;
}

void Evaluator::EvaluateNodes(const std::vector<NodePtr>& nodes) {
  for (const NodePtr& n : nodes) {
    if (known_.count(n.get()) != 0) continue;
    Known known;
    known.node = n;
    known.results = EvaluateNode(*n);
    known.depends = n->parameter >= 0;
    for (const Value& v : n->operands) {
      known.depends = known.depends || (v && known_.at(v.node.get()).depends);
    }
    TORCH_CHECK(known.results.size() == n->info->outputs.size(), "node gave ", known.results.size(),
                " results");
    for (size_t i = 0; i < known.results.size(); ++i) {
      const TensorMeta& meta = n->output(static_cast<int>(i));
      const at::Tensor& t = known.results[i];
      TORCH_CHECK(t.sizes() == c10::IntArrayRef(meta.sizes) && t.scalar_type() == meta.dtype,
                  "output ", i, " of ", n->kind == NodeKind::kOp ? DescribeNode(*n) : "a node",
                  " is ", t.scalar_type(), t.sizes(), ", recorded as ", ToString(meta));
    }
    known_.emplace(n.get(), std::move(known));
  }
}

at::Tensor Evaluator::Get(const Value& v) const {
  return v ? known_.at(v.node.get()).results.at(v.index) : at::Tensor();
}

std::vector<at::Tensor> Evaluator::EvaluateNode(const Node& n) const {
  const auto cpu = at::TensorOptions().device(at::kCPU);
  switch (n.kind) {
    case NodeKind::kInput:
      if (n.parameter >= 0) return {parameters_->at(n.parameter)};
      return {Fetch(n)};
    case NodeKind::kConstant: {
      at::Tensor t = at::scalar_tensor(n.scalar(), cpu.dtype(n.output().dtype));
      if (n.output().wrapped_number) t.unsafeGetTensorImpl()->set_wrapped_number(true);
      return {t};
    }
    case NodeKind::kZeros:
      return {at::zeros(n.output().sizes, cpu.dtype(n.output().dtype))};
    case NodeKind::kView:
      return {RegionOf(n, Get(n.operands[0])).clone(at::MemoryFormat::Contiguous)};
    case NodeKind::kUpdate: {
      at::Tensor region = RegionOf(n, Get(n.operands[0])), contents = Get(n.operands[1]);
      const TensorMeta& layout = n.base();
      for (int64_t d = 0; d < region.dim(); ++d) {
        if (region.stride(d) != 0 || region.size(d) < 2) continue;
        contents = contents.narrow(d, region.size(d) - 1, 1);
        region = region.narrow(d, 0, 1);
      }
      region.copy_(contents);
      at::Tensor whole = at::empty({0}, cpu.dtype(layout.dtype));
      whole.set_(region.storage(), 0, layout.sizes, layout.strides);
      return {whole};
    }
    case NodeKind::kOp:
      return Call(n);
  }
  return {};
}

std::vector<at::Tensor> Evaluator::Call(const Node& n) const {
  torch::jit::Stack stack;
  for (size_t i = 0; i < n.num_args(); ++i) {
    const c10::Argument& formal = n.schema().arguments()[i];
    if (n.arg_kind(i) == ArgKind::kTensor) {
      at::Tensor t = Get(n.Tensor(i));
      if (t.defined()) {
        stack.emplace_back(Operand(n.Tensor(i)));
      } else {
        stack.emplace_back();
      }
    } else if (n.arg_kind(i) == ArgKind::kTensorList && n.arg(i).isInt()) {
      c10::TypePtr type = formal.type();
      if (type->kind() == c10::TypeKind::OptionalType) type = type->containedType(0);
      if (type->containedType(0)->kind() == c10::TypeKind::OptionalType) {
        c10::List<c10::optional<at::Tensor>> list;
        for (const Value& v : n.TensorList(i)) {
          list.push_back(v ? c10::optional<at::Tensor>(Operand(v)) : c10::nullopt);
        }
        stack.emplace_back(std::move(list));
      } else {
        c10::List<at::Tensor> list;
        for (const Value& v : n.TensorList(i)) list.push_back(Operand(v));
        stack.emplace_back(std::move(list));
      }
    } else if (n.arg(i).isDevice()) {
      stack.emplace_back(c10::Device(at::kCPU));
    } else {
      stack.push_back(n.arg(i));
    }
  }
  CallOnCpu(*n.op(), &stack);
  std::vector<at::Tensor> results;
  for (const c10::IValue& v : stack) {
    if (v.isTensor()) {
      if (v.toTensor().defined()) results.push_back(v.toTensor());
    } else {
      for (const at::Tensor& t : v.toTensorVector()) results.push_back(t);
    }
  }
  return results;
}

// An operator may look at the flag that says "a number of the program".
at::Tensor Evaluator::Operand(const Value& v) const {
  at::Tensor t = Get(v);
  if (v.meta().wrapped_number && !t.unsafeGetTensorImpl()->is_wrapped_number()) {
    t = t.clone();
    t.unsafeGetTensorImpl()->set_wrapped_number(true);
  }
  return t;
}

}  // namespace glia::capture
