#include "tests/models/sequences.h"

#include <ATen/Functions.h>
#include <torch/nn/modules/activation.h>
#include <torch/nn/modules/container/modulelist.h>
#include <torch/nn/modules/container/sequential.h>
#include <torch/nn/modules/conv.h>
#include <torch/nn/modules/embedding.h>
#include <torch/nn/modules/linear.h>
#include <torch/nn/modules/normalization.h>
#include <torch/nn/modules/rnn.h>

#include <string>
#include <tuple>

namespace glia::models {
namespace {

namespace nn = torch::nn;

class Lstm : public Model {
 public:
  explicit Lstm(const RecurrentConfig& c)
      : words_(register_module("word_embedding", nn::Embedding(c.vocabulary, c.hidden))),
        lstm_(register_module("lstm", nn::LSTM(nn::LSTMOptions(c.hidden, c.hidden)
                                                   .num_layers(c.layers)
                                                   .batch_first(true)
                                                   .bidirectional(true)))),
        classifier_(register_module("classifier", nn::Linear(2 * c.hidden, c.classes))) {}
  Tensors Run(const Tensors& inputs) override {
    const at::Tensor hidden = std::get<0>(std::get<1>(lstm_(words_(inputs[0]))));
    const int64_t last = hidden.size(0);
    return {classifier_(at::cat({hidden.select(0, last - 2), hidden.select(0, last - 1)}, 1))};
  }

 private:
  nn::Embedding words_;
  nn::LSTM lstm_;
  nn::Linear classifier_;
};

class Gru : public Model {
 public:
  explicit Gru(const RecurrentConfig& c)
      : words_(register_module("word_embedding", nn::Embedding(c.vocabulary, c.hidden))),
        gru_(register_module(
            "gru",
            nn::GRU(nn::GRUOptions(c.hidden, c.hidden).num_layers(c.layers).batch_first(true)))),
        classifier_(register_module("classifier", nn::Linear(c.hidden, c.classes))) {}
  Tensors Run(const Tensors& inputs) override {
    const at::Tensor states = std::get<0>(gru_(words_(inputs[0])));
    return {classifier_(states.select(1, states.size(1) - 1))};
  }

 private:
  nn::Embedding words_;
  nn::GRU gru_;
  nn::Linear classifier_;
};

nn::Conv1d PointConv(int64_t in, int64_t out) { return nn::Conv1d(nn::Conv1dOptions(in, out, 1)); }

nn::GroupNorm GlobalNorm(int64_t channels) {
  return nn::GroupNorm(nn::GroupNormOptions(/*num_groups=*/1, channels));
}

// Widen, dilated depthwise convolution, then a residual and a skip output.
class AudioBlock : public nn::Module {
 public:
  AudioBlock(const AudioConfig& c, int64_t dilation)
      : body_(register_module(
            "body",
            nn::Sequential(PointConv(c.bottleneck, c.hidden), nn::PReLU(), GlobalNorm(c.hidden),
                           nn::Conv1d(nn::Conv1dOptions(c.hidden, c.hidden, 3)
                                          .padding(dilation)
                                          .dilation(dilation)
                                          .groups(c.hidden)),
                           nn::PReLU(), GlobalNorm(c.hidden)))),
        residual_(register_module("residual", PointConv(c.hidden, c.bottleneck))),
        skip_(register_module("skip", PointConv(c.hidden, c.bottleneck))) {}

  at::Tensor forward(const at::Tensor& x, at::Tensor* skips) {
    const at::Tensor y = body_->forward(x);
    const at::Tensor skip = skip_(y);
    *skips = skips->defined() ? *skips + skip : skip;
    return x + residual_(y);
  }

