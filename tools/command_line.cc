#include "tools/command_line.h"

#include <algorithm>
#include <cstdio>
#include <cstring>

namespace glia::tools {
namespace {

void PrintUsage(std::FILE* to, absl::Span<const Command> commands) {
  std::fprintf(to, "usage:\n");
  for (const Command& command : commands) std::fprintf(to, "\nglia %s", command.usage().c_str());
}

}  // namespace

int RunCommandLine(int argc, char** argv, absl::Span<const Command> commands,
                   std::string (*message)(const std::exception& error)) {
  if (argc >= 2) {
    for (const Command& command : commands) {
      if (std::strcmp(argv[1], command.name) != 0) continue;
      const std::vector<std::string> words(argv + 2, argv + argc);
      const auto own_end = std::find(words.begin(), words.end(), "--");
      if (std::find(words.begin(), own_end, "--help") != own_end) {
        std::printf("usage: glia %s", command.usage().c_str());
        return 0;
      }
      try {
        return command.run(words);
      } catch (const std::exception& error) {
        std::fprintf(stderr, "glia %s: %s\n", argv[1], message(error).c_str());
      }
      return 1;
    }
    const bool help = std::strcmp(argv[1], "--help") == 0 || std::strcmp(argv[1], "help") == 0;
    if (help) {
      PrintUsage(stdout, commands);
      return 0;
    }
    std::fprintf(stderr, "glia: no such command: %s\n", argv[1]);
  }
  PrintUsage(stderr, commands);
  return 2;
}

}  // namespace glia::tools
