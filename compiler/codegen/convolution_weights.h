// The weights of a convolution on the tensor engine: [contraction, output channels] for each tap.
#ifndef GLIA_COMPILER_CODEGEN_CONVOLUTION_WEIGHTS_H_
#define GLIA_COMPILER_CODEGEN_CONVOLUTION_WEIGHTS_H_

#include <cstdint>
#include <map>
#include <string>
#include <tuple>
#include <vector>

#include "compiler/codegen/convolution.h"
#include "compiler/codegen/convolution_epilogue.h"

namespace glia::compiler {

// What one set of matmuls contracts: channels [c0, c0 + channels) and, where taps are on the
// partitions, rows [row, row + rows) and columns [tap, tap + taps) of the kernel. Partitions are
// ordered (tap, row, channel).
struct Contraction {
  int64_t c0 = 0;
  int64_t channels = 0;
  int64_t row = 0;
  int64_t rows = 1;
  int64_t tap = 0;
  int64_t taps = 1;
  int partitions() const { return static_cast<int>(channels * rows * taps); }
};

class ConvWeights {
 public:
  // What is on the partitions beside channels: nothing, rows of the kernel, or rows and columns.
  enum class Layout { kChannels, kRows, kTaps };

  // Weights known to the compiler are laid out as they will be used, scaled by the epilogue's
  // factors and behind its columns; others are loaded and turned. `p` has the axes that are left;
  // it, `contractions`, `taps` (in the order of use) and `epilogue` outlive this.
  ConvWeights(Emitter& e, const ConvProblem& p, DType compute, Layout layout,
              const std::vector<Contraction>& contractions, const std::vector<ConvTap>& taps,
              int64_t co_block, ConvEpilogue* epilogue);

  // Whether all of them stay in SBUF from the first use to the last.
  bool stay() const { return stay_; }
  // Of one tap and output channels [co0, co0 + count).
  Operand Of(size_t contraction, int64_t co0, int64_t count, const ConvTap& tap);
  // The epilogue's columns for these channels.
  std::vector<Operand> Columns(int64_t co0, int partitions);

 private:
  // Neighbouring taps.
  struct TapBox {
    ConvTap start, size;
    int64_t taps() const { return size[0] * size[1] * size[2]; }
  };
  // Packed: one array of a row a partition, in the order of use, behind the numbers of each channel
  // that the epilogue wants. Pieces of it are long enough for transfers to run at full speed.
  struct WeightUnit {
    int64_t start = 0;  // element of the row
    int piece = 0;
  };
  struct WeightPiece {
    int64_t start = 0, size = 0;
    Tile tile;
  };

  bool packed() const { return !units_.empty(); }
  TapBox BoxOf(const ConvTap& tap) const;
  int64_t UnitOf(int64_t co0, size_t contraction, const ConvTap& tap) const;
  void PlanWeights();
  // All that the packed array depends on.
  std::string WeightsKey() const;
  void PackWeights();
  // One weight, scaled and rounded.
  void Put(const char* from, int64_t channel, char* to) const;
  Tile Piece(int number);
  Tile LoadWeights(const Contraction& c, int64_t co0, int64_t count, const TapBox& box);
  Tile Turn(const Nd& rows, int partitions, int64_t taps);

  Emitter& e_;
  const ConvProblem& p_;
  const DType compute_;
  const Layout layout_;
  const std::vector<Contraction>& contractions_;
  const std::vector<ConvTap>& taps_;
  const int64_t co_block_;
  ConvEpilogue& epilogue_;
  bool stay_ = false;
  std::map<std::tuple<int64_t, int64_t, int64_t, ConvTap>, Tile> weights_;
  int64_t weight_bytes_ = 0;
  int64_t header_ = 0, row_ = 0;   // elements
  std::vector<WeightUnit> units_;  // by output channels, contraction, tap; empty: not packed
  std::vector<WeightPiece> pieces_;
  Nd packed_weights_;  // [partitions, row]
};

}  // namespace glia::compiler

#endif  // GLIA_COMPILER_CODEGEN_CONVOLUTION_WEIGHTS_H_
