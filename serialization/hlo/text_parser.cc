#include <utility>

#include "absl/container/flat_hash_map.h"
#include "absl/strings/ascii.h"
#include "absl/strings/str_cat.h"
#include "serialization/hlo/literal_text.h"
#include "serialization/hlo/shape_inference_internal.h"
#include "serialization/hlo/text.h"
#include "serialization/hlo/text_attributes.h"
#include "serialization/hlo/text_cursor.h"
#include "serialization/hlo/verifier.h"

namespace glia::hlo {
namespace {

// Tables of source locations, which newer dumps print before the computations.
constexpr const char* kLocationTables[] = {"FileNames", "FunctionNames", "FileLocations",
                                           "StackFrames"};

class Parser {
 public:
  explicit Parser(absl::string_view text) : cursor_(text) {}

  absl::StatusOr<std::unique_ptr<Module>> Run() {
    module_ = std::make_unique<Module>();
    GLIA_HLO_RETURN_IF_ERROR(ParseHeader());
    while (!cursor_.AtEnd()) {
      if (!SkipLocationTable()) GLIA_HLO_RETURN_IF_ERROR(ParseComputation());
    }
    if (last_ == nullptr) return cursor_.Error("the text has no computation");
    if (module_->entry() == nullptr) module_->set_entry(last_);
    GLIA_HLO_RETURN_IF_ERROR(ResolveCalls());
    GLIA_HLO_RETURN_IF_ERROR(Verify(*module_));
    return std::move(module_);
  }

 private:
  struct PendingCall {
    Instruction* caller;
    std::vector<CalledName> called;
    TextCursor where;
  };

  absl::Status ParseHeader() {
    if (!cursor_.EatWord("HloModule")) return absl::OkStatus();
    std::string name;
    GLIA_HLO_RETURN_IF_ERROR(cursor_.ReadName(&name));
    module_->set_name(name);
    while (cursor_.Eat(",")) {
      std::string key;
      GLIA_HLO_RETURN_IF_ERROR(cursor_.ReadName(&key));
      GLIA_HLO_RETURN_IF_ERROR(cursor_.Expect("="));
      if (key == "input_output_alias") {
        GLIA_HLO_RETURN_IF_ERROR(ParseAliases());
      } else if (key == "frontend_attributes") {
        GLIA_HLO_RETURN_IF_ERROR(ParseFrontendAttributes(&cursor_, &module_->frontend_attributes));
      } else {
        absl::string_view ignored;
        GLIA_HLO_RETURN_IF_ERROR(cursor_.ReadValue(&ignored));
      }
    }
    return absl::OkStatus();
  }

  // { {0}: (1, {}, may-alias), … }
  absl::Status ParseAliases() {
    GLIA_HLO_RETURN_IF_ERROR(cursor_.Expect("{"));
    while (!cursor_.Eat("}")) {
      InputOutputAlias alias;
      GLIA_HLO_RETURN_IF_ERROR(cursor_.ReadInts(&alias.output_index));
      GLIA_HLO_RETURN_IF_ERROR(cursor_.Expect(":"));
      GLIA_HLO_RETURN_IF_ERROR(cursor_.Expect("("));
      GLIA_HLO_RETURN_IF_ERROR(cursor_.ReadInt(&alias.parameter_number));
      GLIA_HLO_RETURN_IF_ERROR(cursor_.Expect(","));
      GLIA_HLO_RETURN_IF_ERROR(cursor_.ReadInts(&alias.parameter_index));
      if (cursor_.Eat(",")) {
        alias.must_alias = cursor_.EatWord("must-alias");
        if (!alias.must_alias && !cursor_.EatWord("may-alias")) {
          return cursor_.Error("expected may-alias or must-alias");
        }
      }
      GLIA_HLO_RETURN_IF_ERROR(cursor_.Expect(")"));
      module_->input_output_alias.push_back(std::move(alias));
      (void)cursor_.Eat(",");
    }
    return absl::OkStatus();
  }

