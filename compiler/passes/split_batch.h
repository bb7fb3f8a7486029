// Images of a batch, processed in groups: the one rewrite that is a matter of schedule, decided by
// what SBUF holds, and so run after all other passes.
#ifndef GLIA_COMPILER_PASSES_SPLIT_BATCH_H_
#define GLIA_COMPILER_PASSES_SPLIT_BATCH_H_

#include <cstdint>

#include "absl/status/statusor.h"
#include "serialization/hlo/ir.h"
#include "serialization/isa/isa.h"

namespace glia::compiler {

struct SplitBatchOptions {
  int64_t sbuf_partition_bytes = isa::kSbufPartitionBytes;
  bool rounds = false;  // convolutions round fp32 operands to two bytes
};

// Where convolutions with constant weights, and what lies between them, treat each image of a batch
// by itself, cuts their sequence into stretches and computes each stretch for one group of images
// after the other, so that what lies between layers stays in SBUF. Early layers, whose images are
// large and weights small, get small groups; late ones large groups, because each group loads the
// weights again. The values stay as they are. Time is linear in the module.
absl::StatusOr<bool> SplitBatch(hlo::Module* module, const SplitBatchOptions& options);

}  // namespace glia::compiler

#endif  // GLIA_COMPILER_PASSES_SPLIT_BATCH_H_
