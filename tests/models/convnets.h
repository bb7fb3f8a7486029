// Convolutional networks of the zoo. Inputs are {images [batch, channels, size, size]}, outputs
// {logits [batch, classes]} unless said otherwise.
#ifndef GLIA_TESTS_MODELS_CONVNETS_H_
#define GLIA_TESTS_MODELS_CONVNETS_H_

#include <array>
#include <cstdint>
#include <memory>

#include "tests/models/model.h"

namespace glia::models {

// The multi-layer perceptron of the examples: 784, 120, 10, softmax. Inputs [batch, 784].
std::shared_ptr<Model> MakeMlp();

// LeNet-5 with ReLU and average pooling, for [batch, 1, 28, 28].
std::shared_ptr<Model> MakeLeNet();

struct ResNetConfig {
  std::array<int64_t, 4> blocks;
  bool bottleneck = false;
  int64_t width = 64;  // channels of the first stage
  int64_t classes = 1000;
};
std::shared_ptr<Model> MakeResNet(const ResNetConfig& config);

// VGG-16 has `width` 64, features `pooled` to 7 × 7, `hidden` 4096.
std::shared_ptr<Model> MakeVgg16(int64_t width, int64_t pooled, int64_t hidden, int64_t classes);

// `width` 32 is MobileNetV2 at multiplier 1.
std::shared_ptr<Model> MakeMobileNetV2(int64_t width, int64_t classes);

struct DenseNetConfig {
  std::array<int64_t, 4> layers = {6, 12, 24, 16};
  int64_t growth = 32;
  int64_t classes = 1000;
};
std::shared_ptr<Model> MakeDenseNet(const DenseNetConfig& config);

// Output {[batch, classes, size, size]}; the size must be a multiple of 16.
std::shared_ptr<Model> MakeUNet(int64_t width, int64_t classes);

}  // namespace glia::models

#endif  // GLIA_TESTS_MODELS_CONVNETS_H_
