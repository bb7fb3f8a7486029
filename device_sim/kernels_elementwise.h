// Row kernels for the vector, scalar and pool engines: a row is up to a few thousand elements in host
// memory. Table entries are null where there is no vector form: then the scalar reference of
// semantics.h is used. Float results are within rounding of it, integers and conversions equal.
#ifndef GLIA_DEVICE_SIM_KERNELS_ELEMENTWISE_H_
#define GLIA_DEVICE_SIM_KERNELS_ELEMENTWISE_H_

#include <cstddef>
#include <cstdint>

namespace glia::device::kernels {

inline constexpr int kDTypeCount = 12;   // isa::DType
inline constexpr int kAluOpCount = 27;   // isa::AluOp
inline constexpr int kActFnCount = 96;   // isa::ActFn

// Strides are in bytes; outputs may equal inputs, not overlap them otherwise.
using LoadF32Fn = void (*)(const uint8_t* src, ptrdiff_t stride, float* dst, size_t n);
using StoreF32Fn = void (*)(const float* src, uint8_t* dst, ptrdiff_t stride, size_t n);
using LoadI64Fn = void (*)(const uint8_t* src, ptrdiff_t stride, int64_t* dst, size_t n);
using StoreI64Fn = void (*)(const int64_t* src, uint8_t* dst, ptrdiff_t stride, size_t n);
// out[i] = a[i] op b[i]; a (b) is one value for all i where a_scalar (b_scalar). Not both.
using BinaryF32Fn = void (*)(const float* a, bool a_scalar, const float* b, bool b_scalar, float* out,
                             size_t n);
// out[i] = (a[i] op0 s) op1 b[i], each rounded; b is one value for all i where b_scalar.
using TernaryF32Fn = void (*)(const float* a, float s, const float* b, bool b_scalar, float* out, size_t n);
using BinaryI64Fn = void (*)(const int64_t* a, bool a_scalar, const int64_t* b, bool b_scalar,
                             int64_t* out, size_t n);
// out[i] = fn(in[i] * scale + bias), `parameter` being fn's own.
using UnaryF32Fn = void (*)(const float* in, float scale, float bias, float parameter, float* out,
                            size_t n);
using ReduceF32Fn = float (*)(const float* in, size_t n);  // n >= 1
// out[i] = mask[i] != 0 ? a[i] : b[i]
using SelectF32Fn = void (*)(const float* mask, const float* a, const float* b, float* out, size_t n);

struct ElementwiseKernels {
  LoadF32Fn load_f32[kDTypeCount] = {};
  StoreF32Fn store_f32[kDTypeCount] = {};
  LoadI64Fn load_i64[kDTypeCount] = {};    // null for float types
  StoreI64Fn store_i64[kDTypeCount] = {};
  StoreI64Fn store_u64[kDTypeCount] = {};  // the 64 bits are unsigned: differs for float types
  BinaryF32Fn binary_f32[kAluOpCount] = {};
  TernaryF32Fn ternary_f32[kAluOpCount][kAluOpCount] = {};  // [op0][op1], of the frequent ones
  BinaryI64Fn binary_i64[kAluOpCount] = {};  // where signedness does not matter, or signed
  UnaryF32Fn unary_f32[kActFnCount] = {};
  ReduceF32Fn reduce_f32[kAluOpCount] = {};
  SelectF32Fn select_f32 = nullptr;
};

// The implementation for this processor. Thread-safe.
const ElementwiseKernels& GetElementwise();

}  // namespace glia::device::kernels

#endif  // GLIA_DEVICE_SIM_KERNELS_ELEMENTWISE_H_
