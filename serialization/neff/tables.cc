#include "serialization/neff/tables.h"

#include <cstdint>
#include <cstring>
#include <unordered_map>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "serialization/isa/encode.h"

namespace glia::neff {
namespace {

struct Range {
  uint32_t offset = 0, size = 0;  // into strings.bin: bytes; into shapes.bin: numbers
};
struct ProgramRecord {
  Range name;
  int64_t scratch_bytes = 0;
};
struct VariableRecord {
  Range name, file, shape;
  int64_t bytes = 0, hbm_offset = 0, address = 0, partition_bytes = 0;
  int32_t partition = 0, partitions = 0, alias = -1;
  uint8_t kind = 0, dtype = 0;
  uint16_t reserved = 0;
};
struct QueueRecord {
  Range name;
  uint16_t semaphore = 0, issuer = 0;
  uint32_t reserved = 0;
};
struct SegmentRecord {
  uint32_t kind = 0, target = 0, otherwise = 0, var = 0;
  uint64_t offset = 0;
  int64_t expected_trips = 0;
  uint32_t dtype = 0;
  uint32_t instructions[isa::kEngines] = {};
};
struct DebugRecord {
  Range hlo, op, source;
};
static_assert(sizeof(ProgramRecord) == 16 && sizeof(VariableRecord) == 72 &&
              sizeof(QueueRecord) == 16 && sizeof(SegmentRecord) == 56 &&
              sizeof(DebugRecord) == 24);

std::string Path(absl::string_view file) { return absl::StrCat(kSubgraph, file); }
std::string EnginePath(int engine) { return absl::StrCat(kSubgraph, kEngineStems[engine], ".bin"); }

template <typename T>
void Append(const T& record, std::string* table) {
  table->append(reinterpret_cast<const char*>(&record), sizeof(record));
}

class PoolWriter {
 public:
  Range AddString(const std::string& text) {
    const auto [it, added] = known_.try_emplace(text, Range{});
    if (added) {
      it->second = {static_cast<uint32_t>(strings.size()), static_cast<uint32_t>(text.size())};
      strings += text;
    }
    return it->second;
  }
  Range AddShape(const std::vector<int64_t>& shape) {
    const Range range = {static_cast<uint32_t>(shapes.size() / sizeof(int64_t)),
                         static_cast<uint32_t>(shape.size())};
    for (int64_t size : shape) Append(size, &shapes);
    return range;
  }
  std::string strings, shapes;

 private:
  std::unordered_map<std::string, Range> known_;
};

using MemberMap = std::map<std::string, absl::string_view>;

absl::StatusOr<absl::string_view> Find(const MemberMap& members, const std::string& name) {
  const auto it = members.find(name);
  if (it == members.end())
    return absl::DataLossError(absl::StrCat("NEFF has no member '", name, "'"));
  return it->second;
}

// A table of the archive, checked to hold whole records.
template <typename T>
absl::StatusOr<std::vector<T>> Records(const MemberMap& members, const std::string& name) {
  const absl::StatusOr<absl::string_view> bytes = Find(members, name);
  if (!bytes.ok()) return bytes.status();
  if (bytes->size() % sizeof(T) != 0) {
    return absl::DataLossError(absl::StrCat("NEFF member '", name, "' of ", bytes->size(),
                                            " bytes holds no whole number of records of ",
                                            sizeof(T)));
  }
  std::vector<T> records(bytes->size() / sizeof(T));
  if (!records.empty()) std::memcpy(records.data(), bytes->data(), bytes->size());
  return records;
}

// Resolves ranges; remembers the first that lies outside of its pool.
class PoolReader {
 public:
  PoolReader(std::vector<char> strings, std::vector<int64_t> shapes)
      : strings_(std::move(strings)), shapes_(std::move(shapes)) {}

  std::string String(Range r) {
    if (!Inside(r, strings_.size())) return {};
    return std::string(strings_.begin() + r.offset, strings_.begin() + r.offset + r.size);
  }
  std::vector<int64_t> Shape(Range r) {
    if (!Inside(r, shapes_.size())) return {};
    return std::vector<int64_t>(shapes_.begin() + r.offset, shapes_.begin() + r.offset + r.size);
  }
  absl::Status Check(const char* table, size_t record) const {
    if (ok_) return absl::OkStatus();
    return absl::DataLossError(absl::StrCat("NEFF table ", table, " record ", record,
                                            " points outside of the strings or shapes"));
  }

