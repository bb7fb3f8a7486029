#include "tests/models/transformers.h"

#include <ATen/Functions.h>
#include <torch/nn/modules/activation.h>
#include <torch/nn/modules/container/modulelist.h>
#include <torch/nn/modules/conv.h>
#include <torch/nn/modules/dropout.h>
#include <torch/nn/modules/embedding.h>
#include <torch/nn/modules/linear.h>
#include <torch/nn/modules/normalization.h>

#include <cmath>
#include <limits>
#include <string>
#include <tuple>

namespace glia::models {
namespace {

namespace nn = torch::nn;

// [batch, length, hidden] -> [batch, heads, length, hidden / heads].
at::Tensor SplitHeads(const at::Tensor& x, int64_t heads) {
  return x.view({x.size(0), x.size(1), heads, x.size(2) / heads}).transpose(1, 2);
}

at::Tensor MergeHeads(const at::Tensor& x) {
  return x.transpose(1, 2).reshape({x.size(0), x.size(2), x.size(1) * x.size(3)});
}

// `bias` is added to the scores, where it is defined.
at::Tensor Attend(const at::Tensor& q, const at::Tensor& k, const at::Tensor& v, double scale,
                  const at::Tensor& bias) {
  at::Tensor scores = at::matmul(q, k.transpose(-1, -2));
  if (scale != 1) scores = scores * scale;
  if (bias.defined()) scores = scores + bias;
  return MergeHeads(at::matmul(at::softmax(scores, -1), v));
}

nn::LayerNorm Norm(int64_t hidden) { return nn::LayerNorm(nn::LayerNormOptions({hidden})); }

// ---- BERT

class BertLayer : public nn::Module {
 public:
  explicit BertLayer(const TransformerConfig& c)
      : heads_(c.heads),
        query_(register_module("query", nn::Linear(c.hidden, c.hidden))),
        key_(register_module("key", nn::Linear(c.hidden, c.hidden))),
        value_(register_module("value", nn::Linear(c.hidden, c.hidden))),
        output_(register_module("output", nn::Linear(c.hidden, c.hidden))),
        attention_norm_(register_module("attention_norm", Norm(c.hidden))),
        widen_(register_module("widen", nn::Linear(c.hidden, c.ffn))),
        narrow_(register_module("narrow", nn::Linear(c.ffn, c.hidden))),
        norm_(register_module("norm", Norm(c.hidden))) {}

  at::Tensor forward(const at::Tensor& x, const at::Tensor& bias) {
    const double scale = 1 / std::sqrt(static_cast<double>(x.size(2) / heads_));
    const at::Tensor context = Attend(SplitHeads(query_(x), heads_), SplitHeads(key_(x), heads_),
                                      SplitHeads(value_(x), heads_), scale, bias);
    const at::Tensor y = attention_norm_(output_(context) + x);
    return norm_(narrow_(at::gelu(widen_(y))) + y);
  }

 private:
  int64_t heads_;
  nn::Linear query_, key_, value_, output_;
  nn::LayerNorm attention_norm_;
  nn::Linear widen_, narrow_;
  nn::LayerNorm norm_;
};

class Bert : public Model {
 public:
  explicit Bert(const TransformerConfig& c)
      : words_(register_module("word_embedding", nn::Embedding(c.vocabulary, c.hidden))),
        positions_(register_module("position_embedding", nn::Embedding(c.positions, c.hidden))),
        types_(register_module("type_embedding", nn::Embedding(2, c.hidden))),
        norm_(register_module("norm", Norm(c.hidden))),
        dropout_(register_module("dropout", nn::Dropout(0.1))),
        pooler_(register_module("pooler", nn::Linear(c.hidden, c.hidden))),
        classifier_(register_module("classifier", nn::Linear(c.hidden, c.classes))),
        position_ids_(register_buffer("position_ids", at::arange(c.positions, at::kLong))) {
    for (int64_t i = 0; i < c.layers; ++i) layers_->push_back(BertLayer(c));
    register_module("layers", layers_);
  }

