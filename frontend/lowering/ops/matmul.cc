// Matrix products.
#include "frontend/lowering/registry.h"

namespace glia::lowering {
namespace {

// The type in which products are summed: f32 for floats of 16 bits, whose operands stay as they
// are.
PrimitiveType SumType(Op x) { return x.valid() ? Ctx::ComputeType(x.shape().type) : hlo::kInvalid; }

// [m,k]·[k,n], [k]·[k], [m,k]·[k]
Op MatMul(Op a, Op b) {
  if (!a.valid() || !b.valid()) return {};
  hlo::DotDims dims;
  dims.lhs_contracting = {a.shape().rank() - 1};
  dims.rhs_contracting = {0};
  return DotGeneral(a, b, dims, SumType(a));
}

// [b,m,k]·[b,k,n]
Op BatchMatMul(Op a, Op b) {
  hlo::DotDims dims;
  dims.lhs_contracting = {2};
  dims.rhs_contracting = {1};
  dims.lhs_batch = {0};
  dims.rhs_batch = {0};
  return DotGeneral(a, b, dims, SumType(a));
}

// beta · self + alpha · product, with the Scalars as arguments i and i + 1. With beta 0 what self
// holds does not matter, not even NaN.
Op Accumulate(Ctx& c, Op product, size_t i) {
  const auto scaled = [&](Op x, size_t k) {
    return !c.Has(k) || c.IsScalar(k, 1) ? x : Mul(x, c.ScalarEl(k));
  };
  product = scaled(Convert(product, c.compute()), i + 1);
  return c.Has(i) && c.IsScalar(i, 0) ? product : Add(scaled(c.El(0), i), product);
}

void MatMulOp(Ctx& c) { c.Return(MatMul(c.T(0), c.T(1))); }
void Bmm(Ctx& c) { c.Return(BatchMatMul(c.T(0), c.T(1))); }

// aten::addmm(Tensor self, Tensor mat1, Tensor mat2, *, Scalar beta=1, Scalar alpha=1) -> Tensor
void Addmm(Ctx& c) { c.Return(Accumulate(c, MatMul(c.T(1), c.T(2)), 3)); }
void Baddbmm(Ctx& c) { c.Return(Accumulate(c, BatchMatMul(c.T(1), c.T(2)), 3)); }

// aten::_addmm_activation(Tensor self, Tensor mat1, Tensor mat2, *, Scalar beta=1, Scalar alpha=1,
//                         bool use_gelu=False) -> Tensor
void AddmmActivation(Ctx& c) {
  const Op x = Accumulate(c, MatMul(c.T(1), c.T(2)), 3);
  c.Return(c.Bool(5) ? Mul(x, NormalCdf(x)) : Relu(x));
}

// aten::addbmm: the products of the batch are summed
void Addbmm(Ctx& c) {
  hlo::DotDims dims;
  dims.lhs_contracting = {0, 2};
  dims.rhs_contracting = {0, 1};
  c.Return(Accumulate(c, DotGeneral(c.T(1), c.T(2), dims, SumType(c.T(1))), 3));
}

// aten::addr(Tensor self, Tensor vec1, Tensor vec2, *, Scalar beta=1, Scalar alpha=1) -> Tensor
void Addr(Ctx& c) {
  const Op column = Unsqueeze(c.T(1, c.compute()), 1);
  const Op row = Unsqueeze(c.T(2, c.compute()), 0);
  c.Return(
      Accumulate(c, Mul(BroadcastTo(column, c.Out().dims), BroadcastTo(row, c.Out().dims)), 3));
}

// aten::linear(Tensor input, Tensor weight, Tensor? bias=None) -> Tensor: x · weightᵀ + bias
void Linear(Ctx& c) {
  const Op x = c.T(0), weight = c.T(1);
  hlo::DotDims dims;
  dims.lhs_contracting = {x.shape().rank() - 1};
  dims.rhs_contracting = {weight.shape().rank() - 1};
  const Op product = Convert(DotGeneral(x, weight, dims, SumType(x)), c.compute());
  c.Return(c.Has(2) ? Add(product, c.El(2)) : product);
}

// aten::matmul(Tensor self, Tensor other) -> Tensor: of vectors, matrices, and batches of matrices
// that broadcast
void AnyMatMul(Ctx& c) {
  Op a = c.T(0), b = c.T(1);
  if (b.shape().rank() <= 2) {
    // Of `a` all dims but the last are alike.
    hlo::DotDims dims;
    dims.lhs_contracting = {a.shape().rank() - 1};
    dims.rhs_contracting = {0};
    return c.Return(DotGeneral(a, b, dims, SumType(a)));
  }
  if (a.shape().rank() == 1) a = Unsqueeze(a, 0);
  const auto matrix = [](Op x) {
    const Dims& dims = x.shape().dims;
    return Dims(dims.end() - 2, dims.end());
  };
  const auto batch = [](Op x) {
    const Dims& dims = x.shape().dims;
    return Dims(dims.begin(), dims.end() - 2);
  };
  const Dims shared = BroadcastDims({batch(a), batch(b)});
  const auto spread = [&](Op x) {
    Dims dims = shared;
    for (int64_t d : matrix(x)) dims.push_back(d);
    return BroadcastTo(x, dims);
  };
  const int64_t rank = static_cast<int64_t>(shared.size());
  hlo::DotDims dims;
  for (int64_t d = 0; d < rank; ++d) {
    dims.lhs_batch.push_back(d);
    dims.rhs_batch.push_back(d);
  }
  dims.lhs_contracting = {rank + 1};
  dims.rhs_contracting = {rank};
  c.Return(Reshape(DotGeneral(spread(a), spread(b), dims, SumType(a)), c.Out().dims));
}

// aten::_trilinear(Tensor i1, Tensor i2, Tensor i3, int[] expand1, int[] expand2, int[] expand3,
//                  int[] sumdim, int unroll_dim=1) -> Tensor
// The three operands get dims of size 1 at the places in expandN, are multiplied and summed.
void Trilinear(Ctx& c) {
  const Dims sum_dims = c.Ints(6);
  Op operands[3];
  std::vector<Dims> shapes;
  for (size_t i = 0; i < 3; ++i) {
    operands[i] = c.T(i, c.compute());
    for (int64_t d : c.Ints(3 + i)) operands[i] = Unsqueeze(operands[i], d);
    shapes.push_back(operands[i].shape().dims);
  }
  const Dims full = BroadcastDims(shapes);
  const Op product = Mul(Mul(BroadcastTo(operands[0], full), BroadcastTo(operands[1], full)),
                         BroadcastTo(operands[2], full));
  c.Return(ReduceSum(product, sum_dims));
}

}  // namespace

OpTable MatmulOps() {
  static constexpr OpLowering kOps[] = {
      {"aten::_addmm_activation", AddmmActivation},
      {"aten::_trilinear", Trilinear},
      {"aten::addbmm", Addbmm},
      {"aten::addmm", Addmm},
      {"aten::addmv", Addmm},
      {"aten::addr", Addr},
      {"aten::baddbmm", Baddbmm},
      {"aten::bmm", Bmm},
      {"aten::dot", MatMulOp},
      {"aten::linear", Linear},
      {"aten::matmul", AnyMatMul},
      {"aten::mm", MatMulOp},
      {"aten::mv", MatMulOp},
      {"aten::vdot", MatMulOp},
  };
  return kOps;
}

}  // namespace glia::lowering
