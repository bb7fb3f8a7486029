// HLO modules to and from their wire form (hlo.proto). Thread-safe.
#ifndef GLIA_SERIALIZATION_HLO_PROTO_CONVERT_H_
#define GLIA_SERIALIZATION_HLO_PROTO_CONVERT_H_

#include <memory>
#include <string>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "serialization/hlo/hlo.pb.h"
#include "serialization/hlo/ir.h"

namespace glia::hlo {

proto::ShapeProto ShapeToProto(const Shape& shape);
// INVALID_ARGUMENT for types that are not supported, dynamic dimensions, and what ValidateShape
// refuses.
absl::StatusOr<Shape> ShapeFromProto(const proto::ShapeProto& proto);

// Written in row-major order with the default layout.
proto::LiteralProto LiteralToProto(const Literal& literal);
// Reads values in the order of the proto's layout. INVALID_ARGUMENT when their number is not the
// shape's, and for s4 and u4, whose packing is not settled.
absl::StatusOr<Literal> LiteralFromProto(const proto::LiteralProto& proto);

// The module must have passed Verify. Callees come before callers and operands before users. Ids
// are written as they are in memory.
proto::HloModuleProto ModuleToProto(const Module& module);

// Builds the module, keeping ids and names, and verifies it. Accepts ids unique in the module
// (older writers) or in the computation, with or without the computation's id in the upper 32 bits
// (newer ones). INVALID_ARGUMENT names computation and instruction: unknown opcode, unknown or
// repeated ids, an operand that does not precede its user, a missing shape, a literal of the wrong
// size, wrong shapes.
absl::StatusOr<std::unique_ptr<Module>> ModuleFromProto(const proto::HloModuleProto& proto);

// The serialized HloModuleProto; the same bytes for the same module. RESOURCE_EXHAUSTED above
// protobuf's 2 GB.
absl::StatusOr<std::string> SerializeModule(const Module& module);
// Parses a serialized HloModuleProto, HloProto or HloSnapshot.
absl::StatusOr<std::unique_ptr<Module>> DeserializeModule(absl::string_view bytes);

}  // namespace glia::hlo

#endif  // GLIA_SERIALIZATION_HLO_PROTO_CONVERT_H_
