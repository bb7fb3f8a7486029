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

}  // namespace

absl::StatusOr<ProductSink> ProductSink::Make(Emitter& e, const Instruction& product,
                                              const Dims& dims) {
  ProductSink sink(e);
  sink.product_ = &product;
  const Unit* unit = e.epilogue();
  if (unit != nullptr && unit->producer == &product &&
      product.shape.type == hlo::PrimitiveType::F32) {
    // Before anything is entered: leaves must be views of the product's dims.
    const absl::flat_hash_set<const Instruction*> members(unit->members.begin(),
                                                          unit->members.end());
    bool possible = true;
    for (const Instruction* member : unit->members) {
      for (const Instruction* operand : member->operands()) {
        if (members.contains(operand) || BehindReshapes(operand) == &product ||
            e.Splat(operand).has_value())
          continue;
        absl::StatusOr<Nd> view = e.View(operand);
        if (!view.ok()) return view.status();
        const Dims& own = member->shape.dims;
        const Nd nd = view->dims == own ? *view : BroadcastNd(*view, own, {});
        possible = possible && ReshapeNd(nd, dims).has_value();
      }
    }
    if (possible) {
      absl::StatusOr<Group> group = CollectGroup(e, *unit);
      if (!group.ok()) return group.status();
      for (Nd& part : group->parts) part = *ReshapeNd(part, dims);
      sink.group_ = *std::move(group);
      e.TakeEpilogue();
      if (ReadOutside(product, *unit)) sink.result_ = ReshapeNd(e.NewResult(product), dims);
      return sink;
    }
  }
  sink.result_ = e.NewResult(
      product, 0,
      e.epilogue() == nullptr ? ResultType(e, product) : *DeviceType(product.shape.type));
  sink.result_ = ReshapeNd(*sink.result_, dims);
  return sink;
}

int64_t ProductSink::element_bytes() const {
  int64_t bytes = result_.has_value() ? result_->element_bytes() : 4;
  if (group_.has_value()) {
    for (const Nd& part : group_->parts) bytes = std::max(bytes, part.element_bytes());
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
  if (group_.has_value()) {
    for (const auto& [member, part] : group_->outputs)
      block.stores.push_back(view(group_->parts[part]));
  }
  if (result_.has_value()) block.stores.push_back(view(*result_));
  for (const Nd& store : block.stores) {
    const int64_t rows = Rows(store, partition_dims);
    block.tiles.push_back(
        e_->NewTile(store.dtype, static_cast<int>(rows), store.elements() / rows, "product"));
  }
  blocks_.push_back(std::move(block));
  return blocks_.size() - 1;
}

void ProductSink::Put(size_t number, const Operand& psum, int64_t first, const View& part) {
  const Block& block = blocks_[number];
  const int64_t count = psum.free_elements();
  const auto place = [&](size_t i) {
    return block.tiles[i].part(psum.num_partitions, first, count);
  };
  Operand from = psum;
  if (result_.has_value()) {
    const Operand out = place(block.tiles.size() - 1);
    if (isa::IsFloat(out.dtype)) {
      e_->Evacuate(out, psum);
    } else {
      // Exact integers; narrow results wrap.
      const Operand wide = e_->NewTile(DType::kI32, psum.num_partitions, count, "dot").all();
      e_->Copy(wide, psum, Engine::kDve);
      e_->Copy(out, wide);
    }
    if (out.dtype == DType::kF32) from = out;
  }
  if (!group_.has_value()) return;
  TileBox box;
  for (const Nd& nd : group_->parts) box.parts.push_back(part(nd));
  box.partition_dims = block.partition_dims;
  box.partitions = psum.num_partitions;
  box.free = count;
  const absl::StatusOr<std::vector<Operand>> results = EmitGroup(
      *e_, *group_, box, from, [&](size_t i) { return absl::optional<Operand>(place(i)); });
  if (!results.ok()) e_->Fail(results.status());
}

void ProductSink::End(size_t number) {
  Block& block = blocks_[number];
  for (size_t i = 0; i < block.tiles.size(); ++i)
    e_->Store(block.stores[i], block.partition_dims, block.tiles[i]);
  block = Block();
}

}  // namespace glia::compiler
