#include <vector>

#include "compiler/passes/passes.h"
#include "compiler/passes/rewrite.h"

namespace glia::compiler {
namespace {

using hlo::Instruction;
using hlo::Opcode;
using hlo::Shape;

std::vector<int64_t> Concat(std::vector<int64_t> a, const std::vector<int64_t>& b) {
  a.insert(a.end(), b.begin(), b.end());
  return a;
}

int64_t Product(const std::vector<int64_t>& values) {
  int64_t product = 1;
  for (int64_t v : values) product *= v;
  return product;
}

// Steps a row-major index over `dims`; false after the last.
bool Next(const std::vector<int64_t>& dims, std::vector<int64_t>* index) {
  for (size_t d = dims.size(); d-- > 0;) {
    if (++(*index)[d] < dims[d]) return true;
    (*index)[d] = 0;
  }
  return false;
}

// The shifted windows of x [groups, features, batch, space...], padded: [groups, taps * features,
// batch * output space].
Instruction* Patches(Rewriter& r, Instruction* x, const hlo::Window& window,
                     const std::vector<int64_t>& output_space) {
  const std::vector<int64_t>& dims = x->shape.dims;
  std::vector<int64_t> sizes;
  for (const hlo::WindowDim& w : window) sizes.push_back(w.size);
  const std::vector<int64_t> result = Concat({dims[0], dims[1], dims[2]}, output_space);
  const int64_t columns = dims[2] * Product(output_space);
  std::vector<Instruction*> taps;
  std::vector<int64_t> tap(window.size(), 0);
  do {
    Instruction* slice = r.Add(Opcode::kSlice, Shape(x->shape.type, result), {x});
    slice->slice_starts.assign(3, 0);
    slice->slice_limits = {dims[0], dims[1], dims[2]};
    slice->slice_strides.assign(3, 1);
    for (size_t d = 0; d < window.size(); ++d) {
      const int64_t start = tap[d] * window[d].window_dilation;
      slice->slice_starts.push_back(start);
      slice->slice_limits.push_back(start + (output_space[d] - 1) * window[d].stride + 1);
      slice->slice_strides.push_back(window[d].stride);
    }
    taps.push_back(r.Reshape(slice, {dims[0], dims[1], columns}));
  } while (Next(sizes, &tap));
  if (taps.size() == 1) return taps[0];
  Instruction* patches = r.Add(
      Opcode::kConcatenate,
      Shape(x->shape.type, {dims[0], static_cast<int64_t>(taps.size()) * dims[1], columns}), taps);
  patches->dimensions = {1};
  return patches;
}

Instruction* Expand(Instruction* conv) {
  if (conv->opcode() != Opcode::kConvolution) return nullptr;
  Rewriter r(*conv);
  const hlo::ConvDims& dims = conv->conv_dims;
  const hlo::PrimitiveType type = conv->shape.type;
  Instruction* x = r.Transpose(conv->operand(0),
                               Concat({dims.input_feature, dims.input_batch}, dims.input_spatial));
  Instruction* kernel = r.Transpose(
      conv->operand(1),
      Concat({dims.kernel_output_feature, dims.kernel_input_feature}, dims.kernel_spatial));
  if (x->shape.elements() == 0 || kernel->shape.elements() == 0 || conv->shape.elements() == 0) {
    return r.Fill(r.Scalar(type, 0), conv->shape.dims);
  }
  const int64_t groups = conv->feature_group_count * conv->batch_group_count;
  const int64_t features = kernel->shape.dims[1];
  const int64_t outputs = kernel->shape.dims[0] / groups;
  const int64_t batch = x->shape.dims[1] / conv->batch_group_count;
  std::vector<int64_t> kernel_space(kernel->shape.dims.begin() + 2, kernel->shape.dims.end());
  std::vector<int64_t> output_space;
  for (int64_t d : dims.output_spatial) output_space.push_back(conv->shape.dims[d]);

  // Padding and base dilation become data.
  std::vector<hlo::PaddingDim> padding(2);
  std::vector<int64_t> padded = {x->shape.dims[0], x->shape.dims[1]};
  bool pads = false;
  for (size_t d = 0; d < conv->window.size(); ++d) {
    const hlo::WindowDim& w = conv->window[d];
    const int64_t size = x->shape.dims[d + 2];
    padding.push_back({w.pad_low, w.pad_high, w.base_dilation - 1});
    padded.push_back(size + (size - 1) * (w.base_dilation - 1) + w.pad_low + w.pad_high);
    pads = pads || w.pad_low != 0 || w.pad_high != 0 || w.base_dilation != 1;
  }
  if (pads) {
    x = r.Add(Opcode::kPad, Shape(type, padded), {x, r.Scalar(type, 0)});
    x->padding = padding;
  }

  // [features, batch, space] to [groups, features, batch, space].
  const std::vector<int64_t> space(padded.begin() + 2, padded.end());
  if (conv->batch_group_count > 1) {
    x = r.Reshape(x, Concat({features, groups, batch}, space));
    std::vector<int64_t> order = {1, 0, 2};
    for (size_t d = 0; d < space.size(); ++d) order.push_back(static_cast<int64_t>(d) + 3);
    x = r.Transpose(x, order);
  } else {
    x = r.Reshape(x, Concat({groups, features, batch}, space));
  }
  Instruction* patches = Patches(r, x, conv->window, output_space);

  // [groups * outputs, features, taps] to [groups, outputs, taps * features].
  const int64_t taps = Product(kernel_space);
  kernel = r.Reshape(kernel, {groups, outputs, features, taps});
  kernel = r.Reshape(r.Transpose(kernel, {0, 1, 3, 2}), {groups, outputs, taps * features});

  const int64_t columns = patches->shape.dims[2];
  Instruction* dot = nullptr;
  if (groups == 1) {
    dot = r.Add(Opcode::kDot, Shape(type, {outputs, columns}),
                {r.Reshape(kernel, {outputs, taps * features}),
                 r.Reshape(patches, {taps * features, columns})});
    dot->dot_dims.lhs_contracting = {1};
    dot->dot_dims.rhs_contracting = {0};
  } else {
    dot = r.Add(Opcode::kDot, Shape(type, {groups, outputs, columns}), {kernel, patches});
    dot->dot_dims.lhs_batch = {0};
    dot->dot_dims.rhs_batch = {0};
    dot->dot_dims.lhs_contracting = {2};
    dot->dot_dims.rhs_contracting = {1};
  }
  dot->operand_precision = conv->operand_precision;
  // [outputs, batch, space] to the order asked for.
  Instruction* result = r.Reshape(dot, Concat({groups * outputs, batch}, output_space));
  return r.Transpose(
      result, Inverse(Concat({dims.output_feature, dims.output_batch}, dims.output_spatial)));
}

}  // namespace

absl::StatusOr<bool> ExpandConvolutions(hlo::Module* module) {
  return RewriteInstructions(module, Expand);
}

}  // namespace glia::compiler
