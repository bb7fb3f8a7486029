// An n-dimensional strided array in HBM, SBUF or PSUM, as the DMA engines see it. Plain values.
#ifndef GLIA_COMPILER_CODEGEN_ND_H_
#define GLIA_COMPILER_CODEGEN_ND_H_

#include <cstdint>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/types/optional.h"
#include "absl/types/span.h"
#include "serialization/hlo/shape.h"
#include "serialization/isa/isa.h"

namespace glia::compiler {

using Dims = std::vector<int64_t>;

// Element (i0, i1, ...) is at byte offset + sum i[k] * strides[k] of variable `var`. Strides are in
// bytes; 0 repeats, a negative one runs backwards. A tile in SBUF or PSUM is row-major [partitions,
// bytes].
struct Nd {
  uint32_t var = UINT32_MAX;
  isa::DType dtype = isa::DType::kF32;
  int64_t offset = 0;
  Dims dims;
  Dims strides;

  int64_t rank() const { return static_cast<int64_t>(dims.size()); }
  int64_t elements() const;
  int64_t element_bytes() const;
  // Row-major and dense.
  bool contiguous() const;
  std::string ToString() const;
};

// A dense row-major array.
Nd DenseNd(uint32_t var, isa::DType dtype, Dims dims, int64_t offset = 0);

// Each returns a view of the same bytes. Arguments as the HLO operations of these names; no checks.
Nd SliceDim(Nd nd, int64_t dim, int64_t start, int64_t size, int64_t step = 1);
Nd SliceNd(Nd nd, absl::Span<const int64_t> starts, absl::Span<const int64_t> sizes);
Nd TransposeNd(const Nd& nd, absl::Span<const int64_t> permutation);
Nd ReverseDim(Nd nd, int64_t dim);
// Operand dim i becomes dim `at[i]` of the result, the others repeat.
Nd BroadcastNd(const Nd& nd, const Dims& dims, absl::Span<const int64_t> at);
// Splits `dim` of size a*b into (a, b). Requires divisibility.
Nd SplitDim(Nd nd, int64_t dim, int64_t inner);
Nd DropDim(Nd nd, int64_t dim);  // of size 1, or takes index 0
Nd InsertDim(Nd nd, int64_t dim, int64_t size = 1, int64_t stride = 0);
// The same elements in row-major order under other dims, if strides can say it.
absl::optional<Nd> ReshapeNd(const Nd& nd, const Dims& dims);

// Merges neighbouring dims that are one dim in all of `parts` (strides of one part each, of the
// rank of dims), and drops dims of size 1. At least one dim remains.
void Collapse(Dims* dims, absl::Span<Dims* const> parts);

int64_t Product(absl::Span<const int64_t> dims);
// Unimplemented for types that the device does not have (f64, complex, f8, 4-bit).
absl::StatusOr<isa::DType> DeviceType(hlo::PrimitiveType type);

}  // namespace glia::compiler

#endif  // GLIA_COMPILER_CODEGEN_ND_H_
