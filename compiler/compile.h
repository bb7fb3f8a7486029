// HLO to NEFF: verifies, runs the passes, generates code.
#ifndef GLIA_COMPILER_COMPILE_H_
#define GLIA_COMPILER_COMPILE_H_

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "compiler/options.h"
#include "compiler/passes/pass_pipeline.h"
#include "serialization/hlo/ir.h"
#include "serialization/neff/neff.h"

namespace glia::compiler {

struct CompileStatistics {
  std::vector<PassStatistics> passes;
  int64_t hlo_instructions_before = 0;
  int64_t hlo_instructions_after = 0;
  int64_t program_instructions = 0;  // over all engines
  int64_t dma_descriptors = 0;
  double passes_ms = 0;
  double codegen_ms = 0;
};

struct CompileResult {
  // info: "compiler_version", "compiler_options", "module" and "hlo_sha256" (SourceHash of the
  // module given).
  neff::Neff neff;
  CompileStatistics statistics;
};

// Inputs and outputs of the program are the leaves of the entry's parameters and root, in order;
// each keeps the byte order that its layout says. Equal modules and options give equal NEFFs.
// Errors: INVALID_ARGUMENT from the verifier; UNIMPLEMENTED naming the instruction for what the
// device does not have; RESOURCE_EXHAUSTED; of the dump directory, FAILED_PRECONDITION.
// Thread-safe.
absl::StatusOr<CompileResult> Compile(std::unique_ptr<hlo::Module> module, const Options& options);
// Of a copy.
absl::StatusOr<CompileResult> Compile(const hlo::Module& module, const Options& options);

// SHA-256, in hex, of the module's text without metadata, and of its constants' bytes.
std::string SourceHash(const hlo::Module& module);

}  // namespace glia::compiler

#endif  // GLIA_COMPILER_COMPILE_H_
