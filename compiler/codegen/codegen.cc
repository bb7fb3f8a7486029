#include "compiler/codegen/codegen.h"

#include <utility>

#include "compiler/codegen/allocate.h"
#include "compiler/codegen/emitter.h"
#include "compiler/codegen/list_schedule.h"
#include "compiler/codegen/sync.h"

namespace glia::compiler {

namespace {

// Instructions that change places, by optlevel.
constexpr int64_t kWindows[] = {0, 0, 256, 1024};

// Spills cost more than a better order gains.
absl::Status ScheduleAndAllocate(SerialProgram* serial, const CodegenOptions& options) {
  const int64_t window = kWindows[options.optlevel];
  if (window > 0) {
    SerialProgram scheduled = *serial;
    ListSchedule(&scheduled, window);
    const absl::Status status = AllocateTiles(&scheduled, options.sbuf_partition_bytes);
    const size_t variables = serial->program.variables.size();
    if (status.ok() && scheduled.program.variables.size() == variables) {
      *serial = std::move(scheduled);
      return status;
    }
  }
  return AllocateTiles(serial, options.sbuf_partition_bytes);
}

}  // namespace

absl::StatusOr<neff::Neff> Generate(const hlo::Module& module, const CodegenOptions& options) {
  Emitter emitter(module, options);
  if (absl::Status s = emitter.EmitEntry(); !s.ok()) return s;
  emitter.FinishColumns();
  SerialProgram& serial = emitter.serial();
  RemoveDeadWork(&serial);
  if (absl::Status s = ScheduleAndAllocate(&serial, options); !s.ok()) return s;
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
