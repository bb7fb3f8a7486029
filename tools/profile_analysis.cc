#include "tools/profile_analysis.h"

#include <algorithm>
#include <map>
#include <numeric>
#include <tuple>
#include <utility>

#include "serialization/isa/cost.h"
#include "serialization/isa/table.h"

namespace glia::tools {
namespace {

using Event = glia_nrt_profile_event_t;

int64_t HbmPs(int64_t bytes) {
  return (bytes * 1000 + isa::cost::kHbmBytesPerNs - 1) / isa::cost::kHbmBytesPerNs;
}

int64_t BytesMoved(const isa::DmaDescriptor& dma) {
  return std::accumulate(dma.size, dma.size + isa::kDmaDims, int64_t{dma.element_bytes},
                         [](int64_t product, uint32_t size) { return product * size; });
}

int64_t FlopsOf(const isa::Instruction& i) {
  if (i.opcode != isa::Opcode::kMatmul) return 0;
  return 2 * int64_t{i.src0.num_partitions} * i.src0.free_elements() * i.src1.free_elements();
}

// Follows what the end of a segment was due to, back to its start.
class PathWalk {
 public:
  PathWalk(const isa::Program& program, const glia_nrt_profile_t& profile)
      : program_(program), profile_(profile) {}

  std::vector<PathPart> Run(const glia_nrt_profile_segment_t& segment) {
    int32_t e = segment.last_event;
    const uint64_t last = e < 0 ? 0 : At(e).complete_ps;
    Add(-1, PathCause::kControl, last, segment.duration_ps);
    bool whole = true;  // the event's result mattered, not only that its engine was taken
    while (e >= 0) {
      if (whole) {
        while (At(e).complete_event >= 0) e = At(e).complete_event;
        if (At(e).queue >= 0) {
          AddTransfer(e);
        } else {
          Add(e, PathCause::kPipeline, At(e).free_ps, At(e).complete_ps);
        }
      }
      const Event& event = At(e);
      if (event.queue < 0) Add(e, PathCause::kEngineBusy, event.start_ps, event.free_ps);
      Add(e, PathCause::kPort, event.ready_ps, event.start_ps);
      const int32_t before = event.cause_event;
      whole = event.cause != GLIA_NRT_WAIT_ENGINE;
      if (before >= 0 && whole) {
        const PathCause gap = event.cause == GLIA_NRT_WAIT_SEMAPHORE ? PathCause::kSemaphore
                              : event.cause == GLIA_NRT_WAIT_RESULT  ? PathCause::kPipeline
                                                                     : PathCause::kDmaStart;
        Add(e, gap, At(before).complete_ps, event.ready_ps);
      }
      e = before;
    }
    std::reverse(parts_.begin(), parts_.end());
    return std::move(parts_);
  }

 private:
  const Event& At(int32_t e) const { return profile_.events[e]; }

  void Add(int32_t e, PathCause cause, uint64_t start, uint64_t end) {
    if (end > start) parts_.push_back({e, cause, start, end});
  }

  void AddTransfer(int32_t e) {
    const Event& event = At(e);
    const isa::Instruction& trigger = InstructionOf(program_, event);
    const auto full = static_cast<uint64_t>(HbmPs(BytesMoved(program_.dmas[trigger.dma])));
    const uint64_t alone = std::min(event.start_ps + event.alone_ps, event.complete_ps);
    const uint64_t fast = std::min(event.start_ps + full, alone);
    Add(e, PathCause::kDmaContention, alone, event.complete_ps);
    Add(e, PathCause::kDmaRows, fast, alone);
    Add(e, PathCause::kDmaBandwidth, event.start_ps, fast);
  }

  const isa::Program& program_;
  const glia_nrt_profile_t& profile_;
  std::vector<PathPart> parts_;
};

// Sums by origin: by HLO operation, and by source operator.
class Origins {
 public:
  explicit Origins(const isa::Program& program) : program_(program) {
    for (const isa::DebugEntry& entry : program.debug) {
      rows_.push_back(
          {Row(&hlo_, {entry.hlo, entry.op, entry.source}), Row(&source_, {"", entry.op, ""})});
    }
    rows_.push_back({Row(&hlo_, {"(none)", "", ""}), Row(&source_, {"", "(none)", ""})});
  }

  template <typename Add>
  void For(const isa::Instruction& i, Add add) {
    const auto& [hlo, source] = rows_[std::min<size_t>(i.debug, rows_.size() - 1)];
    add(hlo);
    add(source);
  }

  std::vector<OpProfile> hlo_ops() { return Sorted(hlo_); }
  std::vector<OpProfile> source_ops() { return Sorted(source_); }

 private:
  using Key = std::tuple<std::string, std::string, std::string>;
  using Map = std::map<Key, OpProfile>;

  static OpProfile* Row(Map* map, const Key& key) {
    OpProfile& row = (*map)[key];
    std::tie(row.hlo, row.op, row.source) = key;
    return &row;
  }

  static std::vector<OpProfile> Sorted(const Map& map) {
    std::vector<OpProfile> ops;
    for (const auto& [key, op] : map) {
      if (op.instructions > 0) ops.push_back(op);
    }
    const auto weight = [](const OpProfile& op) {
      return std::make_pair(op.path_total_ps(),
                            std::accumulate(op.busy_ps.begin(), op.busy_ps.end(), op.dma_ps));
    };
    std::stable_sort(ops.begin(), ops.end(),
                     [&](const OpProfile& a, const OpProfile& b) { return weight(a) > weight(b); });
    return ops;
  }

