// The reference executor: every instruction by itself, every access checked.
#include <algorithm>
#include <cstring>
#include <memory>
#include <string>
#include <vector>

#include "absl/strings/str_cat.h"
#include "device_sim/executor.h"
#include "device_sim/footprint.h"
#include "device_sim/interpreter_ops.h"
#include "device_sim/machine.h"
#include "device_sim/semantics.h"
#include "serialization/isa/disassemble.h"
#include "serialization/isa/table.h"

namespace glia::device {
namespace {

using isa::Instruction;
using isa::Opcode;
using isa::Operand;
using isa::Program;

// Instructions that read all of element i before they write it, so that dst may be a source.
bool MayRunInPlace(Opcode opcode) {
  switch (opcode) {
    case Opcode::kActivate: case Opcode::kTensorTensor: case Opcode::kTensorScalar:
    case Opcode::kScalarTensorTensor: case Opcode::kTensorCopy: case Opcode::kSelect:
    case Opcode::kCopyPredicated: case Opcode::kScan: case Opcode::kReciprocal:
    case Opcode::kMatchReplace8: case Opcode::kAffineSelect: case Opcode::kSort: return true;
    default: return false;
  }
}

int64_t Start(const Program& program, const Operand& o) {
  const isa::Variable& v = program.variables[o.var];
  return (v.partition + o.partition) * PartitionSpan(v.kind == isa::VariableKind::kPsum) + v.address + o.offset;
}

// The same elements in the same order.
bool SameElements(const Program& program, Machine* machine, const Operand& a, const Operand& b) {
  if (TypeBytes(a.dtype) != TypeBytes(b.dtype) || a.num_partitions != b.num_partitions ||
      Start(program, a) != Start(program, b)) {
    return false;
  }
  View x, y;
  machine->Resolve(a, &x);
  machine->Resolve(b, &y);
  return x.offsets == y.offsets;
}

// Whether the operand names one element twice.
bool Repeats(Machine* machine, const Operand& o) {
  std::vector<std::pair<int64_t, int64_t>> dims;  // |stride|, size
  for (int d = 0; d < isa::kFreeDims; ++d) {
    if (o.size[d] > 1) dims.push_back({std::abs(int64_t{o.stride[d]}), o.size[d]});
  }
  std::sort(dims.begin(), dims.end());
  int64_t covered = 1;
  bool nested = true;
  for (const auto& [stride, size] : dims) {
    nested = nested && stride >= covered;
    covered += stride * (size - 1);
  }
  if (nested) return false;
  View v;
  machine->Resolve(o, &v);
  std::sort(v.offsets.begin(), v.offsets.end());
  return std::adjacent_find(v.offsets.begin(), v.offsets.end()) != v.offsets.end();
}

absl::Status CheckOverlaps(const Program& program, Machine* machine, const Instruction& instruction) {
  if (instruction.opcode == Opcode::kDma) {
    const DmaFootprints f = FootprintsOf(program, program.dmas[instruction.dma]);
    for (const Footprint& w : f.writes) {
      for (const Footprint& r : f.reads) {
        if (Overlap(w, r)) return absl::InvalidArgumentError("the transfer reads bytes that it writes");
      }
    }
    return absl::OkStatus();
  }
  const isa::OperandAccesses accesses = isa::AccessesOf(instruction);
  for (const isa::OperandAccess& w : accesses) {
    if (!w.writes) continue;
    if (Repeats(machine, *w.operand)) {
      return absl::InvalidArgumentError(absl::StrCat(w.name, " names an element twice"));
    }
    const Footprint written = FootprintOf(program, *w.operand);
    for (const isa::OperandAccess& r : accesses) {
      if (r.operand == w.operand || !Overlap(written, FootprintOf(program, *r.operand))) continue;
      if (!r.writes && MayRunInPlace(instruction.opcode) &&
          SameElements(program, machine, *w.operand, *r.operand)) {
        continue;
      }
      return absl::InvalidArgumentError(
          absl::StrCat(w.name, " and ", r.name, " overlap", r.writes ? "" : " and are not the same elements"));
    }
  }
  return absl::OkStatus();
}

class Interpreter : public Executor {
 public:
  Interpreter(const Program& program, const ProgramTiming& timing)
      : program_(program), timing_(timing), machine_(program), runner_(&machine_) {}

