// Ahead-of-time compilation: a PyTorch model and example inputs become a TorchScript module with a
// NEFF inside, which saves, loads and runs like any other, and needs no compiler to run.
//
//   torch::jit::Module traced = glia::trace(model, {torch::rand({1, 784})});
//   traced.save("model.pt");
//
// A program that only loads and runs it links //runtime/torch:torch_neuron, and nothing else of
// glia.
//
// The names are those of torch_neuronx (api-reference-guide/inference of aws-neuron-sdk). All
// functions throw c10::Error. They may be called from several threads, on different models.
#ifndef GLIA_FRONTEND_TRACE_H_
#define GLIA_FRONTEND_TRACE_H_

#if __cplusplus < 201703L
#error "glia needs C++17: build with --cxxopt=-std=c++17"
#endif

#include <ATen/core/Tensor.h>
#include <ATen/core/ivalue.h>
#include <c10/util/Optional.h>
#include <torch/csrc/jit/api/module.h>

#include <functional>
#include <memory>
#include <set>
#include <string>
#include <type_traits>
#include <unordered_map>
#include <utility>
#include <vector>

namespace torch::nn {
class Module;
}

namespace glia {

// How operators are examined; see analyze.h.
struct AnalyzeOptions {
  std::vector<std::string> compiler_args;
  std::string compiler_workdir;
  std::set<std::string> additional_ignored_ops;  // "aten::…", not examined and not counted
  int max_workers = 4;                           // threads that compile
};

// Lets a model with operators that the device refuses be traced: these run on the CPU, between
// subgraphs of the device. Shapes stay fixed. Values and errors are those of
// torch_neuronx.PartitionerConfig; percentages and sizes count the operators that the model calls
// (see analyze.h), so one is never split.
struct PartitionerConfig {
  // Of the device's subgraphs, after those of the trace.
  struct TraceKwargs {
    std::vector<std::string> compiler_args;
    std::string compiler_workdir;
  };
  TraceKwargs trace_kwargs;
  double model_support_percentage_threshold = 0.5;  // 0 to 1: at least that part must be supported
  int64_t min_subgraph_size = -1;                   // operators in each subgraph; -1: any
  int64_t max_subgraph_count = -1;                  // of device and CPU together; -1: any
  std::set<std::string> ops_to_partition;           // "aten::…", to the CPU though supported
  AnalyzeOptions analyze_parameters;
};

struct TraceOptions {
  // Options of neuronx-cc, such as {"--auto-cast", "none"}; they come after those of
  // NEURON_CC_FLAGS.
  std::vector<std::string> compiler_args;
  // A directory for the HLO before and after each compiler pass; "" for none.
  std::string compiler_workdir;
  // Weights become constants of the NEFF. Otherwise they are inputs that the module keeps beside
  // it.
  bool inline_weights_to_neff = true;
  // Of the traced forward's arguments. Default: those of the TorchScript model, or input0, input1,
  // …
  std::vector<std::string> input_names;
  // Of the NEFF. Default: the model's.
  std::string name;
  // Absent: an operator that the device refuses is an error. Not for bucket_trace.
  c10::optional<PartitionerConfig> partitioner_config;
};

// The form in which models are called while they are traced: arguments and result as IValues,
// tensors possibly nested in tuples, lists and dicts.
using TraceFunction = std::function<c10::IValue(const std::vector<c10::IValue>&)>;

// What a trace cost and made; filled when a pointer is given.
struct TraceReport {
  double compile_ms = 0;     // lowering and compilation
  int64_t operators = 0;     // recorded
  int64_t instructions = 0;  // in the NEFF
  int64_t neff_bytes = 0;
};

// Errors name: an operator that has no lowering, that the compiler refuses, or whose result's shape
// depends on data, with its arguments, schema and source line; an output that does not depend on
// the inputs or weights on the device; options that do not exist. Tensors that the model holds on
// the CPU become constants or weights of the trace. Control flow and numbers that the model makes
// of tensors' values are fixed as the example inputs decide, with a warning; another warns of
// parameters and buffers that the model writes, since a traced module has no state. The model
// itself does not change and need not be on any device but the CPU.
torch::jit::Module trace(const torch::jit::Module& model,
                         const std::vector<c10::IValue>& example_inputs,
                         const TraceOptions& options = {}, TraceReport* report = nullptr);

// `fn` may capture CPU tensors.
torch::jit::Module trace_function(const TraceFunction& fn,
                                  const std::vector<c10::IValue>& example_inputs,
                                  const TraceOptions& options = {}, TraceReport* report = nullptr);

// `module`'s parameters and buffers are on the device while `fn`, which calls it, runs; they are
// put back before the function returns, so no other thread may use the module meanwhile.
torch::jit::Module trace_module(torch::nn::Module& module, const TraceFunction& fn,
                                const std::vector<c10::IValue>& example_inputs,
                                const TraceOptions& options = {}, TraceReport* report = nullptr);

// Replaces, in place, the weights of a module that was traced with inline_weights_to_neff = false:
// by those of a model like the traced one, or by parameters and buffers by name. Throws when one is
// missing or has another shape or dtype; warns when the module has no weights beside its NEFF. No
// call may be under way.
void replace_weights(const torch::jit::Module& traced,
                     const std::unordered_map<std::string, at::Tensor>& weights);
void replace_weights(const torch::jit::Module& traced, const torch::jit::Module& model);
void replace_weights(const torch::jit::Module& traced, const torch::nn::Module& model);

// A module that takes any batch size: dimension 0 of every input and output, which must be equal in
// all of them. It runs the traced batch size as often as needed and pads the last run. Other
// dimensions stay fixed. The result shares the NEFF with `traced`.
torch::jit::Module dynamic_batch(const torch::jit::Module& traced);

// How a bucketed module chooses: TorchScript that defines
//   def bucket(inputs: List[Tensor]) -> Tuple[List[Tensor], int]
// from the flattened inputs to those given to the bucket's graph (padded, say) and the bucket's
// index. Either the code itself, or a function that writes it from the shapes of each bucket's
// inputs.
class BucketFunction {
 public:
  using Shapes = std::vector<std::vector<std::vector<int64_t>>>;  // [bucket][input][dimension]
  explicit BucketFunction(std::string code) : code_([code](const Shapes&) { return code; }) {}
  explicit BucketFunction(std::function<std::string(const Shapes&)> code)
      : code_(std::move(code)) {}
  std::string code(const Shapes& shapes) const { return code_(shapes); }

