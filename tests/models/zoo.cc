#include "tests/models/zoo.h"

#include <ATen/Functions.h>
#include <ATen/TensorOperators.h>
#include <ATen/core/grad_mode.h>
#include <c10/util/Exception.h>

#include "tests/models/convnets.h"
#include "tests/models/sequences.h"
#include "tests/models/transformers.h"

namespace glia::models {
namespace {

constexpr uint64_t kWeightSeed = 1, kInputSeed = 2;

Instance Finish(std::shared_ptr<Model> model, Tensors inputs, const InitOptions& options = {}) {
  Initialize(*model, kWeightSeed, options);
  return {std::move(model), std::move(inputs)};
}

// Those of the images whose best class leads by most, where the model gives one class for each:
// random weights tell random images apart by chance, and near ties mean nothing.
at::Tensor Clearest(Model& model, const at::Tensor& images, int64_t count) {
  const at::NoGradGuard no_grad;
  const at::Tensor scores = model.Run({images})[0];
  if (scores.dim() != 2) return images.slice(0, 0, count).clone();
  const at::Tensor best = std::get<0>(scores.topk(2, 1));
  const at::Tensor lead = best.select(1, 0) - best.select(1, 1);
  return images.index_select(0, std::get<1>(lead.topk(count)));
}

// A network of [batch, channels, size, size] images; batch norms, if any, are calibrated on others,
// of enough pixels together.
Instance FinishImages(std::shared_ptr<Model> model, int64_t batch, int64_t channels, int64_t size) {
  Initialize(*model, kWeightSeed, {/*gain=*/2});
  Draw draw(kInputSeed);
  const at::Tensor images = draw.Normal({batch + 7, channels, size, size});
  CalibrateBatchNorms(*model, {draw.Normal({size < 100 ? 32 : 4, channels, size, size})});
  const at::Tensor clearest = Clearest(*model, images, batch);
  return {std::move(model), {clearest}};
}

Instance Mlp(Size, int64_t batch) {
  return Finish(MakeMlp(), {Draw(kInputSeed).Normal({batch, 784})}, {/*gain=*/2});
}

Instance LeNet(Size, int64_t batch) { return FinishImages(MakeLeNet(), batch, 1, 28); }

Instance ResNet18(Size size, int64_t batch) {
  const bool full = size == Size::kFull;
  return FinishImages(
      MakeResNet({{2, 2, 2, 2}, /*bottleneck=*/false, full ? 64 : 8, full ? 1000 : 10}), batch, 3,
      full ? 224 : 64);
}

Instance ResNet50(Size size, int64_t batch) {
  if (size == Size::kFull) {
    return FinishImages(MakeResNet({{3, 4, 6, 3}, /*bottleneck=*/true}), batch, 3, 224);
  }
  return FinishImages(MakeResNet({{1, 2, 1, 1}, /*bottleneck=*/true, 8, 10}), batch, 3, 64);
}

Instance Vgg16(Size size, int64_t batch) {
  if (size == Size::kFull) return FinishImages(MakeVgg16(64, 7, 4096, 1000), batch, 3, 224);
  return FinishImages(MakeVgg16(8, 2, 64, 10), batch, 3, 64);
}

Instance MobileNetV2(Size size, int64_t batch) {
  if (size == Size::kFull) return FinishImages(MakeMobileNetV2(32, 1000), batch, 3, 224);
  return FinishImages(MakeMobileNetV2(8, 10), batch, 3, 64);
}

Instance DenseNet121(Size size, int64_t batch) {
  if (size == Size::kFull) return FinishImages(MakeDenseNet({}), batch, 3, 224);
  return FinishImages(MakeDenseNet({{2, 2, 2, 2}, /*growth=*/8, /*classes=*/10}), batch, 3, 64);
}

Instance UNet(Size size, int64_t batch) {
  const bool full = size == Size::kFull;
  return FinishImages(MakeUNet(full ? 64 : 4, full ? 21 : 4), batch, 3, full ? 256 : 32);
}

Instance BertOf(const TransformerConfig& config, int64_t batch, int64_t length) {
  Draw draw(kInputSeed);
  const at::Tensor tokens = draw.Integers(config.vocabulary, {batch, length});
  const at::Tensor index = at::arange(length, at::kLong).expand({batch, length});
  // The second half is the other sentence; the last eighth is padding.
  const at::Tensor types = index.ge(length / 2).to(at::kLong);
  const at::Tensor mask = index.lt(length - length / 8).to(at::kLong);
  return Finish(MakeBert(config), {tokens, types, mask});
}

TransformerConfig SmallTransformer() {
  TransformerConfig config;
  config.layers = 2;
  config.hidden = 48;
  config.heads = 4;
  config.ffn = 96;
  config.vocabulary = 500;
  config.positions = 64;
  config.classes = 10;
  return config;
}

Instance BertBase(Size size, int64_t batch) {
  if (size == Size::kFull) return BertOf({}, batch, 128);
  return BertOf(SmallTransformer(), batch, 16);
}

TransformerConfig Gpt2Config(Size size) {
  TransformerConfig config = SmallTransformer();
  if (size == Size::kFull) {
    config = {};
    config.vocabulary = 50257;
    config.positions = 1024;
  }
  return config;
}

// Small token embeddings, so that the tied output does not just repeat the token that came in.
constexpr InitOptions kGpt2Init = {/*gain=*/1, /*embedding_std=*/0.3};

Instance Gpt2(Size size, int64_t batch) {
  const TransformerConfig config = Gpt2Config(size);
  const int64_t length = size == Size::kFull ? 128 : 12;
  return Finish(MakeGpt2Prefill(config),
                {Draw(kInputSeed).Integers(config.vocabulary, {batch, length})}, kGpt2Init);
}

Instance Gpt2Decode(Size size, int64_t batch) {
  const TransformerConfig config = Gpt2Config(size);
  const int64_t context = size == Size::kFull ? 256 : 24;
  Draw draw(kInputSeed);
  Tensors inputs = {draw.Integers(config.vocabulary, {batch, 1}),
                    at::full({1}, context / 2, at::kLong)};
  for (int64_t i = 0; i < 2 * config.layers; ++i) {
    inputs.push_back(draw.Normal({batch, config.heads, context, config.hidden / config.heads}));
  }
  return Finish(MakeGpt2Decode(config), std::move(inputs), kGpt2Init);
}

Instance VitB16(Size size, int64_t batch) {
  TransformerConfig config = SmallTransformer();
  int64_t image = 32, patch = 8;
  if (size == Size::kFull) {
    config = {};
    config.classes = 1000;
    image = 224;
    patch = 16;
  }
  return Finish(MakeVit(config, image, patch), {Draw(kInputSeed).Normal({batch, 3, image, image})});
}

Instance T5(Size size, int64_t batch) {
  TransformerConfig config = SmallTransformer();
  int64_t length = 12, answer = 5;
  if (size == Size::kFull) {  // t5-small
    config = {};
    config.layers = 6;
    config.hidden = 512;
    config.heads = 8;
    config.ffn = 2048;
    config.vocabulary = 32128;
    length = 128;
    answer = 32;
  }
  Draw draw(kInputSeed);
  const at::Tensor tokens = draw.Integers(config.vocabulary, {batch, length});
  return Finish(MakeT5(config), {tokens, draw.Integers(config.vocabulary, {batch, answer})});
}

Instance RecurrentOf(std::shared_ptr<Model> (*make)(const RecurrentConfig&), Size size,
                     int64_t batch) {
  RecurrentConfig config;
  int64_t length = 64;
  if (size == Size::kSmall) {
    config.vocabulary = 100;
    config.hidden = 16;
    length = 6;
  }
  return Finish(make(config), {Draw(kInputSeed).Integers(config.vocabulary, {batch, length})});
}

Instance Lstm(Size size, int64_t batch) { return RecurrentOf(MakeLstm, size, batch); }
Instance Gru(Size size, int64_t batch) { return RecurrentOf(MakeGru, size, batch); }

Instance ConvTasNet(Size size, int64_t batch) {
  AudioConfig config;
  int64_t samples = 16000;
  if (size == Size::kSmall) {
    config = {/*filters=*/24, /*kernel=*/16, /*bottleneck=*/12,
              /*hidden=*/20,  /*blocks=*/3,
              /*repeats=*/2};
    samples = 640;
  }
  return Finish(MakeConvTasNet(config), {Draw(kInputSeed).Normal({batch, 1, samples})});
}

// The batch is that of the candidates to rank; one request has 16.
Instance Dlrm(Size size, int64_t batch) {
  RecommenderConfig config;
  if (size == Size::kSmall) {
    config = {/*dense=*/5, /*tables=*/3, /*rows=*/50, /*dimension=*/8, /*hidden=*/32};
  }
  Draw draw(kInputSeed);
  Tensors inputs = {draw.Uniform(0, 1, {16 * batch, config.dense})};
  for (int64_t i = 0; i < config.tables; ++i) {
    inputs.push_back(draw.Integers(config.rows, {16 * batch, 4}));
  }
  return Finish(MakeDlrm(config), std::move(inputs), {/*gain=*/2, /*embedding_std=*/0.2});
}

}  // namespace

const std::vector<Entry>& Zoo() {
  static const std::vector<Entry>* entries = new std::vector<Entry>{
      {"mlp", Mlp, 1},
      {"lenet", LeNet, 1},
      {"resnet18", ResNet18, 1},
      {"resnet50", ResNet50, 1},
      {"vgg16", Vgg16, 1},
      {"mobilenet_v2", MobileNetV2, 1},
      {"densenet121", DenseNet121, 1},
      {"unet", UNet, 1},
      {"bert_base", BertBase, 1},
      {"gpt2", Gpt2, 1},
      {"gpt2_decode", Gpt2Decode, 1, /*first_state=*/2},
      {"vit_b_16", VitB16, 1},
      {"t5", T5, 1},
      {"lstm", Lstm, 1},
      {"gru", Gru, 1},
      {"conv_tasnet", ConvTasNet, Entry::kNoClasses},
      {"dlrm", Dlrm, 0},
  };
  return *entries;
}

const Entry& Find(const std::string& name) {
  std::string names;
  for (const Entry& entry : Zoo()) {
    if (name == entry.name) return entry;
    names += std::string(" ") + entry.name;
  }
  TORCH_CHECK(false, "no model is called '", name, "'; there are:", names);
}

}  // namespace glia::models
