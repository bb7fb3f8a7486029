// Random operators. Those that draw numbers have no lowering: they run on the CPU, from torch's
// generator, so that a seed gives what it gives in eager mode. Only what needs no draw is here.
#include "frontend/lowering/registry.h"

namespace glia::lowering {
namespace {

// aten::native_dropout(Tensor input, float p, bool? train) -> (Tensor, Tensor mask)
void NativeDropout(Ctx& c) {
  const bool train = !c.Has(2) || c.Bool(2);
  if (train && c.Double(1) != 0) return c.Refuse("it draws random numbers");
  c.Return({c.T(0), hlo::Filled(c.builder(), c.Out(1), 1)});
}

// aten::native_dropout_backward(Tensor grad_output, Tensor mask, float scale) -> Tensor
void NativeDropoutBackward(Ctx& c) { c.Return(Mul(Mul(c.El(0), c.El(1)), c.ScalarEl(2))); }

}  // namespace

OpTable RandomOps() {
  static constexpr OpLowering kOps[] = {
      {"aten::native_dropout", NativeDropout},
      {"aten::native_dropout_backward", NativeDropoutBackward},
  };
  return kOps;
}

}  // namespace glia::lowering
