// Convolutions of few channels: taps of the kernel join the channels on the partitions. A copy of
// the input in HBM, padded with zeros and with its rows dealt out by the stride, makes what one tap
// reads of a block of rows one run of bytes; each partition gets the run of its tap.
#ifndef GLIA_COMPILER_CODEGEN_CONVOLUTION_STAGED_H_
#define GLIA_COMPILER_CODEGEN_CONVOLUTION_STAGED_H_

#include <vector>

#include "compiler/codegen/convolution.h"
#include "compiler/codegen/convolution_weights.h"

namespace glia::compiler {

class StagedInput {
 public:
  // Whether the copy takes less time than it saves on the tensor engine.
  static bool Pays(const ConvProblem& p, DType compute);

  StagedInput(Emitter& e, const ConvProblem& p, DType compute);

  // In the order of the matmuls.
  const std::vector<Contraction>& contractions() const { return contractions_; }
  // Elements a partition that a block of outputs needs.
  int64_t InputsOf(const WindowSizes& outputs) const;

  // Makes the copy.
  void Stage();
  // What the contractions read for a block: for each of them, output o of an axis reads input o.
  std::vector<ConvInput> Load(const WindowBlock& block);

 private:
  void StageRows(const Nd& x, const Nd& planes);
  void StageLine(const Nd& x, const Nd& planes);
  void Zero(const Nd& part);
  void Convert(const Operand& to, const Operand& from);
  int64_t RunOf(int64_t rows, int64_t columns) const;
  int64_t PitchOf(int64_t columns) const;

  Emitter& e_;
  const WindowAxis rows_, columns_;  // the second and the third axis
  const DType compute_;
  const Nd x_;  // [C, N, rows, columns]
  int64_t taps_each_ = 1, tap_groups_ = 1;
  int64_t pitch_ = 0;       // of a padded row, elements
  int64_t plane_rows_ = 0;  // padded rows of one phase of the stride
  std::vector<Contraction> contractions_;
  Nd staged_;  // [N, C, phase, row, column]
};

}  // namespace glia::compiler

#endif  // GLIA_COMPILER_CODEGEN_CONVOLUTION_STAGED_H_
