#include "tests/models/convnets.h"

#include <ATen/Functions.h>
#include <torch/nn/modules/activation.h>
#include <torch/nn/modules/batchnorm.h>
#include <torch/nn/modules/container/modulelist.h>
#include <torch/nn/modules/container/sequential.h>
#include <torch/nn/modules/conv.h>
#include <torch/nn/modules/dropout.h>
#include <torch/nn/modules/linear.h>
#include <torch/nn/modules/pooling.h>

namespace glia::models {
namespace {

namespace nn = torch::nn;

// A model that is one chain of modules.
class Chain : public Model {
 public:
  explicit Chain(nn::Sequential layers) : layers_(register_module("layers", std::move(layers))) {}
  Tensors Run(const Tensors& inputs) override { return {layers_->forward(inputs[0])}; }

 private:
  nn::Sequential layers_;
};

struct ConvShape {
  int64_t in, out, kernel;
  int64_t stride = 1, groups = 1;
};

nn::Conv2d Conv(const ConvShape& s, bool bias = false) {
  return nn::Conv2d(nn::Conv2dOptions(s.in, s.out, s.kernel)
                        .stride(s.stride)
                        .padding(s.kernel / 2)
                        .groups(s.groups)
                        .bias(bias));
}

nn::MaxPool2d MaxPool(int64_t kernel, int64_t stride, int64_t padding = 0) {
  return nn::MaxPool2d(nn::MaxPool2dOptions(kernel).stride(stride).padding(padding));
}

// Mean over the pixels, then a linear classifier.
at::Tensor Classify(const at::Tensor& features, nn::Linear& classifier) {
  return classifier(at::flatten(at::adaptive_avg_pool2d(features, {1, 1}), 1));
}

class ResidualBlock : public nn::Module {
 public:
  ResidualBlock(int64_t in, int64_t width, int64_t out, int64_t stride, bool bottleneck) {
    if (bottleneck) {
      Add({in, width, 1});
      Add({width, width, 3, stride});
      convs_->push_back(Conv({width, out, 1}));
    } else {
      Add({in, width, 3, stride});
      convs_->push_back(Conv({width, out, 3}));
    }
    if (stride != 1 || in != out) {
      shortcut_ = register_module("shortcut",
                                  nn::Sequential(Conv({in, out, 1, stride}), nn::BatchNorm2d(out)));
    }
    register_module("convs", convs_);
    register_module("norms", norms_);
    branch_norm_ = register_module("branch_norm", nn::BatchNorm2d(out));
  }

  at::Tensor forward(const at::Tensor& x) {
    at::Tensor y = x;
    const size_t last = convs_->size() - 1;
    for (size_t i = 0; i < last; ++i) {
      y = convs_[i]->as<nn::Conv2d>()->forward(y);
      y = norms_[i]->as<nn::BatchNorm2d>()->forward(y);
      at::relu_(y);
    }
    y = branch_norm_(convs_[last]->as<nn::Conv2d>()->forward(y));
    y += shortcut_.is_empty() ? x : shortcut_->forward(x);
    return at::relu_(y);
  }

 private:
  void Add(const ConvShape& shape) {
    convs_->push_back(Conv(shape));
    norms_->push_back(nn::BatchNorm2d(shape.out));
  }

  nn::ModuleList convs_, norms_;
  nn::BatchNorm2d branch_norm_{nullptr};  // see Initialize
  nn::Sequential shortcut_{nullptr};
};

class ResNet : public Model {
 public:
  explicit ResNet(const ResNetConfig& config) {
    const int64_t expansion = config.bottleneck ? 4 : 1;
    body_->push_back(Conv({3, config.width, 7, 2}));
    body_->push_back(nn::BatchNorm2d(config.width));
    body_->push_back(nn::ReLU(nn::ReLUOptions(/*inplace=*/true)));
    body_->push_back(MaxPool(3, 2, 1));
    int64_t in = config.width;
    for (size_t stage = 0; stage < config.blocks.size(); ++stage) {
      const int64_t width = config.width << stage;
      for (int64_t block = 0; block < config.blocks[stage]; ++block) {
        body_->push_back(ResidualBlock(in, width, width * expansion,
                                       block == 0 && stage > 0 ? 2 : 1, config.bottleneck));
        in = width * expansion;
      }
    }
    register_module("body", body_);
    classifier_ = register_module("classifier", nn::Linear(in, config.classes));
  }
  Tensors Run(const Tensors& inputs) override {
    return {Classify(body_->forward(inputs[0]), classifier_)};
  }

