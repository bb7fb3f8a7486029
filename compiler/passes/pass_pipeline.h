// Runs the passes (passes.h) over a module, in the order of one table.
#ifndef GLIA_COMPILER_PASSES_PASS_PIPELINE_H_
#define GLIA_COMPILER_PASSES_PASS_PIPELINE_H_

#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "compiler/passes/passes.h"
#include "serialization/hlo/ir.h"

namespace glia::compiler {

struct PipelineOptions {
  // Where to write the module before and after each pass, as HLO text:
  // 0001.before.inline-calls.txt, 0001.after.inline-calls.txt, ... The after file is written only
  // when the pass changed something. Empty: not at all. The directory is made if it is missing.
  std::string dump_dir;
  // Verifies the module after every pass that changed it, not only at the end.
  bool verify_each_pass = false;
};

// One row for each pass, in the order of their first runs.
struct PassStatistics {
  std::string pass;
  int runs = 0;
  int changes = 0;  // runs that changed the module
  double milliseconds = 0;
};

// A pass and its name: "inline-calls".
struct NamedPass {
  const char* name;
  PassFn run;
};

// Consecutive passes that are repeated together while any of them changes something, or run once.
struct PassGroup {
  std::vector<NamedPass> passes;
  bool to_fixpoint = false;
};

// What RunPasses runs.
const std::vector<PassGroup>& DefaultPipeline();

// Verifies the module, runs the passes, verifies again. Errors: INVALID_ARGUMENT from the verifier
// or a pass; INTERNAL when a pass broke the module (named); of the dump, those of the file system.
absl::StatusOr<std::vector<PassStatistics>> RunPasses(hlo::Module* module,
                                                      const PipelineOptions& options = {});
absl::StatusOr<std::vector<PassStatistics>> RunPasses(hlo::Module* module,
                                                      const std::vector<PassGroup>& pipeline,
                                                      const PipelineOptions& options);

}  // namespace glia::compiler

#endif  // GLIA_COMPILER_PASSES_PASS_PIPELINE_H_
