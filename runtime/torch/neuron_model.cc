#include "runtime/torch/neuron_model.h"

#include <ATen/Functions.h>
#include <ATen/core/grad_mode.h>
#include <torch/library.h>

#include <algorithm>
#include <atomic>
#include <cstring>
#include <utility>

#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "nrt/nrt.h"
#include "nrt/nrt_experimental.h"
#include "nrt/nrt_glia.h"

namespace glia::neuron {
namespace {

// Of the pickled form. A reader refuses higher numbers.
constexpr int64_t kFormat = 1;

// Keys of the manifest. A bucket begins with kBucketKey; the lines after it, up to the next, are its own.
constexpr char kNameKey[] = "name";
constexpr char kDynamicBatchKey[] = "dynamic_batch";
constexpr char kWeightNameKey[] = "weight_name";  // of each weight, in order
constexpr char kBucketKey[] = "bucket";
constexpr char kInputKey[] = "input";    // TensorSpec
constexpr char kOutputKey[] = "output";  // TensorSpec
constexpr char kWeightKey[] = "weight";  // index

void Check(NRT_STATUS status, const std::string& what) {
  TORCH_CHECK(status == NRT_SUCCESS, what, ": ", nrt_get_status_as_str(status), ": ",
              glia_nrt_last_error());
}

struct FreeTensor {
  void operator()(nrt_tensor_t* t) const { nrt_tensor_free(&t); }
};
using TensorPtr = std::unique_ptr<nrt_tensor_t, FreeTensor>;

struct FreeSet {
  void operator()(nrt_tensor_set_t* s) const { nrt_destroy_tensor_set(&s); }
};
using SetPtr = std::unique_ptr<nrt_tensor_set_t, FreeSet>;

struct Unload {
  void operator()(nrt_model_t* m) const { nrt_unload(m); }
};
using ModelPtr = std::unique_ptr<nrt_model_t, Unload>;

TensorPtr Allocate(int core, size_t size, const std::string& name) {
  nrt_tensor_t* tensor = nullptr;
  Check(nrt_tensor_allocate(NRT_TENSOR_PLACEMENT_DEVICE, core, size, name.c_str(), &tensor),
        "device memory for tensor '" + name + "'");
  return TensorPtr(tensor);
}

SetPtr AllocateSet() {
  nrt_tensor_set_t* set = nullptr;
  Check(nrt_allocate_tensor_set(&set), "tensor set");
  return SetPtr(set);
}

// The names of a loaded NEFF's inputs and outputs, checked against what the module was traced with.
struct Names {
  std::vector<std::string> inputs;
  std::vector<std::string> outputs;
};

size_t DeviceBytes(const TensorSpec& spec) {
  size_t bytes = c10::elementSize(DeviceDtype(spec.dtype));
  for (int64_t s : spec.sizes) bytes *= static_cast<size_t>(s);
  return bytes;
}

Names ReadNames(nrt_model_t* model, const Bucket& bucket, const ModelData& data) {
  nrt_tensor_info_array_t* info = nullptr;
  Check(nrt_get_model_tensor_info(model, &info), "tensors of the NEFF");
  std::unique_ptr<nrt_tensor_info_array_t, NRT_STATUS (*)(nrt_tensor_info_array_t*)> owner(
      info, &nrt_free_model_tensor_info);
  Names names;
  for (uint64_t i = 0; i < info->tensor_count; ++i) {
    const nrt_tensor_info_t& t = info->tensor_array[i];
    const bool input = t.usage == NRT_TENSOR_USAGE_INPUT;
    std::vector<std::string>& side = input ? names.inputs : names.outputs;
    const size_t index = side.size();
    size_t want = 0;
    if (!input) {
      want = index < bucket.outputs.size() ? DeviceBytes(bucket.outputs[index]) : SIZE_MAX;
    } else if (index < bucket.inputs.size()) {
      want = DeviceBytes(bucket.inputs[index]);
    } else if (index - bucket.inputs.size() < bucket.weights.size()) {
      const at::Tensor& w = data.weights[bucket.weights[index - bucket.inputs.size()]];
      want = static_cast<size_t>(w.numel()) * c10::elementSize(DeviceDtype(w.scalar_type()));
    } else {
      want = SIZE_MAX;
    }
    TORCH_CHECK(t.size == want, "neuron::Model '", data.name, "' is damaged: its NEFF's ",
                input ? "input" : "output", " '", t.name, "' has ", t.size,
                " bytes, which is not what the module says");
    side.push_back(t.name);
  }
  TORCH_CHECK(names.inputs.size() == bucket.inputs.size() + bucket.weights.size() &&
                  names.outputs.size() == bucket.outputs.size(),
              "neuron::Model '", data.name, "' is damaged: its NEFF has ", names.inputs.size(),
              " inputs and ", names.outputs.size(), " outputs, the module ",
              bucket.inputs.size() + bucket.weights.size(), " and ", bucket.outputs.size());
  return names;
}

// Inputs and outputs of one call. Calls that overlap in time each have their own.
struct Context {
  SetPtr inputs;
  SetPtr outputs;
  std::vector<TensorPtr> input_tensors;
  std::vector<TensorPtr> output_tensors;
};

struct LoadedBucket {
  ModelPtr model;
  Names names;
  std::mutex mutex;  // of `idle`
  std::vector<std::unique_ptr<Context>> idle;
};

// Weights as they are on the device, in a CPU tensor.
at::Tensor DeviceForm(const at::Tensor& t) {
  return t.to(DeviceDtype(t.scalar_type())).contiguous();
}

std::string Ordinal(const TensorSpec& spec, size_t index) {
  return spec.name.empty() ? c10::str("input ", index)
                           : c10::str("input ", index, " ('", spec.name, "')");
}

TensorSpec ParseSpec(const std::string& text) {
  auto spec = ParseTensorSpec(text);
  TORCH_CHECK(spec.ok(), "neuron::Model is damaged: ", std::string(spec.status().message()));
  return *std::move(spec);
}

}  // namespace

struct Model::Loaded {
  int core = 0;
  std::vector<TensorPtr> weights;
  std::vector<std::unique_ptr<LoadedBucket>> buckets;

