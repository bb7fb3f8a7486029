// glia compile: TorchScript in, traced module out.
#include <torch/csrc/jit/api/module.h>
#include <torch/csrc/jit/serialization/export.h>

#include <cstdio>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "frontend/trace.h"
#include "tools/arguments.h"
#include "tools/commands.h"
#include "tools/files.h"
#include "tools/inputs.h"
#include "tools/load.h"

namespace glia::tools {
namespace {

const std::vector<OptionSpec>& Options() {
  static const auto* const options = new std::vector<OptionSpec>{
      {"--input", "TYPE[SHAPE]|FILE.npy",
       "an input, as f32[1,784] (zeros) or as data; once for each"},
      {"--output", "FILE.pt", "where the traced module goes"},
      {"--name", "NAME", "of the NEFF (default: the model's)"},
      {"--dynamic-batch", nullptr, "the module takes any batch size (dimension 0)"},
      {"--partition", nullptr, "operators that the device refuses run on the CPU"},
      {"--keep-weights", nullptr, "weights stay beside the NEFF instead of inside"},
      {"--dump", "DIRECTORY", "write the HLO before and after each compiler pass"},
  };
  return *options;
}

}  // namespace

std::string CompileUsage() {
  return absl::StrCat(
      "compile MODEL.pt --input TYPE[SHAPE] ... --output OUT.pt [-- NEURONX-CC OPTIONS]\n",
      DescribeOptions(Options()), "glia ", CompileHloUsage());
}

int Compile(const std::vector<std::string>& words) {
  const Arguments arguments(Options(), words);
  if (arguments.positional().size() != 1 || !arguments.Has("--output")) {
    throw std::runtime_error("usage: glia " + CompileUsage());
  }
  // What is to come out tells what goes in; HLO takes a part of the options.
  if (absl::EndsWith(arguments.Get("--output"), ".neff")) return CompileHlo(words);
  const torch::jit::Module model = LoadModule(arguments.positional()[0]);
  TraceOptions options;
  options.compiler_args = arguments.rest();
  options.compiler_workdir = UserPath(arguments.Get("--dump"));
  options.inline_weights_to_neff = !arguments.Has("--keep-weights");
  options.name = arguments.Get("--name");
  if (arguments.Has("--partition")) options.partitioner_config.emplace();
  TraceReport report;
  torch::jit::Module traced =
      trace(model, ExampleInputs(arguments.All("--input")), options, &report);
  if (arguments.Has("--dynamic-batch")) traced = dynamic_batch(traced);

  WriteWholeFile(arguments.Get("--output"), [&](const AppendFn& append) {
    torch::jit::ExportModule(traced, [&](const void* bytes, size_t size) {
      append(bytes, size);
      return size;
    });
  });
  std::printf("%s: %lld operators, %lld instructions, NEFF of %lld bytes, compiled in %.1f ms\n",
              arguments.Get("--output").c_str(), static_cast<long long>(report.operators),
              static_cast<long long>(report.instructions),
              static_cast<long long>(report.neff_bytes), report.compile_ms);
  return 0;
}

}  // namespace glia::tools
