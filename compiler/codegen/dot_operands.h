// The operands of matrix products in SBUF: found there, loaded, converted or turned.
#ifndef GLIA_COMPILER_CODEGEN_DOT_OPERANDS_H_
#define GLIA_COMPILER_CODEGEN_DOT_OPERANDS_H_

#include <cstdint>
#include <utility>
#include <vector>

#include "absl/container/flat_hash_map.h"
#include "compiler/codegen/emitter.h"

namespace glia::compiler {

// A piece of an operand in SBUF: for each slot, a chunk of the contraction, [chunk partitions,
// free].
struct Piece {
  std::vector<Operand> slots;
};

class DotOperands {
 public:
  // `compute` is the type of the matmul.
  DotOperands(Emitter& e, DType compute) : e_(e), compute_(compute) {}

  // Brings a view [partitions, slots, free] into SBUF, in the type of the matmul.
  Piece Load(const Nd& view);
  // Constants that were loaded are found again until then.
  void ForgetConstants() { constants_.clear(); }
  // Of fp32: laid out and converted while compiling.
  bool IsConstant(const Nd& x) const;
  // Whether [free, k] is in SBUF, by rows or by columns.
  bool InSbuf(const Nd& natural) const;

 private:
  bool AsItLies(const Nd& view, DType dtype, Piece* piece);
  Tile LoadDirect(const Nd& view);
  Tile LoadTransposed(const Nd& view);
  bool RowsInSbuf(const Nd& natural) const;
  int64_t ResidentRows(const Nd& natural, int64_t first) const;
  absl::optional<Operand> Resident(const Nd& view) const;

  Emitter& e_;
  const DType compute_;
  absl::flat_hash_map<std::pair<uint32_t, int64_t>, Tile> constants_;
};

}  // namespace glia::compiler

#endif  // GLIA_COMPILER_CODEGEN_DOT_OPERANDS_H_
