// The trace that records on this thread, if any.
#ifndef GLIA_FRONTEND_CAPTURE_TRACE_SESSION_H_
#define GLIA_FRONTEND_CAPTURE_TRACE_SESSION_H_

#include <functional>
#include <string>
#include <utility>
#include <vector>

#include "frontend/capture/storage.h"

namespace glia::capture {

struct TraceSession {
  uint64_t id = 0;  // from 1
  std::function<bool(const Node&)> supports;
  std::vector<NodePtr> parameters;
  // Contents of storages from before the trace, to be given back at its end.
  std::vector<std::pair<StorageStatePtr, Contents>> undo;
};

// Null in lazy mode.
TraceSession* CurrentTrace();
// Installs a session on this thread (null: none).
void SetCurrentTrace(TraceSession* session);

// The line of TorchScript that is running on this thread, "file.py:12 in forward"; "" when there is
// none.
std::string SourceLocation();

// Throws: `what` (an operator with its schema) cannot be traced because of `reason`.
[[noreturn]] void ThrowUntraceable(const std::string& what, const std::string& reason);

}  // namespace glia::capture

#endif  // GLIA_FRONTEND_CAPTURE_TRACE_SESSION_H_
