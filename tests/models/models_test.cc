// Every model of the zoo, lazily and traced, against eager PyTorch on the CPU. NEURON_CC_FLAGS says
// with which matrix products (--auto-cast none or matmult), GLIA_DEVICE on which executor; the
// targets in BUILD are the combinations.
//
//   models_test [--full]   the full sizes instead of the small ones
//
// Bounds. fp32: 1e-4 of the output's largest value. bf16: rounding a factor to 8 bits of
// significand moves it by up to 2^-9 of itself; what becomes of that is a matter of the model. So
// it is measured: eager is run once more with both factors of every matrix product and convolution
// rounded, products and sums in fp32. The largest distance D of that run from plain eager is what
// rounding explains. The device may be as far as D from the rounded run (fp32 noise tips some
// roundings the other way, each then propagates like one of those in D), and so 2 D from eager. D
// below 5 % of the output keeps that a check; products_test.cc checks each product by itself, far
// closer. Who knows the weights folds batch norms into them before they are rounded (rounding.h):
// the traced mode does, the lazy mode may.
#include <ATen/Functions.h>
#include <ATen/core/grad_mode.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <string>

#include "frontend/lazy.h"
#include "frontend/trace.h"
#include "tests/models/rounding.h"
#include "tests/models/torchscript.h"
#include "tests/models/zoo.h"

namespace glia::models {
namespace {

Size g_size = Size::kSmall;

bool Bf16() {
  const char* flags = std::getenv("NEURON_CC_FLAGS");
  return flags != nullptr && std::strstr(flags, "matmult") != nullptr;
}

Tensors Clone(const Tensors& tensors) {
  Tensors clones;
  for (const at::Tensor& t : tensors) clones.push_back(t.clone());
  return clones;
}

Tensors To(const Tensors& tensors, const at::Device& device) {
  Tensors moved;
  for (const at::Tensor& t : tensors) moved.push_back(t.to(device));
  return moved;
}

double Distance(const at::Tensor& a, const at::Tensor& b) {
  return (a - b).abs().max().item<double>();
}

torch::jit::Module Trace(Model& model, const Tensors& inputs) {
  return trace_module(
      model,
      [&](const std::vector<c10::IValue>& arguments) -> c10::IValue {
        Tensors tensors;
        for (const c10::IValue& a : arguments) tensors.push_back(a.toTensor());
        Tensors outputs = model.Run(tensors);
        if (outputs.size() == 1) return outputs[0];
        std::vector<c10::IValue> elements(outputs.begin(), outputs.end());
        return c10::ivalue::Tuple::create(std::move(elements));
      },
      std::vector<c10::IValue>(inputs.begin(), inputs.end()));
}

// One run that the device may agree with, and how closely, for each output.
struct Reference {
  Tensors outputs;
  std::vector<double> bounds;
};

struct Expected {
  Tensors eager;
  std::vector<Reference> references;  // the device must agree with one of them
  double bound = 0;                   // of output 0, from eager
};

Expected Expect(const Instance& instance, const std::vector<BatchNorms>& batch_norms) {
  Expected expected;
  expected.eager = instance.model->Run(Clone(instance.inputs));
  if (!Bf16()) expected.references.push_back({expected.eager, {}});
  for (size_t r = 0; Bf16() && r < batch_norms.size(); ++r) {
    RoundMatmulOperands rounding(batch_norms[r]);
    expected.references.push_back({instance.model->Run(Clone(instance.inputs)), {}});
  }
  for (Reference& reference : expected.references) {
    for (size_t i = 0; i < expected.eager.size(); ++i) {
      const double scale = expected.eager[i].abs().max().item<double>();
      double bound = 1e-4 * scale;
      if (Bf16()) {
        bound = Distance(reference.outputs[i], expected.eager[i]);
        EXPECT_GT(bound, 0) << "nothing was rounded";
        EXPECT_LT(bound, 0.05 * scale) << "the model is too sensitive to check anything";
      }
      reference.bounds.push_back(bound);
    }
    expected.bound = std::max(expected.bound, (Bf16() ? 2 : 1) * reference.bounds[0]);
  }
  return expected;
}

// The largest part of its bound that any output takes up.
double PartOfBound(const Tensors& got, const Reference& reference) {
  double part = 0;
  for (size_t i = 0; i < got.size(); ++i) {
    const double of_output = Distance(got[i], reference.outputs[i]) / reference.bounds[i];
    if (std::isnan(of_output)) return INFINITY;
    part = std::max(part, of_output);
  }
  return part;
}

void Check(const Entry& entry, const char* mode, const Tensors& got, const Expected& expected) {
  SCOPED_TRACE(mode);
  ASSERT_EQ(got.size(), expected.eager.size());
  for (size_t i = 0; i < got.size(); ++i) ASSERT_EQ(got[i].sizes(), expected.eager[i].sizes());
  double part = INFINITY;
  for (const Reference& r : expected.references) part = std::min(part, PartOfBound(got, r));
  EXPECT_LE(part, 1);
  const double scale = expected.eager[0].abs().max().item<double>();
  std::printf("%s %s %s: %.2f of the bound; from eager %.1e, may be %.1e of the scale\n",
              entry.name, mode, Bf16() ? "bf16" : "fp32", part,
              Distance(got[0], expected.eager[0]) / scale, expected.bound / scale);
  if (entry.class_dim == Entry::kNoClasses) return;
  const at::Tensor& eager = expected.eager[0];
  const at::Tensor same = got[0].argmax(entry.class_dim).eq(eager.argmax(entry.class_dim));
  // One answer per pixel and the like: near ties excepted, which rounding may turn.
  const at::Tensor best = std::get<0>(eager.topk(2, entry.class_dim));
  const at::Tensor margin = best.select(entry.class_dim, 0) - best.select(entry.class_dim, 1);
  const at::Tensor clear = margin.gt(2 * expected.bound);
  EXPECT_TRUE(same.logical_or(clear.logical_not()).all().item<bool>());
  if (same.numel() == 1) {
    EXPECT_TRUE(same.item<bool>());
  } else {
    EXPECT_GT(same.to(at::kFloat).mean().item<double>(), 0.95);
  }
}

class ModelsTest : public testing::TestWithParam<const char*> {
 protected:
  at::NoGradGuard no_grad_;
};

TEST_P(ModelsTest, BothModes) {
  const std::string name = GetParam();
  const Entry& entry = Find(name);
  const Instance instance = entry.make(g_size, 1);
  const Expected expected = Expect(instance, {BatchNorms::kApart, BatchNorms::kFolded});
  {
    torch::jit::Module traced = Trace(*instance.model, instance.inputs);
    Check(entry, "traced", RunTorchScript(traced, Clone(instance.inputs)),
          Expect(instance, {BatchNorms::kFolded}));
  }
  const int64_t fallbacks = metric("capture.fallbacks");
  instance.model->to(xla_device());
  for (const char* mode : {"lazy", "lazy again"}) {
    const Tensors outputs = instance.model->Run(To(instance.inputs, xla_device()));
    mark_step();
    Check(entry, mode, To(outputs, at::kCPU), expected);
  }
  EXPECT_EQ(metric("capture.fallbacks"), fallbacks) << metrics_report();
}

std::vector<const char*> Names() {
  std::vector<const char*> names;
  for (const Entry& entry : Zoo()) names.push_back(entry.name);
  return names;
}

INSTANTIATE_TEST_SUITE_P(, ModelsTest, testing::ValuesIn(Names()),
                         [](const auto& info) { return std::string(info.param); });

// Tokens one by one from an empty cache: on the device in lazy mode, passed in and out when traced.
class DecodeTest : public testing::Test {
 protected:
  static constexpr int kSteps = 6;

