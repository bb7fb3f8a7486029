// Shape rules of sources, tuples and control flow.

#include "serialization/hlo/shape_inference_internal.h"

namespace glia::hlo::inference {

Result InferConstant(const Input& input) {
  if (input.attributes.literal == nullptr) return Error(input, "has no value");
  const Shape& shape = input.attributes.literal->shape();
  if (!Compatible(shape, input.declared)) {
    return Error(input, "the value is ", shape.ToString(), ", not ", input.declared.ToString());
  }
  return shape.WithoutLayout();
}

Result InferIota(const Input& input) {
  if (input.attributes.dimensions.size() != 1) return Error(input, "needs exactly one dimension");
  if (!input.declared.IsArray() || input.declared.type == kPred) {
    return Error(input, "the result must be an array of numbers, not ", input.declared.ToString());
  }
  GLIA_HLO_RETURN_IF_ERROR(
      CheckDims(input, input.attributes.dimensions, input.declared.rank(), "iota_dimension"));
  return Shape(input.declared.type, input.declared.dims);
}

Result InferParameter(const Input& input) {
  const int64_t number = input.attributes.parameter_number;
  if (number < 0) return Error(input, "number ", number, " is negative");
  return input.declared.WithoutLayout();
}

Result InferRng(const Input& input) {
  if (input.operands.size() != 2) return Error(input, "takes two operands");
  if (input.attributes.distribution == RandomDistribution::kInvalid) {
    return Error(input, "has no distribution");
  }
  for (size_t i = 0; i < 2; ++i) {
    GLIA_HLO_RETURN_IF_ERROR(CheckScalar(input, i));
    if (input.operands[i]->type != input.declared.type) {
      return Error(input, "operands must have the type of the result ", input.declared.ToString());
    }
  }
  return Shape(input.declared.type, input.declared.dims);
}

Result InferRngBitGenerator(const Input& input) {
  GLIA_HLO_RETURN_IF_ERROR(CheckArray(input, 0));
  const Shape& state = *input.operands[0];
  const Shape& declared = input.declared;
  if (!declared.IsTuple() || declared.tuple.size() != 2 || !Compatible(declared.tuple[0], state) ||
      !IsIntegral(declared.tuple[1].type)) {
    return Error(input, "the result must be (", state.ToString(), ", integers), not ",
                 declared.ToString());
  }
  return declared.WithoutLayout();
}

Result InferCall(const Input& input) {
  GLIA_HLO_RETURN_IF_ERROR(CheckCalled(input, 1));
  std::vector<Shape> parameters;
  for (const Shape* operand : input.operands) parameters.push_back(*operand);
  GLIA_HLO_RETURN_IF_ERROR(CheckSignature(input, 0, parameters, nullptr));
  return input.called[0]->root()->shape.WithoutLayout();
}

Result InferConditional(const Input& input) {
  if (input.operands.empty()) return Error(input, "needs a branch index");
  const Shape& index = *input.operands[0];
  const bool is_pred = index.type == kPred;
  if (!index.IsScalar() || (!is_pred && index.type != kS32)) {
    return Error(input, "operand 0 must be pred[] or s32[]");
  }
  const size_t branches = input.operands.size() - 1;
  if (branches == 0 || (is_pred && branches != 2)) {
    return Error(input, "needs one operand for each branch, two for a predicate");
  }
  GLIA_HLO_RETURN_IF_ERROR(CheckCalled(input, branches));
  const Shape result = input.called[0]->root()->shape.WithoutLayout();
  for (size_t i = 0; i < branches; ++i) {
    GLIA_HLO_RETURN_IF_ERROR(CheckSignature(input, i, {*input.operands[i + 1]}, &result));
  }
  return result;
}

Result InferCustomCall(const Input& input) {
  if (input.attributes.custom_call_target.empty()) return Error(input, "has no target");
  GLIA_HLO_RETURN_IF_ERROR(ValidateShape(input.declared));
  return input.declared.WithoutLayout();
}

Result InferGetTupleElement(const Input& input) {
  const Shape& tuple = *input.operands[0];
  const int64_t index = input.attributes.tuple_index;
  if (!tuple.IsTuple()) return Error(input, "the operand must be a tuple");
  if (index < 0 || index >= static_cast<int64_t>(tuple.tuple.size())) {
    return Error(input, "index ", index, " is outside [0, ", tuple.tuple.size(), ")");
  }
  return tuple.tuple[index].WithoutLayout();
}

Result InferIdentity(const Input& input) { return input.operands[0]->WithoutLayout(); }

Result InferTuple(const Input& input) {
  std::vector<Shape> elements;
  for (const Shape* operand : input.operands) elements.push_back(operand->WithoutLayout());
  return Shape::Tuple(std::move(elements));
}

Result InferWhile(const Input& input) {
  GLIA_HLO_RETURN_IF_ERROR(CheckCalled(input, 2));
  const Shape& state = *input.operands[0];
  const Shape pred(kPred, {});
  GLIA_HLO_RETURN_IF_ERROR(CheckSignature(input, 0, {state}, &state));
  GLIA_HLO_RETURN_IF_ERROR(CheckSignature(input, 1, {state}, &pred));
  return state.WithoutLayout();
}

}  // namespace glia::hlo::inference
