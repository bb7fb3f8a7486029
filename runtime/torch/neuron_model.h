// neuron::Model: the TorchScript class that a traced module embeds. It holds one NEFF for each bucket
// (one, unless made by bucket_trace) and the weights that they share, loads them onto a simulated
// NeuronCore, and runs them. Linking //runtime/torch:torch_neuron is all that a program needs to load
// and call traced modules with torch::jit::load.
//
// In TorchScript: torch.classes.neuron.Model, run by
//   neuron::forward(Tensor[] inputs, Model model) -> Tensor[]
//   neuron::forward_bucket(Tensor[] inputs, int bucket, Model model) -> Tensor[]
// Tensors go in and come out on the CPU.
#ifndef GLIA_RUNTIME_TORCH_NEURON_MODEL_H_
#define GLIA_RUNTIME_TORCH_NEURON_MODEL_H_

#if __cplusplus < 201703L
#error "glia needs C++17: build with --cxxopt=-std=c++17"
#endif

#include <ATen/core/Tensor.h>
#include <torch/custom_class.h>

#include <cstdint>
#include <memory>
#include <mutex>
#include <string>
#include <tuple>
#include <unordered_map>
#include <vector>

#include "runtime/torch/tensor_spec.h"

namespace glia::neuron {

// One traced graph.
struct Bucket {
  at::Tensor neff;                   // uint8 [bytes], contiguous, CPU
  std::vector<TensorSpec> inputs;    // in the order of forward's arguments
  std::vector<TensorSpec> outputs;
  // The NEFF's further inputs, after `inputs`: indices into ModelData::weights.
  std::vector<int64_t> weights;
};

struct ModelData {
  std::string name;
  std::vector<Bucket> buckets;
  std::vector<at::Tensor> weights;   // contiguous, CPU, shared by the buckets
  // What the traced model calls each of them, "layer.0.weight"; "" for a constant of its program. Empty
  // when it is not known.
  std::vector<std::string> weight_names;
  bool dynamic_batch = false;        // one bucket only
};

// What a loaded model occupies and costs. Bytes; simulated time in picoseconds.
struct ModelStatistics {
  int core = -1;                     // index among the visible cores
  uint64_t executions = 0;
  uint64_t simulated_ps = 0;         // of the last execution; before one, of a pass over the program
  uint64_t device_bytes = 0;         // constants, scratch, weights, inputs and outputs
  uint64_t neff_bytes = 0;
};

class Model : public torch::CustomClassHolder {
 public:
  // Throws c10::Error when the data contradict each other.
  explicit Model(ModelData data);
  ~Model() override;

  // Loads every bucket onto one core: `core`, or round robin over the visible ones when it is -1. Does
  // nothing when loaded. Forward loads by itself. Throws c10::Error: a NEFF that is damaged, newer or
  // foreign, a model larger than the core's free memory. Thread-safe.
  void Load(int64_t core = -1);

  // Runs bucket `bucket`. Throws c10::Error that names the input, what was expected and what was given,
  // when number, device, dtype or shape of the inputs do not fit. Thread-safe; results are contiguous.
  std::vector<at::Tensor> Forward(const std::vector<at::Tensor>& inputs, int64_t bucket = 0);

  // A model of the same NEFF that accepts any batch size (dimension 0 of every input and output): runs
  // of the traced size, the last one padded. Throws when an input or output has no such dimension or
  // they differ in it.
  c10::intrusive_ptr<Model> WithDynamicBatch() const;

  // Replaces the weights that have a name, here and on the device. `weights`: a value for each name;
  // others are ignored. Throws c10::Error, before anything is replaced, when one is missing or has
  // another shape or dtype. No call may be under way. Models that share the weights
  // (WithDynamicBatch) may be loaded already, and then keep theirs.
  void ReplaceWeights(const std::unordered_map<std::string, at::Tensor>& weights);

  const ModelData& data() const { return data_; }
  ModelStatistics Statistics(int64_t bucket = 0);

  // Pickled form: (format, tensors, manifest). The tensors are the NEFF of each bucket, then the weights;
  // the manifest is lines of "key value" (neuron_model.cc).
  using State =
      std::tuple<int64_t, std::vector<at::Tensor>, std::vector<std::string>>;
  State GetState() const;
  static c10::intrusive_ptr<Model> FromState(State state);

 private:
  struct Loaded;

  Loaded& EnsureLoaded(int64_t core);
  std::vector<at::Tensor> RunOnce(const std::vector<at::Tensor>& inputs, int64_t bucket);
  std::vector<at::Tensor> RunBatches(const std::vector<at::Tensor>& inputs);

  const ModelData data_;
  std::mutex mutex_;  // of loading
  std::unique_ptr<Loaded> loaded_;
};

}  // namespace glia::neuron

#endif  // GLIA_RUNTIME_TORCH_NEURON_MODEL_H_
