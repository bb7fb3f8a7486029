#include "serialization/hlo/proto_convert.h"

#include <limits>
#include <utility>
#include <vector>

#include "absl/container/flat_hash_map.h"
#include "absl/container/flat_hash_set.h"
#include "absl/strings/str_cat.h"
#include "google/protobuf/io/coded_stream.h"
#include "google/protobuf/io/zero_copy_stream_impl_lite.h"
#include "serialization/hlo/proto_attributes.h"
#include "serialization/hlo/verifier.h"

namespace glia::hlo {
namespace {

// Ids above this could not be followed by more.
constexpr int64_t kMaxId = int64_t{1} << 62;

proto::ProgramShapeProto ProgramShapeToProto(const ProgramShape& shape) {
  proto::ProgramShapeProto proto;
  for (const Shape& parameter : shape.parameters) *proto.add_parameters() = ShapeToProto(parameter);
  *proto.mutable_result() = ShapeToProto(shape.result);
  for (const std::string& name : shape.parameter_names) proto.add_parameter_names(name);
  return proto;
}

class Reader {
 public:
  explicit Reader(const proto::HloModuleProto& proto) : proto_(proto) {}

  absl::StatusOr<std::unique_ptr<Module>> Run() {
    module_ = std::make_unique<Module>(proto_.name().empty() ? "module" : proto_.name());
    absl::flat_hash_map<int64_t, Computation*> computations;
    for (const proto::HloComputationProto& computation : proto_.computations()) {
      absl::Status status = ReadComputation(computation, &computations);
      if (!status.ok()) return status;
    }
    // Ids are set last: until then those given by the module itself must not collide.
    absl::flat_hash_set<int64_t> taken;
    bool unique = true;
    for (const auto& [instruction, id] : ids_) unique = unique && taken.insert(id).second;
    if (unique) {
      for (const auto& [instruction, id] : ids_) module_->SetId(instruction, id);
    }
    for (const auto& [id, computation] : computations) module_->SetId(computation, id);

    Computation* entry = nullptr;
    const auto by_id = computations.find(proto_.entry_computation_id());
    if (by_id != computations.end()) {
      entry = by_id->second;
    } else if (!proto_.entry_computation_name().empty()) {
      entry = module_->Find(SanitizeName(proto_.entry_computation_name()));
    }
    if (entry == nullptr) {
      return Error(absl::StrCat("no computation is the entry (id ", proto_.entry_computation_id(),
                                ", name \"", proto_.entry_computation_name(), "\")"));
    }
    module_->set_entry(entry);
    for (const auto& alias : proto_.input_output_alias().entries()) {
      module_->input_output_alias.push_back(
          {{alias.output_shape_index().begin(), alias.output_shape_index().end()},
           alias.parameter_number(),
           {alias.parameter_shape_index().begin(), alias.parameter_shape_index().end()},
           alias.kind() == proto::MUST_ALIAS});
    }
    for (const auto& [key, value] : proto_.frontend_attributes().map()) {
      module_->frontend_attributes[key] = value;
    }
    absl::Status valid = Verify(*module_);
    if (!valid.ok()) return valid;
    return std::move(module_);
  }

 private:
  absl::Status Error(absl::string_view what) const {
    return absl::InvalidArgumentError(absl::StrCat("HLO module ", proto_.name(), ": ", what));
  }

  // Instructions of one computation by id. References may give the lower 32 bits of an id alone.
  struct InstructionIds {
    absl::flat_hash_map<int64_t, Instruction*> full;
    absl::flat_hash_map<uint32_t, Instruction*> low;

    Instruction* Find(int64_t id) const {
      const auto exact = full.find(id);
      if (exact != full.end()) return exact->second;
      const auto local = low.find(static_cast<uint32_t>(id));
      return local == low.end() ? nullptr : local->second;
    }
  };

