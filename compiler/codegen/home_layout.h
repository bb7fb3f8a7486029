// How a result should lie in HBM and in SBUF, as its readers want it.
#ifndef GLIA_COMPILER_CODEGEN_HOME_LAYOUT_H_
#define GLIA_COMPILER_CODEGEN_HOME_LAYOUT_H_

#include <vector>

#include "absl/types/optional.h"
#include "compiler/codegen/emitter.h"
#include "compiler/codegen/nd.h"
#include "serialization/hlo/ir.h"

namespace glia::compiler {

// The result as a view of a dense array with its dims in another order, such that the reshapes
// which read it through transposes need no copy: heads that are merged into features again, say.
// None if row-major does, if no order does for all readers, or if it would break up the innermost
// rows. `var` is not set.
absl::optional<Nd> HomeLayout(const hlo::Instruction& hlo, isa::DType dtype);

// Whether all that read these results [.., m, n] are products that contract over (a part of) n:
// they want it on the partitions.
bool FeedsContraction(const Emitter& e, const std::vector<const hlo::Instruction*>& results,
                      int64_t n);

}  // namespace glia::compiler

#endif  // GLIA_COMPILER_CODEGEN_HOME_LAYOUT_H_
