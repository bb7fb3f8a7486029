// Builds HLO with shape inference, in the manner of XlaBuilder.
//
//   Builder b("mlp");
//   Op x = Parameter(&b, 0, Shape(kF32, {1, 784}), "x");
//   Op w = Constant(&b, weights);
//   Op y = Max(Dot(x, w), BroadcastScalar(ConstantR0<float>(&b, 0), {1, 10}));
//   absl::StatusOr<std::unique_ptr<Module>> module = b.Build(y);
//
// Errors stick: the first one is kept, later operations return an invalid Op, and Build reports it.
// It names the operation, the operands' shapes and what was expected. A builder is for one thread.
#ifndef GLIA_SERIALIZATION_HLO_BUILDER_H_
#define GLIA_SERIALIZATION_HLO_BUILDER_H_

#include <cstdint>
#include <map>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "absl/types/span.h"
#include "serialization/hlo/ir.h"

namespace glia::hlo {

class Builder;

// A value under construction; cheap to copy. Invalid (instr null) after an error.
struct Op {
  Instruction* instr = nullptr;
  Builder* builder = nullptr;

  bool valid() const { return instr != nullptr; }
  // The shape, or one of type INVALID and no dims when this is not valid.
  const Shape& shape() const;
};

class Builder {
 public:
  // Builds the entry computation of a new module of that name.
  explicit Builder(absl::string_view name);
  ~Builder();
  Builder(const Builder&) = delete;
  Builder& operator=(const Builder&) = delete;

  // A builder for a computation of the same module, to be called by operations of this builder or
  // of others of the module. Must not outlive this builder's Build.
  std::unique_ptr<Builder> CreateSubBuilder(absl::string_view name);

  // Finishes a sub-builder with this root (must belong to it). The computation belongs to the
  // module. Its first error, if any, is returned, and becomes the error of the parent too.
  absl::StatusOr<Computation*> BuildComputation(Op root);

  // (type[], type[]) -> type[] with one binary instruction; made once per module and kind. For
  // compare, pass kPred results through SubBuilder instead.
  Computation* ScalarComputation(Opcode opcode, PrimitiveType type);

  // Finishes the module; the builder is empty afterwards. The root is an Op, or a tuple of several.
  absl::StatusOr<std::unique_ptr<Module>> Build(Op root);
  absl::StatusOr<std::unique_ptr<Module>> Build(absl::Span<const Op> tuple_elements);

  // The first error, or OK. Once an error is set nothing is added any more.
  const absl::Status& status() const { return status_; }
  void ReportError(absl::Status error);

  // Metadata for the operations added from now on.
  void SetOpMetadata(OpMetadata metadata) { metadata_ = std::move(metadata); }
  void ClearOpMetadata() { metadata_ = OpMetadata(); }

  Module* module() const { return module_; }
  Computation* computation() const { return computation_; }

  // Adds an instruction as given, without checks; for the functions below. With an error pending,
  // or an operand that is invalid or of another builder, returns an invalid Op.
  Op AddInstruction(Opcode opcode, absl::StatusOr<Shape> shape, absl::Span<const Op> operands,
                    Attributes attributes = {}, std::vector<Computation*> called = {},
                    absl::string_view name = "");

  // AddInstruction with the shape that shape inference gives these operands and attributes.
  Op AddInferred(Opcode opcode, absl::Span<const Op> operands, Attributes attributes = {},
                 std::vector<Computation*> called = {});

 private:
  Builder(Builder* root, absl::string_view name);

