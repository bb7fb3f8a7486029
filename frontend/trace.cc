#include "frontend/trace.h"

#include <ATen/Functions.h>
#include <ATen/core/grad_mode.h>
#include <torch/csrc/jit/runtime/graph_executor.h>
#include <torch/nn/module.h>

#include <algorithm>
#include <chrono>
#include <cctype>
#include <cstring>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "compiler/compile.h"
#include "compiler/options.h"
#include "frontend/capture/capture.h"
#include "frontend/inputs.h"
#include "frontend/lowering/lowering.h"
#include "frontend/structure.h"
#include "frontend/trace_module.h"
#include "runtime/torch/neuron_model.h"
#include "serialization/neff/neff.h"

namespace glia {
namespace {

void Check(const absl::Status& status, const std::string& what) {
  TORCH_CHECK(status.ok(), what, ": ", std::string(status.message()));
}

// How a kind of model is put on the device and called, inside a trace scope.
struct Callee {
  std::string name;
  std::vector<std::string> argument_names;  // may be empty
  TraceFunction call;                       // moves what it needs to the device first
};

// Assigns each parameter and buffer its tensor again when it goes.
class RestoreTensors {
 public:
  explicit RestoreTensors(torch::nn::Module& module) {
    for (at::Tensor& t : module.parameters()) Save(t);
    for (at::Tensor& t : module.buffers()) Save(t);
  }
  ~RestoreTensors() {
    for (auto& [tensor, data] : saved_) tensor.set_data(data);
  }
  RestoreTensors(const RestoreTensors&) = delete;
  RestoreTensors& operator=(const RestoreTensors&) = delete;

