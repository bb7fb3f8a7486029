// Fuzz target: the bytes of a NEFF with a hash that fits them. A program that loads runs on both
// executors, which end alike.
#include <algorithm>
#include <memory>
#include <string>
#include <vector>

#include "device_sim/device.h"
#include "serialization/isa/testing/programs.h"
#include "serialization/neff/neff.h"
#include "serialization/neff/neff_testing.h"
#include "serialization/testing/fuzz.h"

namespace glia {
namespace {

constexpr int64_t kHbmBytes = int64_t{1} << 26;

// Such a program may run for ever.
bool Loops(const isa::Program& program) {
  return std::any_of(program.segments.begin(), program.segments.end(), [](const isa::Segment& s) {
    return s.terminator.kind != isa::TerminatorKind::kHalt;
  });
}

bool LoadAndRun(const std::shared_ptr<const neff::Neff>& neff, device::ExecutorKind kind) {
  const auto loaded = device::Core::Create(0, kHbmBytes)->Load(neff, kind);
  if (!loaded.ok()) return false;
  if (Loops(neff->program)) return true;
  std::vector<std::vector<uint8_t>> buffers;
  std::vector<const uint8_t*> inputs;
  std::vector<uint8_t*> outputs;
  for (const isa::Variable& v : neff->program.variables) {
    const bool input = v.kind == isa::VariableKind::kInput;
    if (!input && v.kind != isa::VariableKind::kOutput) continue;
    buffers.emplace_back(static_cast<size_t>(v.bytes) + 1);
    (input ? inputs.emplace_back(buffers.back().data())
           : outputs.emplace_back(buffers.back().data()));
  }
  (void)(*loaded)->Run(inputs, outputs);
  return true;
}

}  // namespace

std::vector<std::string> FuzzSeeds() {
  neff::Neff sample;
  sample.program = isa::testing::MatmulProgram();
  sample.files["w.bin"] = neff::Blob::FromString(std::string(16 * 64 * 4, 'w'));
  return {*neff::Write(sample)};
}

}  // namespace glia

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using namespace glia;  // NOLINT: the function cannot be in it
  if (size < 1024) return 0;
  std::string bytes(reinterpret_cast<const char*>(data), size);
  auto read = neff::Read(neff::Blob::FromString(neff::Rehashed(std::move(bytes))));
  if (!read.ok()) return 0;
  const std::shared_ptr<const neff::Neff> neff(*std::move(read));
  const bool fast = LoadAndRun(neff, device::ExecutorKind::kFast);
  GLIA_FUZZ_CHECK(LoadAndRun(neff, device::ExecutorKind::kInterpreter) == fast);
  return 0;
}