  bool SkipLocationTable() {
    for (const char* table : kLocationTables) {
      if (!cursor_.EatWord(table)) continue;
      cursor_.SkipSpace();
      // Numbered lines.
      while (!cursor_.rest().empty() && absl::ascii_isdigit(cursor_.rest()[0])) {
        const size_t end = cursor_.rest().find('\n');
        cursor_.set_rest(end == absl::string_view::npos ? absl::string_view()
                                                        : cursor_.rest().substr(end));
        cursor_.SkipSpace();
      }
      return true;
    }
    return false;
  }

  // [ENTRY] %name [(parameters) -> result] { instructions }
  absl::Status ParseComputation() {
    const bool is_entry = cursor_.EatWord("ENTRY");
    (void)cursor_.Eat("%");
    const TextCursor before = cursor_;
    std::string name;
    GLIA_HLO_RETURN_IF_ERROR(cursor_.ReadName(&name));
    if (cursor_.Peek("(")) {  // the instructions say it again
      absl::string_view ignored;
      GLIA_HLO_RETURN_IF_ERROR(cursor_.ReadValue(&ignored));
      GLIA_HLO_RETURN_IF_ERROR(cursor_.Expect("->"));
      Shape result;
      GLIA_HLO_RETURN_IF_ERROR(ReadShape(&result));
    }
    GLIA_HLO_RETURN_IF_ERROR(cursor_.Expect("{"));
    Computation* computation = module_->AddComputation(name);
    if (!computations_.emplace(name, computation).second) {
      return before.Error(absl::StrCat("a second computation ", name));
    }
    last_ = computation;
    if (is_entry) {
      if (module_->entry() != nullptr) return before.Error("a second ENTRY");
      module_->set_entry(computation);
    }
    instructions_.clear();
    Instruction* last = nullptr;
    Instruction* root = nullptr;
    while (!cursor_.Eat("}")) {
      const bool is_root = cursor_.EatWord("ROOT");
      if (is_root && root != nullptr) return cursor_.Error("a second ROOT");
      GLIA_HLO_RETURN_IF_ERROR(ParseInstruction(computation, &last));
      if (is_root) root = last;
    }
    if (last == nullptr) return cursor_.Error(absl::StrCat("computation ", name, " is empty"));
    computation->set_root(root != nullptr ? root : last);
    while (cursor_.Eat(",")) {  // execution_thread="main"
      std::string key;
      absl::string_view ignored;
      GLIA_HLO_RETURN_IF_ERROR(cursor_.ReadName(&key));
      GLIA_HLO_RETURN_IF_ERROR(cursor_.Expect("="));
      GLIA_HLO_RETURN_IF_ERROR(cursor_.ReadValue(&ignored));
    }
    return absl::OkStatus();
  }

  absl::Status ReadShape(Shape* shape) {
    cursor_.SkipSpace();
    absl::string_view rest = cursor_.rest();
    absl::StatusOr<Shape> parsed = ConsumeShape(&rest);
    if (!parsed.ok()) return cursor_.Error(parsed.status().message());
    *shape = *std::move(parsed);
    cursor_.set_rest(rest);
    return absl::OkStatus();
  }

