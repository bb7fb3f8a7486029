// What every model of the zoo is: a torch::nn module in inference mode that takes and returns
// tensors.
#ifndef GLIA_TESTS_MODELS_MODEL_H_
#define GLIA_TESTS_MODELS_MODEL_H_

#include <ATen/core/Tensor.h>
#include <torch/nn/module.h>

#include <cstdint>
#include <memory>
#include <utility>
#include <vector>

namespace glia::models {

using Tensors = std::vector<at::Tensor>;

class Model : public torch::nn::Module {
 public:
  // Inputs on the module's device. A model that keeps a state (a KV cache) takes it as inputs,
  // updates them in place, and returns them too.
  virtual Tensors Run(const Tensors& inputs) = 0;
};

// Random inputs, drawn one after another from a generator of their own: the same in every process.
class Draw {
 public:
  explicit Draw(uint64_t seed);
  // Normal with standard deviation 1.
  at::Tensor Normal(at::IntArrayRef sizes);
  // Int64, 0 ≤ x < end.
  at::Tensor Integers(int64_t end, at::IntArrayRef sizes);
  // Uniform in [low, high).
  at::Tensor Uniform(double low, double high, at::IntArrayRef sizes);

 private:
  at::Generator generator_;
};

// Gives every parameter a value drawn from `seed`, in the order of registration, such that
// activations neither vanish nor blow up: matrices and kernels are normal with standard deviation
// sqrt(gain / fan-in), embeddings (parameters of modules whose name contains "embedding") normal
// with `embedding_std`, scales 1 ± 0.1, biases ± 0.1. Then freezes them and sets inference mode.
// Scales of norms called "branch_norm", the last ones of residual branches, are 0.25 ± 0.1:
// training begins with 0 there (arXiv:1706.02677) and leaves branches that change their input by a
// part. With 1, fifty random layers of batch norm and ReLU make ten times as much of a rounding as
// with that (arXiv:1902.08129).
struct InitOptions {
  double gain = 1;  // 2 where a ReLU follows most layers
  double embedding_std = 1;
};
void Initialize(Model& model, uint64_t seed, const InitOptions& options = {});

// Sets the running statistics of all batch norms to those of one pass over `inputs` in training
// mode, as training would have; needs more than one value per channel.
void CalibrateBatchNorms(Model& model, const Tensors& inputs);

}  // namespace glia::models

#endif  // GLIA_TESTS_MODELS_MODEL_H_
