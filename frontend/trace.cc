#include "frontend/trace.h"

#include <ATen/Functions.h>
#include <torch/nn/module.h>

#include <algorithm>
#include <chrono>
#include <cstring>
#include <unordered_set>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "compiler/compile.h"
#include "compiler/options.h"
#include "frontend/examine.h"
#include "frontend/inputs.h"
#include "frontend/lowering/lowering.h"
#include "frontend/partition.h"
#include "frontend/partition_module.h"
#include "frontend/recording.h"
#include "frontend/structure.h"
#include "frontend/support.h"
#include "frontend/trace_module.h"
#include "runtime/torch/neuron_model.h"
#include "serialization/neff/neff.h"

namespace glia {
namespace {

void Check(const absl::Status& status, const std::string& what) {
  TORCH_CHECK(status.ok(), what, ": ", std::string(status.message()));
}

neuron::Bucket Compile(const Recorded& recorded, const std::string& name, bool inline_weights,
                       const compiler::Options& options, TraceReport* report) {
  const auto begin = std::chrono::steady_clock::now();
  lowering::LowerOptions lower_options;
  lower_options.module_name = name;
  auto module = lowering::Lower(*recorded.graph, lower_options);
  if (!module.ok()) ThrowRefused(*recorded.graph, options, module.status());
  if (inline_weights) {
    InlineParameters(module->get(), static_cast<int64_t>(recorded.inputs.size()), recorded.weights);
  }
  auto result = compiler::Compile(*std::move(module), options);
  if (!result.ok()) ThrowRefused(*recorded.graph, options, result.status());
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
    report->compile_ms +=
        std::chrono::duration<double, std::milli>(std::chrono::steady_clock::now() - begin).count();
    for (const auto& node : recorded.graph->nodes) {
      report->operators += node->kind == capture::NodeKind::kOp ? 1 : 0;
    }
    for (const isa::Segment& segment : result->neff.program.segments) {
      for (const auto& stream : segment.streams) {
        report->instructions += static_cast<int64_t>(stream.size());
      }
    }
    report->neff_bytes += bucket.neff.numel();
  }
  return bucket;
}

// Index of an equal tensor of that name among the weights, which get it if there is none.
int64_t Share(const at::Tensor& weight, const std::string& name, neuron::ModelData* data) {
  for (size_t i = 0; i < data->weights.size(); ++i) {
    const at::Tensor& other = data->weights[i];
    if (data->weight_names[i] == name && other.scalar_type() == weight.scalar_type() &&
        other.sizes() == weight.sizes() &&
        (weight.nbytes() == 0 ||
         std::memcmp(other.data_ptr(), weight.data_ptr(), weight.nbytes()) == 0)) {
      return static_cast<int64_t>(i);
    }
  }
  data->weights.push_back(weight);
  data->weight_names.push_back(name);
  return static_cast<int64_t>(data->weights.size()) - 1;
}

void ShareWeights(const Recorded& recorded, neuron::ModelData* data, neuron::Bucket* bucket) {
  for (size_t i = 0; i < recorded.weights.size(); ++i) {
    const std::string name = i < recorded.weight_names.size() ? recorded.weight_names[i] : "";
    bucket->weights.push_back(Share(recorded.weights[i], name, data));
  }
}

capture::TracePolicy TracePolicy() {
  capture::TracePolicy policy;
  policy.check = [](const capture::Node& node) { return lowering::CheckSupport(node); };
  return policy;
}

std::string NameOf(const Callee& callee, const TraceOptions& options) {
  return options.name.empty() ? callee.name : options.name;
}

// The operators of a subgraph, counted as the model calls them.
int64_t SizeOf(const Subgraph& subgraph, const Recorded& recorded) {
  std::unordered_set<const capture::Node*> nodes;
  for (const capture::NodePtr& n : subgraph.nodes) nodes.insert(n.get());
  return std::count_if(recorded.calls.begin(), recorded.calls.end(), [&](const auto& call) {
    return std::any_of(call.nodes.begin(), call.nodes.end(),
                       [&](const capture::NodePtr& n) { return nodes.count(n.get()) != 0; });
  });
}

// Which nodes go to the CPU, after the checks of what the whole model supports.
std::unordered_set<const capture::Node*> NodesOfCpu(const Recorded& recorded,
                                                    const PartitionerConfig& config,
                                                    SupportChecker* checker) {
  const Examined examined = Examine(recorded, config.analyze_parameters, checker);
  const Analysis analysis = Summarise(recorded, examined);
  TORCH_CHECK(analysis.support() >= config.model_support_percentage_threshold,
              "trace: the device supports ", analysis.support() * 100,
              "% of the model's operators, less than model_support_percentage_threshold (",
              config.model_support_percentage_threshold * 100, "%)\n", analysis.ToText());
  std::unordered_set<const capture::Node*> cpu;
  for (size_t i = 0; i < recorded.calls.size(); ++i) {
    const capture::TracedCall& call = recorded.calls[i];
    if (examined.calls[i].ok() && config.ops_to_partition.count(call.op) == 0) continue;
    for (const capture::NodePtr& node : call.nodes) cpu.insert(node.get());
  }
  return cpu;
}

torch::jit::Module PartitionedTrace(const Callee& callee, const std::vector<c10::IValue>& examples,
                                    const TraceOptions& options, TraceReport* report) {
  const PartitionerConfig& config = *options.partitioner_config;
  TORCH_CHECK(config.model_support_percentage_threshold >= 0 &&
                  config.model_support_percentage_threshold <= 1,
              "model_support_percentage_threshold must lie between 0 and 1, it is ",
              config.model_support_percentage_threshold);
  for (const auto& [name, value] :
       {std::make_pair("min_subgraph_size", config.min_subgraph_size),
        std::make_pair("max_subgraph_count", config.max_subgraph_count)}) {
    TORCH_CHECK(value == -1 || value >= 1, name, " must be at least 1, or -1; it is ", value);
  }
  std::vector<std::string> arguments = options.compiler_args;
  const auto& kwargs = config.trace_kwargs;
  arguments.insert(arguments.end(), kwargs.compiler_args.begin(), kwargs.compiler_args.end());
  const compiler::Options compiler_options =
      ParseCompilerOptions(arguments, kwargs.compiler_workdir.empty() ? options.compiler_workdir
                                                                      : kwargs.compiler_workdir);
  const Recorded recorded = Record(callee, examples, options.input_names, capture::TracePolicy());
  compiler::Options examine_options = compiler_options;
  examine_options.dump_dir = config.analyze_parameters.compiler_workdir;
  SupportChecker checker(examine_options);
  const auto cpu = NodesOfCpu(recorded, config, &checker);
  const auto& ignored = config.analyze_parameters.additional_ignored_ops;
  const std::vector<Subgraph> subgraphs =
      Partition(*recorded.graph, [&](const capture::Node& node) {
        if (cpu.count(&node) != 0) return true;
        if (node.kind == capture::NodeKind::kOp && ignored.count(node.schema().name()) != 0)
          return false;
        return !checker.Check(node).ok();
      });
  const int64_t count = static_cast<int64_t>(subgraphs.size());
  TORCH_CHECK(config.max_subgraph_count < 0 || count <= config.max_subgraph_count,
              "The partitioner has found ", count,
              " subgraphs which exceeds the specified max subgraph count of ",
              config.max_subgraph_count, ".");
  const std::string name = NameOf(callee, options);
  std::vector<Part> parts;
  for (size_t p = 0; p < subgraphs.size(); ++p) {
    const Subgraph& subgraph = subgraphs[p];
    const int64_t size = SizeOf(subgraph, recorded);
    TORCH_CHECK(config.min_subgraph_size < 0 || size >= config.min_subgraph_size, "subgraph ", p,
                " of the partitioned model, on the ", subgraph.on_device ? "device" : "CPU",
                ", has ", size, " operators, fewer than the specified min subgraph size of ",
                config.min_subgraph_size);
    const std::string part = absl::StrCat(subgraph.on_device ? "neuron_" : "cpu_", p);
    if (!subgraph.on_device) {
      parts.push_back({part, CpuModule(subgraph, part)});
      continue;
    }
    Recorded own;
    own.graph = GraphOf(subgraph);
    const auto spec = [](const capture::Value& v, const std::string& as) {
      return neuron::TensorSpec{as, v.meta().dtype, v.meta().sizes};
    };
    for (const auto& v : subgraph.inputs) {
      own.inputs.push_back(spec(v, absl::StrCat("input", own.inputs.size())));
    }
    for (const auto& v : subgraph.outputs) {
      own.outputs.push_back(spec(v, absl::StrCat("output", own.outputs.size())));
    }
    for (size_t i = own.inputs.size(); i < own.graph->inputs.size(); ++i) {
      own.weights.push_back(HostInput(*own.graph->inputs[i]));
    }
    neuron::ModelData data;
    data.name = absl::StrCat(name, ".", p);
    neuron::Bucket bucket =
        Compile(own, data.name, options.inline_weights_to_neff, compiler_options, report);
    if (!options.inline_weights_to_neff) ShareWeights(own, &data, &bucket);
    data.buckets.push_back(std::move(bucket));
    parts.push_back(
        {part, DeviceModule(c10::make_intrusive<neuron::Model>(std::move(data)), part)});
  }
  return JoinParts(recorded, subgraphs, parts);
}

torch::jit::Module Trace(const Callee& callee, const std::vector<c10::IValue>& examples,
                         const TraceOptions& options, TraceReport* report) {
  if (report != nullptr) *report = TraceReport();
  if (options.partitioner_config) return PartitionedTrace(callee, examples, options, report);
  const compiler::Options compiler_options =
      ParseCompilerOptions(options.compiler_args, options.compiler_workdir);
  const Recorded recorded = Record(callee, examples, options.input_names, TracePolicy());
  neuron::ModelData data;
  data.name = NameOf(callee, options);
  neuron::Bucket bucket =
      Compile(recorded, data.name, options.inline_weights_to_neff, compiler_options, report);
  if (!options.inline_weights_to_neff) ShareWeights(recorded, &data, &bucket);
  data.buckets.push_back(std::move(bucket));
  return WrapModel(c10::make_intrusive<neuron::Model>(std::move(data)), recorded.arguments,
                   recorded.result, recorded.has_seed, "");
}

torch::jit::Module BucketTrace(const Callee& callee,
                               const std::vector<std::vector<c10::IValue>>& examples,
                               const BucketFunction& function, const TraceOptions& options) {
  TORCH_CHECK(!examples.empty(), "bucket_trace: no buckets");
  TORCH_CHECK(!options.partitioner_config, "bucket_trace does not partition models");
  const compiler::Options compiler_options =
      ParseCompilerOptions(options.compiler_args, options.compiler_workdir);
  neuron::ModelData data;
  data.name = NameOf(callee, options);
  std::vector<Argument> arguments;
  Structure result;
  bool has_seed = false;
  std::vector<std::vector<std::vector<int64_t>>> shapes;
  for (size_t i = 0; i < examples.size(); ++i) {
    Recorded recorded = Record(callee, examples[i], options.input_names, TracePolicy());
    if (i == 0) {
      arguments = recorded.arguments;
      result = recorded.result;
      has_seed = recorded.has_seed;
    }
    bool same =
        arguments.size() == recorded.arguments.size() && TypeOf(result) == TypeOf(recorded.result);
    for (size_t j = 0; same && j < arguments.size(); ++j) {
      same =
          LeafNames(arguments[j].structure, "x") == LeafNames(recorded.arguments[j].structure, "x");
    }
    TORCH_CHECK(same, "bucket_trace: bucket ", i,
                " takes or returns other tuples, lists or dicts than bucket 0");
    TORCH_CHECK(has_seed == recorded.has_seed, "bucket_trace: only one of bucket ", i,
                " and bucket 0 draws random numbers");
    neuron::Bucket bucket =
        Compile(recorded, absl::StrCat(data.name, ".", i), false, compiler_options, nullptr);
    ShareWeights(recorded, &data, &bucket);
    shapes.emplace_back();
    for (const neuron::TensorSpec& spec : bucket.inputs) {
      if (spec.name != neuron::kSeedName) shapes.back().push_back(spec.sizes);
    }
    data.buckets.push_back(std::move(bucket));
  }
  return WrapModel(c10::make_intrusive<neuron::Model>(std::move(data)), arguments, result, has_seed,
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
  return Trace(ForFunction(fn), example_inputs, options, report);
}

torch::jit::Module trace_module(torch::nn::Module& module, const TraceFunction& fn,
                                const std::vector<c10::IValue>& example_inputs,
                                const TraceOptions& options, TraceReport* report) {
  return Trace(ForModule(module, fn), example_inputs, options, report);
}

torch::jit::Module dynamic_batch(const torch::jit::Module& traced) {
  return ReplaceModel(traced, UnwrapModel(traced)->WithDynamicBatch());
}

void replace_weights(const torch::jit::Module& traced,
                     const std::unordered_map<std::string, at::Tensor>& weights) {
  const c10::intrusive_ptr<neuron::Model> model = UnwrapModel(traced);
  const std::vector<std::string>& names = model->data().weight_names;
  if (std::all_of(names.begin(), names.end(), [](const std::string& n) { return n.empty(); })) {
    TORCH_WARN(
        "replace_weights: the model has no weights beside its NEFF; trace it with "
        "inline_weights_to_neff = false");
    return;
  }
  model->ReplaceWeights(weights);
}

void replace_weights(const torch::jit::Module& traced, const torch::jit::Module& model) {
  std::unordered_map<std::string, at::Tensor> weights;
  for (const auto& item : model.named_parameters()) weights.emplace(item.name, item.value);
  for (const auto& item : model.named_buffers()) weights.emplace(item.name, item.value);
  replace_weights(traced, weights);
}

void replace_weights(const torch::jit::Module& traced, const torch::nn::Module& model) {
  std::unordered_map<std::string, at::Tensor> weights;
  for (const auto& item : model.named_parameters()) weights.emplace(item.key(), item.value());
  for (const auto& item : model.named_buffers()) weights.emplace(item.key(), item.value());
  replace_weights(traced, weights);
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
        "    shapes: List[List[List[int]]] = [",
        absl::StrJoin(buckets, ", "),
        "]\n"
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
        "    assert chosen >= 0, \"no bucket is large enough for inputs of shapes \" + str(given) "
        "+ "
        "\"; the buckets are \" + str(shapes)\n"
        "    padded: List[Tensor] = []\n"
        "    for j in range(len(inputs)):\n"
        "        pad: List[int] = []\n"
        "        rank = len(given[j])\n"
        "        for k in range(rank):\n"
        "            d = rank - 1 - k\n"
        "            pad.append(0)\n"
        "            pad.append(shapes[chosen][j][d] - given[j][d])\n"
        "        padded.append(torch.constant_pad_nd(inputs[j], pad, ",
        pad_value,
        "))\n"
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
  return BucketTrace(ForFunction(fn), example_inputs, function, options);
}

torch::jit::Module bucket_trace_module(torch::nn::Module& module, const TraceFunction& fn,
                                       const std::vector<std::vector<c10::IValue>>& example_inputs,
                                       const BucketFunction& function,
                                       const TraceOptions& options) {
  return BucketTrace(ForModule(module, fn), example_inputs, function, options);
}

}  // namespace glia
