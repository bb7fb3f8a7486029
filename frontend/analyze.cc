#include "frontend/analyze.h"

#include <algorithm>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "absl/strings/str_join.h"
#include "compiler/version.h"
#include "frontend/examine.h"

namespace glia {
namespace {

std::string PrintCallstack(const std::vector<capture::SourceFrame>& frames) {
  std::string text;
  for (const capture::SourceFrame& f : frames) {
    absl::StrAppend(&text, f.file.empty() ? "<unknown>" : f.file, "(", f.line, "): ", f.function,
                    "\n");
  }
  return text;
}

std::string Quote(const std::string& text) {
  std::string result = "\"";
  for (const char c : text) {
    switch (c) {
      case '"':
      case '\\':
        result += {'\\', c};
        break;
      case '\n':
        result += "\\n";
        break;
      case '\t':
        result += "\\t";
        break;
      default:
        if (static_cast<unsigned char>(c) < 0x20) {
          absl::StrAppendFormat(&result, "\\u%04x", c);
        } else {
          result += c;
        }
    }
  }
  return result + "\"";
}

std::string Percentage(double part) { return absl::StrFormat("%.2f%%", part * 100); }

Analysis Analyze(const Callee& callee, const std::vector<c10::IValue>& examples,
                 const AnalyzeOptions& options) {
  capture::TracePolicy policy;
  policy.run_on_examples = true;
  policy.print_calls = true;
  SupportChecker checker(ParseCompilerOptions(options.compiler_args, options.compiler_workdir));
  const Recorded recorded = Record(callee, examples, {}, policy);
  return Summarise(recorded, Examine(recorded, options, &checker));
}

}  // namespace

compiler::Options ParseCompilerOptions(const std::vector<std::string>& arguments,
                                       const std::string& workdir) {
  auto parsed = compiler::Options::FromEnvironment();
  TORCH_CHECK(parsed.ok(), "NEURON_CC_FLAGS: ", std::string(parsed.status().message()));
  const absl::Status status = parsed->Parse(arguments);
  TORCH_CHECK(status.ok(), "compiler_args: ", std::string(status.message()));
  if (!workdir.empty()) parsed->dump_dir = workdir;
  return *std::move(parsed);
}

Examined Examine(const Recorded& recorded, const AnalyzeOptions& options, SupportChecker* checker) {
  Examined examined;
  std::vector<capture::NodePtr> nodes;
  for (const capture::TracedCall& call : recorded.calls) {
    examined.ignored.push_back(options.additional_ignored_ops.count(call.op) != 0);
    if (!examined.ignored.back()) nodes.insert(nodes.end(), call.nodes.begin(), call.nodes.end());
  }
  checker->Prepare(nodes, options.max_workers);
  for (size_t i = 0; i < recorded.calls.size(); ++i) {
    const capture::TracedCall& call = recorded.calls[i];
    Support support;
    if (!call.refused.empty()) support = {Stage::kLowering, call.refused};
    for (const capture::NodePtr& node : call.nodes) {
      if (!support.ok() || examined.ignored[i]) break;
      const Support& found = checker->Check(*node);
      if (!found.ok()) {
        support = {found.refused_by, absl::StrCat(DescribeNode(*node), ": ", found.reason)};
      }
    }
    examined.calls.push_back(std::move(support));
  }
  return examined;
}

Analysis Summarise(const Recorded& recorded, const Examined& examined) {
  Analysis analysis;
  for (size_t i = 0; i < recorded.calls.size(); ++i) {
    if (examined.ignored[i]) continue;
    const capture::TracedCall& call = recorded.calls[i];
    const Support& support = examined.calls[i];
    if (support.ok()) {
      ++analysis.supported_operators[call.op];
      continue;
    }
    UnsupportedOperator found;
    found.kind = call.op;
    found.failure_at = support.refused_by == Stage::kCompiler ? "neuronx-cc" : "Lowering to HLO";
    found.call = PrintCallstack(call.callstack);
    found.op_graph = call.text;
    found.reason = support.reason;
    auto same = [&](const UnsupportedOperator& o) {
      return o.kind == found.kind && o.call == found.call && o.op_graph == found.op_graph &&
             o.reason == found.reason;
    };
    auto& list = analysis.unsupported_operators;
    auto it = std::find_if(list.begin(), list.end(), same);
    if (it == list.end()) it = list.insert(list.end(), std::move(found));
    ++it->count;
  }
  return analysis;
}

double Analysis::support() const {
  int64_t good = 0;
  int64_t bad = 0;
  for (const auto& [kind, count] : supported_operators) good += count;
  for (const UnsupportedOperator& o : unsupported_operators) bad += o.count;
  return good + bad == 0 ? 1 : static_cast<double>(good) / static_cast<double>(good + bad);
}

std::string Analysis::ToText() const {
  std::string text = absl::StrCat("supported: ", Percentage(support()), " of the operators\n");
  for (const auto& [kind, count] : supported_operators) {
    absl::StrAppendFormat(&text, "  %6d  %s\n", count, kind);
  }
  if (unsupported_operators.empty()) return text;
  absl::StrAppend(&text, "not supported:\n");
  for (const UnsupportedOperator& o : unsupported_operators) {
    absl::StrAppendFormat(&text, "  %6d  %s\n", o.count, o.kind);
    absl::StrAppend(&text, "          ", o.failure_at, ": ", o.reason, "\n");
    for (size_t begin = 0, end; begin < o.call.size(); begin = end + 1) {
      end = o.call.find('\n', begin);
      absl::StrAppend(&text, "          at ", o.call.substr(begin, end - begin), "\n");
    }
  }
  return text;
}

std::string Analysis::ToJson() const {
  std::string text =
      absl::StrCat("{\n    \"torch_neuronx_version\": ",
                   Quote(absl::StrCat("glia ", compiler::kCompilerVersion)),
                   ",\n    \"neuronx_cc_version\": ", Quote(compiler::kCompilerVersion),
                   ",\n    \"support_percentage\": ", Quote(Percentage(support())),
                   ",\n    \"supported_operators\": {");
  const char* separator = "\n        ";
  for (const auto& [kind, count] : supported_operators) {
    absl::StrAppend(&text, separator, Quote(kind), ": ", count);
    separator = ",\n        ";
  }
  absl::StrAppend(&text, supported_operators.empty() ? "" : "\n    ",
                  "},\n    \"unsupported_operators\": [");
  separator = "\n        {";
  for (const UnsupportedOperator& o : unsupported_operators) {
    absl::StrAppend(&text, separator, "\n            \"kind\": ", Quote(o.kind),
                    ",\n            \"failureAt\": ", Quote(o.failure_at),
                    ",\n            \"call\": ", Quote(o.call),
                    ",\n            \"opGraph\": ", Quote(o.op_graph),
                    ",\n            \"reason\": ", Quote(o.reason),
                    ",\n            \"count\": ", o.count, "\n        }");
    separator = ",\n        {";
  }
  absl::StrAppend(&text, unsupported_operators.empty() ? "" : "\n    ", "]\n}\n");
  return text;
}

Analysis analyze(const torch::jit::Module& model, const std::vector<c10::IValue>& example_inputs,
                 const AnalyzeOptions& options) {
  return Analyze(ForScript(model), example_inputs, options);
}

Analysis analyze_function(const TraceFunction& fn, const std::vector<c10::IValue>& example_inputs,
                          const AnalyzeOptions& options) {
  return Analyze(ForFunction(fn), example_inputs, options);
}

Analysis analyze_module(torch::nn::Module& module, const TraceFunction& fn,
                        const std::vector<c10::IValue>& example_inputs,
                        const AnalyzeOptions& options) {
  return Analyze(ForModule(module, fn), example_inputs, options);
}

}  // namespace glia
