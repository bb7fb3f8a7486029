// Making the nodes that are not operators of the user's program.
#ifndef GLIA_FRONTEND_CAPTURE_NODES_H_
#define GLIA_FRONTEND_CAPTURE_NODES_H_

#include <c10/util/ArrayRef.h>

#include "frontend/capture/graph.h"

namespace glia::capture {

// Whether elements lie at the same places: strides of dimensions of size 1 do not count.
bool SameStrides(c10::IntArrayRef sizes, c10::IntArrayRef a, c10::IntArrayRef b);
bool SameStorageOrder(const TensorMeta& a, const TensorMeta& b);

void AddMeta(Hasher& hasher, c10::IntArrayRef sizes, c10::IntArrayRef strides,
             at::ScalarType dtype);

Value MakeZeros(c10::IntArrayRef sizes, c10::IntArrayRef strides, at::ScalarType dtype);
// aten::full.
Value MakeFull(c10::IntArrayRef sizes, c10::IntArrayRef strides, at::ScalarType dtype,
               const c10::Scalar& value);
// A kConstant; the dtype is the scalar's own (double, long, bool, complex double).
Value MakeConstant(const c10::Scalar& value, bool wrapped_number);
// aten::_to_copy; `value` itself when it has the dtype.
Value MakeConvert(const Value& value, at::ScalarType dtype);
// An aten operator of one tensor and no other required argument, whose result has its operand's
// shape.
Value MakeUnary(const char* op, const Value& value);
// Inputs. `meta.strides` say in which storage order the data are to be seen; the device or host
// array is row-major.
Value MakeDataInput(std::shared_ptr<DeviceData> data, TensorMeta meta);
Value MakeHostInput(at::Tensor host, TensorMeta meta);
Value MakeParameter(int64_t position, TensorMeta meta);

// The elements of `region` in memory that `base` fills at the geometry `layout`; `base` itself when
// they are the same. The result's strides are row-major.
Value MakeView(const Value& base, const TensorMeta& layout, c10::IntArrayRef sizes,
               c10::IntArrayRef strides, int64_t offset, at::ScalarType dtype);
// The same memory with the region replaced by `contents`.
Value MakeUpdate(const Value& base, const TensorMeta& layout, c10::IntArrayRef sizes,
                 c10::IntArrayRef strides, int64_t offset, const Value& contents);

}  // namespace glia::capture

#endif  // GLIA_FRONTEND_CAPTURE_NODES_H_
