// glia_nrt_profile_neff: the timing model's trace behind the C API.
#include <memory>
#include <utility>
#include <vector>

#include "nrt/nrt_glia.h"
#include "runtime/state.h"
#include "serialization/neff/neff.h"

using glia::device::ProgramProfile;
using glia::device::TraceEvent;
using glia::device::WaitCause;
using glia::neff::Blob;
using glia::runtime::Fail;
using glia::runtime::FromStatus;

static_assert(GLIA_NRT_WAIT_ENGINE == static_cast<int>(WaitCause::kEngine));
static_assert(GLIA_NRT_WAIT_SEMAPHORE == static_cast<int>(WaitCause::kSemaphore));
static_assert(GLIA_NRT_WAIT_RESULT == static_cast<int>(WaitCause::kResult));
static_assert(GLIA_NRT_WAIT_TRIGGER == static_cast<int>(WaitCause::kTrigger));
static_assert(GLIA_NRT_WAIT_QUEUE == static_cast<int>(WaitCause::kQueue));

namespace {

// The C structure first, so that its address is the whole's.
struct OwnedProfile {
  glia_nrt_profile_t view = {};
  std::vector<glia_nrt_profile_segment_t> segments;
  std::vector<glia_nrt_profile_event_t> events;
};

glia_nrt_profile_event_t ToC(const TraceEvent& e) {
  glia_nrt_profile_event_t c = {};
  c.segment = static_cast<uint32_t>(e.segment);
  c.engine = static_cast<uint32_t>(e.engine);
  c.queue = e.queue;
  c.index = e.index;
  c.cause = static_cast<uint32_t>(e.cause);
  c.cause_event = e.cause_event;
  c.port_event = e.port_event;
  c.complete_event = e.complete_event;
  c.ready_ps = static_cast<uint64_t>(e.ready_ps);
  c.start_ps = static_cast<uint64_t>(e.start_ps);
  c.free_ps = static_cast<uint64_t>(e.free_ps);
  c.complete_ps = static_cast<uint64_t>(e.complete_ps);
  c.alone_ps = static_cast<uint64_t>(e.alone_ps);
  return c;
}

std::unique_ptr<OwnedProfile> ToC(const ProgramProfile& profile) {
  auto c = std::make_unique<OwnedProfile>();
  glia_nrt_model_statistics_t& s = c->view.statistics;
  s = glia::runtime::MemoryStatistics(profile.memory);
  for (size_t i = 0; i < profile.timing.segments.size(); ++i) {
    const glia::device::SegmentTiming& timing = profile.timing.segments[i];
    glia_nrt_profile_segment_t segment = {};
    segment.duration_ps = static_cast<uint64_t>(timing.duration_ps);
    static_assert(sizeof(segment.busy_ps) / sizeof(segment.busy_ps[0]) == glia::isa::kEngines + 1);
    for (size_t e = 0; e < timing.busy_ps.size(); ++e) {
      segment.busy_ps[e] = static_cast<uint64_t>(timing.busy_ps[e]);
    }
    segment.hbm_read_bytes = static_cast<uint64_t>(timing.hbm_read_bytes);
    segment.hbm_write_bytes = static_cast<uint64_t>(timing.hbm_write_bytes);
    segment.last_event = profile.trace.last_event[i];
    s.last_simulated_ps += segment.duration_ps;
    c->segments.push_back(segment);
  }
  c->events.reserve(profile.trace.events.size());
  for (const TraceEvent& e : profile.trace.events) c->events.push_back(ToC(e));
  c->view.segment_count = c->segments.size();
  c->view.segments = c->segments.data();
  c->view.event_count = c->events.size();
  c->view.events = c->events.data();
  return c;
}

}  // namespace

NRT_STATUS glia_nrt_profile_neff(const void* neff_bytes, size_t size,
                                 glia_nrt_profile_t** profile) {
  constexpr char kFunction[] = "glia_nrt_profile_neff";
  if (profile == nullptr || neff_bytes == nullptr) {
    return Fail(NRT_INVALID, "glia_nrt_profile_neff: the NEFF or the result is null");
  }
  *profile = nullptr;
  // Used during this call only.
  auto neff = glia::neff::Read(Blob::View(nullptr, neff_bytes, size));
  if (!neff.ok()) return FromStatus(kFunction, neff.status());
  auto result = glia::device::ProfileProgram(**neff);
  if (!result.ok()) return FromStatus(kFunction, result.status());
  *profile = &ToC(*result).release()->view;
  return NRT_SUCCESS;
}

NRT_STATUS glia_nrt_free_profile(glia_nrt_profile_t* profile) {
  delete reinterpret_cast<OwnedProfile*>(profile);
  return NRT_SUCCESS;
}
