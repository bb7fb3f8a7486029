// Philox4x32-10 (Salmon et al., "Parallel random numbers: as easy as 1, 2, 3", SC 2011).
#include <algorithm>
#include <array>
#include <cmath>
#include <cstring>

#include "absl/strings/str_cat.h"
#include "serialization/hlo/evaluator_internal.h"

namespace glia::hlo::evaluator {
namespace {

using Block = std::array<uint32_t, 4>;

Block Philox(uint64_t key, Block counter) {
  uint32_t key0 = static_cast<uint32_t>(key);
  uint32_t key1 = static_cast<uint32_t>(key >> 32);
  for (int round = 0; round < 10; ++round) {
    const uint64_t product0 = uint64_t{0xd2511f53u} * counter[0];
    const uint64_t product1 = uint64_t{0xcd9e8d57u} * counter[2];
    counter = {
        static_cast<uint32_t>(product1 >> 32) ^ counter[1] ^ key0, static_cast<uint32_t>(product1),
        static_cast<uint32_t>(product0 >> 32) ^ counter[3] ^ key1, static_cast<uint32_t>(product0)};
    key0 += 0x9e3779b9u;
    key1 += 0xbb67ae85u;
  }
  return counter;
}

// The words of consecutive blocks.
class Words {
 public:
  Words(uint64_t key, uint64_t counter_low, uint64_t counter_high, bool wide)
      : key_(key), low_(counter_low), high_(counter_high), wide_(wide) {}

  uint32_t Next() {
    if (used_ == 4) {
      block_ = Philox(key_, {static_cast<uint32_t>(low_), static_cast<uint32_t>(low_ >> 32),
                             static_cast<uint32_t>(high_), static_cast<uint32_t>(high_ >> 32)});
      used_ = 0;
      if (++low_ == 0 && wide_) ++high_;
    }
    return block_[used_++];
  }

  // The counter of the first block not begun.
  uint64_t low() const { return low_; }
  uint64_t high() const { return high_; }

 private:
  uint64_t key_, low_, high_;
  bool wide_;
  Block block_ = {};
  size_t used_ = 4;
};

// In [0, 1), 24 bits.
double Uniform(Words* words) { return static_cast<double>(words->Next() >> 8) * 0x1p-24; }

}  // namespace

absl::StatusOr<Literal> RngBitGenerator(const Instruction& instr, Operands operands) {
  const Literal& state = operands[0];
  if (state.shape().type != kU64 || state.elements() < 2 || state.elements() > 3) {
    return absl::UnimplementedError(absl::StrCat("rng-bit-generator (", instr.name(),
                                                 ") with state ", state.shape().ToString(),
                                                 "; use u64[2] or u64[3]"));
  }
  const bool wide = state.elements() == 3;
  auto word = [&](int64_t i) { return static_cast<uint64_t>(state.GetAsInt64(i)); };
  Words words(word(0), word(1), wide ? word(2) : 0, wide);
  Literal bits = Literal::Zero(instr.shape.tuple[1].WithoutLayout());
  const int64_t size = ByteSize(bits.shape().type);
  char* data = static_cast<char*>(bits.MutableRaw());
  for (int64_t i = 0; i < bits.elements(); ++i) {
    uint64_t value = words.Next();
    if (size == 8) value |= static_cast<uint64_t>(words.Next()) << 32;
    std::memcpy(data + i * size, &value, static_cast<size_t>(size));  // little-endian: the low bits
  }
  Literal next = state;
  next.SetFromInt64(1, static_cast<int64_t>(words.low()));
  if (wide) next.SetFromInt64(2, static_cast<int64_t>(words.high()));
  return Literal::Tuple({next, bits});
}

absl::StatusOr<Literal> Rng(const Instruction& instr, Operands operands) {
  Words words(static_cast<uint64_t>(instr.id()), 0, 0, /*wide=*/true);
  Literal result = Literal::Zero(Shape(instr.shape.type, instr.shape.dims));
  const double a = operands[0].GetAsDouble(0);
  const double b = operands[1].GetAsDouble(0);
  for (int64_t i = 0; i < result.elements(); ++i) {
    if (instr.distribution == RandomDistribution::kUniform) {
      const double value = a + Uniform(&words) * (b - a);  // [a, b)
      result.SetFromDouble(i, IsFloating(result.shape().type) ? value : std::floor(value));
    } else {  // Box-Muller
      const double radius = std::sqrt(-2 * std::log(1 - Uniform(&words)));
      result.SetFromDouble(i, a + b * radius * std::cos(2 * M_PI * Uniform(&words)));
    }
  }
  return result;
}

}  // namespace glia::hlo::evaluator
