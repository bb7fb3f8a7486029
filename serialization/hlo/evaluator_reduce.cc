#include <algorithm>
#include <complex>
#include <cstring>

#include "serialization/hlo/evaluator_internal.h"
#include "serialization/hlo/evaluator_lanes.h"

namespace glia::hlo::evaluator {
namespace {

using Index = std::vector<int64_t>;

int64_t Volume(const Index& dims) {
  int64_t product = 1;
  for (int64_t dim : dims) product *= dim;
  return product;
}

std::vector<Shape> ResultShapes(const Instruction& instr) {
  std::vector<Shape> shapes;
  if (!instr.shape.IsTuple()) return {Shape(instr.shape.type, instr.shape.dims)};
  for (const Shape& shape : instr.shape.tuple) shapes.emplace_back(shape.type, shape.dims);
  return shapes;
}

// The accumulators of reduce and reduce-window, for a block of result elements at a time.
class Accumulators {
 public:
  Accumulators(const Instruction& instr, Operands operands)
      : operands_(operands.subspan(0, operands.size() / 2)),
        inits_(operands.subspan(operands.size() / 2)),
        function_(*instr.to_apply()),
        lanes_(operands.size()),
        next_(operands_.size()) {
    function_.AccumulateWide();
    for (const Shape& shape : ResultShapes(instr)) results.push_back(Literal::Zero(shape));
    for (Lanes& lanes : lanes_) args_.push_back(&lanes);
    for (Lanes& lanes : next_) outs_.push_back(&lanes);
    for (Literal& result : results) data_.push_back(result.MutableRaw());
  }

  void Start(int n) {
    for (size_t i = 0; i < inits_.size(); ++i) {
      Load(inits_[i].raw(), inits_[i].shape().type, 0, 0, n, args_[i]);
    }
  }

  // Combines lane i with the operands' element offsets[i], or leaves it alone when that is
  // negative.
  absl::Status Add(int64_t* offsets, int n) {
    const size_t count = operands_.size();
    bool skip[kLanes];
    bool any = false;
    for (int i = 0; i < n; ++i) {
      skip[i] = offsets[i] < 0;
      any = any || !skip[i];
      if (skip[i]) offsets[i] = 0;
    }
    if (!any) return absl::OkStatus();
    for (size_t i = 0; i < count; ++i) {
      Load(operands_[i].raw(), operands_[i].shape().type, offsets, n, args_[count + i]);
    }
    absl::Status status = function_.Run(args_, n, outs_);
    if (!status.ok()) return status;
    for (size_t i = 0; i < count; ++i) Keep(*outs_[i], skip, n, args_[i]);
    return absl::OkStatus();
  }

  void Finish(int64_t start, int n) {
    for (size_t i = 0; i < results.size(); ++i) Store(*args_[i], n, data_[i], start);
  }

  Literal Result() const { return results.size() == 1 ? results[0] : Literal::Tuple(results); }

  std::vector<Literal> results;

 private:
  static void Keep(const Lanes& next, const bool* skip, int n, Lanes* current) {
    const LaneKind kind = LaneKindOf(next.type);
    for (int i = 0; i < n; ++i) {
      if (skip[i]) continue;
      if (kind == LaneKind::kComplex) {
        current->as<std::complex<double>>()[i] = next.as<std::complex<double>>()[i];
      } else {  // any 64-bit value
        current->as<uint64_t>()[i] = next.as<uint64_t>()[i];
      }
    }
  }

