// scatter: updates of windows, in order. Windows that do not fit are left out: they go to a place
// behind the array.
#include <algorithm>

#include "absl/strings/str_cat.h"
#include "compiler/codegen/emitters.h"
#include "compiler/codegen/indexing.h"
#include "compiler/codegen/movement.h"
#include "compiler/codegen/tiling.h"
#include "serialization/isa/table.h"

namespace glia::compiler {
namespace {

using hlo::Computation;
using hlo::Instruction;
using hlo::Opcode;

// Windows that any other computation updates one after the other: three transfers each.
constexpr int64_t kMaxSerialWindows = 1 << 13;

bool Contains(const Dims& dims, int64_t dim) {
  return std::find(dims.begin(), dims.end(), dim) != dims.end();
}

// What a transfer can do to the bytes that it meets.
struct Combine {
  isa::DmaOp op;
  DType dtype;
};

// How result i of the computation comes from old element i and update i alone.
absl::optional<Combine> ClassifyCombine(const Computation& computation, int64_t count, int64_t i,
                                        DType dtype) {
  const Instruction* root = computation.root();
  if (root->opcode() == Opcode::kTuple) root = root->operand(i);
  const Instruction* old = computation.parameter(i);
  const Instruction* update = computation.parameter(count + i);
  if (root == update) return Combine{isa::DmaOp::kCopy, dtype};
  if (root->operand_count() != 2 || root->shape.type != old->shape.type) return absl::nullopt;
  const bool pair = (root->operand(0) == old && root->operand(1) == update) ||
                    (root->operand(0) == update && root->operand(1) == old);
  if (!pair) return absl::nullopt;
  const bool pred = dtype == DType::kPred;
  const DType type = pred ? DType::kU8 : dtype;  // truth values are 0 and 1
  switch (root->opcode()) {
    case Opcode::kAdd:
      return Combine{pred ? isa::DmaOp::kMax : isa::DmaOp::kAdd, type};
    case Opcode::kMultiply:
      return Combine{pred ? isa::DmaOp::kMin : isa::DmaOp::kMultiply, type};
    case Opcode::kMaximum:
      return Combine{isa::DmaOp::kMax, type};
    case Opcode::kMinimum:
      return Combine{isa::DmaOp::kMin, type};
    case Opcode::kAnd:
      return pred ? absl::make_optional(Combine{isa::DmaOp::kMin, type}) : absl::nullopt;
    case Opcode::kOr:
      return pred ? absl::make_optional(Combine{isa::DmaOp::kMax, type}) : absl::nullopt;
    default:
      return absl::nullopt;
  }
}

// One operand: [count, window ...] in the result (dim 0 by index) and in the updates.
struct Target {
  Nd result;
  Nd windows;
  Nd updates;
};

Nd WithType(Nd nd, DType dtype) {
  nd.dtype = dtype;
  return nd;
}

// old and update through the computation, for the windows of one index (or several distinct ones).
absl::Status UpdateBy(Emitter& e, const Computation& computation,
                      const std::vector<Target>& targets, int64_t first, int64_t count,
                      const Emitter::Index& index) {
  std::vector<Nd> old;
  for (const Target& t : targets) {
    const Nd buffer =
        e.NewBuffer(t.windows.dtype, SliceDim(t.updates, 0, first, count).dims, "scatter");
    GatherWindows(e, buffer, SliceDim(t.windows, 0, first, count), index);
    old.push_back(buffer);
  }
  // Results, then old elements, then updates.
  std::vector<Nd> parts, results;
  for (const Nd& o : old) results.push_back(e.NewBuffer(o.dtype, o.dims, "scatter"));
  parts = results;
  parts.insert(parts.end(), old.begin(), old.end());
  for (const Target& t : targets) parts.push_back(SliceDim(t.updates, 0, first, count));
  absl::Status status;
  const size_t n = targets.size();
  ForEachTile(parts, 1024, [&](const TileBox& box) {
    if (!status.ok()) return;
    std::vector<Operand> arguments;
    for (size_t i = n; i < 3 * n; ++i) {
      const LoadedOperand load = LoadOperand(e, box.parts[i], box.partition_dims);
      Operand o = load.operand;
      if (load.column) o.size[isa::kFreeDims - 1] = static_cast<uint16_t>(box.free);
      arguments.push_back(o);
    }
    absl::StatusOr<std::vector<Operand>> values = e.ApplyScalar(computation, arguments);
    if (!values.ok()) {
      status = values.status();
      return;
    }
    for (size_t i = 0; i < n; ++i) {
      const Tile tile = e.NewTile(box.parts[i].dtype, box.partitions, box.free, "scatter");
      e.Copy(tile.all(), (*values)[i]);
      e.Dma(box.parts[i], TileNd(tile, box.parts[i].dims, box.partition_dims));
    }
  });
  if (!status.ok()) return status;
  for (size_t i = 0; i < n; ++i) {
    ScatterWindows(e, SliceDim(targets[i].windows, 0, first, count), results[i], index);
  }
  return e.status();
}

}  // namespace

absl::Status EmitScatter(Emitter& e, const Instruction& hlo) {
  const int64_t operands = (hlo.operand_count() - 1) / 2;
  const hlo::ScatterDims& s = hlo.scatter_dims;
  const Computation& computation = *hlo.to_apply();
  absl::StatusOr<Nd> indices = e.View(hlo.operand(operands));
  if (!indices.ok()) return indices.status();
  const Dims& dims = hlo.operand(0)->shape.dims;
  const Dims& update_dims = hlo.operand(operands + 1)->shape.dims;
  if (Product(dims) == 0 || Product(update_dims) == 0) {
    std::vector<Nd> leaves;
    for (int64_t i = 0; i < operands; ++i) {
      absl::StatusOr<Nd> view = e.View(hlo.operand(i));
      if (!view.ok()) return view.status();
      leaves.push_back(*view);
    }
    e.SetLeaves(hlo, std::move(leaves));
    return e.status();
  }
  // Sizes of a window in each dim of the operand, and the updates as [batch ..., window ...].
  Dims sizes(dims.size(), 1), order;
  for (size_t d = 0; d < update_dims.size(); ++d) {
    if (!Contains(s.update_window_dims, static_cast<int64_t>(d)))
      order.push_back(static_cast<int64_t>(d));
  }
  const size_t batch_rank = order.size();
  order.insert(order.end(), s.update_window_dims.begin(), s.update_window_dims.end());
  std::sort(order.begin() + static_cast<int64_t>(batch_rank), order.end());
  Dims window_dims;  // of the operand
  for (size_t d = 0; d < dims.size(); ++d) {
    const int64_t dim = static_cast<int64_t>(d);
    if (Contains(s.inserted_window_dims, dim) || Contains(s.input_batching_dims, dim)) continue;
    sizes[d] = update_dims[order[batch_rank + window_dims.size()]];
    window_dims.push_back(dim);
  }

  std::vector<Target> targets;
  WindowStarts starts;
  int64_t trash = 0;
  bool simple = true;
  for (int64_t i = 0; i < operands; ++i) {
    absl::StatusOr<Nd> operand = e.View(hlo.operand(i));
    if (!operand.ok()) return operand.status();
    absl::StatusOr<Nd> updates = e.View(hlo.operand(operands + 1 + i));
    if (!updates.ok()) return updates.status();
    const Nd dense = DenseNd(0, operand->dtype, dims);
    const int64_t bytes = dense.element_bytes();
    WindowStarts now;
    now.out_of_range = OutOfRange::kDivert;
    if (absl::Status status = ReadIndexVectors(
            e, *indices, s.index_vector_dim, s.scatter_dims_to_operand_dims, s.input_batching_dims,
            s.scatter_indices_batching_dims, dense, sizes, &now);
        !status.ok()) {
      return status;
    }
    const int64_t unit = now.Unit(bytes);
    int64_t span = bytes;
    for (size_t d = 0; d < dims.size(); ++d) span += (sizes[d] - 1) * dense.strides[d];
    trash = (dense.elements() * bytes + unit - 1) / unit;
    const int64_t extent = (trash * unit + span) / bytes;
    Target t;
    const Nd buffer = e.NewBuffer(dense.dtype, {extent}, "scatter");
    t.result = dense;
    t.result.var = buffer.var;
    e.Dma(t.result, *operand);
    Fill(e, SliceDim(buffer, 0, dense.elements(), extent - dense.elements()), nullptr, 0, 0);
    t.windows = t.result;
    t.windows.dims = {now.count};
    t.windows.strides = {0};
    for (int64_t d : window_dims) {
      t.windows = InsertDim(t.windows, t.windows.rank(), sizes[d], dense.strides[d]);
    }
    t.updates = Reshaped(e, TransposeNd(*updates, order), t.windows.dims);
    targets.push_back(t);
    simple = simple && ClassifyCombine(computation, operands, i, dense.dtype).has_value();
    if (i == 0) starts = now;
  }
  std::vector<Nd> leaves;
  for (const Target& t : targets) leaves.push_back(t.result);

  if (!simple && !hlo.unique_indices && starts.count > kMaxSerialWindows) {
    return absl::UnimplementedError(
        absl::StrCat("a scatter of ", starts.count, " updates by computation '", computation.name(),
                     "', which is applied one by one; at most ", kMaxSerialWindows,
                     ", or any number by add, multiply, "
                     "maximum, minimum or assignment"));
  }
  const int64_t bytes = targets[0].result.element_bytes();
  const absl::Status status = ForEachStarts(
      e, starts, bytes, trash, [&](int64_t first, int64_t count, const Emitter::Index& index) {
        // The units of operands of other element sizes differ by as much.
        const auto index_of = [&](const Target& t) {
          Emitter::Index at = index;
          at.stride = index.stride / bytes * t.result.element_bytes();
          return at;
        };
        if (simple) {
          for (int64_t i = 0; i < operands; ++i) {
            const Target& t = targets[i];
            const Combine combine = *ClassifyCombine(computation, operands, i, t.result.dtype);
            ScatterWindows(e, WithType(SliceDim(t.windows, 0, first, count), combine.dtype),
                           WithType(SliceDim(t.updates, 0, first, count), combine.dtype),
                           index_of(t), combine.op);
          }
          return e.status();
        }
        const int64_t step = hlo.unique_indices ? count : 1;
        for (int64_t i = 0; i < count && e.ok(); i += step) {
          Emitter::Index at = index;
          at.offset += i * isa::DTypeBytes(DType::kI32);
          if (absl::Status u = UpdateBy(e, computation, targets, first + i, step, at); !u.ok())
            return u;
        }
        return e.status();
      });
  if (!status.ok()) return status;
  e.SetLeaves(hlo, std::move(leaves));
  return e.status();
}

}  // namespace glia::compiler
