#include "compiler/codegen/nd.h"

#include <algorithm>

#include "absl/status/status.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "serialization/isa/table.h"

namespace glia::compiler {

int64_t Product(absl::Span<const int64_t> dims) {
  int64_t product = 1;
  for (int64_t d : dims) product *= d;
  return product;
}

int64_t Nd::elements() const { return Product(dims); }
int64_t Nd::element_bytes() const { return isa::DTypeBytes(dtype); }

bool Nd::contiguous() const {
  int64_t expected = element_bytes();
  for (int64_t i = rank() - 1; i >= 0; --i) {
    if (dims[i] == 0) return true;
    if (dims[i] != 1 && strides[i] != expected) return false;
    expected *= dims[i];
  }
  return true;
}

std::string Nd::ToString() const {
  return absl::StrCat("var ", var, " + ", offset, " [", absl::StrJoin(dims, ","), "] strides [",
                      absl::StrJoin(strides, ","), "]");
}

Nd DenseNd(uint32_t var, isa::DType dtype, Dims dims, int64_t offset) {
  Nd nd;
  nd.var = var;
  nd.dtype = dtype;
  nd.offset = offset;
  nd.strides.resize(dims.size());
  int64_t stride = isa::DTypeBytes(dtype);
  for (int64_t i = static_cast<int64_t>(dims.size()) - 1; i >= 0; --i) {
    nd.strides[i] = stride;
    stride *= dims[i];
  }
  nd.dims = std::move(dims);
  return nd;
}

Nd SliceDim(Nd nd, int64_t dim, int64_t start, int64_t size, int64_t step) {
  nd.offset += start * nd.strides[dim];
  nd.dims[dim] = size;
  nd.strides[dim] *= step;
  return nd;
}

Nd SliceNd(Nd nd, absl::Span<const int64_t> starts, absl::Span<const int64_t> sizes) {
  for (size_t i = 0; i < starts.size(); ++i) {
    nd.offset += starts[i] * nd.strides[i];
    nd.dims[i] = sizes[i];
  }
  return nd;
}

Nd TransposeNd(const Nd& nd, absl::Span<const int64_t> permutation) {
  Nd result = nd;
  for (size_t i = 0; i < permutation.size(); ++i) {
    result.dims[i] = nd.dims[permutation[i]];
    result.strides[i] = nd.strides[permutation[i]];
  }
  return result;
}

Nd ReverseDim(Nd nd, int64_t dim) {
  if (nd.dims[dim] > 0) nd.offset += (nd.dims[dim] - 1) * nd.strides[dim];
  nd.strides[dim] = -nd.strides[dim];
  return nd;
}

Nd BroadcastNd(const Nd& nd, const Dims& dims, absl::Span<const int64_t> at) {
  Nd result = nd;
  result.dims = dims;
  result.strides.assign(dims.size(), 0);
  for (size_t i = 0; i < at.size(); ++i) {
    if (nd.dims[i] == dims[at[i]]) result.strides[at[i]] = nd.strides[i];
  }
  return result;
}

Nd SplitDim(Nd nd, int64_t dim, int64_t inner) {
  const int64_t stride = nd.strides[dim];
  nd.dims.insert(nd.dims.begin() + dim + 1, inner);
  nd.strides.insert(nd.strides.begin() + dim + 1, stride);
  nd.dims[dim] /= inner;
  nd.strides[dim] = stride * inner;
  return nd;
}

Nd DropDim(Nd nd, int64_t dim) {
  nd.dims.erase(nd.dims.begin() + dim);
  nd.strides.erase(nd.strides.begin() + dim);
  return nd;
}

Nd InsertDim(Nd nd, int64_t dim, int64_t size, int64_t stride) {
  nd.dims.insert(nd.dims.begin() + dim, size);
  nd.strides.insert(nd.strides.begin() + dim, stride);
  return nd;
}

absl::optional<Nd> ReshapeNd(const Nd& nd, const Dims& dims) {
  Nd result = nd;
  result.dims = dims;
  result.strides.assign(dims.size(), 0);
  if (nd.elements() == 0) {
    return DenseNd(nd.var, nd.dtype, dims, nd.offset);
  }
  // Source dims other than 1, neighbours merged where they are one dim; each is then cut from the
  // inside.
  Dims sizes = nd.dims;
  Dims strides = nd.strides;
  Collapse(&sizes, {&strides});
  int64_t source = static_cast<int64_t>(sizes.size()) - 1;
  int64_t left = sizes[source];  // of the current source dim, not yet given to result dims
  int64_t step = strides[source];
  for (int64_t i = static_cast<int64_t>(dims.size()) - 1; i >= 0; --i) {
    if (dims[i] == 1) continue;
    while (left == 1) {
      --source;
      left = sizes[source];
      step = strides[source];
    }
    if (left % dims[i] != 0) return absl::nullopt;
    result.strides[i] = step;
    step *= dims[i];
    left /= dims[i];
  }
  return result;
}

void Collapse(Dims* dims, absl::Span<Dims* const> parts) {
  size_t kept = 0;  // dims [0, kept) are done
  for (size_t i = 0; i < dims->size(); ++i) {
    if ((*dims)[i] == 1) continue;
    bool merge = kept > 0;
    for (const Dims* part : parts) {
      if (merge && (*part)[kept - 1] != (*part)[i] * (*dims)[i]) merge = false;
    }
    if (merge) {
      (*dims)[kept - 1] *= (*dims)[i];
      for (Dims* part : parts) (*part)[kept - 1] = (*part)[i];
    } else {
      (*dims)[kept] = (*dims)[i];
      for (Dims* part : parts) (*part)[kept] = (*part)[i];
      ++kept;
    }
  }
  if (kept == 0) {
    dims->assign(1, 1);
    for (Dims* part : parts) part->assign(1, 0);
    return;
  }
  dims->resize(kept);
  for (Dims* part : parts) part->resize(kept);
}

absl::StatusOr<isa::DType> DeviceType(hlo::PrimitiveType type) {
  switch (type) {
    case hlo::kPred:
      return isa::DType::kPred;
    case hlo::kU8:
      return isa::DType::kU8;
    case hlo::kS8:
      return isa::DType::kI8;
    case hlo::kU16:
      return isa::DType::kU16;
    case hlo::kS16:
      return isa::DType::kI16;
    case hlo::kU32:
      return isa::DType::kU32;
    case hlo::kS32:
      return isa::DType::kI32;
    case hlo::kU64:
      return isa::DType::kU64;
    case hlo::kS64:
      return isa::DType::kI64;
    case hlo::kF32:
      return isa::DType::kF32;
    case hlo::kBF16:
      return isa::DType::kBf16;
    case hlo::kF16:
      return isa::DType::kF16;
    default:
      return absl::UnimplementedError(
          absl::StrCat("the device has no type ", std::string(hlo::Name(type)),
                       "; convert to f32, bf16, f16, an integer of 8 to 64 bits or pred"));
  }
}

}  // namespace glia::compiler
