#include <algorithm>

#include "serialization/hlo/evaluator_internal.h"
#include "serialization/hlo/evaluator_lanes.h"

namespace glia::hlo::evaluator {
namespace {

using Index = std::vector<int64_t>;

bool Contains(const Index& dims, int64_t dim) {
  return std::find(dims.begin(), dims.end(), dim) != dims.end();
}

// Reads the index vectors of gather and scatter. The batch index runs over the dims of the indices
// but for index_vector_dim.
class StartIndices {
 public:
  StartIndices(const Literal& indices, int64_t index_vector_dim)
      : indices_(indices), vector_dim_(index_vector_dim) {
    const Index& dims = indices.shape().dims;
    const Index strides = RowMajorStrides(dims);
    for (size_t d = 0; d < dims.size(); ++d) {
      if (static_cast<int64_t>(d) == index_vector_dim) {
        vector_stride_ = strides[d];
      } else {
        batch_dims.push_back(dims[d]);
        batch_strides_.push_back(strides[d]);
      }
    }
  }

  // Component i of the vector at `batch`. A u64 above 2^63 is clamped to the largest int64.
  int64_t Get(const Index& batch, size_t i) const {
    int64_t position = static_cast<int64_t>(i) * vector_stride_;
    for (size_t d = 0; d < batch.size(); ++d) position += batch[d] * batch_strides_[d];
    const int64_t value = indices_.GetAsInt64(position);
    return value < 0 && indices_.shape().type == kU64 ? INT64_MAX : value;
  }

  // The position of dim `dim` of the indices within the batch index.
  size_t BatchDim(int64_t dim) const {
    return static_cast<size_t>(dim < vector_dim_ ? dim : dim - 1);
  }

  Index batch_dims;