  Tensors Run(const Tensors& inputs) override {
    const at::Tensor& tokens = inputs[0];
    const at::Tensor ids = position_ids_.slice(0, 0, tokens.size(1)).unsqueeze(0);
    const at::Tensor mask = inputs[2].unsqueeze(1).unsqueeze(2).to(at::kFloat);
    const at::Tensor bias = (1 - mask) * -10000.0;
    at::Tensor x = dropout_(norm_(words_(tokens) + types_(inputs[1]) + positions_(ids)));
    for (const auto& layer : *layers_) x = layer->as<BertLayer>()->forward(x, bias);
    const at::Tensor pooled = at::tanh(pooler_(x.select(1, 0)));
    return {classifier_(pooled), x};
  }

 private:
  nn::Embedding words_, positions_, types_;
  nn::LayerNorm norm_;
  nn::Dropout dropout_;
  nn::Linear pooler_, classifier_;
  at::Tensor position_ids_;
  nn::ModuleList layers_;
};

// ---- GPT-2

// Key and value of one layer, [batch, heads, length, hidden / heads].
struct KeyValue {
  at::Tensor key, value;
};

class GptBlock : public nn::Module {
 public:
  explicit GptBlock(const TransformerConfig& c)
      : heads_(c.heads),
        attention_norm_(register_module("attention_norm", Norm(c.hidden))),
        qkv_(register_module("qkv", nn::Linear(c.hidden, 3 * c.hidden))),
        output_(register_module("output", nn::Linear(c.hidden, c.hidden))),
        norm_(register_module("norm", Norm(c.hidden))),
        widen_(register_module("widen", nn::Linear(c.hidden, c.ffn))),
        narrow_(register_module("narrow", nn::Linear(c.ffn, c.hidden))) {}

  // `remember` takes the new key and value to those that attention sees.
  template <typename Remember>
  at::Tensor forward(const at::Tensor& x, const at::Tensor& hidden_slots,
                     const Remember& remember) {
    const double scale = 1 / std::sqrt(static_cast<double>(x.size(2) / heads_));
    const std::vector<at::Tensor> qkv = qkv_(attention_norm_(x)).chunk(3, -1);
    const KeyValue seen = remember(SplitHeads(qkv[1], heads_), SplitHeads(qkv[2], heads_));
    at::Tensor scores = at::matmul(SplitHeads(qkv[0], heads_), seen.key.transpose(-1, -2)) * scale;
    scores = scores.masked_fill(hidden_slots, -std::numeric_limits<float>::infinity());
    const at::Tensor y = x + output_(MergeHeads(at::matmul(at::softmax(scores, -1), seen.value)));
    return y + narrow_(at::gelu(widen_(norm_(y)), "tanh"));
  }

 private:
  int64_t heads_;
  nn::LayerNorm attention_norm_;
  nn::Linear qkv_, output_;
  nn::LayerNorm norm_;
  nn::Linear widen_, narrow_;
};

class Gpt2 : public Model {
 public:
  explicit Gpt2(const TransformerConfig& c)
      : words_(register_module("word_embedding", nn::Embedding(c.vocabulary, c.hidden))),
        positions_(register_module("position_embedding", nn::Embedding(c.positions, c.hidden))),
        norm_(register_module("norm", Norm(c.hidden))),
        slots_(register_buffer("slots", at::arange(c.positions, at::kLong))) {
    for (int64_t i = 0; i < c.layers; ++i) blocks_->push_back(GptBlock(c));
    register_module("blocks", blocks_);
  }

 protected:
  // The first `length` positions.
  at::Tensor Slots(int64_t length) { return slots_.slice(0, 0, length); }
  at::Tensor Embed(const at::Tensor& tokens, const at::Tensor& positions) {
    return words_(tokens) + positions_(positions);
  }
  // Of the last position in x.
  at::Tensor Logits(const at::Tensor& x) {
    return at::linear(norm_(x).select(1, x.size(1) - 1), words_->weight);
  }

