#include "absl/strings/str_cat.h"
#include "compiler/codegen/codegen_testing.h"
#include "serialization/hlo/builder.h"

namespace glia::compiler {
namespace {

using hlo::PrimitiveType;
using hlo::Shape;

struct Axis {
  int64_t in, kernel;
  int64_t stride = 1, low = 0, high = 0, dilation = 1, base = 1;
  bool reversal = false;
};

struct Case {
  const char* name;
  int64_t batch, ci, co;  // ci: of one group
  std::vector<Axis> axes;
  int64_t groups = 1, batch_groups = 1;
  bool channels_last = false;
};

const Case kCases[] = {
    {"pointwise", 2, 20, 30, {{7, 1}, {9, 1}}},
    {"pointwise with stride", 2, 20, 30, {{7, 1, 2}, {9, 1, 3}}},
    {"3x3", 2, 17, 30, {{9, 3, 1, 1, 1}, {11, 3, 1, 1, 1}}},
    {"3x3 with stride", 1, 17, 30, {{9, 3, 2, 1, 1}, {12, 3, 2, 1, 1}}},
    {"stem", 1, 3, 64, {{37, 7, 2, 3, 3}, {38, 7, 2, 3, 3}}},
    {"more than one image in a tile", 5, 20, 12, {{5, 3, 1, 1, 1}, {5, 3, 1, 1, 1}}},
    {"many channels", 1, 260, 270, {{6, 3, 1, 1, 1}, {5, 3, 1, 1, 1}}},
    {"wide", 1, 4, 5, {{3, 3, 1, 1, 1}, {1500, 3, 1, 1, 1}}},
    {"much space", 1, 18, 5, {{100, 3, 1, 1, 1}, {101, 3, 1, 1, 1}}},
    {"much space, few channels", 1, 3, 5, {{130, 5, 2, 2, 2}, {131, 5, 2, 2, 2}}},
    // So large that taps of the kernel join the few channels on the partitions.
    {"stem of a large image", 1, 3, 20, {{150, 7, 2, 3, 3}, {171, 7, 2, 3, 2}}},
    {"large, more output channels", 1, 2, 140, {{70, 5, 1, 2, 2}, {81, 5, 1, 2, 2}}},
    {"large, more stride", 2, 4, 7, {{160, 5, 3, 0, 1}, {155, 6, 2, 4, 0}}},
    {"large, dilated kernel", 1, 5, 7, {{90, 3, 1, 2, 1, 2}, {95, 4, 1, 3, 4, 3}}},
    {"large, beyond the input", 1, 1, 4, {{80, 4, 2, 9, 8}, {300, 7, 1, 11, 12}}},
    {"large, wide rows", 1, 1, 3, {{4, 2, 1, 1, 0}, {6000, 9, 1, 4, 4}}},
    {"1-d, few channels", 2, 1, 12, {{20000, 16, 8, 3, 5}}},
    {"1-d, very long", 1, 2, 5, {{40001, 9, 3, 0, 2, 2}}},
    {"no spatial dims", 3, 20, 30, {}},
    {"1-d", 2, 20, 30, {{50, 4, 3, 2, 1}}},
    {"1-d long kernel", 1, 1, 9, {{900, 400, 160, 200, 200}}},
    {"3-d", 2, 5, 6, {{6, 3, 1, 1, 1}, {5, 2, 2, 0, 1}, {7, 3, 1, 1, 1}}},
    {"3-d, more channels", 1, 33, 6, {{6, 3, 2, 1, 1}, {5, 1}, {7, 1}}},
    {"dilated kernel", 1, 17, 8, {{15, 3, 1, 2, 2, 2}, {16, 3, 2, 3, 1, 3}}},
    {"padding beyond the kernel", 1, 17, 8, {{4, 3, 1, 5, 6}, {4, 2, 3, 4, 7}}},
    {"negative padding", 1, 17, 8, {{9, 3, 1, -2, -1}, {8, 2, 1, -3, 2}}},
    {"transposed", 1, 17, 8, {{5, 4, 1, 2, 2, 1, 2}, {6, 3, 1, 1, 2, 1, 3}}},
    {"transposed, few channels", 2, 3, 8, {{5, 4, 1, 2, 2, 1, 2}, {6, 3, 1, 1, 2, 1, 2}}},
    {"all dilations", 1, 17, 8, {{9, 3, 2, 3, 2, 2, 3}, {10, 2, 3, -1, 4, 3, 2}}},
    {"reversed", 1, 17, 8, {{9, 3, 1, 0, 0, 1, 1, true}, {9, 2, 1, 0, 0, 1, 1, true}}},
    {"kernel in padding only", 1, 3, 4, {{2, 1, 5, 4, 3}}},
    {"groups", 2, 5, 12, {{6, 3, 1, 1, 1}, {6, 3, 1, 1, 1}}, 3},
    {"depthwise", 2, 1, 33, {{8, 3, 1, 1, 1}, {9, 3, 2, 1, 1}}, 33},
    {"depthwise with a multiplier", 1, 1, 12, {{8, 3, 1, 1, 1}, {9, 3, 1, 1, 1}}, 4},
    {"depthwise, many channels", 1, 1, 150, {{70, 3, 1, 1, 1}, {70, 3, 1, 1, 1}}, 150},
    {"batch groups", 6, 5, 9, {{6, 3, 1, 1, 1}, {6, 3}}, 1, 3},
    {"channels last", 2, 20, 30, {{7, 3, 1, 1, 1}, {9, 3, 2, 1, 1}}, 1, 1, true},
    {"channels last, few", 2, 3, 30, {{7, 3, 1, 1, 1}, {9, 3, 2, 1, 1}}, 1, 1, true},
    {"empty kernel window", 1, 0, 4, {{5, 3}}},
};

enum class Weights { kParameter, kConstant };

absl::Status Check(const Case& c, PrimitiveType type, Weights weights, Tolerance tolerance,
                   const CodegenOptions& options = {}) {
  hlo::Builder b("convolution");
  const int64_t spatial = static_cast<int64_t>(c.axes.size());
  hlo::ConvDims dims;
  hlo::Window window;
  std::vector<int64_t> x_dims(spatial + 2), w_dims(spatial + 2);
  dims.input_batch = dims.output_batch = 0;
  dims.input_feature = dims.output_feature = c.channels_last ? spatial + 1 : 1;
  dims.kernel_output_feature = c.channels_last ? spatial + 1 : 0;
  dims.kernel_input_feature = c.channels_last ? spatial : 1;
  x_dims[dims.input_batch] = c.batch;
  x_dims[dims.input_feature] = c.ci * c.groups;
  w_dims[dims.kernel_output_feature] = c.co;
  w_dims[dims.kernel_input_feature] = c.ci;
  for (int64_t i = 0; i < spatial; ++i) {
    const Axis& axis = c.axes[i];
    dims.input_spatial.push_back(c.channels_last ? i + 1 : i + 2);
    dims.kernel_spatial.push_back(c.channels_last ? i : i + 2);
    x_dims[dims.input_spatial[i]] = axis.in;
    w_dims[dims.kernel_spatial[i]] = axis.kernel;
    window.push_back(
        {axis.kernel, axis.stride, axis.low, axis.high, axis.dilation, axis.base, axis.reversal});
  }
  dims.output_spatial = dims.input_spatial;
  const Shape x_shape(type, x_dims), w_shape(type, w_dims);
  const hlo::Op x = Parameter(&b, 0, x_shape);
  const hlo::Op w = weights == Weights::kConstant ? Constant(&b, RandomLiteral(w_shape, 4))
                                                  : Parameter(&b, 1, w_shape);
  const auto module = b.Build(Conv(x, w, window, dims, c.groups, c.batch_groups));
  if (!module.ok()) return module.status();
  std::vector<hlo::Literal> arguments = {RandomLiteral(x_shape, 3)};
  if (weights == Weights::kParameter) arguments.push_back(RandomLiteral(w_shape, 4));
  return CheckModule(**module, arguments, tolerance, options);
}

TEST(ConvolutionTest, Floats) {
  for (const Case& c : kCases) {
    SCOPED_TRACE(c.name);
    GLIA_EXPECT_OK(Check(c, hlo::kF32, Weights::kParameter, {1e-3, 1e-4}));
    GLIA_EXPECT_OK(Check(c, hlo::kF32, Weights::kConstant, {1e-3, 1e-4}));
    GLIA_EXPECT_OK(Check(c, hlo::kBF16, Weights::kParameter, {0.2, 0.02}));
  }
}

TEST(ConvolutionTest, AutoCast) {
  CodegenOptions options;
  options.auto_cast = AutoCast::kMatmult;
  for (const Case& c : kCases) {
    SCOPED_TRACE(c.name);
    // The inputs are exact in bf16.
    GLIA_EXPECT_OK(Check(c, hlo::kF32, Weights::kParameter, {1e-3, 1e-4}, options));
    GLIA_EXPECT_OK(Check(c, hlo::kF32, Weights::kConstant, {1e-3, 1e-4}, options));
  }
}

TEST(ConvolutionTest, Spills) {
  CodegenOptions options;
  options.sbuf_partition_bytes = 48 * 1024;
  for (const Case& c : kCases) {
    SCOPED_TRACE(c.name);
    GLIA_EXPECT_OK(Check(c, hlo::kF32, Weights::kParameter, {1e-3, 1e-4}, options));
  }
}

TEST(ConvolutionTest, IntegersAreExact) {
  for (const Case& c : kCases) {
    SCOPED_TRACE(c.name);
    if (c.co > 64 || c.ci > 64) continue;
    GLIA_EXPECT_OK(Check(c, hlo::kS32, Weights::kParameter, {}));
    GLIA_EXPECT_OK(Check(c, hlo::kS8, Weights::kParameter, {}));
  }
}

}  // namespace
}  // namespace glia::compiler
