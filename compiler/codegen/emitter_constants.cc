// Constants of the program: as the module has them, and rearranged while compiling.
#include <algorithm>
#include <cstring>
#include <memory>
#include <utility>

#include "absl/strings/str_cat.h"
#include "compiler/codegen/emitter.h"
#include "serialization/hlo/float16.h"
#include "serialization/hlo/literal.h"
#include "serialization/isa/table.h"

namespace glia::compiler {
namespace {

// Rows of a transfer of this many take no longer than shorter ones.
constexpr int64_t kPooledColumns = 612;
// Elements of a square that is read by rows and written by columns.
constexpr int64_t kSquare = 32;

template <typename From, typename To, typename F>
void CopySquare(const uint8_t* from, int64_t from_row, int64_t from_column, uint8_t* to,
                int64_t to_row, int64_t rows, int64_t columns, const F& convert) {
  for (int64_t c = 0; c < columns; ++c) {
    const uint8_t* source = from + c * from_column;
    for (int64_t r = 0; r < rows; ++r) {
      From value;
      std::memcpy(&value, source + r * from_row, sizeof(value));
      const To result = convert(value);
      std::memcpy(to + r * to_row + c * static_cast<int64_t>(sizeof(To)), &result, sizeof(result));
    }
  }
}

// Writes the view's elements, of `From` in `source`, row-major to `target`.
template <typename From, typename To, typename F>
void Rearrange(const uint8_t* source, const Nd& view, uint8_t* target, const F& convert) {
  const int64_t rank = view.rank();
  const Dims to = DenseNd(0, DType::kU8, view.dims).strides;
  // The dim whose elements are neighbours in the source goes with the last one, in squares.
  int64_t near = rank - 1;
  for (int64_t d = 0; d < rank; ++d) {
    const bool closer =
        std::abs(view.strides[d]) < std::abs(view.strides[near]) || view.dims[near] == 1;
    if (view.dims[d] > 1 && view.strides[d] != 0 && closer) near = d;
  }
  const int64_t last = rank - 1;
  const int64_t rows = near == last ? 1 : view.dims[near], columns = view.dims[last];
  Dims at(rank, 0);
  while (true) {
    int64_t offset = view.offset, out = 0;
    for (int64_t d = 0; d < rank; ++d) {
      offset += at[d] * view.strides[d];
      out += at[d] * to[d];
    }
    for (int64_t r = 0; r < rows; r += kSquare) {
      for (int64_t c = 0; c < columns; c += kSquare) {
        CopySquare<From, To>(source + offset + r * view.strides[near] + c * view.strides[last],
                             view.strides[near], view.strides[last],
                             target + (out + r * to[near] + c) * static_cast<int64_t>(sizeof(To)),
                             to[near] * static_cast<int64_t>(sizeof(To)),
                             std::min(kSquare, rows - r), std::min(kSquare, columns - c), convert);
      }
    }
    int64_t d = rank - 1;
    for (; d >= 0; --d) {
      if (d == last || d == near) continue;
      if (++at[d] < view.dims[d]) break;
      at[d] = 0;
    }
    if (d < 0) return;
  }
}

}  // namespace

absl::StatusOr<Nd> Emitter::AddConstant(const hlo::Literal& literal) {
  const absl::StatusOr<DType> dtype = DeviceType(literal.shape().type);
  if (!dtype.ok()) return dtype.status();
  const auto found = constants_.find(literal.raw());
  if (literal.raw() != nullptr && found != constants_.end() && found->second.dtype == *dtype &&
      found->second.elements() == literal.elements()) {
    return DenseNd(found->second.var, *dtype, literal.shape().dims);
  }
  // The copy shares the bytes and keeps them alive.
  auto owner = std::make_shared<hlo::Literal>(literal);
  const Nd nd =
      AddFile(*dtype, literal.shape().dims,
              neff::Blob::View(owner, owner->raw(), static_cast<size_t>(literal.bytes())));
  if (literal.raw() != nullptr) constants_[literal.raw()] = nd;
  return nd;
}

absl::optional<Nd> Emitter::FindMade(const std::string& key) const {
  const auto found = made_.find(key);
  return found == made_.end() ? absl::nullopt : absl::optional<Nd>(found->second);
}

Nd Emitter::AddFile(DType dtype, const Dims& dims, neff::Blob bytes) {
  isa::Variable v;
  v.kind = isa::VariableKind::kFile;
  v.dtype = dtype;
  v.shape = dims;
  v.bytes = static_cast<int64_t>(bytes.size());
  v.name = absl::StrCat("const", files_.size());
  v.file = v.name;
  files_[v.file] = std::move(bytes);
  return DenseNd(AddVariable(std::move(v)), dtype, dims);
}

absl::optional<Nd> Emitter::ArrangeConstant(const Nd& view, DType dtype) {
  const isa::Variable& v = serial_.program.variables[view.var];
  const bool narrows = view.dtype == DType::kF32 && (dtype == DType::kBf16 || dtype == DType::kF16);
  if (v.kind != isa::VariableKind::kFile || (view.dtype != dtype && !narrows)) return absl::nullopt;
  if (view.dtype == dtype && view.contiguous()) return view;
  std::vector<std::pair<Nd, Nd>>& known = arranged_[view.var];
  for (const auto& [from, to] : known) {
    if (to.dtype == dtype && from.offset == view.offset && from.dims == view.dims &&
        from.strides == view.strides) {
      return to;
    }
  }
  const int64_t bytes = view.elements() * isa::DTypeBytes(dtype);
  const std::shared_ptr<uint8_t> target(new uint8_t[static_cast<size_t>(bytes)],
                                        std::default_delete<uint8_t[]>());
  const uint8_t* source = files_[v.file].data();
  const auto same = [](auto value) { return value; };
  if (dtype == DType::kBf16 && narrows) {
    Rearrange<float, uint16_t>(source, view, target.get(), hlo::FloatToBF16);
  } else if (narrows) {
    Rearrange<float, uint16_t>(source, view, target.get(), hlo::FloatToF16);
  } else if (isa::DTypeBytes(dtype) == 1) {
    Rearrange<uint8_t, uint8_t>(source, view, target.get(), same);
  } else if (isa::DTypeBytes(dtype) == 2) {
    Rearrange<uint16_t, uint16_t>(source, view, target.get(), same);
  } else if (isa::DTypeBytes(dtype) == 4) {
    Rearrange<uint32_t, uint32_t>(source, view, target.get(), same);
  } else {
    Rearrange<uint64_t, uint64_t>(source, view, target.get(), same);
  }
  const Nd result =
      AddFile(dtype, view.dims, neff::Blob::View(target, target.get(), static_cast<size_t>(bytes)));
  arranged_[view.var].push_back({view, result});
  return result;
}

absl::optional<Operand> Emitter::ConstantColumn(const Nd& view) {
  const isa::Variable& v = serial_.program.variables[view.var];
  if (v.kind != isa::VariableKind::kFile || view.dtype != DType::kF32) return absl::nullopt;
  const int64_t rows = view.dims[0];
  const std::array<int64_t, 4> key = {view.var, view.offset, rows, rows > 1 ? view.strides[0] : 0};
  const auto known = columns_.find(key);
  if (known != columns_.end()) return known->second;
  const uint8_t* source = files_[v.file].data() + view.offset;
  if (columns_.empty() || pools_.back().used == kPooledColumns) {
    ColumnPool pool;
    pool.tile = NewTile(DType::kF32, isa::kPartitions, kPooledColumns, "columns");
    pool.values.resize(isa::kPartitions * kPooledColumns);
    const Nd file = AddFile(DType::kF32, {isa::kPartitions, kPooledColumns}, neff::Blob());
    pool.file = file.var;
    serial_.program.variables[file.var].bytes =
        static_cast<int64_t>(pool.values.size() * sizeof(float));
    pool.dma = static_cast<uint32_t>(serial_.program.dmas.size());
    Dma(At(pool.tile, file.dims), file);
    pools_.push_back(std::move(pool));
  }
  ColumnPool& pool = pools_.back();
  for (int64_t row = 0; row < rows; ++row) {
    std::memcpy(&pool.values[static_cast<size_t>(row * kPooledColumns + pool.used)],
                source + row * key[3], sizeof(float));
  }
  const Operand column = pool.tile.part(static_cast<int>(rows), pool.used++, 1);
  columns_[key] = column;
  return column;
}

void Emitter::FinishColumns() {
  for (const ColumnPool& pool : pools_) {
    const auto row = static_cast<size_t>(pool.used);
    const auto values = std::make_shared<std::vector<float>>();
    values->reserve(isa::kPartitions * row);
    for (int p = 0; p < isa::kPartitions; ++p) {
      const auto first = pool.values.begin() + p * kPooledColumns;
      values->insert(values->end(), first, first + pool.used);
    }
    const int64_t bytes = static_cast<int64_t>(values->size() * sizeof(float));
    isa::Variable& file = serial_.program.variables[pool.file];
    files_[file.file] = neff::Blob::View(values, values->data(), static_cast<size_t>(bytes));
    file.bytes = bytes;
    file.shape = {isa::kPartitions, pool.used};
    isa::Variable& tile = serial_.program.variables[pool.tile.var];
    tile.shape = file.shape;
    tile.partition_bytes = pool.used * static_cast<int64_t>(sizeof(float));
    tile.bytes = bytes;
    // Both sides are dense: one dim.
    isa::DmaDescriptor& dma = serial_.program.dmas[pool.dma];
    dma.size[isa::kDmaDims - 1] = static_cast<uint32_t>(values->size());
  }
}

}  // namespace glia::compiler
