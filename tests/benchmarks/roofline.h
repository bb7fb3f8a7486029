// The least time that a model needs on a NeuronCore, whatever the compiler does.
#ifndef GLIA_TESTS_BENCHMARKS_ROOFLINE_H_
#define GLIA_TESTS_BENCHMARKS_ROOFLINE_H_

#include <cstdint>

#include "tests/models/model.h"

namespace glia::benchmarks {

struct Work {
  int64_t macs = 0;            // of matrix products and convolutions
  int64_t matmul_weights = 0;  // elements of parameters that they read, each once
  int64_t other_bytes = 0;  // other parameters (of embeddings the rows looked up), inputs, outputs
};

// Runs the model once on the CPU and counts.
Work CountWork(models::Model& model, const models::Tensors& inputs);

// The larger of the tensor engine's time (128 × 128 products a cycle at 2.8 GHz, a quarter of that
// in fp32) and the time of the bytes that must cross HBM once, at 272 GB/s. Weights of products are
// two bytes wide in bf16.
double RooflineMicroseconds(const Work& work, bool bf16);

}  // namespace glia::benchmarks

#endif  // GLIA_TESTS_BENCHMARKS_ROOFLINE_H_
