// The `glia` command line.
#include <c10/util/Exception.h>

#include <algorithm>
#include <cstdio>
#include <cstring>
#include <exception>
#include <string>
#include <vector>

#include "tools/commands.h"
#include "tools/messages.h"

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
      const std::vector<std::string> words(argv + 2, argv + argc);
      const auto own_end = std::find(words.begin(), words.end(), "--");
      if (std::find(words.begin(), own_end, "--help") != own_end) {
        std::printf("usage: glia %s", entry.usage().c_str());
        return 0;
      }
      std::string what;
      try {
        return entry.run(words);
      } catch (const c10::Error& error) {
        what = error.what_without_backtrace();
      } catch (const std::exception& error) {
        what = error.what();
      }
      std::fprintf(stderr, "glia %s: %s\n", argv[1], glia::tools::ReasonFirst(what).c_str());
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