  // %name = shape opcode(operands), attribute=value, …
  absl::Status ParseInstruction(Computation* computation, Instruction** result) {
    (void)cursor_.Eat("%");
    const TextCursor before = cursor_;
    std::string name;
    GLIA_HLO_RETURN_IF_ERROR(cursor_.ReadName(&name));
    if (instructions_.contains(name)) {
      return before.Error(absl::StrCat("a second instruction ", name));
    }
    GLIA_HLO_RETURN_IF_ERROR(cursor_.Expect("="));
    Shape shape;
    GLIA_HLO_RETURN_IF_ERROR(ReadShape(&shape));
    cursor_.SkipSpace();
    const TextCursor at_opcode = cursor_;
    std::string opcode_name;
    GLIA_HLO_RETURN_IF_ERROR(cursor_.ReadName(&opcode_name));
    const absl::optional<Opcode> opcode = OpcodeFromName(opcode_name);
    if (!opcode.has_value()) {
      return at_opcode.Error(absl::StrCat("instruction ", opcode_name, " is not supported"));
    }
    GLIA_HLO_RETURN_IF_ERROR(cursor_.Expect("("));
    Instruction* instruction = nullptr;
    if (*opcode == Opcode::kConstant) {
      absl::StatusOr<Literal> literal = ParseLiteral(shape, &cursor_);
      if (!literal.ok()) return literal.status();
      instruction = computation->AddConstant(*std::move(literal), name);
      instruction->shape = std::move(shape);
    } else if (*opcode == Opcode::kParameter) {
      int64_t number;
      GLIA_HLO_RETURN_IF_ERROR(cursor_.ReadInt(&number));
      instruction = computation->AddParameter(number, std::move(shape), name);
    } else {
      std::vector<Instruction*> operands;
      GLIA_HLO_RETURN_IF_ERROR(ParseOperands(&operands));
      instruction = computation->Add(*opcode, std::move(shape), operands, name);
    }
    GLIA_HLO_RETURN_IF_ERROR(cursor_.Expect(")"));
    instructions_.emplace(std::move(name), instruction);
    *result = instruction;

    std::vector<CalledName> called;
    while (cursor_.Eat(",")) {
      std::string attribute;
      GLIA_HLO_RETURN_IF_ERROR(cursor_.ReadName(&attribute));
      GLIA_HLO_RETURN_IF_ERROR(cursor_.Expect("="));
      GLIA_HLO_RETURN_IF_ERROR(ParseAttribute(attribute, &cursor_, instruction, &called));
    }
    if (!called.empty()) calls_.push_back({instruction, std::move(called), before});
    return absl::OkStatus();
  }

  // Names, each after its shape in the long form.
  absl::Status ParseOperands(std::vector<Instruction*>* operands) {
    if (cursor_.Peek(")")) return absl::OkStatus();
    do {
      if (NextIsShape()) {
        Shape ignored;  // that of the operand itself counts
        GLIA_HLO_RETURN_IF_ERROR(ReadShape(&ignored));
      }
      (void)cursor_.Eat("%");
      const TextCursor before = cursor_;
      std::string name;
      GLIA_HLO_RETURN_IF_ERROR(cursor_.ReadName(&name));
      const auto it = instructions_.find(name);
      if (it == instructions_.end()) {
        return before.Error(absl::StrCat("operand ", name, " is not defined above"));
      }
      operands->push_back(it->second);
    } while (cursor_.Eat(","));
    return absl::OkStatus();
  }

  bool NextIsShape() {
    if (cursor_.Peek("(")) return true;
    TextCursor ahead = cursor_;
    std::string word;
    return !ahead.Peek("%") && ahead.ReadName(&word).ok() && ahead.rest().substr(0, 1) == "[";
  }

  absl::Status ResolveCalls() {
    for (const PendingCall& call : calls_) {
      std::vector<Computation*>& called = call.caller->called;
      for (const CalledName& callee : call.called) {
        const auto it = computations_.find(callee.name);
        if (it == computations_.end()) {
          return call.where.Error(absl::StrCat("computation ", callee.name, " is not defined"));
        }
        if (called.size() <= callee.slot) called.resize(callee.slot + 1);
        called[callee.slot] = it->second;
      }
      for (const Computation* computation : called) {
        if (computation == nullptr)
          return call.where.Error("not all called computations are named");
      }
    }
    return absl::OkStatus();
  }

  TextCursor cursor_;
  std::unique_ptr<Module> module_;
  Computation* last_ = nullptr;
  absl::flat_hash_map<std::string, Computation*> computations_;  // by their names in the text
  absl::flat_hash_map<std::string, Instruction*> instructions_;  // of the current computation
  std::vector<PendingCall> calls_;
};

}  // namespace

absl::StatusOr<std::unique_ptr<Module>> ParseModule(absl::string_view text) {
  return Parser(text).Run();
}

}  // namespace glia::hlo
