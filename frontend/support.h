// Whether an operator can run on the device: its lowering is tried, and what it gives is compiled
// by itself.
#ifndef GLIA_FRONTEND_SUPPORT_H_
#define GLIA_FRONTEND_SUPPORT_H_

#include <string>
#include <utility>
#include <vector>

#include "absl/container/flat_hash_map.h"
#include "absl/status/status.h"
#include "compiler/options.h"
#include "frontend/capture/graph.h"

namespace glia {

// Who refuses an operator.
enum class Stage { kNone, kLowering, kCompiler };

struct Support {
  Stage refused_by = Stage::kNone;
  std::string reason;
  bool ok() const { return refused_by == Stage::kNone; }
};

// Answers are remembered by operator, attributes, shapes and types. Not thread-safe.
class SupportChecker {
 public:
  explicit SupportChecker(compiler::Options options) : options_(std::move(options)) {}

  // Of a node of any kind; its operands count as inputs.
  const Support& Check(const capture::Node& node);
  // Answers for these nodes at once, with `workers` threads.
  void Prepare(const std::vector<capture::NodePtr>& nodes, int workers);

 private:
  using Key = std::pair<uint64_t, uint64_t>;
  const compiler::Options options_;
  absl::flat_hash_map<Key, Support> known_;
};

// The graph could not be lowered or compiled, because of `status`. Throws a c10::Error that names
// the operator which is to blame with its arguments, schema and source line, if one can be found.
[[noreturn]] void ThrowRefused(const capture::Graph& graph, const compiler::Options& options,
                               const absl::Status& status);

}  // namespace glia

#endif  // GLIA_FRONTEND_SUPPORT_H_
