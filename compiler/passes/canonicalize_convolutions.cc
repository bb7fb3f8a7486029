#include <algorithm>

#include "compiler/passes/passes.h"
#include "compiler/passes/rewrite.h"

namespace glia::compiler {
namespace {

using hlo::Instruction;
using hlo::Opcode;

Instruction* Canonicalize(Instruction* instr) {
  if (instr->opcode() != Opcode::kConvolution) return nullptr;
  const hlo::ConvDims& dims = instr->conv_dims;
  hlo::Window window = instr->window;
  Instruction* input = instr->operand(0);
  std::vector<int64_t> reversed;
  std::vector<int64_t> starts(input->shape.dims.size(), 0);
  std::vector<int64_t> limits = input->shape.dims;
  bool sliced = false;
  for (size_t d = 0; d < window.size(); ++d) {
    hlo::WindowDim& w = window[d];
    if (w.reversal) reversed.push_back(dims.kernel_spatial[d]);
    w.reversal = false;
    // With base dilation a cut may fall between elements: those stay as they are.
    const size_t in = static_cast<size_t>(dims.input_spatial[d]);
    const int64_t low = std::max<int64_t>(0, -w.pad_low);
    const int64_t high = std::max<int64_t>(0, -w.pad_high);
    if (w.base_dilation == 1 && low + high > 0 && low + high <= limits[in]) {
      starts[in] += low;
      limits[in] -= high;
      w.pad_low += low;
      w.pad_high += high;
      sliced = true;
    }
  }
  if (reversed.empty() && !sliced) return nullptr;
  Rewriter rewriter(*instr);
  Instruction* conv = instr->parent()->AddCopy(
      *instr,
      {rewriter.Slice(input, starts, limits), rewriter.Reverse(instr->operand(1), reversed)});
  conv->window = window;
  return conv;
}

}  // namespace

absl::StatusOr<bool> CanonicalizeConvolutions(hlo::Module* module) {
  return RewriteInstructions(module, Canonicalize);
}

}  // namespace glia::compiler
