#include "compiler/passes/passes.h"

namespace glia::compiler {

absl::StatusOr<bool> RemoveDeadCode(hlo::Module* module) {
  int64_t removed = module->RemoveUnreachable();
  for (hlo::Computation* computation : module->MakeComputationPostOrder()) {
    removed += computation->RemoveDead();
  }
  removed += module->RemoveUnreachable();
  return removed > 0;
}

}  // namespace glia::compiler
