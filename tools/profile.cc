// glia profile: where a program's simulated time goes.
#include <cstdio>
#include <memory>
#include <stdexcept>

#include "absl/strings/str_cat.h"
#include "nrt/nrt_glia.h"
#include "tools/arguments.h"
#include "tools/commands.h"
#include "tools/files.h"
#include "tools/profile_analysis.h"
#include "tools/profile_report.h"

namespace glia::tools {
namespace {

const std::vector<OptionSpec>& Options() {
  static const auto* const options = new std::vector<OptionSpec>{
      {"--json", nullptr, "print JSON instead of tables"},
      {"--top", "N", "rows of the tables (default 20)"},
      {"--timeline", "FILE", "write when everything ran, for ui.perfetto.dev (trace-event JSON)"},
  };
  return *options;
}

struct FreeProfile {
  void operator()(glia_nrt_profile_t* p) const { glia_nrt_free_profile(p); }
};
using ProfilePtr = std::unique_ptr<glia_nrt_profile_t, FreeProfile>;

// `FILE` becomes `FILE.1` and so on for further NEFFs.
std::string TimelinePath(const std::string& path, size_t index) {
  return index == 0 ? path : absl::StrCat(path, ".", index);
}

}  // namespace

std::string ProfileUsage() {
  return absl::StrCat(
      "profile FILE [-- NEURONX-CC OPTIONS]\n"
      "  FILE: a NEFF, a traced module, or HLO (text or proto), which is compiled first\n",
      DescribeOptions(Options()));
}

int Profile(const std::vector<std::string>& words, const TracedReader& traced) {
  const Arguments arguments(Options(), words);
  if (arguments.positional().size() != 1) throw std::runtime_error("usage: glia " + ProfileUsage());
  const int64_t top = arguments.GetInt("--top", 20);
  if (top < 0 || top > 1'000'000) throw std::runtime_error("--top must be 0 to 1000000");
  const std::string& path = arguments.positional()[0];
  const std::vector<NamedNeff> neffs = OpenNeffs(path, arguments.rest(), traced);
  JsonWriter json;
  json.BeginObject().Key("profiles").BeginArray();
  for (size_t i = 0; i < neffs.size(); ++i) {
    const neff::Blob& bytes = neffs[i].bytes;
    glia_nrt_profile_t* raw = nullptr;
    if (glia_nrt_profile_neff(bytes.data(), bytes.size(), &raw) != NRT_SUCCESS) {
      throw std::runtime_error(absl::StrCat(path, ": ", glia_nrt_last_error()));
    }
    const ProfilePtr profile(raw);
    const auto neff = neff::Read(bytes);
    if (!neff.ok()) throw std::runtime_error(absl::StrCat(path, ": ", neff.status().message()));
    const isa::Program& program = (*neff)->program;
    const ProfileAnalysis analysis = Analyze(program, *profile);
    if (arguments.Has("--timeline")) {
      WriteWholeFile(TimelinePath(arguments.Get("--timeline"), i),
                     ProfileTimeline(program, *profile, analysis));
    }
    if (arguments.Has("--json")) {
      json.Line();
      WriteProfileJson(program, *profile, analysis, static_cast<int>(top), &json);
    } else {
      if (!neffs[i].name.empty()) std::printf("%s%s\n", i == 0 ? "" : "\n", neffs[i].name.c_str());
      std::fputs(ProfileText(program, *profile, analysis, static_cast<int>(top)).c_str(), stdout);
    }
  }
  if (arguments.Has("--json")) std::printf("%s\n", json.EndArray().EndObject().text().c_str());
  return 0;
}

}  // namespace glia::tools