 private:
  const Literal& indices_;
  int64_t vector_dim_;
  int64_t vector_stride_ = 0;
  Index batch_strides_;
};

bool AnyZero(const Index& dims) { return std::find(dims.begin(), dims.end(), 0) != dims.end(); }

}  // namespace

absl::StatusOr<Literal> Gather(const Instruction& instr, Operands operands) {
  const Literal& operand = operands[0];
  const GatherDims& dims = instr.gather_dims;
  const StartIndices starts(operands[1], dims.index_vector_dim);
  Literal result = Literal::Zero(Shape(instr.shape.type, instr.shape.dims));
  if (result.elements() == 0) return result;

  // A window is a box of the operand without the collapsed and batching dims.
  const Index operand_strides = RowMajorStrides(operand.shape().dims);
  const Index result_strides = RowMajorStrides(instr.shape.dims);
  Index box, box_strides;
  for (size_t d = 0; d < operand_strides.size(); ++d) {
    const int64_t dim = static_cast<int64_t>(d);
    if (Contains(dims.collapsed_slice_dims, dim) || Contains(dims.operand_batching_dims, dim))
      continue;
    box.push_back(instr.slice_sizes[d]);
    box_strides.push_back(operand_strides[d]);
  }
  Index window_strides, batch_strides;  // within the result
  for (size_t d = 0; d < result_strides.size(); ++d) {
    const bool offset = Contains(dims.offset_dims, static_cast<int64_t>(d));
    (offset ? window_strides : batch_strides).push_back(result_strides[d]);
  }

  void* data = result.MutableRaw();
  Index batch(starts.batch_dims.size(), 0);
  do {
    int64_t source = 0;
    for (size_t i = 0; i < dims.start_index_map.size(); ++i) {
      const size_t d = static_cast<size_t>(dims.start_index_map[i]);
      const int64_t limit = operand.shape().dims[d] - instr.slice_sizes[d];
      source += std::max<int64_t>(0, std::min(starts.Get(batch, i), limit)) * operand_strides[d];
    }
    for (size_t i = 0; i < dims.operand_batching_dims.size(); ++i) {
      source += batch[starts.BatchDim(dims.start_indices_batching_dims[i])] *
                operand_strides[static_cast<size_t>(dims.operand_batching_dims[i])];
    }
    int64_t target = 0;
    for (size_t d = 0; d < batch.size(); ++d) target += batch[d] * batch_strides[d];
    CopyBox(box, ByteSize(instr.shape.type), operand.raw(), source, box_strides, data, target,
            window_strides);
  } while (NextIndex(starts.batch_dims, &batch));
  return result;
}

absl::StatusOr<Literal> Scatter(const Instruction& instr, Operands operands) {
  const size_t count = (operands.size() - 1) / 2;
  const ScatterDims& dims = instr.scatter_dims;
  const StartIndices starts(operands[count], dims.index_vector_dim);
  const Index& operand_dims = operands[0].shape().dims;
  const Index operand_strides = RowMajorStrides(operand_dims);
  const Index& update_dims = operands[count + 1].shape().dims;
  const Index update_strides = RowMajorStrides(update_dims);

  std::vector<Literal> results(operands.begin(), operands.begin() + static_cast<int64_t>(count));
  auto finish = [&]() { return count == 1 ? results[0] : Literal::Tuple(results); };
  if (AnyZero(update_dims) || AnyZero(operand_dims)) return finish();

  // The window's dims, in the operand and in the updates.
  Index window, window_operand_dims, window_update_strides, batch_update_strides;
  for (size_t d = 0; d < update_dims.size(); ++d) {
    if (Contains(dims.update_window_dims, static_cast<int64_t>(d))) {
      window.push_back(update_dims[d]);
      window_update_strides.push_back(update_strides[d]);
    } else {
      batch_update_strides.push_back(update_strides[d]);
    }
  }
  for (size_t d = 0; d < operand_dims.size(); ++d) {
    const int64_t dim = static_cast<int64_t>(d);
    if (Contains(dims.inserted_window_dims, dim) || Contains(dims.input_batching_dims, dim))
      continue;
    window_operand_dims.push_back(dim);
  }
  Index window_sizes(operand_dims.size(), 1);
  for (size_t i = 0; i < window.size(); ++i) {
    window_sizes[static_cast<size_t>(window_operand_dims[i])] = window[i];
  }

  ScalarFunction function(*instr.to_apply());
  std::vector<Lanes> lanes(2 * count);
  std::vector<Lanes*> args, outs;
  for (size_t i = 0; i < 2 * count; ++i) args.push_back(&lanes[i]);
  for (size_t i = 0; i < count; ++i) outs.push_back(&lanes[i]);
  std::vector<void*> data;
  for (Literal& result : results) data.push_back(result.MutableRaw());

  Index batch(starts.batch_dims.size(), 0);
  do {
    Index start(operand_dims.size(), 0);
    for (size_t i = 0; i < dims.scatter_dims_to_operand_dims.size(); ++i) {
      start[static_cast<size_t>(dims.scatter_dims_to_operand_dims[i])] = starts.Get(batch, i);
    }
    for (size_t i = 0; i < dims.input_batching_dims.size(); ++i) {
      start[static_cast<size_t>(dims.input_batching_dims[i])] =
          batch[starts.BatchDim(dims.scatter_indices_batching_dims[i])];
    }
    bool inside = true;
    int64_t target = 0;
    int64_t source = 0;
    for (size_t d = 0; d < start.size(); ++d) {
      inside = inside && start[d] >= 0 && start[d] <= operand_dims[d] - window_sizes[d];
      if (inside) target += start[d] * operand_strides[d];
    }
    if (!inside) continue;
    for (size_t d = 0; d < batch.size(); ++d) source += batch[d] * batch_update_strides[d];

    // The elements of one window are distinct, so they may go in blocks.
    Index position(window.size(), 0);
    bool more = true;
    while (more) {
      int64_t targets[kLanes], sources[kLanes];
      int n = 0;
      while (more && n < kLanes) {
        targets[n] = target;
        sources[n] = source;
        for (size_t i = 0; i < window.size(); ++i) {
          targets[n] += position[i] * operand_strides[static_cast<size_t>(window_operand_dims[i])];
          sources[n] += position[i] * window_update_strides[i];
        }
        ++n;
        more = NextIndex(window, &position);
      }
      for (size_t i = 0; i < count; ++i) {
        const Literal& updates = operands[count + 1 + i];
        Load(data[i], results[i].shape().type, targets, n, args[i]);
        Load(updates.raw(), updates.shape().type, sources, n, args[count + i]);
      }
      absl::Status status = function.Run(args, n, outs);
      if (!status.ok()) return status;
      for (size_t i = 0; i < count; ++i) Store(*outs[i], n, data[i], targets);
    }
  } while (NextIndex(starts.batch_dims, &batch));
  return finish();
}

}  // namespace glia::hlo::evaluator