  std::unique_ptr<Module> owned_;  // of the entry's builder
  Builder* root_;                  // the entry's builder
  Module* module_;
  Computation* computation_;
  absl::Status status_;
  OpMetadata metadata_;
  std::map<std::pair<Opcode, PrimitiveType>, Computation*> scalar_computations_;
};

// ---- Sources.
Op Parameter(Builder* builder, int64_t number, Shape shape, absl::string_view name = "");
Op Constant(Builder* builder, Literal value);
template <typename T>
Op ConstantR0(Builder* builder, T value) {
  return Constant(builder, Literal::R0<T>(value));
}
template <typename T>
Op ConstantR1(Builder* builder, absl::Span<const T> values) {
  return Constant(builder, Literal::R1<T>(values));
}
// Scalar of any array type.
Op ConstantScalar(Builder* builder, PrimitiveType type, double value);
// A scalar constant broadcast to the shape.
Op Filled(Builder* builder, const Shape& shape, double value);
Op Iota(Builder* builder, const Shape& shape, int64_t dimension);

// ---- Unary.
Op Abs(Op x);
Op Cbrt(Op x);
Op Ceil(Op x);
Op Clz(Op x);
Op Copy(Op x);
Op Cos(Op x);
Op Erf(Op x);
Op Exp(Op x);
Op Expm1(Op x);
Op Floor(Op x);
Op IsFinite(Op x);
Op Log(Op x);
Op Log1p(Op x);
Op Logistic(Op x);
Op Neg(Op x);
Op Not(Op x);
Op PopulationCount(Op x);
Op Round(Op x);  // half away from zero
Op RoundNearestEven(Op x);
Op Rsqrt(Op x);
Op Sign(Op x);
Op Sin(Op x);
Op Sqrt(Op x);
Op Tan(Op x);
Op Tanh(Op x);
Op ReducePrecision(Op x, int exponent_bits, int mantissa_bits);
// A unary instruction by opcode.
Op Unary(Opcode opcode, Op x);

// Convert returns x itself when it already has the type.
Op Convert(Op x, PrimitiveType type);
Op BitcastConvert(Op x, PrimitiveType type);

// ---- Binary. Operands have equal types and dims, but a scalar is broadcast to the other operand's
// dims, and with broadcast_dims the operand of lower rank is: its dim i becomes dim
// broadcast_dims[i] of the result.
Op Add(Op a, Op b, absl::Span<const int64_t> broadcast_dims = {});
Op Sub(Op a, Op b, absl::Span<const int64_t> broadcast_dims = {});
Op Mul(Op a, Op b, absl::Span<const int64_t> broadcast_dims = {});
Op Div(Op a, Op b, absl::Span<const int64_t> broadcast_dims = {});
Op Rem(Op a, Op b, absl::Span<const int64_t> broadcast_dims = {});  // sign of the dividend
Op Pow(Op a, Op b, absl::Span<const int64_t> broadcast_dims = {});
Op Max(Op a, Op b, absl::Span<const int64_t> broadcast_dims = {});
Op Min(Op a, Op b, absl::Span<const int64_t> broadcast_dims = {});
Op And(Op a, Op b, absl::Span<const int64_t> broadcast_dims = {});
Op Or(Op a, Op b, absl::Span<const int64_t> broadcast_dims = {});
Op Xor(Op a, Op b, absl::Span<const int64_t> broadcast_dims = {});
Op Atan2(Op a, Op b, absl::Span<const int64_t> broadcast_dims = {});
Op ShiftLeft(Op a, Op b, absl::Span<const int64_t> broadcast_dims = {});
Op ShiftRightArithmetic(Op a, Op b, absl::Span<const int64_t> broadcast_dims = {});
Op ShiftRightLogical(Op a, Op b, absl::Span<const int64_t> broadcast_dims = {});
// A binary instruction by opcode (not compare).
Op Binary(Opcode opcode, Op a, Op b, absl::Span<const int64_t> broadcast_dims = {});

Op Eq(Op a, Op b, absl::Span<const int64_t> broadcast_dims = {});
Op Ne(Op a, Op b, absl::Span<const int64_t> broadcast_dims = {});
Op Ge(Op a, Op b, absl::Span<const int64_t> broadcast_dims = {});
Op Gt(Op a, Op b, absl::Span<const int64_t> broadcast_dims = {});
Op Le(Op a, Op b, absl::Span<const int64_t> broadcast_dims = {});
Op Lt(Op a, Op b, absl::Span<const int64_t> broadcast_dims = {});
Op Compare(Op a, Op b, ComparisonDirection direction,
           ComparisonType type = ComparisonType::kDefault,
           absl::Span<const int64_t> broadcast_dims = {});

// ---- Ternary. pred, low and high may be scalars.
Op Select(Op pred, Op on_true, Op on_false);
Op Clamp(Op low, Op x, Op high);

// ---- Movement.
// New dims of size `sizes` in front of x's.
Op Broadcast(Op x, absl::Span<const int64_t> sizes);
// Dim i of x becomes dim dims[i] of the result; size-1 dims of x are stretched (by a reshape
// first).
Op BroadcastInDim(Op x, absl::Span<const int64_t> result_dims, absl::Span<const int64_t> dims);
// A scalar to any dims (returns x itself for {}).
Op BroadcastScalar(Op x, absl::Span<const int64_t> result_dims);
// Returns x itself when nothing changes; likewise Transpose.
Op Reshape(Op x, absl::Span<const int64_t> dims);
Op Transpose(Op x, absl::Span<const int64_t> permutation);
Op Slice(Op x, absl::Span<const int64_t> starts, absl::Span<const int64_t> limits,
         absl::Span<const int64_t> strides);
// One dim sliced, the others whole.
Op SliceInDim(Op x, int64_t start, int64_t limit, int64_t stride, int64_t dim);
Op Pad(Op x, Op padding_value, std::vector<PaddingDim> padding);
Op Concatenate(absl::Span<const Op> parts, int64_t dim);
Op Rev(Op x, absl::Span<const int64_t> dims);
// One scalar start index per dim, all of one integer type; clamped so that the slice fits.
Op DynamicSlice(Op x, absl::Span<const Op> starts, absl::Span<const int64_t> sizes);
Op DynamicUpdateSlice(Op x, Op update, absl::Span<const Op> starts);
Op Gather(Op x, Op start_indices, GatherDims dims, absl::Span<const int64_t> slice_sizes,
          bool indices_are_sorted = false);
Op Scatter(absl::Span<const Op> operands, Op indices, absl::Span<const Op> updates,
           Computation* update, ScatterDims dims, bool indices_are_sorted = false,
           bool unique_indices = false);

// ---- Arithmetic over several elements.
// Contracts the last dim of a with the first of b (rank 1 or 2 each).
Op Dot(Op a, Op b);
// `type`: of the result, or kInvalid for that of the operands.
Op DotGeneral(Op a, Op b, DotDims dims, PrimitiveType type = kInvalid,
              std::vector<Precision> precision = {});
// The window's sizes are taken from the kernel when 0 or when the window is shorter than the
// spatial rank.
Op Conv(Op input, Op kernel, Window window, ConvDims dims, int64_t feature_group_count = 1,
        int64_t batch_group_count = 1, PrimitiveType type = kInvalid,
        std::vector<Precision> precision = {});
// NCHW, OIHW -> NCHW numbers for any number of spatial dims.
ConvDims DefaultConvDims(int64_t spatial_rank);
Op Reduce(Op x, Op init, Computation* reducer, absl::Span<const int64_t> dims);
// Several operands reduced together; the result is a tuple.
Op ReduceVariadic(absl::Span<const Op> operands, absl::Span<const Op> inits, Computation* reducer,
                  absl::Span<const int64_t> dims);
Op ReduceWindow(Op x, Op init, Computation* reducer, Window window);
Op ReduceWindowVariadic(absl::Span<const Op> operands, absl::Span<const Op> inits,
                        Computation* reducer, Window window);
Op SelectAndScatter(Op x, Op source, Op init, Computation* select, Computation* scatter,
                    Window window);
// One operand gives an array, several a tuple. The comparator takes two scalars per operand.
Op Sort(absl::Span<const Op> operands, Computation* comparator, int64_t dim,
        bool is_stable = false);
// (values, s32 indices) over the last dim.
Op TopK(Op x, int64_t k, bool largest = true);
Op Map(absl::Span<const Op> operands, Computation* function);
Op BatchNormInference(Op x, Op scale, Op offset, Op mean, Op variance, float epsilon,
                      int64_t feature_index);
Op RngUniform(Op low, Op high, const Shape& shape);
Op RngNormal(Op mean, Op deviation, const Shape& shape);
// (new state, bits)
Op RngBitGenerator(RandomAlgorithm algorithm, Op state, const Shape& shape);

// ---- Tuples and control.
Op Tuple(Builder* builder, absl::Span<const Op> elements);
Op GetTupleElement(Op tuple, int64_t index);
Op Call(Builder* builder, Computation* function, absl::Span<const Op> operands);
Op While(Computation* condition, Computation* body, Op init);
Op Conditional(Op pred, Op true_operand, Computation* on_true, Op false_operand,
               Computation* on_false);
// branch_index: s32[]; out of range selects the last branch.
Op ConditionalIndexed(Op branch_index, absl::Span<Computation* const> branches,
                      absl::Span<const Op> operands);
Op CustomCall(Builder* builder, absl::string_view target, absl::Span<const Op> operands,
              const Shape& shape, absl::string_view backend_config = "",
              bool has_side_effect = false);
Op OptimizationBarrier(Op x);

}  // namespace glia::hlo

#endif  // GLIA_SERIALIZATION_HLO_BUILDER_H_
