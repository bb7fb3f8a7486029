#include "runtime/state.h"

#include <algorithm>
#include <cstdio>
#include <cstring>

#include "absl/strings/str_cat.h"
#include "nrt/nrt_glia.h"
#include "nrt/nrt_version.h"

namespace glia::runtime {
namespace {

thread_local std::string last_error;

struct StatusName {
  NRT_STATUS status;
  const char* name;
};

#define GLIA_STATUS(s) {s, #s}
constexpr StatusName kStatusNames[] = {
    GLIA_STATUS(NRT_SUCCESS),
    GLIA_STATUS(NRT_FAILURE),
    GLIA_STATUS(NRT_INVALID),
    GLIA_STATUS(NRT_INVALID_HANDLE),
    GLIA_STATUS(NRT_RESOURCE),
    GLIA_STATUS(NRT_TIMEOUT),
    GLIA_STATUS(NRT_HW_ERROR),
    GLIA_STATUS(NRT_QUEUE_FULL),
    GLIA_STATUS(NRT_LOAD_NOT_ENOUGH_NC),
    GLIA_STATUS(NRT_UNSUPPORTED_NEFF_VERSION),
    GLIA_STATUS(NRT_FAIL_HOST_MEM_ALLOC),
    GLIA_STATUS(NRT_UNINITIALIZED),
    GLIA_STATUS(NRT_CLOSED),
    GLIA_STATUS(NRT_QUEUE_EMPTY),
    GLIA_STATUS(NRT_EXEC_UNIT_UNRECOVERABLE),
    GLIA_STATUS(NRT_EXEC_BAD_INPUT),
    GLIA_STATUS(NRT_EXEC_COMPLETED_WITH_NUM_ERR),
    GLIA_STATUS(NRT_EXEC_COMPLETED_WITH_ERR),
    GLIA_STATUS(NRT_EXEC_NC_BUSY),
    GLIA_STATUS(NRT_EXEC_OOB),
    GLIA_STATUS(NRT_COLL_PENDING),
    GLIA_STATUS(NRT_EXEC_HW_ERR_COLLECTIVES),
    GLIA_STATUS(NRT_EXEC_HW_ERR_HBM_UE),
    GLIA_STATUS(NRT_EXEC_HW_ERR_NC_UE),
    GLIA_STATUS(NRT_EXEC_HW_ERR_DMA_ABORT),
    GLIA_STATUS(NRT_EXEC_SW_NQ_OVERFLOW),
    GLIA_STATUS(NRT_EXEC_HW_ERR_REPAIRABLE_HBM_UE),
    GLIA_STATUS(NRT_NETWORK_PROXY_FAILURE),
};
#undef GLIA_STATUS

const char* NameOf(NRT_STATUS status) {
  for (const StatusName& entry : kStatusNames) {
    if (entry.status == status) return entry.name;
  }
  return "NRT_UNKNOWN";
}

NRT_STATUS CodeOf(const absl::Status& status) {
  switch (status.code()) {
    case absl::StatusCode::kOk:
      return NRT_SUCCESS;
    case absl::StatusCode::kResourceExhausted:
      return NRT_RESOURCE;
    case absl::StatusCode::kUnimplemented:
    case absl::StatusCode::kFailedPrecondition:
      return NRT_UNSUPPORTED_NEFF_VERSION;
    case absl::StatusCode::kOutOfRange:
      return NRT_EXEC_OOB;
    case absl::StatusCode::kInvalidArgument:
    case absl::StatusCode::kDataLoss:
      return NRT_INVALID;
    case absl::StatusCode::kInternal:
      return NRT_EXEC_COMPLETED_WITH_ERR;
    case absl::StatusCode::kDeadlineExceeded:
      return NRT_TIMEOUT;
    default:
      return NRT_FAILURE;
  }
}

}  // namespace

State& GetState() {
  static State* const state = new State;
  return *state;
}

NRT_STATUS Fail(NRT_STATUS status, absl::string_view message) {
  last_error.assign(message.data(), message.size());
  if (GetState().log_errors.load(std::memory_order_relaxed)) {
    std::fprintf(stderr, "nrt: %s: %s\n", NameOf(status), last_error.c_str());
  }
  return status;
}

NRT_STATUS FailHandle(absl::string_view function, absl::string_view kind) {
  return Fail(NRT_INVALID_HANDLE, absl::StrCat(function, ": this ", kind,
                                               " does not exist (was it freed, or never made?)"));
}

NRT_STATUS FromStatus(absl::string_view function, const absl::Status& status) {
  if (status.ok()) return NRT_SUCCESS;
  return Fail(CodeOf(status), absl::StrCat(function, ": ", status.message()));
}

glia_nrt_model_statistics_t MemoryStatistics(const device::MemoryUse& memory) {
  glia_nrt_model_statistics_t s = {};
  s.hbm_constant_bytes = static_cast<uint64_t>(memory.hbm_constant_bytes);
  s.hbm_scratch_bytes = static_cast<uint64_t>(memory.hbm_scratch_bytes);
  s.hbm_io_bytes = static_cast<uint64_t>(memory.hbm_io_bytes);
  s.sbuf_peak_bytes = static_cast<uint64_t>(memory.sbuf_peak_bytes_per_partition);
  s.psum_peak_bytes = static_cast<uint64_t>(memory.psum_peak_bytes_per_partition);
  return s;
}

NRT_STATUS CheckOpen(absl::string_view function) {
  State& state = GetState();
  std::shared_lock<std::shared_mutex> lock(state.mutex);
  switch (state.phase) {
    case Phase::kOpen:
      return NRT_SUCCESS;
    case Phase::kBefore:
      return Fail(NRT_UNINITIALIZED, absl::StrCat(function, ": call nrt_init first"));
    case Phase::kClosed:
      return Fail(NRT_CLOSED, absl::StrCat(function, ": the runtime was closed by nrt_close"));
  }
  return NRT_FAILURE;
}

std::shared_ptr<device::Core> VisibleCore(absl::string_view function, int64_t vnc) {
  State& state = GetState();
  std::shared_lock<std::shared_mutex> lock(state.mutex);
  if (vnc >= 0 && vnc < static_cast<int64_t>(state.cores.size())) return state.cores[vnc];
  Fail(NRT_LOAD_NOT_ENOUGH_NC,
       absl::StrCat(function, ": core ", vnc, " of ", state.cores.size(),
                    " visible cores; see NEURON_RT_VISIBLE_CORES and NEURON_RT_NUM_CORES"));
  return nullptr;
}

namespace {

// Copies as much of a versioned struct as the caller's copy of the header has.
template <typename T>
NRT_STATUS CopyOut(const char* function, const T& value, void* out, size_t size) {
  if (out == nullptr || size == 0) {
    return Fail(NRT_INVALID, absl::StrCat(function, ": no room for the result"));
  }
  std::memcpy(out, &value, std::min(size, sizeof(T)));
  return NRT_SUCCESS;
}

NRT_STATUS CoreCount(const char* function, bool visible, uint32_t* count) {
  if (count == nullptr) return Fail(NRT_INVALID, absl::StrCat(function, ": the result is null"));
  State& state = GetState();
  {
    std::shared_lock<std::shared_mutex> lock(state.mutex);
    if (state.phase == Phase::kOpen) {
      *count = static_cast<uint32_t>(visible ? state.cores.size() : state.environment.total_cores);
      return NRT_SUCCESS;
    }
  }
  auto environment = ReadEnvironment();
  if (!environment.ok()) return FromStatus(function, environment.status());
  *count = static_cast<uint32_t>(visible ? environment->visible_cores.size()
                                         : environment->total_cores);
  return NRT_SUCCESS;
}

}  // namespace
}  // namespace glia::runtime

