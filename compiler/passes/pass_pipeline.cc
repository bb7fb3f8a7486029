#include "compiler/passes/pass_pipeline.h"

#include <sys/stat.h>

#include <algorithm>
#include <cerrno>
#include <chrono>
#include <cstring>
#include <fstream>
#include <map>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "serialization/hlo/text.h"
#include "serialization/hlo/verifier.h"

namespace glia::compiler {
namespace {

// A group ends by itself, since every rewrite makes the module smaller or simpler; should two rules
// ever undo each other, this ends it.
constexpr int kMaxRounds = 32;
// Elements of a constant in a dump.
constexpr int64_t kDumpedElements = 64;

const std::vector<NamedPass>& SimplifyingPasses() {
  static const auto* const passes = new std::vector<NamedPass>{
      {"inline-calls", InlineCalls},
      {"simplify-control-flow", SimplifyControlFlow},
      {"simplify", Simplify},
      {"fold-constants", FoldConstants},
      {"merge-common-subexpressions", MergeCommonSubexpressions},
      {"remove-dead-code", RemoveDeadCode},
  };
  return *passes;
}

class Dumper {
 public:
  explicit Dumper(const std::string& directory) : directory_(directory) {}

  absl::Status Start() {
    if (directory_.empty()) return absl::OkStatus();
    // Each missing directory on the way.
    for (size_t slash = directory_.find('/', 1);; slash = directory_.find('/', slash + 1)) {
      const std::string path = directory_.substr(0, slash);
      if (mkdir(path.c_str(), 0777) != 0 && errno != EEXIST) {
        return absl::FailedPreconditionError(
            absl::StrCat("cannot make the dump directory ", path, ": ", std::strerror(errno)));
      }
      if (slash == std::string::npos) return absl::OkStatus();
    }
  }

  absl::Status Dump(const hlo::Module& module, int number, const char* when, const char* pass) {
    if (directory_.empty()) return absl::OkStatus();
    hlo::PrintOptions options;
    options.max_constant_elements = kDumpedElements;
    const std::string path = absl::StrCat(directory_, "/", absl::StrFormat("%04d", number), ".",
                                          when, ".", pass, ".txt");
    std::ofstream file(path);
    file << hlo::ToString(module, options);
    file.close();
    if (!file) {
      return absl::FailedPreconditionError(
          absl::StrCat("cannot write the dump ", path, ": ", std::strerror(errno)));
    }
    return absl::OkStatus();
  }

 private:
  const std::string directory_;
};

absl::Status BrokenBy(const char* pass, const absl::Status& status) {
  return absl::InternalError(absl::StrCat(
      "pass ", pass, " made the module invalid (an error of the compiler): ", status.message()));
}

}  // namespace

const std::vector<PassGroup>& DefaultPipeline() {
  static const auto* const pipeline = new std::vector<PassGroup>{
      {{{"canonicalize-layout", CanonicalizeLayout}}, false},
      {SimplifyingPasses(), true},
      {{{"expand-ops", ExpandOps},
        {"split-reduces", SplitReduces},
        {"canonicalize-convolutions", CanonicalizeConvolutions}},
       false},
      {SimplifyingPasses(), true},
      {{{"canonicalize-dots", CanonicalizeDots}, {"split-dot-batches", SplitDotBatches}}, false},
      {SimplifyingPasses(), true},
  };
  return *pipeline;
}

absl::StatusOr<std::vector<PassStatistics>> RunPasses(hlo::Module* module,
                                                      const std::vector<PassGroup>& pipeline,
                                                      const PipelineOptions& options) {
  absl::Status status = hlo::Verify(*module);
  Dumper dumper(options.dump_dir);
  if (status.ok()) status = dumper.Start();
  if (!status.ok()) return status;

  std::vector<PassStatistics> statistics;
  int number = 0;
  const char* last_changing_pass = "none";
  // A pass that found nothing to do finds nothing until another changes the module.
  int64_t changes = 0;
  std::map<PassFn, int64_t> nothing_to_do;  // the value of `changes` at which a pass found so
  for (const PassGroup& group : pipeline) {
    bool again = true;
    for (int round = 0; again && round < kMaxRounds; ++round) {
      again = false;
      for (const NamedPass& pass : group.passes) {
        const auto idle = nothing_to_do.find(pass.run);
        if (idle != nothing_to_do.end() && idle->second == changes) continue;
        ++number;
        status = dumper.Dump(*module, number, "before", pass.name);
        if (!status.ok()) return status;
        const auto start = std::chrono::steady_clock::now();
        absl::StatusOr<bool> changed = pass.run(module);
        if (!changed.ok()) return changed.status();
        const std::chrono::duration<double, std::milli> time =
            std::chrono::steady_clock::now() - start;

        auto row = std::find_if(statistics.begin(), statistics.end(),
                                [&](const PassStatistics& s) { return s.pass == pass.name; });
        if (row == statistics.end()) {
          statistics.emplace_back();
          row = statistics.end() - 1;
          row->pass = pass.name;
        }
        ++row->runs;
        row->milliseconds += time.count();
        if (!*changed) {
          nothing_to_do[pass.run] = changes;
          continue;
        }
        ++row->changes;
        ++changes;
        again = group.to_fixpoint;
        last_changing_pass = pass.name;
        status = dumper.Dump(*module, number, "after", pass.name);
        if (!status.ok()) return status;
        if (options.verify_each_pass) {
          status = hlo::Verify(*module);
          if (!status.ok()) return BrokenBy(pass.name, status);
        }
      }
    }
  }
  status = hlo::Verify(*module);
  if (!status.ok()) return BrokenBy(last_changing_pass, status);
  return statistics;
}

absl::StatusOr<std::vector<PassStatistics>> RunPasses(hlo::Module* module,
                                                      const PipelineOptions& options) {
  return RunPasses(module, DefaultPipeline(), options);
}

}  // namespace glia::compiler
