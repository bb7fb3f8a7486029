// Convolutions on the fast executor against the interpreter: shifted windows over an image whose
// edge taps reach part of a PSUM tile only, of random shapes, strides and types, one after another.
#include <algorithm>
#include <cmath>
#include <limits>
#include <random>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "device_sim/semantics.h"
#include "device_sim/testing/program_builder.h"
#include "gtest/gtest.h"
#include "serialization/isa/validate.h"
#include "serialization/testing/seed.h"

namespace glia::device {
namespace {

using isa::DType;
using isa::Engine;
using isa::Instruction;
using isa::Opcode;
using isa::Operand;

struct Image {
  Operand tile;
  int channels, height, width;
};

class Convolutions {
 public:
  explicit Convolutions(uint64_t seed) : random_(seed) {}

  int Int(int low, int high) { return std::uniform_int_distribution<int>(low, high)(random_); }
  // Multiples of 1/4: sums are exact in any order.
  float Value() { return static_cast<float>(Int(-4, 4)) * 0.25f; }

  Image Input(int channels, int height, int width, DType type) {
    std::vector<std::vector<float>> rows(channels, std::vector<float>(height * width));
    for (auto& row : rows) {
      for (float& x : row) x = Value();
    }
    const Operand in = b_.Input(rows);
    if (type == DType::kF32) return {in, channels, height, width};
    const Operand tile = b_.SbufTile(channels, height * width, type);
    b_.Do(Engine::kDve, Make(Opcode::kTensorCopy, tile, in));
    return {tile, channels, height, width};
  }

  // A 3 by 3 convolution with a border of one and a rectified, shifted result. `spoilt`: the
  // weights of the first tap are infinite.
  Image Convolve(const Image& in, int out_channels, int stride, DType type, bool spoilt) {
    return Convolve(in, std::vector<int>{out_channels}, stride, type, spoilt)[0];
  }

  // To several blocks of channels: all of them of one part of the height, then the next part.
  std::vector<Image> Convolve(const Image& in, const std::vector<int>& out_channels, int stride,
                              DType type, bool spoilt) {
    const int height = (in.height - 1) / stride + 1, width = (in.width - 1) / stride + 1;
    std::vector<Image> results;
    std::vector<Operand> weights;
    for (const int channels : out_channels) {
      weights.push_back(Weights(in, channels, spoilt));
      results.push_back({b_.SbufTile(channels, height * width, type), channels, height, width});
    }
    const int rows = std::max(1, std::min(height, 512 / width));
    for (int y0 = 0; y0 < height; y0 += rows) {
      for (size_t block = 0; block < results.size(); ++block) {
        Part(in, weights[block], results[block], stride, y0, std::min(height, y0 + rows));
      }
    }
    return results;
  }

  // The same by channel, on the vector engines, in parts of the height and with the taps in any
  // order.
  Image Depthwise(const Image& in, int stride) {
    const int height = (in.height - 1) / stride + 1, width = (in.width - 1) / stride + 1;
    std::vector<float> values(in.channels * 9);
    for (float& x : values) x = Value();
    const uint32_t file =
        b_.Constant(absl::StrCat("weights", files_++), DType::kF32, {in.channels, 9},
                    std::string(reinterpret_cast<const char*>(values.data()), values.size() * 4));
    const Operand weights = b_.SbufTile(in.channels, 9);
    b_.Copy(weights.var, file);
    const Operand result = b_.SbufTile(in.channels, height * width);
    Instruction zero = Make(Opcode::kMemset, result);
    zero.imm0 = Value();
    b_.Do(Engine::kDve, zero);
    const int rows = Int(1, height);
    for (int y0 = 0; y0 < height; y0 += rows) {
      std::vector<int> taps = {0, 1, 2, 3, 4, 5, 6, 7, 8};
      std::shuffle(taps.begin(), taps.end(), random_);
      for (const int tap : taps) {
        const int dy = tap / 3 - 1, dx = tap % 3 - 1;
        const auto [ya, yb] = Reached(dy, stride, in.height, y0, std::min(height, y0 + rows));
        const auto [xa, xb] = Reached(dx, stride, in.width, 0, width);
        if (ya >= yb || xa >= xb) continue;
        const Operand to = Pattern(result, {yb - ya, xb - xa}, {width, 1}, ya * width + xa);
        Instruction i = Make(Opcode::kScalarTensorTensor, to,
                             Pattern(in.tile, {yb - ya, xb - xa}, {stride * in.width, stride},
                                     (ya * stride + dy) * in.width + xa * stride + dx),
                             to, Int(0, 7) == 0 ? Operand() : Pattern(weights, {1}, {1}, tap));
        i.op0 = isa::AluOp::kMultiply;
        i.op1 = isa::AluOp::kAdd;
        i.imm0 = Value();
        b_.Do(Int(0, 1) == 0 ? Engine::kDve : Engine::kPool, i);
        if (Int(0, 15) == 0) b_.Do(Engine::kDve, Halved(to));
      }
    }
    return {result, in.channels, height, width};
  }