using glia::runtime::CheckOpen;
using glia::runtime::CopyOut;
using glia::runtime::CoreCount;
using glia::runtime::Fail;
using glia::runtime::FromStatus;
using glia::runtime::GetState;
using glia::runtime::Phase;
using glia::runtime::State;

const char* nrt_get_status_as_str(NRT_STATUS status) { return glia::runtime::NameOf(status); }

const char* glia_nrt_last_error(void) { return glia::runtime::last_error.c_str(); }

NRT_STATUS nrt_get_version(nrt_version_t* ver, size_t size) {
  nrt_version_t version = {};
  version.rt_major = NRT_MAJOR_VERSION;
  version.rt_minor = NRT_MINOR_VERSION;
  std::snprintf(version.rt_detail, sizeof(version.rt_detail), "glia simulated NeuronCore-v2");
  return CopyOut("nrt_get_version", version, ver, size);
}

NRT_STATUS nrt_get_instance_info(nrt_instance_info_t* info, size_t instance_info_len) {
  nrt_instance_info_t value = {};
  value.family = NRT_INSTANCE_INF2;
  value.size = NRT_INSTANCE_SIZE_1XL;
  std::snprintf(value.arch_name, sizeof(value.arch_name), "NCv2");
  std::snprintf(value.device_revision, sizeof(value.device_revision), "sim");
  return CopyOut("nrt_get_instance_info", value, info, instance_info_len);
}

