// Values, computations and segments of the emitter.
#include "compiler/codegen/emitter.h"

#include <algorithm>
#include <functional>
#include <numeric>
#include <utility>

#include "absl/strings/str_cat.h"
#include "compiler/codegen/convolution.h"
#include "compiler/codegen/elementwise.h"
#include "compiler/codegen/emitters.h"
#include "compiler/codegen/fusion.h"
#include "compiler/codegen/home_layout.h"
#include "serialization/isa/table.h"

namespace glia::compiler {
namespace {

using hlo::Instruction;
using hlo::Opcode;
using hlo::Shape;

void FlattenShape(const Shape& shape, std::vector<const Shape*>* leaves) {
  if (!shape.IsTuple()) {
    leaves->push_back(&shape);
    return;
  }
  for (const Shape& element : shape.tuple) FlattenShape(element, leaves);
}

std::vector<const Shape*> LeavesOf(const Shape& shape) {
  std::vector<const Shape*> leaves;
  FlattenShape(shape, &leaves);
  return leaves;
}

// Position of a leaf in the flattened shape, or -1.
int64_t LeafIndex(const Shape& shape, absl::Span<const int64_t> path) {
  int64_t index = 0;
  const Shape* at = &shape;
  for (int64_t p : path) {
    if (!at->IsTuple() || p < 0 || p >= static_cast<int64_t>(at->tuple.size())) return -1;
    for (int64_t i = 0; i < p; ++i) index += static_cast<int64_t>(LeavesOf(at->tuple[i]).size());
    at = &at->tuple[p];
  }
  return at->IsTuple() ? -1 : index;
}

// Operations whose result has the elements of their operand, in another arrangement or number.
bool Rearranges(Opcode opcode) {
  switch (opcode) {
    case Opcode::kBitcast:
    case Opcode::kBroadcast:
    case Opcode::kReshape:
    case Opcode::kReverse:
    case Opcode::kSlice:
    case Opcode::kTranspose:
    case Opcode::kCopy:
    case Opcode::kOptimizationBarrier:
      return true;
    default:
      return false;
  }
}

}  // namespace

Emitter::Emitter(const hlo::Module& module, const CodegenOptions& options)
    : module_(module), options_(options) {
  serial_.program.name = module.name();
  serial_.segments.emplace_back();
  serial_.next_segment = 1;
}

void Emitter::Fail(absl::Status status) {
  if (!status_.ok() || status.ok()) return;
  if (current_ == nullptr) {
    status_ = std::move(status);
    return;
  }
  std::string where = absl::StrCat("HLO '", current_->name(), "' (",
                                   std::string(hlo::OpcodeName(current_->opcode())), " ",
                                   current_->shape.ToString());
  const hlo::OpMetadata& metadata = current_->metadata;
  if (!metadata.op_type.empty()) absl::StrAppend(&where, ", from ", metadata.op_type);
  if (!metadata.op_name.empty()) absl::StrAppend(&where, " '", metadata.op_name, "'");
  if (!metadata.source_file.empty()) {
    absl::StrAppend(&where, " at ", metadata.source_file, ":", metadata.source_line);
  }
  status_ = absl::Status(status.code(), absl::StrCat(where, "): ", std::string(status.message())));
}

const Instruction* Emitter::SetCurrent(const Instruction* hlo) {
  return std::exchange(current_, hlo);
}

uint32_t Emitter::DebugEntry() {
  if (current_ == nullptr) return UINT32_MAX;
  const auto [it, added] = debug_.try_emplace(current_, serial_.program.debug.size());
  if (added) {
    const hlo::OpMetadata& metadata = current_->metadata;
    isa::DebugEntry entry;
    entry.hlo = current_->name();
    entry.op = metadata.op_type;
    if (!metadata.source_file.empty()) {
      entry.source = absl::StrCat(metadata.source_file, ":", metadata.source_line);
    }
    serial_.program.debug.push_back(std::move(entry));
  }
  return it->second;
}

uint32_t Emitter::AddVariable(isa::Variable variable) {
  serial_.program.variables.push_back(std::move(variable));
  return static_cast<uint32_t>(serial_.program.variables.size() - 1);
}

// ---- Values ----

absl::StatusOr<std::vector<Nd>> Emitter::Leaves(const Instruction* hlo) {
  const auto found = values_.find(hlo);
  if (found != values_.end()) return found->second;
  if (!IsLazy(hlo->opcode())) {
    return absl::InternalError(
        absl::StrCat("value of '", hlo->name(), "' is read before it is computed"));
  }
  const EmitFn emit = FindEmitter(hlo->opcode());
  if (emit == nullptr) {
    return absl::InternalError(absl::StrCat("parameter '", hlo->name(), "' is not bound"));
  }
  const Instruction* before = SetCurrent(hlo);
  absl::Status status = emit(*this, *hlo);
  SetCurrent(before);
  if (!status.ok()) return status;
  const auto made = values_.find(hlo);
  if (made == values_.end()) {
    return absl::InternalError(absl::StrCat("'", hlo->name(), "' has no value"));
  }
  return made->second;
}

absl::StatusOr<Nd> Emitter::View(const Instruction* hlo, int64_t leaf) {
  absl::StatusOr<std::vector<Nd>> leaves = Leaves(hlo);
  if (!leaves.ok()) return leaves.status();
  if (leaf < 0 || leaf >= static_cast<int64_t>(leaves->size())) {
    return absl::InternalError(absl::StrCat("'", hlo->name(), "' has no leaf ", leaf));
  }
  return (*leaves)[leaf];
}

absl::StatusOr<Nd> Emitter::Home(const Instruction* hlo, int64_t leaf) {
  absl::StatusOr<Nd> view = View(hlo, leaf);
  if (!view.ok() || view->contiguous()) return view;
  const Nd home = NewBuffer(view->dtype, view->dims, hlo->name());
  Dma(home, *view);
  values_[hlo][leaf] = home;
  return home;
}

Nd Emitter::NewResult(const Instruction& hlo, int64_t leaf, absl::optional<DType> kept) {
  const std::vector<const Shape*> shapes = LeavesOf(hlo.shape);
  std::vector<Nd>& leaves = values_[&hlo];
  leaves.resize(shapes.size());
  const absl::StatusOr<DType> dtype = DeviceType(shapes[leaf]->type);
  if (!dtype.ok()) {
    Fail(dtype.status());
    return leaves[leaf];
  }
  if (kept.has_value() && *kept != *dtype) {
    leaves[leaf] = NewBuffer(*kept, shapes[leaf]->dims, hlo.name());
    return leaves[leaf];
  }
  const auto outputs = output_of_.find(&hlo);
  if (outputs != output_of_.end() && outputs->second[leaf] >= 0 &&
      !output_taken_[outputs->second[leaf]]) {
    const int64_t output = outputs->second[leaf];
    output_taken_[output] = true;
    leaves[leaf] = DenseNd(outputs_[output], *dtype, shapes[leaf]->dims);
  } else {
    leaves[leaf] = NewBuffer(*dtype, shapes[leaf]->dims, hlo.name());
  }
  return leaves[leaf];
}

Nd Emitter::NewArranged(const Instruction& hlo, DType dtype, const Dims& dims) {
  absl::optional<Nd> layout;
  if (!output_of_.contains(&hlo)) layout = HomeLayout(hlo, dtype);
  if (!layout.has_value() || !ReshapeNd(*layout, dims).has_value()) return NewResult(hlo, 0, dtype);
  layout->var = NewBuffer(dtype, hlo.shape.dims, hlo.name()).var;
  SetLeaves(hlo, {*layout});
  return *layout;
}

Nd Emitter::NewImages(const Instruction& hlo, int64_t channel_dim, DType dtype) {
  if (output_of_.contains(&hlo)) return NewResult(hlo);
  // A part of a concatenation is made where that has it.
  const auto part_of = std::find_if(hlo.uses().begin(), hlo.uses().end(), [](const hlo::Use& use) {
    return use.user->opcode() == Opcode::kConcatenate;
  });
  if (part_of != hlo.uses().end()) {
    const Instruction& all = *part_of->user;
    const absl::optional<Nd> made = MadeInPlace(all);
    const Nd whole = made.has_value() ? *made : NewImages(all, channel_dim, dtype);
    if (whole.dtype == dtype) {
      const int64_t dim = all.dimensions[0];
      int64_t start = 0;
      for (int64_t i = 0; i < part_of->operand_index; ++i) {
        start += all.operand(i)->shape.dim(dim);
      }
      const Nd part = SliceDim(whole, dim, start, hlo.shape.dim(dim));
      SetLeaves(hlo, {part});
      return part;
    }
  }
  Dims order = {channel_dim}, back(hlo.shape.dims.size());
  for (int64_t d = 0; d < static_cast<int64_t>(hlo.shape.dims.size()); ++d) {
    if (d != channel_dim) order.push_back(d);
  }
  Dims dims;
  for (size_t i = 0; i < order.size(); ++i) {
    dims.push_back(hlo.shape.dims[order[i]]);
    back[order[i]] = static_cast<int64_t>(i);
  }
  const Nd images = TransposeNd(NewBuffer(dtype, dims, hlo.name()), back);
  SetLeaves(hlo, {images});
  return images;
}

absl::optional<Nd> Emitter::MadeInPlace(const Instruction& concatenate) const {
  const auto found = values_.find(&concatenate);
  return found == values_.end() ? absl::nullopt : absl::optional<Nd>(found->second[0]);
}

bool Emitter::ReadLast(uint32_t home) const {
  const auto last = home_read_.find(home);
  return last != home_read_.end() && last->second <= unit_;
}

void Emitter::SetLeaves(const Instruction& hlo, std::vector<Nd> leaves) {
  values_[&hlo] = std::move(leaves);
}

const hlo::Literal* Emitter::ConstantOf(const Instruction* hlo) {
  while (Rearranges(hlo->opcode())) hlo = hlo->operand(0);
  return hlo->opcode() == Opcode::kConstant ? hlo->literal.get() : nullptr;
}

absl::optional<double> Emitter::Splat(const Instruction* hlo) const {
  const hlo::Literal* literal = ConstantOf(hlo);
  if (literal == nullptr || literal->elements() == 0 || !literal->IsSplat()) return absl::nullopt;
  return literal->GetAsDouble(0);
}

Nd Emitter::NewBuffer(DType dtype, Dims dims, absl::string_view name) {
  isa::Variable v;
  v.name = std::string(name);
  v.kind = isa::VariableKind::kTmpBuf;
  v.dtype = dtype;
  v.shape = dims;
  v.bytes = Product(dims) * isa::DTypeBytes(dtype);
  return DenseNd(AddVariable(std::move(v)), dtype, std::move(dims));
}

// ---- Computations ----

absl::Status Emitter::EmitInstruction(const Instruction& hlo) {
  const EmitFn emit = FindEmitter(hlo.opcode());
  if (emit == nullptr) {
    return absl::UnimplementedError("the compiler has no code generation for this operation");
  }
  return emit(*this, hlo);
}

absl::StatusOr<std::vector<Nd>> Emitter::EmitComputation(const hlo::Computation& computation,
                                                         absl::Span<const Nd> parameters) {
  if (!ok()) return status_;
  for (const Instruction* hlo : computation.Instructions()) values_.erase(hlo);
  size_t next = 0;
  for (const Instruction* parameter : computation.parameters()) {
    const size_t count = LeavesOf(parameter->shape).size();
    if (next + count > parameters.size()) {
      return absl::InternalError(absl::StrCat("computation '", computation.name(),
                                              "' takes more than ", parameters.size(),
                                              " arguments"));
    }
    values_[parameter].assign(parameters.begin() + next, parameters.begin() + next + count);
    next += count;
  }
  const Instruction* before = current_;
  const std::vector<Unit> units = PlanUnits(computation);
  // A convolution that only one group reads, which is not that of a dot, is computed with it.
  absl::flat_hash_map<const Instruction*, size_t> group_of;
  for (size_t u = 0; u < units.size(); ++u) {
    if (!units[u].elementwise || units[u].rows) continue;
    for (const Instruction* member : units[u].members) group_of[member] = u;
  }
  std::vector<const Instruction*> producer(units.size(), nullptr);
  for (const Unit& unit : units) {
    const Instruction* hlo = unit.members.back();
    if (hlo->opcode() != Opcode::kConvolution || !TakesEpilogue(*hlo)) continue;
    const auto group =
        hlo->uses().size() == 1 ? group_of.find(hlo->uses()[0].user) : group_of.end();
    if (group != group_of.end() && units[group->second].producer == nullptr) {
      producer[group->second] = hlo;
    }
  }
  std::vector<size_t> position(units.size());
  for (size_t u = 0; u < units.size(); ++u) {
    position[u] = u;
    const Instruction* hlo = units[u].members.back();
    const auto group =
        hlo->uses().size() == 1 ? group_of.find(hlo->uses()[0].user) : group_of.end();
    if (group != group_of.end() && producer[group->second] == hlo) position[u] = group->second;
  }
  // Of each value, and then each home: what lies in SBUF is of no use after.
  absl::flat_hash_map<const Instruction*, size_t> last_read =
      LastReaders(units, position, computation.root());
  const auto outer_read = std::exchange(home_read_, {});
  const size_t outer_unit = unit_;
  std::vector<std::vector<uint32_t>> last_of(units.size() + 1);
  const auto made = [&](const Instruction* value) {
    const auto leaves = values_.find(value);
    if (leaves == values_.end()) return;
    size_t last = last_read[value];
    for (const hlo::Use& use : value->uses()) {
      // Perhaps made in place.
      if (use.user->opcode() == Opcode::kConcatenate) last = std::max(last, last_read[use.user]);
    }
    for (const Nd& leaf : leaves->second) {
      size_t& home = home_read_[leaf.var];
      home = std::max(home, last);
      last_of[last].push_back(leaf.var);
    }
  };
  const auto forget = [&](size_t u) {
    for (const Instruction* member : units[u].members) made(member);
    for (uint32_t home : last_of[u]) {
      if (home_read_[home] <= u) ForgetVar(home);
    }
  };
  for (size_t u = 0; u < units.size(); ++u) {
    const Unit& unit = units[u];
    const Instruction* hlo = unit.members.back();
    unit_ = u;
    SetCurrent(hlo);
    if (position[u] != u) continue;
    if (producer[u] != nullptr) {
      SetCurrent(producer[u]);
      Fail(EmitConvolutionWith(*this, *producer[u], unit));
    } else if (unit.producer != nullptr) {
      SetCurrent(unit.producer);
      epilogue_ = &unit;
      Fail(EmitInstruction(*unit.producer));
      const bool taken = std::exchange(epilogue_, nullptr) == nullptr;
      if (!ok()) return status_;
      if (!taken) {
        SetCurrent(hlo);
        Unit rest = unit;
        rest.producer = nullptr;
        Fail(EmitElementwise(*this, rest));
      }
    } else {
      Fail(unit.elementwise ? EmitElementwise(*this, unit) : EmitInstruction(*hlo));
    }
    if (!ok()) return status_;
    forget(u);
  }
  home_read_ = outer_read;
  unit_ = outer_unit;
  SetCurrent(computation.root());
  absl::StatusOr<std::vector<Nd>> leaves = Leaves(computation.root());
  if (!leaves.ok()) Fail(leaves.status());
  SetCurrent(before);
  if (!ok()) return status_;
  return leaves;
}

absl::Status Emitter::EmitEntry() {
  const hlo::Computation& entry = *module_.entry();
  std::vector<Nd> parameters;
  std::vector<int64_t> first_leaf;  // of each parameter
  for (const Instruction* parameter : entry.parameters()) {
    SetCurrent(parameter);
    first_leaf.push_back(static_cast<int64_t>(parameters.size()));
    for (const Shape* shape : LeavesOf(parameter->shape)) {
      const absl::StatusOr<DType> dtype = DeviceType(shape->type);
      if (!dtype.ok()) {
        Fail(dtype.status());
        return status_;
      }
      isa::Variable v;
      v.name = absl::StrCat("input", parameters.size());
      v.kind = isa::VariableKind::kInput;
      v.dtype = *dtype;
      v.shape = shape->dims;
      v.bytes = shape->bytes();
      parameters.push_back(DenseNd(AddVariable(std::move(v)), *dtype, shape->dims));
    }
  }
  SetCurrent(entry.root());
  const std::vector<const Shape*> results = LeavesOf(entry.root()->shape);
  for (const Shape* shape : results) {
    const absl::StatusOr<DType> dtype = DeviceType(shape->type);
    if (!dtype.ok()) {
      Fail(dtype.status());
      return status_;
    }
    isa::Variable v;
    v.name = absl::StrCat("output", outputs_.size());
    v.kind = isa::VariableKind::kOutput;
    v.dtype = *dtype;
    v.shape = shape->dims;
    v.bytes = shape->bytes();
    outputs_.push_back(AddVariable(std::move(v)));
  }
  output_taken_.assign(outputs_.size(), false);
  for (const hlo::InputOutputAlias& alias : module_.input_output_alias) {
    const int64_t output = LeafIndex(entry.root()->shape, alias.output_index);
    if (output < 0 || alias.parameter_number < 0 ||
        alias.parameter_number >= entry.parameter_count())
      continue;
    const int64_t input =
        LeafIndex(entry.parameter(alias.parameter_number)->shape, alias.parameter_index);
    if (input < 0) continue;
    isa::Variable& v = serial_.program.variables[outputs_[output]];
    const Nd& source = parameters[first_leaf[alias.parameter_number] + input];
    if (v.bytes != serial_.program.variables[source.var].bytes) continue;
    v.alias = static_cast<int32_t>(source.var);
    output_taken_[output] = true;  // written at the very end only
  }
  // The instruction that makes an output writes it in place, also when it is seen under other dims.
  int64_t leaf = 0;
  const std::function<void(const Instruction*)> assign = [&](const Instruction* hlo) {
    if (hlo->opcode() == Opcode::kTuple) {
      for (const Instruction* element : hlo->operands()) assign(element);
      return;
    }
    const int64_t count = static_cast<int64_t>(LeavesOf(hlo->shape).size());
    int64_t first = 0;  // leaf of `hlo`
    while (true) {
      if (hlo->opcode() == Opcode::kGetTupleElement) {
        const Shape& tuple = hlo->operand(0)->shape;
        for (int64_t i = 0; i < hlo->tuple_index; ++i) {
          first += static_cast<int64_t>(LeavesOf(tuple.tuple[i]).size());
        }
      } else if ((hlo->opcode() != Opcode::kReshape && hlo->opcode() != Opcode::kBitcast &&
                  hlo->opcode() != Opcode::kOptimizationBarrier &&
                  hlo->opcode() != Opcode::kCopy) ||
                 hlo->shape.type != hlo->operand(0)->shape.type) {
        break;
      }
      hlo = hlo->operand(0);
    }
    std::vector<int64_t>& list = output_of_[hlo];
    list.resize(LeavesOf(hlo->shape).size(), -1);
    for (int64_t i = 0; i < count; ++i) {
      int64_t& output = list[static_cast<size_t>(first + i)];
      if (output < 0) output = leaf + i;
    }
    leaf += count;
  };
  assign(entry.root());
  SetCurrent(nullptr);

  absl::StatusOr<std::vector<Nd>> leaves = EmitComputation(entry, parameters);
  if (!leaves.ok()) return leaves.status();
  SetCurrent(entry.root());
  // Outputs that share an input's buffer come last, from values that no such output changes.
  for (const bool aliased : {false, true}) {
    for (size_t i = 0; i < outputs_.size(); ++i) {
      Nd& value = (*leaves)[i];
      const isa::Variable& v = serial_.program.variables[outputs_[i]];
      if ((v.alias >= 0) != aliased) {
        if (!aliased && serial_.program.variables[value.var].kind == isa::VariableKind::kInput &&
            value.var != static_cast<uint32_t>(v.alias)) {
          const Nd kept = NewBuffer(value.dtype, value.dims, "aliased");
          Dma(kept, value);
          value = kept;
        }
        continue;
      }
      Nd target = DenseNd(outputs_[i], value.dtype, results[i]->dims);
      const uint32_t home = v.alias >= 0 ? static_cast<uint32_t>(v.alias) : outputs_[i];
      if ((value.var == home || value.var == outputs_[i]) && value.contiguous() &&
          value.offset == 0)
        continue;
      if (value.var == home) {
        const Nd kept = NewBuffer(value.dtype, value.dims, "aliased");
        Dma(kept, value);
        value = kept;
      }
      target.dims = value.dims;
      target.strides = DenseNd(outputs_[i], value.dtype, value.dims).strides;
      Dma(target, value);
    }
  }
  SetCurrent(nullptr);
  return status_;
}

// ---- Segments ----

uint32_t Emitter::NewSegment() { return serial_.next_segment++; }

uint32_t Emitter::current_segment() const { return serial_.segments.back().number; }

void Emitter::StartSegment(uint32_t segment) {
  columns_.clear();
  cache_.clear();
  cached_tile_.clear();
  cached_order_.clear();
  cached_bytes_ = 0;
  serial_.segments.emplace_back();
  serial_.segments.back().number = segment;
}

void Emitter::SetTerminator(uint32_t segment, const isa::Terminator& terminator) {
  for (SerialSegment& s : serial_.segments) {
    if (s.number == segment) s.terminator = terminator;
  }
}

void Emitter::MarkLoop(uint32_t first) {
  for (size_t i = 0; i < serial_.segments.size(); ++i) {
    if (serial_.segments[i].number == first) {
      serial_.loops.push_back(
          {static_cast<uint32_t>(i), static_cast<uint32_t>(serial_.segments.size() - 1)});
    }
  }
}

}  // namespace glia::compiler
