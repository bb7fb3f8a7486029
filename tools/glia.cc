// The `glia` command line.
#include <c10/util/Exception.h>

#include <cstdio>
#include <cstring>
#include <exception>
#include <string>
#include <vector>

#include "tools/commands.h"

namespace {

struct Entry {
  const char* name;
  int (*run)(const std::vector<std::string>& words);
  std::string (*usage)();
};

constexpr Entry kCommands[] = {
    {"compile", glia::tools::Compile, glia::tools::CompileUsage},
    {"run", glia::tools::Run, glia::tools::RunUsage},
    {"inspect", glia::tools::Inspect, glia::tools::InspectUsage},
};

void PrintUsage(std::FILE* to) {
  std::fprintf(to, "usage:\n");
  for (const Entry& entry : kCommands) std::fprintf(to, "\nglia %s", entry.usage().c_str());
}

}  // namespace

int main(int argc, char** argv) {
  if (argc >= 2) {
    for (const Entry& entry : kCommands) {
      if (std::strcmp(argv[1], entry.name) != 0) continue;
      try {
        return entry.run(std::vector<std::string>(argv + 2, argv + argc));
      } catch (const c10::Error& error) {
        std::fprintf(stderr, "glia %s: %s\n", argv[1], error.what_without_backtrace());
      } catch (const std::exception& error) {
        std::fprintf(stderr, "glia %s: %s\n", argv[1], error.what());
      }
      return 1;
    }
    const bool help = std::strcmp(argv[1], "--help") == 0 || std::strcmp(argv[1], "help") == 0;
    if (help) {
      PrintUsage(stdout);
      return 0;
    }
    std::fprintf(stderr, "glia: no such command: %s\n", argv[1]);
  }
  PrintUsage(stderr);
  return 2;
}
