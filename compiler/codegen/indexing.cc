#include "compiler/codegen/indexing.h"

#include <algorithm>
#include <numeric>

#include "absl/strings/str_cat.h"
#include "serialization/hlo/literal.h"
#include "serialization/isa/table.h"

namespace glia::compiler {
namespace {

// Integers up to here are exact in the fp32 immediate of an instruction.
constexpr int64_t kExactImmediate = int64_t{1} << 24;
constexpr int64_t kMaxFree = 256;  // starts in a partition

Scalar Immediate(Emitter& e, int64_t value, int partitions) {
  if (std::abs(value) <= kExactImmediate) return Scalar(static_cast<double>(value));
  const Operand column = e.NewTile(DType::kI64, partitions, 1, "splat").all();
  e.MemsetInt(column, value);
  return Scalar(column);
}

// The starts of windows [first, first + partitions * free) as an i32 tile.
Tile EmitPiece(Emitter& e, const WindowStarts& starts, int64_t unit, int64_t trash, int64_t first,
               int partitions, int64_t free) {
  const auto tile = [&](DType t) { return e.NewTile(t, partitions, free, "index").all(); };
  const bool refuse = starts.out_of_range == OutOfRange::kRefuse;
  absl::optional<Operand> sum, outside;
  for (const StartCoordinate& c : starts.coordinates) {
    const Tile raw =
        e.LoadShared(SplitDim(SliceDim(c.values, 0, first, partitions * free), 0, free), 1);
    Operand value = raw.all();
    if (!c.in_range) {
      value = tile(DType::kI64);
      // Of one coordinate, what is just out of range makes a start that is.
      const int64_t beyond = refuse && starts.coordinates.size() == 1 && c.stride > 0 ? 1 : 0;
      e.TensorScalar(value, raw.all(), AluOp::kMax, static_cast<double>(-beyond), AluOp::kMin,
                     Immediate(e, c.limit + beyond, partitions), 0, Engine::kPool);
      if (starts.out_of_range == OutOfRange::kDivert || (refuse && beyond == 0)) {
        const Operand differs = tile(DType::kPred);
        e.TensorTensor(differs, raw.all(), value, AluOp::kNe, Engine::kPool);
        if (outside.has_value()) {
          const Operand either = tile(DType::kPred);
          e.TensorTensor(either, *outside, differs, AluOp::kLogicalOr, Engine::kPool);
          outside = either;
        } else {
          outside = differs;
        }
      }
    }
    const Scalar step = Immediate(e, c.stride / unit, partitions);
    const Operand next = tile(DType::kI64);
    if (sum.has_value()) {
      e.ScalarTensorTensor(next, value, AluOp::kMultiply, step, AluOp::kAdd, *sum, Engine::kPool);
    } else {
      e.TensorScalar(next, value, AluOp::kMultiply, step, AluOp::kBypass, 0, 0, Engine::kPool);
    }
    sum = next;
  }
  const Tile result = e.NewTile(DType::kI32, partitions, free, "index");
  if (!sum.has_value()) {
    e.MemsetInt(result.all(), 0);
    return result;
  }
  if (outside.has_value()) {
    const Operand elsewhere = tile(DType::kI64);
    e.MemsetInt(elsewhere, trash);
    e.Select(result.all(), *outside, elsewhere, *sum, Engine::kPool);
  } else {
    e.Copy(result.all(), *sum, Engine::kPool);
  }
  return result;
}

// Splits what has more dims than one transfer takes; f gets dims [count, up to 4 more].
void SplitWindows(const Nd& dst, const Nd& src,
                  const std::function<void(const Nd&, const Nd&)>& f) {
  Dims dims(dst.dims.begin() + 1, dst.dims.end());
  Dims to(dst.strides.begin() + 1, dst.strides.end());
  Dims from(src.strides.begin() + 1, src.strides.end());
  Collapse(&dims, {&to, &from});
  const auto with = [&dims](const Nd& nd, const Dims& strides) {
    Nd result = nd;
    result.dims = {nd.dims[0]};
    result.strides = {nd.strides[0]};
    result.dims.insert(result.dims.end(), dims.begin(), dims.end());
    result.strides.insert(result.strides.end(), strides.begin(), strides.end());
    return result;
  };
  const Nd d = with(dst, to), s = with(src, from);
  if (d.rank() <= isa::kDmaDims) {
    f(d, s);
    return;
  }
  const int64_t smallest = std::min_element(d.dims.begin() + 1, d.dims.end() - 1) - d.dims.begin();
  for (int64_t i = 0; i < d.dims[smallest]; ++i) {
    SplitWindows(DropDim(SliceDim(d, smallest, i, 1), smallest),
                 DropDim(SliceDim(s, smallest, i, 1), smallest), f);
  }
}

}  // namespace

int64_t WindowStarts::Unit(int64_t element_bytes) const {
  int64_t unit = 0;
  for (const StartCoordinate& c : coordinates) {
    if (c.limit > 0) unit = std::gcd(unit, c.stride);
  }
  return unit == 0 ? element_bytes : unit;
}

int64_t WindowStarts::Last(int64_t unit) const {
  int64_t last = 0;
  for (const StartCoordinate& c : coordinates) last += c.limit * (c.stride / unit);
  return last;
}

absl::Status ForEachStarts(Emitter& e, const WindowStarts& starts, int64_t element_bytes,
                           int64_t trash, const StartsFn& f) {
  const int64_t unit = starts.Unit(element_bytes);
  int64_t last = starts.Last(unit);
  if (starts.out_of_range == OutOfRange::kDivert) last = std::max(last, trash);
  if (starts.out_of_range == OutOfRange::kRefuse) trash = last + 1;
  if (last >= INT32_MAX) {
    return absl::UnimplementedError(absl::StrCat("indices reach ", last, " steps of ", unit,
                                                 " bytes; at most ", INT32_MAX - 1));
  }
  for (int64_t first = 0; first < starts.count && e.ok();) {
    const int64_t left = starts.count - first;
    const int64_t free =
        std::min<int64_t>(left, std::max<int64_t>(16, std::min(kMaxFree, left / isa::kPartitions)));
    const int partitions = static_cast<int>(std::min<int64_t>(isa::kPartitions, left / free));
    const Tile tile = EmitPiece(e, starts, unit, trash, first, partitions, free);
    Emitter::Index index;
    index.var = tile.var;
    index.stride = unit;
    index.bound = last + 1;
    if (absl::Status s = f(first, partitions * free, index); !s.ok()) return s;
    first += partitions * free;
  }
  return e.status();
}

void GatherWindows(Emitter& e, const Nd& dst, const Nd& src, const Emitter::Index& index) {
  if (dst.elements() == 0) return;
  SplitWindows(dst, src, [&](const Nd& d, const Nd& s) { e.Gather(d, s, index); });
}

void ScatterWindows(Emitter& e, const Nd& dst, const Nd& src, const Emitter::Index& index,
                    isa::DmaOp op) {
  if (dst.elements() == 0) return;
  SplitWindows(dst, src, [&](const Nd& d, const Nd& s) { e.Scatter(d, s, index, op); });
}

Nd Reshaped(Emitter& e, const Nd& nd, const Dims& dims) {
  if (const absl::optional<Nd> view = ReshapeNd(nd, dims); view.has_value()) return *view;
  const Nd copy = e.NewBuffer(nd.dtype, nd.dims, "dense");
  e.Dma(copy, nd);
  return *ReshapeNd(copy, dims);
}

Nd Flatten(Emitter& e, const Nd& nd) { return Reshaped(e, nd, {nd.elements()}); }

absl::Status ReadIndexVectors(Emitter& e, const Nd& indices, int64_t vector_dim, const Dims& map,
                              const Dims& operand_batching, const Dims& indices_batching,
                              const Nd& operand, const Dims& sizes, WindowStarts* starts) {
  Nd vectors = indices;
  if (vector_dim == vectors.rank()) vectors = InsertDim(vectors, vector_dim);
  Dims batch = vectors.dims;
  batch.erase(batch.begin() + vector_dim);
  starts->count = Product(batch);
  for (size_t i = 0; i < map.size(); ++i) {
    StartCoordinate c;
    c.values =
        Flatten(e, DropDim(SliceDim(vectors, vector_dim, static_cast<int64_t>(i), 1), vector_dim));
    c.limit = operand.dims[map[i]] - sizes[map[i]];
    c.stride = operand.strides[map[i]];
    starts->coordinates.push_back(c);
  }
  for (size_t i = 0; i < operand_batching.size(); ++i) {
    const int64_t dim = operand_batching[i];
    const int64_t at = indices_batching[i] - (indices_batching[i] > vector_dim ? 1 : 0);
    std::vector<int32_t> counting(static_cast<size_t>(batch[at]));
    std::iota(counting.begin(), counting.end(), 0);
    absl::StatusOr<Nd> numbers = e.AddConstant(hlo::Literal::R1<int32_t>(counting));
    if (!numbers.ok()) return numbers.status();
    StartCoordinate c;
    c.values = Flatten(e, BroadcastNd(*numbers, batch, {at}));
    c.limit = operand.dims[dim] - 1;
    c.stride = operand.strides[dim];
    c.in_range = true;
    starts->coordinates.push_back(c);
  }
  return e.status();
}

}  // namespace glia::compiler
