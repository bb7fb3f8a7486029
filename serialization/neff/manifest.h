// The JSON members: sg00/def.json and one file per engine, after the public description of a NEFF
// (work-with-neff-files.rst), and info.json. The first two describe the tables to people and tools;
// what runs are the tables.
#ifndef GLIA_SERIALIZATION_NEFF_MANIFEST_H_
#define GLIA_SERIALIZATION_NEFF_MANIFEST_H_

#include <map>
#include <string>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "serialization/isa/program.h"

namespace glia::neff {

// Text is UTF-8; bytes that are not become U+FFFD. Equal programs give equal text.
std::string DefJson(const isa::Program& program);
std::string EngineJson(const isa::Program& program, int engine);

// Error: InvalidArgument naming a key whose text is not UTF-8.
absl::StatusOr<std::string> InfoJson(const std::map<std::string, std::string>& info);
// Error: DataLoss.
absl::StatusOr<std::map<std::string, std::string>> ParseInfoJson(absl::string_view json);

}  // namespace glia::neff

#endif  // GLIA_SERIALIZATION_NEFF_MANIFEST_H_
