// Operands of matrix products laid out for the kernels: panels of so many free elements of every
// contracted row, rows (bf16: pairs of rows) one after another.
#ifndef GLIA_DEVICE_SIM_FAST_PACK_H_
#define GLIA_DEVICE_SIM_FAST_PACK_H_

#include <cstdint>
#include <map>
#include <memory>
#include <utility>
#include <vector>

#include "absl/types/span.h"
#include "device_sim/fast_memory.h"
#include "device_sim/kernels_bf16.h"
#include "device_sim/kernels_elementwise.h"

namespace glia::device::fast {

// Floats at 64 bytes, not initialised.
class PanelBuffer {
 public:
  // At least `words`; what was there is lost if it grows.
  float* Get(int64_t words);
  const float* data() const { return start_; }

 private:
  std::unique_ptr<float[]> data_;
  float* start_ = nullptr;
  int64_t words_ = 0;
};

// Tells operands of products apart by their contents, while translating.
class Identities {
 public:
  // The contents of an operand of a group: equal numbers in one run of a segment are equal bytes.
  struct List {
    uint64_t identity = 0;
    int uses = 0;                             // sides of products
    std::weak_ptr<const PanelBuffer> packed;  // if it is a constant and packed
  };
  // The same list for the same contents, packed to panels of the same width.
  std::shared_ptr<List> Find(const std::vector<uint64_t>& contents, int64_t width);
  // A number that the process has not used before.
  static uint64_t Next();

  // Bytes that constants of fp32 may take once more, packed.
  void SetBudget(int64_t bytes) { budget_ = bytes; }
  bool Spend(int64_t bytes) {
    if (bytes > budget_) return false;
    budget_ -= bytes;
    return true;
  }

 private:
  std::map<std::pair<std::vector<uint64_t>, int64_t>, std::shared_ptr<List>> lists_;
  int64_t budget_ = 0;
};

// How to pack. `pairs`: bf16 as it is, two neighbours along the contraction in one word, an odd
// last row of a slot with zeros; else everything becomes fp32.
class Packer {
 public:
  Packer(const kernels::ElementwiseKernels& kernels, bool pairs)
      : load_(kernels.load_f32), pairs_(pairs ? kernels::GetPackPairs() : nullptr) {}

  // Rows that the slot has in a panel.
  int64_t RowsOf(const View& slot) const {
    return pairs_ != nullptr ? (slot.partitions + 1) / 2 : slot.partitions;
  }
  int64_t RowsOf(absl::Span<const View> slots) const;

  // Free elements [first, first + n) of all rows of the slots into panels of `width` words a row,
  // the first at `out`, the next ones `panel_words` further. What a panel is wider than n is left
  // as it is (bf16: zeroed).
  void Pack(absl::Span<const View> slots, int64_t first, int64_t n, int64_t width, float* out,
            int64_t panel_words) const;

 private:
  void PackSlot(const View& slot, int64_t first, int64_t n, int64_t width, float* out,
                int64_t panel_words) const;

  const kernels::LoadF32Fn* load_;
  kernels::PackPairsFn pairs_;
};

// What a thread packed last, to be found again by the products that follow with the same operand.
class PackCache {
 public:
  struct Key {
    uint64_t epoch = 0;  // of the run of the segment
    uint64_t identity = 0;
    int64_t first = 0, n = 0, width = 0;
    bool operator==(const Key& o) const {
      return epoch == o.epoch && identity == o.identity && first == o.first && n == o.n &&
             width == o.width;
    }
  };
  // More than this is packed block by block where it is used.
  static constexpr int64_t kMaxWords = int64_t{1} << 19;

  // The panels, and whether they are there already.
  struct Found {
    float* data;
    bool packed;
  };
  Found Get(const Key& key, int64_t words);
  static PackCache& OfThread();

 private:
  static constexpr int kEntries = 4;
  struct Entry {
    Key key;
    PanelBuffer buffer;
    uint64_t used = 0;
  };
  Entry entries_[kEntries];
  uint64_t clock_ = 0;
};

}  // namespace glia::device::fast

#endif  // GLIA_DEVICE_SIM_FAST_PACK_H_
