// Deployment: loads a traced module and classifies the held-out digits. Links libtorch and
// //runtime/torch:torch_neuron only; there is no compiler in this program.
//
//   digits_deploy MODULE.pt DIGITS.csv SCORES.pt
//
// Prints one line and writes the scores [n, 10] for the caller to compare.
#include <torch/csrc/jit/serialization/import.h>
#include <torch/csrc/jit/serialization/pickle.h>

#include <cstdio>
#include <fstream>

#include "examples/digits_data.h"

int main(int argc, char** argv) {
  if (argc != 4) {
    std::fprintf(stderr, "usage: %s MODULE.pt DIGITS.csv SCORES.pt\n", argv[0]);
    return 2;
  }
  try {
    torch::jit::Module module = torch::jit::load(argv[1]);
    const digits::Digits held_out = digits::HeldOut(digits::Load(argv[2]));
    const at::Tensor scores = module.forward({held_out.images}).toTensor();
    std::printf("deployed: accuracy %s\n",
                digits::Percent(digits::CountCorrect(scores, held_out), scores.size(0)).c_str());
    const std::vector<char> bytes = torch::jit::pickle_save(scores);
    std::ofstream file(argv[3], std::ios::binary);
    file.write(bytes.data(), static_cast<std::streamsize>(bytes.size()));
    file.close();
    if (!file) throw std::runtime_error(std::string("cannot write ") + argv[3]);
    return 0;
  } catch (const c10::Error& error) {
    std::fprintf(stderr, "digits_deploy: %s\n", error.what_without_backtrace());
    return 1;
  } catch (const std::exception& error) {
    std::fprintf(stderr, "digits_deploy: %s\n", error.what());
    return 1;
  }
}
