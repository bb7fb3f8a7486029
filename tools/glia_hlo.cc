// The commands of `glia` on HLO and NEFF files, built without libtorch.
#include <stdexcept>

#include "absl/strings/str_cat.h"
#include "tools/command_line.h"
#include "tools/commands.h"

namespace {

using namespace glia::tools;

std::vector<NamedNeff> NoTorch(const std::string& path) {
  throw std::runtime_error(
      absl::StrCat(path, " is a TorchScript file: use //tools:glia, this program has no libtorch"));
}

constexpr Command kCommands[] = {
    {"compile", CompileHlo, CompileHloUsage},
    {"inspect", InspectNeffFile, InspectUsage},
    {"profile", [](const std::vector<std::string>& words) { return Profile(words, NoTorch); },
     ProfileUsage},
};

std::string Message(const std::exception& error) { return error.what(); }

}  // namespace

int main(int argc, char** argv) { return RunCommandLine(argc, argv, kCommands, Message); }