  DecodeTest() : instance_(Find("gpt2_decode").make(g_size, 1)) {
    for (size_t i = 2; i < instance_.inputs.size(); ++i) {
      caches_.push_back(at::zeros_like(instance_.inputs[i]));
    }
  }

  static Tensors StepInputs(int64_t token, int64_t position, const Tensors& caches) {
    Tensors inputs = {at::full({1, 1}, token, at::kLong), at::full({1}, position, at::kLong)};
    inputs.insert(inputs.end(), caches.begin(), caches.end());
    return inputs;
  }

  // The logits of each step, as `step` computes them, for tokens that eager chose.
  template <typename Step>
  void CompareSteps(const Step& step) {
    Tensors caches = Clone(caches_);
    int64_t token = 7;
    for (int position = 0; position < kSteps; ++position) {
      const at::Tensor expected = instance_.model->Run(StepInputs(token, position, caches))[0];
      const at::Tensor got = step(token, position);
      const double scale = expected.abs().max().item<double>();
      EXPECT_LE(Distance(got, expected), (Bf16() ? 0.03 : 1e-4) * scale) << "step " << position;
      token = expected.argmax(1).item<int64_t>();
    }
  }

  at::NoGradGuard no_grad_;
  Instance instance_;
  Tensors caches_;
};

TEST_F(DecodeTest, EagerAgreesWithPrefill) {
  const Instance prefill = Find("gpt2").make(g_size, 1);
  const at::Tensor tokens = prefill.inputs[0].slice(1, 0, kSteps);
  at::Tensor logits;
  for (int i = 0; i < kSteps; ++i) {
    logits = instance_.model->Run(StepInputs(tokens[0][i].item<int64_t>(), i, caches_))[0];
  }
  EXPECT_TRUE(at::allclose(logits, prefill.model->Run({tokens})[0], 1e-4, 1e-4));
}

TEST_F(DecodeTest, LazyKeepsTheCacheOnTheDevice) {
  const Instance on_device = Find("gpt2_decode").make(g_size, 1);
  on_device.model->to(xla_device());
  const Tensors caches = To(caches_, xla_device());
  int64_t steps = 0, compilations = 0;
  CompareSteps([&](int64_t token, int64_t position) {
    const int64_t before = metric("capture.bytes_to_device");
    Tensors inputs = To(StepInputs(token, position, {}), xla_device());
    inputs.insert(inputs.end(), caches.begin(), caches.end());
    const at::Tensor logits = on_device.model->Run(inputs)[0];
    mark_step();
    const at::Tensor result = logits.cpu();
    // The second run of a graph makes constants of its weights.
    if (steps++ < 2) {
      compilations = metric("lazy.compilations");
    } else {
      EXPECT_EQ(metric("lazy.compilations"), compilations) << "a token made another graph";
      EXPECT_LE(metric("capture.bytes_to_device") - before, 64)
          << "more moved than a token and its position";
    }
    return result;
  });
}

TEST_F(DecodeTest, TracedPassesTheCacheThrough) {
  torch::jit::Module traced = Trace(*instance_.model, StepInputs(0, 0, caches_));
  Tensors caches = caches_;
  CompareSteps([&](int64_t token, int64_t position) {
    const Tensors outputs = RunTorchScript(traced, StepInputs(token, position, caches));
    caches.assign(outputs.begin() + 1, outputs.end());
    return outputs[0];
  });
}

}  // namespace
}  // namespace glia::models

int main(int argc, char** argv) {
  testing::InitGoogleTest(&argc, argv);
  for (int i = 1; i < argc; ++i) {
    if (std::strcmp(argv[i], "--full") == 0) glia::models::g_size = glia::models::Size::kFull;
  }
  return RUN_ALL_TESTS();
}
