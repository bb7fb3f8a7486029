#include "compiler/codegen/convolution_epilogue.h"

#include <algorithm>
#include <cstring>

#include "absl/container/flat_hash_set.h"
#include "absl/strings/str_cat.h"
#include "compiler/codegen/convolution_readers.h"
#include "compiler/codegen/precision.h"
#include "compiler/codegen/tiling.h"
#include "serialization/isa/table.h"

namespace glia::compiler {
namespace {

using hlo::Instruction;
using hlo::Opcode;

AluOp ChainOp(Opcode opcode) {
  switch (opcode) {
    case Opcode::kAdd:
      return AluOp::kAdd;
    case Opcode::kSubtract:
      return AluOp::kSubtract;
    case Opcode::kMultiply:
      return AluOp::kMultiply;
    case Opcode::kMaximum:
      return AluOp::kMax;
    case Opcode::kMinimum:
      return AluOp::kMin;
    default:
      return AluOp::kBypass;
  }
}

}  // namespace

Operand LoadChannelColumn(Emitter& e, const ChannelValues& values, int64_t c0, int count) {
  const size_t bytes = static_cast<size_t>(count) * sizeof(float);
  std::string key = absl::StrCat("column ", count, ":");
  key.append(reinterpret_cast<const char*>(values.data() + c0), bytes);
  if (const absl::optional<Nd> made = e.FindMade(key); made.has_value()) {
    return e.LoadShared(*made, 1).all();
  }
  const absl::StatusOr<Nd> nd =
      e.AddConstant(hlo::Literal::FromBytes(hlo::Shape(hlo::kF32, {count, 1}), values.data() + c0));
  if (!nd.ok()) {
    e.Fail(nd.status());
    return Operand();
  }
  e.KeepMade(std::move(key), *nd);
  return e.LoadShared(*nd, 1).all();
}

absl::Status ConvEpilogue::Bind(const std::function<Nd(const Nd&)>& arrange, bool folds) {
  if (group_ == nullptr) return AddOutput(&conv_, arrange);
  const absl::flat_hash_set<const Instruction*> members(group_->members.begin(),
                                                        group_->members.end());
  for (const Instruction* member : group_->members) {
    for (const Instruction* operand : member->operands()) {
      if (operand == &conv_ || members.contains(operand) || leaves_.contains(operand)) continue;
      if (absl::Status s = AddLeaf(operand, arrange); !s.ok()) return s;
    }
  }
  const Instruction* user = conv_.uses()[0].user;
  if (folds && conv_.uses().size() == 1 && user->opcode() == Opcode::kMultiply) {
    const Instruction* other = user->operand(user->operand(0) == &conv_ ? 1 : 0);
    const auto leaf = leaves_.find(other);
    if (leaf != leaves_.end() && leaf->second.constant >= 0) {
      scaled_ = user;
      scale_ = columns_[leaf->second.constant];
    }
  }
  for (const Instruction* member : group_->members) {
    bool read_outside = member->IsRoot();
    for (const hlo::Use& use : member->uses()) {
      read_outside = read_outside || !members.contains(use.user);
    }
    if (!read_outside) continue;
    if (absl::Status s = AddOutput(member, arrange); !s.ok()) return s;
  }
  return e_.status();
}

absl::Status ConvEpilogue::AddLeaf(const Instruction* operand,
                                   const std::function<Nd(const Nd&)>& arrange) {
  Leaf leaf;
  if (const absl::optional<double> splat = e_.Splat(operand); splat.has_value()) {
    leaf.splat.splat = *splat;
    if (!hlo::IsFloating(operand->shape.type)) {
      leaf.splat.splat_int = Emitter::ConstantOf(operand)->GetAsInt64(0);
    }
  } else {
    absl::StatusOr<Nd> view = e_.View(operand);
    if (!view.ok()) return view.status();
    const Dims& dims = conv_.shape.dims;
    leaf.array = true;
    leaf.nd = arrange(view->dims == dims ? *view : BroadcastNd(*view, dims, {}));
    leaf.column = true;
    for (int64_t d = 0; d < leaf.nd.rank(); ++d) {
      leaf.column = leaf.column && (d == 1 || leaf.nd.dims[d] == 1 || leaf.nd.strides[d] == 0);
    }
    const hlo::Literal* literal = Emitter::ConstantOf(operand);
    const bool in_file =
        e_.serial().program.variables[leaf.nd.var].kind == isa::VariableKind::kFile;
    if (leaf.column && literal != nullptr && in_file && literal->shape().type == hlo::kF32) {
      ChannelValues values(static_cast<size_t>(leaf.nd.dims[1]));
      for (size_t c = 0; c < values.size(); ++c) {
        std::memcpy(&values[c],
                    static_cast<const char*>(literal->raw()) + leaf.nd.offset +
                        static_cast<int64_t>(c) * leaf.nd.strides[1],
                    sizeof(float));
      }
      leaf.constant = static_cast<int>(columns_.size());
      columns_.push_back(std::move(values));
    }
  }
  leaf.number = leaf_order_.size();
  leaves_[operand] = std::move(leaf);
  leaf_order_.push_back(operand);
  return e_.status();
}

absl::Status ConvEpilogue::AddOutput(const Instruction* hlo,
                                     const std::function<Nd(const Nd&)>& arrange) {
  const absl::StatusOr<DType> dtype = DeviceType(hlo->shape.type);
  if (!dtype.ok()) return dtype.status();
  const bool narrow = OnlyRounded(*hlo, e_.options());
  const Nd home = e_.NewImages(*hlo, conv_.conv_dims.output_feature,
                               narrow ? RoundedType(e_.options()) : *dtype);
  Output output;
  output.hlo = hlo;
  output.nd = arrange(home);
  output.rounds = home.dtype == DType::kF32 && SomeRounded(*hlo, e_.options());
  outputs_.push_back(std::move(output));
  return e_.status();
}

std::vector<Nd*> ConvEpilogue::Arrays() {
  std::vector<Nd*> arrays;
  for (const Instruction* leaf : leaf_order_) {
    if (leaves_[leaf].array) arrays.push_back(&leaves_[leaf].nd);
  }
  for (Output& output : outputs_) arrays.push_back(&output.nd);
  return arrays;
}

int64_t ConvEpilogue::MaxElementBytes() const {
  int64_t bytes = 1;
  for (const Output& output : outputs_) bytes = std::max(bytes, output.nd.element_bytes());
  for (const auto& [hlo, leaf] : leaves_) {
    if (leaf.array && !leaf.column) bytes = std::max(bytes, leaf.nd.element_bytes());
  }
  return bytes;
}

void ConvEpilogue::Begin(const WindowBlock& block) {
  block_ = block;
  open_.clear();
}

absl::optional<Tile> ConvEpilogue::TileToReplace(const Channels& channels, const Output& output,
                                                 const Instruction** leaf) {
  if (group_ == nullptr || output.hlo != group_->members.back() || output.nd.dtype != DType::kF32) {
    return absl::nullopt;
  }
  const absl::StatusOr<Nd> input = e_.View(conv_.operand(0));
  for (const Instruction* hlo : leaf_order_) {
    const Leaf& candidate = leaves_.at(hlo);
    if (!candidate.array || candidate.column || candidate.nd.dtype != DType::kF32) continue;
    if (!input.ok() || input->var == candidate.nd.var || !e_.ReadLast(candidate.nd.var)) continue;
    int64_t reads = 0;
    for (const Instruction* member : group_->members) {
      reads += std::count(member->operands().begin(), member->operands().end(), hlo);
    }
    if (reads != 1) continue;
    const Nd all =
        SliceDim(TransposeNd(candidate.nd, {1, 0, 2, 3, 4}), 0, channels.c0, channels.count);
    const auto within = e_.FindWithin(block_.Of(all), DType::kF32);
    if (!within.has_value() || within->start != 0 || within->tile.free != block_.outputs() ||
        within->tile.partitions != channels.count) {
      continue;
    }
    const WindowSizes dense = DenseSteps(block_.size);
    bool same = true;
    for (size_t d = 0; d < dense.size(); ++d) {
      same = same && (block_.size[d] == 1 || within->strides[d] == dense[d]);
    }
    if (!same) continue;
    *leaf = hlo;
    return within->tile;
  }
  return absl::nullopt;
}

size_t ConvEpilogue::Open(int64_t c0, int64_t count, std::vector<Operand> columns) {
  Channels channels;
  channels.c0 = c0;
  channels.count = count;
  channels.columns = std::move(columns);
  channels.leaves.resize(leaf_order_.size());
  for (const Output& output : outputs_) {
    Result result;
    const absl::optional<Tile> old = channels.replaced == nullptr
                                         ? TileToReplace(channels, output, &channels.replaced)
                                         : absl::nullopt;
    if (old.has_value()) {
      result.tile = *old;
      channels.leaves[leaves_.at(channels.replaced).number] = *old;
    } else {
      result.tile = e_.NewTile(output.nd.dtype, static_cast<int>(count), block_.outputs(),
                               output.hlo->name());
    }
    if (output.rounds) {
      result.rounded = e_.NewTile(RoundedType(e_.options()), static_cast<int>(count),
                                  block_.outputs(), output.hlo->name());
    }
    channels.results.push_back(result);
  }
  open_.push_back(std::move(channels));
  return open_.size() - 1;
}

// The part's elements of a tile that holds the block's.
Operand ConvEpilogue::PartOf(const Tile& tile, const WindowBlock& part) const {
  const WindowSizes steps = DenseSteps(block_.size);
  int64_t start = 0;
  for (int d = 0; d < 4; ++d) start += (part.start[d] - block_.start[d]) * steps[d];
  return WindowPattern(tile, start, part.size, steps);
}

ConvEpilogue::Value ConvEpilogue::LeafValue(Channels& open, const Instruction* operand,
                                            const WindowBlock& part) {
  const Leaf& leaf = leaves_.at(operand);
  Tile& loaded = open.leaves[leaf.number];
  Value value;
  value.value = leaf.splat;
  if (!leaf.array) return value;
  if (leaf.constant >= 0) {
    value.value.operand = open.columns[static_cast<size_t>(leaf.constant)];
    value.value.column = true;
    return value;
  }
  const Nd channels = SliceDim(TransposeNd(leaf.nd, {1, 0, 2, 3, 4}), 0, open.c0, open.count);
  if (leaf.column) {
    if (!loaded.valid()) {
      Nd column = channels;
      column.dims = {open.count, 1};
      column.strides = {channels.strides[0], 0};
      loaded = e_.LoadShared(column, 1);
    }
    value.value.operand = loaded.all();
    value.value.column = true;
    return value;
  }
  bool repeats = false;
  for (int64_t d = 1; d < channels.rank(); ++d) {
    repeats = repeats || (channels.dims[d] > 1 && channels.strides[d] <= 0);
  }
  if (!loaded.valid()) {
    const Nd piece = part.Of(channels);
    if (!repeats) {
      if (const auto within = e_.FindWithin(piece, piece.dtype); within.has_value()) {
        WindowSizes steps;
        std::copy(within->strides.begin(), within->strides.end(), steps.begin());
        value.value.operand = WindowPattern(within->tile, within->start, part.size, steps);
        return value;
      }
      loaded = e_.LoadShared(block_.Of(channels), 1);
    } else {
      const LoadedOperand load = LoadOperand(e_, piece, 1);
      value.value.operand = load.operand;
      value.value.column = load.column;
      return value;
    }
  }
  value.value.operand = PartOf(loaded, part);
  return value;
}

Operand ConvEpilogue::Settle(const Value& value, const Operand* to, DType dtype, int partitions,
                             int64_t free) {
  const Operand& in = *value.value.operand;
  if (to == nullptr && value.count == 0 && !e_.InPsum(in) && in.dtype == dtype) return in;
  const Operand out = to != nullptr ? *to : e_.NewTile(dtype, partitions, free, "epilogue").all();
  const auto& links = value.links;
  // ACT adds a vector and rectifies.
  const bool adds = value.count > 0 && links[0].op == AluOp::kAdd &&
                    links[0].scalar.column.present() && links[0].scalar.column.dtype == DType::kF32;
  const int rest = adds ? 1 : 0;
  const bool relu = value.count == rest + 1 && links[rest].op == AluOp::kMax &&
                    !links[rest].scalar.column.present() && links[rest].scalar.imm == 0;
  const bool by_act =
      isa::IsFloat(in.dtype) && isa::IsFloat(out.dtype) && value.count == rest + (relu ? 1 : 0);
  // DVE and ACT cannot read PSUM at once, and ACT is the faster.
  const bool psum = e_.InPsum(in);
  if (by_act && psum) e_.AddLoad(Engine::kAct, free);
  if (by_act && (psum || e_.Lighter(free) == Engine::kAct)) {
    e_.Activate(out, in, relu ? ActFn::kRelu : ActFn::kCopy, 1,
                adds ? absl::optional<Operand>(links[0].scalar.column) : absl::nullopt, 0,
                absl::nullopt, Engine::kAct);
    return out;
  }
  if (!by_act) e_.AddLoad(Engine::kDve, free);
  if (value.count == 0) {
    e_.Copy(out, in, Engine::kDve);
  } else {
    e_.TensorScalar(out, in, links[0].op, links[0].scalar,
                    value.count > 1 ? links[1].op : AluOp::kBypass,
                    value.count > 1 ? links[1].scalar : Scalar(0), 0, Engine::kDve);
  }
  return out;
}

// Adds a member to the chain of one of its operands, if it can be. fp32 only.
bool ConvEpilogue::Chain(const Instruction& member, std::vector<Value>* in, const Operand* to,
                         DType dtype, int partitions, int64_t free, Value* out) {
  const AluOp op = ChainOp(member.opcode());
  if (op == AluOp::kBypass || in->size() != 2 || member.shape.type != hlo::kF32) return false;
  const auto narrow = [](const Value& v) { return v.value.is_splat() || v.value.column; };
  size_t a = 0;
  if (op != AluOp::kSubtract && narrow((*in)[0])) a = 1;
  Value& first = (*in)[a];
  Value& second = (*in)[1 - a];
  if (narrow(first)) return false;
  if (narrow(second)) {
    if (second.count != 0) return false;
    *out = first;
    if (first.count == 2) {
      out->value.operand = Settle(first, nullptr, DType::kF32, partitions, free);
      out->count = 0;
    }
    const Scalar scalar =
        second.value.is_splat() ? Scalar(second.value.splat) : Scalar(*second.value.operand);
    out->links[out->count++] = {op, scalar};
    return true;
  }
  // The sum of two arrays: one may have an operation to be done.
  if (op != AluOp::kSubtract && first.count == 0 && second.count > 0) std::swap(first, second);
  if (second.count > 0 || (e_.InPsum(*first.value.operand) && e_.InPsum(*second.value.operand))) {
    second.value.operand = Settle(second, nullptr, DType::kF32, partitions, free);
    second.count = 0;
  }
  if (first.count == 2) {
    first.value.operand = Settle(first, nullptr, DType::kF32, partitions, free);
    first.count = 0;
  }
  const Operand result =
      to != nullptr ? *to : e_.NewTile(dtype, partitions, free, member.name()).all();
  e_.AddLoad(Engine::kDve, free);
  if (first.count == 0) {
    e_.TensorTensor(result, *first.value.operand, *second.value.operand, op, Engine::kDve);
  } else {
    e_.ScalarTensorTensor(result, *first.value.operand, first.links[0].op, first.links[0].scalar,
                          op, *second.value.operand, Engine::kDve);
  }
  *out = Value();
  out->value.operand = result;
  return true;
}

absl::optional<Operand> ConvEpilogue::TargetOf(const Instruction& member, const Channels& channels,
                                               const WindowBlock& part, bool* own) const {
  const auto place = [&](const Instruction* hlo) -> absl::optional<Operand> {
    for (size_t i = 0; i < outputs_.size(); ++i) {
      if (outputs_[i].hlo == hlo) return PartOf(channels.results[i].tile, part);
    }
    return absl::nullopt;
  };
  absl::optional<Operand> target = place(&member);
  *own = target.has_value();
  if (*own || member.uses().size() != 1 || member.shape.type != hlo::kF32) return target;
  // The one that follows is done in place, with a number or a column.
  const Instruction& next = *member.uses()[0].user;
  if (ChainOp(next.opcode()) == AluOp::kBypass || next.operand_count() != 2) return absl::nullopt;
  const Instruction* other = next.operand(1 - member.uses()[0].operand_index);
  const auto leaf = leaves_.find(other);
  if (leaf == leaves_.end() || (leaf->second.array && !leaf->second.column)) return absl::nullopt;
  if (channels.replaced != nullptr &&
      std::count(member.operands().begin(), member.operands().end(), channels.replaced) == 0) {
    return absl::nullopt;
  }
  for (size_t i = 0; i < outputs_.size(); ++i) {
    if (outputs_[i].hlo == &next && outputs_[i].rounds) return place(&next);
  }
  return absl::nullopt;
}

void ConvEpilogue::Finish(size_t number, const Tile& sum, const WindowBlock& part) {
  Channels& channels = open_[number];
  const int partitions = sum.partitions;
  const int64_t free = sum.free;
  Value conv;
  conv.value.operand = sum.all();
  if (group_ == nullptr) {
    const Operand to = PartOf(channels.results[0].tile, part);
    if (isa::IsFloat(to.dtype)) {
      Settle(conv, &to, to.dtype, partitions, free);
    } else {
      // Exact integers; narrow results wrap.
      const Tile wide = e_.NewTile(DType::kI32, partitions, free, "conv");
      e_.Copy(wide.all(), sum.all(), Engine::kDve);
      e_.Copy(to, wide.all());
    }
    return;
  }
  absl::flat_hash_map<const Instruction*, Value> values;
  values[&conv_] = conv;
  for (const Instruction* member : group_->members) {
    const Instruction* before = e_.SetCurrent(member);
    const DType dtype = *DeviceType(member->shape.type);
    const auto output = std::find_if(outputs_.begin(), outputs_.end(),
                                     [&](const Output& o) { return o.hlo == member; });
    bool own = false;
    const absl::optional<Operand> place = TargetOf(*member, channels, part, &own);
    absl::optional<Operand> to;
    if (own) to = place;
    Value result;
    if (member == scaled_) {
      result = conv;
    } else {
      std::vector<Value> in;
      for (const Instruction* operand : member->operands()) {
        if (!values.contains(operand)) values[operand] = LeafValue(channels, operand, part);
        Value& value = values[operand];
        // What several read is computed once.
        if (operand->uses().size() > 1 && value.count > 0) {
          value.value.operand =
              Settle(value, nullptr, *DeviceType(operand->shape.type), partitions, free);
          value.count = 0;
        }
        in.push_back(value);
      }
      const Operand* target = place.has_value() ? &*place : nullptr;
      if (!Chain(*member, &in, target, dtype, partitions, free, &result)) {
        std::vector<TileValue> operands;
        for (size_t i = 0; i < in.size(); ++i) {
          if (!in[i].value.is_splat() && !in[i].value.column) {
            in[i].value.operand = Settle(
                in[i], nullptr, *DeviceType(member->operand(i)->shape.type), partitions, free);
          }
          operands.push_back(in[i].value);
        }
        absl::StatusOr<TileValue> made = EmitTileOp(e_, *member, operands, partitions, free);
        if (!made.ok()) {
          e_.Fail(made.status());
          return;
        }
        result.value = *made;
      }
    }
    if (to.has_value()) {
      const TileValue& v = result.value;
      if (v.is_splat() || v.column) {
        result.value = TileValue();
        result.value.operand = Materialize(e_, v, dtype, partitions, free);
      }
      // What the next convolution waits for comes first.
      absl::optional<Operand> rounded;
      Result& made = channels.results[static_cast<size_t>(output - outputs_.begin())];
      if (output->rounds) rounded = PartOf(made.rounded, part);
      const bool psum = e_.InPsum(*result.value.operand);
      if (rounded.has_value() && !psum) Settle(result, &*rounded, rounded->dtype, partitions, free);
      const bool there = std::memcmp(&*result.value.operand, &*to, sizeof(Operand)) == 0;
      if (there && result.count > 0 && output->rounds) {
        made.rest = result;
      } else if (result.count > 0 || !there) {
        const bool exact = to->dtype == dtype;
        const Operand settled = Settle(result, &*to, to->dtype, partitions, free);
        // Members that read it go on with the unrounded value.
        if (exact) {
          result = Value();
          result.value.operand = settled;
        }
      }
      if (rounded.has_value() && psum) {
        Value whole;
        whole.value.operand = *to;
        Settle(whole, &*rounded, rounded->dtype, partitions, free);
      }
    }
    values[member] = result;
    e_.SetCurrent(before);
  }
}

void ConvEpilogue::Done(size_t number) {
  const Channels& channels = open_[number];
  for (size_t i = 0; i < outputs_.size(); ++i) {
    const Output& output = outputs_[i];
    const Result& made = channels.results[i];
    const Instruction* before = e_.SetCurrent(output.hlo);
    const Nd part = block_.Of(
        SliceDim(TransposeNd(output.nd, {1, 0, 2, 3, 4}), 0, channels.c0, channels.count));
    if (made.rest.count == 0) e_.Store(part, 1, made.tile);
    if (output.rounds) e_.KeepShared(part, 1, made.rounded);
    e_.SetCurrent(before);
  }
}

void ConvEpilogue::Close() {
  for (const Channels& channels : open_) {
    for (size_t i = 0; i < outputs_.size(); ++i) {
      const Output& output = outputs_[i];
      const Result& made = channels.results[i];
      if (made.rest.count == 0) continue;
      const Instruction* before = e_.SetCurrent(output.hlo);
      const Operand all = made.tile.all();
      const auto& links = made.rest.links;
      // Of the engines that can, the one that takes no sums out of PSUM.
      e_.AddLoad(Engine::kDve, made.tile.free);
      e_.TensorScalar(all, all, links[0].op, links[0].scalar,
                      made.rest.count > 1 ? links[1].op : AluOp::kBypass,
                      made.rest.count > 1 ? links[1].scalar : Scalar(0), 0, Engine::kDve);
      e_.Store(block_.Of(SliceDim(TransposeNd(output.nd, {1, 0, 2, 3, 4}), 0, channels.c0,
                                  channels.count)),
               1, made.tile);
      e_.SetCurrent(before);
    }
  }
  open_.clear();
}

}  // namespace glia::compiler
