// The `glia` command line.
#include <c10/util/Exception.h>

#include "tools/command_line.h"
#include "tools/commands.h"
#include "tools/messages.h"

namespace {

using namespace glia::tools;

constexpr Command kCommands[] = {
    {"analyze", Analyze, AnalyzeUsage},
    {"compile", Compile, CompileUsage},
    {"run", Run, RunUsage},
    {"inspect", Inspect, InspectUsage},
    {"profile", [](const std::vector<std::string>& words) { return Profile(words, NeffsOfTraced); },
     ProfileUsage},
};

std::string Message(const std::exception& error) {
  const auto* torch = dynamic_cast<const c10::Error*>(&error);
  return ReasonFirst(torch != nullptr ? torch->what_without_backtrace() : error.what());
}

}  // namespace

int main(int argc, char** argv) { return RunCommandLine(argc, argv, kCommands, Message); }
