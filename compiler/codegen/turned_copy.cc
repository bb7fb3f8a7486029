// Copies between arrays in HBM whose rows run along different dims.
#include <algorithm>

#include "compiler/codegen/movement.h"
#include "serialization/isa/table.h"

namespace glia::compiler {
namespace {

// Fewer elements move one by one before a tile is there and back.
constexpr int64_t kMinElements = 1024;
// Shorter rows gain little.
constexpr int64_t kMinRow = 8;
constexpr int64_t kTileBytes = 16 * 1024;

// The dim whose elements are neighbours, or -1.
int64_t RowDim(const Dims& strides, int64_t bytes) {
  const auto found = std::find(strides.begin(), strides.end(), bytes);
  return found == strides.end() ? -1 : found - strides.begin();
}

// [a, o, b] = [b, o, a], the last of each dense: `from` by rows along a, `to` by rows along b.
void Turn(Emitter& e, const Nd& to, const Nd& from) {
  const int64_t bytes = from.element_bytes();
  const int64_t a_size = to.dims[0], o_size = to.dims[1], b_size = to.dims[2];
  const int64_t b_tile = std::min(b_size, kTileBytes / bytes);
  const int64_t o_tile =
      std::min(o_size, std::max<int64_t>(1, kTileBytes / bytes / std::max(b_tile, a_size)));
  const int64_t a_tile = o_tile > 1 ? a_size : std::min(a_size, kTileBytes / bytes);
  const auto loop = [](int64_t size, int64_t step, const auto& f) {
    for (int64_t at = 0; at < size; at += step) f(at, std::min(step, size - at));
  };
  loop(o_size, o_tile, [&](int64_t o0, int64_t os) {
    loop(a_size, isa::kPartitions, [&](int64_t a0, int64_t as) {
      loop(b_size, b_tile, [&](int64_t b0, int64_t bs) {
        const Tile out = e.NewTile(from.dtype, static_cast<int>(as), os * bs, "turned");
        loop(bs, isa::kPartitions, [&](int64_t b1, int64_t count) {
          // With the neighbours along a: longer rows for the transfer.
          const int64_t first = a0 / a_tile * a_tile;
          const int64_t width = std::min(a_tile, a_size - first);
          const int64_t per_bank = isa::kPsumBankBytes / bytes / count;
          const Tile raw = e.LoadShared(SliceNd(from, {b0 + b1, o0, first}, {count, os, width}), 1);
          loop(os, per_bank, [&](int64_t o1, int64_t n) {
            const Tile psum = e.NewPsum(static_cast<int>(as), n * count, from.dtype);
            for (int64_t i = 0; i < n; ++i) {
              e.PeTranspose(psum.part(psum.partitions, i * count, count),
                            raw.part(raw.partitions, (o1 + i) * width + a0 - first, as));
            }
            e.Evacuate(out.pattern(out.partitions, o1 * bs + b1, {n, count}, {bs, 1}),
                       psum.pattern(psum.partitions, 0, {n, count}, {count, 1}));
          });
        });
        e.Dma(SliceNd(to, {a0, o0, b0}, {as, os, bs}), e.At(out, {as, os, bs}));
      });
    });
  });
}

}  // namespace

bool CopyTurned(Emitter& e, const Nd& dst, const Nd& src) {
  if (!isa::IsFloat(src.dtype) || src.dtype != dst.dtype || src.dims != dst.dims ||
      src.elements() < kMinElements) {
    return false;
  }
  Nd to = dst, from = src;
  Collapse(&to.dims, {&to.strides, &from.strides});
  from.dims = to.dims;
  const int64_t bytes = src.element_bytes();
  const int64_t a = RowDim(from.strides, bytes), b = RowDim(to.strides, bytes);
  if (a < 0 || b < 0 || a == b || std::min(to.dims[a], to.dims[b]) < kMinRow) return false;
  // The longest of the others goes along, the rest one by one.
  Dims others;
  for (int64_t d = 0; d < to.rank(); ++d) {
    if (d != a && d != b) others.push_back(d);
  }
  std::sort(others.begin(), others.end(),
            [&](int64_t x, int64_t y) { return to.dims[x] < to.dims[y]; });
  Dims order_to = others, order_from = others;
  order_to.insert(order_to.end() - (others.empty() ? 0 : 1), a);
  order_from.insert(order_from.end() - (others.empty() ? 0 : 1), b);
  order_to.push_back(b);
  order_from.push_back(a);
  to = TransposeNd(to, order_to);
  from = TransposeNd(from, order_from);
  if (others.empty()) {
    to = InsertDim(to, 1);
    from = InsertDim(from, 1);
  }
  int64_t rest = 1;
  for (int64_t d = 0; d + 3 < to.rank(); ++d) rest *= to.dims[d];
  for (int64_t i = 0; i < rest; ++i) {
    Nd part_to = to, part_from = from;
    int64_t left = i;
    while (part_to.rank() > 3) {
      const int64_t at = left % part_to.dims[0];
      left /= part_to.dims[0];
      part_to = DropDim(SliceDim(part_to, 0, at, 1), 0);
      part_from = DropDim(SliceDim(part_from, 0, at, 1), 0);
    }
    Turn(e, part_to, part_from);
  }
  return true;
}

}  // namespace glia::compiler
