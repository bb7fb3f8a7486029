// The trace that records on this thread, if any.
#ifndef GLIA_FRONTEND_CAPTURE_TRACE_SESSION_H_
#define GLIA_FRONTEND_CAPTURE_TRACE_SESSION_H_

#include <memory>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include "frontend/capture/capture.h"
#include "frontend/capture/evaluate.h"
#include "frontend/capture/storage.h"

namespace glia::capture {

struct TraceSession {
  uint64_t id = 0;  // from 1
  TracePolicy policy;
  std::vector<NodePtr> parameters;
  std::vector<at::Tensor> examples;  // of the parameters
  Evaluator values{&examples};
  // Contents of storages from before the trace, to be given back at its end.
  std::vector<std::pair<StorageStatePtr, Contents>> undo;
  std::vector<TracedCall> calls;
  NodePtr seed;         // the last parameter, once an operator drew random numbers
  int64_t streams = 0;  // how many did
  int depth = 0;  // of operators under way; 1: calls.back()
  std::set<std::string> warned;

  // i64[], a parameter that is made when it is first asked for.
  Value Seed();
  // The operator that the program called, while it runs; null between calls.
  TracedCall* Current() { return depth > 0 && !calls.empty() ? &calls.back() : nullptr; }
};

// Null in lazy mode.
TraceSession* CurrentTrace();
// Installs a session on this thread (null: none).
void SetCurrentTrace(TraceSession* session);

// The line of TorchScript that is running on this thread, "file.py:12 in forward"; "" when there is
// none.
std::string SourceLocation();

// `what` (an operator with its schema or arguments) cannot be traced because of `reason`. Throws,
// or notes it in the current call where the policy is to go on.
void RefuseInTrace(const std::string& what, const std::string& reason);
// The same, and always throws.
[[noreturn]] void ThrowUntraceable(const std::string& what, const std::string& reason);

// The program gets `value` of a tensor while it is traced. Warns once for each line that it stays
// what it is for the example inputs, when it depends on them.
void WarnFixed(const OpInfo& op, const c10::IValue& value, bool depends);

// Observes which operators the program calls on this thread while a trace records.
class CallObserver {
 public:
  CallObserver();
  ~CallObserver();
  CallObserver(const CallObserver&) = delete;
  CallObserver& operator=(const CallObserver&) = delete;

 private:
  uint64_t handle_;
};

}  // namespace glia::capture

#endif  // GLIA_FRONTEND_CAPTURE_TRACE_SESSION_H_
