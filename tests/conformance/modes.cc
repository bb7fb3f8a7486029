#include "tests/conformance/modes.h"

#include <ATen/Context.h>
#include <ATen/core/grad_mode.h>
#include <ATen/ops/zeros_like.h>
#include <c10/util/Exception.h>

#include <cstdlib>
#include <cstring>
#include <exception>
#include <sstream>

#include "absl/strings/str_cat.h"
#include "absl/types/optional.h"
#include "frontend/lazy.h"
#include "frontend/lowering/testing/compare.h"
#include "frontend/trace.h"
#include "tests/models/rounding.h"

namespace glia::conformance {
namespace {

thread_local bool lazy = false;

Tensors Copies(const Tensors& tensors) {
  Tensors copies;
  for (const at::Tensor& t : tensors) copies.push_back(t.clone());
  return copies;
}

std::string MessageOf(const std::exception& error) {
  const auto* torch = dynamic_cast<const c10::Error*>(&error);
  return torch == nullptr ? error.what() : torch->what_without_backtrace();
}

absl::Status CompareAll(const Case& c, const Tensors& got, const Tensors& want) {
  if (got.size() != want.size()) {
    return absl::InternalError(absl::StrCat(got.size(), " results, eager has ", want.size()));
  }
  const size_t compared = c.compared == 0 ? want.size() : c.compared;
  for (size_t i = 0; i < compared; ++i) {
    const absl::Status same = lowering::testing::Compare(got[i], want[i], c.tolerance);
    if (!same.ok()) return absl::InternalError(absl::StrCat("result ", i, ": ", same.message()));
  }
  return absl::OkStatus();
}

// Strides of dimensions that have any meaning.
absl::Status CompareStrides(const Tensors& got, const Tensors& want) {
  for (size_t i = 0; i < want.size() && i < got.size(); ++i) {
    if (want[i].numel() == 0 || got[i].sizes() != want[i].sizes()) continue;
    for (int64_t d = 0; d < want[i].dim(); ++d) {
      if (want[i].size(d) == 1 || got[i].stride(d) == want[i].stride(d)) continue;
      std::ostringstream os;
      os << "result " << i << " of sizes " << want[i].sizes() << " has strides " << got[i].strides()
         << ", eager's are " << want[i].strides();
      return absl::InternalError(os.str());
    }
  }
  return absl::OkStatus();
}

absl::Status RunLazy(const Case& c, const Tensors& want) {
  Tensors inputs;
  for (const at::Tensor& t : c.inputs) inputs.push_back(t.to(xla_device()));
  const int64_t before = metric("capture.fallbacks");
  lazy = true;
  const Tensors results = c.run(inputs);
  lazy = false;
  mark_step();
  Tensors host;
  for (const at::Tensor& t : results) host.push_back(t.cpu());
  absl::Status status = CompareAll(c, host, want);
  if (status.ok() && !c.any_strides) status = CompareStrides(results, want);
  const int64_t fallbacks = metric("capture.fallbacks") - before;
  if (status.ok() && fallbacks != c.fallbacks) {
    status = absl::InternalError(absl::StrCat(fallbacks, " operators ran on the CPU"));
  }
  return status;
}

absl::Status RunTraced(const Case& c, const Tensors& want) {
  const TraceFunction function = [&](const std::vector<c10::IValue>& arguments) -> c10::IValue {
    Tensors inputs;
    for (const c10::IValue& v : arguments) inputs.push_back(v.toTensor());
    return c10::List<at::Tensor>(c.run(inputs));
  };
  std::vector<c10::IValue> examples;
  const bool by_example = c.untraceable == kByExample;
  for (const at::Tensor& t : c.inputs)
    examples.emplace_back(by_example ? t.clone() : at::zeros_like(t));
  torch::jit::Module traced;
  try {
    traced = trace_function(function, examples);
  } catch (const std::exception& error) {
    const std::string message = MessageOf(error);
    if (!c.untraceable.empty() && message.find(c.untraceable) != std::string::npos) {
      return absl::OkStatus();
    }
    return absl::InternalError(message);
  }
  if (!c.untraceable.empty() && !by_example) {
    return absl::InternalError(absl::StrCat("traces, where an error should name ", c.untraceable));
  }
  std::vector<c10::IValue> arguments;
  for (const at::Tensor& t : Copies(c.inputs)) arguments.emplace_back(t);
  return CompareAll(c, traced.forward(arguments).toTensorVector(), want);
}

template <typename Function>
absl::Status InMode(const char* mode, const Function& run) {
  absl::Status status;
  at::manual_seed(20240501);  // random operators draw the same in every mode
  try {
    status = run();
  } catch (const std::exception& error) {
    lazy = false;
    status = absl::InternalError(MessageOf(error));
  }
  if (status.ok()) return status;
  return absl::Status(status.code(), absl::StrCat(mode, ": ", status.message()));
}

// With --auto-cast matmult, eager must round as the device does.
bool RoundsProducts() {
  const char* flags = std::getenv("NEURON_CC_FLAGS");
  return flags != nullptr && std::strstr(flags, "matmult") != nullptr;
}

}  // namespace

void Step() {
  if (lazy) mark_step();
}

absl::Status Run(const Case& c) {
  const at::NoGradGuard no_grad;
  Tensors want;
  absl::Status status = InMode("eager", [&] {
    absl::optional<models::RoundMatmulOperands> rounding;
    if (RoundsProducts()) rounding.emplace(models::BatchNorms::kApart);
    want = c.run(Copies(c.inputs));
    return absl::OkStatus();
  });
  if (status.ok()) status = InMode("lazy", [&] { return RunLazy(c, want); });
  if (status.ok()) status = InMode("traced", [&] { return RunTraced(c, want); });
  return status;
}

}  // namespace glia::conformance
