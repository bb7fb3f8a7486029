#include "frontend/capture/testing/eager_backend.h"

#include <ATen/ops/empty.h>
#include <ATen/ops/empty_strided.h>
#include <ATen/ops/scalar_tensor.h>
#include <ATen/ops/zeros.h>

#include <cstring>
#include <exception>
#include <unordered_map>

#include "frontend/capture/cpu_call.h"
#include "frontend/capture/sync.h"

namespace glia::capture::testing {
namespace {

class EagerData : public DeviceData {
 public:
  EagerData(TensorMeta meta, at::Tensor tensor)
      : DeviceData(std::move(meta)), tensor_(std::move(tensor)) {}
  bool Ready() const override { return true; }
  absl::Status Wait() override { return absl::OkStatus(); }
  const at::Tensor& tensor() const { return tensor_; }

 private:
  at::Tensor tensor_;
};

std::shared_ptr<EagerData> MakeData(const at::Tensor& t) {
  TensorMeta meta;
  meta.sizes = t.sizes().vec();
  meta.strides = ContiguousStrides(meta.sizes);
  meta.dtype = t.scalar_type();
  return std::make_shared<EagerData>(std::move(meta), t.contiguous());
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

class Evaluator {
 public:
  explicit Evaluator(const std::vector<at::Tensor>& parameters) : parameters_(parameters) {}

  std::vector<at::Tensor> Run(const Graph& graph) {
    CpuCallGuard guard;
    for (const NodePtr& n : graph.nodes) {
      std::vector<at::Tensor> results = Evaluate(*n);
      TORCH_CHECK(results.size() == n->info->outputs.size(), "node gave ", results.size(),
                  " results");
      for (size_t i = 0; i < results.size(); ++i) {
        const TensorMeta& meta = n->output(static_cast<int>(i));
        TORCH_CHECK(results[i].sizes() == c10::IntArrayRef(meta.sizes) &&
                        results[i].scalar_type() == meta.dtype,
                    "output ", i, " of ", n->kind == NodeKind::kOp ? DescribeNode(*n) : "a node",
                    " is ", results[i].scalar_type(), results[i].sizes(), ", recorded as ",
                    ToString(meta));
      }
      values_[n.get()] = std::move(results);
    }
    std::vector<at::Tensor> outputs;
    for (const Value& v : graph.outputs)
      outputs.push_back(Get(v).clone(at::MemoryFormat::Contiguous));
    return outputs;
  }

 private:
  at::Tensor Get(const Value& v) { return v ? values_.at(v.node.get()).at(v.index) : at::Tensor(); }

  std::vector<at::Tensor> Evaluate(const Node& n) {
    const auto cpu = at::TensorOptions().device(at::kCPU);
    switch (n.kind) {
      case NodeKind::kInput:
        if (n.parameter >= 0) return {parameters_.at(n.parameter)};
        return {n.host.defined() ? n.host : static_cast<EagerData&>(*n.data).tensor()};
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

  std::vector<at::Tensor> Call(const Node& n) {
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
  at::Tensor Operand(const Value& v) {
    at::Tensor t = Get(v);
    if (v.meta().wrapped_number && !t.unsafeGetTensorImpl()->is_wrapped_number()) {
      t = t.clone();
      t.unsafeGetTensorImpl()->set_wrapped_number(true);
    }
    return t;
  }

  const std::vector<at::Tensor>& parameters_;
  std::unordered_map<const Node*, std::vector<at::Tensor>> values_;
};

}  // namespace

std::vector<at::Tensor> EvaluateGraph(const Graph& graph,
                                      const std::vector<at::Tensor>& parameters) {
  return Evaluator(parameters).Run(graph);
}

absl::StatusOr<std::shared_ptr<DeviceData>> EagerBackend::ToDevice(const void* bytes,
                                                                   const TensorMeta& meta) {
  CpuCallGuard guard;
  at::Tensor t = at::empty(meta.sizes, at::TensorOptions().dtype(meta.dtype));
  if (meta.nbytes() > 0) std::memcpy(t.data_ptr(), bytes, static_cast<size_t>(meta.nbytes()));
  return std::shared_ptr<DeviceData>(MakeData(t));
}

absl::Status EagerBackend::ToHost(DeviceData& data, void* dst) {
  const at::Tensor& t = static_cast<EagerData&>(data).tensor();
  if (t.nbytes() > 0) std::memcpy(dst, t.data_ptr(), t.nbytes());
  return absl::OkStatus();
}

absl::StatusOr<std::vector<std::shared_ptr<DeviceData>>> EagerBackend::Execute(
    std::shared_ptr<const Graph> graph) {
  {
    std::lock_guard<std::mutex> lock(mutex_);
    graphs_.push_back(graph);
    if (!failure_.empty()) return absl::InternalError(std::exchange(failure_, ""));
  }
  try {
    std::vector<std::shared_ptr<DeviceData>> results;
    for (const at::Tensor& t : EvaluateGraph(*graph)) results.push_back(MakeData(t));
    return results;
  } catch (const c10::Error& e) {
    return absl::InternalError(e.what_without_backtrace());
  } catch (const std::exception& e) {
    return absl::InternalError(e.what());
  }
}

bool EagerBackend::Supports(const Node& node) {
  std::lock_guard<std::mutex> lock(mutex_);
  return refused_.count(node.op()->name) == 0;
}

void EagerBackend::Refuse(std::set<std::string> names) {
  {
    std::lock_guard<std::mutex> lock(mutex_);
    refused_ = std::move(names);
  }
  SetBackend(GetBackend());
}

void EagerBackend::FailNext(std::string message) {
  std::lock_guard<std::mutex> lock(mutex_);
  failure_ = std::move(message);
}

std::vector<std::shared_ptr<const Graph>> EagerBackend::TakeGraphs() {
  std::lock_guard<std::mutex> lock(mutex_);
  return std::exchange(graphs_, {});
}

std::shared_ptr<EagerBackend> InstallEagerBackend() {
  auto backend = std::make_shared<EagerBackend>();
  SetBackend(backend);
  return backend;
}

}  // namespace glia::capture::testing