 private:
  bool Inside(Range r, size_t pool) {
    const bool inside = uint64_t{r.offset} + r.size <= pool;
    ok_ &= inside;
    return inside;
  }
  std::vector<char> strings_;
  std::vector<int64_t> shapes_;
  bool ok_ = true;
};

isa::Variable ToVariable(const VariableRecord& r, PoolReader* pools) {
  isa::Variable v;
  v.name = pools->String(r.name);
  v.kind = static_cast<isa::VariableKind>(r.kind);
  v.dtype = static_cast<isa::DType>(r.dtype);
  v.shape = pools->Shape(r.shape);
  v.bytes = r.bytes;
  v.hbm_offset = r.hbm_offset;
  v.file = pools->String(r.file);
  v.partition = r.partition;
  v.partitions = r.partitions;
  v.address = r.address;
  v.partition_bytes = r.partition_bytes;
  v.alias = r.alias;
  return v;
}

VariableRecord ToRecord(const isa::Variable& v, PoolWriter* pools) {
  VariableRecord r;
  r.name = pools->AddString(v.name);
  r.file = pools->AddString(v.file);
  r.shape = pools->AddShape(v.shape);
  r.bytes = v.bytes;
  r.hbm_offset = v.hbm_offset;
  r.address = v.address;
  r.partition_bytes = v.partition_bytes;
  r.partition = v.partition;
  r.partitions = v.partitions;
  r.alias = v.alias;
  r.kind = static_cast<uint8_t>(v.kind);
  r.dtype = static_cast<uint8_t>(v.dtype);
  return r;
}

isa::Terminator ToTerminator(const SegmentRecord& r) {
  isa::Terminator t;
  t.kind = static_cast<isa::TerminatorKind>(r.kind);
  t.target = r.target;
  t.otherwise = r.otherwise;
  t.var = r.var;
  t.offset = r.offset;
  t.expected_trips = r.expected_trips;
  t.dtype = static_cast<isa::DType>(r.dtype);
  return t;
}

SegmentRecord ToRecord(const isa::Segment& segment) {
  const isa::Terminator& t = segment.terminator;
  SegmentRecord r;
  r.kind = static_cast<uint32_t>(t.kind);
  r.target = t.target;
  r.otherwise = t.otherwise;
  r.var = t.var;
  r.offset = t.offset;
  r.expected_trips = t.expected_trips;
  r.dtype = static_cast<uint32_t>(t.dtype);
  for (int e = 0; e < isa::kEngines; ++e)
    r.instructions[e] = static_cast<uint32_t>(segment.streams[e].size());
  return r;
}

absl::Status DecodeStreams(const MemberMap& members, const std::vector<SegmentRecord>& segments,
                           isa::Program* program) {
  for (int e = 0; e < isa::kEngines; ++e) {
    const absl::StatusOr<absl::string_view> bytes = Find(members, EnginePath(e));
    if (!bytes.ok()) return bytes.status();
    const absl::StatusOr<std::vector<isa::Instruction>> all = isa::DecodeInstructions(*bytes);
    if (!all.ok()) return all.status();
    size_t begin = 0;
    for (size_t s = 0; s < segments.size(); ++s) {
      const size_t count = segments[s].instructions[e];
      if (count > all->size() - begin) {
        return absl::DataLossError(absl::StrCat("NEFF member '", EnginePath(e), "' has ",
                                                all->size(),
                                                " instructions, fewer than its segments"));
      }
      program->segments[s].streams[e].assign(all->begin() + begin, all->begin() + begin + count);
      begin += count;
    }
    if (begin != all->size()) {
      return absl::DataLossError(absl::StrCat("NEFF member '", EnginePath(e), "' has ", all->size(),
                                              " instructions, its segments ", begin));
    }
  }
  return absl::OkStatus();
}

// Enum fields wider in the record than in memory must not lose what makes them invalid.
absl::Status CheckNarrowing(const std::vector<SegmentRecord>& segments,
                            const std::vector<QueueRecord>& queues) {
  for (size_t i = 0; i < segments.size(); ++i) {
    if (segments[i].kind > 0xff || segments[i].dtype > 0xff) {
      return absl::DataLossError(
          absl::StrCat("NEFF table segments record ", i, " has an unknown kind or dtype"));
    }
  }
  for (size_t i = 0; i < queues.size(); ++i) {
    if (queues[i].issuer > 0xff) {
      return absl::DataLossError(
          absl::StrCat("NEFF table queues record ", i, " has an unknown issuer"));
    }
  }
  return absl::OkStatus();
}

}  // namespace

absl::StatusOr<std::map<std::string, std::string>> EncodeTables(const isa::Program& program) {
  std::map<std::string, std::string> tables;
  PoolWriter pools;
  Append(ProgramRecord{pools.AddString(program.name), program.scratch_bytes},
         &tables[Path("program.bin")]);
  std::string& variables = tables[Path("variables.bin")];
  for (const isa::Variable& v : program.variables) Append(ToRecord(v, &pools), &variables);
  std::string& queues = tables[Path("queues.bin")];
  for (const isa::DmaQueue& q : program.queues) {
    Append(QueueRecord{pools.AddString(q.name), q.semaphore, static_cast<uint16_t>(q.issuer), 0},
           &queues);
  }
  std::string& debug = tables[Path("debug.bin")];
  for (const isa::DebugEntry& d : program.debug) {
    Append(DebugRecord{pools.AddString(d.hlo), pools.AddString(d.op), pools.AddString(d.source)},
           &debug);
  }
  std::string& segments = tables[Path("segments.bin")];
  for (const isa::Segment& s : program.segments) Append(ToRecord(s), &segments);
  for (int e = 0; e < isa::kEngines; ++e) {
    std::string& table = tables[EnginePath(e)];
    for (const isa::Segment& s : program.segments) {
      const absl::string_view bytes = isa::EncodedInstructions(s.streams[e]);
      table.append(bytes.data(), bytes.size());
    }
  }
  const absl::string_view dmas = isa::EncodedDmas(program.dmas);
  tables[Path("dma.bin")].assign(dmas.data(), dmas.size());
  if (pools.strings.size() > UINT32_MAX || pools.shapes.size() > UINT32_MAX) {
    return absl::InvalidArgumentError(absl::StrCat("the program's names and debug entries take ",
                                                   pools.strings.size(),
                                                   " bytes, a NEFF holds 4 GiB of them"));
  }
  tables[Path("strings.bin")] = std::move(pools.strings);
  tables[Path("shapes.bin")] = std::move(pools.shapes);
  return tables;
}

absl::StatusOr<isa::Program> DecodeTables(const std::map<std::string, absl::string_view>& members) {
  auto strings = Records<char>(members, Path("strings.bin"));
  if (!strings.ok()) return strings.status();
  auto shapes = Records<int64_t>(members, Path("shapes.bin"));
  if (!shapes.ok()) return shapes.status();
  const auto programs = Records<ProgramRecord>(members, Path("program.bin"));
  if (!programs.ok()) return programs.status();
  const auto variables = Records<VariableRecord>(members, Path("variables.bin"));
  if (!variables.ok()) return variables.status();
  const auto queues = Records<QueueRecord>(members, Path("queues.bin"));
  if (!queues.ok()) return queues.status();
  const auto debug = Records<DebugRecord>(members, Path("debug.bin"));
  if (!debug.ok()) return debug.status();
  const auto segments = Records<SegmentRecord>(members, Path("segments.bin"));
  if (!segments.ok()) return segments.status();
  const auto dma_bytes = Find(members, Path("dma.bin"));
  if (!dma_bytes.ok()) return dma_bytes.status();
  auto dmas = isa::DecodeDmas(*dma_bytes);
  if (!dmas.ok()) return dmas.status();
  if (programs->size() != 1) {
    return absl::DataLossError(
        absl::StrCat("NEFF table program has ", programs->size(), " records, must have 1"));
  }
  absl::Status status = CheckNarrowing(*segments, *queues);
  if (!status.ok()) return status;

  PoolReader pools(std::move(*strings), std::move(*shapes));
  isa::Program program;
  program.name = pools.String((*programs)[0].name);
  program.scratch_bytes = (*programs)[0].scratch_bytes;
  status = pools.Check("program", 0);
  program.variables.reserve(variables->size());
  for (size_t i = 0; status.ok() && i < variables->size(); ++i) {
    program.variables.push_back(ToVariable((*variables)[i], &pools));
    status = pools.Check("variables", i);
  }
  for (size_t i = 0; status.ok() && i < queues->size(); ++i) {
    const QueueRecord& q = (*queues)[i];
    program.queues.push_back(
        {pools.String(q.name), static_cast<isa::Engine>(q.issuer), q.semaphore});
    status = pools.Check("queues", i);
  }
  program.debug.reserve(debug->size());
  for (size_t i = 0; status.ok() && i < debug->size(); ++i) {
    const DebugRecord& d = (*debug)[i];
    program.debug.push_back({pools.String(d.hlo), pools.String(d.op), pools.String(d.source)});
    status = pools.Check("debug", i);
  }
  if (!status.ok()) return status;
  program.segments.resize(segments->size());
  for (size_t s = 0; s < segments->size(); ++s)
    program.segments[s].terminator = ToTerminator((*segments)[s]);
  status = DecodeStreams(members, *segments, &program);
  if (!status.ok()) return status;
  program.dmas = std::move(*dmas);
  return program;
}

}  // namespace glia::neff
