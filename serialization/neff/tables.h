// A program as flat tables of fixed-size little-endian records, each a member of the archive. Text
// and shapes lie in pools that the records point into.
#ifndef GLIA_SERIALIZATION_NEFF_TABLES_H_
#define GLIA_SERIALIZATION_NEFF_TABLES_H_

#include <map>
#include <string>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "serialization/isa/program.h"

namespace glia::neff {

inline constexpr const char* kEngineStems[isa::kEngines] = {"PE", "Activation", "Pool", "DVE",
                                                            "SP"};
inline constexpr char kSubgraph[] = "sg00/";

// Member name (such as "sg00/PE.bin") -> bytes. Error: InvalidArgument for what no table can hold.
absl::StatusOr<std::map<std::string, std::string>> EncodeTables(const isa::Program& program);

// Error: DataLoss naming the table and the record. The program's meaning is not checked
// (isa::Validate).
absl::StatusOr<isa::Program> DecodeTables(const std::map<std::string, absl::string_view>& members);

}  // namespace glia::neff

#endif  // GLIA_SERIALIZATION_NEFF_TABLES_H_