 private:
  nn::Sequential body_;
  nn::Linear classifier_{nullptr};
};

class Vgg16 : public Model {
 public:
  Vgg16(int64_t width, int64_t pooled, int64_t hidden, int64_t classes) {
    int64_t in = 3;
    const int64_t multiples[] = {1, 2, 4, 8, 8}, convolutions[] = {2, 2, 3, 3, 3};
    for (int stage = 0; stage < 5; ++stage) {
      for (int64_t i = 0; i < convolutions[stage]; ++i) {
        const int64_t out = width * multiples[stage];
        features_->push_back(Conv({in, out, 3}, /*bias=*/true));
        features_->push_back(nn::ReLU(nn::ReLUOptions(/*inplace=*/true)));
        in = out;
      }
      features_->push_back(MaxPool(2, 2));
    }
    features_->push_back(nn::AdaptiveAvgPool2d(pooled));
    register_module("features", features_);
    classifier_ = register_module(
        "classifier", nn::Sequential(nn::Linear(in * pooled * pooled, hidden), nn::ReLU(),
                                     nn::Dropout(), nn::Linear(hidden, hidden), nn::ReLU(),
                                     nn::Dropout(), nn::Linear(hidden, classes)));
  }
  Tensors Run(const Tensors& inputs) override {
    return {classifier_->forward(at::flatten(features_->forward(inputs[0]), 1))};
  }

 private:
  nn::Sequential features_, classifier_{nullptr};
};

class InvertedResidual : public nn::Module {
 public:
  InvertedResidual(int64_t in, int64_t out, int64_t stride, int64_t expansion)
      : residual_(stride == 1 && in == out) {
    const int64_t hidden = in * expansion;
    if (expansion != 1) Add({in, hidden, 1});
    Add({hidden, hidden, 3, stride, /*groups=*/hidden});
    layers_->push_back(Conv({hidden, out, 1}));
    register_module("layers", layers_);
    norm_ = register_module(residual_ ? "branch_norm" : "norm", nn::BatchNorm2d(out));
  }
  at::Tensor forward(const at::Tensor& x) {
    const at::Tensor y = norm_(layers_->forward(x));
    return residual_ ? x + y : y;
  }

 private:
  void Add(const ConvShape& shape) {
    layers_->push_back(Conv(shape));
    layers_->push_back(nn::BatchNorm2d(shape.out));
    layers_->push_back(nn::ReLU6());
  }

  nn::Sequential layers_;
  nn::BatchNorm2d norm_{nullptr};
  bool residual_;
};

class MobileNetV2 : public Model {
 public:
  MobileNetV2(int64_t width, int64_t classes) {
    struct Stage {
      int64_t expansion, channels, blocks, stride;
    };
    // Table 2 of arXiv:1801.04381, for a width of 32.
    const Stage stages[] = {{1, 16, 1, 1}, {6, 24, 2, 2},  {6, 32, 3, 2}, {6, 64, 4, 2},
                            {6, 96, 3, 1}, {6, 160, 3, 2}, {6, 320, 1, 1}};
    body_->push_back(Conv({3, width, 3, 2}));
    body_->push_back(nn::BatchNorm2d(width));
    body_->push_back(nn::ReLU6());
    int64_t in = width;
    for (const Stage& stage : stages) {
      const int64_t out = stage.channels * width / 32;
      for (int64_t i = 0; i < stage.blocks; ++i) {
        body_->push_back(InvertedResidual(in, out, i == 0 ? stage.stride : 1, stage.expansion));
        in = out;
      }
    }
    const int64_t last = 1280 * width / 32;
    body_->push_back(Conv({in, last, 1}));
    body_->push_back(nn::BatchNorm2d(last));
    body_->push_back(nn::ReLU6());
    register_module("body", body_);
    classifier_ = register_module("classifier", nn::Linear(last, classes));
  }
  Tensors Run(const Tensors& inputs) override {
    return {Classify(body_->forward(inputs[0]), classifier_)};
  }

 private:
  nn::Sequential body_;
  nn::Linear classifier_{nullptr};
};

nn::Sequential NormReluConv(const ConvShape& shape) {
  return nn::Sequential(nn::BatchNorm2d(shape.in), nn::ReLU(), Conv(shape));
}

class DenseLayer : public nn::Module {
 public:
  DenseLayer(int64_t in, int64_t growth)
      : squeeze_(register_module("squeeze", NormReluConv({in, 4 * growth, 1}))),
        grow_(register_module("grow", NormReluConv({4 * growth, growth, 3}))) {}
  at::Tensor forward(const at::Tensor& x) {
    return at::cat({x, grow_->forward(squeeze_->forward(x))}, 1);
  }

