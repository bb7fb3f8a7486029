// glia compile of HLO: a NEFF comes out.
#include <cstdio>
#include <stdexcept>

#include "absl/strings/str_cat.h"
#include "tools/arguments.h"
#include "tools/commands.h"
#include "tools/files.h"

namespace glia::tools {
namespace {

const std::vector<OptionSpec>& Options() {
  static const auto* const options = new std::vector<OptionSpec>{
      {"--output", "FILE.neff", "where the NEFF goes"},
      {"--dump", "DIRECTORY", "write the HLO before and after each compiler pass"},
  };
  return *options;
}

}  // namespace

std::string CompileHloUsage() {
  return absl::StrCat(
      "compile FILE.hlo --output OUT.neff [-- NEURONX-CC OPTIONS]\n"
      "  FILE.hlo: HLO text, or a serialized HloModuleProto, HloProto or HloSnapshot\n",
      DescribeOptions(Options()));
}

int CompileHlo(const std::vector<std::string>& words) {
  const Arguments arguments(Options(), words);
  if (arguments.positional().size() != 1 || !arguments.Has("--output")) {
    throw std::runtime_error("usage: glia " + CompileHloUsage());
  }
  std::vector<std::string> options = arguments.rest();
  if (arguments.Has("--dump"))
    options.push_back(absl::StrCat("--dump=", UserPath(arguments.Get("--dump"))));
  const compiler::CompileResult result = CompileHloFile(arguments.positional()[0], options);
  const std::string output = UserPath(arguments.Get("--output"));
  if (const absl::Status s = neff::WriteFile(result.neff, output); !s.ok()) {
    throw std::runtime_error(absl::StrCat("cannot write '", output, "': ", s.message()));
  }
  const compiler::CompileStatistics& s = result.statistics;
  std::printf(
      "%s: %lld HLO instructions, %lld instructions, %lld DMA descriptors; passes %.1f ms, code "
      "generation "
      "%.1f ms\n",
      arguments.Get("--output").c_str(), static_cast<long long>(s.hlo_instructions_after),
      static_cast<long long>(s.program_instructions), static_cast<long long>(s.dma_descriptors),
      s.passes_ms, s.codegen_ms);
  return 0;
}

}  // namespace glia::tools
