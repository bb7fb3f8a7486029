// The fast executor: runs the steps into which the translator turned each segment.
#include <algorithm>
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
    constants_.assign(constants.begin(), constants.end());
    for (const isa::Segment& segment : program_.segments) {
      auto order = SerialOrder(program_, segment);
      if (!order.ok()) return order.status();
      orders_.push_back(*std::move(order));
    }
    general_ = Translate(constants_);
    return absl::OkStatus();
  }

  using Executor::Run;
  absl::StatusOr<RunStatistics> Run(Bindings hbm, Versions versions) override {
    if (absl::Status s = CheckBindings(hbm); !s.ok()) return s;
    if (!versions.empty() && versions.size() != hbm.size()) {
      return absl::InvalidArgumentError(
          absl::StrCat("got ", versions.size(), " versions for ", hbm.size(), " variables"));
    }
    return RunTranslation(For(hbm, versions), hbm);
  }

 private:
  // The program with some variables taken for constants.
  struct Translation {
    fast::Storage storage;
    std::vector<fast::TranslatedSegment> segments;
  };
  // Which bytes inputs hold: version and address of those with a version.
  struct Held {
    std::vector<std::pair<uint64_t, const uint8_t*>> inputs;
    bool any = false;
    bool operator==(const Held& o) const { return inputs == o.inputs; }
  };

  std::unique_ptr<Translation> Translate(absl::Span<const uint8_t* const> constants) {
    auto translation = std::make_unique<Translation>();
    fast::Translator translator(program_, memories_, constants, pool_, rows_.get(),
                                translation->storage);
    for (size_t s = 0; s < program_.segments.size(); ++s) {
      translation->segments.push_back(translator.Translate(program_.segments[s], orders_[s]));
    }
    return translation;
  }

  // The translation for a run: inputs that are the same as in the runs before are constants, as
  // soon as they were so often enough to be worth it.
  const Translation& For(Bindings hbm, Versions versions) {
    Held held;
    for (size_t i = 0; i < versions.size(); ++i) {
      held.inputs.emplace_back(versions[i], versions[i] == 0 ? nullptr : hbm[i]);
      held.any = held.any || versions[i] != 0;
    }
    if (!held.any) return *general_;
    if (special_ != nullptr && held == special_for_) {
      misses_ = 0;
      return *special_;
    }
    if (special_ != nullptr && ++misses_ == kMaxMisses) special_.reset();
    repeats_ = held == last_ ? repeats_ + 1 : 0;
    last_ = std::move(held);
    if (repeats_ < wanted_repeats_) return *general_;
    std::vector<const uint8_t*> constants = constants_;
    for (size_t i = 0; i < constants.size(); ++i) {
      if (last_.inputs[i].first != 0) constants[i] = last_.inputs[i].second;
    }
    special_.reset();  // before the next one needs memory
    special_ = Translate(constants);
    special_for_ = last_;
    misses_ = repeats_ = 0;
    wanted_repeats_ = std::min(wanted_repeats_ * 2, kMaxRepeats);
    return *special_;
  }

  absl::StatusOr<RunStatistics> RunTranslation(const Translation& translation, Bindings hbm) {
    fast::RunContext context;
    context.hbm = hbm.data();
    context.rows = context.all_rows = rows_.get();
    context.pool = &pool_;
    RunStatistics statistics;
    for (size_t s = 0;;) {
      const fast::TranslatedSegment& segment = translation.segments[s];
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
  std::vector<int64_t> duration_ps_;
  std::vector<std::vector<StreamPosition>> orders_;  // of the segments
  std::vector<const uint8_t*> constants_;
  std::unique_ptr<Translation> general_;

  // Runs with other inputs than the special translation's after which it goes.
  static constexpr int kMaxMisses = 8;
  static constexpr int kMaxRepeats = 1 << 20;
  std::unique_ptr<Translation> special_;  // null, or for the inputs in special_for_
  Held special_for_, last_;
  int misses_ = 0;
  int repeats_ = 0;  // of last_, in a row
  // Doubled with each translation: inputs that change from time to time do not cost one each time.
  int wanted_repeats_ = 1;
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
