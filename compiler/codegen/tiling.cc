#include "compiler/codegen/tiling.h"

#include <algorithm>
#include <limits>

#include "serialization/isa/table.h"

namespace glia::compiler {
namespace {

int64_t CeilDiv(int64_t a, int64_t b) { return (a + b - 1) / b; }

// The partition axis: dims [first, last), the first of them in blocks.
struct Choice {
  size_t first = 0;
  size_t last = 1;
  int64_t block = 1;
  int64_t partitions = 1;
};

// Rough time in ns: two passes of an engine over the tile, and the rows of a transfer shared by 16
// DMA engines.
double Cost(int64_t elements, int64_t partitions, int64_t row, int element_bytes) {
  const double stream =
      2.0 * std::max(256.0, static_cast<double>(elements) / static_cast<double>(partitions));
  const double row_ns = std::max(144.0, static_cast<double>(row * element_bytes) / 17.0) / 16.0;
  return stream + static_cast<double>(elements) / static_cast<double>(row) * row_ns;
}

class Tiler {
 public:
  Tiler(int64_t max_free, int element_bytes, const std::function<void(const TileBox&)>& f)
      : max_free_(max_free), element_bytes_(element_bytes), f_(f) {}

  void Run(std::vector<Nd> parts, int64_t wanted_row) {
    Merge(&parts);
    const Dims& dims = parts[0].dims;
    if (wanted_row > 0 && wanted_row <= max_free_ && dims.size() == 1 &&
        dims[0] % wanted_row == 0 && dims[0] <= 2 * isa::kPartitions * wanted_row) {
      EmitRows(parts, wanted_row, dims[0] / wanted_row);
      return;
    }
    const int64_t elements = Product(dims);
    const size_t rank = dims.size();
    Choice best;
    double best_cost = std::numeric_limits<double>::infinity();
    for (size_t first = 0; first < rank; ++first) {
      int64_t inner = 1;
      for (size_t last = first + 1; last <= rank; ++last) {
        if (last > first + 1) inner *= dims[last - 1];
        if (inner > isa::kPartitions) break;
        Choice c;
        c.first = first;
        c.last = last;
        const int64_t most = std::min(dims[first], isa::kPartitions / inner);
        c.block = CeilDiv(dims[first], CeilDiv(dims[first], most));
        c.partitions = c.block * inner;
        int64_t row = 1;
        for (size_t d = last; d < rank; ++d) row *= dims[d];
        const double cost = Cost(elements, c.partitions, std::min(row, max_free_), element_bytes_);
        if (cost < best_cost) {
          best_cost = cost;
          best = c;
        }
      }
    }
    // The innermost dim cut in rows of its own.
    const int64_t n = dims[rank - 1];
    const int64_t outer = elements / n;
    if (outer <= isa::kPartitions / 2) {
      int64_t row = 0;
      double row_cost = best_cost;
      for (int64_t rows = 1; rows * outer <= isa::kPartitions; rows *= 2) {
        const int64_t count = rows * 2 * outer > isa::kPartitions ? isa::kPartitions / outer : rows;
        const int64_t candidate = std::min(CeilDiv(n, count), max_free_);
        const int64_t used = std::min(CeilDiv(n, candidate), count);
        const double cost = Cost(elements, outer * used, candidate, element_bytes_);
        if (cost < row_cost) {
          row_cost = cost;
          row = candidate;
        }
      }
      if (row > 0) {
        SplitRows(std::move(parts), row);
        return;
      }
    }
    Emit(parts, best);
  }

 private:
  static void Merge(std::vector<Nd>* parts) {
    Dims dims = (*parts)[0].dims;
    std::vector<Dims*> strides;
    for (Nd& part : *parts) strides.push_back(&part.strides);
    Collapse(&dims, strides);
    for (Nd& part : *parts) part.dims = dims;
  }

