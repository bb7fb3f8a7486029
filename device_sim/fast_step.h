// One decoded instruction of the fast executor, and what all of them share during a run.
#ifndef GLIA_DEVICE_SIM_FAST_STEP_H_
#define GLIA_DEVICE_SIM_FAST_STEP_H_

#include <cstdint>
#include <memory>
#include <vector>

#include "absl/status/status.h"
#include "device_sim/fast_memory.h"
#include "device_sim/fast_pack.h"
#include "device_sim/fast_threads.h"
#include "device_sim/kernels_bf16.h"
#include "device_sim/kernels_elementwise.h"
#include "device_sim/kernels_matmul.h"
#include "serialization/isa/isa.h"
#include "serialization/isa/program.h"

namespace glia::device::fast {

// Elements that element-wise work takes at a time: a few such rows stay in the first-level cache.
inline constexpr int64_t kBlock = 1024;

// Rows of kBlock elements private to a thread.
struct Rows {
  alignas(64) float f32[6][kBlock];
  alignas(64) int64_t i64[6][kBlock];
};

struct RunContext {
  uint8_t* const* hbm = nullptr;  // bindings of this run
  Rows* rows = nullptr;           // of the calling thread
  Rows* all_rows = nullptr;       // one for each thread of the pool; rows is the first
  ThreadPool* pool = nullptr;
  uint64_t epoch = 0;  // of this run of the segment; no other one of the process has it
  absl::Status error;  // why a step returned false
};

class Step {
 public:
  virtual ~Step() = default;
  // False ends the run with context.error.
  virtual bool Run(RunContext& context) = 0;
};

// What decoding needs to know of the program.
struct DecodeContext {
  const isa::Program& program;
  const Memories& memories;
  const kernels::ElementwiseKernels& kernels;
  kernels::MatmulFn matmul;
  Identities* identities = nullptr;  // null: operands of products are not told apart
  int lane = -1;  // of several that run at the same time, the one that the step is for
  // Sources of the instruction at hand that are read elsewhere than in SBUF: constants.
  struct Redirect {
    const isa::Operand* operand;
    View view;
  };
  std::vector<Redirect> redirects;

  View ViewOf(const isa::Operand& operand) const {
    for (const Redirect& r : redirects) {
      if (r.operand == &operand) return r.view;
    }
    return MakeView(program, memories, operand);
  }
};

// Each appends the steps of one valid instruction.
using Steps = std::vector<std::unique_ptr<Step>>;
// Activate, TensorTensor, TensorScalar, ScalarTensorTensor, Select, Reciprocal, and copies that
// convert.
void DecodeElementwise(const DecodeContext& context, isa::Engine engine, const isa::Instruction& i,
                       Steps& steps);
// Copies between equal types, fills, and other moves of bytes.
void DecodeMove(const DecodeContext& context, isa::Engine engine, const isa::Instruction& i,
                Steps& steps);
void DecodeReduce(const DecodeContext& context, isa::Engine engine, const isa::Instruction& i,
                  Steps& steps);
// Everything else, row by row through the scalar reference.
void DecodeScalar(const DecodeContext& context, isa::Engine engine, const isa::Instruction& i,
                  Steps& steps);
void DecodeDma(const DecodeContext& context, const isa::DmaDescriptor& d, Steps& steps);

// dst = or += the sum of stationary^T . moving over the products, which all have the shape of dst.
// The views are read at each run, those of constants perhaps now.
struct Product {
  struct Known {
    uint64_t identity =
        0;  // equal numbers in a run of a segment: equal contents. 0: nothing is known
    bool constant = false;
  };
  View stationary, moving;
  Known of_stationary, of_moving;
};
std::unique_ptr<Step> MakeMatmul(const DecodeContext& context, const View& dst,
                                 std::vector<Product> products, bool accumulate);

// A copy of the elements of `from` to `to` in order: equal element sizes and counts, no overlap.
std::unique_ptr<Step> MakeCopy(const View& from, const View& to);
// The same for any overlap: all is read before anything is written.
std::unique_ptr<Step> MakeSafeCopy(const View& from, const View& to);

}  // namespace glia::device::fast

#endif  // GLIA_DEVICE_SIM_FAST_STEP_H_
