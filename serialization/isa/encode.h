// The records of isa.h as bytes. In memory and in a file they are the same: little-endian, no
// padding.
#ifndef GLIA_SERIALIZATION_ISA_ENCODE_H_
#define GLIA_SERIALIZATION_ISA_ENCODE_H_

#include <vector>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "absl/types/span.h"
#include "serialization/isa/isa.h"

namespace glia::isa {

// The result points at the records.
absl::string_view EncodedInstructions(absl::Span<const Instruction> instructions);
absl::string_view EncodedDmas(absl::Span<const DmaDescriptor> dmas);

// `bytes` needs no alignment. The fields are not checked (validate.h does). Error: DataLoss if the
// size is no multiple of a record's.
absl::StatusOr<std::vector<Instruction>> DecodeInstructions(absl::string_view bytes);
absl::StatusOr<std::vector<DmaDescriptor>> DecodeDmas(absl::string_view bytes);

}  // namespace glia::isa

#endif  // GLIA_SERIALIZATION_ISA_ENCODE_H_
