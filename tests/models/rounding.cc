#include "tests/models/rounding.h"

#include <ATen/Functions.h>
#include <torch/library.h>

namespace glia::models {
namespace {

// A key in front of the CPU's that nothing else here uses: autocast of a backend that is not built
// in.
constexpr c10::DispatchKey kKey = c10::DispatchKey::AutocastXPU;

at::Tensor Round(const at::Tensor& t) { return t.to(at::kBFloat16).to(at::kFloat); }

at::Tensor Mm(const at::Tensor& a, const at::Tensor& b) {
  c10::impl::ExcludeDispatchKeyGuard guard(kKey);
  return at::mm(Round(a), Round(b));
}

at::Tensor Bmm(const at::Tensor& a, const at::Tensor& b) {
  c10::impl::ExcludeDispatchKeyGuard guard(kKey);
  return at::bmm(Round(a), Round(b));
}

at::Tensor Addmm(const at::Tensor& c, const at::Tensor& a, const at::Tensor& b,
                 const at::Scalar& beta, const at::Scalar& alpha) {
  c10::impl::ExcludeDispatchKeyGuard guard(kKey);
  return at::addmm(c, Round(a), Round(b), beta, alpha);
}

at::Tensor Baddbmm(const at::Tensor& c, const at::Tensor& a, const at::Tensor& b,
                   const at::Scalar& beta, const at::Scalar& alpha) {
  c10::impl::ExcludeDispatchKeyGuard guard(kKey);
  return at::baddbmm(c, Round(a), Round(b), beta, alpha);
}

at::Tensor Convolution(const at::Tensor& x, const at::Tensor& w,
                       const c10::optional<at::Tensor>& bias, at::IntArrayRef stride,
                       at::IntArrayRef padding, at::IntArrayRef dilation, bool transposed,
                       at::IntArrayRef output_padding, int64_t groups) {
  c10::impl::ExcludeDispatchKeyGuard guard(kKey);
  return at::convolution(Round(x), Round(w), bias, stride, padding, dilation, transposed,
                         output_padding, groups);
}

TORCH_LIBRARY_IMPL(_, AutocastXPU, m) { m.fallback(torch::CppFunction::makeFallthrough()); }

TORCH_LIBRARY_IMPL(aten, AutocastXPU, m) {
  m.impl("mm", Mm);
  m.impl("bmm", Bmm);
  m.impl("addmm", Addmm);
  m.impl("baddbmm", Baddbmm);
  m.impl("convolution", Convolution);
}

}  // namespace

// Autocast's keys are excluded on every thread until asked for.
RoundMatmulOperands::RoundMatmulOperands() : guard_(kKey) {
  c10::impl::tls_set_dispatch_key_excluded(kKey, false);
}

RoundMatmulOperands::~RoundMatmulOperands() {
  c10::impl::tls_set_dispatch_key_excluded(kKey, true);
}

}  // namespace glia::models