 private:
  nn::Sequential squeeze_, grow_;
};

class DenseNet : public Model {
 public:
  explicit DenseNet(const DenseNetConfig& config) {
    int64_t channels = 2 * config.growth;
    body_->push_back(Conv({3, channels, 7, 2}));
    body_->push_back(nn::BatchNorm2d(channels));
    body_->push_back(nn::ReLU());
    body_->push_back(MaxPool(3, 2, 1));
    for (size_t block = 0; block < config.layers.size(); ++block) {
      if (block > 0) {
        body_->push_back(nn::BatchNorm2d(channels));
        body_->push_back(nn::ReLU());
        body_->push_back(Conv({channels, channels / 2, 1}));
        body_->push_back(nn::AvgPool2d(2));
        channels /= 2;
      }
      for (int64_t i = 0; i < config.layers[block]; ++i) {
        body_->push_back(DenseLayer(channels, config.growth));
        channels += config.growth;
      }
    }
    body_->push_back(nn::BatchNorm2d(channels));
    body_->push_back(nn::ReLU());
    register_module("body", body_);
    classifier_ = register_module("classifier", nn::Linear(channels, config.classes));
  }
  Tensors Run(const Tensors& inputs) override {
    return {Classify(body_->forward(inputs[0]), classifier_)};
  }

 private:
  nn::Sequential body_;
  nn::Linear classifier_{nullptr};
};

nn::Sequential DoubleConv(int64_t in, int64_t out) {
  return nn::Sequential(Conv({in, out, 3}), nn::BatchNorm2d(out), nn::ReLU(), Conv({out, out, 3}),
                        nn::BatchNorm2d(out), nn::ReLU());
}

class UNet : public Model {
 public:
  static constexpr int kLevels = 4;

  UNet(int64_t width, int64_t classes) {
    int64_t in = 3;
    for (int level = 0; level <= kLevels; ++level) {
      down_->push_back(DoubleConv(in, width << level));
      in = width << level;
    }
    for (int level = kLevels - 1; level >= 0; --level) {
      const int64_t out = width << level;
      widen_->push_back(nn::ConvTranspose2d(nn::ConvTranspose2dOptions(2 * out, out, 2).stride(2)));
      up_->push_back(DoubleConv(2 * out, out));
    }
    register_module("down", down_);
    register_module("widen", widen_);
    register_module("up", up_);
    classifier_ = register_module("classifier", Conv({width, classes, 1}, /*bias=*/true));
  }
  Tensors Run(const Tensors& inputs) override {
    Tensors skips;
    at::Tensor x = inputs[0];
    for (int level = 0; level <= kLevels; ++level) {
      if (level > 0) x = at::max_pool2d(x, {2, 2}, {2, 2});
      x = down_[level]->as<nn::Sequential>()->forward(x);
      skips.push_back(x);
    }
    for (int i = 0; i < kLevels; ++i) {
      x = widen_[i]->as<nn::ConvTranspose2d>()->forward(x);
      x = up_[i]->as<nn::Sequential>()->forward(at::cat({skips[kLevels - 1 - i], x}, 1));
    }
    return {classifier_->forward(x)};
  }

 private:
  nn::ModuleList down_, widen_, up_;
  nn::Conv2d classifier_{nullptr};
};

}  // namespace

std::shared_ptr<Model> MakeMlp() {
  return std::make_shared<Chain>(nn::Sequential(nn::Linear(784, 120), nn::ReLU(),
                                                nn::Linear(120, 10), nn::Softmax(/*dim=*/1)));
}

std::shared_ptr<Model> MakeLeNet() {
  return std::make_shared<Chain>(nn::Sequential(
      Conv({1, 6, 5}, /*bias=*/true), nn::ReLU(), nn::AvgPool2d(2),
      nn::Conv2d(nn::Conv2dOptions(6, 16, 5)), nn::ReLU(), nn::AvgPool2d(2), nn::Flatten(),
      nn::Linear(400, 120), nn::ReLU(), nn::Linear(120, 84), nn::ReLU(), nn::Linear(84, 10)));
}

std::shared_ptr<Model> MakeResNet(const ResNetConfig& config) {
  return std::make_shared<ResNet>(config);
}

std::shared_ptr<Model> MakeVgg16(int64_t width, int64_t pooled, int64_t hidden, int64_t classes) {
  return std::make_shared<Vgg16>(width, pooled, hidden, classes);
}

std::shared_ptr<Model> MakeMobileNetV2(int64_t width, int64_t classes) {
  return std::make_shared<MobileNetV2>(width, classes);
}

std::shared_ptr<Model> MakeDenseNet(const DenseNetConfig& config) {
  return std::make_shared<DenseNet>(config);
}

std::shared_ptr<Model> MakeUNet(int64_t width, int64_t classes) {
  return std::make_shared<UNet>(width, classes);
}

}  // namespace glia::models
