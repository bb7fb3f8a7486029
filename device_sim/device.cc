#include "device_sim/device.h"

#include <algorithm>
#include <atomic>
#include <cstdlib>
#include <mutex>
#include <utility>

#include "absl/strings/str_cat.h"
#include "device_sim/executor.h"
#include "serialization/isa/validate.h"

namespace glia::device {
namespace {

constexpr size_t kAlignment = 64;

// Zeroed and aligned. calloc takes large blocks from fresh pages, which cost nothing until touched; the
// address that free() wants is kept just below the aligned one.
uint8_t* AllocateHost(int64_t bytes) {
  void* block = std::calloc(static_cast<size_t>(bytes) + kAlignment + sizeof(void*), 1);
  if (block == nullptr) return nullptr;
  const auto start = reinterpret_cast<uintptr_t>(block) + sizeof(void*);
  const uintptr_t aligned = (start + kAlignment - 1) / kAlignment * kAlignment;
  reinterpret_cast<void**>(aligned)[-1] = block;
  return reinterpret_cast<uint8_t*>(aligned);
}

void FreeHost(uint8_t* data) { std::free(reinterpret_cast<void**>(data)[-1]); }

class CoreImpl : public Core {
 public:
  CoreImpl(int index, int64_t capacity) : index_(index), capacity_(capacity) {}

  int index() const override { return index_; }
  int64_t hbm_capacity() const override { return capacity_; }
  int64_t hbm_used() const override { return used_.load(); }
  int64_t hbm_peak() const override { return peak_.load(); }

  absl::StatusOr<std::shared_ptr<HbmBuffer>> Allocate(int64_t bytes) override {
    if (bytes < 0) return absl::InvalidArgumentError(absl::StrCat("cannot allocate ", bytes, " bytes"));
    if (absl::Status s = Charge(bytes); !s.ok()) return s;
    uint8_t* data = AllocateHost(bytes);
    if (data == nullptr) {
      Release(bytes);
      return absl::ResourceExhaustedError(
          absl::StrCat("the host has no memory for ", bytes, " bytes of HBM of core ", index_));
    }
    return Wrap(data, bytes, bytes);
  }

  // Adds to the use if the capacity allows.
  absl::Status Charge(int64_t bytes) {
    int64_t used = used_.load();
    do {
      if (bytes > capacity_ - used) {
        return absl::ResourceExhaustedError(absl::StrCat(
            "core ", index_, " is out of device memory: ", bytes, " bytes needed, ", used, " of ", capacity_,
            " in use. Free tensors, unload models, or use a smaller batch"));
      }
    } while (!used_.compare_exchange_weak(used, used + bytes));
    int64_t peak = peak_.load();
    while (peak < used + bytes && !peak_.compare_exchange_weak(peak, used + bytes)) {
    }
    return absl::OkStatus();
  }

  void Release(int64_t charged) override { used_.fetch_sub(charged); }

  absl::StatusOr<std::unique_ptr<LoadedProgram>> Load(std::shared_ptr<const neff::Neff> neff,
                                                      ExecutorKind kind) override;

  std::mutex& run_mutex() { return run_mutex_; }

 private:
  const int index_;
  const int64_t capacity_;
  std::atomic<int64_t> used_{0};
  std::atomic<int64_t> peak_{0};
  std::mutex run_mutex_;  // one program at a time
};

// Part of a core's memory without a buffer of its own.
class Reservation {
 public:
  Reservation() = default;
  Reservation(std::shared_ptr<CoreImpl> core, int64_t bytes) : core_(std::move(core)), bytes_(bytes) {}
  Reservation(Reservation&& other) noexcept
      : core_(std::move(other.core_)), bytes_(std::exchange(other.bytes_, 0)) {}
  Reservation& operator=(Reservation&& other) noexcept {
    std::swap(core_, other.core_);
    std::swap(bytes_, other.bytes_);
    return *this;
  }
  ~Reservation() {
    if (core_ != nullptr) ReleaseOn(core_.get(), bytes_);
  }

