// glia inspect: what a NEFF holds.
#include <array>
#include <cstdio>
#include <map>
#include <stdexcept>
#include <utility>

#include "absl/status/status.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "nrt/nrt.h"
#include "nrt/nrt_glia.h"
#include "serialization/isa/disassemble.h"
#include "serialization/isa/table.h"
#include "serialization/neff/neff.h"
#include "tools/arguments.h"
#include "tools/commands.h"

namespace glia::tools {
namespace {

std::string Hex(const uint8_t* bytes, size_t size) {
  std::string text;
  for (size_t i = 0; i < size; ++i) absl::StrAppend(&text, absl::Hex(bytes[i], absl::kZeroPad2));
  return text;
}

void PrintHeader(const neff::Header& h) {
  std::printf("header\n");
  std::printf("  name           %s\n", h.name.c_str());
  std::printf("  made by        %s\n", h.build_version.c_str());
  std::printf("  NEFF version   %llu.%llu, package version %llu\n",
              static_cast<unsigned long long>(h.version_major),
              static_cast<unsigned long long>(h.version_minor),
              static_cast<unsigned long long>(h.pkg_version));
  std::printf("  uuid           %s\n", Hex(h.uuid.data(), h.uuid.size()).c_str());
  std::printf("  hash           %s\n", Hex(h.hash.data(), h.hash.size()).c_str());
  std::printf("  cores          %u (requested %u), feature bits 0x%llx\n", h.num_tpb,
              h.requested_tpb_count, static_cast<unsigned long long>(h.feature_bits));
}

void PrintTensors(const isa::Program& program, isa::VariableKind kind) {
  for (const isa::Variable& v : program.variables) {
    if (v.kind != kind) continue;
    const isa::DTypeInfo* dtype = isa::FindDType(v.dtype);
    std::printf("  %-8s %-32s %s[%s]  %lld bytes\n", isa::VariableKindName(v.kind), v.name.c_str(),
                dtype == nullptr ? "?" : dtype->name, absl::StrJoin(v.shape, ",").c_str(),
                static_cast<long long>(v.bytes));
  }
}

void PrintInstructionCounts(const isa::Program& program) {
  std::printf("instructions (%zu segments, %zu DMA descriptors, %zu queues)\n",
              program.segments.size(), program.dmas.size(), program.queues.size());
  for (int e = 0; e < isa::kEngines; ++e) {
    std::map<std::string, int64_t> counts;
    int64_t total = 0;
    for (const isa::Segment& segment : program.segments) {
      for (const isa::Instruction& instruction : segment.streams[static_cast<size_t>(e)]) {
        const isa::InstructionInfo* info = isa::FindInstruction(instruction.opcode);
        ++counts[info == nullptr ? "?" : info->name];
        ++total;
      }
    }
    std::vector<std::string> parts;
    for (const auto& [name, count] : counts) parts.push_back(absl::StrCat(name, " ", count));
    std::printf("  %-5s %6lld  %s\n", isa::EngineName(static_cast<isa::Engine>(e)),
                static_cast<long long>(total), absl::StrJoin(parts, ", ").c_str());
  }
}

// Loads the NEFF onto a simulated core, which knows its memory and time.
void PrintCost(const neff::Blob& bytes) {
  nrt_model_t* model = nullptr;
  glia_nrt_model_statistics_t s = {};
  if (nrt_init(NRT_FRAMEWORK_TYPE_NO_FW, "", "") != NRT_SUCCESS ||
      glia_nrt_load_view(bytes.data(), bytes.size(), -1, nullptr, nullptr, &model) != NRT_SUCCESS ||
      glia_nrt_get_model_statistics(model, &s) != NRT_SUCCESS) {
    throw std::runtime_error(glia_nrt_last_error());
  }
  nrt_unload(model);
  std::printf("memory\n");
  std::printf(
      "  HBM            %llu bytes of constants, %llu of scratch, %llu of inputs and outputs\n",
      static_cast<unsigned long long>(s.hbm_constant_bytes),
      static_cast<unsigned long long>(s.hbm_scratch_bytes),
      static_cast<unsigned long long>(s.hbm_io_bytes));
  std::printf("  a partition    SBUF %llu of %lld bytes, PSUM %llu of %lld\n",
              static_cast<unsigned long long>(s.sbuf_peak_bytes),
              static_cast<long long>(isa::kSbufPartitionBytes),
              static_cast<unsigned long long>(s.psum_peak_bytes),
              static_cast<long long>(isa::kPsumPartitionBytes));
  std::printf("simulated time   %.6f us (each segment once)\n",
              static_cast<double>(s.last_simulated_ps) * 1e-6);
}

[[noreturn]] void Fail(const std::string& path, const absl::Status& status) {
  throw std::runtime_error(absl::StrCat(path, ": ", status.message()));
}

}  // namespace

void PrintNeff(const std::string& path, const neff::Blob& bytes, bool disassemble) {
  auto header = neff::ReadHeader(bytes.view());
  if (!header.ok()) Fail(path, header.status());
  PrintHeader(*header);
  auto entries = neff::ListArchive(bytes);
  if (!entries.ok()) Fail(path, entries.status());
  std::printf("archive\n");
  for (const neff::ArchiveEntry& entry : *entries) {
    std::printf("  %12zu  %s\n", entry.size, entry.name.c_str());
  }
  if (!header->is_glia()) {
    std::printf(
        "made by another compiler: the engines' encodings are not public, so its programs "
        "cannot be shown or run here\n");
    return;
  }
  auto neff = neff::Read(bytes);
  if (!neff.ok()) Fail(path, neff.status());
  const isa::Program& program = (*neff)->program;
  if (!(*neff)->info.empty()) {
    std::printf("info\n");
    for (const auto& [key, value] : (*neff)->info) {
      std::printf("  %-14s %s\n", key.c_str(), value.c_str());
    }
  }
  std::printf("tensors\n");
  for (isa::VariableKind kind :
       {isa::VariableKind::kInput, isa::VariableKind::kOutput, isa::VariableKind::kFile}) {
    PrintTensors(program, kind);
  }
  PrintInstructionCounts(program);
  PrintCost(bytes);
  if (disassemble) std::printf("\n%s", isa::Disassemble(program).c_str());
}

const std::vector<OptionSpec>& InspectOptions() {
  static const auto* const options = new std::vector<OptionSpec>{
      {"--disassemble", nullptr, "print the programs too"},
  };
  return *options;
}

std::string InspectUsage() {
  return absl::StrCat("inspect FILE\n", DescribeOptions(InspectOptions()));
}

int InspectNeffFile(const std::vector<std::string>& words) {
  const Arguments arguments(InspectOptions(), words);
  if (arguments.positional().size() != 1) throw std::runtime_error("usage: glia " + InspectUsage());
  const std::string path = UserPath(arguments.positional()[0]);
  const auto file = neff::Blob::MapFile(path);
  if (!file.ok()) throw std::runtime_error(std::string(file.status().message()));
  PrintNeff(path, *file, arguments.Has("--disassemble"));
  return 0;
}

}  // namespace glia::tools