  nn::ModuleList blocks_;

 private:
  nn::Embedding words_, positions_;
  nn::LayerNorm norm_;
  at::Tensor slots_;
};

class Gpt2Prefill : public Gpt2 {
 public:
  using Gpt2::Gpt2;
  Tensors Run(const Tensors& inputs) override {
    const at::Tensor& tokens = inputs[0];
    const at::Tensor slots = Slots(tokens.size(1));
    const at::Tensor later = slots.unsqueeze(0).gt(slots.unsqueeze(1));
    at::Tensor x = Embed(tokens, slots);
    Tensors outputs(1);
    for (const auto& block : *blocks_) {
      x = block->as<GptBlock>()->forward(x, later,
                                         [&](const at::Tensor& key, const at::Tensor& value) {
                                           outputs.push_back(key.contiguous());
                                           outputs.push_back(value.contiguous());
                                           return KeyValue{key, value};
                                         });
    }
    outputs[0] = Logits(x);
    return outputs;
  }
};

class Gpt2Decode : public Gpt2 {
 public:
  using Gpt2::Gpt2;
  Tensors Run(const Tensors& inputs) override {
    const at::Tensor& position = inputs[1];
    const at::Tensor later = Slots(inputs[2].size(2)).gt(position);
    at::Tensor x = Embed(inputs[0], position);
    Tensors outputs(1);
    size_t next = 2;
    for (const auto& block : *blocks_) {
      x = block->as<GptBlock>()->forward(x, later,
                                         [&](const at::Tensor& key, const at::Tensor& value) {
                                           KeyValue cache{inputs[next], inputs[next + 1]};
                                           next += 2;
                                           cache.key.index_copy_(2, position, key);
                                           cache.value.index_copy_(2, position, value);
                                           outputs.push_back(cache.key);
                                           outputs.push_back(cache.value);
                                           return cache;
                                         });
    }
    outputs[0] = Logits(x);
    return outputs;
  }
};

// ---- ViT

class VitLayer : public nn::Module {
 public:
  explicit VitLayer(const TransformerConfig& c)
      : attention_norm_(register_module("attention_norm", Norm(c.hidden))),
        attention_(register_module("attention", nn::MultiheadAttention(c.hidden, c.heads))),
        norm_(register_module("norm", Norm(c.hidden))),
        widen_(register_module("widen", nn::Linear(c.hidden, c.ffn))),
        narrow_(register_module("narrow", nn::Linear(c.ffn, c.hidden))) {}

  // [length, batch, hidden], as MultiheadAttention takes it.
  at::Tensor forward(const at::Tensor& x) {
    const at::Tensor normal = attention_norm_(x);
    const at::Tensor y =
        x + std::get<0>(attention_(normal, normal, normal, /*key_padding_mask=*/at::Tensor(),
                                   /*need_weights=*/false));
    return y + narrow_(at::gelu(widen_(norm_(y))));
  }

 private:
  nn::LayerNorm attention_norm_;
  nn::MultiheadAttention attention_;
  nn::LayerNorm norm_;
  nn::Linear widen_, narrow_;
};

class Vit : public Model {
 public:
  Vit(const TransformerConfig& c, int64_t image, int64_t patch)
      : patches_(register_module("patches",
                                 nn::Conv2d(nn::Conv2dOptions(3, c.hidden, patch).stride(patch)))),
        class_token_(register_parameter("class_token_embedding", at::zeros({1, 1, c.hidden}))),
        positions_(register_parameter(
            "position_embedding", at::zeros({1, (image / patch) * (image / patch) + 1, c.hidden}))),
        norm_(register_module("norm", Norm(c.hidden))),
        classifier_(register_module("classifier", nn::Linear(c.hidden, c.classes))) {
    for (int64_t i = 0; i < c.layers; ++i) layers_->push_back(VitLayer(c));
    register_module("layers", layers_);
  }
  Tensors Run(const Tensors& inputs) override {
    const at::Tensor patches = patches_(inputs[0]).flatten(2).transpose(1, 2);
    const at::Tensor token = class_token_.expand({patches.size(0), -1, -1});
    at::Tensor x = (at::cat({token, patches}, 1) + positions_).transpose(0, 1);
    for (const auto& layer : *layers_) x = layer->as<VitLayer>()->forward(x);
    return {classifier_(norm_(x.select(0, 0)))};
  }

