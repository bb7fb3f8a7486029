// Strided access in terms of array operations. A storage is a flat run of elements that a dense
// base value fills; a tensor is a strided window on it. ClassifyView says how to read the window
// with reshape, transpose, slice and broadcast steps, ClassifyUpdate how to write it; element
// indices are the last resort. Free of torch; pure functions.
#ifndef GLIA_FRONTEND_CAPTURE_VIEW_H_
#define GLIA_FRONTEND_CAPTURE_VIEW_H_

#include <cstdint>
#include <string>
#include <vector>

namespace glia::capture {

// Element (i0, i1, …) lies at offset + Σ i_k · strides[k]. Strides are not negative.
struct Geometry {
  std::vector<int64_t> sizes;
  std::vector<int64_t> strides;
  int64_t offset = 0;
  int64_t itemsize = 4;  // bytes of an element: unit of strides and offset
};

enum class ViewStepKind {
  kBitcast,    // reinterpret the bytes of a flat array of another item size; result [sizes[0]]
  kReshape,    // to `sizes`, row-major order kept
  kTranspose,  // result dimension d is operand dimension permutation[d]
  kSlice,      // operand[starts : limits : steps]; result shape `sizes`
  kBroadcast,  // to `sizes`; operand dimension d becomes result dimension dimensions[d]
  kGather,     // operand is flat: result[i] (row-major) = operand[indices[i]]; result shape `sizes`
};

struct ViewStep {
  ViewStepKind kind;
  std::vector<int64_t> sizes;  // shape of the result
  std::vector<int64_t> permutation;
  std::vector<int64_t> starts, limits, steps;
  std::vector<int64_t> dimensions;
  std::vector<int64_t> indices;
};

// Steps from the base value (shape base.sizes) to a value of shape region.sizes. Empty: the same
// array. Precondition: base is dense (its elements fill [0, numel) without overlap, in some order
// of dimensions) with offset 0, and the region lies within it. Both have elements. The dtype
// changes at kBitcast; where base and region have different dtypes of one item size there is no
// such step, and the base is to be reinterpreted element by element before the first step.
std::vector<ViewStep> ClassifyView(const Geometry& base, const Geometry& region);

// How to replace `region` of base's memory by `contents`, a value of region's shape:
//   b = apply(base_steps, base);                        // bring base into a shape in which …
//   c = apply(contents_steps, contents);                // … the region is a (strided) box of it
//   r = whole ? c : indices.empty() ? update(b, c) : scatter(flat b, indices, flat c);
//   result = apply(result_steps, r);                    // back to base.sizes
// update: dynamic_update_slice of c at `starts` with element distance `steps` (a step of 1
// everywhere is a plain dynamic-update-slice; otherwise select with an interior-padded c).
struct UpdatePlan {
  bool whole = false;
  std::vector<ViewStep> base_steps;
  std::vector<ViewStep> contents_steps;
  std::vector<int64_t> starts, steps;  // one per dimension of b
  std::vector<int64_t> indices;        // scatter: positions in flat b, unique, one per element of c
  std::vector<ViewStep> result_steps;
};
// Where the region overlaps itself (expanded dimensions), the last of the elements that share a
// place wins, as it does for a sequential copy. A kBitcast in result_steps goes back to the base's
// dtype.
UpdatePlan ClassifyUpdate(const Geometry& base, const Geometry& region);

std::string ToString(const std::vector<ViewStep>& steps);

}  // namespace glia::capture

#endif  // GLIA_FRONTEND_CAPTURE_VIEW_H_
