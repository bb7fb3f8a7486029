#include "tools/profile_report.h"

#include <algorithm>
#include <numeric>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "serialization/isa/cost.h"
#include "serialization/isa/disassemble.h"

namespace glia::tools {
namespace {

using Event = glia_nrt_profile_event_t;

constexpr int kPe = static_cast<int>(isa::Engine::kPe);

double Us(int64_t ps) { return static_cast<double>(ps) * 1e-6; }
double Us(uint64_t ps) { return Us(static_cast<int64_t>(ps)); }
double Percent(int64_t part, int64_t whole) {
  return whole == 0 ? 0 : 100.0 * static_cast<double>(part) / static_cast<double>(whole);
}
double Mb(int64_t bytes) { return static_cast<double>(bytes) * 1e-6; }
// Of `amount` in `ps`, in 1e9 a second.
double Giga(int64_t amount, int64_t ps) {
  return ps == 0 ? 0 : static_cast<double>(amount) * 1e3 / static_cast<double>(ps);
}

// Which of the lanes an operation keeps busy longest.
int BusiestLane(const OpProfile& op) {
  const auto engine = std::max_element(op.busy_ps.begin(), op.busy_ps.end());
  return op.dma_ps > *engine ? kLanes - 1 : static_cast<int>(engine - op.busy_ps.begin());
}

const char* RooflineBound(const OpProfile& op) {
  if (op.roofline_ps() == 0) return "-";
  return op.busy_ps[kPe] == op.roofline_ps() ? "PE" : "HBM";
}

// The events that hold the critical path longest, longest first.
struct TopEvent {
  int32_t event = -1;
  std::array<int64_t, kPathCauses> path_ps = {};
  int64_t total_ps = 0;
};
std::vector<TopEvent> TopEvents(const ProfileAnalysis& a, int top) {
  std::vector<TopEvent> events;
  for (const auto& path : a.path) {
    // The parts of one event are neighbours.
    for (const PathPart& part : path) {
      if (part.event < 0) continue;
      if (events.empty() || events.back().event != part.event) {
        events.emplace_back();
        events.back().event = part.event;
      }
      const auto ps = static_cast<int64_t>(part.end_ps - part.start_ps);
      events.back().path_ps[static_cast<size_t>(part.cause)] += ps;
      events.back().total_ps += ps;
    }
  }
  std::stable_sort(events.begin(), events.end(),
                   [](const TopEvent& x, const TopEvent& y) { return x.total_ps > y.total_ps; });
  if (events.size() > static_cast<size_t>(top)) events.resize(static_cast<size_t>(top));
  return events;
}

std::string Text(const isa::Program& program, const Event& e) {
  const isa::Instruction& i = InstructionOf(program, e);
  return e.queue >= 0 ? isa::DisassembleDma(program, program.dmas[i.dma])
                      : isa::DisassembleInstruction(program, i);
}

std::string Causes(const std::array<int64_t, kPathCauses>& path_ps) {
  std::vector<int> order(kPathCauses);
  std::iota(order.begin(), order.end(), 0);
  std::stable_sort(order.begin(), order.end(),
                   [&](int a, int b) { return path_ps[a] > path_ps[b]; });
  std::string text;
  for (int i = 0; i < 2 && path_ps[order[i]] > 0; ++i) {
    absl::StrAppendFormat(&text, "%s%s %.3f", i == 0 ? "" : ", ",
                          PathCauseName(static_cast<PathCause>(order[i])), Us(path_ps[order[i]]));
  }
  return text;
}

void AppendEngines(const ProfileAnalysis& a, std::string* text) {
  absl::StrAppend(text, "engines (us)   instr.      busy    use   waits for:");
  for (int l = 0; l < kLanes; ++l) absl::StrAppendFormat(text, " %9s", LaneName(l));
  absl::StrAppend(text, "    result      port      done\n");
  for (int e = 0; e < isa::kEngines; ++e) {
    const EngineProfile& engine = a.engines[e];
    absl::StrAppendFormat(text, "  %-10s %8d %9.3f %5.1f%%             ", LaneName(e),
                          engine.instructions, Us(engine.busy_ps),
                          Percent(engine.busy_ps, a.total_ps));
    for (const int64_t ps : engine.semaphore_ps) absl::StrAppendFormat(text, " %9.3f", Us(ps));
    absl::StrAppendFormat(text, " %9.3f %9.3f %9.3f\n", Us(engine.result_ps), Us(engine.port_ps),
                          Us(engine.done_ps));
  }
  absl::StrAppendFormat(text, "  %-10s %8d %9.3f %5.1f%%\n", "DMA", a.transfers,
                        Us(a.dma_active_ps), Percent(a.dma_active_ps, a.total_ps));
}

void AppendPath(const ProfileAnalysis& a, std::string* text) {
  absl::StrAppend(text, "critical path (us)        total  share  of:");
  for (int l = 0; l < kLanes; ++l) absl::StrAppendFormat(text, " %9s", LaneName(l));
  absl::StrAppend(text, "\n");
  for (int c = 0; c < kPathCauses; ++c) {
    const auto& lanes = a.path_ps[c];
    const int64_t total = std::accumulate(lanes.begin(), lanes.end(), int64_t{0});
    if (total == 0) continue;
    absl::StrAppendFormat(text, "  %-18s %10.3f %5.1f%%     ",
                          PathCauseName(static_cast<PathCause>(c)), Us(total),
                          Percent(total, a.total_ps));
    for (const int64_t ps : lanes) absl::StrAppendFormat(text, " %9.3f", Us(ps));
    absl::StrAppend(text, "\n");
  }
}

void AppendOps(const char* title, const std::vector<OpProfile>& ops, int64_t total_ps, int top,
               std::string* text) {
  absl::StrAppendFormat(
      text,
      "%s (%d)\n   on path  share  roofline by       PE      ACT     POOL      DVE      DMA"
      "   HBM MB   GFLOP/s  name\n",
      title, ops.size());
  for (size_t i = 0; i < ops.size() && i < static_cast<size_t>(top); ++i) {
    const OpProfile& op = ops[i];
    const int64_t path = op.path_total_ps();
    absl::StrAppendFormat(text, "%10.3f %5.1f%% %9.3f %-3s", Us(path), Percent(path, total_ps),
                          Us(op.roofline_ps()), RooflineBound(op));
    for (int e = 0; e < isa::kEngines - 1; ++e)
      absl::StrAppendFormat(text, " %8.3f", Us(op.busy_ps[e]));
    absl::StrAppendFormat(text, " %8.3f %8.3f %9.0f  ", Us(op.dma_ps), Mb(op.hbm_bytes),
                          Giga(op.flops, path));
    if (op.hlo.empty()) {
      absl::StrAppend(text, op.op.empty() ? "(none)" : op.op);
    } else {
      absl::StrAppend(text, op.hlo, op.op.empty() ? "" : "  ", op.op, op.source.empty() ? "" : "  ",
                      op.source);
    }
    const std::string causes = Causes(op.path_ps);
    absl::StrAppend(text, causes.empty() ? "" : "  [", causes, causes.empty() ? "" : "]", "\n");
  }
}

void WriteOps(const std::vector<OpProfile>& ops, JsonWriter* json) {
  json->BeginArray();
  for (const OpProfile& op : ops) {
    json->Line().BeginObject();
    if (!op.hlo.empty()) json->Key("hlo").String(op.hlo).Key("source").String(op.source);
    json->Key("op").String(op.op);
    json->Key("path_us").Number(Us(op.path_total_ps())).Key("path").BeginObject();
    for (int c = 0; c < kPathCauses; ++c) {
      if (op.path_ps[c] > 0)
        json->Key(PathCauseName(static_cast<PathCause>(c))).Number(Us(op.path_ps[c]));
    }
    json->EndObject().Key("busy_us").BeginObject();
    for (int e = 0; e < isa::kEngines; ++e) {
      if (op.busy_ps[e] > 0) json->Key(LaneName(e)).Number(Us(op.busy_ps[e]));
    }
    json->EndObject()
        .Key("dma_us")
        .Number(Us(op.dma_ps))
        .Key("busiest")
        .String(LaneName(BusiestLane(op)));
    json->Key("hbm_bytes").Integer(op.hbm_bytes).Key("flops").Integer(op.flops);
    json->Key("flops_per_byte")
        .Number(op.hbm_bytes == 0
                    ? 0
                    : static_cast<double>(op.flops) / static_cast<double>(op.hbm_bytes));
    json->Key("roofline_us")
        .Number(Us(op.roofline_ps()))
        .Key("roofline_bound")
        .String(RooflineBound(op));
    json->Key("instructions")
        .Integer(op.instructions)
        .Key("transfers")
        .Integer(op.transfers)
        .EndObject();
  }
  json->EndArray();
}

}  // namespace

std::string ProfileText(const isa::Program& program, const glia_nrt_profile_t& profile,
                        const ProfileAnalysis& a, int top) {
  const glia_nrt_model_statistics_t& s = profile.statistics;
  std::string text =
      absl::StrFormat("program '%s': %.6f us simulated%s\n", program.name, Us(a.total_ps),
                      a.has_loops ? " (each segment once; loops run theirs more often)" : "");
  absl::StrAppendFormat(
      &text, "roofline       %.3f us: PE busy %.3f, HBM %.3f (%.3f MB that must move); %.2fx\n",
      Us(a.roofline_ps), Us(a.engines[kPe].busy_ps),
      static_cast<double>(a.must_move_bytes) * 1e-3 / isa::cost::kHbmBytesPerNs,
      Mb(a.must_move_bytes),
      a.roofline_ps == 0 ? 0.0
                         : static_cast<double>(a.total_ps) / static_cast<double>(a.roofline_ps));
  absl::StrAppendFormat(&text, "matmuls        %.3f GFLOP, %.2f TFLOP/s\n",
                        static_cast<double>(a.flops) * 1e-9, Giga(a.flops, a.total_ps) * 1e-3);
  absl::StrAppendFormat(&text,
                        "HBM traffic    %.3f MB read, %.3f MB written; %.1f GB/s, %.1f while "
                        "active; DMA engines %.1f%% used\n",
                        Mb(a.hbm_read_bytes), Mb(a.hbm_write_bytes),
                        Giga(a.hbm_read_bytes + a.hbm_write_bytes, a.total_ps),
                        Giga(a.hbm_read_bytes + a.hbm_write_bytes, a.dma_active_ps),
                        Percent(a.dma_work_ps, a.total_ps));
  absl::StrAppendFormat(
      &text,
      "peak memory    HBM %.3f MB (constants %.3f, scratch %.3f, inputs and outputs %.3f); a "
      "partition: "
      "SBUF %d of %d bytes, PSUM %d of %d\n\n",
      Mb(static_cast<int64_t>(s.hbm_constant_bytes + s.hbm_scratch_bytes + s.hbm_io_bytes)),
      Mb(static_cast<int64_t>(s.hbm_constant_bytes)), Mb(static_cast<int64_t>(s.hbm_scratch_bytes)),
      Mb(static_cast<int64_t>(s.hbm_io_bytes)), s.sbuf_peak_bytes, isa::kSbufPartitionBytes,
      s.psum_peak_bytes, isa::kPsumPartitionBytes);
  AppendEngines(a, &text);
  absl::StrAppend(&text, "\n");
  AppendPath(a, &text);
  absl::StrAppend(&text, "\n");
  AppendOps("source operators", a.source_ops, a.total_ps, top, &text);
  absl::StrAppend(&text, "\n");
  AppendOps("HLO operations", a.hlo_ops, a.total_ps, top, &text);
  absl::StrAppend(&text,
                  "\ninstructions and transfers longest on the critical path\n"
                  "        us  start us  where  what\n");
  for (const TopEvent& t : TopEvents(a, top)) {
    const Event& e = profile.events[t.event];
    absl::StrAppendFormat(&text, "%10.3f %9.3f  %-5s  %s  [%s]\n", Us(t.total_ps), Us(e.start_ps),
                          LaneName(LaneOf(e)), Text(program, e), Causes(t.path_ps));
  }
  return text;
}

void WriteProfileJson(const isa::Program& program, const glia_nrt_profile_t& profile,
                      const ProfileAnalysis& a, int top, JsonWriter* json) {
  const glia_nrt_model_statistics_t& s = profile.statistics;
  json->BeginObject().Key("name").String(program.name);
  json->Key("simulated_us").Number(Us(a.total_ps)).Key("has_loops").Bool(a.has_loops);
  json->Key("roofline_us")
      .Number(Us(a.roofline_ps))
      .Key("must_move_bytes")
      .Integer(a.must_move_bytes);
  json->Key("flops").Integer(a.flops);
  json->Key("hbm_read_bytes")
      .Integer(a.hbm_read_bytes)
      .Key("hbm_write_bytes")
      .Integer(a.hbm_write_bytes);
  json->Key("dma_active_us")
      .Number(Us(a.dma_active_ps))
      .Key("dma_work_us")
      .Number(Us(a.dma_work_ps));
  json->Key("transfers").Integer(a.transfers);
  json->Line().Key("memory").BeginObject();
  json->Key("hbm_constant_bytes").Integer(static_cast<int64_t>(s.hbm_constant_bytes));
  json->Key("hbm_scratch_bytes").Integer(static_cast<int64_t>(s.hbm_scratch_bytes));
  json->Key("hbm_io_bytes").Integer(static_cast<int64_t>(s.hbm_io_bytes));
  json->Key("sbuf_peak_bytes").Integer(static_cast<int64_t>(s.sbuf_peak_bytes));
  json->Key("psum_peak_bytes").Integer(static_cast<int64_t>(s.psum_peak_bytes)).EndObject();
  json->Line().Key("engines").BeginObject();
  for (int e = 0; e < isa::kEngines; ++e) {
    const EngineProfile& engine = a.engines[e];
    json->Line().Key(LaneName(e)).BeginObject().Key("instructions").Integer(engine.instructions);
    json->Key("busy_us").Number(Us(engine.busy_ps)).Key("utilisation");
    json->Number(Percent(engine.busy_ps, a.total_ps) / 100).Key("semaphore_us").BeginObject();
    for (int l = 0; l < kLanes; ++l) {
      if (engine.semaphore_ps[l] > 0) json->Key(LaneName(l)).Number(Us(engine.semaphore_ps[l]));
    }
    json->EndObject()
        .Key("result_us")
        .Number(Us(engine.result_ps))
        .Key("port_us")
        .Number(Us(engine.port_ps));
    json->Key("done_us").Number(Us(engine.done_ps)).EndObject();
  }
  json->EndObject().Line().Key("critical_path_us").BeginObject();
  for (int c = 0; c < kPathCauses; ++c) {
    json->Line().Key(PathCauseName(static_cast<PathCause>(c))).BeginObject();
    for (int l = 0; l < kLanes; ++l) {
      if (a.path_ps[c][l] > 0) json->Key(LaneName(l)).Number(Us(a.path_ps[c][l]));
    }
    json->EndObject();
  }
  json->EndObject().Line().Key("source_operators");
  WriteOps(a.source_ops, json);
  json->Line().Key("operations");
  WriteOps(a.hlo_ops, json);
  json->Line().Key("top_instructions").BeginArray();
  for (const TopEvent& t : TopEvents(a, top)) {
    const Event& e = profile.events[t.event];
    json->Line()
        .BeginObject()
        .Key("path_us")
        .Number(Us(t.total_ps))
        .Key("start_us")
        .Number(Us(e.start_ps));
    json->Key("segment").Integer(e.segment).Key("lane").String(LaneName(LaneOf(e)));
    json->Key("index").Integer(e.index).Key("text").String(Text(program, e)).EndObject();
  }
  json->EndArray().EndObject();
}

std::string ProfileTimeline(const isa::Program& program, const glia_nrt_profile_t& profile,
                            const ProfileAnalysis& a) {
  constexpr int kFirstQueue = 16;
  constexpr int kPathTrack = 15;
  JsonWriter json;
  json.BeginObject().Key("displayTimeUnit").String("ns").Key("traceEvents").BeginArray();
  const auto track = [&](int id, const std::string& name) {
    json.Line()
        .BeginObject()
        .Key("name")
        .String("thread_name")
        .Key("ph")
        .String("M")
        .Key("pid")
        .Integer(0);
    json.Key("tid")
        .Integer(id)
        .Key("args")
        .BeginObject()
        .Key("name")
        .String(name)
        .EndObject()
        .EndObject();
  };
  for (int e = 0; e < isa::kEngines; ++e) track(e, LaneName(e));
  track(kPathTrack, "critical path");
  for (size_t q = 0; q < program.queues.size(); ++q) {
    track(kFirstQueue + static_cast<int>(q), absl::StrCat("queue ", program.queues[q].name));
  }
  std::vector<uint64_t> offset(profile.segment_count + 1, 0);
  for (uint64_t s = 0; s < profile.segment_count; ++s)
    offset[s + 1] = offset[s] + profile.segments[s].duration_ps;
  // Leaves the object open for more arguments.
  const auto slice = [&](const std::string& name, int tid, uint64_t start, uint64_t end) {
    json.Line().BeginObject().Key("name").String(name).Key("ph").String("X").Key("pid").Integer(0);
    json.Key("tid").Integer(tid).Key("ts").Number(Us(start)).Key("dur").Number(Us(end - start));
  };
  const auto origin = [&](const isa::Instruction& i) {
    if (i.debug >= program.debug.size()) return;
    const isa::DebugEntry& d = program.debug[i.debug];
    json.Key("hlo").String(d.hlo).Key("op").String(d.op).Key("source").String(d.source);
  };
  for (uint64_t n = 0; n < profile.event_count; ++n) {
    const Event& e = profile.events[n];
    const isa::Instruction& i = InstructionOf(program, e);
    const std::string text = Text(program, e);
    const std::string name = i.debug < program.debug.size() && !program.debug[i.debug].hlo.empty()
                                 ? program.debug[i.debug].hlo
                                 : text.substr(0, text.find(' '));
    slice(name, e.queue >= 0 ? kFirstQueue + e.queue : static_cast<int>(e.engine),
          offset[e.segment] + e.start_ps, offset[e.segment] + e.free_ps);
    json.Key("args").BeginObject().Key("text").String(text).Key("event").Integer(
        static_cast<int64_t>(n));
    json.Key("waits_for")
        .Integer(e.cause_event)
        .Key("result_us")
        .Number(Us(offset[e.segment] + e.complete_ps));
    origin(i);
    json.EndObject().EndObject();
  }
  for (uint64_t s = 0; s < profile.segment_count; ++s) {
    for (const PathPart& part : a.path[s]) {
      slice(PathCauseName(part.cause), kPathTrack, offset[s] + part.start_ps,
            offset[s] + part.end_ps);
      if (part.event >= 0) {
        json.Key("args").BeginObject().Key("event").Integer(part.event);
        origin(InstructionOf(program, profile.events[part.event]));
        json.EndObject();
      }
      json.EndObject();
    }
  }
  json.EndArray().EndObject();
  return json.Take();
}

}  // namespace glia::tools
