// The fast executor: runs the steps into which the translator turned each segment.
#include <cstring>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "device_sim/executor.h"
#include "device_sim/fast_step.h"
#include "device_sim/fast_translate.h"
#include "device_sim/semantics.h"
#include "serialization/isa/disassemble.h"
#include "serialization/isa/table.h"

namespace glia::device {
namespace {

using isa::Opcode;

class FastExecutor final : public Executor {
 public:
  FastExecutor(const isa::Program& program, const ProgramTiming& timing)
      : program_(program),
        memories_(program),
        pool_(fast::ThreadPool::Get()),
        rows_(std::make_unique<fast::Rows[]>(pool_.threads())) {
    for (const SegmentTiming& t : timing.segments) duration_ps_.push_back(t.duration_ps);
  }

  absl::Status Prepare(absl::Span<const uint8_t* const> constants) {
    if (duration_ps_.size() != program_.segments.size()) {
      return absl::InvalidArgumentError("the timing is that of another program");
    }
    fast::Translator translator(program_, memories_, constants, pool_, rows_.get(), storage_);
    for (const isa::Segment& segment : program_.segments) {
      auto order = SerialOrder(program_, segment);
      if (!order.ok()) return order.status();
      segments_.push_back(translator.Translate(segment, *order));
    }
    return absl::OkStatus();
  }

  absl::StatusOr<RunStatistics> Run(Bindings hbm) override {
    if (absl::Status s = CheckBindings(hbm); !s.ok()) return s;
    fast::RunContext context;
    context.hbm = hbm.data();
    context.rows = context.all_rows = rows_.get();
    context.pool = &pool_;
    RunStatistics statistics;
    for (size_t s = 0;;) {
      const fast::TranslatedSegment& segment = segments_[s];
      context.epoch = fast::Identities::Next();
      for (size_t i = 0; i < segment.steps.size(); ++i) {
        if (!segment.steps[i]->Run(context)) return Locate(s, segment.origin[i], context.error);
      }
      statistics.simulated_ps += duration_ps_[s];
      ++statistics.segments_run;
      const isa::Terminator& t = program_.segments[s].terminator;
      if (t.kind == isa::TerminatorKind::kHalt) return statistics;
      s = t.kind == isa::TerminatorKind::kJump || LoadInt(t.dtype, hbm[t.var] + t.offset) != 0
              ? t.target
              : t.otherwise;
    }
  }

 private:
  const isa::Instruction& InstructionAt(size_t segment, StreamPosition at) const {
    return program_.segments[segment].streams[static_cast<int>(at.engine)][at.index];
  }

  absl::Status CheckBindings(Bindings hbm) const {
    if (hbm.size() != program_.variables.size()) {
      return absl::InvalidArgumentError(absl::StrCat("got ", hbm.size(), " bindings for ",
                                                     program_.variables.size(), " variables"));
    }
    for (size_t i = 0; i < hbm.size(); ++i) {
      const isa::Variable& v = program_.variables[i];
      if (hbm[i] == nullptr && isa::IsHbm(v.kind) && v.bytes > 0) {
        return absl::InvalidArgumentError(
            absl::StrCat("variable ", i, " '", v.name, "' is not bound"));
      }
    }
    return absl::OkStatus();
  }

  absl::Status Locate(size_t segment, StreamPosition at, const absl::Status& status) const {
    const isa::Instruction& i = InstructionAt(segment, at);
    std::string text = isa::DisassembleInstruction(program_, i);
    if (i.opcode == Opcode::kDma) {
      absl::StrAppend(&text, ": ", isa::DisassembleDma(program_, program_.dmas[i.dma]));
    }
    if (i.debug < program_.debug.size()) {
      const isa::DebugEntry& d = program_.debug[i.debug];
      absl::StrAppend(&text, ", from ", d.hlo, d.op.empty() ? "" : " ", d.op);
    }
    return absl::Status(status.code(), absl::StrCat("segment ", segment, ", ",
                                                    isa::EngineName(at.engine), " instruction ",
                                                    at.index, " (", text, "): ", status.message()));
  }

  const isa::Program& program_;
  const fast::Memories memories_;
  fast::ThreadPool& pool_;
  const std::unique_ptr<fast::Rows[]> rows_;  // one for each thread
  fast::Storage storage_;
  std::vector<int64_t> duration_ps_;
  std::vector<fast::TranslatedSegment> segments_;
};

}  // namespace

absl::StatusOr<std::unique_ptr<Executor>> MakeFastExecutor(
    const isa::Program& program, const ProgramTiming& timing,
    absl::Span<const uint8_t* const> constants) {
  if (constants.size() != program.variables.size()) {
    return absl::InvalidArgumentError(absl::StrCat("got ", constants.size(), " constants for ",
                                                   program.variables.size(), " variables"));
  }
  auto executor = std::make_unique<FastExecutor>(program, timing);
  if (absl::Status s = executor->Prepare(constants); !s.ok()) return s;
  return std::unique_ptr<Executor>(std::move(executor));
}

}  // namespace glia::device