 private:
  static void ReleaseOn(CoreImpl* core, int64_t bytes) { core->Release(bytes); }
  std::shared_ptr<CoreImpl> core_;
  int64_t bytes_ = 0;
};

struct HostDeleter {
  void operator()(uint8_t* p) const { FreeHost(p); }
};
using HostBlock = std::unique_ptr<uint8_t, HostDeleter>;

MemoryUse MeasureMemory(const neff::Neff& neff) {
  MemoryUse memory;
  memory.hbm_scratch_bytes = neff.program.scratch_bytes;
  std::vector<absl::string_view> files;
  for (const isa::Variable& v : neff.program.variables) {
    if (v.kind == isa::VariableKind::kStateBuffer) {
      memory.sbuf_peak_bytes_per_partition =
          std::max(memory.sbuf_peak_bytes_per_partition, v.address + v.partition_bytes);
    } else if (v.kind == isa::VariableKind::kPsum) {
      memory.psum_peak_bytes_per_partition =
          std::max(memory.psum_peak_bytes_per_partition, v.address + v.partition_bytes);
    } else if (v.kind == isa::VariableKind::kFile) {
      files.push_back(v.file);
    }
    if (v.kind == isa::VariableKind::kInput || (v.kind == isa::VariableKind::kOutput && v.alias < 0)) {
      memory.hbm_io_bytes += v.bytes;
    }
  }
  // Variables may share a file: its bytes are on the device once.
  std::sort(files.begin(), files.end());
  files.erase(std::unique(files.begin(), files.end()), files.end());
  for (const absl::string_view file : files) {
    const auto it = neff.files.find(std::string(file));
    if (it != neff.files.end()) memory.hbm_constant_bytes += static_cast<int64_t>(it->second.size());
  }
  return memory;
}

class LoadedProgramImpl : public LoadedProgram {
 public:
  LoadedProgramImpl(std::shared_ptr<CoreImpl> core, std::shared_ptr<const neff::Neff> neff)
      : core_(std::move(core)), neff_(std::move(neff)), bindings_(program().variables.size(), nullptr),
        versions_(program().variables.size(), 0) {}

  absl::Status Prepare(ExecutorKind kind) {
    if (absl::Status s = isa::Validate(program()); !s.ok()) return s;
    if (absl::Status s = CheckRaces(program()); !s.ok()) return s;
    timing_ = ComputeTiming(program());
    memory_ = MeasureMemory(*neff_);
    for (size_t i = 0; i < program().variables.size(); ++i) {
      const isa::VariableKind kind = program().variables[i].kind;
      if (kind == isa::VariableKind::kInput) inputs_.push_back(i);
      if (kind == isa::VariableKind::kOutput) outputs_.push_back(i);
    }
    const int64_t charge = memory_.hbm_constant_bytes + memory_.hbm_scratch_bytes;
    if (absl::Status s = core_->Charge(charge); !s.ok()) {
      return absl::Status(s.code(), absl::StrCat("loading '", program().name, "': ", s.message()));
    }
    reservation_ = Reservation(core_, charge);
    if (absl::Status s = BindFixed(); !s.ok()) return s;
    auto executor = kind == ExecutorKind::kInterpreter
                        ? MakeInterpreter(program(), timing_)
                        : MakeFastExecutor(program(), timing_, {constants_.data(), constants_.size()});
    if (!executor.ok()) return executor.status();
    executor_ = *std::move(executor);
    return absl::OkStatus();
  }

  const neff::Neff& neff() const override { return *neff_; }
  const ProgramTiming& timing() const override { return timing_; }
  const MemoryUse& memory() const override { return memory_; }