  // Takes an idle context or makes one.
  std::unique_ptr<Context> Take(LoadedBucket& loaded, const Bucket& bucket) {
    {
      std::lock_guard<std::mutex> lock(loaded.mutex);
      if (!loaded.idle.empty()) {
        auto context = std::move(loaded.idle.back());
        loaded.idle.pop_back();
        return context;
      }
    }
    auto context = std::make_unique<Context>();
    context->inputs = AllocateSet();
    context->outputs = AllocateSet();
    auto add = [](nrt_tensor_set_t* set, const std::string& name, nrt_tensor_t* tensor) {
      Check(nrt_add_tensor_to_tensor_set(set, name.c_str(), tensor), "tensor set");
    };
    for (size_t i = 0; i < bucket.inputs.size(); ++i) {
      const std::string& name = loaded.names.inputs[i];
      context->input_tensors.push_back(Allocate(core, DeviceBytes(bucket.inputs[i]), name));
      add(context->inputs.get(), name, context->input_tensors.back().get());
    }
    for (size_t i = 0; i < bucket.weights.size(); ++i) {
      add(context->inputs.get(), loaded.names.inputs[bucket.inputs.size() + i],
          weights[bucket.weights[i]].get());
    }
    for (size_t i = 0; i < bucket.outputs.size(); ++i) {
      const std::string& name = loaded.names.outputs[i];
      context->output_tensors.push_back(Allocate(core, DeviceBytes(bucket.outputs[i]), name));
      add(context->outputs.get(), name, context->output_tensors.back().get());
    }
    return context;
  }