NRT_STATUS nrt_init(nrt_framework_type_t framework, const char* /*fw_version*/,
                    const char* /*fal_version*/) {
  if (framework < NRT_FRAMEWORK_TYPE_NO_FW || framework > NRT_FRAMEWORK_TYPE_PRECHECK) {
    return Fail(NRT_INVALID, absl::StrCat("nrt_init: no such framework type: ",
                                          static_cast<int>(framework)));
  }
  State& state = GetState();
  std::unique_lock<std::shared_mutex> lock(state.mutex);
  if (state.phase == Phase::kOpen) return NRT_SUCCESS;
  auto environment = glia::runtime::ReadEnvironment();
  if (!environment.ok()) return FromStatus("nrt_init", environment.status());
  if (!environment->inspect_directory.empty()) {
    auto inspector = glia::runtime::Inspector::Create(environment->inspect_directory);
    if (!inspector.ok()) return FromStatus("nrt_init", inspector.status());
    state.inspector = *std::move(inspector);
  }
  state.environment = *std::move(environment);
  state.log_errors = state.environment.log_errors;
  state.cores.clear();
  for (int index : state.environment.visible_cores) {
    state.cores.push_back(glia::device::Core::Create(index, state.environment.hbm_bytes));
  }
  state.next_core = 0;
  state.phase = Phase::kOpen;
  return NRT_SUCCESS;
}

void nrt_close(void) {
  State& state = GetState();
  {
    std::unique_lock<std::shared_mutex> lock(state.mutex);
    if (state.phase != Phase::kOpen) return;
    state.phase = Phase::kClosed;
    state.cores.clear();  // tensors and models hold their core
    state.inspector.reset();
  }
  state.models.TakeAll();
}

NRT_STATUS nrt_get_total_nc_count(uint32_t* vnc_count) {
  return CoreCount("nrt_get_total_nc_count", false, vnc_count);
}
NRT_STATUS nrt_get_total_vnc_count(uint32_t* vnc_count) {
  return CoreCount("nrt_get_total_vnc_count", false, vnc_count);
}
NRT_STATUS nrt_get_visible_nc_count(uint32_t* vnc_count) {
  return CoreCount("nrt_get_visible_nc_count", true, vnc_count);
}
NRT_STATUS nrt_get_visible_vnc_count(uint32_t* vnc_count) {
  return CoreCount("nrt_get_visible_vnc_count", true, vnc_count);
}

NRT_STATUS nrt_get_vnc_memory_stats(uint32_t vnc, nrt_vnc_memory_stats_t* stats,
                                    size_t stats_size_in, size_t* stats_size_out) {
  constexpr char kFunction[] = "nrt_get_vnc_memory_stats";
  if (NRT_STATUS open = CheckOpen(kFunction); open != NRT_SUCCESS) return open;
  auto core = glia::runtime::VisibleCore(kFunction, vnc);
  if (core == nullptr) return NRT_INVALID;
  nrt_vnc_memory_stats_t value = {static_cast<size_t>(core->hbm_used()),
                                  static_cast<size_t>(core->hbm_capacity())};
  if (stats_size_out != nullptr) *stats_size_out = std::min(stats_size_in, sizeof(value));
  return CopyOut(kFunction, value, stats, stats_size_in);
}