  absl::StatusOr<RunStatistics> Run(absl::Span<const uint8_t* const> inputs,
                                    absl::Span<uint8_t* const> outputs,
                                    absl::Span<const uint64_t> versions) override {
    if (inputs.size() != inputs_.size() || outputs.size() != outputs_.size()) {
      return absl::InvalidArgumentError(absl::StrCat(
          "program '", program().name, "' takes ", inputs_.size(), " inputs and ", outputs_.size(),
          " outputs; given are ", inputs.size(), " and ", outputs.size()));
    }
    if (!versions.empty() && versions.size() != inputs.size()) {
      return absl::InvalidArgumentError(absl::StrCat(
          "program '", program().name, "' takes ", inputs.size(), " inputs; given are ", versions.size(),
          " versions"));
    }
    const std::lock_guard<std::mutex> lock(core_->run_mutex());
    // Only aliased outputs write inputs, and the program cannot name them otherwise.
    for (size_t i = 0; i < inputs.size(); ++i) bindings_[inputs_[i]] = const_cast<uint8_t*>(inputs[i]);
    for (size_t i = 0; i < outputs.size(); ++i) bindings_[outputs_[i]] = outputs[i];
    if (absl::Status s = CheckBindings(); !s.ok()) return s;
    if (versions.empty()) return executor_->Run(bindings_);
    for (size_t i = 0; i < inputs.size(); ++i) versions_[inputs_[i]] = versions[i];
    for (const size_t o : outputs_) {
      if (program().variables[o].alias >= 0) versions_[program().variables[o].alias] = 0;
    }
    return executor_->Run(bindings_, versions_);
  }

 private:
  const isa::Program& program() const { return neff_->program; }

  // Addresses that are the same in every run: constants and scratch.
  absl::Status BindFixed() {
    constants_.assign(program().variables.size(), nullptr);
    scratch_.reset(AllocateHost(program().scratch_bytes));
    if (scratch_ == nullptr) return absl::ResourceExhaustedError("the host has no memory for the scratch area");
    for (size_t i = 0; i < program().variables.size(); ++i) {
      const isa::Variable& v = program().variables[i];
      if (v.kind == isa::VariableKind::kTmpBuf) bindings_[i] = scratch_.get() + v.hbm_offset;
      if (v.kind != isa::VariableKind::kFile) continue;
      const auto it = neff_->files.find(v.file);
      if (it == neff_->files.end() || static_cast<int64_t>(it->second.size()) != v.bytes) {
        return absl::InvalidArgumentError(
            absl::StrCat("variable '", v.name, "' needs ", v.bytes, " bytes of file '", v.file, "'; the NEFF has ",
                         it == neff_->files.end() ? "no such file" : absl::StrCat(it->second.size())));
      }
      const uint8_t* data = it->second.data();
      if (reinterpret_cast<uintptr_t>(data) % kAlignment != 0 || data == nullptr) {
        HostBlock copy(AllocateHost(v.bytes));
        if (copy == nullptr) return absl::ResourceExhaustedError("the host has no memory for the constants");
        std::copy(data, data + v.bytes, copy.get());
        data = copy.get();
        copies_.push_back(std::move(copy));
      }
      constants_[i] = data;
      bindings_[i] = const_cast<uint8_t*>(data);  // kFile variables are never written: Validate
    }
    return absl::OkStatus();
  }