  void Store(const Image& image) {
    const uint32_t out = b_.Hbm(isa::VariableKind::kOutput, absl::StrCat("out", files_++),
                                image.tile.dtype, {image.channels, image.height * image.width});
    b_.Copy(out, image.tile.var);
    types_.push_back(image.tile.dtype);
  }

  void ExpectAgreement() {
    const isa::Program program = b_.Build();
    ASSERT_TRUE(isa::Validate(program).ok()) << isa::Validate(program);
    const std::vector<std::string> want = RunOn(program, false), got = RunOn(program, true);
    ASSERT_EQ(got.size(), want.size());
    ASSERT_EQ(got.size(), types_.size());
    for (size_t o = 0; o < want.size(); ++o) {
      const DType t = types_[o];
      for (size_t e = 0; e < want[o].size() / TypeBytes(t); ++e) {
        const auto value = [&](const std::string& s) {
          return LoadFloat(t, reinterpret_cast<const uint8_t*>(&s[e * TypeBytes(t)]));
        };
        const float x = value(want[o]), y = value(got[o]);
        const bool same = x == y || (std::isnan(x) && std::isnan(y));
        ASSERT_TRUE(same || std::abs(x - y) <= (t == DType::kF32 ? 1e-5 : 1e-2) * (1 + std::abs(x)))
            << "output " << o << ", element " << e << ": " << y << ", expected " << x;
      }
    }
  }

 private:
  // [in.channels, 9 * channels]: tap after tap.
  Operand Weights(const Image& in, int channels, bool spoilt) {
    const DType type = in.tile.dtype;
    std::string bytes;
    for (int e = 0; e < in.channels * 9 * channels; ++e) {
      uint8_t x[4];
      const bool first_tap = e % (9 * channels) < channels;
      StoreFloat(type, x, spoilt && first_tap ? std::numeric_limits<float>::infinity() : Value());
      bytes.append(reinterpret_cast<const char*>(x), TypeBytes(type));
    }
    const uint32_t file =
        b_.Constant(absl::StrCat("weights", files_++), type, {in.channels, 9 * channels}, bytes);
    const Operand weights = b_.SbufTile(in.channels, 9 * channels, type);
    b_.Copy(weights.var, file);
    return weights;
  }

  // Rows [y0, y1) of the result.
  void Part(const Image& in, const Operand& weights, const Image& result, int stride, int y0,
            int y1) {
    const int width = result.width;
    const Operand psum = Partitions(psum_[buffer_++ % 4], 0, result.channels);
    const Operand whole = Pattern(psum, {(y1 - y0) * width}, {1});
    for (const int tap : {4, 0, 1, 2, 3, 5, 6, 7, 8}) {  // the middle one reaches everything
      const int dy = tap / 3 - 1, dx = tap % 3 - 1;
      const auto [ya, yb] = Reached(dy, stride, in.height, y0, y1);
      const auto [xa, xb] = Reached(dx, stride, in.width, 0, width);
      if (ya >= yb || xa >= xb) continue;
      const bool all = ya == y0 && yb == y1 && xa == 0 && xb == width;
      const Operand dst =
          all ? whole : Pattern(psum, {yb - ya, xb - xa}, {width, 1}, (ya - y0) * width + xa);
      Instruction i = Make(Opcode::kMatmul, dst,
                           Pattern(weights, {result.channels}, {1}, tap * result.channels),
                           Pattern(in.tile, {yb - ya, xb - xa}, {stride * in.width, stride},
                                   (ya * stride + dy) * in.width + xa * stride + dx));
      if (tap != 4) i.flags = isa::kAccumulate;
      b_.Do(Engine::kPe, i);
    }
    Instruction i =
        Make(Opcode::kActivate, Pattern(result.tile, {(y1 - y0) * width}, {1}, y0 * width), whole);
    i.fn = isa::ActFn::kRelu;
    i.imm0 = 1.0f / 16;
    if (Int(0, 1) == 0) {
      b_.Do(Engine::kAct, i);
    } else {
      b_.Do(Engine::kDve, Scaled(i));
    }
  }

  static Instruction Halved(const Operand& o) {
    Instruction i = Make(Opcode::kTensorScalar, o, o);
    i.op0 = isa::AluOp::kMultiply;
    i.imm0 = 0.5f;
    return i;
  }

  // The indices in [from, to) whose source at the distance d is within the size.
  static std::pair<int, int> Reached(int d, int stride, int size, int from, int to) {
    while (from * stride + d < 0) ++from;
    while (to > 0 && (to - 1) * stride + d >= size) --to;
    return {from, to};
  }

  // The same by a vector instruction.
  static Instruction Scaled(Instruction i) {
    i.opcode = Opcode::kTensorScalar;
    i.fn = isa::ActFn();
    i.op0 = isa::AluOp::kMultiply;
    i.op1 = isa::AluOp::kMax;
    i.imm1 = 0;
    return i;
  }

