// Blocks of scalar values under evaluation, and scalar computations run over such blocks.
//
// Every element type is computed in one of four: double for floats, int64_t, uint64_t (pred too)
// and std::complex<double>. A value in a block is always representable in its type (see Round).
#ifndef GLIA_SERIALIZATION_HLO_EVALUATOR_LANES_H_
#define GLIA_SERIALIZATION_HLO_EVALUATOR_LANES_H_

#include <complex>
#include <cstdint>
#include <memory>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/types/span.h"
#include "serialization/hlo/ir.h"

namespace glia::hlo::evaluator {

inline constexpr int kLanes = 256;

enum class LaneKind : uint8_t { kFloat, kSigned, kUnsigned, kComplex };
LaneKind LaneKindOf(PrimitiveType type);

struct Lanes {
  PrimitiveType type = kInvalid;
  alignas(64) unsigned char storage[kLanes * sizeof(std::complex<double>)];

  // T is the compute type of `type`.
  template <typename T>
  T* as() {
    return reinterpret_cast<T*>(storage);
  }
  template <typename T>
  const T* as() const {
    return reinterpret_cast<const T*>(storage);
  }
};

// Reads n <= kLanes elements of `data` at start + i * stride, or at offsets[i].
void Load(const void* data, PrimitiveType type, int64_t start, int64_t stride, int n, Lanes* lanes);
void Load(const void* data, PrimitiveType type, const int64_t* offsets, int n, Lanes* lanes);
// Writes n elements at start, start + 1, …, or at offsets[i].
void Store(const Lanes& lanes, int n, void* data, int64_t start);
void Store(const Lanes& lanes, int n, void* data, const int64_t* offsets);

// Rounds floats to the type, wraps integers, makes pred 0 or 1.
void Round(Lanes* lanes, int n);

// out = in converted to out->type.
void Convert(const Lanes& in, int n, Lanes* out);

// Applies an element-wise instruction to n lanes of each operand. Does not round when `round` is
// false. UNIMPLEMENTED when the opcode is not defined for the operand type.
absl::Status Apply(const Instruction& instruction, absl::Span<const Lanes* const> in, int n,
                   Lanes* out, bool round = true);

// A computation over scalars, run over blocks of independent lanes. Element-wise instructions run a
// block at a time; a computation with others is evaluated lane by lane.
class ScalarFunction {
 public:
  explicit ScalarFunction(const Computation& computation);

  // Results of the computation (the elements of a tuple root).
  int result_count() const { return static_cast<int>(result_types_.size()); }

  // args: one block per parameter. results: one block per result, may be those of the args. n <=
  // kLanes.
  absl::Status Run(absl::Span<Lanes* const> args, int n, absl::Span<Lanes* const> results);

  // If the whole function is one add or multiply of its two parameters, keeps float results
  // unrounded from now on, for accumulation. Returns whether it does.
  bool AccumulateWide();

 private:
  struct Step {
    const Instruction* instruction;
    std::vector<int> operands;  // indices into blocks_
    int result;
  };
  bool Compile(const Computation& computation, const std::vector<std::vector<int>>& args,
               std::vector<int>* results);
  int NewBlock(PrimitiveType type);
  absl::Status RunLaneByLane(absl::Span<Lanes* const> args, int n,
                             absl::Span<Lanes* const> results);

  const Computation& computation_;
  bool compiled_ = false;
  bool round_ = true;
  std::vector<PrimitiveType> result_types_;
  std::vector<Step> steps_;
  std::vector<std::unique_ptr<Lanes>> blocks_;
  std::vector<int> parameters_;  // block of each parameter
  std::vector<int> results_;     // block of each result
};

}  // namespace glia::hlo::evaluator

#endif  // GLIA_SERIALIZATION_HLO_EVALUATOR_LANES_H_
