// What the lowering of one operator sees: the recorded call's arguments, typed, and the metadata of
// its results. A lowering reads arguments by their position in the operator's schema, builds HLO,
// and returns one value per result:
//
//   // aten::leaky_relu(Tensor self, Scalar negative_slope=0.01) -> Tensor
//   void LeakyRelu(Ctx& c) {
//     const Op x = c.El(0);
//     c.Return(Select(Gt(x, c.Const(0)), x, Mul(x, c.ScalarEl(1))));
//   }
//
// Every HLO value is the logical tensor: its dims are the tensor's sizes, row-major, whatever
// torch's strides are. Errors stick to the builder. One Ctx is for one call on one thread.
#ifndef GLIA_FRONTEND_LOWERING_CTX_H_
#define GLIA_FRONTEND_LOWERING_CTX_H_

#include <ATen/core/ivalue.h>

#include <cstdint>
#include <initializer_list>
#include <string>
#include <vector>

#include "absl/strings/string_view.h"
#include "absl/types/optional.h"
#include "frontend/capture/graph.h"
#include "frontend/lowering/dtypes.h"
#include "frontend/lowering/hlo_util.h"
#include "serialization/hlo/builder.h"

namespace glia::lowering {

class Ctx {
 public:
  // `operands`: the values of node.operands, an invalid one where a tensor is absent.
  Ctx(hlo::Builder* builder, const capture::Node& node, std::vector<Op> operands)
      : builder_(builder), node_(node), operands_(std::move(operands)) {}

  hlo::Builder* builder() const { return builder_; }

  // ---- Arguments. `i` is the position in the schema; beyond its end counts as absent.
  bool Has(size_t i) const;       // the tensor is there, the attribute is not None
  bool IsTensor(size_t i) const;  // a tensor that is there, rather than an attribute
  const capture::TensorMeta& Meta(size_t i) const;  // of a tensor argument
  Op T(size_t i) const;                             // tensor, in its own type
  Op T(size_t i, PrimitiveType type) const;         // converted
  // Elements of a Tensor[] or Tensor?[]; absent ones are invalid.
  std::vector<Op> List(size_t i) const;
  absl::Span<const capture::Value> ListMetas(size_t i) const { return node_.TensorList(i); }

  int64_t Int(size_t i) const;
  int64_t Int(size_t i, int64_t if_absent) const { return Has(i) ? Int(i) : if_absent; }
  double Double(size_t i) const;  // of a float, int, bool or Scalar
  double Double(size_t i, double if_absent) const { return Has(i) ? Double(i) : if_absent; }
  bool Bool(size_t i) const { return Has(i) && node_.arg(i).toBool(); }
  Dims Ints(size_t i) const;  // empty when absent; an int counts as a list of one
  std::vector<double> Doubles(size_t i) const;
  std::string Str(size_t i) const;  // empty when absent
  at::ScalarType Dtype(size_t i) const { return static_cast<at::ScalarType>(Int(i)); }
  // A Scalar that is 0 or 1 exactly, such as most alphas and betas.
  bool IsScalar(size_t i, double value) const { return Double(i) == value; }

  // A dim, or a list of dims, made non-negative for a tensor of this rank (0-d tensors take 0 and
  // -1).
  int64_t Dim(size_t i, int64_t rank) const { return Wrap(Int(i), rank); }
  Dims DimList(size_t i, int64_t rank) const;    // absent or empty: none
  Dims DimsOrAll(size_t i, int64_t rank) const;  // absent or empty: all
  static int64_t Wrap(int64_t dim, int64_t rank);

  // ---- Element-wise helpers.
  // The type to compute in: that of the first result, but f32 for 16-bit floats (one rounding at
  // the end, as eager does), and s32 for bool (Return makes a bool of it again).
  PrimitiveType compute() const { return ComputeType(Out().type); }
  static PrimitiveType ComputeType(PrimitiveType type);
  // The type that torch's promotion gives these arguments (tensors and Scalars).
  PrimitiveType Promote(std::initializer_list<size_t> args) const;
  // A tensor or Scalar argument as an array of the first result's dims.
  Op El(size_t i) const { return El(i, compute()); }
  Op El(size_t i, PrimitiveType type) const;
  // A Scalar (or float, int, bool) argument, or a number, as an HLO scalar.
  Op ScalarEl(size_t i) const { return ScalarEl(i, compute()); }
  Op ScalarEl(size_t i, PrimitiveType type) const;
  Op Const(double value) const { return hlo::ConstantScalar(builder_, compute(), value); }

  // Of an operator that draws random numbers: its seed and its stream, see Node::Seed.
  Op Seed(size_t i) const { return operands_[operands_.size() - 2 + i]; }

  // ---- Results.
  // How many tensors the call returns, the elements of a returned Tensor[] each for itself.
  size_t OutCount() const { return node_.info->outputs.size(); }
  // The k-th return of the schema (or element of the one returned Tensor[]); of type INVALID when
  // undefined.
  Shape Out(size_t k = 0) const;
  // Whether the caller got a tensor there: gradients that nobody asked for are undefined.
  bool OutDefined(size_t k) const;
  // One value per return, or element of the returned Tensor[]; it is converted to the result's
  // type. Whatever stands for an undefined result is dropped.
  void Return(Op value) { results_ = {value}; }
  void Return(std::vector<Op> values) { results_ = std::move(values); }
  const std::vector<Op>& results() const { return results_; }

  // This operator cannot be lowered with these arguments; it then runs on the CPU instead.
  void Refuse(absl::string_view reason);

 private:
  hlo::Builder* builder_;
  const capture::Node& node_;
  std::vector<Op> operands_;
  std::vector<Op> results_;
};

}  // namespace glia::lowering

#endif  // GLIA_FRONTEND_LOWERING_CTX_H_
