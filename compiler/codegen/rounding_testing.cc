#include "compiler/codegen/rounding_testing.h"

#include <utility>

#include "compiler/codegen/convolution.h"
#include "compiler/codegen/precision.h"

namespace glia::compiler {
namespace {

using hlo::Instruction;
using hlo::Opcode;

Instruction* Rounded(Instruction* x, const CodegenOptions& options) {
  if (x->shape.type != hlo::kF32) return x;
  Instruction* rounded = x->parent()->Add(Opcode::kReducePrecision, x->shape, {x});
  const bool bf16 = options.auto_cast_type == AutoCastType::kBf16;
  rounded->exponent_bits = bf16 ? 8 : 5;
  rounded->mantissa_bits = bf16 ? 7 : 10;
  return rounded;
}

bool IsOfChannels(const Instruction& factor, const Instruction& conv) {
  return factor.opcode() == Opcode::kBroadcast &&
         factor.operand(0)->opcode() == Opcode::kConstant && factor.dimensions.size() == 1 &&
         factor.dimensions[0] == conv.conv_dims.output_feature;
}

// Multiplies constant weights by the factor that alone reads the convolution, which takes its
// place.
void Fold(Instruction* conv) {
  Instruction* weights = conv->operand(1);
  if (weights->opcode() != Opcode::kConstant || weights->shape.type != hlo::kF32 ||
      conv->IsRoot() || conv->uses().size() != 1 || !TakesEpilogue(*conv)) {
    return;
  }
  Instruction* product = conv->uses()[0].user;
  if (product->opcode() != Opcode::kMultiply) return;
  Instruction* factor = product->operand(product->operand(0) == conv ? 1 : 0);
  if (!IsOfChannels(*factor, *conv)) return;
  hlo::Computation* computation = conv->parent();
  Instruction* factors =
      computation->Add(Opcode::kBroadcast, weights->shape.WithoutLayout(), {factor->operand(0)});
  factors->dimensions = {conv->conv_dims.kernel_output_feature};
  conv->ReplaceOperand(1, computation->Add(Opcode::kMultiply, factors->shape, {weights, factors}));
  product->ReplaceAllUsesWith(conv);
}

}  // namespace

std::unique_ptr<hlo::Module> WithRoundedOperands(const hlo::Module& module,
                                                 const CodegenOptions& options) {
  std::unique_ptr<hlo::Module> rounded = module.Clone();
  if (options.auto_cast == AutoCast::kNone) return rounded;
  for (hlo::Computation* computation : rounded->Computations()) {
    for (Instruction* product : computation->PostOrder()) {
      const bool conv = product->opcode() == Opcode::kConvolution;
      if (!conv && product->opcode() != Opcode::kDot) continue;
      if (!RoundsOperands(*product, options)) continue;
      if (conv) Fold(product);
      for (int64_t i = 0; i < 2; ++i) {
        product->ReplaceOperand(i, Rounded(product->operand(i), options));
      }
    }
    computation->RemoveDead();
    computation->Sort();
  }
  return rounded;
}

}  // namespace glia::compiler
