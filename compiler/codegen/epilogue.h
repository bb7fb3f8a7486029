// The results of a product (dot, convolution) on their way out of PSUM: through the element-wise
// group that reads them, if there is one, into SBUF, in the layout of the product's blocks.
//
//   auto sink = ProductSink::Make(e, hlo, dims);   // instead of e.NewResult(hlo)
//   for each block of results that is one tile in SBUF, [partitions, free elements]:
//     const size_t block = sink->Begin(view, partition_dims);
//     for each PSUM tile:  ...matmuls...;  sink->Put(block, psum, first free element, part view);
//     sink->End(block);
//
// `dims` are those in which the emitter thinks of the result: its own, or a reshape of them. A view
// is a function that cuts a block from any array of these dims and puts it as [partition dims ...,
// free dims ...]; it may slice, transpose, split and merge dims, and is applied to the group's
// operands (bias, residual) and results alike. Bias and scale that have one value a partition
// become scalars of the instruction, others are loaded with the block. PSUM is fp32.
#ifndef GLIA_COMPILER_CODEGEN_EPILOGUE_H_
#define GLIA_COMPILER_CODEGEN_EPILOGUE_H_

#include <functional>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "compiler/codegen/emitter.h"
#include "compiler/codegen/group.h"

namespace glia::compiler {

class ProductSink {
 public:
  using View = std::function<Nd(const Nd&)>;

  // Takes the emitter's epilogue if there is one that the product's dims can express; else the
  // group is emitted after the product, and results are only converted. Enters the results as
  // values.
  static absl::StatusOr<ProductSink> Make(Emitter& e, const hlo::Instruction& product,
                                          const Dims& dims);

  // Several blocks may be open at once.
  size_t Begin(const View& view, int partition_dims);
  // `psum` holds the elements [first, first + psum's free elements) of the block's free ones, which
  // are those of `part`.
  void Put(size_t block, const Operand& psum, int64_t first, const View& part);
  void End(size_t block);

  // The instructions whose values come out: members of the group, the product.
  std::vector<const hlo::Instruction*> outputs() const;
  // Bytes of the widest element of a block in SBUF.
  int64_t element_bytes() const;
  // The group reduces rows, the last of the product's dims: a block has all of it, innermost.
  bool rows() const { return rows_.has_value(); }

 private:
  explicit ProductSink(Emitter& e) : e_(&e) {}

  Emitter* e_;
  const hlo::Instruction* product_ = nullptr;
  // Their parts have the product's dims. What is computed from each PSUM tile, and, of a group with
  // rows, what is computed when a block is complete.
  absl::optional<Group> group_;
  absl::optional<Group> rows_;
  absl::optional<Nd> result_;  // of the product itself, if something reads it
  bool keeps_result_ = false;  // in a block, for rows_
  struct Block {
    int partition_dims = 1;
    View view;
    std::vector<Tile> tiles;  // the group's outputs, then the product itself
  };
  void EndRows(const Block& block);

  std::vector<Block> blocks_;
};

}  // namespace glia::compiler

#endif  // GLIA_COMPILER_CODEGEN_EPILOGUE_H_
