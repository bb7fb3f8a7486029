// The subcommands of `glia`. Each throws std::exception with a message for the user.
#ifndef GLIA_TOOLS_COMMANDS_H_
#define GLIA_TOOLS_COMMANDS_H_

#include <string>
#include <vector>

#include "serialization/neff/neff.h"
#include "tools/arguments.h"
#include "tools/files.h"

namespace glia::tools {

// Without libtorch.
int CompileHlo(const std::vector<std::string>& words);
// `traced` reads traced modules.
int Profile(const std::vector<std::string>& words, const TracedReader& traced);
// NEFF files only.
int InspectNeffFile(const std::vector<std::string>& words);
// `path`: where the bytes come from, for messages.
void PrintNeff(const std::string& path, const neff::Blob& bytes, bool disassemble);

const std::vector<OptionSpec>& InspectOptions();
std::string CompileHloUsage();
std::string ProfileUsage();
std::string InspectUsage();

// With libtorch.
int Analyze(const std::vector<std::string>& words);
int Compile(const std::vector<std::string>& words);  // of HLO too
int Run(const std::vector<std::string>& words);
int Inspect(const std::vector<std::string>& words);
std::vector<NamedNeff> NeffsOfTraced(const std::string& path);

std::string AnalyzeUsage();
std::string CompileUsage();
std::string RunUsage();

}  // namespace glia::tools

#endif  // GLIA_TOOLS_COMMANDS_H_
