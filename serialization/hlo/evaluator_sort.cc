#include <algorithm>
#include <cmath>
#include <numeric>

#include "serialization/hlo/evaluator_internal.h"
#include "serialization/hlo/evaluator_lanes.h"

namespace glia::hlo::evaluator {
namespace {

// Calls f(first element, stride) for each row of `shape` along `dim`.
template <typename F>
void ForEachRow(const Shape& shape, int64_t dim, F f) {
  const int64_t stride = RowMajorStrides(shape.dims)[static_cast<size_t>(dim)];
  const int64_t block = shape.dim(dim) * stride;
  if (block == 0) return;
  for (int64_t outer = 0; outer < shape.elements(); outer += block) {
    for (int64_t inner = 0; inner < stride; ++inner) f(outer + inner, stride);
  }
}

// The values of a row whose order is wanted, as keys of an ascending stable sort.
template <typename T>
void SortRow(const Literal& values, int64_t first, int64_t stride, bool largest,
             std::vector<int64_t>* order) {
  std::vector<T> keys(order->size());
  Lanes lanes;
  for (size_t start = 0; start < keys.size(); start += kLanes) {
    const size_t n = std::min<size_t>(kLanes, keys.size() - start);
    Load(values.raw(), values.shape().type, first + static_cast<int64_t>(start) * stride, stride,
         static_cast<int>(n), &lanes);
    std::copy(lanes.as<T>(), lanes.as<T>() + n, keys.begin() + static_cast<int64_t>(start));
  }
  // NaN above everything.
  auto less = [](T a, T b) { return a < b || (b != b && a == a); };
  std::stable_sort(order->begin(), order->end(), [&](int64_t i, int64_t j) {
    const T a = keys[static_cast<size_t>(i)];
    const T b = keys[static_cast<size_t>(j)];
    return largest ? less(b, a) : less(a, b);
  });
}

}  // namespace

absl::StatusOr<Literal> Sort(const Instruction& instr, Operands operands) {
  std::vector<Literal> results(operands.begin(), operands.end());
  auto finish = [&]() { return results.size() == 1 ? results[0] : Literal::Tuple(results); };
  const Shape& shape = operands[0].shape();
  if (shape.rank() == 0) return finish();
  const int64_t dim = instr.dimensions[0];

  ScalarFunction comparator(*instr.to_apply());
  std::vector<Lanes> lanes(2 * operands.size());
  std::vector<Lanes*> args;
  for (Lanes& l : lanes) args.push_back(&l);
  Lanes less;
  Lanes* const less_pointer = &less;
  std::vector<void*> data;
  for (Literal& result : results) data.push_back(result.MutableRaw());

  absl::Status status;
  std::vector<int64_t> order(static_cast<size_t>(shape.dim(dim)));
  ForEachRow(shape, dim, [&](int64_t first, int64_t stride) {
    std::iota(order.begin(), order.end(), int64_t{0});
    std::stable_sort(order.begin(), order.end(), [&](int64_t i, int64_t j) {
      for (size_t k = 0; k < operands.size(); ++k) {
        Load(operands[k].raw(), operands[k].shape().type, first + i * stride, 1, 1, args[2 * k]);
        Load(operands[k].raw(), operands[k].shape().type, first + j * stride, 1, 1,
             args[2 * k + 1]);
      }
      absl::Status ran = comparator.Run(args, 1, absl::MakeSpan(&less_pointer, 1));
      if (!ran.ok()) status = ran;
      return ran.ok() && less.as<uint64_t>()[0] != 0;
    });
    for (size_t k = 0; k < operands.size(); ++k) {
      for (size_t i = 0; i < order.size(); ++i) {
        const int64_t to = first + static_cast<int64_t>(i) * stride;
        Load(operands[k].raw(), operands[k].shape().type, first + order[i] * stride, 1, 1, args[0]);
        Store(*args[0], 1, data[k], to);
      }
    }
  });
  if (!status.ok()) return status;
  return finish();
}

absl::StatusOr<Literal> TopK(const Instruction& instr, Operands operands) {
  const Shape& shape = operands[0].shape();
  const PrimitiveType type = shape.type;
  Literal values = Literal::Zero(instr.shape.tuple[0].WithoutLayout());
  Literal indices = Literal::Zero(instr.shape.tuple[1].WithoutLayout());
  void* value_data = values.MutableRaw();
  void* index_data = indices.MutableRaw();
  std::vector<int64_t> order(static_cast<size_t>(shape.dims.back()));
  int64_t to = 0;
  ForEachRow(shape, shape.rank() - 1, [&](int64_t first, int64_t stride) {
    std::iota(order.begin(), order.end(), int64_t{0});
    switch (LaneKindOf(type)) {
      case LaneKind::kFloat:
        SortRow<double>(operands[0], first, stride, instr.largest, &order);
        break;
      case LaneKind::kSigned:
        SortRow<int64_t>(operands[0], first, stride, instr.largest, &order);
        break;
      default:
        SortRow<uint64_t>(operands[0], first, stride, instr.largest, &order);
        break;
    }
    Lanes value, index;
    for (int64_t i = 0; i < instr.k; ++i, ++to) {
      Load(operands[0].raw(), type, first + order[static_cast<size_t>(i)], 1, 1, &value);
      Store(value, 1, value_data, to);
      index.type = indices.shape().type;
      index.as<int64_t>()[0] = order[static_cast<size_t>(i)];
      Store(index, 1, index_data, to);
    }
  });
  return Literal::Tuple({values, indices});
}

}  // namespace glia::hlo::evaluator
