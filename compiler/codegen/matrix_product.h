// Matrix products on the tensor engine, block by block of the results.
#ifndef GLIA_COMPILER_CODEGEN_MATRIX_PRODUCT_H_
#define GLIA_COMPILER_CODEGEN_MATRIX_PRODUCT_H_

#include <cstdint>

#include "compiler/codegen/emitter.h"
#include "compiler/codegen/epilogue.h"

namespace glia::compiler {

// out [m, n] = lhs [m, k] . rhs [n, k] for `count` products that lie a stride apart.
struct Products {
  Nd lhs, rhs;  // of the first
  int64_t count = 1;
  int64_t lhs_step = 0, rhs_step = 0;  // bytes
  // Cuts [count, m, n] from an array of the result's dims.
  ProductSink::View view;
};

// Both sides are [free, k], in HBM, a constant, or in SBUF; they are multiplied as `compute`.
void EmitProducts(Emitter& e, DType compute, ProductSink& sink, const Products& products);

}  // namespace glia::compiler

#endif  // GLIA_COMPILER_CODEGEN_MATRIX_PRODUCT_H_
