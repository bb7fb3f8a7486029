// Traced modules in a program that has no compiler: one NEFF, and one with parts on the CPU.
#include <ATen/Functions.h>
#include <ATen/core/grad_mode.h>
#include <gtest/gtest.h>
#include <torch/csrc/jit/serialization/import.h>

#include <string>
#include <vector>

namespace {

// The first result.
at::Tensor Run(const std::string& file, const at::Tensor& x) {
  const at::NoGradGuard no_grad;
  const c10::IValue result = torch::jit::load(file).forward({x});
  return result.isTensor() ? result.toTensor() : result.toTupleRef().elements()[0].toTensor();
}

void ExpectLikeTheModel(const std::string& traced, const std::string& model,
                        const std::vector<int64_t>& sizes) {
  at::manual_seed(0);
  for (int i = 0; i < 3; ++i) {
    const at::Tensor x = at::rand(sizes);
    EXPECT_TRUE(at::allclose(Run("tests/deploy/" + traced, x),
                             Run("tests/models/fixtures/" + model, x), 1e-4, 1e-5))
        << i;
  }
}

TEST(Deploy, ATracedModule) {
  ExpectLikeTheModel("recurrent_traced.pt", "recurrent_script.pt", {2, 3, 4});
}

TEST(Deploy, APartitionedModule) {
  ExpectLikeTheModel("spectrum_traced.pt", "spectrum_script.pt", {4, 8});
  std::vector<std::string> parts;
  const torch::jit::Module module = torch::jit::load("tests/deploy/spectrum_traced.pt");
  for (const auto& child : module.named_children()) parts.push_back(child.name);
  EXPECT_EQ(parts, (std::vector<std::string>{"neuron_0", "cpu_1", "neuron_2"}));
}

}  // namespace