  // The row length next to `row` that divides n, if there is one not much shorter or longer.
  int64_t EvenRow(int64_t n, int64_t row) const {
    const int64_t most = std::min({n, row + row / 4 + 4, max_free_});
    for (int64_t r = row; r <= most; ++r) {
      if (n % r == 0) return r;
    }
    for (int64_t r = row; r >= std::max<int64_t>(1, row - row / 4); --r) {
      if (n % r == 0) return r;
    }
    return row;
  }

  void SplitRows(std::vector<Nd> parts, int64_t row) {
    const size_t dim = parts[0].dims.size() - 1;
    const int64_t n = parts[0].dims[dim];
    row = EvenRow(n, row);
    const int64_t rows = n / row;
    if (n % row != 0) {
      std::vector<Nd> rest;
      for (const Nd& part : parts) rest.push_back(SliceDim(part, dim, rows * row, n % row));
      if (rows > 0) EmitRows(parts, row, rows);
      EmitRows(rest, n % row, 1);
      return;
    }
    EmitRows(parts, row, rows);
  }

  void EmitRows(std::vector<Nd> parts, int64_t row, int64_t rows) {
    const size_t dim = parts[0].dims.size() - 1;
    for (Nd& part : parts) part = SplitDim(SliceDim(part, dim, 0, rows * row), dim, row);
    const Dims& dims = parts[0].dims;
    Choice c;
    c.last = dims.size() - 1;
    // The rows, and as many of the outer dims as there are partitions for.
    c.first = c.last - 1;
    int64_t inner = 1;
    while (c.first > 0 && inner * dims[c.first] < isa::kPartitions) inner *= dims[c.first--];
    const int64_t most = std::min(dims[c.first], isa::kPartitions / inner);
    c.block = CeilDiv(dims[c.first], CeilDiv(dims[c.first], most));
    c.partitions = c.block * inner;
    Emit(parts, c);
  }

  void Emit(const std::vector<Nd>& parts, const Choice& choice) {
    const Dims& dims = parts[0].dims;
    const size_t rank = dims.size();
    Dims block(dims);
    block[choice.first] = choice.block;
    int64_t left = max_free_;
    for (size_t d = rank; d-- > 0;) {
      if (d >= choice.first && d < choice.last) continue;
      const int64_t most = std::min(dims[d], std::max<int64_t>(left, 1));
      block[d] = CeilDiv(dims[d], CeilDiv(dims[d], most));
      left /= block[d];
    }
    Dims order;
    for (size_t d = choice.first; d < choice.last; ++d) order.push_back(static_cast<int64_t>(d));
    for (size_t d = 0; d < rank; ++d) {
      if (d < choice.first || d >= choice.last) order.push_back(static_cast<int64_t>(d));
    }
    Dims start(rank, 0);
    while (true) {
      Dims size(rank);
      for (size_t d = 0; d < rank; ++d) size[d] = std::min(block[d], dims[d] - start[d]);
      TileBox box;
      box.partition_dims = static_cast<int>(choice.last - choice.first);
      for (const Nd& part : parts)
        box.parts.push_back(TransposeNd(SliceNd(part, start, size), order));
      const Dims& sizes = box.parts[0].dims;
      for (size_t d = 0; d < sizes.size(); ++d) {
        if (static_cast<int>(d) < box.partition_dims) {
          box.partitions *= static_cast<int>(sizes[d]);
        } else {
          box.free *= sizes[d];
        }
      }
      f_(box);
      size_t d = rank;
      while (d-- > 0) {
        start[d] += block[d];
        if (start[d] < dims[d]) break;
        start[d] = 0;
        if (d == 0) return;
      }
    }
  }