 private:
  void Save(const at::Tensor& t) {
    if (t.defined()) saved_.emplace_back(t, t.variable_data());
  }
  std::vector<std::pair<at::Tensor, at::Tensor>> saved_;
};

Callee ForScript(const torch::jit::Module& model) {
  Callee callee;
  callee.name = model.type()->name() ? model.type()->name()->name() : "module";
  auto clone = std::make_shared<torch::jit::Module>(model.deepcopy());
  const auto& arguments = clone->get_method("forward").function().getSchema().arguments();
  for (size_t i = 1; i < arguments.size(); ++i) callee.argument_names.push_back(arguments[i].name());
  callee.call = [clone](const std::vector<c10::IValue>& inputs) {
    clone->to(capture::XlaDevice());
    // Optimised executors specialise on what they saw before; the recording wants the plain program.
    torch::jit::GraphOptimizerEnabledGuard plain(false);
    return clone->forward(inputs);
  };
  return callee;
}

Callee ForModule(torch::nn::Module& module, const TraceFunction& fn) {
  Callee callee;
  callee.name = module.name();
  callee.call = [&module, &fn](const std::vector<c10::IValue>& inputs) {
    RestoreTensors restore(module);
    module.to(capture::XlaDevice());
    return fn(inputs);
  };
  return callee;
}

// What a trace records.
struct Recorded {
  std::shared_ptr<capture::Graph> graph;
  std::vector<Argument> arguments;
  Structure result;
  std::vector<neuron::TensorSpec> inputs;
  std::vector<neuron::TensorSpec> outputs;
  std::vector<at::Tensor> weights;  // the graph's inputs after `inputs`, as the device holds them
};

neuron::TensorSpec SpecOf(const at::Tensor& tensor, std::string name) {
  return {std::move(name), tensor.scalar_type(), tensor.sizes().vec()};
}

std::string ArgumentName(const Callee& callee, const TraceOptions& options, size_t i) {
  std::string name;
  if (i < options.input_names.size()) {
    name = options.input_names[i];
    const bool valid =
        !name.empty() && !std::isdigit(static_cast<unsigned char>(name[0])) &&
        std::all_of(name.begin(), name.end(),
                    [](unsigned char c) { return std::isalnum(c) != 0 || c == '_'; });
    TORCH_CHECK(valid, "trace: '", name, "' of input_names is no identifier");
    return name;
  }
  return i < callee.argument_names.size() ? callee.argument_names[i] : absl::StrCat("input", i);
}

Recorded Record(const Callee& callee, const std::vector<c10::IValue>& examples,
                const TraceOptions& options) {
  TORCH_CHECK(options.input_names.empty() || options.input_names.size() == examples.size(),
              "trace: ", options.input_names.size(), " input_names for ", examples.size(),
              " example inputs");
  Recorded recorded;
  at::NoGradGuard no_grad;
  capture::TraceScope scope([](const capture::Node& node) { return lowering::Supported(node); });
  std::vector<c10::IValue> inputs;
  for (size_t i = 0; i < examples.size(); ++i) {
    Argument argument;
    argument.name = ArgumentName(callee, options, i);
    std::vector<at::Tensor> leaves;
    argument.structure = Flatten(examples[i], argument.name, /*constants=*/false, &leaves);
    const std::vector<std::string> names = LeafNames(argument.structure, argument.name);
    for (size_t j = 0; j < leaves.size(); ++j) {
      TORCH_CHECK(leaves[j].device().is_cpu() && leaves[j].layout() == at::kStrided,
                  "trace: example input ", names[j], " is on device ", leaves[j].device().str(),
                  "; example inputs are dense CPU tensors");
      recorded.inputs.push_back(SpecOf(leaves[j], names[j]));
      leaves[j] = scope.AddInput(leaves[j].detach());
    }
    size_t next = 0;
    inputs.push_back(Unflatten(argument.structure, leaves, &next));
    recorded.arguments.push_back(std::move(argument));
  }
  std::vector<at::Tensor> outputs;
  recorded.result = Flatten(callee.call(inputs), "the result", /*constants=*/true, &outputs);
  for (size_t i = 0; i < outputs.size(); ++i) {
    recorded.outputs.push_back(SpecOf(outputs[i], absl::StrCat("output", i)));
    // A result that the model computed on the CPU is a constant of the trace.
    if (outputs[i].device().is_cpu()) outputs[i] = outputs[i].to(capture::XlaDevice());
  }
  recorded.graph = scope.Finish(outputs);
  for (size_t i = recorded.inputs.size(); i < recorded.graph->inputs.size(); ++i) {
    recorded.weights.push_back(HostInput(*recorded.graph->inputs[i]));
  }
  return recorded;
}

compiler::Options ParseOptions(const TraceOptions& options) {
  auto parsed = compiler::Options::FromEnvironment();
  Check(parsed.status(), "NEURON_CC_FLAGS");
  Check(parsed->Parse(options.compiler_args), "compiler_args");
  if (!options.compiler_workdir.empty()) parsed->dump_dir = options.compiler_workdir;
  return *std::move(parsed);
}

neuron::Bucket Compile(const Recorded& recorded, const std::string& name, bool inline_weights,
                       const compiler::Options& options, TraceReport* report) {
  const auto begin = std::chrono::steady_clock::now();
  lowering::LowerOptions lower_options;
  lower_options.module_name = name;
  auto module = lowering::Lower(*recorded.graph, lower_options);
  Check(module.status(), "trace");
  if (inline_weights) {
    InlineParameters(module->get(), static_cast<int64_t>(recorded.inputs.size()),
                     recorded.weights);
  }
  auto result = compiler::Compile(*std::move(module), options);
  Check(result.status(), "trace: compiling");
  neuron::Bucket bucket;
  Check(neff::WriteTo(result->neff,
                      [&bucket](size_t size) {
                        bucket.neff = at::empty({static_cast<int64_t>(size)}, at::kByte);
                        return static_cast<char*>(bucket.neff.data_ptr());
                      }),
        "trace: writing the NEFF");
  bucket.inputs = recorded.inputs;
  bucket.outputs = recorded.outputs;
  if (report != nullptr) {
    report->compile_ms = std::chrono::duration<double, std::milli>(
                             std::chrono::steady_clock::now() - begin)
                             .count();
    for (const auto& node : recorded.graph->nodes) {
      report->operators += node->kind == capture::NodeKind::kOp ? 1 : 0;
    }
    for (const isa::Segment& segment : result->neff.program.segments) {
      for (const auto& stream : segment.streams) {
        report->instructions += static_cast<int64_t>(stream.size());
      }
    }
    report->neff_bytes = bucket.neff.numel();
  }
  return bucket;
}

// Index of an equal tensor in `weights`, which gets it if there is none.
int64_t Share(const at::Tensor& weight, std::vector<at::Tensor>* weights) {
  for (size_t i = 0; i < weights->size(); ++i) {
    const at::Tensor& other = (*weights)[i];
    if (other.scalar_type() == weight.scalar_type() && other.sizes() == weight.sizes() &&
        (weight.nbytes() == 0 ||
         std::memcmp(other.data_ptr(), weight.data_ptr(), weight.nbytes()) == 0)) {
      return static_cast<int64_t>(i);
    }
  }
  weights->push_back(weight);
  return static_cast<int64_t>(weights->size()) - 1;
}

void ShareWeights(const Recorded& recorded, neuron::ModelData* data, neuron::Bucket* bucket) {
  for (const at::Tensor& weight : recorded.weights) {
    bucket->weights.push_back(Share(weight, &data->weights));
  }
}

std::string NameOf(const Callee& callee, const TraceOptions& options) {
  return options.name.empty() ? callee.name : options.name;
}

torch::jit::Module Trace(const Callee& callee, const std::vector<c10::IValue>& examples,
                         const TraceOptions& options, TraceReport* report) {
  if (report != nullptr) *report = TraceReport();
  const compiler::Options compiler_options = ParseOptions(options);
  const Recorded recorded = Record(callee, examples, options);
  neuron::ModelData data;
  data.name = NameOf(callee, options);
  neuron::Bucket bucket =
      Compile(recorded, data.name, options.inline_weights_to_neff, compiler_options, report);
  if (!options.inline_weights_to_neff) ShareWeights(recorded, &data, &bucket);
  data.buckets.push_back(std::move(bucket));
  return WrapModel(c10::make_intrusive<neuron::Model>(std::move(data)), recorded.arguments,
                   recorded.result, "");
}

torch::jit::Module BucketTrace(const Callee& callee,
                               const std::vector<std::vector<c10::IValue>>& examples,
                               const BucketFunction& function, const TraceOptions& options) {
  TORCH_CHECK(!examples.empty(), "bucket_trace: no buckets");
  const compiler::Options compiler_options = ParseOptions(options);
  neuron::ModelData data;
  data.name = NameOf(callee, options);
  std::vector<Argument> arguments;
  Structure result;
  std::vector<std::vector<std::vector<int64_t>>> shapes;
  for (size_t i = 0; i < examples.size(); ++i) {
    Recorded recorded = Record(callee, examples[i], options);
    if (i == 0) {
      arguments = recorded.arguments;
      result = recorded.result;
    }
    bool same = arguments.size() == recorded.arguments.size() &&
                TypeOf(result) == TypeOf(recorded.result);
    for (size_t j = 0; same && j < arguments.size(); ++j) {
      same = LeafNames(arguments[j].structure, "x") ==
             LeafNames(recorded.arguments[j].structure, "x");
    }
    TORCH_CHECK(same, "bucket_trace: bucket ", i,
                " takes or returns other tuples, lists or dicts than bucket 0");
    neuron::Bucket bucket =
        Compile(recorded, absl::StrCat(data.name, ".", i), false, compiler_options, nullptr);
    ShareWeights(recorded, &data, &bucket);
    shapes.emplace_back();
    for (const neuron::TensorSpec& spec : bucket.inputs) shapes.back().push_back(spec.sizes);
    data.buckets.push_back(std::move(bucket));
  }
  return WrapModel(c10::make_intrusive<neuron::Model>(std::move(data)), arguments, result,
                   function.code(shapes));
}

std::string ListOf(const std::vector<int64_t>& sizes) {
  return sizes.empty() ? "torch.jit.annotate(List[int], [])"
                       : absl::StrCat("[", absl::StrJoin(sizes, ", "), "]");
}

}  // namespace

torch::jit::Module trace(const torch::jit::Module& model,
                         const std::vector<c10::IValue>& example_inputs,
                         const TraceOptions& options, TraceReport* report) {
  return Trace(ForScript(model), example_inputs, options, report);
}

torch::jit::Module trace_function(const TraceFunction& fn,
                                  const std::vector<c10::IValue>& example_inputs,
                                  const TraceOptions& options, TraceReport* report) {
  return Trace({"function", {}, fn}, example_inputs, options, report);
}

torch::jit::Module trace_module(torch::nn::Module& module, const TraceFunction& fn,
                                const std::vector<c10::IValue>& example_inputs,
                                const TraceOptions& options, TraceReport* report) {
  return Trace(ForModule(module, fn), example_inputs, options, report);
}

torch::jit::Module dynamic_batch(const torch::jit::Module& traced) {
  return ReplaceModel(traced, UnwrapModel(traced)->WithDynamicBatch());
}

BucketFunction pad_to_smallest_bucket(double pad_value) {
  return BucketFunction([pad_value](const std::vector<std::vector<std::vector<int64_t>>>& shapes) {
    std::vector<std::string> buckets;
    for (const auto& bucket : shapes) {
      std::vector<std::string> inputs;
      for (const auto& sizes : bucket) inputs.push_back(ListOf(sizes));
      buckets.push_back(absl::StrCat("[", absl::StrJoin(inputs, ", "), "]"));
    }
    return absl::StrCat(
        "def bucket(inputs: List[Tensor]) -> Tuple[List[Tensor], int]:\n"
        "    shapes: List[List[List[int]]] = [", absl::StrJoin(buckets, ", "), "]\n"
        "    given: List[List[int]] = []\n"
        "    for t in inputs:\n"
        "        given.append(t.size())\n"
        "    chosen = -1\n"
        "    for i in range(len(shapes)):\n"
        "        fits = chosen < 0\n"
        "        for j in range(len(inputs)):\n"
        "            if len(given[j]) != len(shapes[i][j]):\n"
        "                fits = False\n"
        "            else:\n"
        "                for d in range(len(given[j])):\n"
        "                    if given[j][d] > shapes[i][j][d]:\n"
        "                        fits = False\n"
        "        if fits:\n"
        "            chosen = i\n"
        "    assert chosen >= 0, \"no bucket is large enough for inputs of shapes \" + str(given) + "
        "\"; the buckets are \" + str(shapes)\n"
        "    padded: List[Tensor] = []\n"
        "    for j in range(len(inputs)):\n"
        "        pad: List[int] = []\n"
        "        rank = len(given[j])\n"
        "        for k in range(rank):\n"
        "            d = rank - 1 - k\n"
        "            pad.append(0)\n"
        "            pad.append(shapes[chosen][j][d] - given[j][d])\n"
        "        padded.append(torch.constant_pad_nd(inputs[j], pad, ", pad_value, "))\n"
        "    return (padded, chosen)\n");
  });
}

torch::jit::Module bucket_trace(const torch::jit::Module& model,
                                const std::vector<std::vector<c10::IValue>>& example_inputs,
                                const BucketFunction& function, const TraceOptions& options) {
  return BucketTrace(ForScript(model), example_inputs, function, options);
}

torch::jit::Module bucket_trace_function(
    const TraceFunction& fn, const std::vector<std::vector<c10::IValue>>& example_inputs,
    const BucketFunction& function, const TraceOptions& options) {
  return BucketTrace({"function", {}, fn}, example_inputs, function, options);
}

torch::jit::Module bucket_trace_module(
    torch::nn::Module& module, const TraceFunction& fn,
    const std::vector<std::vector<c10::IValue>>& example_inputs, const BucketFunction& function,
    const TraceOptions& options) {
  return BucketTrace(ForModule(module, fn), example_inputs, function, options);
}

}  // namespace glia
