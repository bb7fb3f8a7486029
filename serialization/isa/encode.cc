#include "serialization/isa/encode.h"

#include <cstring>
#include <type_traits>

#include "absl/status/status.h"
#include "absl/strings/str_cat.h"

namespace glia::isa {
namespace {

#if !defined(__BYTE_ORDER__) || __BYTE_ORDER__ != __ORDER_LITTLE_ENDIAN__
#error "NEFF records are used as they lie in memory: this needs a little-endian machine"
#endif
static_assert(std::is_trivially_copyable_v<Instruction> &&
              std::is_trivially_copyable_v<DmaDescriptor>);
// Padding would hold arbitrary bytes, and equal programs would give unequal files.
static_assert(offsetof(Instruction, reserved3) == 60 && offsetof(Instruction, imm_int) == 64 &&
              offsetof(Instruction, dst) == 80);
static_assert(offsetof(DmaDescriptor, size) == 32 && offsetof(DmaDescriptor, dst_stride) == 56 &&
              offsetof(DmaDescriptor, index_bound) == 152);

template <typename T>
absl::string_view Encoded(absl::Span<const T> records) {
  return {reinterpret_cast<const char*>(records.data()), records.size() * sizeof(T)};
}

template <typename T>
absl::StatusOr<std::vector<T>> Decode(absl::string_view bytes, const char* what) {
  if (bytes.size() % sizeof(T) != 0) {
    return absl::DataLossError(absl::StrCat("a table of ", bytes.size(),
                                            " bytes holds no whole number of ", what,
                                            " records of ", sizeof(T), " bytes"));
  }
  std::vector<T> records(bytes.size() / sizeof(T));
  if (!records.empty()) std::memcpy(records.data(), bytes.data(), bytes.size());
  return records;
}

}  // namespace

absl::string_view EncodedInstructions(absl::Span<const Instruction> instructions) {
  return Encoded(instructions);
}
absl::string_view EncodedDmas(absl::Span<const DmaDescriptor> dmas) { return Encoded(dmas); }
absl::StatusOr<std::vector<Instruction>> DecodeInstructions(absl::string_view bytes) {
  return Decode<Instruction>(bytes, "instruction");
}
absl::StatusOr<std::vector<DmaDescriptor>> DecodeDmas(absl::string_view bytes) {
  return Decode<DmaDescriptor>(bytes, "DMA descriptor");
}

}  // namespace glia::isa
