#include "serialization/neff/manifest.h"

#include <google/protobuf/struct.pb.h>
#include <google/protobuf/util/json_util.h>

#include <set>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "absl/strings/str_join.h"
#include "serialization/isa/table.h"
#include "serialization/neff/tables.h"

namespace glia::neff {
namespace {

// Length of the well-formed UTF-8 sequence at the start of `s`, or 0 (RFC 3629).
size_t Utf8Length(absl::string_view s) {
  const auto byte = [s](size_t i) { return static_cast<unsigned char>(s[i]); };
  const unsigned char first = byte(0);
  if (first < 0x80) return 1;
  const size_t length = first >= 0xc2 && first <= 0xdf   ? 2
                        : first >= 0xe0 && first <= 0xef ? 3
                        : first >= 0xf0 && first <= 0xf4 ? 4
                                                         : 0;
  if (length == 0 || length > s.size()) return 0;
  for (size_t i = 1; i < length; ++i) {
    if ((byte(i) & 0xc0) != 0x80) return 0;
  }
  const unsigned char second = byte(1);
  const bool overlong = (first == 0xe0 && second < 0xa0) || (first == 0xf0 && second < 0x90);
  const bool surrogate = first == 0xed && second > 0x9f;
  const bool beyond = first == 0xf4 && second > 0x8f;
  return overlong || surrogate || beyond ? 0 : length;
}

bool IsUtf8(absl::string_view s) {
  while (!s.empty()) {
    const size_t length = Utf8Length(s);
    if (length == 0) return false;
    s.remove_prefix(length);
  }
  return true;
}

std::string Quoted(absl::string_view s) {
  std::string out = "\"";
  while (!s.empty()) {
    const size_t length = Utf8Length(s);
    const unsigned char c = static_cast<unsigned char>(s[0]);
    if (length == 0) {
      out += "\\ufffd";
    } else if (length > 1) {
      out.append(s.data(), length);
    } else if (c == '"' || c == '\\') {
      absl::StrAppend(&out, "\\", s.substr(0, 1));
    } else if (c < 0x20 || c == 0x7f) {
      absl::StrAppendFormat(&out, "\\u%04x", c);
    } else {
      out += s[0];
    }
    s.remove_prefix(length == 0 ? 1 : length);
  }
  return out + "\"";
}

// The key of an object: the name, made unique, since only inputs and outputs have names of their
// own.
std::string UniqueKey(const std::string& name, size_t id, std::set<std::string>* used) {
  std::string key = name.empty() ? absl::StrCat("#", id) : name;
  while (!used->insert(key).second) absl::StrAppend(&key, "#", id);
  return Quoted(key);
}

std::string VariableJson(const isa::Program& program, size_t id) {
  const isa::Variable& v = program.variables[id];
  std::string json =
      absl::StrCat("{\"type\": ", Quoted(isa::VariableKindName(v.kind)), ", \"var_id\": ", id,
                   ", \"size\": ", v.bytes, ", \"dtype\": ", Quoted(isa::FindDType(v.dtype)->name),
                   ", \"shape\": [", absl::StrJoin(v.shape, ", "), "]");
  if (v.kind == isa::VariableKind::kFile)
    absl::StrAppend(&json, ", \"file_name\": ", Quoted(v.file));
  if (v.kind == isa::VariableKind::kTmpBuf)
    absl::StrAppend(&json, ", \"scratch_offset\": ", v.hbm_offset);
  if (!isa::IsHbm(v.kind)) {
    absl::StrAppend(&json, ", \"partition\": ", v.partition, ", \"partitions\": ", v.partitions,
                    ", \"address\": ", v.address, ", \"partition_size\": ", v.partition_bytes);
  }
  if (v.alias >= 0) absl::StrAppend(&json, ", \"alias_var_id\": ", v.alias);
  return json + "}";
}

std::string TensorsJson(const isa::Program& program, isa::VariableKind kind) {
  std::string json;
  for (size_t i = 0; i < program.variables.size(); ++i) {
    const isa::Variable& v = program.variables[i];
    if (v.kind != kind) continue;
    absl::StrAppend(&json, json.empty() ? "" : ", ", "{\"name\": ", Quoted(v.name),
                    ", \"dtype\": ", Quoted(isa::FindDType(v.dtype)->name), ", \"shape\": [",
                    absl::StrJoin(v.shape, ", "), "], \"var_id\": ", i, "}");
  }
  return json;
}

std::string Objects(const std::vector<std::string>& entries) {
  return entries.empty() ? "{}"
                         : absl::StrCat("{\n    ", absl::StrJoin(entries, ",\n    "), "\n  }");
}

}  // namespace

std::string DefJson(const isa::Program& program) {
  std::vector<std::string> engines, queues, variables;
  for (int e = 0; e < isa::kEngines; ++e) {
    engines.push_back(absl::StrCat(Quoted(isa::EngineName(static_cast<isa::Engine>(e))),
                                   ": {\"json\": \"", kEngineStems[e], ".json\", \"binary\": \"",
                                   kEngineStems[e], ".bin\"}"));
  }
  std::set<std::string> used;
  for (size_t i = 0; i < program.queues.size(); ++i) {
    const isa::DmaQueue& q = program.queues[i];
    queues.push_back(absl::StrCat(
        UniqueKey(q.name, i, &used),
        ": {\"type\": \"data\", \"num_queues\": 16, \"owner\": ", Quoted(isa::EngineName(q.issuer)),
        q.semaphore == isa::kNoSemaphore ? "" : absl::StrCat(", \"semaphore\": ", q.semaphore),
        "}"));
  }
  used.clear();
  for (size_t i = 0; i < program.variables.size(); ++i) {
    variables.push_back(absl::StrCat(UniqueKey(program.variables[i].name, i, &used), ": ",
                                     VariableJson(program, i)));
  }
  return absl::StrCat(
      "{\n  \"name\": ", Quoted(program.name), ",\n  \"scratch_size\": ", program.scratch_bytes,
      ",\n  \"segments\": ", program.segments.size(), ",\n  \"engines\": ", Objects(engines),
      ",\n  \"dma_queue\": ", Objects(queues), ",\n  \"var\": ", Objects(variables),
      ",\n  \"tensors\": {\"inputs\": [", TensorsJson(program, isa::VariableKind::kInput),
      "], \"outputs\": [", TensorsJson(program, isa::VariableKind::kOutput), "]}\n}\n");
}

std::string EngineJson(const isa::Program& program, int engine) {
  std::string counts;
  size_t total = 0;
  for (const isa::Segment& s : program.segments) {
    absl::StrAppend(&counts, counts.empty() ? "" : ", ", s.streams[engine].size());
    total += s.streams[engine].size();
  }
  return absl::StrCat("{\"engine\": ", Quoted(isa::EngineName(static_cast<isa::Engine>(engine))),
                      ", \"binary\": \"", kEngineStems[engine],
                      ".bin\", \"record_size\": ", sizeof(isa::Instruction),
                      ", \"instructions\": ", total, ", \"segments\": [", counts, "]}\n");
}

absl::StatusOr<std::string> InfoJson(const std::map<std::string, std::string>& info) {
  std::vector<std::string> entries;
  for (const auto& [key, value] : info) {
    if (!IsUtf8(key) || !IsUtf8(value)) {
      return absl::InvalidArgumentError(
          absl::StrCat("NEFF info ", Quoted(key), " is not UTF-8 text"));
    }
    entries.push_back(absl::StrCat(Quoted(key), ": ", Quoted(value)));
  }
  return Objects(entries) + "\n";
}

absl::StatusOr<std::map<std::string, std::string>> ParseInfoJson(absl::string_view json) {
  google::protobuf::Struct parsed;
  const auto status = google::protobuf::util::JsonStringToMessage(std::string(json), &parsed);
  if (!status.ok()) {
    return absl::DataLossError(
        absl::StrCat("NEFF member 'info.json': ", std::string(status.message())));
  }
  std::map<std::string, std::string> info;
  for (const auto& [key, value] : parsed.fields()) {
    if (value.kind_case() != google::protobuf::Value::kStringValue) {
      return absl::DataLossError(absl::StrCat("NEFF member 'info.json': '", key, "' is no string"));
    }
    info[key] = value.string_value();
  }
  return info;
}

}  // namespace glia::neff
