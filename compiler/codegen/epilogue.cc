#include "compiler/codegen/epilogue.h"

#include <algorithm>

#include "absl/container/flat_hash_set.h"
#include "serialization/isa/table.h"

namespace glia::compiler {
namespace {

using hlo::Instruction;

// Whether anything but members of the group reads the product, directly or reshaped.
bool ReadOutside(const Instruction& product, const Unit& unit) {
  const absl::flat_hash_set<const Instruction*> members(unit.members.begin(), unit.members.end());
  std::vector<const Instruction*> views = {&product};
  for (size_t i = 0; i < views.size(); ++i) {
    if (views[i]->IsRoot()) return true;
    for (const hlo::Use& use : views[i]->uses()) {
      if (members.contains(use.user)) continue;
      if (BehindReshapes(use.user) != &product) return true;
      views.push_back(use.user);
    }
  }
  return false;
}

int64_t Rows(const Nd& nd, int partition_dims) {
  return Product(absl::MakeSpan(nd.dims).subspan(0, partition_dims));
}

// Whether the group's leaves are views of the product's dims, and rows are whole ones of these.
absl::StatusOr<bool> IsExpressible(Emitter& e, const Instruction& product, const Unit& unit,
                                   const Dims& dims) {
  if (unit.rows && unit.dims.back() != dims.back()) return false;
  const absl::flat_hash_set<const Instruction*> members(unit.members.begin(), unit.members.end());
  for (const Instruction* member : unit.members) {
    for (const Instruction* operand : member->operands()) {
      if (members.contains(operand) || BehindReshapes(operand) == &product ||
          e.Splat(operand).has_value() || (unit.rows && members.contains(BehindRepeats(operand))))
        continue;
      const absl::StatusOr<Nd> nd = LeafOf(e, unit, *member, operand);
      if (!nd.ok()) return nd.status();
      if (!ReshapeNd(*nd, dims).has_value()) return false;
    }
  }
  return true;
}

// What needs no row as a whole.
absl::flat_hash_set<const Instruction*> BeforeRows(const Unit& unit) {
  const absl::flat_hash_set<const Instruction*> members(unit.members.begin(), unit.members.end());
  absl::flat_hash_set<const Instruction*> before;
  for (const Instruction* member : unit.members) {
    bool first = member->opcode() != hlo::Opcode::kReduce;
    for (const Instruction* operand : member->operands()) {
      const Instruction* source = unit.rows ? BehindRepeats(operand) : operand;
      for (const Instruction* read : {operand, source})
        first = first && (!members.contains(read) || before.contains(read));
    }
    if (first) before.insert(member);
  }
  return before;
}

absl::StatusOr<Group> CollectScope(Emitter& e, const Unit& unit, const Scope& scope,
                                   const Dims& dims) {
  absl::StatusOr<Group> group = CollectGroup(e, unit, scope, dims);
  if (!group.ok()) return group.status();
  for (Nd& part : group->parts) part = *ReshapeNd(part, dims);
  return group;
}

}  // namespace

absl::StatusOr<ProductSink> ProductSink::Make(Emitter& e, const Instruction& product,
                                              const Dims& dims) {
  ProductSink sink(e);
  sink.product_ = &product;
  const Unit* unit = e.epilogue();
  if (unit != nullptr && unit->producer == &product &&
      product.shape.type == hlo::PrimitiveType::F32) {
    // Before anything is entered.
    const absl::StatusOr<bool> expressible = IsExpressible(e, product, *unit, dims);
    if (!expressible.ok()) return expressible.status();
    if (*expressible) {
      Scope before, after;
      before.members = unit->members;
      if (unit->rows) {
        const absl::flat_hash_set<const Instruction*> first = BeforeRows(*unit);
        before.members.clear();
        for (const Instruction* member : unit->members) {
          const bool now = first.contains(member);
          (now ? before : after).members.push_back(member);
          (now ? after : before).others.insert(member);
        }
      }
      if (!before.members.empty()) {
        absl::StatusOr<Group> group = CollectScope(e, *unit, before, dims);
        if (!group.ok()) return group.status();
        sink.group_ = *std::move(group);
      }
      if (unit->rows) {
        absl::StatusOr<Group> group = CollectScope(e, *unit, after, dims);
        if (!group.ok()) return group.status();
        sink.rows_ = *std::move(group);
        sink.keeps_result_ = !sink.rows_->produced.empty();
      }
      e.TakeEpilogue();
      if (ReadOutside(product, *unit))
        sink.result_ = ReshapeNd(e.NewArranged(product, DType::kF32, dims), dims);
      sink.keeps_result_ = sink.keeps_result_ || sink.result_.has_value();
      return sink;
    }
  }
  sink.keeps_result_ = true;
  sink.result_ = ReshapeNd(
      e.NewArranged(
          product,
          e.epilogue() == nullptr ? ResultType(e, product) : *DeviceType(product.shape.type), dims),
      dims);
  return sink;
}

int64_t ProductSink::element_bytes() const {
  int64_t bytes = result_.has_value() ? result_->element_bytes() : 4;
  for (const absl::optional<Group>* group : {&group_, &rows_}) {
    if (!group->has_value()) continue;
    for (const Nd& part : (*group)->parts) bytes = std::max(bytes, part.element_bytes());
  }
  return bytes;
}

std::vector<const Instruction*> ProductSink::outputs() const {
  std::vector<const Instruction*> list;
  if (group_.has_value()) {
    for (const auto& [member, part] : group_->outputs) list.push_back(member);
  }
  if (result_.has_value()) list.push_back(product_);
  return list;
}

size_t ProductSink::Begin(const View& view, int partition_dims) {
  Block block;
  block.partition_dims = partition_dims;
  block.view = view;
  const auto add = [&](DType dtype, const Nd& part) {
    const int64_t rows = Rows(part, partition_dims);
    block.tiles.push_back(
        e_->NewTile(dtype, static_cast<int>(rows), part.elements() / rows, "product"));
  };
  // Every part has the dims of the block.
  const auto any = [&] {
    if (result_.has_value()) return view(*result_);
    return view(group_.has_value() && !group_->parts.empty() ? group_->parts[0] : rows_->parts[0]);
  };
  if (group_.has_value()) {
    for (const auto& [member, part] : group_->outputs) {
      const DType own = *DeviceType(member->shape.type);
      add(part.has_value() ? group_->parts[*part].dtype : own, any());
    }
  }
  if (keeps_result_) add(result_.has_value() ? result_->dtype : DType::kF32, any());
  blocks_.push_back(std::move(block));
  return blocks_.size() - 1;
}

void ProductSink::Put(size_t number, const Operand& psum, int64_t first, const View& part) {
  const Block& block = blocks_[number];
  const int64_t count = psum.free_elements();
  const auto place = [&](size_t i) {
    return block.tiles[i].part(psum.num_partitions, first, count);
  };
  GivenValues given;
  given.produced = psum;
  if (keeps_result_) {
    const Operand out = place(block.tiles.size() - 1);
    if (isa::IsFloat(out.dtype)) {
      e_->Evacuate(out, psum);
    } else {
      // Exact integers; narrow results wrap.
      const Operand wide = e_->NewTile(DType::kI32, psum.num_partitions, count, "dot").all();
      e_->Copy(wide, psum, Engine::kDve);
      e_->Copy(out, wide);
    }
    if (out.dtype == DType::kF32) given.produced = out;
  }
  if (!group_.has_value()) return;
  TileBox box;
  for (const Nd& nd : group_->parts) box.parts.push_back(part(nd));
  box.partition_dims = block.partition_dims;
  box.partitions = psum.num_partitions;
  box.free = count;
  const absl::StatusOr<std::vector<Operand>> results = EmitGroup(
      *e_, *group_, box, given, [&](size_t i) { return absl::optional<Operand>(place(i)); });
  if (!results.ok()) e_->Fail(results.status());
}

void ProductSink::End(size_t number) {
  Block& block = blocks_[number];
  const size_t outputs = group_.has_value() ? group_->outputs.size() : 0;
  for (size_t i = 0; i < outputs; ++i) {
    const absl::optional<size_t> part = group_->outputs[i].second;
    if (part.has_value())
      e_->Store(block.view(group_->parts[*part]), block.partition_dims, block.tiles[i]);
  }
  if (result_.has_value())
    e_->Store(block.view(*result_), block.partition_dims, block.tiles.back());
  if (rows_.has_value()) EndRows(block);
  block = Block();
}

void ProductSink::EndRows(const Block& block) {
  TileBox box;
  for (const Nd& nd : rows_->parts) box.parts.push_back(block.view(nd));
  box.partition_dims = block.partition_dims;
  box.partitions = block.tiles[0].partitions;
  box.free = block.tiles[0].free;
  GivenValues given;
  if (keeps_result_) given.produced = block.tiles.back().all();
  if (group_.has_value()) {
    for (size_t i = 0; i < group_->outputs.size(); ++i)
      given.others[group_->outputs[i].first] = block.tiles[i].all();
  }
  std::vector<Tile> tiles;
  for (const auto& [member, part] : rows_->outputs) {
    const int64_t free = OutputElements(*rows_, member, box.free);
    tiles.push_back(e_->NewTile(rows_->parts[*part].dtype, box.partitions, free, "rows"));
  }
  const absl::StatusOr<std::vector<Operand>> results = EmitGroup(
      *e_, *rows_, box, given, [&](size_t i) { return absl::optional<Operand>(tiles[i].all()); });
  if (!results.ok()) {
    e_->Fail(results.status());
    return;
  }
  for (size_t i = 0; i < tiles.size(); ++i) {
    const auto& [member, part] = rows_->outputs[i];
    e_->Store(OutputPart(*rows_, member, box.parts[*part]), block.partition_dims, tiles[i]);
  }
}

}  // namespace glia::compiler
