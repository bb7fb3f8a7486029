#include "tools/arguments.h"

#include <algorithm>
#include <cstdlib>
#include <stdexcept>

#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"

namespace glia::tools {

Arguments::Arguments(const std::vector<OptionSpec>& options,
                     const std::vector<std::string>& words) {
  for (size_t i = 0; i < words.size(); ++i) {
    const std::string& word = words[i];
    if (word == "--") {
      rest_.assign(words.begin() + static_cast<std::ptrdiff_t>(i) + 1, words.end());
      return;
    }
    if (word.size() < 2 || word[0] != '-') {
      positional_.push_back(word);
      continue;
    }
    const size_t equals = word.find('=');
    const std::string name = word.substr(0, equals);
    auto option = std::find_if(options.begin(), options.end(),
                               [&](const OptionSpec& o) { return name == o.name; });
    if (option == options.end()) {
      throw std::runtime_error(absl::StrCat("unknown option ", name, "\n", DescribeOptions(options)));
    }
    if (option->value == nullptr) {
      if (equals != std::string::npos) throw std::runtime_error(name + " takes no value");
      values_[name].emplace_back();
    } else if (equals != std::string::npos) {
      values_[name].push_back(word.substr(equals + 1));
    } else if (i + 1 < words.size()) {
      values_[name].push_back(words[++i]);
    } else {
      throw std::runtime_error(absl::StrCat(name, " needs a value: ", option->value));
    }
  }
}

std::vector<std::string> Arguments::All(const std::string& name) const {
  auto it = values_.find(name);
  return it == values_.end() ? std::vector<std::string>() : it->second;
}

std::string Arguments::Get(const std::string& name, const std::string& otherwise) const {
  auto it = values_.find(name);
  return it == values_.end() ? otherwise : it->second.back();
}

int64_t Arguments::GetInt(const std::string& name, int64_t otherwise) const {
  if (!Has(name)) return otherwise;
  int64_t value = 0;
  if (!absl::SimpleAtoi(Get(name), &value)) {
    throw std::runtime_error(absl::StrCat(name, ": '", Get(name), "' is no number"));
  }
  return value;
}

std::string DescribeOptions(const std::vector<OptionSpec>& options) {
  std::string text;
  for (const OptionSpec& o : options) {
    absl::StrAppendFormat(&text, "  %-28s %s\n",
                          absl::StrCat(o.name, o.value == nullptr ? "" : " ",
                                       o.value == nullptr ? "" : o.value),
                          o.help);
  }
  return text;
}

std::string UserPath(const std::string& path) {
  const char* directory = std::getenv("BUILD_WORKING_DIRECTORY");
  if (directory == nullptr || path.empty() || path[0] == '/') return path;
  return absl::StrCat(directory, "/", path);
}

}  // namespace glia::tools