  const isa::Program& program_;
  Map hlo_, source_;
  std::vector<std::pair<OpProfile*, OpProfile*>> rows_;  // as program.debug, then those without
};

void AddEngineTimes(const glia_nrt_profile_t& profile, ProfileAnalysis* a) {
  std::vector<std::array<uint64_t, isa::kEngines>> free(profile.segment_count);
  for (uint64_t n = 0; n < profile.event_count; ++n) {
    const Event& e = profile.events[n];
    if (e.queue >= 0) continue;
    EngineProfile& engine = a->engines[e.engine];
    ++engine.instructions;
    uint64_t& before = free[e.segment][e.engine];
    const auto waited = static_cast<int64_t>(e.ready_ps - before);
    if (e.cause == GLIA_NRT_WAIT_SEMAPHORE) {
      engine.semaphore_ps[LaneOf(profile.events[e.cause_event])] += waited;
    } else {
      engine.result_ps += waited;
    }
    engine.port_ps += static_cast<int64_t>(e.start_ps - e.ready_ps);
    before = e.free_ps;
  }
  for (uint64_t s = 0; s < profile.segment_count; ++s) {
    const glia_nrt_profile_segment_t& segment = profile.segments[s];
    a->total_ps += static_cast<int64_t>(segment.duration_ps);
    for (int e = 0; e < isa::kEngines; ++e) {
      a->engines[e].busy_ps += static_cast<int64_t>(segment.busy_ps[e]);
      a->engines[e].done_ps += static_cast<int64_t>(segment.duration_ps - free[s][e]);
    }
    a->dma_active_ps += static_cast<int64_t>(segment.busy_ps[isa::kEngines]);
    a->hbm_read_bytes += static_cast<int64_t>(segment.hbm_read_bytes);
    a->hbm_write_bytes += static_cast<int64_t>(segment.hbm_write_bytes);
  }
}

}  // namespace

const char* PathCauseName(PathCause cause) {
  constexpr const char* kNames[kPathCauses] = {
      "engine busy",   "pipeline latency", "semaphore hop",  "port exclusion", "DMA start",
      "DMA bandwidth", "DMA short rows",   "DMA contention", "control"};
  return kNames[static_cast<int>(cause)];
}

const char* LaneName(int lane) {
  return lane < isa::kEngines ? isa::EngineName(static_cast<isa::Engine>(lane)) : "DMA";
}

int LaneOf(const Event& event) {
  return event.queue >= 0 ? isa::kEngines : static_cast<int>(event.engine);
}

const isa::Instruction& InstructionOf(const isa::Program& program, const Event& event) {
  return program.segments[event.segment].streams[event.engine][event.index];
}

int64_t OpProfile::path_total_ps() const {
  return std::accumulate(path_ps.begin(), path_ps.end(), int64_t{0});
}

int64_t OpProfile::roofline_ps() const {
  return std::max(busy_ps[static_cast<int>(isa::Engine::kPe)], HbmPs(hbm_bytes));
}

ProfileAnalysis Analyze(const isa::Program& program, const glia_nrt_profile_t& profile) {
  ProfileAnalysis a;
  Origins origins(program);
  AddEngineTimes(profile, &a);
  for (const isa::Segment& segment : program.segments) {
    a.has_loops |= segment.terminator.kind == isa::TerminatorKind::kBranch;
  }
  for (uint64_t n = 0; n < profile.event_count; ++n) {
    const Event& e = profile.events[n];
    const isa::Instruction& i = InstructionOf(program, e);
    if (e.queue < 0) {
      const int64_t flops = FlopsOf(i);
      a.flops += flops;
      origins.For(i, [&](OpProfile* op) {
        ++op->instructions;
        op->busy_ps[e.engine] += static_cast<int64_t>(e.free_ps - e.start_ps);
        op->flops += flops;
      });
      continue;
    }
    const isa::DmaCost cost = isa::DmaCostOf(program, program.dmas[i.dma]);
    const int64_t work = cost.work_ps / isa::cost::kDmaEngines;
    ++a.transfers;
    a.dma_work_ps += work;
    origins.For(i, [&](OpProfile* op) {
      ++op->transfers;
      op->dma_ps += work;
      op->hbm_bytes += cost.hbm_read_bytes + cost.hbm_write_bytes;
    });
  }
  for (uint64_t s = 0; s < profile.segment_count; ++s) {
    a.path.push_back(PathWalk(program, profile).Run(profile.segments[s]));
    for (const PathPart& part : a.path.back()) {
      const auto cause = static_cast<size_t>(part.cause);
      const auto ps = static_cast<int64_t>(part.end_ps - part.start_ps);
      if (part.event < 0) {
        a.path_ps[cause][static_cast<int>(isa::Engine::kSp)] += ps;
        continue;
      }
      const Event& e = profile.events[part.event];
      a.path_ps[cause][LaneOf(e)] += ps;
      origins.For(InstructionOf(program, e), [&](OpProfile* op) { op->path_ps[cause] += ps; });
    }
  }
  a.must_move_bytes =
      static_cast<int64_t>(profile.statistics.hbm_constant_bytes + profile.statistics.hbm_io_bytes);
  a.roofline_ps =
      std::max(a.engines[static_cast<int>(isa::Engine::kPe)].busy_ps, HbmPs(a.must_move_bytes));
  a.hlo_ops = origins.hlo_ops();
  a.source_ops = origins.source_ops();
  return a;
}

}  // namespace glia::tools
