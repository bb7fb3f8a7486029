// Comparisons and logic.
#include "frontend/lowering/registry.h"

namespace glia::lowering {
namespace {

using hlo::ComparisonDirection;

// Operands meet in the type that promotion gives them. Pred compares as a number.
template <ComparisonDirection kDirection>
void CompareOp(Ctx& c) {
  PrimitiveType type = c.Promote({0, 1});
  if (type == hlo::kPred) type = hlo::kS32;
  c.Return(Compare(c.El(0, type), c.El(1, type), kDirection));
}

template <Op (*kFunction)(Op, Op, absl::Span<const int64_t>)>
void Logical(Ctx& c) {
  c.Return(kFunction(c.El(0, hlo::kPred), c.El(1, hlo::kPred), {}));
}

// aten::isin.Tensor_Tensor(Tensor elements, Tensor test_elements, *, bool assume_unique, bool
// invert) -> Tensor: every element against every test element, which may be a Scalar.
void IsIn(Ctx& c) {
  PrimitiveType type = c.Promote({0, 1});
  if (type == hlo::kPred) type = hlo::kS32;
  const Op tests = c.IsTensor(1) ? c.T(1, type) : c.ScalarEl(1, type);
  const int64_t count = tests.shape().elements();
  Dims dims = c.Out().dims;
  const int64_t last = static_cast<int64_t>(dims.size());
  const Op elements = c.T(0, type);
  dims.push_back(count);
  Dims own(static_cast<size_t>(last));
  for (int64_t d = 0; d < last; ++d) own[d] = d;
  const Op equal =
      Eq(hlo::BroadcastInDim(elements, dims, own), AlongDim(Reshape(tests, {count}), dims, last));
  const Op found = ReduceOr(equal, {last});
  c.Return(c.Bool(3) ? Not(found) : found);
}

}  // namespace

OpTable CompareOps() {
  static constexpr OpLowering kOps[] = {
      {"aten::eq.Scalar", CompareOp<ComparisonDirection::kEq>},
      {"aten::eq.Tensor", CompareOp<ComparisonDirection::kEq>},
      {"aten::ge.Scalar", CompareOp<ComparisonDirection::kGe>},
      {"aten::ge.Tensor", CompareOp<ComparisonDirection::kGe>},
      {"aten::gt.Scalar", CompareOp<ComparisonDirection::kGt>},
      {"aten::gt.Tensor", CompareOp<ComparisonDirection::kGt>},
      {"aten::isin.Tensor_Scalar", IsIn},
      {"aten::isin.Tensor_Tensor", IsIn},
      {"aten::le.Scalar", CompareOp<ComparisonDirection::kLe>},
      {"aten::le.Tensor", CompareOp<ComparisonDirection::kLe>},
      {"aten::logical_and", Logical<hlo::And>},
      {"aten::logical_or", Logical<hlo::Or>},
      {"aten::logical_xor", Logical<hlo::Xor>},
      {"aten::lt.Scalar", CompareOp<ComparisonDirection::kLt>},
      {"aten::lt.Tensor", CompareOp<ComparisonDirection::kLt>},
      {"aten::ne.Scalar", CompareOp<ComparisonDirection::kNe>},
      {"aten::ne.Tensor", CompareOp<ComparisonDirection::kNe>},
  };
  return kOps;
}

}  // namespace glia::lowering