 private:
  std::function<std::string(const Shapes&)> code_;
};
// Takes the first bucket whose every dimension is at least that of the inputs, and pads the inputs
// with `pad_value` at the end of each dimension. Outputs keep the bucket's shape.
BucketFunction pad_to_smallest_bucket(double pad_value = 0);

// One module for several input shapes: `example_inputs` of each bucket, traced with weights shared
// by all. The buckets' inputs must have one structure, and so must their outputs.
torch::jit::Module bucket_trace(const torch::jit::Module& model,
                                const std::vector<std::vector<c10::IValue>>& example_inputs,
                                const BucketFunction& function, const TraceOptions& options = {});
torch::jit::Module bucket_trace_function(
    const TraceFunction& fn, const std::vector<std::vector<c10::IValue>>& example_inputs,
    const BucketFunction& function, const TraceOptions& options = {});
torch::jit::Module bucket_trace_module(torch::nn::Module& module, const TraceFunction& fn,
                                       const std::vector<std::vector<c10::IValue>>& example_inputs,
                                       const BucketFunction& function,
                                       const TraceOptions& options = {});

namespace internal {

template <size_t>
using TensorArgument = const at::Tensor&;

template <typename F, size_t... I>
constexpr bool TakesTensors(std::index_sequence<I...>) {
  return std::is_invocable_v<F&, TensorArgument<I>...>;
}

template <typename F, size_t... I>
c10::IValue CallWithTensors(F& f, const std::vector<c10::IValue>& arguments,
                            std::index_sequence<I...>) {
  return c10::IValue(f(arguments[I].toTensor()...));
}

// A callable that takes one to eight tensors, or all arguments as IValues.
template <typename F, size_t N = 1>
TraceFunction Adapt(F f) {
  if constexpr (N > 8) {
    static_assert(std::is_invocable_r_v<c10::IValue, F&, const std::vector<c10::IValue>&>,
                  "glia::trace: the model must take one to eight tensors, or "
                  "const std::vector<c10::IValue>&");
    return TraceFunction(std::move(f));
  } else if constexpr (TakesTensors<F>(std::make_index_sequence<N>())) {
    return [f = std::move(f)](const std::vector<c10::IValue>& arguments) mutable {
      TORCH_CHECK(arguments.size() == N, "the model takes ", N, " tensors, ", arguments.size(),
                  " example inputs were given");
      return CallWithTensors(f, arguments, std::make_index_sequence<N>());
    };
  } else {
    return Adapt<F, N + 1>(std::move(f));
  }
}

// The forward of torch::nn::Linear and the like (ModuleHolder), and of std::shared_ptr<MyModule>.
template <typename T>
struct Forward {
  T model;
  template <typename... A>
  auto operator()(A&&... arguments) -> decltype(model->forward(std::forward<A>(arguments)...)) {
    return model->forward(std::forward<A>(arguments)...);
  }
};

template <typename T, typename = void>
struct IsModule : std::false_type {};
template <typename T>
struct IsModule<T, std::void_t<decltype(std::declval<T&>()->named_parameters())>> : std::true_type {
};

}  // namespace internal

// `model`: a torch::nn module (a ModuleHolder such as torch::nn::Linear, or a std::shared_ptr to a
// class derived from torch::nn::Module with a forward of tensors), or a function of tensors.
template <typename T,
          typename = std::enable_if_t<!std::is_convertible_v<const T&, const torch::jit::Module&>>>
torch::jit::Module trace(T model, const std::vector<c10::IValue>& example_inputs,
                         const TraceOptions& options = {}, TraceReport* report = nullptr) {
  if constexpr (internal::IsModule<T>::value) {
    return trace_module(*model, internal::Adapt(internal::Forward<T>{model}), example_inputs,
                        options, report);
  } else {
    return trace_function(internal::Adapt(std::move(model)), example_inputs, options, report);
  }
}

template <typename T,
          typename = std::enable_if_t<!std::is_convertible_v<const T&, const torch::jit::Module&>>>
torch::jit::Module bucket_trace(T model,
                                const std::vector<std::vector<c10::IValue>>& example_inputs,
                                const BucketFunction& function, const TraceOptions& options = {}) {
  if constexpr (internal::IsModule<T>::value) {
    return bucket_trace_module(*model, internal::Adapt(internal::Forward<T>{model}), example_inputs,
                               function, options);
  } else {
    return bucket_trace_function(internal::Adapt(std::move(model)), example_inputs, function,
                                 options);
  }
}

}  // namespace glia

#endif  // GLIA_FRONTEND_TRACE_H_
