#include "frontend/capture/trace_session.h"

#include <torch/csrc/jit/runtime/interpreter.h>

namespace glia::capture {
namespace {
thread_local TraceSession* current = nullptr;
}  // namespace

TraceSession* CurrentTrace() { return current; }

void SetCurrentTrace(TraceSession* session) { current = session; }

std::string SourceLocation() {
  // Empty outside of the interpreter.
  for (const torch::jit::StackEntry& entry : torch::jit::currentCallstack()) {
    if (auto at = entry.range.file_line_col()) {
      return std::get<0>(*at) + ":" + std::to_string(std::get<1>(*at)) + " in " + entry.filename;
    }
  }
  return "";
}

void ThrowUntraceable(const std::string& what, const std::string& reason) {
  const std::string source = SourceLocation();
  TORCH_CHECK(false, "cannot trace ", what, source.empty() ? "" : " at " + source, ": ", reason);
}

}  // namespace glia::capture
