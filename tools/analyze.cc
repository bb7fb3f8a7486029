// glia analyze: which operators of a TorchScript file the device supports.
#include "frontend/analyze.h"

#include <cstdio>
#include <stdexcept>

#include "absl/strings/str_cat.h"
#include "tools/arguments.h"
#include "tools/commands.h"
#include "tools/inputs.h"
#include "tools/load.h"

namespace glia::tools {
namespace {

const std::vector<OptionSpec>& Options() {
  static const auto* const options = new std::vector<OptionSpec>{
      {"--input", "TYPE[SHAPE]|FILE.npy",
       "an input, as f32[1,784] (zeros) or as data; once for each"},
      {"--json", nullptr, "print what torch_neuronx.analyze returns, as JSON"},
      {"--ignore", "aten::NAME", "an operator not to examine; may be given again"},
      {"--dump", "DIRECTORY", "write the HLO before and after each compiler pass"},
  };
  return *options;
}

}  // namespace

std::string AnalyzeUsage() {
  return absl::StrCat("analyze MODEL.pt --input TYPE[SHAPE] ... [-- NEURONX-CC OPTIONS]\n",
                      DescribeOptions(Options()));
}

int Analyze(const std::vector<std::string>& words) {
  const Arguments arguments(Options(), words);
  if (arguments.positional().size() != 1) {
    throw std::runtime_error("usage: glia " + AnalyzeUsage());
  }
  const torch::jit::Module model = LoadModule(arguments.positional()[0]);
  AnalyzeOptions options;
  options.compiler_args = arguments.rest();
  options.compiler_workdir = UserPath(arguments.Get("--dump"));
  for (const std::string& name : arguments.All("--ignore")) {
    options.additional_ignored_ops.insert(name);
  }
  const Analysis analysis = analyze(model, ExampleInputs(arguments.All("--input")), options);
  const std::string text = arguments.Has("--json") ? analysis.ToJson() : analysis.ToText();
  std::fputs(text.c_str(), stdout);
  return 0;
}

}  // namespace glia::tools
