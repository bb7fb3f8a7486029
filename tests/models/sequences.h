// Recurrent, audio and recommender models of the zoo.
#ifndef GLIA_TESTS_MODELS_SEQUENCES_H_
#define GLIA_TESTS_MODELS_SEQUENCES_H_

#include <cstdint>
#include <memory>

#include "tests/models/model.h"

namespace glia::models {

struct RecurrentConfig {
  int64_t vocabulary = 10000;
  int64_t hidden = 256;
  int64_t layers = 2;
  int64_t classes = 8;
};
// Embedding, a bidirectional LSTM, or a one-way GRU, and a linear classifier of the last step.
// {tokens [batch, length]} -> {logits [batch, classes]}.
std::shared_ptr<Model> MakeLstm(const RecurrentConfig& config);
std::shared_ptr<Model> MakeGru(const RecurrentConfig& config);

struct AudioConfig {
  int64_t filters = 512;  // of the learned filter bank
  int64_t kernel = 16;    // samples of a filter; its stride is half of that
  int64_t bottleneck = 128;
  int64_t hidden = 512;
  int64_t blocks = 8;  // with dilations 1, 2, 4, …
  int64_t repeats = 3;
  int64_t speakers = 2;
};
// Conv-TasNet (arXiv:1809.07454) with global layer norm and sigmoid masks.
// {samples [batch, 1, length]} -> {[batch, speakers, length]}; the length must be a multiple of the
// stride.
std::shared_ptr<Model> MakeConvTasNet(const AudioConfig& config);

struct RecommenderConfig {
  int64_t dense = 13;
  int64_t tables = 8;
  int64_t rows = 10000;  // of each table
  int64_t dimension = 64;
  int64_t hidden = 512;
};
// DLRM (arXiv:1906.00091): bags of categories, a bottom MLP for dense features, pairwise dot
// products, a top MLP. {dense [batch, dense], categories of each table [batch, bag], …} ->
// {probability [batch, 1]}.
std::shared_ptr<Model> MakeDlrm(const RecommenderConfig& config);

}  // namespace glia::models

#endif  // GLIA_TESTS_MODELS_SEQUENCES_H_