  absl::Status Prepare() {
    if (timing_.segments.size() != program_.segments.size()) {
      return absl::InvalidArgumentError("the timing is that of another program");
    }
    for (size_t s = 0; s < program_.segments.size(); ++s) {
      auto order = SerialOrder(program_, program_.segments[s]);
      if (!order.ok()) return order.status();
      for (const StreamPosition& at : *order) {
        const absl::Status status = CheckOverlaps(program_, &machine_, InstructionAt(s, at));
        if (!status.ok()) return Locate(s, at, status);
      }
      orders_.push_back(*std::move(order));
    }
    return absl::OkStatus();
  }

  using Executor::Run;
  absl::StatusOr<RunStatistics> Run(Bindings hbm, Versions) override {
    if (hbm.size() != program_.variables.size()) {
      return absl::InvalidArgumentError(absl::StrCat("got ", hbm.size(), " bindings for ",
                                                     program_.variables.size(), " variables"));
    }
    for (size_t i = 0; i < hbm.size(); ++i) {
      if (hbm[i] == nullptr && isa::IsHbm(program_.variables[i].kind) && program_.variables[i].bytes > 0) {
        return absl::InvalidArgumentError(
            absl::StrCat("variable ", i, " '", program_.variables[i].name, "' is not bound"));
      }
    }
    machine_.Reset(hbm);
    RunStatistics statistics;
    for (size_t segment = 0;;) {
      for (const StreamPosition& at : orders_[segment]) {
        const Instruction& i = InstructionAt(segment, at);
        const absl::Status status =
            i.opcode == Opcode::kDma ? runner_.RunDma(program_.dmas[i.dma]) : runner_.Run(at.engine, i);
        if (!status.ok()) return Locate(segment, at, status);
      }
      statistics.simulated_ps += timing_.segments[segment].duration_ps;
      ++statistics.segments_run;
      const isa::Terminator& t = program_.segments[segment].terminator;
      if (t.kind == isa::TerminatorKind::kHalt) break;
      bool taken = true;
      if (t.kind == isa::TerminatorKind::kBranch) {
        const Machine::Stretch s =
            machine_.Linear(t.var, static_cast<int64_t>(t.offset), TypeBytes(t.dtype));
        if (s.shadow != nullptr && std::memchr(s.shadow, kUnwritten, s.bytes) != nullptr) {
          return absl::InternalError(absl::StrCat("segment ", segment, ": the branch reads '",
                                                  program_.variables[t.var].name, "' at byte ", t.offset,
                                                  ", which was never written"));
        }
        taken = LoadInt(t.dtype, s.data) != 0;
      }
      segment = taken ? t.target : t.otherwise;
    }
    if (absl::Status s = machine_.CheckOutputs(); !s.ok()) return s;
    return statistics;
  }

 private:
  const Instruction& InstructionAt(size_t segment, StreamPosition at) const {
    return program_.segments[segment].streams[static_cast<int>(at.engine)][at.index];
  }

  absl::Status Locate(size_t segment, StreamPosition at, const absl::Status& status) const {
    const Instruction& i = InstructionAt(segment, at);
    std::string text = isa::DisassembleInstruction(program_, i);
    if (i.opcode == Opcode::kDma) {
      absl::StrAppend(&text, ": ", isa::DisassembleDma(program_, program_.dmas[i.dma]));
    }
    if (i.debug < program_.debug.size()) {
      const isa::DebugEntry& d = program_.debug[i.debug];
      absl::StrAppend(&text, ", from ", d.hlo, d.op.empty() ? "" : " ", d.op);
    }
    return absl::Status(status.code(),
                        absl::StrCat("segment ", segment, ", ", isa::EngineName(at.engine), " instruction ",
                                     at.index, " (", text, "): ", status.message()));
  }

  const Program& program_;
  const ProgramTiming timing_;
  Machine machine_;
  InstructionRunner runner_;
  std::vector<std::vector<StreamPosition>> orders_;  // by segment
};

}  // namespace

absl::StatusOr<std::unique_ptr<Executor>> MakeInterpreter(const Program& program, const ProgramTiming& timing) {
  auto interpreter = std::make_unique<Interpreter>(program, timing);
  if (absl::Status s = interpreter->Prepare(); !s.ok()) return s;
  return std::unique_ptr<Executor>(std::move(interpreter));
}

}  // namespace glia::device