  const int64_t max_free_;
  const int element_bytes_;
  const std::function<void(const TileBox&)>& f_;
};

}  // namespace

void ForEachTile(std::vector<Nd> parts, int64_t max_free,
                 const std::function<void(const TileBox&)>& f, int64_t row) {
  int element_bytes = 1;
  for (const Nd& part : parts) {
    element_bytes = std::max(element_bytes, isa::DTypeBytes(part.dtype));
    if (part.elements() == 0) return;
  }
  Tiler(max_free, element_bytes, f).Run(std::move(parts), row);
}

void ForEachRows(std::vector<Nd> parts, int64_t max_free,
                 const std::function<void(const TileBox&)>& f) {
  const int64_t n = parts[0].dims.back();
  // The dims of the rows, merged where they are one in all parts.
  Dims lead = parts[0].dims;
  lead.pop_back();
  std::vector<Dims> strides;
  std::vector<Dims*> pointers;
  for (const Nd& part : parts) strides.emplace_back(part.strides.begin(), part.strides.end() - 1);
  for (Dims& s : strides) pointers.push_back(&s);
  Collapse(&lead, pointers);
  for (size_t i = 0; i < parts.size(); ++i) {
    const int64_t last = parts[i].strides.back();
    parts[i].dims = lead;
    parts[i].strides = strides[i];
    parts[i] = InsertDim(parts[i], parts[i].rank(), n, last);
  }
  // The longest of them goes on the partitions.
  const auto at = static_cast<int64_t>(std::max_element(lead.begin(), lead.end()) - lead.begin());
  for (Nd& part : parts) {
    Dims order = {at};
    for (int64_t d = 0; d < part.rank(); ++d) {
      if (d != at) order.push_back(d);
    }
    part = TransposeNd(part, order);
  }
  Dims block = parts[0].dims;
  block[0] = CeilDiv(block[0], CeilDiv(block[0], isa::kPartitions));
  int64_t left = std::max<int64_t>(1, max_free / n);
  for (size_t d = block.size() - 1; d-- > 1;) {
    block[d] = CeilDiv(block[d], CeilDiv(block[d], std::min(block[d], left)));
    left = std::max<int64_t>(1, left / block[d]);
  }
  const Dims& dims = parts[0].dims;
  Dims start(dims.size(), 0), size(dims.size());
  while (true) {
    for (size_t d = 0; d < dims.size(); ++d) size[d] = std::min(block[d], dims[d] - start[d]);
    TileBox box;
    for (const Nd& part : parts) box.parts.push_back(SliceNd(part, start, size));
    box.partitions = static_cast<int>(size[0]);
    box.free = Product(size) / size[0];
    f(box);
    size_t d = dims.size();
    while (d-- > 0) {
      start[d] += block[d];
      if (start[d] < dims[d]) break;
      start[d] = 0;
      if (d == 0) return;
    }
  }
}

absl::optional<Tile> WholeTile(const Emitter& e, const Operand& o) {
  if (e.InPsum(o) || o.offset != 0 || o.partition != 0) return absl::nullopt;
  for (int d = 0; d < isa::kFreeDims - 1; ++d) {
    if (o.size[d] != 1) return absl::nullopt;
  }
  const int64_t free = o.size[isa::kFreeDims - 1];
  if (free > 1 && o.stride[isa::kFreeDims - 1] != 1) return absl::nullopt;
  if (e.TileBytes(o.var) != free * isa::DTypeBytes(o.dtype)) return absl::nullopt;
  return Tile{o.var, o.dtype, o.num_partitions, free};
}

Nd TileNd(const Tile& tile, Dims dims, int partition_dims) {
  Nd nd;
  nd.var = tile.var;
  nd.dtype = tile.dtype;
  nd.strides.resize(dims.size());
  int64_t stride = isa::DTypeBytes(tile.dtype);
  for (size_t d = dims.size(); d-- > 0;) {
    if (static_cast<int>(d) == partition_dims - 1) stride = tile.free * isa::DTypeBytes(tile.dtype);
    nd.strides[d] = stride;
    stride *= dims[d];
  }
  nd.dims = std::move(dims);
  return nd;
}

LoadedOperand LoadOperand(Emitter& e, const Nd& nd, int partition_dims) {
  LoadedOperand result;
  if (absl::optional<Operand> resident = e.FindResident(nd, partition_dims, nd.dtype);
      resident.has_value() && resident->partition == 0) {
    const int64_t free = Product(absl::MakeSpan(nd.dims).subspan(partition_dims));
    result.column = free > 1 && resident->stride[isa::kFreeDims - 1] == 0 &&
                    resident->size[isa::kFreeDims - 1] == free;
    if (result.column) resident->size[isa::kFreeDims - 1] = 1;
    result.operand = *resident;
    return result;
  }
  Nd loaded = nd;  // without the free dims that repeat
  for (int64_t d = nd.rank(); d-- > partition_dims;) {
    if (nd.strides[d] == 0) loaded = DropDim(loaded, d);
  }
  // The operand's pattern over the free dims, in elements of the tile.
  Dims sizes(nd.dims.begin() + partition_dims, nd.dims.end());
  Dims strides(sizes.size(), 0);
  int64_t stride = 1;
  for (size_t d = sizes.size(); d-- > 0;) {
    if (nd.strides[partition_dims + d] == 0) continue;
    strides[d] = stride;
    stride *= sizes[d];
  }
  const int64_t free = Product(sizes);
  Collapse(&sizes, {&strides});
  if (sizes.size() > static_cast<size_t>(isa::kFreeDims)) {
    loaded = nd;
    sizes = {free};
    strides = {1};
  }
  if (partition_dims == 1 && loaded.elements() == loaded.dims[0]) {
    if (const absl::optional<Operand> column = e.ConstantColumn(loaded); column.has_value()) {
      result.column = free > 1;
      result.operand = *column;
      return result;
    }
  }
  const Tile tile = e.LoadShared(loaded, partition_dims);
  if (free > 1 && sizes.size() == 1 && strides[0] == 0) {
    result.column = true;
    result.operand = tile.all();
    return result;
  }
  result.operand = tile.pattern(tile.partitions, 0, sizes, strides);
  return result;
}

Operand Chunk(Operand o, int64_t number, int64_t count) {
  for (int d = isa::kFreeDims - 1; d >= 0; --d) {
    const int64_t take = std::min<int64_t>(count, o.size[d]);
    const int64_t chunks = o.size[d] / take;
    const int64_t start = number % chunks * take;
    number /= chunks;
    count /= take;
    o.offset += static_cast<uint32_t>(start * o.stride[d] * isa::DTypeBytes(o.dtype));
    o.size[d] = static_cast<uint16_t>(take);
    if (take == 1) o.stride[d] = 0;
  }
  return o;
}

absl::optional<Operand> SplitChunks(const Operand& o, int64_t count, int* inner) {
  Dims sizes, strides;
  for (int d = 0; d < isa::kFreeDims; ++d) {
    sizes.push_back(o.size[d]);
    strides.push_back(o.stride[d]);
  }
  Collapse(&sizes, {&strides});
  size_t d = sizes.size();
  int64_t product = 1;
  while (product < count) product *= sizes[--d];
  if (product > count) {
    const int64_t outer = product / count;
    sizes.insert(sizes.begin() + static_cast<ptrdiff_t>(d), outer);
    strides.insert(strides.begin() + static_cast<ptrdiff_t>(d),
                   strides[d] * (sizes[d + 1] / outer));
    sizes[d + 1] /= outer;
    ++d;
  }
  if (sizes.size() > static_cast<size_t>(isa::kFreeDims)) return absl::nullopt;
  *inner = static_cast<int>(sizes.size() - d);
  Operand result = o;
  const size_t unused = isa::kFreeDims - sizes.size();
  for (size_t i = 0; i < static_cast<size_t>(isa::kFreeDims); ++i) {
    result.size[i] = i < unused ? uint16_t{1} : static_cast<uint16_t>(sizes[i - unused]);
    result.stride[i] = i < unused ? int16_t{0} : static_cast<int16_t>(strides[i - unused]);
  }
  return result;
}

}  // namespace glia::compiler
