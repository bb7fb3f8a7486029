// The part that analyze and the partitioner share: which calls of a recording the device refuses.
#ifndef GLIA_FRONTEND_EXAMINE_H_
#define GLIA_FRONTEND_EXAMINE_H_

#include <vector>

#include "compiler/options.h"
#include "frontend/analyze.h"
#include "frontend/recording.h"
#include "frontend/support.h"

namespace glia {

// NEURON_CC_FLAGS, then `arguments`. Throws c10::Error.
compiler::Options ParseCompilerOptions(const std::vector<std::string>& arguments,
                                       const std::string& workdir);

// What became of each call, beside Recorded::calls.
struct Examined {
  std::vector<Support> calls;
  std::vector<bool> ignored;  // named by AnalyzeOptions::additional_ignored_ops
};
Examined Examine(const Recorded& recorded, const AnalyzeOptions& options, SupportChecker* checker);

Analysis Summarise(const Recorded& recorded, const Examined& examined);

}  // namespace glia

#endif  // GLIA_FRONTEND_EXAMINE_H_
