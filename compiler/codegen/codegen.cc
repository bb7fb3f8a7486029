#include "compiler/codegen/codegen.h"

#include <utility>

#include "compiler/codegen/allocate.h"
#include "compiler/codegen/emitter.h"
#include "compiler/codegen/sync.h"

namespace glia::compiler {

absl::StatusOr<neff::Neff> Generate(const hlo::Module& module, const CodegenOptions& options) {
  Emitter emitter(module, options);
  if (absl::Status s = emitter.EmitEntry(); !s.ok()) return s;
  SerialProgram& serial = emitter.serial();
  RemoveDeadWork(&serial);
  if (absl::Status s = AllocateTiles(&serial, options.sbuf_partition_bytes); !s.ok()) return s;
  AllocateScratch(&serial);
  CompactVariables(&serial);
  absl::StatusOr<isa::Program> program = Synchronize(std::move(serial));
  if (!program.ok()) return program.status();
  neff::Neff neff;
  neff.program = *std::move(program);
  for (const isa::Variable& v : neff.program.variables) {
    if (v.kind == isa::VariableKind::kFile) neff.files[v.file] = std::move(emitter.files()[v.file]);
  }
  return neff;
}

}  // namespace glia::compiler
