// The model zoo: one table of models for tests, benchmarks and examples.
//
//   const models::Entry& entry = models::Find("resnet50");
//   models::Instance resnet = entry.make(models::Size::kFull, /*batch=*/1);
//   std::vector<at::Tensor> outputs = resnet.model->Run(resnet.inputs);
//
// Weights and inputs come from fixed seeds; the same entry, size and batch give the same values.
#ifndef GLIA_TESTS_MODELS_ZOO_H_
#define GLIA_TESTS_MODELS_ZOO_H_

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "tests/models/model.h"

namespace glia::models {

// The published size, or one of the same structure that runs in milliseconds.
enum class Size { kSmall, kFull };

struct Instance {
  std::shared_ptr<Model> model;  // on the CPU, in inference mode, without gradients
  Tensors inputs;                // on the CPU, with `batch` items
};

struct Entry {
  static constexpr int64_t kNoClasses = INT64_MIN;

  const char* name;
  Instance (*make)(Size size, int64_t batch);
  // The dimension of output 0 whose largest element is the model's answer, or kNoClasses.
  int64_t class_dim;
  // Inputs from this one on are a state that the model updates and returns, as outputs from 1 on.
  size_t first_state = SIZE_MAX;
};

const std::vector<Entry>& Zoo();

// Throws c10::Error that lists the names when there is no such entry.
const Entry& Find(const std::string& name);

}  // namespace glia::models

#endif  // GLIA_TESTS_MODELS_ZOO_H_