  Operands operands_;
  Operands inits_;
  ScalarFunction function_;
  std::vector<Lanes> lanes_;
  std::vector<Lanes> next_;
  std::vector<Lanes*> args_, outs_;
  std::vector<void*> data_;
};

// Offsets of all positions of a box, row-major.
Index Offsets(const Index& dims, const Index& strides) {
  Index offsets;
  if (Volume(dims) == 0) return offsets;
  offsets.reserve(static_cast<size_t>(Volume(dims)));
  Index index(dims.size(), 0);
  do {
    int64_t offset = 0;
    for (size_t d = 0; d < dims.size(); ++d) offset += index[d] * strides[d];
    offsets.push_back(offset);
  } while (NextIndex(dims, &index));
  return offsets;
}

// Where window positions meet the base area: for each output index of dim d and tap k, the base
// index or -1.
int64_t BaseIndex(const WindowDim& w, int64_t output, int64_t tap, int64_t base_size) {
  const int64_t position = output * w.stride + tap * w.window_dilation - w.pad_low;
  if (position < 0 || position % w.base_dilation != 0) return -1;
  const int64_t index = position / w.base_dilation;
  return index < base_size ? index : -1;
}

}  // namespace

absl::StatusOr<Literal> Reduce(const Instruction& instr, Operands operands) {
  const Shape& shape = operands[0].shape();
  const Index strides = RowMajorStrides(shape.dims);
  Index kept, kept_strides, reduced, reduced_strides;
  for (size_t d = 0; d < strides.size(); ++d) {
    const bool is_reduced = std::find(instr.dimensions.begin(), instr.dimensions.end(),
                                      static_cast<int64_t>(d)) != instr.dimensions.end();
    (is_reduced ? reduced : kept).push_back(shape.dims[d]);
    (is_reduced ? reduced_strides : kept_strides).push_back(strides[d]);
  }
  const Index bases = Offsets(kept, kept_strides);
  const Index steps = Offsets(reduced, reduced_strides);
  Accumulators accumulators(instr, operands);
  int64_t offsets[kLanes];
  const int64_t count = static_cast<int64_t>(bases.size());
  for (int64_t start = 0; start < count; start += kLanes) {
    const int n = static_cast<int>(std::min<int64_t>(kLanes, count - start));
    accumulators.Start(n);
    for (int64_t step : steps) {
      for (int i = 0; i < n; ++i) offsets[i] = bases[static_cast<size_t>(start + i)] + step;
      absl::Status status = accumulators.Add(offsets, n);
      if (!status.ok()) return status;
    }
    accumulators.Finish(start, n);
  }
  return accumulators.Result();
}

absl::StatusOr<Literal> ReduceWindow(const Instruction& instr, Operands operands) {
  const Shape& base = operands[0].shape();
  const Index strides = RowMajorStrides(base.dims);
  Accumulators accumulators(instr, operands);
  const Index& dims = accumulators.results[0].shape().dims;
  const int64_t count = Volume(dims);
  if (count == 0) return accumulators.Result();
  Index window;
  for (const WindowDim& w : instr.window) window.push_back(w.size);
  if (Volume(window) == 0) window.clear();
  const bool empty = window.size() != instr.window.size();

  Index output(dims.size(), 0);
  for (int64_t start = 0; start < count; start += kLanes) {
    const int n = static_cast<int>(std::min<int64_t>(kLanes, count - start));
    std::vector<Index> outputs;
    for (int i = 0; i < n; ++i) {
      outputs.push_back(output);
      NextIndex(dims, &output);
    }
    accumulators.Start(n);
    Index tap(window.size(), 0);
    do {
      int64_t offsets[kLanes];
      for (int i = 0; i < n && !empty; ++i) {
        offsets[i] = 0;
        for (size_t d = 0; d < dims.size() && offsets[i] >= 0; ++d) {
          const int64_t index =
              BaseIndex(instr.window[d], outputs[static_cast<size_t>(i)][d], tap[d], base.dims[d]);
          offsets[i] = index < 0 ? -1 : offsets[i] + index * strides[d];
        }
      }
      if (empty) break;
      absl::Status status = accumulators.Add(offsets, n);
      if (!status.ok()) return status;
    } while (NextIndex(window, &tap));
    accumulators.Finish(start, n);
  }
  return accumulators.Result();
}

absl::StatusOr<Literal> SelectAndScatter(const Instruction& instr, Operands operands) {
  const Literal& operand = operands[0];
  const Literal& source = operands[1];
  const Index& dims = operand.shape().dims;
  const Index strides = RowMajorStrides(dims);
  const PrimitiveType type = operand.shape().type;
  Literal result = Literal::Zero(operand.shape().WithoutLayout());
  void* data = result.MutableRaw();
  Lanes current, candidate, pred;
  for (int64_t i = 0; i < result.elements(); ++i) {  // the initial value everywhere
    std::memcpy(static_cast<char*>(data) + i * ByteSize(type), operands[2].raw(),
                static_cast<size_t>(ByteSize(type)));
  }
  ScalarFunction select(*instr.called[0]);
  ScalarFunction scatter(*instr.called[1]);
  if (source.elements() == 0) return result;

  Index window;
  for (const WindowDim& w : instr.window) window.push_back(w.size);
  if (Volume(window) == 0) return result;
  Index output(dims.size(), 0);
  int64_t source_position = 0;
  do {
    // The selected element of the window; -1 when all of it is padding.
    int64_t selected = -1;
    Index tap(window.size(), 0);
    do {
      int64_t offset = 0;
      for (size_t d = 0; d < dims.size() && offset >= 0; ++d) {
        const int64_t index = BaseIndex(instr.window[d], output[d], tap[d], dims[d]);
        offset = index < 0 ? -1 : offset + index * strides[d];
      }
      if (offset < 0) continue;
      if (selected < 0) {
        selected = offset;
        continue;
      }
      Load(operand.raw(), type, &selected, 1, &current);
      Load(operand.raw(), type, &offset, 1, &candidate);
      Lanes* args[] = {&current, &candidate};
      Lanes* outs[] = {&pred};
      absl::Status status = select.Run(args, 1, outs);
      if (!status.ok()) return status;
      if (pred.as<uint64_t>()[0] == 0) selected = offset;
    } while (NextIndex(window, &tap));
    if (selected >= 0) {
      Load(source.raw(), type, &source_position, 1, &candidate);
      Load(data, type, &selected, 1, &current);
      Lanes* args[] = {&candidate, &current};
      Lanes* outs[] = {&current};
      absl::Status status = scatter.Run(args, 1, outs);
      if (!status.ok()) return status;
      Store(current, 1, data, &selected);
    }
    ++source_position;
  } while (NextIndex(source.shape().dims, &output));
  return result;
}

}  // namespace glia::hlo::evaluator