  absl::Status ReadComputation(const proto::HloComputationProto& proto,
                               absl::flat_hash_map<int64_t, Computation*>* computations) {
    auto error = [&](const proto::HloInstructionProto* instruction, absl::string_view what) {
      return Error(absl::StrCat("computation ", proto.name(), " (id ", proto.id(), ")",
                                instruction == nullptr
                                    ? ""
                                    : absl::StrCat(", instruction ", instruction->name(), " (id ",
                                                   instruction->id(), ")"),
                                ": ", what));
    };
    if (proto.id() < 0 || proto.id() > kMaxId) return error(nullptr, "its id is out of range");
    Computation* computation = module_->AddComputation(proto.name());
    InstructionIds ids;
    for (const proto::HloInstructionProto& instruction : proto.instructions()) {
      Instruction* added = nullptr;
      absl::Status status = ReadInstruction(instruction, ids, *computations, computation, &added);
      if (!status.ok()) return error(&instruction, status.message());
      if (instruction.id() < 0 || instruction.id() > kMaxId) {
        return error(&instruction, "its id is out of range");
      }
      if (!ids.full.emplace(instruction.id(), added).second) {
        return error(&instruction, "the id is used twice");
      }
      if (!ids.low.emplace(static_cast<uint32_t>(instruction.id()), added).second) {
        return error(&instruction, "the lower 32 bits of the id are used twice");
      }
      ids_.emplace_back(added, instruction.id());
    }
    Instruction* root = ids.Find(proto.root_id());
    if (root == nullptr) {
      return error(nullptr,
                   absl::StrCat("there is no instruction with the root's id ", proto.root_id()));
    }
    computation->set_root(root);
    if (!computations->emplace(proto.id(), computation).second) {
      return error(nullptr, "the id is used by another computation");
    }
    return absl::OkStatus();
  }

  absl::Status ReadInstruction(const proto::HloInstructionProto& proto, const InstructionIds& ids,
                               const absl::flat_hash_map<int64_t, Computation*>& computations,
                               Computation* computation, Instruction** added) {
    const absl::optional<Opcode> opcode = OpcodeFromName(proto.opcode());
    if (!opcode.has_value()) {
      return absl::InvalidArgumentError(
          absl::StrCat("instruction \"", proto.opcode(), "\" is not supported"));
    }
    if (!proto.has_shape()) return absl::InvalidArgumentError("it has no shape");
    absl::StatusOr<Shape> shape = ShapeFromProto(proto.shape());
    if (!shape.ok()) return shape.status();
    std::vector<Instruction*> operands;
    for (int64_t id : proto.operand_ids()) {
      Instruction* operand = ids.Find(id);
      if (operand == nullptr) {
        return absl::InvalidArgumentError(
            absl::StrCat("operand id ", id, " is not that of an instruction before it"));
      }
      operands.push_back(operand);
    }
    Instruction* instruction = nullptr;
    if (*opcode == Opcode::kParameter) {
      instruction =
          computation->AddParameter(proto.parameter_number(), *std::move(shape), proto.name());
      if (!operands.empty()) return absl::InvalidArgumentError("a parameter has no operands");
    } else {
      instruction = computation->Add(*opcode, *std::move(shape), operands, proto.name());
    }
    *added = instruction;
    absl::Status status = AttributesFromProto(proto, instruction);
    if (!status.ok()) return status;
    if (*opcode == Opcode::kConstant) {
      if (!proto.has_literal()) return absl::InvalidArgumentError("the constant has no value");
      absl::StatusOr<Literal> literal = LiteralFromProto(proto.literal());
      if (!literal.ok()) return literal.status();
      instruction->literal = std::make_shared<const Literal>(*std::move(literal));
    }
    for (int64_t id : proto.called_computation_ids()) {
      const auto it = computations.find(id);
      if (it == computations.end()) {
        return absl::InvalidArgumentError(
            absl::StrCat("called computation id ", id, " is not that of a computation before it"));
      }
      instruction->called.push_back(it->second);
    }
    return absl::OkStatus();
  }