 private:
  nn::Sequential body_;
  nn::Conv1d residual_, skip_;
};

class ConvTasNet : public Model {
 public:
  explicit ConvTasNet(const AudioConfig& c)
      : speakers_(c.speakers),
        encoder_(register_module("encoder", nn::Conv1d(nn::Conv1dOptions(1, c.filters, c.kernel)
                                                           .stride(c.kernel / 2)
                                                           .padding(c.kernel / 2)
                                                           .bias(false)))),
        norm_(register_module("norm", GlobalNorm(c.filters))),
        narrow_(register_module("narrow", PointConv(c.filters, c.bottleneck))),
        activation_(register_module("activation", nn::PReLU())),
        masks_(register_module("masks", PointConv(c.bottleneck, c.speakers * c.filters))),
        decoder_(register_module(
            "decoder", nn::ConvTranspose1d(nn::ConvTranspose1dOptions(c.filters, 1, c.kernel)
                                               .stride(c.kernel / 2)
                                               .padding(c.kernel / 2)
                                               .bias(false)))) {
    for (int64_t i = 0; i < c.repeats * c.blocks; ++i) {
      blocks_->push_back(AudioBlock(c, int64_t{1} << (i % c.blocks)));
    }
    register_module("blocks", blocks_);
  }

  Tensors Run(const Tensors& inputs) override {
    const at::Tensor features = encoder_(inputs[0]);
    const int64_t batch = features.size(0), filters = features.size(1), frames = features.size(2);
    at::Tensor x = narrow_(norm_(features)), skips;
    for (const auto& block : *blocks_) x = block->as<AudioBlock>()->forward(x, &skips);
    const at::Tensor masks = at::sigmoid(masks_(activation_(skips)));
    const at::Tensor masked =
        masks.view({batch, speakers_, filters, frames}) * features.unsqueeze(1);
    const at::Tensor waves = decoder_(masked.view({batch * speakers_, filters, frames}));
    return {waves.view({batch, speakers_, -1})};
  }

 private:
  int64_t speakers_;
  nn::Conv1d encoder_;
  nn::GroupNorm norm_;
  nn::Conv1d narrow_;
  nn::PReLU activation_;
  nn::Conv1d masks_;
  nn::ConvTranspose1d decoder_;
  nn::ModuleList blocks_;
};

class Dlrm : public Model {
 public:
  explicit Dlrm(const RecommenderConfig& c) {
    bottom_ =
        register_module("bottom", nn::Sequential(nn::Linear(c.dense, c.hidden), nn::ReLU(),
                                                 nn::Linear(c.hidden, c.dimension), nn::ReLU()));
    for (int64_t i = 0; i < c.tables; ++i) {
      tables_->push_back(
          nn::EmbeddingBag(nn::EmbeddingBagOptions(c.rows, c.dimension).mode(torch::kSum)));
    }
    register_module("embedding_tables", tables_);
    const int64_t vectors = c.tables + 1;
    const at::Tensor pairs = at::tril_indices(vectors, vectors, /*offset=*/-1);
    rows_ = register_buffer("rows", pairs[0].contiguous());
    columns_ = register_buffer("columns", pairs[1].contiguous());
    top_ = register_module(
        "top", nn::Sequential(nn::Linear(c.dimension + pairs.size(1), c.hidden), nn::ReLU(),
                              nn::Linear(c.hidden, c.hidden / 2), nn::ReLU(),
                              nn::Linear(c.hidden / 2, 1), nn::Sigmoid()));
  }

  Tensors Run(const Tensors& inputs) override {
    const at::Tensor dense = bottom_->forward(inputs[0]);
    Tensors vectors = {dense};
    for (size_t i = 0; i < tables_->size(); ++i) {
      vectors.push_back(tables_[i]->as<nn::EmbeddingBag>()->forward(inputs[i + 1]));
    }
    const at::Tensor stacked = at::stack(vectors, 1);
    const at::Tensor products = at::bmm(stacked, stacked.transpose(1, 2));
    const at::Tensor pairs = at::index(products, {c10::optional<at::Tensor>(), rows_, columns_});
    return {top_->forward(at::cat({dense, pairs}, 1))};
  }

 private:
  nn::Sequential bottom_{nullptr}, top_{nullptr};
  nn::ModuleList tables_;
  at::Tensor rows_, columns_;
};

}  // namespace

std::shared_ptr<Model> MakeLstm(const RecurrentConfig& config) {
  return std::make_shared<Lstm>(config);
}

std::shared_ptr<Model> MakeGru(const RecurrentConfig& config) {
  return std::make_shared<Gru>(config);
}

std::shared_ptr<Model> MakeConvTasNet(const AudioConfig& config) {
  return std::make_shared<ConvTasNet>(config);
}

std::shared_ptr<Model> MakeDlrm(const RecommenderConfig& config) {
  return std::make_shared<Dlrm>(config);
}

}  // namespace glia::models
