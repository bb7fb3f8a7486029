// Models of the NRT C API: loading, executing, asking.
#include <algorithm>
#include <cstdlib>
#include <cstring>
#include <utility>

#include "absl/strings/str_cat.h"
#include "nrt/nrt.h"
#include "nrt/nrt_experimental.h"
#include "nrt/nrt_glia.h"
#include "runtime/state.h"
#include "serialization/neff/neff.h"

using glia::isa::DType;
using glia::isa::Variable;
using glia::isa::VariableKind;
using glia::neff::Blob;
using glia::runtime::CheckOpen;
using glia::runtime::Fail;
using glia::runtime::FailHandle;
using glia::runtime::FromStatus;
using glia::runtime::GetState;
using glia::runtime::Inspector;
using glia::runtime::State;
using glia::runtime::TensorSet;
using glia::runtime::VisibleCore;

namespace {

NRT_STATUS Load(const char* function, Blob bytes, int32_t vnc, nrt_model_t** model) {
  State& state = GetState();
  if (vnc < -1) return Fail(NRT_INVALID, absl::StrCat(function, ": no such core: ", vnc));
  auto neff = glia::neff::Read(bytes);
  if (!neff.ok()) return FromStatus(function, neff.status());
  glia::device::ExecutorKind kind;
  std::shared_ptr<Inspector> inspector;
  {
    std::shared_lock<std::shared_mutex> lock(state.mutex);
    inspector = state.inspector;
    kind = state.environment.executor;
    if (vnc == -1 && !state.cores.empty()) {
      vnc = static_cast<int32_t>(state.next_core++ % state.cores.size());
    }
  }
  auto core = VisibleCore(function, vnc);
  if (core == nullptr) return NRT_LOAD_NOT_ENOUGH_NC;
  auto program = core->Load(*std::move(neff), kind);
  if (!program.ok()) return FromStatus(function, program.status());

  auto made = std::make_shared<nrt_model>();
  made->program = *std::move(program);
  made->core = std::move(core);
  made->vnc = static_cast<uint32_t>(vnc);
  if (inspector != nullptr) {
    auto name = inspector->NoteModel(bytes, made->vnc);
    if (!name.ok()) return FromStatus(function, name.status());
    made->inspector = std::move(inspector);
    made->inspect_name = *std::move(name);
  }
  const auto& variables = made->program->neff().program.variables;
  for (size_t i = 0; i < variables.size(); ++i) {
    if (variables[i].kind == VariableKind::kInput) made->inputs.push_back(static_cast<int>(i));
    if (variables[i].kind == VariableKind::kOutput) made->outputs.push_back(static_cast<int>(i));
  }
  for (const auto& segment : made->program->timing().segments) {
    made->last_simulated_ps += segment.duration_ps;
  }
  *model = state.models.Add(std::move(made));
  return NRT_SUCCESS;
}

NRT_STATUS CheckLoad(const char* function, const void* bytes, nrt_model_t** model) {
  if (NRT_STATUS open = CheckOpen(function); open != NRT_SUCCESS) return open;
  if (model == nullptr) return Fail(NRT_INVALID, absl::StrCat(function, ": the result is null"));
  *model = nullptr;
  if (bytes == nullptr) return Fail(NRT_INVALID, absl::StrCat(function, ": the NEFF is null"));
  return NRT_SUCCESS;
}

// The tensors of a set that the model names, kept alive for a run, with their addresses.
struct Bound {
  std::vector<std::shared_ptr<nrt_tensor>> tensors;
  std::vector<uint8_t*> addresses;
};

NRT_STATUS Bind(const char* function, const nrt_model& model, const std::vector<int>& wanted,
                const char* side, const nrt_tensor_set_t* handle, Bound* bound) {
  State& state = GetState();
  auto set = state.sets.Get(handle);
  if (set == nullptr) return FailHandle(function, absl::StrCat(side, " set"));
  bound->tensors.reserve(wanted.size());
  bound->addresses.reserve(wanted.size());
  std::lock_guard<std::mutex> lock(set->mutex);
  for (int index : wanted) {
    const Variable& variable = model.program->neff().program.variables[index];
    auto it = set->tensors.find(variable.name);
    if (it == set->tensors.end()) {
      return Fail(NRT_EXEC_BAD_INPUT, absl::StrCat(function, ": the ", side, " set has no tensor '",
                                                   variable.name, "'"));
    }
    auto tensor = state.tensors.Get(it->second);
    if (tensor == nullptr) {
      return FailHandle(function, absl::StrCat("tensor '", variable.name, "' of the ", side, " set"));
    }
    if (tensor->size != static_cast<size_t>(variable.bytes) ||
        (tensor->data == nullptr && variable.bytes > 0)) {
      return Fail(NRT_EXEC_BAD_INPUT,
                  absl::StrCat(function, ": ", side, " '", variable.name, "' has ", tensor->size,
                               " bytes", tensor->data == nullptr ? " and no memory" : "",
                               "; the model wants ", variable.bytes));
    }
    if (tensor->hbm != nullptr && tensor->hbm->core() != model.core) {
      return Fail(NRT_EXEC_BAD_INPUT,
                  absl::StrCat(function, ": ", side, " '", variable.name, "' lies on core ",
                               tensor->hbm->core()->index(), "; the model is on core ",
                               model.core->index()));
    }
    bound->addresses.push_back(tensor->data);
    bound->tensors.push_back(std::move(tensor));
  }
  return NRT_SUCCESS;
}

struct Span {
  const uint8_t* begin;
  const uint8_t* end;
  int variable;
  bool output;
};

// An output may share memory with nothing but the input that it aliases, and that exactly.
NRT_STATUS CheckOverlap(const char* function, nrt_model& model, const Bound& in, const Bound& out) {
  {
    std::lock_guard<std::mutex> lock(model.mutex);
    if (std::equal(in.addresses.begin(), in.addresses.end(), model.checked_inputs.begin(),
                   model.checked_inputs.end()) &&
        out.addresses == model.checked_outputs) {
      return NRT_SUCCESS;
    }
  }
  const auto& variables = model.program->neff().program.variables;
  std::vector<Span> spans;
  auto add = [&](const std::vector<int>& indices, const Bound& bound, bool output) {
    for (size_t i = 0; i < indices.size(); ++i) {
      const int64_t bytes = variables[indices[i]].bytes;
      if (bytes > 0) {
        spans.push_back({bound.addresses[i], bound.addresses[i] + bytes, indices[i], output});
      }
    }
  };
  add(model.inputs, in, false);
  add(model.outputs, out, true);
  std::sort(spans.begin(), spans.end(),
            [](const Span& a, const Span& b) { return a.begin < b.begin; });
  const Span* furthest = nullptr;         // of all before
  const Span* furthest_output = nullptr;  // of the outputs before
  auto allowed = [&](const Span& a, const Span& b) {
    if (!a.output && !b.output) return true;
    if (a.output == b.output || a.begin != b.begin || a.end != b.end) return false;
    const Span& output = a.output ? a : b;
    const Span& input = a.output ? b : a;
    return variables[output.variable].alias == input.variable;
  };
  for (const Span& span : spans) {
    for (const Span* other : {span.output ? furthest : nullptr, furthest_output}) {
      if (other != nullptr && other->end > span.begin && !allowed(*other, span)) {
        return Fail(NRT_EXEC_BAD_INPUT,
                    absl::StrCat(function, ": '", variables[other->variable].name, "' and '",
                                 variables[span.variable].name,
                                 "' overlap in memory, and one of them is an output"));
      }
    }
    if (furthest == nullptr || span.end > furthest->end) furthest = &span;
    if (span.output && (furthest_output == nullptr || span.end > furthest_output->end)) {
      furthest_output = &span;
    }
  }
  std::lock_guard<std::mutex> lock(model.mutex);
  model.checked_inputs.assign(in.addresses.begin(), in.addresses.end());
  model.checked_outputs = out.addresses;
  return NRT_SUCCESS;
}

NRT_STATUS Execute(const char* function, nrt_model_t* handle, const nrt_tensor_set_t* input_set,
                   nrt_tensor_set_t* output_set, int repeat_count) {
  if (NRT_STATUS open = CheckOpen(function); open != NRT_SUCCESS) return open;
  if (repeat_count < 1) {
    return Fail(NRT_INVALID, absl::StrCat(function, ": repeat_count is ", repeat_count));
  }
  auto model = GetState().models.Get(handle);
  if (model == nullptr) return FailHandle(function, "model");
  Bound in;
  Bound out;
  NRT_STATUS status = Bind(function, *model, model->inputs, "input", input_set, &in);
  if (status != NRT_SUCCESS) return status;
  status = Bind(function, *model, model->outputs, "output", output_set, &out);
  if (status != NRT_SUCCESS) return status;
  status = CheckOverlap(function, *model, in, out);
  if (status != NRT_SUCCESS) return status;

  std::vector<uint64_t> versions;
  versions.reserve(in.tensors.size());
  for (const auto& tensor : in.tensors) {
    const bool known = tensor->weight && !tensor->contents->exposed;
    versions.push_back(known ? tensor->contents->version.load() : 0);
  }
  for (const auto& tensor : out.tensors) tensor->contents->Changed();
  for (int i = 0; i < repeat_count; ++i) {
    const Inspector::Clock::time_point start =
        model->inspector == nullptr ? Inspector::Clock::time_point() : Inspector::Clock::now();
    auto run = model->program->Run(
        absl::MakeConstSpan(const_cast<const uint8_t* const*>(in.addresses.data()),
                            in.addresses.size()),
        absl::MakeConstSpan(out.addresses), versions);
    if (!run.ok()) return FromStatus(function, run.status());
    if (model->inspector != nullptr) {
      model->inspector->NoteRun(model->inspect_name, start, run->simulated_ps);
    }
    std::lock_guard<std::mutex> lock(model->mutex);
    ++model->executions;
    model->last_simulated_ps = run->simulated_ps;
  }
  for (const auto& tensor : out.tensors) {
    std::lock_guard<std::mutex> lock(tensor->mutex);
    tensor->completed += repeat_count;
    tensor->changed.notify_all();
  }
  return NRT_SUCCESS;
}

// Sets *result from the model behind the handle.
template <typename T, typename Get>
NRT_STATUS Ask(const char* function, const nrt_model_t* handle, T* result, Get get) {
  if (NRT_STATUS open = CheckOpen(function); open != NRT_SUCCESS) return open;
  auto model = GetState().models.Get(handle);
  if (model == nullptr) return FailHandle(function, "model");
  if (result == nullptr) return Fail(NRT_INVALID, absl::StrCat(function, ": the result is null"));
  *result = get(*model);
  return NRT_SUCCESS;
}

nrt_dtype_t NrtType(DType type) {
  switch (type) {
    case DType::kPred:
    case DType::kU8:
      return NRT_DTYPE_UINT8;
    case DType::kI8:
      return NRT_DTYPE_INT8;
    case DType::kU16:
      return NRT_DTYPE_UINT16;
    case DType::kI16:
      return NRT_DTYPE_INT16;
    case DType::kU32:
      return NRT_DTYPE_UINT32;
    case DType::kI32:
      return NRT_DTYPE_INT32;
    case DType::kU64:
      return NRT_DTYPE_UINT64;
    case DType::kI64:
      return NRT_DTYPE_INT64;
    case DType::kF32:
      return NRT_DTYPE_FLOAT32;
    case DType::kBf16:
      return NRT_DTYPE_BFLOAT16;
    case DType::kF16:
      return NRT_DTYPE_FLOAT16;
  }
  return NRT_DTYPE_UNKNOWN;
}

void Describe(const Variable& variable, nrt_tensor_usage_t usage, nrt_tensor_info_t* info) {
  const size_t length = std::min(variable.name.size(), sizeof(info->name) - 1);
  std::memcpy(info->name, variable.name.data(), length);
  info->usage = usage;
  info->size = static_cast<size_t>(variable.bytes);
  info->dtype = NrtType(variable.dtype);
  info->ndim = static_cast<uint32_t>(variable.shape.size());
  info->shape = static_cast<uint32_t*>(std::calloc(std::max<size_t>(info->ndim, 1), sizeof(uint32_t)));
  for (uint32_t d = 0; info->shape != nullptr && d < info->ndim; ++d) {
    info->shape[d] = static_cast<uint32_t>(variable.shape[d]);
  }
}

}  // namespace

