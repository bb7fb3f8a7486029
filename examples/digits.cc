// Real input: trains a small network on handwritten digits with libtorch on the CPU, traces it, saves it,
// and classifies the held-out third three ways: traced here, traced in a separate program that has no
// compiler (digits_deploy), and lazily.
//
//   digits [DIGITS.csv]
#include <ATen/Functions.h>
#include <ATen/core/grad_mode.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <torch/csrc/jit/serialization/pickle.h>
#include <torch/nn/functional/loss.h>
#include <torch/nn/modules/activation.h>
#include <torch/nn/modules/container/sequential.h>
#include <torch/nn/modules/conv.h>
#include <torch/nn/modules/linear.h>
#include <torch/optim/adam.h>
#include <torch/utils.h>
#include <unistd.h>

#include <cstdio>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <stdexcept>
#include <string>
#include <vector>

#include "examples/digits_data.h"
#include "frontend/lazy.h"
#include "frontend/trace.h"

namespace {

using digits::Digits;

torch::nn::Sequential Train(const Digits& training) {
  torch::manual_seed(1);
  torch::nn::Sequential model(torch::nn::Conv2d(torch::nn::Conv2dOptions(1, 16, 3).padding(1)),
                              torch::nn::ReLU(), torch::nn::Flatten(),
                              torch::nn::Linear(16 * 8 * 8, 10));
  torch::optim::Adam optimizer(model->parameters(), torch::optim::AdamOptions(2e-3));
  const int64_t n = training.labels.size(0);
  constexpr int64_t kBatch = 64;
  for (int epoch = 0; epoch < 12; ++epoch) {
    const at::Tensor order = at::randperm(n);
    for (int64_t begin = 0; begin < n; begin += kBatch) {
      const at::Tensor rows = order.narrow(0, begin, std::min(kBatch, n - begin));
      optimizer.zero_grad();
      const at::Tensor loss = torch::nn::functional::cross_entropy(
          model->forward(training.images.index_select(0, rows)),
          training.labels.index_select(0, rows));
      loss.backward();
      optimizer.step();
    }
  }
  // Trained on logits, deployed with probabilities.
  model->push_back(torch::nn::Softmax(1));
  model->eval();
  return model;
}

// A directory that goes with the object.
class ScratchDirectory {
 public:
  ScratchDirectory() {
    std::string pattern = (std::filesystem::temp_directory_path() / "glia-digits-XXXXXX").string();
    if (mkdtemp(pattern.data()) == nullptr) throw std::runtime_error("cannot make " + pattern);
    path_ = pattern;
  }
  ~ScratchDirectory() {
    std::error_code ignored;
    std::filesystem::remove_all(path_, ignored);
  }
  ScratchDirectory(const ScratchDirectory&) = delete;
  ScratchDirectory& operator=(const ScratchDirectory&) = delete;
  std::string File(const char* name) const { return (path_ / name).string(); }

 private:
  std::filesystem::path path_;
};

// Runs digits_deploy, which `bazel run` puts beside this program, and reads the scores it wrote.
at::Tensor RunDeployed(const std::string& module, const std::string& data, const std::string& out) {
  const std::string program =
      (std::filesystem::read_symlink("/proc/self/exe").parent_path() / "digits_deploy").string();
  std::fflush(stdout);
  const pid_t child = fork();
  if (child == 0) {
    execl(program.c_str(), program.c_str(), module.c_str(), data.c_str(), out.c_str(),
          static_cast<char*>(nullptr));
    std::perror(program.c_str());
    _exit(127);
  }
  int status = 0;
  if (child < 0 || waitpid(child, &status, 0) != child || status != 0) {
    throw std::runtime_error(program + " failed");
  }
  std::ifstream file(out, std::ios::binary);
  const std::vector<char> bytes((std::istreambuf_iterator<char>(file)),
                                std::istreambuf_iterator<char>());
  return torch::jit::pickle_load(bytes).toTensor();
}

void PrintAgreement(const char* what, const at::Tensor& scores, const at::Tensor& eager) {
  const int64_t same = scores.argmax(1).eq(eager.argmax(1)).sum().item<int64_t>();
  std::printf("%s: agrees with CPU eager on %s, largest difference %.1e\n", what,
              digits::Percent(same, scores.size(0)).c_str(),
              (scores - eager).abs().max().item<double>());
}

void Draw(const Digits& held_out, const at::Tensor& scores, int64_t count) {
  static const char kShades[] = " .:-=+*#%@";
  for (int64_t i = 0; i < count; ++i) {
    const at::Tensor digit = scores[i].argmax();
    std::printf("%lld (%5.1f %%), is %lld       ", static_cast<long long>(digit.item<int64_t>()),
                100 * scores[i][digit.item<int64_t>()].item<double>(),
                static_cast<long long>(held_out.labels[i].item<int64_t>()));
  }
  std::printf("\n");
  for (int64_t y = 0; y < 8; ++y) {
    for (int64_t i = 0; i < count; ++i) {
      for (int64_t x = 0; x < 8; ++x) {
        const char shade = kShades[static_cast<int>(held_out.images[i][0][y][x].item<float>() * 9)];
        std::printf("%c%c", shade, shade);
      }
      std::printf("        ");
    }
    std::printf("\n");
  }
}

int Run(const std::string& data_path) {
  const Digits all = digits::Load(data_path);
  const Digits held_out = digits::HeldOut(all);
  torch::nn::Sequential model = Train(digits::Training(all));
  at::NoGradGuard no_grad;
  const int64_t n = held_out.labels.size(0);
  const at::Tensor eager = model->forward(held_out.images);
  std::printf("CPU eager: accuracy %s\n",
              digits::Percent(digits::CountCorrect(eager, held_out), n).c_str());

  glia::TraceOptions options;
  options.name = "digits";
  torch::jit::Module traced = glia::trace(model, {held_out.images}, options);
  const at::Tensor scores = traced.forward({held_out.images}).toTensor();
  std::printf("traced: accuracy %s\n",
              digits::Percent(digits::CountCorrect(scores, held_out), n).c_str());
  PrintAgreement("traced", scores, eager);

  const ScratchDirectory scratch;
  traced.save(scratch.File("digits.pt"));
  const at::Tensor deployed = RunDeployed(scratch.File("digits.pt"), data_path,
                                          scratch.File("scores.pt"));
  PrintAgreement("deployed", deployed, eager);

  model->to(glia::xla_device());
  const at::Tensor lazy = model->forward(held_out.images.to(glia::xla_device()));
  glia::mark_step();
  const at::Tensor lazy_scores = lazy.cpu();
  std::printf("lazy: accuracy %s\n",
              digits::Percent(digits::CountCorrect(lazy_scores, held_out), n).c_str());
  PrintAgreement("lazy", lazy_scores, eager);

  std::printf("\n");
  Draw(held_out, scores, 5);
  return 0;
}

}  // namespace

int main(int argc, char** argv) {
  if (argc > 2) {
    std::fprintf(stderr, "usage: %s [DIGITS.csv]\n", argv[0]);
    return 2;
  }
  // In fp32, so that the scores can be held against the CPU's; the default rounds the operands of products to
  // bf16.
  setenv("NEURON_CC_FLAGS", "--auto-cast none", /*overwrite=*/0);
  try {
    return Run(digits::DataPath(argc == 2 ? argv[1] : ""));
  } catch (const c10::Error& error) {
    std::fprintf(stderr, "digits: %s\n", error.what_without_backtrace());
    return 1;
  } catch (const std::exception& error) {
    std::fprintf(stderr, "digits: %s\n", error.what());
    return 1;
  }
}