  std::vector<std::string> RunOn(const isa::Program& program, bool fast) {
    const ProgramTiming timing = ComputeTiming(program);
    std::vector<const uint8_t*> constants(program.variables.size());
    for (size_t i = 0; i < constants.size(); ++i) {
      if (program.variables[i].kind != isa::VariableKind::kFile) continue;
      constants[i] =
          reinterpret_cast<const uint8_t*>(b_.constants().at(program.variables[i].file).data());
    }
    auto executor =
        fast ? MakeFastExecutor(program, timing, constants) : MakeInterpreter(program, timing);
    EXPECT_TRUE(executor.ok()) << executor.status();
    if (!executor.ok()) return {};
    auto outputs = RunOnce(program, executor->get(), b_.input_data(), b_.constants());
    EXPECT_TRUE(outputs.ok()) << outputs.status();
    return outputs.ok() ? *outputs : std::vector<std::string>();
  }

  std::mt19937_64 random_;
  ProgramBuilder b_;
  Operand psum_[4] = {b_.PsumTile(isa::kPartitions, 512), b_.PsumTile(isa::kPartitions, 512),
                      b_.PsumTile(isa::kPartitions, 512), b_.PsumTile(isa::kPartitions, 512)};
  int buffer_ = 0;
  int files_ = 0;
  std::vector<DType> types_;
};

TEST(FastWindow, ChainsOfConvolutionsAgreeWithTheInterpreter) {
  const uint64_t seed = TestSeed();
  for (uint64_t n = 0; n < 60; ++n) {
    SCOPED_TRACE(absl::StrCat("GLIA_TEST_SEED=", seed + n));
    Convolutions c(seed + n);
    const auto type = [&] { return c.Int(0, 1) == 0 ? DType::kF32 : DType::kBf16; };
    const auto channels = [&] { return c.Int(0, 2) == 0 ? c.Int(1, 12) : c.Int(13, 128); };
    Image image = c.Input(channels(), c.Int(1, 23), c.Int(1, 40), type());
    for (int k = c.Int(1, 3); k > 0; --k) {
      image = c.Convolve(image, channels(), c.Int(1, 3), type(), false);
      c.Store(image);
    }
    c.ExpectAgreement();
    if (HasFatalFailure()) return;
  }
}

TEST(FastWindow, ChainsOfDepthwiseConvolutionsAgreeWithTheInterpreter) {
  const uint64_t seed = TestSeed();
  for (uint64_t n = 0; n < 80; ++n) {
    SCOPED_TRACE(absl::StrCat("GLIA_TEST_SEED=", seed + n));
    Convolutions c(seed + n);
    const DType type = c.Int(0, 1) == 0 ? DType::kF32 : DType::kBf16;
    Image image = c.Input(c.Int(1, 128), c.Int(1, 20), c.Int(1, 40), type);
    for (int k = c.Int(1, 3); k > 0; --k) {
      image = c.Depthwise(image, c.Int(1, 3));
      c.Store(image);
      if (c.Int(0, 1) == 0) {
        image = c.Convolve(image, c.Int(1, 128), 1, c.Int(0, 1) == 0 ? DType::kF32 : DType::kBf16,
                           false);
        c.Store(image);
      }
    }
    c.ExpectAgreement();
    if (HasFatalFailure()) return;
  }
}

// Blocks of output channels share the columns of their windows, up to the reuse of a PSUM tile.
TEST(FastWindow, BlocksOfChannelsAgreeWithTheInterpreter) {
  const uint64_t seed = TestSeed();
  for (uint64_t n = 0; n < 30; ++n) {
    SCOPED_TRACE(absl::StrCat("GLIA_TEST_SEED=", seed + n));
    Convolutions c(seed + n);
    const auto type = [&] { return c.Int(0, 1) == 0 ? DType::kF32 : DType::kBf16; };
    const Image image = c.Input(c.Int(1, 64), c.Int(1, 20), c.Int(1, 40), type());
    std::vector<int> channels(c.Int(2, 6), 128);
    channels.back() = c.Int(1, 128);
    if (c.Int(0, 1) == 0) channels.front() = c.Int(1, 128);
    for (const Image& result : c.Convolve(image, channels, c.Int(1, 2), type(), false)) {
      c.Store(result);
    }
    c.ExpectAgreement();
    if (HasFatalFailure()) return;
  }
}

// An infinite weight meets only what its tap reaches: no NaN comes of the zeros around the image.
TEST(FastWindow, InfiniteWeightsStayWithinTheirTap) {
  for (const DType type : {DType::kF32, DType::kBf16}) {
    Convolutions c(1);
    c.Store(c.Convolve(c.Input(8, 7, 9, type), 16, 1, DType::kF32, true));
    c.ExpectAgreement();
  }
}

}  // namespace
}  // namespace glia::device