NRT_STATUS nrt_load(const void* neff_bytes, size_t size, int32_t vnc, int32_t /*vnc_count*/,
                    nrt_model_t** model) {
  constexpr char kFunction[] = "nrt_load";
  if (NRT_STATUS status = CheckLoad(kFunction, neff_bytes, model); status != NRT_SUCCESS) {
    return status;
  }
  return Load(kFunction, Blob::FromString(std::string(static_cast<const char*>(neff_bytes), size)),
              vnc, model);
}

NRT_STATUS glia_nrt_load_view(const void* neff_bytes, size_t size, int32_t vnc,
                              void (*release)(void* context), void* context, nrt_model_t** model) {
  constexpr char kFunction[] = "glia_nrt_load_view";
  std::shared_ptr<const void> owner(neff_bytes, [release, context](const void*) {
    if (release != nullptr) release(context);
  });
  if (NRT_STATUS status = CheckLoad(kFunction, neff_bytes, model); status != NRT_SUCCESS) {
    return status;
  }
  return Load(kFunction, Blob::View(std::move(owner), neff_bytes, size), vnc, model);
}

NRT_STATUS nrt_unload(nrt_model_t* model) {
  constexpr char kFunction[] = "nrt_unload";
  if (NRT_STATUS open = CheckOpen(kFunction); open != NRT_SUCCESS) return open;
  // A run in another thread holds the model until it ends.
  if (GetState().models.Take(model) == nullptr) return FailHandle(kFunction, "model");
  return NRT_SUCCESS;
}

