#include "frontend/capture/trace_session.h"

#include <ATen/record_function.h>
#include <torch/csrc/jit/runtime/interpreter.h>

#include <sstream>

#include "frontend/capture/record.h"

namespace glia::capture {
namespace {

thread_local TraceSession* current = nullptr;

// Says that an operator was counted in TraceSession::depth.
struct Counted : at::ObserverContext {};

std::vector<SourceFrame> Callstack() {
  std::vector<SourceFrame> frames;
  // Empty outside of the interpreter.
  for (const torch::jit::StackEntry& entry : torch::jit::currentCallstack()) {
    SourceFrame frame;
    frame.function = entry.filename;
    // A loaded program was printed when it was saved; the file says what each part came from.
    const auto original = entry.range.findSourceRangeThatGenerated();
    if (auto at = (original ? *original : entry.range).file_line_col()) {
      frame.file = std::get<0>(*at);
      frame.line = static_cast<int64_t>(std::get<1>(*at));
    }
    frames.push_back(std::move(frame));
  }
  return frames;
}

std::string Location(const std::vector<SourceFrame>& frames) {
  for (const SourceFrame& f : frames) {
    if (!f.file.empty()) return f.file + ":" + std::to_string(f.line) + " in " + f.function;
  }
  return "";
}

std::unique_ptr<at::ObserverContext> Enter(const at::RecordFunction& fn) {
  TraceSession* session = current;
  const auto name = fn.operator_name();
  if (session == nullptr || !name) return nullptr;
  if (session->depth++ == 0) {
    TracedCall call;
    call.op = name->name;
    call.callstack = Callstack();
    call.source = Location(call.callstack);
    if (session->policy.print_calls) {
      const auto handle = c10::Dispatcher::singleton().findSchema(*name);
      if (handle) call.text = PrintCall(handle->schema(), fn.inputs());
    }
    session->calls.push_back(std::move(call));
  }
  return std::make_unique<Counted>();
}

void Leave(const at::RecordFunction&, at::ObserverContext* context) {
  if (context != nullptr && current != nullptr) --current->depth;
}

}  // namespace

TraceSession* CurrentTrace() { return current; }

void SetCurrentTrace(TraceSession* session) { current = session; }

std::string SourceLocation() {
  if (current != nullptr && current->Current() != nullptr) return current->Current()->source;
  return Location(Callstack());
}

void RefuseInTrace(const std::string& what, const std::string& reason) {
  TracedCall* call = current->Current();
  if (!current->policy.run_on_examples || call == nullptr) ThrowUntraceable(what, reason);
  if (call->refused.empty()) call->refused = what + ": " + reason;
}

void ThrowUntraceable(const std::string& what, const std::string& reason) {
  const std::string source = SourceLocation();
  TORCH_CHECK(false, "cannot trace ", what, source.empty() ? "" : " at " + source, ": ", reason);
}

void WarnFixed(const OpInfo& op, const c10::IValue& value, bool depends) {
  if (!depends) return;
  const TracedCall* call = current->Current();
  const std::string source = SourceLocation();
  const std::string name = call == nullptr ? op.name : call->op;
  if (!current->warned.insert(name + source).second) return;
  std::ostringstream text;
  text << value;
  TORCH_WARN(
      "trace: ", name, source.empty() ? "" : " at " + source,
      " reads a value that depends on the inputs. It is ", text.str(),
      " for the example inputs, and what the program makes of it, numbers and decisions, stays "
      "as it is for them: the traced module does not follow other inputs there");
}

CallObserver::CallObserver() {
  handle_ = at::addThreadLocalCallback(at::RecordFunctionCallback(&Enter, &Leave)
                                           .needsInputs(current->policy.print_calls)
                                           .scopes({at::RecordScope::FUNCTION}));
}

CallObserver::~CallObserver() { at::removeCallback(handle_); }

}  // namespace glia::capture