  // Every address is there; outputs meet nothing but the inputs that they alias.
  absl::Status CheckBindings() const {
    const auto& variables = program().variables;
    const auto check = [&](size_t i) {
      if (bindings_[i] != nullptr || variables[i].bytes == 0) return absl::OkStatus();
      return absl::InvalidArgumentError(absl::StrCat("no address for '", variables[i].name, "'"));
    };
    for (const size_t i : inputs_) {
      if (absl::Status s = check(i); !s.ok()) return s;
    }
    // Sorted by address, neighbours decide whether outputs overlap anything.
    struct Range {
      const uint8_t* start;
      const uint8_t* end;
      size_t variable;
      bool output;
    };
    std::vector<Range> ranges;
    const auto add = [&](size_t i, bool output) {
      if (variables[i].bytes > 0) ranges.push_back({bindings_[i], bindings_[i] + variables[i].bytes, i, output});
    };
    for (const size_t i : inputs_) add(i, false);
    for (const size_t o : outputs_) {
      if (absl::Status s = check(o); !s.ok()) return s;
      const int32_t alias = variables[o].alias;
      if (alias < 0) {
        add(o, true);
      } else if (bindings_[o] != bindings_[alias]) {
        return absl::InvalidArgumentError(absl::StrCat("output '", variables[o].name, "' shares the buffer of input '",
                                                       variables[alias].name, "', but is bound elsewhere"));
      }
    }
    std::sort(ranges.begin(), ranges.end(), [](const Range& a, const Range& b) { return a.start < b.start; });
    const Range* any = nullptr;     // of those before, the one that ends last
    const Range* output = nullptr;  // likewise of the outputs
    for (const Range& r : ranges) {
      const Range* other = r.output ? any : output;
      if (other != nullptr && other->end > r.start) {
        return absl::InvalidArgumentError(absl::StrCat("the buffers of '", variables[other->variable].name, "' and '",
                                                       variables[r.variable].name,
                                                       "' overlap, and one of them is an output"));
      }
      if (any == nullptr || r.end > any->end) any = &r;
      if (r.output && (output == nullptr || r.end > output->end)) output = &r;
    }
    return absl::OkStatus();
  }

  const std::shared_ptr<CoreImpl> core_;
  const std::shared_ptr<const neff::Neff> neff_;
  ProgramTiming timing_;
  MemoryUse memory_;
  Reservation reservation_;
  std::vector<size_t> inputs_, outputs_;  // indices of variables
  HostBlock scratch_;
  std::vector<HostBlock> copies_;
  std::vector<const uint8_t*> constants_;
  // Of the run under way, by variable.
  std::vector<uint8_t*> bindings_;
  std::vector<uint64_t> versions_;
  std::unique_ptr<Executor> executor_;
};

absl::StatusOr<std::unique_ptr<LoadedProgram>> CoreImpl::Load(std::shared_ptr<const neff::Neff> neff,
                                                              ExecutorKind kind) {
  if (neff == nullptr) return absl::InvalidArgumentError("no NEFF to load");
  auto program = std::make_unique<LoadedProgramImpl>(std::static_pointer_cast<CoreImpl>(shared_from_this()),
                                                     std::move(neff));
  if (absl::Status s = program->Prepare(kind); !s.ok()) return s;
  return std::unique_ptr<LoadedProgram>(std::move(program));
}

}  // namespace

HbmBuffer::HbmBuffer(std::shared_ptr<Core> core, uint8_t* data, int64_t size, int64_t charged)
    : core_(std::move(core)), data_(data), size_(size), charged_(charged) {}

HbmBuffer::~HbmBuffer() {
  FreeHost(data_);
  core_->Release(charged_);
}

std::shared_ptr<HbmBuffer> Core::Wrap(uint8_t* data, int64_t size, int64_t charged) {
  return std::shared_ptr<HbmBuffer>(new HbmBuffer(shared_from_this(), data, size, charged));
}

std::shared_ptr<Core> Core::Create(int index, int64_t hbm_bytes) {
  return std::make_shared<CoreImpl>(index, hbm_bytes);
}

absl::StatusOr<ProgramProfile> ProfileProgram(const neff::Neff& neff) {
  if (absl::Status s = isa::Validate(neff.program); !s.ok()) return s;
  if (absl::Status s = CheckRaces(neff.program); !s.ok()) return s;
  ProgramProfile profile;
  profile.timing = ComputeTiming(neff.program, &profile.trace);
  profile.memory = MeasureMemory(neff);
  return profile;
}

absl::StatusOr<ExecutorKind> ExecutorKindFromEnvironment() {
  const char* value = std::getenv("GLIA_DEVICE");
  const std::string name = value == nullptr ? "" : value;
  if (name.empty() || name == "fast") return ExecutorKind::kFast;
  if (name == "interpreter") return ExecutorKind::kInterpreter;
  return absl::InvalidArgumentError(
      absl::StrCat("GLIA_DEVICE is '", name, "'; allowed are 'fast' (the default) and 'interpreter'"));
}

}  // namespace glia::device
