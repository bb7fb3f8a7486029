// The attributes of an instruction to and from the wire. Not public.
#ifndef GLIA_SERIALIZATION_HLO_PROTO_ATTRIBUTES_H_
#define GLIA_SERIALIZATION_HLO_PROTO_ATTRIBUTES_H_

#include "absl/status/status.h"
#include "serialization/hlo/hlo.pb.h"
#include "serialization/hlo/ir.h"

namespace glia::hlo {

// Everything of Attributes but the literal.
void AttributesToProto(const Instruction& instruction, proto::HloInstructionProto* proto);
absl::Status AttributesFromProto(const proto::HloInstructionProto& proto, Instruction* instruction);

}  // namespace glia::hlo

#endif  // GLIA_SERIALIZATION_HLO_PROTO_ATTRIBUTES_H_
