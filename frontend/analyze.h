// Which operators a model uses, and which of them can run on the device.
//
//   glia::Analysis analysis = glia::analyze(model, {torch::rand({1, 784})});
//   std::cout << analysis.ToText();
//
// The names are those of torch_neuronx (api-torch-neuronx-analyze.rst of aws-neuron-sdk). The
// functions throw c10::Error, where the model itself fails on the example inputs.
#ifndef GLIA_FRONTEND_ANALYZE_H_
#define GLIA_FRONTEND_ANALYZE_H_

#include <map>
#include <set>
#include <string>
#include <vector>

#include "frontend/trace.h"

namespace glia {

struct UnsupportedOperator {
  std::string kind;        // "aten::fft_fft"
  std::string failure_at;  // "Lowering to HLO" or "neuronx-cc"
  std::string call;      // "model.py(12): forward\n…", innermost first; "" outside of TorchScript
  std::string op_graph;  // TorchScript's form of the call
  std::string reason;    // with the argument and its value
  int64_t count = 0;     // of equal calls
};

struct Analysis {
  // Operators that the model calls itself, without their overloads: how often.
  std::map<std::string, int64_t> supported_operators;
  std::vector<UnsupportedOperator> unsupported_operators;  // in the order of their first call

  // Supported calls over all calls, 0 to 1; 1 when there are none.
  double support() const;
  std::string ToText() const;
  // As torch_neuronx.analyze prints it: torch_neuronx_version, neuronx_cc_version,
  // support_percentage, supported_operators, unsupported_operators with kind, failureAt, call and
  // opGraph; reason and count are ours. Ends with a newline.
  std::string ToJson() const;
};

// An operator counts as supported when all that it is made of has a lowering and compiles, each by
// itself, with these arguments, shapes and types. The model runs once on the example inputs;
// nothing is traced.
Analysis analyze(const torch::jit::Module& model, const std::vector<c10::IValue>& example_inputs,
                 const AnalyzeOptions& options = {});
Analysis analyze_function(const TraceFunction& fn, const std::vector<c10::IValue>& example_inputs,
                          const AnalyzeOptions& options = {});
Analysis analyze_module(torch::nn::Module& module, const TraceFunction& fn,
                        const std::vector<c10::IValue>& example_inputs,
                        const AnalyzeOptions& options = {});

// `model` as for trace.
template <typename T,
          typename = std::enable_if_t<!std::is_convertible_v<const T&, const torch::jit::Module&>>>
Analysis analyze(T model, const std::vector<c10::IValue>& example_inputs,
                 const AnalyzeOptions& options = {}) {
  if constexpr (internal::IsModule<T>::value) {
    return analyze_module(*model, internal::Adapt(internal::Forward<T>{model}), example_inputs,
                          options);
  } else {
    return analyze_function(internal::Adapt(std::move(model)), example_inputs, options);
  }
}

}  // namespace glia

#endif  // GLIA_FRONTEND_ANALYZE_H_
