// Graphs of the lazy mode that the compiler refuses. Whether it takes an operator is known only
// when it has compiled it, which is too much to ask of each operator beforehand; what it refuses is
// found when a graph fails. The graph then runs in parts, the refused operators on the CPU, and
// from then on they are not recorded any more.
#ifndef GLIA_FRONTEND_LAZY_PARTS_H_
#define GLIA_FRONTEND_LAZY_PARTS_H_

#include <map>
#include <memory>
#include <mutex>
#include <string>
#include <utility>
#include <vector>

#include "absl/status/statusor.h"
#include "compiler/options.h"
#include "frontend/capture/backend.h"
#include "frontend/capture/graph.h"

namespace glia {

// What the compiler refuses, by operator, attributes, shapes and types. Thread-safe.
class RefusedOperators {
 public:
  bool Contains(const capture::Node& node) const;
  // Compiles each node of the graph by itself, counts and warns of those that are refused. Whether
  // there are any that it did not know.
  bool Learn(const capture::Graph& graph, const compiler::Options& options);

 private:
  mutable std::mutex mutex_;
  std::map<std::pair<uint64_t, uint64_t>, std::string> reasons_;
};

// What backend->Execute gives, with the refused nodes evaluated on the CPU.
absl::StatusOr<std::vector<std::shared_ptr<capture::DeviceData>>> ExecuteInParts(
    capture::Backend* backend, const capture::Graph& graph, const RefusedOperators& refused);

}  // namespace glia

#endif  // GLIA_FRONTEND_LAZY_PARTS_H_
