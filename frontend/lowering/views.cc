#include "frontend/lowering/views.h"

#include "absl/status/status.h"
#include "absl/strings/str_cat.h"
#include "frontend/capture/view.h"
#include "frontend/lowering/dtypes.h"

namespace glia::lowering {
namespace {

using capture::Geometry;
using capture::TensorMeta;
using capture::ViewStep;
using capture::ViewStepKind;

int64_t ItemSize(at::ScalarType dtype) { return static_cast<int64_t>(c10::elementSize(dtype)); }

Geometry BaseGeometry(const TensorMeta& meta) {
  return {meta.sizes, meta.strides, 0, ItemSize(meta.dtype)};
}

Geometry RegionGeometry(const TensorMeta& meta) {
  return {meta.sizes, meta.strides, meta.storage_offset, ItemSize(meta.dtype)};
}

// Same bytes, other type of the same size. PRED is a byte of 0 or 1 in torch's memory.
Op Reinterpret(Op x, PrimitiveType type) {
  if (!x.valid() || x.shape().type == type) return x;
  if (x.shape().type == hlo::kPred) return Reinterpret(Convert(x, hlo::kU8), type);
  if (type == hlo::kPred) return NotZero(Reinterpret(x, hlo::kU8));
  return BitcastConvert(x, type);
}

// A flat array's bytes as elements of another type.
Op ReinterpretFlat(Op x, PrimitiveType type, int64_t count) {
  if (!x.valid()) return x;
  if (x.shape().type == hlo::kPred) return ReinterpretFlat(Convert(x, hlo::kU8), type, count);
  if (type == hlo::kPred) return NotZero(ReinterpretFlat(x, hlo::kU8, count));
  const int64_t from = hlo::ByteSize(x.shape().type);
  const int64_t to = hlo::ByteSize(type);
  if (from < to) x = Reshape(x, {count, to / from});
  return Reshape(BitcastConvert(x, type), {count});
}

Op Constants(hlo::Builder* builder, const std::vector<int64_t>& values) {
  std::vector<int32_t> narrow(values.begin(), values.end());
  for (size_t i = 0; i < values.size(); ++i) {
    if (narrow[i] != values[i]) return hlo::ConstantR1<int64_t>(builder, values);
  }
  return hlo::ConstantR1<int32_t>(builder, narrow);
}

Op Apply(const std::vector<ViewStep>& steps, Op x, PrimitiveType type) {
  for (const ViewStep& step : steps) {
    if (!x.valid()) return x;
    switch (step.kind) {
      case ViewStepKind::kBitcast:
        x = ReinterpretFlat(x, type, step.sizes[0]);
        break;
      case ViewStepKind::kReshape:
        x = Reshape(x, step.sizes);
        break;
      case ViewStepKind::kTranspose:
        x = Transpose(x, step.permutation);
        break;
      case ViewStepKind::kSlice:
        x = Slice(x, step.starts, step.limits, step.steps);
        break;
      case ViewStepKind::kBroadcast:
        x = BroadcastInDim(x, step.sizes, step.dimensions);
        break;
      case ViewStepKind::kGather:
        x = Reshape(TakeAlong(x, Constants(x.builder, step.indices), 0), step.sizes);
        break;
    }
  }
  return x;
}

// Whether reading elements of one type as the other is more than a relabelling; the device's bytes
// must then be torch's.
bool CheckReinterpret(hlo::Builder* builder, at::ScalarType from, at::ScalarType to) {
  if (from == to) return true;
  for (at::ScalarType type : {from, to}) {
    if (hlo::ByteSize(ToHlo(type)) != ItemSize(type)) {
      builder->ReportError(absl::UnimplementedError(
          absl::StrCat("reinterpreting the bytes of ", c10::toString(from), " as ",
                       c10::toString(to), ": the device holds no ", c10::toString(type))));
      return false;
    }
  }
  return true;
}

// `contents` written into a strided box of `base`.
Op UpdateBox(Op base, Op contents, const std::vector<int64_t>& starts,
             const std::vector<int64_t>& steps) {
  if (!base.valid() || !contents.valid()) return {};
  hlo::Builder* builder = base.builder;
  bool dense = true;
  for (int64_t step : steps) dense = dense && step == 1;
  if (dense) {
    std::vector<Op> start_ops;
    for (int64_t start : starts) {
      start_ops.push_back(hlo::ConstantR0<int32_t>(builder, static_cast<int32_t>(start)));
    }
    return DynamicUpdateSlice(base, contents, start_ops);
  }
  std::vector<hlo::PaddingDim> padding(starts.size());
  for (size_t d = 0; d < starts.size(); ++d) {
    const int64_t count = contents.shape().dims[d];
    const int64_t extent = count == 0 ? 0 : (count - 1) * steps[d] + 1;
    padding[d] = {starts[d], base.shape().dims[d] - starts[d] - extent, steps[d] - 1};
  }
  const Op written = hlo::Filled(builder, contents.shape().WithType(hlo::kPred), 1);
  const Op mask = Pad(written, hlo::ConstantR0<bool>(builder, false), padding);
  return Select(mask, Pad(contents, ScalarLike(contents, 0), padding), base);
}

Op ScatterInto(Op flat, const std::vector<int64_t>& indices, Op contents) {
  if (!flat.valid() || !contents.valid()) return {};
  const PrimitiveType type = flat.shape().type;
  hlo::Computation* second =
      ScalarFunction(flat.builder, type, 2, [](absl::Span<const Op> p) { return p[1]; });
  if (second == nullptr) return {};
  hlo::ScatterDims dims;
  dims.inserted_window_dims = {0};
  dims.scatter_dims_to_operand_dims = {0};
  dims.index_vector_dim = 1;
  return Scatter({flat}, Constants(flat.builder, indices), {contents}, second, dims,
                 /*indices_are_sorted=*/false, /*unique_indices=*/true);
}

}  // namespace

Op LowerView(Op base, const TensorMeta& base_meta, const TensorMeta& region) {
  if (!base.valid() || !CheckReinterpret(base.builder, base_meta.dtype, region.dtype)) return {};
  const PrimitiveType type = ToHlo(region.dtype);
  if (ItemSize(base_meta.dtype) == ItemSize(region.dtype)) base = Reinterpret(base, type);
  return Apply(ClassifyView(BaseGeometry(base_meta), RegionGeometry(region)), base, type);
}

Op LowerUpdate(Op base, const TensorMeta& base_meta, Op contents, const TensorMeta& region) {
  if (!base.valid() || !CheckReinterpret(base.builder, base_meta.dtype, region.dtype)) return {};
  const PrimitiveType type = ToHlo(region.dtype);
  const PrimitiveType base_type = ToHlo(base_meta.dtype);
  const bool same_size = ItemSize(base_meta.dtype) == ItemSize(region.dtype);
  const capture::UpdatePlan plan = ClassifyUpdate(BaseGeometry(base_meta), RegionGeometry(region));
  const Op c = Apply(plan.contents_steps, contents, type);
  Op result = c;
  if (!plan.whole) {
    const Op b = Apply(plan.base_steps, same_size ? Reinterpret(base, type) : base, type);
    result = plan.indices.empty() ? UpdateBox(b, c, plan.starts, plan.steps)
                                  : ScatterInto(b, plan.indices, c);
  }
  result = Apply(plan.result_steps, result, base_type);
  return same_size ? Reinterpret(result, base_type) : result;
}

}  // namespace glia::lowering