 private:
  nn::Conv2d patches_;
  at::Tensor class_token_, positions_;
  nn::LayerNorm norm_;
  nn::Linear classifier_;
  nn::ModuleList layers_;
};

// ---- T5

class RmsNormImpl : public nn::Module {
 public:
  explicit RmsNormImpl(int64_t hidden)
      : weight_(register_parameter("weight", at::ones({hidden}))) {}
  at::Tensor forward(const at::Tensor& x) {
    return weight_ * (x * at::rsqrt(x.pow(2).mean(-1, /*keepdim=*/true) + 1e-6));
  }

 private:
  at::Tensor weight_;
};
TORCH_MODULE(RmsNorm);

nn::Linear Matrix(int64_t in, int64_t out) {
  return nn::Linear(nn::LinearOptions(in, out).bias(false));
}

class T5Attention : public nn::Module {
 public:
  explicit T5Attention(const TransformerConfig& c)
      : heads_(c.heads),
        norm_(register_module("norm", RmsNorm(c.hidden))),
        query_(register_module("query", Matrix(c.hidden, c.hidden))),
        key_(register_module("key", Matrix(c.hidden, c.hidden))),
        value_(register_module("value", Matrix(c.hidden, c.hidden))),
        output_(register_module("output", Matrix(c.hidden, c.hidden))) {}

  // Adds to x what it attends to in `memory`, or in itself where that is undefined.
  at::Tensor forward(const at::Tensor& x, const at::Tensor& memory, const at::Tensor& bias) {
    const at::Tensor normal = norm_(x);
    const at::Tensor& source = memory.defined() ? memory : normal;
    // T5 does not scale its scores; its initialisation does. 1 / sqrt(d) stands in for that.
    const double scale = 1 / std::sqrt(static_cast<double>(x.size(2) / heads_));
    return x + output_(Attend(SplitHeads(query_(normal), heads_), SplitHeads(key_(source), heads_),
                              SplitHeads(value_(source), heads_), scale, bias));
  }

 private:
  int64_t heads_;
  RmsNorm norm_;
  nn::Linear query_, key_, value_, output_;
};

class T5FeedForward : public nn::Module {
 public:
  explicit T5FeedForward(const TransformerConfig& c)
      : norm_(register_module("norm", RmsNorm(c.hidden))),
        widen_(register_module("widen", Matrix(c.hidden, c.ffn))),
        narrow_(register_module("narrow", Matrix(c.ffn, c.hidden))) {}
  at::Tensor forward(const at::Tensor& x) { return x + narrow_(at::relu(widen_(norm_(x)))); }

 private:
  RmsNorm norm_;
  nn::Linear widen_, narrow_;
};

class T5 : public Model {
 public:
  static constexpr int64_t kBuckets = 32, kFarthest = 128;

  explicit T5(const TransformerConfig& c)
      : words_(register_module("word_embedding", nn::Embedding(c.vocabulary, c.hidden))),
        encoder_bias_(register_module("encoder_bias_embedding", nn::Embedding(kBuckets, c.heads))),
        decoder_bias_(register_module("decoder_bias_embedding", nn::Embedding(kBuckets, c.heads))),
        encoder_norm_(register_module("encoder_norm", RmsNorm(c.hidden))),
        decoder_norm_(register_module("decoder_norm", RmsNorm(c.hidden))),
        head_(register_module("head", Matrix(c.hidden, c.vocabulary))) {
    for (int64_t i = 0; i < c.layers; ++i) {
      encoder_->push_back(T5Attention(c));
      encoder_->push_back(T5FeedForward(c));
      decoder_->push_back(T5Attention(c));
      decoder_->push_back(T5Attention(c));
      decoder_->push_back(T5FeedForward(c));
    }
    register_module("encoder", encoder_);
    register_module("decoder", decoder_);
  }

