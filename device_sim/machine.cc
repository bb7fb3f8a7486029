#include "device_sim/machine.h"

#include <algorithm>
#include <cstdlib>
#include <cstring>
#include <new>

#include "absl/strings/str_cat.h"
#include "device_sim/semantics.h"

namespace glia::device {
namespace {

// Untouched pages of a large calloc cost nothing.
uint8_t* Zeroed(int64_t bytes) {
  void* p = std::calloc(static_cast<size_t>(bytes), 1);
  if (p == nullptr) throw std::bad_alloc();
  return static_cast<uint8_t*>(p);
}

}  // namespace

Machine::Machine(const isa::Program& program)
    : program_(program),
      sbuf_(Zeroed(isa::kPartitions * isa::kSbufPartitionBytes), std::free),
      sbuf_shadow_(Zeroed(isa::kPartitions * isa::kSbufPartitionBytes), std::free),
      psum_(Zeroed(isa::kPartitions * isa::kPsumPartitionBytes), std::free),
      psum_shadow_(Zeroed(isa::kPartitions * isa::kPsumPartitionBytes), std::free),
      output_shadow_(program.variables.size()),
      places_(program.variables.size()) {}

void Machine::Reset(absl::Span<uint8_t* const> hbm) {
  scratch_shadow_.assign(static_cast<size_t>(program_.scratch_bytes), kUnwritten);
  for (size_t i = 0; i < program_.variables.size(); ++i) {
    const isa::Variable& v = program_.variables[i];
    Place& place = places_[i];
    switch (v.kind) {
      case isa::VariableKind::kStateBuffer:
      case isa::VariableKind::kPsum: {
        const bool psum = v.kind == isa::VariableKind::kPsum;
        place.span = psum ? isa::kPsumPartitionBytes : isa::kSbufPartitionBytes;
        const int64_t origin = v.partition * place.span + v.address;
        place.data = (psum ? psum_ : sbuf_).get() + origin;
        place.shadow = (psum ? psum_shadow_ : sbuf_shadow_).get() + origin;
        for (int p = 0; p < v.partitions; ++p) {
          std::memset(place.shadow + p * place.span, kUnwritten, static_cast<size_t>(v.partition_bytes));
        }
        break;
      }
      case isa::VariableKind::kTmpBuf:
        place = {hbm[i], scratch_shadow_.data() + v.hbm_offset, 0};
        break;
      case isa::VariableKind::kOutput:
        if (v.alias >= 0) {  // holds what the input holds
          place = {hbm[i], nullptr, 0};
        } else {
          output_shadow_[i].assign(static_cast<size_t>(v.bytes), kUnwritten);
          place = {hbm[i], output_shadow_[i].data(), 0};
        }
        break;
      default: place = {hbm[i], nullptr, 0};
    }
  }
}

void Machine::Resolve(const isa::Operand& o, View* view) {
  const Place& place = places_[o.var];
  const int64_t start = o.partition * place.span + o.offset;
  view->operand = &o;
  view->data = place.data + start;
  view->shadow = place.shadow + start;
  view->pitch = place.span;
  view->partitions = o.num_partitions;
  view->n = o.free_elements();
  view->dtype = o.dtype;
  view->bytes = TypeBytes(o.dtype);
  view->offsets.clear();
  view->offsets.reserve(static_cast<size_t>(view->n));
  const int64_t bytes = view->bytes;
  for (int a = 0; a < o.size[0]; ++a) {
    for (int b = 0; b < o.size[1]; ++b) {
      for (int c = 0; c < o.size[2]; ++c) {
        const int64_t row = int64_t{a} * o.stride[0] + int64_t{b} * o.stride[1] + int64_t{c} * o.stride[2];
        for (int d = 0; d < o.size[3]; ++d) {
          view->offsets.push_back((row + int64_t{d} * o.stride[3]) * bytes);
        }
      }
    }
  }
  view->contiguous = true;
  for (int64_t i = 0; i < view->n && view->contiguous; ++i) view->contiguous = view->offsets[i] == i * bytes;
}

Machine::Stretch Machine::Linear(uint32_t var, int64_t offset, int64_t bytes) {
  const Place& place = places_[var];
  if (place.span == 0) {
    return {place.data + offset, place.shadow == nullptr ? nullptr : place.shadow + offset, bytes};
  }
  const int64_t pitch = program_.variables[var].partition_bytes;
  const int64_t at = offset / pitch * place.span + offset % pitch;
  return {place.data + at, place.shadow + at, std::min(bytes, pitch - offset % pitch)};
}

absl::Status Machine::CheckOutputs() const {
  for (size_t i = 0; i < program_.variables.size(); ++i) {
    const auto& shadow = output_shadow_[i];
    const auto it = std::find(shadow.begin(), shadow.end(), kUnwritten);
    if (program_.variables[i].kind == isa::VariableKind::kOutput && it != shadow.end()) {
      return absl::InternalError(absl::StrCat("output '", program_.variables[i].name,
                                              "' is not wholly written: first at byte ", it - shadow.begin(),
                                              " of ", shadow.size()));
    }
  }
  return absl::OkStatus();
}

}  // namespace glia::device
