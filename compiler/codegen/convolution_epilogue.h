// What becomes of a convolution's sums on their way out of PSUM: the element-wise group that reads
// them, one part of a block at a time. Factors and offsets of each channel, clamps and sums with
// other arrays are chained into as few instructions of ACT and DVE as hold them.
#ifndef GLIA_COMPILER_CODEGEN_CONVOLUTION_EPILOGUE_H_
#define GLIA_COMPILER_CODEGEN_CONVOLUTION_EPILOGUE_H_

#include <array>
#include <functional>
#include <vector>

#include "absl/container/flat_hash_map.h"
#include "absl/status/status.h"
#include "compiler/codegen/convolution.h"
#include "compiler/codegen/elementwise.h"
#include "compiler/codegen/fusion.h"

namespace glia::compiler {

// One number for each output channel, known to the compiler.
using ChannelValues = std::vector<float>;

class ConvEpilogue {
 public:
  // `group`, or null for none, reads the convolution, and nothing else does.
  ConvEpilogue(Emitter& e, const hlo::Instruction& conv, const Unit* group)
      : e_(e), conv_(conv), group_(group) {}

  // For sums that are stored as they are: [N, C, three axes].
  ConvEpilogue(Emitter& e, const hlo::Instruction& conv, const Nd& out)
      : e_(e), conv_(conv), group_(nullptr) {
    outputs_.push_back({&conv, out, false});
  }

  // Finds what is read and makes room for what is written. `arrange` turns an array of the
  // convolution's dims into [N, C, three axes]. If `folds`, a constant factor of each channel that
  // comes first is left to the weights.
  absl::Status Bind(const std::function<Nd(const Nd&)>& arrange, bool folds);
  // All arrays, as arranged: their axes may be merged alike.
  std::vector<Nd*> Arrays();

  const ChannelValues& scale() const { return scale_; }  // empty: none
  const std::vector<ChannelValues>& columns() const { return columns_; }
  int64_t MaxElementBytes() const;

  // For each block: Begin, Open for each stretch of channels, Finish for each part of the block and
  // stretch, Done once all parts of a stretch are finished, and Close.
  void Begin(const WindowBlock& block);
  // Channels [c0, c0 + count); `columns` are [count, 1], in the order of columns(). Returns its
  // number.
  size_t Open(int64_t c0, int64_t count, std::vector<Operand> columns);
  // The sums of a part of the block.
  void Finish(size_t channels, const Tile& sum, const WindowBlock& part);
  void Done(size_t channels);
  void Close();

 private:
  struct Link {
    AluOp op = AluOp::kBypass;
    Scalar scalar = 0;
  };
  // A value on its way: an operand and up to two operations still to be done.
  struct Value {
    TileValue value;
    std::array<Link, 2> links;
    int count = 0;
  };
  struct Leaf {
    TileValue splat;  // if not an array
    Nd nd;            // [N, C, axes] as arranged
    bool array = false;
    bool column = false;
    int constant = -1;  // index in columns_
    size_t number = 0;
  };
  struct Output {
    const hlo::Instruction* hlo;
    Nd nd;                // [N, C, axes]
    bool rounds = false;  // convolutions also read it in their own type
  };
  // What is made of one output. The rounded copy is wanted first: what is left to do to the other
  // one may wait until the block is closed.
  struct Result {
    Tile tile;
    Tile rounded;  // if it rounds
    Value rest;    // links to be done in the tile's own place
  };
  // A stretch of channels of the block at hand.
  struct Channels {
    int64_t c0 = 0, count = 0;
    std::vector<Operand> columns;
    std::vector<Tile> leaves;  // by number; loaded, or the tile that a result takes over
    std::vector<Result> results;
    const hlo::Instruction* replaced = nullptr;  // the leaf whose tile a result takes over
  };

  absl::Status AddLeaf(const hlo::Instruction* operand,
                       const std::function<Nd(const Nd&)>& arrange);
  absl::Status AddOutput(const hlo::Instruction* hlo, const std::function<Nd(const Nd&)>& arrange);
  // The tile of a leaf that nobody reads after the output that is written in its place.
  absl::optional<Tile> TileToReplace(const Channels& channels, const Output& output,
                                     const hlo::Instruction** leaf);
  // Where the member's value goes: its own output, or that of the one operation that follows.
  absl::optional<Operand> TargetOf(const hlo::Instruction& member, const Channels& channels,
                                   const WindowBlock& part, bool* own) const;
  Value LeafValue(Channels& channels, const hlo::Instruction* operand, const WindowBlock& part);
  Operand PartOf(const Tile& tile, const WindowBlock& part) const;
  bool Chain(const hlo::Instruction& member, std::vector<Value>* in, const Operand* to, DType dtype,
             int partitions, int64_t free, Value* out);
  // Does what is left to do; to `to` if given.
  Operand Settle(const Value& value, const Operand* to, DType dtype, int partitions, int64_t free);

  Emitter& e_;
  const hlo::Instruction& conv_;
  const Unit* group_;
  const hlo::Instruction* scaled_ = nullptr;  // the multiplication by scale_
  ChannelValues scale_;
  std::vector<ChannelValues> columns_;
  absl::flat_hash_map<const hlo::Instruction*, Leaf> leaves_;
  std::vector<const hlo::Instruction*> leaf_order_;
  std::vector<Output> outputs_;
  WindowBlock block_;
  std::vector<Channels> open_;
};

// The numbers of channels [c0, c0 + count), [count, 1], as a constant of the program.
Operand LoadChannelColumn(Emitter& e, const ChannelValues& values, int64_t c0, int count);

}  // namespace glia::compiler

#endif  // GLIA_COMPILER_CODEGEN_CONVOLUTION_EPILOGUE_H_
