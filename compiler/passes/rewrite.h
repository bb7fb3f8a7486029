// What passes share: making instructions in place of another one, and asking about constants.
#ifndef GLIA_COMPILER_PASSES_REWRITE_H_
#define GLIA_COMPILER_PASSES_REWRITE_H_

#include <functional>
#include <vector>

#include "absl/types/optional.h"
#include "absl/types/span.h"
#include "serialization/hlo/ir.h"

namespace glia::compiler {

// Makes instructions in the computation of `source`, with its metadata.
class Rewriter {
 public:
  explicit Rewriter(const hlo::Instruction& source)
      : source_(source), computation_(source.parent()) {}

  hlo::Instruction* Add(hlo::Opcode opcode, hlo::Shape shape,
                        absl::Span<hlo::Instruction* const> operands);
  // Element-wise: the shape is the first operand's.
  hlo::Instruction* Unary(hlo::Opcode opcode, hlo::Instruction* x);
  hlo::Instruction* Binary(hlo::Opcode opcode, hlo::Instruction* a, hlo::Instruction* b);
  hlo::Instruction* Convert(hlo::Instruction* x,
                            hlo::PrimitiveType type);  // x itself if of the type
  hlo::Instruction* Constant(hlo::Literal value);  // a tuple literal becomes a tuple of constants
  hlo::Instruction* Scalar(hlo::PrimitiveType type, double value);
  // These return x itself when they would change nothing.
  hlo::Instruction* Reshape(hlo::Instruction* x, std::vector<int64_t> dims);
  hlo::Instruction* Transpose(hlo::Instruction* x, absl::Span<const int64_t> permutation);
  // Dim i of x becomes dim dims[i] of the result.
  hlo::Instruction* Broadcast(hlo::Instruction* x, std::vector<int64_t> result_dims,
                              std::vector<int64_t> dims);
  // A scalar to any dims; other operands of those dims are left alone.
  hlo::Instruction* Fill(hlo::Instruction* scalar, const std::vector<int64_t>& result_dims);
  hlo::Instruction* Slice(hlo::Instruction* x, std::vector<int64_t> starts,
                          std::vector<int64_t> limits);
  hlo::Instruction* Reverse(hlo::Instruction* x, std::vector<int64_t> dims);
  hlo::Instruction* Tuple(absl::Span<hlo::Instruction* const> elements);
  hlo::Instruction* GetTupleElement(hlo::Instruction* tuple, int64_t index);

 private:
  const hlo::Instruction& source_;
  hlo::Computation* computation_;
};

// Calls `rewrite` for every live instruction in operand-first order. Where it gives an instruction,
// that replaces the one asked about; null leaves it. Dead instructions are removed at the end of a
// computation's walk. Returns whether anything was replaced.
bool RewriteInstructions(hlo::Module* module,
                         const std::function<hlo::Instruction*(hlo::Instruction*)>& rewrite);

// A constant, or a broadcast of a constant, all of whose elements equal `value`.
bool IsAll(const hlo::Instruction& instruction, double value);
// The value of a scalar constant, or of a broadcast of one, or of a constant of one repeated value.
absl::optional<double> SplatValue(const hlo::Instruction& instruction);
// The value of an integer constant of one element.
absl::optional<int64_t> ConstantIndex(const hlo::Instruction& instruction);

// `permutation` such that permutation[order[i]] == i.
std::vector<int64_t> Inverse(absl::Span<const int64_t> order);
bool IsIdentity(absl::Span<const int64_t> permutation);
std::vector<int64_t> Permute(absl::Span<const int64_t> values,
                             absl::Span<const int64_t> permutation);

// The opcode of a computation that is one binary instruction of its two scalar parameters (in
// either order if it commutes, in order otherwise).
absl::optional<hlo::Opcode> BinaryReducer(const hlo::Computation& computation);

}  // namespace glia::compiler

#endif  // GLIA_COMPILER_PASSES_REWRITE_H_