  void Return(LoadedBucket& loaded, std::unique_ptr<Context> context) {
    std::lock_guard<std::mutex> lock(loaded.mutex);
    loaded.idle.push_back(std::move(context));
  }
};

Model::Model(ModelData data) : data_(std::move(data)) {
  TORCH_CHECK(!data_.buckets.empty(), "neuron::Model is damaged: it has no NEFF");
  TORCH_CHECK(!data_.dynamic_batch || data_.buckets.size() == 1,
              "neuron::Model is damaged: a dynamic batch and several buckets");
  TORCH_CHECK(data_.weight_names.empty() || data_.weight_names.size() == data_.weights.size(),
              "neuron::Model is damaged: ", data_.weight_names.size(), " names of ",
              data_.weights.size(), " weights");
  for (const Bucket& bucket : data_.buckets) {
    TORCH_CHECK(bucket.neff.defined() && bucket.neff.device().is_cpu() &&
                    bucket.neff.scalar_type() == at::kByte && bucket.neff.dim() == 1 &&
                    bucket.neff.is_contiguous(),
                "neuron::Model is damaged: a NEFF must be a tensor of bytes");
    for (int64_t index : bucket.weights) {
      TORCH_CHECK(index >= 0 && index < static_cast<int64_t>(data_.weights.size()),
                  "neuron::Model is damaged: weight ", index, " of ", data_.weights.size());
    }
  }
}

Model::~Model() = default;

void Model::Load(int64_t core) { EnsureLoaded(core); }

Model::Loaded& Model::EnsureLoaded(int64_t core) {
  std::lock_guard<std::mutex> lock(mutex_);
  if (loaded_ != nullptr) return *loaded_;
  Check(nrt_init(NRT_FRAMEWORK_TYPE_PYTORCH, "", ""), "starting the Neuron runtime");
  auto loaded = std::make_unique<Loaded>();
  for (const Bucket& bucket : data_.buckets) {
    auto made = std::make_unique<LoadedBucket>();
    nrt_model_t* model = nullptr;
    auto* keep = new at::Tensor(bucket.neff);
    Check(glia_nrt_load_view(bucket.neff.data_ptr(), static_cast<size_t>(bucket.neff.numel()),
                             static_cast<int32_t>(core),
                             [](void* tensor) { delete static_cast<at::Tensor*>(tensor); }, keep,
                             &model),
          "loading neuron::Model '" + data_.name + "'");
    made->model.reset(model);
    nrt_model_info_t info = {};
    Check(nrt_get_model_info(model, &info, sizeof(info), nullptr), "model info");
    core = info.vnc;  // the other buckets share the weights there
    made->names = ReadNames(model, bucket, data_);
    loaded->buckets.push_back(std::move(made));
  }
  loaded->core = static_cast<int>(core);
  for (size_t i = 0; i < data_.weights.size(); ++i) {
    const at::Tensor host = DeviceForm(data_.weights[i]);
    loaded->weights.push_back(Allocate(loaded->core, host.nbytes(), c10::str("weight", i)));
    Check(nrt_tensor_write(loaded->weights.back().get(), host.data_ptr(), 0, host.nbytes()),
          "writing a weight");
    Check(glia_nrt_tensor_set_weight(loaded->weights.back().get(), true), "a weight");
  }
  loaded_ = std::move(loaded);
  return *loaded_;
}

std::vector<at::Tensor> Model::Forward(const std::vector<at::Tensor>& inputs, int64_t bucket) {
  TORCH_CHECK(bucket >= 0 && bucket < static_cast<int64_t>(data_.buckets.size()), "neuron::Model '",
              data_.name, "': the bucket function chose bucket ", bucket, "; there are ",
              data_.buckets.size());
  const std::vector<TensorSpec>& specs = data_.buckets[bucket].inputs;
  TORCH_CHECK(inputs.size() == specs.size(), "neuron::Model '", data_.name, "' takes ",
              specs.size(), " inputs, ", inputs.size(), " were given");
  int64_t batch = -1;
  for (size_t i = 0; i < inputs.size(); ++i) {
    const at::Tensor& t = inputs[i];
    const TensorSpec& spec = specs[i];
    TORCH_CHECK(t.defined(), "neuron::Model '", data_.name, "': ", Ordinal(spec, i),
                " is an undefined tensor; expected ", ToString(spec));
    TORCH_CHECK(t.device().is_cpu() && t.layout() == at::kStrided, "neuron::Model '", data_.name,
                "': ", Ordinal(spec, i), " is on device ", t.device().str(),
                "; a traced module takes CPU tensors: call .cpu() first");
    TORCH_CHECK(t.scalar_type() == spec.dtype, "neuron::Model '", data_.name, "': ",
                Ordinal(spec, i), " has dtype ", DtypeName(t.scalar_type()),
                "; the model was traced with ", DtypeName(spec.dtype));
    bool fits = t.sizes() == at::IntArrayRef(spec.sizes);
    if (!fits && data_.dynamic_batch && t.dim() == static_cast<int64_t>(spec.sizes.size())) {
      fits = t.sizes().slice(1) == at::IntArrayRef(spec.sizes).slice(1);
    }
    TORCH_CHECK(fits, "neuron::Model '", data_.name, "': ", Ordinal(spec, i), " has shape ",
                ShapeString(t.sizes().vec()), "; the model was traced with ",
                ShapeString(spec.sizes),
                data_.dynamic_batch
                    ? ", of which only dimension 0 may differ"
                    : ". Trace the model for this shape, or see dynamic_batch and bucket_trace");
    if (data_.dynamic_batch) {
      TORCH_CHECK(batch == -1 || batch == t.size(0), "neuron::Model '", data_.name, "': ",
                  Ordinal(spec, i), " has batch size ", t.size(0), ", another input has ", batch);
      batch = t.size(0);
    }
  }
  if (data_.dynamic_batch && batch != specs[0].sizes[0]) return RunBatches(inputs);
  return RunOnce(inputs, bucket);
}

std::vector<at::Tensor> Model::RunOnce(const std::vector<at::Tensor>& inputs, int64_t index) {
  Loaded& loaded = EnsureLoaded(-1);
  const Bucket& bucket = data_.buckets[index];
  LoadedBucket& target = *loaded.buckets[index];
  auto context = loaded.Take(target, bucket);
  for (size_t i = 0; i < inputs.size(); ++i) {
    const at::Tensor host = DeviceForm(inputs[i]);
    Check(nrt_tensor_write(context->input_tensors[i].get(), host.data_ptr(), 0, host.nbytes()),
          "writing an input");
  }
  Check(nrt_execute(target.model.get(), context->inputs.get(), context->outputs.get()),
        "running neuron::Model '" + data_.name + "'");
  std::vector<at::Tensor> outputs;
  outputs.reserve(bucket.outputs.size());
  for (size_t i = 0; i < bucket.outputs.size(); ++i) {
    const TensorSpec& spec = bucket.outputs[i];
    at::Tensor host = at::empty(spec.sizes, at::TensorOptions(DeviceDtype(spec.dtype)));
    Check(nrt_tensor_read(context->output_tensors[i].get(), host.data_ptr(), 0, host.nbytes()),
          "reading an output");
    outputs.push_back(host.scalar_type() == spec.dtype ? host : host.to(spec.dtype));
  }
  loaded.Return(target, std::move(context));
  return outputs;
}

std::vector<at::Tensor> Model::RunBatches(const std::vector<at::Tensor>& inputs) {
  const Bucket& bucket = data_.buckets[0];
  const int64_t step = bucket.inputs[0].sizes[0];
  const int64_t total = inputs[0].size(0);
  std::vector<at::Tensor> outputs;
  for (const TensorSpec& spec : bucket.outputs) {
    std::vector<int64_t> sizes = spec.sizes;
    sizes[0] = total;
    outputs.push_back(at::empty(sizes, at::TensorOptions(spec.dtype)));
  }
  for (int64_t begin = 0; begin < total; begin += step) {
    const int64_t count = std::min(step, total - begin);
    std::vector<at::Tensor> part;
    for (const at::Tensor& input : inputs) {
      at::Tensor rows = input.narrow(0, begin, count);
      if (count < step) {
        std::vector<int64_t> sizes = rows.sizes().vec();
        sizes[0] = step;
        at::Tensor padded = at::zeros(sizes, input.options());
        padded.narrow(0, 0, count).copy_(rows);
        rows = padded;
      }
      part.push_back(std::move(rows));
    }
    const std::vector<at::Tensor> results = RunOnce(part, 0);
    for (size_t i = 0; i < results.size(); ++i) {
      outputs[i].narrow(0, begin, count).copy_(results[i].narrow(0, 0, count));
    }
  }
  return outputs;
}

c10::intrusive_ptr<Model> Model::WithDynamicBatch() const {
  TORCH_CHECK(data_.buckets.size() == 1, "dynamic_batch: neuron::Model '", data_.name, "' has ",
              data_.buckets.size(), " buckets; its bucket function decides about the batch");
  const Bucket& bucket = data_.buckets[0];
  TORCH_CHECK(!bucket.inputs.empty(), "dynamic_batch: neuron::Model '", data_.name,
              "' has no inputs");
  auto check = [&](const std::vector<TensorSpec>& specs, const char* side) {
    for (size_t i = 0; i < specs.size(); ++i) {
      const std::vector<int64_t>& first = bucket.inputs[0].sizes;
      TORCH_CHECK(specs[i].name != kSeedName, "dynamic_batch: neuron::Model '", data_.name,
                  "' draws random numbers, which would be the same in every batch; trace it in eval "
                  "mode, or with the numbers as an input");
      TORCH_CHECK(!specs[i].sizes.empty() && !first.empty() && specs[i].sizes[0] == first[0] &&
                      first[0] > 0,
                  "dynamic_batch: ", side, " ", i, " of neuron::Model '", data_.name,
                  "' has shape ", ShapeString(specs[i].sizes),
                  "; dimension 0 must be the batch, the same in every input and output");
    }
  };
  check(bucket.inputs, "input");
  check(bucket.outputs, "output");
  ModelData data = data_;
  data.dynamic_batch = true;
  return c10::make_intrusive<Model>(std::move(data));
}

void Model::ReplaceWeights(const std::unordered_map<std::string, at::Tensor>& weights) {
  std::lock_guard<std::mutex> lock(mutex_);
  std::vector<std::pair<size_t, at::Tensor>> found;
  for (size_t i = 0; i < data_.weight_names.size(); ++i) {
    const std::string& name = data_.weight_names[i];
    if (name.empty()) continue;
    const auto it = weights.find(name);
    TORCH_CHECK(it != weights.end() && it->second.defined(), "replace_weights: there is no '", name,
                "' among the weights, which neuron::Model '", data_.name, "' needs");
    const at::Tensor& old = data_.weights[i];
    TORCH_CHECK(it->second.sizes() == old.sizes() &&
                    DeviceDtype(it->second.scalar_type()) == DeviceDtype(old.scalar_type()),
                "replace_weights: '", name, "' is ", DtypeName(it->second.scalar_type()),
                ShapeString(it->second.sizes().vec()), "; neuron::Model '", data_.name,
                "' was traced with ", DtypeName(old.scalar_type()), ShapeString(old.sizes().vec()));
    found.emplace_back(i, it->second);
  }
  const at::NoGradGuard no_grad;
  for (const auto& [i, value] : found) {
    at::Tensor old = data_.weights[i];
    old.copy_(value.detach());
    if (loaded_ == nullptr) continue;
    const at::Tensor host = DeviceForm(old);
    Check(nrt_tensor_write(loaded_->weights[i].get(), host.data_ptr(), 0, host.nbytes()),
          "writing a weight");
  }
}

ModelStatistics Model::Statistics(int64_t index) {
  Loaded& loaded = EnsureLoaded(-1);
  TORCH_CHECK(index >= 0 && index < static_cast<int64_t>(loaded.buckets.size()), "no bucket ",
              index);
  glia_nrt_model_statistics_t s = {};
  Check(glia_nrt_get_model_statistics(loaded.buckets[index]->model.get(), &s), "statistics");
  ModelStatistics result;
  result.core = loaded.core;
  result.executions = s.executions;
  result.simulated_ps = s.last_simulated_ps;
  // The NEFF's inputs count the weights already.
  result.device_bytes = s.hbm_constant_bytes + s.hbm_scratch_bytes + s.hbm_io_bytes;
  result.neff_bytes = static_cast<uint64_t>(data_.buckets[index].neff.numel());
  return result;
}

Model::State Model::GetState() const {
  std::vector<at::Tensor> tensors;
  std::vector<std::string> manifest;
  auto line = [&](const char* key, const std::string& value) {
    manifest.push_back(absl::StrCat(key, " ", value));
  };
  line(kNameKey, data_.name);
  if (data_.dynamic_batch) line(kDynamicBatchKey, "");
  for (const std::string& name : data_.weight_names) line(kWeightNameKey, name);
  for (const Bucket& bucket : data_.buckets) {
    tensors.push_back(bucket.neff);
    line(kBucketKey, "");
    for (const TensorSpec& spec : bucket.inputs) line(kInputKey, ToString(spec));
    for (const TensorSpec& spec : bucket.outputs) line(kOutputKey, ToString(spec));
    for (int64_t index : bucket.weights) line(kWeightKey, std::to_string(index));
  }
  tensors.insert(tensors.end(), data_.weights.begin(), data_.weights.end());
  return State(kFormat, std::move(tensors), std::move(manifest));
}

c10::intrusive_ptr<Model> Model::FromState(State state) {
  auto& [format, tensors, manifest] = state;
  TORCH_CHECK(format >= 1 && format <= kFormat, "this traced module has format ", format,
              "; this library reads up to ", kFormat, ": use a newer one");
  ModelData data;
  for (const std::string& line : manifest) {
    const size_t space = line.find(' ');
    const std::string key = line.substr(0, space);
    const std::string value = space == std::string::npos ? "" : line.substr(space + 1);
    if (key == kNameKey) {
      data.name = value;
    } else if (key == kDynamicBatchKey) {
      data.dynamic_batch = true;
    } else if (key == kWeightNameKey) {
      data.weight_names.push_back(value);
    } else if (key == kBucketKey) {
      TORCH_CHECK(data.buckets.size() < tensors.size(),
                  "neuron::Model is damaged: it has more buckets than tensors");
      data.buckets.emplace_back();
      data.buckets.back().neff = tensors[data.buckets.size() - 1];
    } else {
      TORCH_CHECK(!data.buckets.empty(), "neuron::Model is damaged: '", line, "' before a bucket");
      Bucket& bucket = data.buckets.back();
      int64_t index = 0;
      if (key == kInputKey) {
        bucket.inputs.push_back(ParseSpec(value));
      } else if (key == kOutputKey) {
        bucket.outputs.push_back(ParseSpec(value));
      } else if (key == kWeightKey && absl::SimpleAtoi(value, &index)) {
        bucket.weights.push_back(index);
      } else {
        TORCH_CHECK(false, "neuron::Model is damaged: '", line, "' is not understood");
      }
    }
  }
  data.weights.assign(tensors.begin() + static_cast<std::ptrdiff_t>(data.buckets.size()),
                      tensors.end());
  auto model = c10::make_intrusive<Model>(std::move(data));
  // A damaged NEFF, or one that does not fit, is found here and not at the first call.
  model->Load();
  return model;
}

TORCH_LIBRARY(neuron, m) {
  m.class_<Model>("Model")
      .def("forward", [](const c10::intrusive_ptr<Model>& self,
                         std::vector<at::Tensor> inputs) { return self->Forward(inputs); })
      .def("load", [](const c10::intrusive_ptr<Model>& self, int64_t core) { self->Load(core); })
      .def("num_buckets",
           [](const c10::intrusive_ptr<Model>& self) -> int64_t {
             return static_cast<int64_t>(self->data().buckets.size());
           })
      .def_pickle([](const c10::intrusive_ptr<Model>& self) { return self->GetState(); },
                  [](Model::State state) { return Model::FromState(std::move(state)); });
  m.def("forward", [](std::vector<at::Tensor> inputs, const c10::intrusive_ptr<Model>& model) {
    return model->Forward(inputs);
  });
  m.def("forward_bucket", [](std::vector<at::Tensor> inputs, int64_t bucket,
                             const c10::intrusive_ptr<Model>& model) {
    return model->Forward(inputs, bucket);
  });
}

}  // namespace glia::neuron