NRT_STATUS nrt_execute(nrt_model_t* model, const nrt_tensor_set_t* input_set,
                       nrt_tensor_set_t* output_set) {
  return Execute("nrt_execute", model, input_set, output_set, 1);
}

NRT_STATUS nrt_execute_repeat(nrt_model_t* model, const nrt_tensor_set_t* input_set,
                              nrt_tensor_set_t* output_set, int repeat_count) {
  return Execute("nrt_execute_repeat", model, input_set, output_set, repeat_count);
}

NRT_STATUS nrt_get_model_nc_count(const nrt_model_t* model, uint32_t* vnc_count) {
  return Ask("nrt_get_model_nc_count", model, vnc_count, [](const nrt_model&) { return 1u; });
}

NRT_STATUS nrt_get_model_vnc_count(const nrt_model_t* model, uint32_t* vnc_count) {
  return Ask("nrt_get_model_vnc_count", model, vnc_count, [](const nrt_model&) { return 1u; });
}

NRT_STATUS nrt_get_model_instance_count(nrt_model_t* model, uint32_t* instance_count) {
  return Ask("nrt_get_model_instance_count", model, instance_count,
             [](const nrt_model&) { return 1u; });
}

NRT_STATUS nrt_get_model_info(const nrt_model_t* model, nrt_model_info_t* info, size_t info_size_in,
                              size_t* info_size_out) {
  nrt_model_info_t value = {};
  const NRT_STATUS status = Ask("nrt_get_model_info", model, &value, [](const nrt_model& m) {
    return nrt_model_info_t{m.vnc};
  });
  if (status != NRT_SUCCESS) return status;
  if (info == nullptr) return Fail(NRT_INVALID, "nrt_get_model_info: the result is null");
  const size_t size = std::min(info_size_in, sizeof(value));
  std::memcpy(info, &value, size);
  if (info_size_out != nullptr) *info_size_out = size;
  return NRT_SUCCESS;
}

