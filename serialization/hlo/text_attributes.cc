#include "serialization/hlo/text_attributes.h"

#include <algorithm>
#include <charconv>
#include <map>

#include "absl/strings/escaping.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "serialization/hlo/shape_inference_internal.h"
#include "serialization/hlo/text_geometry.h"

namespace glia::hlo {
namespace {

using CalledNames = std::vector<CalledName>;

// Prints the value, "" to leave the attribute out. Parses the value after '='.
using PrintFn = std::string (*)(const Instruction&);
using ParseFn = absl::Status (*)(TextCursor*, Instruction*, CalledNames*);

struct AttributeSpec {
  const char* name;
  std::vector<Opcode> opcodes;  // that have it; empty for all
  PrintFn print;
  ParseFn parse;
};

// The value behind a chain of pointers to members.
template <auto First, auto... Rest, typename T>
auto& Get(T& object) {
  if constexpr (sizeof...(Rest) == 0) {
    return object.*First;
  } else {
    return Get<Rest...>(object.*First);
  }
}

std::string IntsText(const std::vector<int64_t>& values) {
  return absl::StrCat("{", absl::StrJoin(values, ","), "}");
}

template <auto... Path>
std::string PrintInts(const Instruction& instruction) {
  return IntsText(Get<Path...>(instruction));
}
// Left out when empty.
template <auto... Path>
std::string PrintSomeInts(const Instruction& instruction) {
  return Get<Path...>(instruction).empty() ? "" : IntsText(Get<Path...>(instruction));
}
template <auto... Path>
absl::Status ParseInts(TextCursor* cursor, Instruction* instruction, CalledNames*) {
  return cursor->ReadInts(&Get<Path...>(*instruction));
}

template <auto... Path>
std::string PrintInt(const Instruction& instruction) {
  return absl::StrCat(Get<Path...>(instruction));
}
// Left out when 1.
template <auto... Path>
std::string PrintCount(const Instruction& instruction) {
  return Get<Path...>(instruction) == 1 ? "" : absl::StrCat(Get<Path...>(instruction));
}
template <auto... Path>
absl::Status ParseInt(TextCursor* cursor, Instruction* instruction, CalledNames*) {
  int64_t value;
  GLIA_HLO_RETURN_IF_ERROR(cursor->ReadInt(&value));
  auto& target = Get<Path...>(*instruction);
  target = static_cast<std::decay_t<decltype(target)>>(value);
  if (target != value) return cursor->Error(absl::StrCat(value, " is out of range"));
  return absl::OkStatus();
}

// Left out when false.
template <auto Member>
std::string PrintTrue(const Instruction& instruction) {
  return instruction.*Member ? "true" : "";
}
template <auto Member>
std::string PrintBool(const Instruction& instruction) {
  return instruction.*Member ? "true" : "false";
}
template <auto Member>
absl::Status ParseBool(TextCursor* cursor, Instruction* instruction, CalledNames*) {
  return cursor->ReadBool(&(instruction->*Member));
}

std::string Quoted(absl::string_view text) {
  return absl::StrCat("\"", absl::CHexEscape(text), "\"");
}
template <auto Member>
std::string PrintString(const Instruction& instruction) {
  return (instruction.*Member).empty() ? "" : Quoted(instruction.*Member);
}
template <auto Member>
absl::Status ParseString(TextCursor* cursor, Instruction* instruction, CalledNames*) {
  return cursor->ReadString(&(instruction->*Member));
}
// A bare word.
template <auto Member>
std::string PrintWord(const Instruction& instruction) {
  return instruction.*Member;
}
template <auto Member>
absl::Status ParseWord(TextCursor* cursor, Instruction* instruction, CalledNames*) {
  return cursor->ReadName(&(instruction->*Member));
}

// ---- Enumerations, by their names in the order of their values.

constexpr const char* kDirections[] = {"EQ", "NE", "GE", "GT", "LE", "LT"};
constexpr const char* kComparisonTypes[] = {"", "FLOAT", "TOTALORDER", "SIGNED", "UNSIGNED"};
constexpr const char* kDistributions[] = {"", "rng_uniform", "rng_normal"};
constexpr const char* kAlgorithms[] = {"rng_default", "rng_three_fry", "rng_philox"};
constexpr const char* kPrecisions[] = {"default", "high", "highest"};

template <typename Enum, size_t N>
absl::Status ReadEnum(const char* const (&names)[N], TextCursor* cursor, Enum* value) {
  const TextCursor before = *cursor;
  std::string name;
  GLIA_HLO_RETURN_IF_ERROR(cursor->ReadName(&name));
  for (size_t i = 0; i < N; ++i) {
    if (name == names[i]) {
      *value = static_cast<Enum>(i);
      return absl::OkStatus();
    }
  }
  return before.Error(absl::StrCat("unknown value ", name));
}
template <const auto& Names, auto Member>
std::string PrintEnum(const Instruction& instruction) {
  return Names[static_cast<size_t>(instruction.*Member)];
}
template <const auto& Names, auto Member>
absl::Status ParseEnum(TextCursor* cursor, Instruction* instruction, CalledNames*) {
  return ReadEnum(Names, cursor, &(instruction->*Member));
}

std::string PrintPrecision(const Instruction& instruction) {
  const std::vector<Precision>& precision = instruction.operand_precision;
  const bool given = std::any_of(precision.begin(), precision.end(),
                                 [](Precision p) { return p != Precision::kDefault; });
  if (!given) return "";
  std::vector<std::string> names;
  for (Precision p : precision) names.push_back(kPrecisions[static_cast<size_t>(p)]);
  return absl::StrCat("{", absl::StrJoin(names, ","), "}");
}
absl::Status ParsePrecision(TextCursor* cursor, Instruction* instruction, CalledNames*) {
  instruction->operand_precision.clear();
  GLIA_HLO_RETURN_IF_ERROR(cursor->Expect("{"));
  while (!cursor->Eat("}")) {
    Precision precision = Precision::kDefault;
    GLIA_HLO_RETURN_IF_ERROR(ReadEnum(kPrecisions, cursor, &precision));
    instruction->operand_precision.push_back(precision);
    (void)cursor->Eat(",");
  }
  return absl::OkStatus();
}

// ---- Called computations.

template <size_t Slot>
std::string PrintCalled(const Instruction& instruction) {
  return Slot < instruction.called.size() ? absl::StrCat("%", instruction.called[Slot]->name())
                                          : "";
}
template <size_t Slot>
absl::Status ParseCalled(TextCursor* cursor, Instruction*, CalledNames* called) {
  (void)cursor->Eat("%");
  called->push_back({Slot, ""});
  return cursor->ReadName(&called->back().name);
}
std::string CalledListText(const Instruction& instruction) {
  return absl::StrCat("{",
                      absl::StrJoin(instruction.called, ", ",
                                    [](std::string* out, const Computation* computation) {
                                      absl::StrAppend(out, "%", computation->name());
                                    }),
                      "}");
}
bool IsPredicated(const Instruction& instruction) {
  return instruction.operand_count() > 0 && instruction.operand(0)->shape.type == kPred &&
         instruction.called.size() == 2;
}
std::string PrintBranches(const Instruction& instruction) {
  return IsPredicated(instruction) ? "" : CalledListText(instruction);
}
template <size_t Slot>
std::string PrintPredicated(const Instruction& instruction) {
  return IsPredicated(instruction) ? PrintCalled<Slot>(instruction) : "";
}
std::string PrintCalledList(const Instruction& instruction) {
  return instruction.called.size() < 2 ? "" : CalledListText(instruction);
}
std::string PrintOnlyCalled(const Instruction& instruction) {
  return instruction.called.size() == 1 ? PrintCalled<0>(instruction) : "";
}
absl::Status ParseCalledList(TextCursor* cursor, Instruction*, CalledNames* called) {
  GLIA_HLO_RETURN_IF_ERROR(cursor->Expect("{"));
  while (!cursor->Eat("}")) {
    (void)cursor->Eat("%");
    called->push_back({called->size(), ""});
    GLIA_HLO_RETURN_IF_ERROR(cursor->ReadName(&called->back().name));
    (void)cursor->Eat(",");
  }
  return absl::OkStatus();
}

// ---- The rest.

std::string PrintEpsilon(const Instruction& instruction) {
  char buffer[32];
  const auto result = std::to_chars(buffer, buffer + sizeof(buffer), instruction.epsilon);
  return std::string(buffer, result.ptr);
}
absl::Status ParseEpsilon(TextCursor* cursor, Instruction* instruction, CalledNames*) {
  const TextCursor before = *cursor;
  if (absl::SimpleAtof(cursor->ReadToken(), &instruction->epsilon)) return absl::OkStatus();
  return before.Error("expected a number");
}

constexpr const char* kApiVersions[] = {
    "API_VERSION_UNSPECIFIED", "API_VERSION_ORIGINAL", "API_VERSION_STATUS_RETURNING",
    "API_VERSION_STATUS_RETURNING_UNIFIED", "API_VERSION_TYPED_FFI"};
std::string PrintApiVersion(const Instruction& instruction) {
  const int32_t version = instruction.custom_call_api_version;
  return version > 0 && version < static_cast<int32_t>(std::size(kApiVersions))
             ? kApiVersions[version]
             : "";
}
absl::Status ParseApiVersion(TextCursor* cursor, Instruction* instruction, CalledNames*) {
  return ReadEnum(kApiVersions, cursor, &instruction->custom_call_api_version);
}

absl::Status ParseBackendConfig(TextCursor* cursor, Instruction* instruction, CalledNames*) {
  if (cursor->Peek("\"")) return cursor->ReadString(&instruction->backend_config);
  // A JSON object as it is.
  absl::string_view value;
  GLIA_HLO_RETURN_IF_ERROR(cursor->ReadValue(&value));
  instruction->backend_config = std::string(value);
  return absl::OkStatus();
}

std::string PrintMetadata(const Instruction& instruction) {
  const OpMetadata& metadata = instruction.metadata;
  std::vector<std::string> fields;
  auto add = [&](const char* name, const std::string& value) {
    if (!value.empty()) fields.push_back(absl::StrCat(name, "=", Quoted(value)));
  };
  add("op_type", metadata.op_type);
  add("op_name", metadata.op_name);
  add("source_file", metadata.source_file);
  if (metadata.source_line != 0)
    fields.push_back(absl::StrCat("source_line=", metadata.source_line));
  return fields.empty() ? "" : absl::StrCat("{", absl::StrJoin(fields, " "), "}");
}
absl::Status ParseMetadata(TextCursor* cursor, Instruction* instruction, CalledNames*) {
  OpMetadata& metadata = instruction->metadata;
  GLIA_HLO_RETURN_IF_ERROR(cursor->Expect("{"));
  while (!cursor->Eat("}")) {
    std::string name;
    GLIA_HLO_RETURN_IF_ERROR(cursor->ReadName(&name));
    GLIA_HLO_RETURN_IF_ERROR(cursor->Expect("="));
    absl::string_view ignored;
    if (name == "op_type") {
      GLIA_HLO_RETURN_IF_ERROR(cursor->ReadString(&metadata.op_type));
    } else if (name == "op_name") {
      GLIA_HLO_RETURN_IF_ERROR(cursor->ReadString(&metadata.op_name));
    } else if (name == "source_file") {
      GLIA_HLO_RETURN_IF_ERROR(cursor->ReadString(&metadata.source_file));
    } else if (name == "source_line") {
      int64_t line;
      GLIA_HLO_RETURN_IF_ERROR(cursor->ReadInt(&line));
      metadata.source_line = static_cast<int32_t>(line);
    } else {
      GLIA_HLO_RETURN_IF_ERROR(cursor->ReadValue(&ignored));
    }
    (void)cursor->Eat(",");
  }
  return absl::OkStatus();
}

std::string PrintFrontendAttributes(const Instruction& instruction) {
  return instruction.frontend_attributes.empty()
             ? ""
             : FrontendAttributesText(instruction.frontend_attributes);
}
absl::Status ParseInstructionFrontendAttributes(TextCursor* cursor, Instruction* instruction,
                                                CalledNames*) {
  return ParseFrontendAttributes(cursor, &instruction->frontend_attributes);
}

#define GLIA_INTS(...) PrintInts<__VA_ARGS__>, ParseInts<__VA_ARGS__>
#define GLIA_SOME_INTS(...) PrintSomeInts<__VA_ARGS__>, ParseInts<__VA_ARGS__>
#define GLIA_INT(...) PrintInt<__VA_ARGS__>, ParseInt<__VA_ARGS__>
#define GLIA_COUNT(...) PrintCount<__VA_ARGS__>, ParseInt<__VA_ARGS__>
#define GLIA_TRUE(member) PrintTrue<member>, ParseBool<member>
#define GLIA_ENUM(names, member) PrintEnum<names, member>, ParseEnum<names, member>
#define GLIA_CALLED(slot) PrintCalled<slot>, ParseCalled<slot>

std::string PrintIotaDimension(const Instruction& instruction) {
  return instruction.dimensions.empty() ? "" : absl::StrCat(instruction.dimensions[0]);
}
absl::Status ParseIotaDimension(TextCursor* cursor, Instruction* instruction, CalledNames*) {
  instruction->dimensions.assign(1, 0);
  return cursor->ReadInt(&instruction->dimensions[0]);
}

const std::vector<AttributeSpec>& Specs() {
  using A = Attributes;
  using O = Opcode;
  static const auto* const specs = new std::vector<AttributeSpec>{
      {"dimensions",
       {O::kBroadcast, O::kTranspose, O::kReduce, O::kReverse, O::kConcatenate, O::kSort, O::kMap},
       GLIA_INTS(&A::dimensions)},
      {"iota_dimension", {O::kIota}, PrintIotaDimension, ParseIotaDimension},
      {"slice", {O::kSlice}, PrintSlice, ParseSlice},
      {"dynamic_slice_sizes", {O::kDynamicSlice}, GLIA_INTS(&A::slice_sizes)},
      {"padding", {O::kPad}, PrintPadding, ParsePadding},
      {"window",
       {O::kConvolution, O::kReduceWindow, O::kSelectAndScatter},
       PrintWindow,
       ParseWindow},
      {"dim_labels", {O::kConvolution}, PrintDimLabels, ParseDimLabels},
      {"feature_group_count", {O::kConvolution}, GLIA_COUNT(&A::feature_group_count)},
      {"batch_group_count", {O::kConvolution}, GLIA_COUNT(&A::batch_group_count)},
      {"lhs_batch_dims", {O::kDot}, GLIA_SOME_INTS(&A::dot_dims, &DotDims::lhs_batch)},
      {"lhs_contracting_dims", {O::kDot}, GLIA_INTS(&A::dot_dims, &DotDims::lhs_contracting)},
      {"rhs_batch_dims", {O::kDot}, GLIA_SOME_INTS(&A::dot_dims, &DotDims::rhs_batch)},
      {"rhs_contracting_dims", {O::kDot}, GLIA_INTS(&A::dot_dims, &DotDims::rhs_contracting)},
      {"offset_dims", {O::kGather}, GLIA_INTS(&A::gather_dims, &GatherDims::offset_dims)},
      {"collapsed_slice_dims",
       {O::kGather},
       GLIA_INTS(&A::gather_dims, &GatherDims::collapsed_slice_dims)},
      {"start_index_map", {O::kGather}, GLIA_INTS(&A::gather_dims, &GatherDims::start_index_map)},
      {"operand_batching_dims",
       {O::kGather},
       GLIA_SOME_INTS(&A::gather_dims, &GatherDims::operand_batching_dims)},
      {"start_indices_batching_dims",
       {O::kGather},
       GLIA_SOME_INTS(&A::gather_dims, &GatherDims::start_indices_batching_dims)},
      {"update_window_dims",
       {O::kScatter},
       GLIA_INTS(&A::scatter_dims, &ScatterDims::update_window_dims)},
      {"inserted_window_dims",
       {O::kScatter},
       GLIA_INTS(&A::scatter_dims, &ScatterDims::inserted_window_dims)},
      {"scatter_dims_to_operand_dims",
       {O::kScatter},
       GLIA_INTS(&A::scatter_dims, &ScatterDims::scatter_dims_to_operand_dims)},
      {"input_batching_dims",
       {O::kScatter},
       GLIA_SOME_INTS(&A::scatter_dims, &ScatterDims::input_batching_dims)},
      {"scatter_indices_batching_dims",
       {O::kScatter},
       GLIA_SOME_INTS(&A::scatter_dims, &ScatterDims::scatter_indices_batching_dims)},
      {"index_vector_dim",
       {O::kGather, O::kScatter},
       [](const Instruction& i) {
         return absl::StrCat(i.opcode() == O::kGather ? i.gather_dims.index_vector_dim
                                                      : i.scatter_dims.index_vector_dim);
       },
       [](TextCursor* cursor, Instruction* i, CalledNames*) {
         return cursor->ReadInt(i->opcode() == O::kGather ? &i->gather_dims.index_vector_dim
                                                          : &i->scatter_dims.index_vector_dim);
       }},
      {"slice_sizes", {O::kGather}, GLIA_INTS(&A::slice_sizes)},
      {"indices_are_sorted", {O::kGather, O::kScatter}, GLIA_TRUE(&A::indices_are_sorted)},
      {"unique_indices", {O::kScatter}, GLIA_TRUE(&A::unique_indices)},
      {"direction", {O::kCompare}, GLIA_ENUM(kDirections, &A::comparison_direction)},
      {"type", {O::kCompare}, GLIA_ENUM(kComparisonTypes, &A::comparison_type)},
      {"index", {O::kGetTupleElement}, GLIA_INT(&A::tuple_index)},
      {"is_stable", {O::kSort}, GLIA_TRUE(&A::is_stable)},
      {"k", {O::kTopK}, GLIA_INT(&A::k)},
      {"largest", {O::kTopK}, PrintBool<&A::largest>, ParseBool<&A::largest>},
      {"exponent_bits", {O::kReducePrecision}, GLIA_INT(&A::exponent_bits)},
      {"mantissa_bits", {O::kReducePrecision}, GLIA_INT(&A::mantissa_bits)},
      {"epsilon", {O::kBatchNormInference}, PrintEpsilon, ParseEpsilon},
      {"feature_index", {O::kBatchNormInference}, GLIA_INT(&A::feature_index)},
      {"distribution", {O::kRng}, GLIA_ENUM(kDistributions, &A::distribution)},
      {"algorithm", {O::kRngBitGenerator}, GLIA_ENUM(kAlgorithms, &A::rng_algorithm)},
      {"custom_call_target",
       {O::kCustomCall},
       PrintString<&A::custom_call_target>,
       ParseString<&A::custom_call_target>},
      {"custom_call_has_side_effect", {O::kCustomCall}, GLIA_TRUE(&A::custom_call_has_side_effect)},
      {"api_version", {O::kCustomCall}, PrintApiVersion, ParseApiVersion},
      {"called_computations", {O::kCustomCall}, PrintCalledList, ParseCalledList},
      {"kind", {O::kFusion}, PrintWord<&A::fusion_kind>, ParseWord<&A::fusion_kind>},
      {"calls", {O::kFusion}, GLIA_CALLED(0)},
      {"condition", {O::kWhile}, GLIA_CALLED(1)},
      {"body", {O::kWhile}, GLIA_CALLED(0)},
      {"true_computation", {O::kConditional}, PrintPredicated<0>, ParseCalled<0>},
      {"false_computation", {O::kConditional}, PrintPredicated<1>, ParseCalled<1>},
      {"branch_computations", {O::kConditional}, PrintBranches, ParseCalledList},
      {"select", {O::kSelectAndScatter}, GLIA_CALLED(0)},
      {"scatter", {O::kSelectAndScatter}, GLIA_CALLED(1)},
      {"to_apply",
       {O::kCall, O::kMap, O::kReduce, O::kReduceWindow, O::kScatter, O::kSort, O::kCustomCall},
       PrintOnlyCalled,
       ParseCalled<0>},
      {"operand_precision", {}, PrintPrecision, ParsePrecision},
      {"frontend_attributes", {}, PrintFrontendAttributes, ParseInstructionFrontendAttributes},
      {"metadata", {}, PrintMetadata, ParseMetadata},
      {"backend_config", {}, PrintString<&A::backend_config>, ParseBackendConfig},
  };
  return *specs;
}

#undef GLIA_INTS
#undef GLIA_SOME_INTS
#undef GLIA_INT
#undef GLIA_COUNT
#undef GLIA_TRUE
#undef GLIA_ENUM
#undef GLIA_CALLED

// Attributes that do not change the value of an instruction.
constexpr const char* kIgnored[] = {
    "sharding",        "control-predecessors",       "origin",
    "statistics",      "operand_layout_constraints", "output_to_operand_aliasing",
    "schedule",        "parameter_replication",      "is_composite",
    "result_accuracy",
};

const std::vector<const AttributeSpec*>& SpecsOf(Opcode opcode) {
  static const auto* const table = [] {
    auto* by_opcode = new std::vector<std::vector<const AttributeSpec*>>(kOpcodeCount);
    for (const AttributeSpec& spec : Specs()) {
      for (int i = 0; i < kOpcodeCount; ++i) {
        const auto candidate = static_cast<Opcode>(i);
        if (spec.opcodes.empty() ||
            std::count(spec.opcodes.begin(), spec.opcodes.end(), candidate)) {
          (*by_opcode)[i].push_back(&spec);
        }
      }
    }
    return by_opcode;
  }();
  return (*table)[static_cast<size_t>(opcode)];
}

}  // namespace

void AppendAttributes(const Instruction& instruction, bool with_metadata, std::string* out) {
  for (const AttributeSpec* spec : SpecsOf(instruction.opcode())) {
    if (!with_metadata && absl::string_view(spec->name) == "metadata") continue;
    const std::string value = spec->print(instruction);
    if (!value.empty()) absl::StrAppend(out, ", ", spec->name, "=", value);
  }
}

absl::Status ParseAttribute(absl::string_view name, TextCursor* cursor, Instruction* instruction,
                            std::vector<CalledName>* called) {
  for (const AttributeSpec* spec : SpecsOf(instruction->opcode())) {
    if (name == spec->name) return spec->parse(cursor, instruction, called);
  }
  const bool ignored = std::any_of(std::begin(kIgnored), std::end(kIgnored),
                                   [&](const char* known) { return name == known; });
  // Dot's algorithm is a hint for other devices.
  if (ignored || (name == "algorithm" && instruction->opcode() == Opcode::kDot)) {
    absl::string_view value;
    return cursor->ReadValue(&value);
  }
  return cursor->Error(
      absl::StrCat("unknown attribute ", name, " of ", OpcodeName(instruction->opcode())));
}

std::string FrontendAttributesText(const std::map<std::string, std::string>& attributes) {
  return absl::StrCat("{",
                      absl::StrJoin(attributes, ",",
                                    [](std::string* out, const auto& entry) {
                                      absl::StrAppend(out, SanitizeName(entry.first), "=",
                                                      Quoted(entry.second));
                                    }),
                      "}");
}

absl::Status ParseFrontendAttributes(TextCursor* cursor,
                                     std::map<std::string, std::string>* attributes) {
  GLIA_HLO_RETURN_IF_ERROR(cursor->Expect("{"));
  while (!cursor->Eat("}")) {
    std::string name;
    GLIA_HLO_RETURN_IF_ERROR(cursor->ReadName(&name));
    GLIA_HLO_RETURN_IF_ERROR(cursor->Expect("="));
    if (cursor->Peek("\"")) {
      GLIA_HLO_RETURN_IF_ERROR(cursor->ReadString(&(*attributes)[name]));
    } else {
      absl::string_view value;
      GLIA_HLO_RETURN_IF_ERROR(cursor->ReadValue(&value));
      (*attributes)[name] = std::string(value);
    }
    (void)cursor->Eat(",");
  }
  return absl::OkStatus();
}

}  // namespace glia::hlo
