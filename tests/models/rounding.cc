#include "tests/models/rounding.h"

#include <ATen/Functions.h>
#include <ATen/TensorOperators.h>
#include <torch/library.h>

#include <tuple>
#include <vector>

namespace glia::models {
namespace {

// A key in front of the CPU's that no libtorch uses: autocast's of other backends have kernels in
// some versions.
constexpr c10::DispatchKey kKey = c10::DispatchKey::TESTING_ONLY_GenericMode;

using Guard = c10::impl::ExcludeDispatchKeyGuard;

struct LastConvolution {
  at::Tensor result, x, weight;  // `result` is defined if a batch norm may fold into it
  std::vector<int64_t> stride, padding, dilation, output_padding;
  bool transposed = false;
};

thread_local BatchNorms g_batch_norms;
thread_local LastConvolution g_last;

// Of fp32, which f64 is on the device; 16-bit floats and integers stay.
at::Tensor Round(const at::Tensor& t) {
  const bool rounds = t.scalar_type() == at::kFloat || t.scalar_type() == at::kDouble;
  return rounds ? t.to(at::kBFloat16).to(t.scalar_type()) : t;
}

at::Tensor Mm(const at::Tensor& a, const at::Tensor& b) {
  Guard guard(kKey);
  return at::mm(Round(a), Round(b));
}

at::Tensor Mv(const at::Tensor& a, const at::Tensor& b) {
  Guard guard(kKey);
  return at::mv(Round(a), Round(b));
}

at::Tensor Dot(const at::Tensor& a, const at::Tensor& b) {
  Guard guard(kKey);
  return at::dot(Round(a), Round(b));
}

at::Tensor Addmv(const at::Tensor& c, const at::Tensor& a, const at::Tensor& b,
                 const at::Scalar& beta, const at::Scalar& alpha) {
  Guard guard(kKey);
  return at::addmv(c, Round(a), Round(b), beta, alpha);
}

// The vector engines compute many small products, in fp32.
bool IsTiny(const at::Tensor& a, const at::Tensor& b) {
  return a.size(0) >= 16 && a.size(1) * b.size(2) <= 16;
}

at::Tensor Bmm(const at::Tensor& a, const at::Tensor& b) {
  Guard guard(kKey);
  if (IsTiny(a, b)) return at::bmm(a, b);
  return at::bmm(Round(a), Round(b));
}

at::Tensor Addmm(const at::Tensor& c, const at::Tensor& a, const at::Tensor& b,
                 const at::Scalar& beta, const at::Scalar& alpha) {
  Guard guard(kKey);
  return at::addmm(c, Round(a), Round(b), beta, alpha);
}

at::Tensor Baddbmm(const at::Tensor& c, const at::Tensor& a, const at::Tensor& b,
                   const at::Scalar& beta, const at::Scalar& alpha) {
  Guard guard(kKey);
  if (IsTiny(a, b)) return at::baddbmm(c, a, b, beta, alpha);
  return at::baddbmm(c, Round(a), Round(b), beta, alpha);
}

at::Tensor Convolution(const at::Tensor& x, const at::Tensor& w,
                       const c10::optional<at::Tensor>& bias, at::IntArrayRef stride,
                       at::IntArrayRef padding, at::IntArrayRef dilation, bool transposed,
                       at::IntArrayRef output_padding, int64_t groups) {
  Guard guard(kKey);
  if (groups > 1 && w.size(1) == 1) {
    return at::convolution(x, w, bias, stride, padding, dilation, transposed, output_padding,
                           groups);
  }
  const at::Tensor result = at::convolution(Round(x), Round(w), bias, stride, padding, dilation,
                                            transposed, output_padding, groups);
  g_last = LastConvolution();
  if (g_batch_norms == BatchNorms::kFolded && groups == 1 &&
      !(bias.has_value() && bias->defined())) {
    g_last = {result,    x, w, stride.vec(), padding.vec(), dilation.vec(), output_padding.vec(),
              transposed};
  }
  return result;
}

// Of running statistics.
std::tuple<at::Tensor, at::Tensor, at::Tensor> BatchNorm(
    const at::Tensor& x, const c10::optional<at::Tensor>& weight,
    const c10::optional<at::Tensor>& bias, const c10::optional<at::Tensor>& mean,
    const c10::optional<at::Tensor>& variance, bool training, double momentum, double eps) {
  Guard guard(kKey);
  if (training || !g_last.result.defined() || !x.is_same(g_last.result)) {
    return at::native_batch_norm(x, weight, bias, mean, variance, training, momentum, eps);
  }
  const LastConvolution conv = std::move(g_last);
  g_last = LastConvolution();
  const at::Tensor scale = *weight / (*variance + eps).sqrt();
  std::vector<int64_t> channels(static_cast<size_t>(conv.weight.dim()), 1);
  channels[conv.transposed ? 1 : 0] = -1;
  const at::Tensor sums = at::convolution(Round(conv.x), Round(conv.weight * scale.view(channels)),
                                          /*bias=*/*bias - *mean * scale, conv.stride, conv.padding,
                                          conv.dilation, conv.transposed, conv.output_padding, 1);
  return {sums, at::Tensor(), at::Tensor()};
}

TORCH_LIBRARY_IMPL(_, TESTING_ONLY_GenericMode, m) {
  m.fallback(torch::CppFunction::makeFallthrough());
}

TORCH_LIBRARY_IMPL(aten, TESTING_ONLY_GenericMode, m) {
  m.impl("mm", Mm);
  m.impl("mv", Mv);
  m.impl("dot", Dot);
  m.impl("addmv", Addmv);
  m.impl("bmm", Bmm);
  m.impl("addmm", Addmm);
  m.impl("baddbmm", Baddbmm);
  m.impl("convolution", Convolution);
  m.impl("native_batch_norm", BatchNorm);
}

}  // namespace

RoundMatmulOperands::RoundMatmulOperands(BatchNorms batch_norms) : guard_(kKey) {
  g_batch_norms = batch_norms;
}

RoundMatmulOperands::~RoundMatmulOperands() { g_last = LastConvolution(); }

}  // namespace glia::models