NRT_STATUS nrt_get_model_tensor_info(nrt_model_t* model, nrt_tensor_info_array_t** tensor_info) {
  return Ask("nrt_get_model_tensor_info", model, tensor_info, [](const nrt_model& m) {
    const size_t count = m.inputs.size() + m.outputs.size();
    auto* array = static_cast<nrt_tensor_info_array_t*>(
        std::calloc(1, sizeof(nrt_tensor_info_array_t) + count * sizeof(nrt_tensor_info_t)));
    if (array == nullptr) return array;
    array->tensor_count = count;
    nrt_tensor_info_t* next = array->tensor_array;
    const auto& variables = m.program->neff().program.variables;
    for (int i : m.inputs) Describe(variables[i], NRT_TENSOR_USAGE_INPUT, next++);
    for (int i : m.outputs) Describe(variables[i], NRT_TENSOR_USAGE_OUTPUT, next++);
    return array;
  });
}

NRT_STATUS nrt_free_model_tensor_info(nrt_tensor_info_array_t* tensor_info) {
  if (tensor_info == nullptr) return NRT_SUCCESS;
  for (uint64_t i = 0; i < tensor_info->tensor_count; ++i) {
    std::free(tensor_info->tensor_array[i].shape);
  }
  std::free(tensor_info);
  return NRT_SUCCESS;
}

NRT_STATUS glia_nrt_get_model_statistics(const nrt_model_t* model,
                                         glia_nrt_model_statistics_t* statistics) {
  return Ask("glia_nrt_get_model_statistics", model, statistics, [](const nrt_model& m) {
    glia_nrt_model_statistics_t s = glia::runtime::MemoryStatistics(m.program->memory());
    std::lock_guard<std::mutex> lock(m.mutex);
    s.executions = m.executions;
    s.last_simulated_ps = static_cast<uint64_t>(m.last_simulated_ps);
    return s;
  });
}
