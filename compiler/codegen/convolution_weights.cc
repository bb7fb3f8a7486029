#include "compiler/codegen/convolution_weights.h"

#include <algorithm>
#include <cstring>
#include <utility>

#include "absl/strings/str_cat.h"
#include "serialization/hlo/float16.h"
#include "serialization/isa/table.h"

namespace glia::compiler {
namespace {

int64_t CeilDiv(int64_t a, int64_t b) { return (a + b - 1) / b; }

constexpr int64_t kWeightBytes = 56 * 1024;  // a partition, of weights that stay for all blocks
constexpr int64_t kPieceBytes = 8 * 1024;    // likewise, of one transfer of weights
constexpr int64_t kTapsAtOnce = 64;          // of weights that are turned together

}  // namespace

bool PacksWeights(const ConvProblem& p, DType compute) {
  const bool halves = compute == DType::kBf16 || compute == DType::kF16;
  return p.constant != nullptr && (p.w.dtype == compute || (p.w.dtype == DType::kF32 && halves));
}

ConvWeights::ConvWeights(Emitter& e, const ConvProblem& p, DType compute, Layout layout,
                         const std::vector<Contraction>& contractions,
                         const std::vector<ConvTap>& taps, int64_t co_block, ConvEpilogue* epilogue)
    : e_(e),
      p_(p),
      compute_(compute),
      layout_(layout),
      contractions_(contractions),
      taps_(taps),
      co_block_(co_block),
      epilogue_(*epilogue) {
  if (PacksWeights(p, compute)) {
    PlanWeights();
    PackWeights();
  }
  const int64_t elements =
      packed() ? row_ : p.out.dims[1] * static_cast<int64_t>(contractions.size() * taps.size());
  stay_ = elements * isa::DTypeBytes(compute) <= kWeightBytes;
}

ConvWeights::TapBox ConvWeights::BoxOf(const ConvTap& tap) const {
  TapBox box;
  int64_t left = kTapsAtOnce;
  for (int a = kWindowAxes - 1; a >= 0; --a) {
    const int64_t kernel = p_.axes[a].kernel;
    const int64_t most = std::max<int64_t>(1, std::min(kernel, left));
    box.start[a] = tap[a] / most * most;
    box.size[a] = std::min(most, kernel - box.start[a]);
    left = most == kernel ? left / kernel : 1;
  }
  return box;
}

Operand ConvWeights::Of(size_t contraction, int64_t co0, int64_t count, const ConvTap& tap) {
  const Contraction& c = contractions_[contraction];
  if (packed()) {
    const int64_t number = UnitOf(co0, contraction, tap);
    const Tile piece = Piece(units_[number].piece);
    return piece.part(c.partitions(), units_[number].start - pieces_[units_[number].piece].start,
                      count);
  }
  const TapBox box = BoxOf(tap);
  const auto key = std::make_tuple(c.c0, c.row, co0, box.start);
  auto found = weights_.find(key);
  if (found == weights_.end()) {
    const int64_t bytes = box.taps() * count * isa::DTypeBytes(compute_);
    if (weight_bytes_ + bytes > kWeightBytes) {
      weights_.clear();
      weight_bytes_ = 0;
    }
    weight_bytes_ += bytes;
    found = weights_.emplace(key, LoadWeights(c, co0, count, box)).first;
  }
  const int64_t slot =
      ((tap[0] - box.start[0]) * box.size[1] + tap[1] - box.start[1]) * box.size[2] + tap[2] -
      box.start[2];
  return found->second.part(c.partitions(), slot * count, count);
}

int64_t ConvWeights::UnitOf(int64_t co0, size_t contraction, const ConvTap& tap) const {
  const auto& a = p_.axes;
  const int64_t t = (tap[0] * a[1].kernel + tap[1]) * a[2].kernel + tap[2];
  const int64_t taps = a[0].kernel * a[1].kernel * a[2].kernel;
  return (co0 / co_block_ * static_cast<int64_t>(contractions_.size()) +
          static_cast<int64_t>(contraction)) *
             taps +
         t;
}

void ConvWeights::PlanWeights() {
  const int64_t co = p_.out.dims[1], blocks = CeilDiv(co, co_block_);
  const int64_t bytes = isa::DTypeBytes(compute_);
  for (const ChannelValues& column : epilogue_.columns()) {
    if (!column.empty()) header_ += blocks * 4 / bytes;
  }
  row_ = header_;
  pieces_.push_back({0, header_, {}});
  const int64_t taps = p_.axes[0].kernel * p_.axes[1].kernel * p_.axes[2].kernel;
  for (int64_t b = 0; b < blocks; ++b) {
    const int64_t count = std::min(co_block_, co - b * co_block_);
    for (int64_t u = 0; u < static_cast<int64_t>(contractions_.size()) * taps; ++u) {
      if ((pieces_.back().size + count) * bytes > kPieceBytes) pieces_.push_back({row_, 0, {}});
      units_.push_back({row_, static_cast<int>(pieces_.size()) - 1});
      pieces_.back().size += count;
      row_ += count;
    }
  }
}

std::string ConvWeights::WeightsKey() const {
  std::string key = absl::StrCat("weights ", reinterpret_cast<uintptr_t>(p_.constant->raw()), " ",
                                 p_.w.ToString(), " ", static_cast<int>(compute_), " ", co_block_);
  for (const Contraction& c : contractions_) {
    absl::StrAppend(&key, " ", c.c0, ",", c.channels, ",", c.row, ",", c.rows, ",", c.tap, ",",
                    c.taps);
  }
  const auto append = [&key](const ChannelValues& values) {
    absl::StrAppend(&key, " ", values.size(), ":");
    key.append(reinterpret_cast<const char*>(values.data()), values.size() * sizeof(float));
  };
  append(epilogue_.scale());
  for (const ChannelValues& column : epilogue_.columns()) append(column);
  return key;
}

void ConvWeights::PackWeights() {
  // Groups of images share them.
  std::string key = WeightsKey();
  if (const absl::optional<Nd> made = e_.FindMade(key); made.has_value()) {
    packed_weights_ = *made;
    return;
  }
  int most = static_cast<int>(std::min(co_block_, p_.out.dims[1]));
  for (const Contraction& c : contractions_) most = std::max(most, c.partitions());
  const hlo::PrimitiveType type = compute_ == DType::kF32   ? hlo::kF32
                                  : compute_ == DType::kF16 ? hlo::kF16
                                                            : hlo::kBF16;
  const int64_t bytes = isa::DTypeBytes(compute_), pitch = row_ * bytes;
  hlo::Literal literal = hlo::Literal::Zero(hlo::Shape(type, {most, row_}));
  char* const target = static_cast<char*>(literal.MutableRaw());
  const int64_t co = p_.out.dims[1];
  int64_t at = 0;
  for (const ChannelValues& column : epilogue_.columns()) {
    for (int64_t c = 0; c < co; ++c) {
      std::memcpy(target + c % co_block_ * pitch + at + c / co_block_ * 4, &column[c], 4);
    }
    at += CeilDiv(co, co_block_) * 4;
  }
  const char* const source = static_cast<const char*>(p_.constant->raw());
  const Dims& strides = p_.w.strides;
  for (int64_t co0 = 0; co0 < co; co0 += co_block_) {
    const int64_t count = std::min(co_block_, co - co0);
    for (size_t i = 0; i < contractions_.size(); ++i) {
      const Contraction& c = contractions_[i];
      for (const ConvTap& tap : taps_) {
        const int64_t start = units_[UnitOf(co0, i, tap)].start * bytes;
        for (int p = 0; p < c.partitions(); ++p) {
          const bool rows = layout_ != Layout::kChannels;
          const int64_t row = rows ? c.row + p / c.channels % c.rows : tap[1];
          const int64_t column =
              layout_ == Layout::kTaps ? c.tap + p / (c.channels * c.rows) : tap[2];
          int64_t offset = p_.w.offset + co0 * strides[0] + (c.c0 + p % c.channels) * strides[1] +
                           tap[0] * strides[2] + row * strides[3] + column * strides[4];
          char* to = target + p * pitch + start;
          for (int64_t o = 0; o < count; ++o, offset += strides[0], to += bytes) {
            Put(source + offset, co0 + o, to);
          }
        }
      }
    }
  }
  const absl::StatusOr<Nd> nd = e_.AddConstant(literal);
  if (!nd.ok()) {
    e_.Fail(nd.status());
    return;
  }
  packed_weights_ = *nd;
  e_.KeepMade(std::move(key), *nd);
}

void ConvWeights::Put(const char* from, int64_t channel, char* to) const {
  if (p_.w.dtype != DType::kF32) {
    std::memcpy(to, from, static_cast<size_t>(isa::DTypeBytes(compute_)));
    return;
  }
  float value;
  std::memcpy(&value, from, sizeof(value));
  if (!epilogue_.scale().empty()) value *= epilogue_.scale()[static_cast<size_t>(channel)];
  if (compute_ == DType::kF32) {
    std::memcpy(to, &value, sizeof(value));
    return;
  }
  const uint16_t half = compute_ == DType::kBf16 ? hlo::FloatToBF16(value) : hlo::FloatToF16(value);
  std::memcpy(to, &half, sizeof(half));
}

Tile ConvWeights::Piece(int number) {
  WeightPiece& piece = pieces_[number];
  if (!piece.tile.valid()) {
    const int64_t bytes = piece.size * isa::DTypeBytes(compute_);
    if (weight_bytes_ + bytes > kWeightBytes) {
      for (WeightPiece& other : pieces_) other.tile = Tile();
      weight_bytes_ = 0;
    }
    weight_bytes_ += bytes;
    const int partitions = static_cast<int>(packed_weights_.dims[0]);
    piece.tile = e_.NewTile(compute_, partitions, piece.size, "weights");
    e_.Dma(e_.At(piece.tile, {partitions, piece.size}),
           SliceDim(packed_weights_, 1, piece.start, piece.size));
  }
  return piece.tile;
}

std::vector<Operand> ConvWeights::Columns(int64_t co0, int partitions) {
  std::vector<Operand> columns;
  const int64_t blocks = CeilDiv(p_.out.dims[1], co_block_), b = co0 / co_block_;
  for (size_t i = 0; i < epilogue_.columns().size(); ++i) {
    if (!packed()) {
      columns.push_back(LoadChannelColumn(e_, epilogue_.columns()[i], co0, partitions));
      continue;
    }
    Operand column = Piece(0).part(partitions, 0, 1);
    column.dtype = DType::kF32;
    column.offset = static_cast<uint32_t>((static_cast<int64_t>(i) * blocks + b) * 4);
    columns.push_back(column);
  }
  return columns;
}
Tile ConvWeights::LoadWeights(const Contraction& c, int64_t co0, int64_t count, const TapBox& box) {
  Nd w = SliceDim(SliceDim(p_.w, 0, co0, count), 1, c.c0, c.channels);
  w = SliceDim(w, 2, box.start[0], box.size[0]);
  w = layout_ == Layout::kRows ? SliceDim(w, 3, c.row, c.rows)
                               : SliceDim(w, 3, box.start[1], box.size[1]);
  w = SliceDim(w, 4, box.start[2], box.size[2]);
  // [co, packed row, ci, d, h, w]
  Nd rows = InsertDim(w, 1);
  if (layout_ == Layout::kRows) {
    rows.dims[1] = c.rows;
    rows.strides[1] = w.strides[3];
    rows.dims[4] = 1;
  }
  if (rows.dims[0] > 1 && rows.strides[0] != rows.element_bytes()) {
    return Turn(rows, c.partitions(), box.taps());
  }
  const Tile raw = e_.LoadShared(TransposeNd(rows, {1, 2, 3, 4, 5, 0}), 2);
  if (raw.dtype == compute_) return raw;
  const Tile cast = e_.NewTile(compute_, raw.partitions, raw.free, "weights");
  e_.Copy(cast.all(), raw.all());
  return cast;
}

// Loads [co, (row, ci), taps] as it lies and turns each tap on the tensor engine.
Tile ConvWeights::Turn(const Nd& rows, int partitions, int64_t taps) {
  const int count = static_cast<int>(rows.dims[0]);
  const Tile out = e_.NewTile(compute_, partitions, taps * count, "weights");
  // [co, ci, d, row, h, w]: dense in the usual layout.
  const Tile raw = e_.LoadShared(TransposeNd(rows, {0, 2, 3, 1, 4, 5}), 1);
  Tile from = raw;
  if (raw.dtype != compute_) {
    from = e_.NewTile(compute_, raw.partitions, raw.free, "weights");
    e_.Copy(from.all(), raw.all());
  }
  const int64_t row = rows.dims[1], ci = rows.dims[2], d = rows.dims[3];
  const int64_t hw = rows.dims[4] * rows.dims[5];
  const int64_t bank = isa::kPsumBankBytes / (count * isa::DTypeBytes(compute_));
  for (int64_t t0 = 0; t0 < taps; t0 += bank) {
    const int64_t n = std::min(bank, taps - t0);
    const Tile psum = e_.NewPsum(partitions, n * count, compute_);
    for (int64_t t = t0; t < t0 + n; ++t) {
      e_.PeTranspose(
          psum.part(partitions, (t - t0) * count, count),
          from.pattern(count, t / hw * row * hw + t % hw, {row, ci}, {hw, d * row * hw}));
    }
    e_.Evacuate(out.part(partitions, t0 * count, n * count), psum.all());
  }
  return out;
}

}  // namespace glia::compiler
