// convolution: any dim labels, strides, padding, dilations, groups of features or of batches.
#include <algorithm>

#include "absl/strings/str_cat.h"
#include "compiler/codegen/convolution.h"
#include "compiler/codegen/convolution_epilogue.h"
#include "compiler/codegen/emitters.h"
#include "compiler/codegen/movement.h"
#include "compiler/codegen/precision.h"
#include "serialization/isa/table.h"

namespace glia::compiler {
namespace {

// Products and sums that the tensor engine computes exactly.
bool FitsTensorEngine(DType x, DType w, int64_t products) {
  if (isa::IsFloat(x) && isa::IsFloat(w)) return true;
  if (isa::DTypeBytes(x) > 1 || isa::DTypeBytes(w) > 1) return false;
  return products <= (int64_t{1} << 24) / (255 * 255);
}

// Neighbouring axes on which nothing happens, and which are one in all arrays, are one.
void MergeAxes(ConvProblem* p, std::vector<Nd*> arrays) {
  arrays.push_back(&p->x);
  arrays.push_back(&p->out);
  for (int a = kWindowAxes - 2; a >= 0; --a) {
    const int d = a + 2;
    bool one = p->axes[a].Trivial() && p->axes[a + 1].Trivial();
    for (const Nd* nd : arrays) {
      one = one && (nd->dims[d] == 1 || nd->strides[d] == nd->strides[d + 1] * nd->dims[d + 1]);
    }
    if (!one) continue;
    p->axes[a + 1].in = p->axes[a + 1].out = p->axes[a].in * p->axes[a + 1].in;
    p->axes[a] = WindowAxis();
    for (Nd* nd : arrays) {
      nd->dims[d + 1] *= nd->dims[d];
      nd->dims[d] = 1;
    }
  }
}

}  // namespace

bool IsDepthwise(const hlo::Instruction& conv) {
  return conv.feature_group_count > 1 &&
         conv.operand(1)->shape.dim(conv.conv_dims.kernel_input_feature) == 1;
}

bool TakesEpilogue(const hlo::Instruction& conv) {
  const bool alone =
      IsDepthwise(conv) &&
      conv.operand(1)->shape.dim(conv.conv_dims.kernel_output_feature) == conv.feature_group_count;
  return (conv.feature_group_count == 1 || alone) && conv.batch_group_count == 1 &&
         conv.window.size() <= kWindowAxes && conv.shape.type == hlo::kF32 &&
         hlo::IsFloating(conv.operand(0)->shape.type) &&
         hlo::IsFloating(conv.operand(1)->shape.type) && conv.operand(0)->shape.elements() > 0 &&
         conv.operand(1)->shape.elements() > 0 && conv.shape.elements() > 0;
}

namespace {

absl::Status Emit(Emitter& e, const hlo::Instruction& hlo, const Unit* group) {
  const hlo::ConvDims& c = hlo.conv_dims;
  const size_t spatial = hlo.window.size();
  if (spatial > kWindowAxes) {
    return absl::UnimplementedError(
        absl::StrCat("a convolution over ", spatial, " spatial dims; at most ", kWindowAxes));
  }
  absl::StatusOr<Nd> x = e.View(hlo.operand(0));
  if (!x.ok()) return x.status();
  absl::StatusOr<Nd> w = e.View(hlo.operand(1));
  if (!w.ok()) return w.status();
  const bool by_epilogue = TakesEpilogue(hlo);
  Nd result;
  if (by_epilogue) {
    result = DenseNd(UINT32_MAX, DType::kF32, hlo.shape.dims);  // its dims only
  } else {
    result = e.NewResult(hlo);
    if (!e.ok() || result.elements() == 0) return e.status();
  }
  if (x->elements() == 0 || w->elements() == 0) {
    Fill(e, result, nullptr, 0, 0);
    return e.status();
  }
  if (isa::IsFloat(x->dtype) != isa::IsFloat(w->dtype)) {
    return absl::UnimplementedError("a convolution of floats with integers; convert one of them");
  }
  const auto arrange = [&](const Nd& nd, int64_t first, int64_t second, const Dims& dims) {
    Dims order = {first, second};
    order.insert(order.end(), dims.begin(), dims.end());
    Nd turned = TransposeNd(nd, order);
    for (size_t d = spatial; d < kWindowAxes; ++d) turned = InsertDim(turned, 2);
    return turned;
  };
  ConvProblem p;
  p.x = arrange(*x, c.input_batch, c.input_feature, c.input_spatial);
  p.w = arrange(*w, c.kernel_output_feature, c.kernel_input_feature, c.kernel_spatial);
  p.out = arrange(result, c.output_batch, c.output_feature, c.output_spatial);
  for (size_t i = 0; i < spatial; ++i) {
    const size_t a = kWindowAxes - spatial + i;
    const hlo::WindowDim& window = hlo.window[i];
    WindowAxis& axis = p.axes[a];
    axis.in = p.x.dims[a + 2];
    axis.out = p.out.dims[a + 2];
    axis.kernel = window.size;
    axis.stride = window.stride;
    axis.pad_low = window.pad_low;
    axis.kernel_dilation = window.window_dilation;
    axis.base_dilation = window.base_dilation;
    if (window.reversal) p.w = ReverseDim(p.w, static_cast<int64_t>(a) + 2);
  }
  const auto& variables = e.serial().program.variables;
  if (variables[p.w.var].kind == isa::VariableKind::kFile) {
    p.constant = Emitter::ConstantOf(hlo.operand(1));
  }

  const int64_t groups = hlo.feature_group_count, batch_groups = hlo.batch_group_count;
  const int64_t ci = p.w.dims[1], co = p.w.dims[0];
  const DType compute = ProductType(hlo, p.x.dtype, p.w.dtype, e.options());
  if (by_epilogue) {
    ConvEpilogue epilogue(e, hlo, group);
    const auto arranged = [&](const Nd& nd) {
      return arrange(nd, c.output_batch, c.output_feature, c.output_spatial);
    };
    const bool depthwise = groups > 1;
    const bool folds =
        p.w.dtype == DType::kF32 && (depthwise ? p.constant != nullptr : PacksWeights(p, compute));
    if (absl::Status s = epilogue.Bind(arranged, folds); !s.ok()) return s;
    MergeAxes(&p, epilogue.Arrays());
    return depthwise ? EmitDepthwise(e, p, &epilogue) : EmitConvByMatmul(e, p, compute, &epilogue);
  }
  MergeAxes(&p, {});
  if (groups > 1 && ci == 1) return EmitConvByVector(e, p, true, co / groups);
  const bool matmul = FitsTensorEngine(p.x.dtype, p.w.dtype, ci * p.Taps());
  const int64_t count = groups * batch_groups;  // one of them is 1
  for (int64_t g = 0; g < count; ++g) {
    ConvProblem part = p;
    if (groups > 1) part.x = SliceDim(p.x, 1, g * ci, ci);
    if (batch_groups > 1) {
      const int64_t batch = p.x.dims[0] / batch_groups;
      part.x = SliceDim(p.x, 0, g * batch, batch);
    }
    part.w = SliceDim(p.w, 0, g * (co / count), co / count);
    part.out = SliceDim(p.out, 1, g * (co / count), co / count);
    absl::Status status;
    if (matmul) {
      ConvEpilogue epilogue(e, hlo, part.out);
      status = EmitConvByMatmul(e, part, compute, &epilogue);
    } else {
      status = EmitConvByVector(e, part, false, 1);
    }
    if (!status.ok()) return status;
  }
  return e.status();
}

}  // namespace

absl::Status EmitConvolution(Emitter& e, const hlo::Instruction& hlo) {
  return Emit(e, hlo, nullptr);
}

absl::Status EmitConvolutionWith(Emitter& e, const hlo::Instruction& conv, const Unit& group) {
  return Emit(e, conv, &group);
}

}  // namespace glia::compiler
