// Shared by the files of shape inference: one function per instruction, and how they report errors.
#ifndef GLIA_SERIALIZATION_HLO_SHAPE_INFERENCE_INTERNAL_H_
#define GLIA_SERIALIZATION_HLO_SHAPE_INFERENCE_INTERNAL_H_

#include <string>
#include <vector>

#include "absl/strings/str_cat.h"
#include "serialization/hlo/shape_inference.h"

namespace glia::hlo::inference {

using Input = InferenceInput;
using Result = absl::StatusOr<Shape>;

// "dot(f32[2,3], f32[4,5]): ...".
template <typename... Parts>
absl::Status Error(const Input& input, const Parts&... parts) {
  std::string text = absl::StrCat(OpcodeName(input.opcode), "(");
  for (size_t i = 0; i < input.operands.size(); ++i) {
    if (i == 8) {
      text += ", …";
      break;
    }
    absl::StrAppend(&text, i == 0 ? "" : ", ", input.operands[i]->ToString());
  }
  absl::StrAppend(&text, "): ", parts...);
  return absl::InvalidArgumentError(text);
}

std::string DimsToString(absl::Span<const int64_t> dims);

absl::Status CheckArray(const Input& input, size_t operand);
absl::Status CheckScalar(const Input& input, size_t operand);
// All dims are within [0, rank) and distinct. `what` names the attribute.
absl::Status CheckDims(const Input& input, absl::Span<const int64_t> dims, int64_t rank,
                       absl::string_view what);
absl::Status CheckCalled(const Input& input, size_t count);
// The called computation has these parameters and, unless `result` is null, this result.
absl::Status CheckSignature(const Input& input, size_t called, absl::Span<const Shape> parameters,
                            const Shape* result);

Result InferUnary(const Input& input);
Result InferConvert(const Input& input);
Result InferBitcastConvert(const Input& input);
Result InferBinary(const Input& input);
Result InferCompare(const Input& input);
Result InferClamp(const Input& input);
Result InferSelect(const Input& input);

Result InferBitcast(const Input& input);
Result InferBroadcast(const Input& input);
Result InferConcatenate(const Input& input);
Result InferDynamicSlice(const Input& input);
Result InferDynamicUpdateSlice(const Input& input);
Result InferGather(const Input& input);
Result InferPad(const Input& input);
Result InferReshape(const Input& input);
Result InferReverse(const Input& input);
Result InferSlice(const Input& input);
Result InferTranspose(const Input& input);

Result InferBatchNormInference(const Input& input);
Result InferConvolution(const Input& input);
Result InferDot(const Input& input);
Result InferMap(const Input& input);
Result InferReduce(const Input& input);
Result InferReduceWindow(const Input& input);
Result InferScatter(const Input& input);
Result InferSelectAndScatter(const Input& input);
Result InferSort(const Input& input);
Result InferTopK(const Input& input);

Result InferConstant(const Input& input);
Result InferIota(const Input& input);
Result InferParameter(const Input& input);
Result InferRng(const Input& input);
Result InferRngBitGenerator(const Input& input);
Result InferCall(const Input& input);
Result InferConditional(const Input& input);
Result InferCustomCall(const Input& input);
Result InferGetTupleElement(const Input& input);
Result InferIdentity(const Input& input);
Result InferTuple(const Input& input);
Result InferWhile(const Input& input);

}  // namespace glia::hlo::inference

// Returns the status from the current function unless it is OK.
#define GLIA_HLO_RETURN_IF_ERROR(expression)           \
  do {                                                 \
    const absl::Status glia_hlo_status = (expression); \
    if (!glia_hlo_status.ok()) return glia_hlo_status; \
  } while (false)

#endif  // GLIA_SERIALIZATION_HLO_SHAPE_INFERENCE_INTERNAL_H_
