#include "frontend/capture/infer.h"

#include <ATen/CPUGeneratorImpl.h>
#include <ATen/ops/empty_strided.h>

#include <exception>
#include <set>
#include <string>

#include "frontend/capture/cpu_call.h"
#include "frontend/capture/record.h"
#include "frontend/capture/sync.h"
#include "frontend/capture/trace_session.h"

namespace glia::capture {
namespace {

TensorMeta MetaOf(const OpInfo& op, const at::Tensor& t) {
  if (t.layout() != at::kStrided || t.is_quantized()) {
    const std::string source = SourceLocation();
    TORCH_CHECK(false, SchemaOf(op), source.empty() ? "" : " at " + source, " gives a ",
                t.is_quantized() ? "quantized" : "sparse", " tensor of sizes ", t.sizes(),
                "; the xla device has dense tensors of plain numbers only");
  }
  TensorMeta m;
  m.sizes = t.sizes().vec();
  m.strides = t.is_non_overlapping_and_dense() ? t.strides().vec() : ContiguousStrides(m.sizes);
  m.dtype = t.scalar_type();
  if (m.dtype == at::kDouble) {
    TORCH_WARN_ONCE("the xla device computes float64 in float32; values keep the dtype float64");
  }
  return m;
}

void AddReturns(const torch::jit::Stack& results, NodeInfo* info) {
  for (const c10::IValue& v : results) {
    NodeInfo::Return r;
    r.first = static_cast<int32_t>(info->outputs.size());
    if (v.isTensor()) {
      const at::Tensor t = v.toTensor();
      if (t.defined()) {
        info->outputs.push_back(MetaOf(*info->op, t));
      } else {
        r.first = -1;
      }
    } else {
      const auto elements = v.toListRef();
      r.count = static_cast<int32_t>(elements.size());
      for (const c10::IValue& e : elements)
        info->outputs.push_back(MetaOf(*info->op, e.toTensor()));
    }
    info->returns.push_back(r);
  }
}

// What the stand-ins hold. Zeros make some operators fail (an integer division, an inverse), ones
// others (an index beyond its dimension).
enum class Fill { kZeros, kOnes, kIdentity };

// `half`: what stands in for f16, which many of the CPU's kernels do not have.
torch::jit::Stack Run(const OpInfo& op, c10::ArrayRef<c10::IValue> arguments,
                      c10::DeviceType device, Fill fill, at::ScalarType half = at::kHalf) {
  torch::jit::Stack stack =
      MapArguments(op, arguments, c10::Device(device), [&](const at::Tensor& t, size_t, int) {
        // The value of a CPU scalar is known.
        if (t.device().type() == at::kCPU && t.dim() == 0 && device == at::kCPU) return t;
        const at::ScalarType dtype = t.scalar_type() == at::kHalf ? half : t.scalar_type();
        at::Tensor r = at::empty_strided(t.sizes(), t.strides(),
                                         at::TensorOptions().dtype(dtype).device(device));
        if (device == at::kCPU) {
          const bool identity = fill == Fill::kIdentity && t.dim() >= 2;
          r.fill_(fill == Fill::kZeros || identity ? 0 : 1);
          if (identity) r.diagonal(0, -2, -1).fill_(1);
        }
        if (t.unsafeGetTensorImpl()->is_wrapped_number()) {
          r.unsafeGetTensorImpl()->set_wrapped_number(true);
        }
        return r;
      });
  // Nothing is drawn from the program's own generator.
  if (op.generator >= 0) stack[static_cast<size_t>(op.generator)] = c10::IValue();
  CallOnCpu(op, &stack);
  return stack;
}

torch::jit::Stack RunOnCpu(const OpInfo& op, c10::ArrayRef<c10::IValue> arguments) {
  // Not every random operator is tagged as one.
  struct KeepGenerator {
    at::Generator generator = at::detail::getDefaultCPUGenerator();
    at::Tensor state = generator.get_state();
    ~KeepGenerator() { generator.set_state(state); }
  } keep;
  bool half = false;
  for (const c10::IValue& v : arguments) {
    half =
        half || (v.isTensor() && v.toTensor().defined() && v.toTensor().scalar_type() == at::kHalf);
  }
  std::exception_ptr first;
  for (Fill fill : {Fill::kZeros, Fill::kOnes, Fill::kIdentity}) {
    try {
      return Run(op, arguments, at::kCPU, fill);
    } catch (...) {
      if (!first) first = std::current_exception();
    }
  }
  if (half) {
    try {
      torch::jit::Stack results = Run(op, arguments, at::kCPU, Fill::kOnes, at::kFloat);
      for (c10::IValue& v : results) {
        if (v.isTensor() && v.toTensor().defined() && v.toTensor().scalar_type() == at::kFloat) {
          v = v.toTensor().to(at::kHalf);
        }
      }
      return results;
    } catch (...) {
      // The first error says more.
    }
  }
  std::rethrow_exception(first);
}

// Convolutions are too expensive to be run for their shape, and have no Meta kernel in 1.13.
// Channels last, as on the CPU, when input or weight are.
bool InferConvolution(const OpInfo& op, c10::ArrayRef<c10::IValue> a, NodeInfo* info) {
  const bool backward = op.name == "aten::convolution_backward_overrideable";
  if (!backward && op.name != "aten::convolution_overrideable") return false;
  const at::Tensor input = a[backward ? 1 : 0].toTensor(), weight = a[backward ? 2 : 1].toTensor();
  auto strides_for = [&](const std::vector<int64_t>& sizes) {
    auto last = [&](at::MemoryFormat format, bool three) {
      if (input.suggest_memory_format() != format && weight.suggest_memory_format() != format) {
        return std::vector<int64_t>();
      }
      return three ? c10::get_channels_last_strides_3d(sizes)
                   : c10::get_channels_last_strides_2d(sizes);
    };
    std::vector<int64_t> strides;
    if (sizes.size() == 4) strides = last(at::MemoryFormat::ChannelsLast, false);
    if (sizes.size() == 5) strides = last(at::MemoryFormat::ChannelsLast3d, true);
    return strides.empty() ? ContiguousStrides(sizes) : strides;
  };
  auto add = [&](std::vector<int64_t> sizes) {
    TensorMeta m;
    m.strides = strides_for(sizes);
    m.sizes = std::move(sizes);
    m.dtype = input.scalar_type();
    info->returns.push_back({static_cast<int32_t>(info->outputs.size()), -1});
    info->outputs.push_back(std::move(m));
  };
  if (backward) {
    const auto mask = a[9].toBoolList();
    const bool transposed = a[6].toBool();
    const std::vector<int64_t> bias = {transposed ? weight.size(1) * a[8].toInt() : weight.size(0)};
    const std::vector<int64_t> sizes[3] = {input.sizes().vec(), weight.sizes().vec(), bias};
    for (int i = 0; i < 3; ++i) {
      if (mask[i]) {
        add(sizes[i]);
      } else {
        info->returns.push_back({-1, -1});
      }
    }
    return true;
  }
  const auto stride = a[3].toIntVector(), padding = a[4].toIntVector(),
             dilation = a[5].toIntVector(), output_padding = a[7].toIntVector();
  const bool transposed = a[6].toBool();
  const int64_t groups = a[8].toInt();
  std::vector<int64_t> sizes = {input.size(0),
                                transposed ? weight.size(1) * groups : weight.size(0)};
  for (int64_t d = 2; d < input.dim(); ++d) {
    const size_t k = static_cast<size_t>(d) - 2;
    const int64_t window = dilation[k] * (weight.size(d) - 1) + 1;
    sizes.push_back(transposed ? (input.size(d) - 1) * stride[k] - 2 * padding[k] + window +
                                     output_padding[k]
                               : (input.size(d) + 2 * padding[k] - window) / stride[k] + 1);
  }
  add(std::move(sizes));
  return true;
}

// Operators whose Meta kernels (some come with Python's torch) do not say what the CPU gives.
bool TrustMeta(const OpInfo& op) {
  static const auto* wrong = new std::set<std::string>{
      "aten::aminmax",            // keepdim of a 0-d tensor
      "aten::native_batch_norm",  // the CPU saves no statistics in inference
  };
  // What is made of operators that have Meta kernels has one too.
  return (op.handle.hasKernelForDispatchKey(c10::DispatchKey::Meta) ||
          op.handle.hasKernelForDispatchKey(c10::DispatchKey::CompositeImplicitAutograd)) &&
         wrong->count(op.name) == 0;
}

}  // namespace

void InferOutputs(const OpInfo& op, c10::ArrayRef<c10::IValue> arguments, NodeInfo* info) {
  CpuCallGuard guard;
  if (InferConvolution(op, arguments, info)) return;
  if (TrustMeta(op)) {
    try {
      AddReturns(Run(op, arguments, at::kMeta, Fill::kZeros), info);
      return;
    } catch (const c10::Error&) {
      // Either the program is wrong, and the CPU will say so too, or the Meta kernel cannot.
      info->outputs.clear();
      info->returns.clear();
    }
  }
  AddReturns(RunOnCpu(op, arguments), info);
}

}  // namespace glia::capture