  Tensors Run(const Tensors& inputs) override {
    at::Tensor memory = words_(inputs[0]);
    const at::Tensor encoder_bias = Bias(memory, encoder_bias_, /*both_ways=*/true);
    for (size_t i = 0; i < encoder_->size(); i += 2) {
      memory = encoder_[i]->as<T5Attention>()->forward(memory, at::Tensor(), encoder_bias);
      memory = encoder_[i + 1]->as<T5FeedForward>()->forward(memory);
    }
    memory = encoder_norm_(memory);

    at::Tensor x = words_(inputs[1]);
    const int64_t length = x.size(1);
    const at::Tensor later =
        at::full({length, length}, -std::numeric_limits<float>::infinity(), x.options()).triu(1);
    const at::Tensor decoder_bias = Bias(x, decoder_bias_, /*both_ways=*/false) + later;
    for (size_t i = 0; i < decoder_->size(); i += 3) {
      x = decoder_[i]->as<T5Attention>()->forward(x, at::Tensor(), decoder_bias);
      x = decoder_[i + 1]->as<T5Attention>()->forward(x, memory, at::Tensor());
      x = decoder_[i + 2]->as<T5FeedForward>()->forward(x);
    }
    x = decoder_norm_(x);
    return {head_(x.select(1, length - 1)), x};
  }

 private:
  // [1, heads, length, length], computed on the device from the distance: buckets of one up to half
  // of them, then logarithmic ones (section 2.1 of arXiv:1910.10683).
  at::Tensor Bias(const at::Tensor& x, nn::Embedding& table, bool both_ways) {
    const at::Tensor index = at::arange(x.size(1), x.options().dtype(at::kLong));
    const at::Tensor relative = index.unsqueeze(0) - index.unsqueeze(1);
    const int64_t buckets = both_ways ? kBuckets / 2 : kBuckets;
    const at::Tensor distance = both_ways ? relative.abs() : -relative.clamp_max(0);
    const int64_t exact = buckets / 2;
    const double step = std::log(static_cast<double>(kFarthest) / static_cast<double>(exact)) /
                        static_cast<double>(buckets - exact);
    const at::Tensor far =
        (at::log(distance.clamp_min(1).to(at::kFloat) / static_cast<double>(exact)) / step)
            .to(at::kLong)
            .add(exact)
            .clamp_max(buckets - 1);
    at::Tensor bucket = at::where(distance.lt(exact), distance, far);
    if (both_ways) bucket = bucket + relative.gt(0).to(at::kLong) * buckets;
    return table(bucket).permute({2, 0, 1}).unsqueeze(0);
  }

  nn::Embedding words_, encoder_bias_, decoder_bias_;
  RmsNorm encoder_norm_, decoder_norm_;
  nn::Linear head_;
  nn::ModuleList encoder_, decoder_;
};

}  // namespace

std::shared_ptr<Model> MakeBert(const TransformerConfig& config) {
  return std::make_shared<Bert>(config);
}

std::shared_ptr<Model> MakeGpt2Prefill(const TransformerConfig& config) {
  return std::make_shared<Gpt2Prefill>(config);
}

std::shared_ptr<Model> MakeGpt2Decode(const TransformerConfig& config) {
  return std::make_shared<Gpt2Decode>(config);
}

std::shared_ptr<Model> MakeVit(const TransformerConfig& config, int64_t image, int64_t patch) {
  return std::make_shared<Vit>(config, image, patch);
}

std::shared_ptr<Model> MakeT5(const TransformerConfig& config) {
  return std::make_shared<T5>(config);
}

}  // namespace glia::models
