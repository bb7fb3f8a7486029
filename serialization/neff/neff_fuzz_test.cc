// Fuzz target: the bytes of a NEFF, as they are and with a hash that fits them.
#include <string>

#include "serialization/isa/disassemble.h"
#include "serialization/isa/testing/programs.h"
#include "serialization/neff/neff.h"
#include "serialization/neff/neff_testing.h"
#include "serialization/testing/fuzz.h"

namespace glia {

std::vector<std::string> FuzzSeeds() {
  neff::Neff sample;
  sample.program = isa::testing::MatmulProgram();
  sample.files["w.bin"] = neff::Blob::FromString(std::string(16 * 64 * 4, 'w'));
  sample.info = {{"compiler", "glia"}};
  neff::Neff empty;
  empty.program.segments.resize(1);
  return {*neff::Write(sample), *neff::Write(empty)};
}

}  // namespace glia

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using namespace glia;  // NOLINT: the function cannot be in it
  std::string bytes(reinterpret_cast<const char*>(data), size);
  const auto entries = neff::ListArchive(neff::Blob::FromString(bytes));
  if (entries.ok()) {
    for (const neff::ArchiveEntry& e : *entries) GLIA_FUZZ_CHECK(e.offset + e.size <= size);
  }
  (void)neff::Read(neff::Blob::FromString(bytes));
  if (size < 1024) return 0;
  const auto read = neff::Read(neff::Blob::FromString(neff::Rehashed(std::move(bytes))));
  if (!read.ok()) return 0;
  (void)isa::Disassemble((*read)->program);
  // What can be read can be written, and read again.
  const auto written = neff::Write(**read);
  if (written.ok()) GLIA_FUZZ_CHECK(neff::Read(neff::Blob::FromString(*written)).ok());
  return 0;
}