  const proto::HloModuleProto& proto_;
  std::unique_ptr<Module> module_;
  std::vector<std::pair<Instruction*, int64_t>> ids_;
};

bool ParseBytes(absl::string_view bytes, google::protobuf::Message* message) {
  return message->ParseFromArray(bytes.data(), static_cast<int>(bytes.size()));
}

}  // namespace

proto::HloModuleProto ModuleToProto(const Module& module) {
  proto::HloModuleProto proto;
  proto.set_name(module.name());
  proto.set_entry_computation_name(module.entry()->name());
  proto.set_entry_computation_id(module.entry()->id());
  *proto.mutable_host_program_shape() = ProgramShapeToProto(module.program_shape());
  absl::flat_hash_set<const Computation*> fused;
  for (const Computation* computation : module.Computations()) {
    for (const Instruction* instruction : computation->Instructions()) {
      if (instruction->opcode() == Opcode::kFusion) {
        fused.insert(instruction->called.begin(), instruction->called.end());
      }
    }
  }
  for (const Computation* computation : module.MakeComputationPostOrder()) {
    proto::HloComputationProto* out = proto.add_computations();
    out->set_name(computation->name());
    out->set_id(computation->id());
    out->set_root_id(computation->root()->id());
    out->set_is_fusion_computation(fused.contains(computation));
    *out->mutable_program_shape() = ProgramShapeToProto(ProgramShapeOf(*computation));
    for (const Instruction* instruction : computation->PostOrder()) {
      proto::HloInstructionProto* to = out->add_instructions();
      to->set_name(instruction->name());
      to->set_opcode(std::string(OpcodeName(instruction->opcode())));
      to->set_id(instruction->id());
      *to->mutable_shape() = ShapeToProto(instruction->shape);
      for (const Instruction* operand : instruction->operands()) to->add_operand_ids(operand->id());
      for (const Computation* callee : instruction->called) {
        to->add_called_computation_ids(callee->id());
      }
      if (instruction->literal != nullptr) {
        *to->mutable_literal() = LiteralToProto(*instruction->literal);
      }
      AttributesToProto(*instruction, to);
    }
  }
  for (const InputOutputAlias& alias : module.input_output_alias) {
    auto* entry = proto.mutable_input_output_alias()->add_entries();
    entry->mutable_output_shape_index()->Add(alias.output_index.begin(), alias.output_index.end());
    entry->set_parameter_number(alias.parameter_number);
    entry->mutable_parameter_shape_index()->Add(alias.parameter_index.begin(),
                                                alias.parameter_index.end());
    entry->set_kind(alias.must_alias ? proto::MUST_ALIAS : proto::MAY_ALIAS);
  }
  for (const auto& [key, value] : module.frontend_attributes) {
    (*proto.mutable_frontend_attributes()->mutable_map())[key] = value;
  }
  return proto;
}

absl::StatusOr<std::unique_ptr<Module>> ModuleFromProto(const proto::HloModuleProto& proto) {
  return Reader(proto).Run();
}

absl::StatusOr<std::string> SerializeModule(const Module& module) {
  const proto::HloModuleProto proto = ModuleToProto(module);
  const size_t size = proto.ByteSizeLong();
  if (size > static_cast<size_t>(std::numeric_limits<int>::max())) {
    return absl::ResourceExhaustedError(
        absl::StrCat("HLO module ", module.name(), " takes ", size,
                     " bytes, more than a protobuf message may; pass weights as parameters"));
  }
  std::string bytes;
  bytes.reserve(size);
  {
    google::protobuf::io::StringOutputStream stream(&bytes);
    google::protobuf::io::CodedOutputStream coded(&stream);
    coded.SetSerializationDeterministic(true);  // maps in the order of their keys
    proto.SerializeWithCachedSizes(&coded);
  }
  return bytes;
}

absl::StatusOr<std::unique_ptr<Module>> DeserializeModule(absl::string_view bytes) {
  if (bytes.size() > static_cast<size_t>(std::numeric_limits<int>::max())) {
    return absl::InvalidArgumentError("HLO module of more than 2 GB");
  }
  // Field 1 is a message in the wrappers and a name in the module itself, so the wrappers are tried
  // first: a name does not parse as a module that has computations.
  proto::HloSnapshot snapshot;
  if (ParseBytes(bytes, &snapshot) && snapshot.hlo().hlo_module().computations_size() > 0) {
    return ModuleFromProto(snapshot.hlo().hlo_module());
  }
  proto::HloProto wrapped;
  if (ParseBytes(bytes, &wrapped) && wrapped.hlo_module().computations_size() > 0) {
    return ModuleFromProto(wrapped.hlo_module());
  }
  proto::HloModuleProto module;
  if (!ParseBytes(bytes, &module)) {
    return absl::InvalidArgumentError(
        absl::StrCat("the ", bytes.size(), " bytes are not a serialized HLO module"));
  }
  return ModuleFromProto(module);
}

}  // namespace glia::hlo
