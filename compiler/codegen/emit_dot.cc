// dot: any batch, free and contracting dims, on the tensor engine; integers that fp32 cannot hold
// by multiply and reduce.
#include <algorithm>

#include "absl/strings/str_cat.h"
#include "compiler/codegen/emitters.h"
#include "compiler/codegen/epilogue.h"
#include "compiler/codegen/home_layout.h"
#include "compiler/codegen/matrix_product.h"
#include "compiler/codegen/precision.h"
#include "compiler/codegen/tiling.h"
#include "serialization/isa/table.h"

namespace glia::compiler {
namespace {

// out[b, m, n] = sum over k of lhs[b, m, k] * rhs[b, n, k], element by element. All have dims [b,
// m, n, k], out without the last.
void MultiplyReduce(Emitter& e, const Nd& lhs, const Nd& rhs, const Nd& out) {
  constexpr int64_t kMaxProducts = 2048;
  const int64_t k = lhs.dims.back();
  const int64_t k_block = std::min(k, kMaxProducts);
  const int64_t last = lhs.rank() - 1;
  const DType type = isa::IsFloat(out.dtype) ? DType::kF32 : out.dtype;
  const auto without_k = [last](const Nd& x) { return DropDim(x, last); };
  const int64_t k_stride[2] = {lhs.strides[last], rhs.strides[last]};
  ForEachTile({out, without_k(lhs), without_k(rhs)}, std::max<int64_t>(1, kMaxProducts / k_block),
              [&](const TileBox& box) {
                Operand sum;
                for (int64_t k0 = 0; k0 < k; k0 += k_block) {
                  const int64_t count = std::min(k_block, k - k0);
                  const auto load = [&](int side) {
                    Nd x = box.parts[1 + side];
                    x.offset += k0 * k_stride[side];
                    x = InsertDim(x, x.rank(), count, k_stride[side]);
                    LoadedOperand loaded = LoadOperand(e, x, box.partition_dims);
                    Operand o = loaded.operand;
                    if (loaded.column) {
                      o.size[isa::kFreeDims - 1] = static_cast<uint16_t>(box.free * count);
                      o.stride[isa::kFreeDims - 1] = 0;
                    }
                    return o;
                  };
                  const Operand a = load(0), b = load(1);
                  const Tile product = e.NewTile(type, box.partitions, box.free * count, "product");
                  e.TensorTensor(product.all(), a, b, AluOp::kMultiply);
                  const Operand part = e.NewTile(type, box.partitions, box.free, "dot").all();
                  e.Reduce(part, product.pattern(box.partitions, 0, {box.free, count}, {count, 1}),
                           AluOp::kAdd, 1);
                  if (k0 == 0) {
                    sum = part;
                  } else {
                    const Operand next = e.NewTile(type, box.partitions, box.free, "dot").all();
                    e.TensorTensor(next, sum, part, AluOp::kAdd);
                    sum = next;
                  }
                }
                const Tile result = e.NewTile(out.dtype, box.partitions, box.free, "dot");
                e.Copy(result.all(), sum);
                e.Store(box.parts[0], box.partition_dims, result);
              });
}

// Merges the dims of a group that are one dim in all of `parts`; false if more than one is left.
struct Grouped {
  Dims dims;
  std::vector<Dims> strides;  // of each part
};
Grouped GroupDims(const std::vector<std::pair<const Nd*, Dims>>& parts) {
  Grouped g;
  for (int64_t d : parts[0].second) g.dims.push_back(parts[0].first->dims[d]);
  for (const auto& [nd, dims] : parts) {
    g.strides.emplace_back();
    for (int64_t d : dims) g.strides.back().push_back(nd->strides[d]);
  }
  std::vector<Dims*> pointers;
  for (Dims& s : g.strides) pointers.push_back(&s);
  Collapse(&g.dims, pointers);
  return g;
}

Dims Remaining(int64_t rank, const Dims& a, const Dims& b) {
  Dims rest;
  for (int64_t d = 0; d < rank; ++d) {
    if (std::count(a.begin(), a.end(), d) == 0 && std::count(b.begin(), b.end(), d) == 0)
      rest.push_back(d);
  }
  return rest;
}

Dims Concat(const Dims& a, const Dims& b, const Dims& c) {
  Dims all(a);
  all.insert(all.end(), b.begin(), b.end());
  all.insert(all.end(), c.begin(), c.end());
  return all;
}

// A dense copy with these dims in this order.
Nd Dense(Emitter& e, const Nd& x, const Dims& permutation) {
  const Nd turned = TransposeNd(x, permutation);
  const Nd copy = e.NewBuffer(x.dtype, turned.dims, "dot.operand");
  e.Dma(copy, turned);
  return copy;
}

// Products and sums that the tensor engine computes exactly.
bool FitsTensorEngine(DType lhs, DType rhs, int64_t k) {
  if (isa::IsFloat(lhs) && isa::IsFloat(rhs)) return true;
  if (isa::IsFloat(lhs) || isa::IsFloat(rhs)) return false;
  if (isa::DTypeBytes(lhs) > 1 || isa::DTypeBytes(rhs) > 1) return false;
  return k <= (int64_t{1} << 24) / (255 * 255);
}

}  // namespace

absl::Status EmitDot(Emitter& e, const hlo::Instruction& hlo) {
  absl::StatusOr<Nd> l = e.View(hlo.operand(0));
  if (!l.ok()) return l.status();
  absl::StatusOr<Nd> r = e.View(hlo.operand(1));
  if (!r.ok()) return r.status();
  Nd lhs = *l, rhs = *r;
  // Only for its dims and strides: the result is entered once it is clear where it goes.
  const Nd out = DenseNd(UINT32_MAX, *DeviceType(hlo.shape.type), hlo.shape.dims);
  if (!e.ok()) return e.status();
  if (out.elements() == 0) {
    e.NewResult(hlo);
    return e.status();
  }
  const hlo::DotDims& d = hlo.dot_dims;
  Dims lb(d.lhs_batch), rb(d.rhs_batch), lk(d.lhs_contracting), rk(d.rhs_contracting);
  Dims lm = Remaining(lhs.rank(), lb, lk), rn = Remaining(rhs.rank(), rb, rk);
  const auto range = [](size_t first, size_t count) {
    Dims dims(count);
    for (size_t i = 0; i < count; ++i) dims[i] = static_cast<int64_t>(first + i);
    return dims;
  };
  const Dims ob = range(0, lb.size()), om = range(lb.size(), lm.size()),
             on = range(lb.size() + lm.size(), rn.size());
  int64_t k = 1;
  for (int64_t dim : lk) k *= lhs.dims[dim];
  if (k == 0) {
    const Tile zero = e.NewTile(out.dtype, 1, 1, "zero");
    e.Memset(zero.all(), 0);
    Nd source = e.At(zero, {1, 1});
    e.Dma(e.NewResult(hlo), BroadcastNd(source, out.dims, {}));
    return e.status();
  }
  // Each of free and contracting dims must be one dim for the tiles; a copy makes it so.
  Grouped kg = GroupDims({{&lhs, lk}, {&rhs, rk}});
  const bool many_m = GroupDims({{&lhs, lm}, {&out, om}}).dims.size() > 1;
  const bool many_n = GroupDims({{&rhs, rn}, {&out, on}}).dims.size() > 1;
  const bool many_k = kg.dims.size() > 1;
  if (many_m || many_k) {
    lhs = Dense(e, lhs, Concat(lb, lm, lk));
    lb = range(0, lb.size());
    lm = range(lb.size(), lm.size());
    lk = range(lb.size() + lm.size(), lk.size());
  }
  if (many_n || many_k) {
    rhs = Dense(e, rhs, Concat(rb, rn, rk));
    rb = range(0, rb.size());
    rn = range(rb.size(), rn.size());
    rk = range(rb.size() + rn.size(), rk.size());
  }
  const Grouped b = GroupDims({{&lhs, lb}, {&rhs, rb}, {&out, ob}});
  const Grouped m = GroupDims({{&lhs, lm}, {&out, om}});
  const Grouped n = GroupDims({{&rhs, rn}, {&out, on}});
  kg = GroupDims({{&lhs, lk}, {&rhs, rk}});
  const auto matrix = [](const Nd& x, int64_t rows, int64_t row_stride, int64_t columns,
                         int64_t column_stride) {
    Nd nd = x;
    nd.dims = {rows, columns};
    nd.strides = {row_stride, column_stride};
    return nd;
  };
  const Nd l2 = matrix(lhs, m.dims[0], m.strides[0][0], k, kg.strides[0][0]);
  const Nd r2 = matrix(rhs, n.dims[0], n.strides[0][0], k, kg.strides[1][0]);

  const int64_t batches = Product(b.dims);
  if (IsTiny(hlo) || !FitsTensorEngine(lhs.dtype, rhs.dtype, k)) {
    const auto full = [&](const Nd& x, size_t part, int64_t m_stride, int64_t n_stride,
                          int64_t k_stride) {
      Nd nd = x;
      nd.dims = b.dims;
      nd.strides = b.strides[part];
      for (const auto& [size, stride] : {std::pair<int64_t, int64_t>{m.dims[0], m_stride},
                                         {n.dims[0], n_stride},
                                         {k, k_stride}}) {
        nd.dims.push_back(size);
        nd.strides.push_back(stride);
      }
      return nd;
    };
    MultiplyReduce(e, full(lhs, 0, m.strides[0][0], 0, kg.strides[0][0]),
                   full(rhs, 1, 0, n.strides[0][0], kg.strides[1][0]),
                   DropDim(full(e.NewResult(hlo), 2, m.strides[1][0], n.strides[1][0], 0),
                           static_cast<int64_t>(b.dims.size()) + 2));
    return e.status();
  }
  Dims dims = b.dims;
  dims.push_back(m.dims[0]);
  dims.push_back(n.dims[0]);
  const auto batch_rank = static_cast<int64_t>(b.dims.size());
  absl::StatusOr<ProductSink> sink = ProductSink::Make(e, hlo, dims);
  if (!sink.ok()) return sink.status();
  const DType compute = ProductType(hlo, lhs.dtype, rhs.dtype, e.options());
  // The innermost batch dim in one go, the others one by one.
  const bool turned = !sink->rows() && FeedsContraction(e, sink->outputs(), n.dims[0]);
  const int64_t inner = b.dims.empty() ? 1 : b.dims.back();
  for (int64_t i = 0; i < batches / inner; ++i) {
    Products p;
    p.lhs = l2;
    p.rhs = r2;
    p.count = inner;
    Dims at(b.dims.size(), 0);
    int64_t rest = i;
    for (size_t dim = b.dims.size() - (b.dims.empty() ? 0 : 1); dim-- > 0;) {
      at[dim] = rest % b.dims[dim];
      rest /= b.dims[dim];
      p.lhs.offset += at[dim] * b.strides[0][dim];
      p.rhs.offset += at[dim] * b.strides[1][dim];
    }
    if (!b.dims.empty()) {
      p.lhs_step = b.strides[0].back();
      p.rhs_step = b.strides[1].back();
    }
    p.view = [at, batch_rank, turned](Nd full) {
      for (int64_t dim = 0; dim + 1 < batch_rank; ++dim) {
        full = DropDim(SliceDim(full, 0, at[static_cast<size_t>(dim)], 1), 0);
      }
      if (batch_rank == 0) full = InsertDim(full, 0);
      return turned ? TransposeNd(full, {0, 2, 1}) : full;
    };
    if (turned) {
      std::swap(p.lhs, p.rhs);
      std::swap(p.lhs_step, p.rhs_step);
    }
    EmitProducts(e, compute, *sink, p);
  }
  return e.status();
}

}  // namespace glia::compiler
