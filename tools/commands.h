// The subcommands of `glia`. Each throws std::exception with a message for the user.
#ifndef GLIA_TOOLS_COMMANDS_H_
#define GLIA_TOOLS_COMMANDS_H_

#include <string>
#include <vector>

namespace glia::tools {

int Compile(const std::vector<std::string>& words);
int Run(const std::vector<std::string>& words);
int Inspect(const std::vector<std::string>& words);

std::string CompileUsage();
std::string RunUsage();
std::string InspectUsage();

}  // namespace glia::tools

#endif  // GLIA_TOOLS_COMMANDS_H_
