#include "compiler/codegen/home_layout.h"

#include <utility>
#include <vector>

#include "compiler/codegen/group.h"
#include "serialization/isa/table.h"

namespace glia::compiler {
namespace {

using hlo::Instruction;
using hlo::Opcode;

// A reader of the result through reshapes and transposes, and what it reads.
struct Reader {
  const Instruction* hlo;
  size_t operand;  // index of its reader
};

bool IsReshape(const Instruction& hlo) {
  return hlo.opcode() == Opcode::kReshape || hlo.opcode() == Opcode::kBitcast;
}

absl::optional<Nd> Through(const Instruction& hlo, const Nd& nd) {
  if (IsReshape(hlo)) return ReshapeNd(nd, hlo.shape.dims);
  return TransposeNd(nd, hlo.dimensions);
}

// The operand's view of the bytes of which `nd` is the result's view.
absl::optional<Nd> Back(const Instruction& hlo, const Nd& nd) {
  const Dims& dims = hlo.operand(0)->shape.dims;
  if (IsReshape(hlo)) return ReshapeNd(nd, dims);
  Dims inverse(dims.size());
  for (size_t i = 0; i < dims.size(); ++i) inverse[hlo.dimensions[i]] = static_cast<int64_t>(i);
  return TransposeNd(nd, inverse);
}

// The first reader whose reshape a layout cannot express, or the number of readers.
size_t FirstCopied(const std::vector<Reader>& readers, const Nd& layout) {
  std::vector<Nd> views = {layout};
  for (size_t i = 1; i < readers.size(); ++i) {
    absl::optional<Nd> view = Through(*readers[i].hlo, views[readers[i].operand]);
    if (!view.has_value()) return i;
    views.push_back(*std::move(view));
  }
  return readers.size();
}

// Row-major but for the order of the dims, the innermost in its place.
bool KeepsRows(const Nd& nd) {
  for (int64_t d = nd.rank(); d-- > 0;) {
    if (nd.dims[d] > 1) return nd.strides[d] == nd.element_bytes();
  }
  return true;
}

// Bytes of a partition that a result may take which no one stores in rows.
constexpr int64_t kMaxTurned = 56 * 1024;

}  // namespace

absl::optional<Nd> HomeLayout(const Instruction& hlo, isa::DType dtype) {
  const Nd dense = DenseNd(UINT32_MAX, dtype, hlo.shape.dims);
  if (dense.elements() <= 1) return absl::nullopt;
  std::vector<Reader> readers = {{&hlo, 0}};
  for (size_t i = 0; i < readers.size(); ++i) {
    for (const hlo::Use& use : readers[i].hlo->uses()) {
      if (IsReshape(*use.user) || use.user->opcode() == Opcode::kTranspose)
        readers.push_back({use.user, i});
    }
  }
  const size_t copied = FirstCopied(readers, dense);
  if (copied == readers.size()) return absl::nullopt;
  // What that reshape reads, dense.
  size_t at = readers[copied].operand;
  absl::optional<Nd> layout = DenseNd(UINT32_MAX, dtype, readers[at].hlo->shape.dims);
  while (at != 0 && layout.has_value()) {
    layout = Back(*readers[at].hlo, *layout);
    at = readers[at].operand;
  }
  if (!layout.has_value() || !KeepsRows(*layout) ||
      FirstCopied(readers, *layout) < readers.size()) {
    return absl::nullopt;
  }
  return layout;
}

bool FeedsContraction(const Emitter& e, const std::vector<const hlo::Instruction*>& results,
                      int64_t n) {
  if (results.empty() || (n > isa::kPartitions && n % isa::kPartitions != 0)) return false;
  for (const hlo::Instruction* result : results) {
    // What does not stay in SBUF would be stored one element at a time.
    if (Product(result->shape.dims) * isa::DTypeBytes(ResultType(e, *result)) >
        kMaxTurned * isa::kPartitions) {
      return false;
    }
    std::vector<std::pair<const hlo::Instruction*, Nd>> pending = {
        {result, DenseNd(0, DType::kU8, result->shape.dims)}};
    for (size_t i = 0; i < pending.size(); ++i) {
      const auto [value, nd] = pending[i];
      if (value->IsRoot() || value->uses().empty()) return false;
      for (const hlo::Use& use : value->uses()) {
        if (use.user->opcode() != hlo::Opcode::kDot) {
          if (!IsReshape(*use.user) && use.user->opcode() != Opcode::kTranspose) return false;
          const absl::optional<Nd> next = Through(*use.user, nd);
          if (!next.has_value()) return false;
          pending.emplace_back(use.user, *next);
          continue;
        }
        const hlo::DotDims& d = use.user->dot_dims;
        const Dims contracted(use.operand_index == 0 ? d.lhs_contracting : d.rhs_contracting);
        for (int64_t dim : contracted) {
          if (nd.dims[dim] > 1 && nd.strides[dim] * (nd.dims[dim] - 1) >= n) return false;
        }
        if (contracted.empty()) return false;
        // Chunks of the contraction must start where the hardware can address partitions.
        int64_t k = 1;
        for (int64_t dim : contracted) k *= nd.dims[dim];
        if (k != n && k != 32 && k != 64 && k != 128) return false;
      }
    }
  }
  return true;
}

}  // namespace glia::compiler
