// The command line of one subcommand: a declared table of options, and what was given.
#ifndef GLIA_TOOLS_ARGUMENTS_H_
#define GLIA_TOOLS_ARGUMENTS_H_

#include <map>
#include <string>
#include <vector>

namespace glia::tools {

struct OptionSpec {
  const char* name;   // "--input"
  const char* value;  // what its value is, for the usage; null for a flag
  const char* help;
};

class Arguments {
 public:
  // `words` after the subcommand. Options may repeat and take "--name value" or "--name=value"; words
  // after "--" go to rest(). Throws std::runtime_error naming an unknown option or a missing value.
  Arguments(const std::vector<OptionSpec>& options, const std::vector<std::string>& words);

  const std::vector<std::string>& positional() const { return positional_; }
  const std::vector<std::string>& rest() const { return rest_; }
  bool Has(const std::string& name) const { return values_.count(name) > 0; }
  std::vector<std::string> All(const std::string& name) const;
  // The last value given, or `otherwise`.
  std::string Get(const std::string& name, const std::string& otherwise = "") const;
  int64_t GetInt(const std::string& name, int64_t otherwise) const;

 private:
  std::map<std::string, std::vector<std::string>> values_;
  std::vector<std::string> positional_;
  std::vector<std::string> rest_;
};

std::string DescribeOptions(const std::vector<OptionSpec>& options);

// `bazel run` starts programs elsewhere: a relative path means one in the user's directory.
std::string UserPath(const std::string& path);

}  // namespace glia::tools

#endif  // GLIA_TOOLS_ARGUMENTS_H_
