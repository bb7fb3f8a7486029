// A program of subcommands.
#ifndef GLIA_TOOLS_COMMAND_LINE_H_
#define GLIA_TOOLS_COMMAND_LINE_H_

#include <exception>
#include <string>
#include <vector>

#include "absl/types/span.h"

namespace glia::tools {

struct Command {
  const char* name;
  int (*run)(const std::vector<std::string>& words);
  std::string (*usage)();
};

// The exit code: the command's, 1 after an error (printed as `message` tells it), 2 without a
// command.
int RunCommandLine(int argc, char** argv, absl::Span<const Command> commands,
                   std::string (*message)(const std::exception& error));

}  // namespace glia::tools

#endif  // GLIA_TOOLS_COMMAND_LINE_H_
