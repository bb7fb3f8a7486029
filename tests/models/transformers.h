// Transformers of the zoo. Tokens, types, positions and masks are int64.
#ifndef GLIA_TESTS_MODELS_TRANSFORMERS_H_
#define GLIA_TESTS_MODELS_TRANSFORMERS_H_

#include <cstdint>
#include <memory>

#include "tests/models/model.h"

namespace glia::models {

struct TransformerConfig {
  int64_t layers = 12;
  int64_t hidden = 768;
  int64_t heads = 12;
  int64_t ffn = 3072;
  int64_t vocabulary = 30522;
  int64_t positions = 512;
  int64_t classes = 2;
};

// BERT with a classification head, layer norm after each residual, GELU by erf.
// {tokens, types, mask: each [batch, length]} -> {logits [batch, classes],
// hidden [batch, length, hidden]}.
std::shared_ptr<Model> MakeBert(const TransformerConfig& config);

// GPT-2: layer norm before each part, GELU by tanh, output tied to the token embedding.
// Prefill: {tokens [batch, length]} -> {logits of the last position [batch, vocabulary],
// key and value of each layer [batch, heads, length, hidden / heads], …}.
std::shared_ptr<Model> MakeGpt2Prefill(const TransformerConfig& config);

// One token with a KV cache of any fixed length: {tokens [batch, 1], position [1], key and value
// cache of each layer [batch, heads, context, hidden / heads], …} -> {logits, the caches}. The
// token's key and value are written into the caches in place, at `position`; slots after it are not
// read. The same weights as the prefill's when initialised from the same seed.
std::shared_ptr<Model> MakeGpt2Decode(const TransformerConfig& config);

// ViT on torch::nn::MultiheadAttention, [batch, 3, image, image] -> {logits [batch, classes]}.
std::shared_ptr<Model> MakeVit(const TransformerConfig& config, int64_t image, int64_t patch);

// T5: RMS norm, relative position biases, ReLU feed-forward, no biases, `layers` in both halves.
// {encoder tokens [batch, length], decoder tokens [batch, length 2]} ->
// {logits of the last position [batch, vocabulary], decoder states [batch, length 2, hidden]}.
std::shared_ptr<Model> MakeT5(const TransformerConfig& config);

}  // namespace glia::models

#endif  // GLIA_TESTS_MODELS_TRANSFORMERS_H_
